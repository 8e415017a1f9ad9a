//! Where the stores are: their places on the unit sphere and, a bit each, which of them take orders. The great-circle
//! distance in whole millimetres is defined here; finding the nearest is [`crate::nearest`]'s.

use std::sync::Arc;

use geo::Point;

use crate::catalog::{Store, StoreState};
use crate::ids::StoreId;
use crate::location_terms::Method;
use crate::nearest::CellLists;

/// Mean earth radius in kilometres (IUGG R1 = (2a + b) / 3 of GRS 80).
pub const EARTH_RADIUS_KM: f64 = 6371.0088;

/// A point, with what every distance from it needs.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// Radians.
    latitude: f64,
    /// Radians.
    longitude: f64,
    cos_latitude: f64,
    /// The point on the unit sphere.
    unit: [f64; 3],
}

impl Spot {
    /// The spot of a point.
    pub fn new(point: Point<f64>) -> Self {
        let (latitude, longitude) = (point.y().to_radians(), point.x().to_radians());
        let (up, around) = libm::sincos(latitude);
        let (east, north) = libm::sincos(longitude);
        Spot {
            latitude,
            longitude,
            cos_latitude: around,
            unit: [around * north, around * east, up],
        }
    }

    /// The point, in degrees, but for rounding.
    pub(crate) fn point(&self) -> Point<f64> {
        Point::new(self.longitude.to_degrees(), self.latitude.to_degrees())
    }

    /// Great-circle distance in whole millimetres: haversine in f64 on the mean radius, halves up. `libm` and this order of
    /// operations, so that every machine gets the same millimetre.
    pub fn distance_mm(&self, to: &Spot) -> u64 {
        let half_lat = libm::sin((to.latitude - self.latitude) / 2.0);
        let half_lon = libm::sin((to.longitude - self.longitude) / 2.0);
        let h = half_lat * half_lat + self.cos_latitude * to.cos_latitude * (half_lon * half_lon);
        let km = 2.0 * EARTH_RADIUS_KM * libm::asin(f64::min(1.0, h.sqrt()));
        libm::floor(km * 1e6 + 0.5) as u64
    }

    /// Square of the straight line between two spots, in radii.
    pub(crate) fn squared_chord(&self, to: &Spot) -> f64 {
        self.squared_chord_to(&to.unit)
    }

    fn squared_chord_to(&self, b: &[f64; 3]) -> f64 {
        let a = &self.unit;
        let (x, y, z) = (a[0] - b[0], a[1] - b[1], a[2] - b[2]);
        x * x + y * y + z * z
    }
}

/// Great-circle distance in whole millimetres; see [`Spot::distance_mm`].
pub fn distance_mm(a: Point<f64>, b: Point<f64>) -> u64 {
    Spot::new(a).distance_mm(&Spot::new(b))
}

/// A distance limit in metres as the inclusive limit in millimetres.
pub fn limit_mm(meters: f64) -> u64 {
    libm::floor(meters * 1e3 + 0.5) as u64
}

#[derive(Clone, Debug)]
struct Entry {
    spot: Spot,
    store: Arc<Store>,
    id: StoreId,
}

/// All stores, ready to be searched by distance. Immutable; a change makes a new one.
#[derive(Clone, Debug, Default)]
pub struct StoreIndex {
    /// Sorted by number.
    entries: Vec<Entry>,
    /// The points on the unit sphere again, by number, close together; not a number where there is no store.
    units: Box<[[f64; 3]]>,
    /// Kept as long as no store is added or moves.
    lists: Arc<CellLists>,
    /// A bit for each store, by number.
    all: Box<[u64]>,
    /// Those of them that are neither paused nor closed and serve so, by method.
    serving: [Box<[u64]>; 4],
}

/// A store and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Near {
    /// Its number.
    pub id: StoreId,
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
        let mut units = vec![[f64::NAN; 3]; words * 64].into_boxed_slice();
        for entry in &entries {
            units[entry.id.0 as usize] = entry.spot.unit;
        }
        let all = bits(&|_| true);
        let serving = Method::ALL.map(|method| {
            bits(&|store| store.state == StoreState::Open && store.location_terms.serves(method))
        });
        StoreIndex {
            entries,
            units,
            lists,
            all,
            serving,
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

    /// Stores that are neither paused nor closed for good and serve online orders so, likewise.
    pub fn serving(&self, method: Method) -> &[u64] {
        &self.serving[method as usize]
    }

    /// A store.
    pub fn store(&self, id: StoreId) -> Option<&Arc<Store>> {
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

    pub(crate) fn at(&self, at: usize) -> (StoreId, &Spot, &Arc<Store>) {
        let entry = &self.entries[at];
        (entry.id, &entry.spot, &entry.store)
    }

    /// Stores with their spots, by number.
    pub(crate) fn spots(&self) -> impl Iterator<Item = (StoreId, &Spot)> {
        self.entries.iter().map(|entry| (entry.id, &entry.spot))
    }

    /// Square of the straight line to a store, in radii; not a number where there is none.
    #[inline]
    pub(crate) fn squared_chord(&self, from: &Spot, id: StoreId) -> f64 {
        let unit = self.units.get(id.0 as usize);
        unit.map_or(f64::NAN, |unit| from.squared_chord_to(unit))
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
    pub fn near(&self, origin: &Spot, id: StoreId) -> Option<Near> {
        let (id, spot, _) = self.at(self.position(id)?);
        let distance_mm = origin.distance_mm(spot);
        Some(Near { id, distance_mm })
    }
}

fn entry(id: StoreId, store: Arc<Store>) -> Entry {
    Entry {
        spot: Spot::new(store.location),
        store,
        id,
    }
}

/// A chord, in radii, that nothing within a limit is beyond: no chord is longer than its arc.
pub(crate) fn chord_limit(limit_mm: u64) -> f64 {
    let arc = (limit_mm as f64 + 1000.0) / (EARTH_RADIUS_KM * 1e6);
    if arc < 2.0 { arc } else { f64::INFINITY }
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
            travel_zone: "".into(),
            country: "".into(),
            patience: Default::default(),
            version: crate::ids::Sequence(1),
            location_terms: Arc::default(),
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
