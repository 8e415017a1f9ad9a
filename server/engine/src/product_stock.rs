//! The levels of one product in all stores, and for each of a few quantities a set of the stores that have as much to
//! promise: routing combines such sets and seldom looks at a level. One more set is that of the stores with less than was
//! promised.
//!
//! A product in a few stores is a short sorted list; one in many is a row of words, each for 64 stores, with the levels of
//! those that have one. Only `ProductStock::change` changes a level, so that levels and sets never disagree.

use std::collections::BTreeSet;

use crate::ids::StoreId;
use crate::prefetch;
use crate::stock::StockLevel;

/// Quantities in thousandths for which it is known which stores have as much to promise: something at all, and one, two
/// and three pieces, which most lines ask for. Ascending.
const QUANTITIES: [i64; 4] = [1, 1_000, 2_000, 3_000];
/// Sets that are kept: of each of [`QUANTITIES`] the stores that have as much, and the stores that have less than was
/// promised.
const SETS: usize = QUANTITIES.len() + 1;
/// The set of those that have less than was promised.
const SHORT: usize = QUANTITIES.len();
/// Levels of a product up to which they are a list.
const FEW_MAX: usize = 32;
/// Stores of a word.
const WORD: u32 = 64;

/// The levels of one product.
#[derive(Debug)]
pub enum ProductStock {
    /// In a few stores.
    Few(FewStores),
    /// By store number.
    Many(ManyStores),
}

/// Levels of a product that is in a few stores.
#[derive(Debug, Default)]
pub struct FewStores {
    /// Ascending.
    stores: Vec<StoreId>,
    /// Their levels.
    levels: Vec<StockLevel>,
    /// The positions in each of the [`SETS`], a bit each.
    sets: [u32; SETS],
    /// A bit for every last six bits of a store's number: what is not in it is not on the list.
    endings: u64,
}

/// Levels of a product that is in many stores.
#[derive(Debug, Default)]
pub struct ManyStores {
    words: Vec<Word>,
    /// The stores in each of the [`SETS`], a bit each; none beyond the end.
    sets: [Vec<u64>; SETS],
    /// How many stores are in each of them.
    counts: [u32; SETS],
}

/// The levels of 64 stores.
#[derive(Debug, Default)]
struct Word {
    /// Stores with a level.
    present: u64,
    /// Their levels, in the order of the stores.
    levels: Vec<StockLevel>,
}

/// Where the stores that may have a quantity are known: those that are not in it have less.
#[derive(Clone, Copy, Debug)]
pub enum Having<'a> {
    /// Named one by one.
    Few(Listed<'a>),
    /// A bit each by store number, and how many they are; what lies beyond the end is none.
    Many(&'a [u64], u32),
}

/// Some stores of a short list.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// Ascending.
    stores: &'a [StoreId],
    /// Which of them count, a bit each.
    positions: u32,
    endings: u64,
}

impl Listed<'_> {
    /// How many count.
    pub fn count(self) -> u32 {
        self.positions.count_ones()
    }

    /// Those that count, ascending.
    pub fn iter(&self) -> impl Iterator<Item = StoreId> {
        let mut left = self.positions;
        std::iter::from_fn(move || {
            let store = *self.stores.get(left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(store)
        })
    }

    /// Whether a store counts.
    pub fn has(self, store: StoreId) -> bool {
        self.endings >> (store.0 % u64::BITS) & 1 == 1
            && self
                .stores
                .binary_search(&store)
                .is_ok_and(|at| self.positions >> at & 1 == 1)
    }
}

impl Default for ProductStock {
    fn default() -> Self {
        ProductStock::Few(FewStores::default())
    }
}

/// Position of the greatest known quantity that is not more than this; `None` below all.
fn known(quantity: i64) -> Option<usize> {
    QUANTITIES
        .partition_point(|known| *known <= quantity)
        .checked_sub(1)
}

