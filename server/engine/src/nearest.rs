//! The nearest of some stores, exactly. The stores that may be chosen come as sets, a bit for each store number, that all
//! have to hold. Combined word by word they say soon whether there are few: then those are measured. Else the list of the
//! query's grid cell is walked, which is sorted by the distance from the cell's centre, until nothing later on it can be
//! nearer; most of the sets is then never looked at.
//!
//! Chords of the unit sphere prune and never decide: a chord is a distance in space, so the triangle inequality holds for
//! it, whatever the place; the great-circle distance in whole millimetres and the retailer's id decide.

use std::ops::ControlFlow;

use dashmap::DashMap;
use geo::Point;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;

use crate::geo_index::{Near, Spot, StoreIndex, chord_limit};
use crate::ids::{StoreId, compare_external};

/// Up to so many candidates are measured one by one: cheaper than walking past the stores that are none.
const MEASURED_ALL: usize = 48;
/// More candidates than this among 64 stores mean that there are many. A guess: it decides how they are found, not which.
const MANY_OF_A_WORD: u32 = 16;
/// Stores on a cell's list. A walk that reaches the end of a list that was cut goes on over all stores.
const LISTED_MAX: usize = 512;
/// Lists kept; 4 KiB each. Beyond them a query measures all its candidates.
const CELLS_MAX: usize = 16_384;
/// Cells a degree: at most 8 km from a point to its cell's centre in Italy.
const CELLS_PER_DEGREE: f64 = 8.0;
/// Chords that differ by less may belong to the same millimetre, or to two in the other order: unit vectors are right to
/// some 1e-16, a millimetre is 1.6e-10, and towards the antipode, where the chord hardly grows, a second compares all.
const CHORD_MARGIN: f64 = 4e-10;
/// Beyond this chord the margin is not enough: there the arcsine multiplies rounding.
const CHORD_RELIABLE: f64 = 1.99;

/// A store on a cell's list.
#[derive(Clone, Copy, Debug)]
struct Listed {
    store: StoreId,
    /// Chord from the cell's centre, rounded down.
    chord: f32,
}

/// The list of a cell.
#[derive(Debug)]
struct CellList {
    centre: Spot,
    /// Nearest first.
    stores: Box<[Listed]>,
    /// Not all stores are on it.
    cut: bool,
}

/// Lists of the cells that were asked for, made on first use. They hold as long as no store moves.
#[derive(Default)]
pub struct CellLists(DashMap<(i16, i16), CellList, FxBuildHasher>);

// Which lists were made depends on who asked, not on the state.
impl std::fmt::Debug for CellLists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CellLists").finish_non_exhaustive()
    }
}

impl CellLists {
    /// Lists made so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none was made yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What `look` makes of the list of the cell that `origin` lies in; `None` where there are too many lists to make it.
    fn look<R>(
        &self,
        index: &StoreIndex,
        origin: &Spot,
        look: impl FnOnce(&CellList) -> R,
    ) -> Option<R> {
        let number = |degrees: f64| libm::floor(degrees * CELLS_PER_DEGREE) as i16;
        let point = origin.point();
        let cell = (number(point.y()), number(point.x()));
        if let Some(list) = self.0.get(&cell) {
            return Some(look(&list));
        }
        // The bound is soft: callers that make lists at the same time may each add one.
        if self.0.len() >= CELLS_MAX {
            return None;
        }
        let middle = |number: i16| (f64::from(number) + 0.5) / CELLS_PER_DEGREE;
        let centre = Spot::new(Point::new(middle(cell.1), middle(cell.0)));
        let list = CellList::build(index, centre);
        let seen = look(&list);
        self.0.insert(cell, list);
        Some(seen)
    }
}

