//! Stores by distance. Squared chords of the unit sphere order the stores cheaply; the great-circle distance in whole
//! millimetres decides. Chords may only prune, with a margin: their rounding must never choose a store.

use std::collections::BinaryHeap;
use std::sync::Arc;

use geo::Point;

use crate::catalog::Store;
use crate::ids::{StoreId, compare_external};

/// Mean earth radius in kilometres (IUGG R1 = (2a + b) / 3 of GRS 80).
pub const EARTH_RADIUS_KM: f64 = 6371.0088;

/// Great-circle distance in whole millimetres: haversine in f64 on the mean radius, halves up. `libm` and this order of
/// operations, so that every machine gets the same millimetre.
pub fn distance_mm(a: Point<f64>, b: Point<f64>) -> u64 {
    let (lat1, lat2) = (a.y().to_radians(), b.y().to_radians());
    let half_lat = libm::sin((lat2 - lat1) / 2.0);
    let half_lon = libm::sin((b.x().to_radians() - a.x().to_radians()) / 2.0);
    let h = half_lat * half_lat + libm::cos(lat1) * libm::cos(lat2) * (half_lon * half_lon);
    let km = 2.0 * EARTH_RADIUS_KM * libm::asin(f64::min(1.0, libm::sqrt(h)));
    libm::floor(km * 1e6 + 0.5) as u64
}

/// A distance limit in metres as the inclusive limit in millimetres.
pub fn limit_mm(meters: f64) -> u64 {
    libm::floor(meters * 1e3 + 0.5) as u64
}

#[derive(Clone, Debug)]
struct Entry {
    id: StoreId,
    unit: [f64; 3],
    store: Arc<Store>,
}

/// All stores, ready to be walked by distance. Immutable; a change makes a new one.
#[derive(Clone, Debug, Default)]
pub struct StoreIndex {
    /// Sorted by number.
    entries: Vec<Entry>,
}

/// A store met on the walk.
#[derive(Clone, Debug)]
pub struct Near {
    /// Its number.
    pub id: StoreId,
    /// The store.
    pub store: Arc<Store>,
    /// Distance in millimetres.
    pub distance_mm: u64,
}

impl StoreIndex {
    /// An index of these stores.
    pub fn build(stores: impl IntoIterator<Item = (StoreId, Arc<Store>)>) -> Self {
        let mut entries: Vec<Entry> = stores
            .into_iter()
            .map(|(id, store)| entry(id, store))
            .collect();
        entries.sort_unstable_by_key(|e| e.id);
        StoreIndex { entries }
    }

    /// This index with some stores put.
    pub fn with(&self, put: impl IntoIterator<Item = (StoreId, Arc<Store>)>) -> Self {
        let mut entries = self.entries.clone();
        for (id, store) in put {
            match entries.binary_search_by_key(&id, |e| e.id) {
                Ok(at) => entries[at] = entry(id, store),
                Err(at) => entries.insert(at, entry(id, store)),
            }
        }
        StoreIndex { entries }
    }

    /// Stores within `limit_mm` of `origin`, nearest first, ties by retailer id. Lazy: the work is linear in the number
    /// of stores once, then logarithmic per store taken.
    pub fn walk(&self, origin: Point<f64>, limit_mm: u64) -> Walk<'_> {
        let from = unit_vector(origin);
        let reach = squared_chord_limit(limit_mm);
        let heap: Vec<ByChord> = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(at, e)| {
                let chord2 = squared_chord(&from, &e.unit);
                (chord2 <= reach).then_some(ByChord {
                    chord2,
                    at: at as u32,
                })
            })
            .collect();
        Walk {
            index: self,
            origin,
            limit_mm,
            heap: BinaryHeap::from(heap),
            pending: Vec::new(),
        }
    }

    /// One store's distance.
    pub fn near(&self, origin: Point<f64>, id: StoreId) -> Option<Near> {
        let at = self.entries.binary_search_by_key(&id, |e| e.id).ok()?;
        Some(self.near_at(origin, at))
    }

    fn near_at(&self, origin: Point<f64>, at: usize) -> Near {
        let e = &self.entries[at];
        Near {
            id: e.id,
            store: Arc::clone(&e.store),
            distance_mm: distance_mm(origin, e.store.location),
        }
    }
}

fn entry(id: StoreId, store: Arc<Store>) -> Entry {
    Entry {
        id,
        unit: unit_vector(store.location),
        store,
    }
}

fn unit_vector(p: Point<f64>) -> [f64; 3] {
    let (lat, lon) = (p.y().to_radians(), p.x().to_radians());
    let around = libm::cos(lat);
    [
        around * libm::cos(lon),
        around * libm::sin(lon),
        libm::sin(lat),
    ]
}

fn squared_chord(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    let (x, y, z) = (a[0] - b[0], a[1] - b[1], a[2] - b[2]);
    x * x + y * y + z * z
}

/// Millimetres by which a distance read off a chord may be wrong: rounding of the unit vectors is some nanometres, but
/// towards the antipode arcsine multiplies it up to a decimetre.
fn margin_mm(chord2: f64) -> f64 {
    if chord2 > 3.99 { 1000.0 } else { 1.0 }
}

fn chord_distance_mm(chord2: f64) -> f64 {
    2.0 * EARTH_RADIUS_KM * 1e6 * libm::asin(f64::min(1.0, libm::sqrt(chord2) / 2.0))
}

fn squared_chord_limit(limit_mm: u64) -> f64 {
    let angle = (limit_mm as f64 + 1000.0) / (EARTH_RADIUS_KM * 1e6);
    if angle >= std::f64::consts::PI {
        return f64::INFINITY;
    }
    let chord = 2.0 * libm::sin(angle / 2.0);
    chord * chord + 1e-14
}

