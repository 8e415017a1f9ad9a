//! The nearest of some stores, exactly. The stores that may be chosen come as a bitset over store numbers. Where few are
//! left, their distances are computed; else the list of the query's grid cell is walked, which is sorted by the distance
//! from the cell's centre, until nothing later on it can be nearer.
//!
//! Chords of the unit sphere prune and never decide: a chord is a distance in space, so the triangle inequality holds for
//! it, whatever the place; the great-circle distance in whole millimetres and the retailer's id decide.

use std::sync::Arc;

use dashmap::DashMap;
use geo::Point;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;

use crate::geo_index::{Near, StoreIndex, squared_chord, squared_chord_limit, unit_vector};
use crate::ids::{StoreId, compare_external};

/// Up to so many candidates are measured one by one: cheaper than walking past the stores that are none.
const MEASURED_ALL: usize = 48;
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
    /// Position in the index.
    at: u32,
    /// Chord from the cell's centre, rounded down.
    chord: f32,
}

/// The list of a cell.
#[derive(Debug)]
struct CellList {
    centre: [f64; 3],
    /// Nearest first.
    stores: Box<[Listed]>,
    /// Not all stores are on it.
    cut: bool,
}

/// Lists of the cells that were asked for, made on first use. They hold as long as no store moves.
#[derive(Default)]
pub struct CellLists(DashMap<(i16, i16), Arc<CellList>, FxBuildHasher>);

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

    fn of(&self, index: &StoreIndex, origin: Point<f64>) -> Option<Arc<CellList>> {
        let number = |degrees: f64| libm::floor(degrees * CELLS_PER_DEGREE) as i16;
        let cell = (number(origin.y()), number(origin.x()));
        if let Some(list) = self.0.get(&cell) {
            return Some(Arc::clone(&list));
        }
        // The bound is soft: callers that make lists at the same time may each add one.
        if self.0.len() >= CELLS_MAX {
            return None;
        }
        let middle = |number: i16| (f64::from(number) + 0.5) / CELLS_PER_DEGREE;
        let centre = unit_vector(Point::new(middle(cell.1), middle(cell.0)));
        let list = Arc::new(CellList::build(index, centre));
        self.0.insert(cell, Arc::clone(&list));
        Some(list)
    }
}

impl CellList {
    fn build(index: &StoreIndex, centre: [f64; 3]) -> CellList {
        let mut stores: Vec<Listed> = (0..index.len())
            .map(|at| {
                let chord = libm::sqrt(squared_chord(&centre, index.unit(at)));
                Listed {
                    at: at as u32,
                    chord: below(chord),
                }
            })
            .collect();
        let nearer = |a: &Listed, b: &Listed| a.chord.total_cmp(&b.chord).then(a.at.cmp(&b.at));
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

/// Stores that may be chosen, one bit each.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a>(pub &'a [u64]);

impl Candidates<'_> {
    fn has(self, number: u32) -> bool {
        self.0
            .get(number as usize / 64)
            .is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Their numbers, ascending.
    pub fn numbers(self) -> impl Iterator<Item = u32> {
        self.0.iter().zip(0u32..).flat_map(|(word, at)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(at * 64 + bit)
            })
        })
    }
}

/// A candidate with its chord.
#[derive(Clone, Copy, Debug)]
struct Measured {
    chord: f64,
    at: u32,
}

/// The best so far: at most `k` that were accepted, and those too near to the last of them to be told apart by chords.
struct Best {
    k: usize,
    /// Sorted by chord.
    found: SmallVec<[Measured; 16]>,
}

impl Best {
    /// Chord that a store must not exceed to be among the best.
    fn reach(&self) -> f64 {
        match self.found.get(self.k.wrapping_sub(1)) {
            Some(last) if last.chord < CHORD_RELIABLE => last.chord + CHORD_MARGIN,
            _ => f64::INFINITY,
        }
    }

    fn add(&mut self, measured: Measured) {
        let at = self.found.partition_point(|m| m.chord <= measured.chord);
        self.found.insert(at, measured);
        let reach = self.reach();
        while self.found.last().is_some_and(|last| last.chord > reach) {
            self.found.pop();
        }
    }
}