impl CellList {
    fn build(index: &StoreIndex, centre: Spot) -> CellList {
        let listed = |(store, spot): (StoreId, &Spot)| Listed {
            store,
            chord: below(centre.squared_chord(spot).sqrt()),
        };
        let mut stores: Vec<Listed> = index.spots().map(listed).collect();
        let nearer =
            |a: &Listed, b: &Listed| a.chord.total_cmp(&b.chord).then(a.store.cmp(&b.store));
        let cut = stores.len() > LISTED_MAX;
        if cut {
            stores.select_nth_unstable_by(LISTED_MAX, nearer);
            stores.truncate(LISTED_MAX);
        }
        stores.sort_unstable_by(nearer);
        CellList {
            centre,
            stores: stores.into(),
            cut,
        }
    }
}

/// The next smaller number of half the bits, where it is not exact.
fn below(chord: f64) -> f32 {
    let near = chord as f32;
    if f64::from(near) <= chord {
        near
    } else {
        near.next_down()
    }
}

/// Stores that may be chosen: those that are in all of some sets, or named one by one. The sets are not combined before it
/// is known how much of them is needed.
#[derive(Clone, Debug, Default)]
pub struct Candidates<'a> {
    /// A bit each by number. The shortest ends them all.
    pub sets: SmallVec<[&'a [u64]; 9]>,
    /// Named one by one, each once; then the sets say nothing.
    pub named: Option<SmallVec<[StoreId; NAMED]>>,
    /// More, each once, whatever the sets say.
    pub also: SmallVec<[StoreId; 2]>,
}

/// Numbers kept in place; longer lists are allocated.
const NAMED: usize = 32;
/// Words combined at once: enough for vector instructions, little enough to stop early.
const BLOCK: usize = 16;

impl<'a> From<&'a [u64]> for Candidates<'a> {
    fn from(set: &'a [u64]) -> Self {
        Candidates {
            sets: SmallVec::from_slice(&[set]),
            ..Candidates::default()
        }
    }
}