/// Numbers of the bits that are set, ascending.
fn bits(mut left: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let at = (left != 0).then(|| left.trailing_zeros())?;
        left &= left - 1;
        Some(at)
    })
}

/// Which of the [`SETS`] a level belongs to, a bit each.
fn sets_of(level: &StockLevel) -> u32 {
    let online = level.available_online();
    let having = QUANTITIES.into_iter().zip(0u32..);
    let having = having.fold(0, |sets, (known, at)| {
        sets | u32::from(online >= known) << at
    });
    having | u32::from(level.is_short()) << SHORT
}

/// What to change in the sets when those of a level change: (set, is in it now).
fn crossed(before: u32, after: u32) -> impl Iterator<Item = (usize, bool)> {
    bits((before ^ after).into()).map(move |at| (at as usize, after >> at & 1 == 1))
}

impl Word {
    fn place(&self, bit: u32) -> (bool, usize) {
        let before = self.present & ((1 << bit) - 1);
        (self.present >> bit & 1 == 1, before.count_ones() as usize)
    }
}

impl ProductStock {
    /// The level in a store; `None` where nothing was ever counted or moved.
    pub fn get(&self, store: StoreId) -> Option<&StockLevel> {
        match self {
            ProductStock::Few(few) => few.levels.get(few.stores.binary_search(&store).ok()?),
            ProductStock::Many(many) => {
                let word = many.words.get((store.0 / WORD) as usize)?;
                let (there, at) = word.place(store.0 % WORD);
                if there { word.levels.get(at) } else { None }
            }
        }
    }

    /// What may be promised online in a store.
    pub fn available_online(&self, store: StoreId) -> i64 {
        self.get(store).map_or(0, StockLevel::available_online)
    }

    /// Levels with their stores, ascending.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (StoreId, &StockLevel)> + '_> {
        match self {
            ProductStock::Few(few) => Box::new(few.stores.iter().copied().zip(&few.levels)),
            ProductStock::Many(many) => {
                Box::new(many.words.iter().zip(0u32..).flat_map(|(word, at)| {
                    let bits = (0..WORD).filter(|bit| word.present >> bit & 1 == 1);
                    bits.zip(&word.levels)
                        .map(move |(bit, level)| (StoreId(at * WORD + bit), level))
                }))
            }
        }
    }

    /// Stores that may have `quantity` to promise, which is positive: all that have it are there.
    pub fn having(&self, quantity: i64) -> Having<'_> {
        let at = known(quantity).unwrap_or(0);
        match self {
            ProductStock::Few(few) => Having::Few(Listed {
                stores: &few.stores,
                positions: few.sets[at],
                endings: few.endings,
            }),
            ProductStock::Many(many) => Having::Many(&many.sets[at], many.counts[at]),
        }
    }

    /// Whether a store has `quantity` to promise. The level is looked at only where the sets leave it open.
    pub fn has(&self, store: StoreId, quantity: i64) -> bool {
        let look = || self.available_online(store) >= quantity;
        let (Some(at), ProductStock::Many(many)) = (known(quantity), self) else {
            return look();
        };
        let (word, bit) = ((store.0 / WORD) as usize, store.0 % WORD);
        let holds = |set: &Vec<u64>| set.get(word).is_some_and(|word| word >> bit & 1 == 1);
        if !holds(&many.sets[at]) {
            return false;
        }
        let more = || many.sets[..SHORT].get(at + 1).is_some_and(holds);
        QUANTITIES[at] == quantity || more() || look()
    }

    /// Stores with less than was promised, ascending.
    pub fn short(&self) -> Box<dyn Iterator<Item = StoreId> + '_> {
        match self {
            ProductStock::Few(few) => {
                Box::new(bits(few.sets[SHORT].into()).map(|at| few.stores[at as usize]))
            }
            ProductStock::Many(many) if many.counts[SHORT] == 0 => Box::new(std::iter::empty()),
            ProductStock::Many(many) => {
                let words = many.sets[SHORT].iter().zip(0u32..);
                Box::new(
                    words.flat_map(|(word, at)| {
                        bits(*word).map(move |bit| StoreId(at * WORD + bit))
                    }),
                )
            }
        }
    }

    /// Asks memory for what [`Self::having`] will answer.
    pub(crate) fn ask_having(&self, quantity: i64) {
        match self.having(quantity) {
            Having::Few(few) => few.stores.first().into_iter().for_each(prefetch::value),
            // The rest of a long one is fetched by the processor itself, which sees that it is read in order.
            Having::Many(words, _) => words.iter().step_by(8).take(4).for_each(prefetch::value),
        }
    }

    /// Asks memory for the word of a store, or for its level.
    pub(crate) fn ask(&self, store: StoreId, level: bool) {
        match self {
            ProductStock::Few(few) if level => {
                few.levels.first().into_iter().for_each(prefetch::value);
            }
            ProductStock::Few(few) => few.stores.first().into_iter().for_each(prefetch::value),
            ProductStock::Many(many) => {
                let Some(word) = many.words.get((store.0 / WORD) as usize) else {
                    return;
                };
                if !level {
                    return prefetch::value(word);
                }
                let (_, at) = word.place(store.0 % WORD);
                word.levels.get(at).into_iter().for_each(prefetch::value);
            }
        }
    }

    /// Changes the level of a store, made of zeros where there was none; `change` is told, and so is the caller, whether it is
    /// new.
    pub(crate) fn change<R>(
        &mut self,
        store: StoreId,
        change: impl FnOnce(&mut StockLevel, bool) -> R,
    ) -> (R, bool) {
        if let ProductStock::Few(few) = self
            && few.stores.len() >= FEW_MAX
            && few.stores.binary_search(&store).is_err()
        {
            let mut many = ManyStores::default();
            let levels = std::mem::take(&mut few.levels);
            for (store, level) in few.stores.iter().zip(levels) {
                many.change(*store, |l, _| *l = level);
            }
            *self = ProductStock::Many(many);
        }
        match self {
            ProductStock::Few(few) => few.change(store, change),
            ProductStock::Many(many) => many.change(store, change),
        }
    }
}