/// The `k` nearest of `candidates` within `limit_mm` of `origin` for which `accept` says yes, nearest first, ties by
/// retailer id. `accept` may be asked twice about a store.
pub fn nearest(
    index: &StoreIndex,
    origin: Point<f64>,
    limit_mm: u64,
    candidates: Candidates<'_>,
    k: usize,
    mut accept: impl FnMut(StoreId) -> bool,
) -> SmallVec<[Near; 4]> {
    if k == 0 {
        return SmallVec::new();
    }
    let from = unit_vector(origin);
    let limit = libm::sqrt(squared_chord_limit(limit_mm));
    let mut best = Best {
        k,
        found: SmallVec::new(),
    };
    let mut consider = |best: &mut Best, measured: Measured| {
        if measured.chord <= limit
            && measured.chord <= best.reach()
            && accept(index.id(measured.at as usize))
        {
            best.add(measured);
        }
    };
    let measure = |at: u32| Measured {
        chord: libm::sqrt(squared_chord(&from, index.unit(at as usize))),
        at,
    };
    let list = (candidates.count() > MEASURED_ALL)
        .then(|| index.lists().of(index, origin))
        .flatten();
    let walked = list.is_some_and(|list| {
        let off_centre = libm::sqrt(squared_chord(&from, &list.centre));
        for listed in &list.stores {
            let nearest_possible = f64::from(listed.chord) - off_centre - CHORD_MARGIN;
            if nearest_possible > best.reach().min(limit) {
                return true;
            }
            if candidates.has(index.id(listed.at as usize).0) {
                consider(&mut best, measure(listed.at));
            }
        }
        !list.cut
    });
    if !walked {
        best.found.clear();
        let mut all: SmallVec<[Measured; MEASURED_ALL]> = candidates
            .numbers()
            .filter_map(|number| index.position(StoreId(number)))
            .map(|at| measure(at as u32))
            .collect();
        all.sort_unstable_by(|a, b| a.chord.total_cmp(&b.chord).then(a.at.cmp(&b.at)));
        for measured in all {
            if measured.chord > best.reach() {
                break;
            }
            consider(&mut best, measured);
        }
    }
    exact(index, origin, limit_mm, k, &best)
}

/// Great-circle distances decide among those whose chords are near.
fn exact(
    index: &StoreIndex,
    origin: Point<f64>,
    limit_mm: u64,
    k: usize,
    best: &Best,
) -> SmallVec<[Near; 4]> {
    let mut stores: SmallVec<[Near; 4]> = best
        .found
        .iter()
        .map(|m| index.near_at(origin, m.at as usize))
        .filter(|near| near.distance_mm <= limit_mm)
        .collect();
    stores.sort_by(|a, b| {
        a.distance_mm
            .cmp(&b.distance_mm)
            .then_with(|| compare_external(&a.store.store_id, &b.store.store_id))
    });
    stores.truncate(k);
    stores
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
        candidates: &[u64],
        accepted: &[bool],
        origin: Point<f64>,
        limit: u64,
        k: usize,
    ) {
        let found = nearest(index, origin, limit, Candidates(candidates), k, |id| {
            accepted[id.0 as usize]
        });
        let found: Vec<_> = found.iter().map(|n| (n.distance_mm, n.id.0)).collect();
        let mut naive: Vec<_> = Candidates(candidates)
            .numbers()
            .filter(|n| accepted[*n as usize])
            .map(|n| {
                let at = index.position(StoreId(n)).expect("a store");
                (index.near_at(origin, at).distance_mm, n)
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
            bits in prop::collection::vec(any::<u64>(), 3),
            all in any::<bool>(),
            accepted in prop::collection::vec(any::<bool>(), 150),
            k in 1usize..6,
        ) {
            let mut bits = bits;
            for (word, bits) in bits.iter_mut().enumerate() {
                let last = places.len().saturating_sub(word * 64).min(64);
                let there = if last == 64 { u64::MAX } else { (1u64 << last) - 1 };
                *bits = if all { there } else { *bits & there };
            }
            check(&index(&places), &bits, &accepted, Point::new(lon, lat), limit, k);
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
            check(&index(&places), &[u64::MAX; 23], &accepted, origin, u64::MAX, 3);
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
                &[u64::MAX, (1 << 36) - 1],
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
        assert_eq!(distance_mm(Point::new(0.0, 0.0), Point::new(0.0, 0.0)), 0);
    }
}