impl Candidates<'_> {
    /// Whether a store is in all of the sets.
    pub(crate) fn in_sets(&self, store: StoreId) -> bool {
        in_all(&self.sets, store)
    }

    /// Looks at the sets combined, some words at a time: (number of the first word, words). Where nothing is left there is
    /// nothing to look at.
    fn each_block<B>(
        &self,
        mut look: impl FnMut(usize, &[u64]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some((first, others)) = self.sets.split_first() else {
            return ControlFlow::Continue(());
        };
        let words = others
            .iter()
            .map(|set| set.len())
            .fold(first.len(), usize::min);
        for from in (0..words).step_by(BLOCK) {
            let range = from..words.min(from + BLOCK);
            let mut block = [0u64; BLOCK];
            let block = &mut block[..range.len()];
            block.copy_from_slice(&first[range.clone()]);
            for set in others {
                for (word, other) in block.iter_mut().zip(&set[range.clone()]) {
                    *word &= other;
                }
            }
            if block.iter().fold(0, |any, word| any | word) != 0 {
                look(from, block)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// All of them but [`Self::also`], ascending.
    pub(crate) fn for_each(&self, mut look: impl FnMut(StoreId)) {
        if let Some(named) = &self.named {
            return named.iter().copied().for_each(look);
        }
        let _: ControlFlow<()> = self.each_block(|from, block| {
            for (word, at) in block.iter().zip(from..) {
                each_bit(at, *word, &mut look);
            }
            ControlFlow::Continue(())
        });
    }

    /// Those of the sets, where they are few: then they are at most [`MEASURED_ALL`].
    fn few(&self) -> Option<FewStores> {
        let mut few = FewStores {
            stores: [StoreId(0); MEASURED_ALL],
            count: 0,
        };
        let whole = self.each_block(|from, block| {
            // Where many are left, one word shows it.
            if block[0].count_ones() > MANY_OF_A_WORD {
                return ControlFlow::Break(());
            }
            // Which words have any: where few are left, most have none or one, and asking each in turn is guessed wrong.
            let any = block.iter().zip(0u32..);
            let mut any = any.fold(0u32, |any, (word, at)| any | u32::from(*word != 0) << at);
            while any != 0 {
                let at = any.trailing_zeros() as usize;
                any &= any - 1;
                let mut word = block[at];
                while word != 0 {
                    let Some(place) = few.stores.get_mut(few.count) else {
                        return ControlFlow::Break(());
                    };
                    *place = StoreId((from + at) as u32 * u64::BITS + word.trailing_zeros());
                    few.count += 1;
                    word &= word - 1;
                }
            }
            ControlFlow::Continue(())
        });
        whole.is_continue().then_some(few)
    }
}

/// Stores that are all measured.
struct FewStores {
    stores: [StoreId; MEASURED_ALL],
    count: usize,
}

/// The stores of the word with number `at`.
#[inline]
fn each_bit(at: usize, mut word: u64, mut look: impl FnMut(StoreId)) {
    while word != 0 {
        look(StoreId(at as u32 * u64::BITS + word.trailing_zeros()));
        word &= word - 1;
    }
}

/// Whether a store is in all of some sets.
#[inline]
fn in_all(sets: &[&[u64]], store: StoreId) -> bool {
    let (word, bit) = (store.0 as usize / 64, store.0 % 64);
    let holds = |set: &&[u64]| set.get(word).is_some_and(|word| word >> bit & 1 == 1);
    sets.iter().all(holds)
}

/// A candidate and how far it is, by chord.
#[derive(Clone, Copy, Debug)]
struct Measured {
    squared_chord: f64,
    store: StoreId,
}

/// The best so far: at most `count` that were accepted, and those too near to the last of them to be told apart by chords.
struct Best {
    count: usize,
    /// Sorted by chord.
    found: SmallVec<[Measured; 8]>,
    /// Chord that a store must not exceed to be among the best.
    reach: f64,
    /// Its square.
    squared_reach: f64,
}

impl Best {
    fn none(count: usize, limit_mm: u64) -> Best {
        let limit = chord_limit(limit_mm);
        Best {
            count,
            found: SmallVec::new(),
            reach: limit,
            squared_reach: limit * limit,
        }
    }

    fn add(&mut self, measured: Measured) {
        let chord = measured.squared_chord;
        let at = self.found.partition_point(|m| m.squared_chord <= chord);
        self.found.insert(at, measured);
        let Some(last) = self.found.get(self.count - 1) else {
            return;
        };
        let chord = last.squared_chord.sqrt();
        if chord >= CHORD_RELIABLE {
            return;
        }
        self.reach = self.reach.min(chord + CHORD_MARGIN);
        self.squared_reach = self.reach * self.reach;
        while self
            .found
            .last()
            .is_some_and(|last| last.squared_chord > self.squared_reach)
        {
            self.found.pop();
        }
    }
}

/// One search on its way.
struct Search<'a, A> {
    index: &'a StoreIndex,
    from: &'a Spot,
    best: Best,
    accept: A,
}

impl<A: FnMut(StoreId) -> bool> Search<'_, A> {
    fn consider(&mut self, store: StoreId) {
        let squared_chord = self.index.squared_chord(self.from, store);
        self.weigh(store, squared_chord);
    }

    /// A store that does not exist is no number away: it is never near enough.
    fn weigh(&mut self, store: StoreId, squared_chord: f64) {
        if squared_chord <= self.best.squared_reach && (self.accept)(store) {
            self.best.add(Measured {
                squared_chord,
                store,
            });
        }
    }

    /// Considers some stores but those of `also`. They are measured before any is chosen, and the nearest comes first: then
    /// mostly no other has to be looked at.
    fn consider_all(&mut self, stores: &[StoreId], also: &[StoreId]) {
        for stores in stores.chunks(MEASURED_ALL) {
            let mut chords = [f64::INFINITY; MEASURED_ALL];
            let (mut nearest, mut least) = (0, f64::INFINITY);
            for (at, (chord, store)) in chords.iter_mut().zip(stores).enumerate() {
                *chord = self.index.squared_chord(self.from, *store);
                if *chord < least {
                    (nearest, least) = (at, *chord);
                }
            }
            let others = (0..stores.len()).filter(|at| *at != nearest);
            for at in std::iter::once(nearest).chain(others) {
                let (store, chord) = (stores[at], chords[at]);
                if chord <= self.best.squared_reach && !also.contains(&store) {
                    self.weigh(store, chord);
                }
            }
        }
    }

    /// Walks a cell's list; false where the best may not be on it.
    fn walk(&mut self, list: &CellList, candidates: &Candidates<'_>) -> bool {
        let off_centre = self.from.squared_chord(&list.centre).sqrt() + CHORD_MARGIN;
        let (sets, also) = (&candidates.sets[..], &candidates.also[..]);
        for listed in &list.stores {
            if f64::from(listed.chord) - off_centre > self.best.reach {
                return true;
            }
            if in_all(sets, listed.store) && !also.contains(&listed.store) {
                self.consider(listed.store);
            }
        }
        !list.cut
    }

    /// Great-circle distances decide among those whose chords are near.
    fn decided(self, limit_mm: u64) -> SmallVec<[Near; 4]> {
        let mut stores: SmallVec<[(Near, usize); 4]> = SmallVec::new();
        for Measured { store, .. } in self.best.found {
            let Some(at) = self.index.position(store) else {
                continue;
            };
            let (id, spot, _) = self.index.at(at);
            let distance_mm = self.from.distance_mm(spot);
            if distance_mm <= limit_mm {
                stores.push((Near { id, distance_mm }, at));
            }
        }
        if stores.len() > 1 {
            let name = |at: usize| &self.index.at(at).2.store_id;
            stores.sort_by(|(a, at_a), (b, at_b)| {
                let by_distance = a.distance_mm.cmp(&b.distance_mm);
                by_distance.then_with(|| compare_external(name(*at_a), name(*at_b)))
            });
        }
        let count = self.best.count;
        stores
            .into_iter()
            .take(count)
            .map(|(near, _)| near)
            .collect()
    }
}

/// The `count` nearest of `candidates` within `limit_mm` of `origin` for which `accept` says yes, nearest first, ties by
/// retailer id. `accept` may be asked twice about a store.
pub fn nearest(
    index: &StoreIndex,
    origin: &Spot,
    limit_mm: u64,
    candidates: &Candidates<'_>,
    count: usize,
    accept: impl FnMut(StoreId) -> bool,
) -> SmallVec<[Near; 4]> {
    let gathered;
    let few: Option<&[StoreId]> = match &candidates.named {
        Some(named) => Some(named),
        None => {
            gathered = candidates.few();
            gathered.as_ref().map(|few| &few.stores[..few.count])
        }
    };
    let nobody = few.is_some_and(|few| few.is_empty()) && candidates.also.is_empty();
    if count == 0 || nobody {
        return SmallVec::new();
    }
    let mut search = Search {
        index,
        from: origin,
        best: Best::none(count, limit_mm),
        accept,
    };
    let others = |store: &StoreId| !candidates.also.contains(store);
    for store in &candidates.also {
        search.consider(*store);
    }
    if let Some(few) = few {
        search.consider_all(few, &candidates.also);
        return search.decided(limit_mm);
    }
    let walked = index
        .lists()
        .look(index, origin, |list| search.walk(list, candidates));
    if walked != Some(true) {
        search.best = Best::none(count, limit_mm);
        for store in &candidates.also {
            search.consider(*store);
        }
        candidates.for_each(|store| {
            if others(&store) {
                search.consider(store);
            }
        });
    }
    search.decided(limit_mm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo_index::tests::{latitude, longitude, store};
    use crate::geo_index::{distance_mm, limit_mm};
    use proptest::prelude::*;

    /// Every second store stands where the one before does: ties.
    fn index(places: &[(f64, f64)]) -> StoreIndex {
        StoreIndex::build((0..places.len()).map(|i| {
            let (lat, lon) = places[if i % 3 == 2 { i - 1 } else { i }];
            store(i as u32, lat, lon)
        }))
    }

    fn check(
        index: &StoreIndex,
        candidates: &Candidates<'_>,
        accepted: &[bool],
        origin: Point<f64>,
        limit: u64,
        k: usize,
    ) {
        let found = nearest(index, &Spot::new(origin), limit, candidates, k, |id| {
            accepted[id.0 as usize]
        });
        let found: Vec<_> = found.iter().map(|n| (n.distance_mm, n.id.0)).collect();
        let is_candidate = |n: u32| {
            let in_set = |set: &&[u64]| {
                set.get(n as usize / 64)
                    .is_some_and(|w| w >> (n % 64) & 1 == 1)
            };
            let one_of_them = match &candidates.named {
                Some(named) => named.contains(&StoreId(n)),
                None => candidates.sets.iter().all(in_set),
            };
            one_of_them || candidates.also.contains(&StoreId(n))
        };
        let mut naive: Vec<_> = (0..index.len() as u32)
            .filter(|n| accepted[*n as usize] && is_candidate(*n))
            .map(|n| {
                let store = index.store(StoreId(n)).expect("a store");
                (distance_mm(origin, store.location), n)
            })
            .filter(|(d, _)| *d <= limit)
            .collect();
        naive.sort_unstable();
        naive.truncate(k);
        assert_eq!(found, naive, "from {origin:?} within {limit} mm");
    }

    proptest! {
        #[test]
        fn the_nearest_equal_a_full_search(
            places in prop::collection::vec((latitude(), longitude()), 1..150),
            lat in latitude(), lon in longitude(),
            limit in prop_oneof![Just(u64::MAX), (0.0..21_000_000.0f64).prop_map(limit_mm), (0.0..100_000.0f64).prop_map(limit_mm)],
            sets in prop::collection::vec(prop::collection::vec(prop_oneof![Just(u64::MAX), any::<u64>()], 2..4), 1..4),
            named in prop::option::of(prop::collection::btree_set(0u32..150, 0..20)),
            also in prop::collection::btree_set(0u32..150, 0..3),
            accepted in prop::collection::vec(any::<bool>(), 150),
            k in 1usize..6,
        ) {
            // Bits of stores that do not exist are passed over.
            let candidates = Candidates {
                sets: sets.iter().map(Vec::as_slice).collect(),
                named: named.map(|named| named.into_iter().map(StoreId).collect()),
                also: also.into_iter().map(StoreId).collect(),
            };
            check(&index(&places), &candidates, &accepted, Point::new(lon, lat), limit, k);
        }

        // Dense enough that lists are cut and walks reach their ends.
        #[test]
        fn lists_that_are_cut_lose_nothing(seed in any::<u64>(), lat in 36.0..47.0f64, lon in 6.6..18.5f64, far in any::<bool>(), rare in 1u64..40) {
            let mut draw = seed;
            let mut next = |bound: u64| {
                draw = draw.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (draw >> 33) % bound
            };
            let places: Vec<_> = (0..1500)
                .map(|_| (36.0 + next(11_000) as f64 / 1e3, 6.6 + next(11_900) as f64 / 1e3))
                .collect();
            let accepted: Vec<_> = (0..1500).map(|_| next(rare) == 0).collect();
            let origin = if far { Point::new(-lon, -lat) } else { Point::new(lon, lat) };
            let all = [u64::MAX; 24];
            check(&index(&places), &Candidates::from(&all[..]), &accepted, origin, u64::MAX, 3);
        }
    }

    #[test]
    fn a_list_is_made_once_for_each_cell() {
        let places: Vec<_> = (0..100)
            .map(|i| (40.0 + f64::from(i) / 50.0, 12.0))
            .collect();
        let index = index(&places);
        let ask = |lat, lon| {
            check(
                &index,
                &Candidates::from(&[u64::MAX; 2][..]),
                &[true; 100],
                Point::new(lon, lat),
                u64::MAX,
                1,
            )
        };
        ask(41.01, 12.01);
        ask(41.02, 12.02);
        assert_eq!(index.lists().len(), 1);
        ask(41.02, -12.02);
        assert_eq!(index.lists().len(), 2);
    }
}
