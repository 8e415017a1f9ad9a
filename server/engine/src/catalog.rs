//! Stores and products as the engine keeps them: checked, with retailer ids resolved to dense numbers.

use std::sync::Arc;

use geo::Point;
use jiff::{SignedDuration, civil, tz::TimeZone};

use crate::ids::Sequence;
use crate::location_terms::LocationTerms;
use crate::units::{Money, Time, Unit};

/// Dense number of a category path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CategoryId(pub u32);

/// Whether a store takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreState {
    /// Trades and fulfils orders.
    #[default]
    Open,
    /// Trades, fulfils no new orders.
    Paused,
    /// Does not trade.
    Closed,
}

/// One weekly opening interval, in the store's local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpeningInterval {
    /// Day it starts on: 1 Monday to 7 Sunday.
    pub iso_day: u8,
    /// Minutes after local midnight, 0 to 1439.
    pub open_minute: u16,
    /// Minutes after the same midnight, more than `open_minute`, at most 2880.
    pub close_minute: u16,
}

/// How long a store's orders may wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// Milliseconds of opening time the store has to acknowledge an order, counted from its next opening; `None`: for ever.
    pub acknowledge_ms: Option<i64>,
    /// Milliseconds that ready goods wait for the customer after their pickup window; `None`: for ever.
    pub no_show_ms: Option<i64>,
}

/// A store.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// The retailer's id.
    pub store_id: Arc<str>,
    /// Name for people.
    pub display_name: Arc<str>,
    /// Where it is: x longitude, y latitude, degrees WGS84.
    pub location: Point<f64>,
    /// Its IANA zone.
    pub time_zone: TimeZone,
    /// Weekly hours; empty: always open.
    pub opening: Vec<OpeningInterval>,
    /// Whether it takes part.
    pub state: StoreState,
    /// Town.
    pub town: Arc<str>,
    /// Province or region.
    pub province: Arc<str>,
    /// ISO country.
    pub country: Arc<str>,
    /// How long its orders may wait.
    pub patience: Patience,
    /// Where one gets to it from without crossing a strait, a lake or a border; empty: from everywhere.
    pub travel_zone: Arc<str>,
    /// Sequence of the last change.
    pub version: Sequence,
    /// What it does for orders.
    pub location_terms: Arc<LocationTerms>,
}

impl Store {
    /// Until when an order confirmed at `now` has to be acknowledged: the time runs only from when somebody is there.
    pub fn acknowledge_by(&self, now: Time) -> Option<Time> {
        let patience = self.patience.acknowledge_ms?;
        let opens = self
            .next_opening(now)
            .flatten()
            .map_or(now, |(open, _)| open);
        Some(opens.max(now).plus_ms(patience))
    }

    /// When ready goods are given up.
    pub fn no_show_at(&self, ready: Time, window: Option<(Time, Time)>) -> Option<Time> {
        let patience = self.patience.no_show_ms?;
        let until = window.map_or(ready, |(_, end)| end.max(ready));
        Some(until.plus_ms(patience))
    }

    /// The zone's IANA name.
    pub fn time_zone_name(&self) -> &str {
        self.time_zone.iana_name().unwrap_or("UTC")
    }

    /// Minutes after a local midnight as an instant.
    pub(crate) fn instant(&self, day: civil::Date, minute: u16) -> Option<Time> {
        let local = day
            .to_datetime(civil::Time::midnight())
            .checked_add(SignedDuration::from_mins(i64::from(minute)))
            .ok()?;
        Some(Time(
            self.time_zone.to_timestamp(local).ok()?.as_millisecond(),
        ))
    }
}

/// A product.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// The retailer's id.
    pub sku: Arc<str>,
    /// Name for people.
    pub display_name: Arc<str>,
    /// Category, if any.
    pub category: Option<CategoryId>,
    /// Brand.
    pub brand: Arc<str>,
    /// Unit of its quantities.
    pub unit: Unit,
    /// Barcodes as GTIN-14 numbers.
    pub gtins: Vec<u64>,
    /// Item code inside price- or weight-embedded barcodes; empty: none.
    pub plu: Arc<str>,
    /// Price of one whole unit, VAT included.
    pub list_price: Option<Money>,
    /// VAT rate in hundredths of a percent.
    pub vat_rate_basis_points: u32,
    /// The law limits its promotion.
    pub promotion_restricted: bool,
    /// Sequence of the last change.
    pub version: Sequence,
}

