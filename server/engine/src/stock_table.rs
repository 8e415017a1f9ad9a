//! Stock levels of all products in all stores, by product: what is asked together lies together, and a product's sellable
//! stores are a bitset that is kept with its levels, under one lock, so that the two never disagree.
//!
//! A product in a few stores is a short sorted list; one in many is a row of words, each for 64 stores, with the levels of
//! those that have one. Numbers of products and stores are dense and never used again.
//!
//! One writer, many readers. The writer locks one product at a time; a reader may hold several, each once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, RwLock, RwLockReadGuard};

use crate::ids::{CellKey, SkuId, StoreId};
use crate::prefetch;
use crate::state::{read, write};
use crate::stock::StockLevel;

/// Products of the first chunk; each one after it is twice as large, so that they hold every number there can be, and none
/// that is in use ever moves.
const FIRST_CHUNK: u64 = 1024;
/// Chunks that hold all products.
const CHUNKS: usize = 23;
/// Levels of a product up to which they are a list.
const FEW_MAX: usize = 32;
/// Stores of a word.
const WORD: u32 = 64;

/// The table.
pub struct StockTable {
    chunks: [OnceLock<Chunk>; CHUNKS],
    levels: AtomicUsize,
}

/// A step of the way to a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Where the product is.
    Product,
    /// Where the levels of 64 stores are.
    Word,
    /// The level.
    Level,
}

type Chunk = Box<[RwLock<ProductStock>]>;

/// The levels of one product.
#[derive(Debug)]
pub enum ProductStock {
    /// Sorted by store.
    Few(Vec<(StoreId, StockLevel)>),
    /// By store number.
    Many(ManyStores),
}

/// Levels of a product that is in many stores.
#[derive(Debug, Default)]
pub struct ManyStores {
    words: Vec<Word>,
    /// Stores with something to promise, a bit each; as long as `words`.
    sellable: Vec<u64>,
}

/// The levels of 64 stores.
#[derive(Debug, Default)]
struct Word {
    /// Stores with a level.
    present: u64,
    /// Their levels, in the order of the stores.
    levels: Vec<StockLevel>,
}

impl Default for ProductStock {
    fn default() -> Self {
        ProductStock::Few(Vec::new())
    }
}

impl Default for StockTable {
    fn default() -> Self {
        StockTable {
            chunks: [const { OnceLock::new() }; CHUNKS],
            levels: AtomicUsize::new(0),
        }
    }
}

impl std::fmt::Debug for StockTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StockTable")
            .field("levels", &self.len())
            .finish_non_exhaustive()
    }
}

impl Word {
    fn place(&self, bit: u32) -> (bool, usize) {
        let before = self.present & ((1 << bit) - 1);
        (self.present >> bit & 1 == 1, before.count_ones() as usize)
    }
}

fn is_sellable(level: &StockLevel) -> bool {
    level.available_online() > 0
}

impl ProductStock {
    /// The level in a store; `None` where nothing was ever counted or moved.
    pub fn get(&self, store: StoreId) -> Option<&StockLevel> {
        match self {
            ProductStock::Few(levels) => {
                let at = levels.binary_search_by_key(&store, |(id, _)| *id).ok()?;
                Some(&levels[at].1)
            }
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
            ProductStock::Few(levels) => Box::new(levels.iter().map(|(store, l)| (*store, l))),
            ProductStock::Many(many) => {
                Box::new(many.words.iter().zip(0u32..).flat_map(|(word, at)| {
                    let bits = (0..WORD).filter(|bit| word.present >> bit & 1 == 1);
                    bits.zip(&word.levels)
                        .map(move |(bit, level)| (StoreId(at * WORD + bit), level))
                }))
            }
        }
    }

    /// Puts the stores that have something to promise into `stores`, a bit each, which is long enough for all stores that
    /// count; others are left out.
    pub fn sellable_into(&self, stores: &mut [u64]) {
        stores.fill(0);
        match self {
            ProductStock::Few(levels) => {
                for (store, _) in levels.iter().filter(|(_, level)| is_sellable(level)) {
                    if let Some(word) = stores.get_mut((store.0 / WORD) as usize) {
                        *word |= 1 << (store.0 % WORD);
                    }
                }
            }
            ProductStock::Many(many) => {
                let both = stores.len().min(many.sellable.len());
                stores[..both].copy_from_slice(&many.sellable[..both]);
            }
        }
    }

    /// Leaves in `stores` only those that have something to promise; false where none is left.
    pub fn keep_sellable(&self, stores: &mut [u64]) -> bool {
        match self {
            ProductStock::Few(levels) => {
                let mut kept = levels
                    .iter()
                    .filter(|(_, level)| is_sellable(level))
                    .map(|(store, _)| ((store.0 / WORD) as usize, 1u64 << (store.0 % WORD)))
                    .peekable();
                let mut left = 0;
                for (at, word) in stores.iter_mut().enumerate() {
                    let mut mask = 0;
                    while let Some((_, bit)) = kept.next_if(|(of, _)| *of == at) {
                        mask |= bit;
                    }
                    *word &= mask;
                    left |= *word;
                }
                left != 0
            }
            ProductStock::Many(many) => {
                let both = stores.len().min(many.sellable.len());
                let mut left = 0;
                for (word, sellable) in stores[..both].iter_mut().zip(&many.sellable[..both]) {
                    *word &= sellable;
                    left |= *word;
                }
                stores[both..].fill(0);
                left != 0
            }
        }
    }

