//! Where the stores are: their places on the unit sphere and, a bit each, which of them take orders. The great-circle
//! distance in whole millimetres is defined here; finding the nearest is [`crate::nearest`]'s.

use std::sync::Arc;

use geo::Point;

use crate::catalog::{Store, StoreState};
use crate::ids::StoreId;
use crate::nearest::CellLists;

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

/// All stores, ready to be searched by distance. Immutable; a change makes a new one.
#[derive(Clone, Debug, Default)]
pub struct StoreIndex {
    /// Sorted by number.
    entries: Vec<Entry>,
    /// Kept as long as no store is added or moves.
    lists: Arc<CellLists>,
    /// A bit for each store, by number.
    all: Box<[u64]>,
    /// Those of them that are neither paused nor closed.
    open: Box<[u64]>,
}

/// A store and how far it is.
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
        StoreIndex::of(entries, Arc::default())
    }

    fn of(entries: Vec<Entry>, lists: Arc<CellLists>) -> Self {
        let words = entries.last().map_or(0, |last| last.id.0 as usize / 64 + 1);
        let bits = |counts: &dyn Fn(&Store) -> bool| {
            let mut bits = vec![0u64; words].into_boxed_slice();
            for entry in entries.iter().filter(|e| counts(&e.store)) {
                bits[entry.id.0 as usize / 64] |= 1 << (entry.id.0 % 64);
            }
            bits
        };
        let (all, open) = (
            bits(&|_| true),
            bits(&|store| store.state == StoreState::Open),
        );
        StoreIndex {
            entries,
            lists,
            all,
            open,
        }
    }

    /// This index with some stores put.
    pub fn with(&self, put: impl IntoIterator<Item = (StoreId, Arc<Store>)>) -> Self {
        let mut entries = self.entries.clone();
        let mut same_places = true;
        for (id, store) in put {
            match entries.binary_search_by_key(&id, |e| e.id) {
                Ok(at) => {
                    same_places &= entries[at].store.location == store.location;
                    entries[at] = entry(id, store);
                }
                Err(at) => {
                    same_places = false;
                    entries.insert(at, entry(id, store));
                }
            }
        }
        let lists = if same_places {
            Arc::clone(&self.lists)
        } else {
            Arc::default()
        };
        StoreIndex::of(entries, lists)
    }

    /// All stores, a bit each by number.
    pub fn all(&self) -> &[u64] {
        &self.all
    }

    /// Stores that are neither paused nor closed for good, likewise.
    pub fn open(&self) -> &[u64] {
        &self.open
    }

    /// A store.
    pub(crate) fn store(&self, id: StoreId) -> Option<&Store> {
        Some(&self.entries[self.position(id)?].store)
    }

    /// How many stores there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn lists(&self) -> &CellLists {
        &self.lists
    }

    pub(crate) fn id(&self, at: usize) -> StoreId {
        self.entries[at].id
    }

    pub(crate) fn unit(&self, at: usize) -> &[f64; 3] {
        &self.entries[at].unit
    }

    /// Where a store stands here. Numbers are dense, so the place is nearly always the number.
    pub(crate) fn position(&self, id: StoreId) -> Option<usize> {
        let at = id.0 as usize;
        if self.entries.get(at).is_some_and(|e| e.id == id) {
            return Some(at);
        }
        self.entries.binary_search_by_key(&id, |e| e.id).ok()
    }

    /// One store's distance.
    pub fn near(&self, origin: Point<f64>, id: StoreId) -> Option<Near> {
        Some(self.near_at(origin, self.position(id)?))
    }

    pub(crate) fn near_at(&self, origin: Point<f64>, at: usize) -> Near {
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

pub(crate) fn unit_vector(p: Point<f64>) -> [f64; 3] {
    let (lat, lon) = (p.y().to_radians(), p.x().to_radians());
    let around = libm::cos(lat);
    [
        around * libm::cos(lon),
        around * libm::sin(lon),
        libm::sin(lat),
    ]
}

pub(crate) fn squared_chord(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    let (x, y, z) = (a[0] - b[0], a[1] - b[1], a[2] - b[2]);
    x * x + y * y + z * z
}

pub(crate) fn squared_chord_limit(limit_mm: u64) -> f64 {
    let angle = (limit_mm as f64 + 1000.0) / (EARTH_RADIUS_KM * 1e6);
    if angle >= std::f64::consts::PI {
        return f64::INFINITY;
    }
    let chord = 2.0 * libm::sin(angle / 2.0);
    chord * chord + 1e-14
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use geo::{Distance, Haversine};
    use proptest::prelude::*;

    pub(crate) fn store(id: u32, lat: f64, lon: f64) -> (StoreId, Arc<Store>) {
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
    pub(crate) fn latitude() -> impl Strategy<Value = f64> {
        prop_oneof![
            -90.0..=90.0f64,
            Just(90.0),
            Just(-90.0),
            Just(0.0),
            (-900i32..=900).prop_map(|d| f64::from(d) / 10.0)
        ]
    }
    pub(crate) fn longitude() -> impl Strategy<Value = f64> {
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
        fn the_distance_agrees_with_an_independent_one(a in (latitude(), longitude()), b in (latitude(), longitude())) {
            let (a, b) = (Point::new(a.1, a.0), Point::new(b.1, b.0));
            let other = Haversine.distance(a, b);
            // The independent one has no guard at the antipode.
            prop_assume!(other.is_finite());
            prop_assert!((distance_mm(a, b) as f64 / 1e3 - other).abs() <= 0.001 + 1e-9 * other, "{} {}", distance_mm(a, b), other);
        }
    }
}