/// The name of a path for people and for offers' targets.
pub const CATEGORY_SEPARATOR: &str = " > ";

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn store(zone: &str, opening: &[(u8, u16, u16)]) -> Store {
        Store {
            store_id: "1".into(),
            display_name: "".into(),
            location: Point::new(9.0, 45.0),
            time_zone: TimeZone::get(zone).expect("a zone of the bundled database"),
            opening: opening
                .iter()
                .map(|&(iso_day, open_minute, close_minute)| OpeningInterval {
                    iso_day,
                    open_minute,
                    close_minute,
                })
                .collect(),
            state: StoreState::Open,
            town: "".into(),
            province: "".into(),
            country: "IT".into(),
            patience: Patience::default(),
            travel_zone: "".into(),
            version: Sequence(1),
            location_terms: Arc::default(),
        }
    }

    fn time(text: &str) -> Time {
        Time(
            text.parse::<Timestamp>()
                .expect("a literal")
                .as_millisecond(),
        )
    }

    #[test]
    fn the_next_opening_is_the_one_now_lies_in_or_the_first_after() {
        let check = |opening: &[(u8, u16, u16)], now: &str, expect: Option<(&str, &str)>| {
            let got = store("Europe/Rome", opening).next_opening(time(now));
            assert_eq!(got, expect.map(|(a, b)| Some((time(a), time(b)))), "{now}");
        };
        let weekdays: Vec<_> = (1..=5).map(|d| (d, 510, 1200)).collect();
        // Monday 2026-11-23, 10:00 in Rome: inside.
        check(
            &weekdays,
            "2026-11-23T09:00:00Z",
            Some(("2026-11-23T07:30:00Z", "2026-11-23T19:00:00Z")),
        );
        // The very second of closing is outside: the next day.
        check(
            &weekdays,
            "2026-11-23T19:00:00Z",
            Some(("2026-11-24T07:30:00Z", "2026-11-24T19:00:00Z")),
        );
        // Saturday: Monday is next.
        check(
            &weekdays,
            "2026-11-21T12:00:00Z",
            Some(("2026-11-23T07:30:00Z", "2026-11-23T19:00:00Z")),
        );
        // A lunch break.
        check(
            &[(1, 480, 720), (1, 900, 1140)],
            "2026-11-23T12:00:00Z",
            Some(("2026-11-23T14:00:00Z", "2026-11-23T18:00:00Z")),
        );
        // Past midnight belongs to the day before.
        check(
            &[(5, 1320, 1560)],
            "2026-11-28T00:30:00Z",
            Some(("2026-11-27T21:00:00Z", "2026-11-28T01:00:00Z")),
        );
        // Summer time begins on Sunday 2026-03-29: 02:30 does not exist and is read as 03:30.
        check(
            &[(7, 150, 600)],
            "2026-03-28T20:00:00Z",
            Some(("2026-03-29T01:30:00Z", "2026-03-29T08:00:00Z")),
        );
        // It ends on 2026-10-25: 02:30 exists twice, the first counts.
        check(
            &[(7, 150, 600)],
            "2026-10-24T20:00:00Z",
            Some(("2026-10-25T00:30:00Z", "2026-10-25T09:00:00Z")),
        );
    }

    #[test]
    fn a_store_has_its_time_from_its_opening_and_the_customer_from_the_window() {
        let mut store = store("Europe/Rome", &[(1, 510, 1200)]);
        let (sunday, monday) = (time("2026-11-22T21:00:00Z"), time("2026-11-23T10:00:00Z"));
        assert_eq!(
            (store.acknowledge_by(sunday), store.no_show_at(monday, None)),
            (None, None)
        );
        store.patience = Patience {
            acknowledge_ms: Some(1_800_000),
            no_show_ms: Some(3_600_000),
        };
        assert_eq!(
            store.acknowledge_by(sunday),
            Some(time("2026-11-23T08:00:00Z"))
        );
        assert_eq!(
            store.acknowledge_by(monday),
            Some(time("2026-11-23T10:30:00Z"))
        );
        assert_eq!(
            store.no_show_at(monday, None),
            Some(time("2026-11-23T11:00:00Z"))
        );
        let window = |end| Some((time("2026-11-23T07:30:00Z"), time(end)));
        assert_eq!(
            store.no_show_at(monday, window("2026-11-23T19:00:00Z")),
            Some(time("2026-11-23T20:00:00Z"))
        );
        assert_eq!(
            store.no_show_at(monday, window("2026-11-23T09:00:00Z")),
            Some(time("2026-11-23T11:00:00Z"))
        );
    }

    #[test]
    fn a_store_without_hours_is_always_open() {
        assert_eq!(store("Europe/Rome", &[]).next_opening(Time(0)), Some(None));
    }
}