impl ProductStock {
    /// Fits what the levels keep back to `effective`, of all stores or only of `stores`; tells those that changed and answers
    /// how many levels were looked at.
    pub(crate) fn refit(
        &mut self,
        stores: &BTreeSet<StoreId>,
        effective: impl Fn(StoreId, i64) -> i64,
        mut changed: impl FnMut(StoreId),
    ) -> usize {
        let mut looked_at = 0;
        let mut unfit: Vec<(StoreId, i64)> = Vec::new();
        for (store, level) in self.iter() {
            looked_at += 1;
            if stores.is_empty() || stores.contains(&store) {
                let safety = effective(store, level.own_safety);
                if level.safety != safety {
                    unfit.push((store, safety));
                }
            }
        }
        for (store, safety) in unfit {
            self.change(store, |level, _| level.safety = safety);
            changed(store);
        }
        looked_at
    }
}

/// Makes room for one more. Half as much again: doubling would leave a third of all memory unused, and one by one copies
/// each level often.
fn make_room<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 2 + 2);
    }
}

impl FewStores {
    fn change<R>(
        &mut self,
        store: StoreId,
        change: impl FnOnce(&mut StockLevel, bool) -> R,
    ) -> (R, bool) {
        let (at, new) = match self.stores.binary_search(&store) {
            Ok(at) => (at, false),
            Err(at) => {
                make_room(&mut self.stores);
                make_room(&mut self.levels);
                self.stores.insert(at, store);
                self.endings |= 1 << (store.0 % u64::BITS);
                self.levels.insert(at, StockLevel::default());
                for set in &mut self.sets {
                    let before = *set & ((1 << at) - 1);
                    *set = (*set & !before) << 1 | before;
                }
                (at, true)
            }
        };
        let level = &mut self.levels[at];
        let before = sets_of(level);
        let changed = change(level, new);
        for (set, is_in) in crossed(before, sets_of(level)) {
            self.sets[set] = self.sets[set] & !(1 << at) | u32::from(is_in) << at;
        }
        (changed, new)
    }
}