#[derive(Clone, Copy, Debug)]
struct ByChord {
    chord2: f64,
    at: u32,
}

// The heap's greatest is the nearest.
impl Ord for ByChord {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other
            .chord2
            .total_cmp(&self.chord2)
            .then_with(|| other.at.cmp(&self.at))
    }
}
impl PartialOrd for ByChord {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for ByChord {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for ByChord {}

/// The walk; see [`StoreIndex::walk`].
#[derive(Debug)]
pub struct Walk<'a> {
    index: &'a StoreIndex,
    origin: Point<f64>,
    limit_mm: u64,
    heap: BinaryHeap<ByChord>,
    /// Stores whose exact distance is known, farthest first, until nothing nearer can come out of the heap.
    pending: Vec<Near>,
}

impl Iterator for Walk<'_> {
    type Item = Near;

    fn next(&mut self) -> Option<Near> {
        loop {
            let next_may_be = self
                .heap
                .peek()
                .map(|c| chord_distance_mm(c.chord2) - margin_mm(c.chord2));
            match (self.pending.last(), next_may_be) {
                (None, None) => return None,
                (Some(known), Some(bound)) if (known.distance_mm as f64) < bound => {
                    return self.pending.pop();
                }
                (Some(_), None) => return self.pending.pop(),
                _ => {
                    let Some(candidate) = self.heap.pop() else {
                        continue;
                    };
                    let near = self.index.near_at(self.origin, candidate.at as usize);
                    if near.distance_mm <= self.limit_mm {
                        let farther = |other: &Near| {
                            let by_distance = other.distance_mm.cmp(&near.distance_mm);
                            by_distance
                                .then_with(|| {
                                    compare_external(&other.store.store_id, &near.store.store_id)
                                })
                                .is_gt()
                        };
                        let at = self.pending.partition_point(farther);
                        self.pending.insert(at, near);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use geo::{Distance, Haversine};
    use proptest::prelude::*;

    fn store(id: u32, lat: f64, lon: f64) -> (StoreId, Arc<Store>) {
        let store = Store {
            store_id: id.to_string().into(),
            display_name: "".into(),
            location: Point::new(lon, lat),
            time_zone: jiff::tz::TimeZone::UTC,
            opening: Vec::new(),
            state: crate::catalog::StoreState::Open,
            town: "".into(),
            province: "".into(),
            country: "".into(),
            version: crate::ids::Sequence(1),
        };
        (StoreId(id), Arc::new(store))
    }

    #[test]
    fn distances_equal_known_ones() {
        let check = |a: (f64, f64), b: (f64, f64), expect: u64| {
            assert_eq!(
                distance_mm(Point::new(a.1, a.0), Point::new(b.1, b.0)),
                expect,
                "{a:?} {b:?}"
            );
        };
        check((0.0, 0.0), (0.0, 0.0), 0);
        // A quarter of the equator, and half of it: the antipode must not be NaN.
        check((0.0, 0.0), (0.0, 90.0), 10_007_557_221);
        check((0.0, 0.0), (0.0, 180.0), 20_015_114_442);
        check((90.0, 13.0), (-90.0, -77.0), 20_015_114_442);
        check(
            (10.0, 179.9999),
            (10.0, -179.9999),
            distance_mm(Point::new(0.0, 10.0), Point::new(0.0002, 10.0)),
        );
    }

    // Places where geometry goes wrong are as likely as ordinary ones.
    fn latitude() -> impl Strategy<Value = f64> {
        prop_oneof![
            -90.0..=90.0f64,
            Just(90.0),
            Just(-90.0),
            Just(0.0),
            (-900i32..=900).prop_map(|d| f64::from(d) / 10.0)
        ]
    }
    fn longitude() -> impl Strategy<Value = f64> {
        prop_oneof![
            -180.0..=180.0f64,
            Just(180.0),
            Just(-180.0),
            179.99..180.0f64,
            -180.0..-179.99f64,
            (-90i32..90).prop_map(|d| f64::from(d) * 2.0)
        ]
    }

    proptest! {
        #[test]
        fn the_walk_equals_sorting_all_stores(
            places in prop::collection::vec((latitude(), longitude()), 1..60),
            lat in latitude(), lon in longitude(),
            limit in prop_oneof![0.0..21_000_000.0f64, 0.0..100_000.0f64],
        ) {
            // Every third store stands where the one before does: ties.
            let stores: Vec<_> = places.iter().enumerate().map(|(i, _)| {
                let (lat, lon) = places[if i % 3 == 2 { i - 1 } else { i }];
                store(i as u32, lat, lon)
            }).collect();
            let origin = Point::new(lon, lat);
            let index = StoreIndex::build(stores.clone());
            let walked: Vec<_> = index.walk(origin, limit_mm(limit)).map(|n| (n.distance_mm, n.id.0)).collect();
            let mut naive: Vec<_> = stores.iter().map(|(id, s)| (distance_mm(origin, s.location), id.0)).filter(|(d, _)| *d <= limit_mm(limit)).collect();
            naive.sort_unstable();
            prop_assert_eq!(walked, naive);
        }

        #[test]
        fn the_distance_agrees_with_an_independent_one(a in (latitude(), longitude()), b in (latitude(), longitude())) {
            let (a, b) = (Point::new(a.1, a.0), Point::new(b.1, b.0));
            let other = Haversine.distance(a, b);
            // The independent one has no guard at the antipode.
            prop_assume!(other.is_finite());
            prop_assert!((distance_mm(a, b) as f64 / 1e3 - other).abs() <= 0.001 + 1e-9 * other, "{} {}", distance_mm(a, b), other);
        }
    }
}