    /// Changes the level of a store, made of zeros where there was none; true where it is new.
    fn change<R>(
        &mut self,
        store: StoreId,
        change: impl FnOnce(&mut StockLevel) -> R,
    ) -> (R, bool) {
        if let ProductStock::Few(levels) = self {
            match levels.binary_search_by_key(&store, |(id, _)| *id) {
                Ok(at) => return (change(&mut levels[at].1), false),
                Err(at) if levels.len() < FEW_MAX => {
                    let mut level = StockLevel::default();
                    let changed = change(&mut level);
                    levels.insert(at, (store, level));
                    return (changed, true);
                }
                Err(_) => {
                    let mut many = ManyStores::default();
                    for (store, level) in std::mem::take(levels) {
                        many.change(store, |l| *l = level);
                    }
                    *self = ProductStock::Many(many);
                }
            }
        }
        match self {
            ProductStock::Many(many) => many.change(store, change),
            ProductStock::Few(_) => unreachable!("turned into many stores above"),
        }
    }
}

impl ManyStores {
    fn change<R>(
        &mut self,
        store: StoreId,
        change: impl FnOnce(&mut StockLevel) -> R,
    ) -> (R, bool) {
        let (at, bit) = ((store.0 / WORD) as usize, store.0 % WORD);
        if self.words.len() <= at {
            self.words.resize_with(at + 1, Word::default);
            self.sellable.resize(at + 1, 0);
        }
        let word = &mut self.words[at];
        let (there, place) = word.place(bit);
        if !there {
            // Half as much again: doubling would leave a third of all memory unused, and one by one copies each level often.
            if word.levels.len() == word.levels.capacity() {
                word.levels.reserve_exact(word.levels.len() / 2 + 2);
            }
            word.levels.insert(place, StockLevel::default());
            word.present |= 1 << bit;
        }
        let level = &mut word.levels[place];
        let changed = change(level);
        let sellable = u64::from(is_sellable(level));
        self.sellable[at] = self.sellable[at] & !(1 << bit) | sellable << bit;
        (changed, !there)
    }
}

/// Chunk of a product and its place in it.
fn place(sku: SkuId) -> (usize, usize) {
    let number = u64::from(sku.0) + FIRST_CHUNK;
    let chunk = (number / FIRST_CHUNK).ilog2();
    (chunk as usize, (number - (FIRST_CHUNK << chunk)) as usize)
}

impl StockTable {
    fn slot(&self, sku: SkuId) -> Option<&RwLock<ProductStock>> {
        let (chunk, at) = place(sku);
        self.chunks[chunk].get().map(|products| &products[at])
    }