impl ManyStores {
    fn change<R>(
        &mut self,
        store: StoreId,
        change: impl FnOnce(&mut StockLevel, bool) -> R,
    ) -> (R, bool) {
        let (at, bit) = ((store.0 / WORD) as usize, store.0 % WORD);
        if self.words.len() <= at {
            self.words.resize_with(at + 1, Word::default);
        }
        let word = &mut self.words[at];
        let (there, place) = word.place(bit);
        if !there {
            make_room(&mut word.levels);
            word.levels.insert(place, StockLevel::default());
            word.present |= 1 << bit;
        }
        let level = &mut word.levels[place];
        let before = sets_of(level);
        let changed = change(level, !there);
        for (set, is_in) in crossed(before, sets_of(level)) {
            if self.sets[set].len() <= at {
                self.sets[set].resize(self.words.len(), 0);
            }
            let word = &mut self.sets[set][at];
            *word = *word & !(1 << bit) | u64::from(is_in) << bit;
            let count = &mut self.counts[set];
            *count = if is_in { *count + 1 } else { *count - 1 };
        }
        (changed, !there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn stores_of(having: Having<'_>) -> Vec<u32> {
        match having {
            Having::Few(few) => {
                let stores: Vec<u32> = few.iter().map(|store| store.0).collect();
                let has: Vec<u32> = (0..3_000).filter(|n| few.has(StoreId(*n))).collect();
                assert_eq!((stores.len(), &stores), (few.count() as usize, &has));
                stores
            }
            Having::Many(words, count) => {
                let stores: Vec<u32> = (0..words.len() as u32 * WORD)
                    .filter(|n| words[(n / WORD) as usize] >> (n % WORD) & 1 == 1)
                    .collect();
                assert_eq!(stores.len(), count as usize);
                stores
            }
        }
    }

    proptest! {
        #[test]
        fn sets_and_levels_equal_a_plain_map(
            steps in prop::collection::vec((prop_oneof![0u32..40, 0u32..3000], -3_500i64..4_000), 0..300),
            quantity in prop_oneof![1i64..5_000, (1i64..6).prop_map(|pieces| pieces * 1000)],
        ) {
            let mut product = ProductStock::default();
            let mut naive: BTreeMap<u32, i64> = BTreeMap::new();
            for (store, delta) in steps {
                let (after, new) = product.change(StoreId(store), |level, _| {
                    level.on_hand += delta;
                    level.on_hand
                });
                prop_assert_eq!(new, !naive.contains_key(&store));
                *naive.entry(store).or_default() += delta;
                prop_assert_eq!(after, naive[&store]);
            }
            let all: Vec<_> = product.iter().map(|(store, level)| (store.0, level.on_hand)).collect();
            prop_assert_eq!(all, naive.clone().into_iter().collect::<Vec<_>>());
            let short: Vec<u32> = product.short().map(|store| store.0).collect();
            prop_assert_eq!(short, naive.iter().filter(|(_, n)| **n < 0).map(|(s, _)| *s).collect::<Vec<_>>());
            let at_least = |least: i64| naive.iter().filter(|(_, n)| **n >= least).map(|(s, _)| *s).collect::<Vec<_>>();
            let least = QUANTITIES.into_iter().rfind(|known| *known <= quantity).unwrap_or(1);
            prop_assert_eq!(stores_of(product.having(quantity)), at_least(least));
            for store in 0..3_000 {
                let expect = naive.get(&store).copied().unwrap_or(0);
                prop_assert_eq!(product.has(StoreId(store), quantity), expect >= quantity);
                prop_assert_eq!(product.has(StoreId(store), -quantity), expect >= -quantity);
                prop_assert_eq!(product.get(StoreId(store)).map(|l| l.on_hand), naive.get(&store).copied());
            }
        }
    }
}