    /// The levels of a product, held for reading: the writer waits as long as they are. A reader of several products holds
    /// each once; `None` where none of this and its neighbours ever had a level.
    pub fn product(&self, sku: SkuId) -> Option<RwLockReadGuard<'_, ProductStock>> {
        self.slot(sku).map(read)
    }

    /// A level.
    pub fn get(&self, cell: CellKey) -> Option<StockLevel> {
        self.read(cell, StockLevel::clone)
    }

    /// What `look` makes of a level, looked at in its place.
    pub fn read<R>(&self, cell: CellKey, look: impl FnOnce(&StockLevel) -> R) -> Option<R> {
        let (sku, store) = (cell.sku(), cell.store());
        self.product(sku)?.get(store).map(look)
    }

    /// Asks memory for the way to a level, each step of which needs the one before to have arrived: `Step::Product` long
    /// before the level is looked at, `Step::Level` shortly before. A hint: it changes nothing, and nothing depends on it.
    pub fn ask(&self, cell: CellKey, step: Step) {
        let (sku, store) = (cell.sku(), cell.store());
        let Some(slot) = self.slot(sku) else {
            return;
        };
        if step == Step::Product {
            return prefetch::value(slot);
        }
        match (&*read(slot), step) {
            (ProductStock::Few(levels), _) => {
                if let Some((_, level)) = levels.get(levels.len() / 2) {
                    prefetch::value(level);
                }
            }
            (ProductStock::Many(many), step) => {
                let Some(word) = many.words.get((store.0 / WORD) as usize) else {
                    return;
                };
                match step {
                    Step::Product | Step::Word => prefetch::value(word),
                    Step::Level => {
                        let (_, at) = word.place(store.0 % WORD);
                        if let Some(level) = word.levels.get(at) {
                            prefetch::value(level);
                        }
                    }
                }
            }
        }
    }

    /// Changes a level, made of zeros where there was none. The one writer only.
    pub fn change<R>(&self, cell: CellKey, change: impl FnOnce(&mut StockLevel) -> R) -> R {
        let (sku, store) = (cell.sku(), cell.store());
        let (chunk, at) = place(sku);
        let products = self.chunks[chunk].get_or_init(|| {
            let length = FIRST_CHUNK << chunk;
            (0..length).map(|_| RwLock::default()).collect()
        });
        let mut product = write(&products[at]);
        let (changed, new) = product.change(store, change);
        if new {
            self.levels.fetch_add(1, Ordering::AcqRel);
        }
        changed
    }

    /// Puts a level; loading.
    pub fn insert(&self, cell: CellKey, level: StockLevel) {
        self.change(cell, |there| *there = level);
    }

    /// How many levels there are.
    pub fn len(&self) -> usize {
        self.levels.load(Ordering::Acquire)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Products that may have levels, ascending.
    pub fn products(&self) -> impl Iterator<Item = SkuId> + '_ {
        let made = (0u32..)
            .zip(&self.chunks)
            .filter_map(|(chunk, products)| Some((chunk, products.get()?.len() as u64)));
        made.flat_map(|(chunk, length)| {
            let first = (FIRST_CHUNK << chunk) - FIRST_CHUNK;
            // A chunk may be longer than the numbers left for it.
            let end = (first + length).min(u64::from(u32::MAX) + 1);
            (first..end).map(|sku| SkuId(sku as u32))
        })
    }

    /// Every level with its cell, in the order of (product, store), each product copied when its turn comes.
    pub fn cells(&self) -> impl Iterator<Item = (CellKey, StockLevel)> + '_ {
        self.products().flat_map(|sku| {
            let product = self.product(sku);
            let levels = product.iter().flat_map(|product| product.iter());
            levels
                .map(|(store, level)| (CellKey::new(sku, store), level.clone()))
                .collect::<Vec<_>>()
        })
    }

    /// Looks at every level in the order of (product, store), each product as it is when its turn comes.
    pub fn for_each(&self, mut look: impl FnMut(CellKey, &StockLevel)) {
        for sku in self.products() {
            if let Some(product) = self.product(sku) {
                product
                    .iter()
                    .for_each(|(store, level)| look(CellKey::new(sku, store), level));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn bits(stores: &[u64]) -> Vec<u32> {
        (0..stores.len() as u32 * 64)
            .filter(|n| stores[*n as usize / 64] >> (n % 64) & 1 == 1)
            .collect()
    }

    #[test]
    fn every_product_has_a_place_of_its_own() {
        let check = |sku, expect| assert_eq!(place(SkuId(sku)), expect, "{sku}");
        check(0, (0, 0));
        check(1023, (0, 1023));
        check(1024, (1, 0));
        check(3071, (1, 2047));
        check(3072, (2, 0));
        check(u32::MAX, (CHUNKS - 1, 1023));
    }

    proptest! {
        #[test]
        fn levels_and_sellable_stores_equal_a_plain_map(
            steps in prop::collection::vec((0u32..3, prop_oneof![0u32..200, 0u32..3000], -3i64..4), 0..400),
            words in 1usize..50,
        ) {
            let table = StockTable::default();
            let mut naive: BTreeMap<(u32, u32), i64> = BTreeMap::new();
            for (sku, store, delta) in steps {
                let sku = sku * 1000;
                let after = table.change(CellKey::new(SkuId(sku), StoreId(store)), |level| {
                    level.on_hand += delta;
                    level.on_hand
                });
                let level = naive.entry((sku, store)).or_default();
                *level += delta;
                prop_assert_eq!(after, *level);
            }
            prop_assert_eq!(table.len(), naive.len());
            let mut all = Vec::new();
            table.for_each(|cell, level| {
                let (sku, store) = (cell.sku(), cell.store());
                all.push(((sku.0, store.0), level.on_hand));
            });
            prop_assert_eq!(all, naive.clone().into_iter().collect::<Vec<_>>());
            let sellable = |sku: u32| {
                let of = naive.iter().filter(|((s, store), level)| *s == sku && **level > 0 && (*store as usize) < words * 64);
                of.map(|((_, store), _)| *store).collect::<Vec<_>>()
            };
            let (mut one, mut both) = (vec![0; words], vec![u64::MAX; words]);
            for sku in [0, 1000, 2000] {
                match table.product(SkuId(sku)) {
                    Some(product) => {
                        product.sellable_into(&mut one);
                        let left = product.keep_sellable(&mut both);
                        prop_assert_eq!(left, both.iter().any(|w| *w != 0));
                    }
                    None => {
                        one.fill(0);
                        both.fill(0);
                    }
                }
                prop_assert_eq!(bits(&one), sellable(sku));
            }
            let everywhere: Vec<u32> = sellable(0).into_iter().filter(|s| sellable(1000).contains(s) && sellable(2000).contains(s)).collect();
            prop_assert_eq!(bits(&both), everywhere);
            for ((sku, store), level) in naive {
                let cell = CellKey::new(SkuId(sku), StoreId(store));
                prop_assert_eq!(table.get(cell).map(|l| l.on_hand), Some(level));
                prop_assert!(table.get(CellKey::new(SkuId(sku + 1), StoreId(store))).is_none());
            }
        }
    }
}
