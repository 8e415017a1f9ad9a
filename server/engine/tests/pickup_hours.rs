//! When an order can be picked up: opening hours, special days, both changes of the clock, the last pickup, the cut-off, and
//! the time to prepare, in stores of several time zones.

use std::collections::BTreeSet;
use std::sync::Arc;

use geo::Point;
use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use proptest::prelude::*;
use tillside_engine::catalog::{OpeningInterval, Store, StoreState};
use tillside_engine::ids::Sequence;
use tillside_engine::location_terms::{LocationTerms, SlotRules, SpecialDay};
use tillside_engine::pickup_hours::Ready;
use tillside_engine::units::Time;

const ROME: &str = "Europe/Rome";
/// Monday to Saturday 9:00 to 13:00 and 15:00 to 19:30.
const SHOP: [(u8, u16, u16); 12] = [
    (1, 540, 780),
    (1, 900, 1170),
    (2, 540, 780),
    (2, 900, 1170),
    (3, 540, 780),
    (3, 900, 1170),
    (4, 540, 780),
    (4, 900, 1170),
    (5, 540, 780),
    (5, 900, 1170),
    (6, 540, 780),
    (6, 900, 1170),
];

fn store(zone: &str, opening: &[(u8, u16, u16)], terms: LocationTerms) -> Store {
    let interval = |&(iso_day, open_minute, close_minute): &(u8, u16, u16)| OpeningInterval {
        iso_day,
        open_minute,
        close_minute,
    };
    Store {
        store_id: "1".into(),
        display_name: "".into(),
        location: Point::new(9.0, 45.0),
        time_zone: TimeZone::get(zone).expect("a zone of the bundled database"),
        opening: opening.iter().map(interval).collect(),
        state: StoreState::Open,
        town: "".into(),
        province: "".into(),
        country: "IT".into(),
        version: Sequence(1),
        location_terms: Arc::new(terms),
        patience: Default::default(),
        travel_zone: "".into(),
    }
}

fn terms() -> LocationTerms {
    LocationTerms::default()
}

fn time(text: &str) -> Time {
    let instant: Timestamp = text.parse().expect("a literal");
    Time(instant.as_millisecond())
}

fn text(time: Time, zone: &str) -> String {
    let zone = TimeZone::get(zone).expect("a zone of the bundled database");
    let at = Timestamp::from_millisecond(time.0).expect("a time of the test");
    at.to_zoned(zone).strftime("%a %F %R %Z").to_string()
}

/// The first window, in the store's own time.
fn check(store: &Store, now: &str, expect: &str) {
    let zone = store.time_zone_name();
    let got = match store.ready(time(now)) {
        Ready::AnyTime => "any time".to_owned(),
        Ready::Never => "never".to_owned(),
        Ready::Window(w) => format!("{} - {}", text(w.start, zone), text(w.end, zone)),
    };
    assert_eq!(got, expect, "at {now}");
}

#[test]
fn a_window_is_what_is_left_of_the_opening_hours() {
    let shop = store(ROME, &SHOP, terms());
    // Inside, in the break, after closing, at the very minute of closing, a millisecond before it, over Sunday.
    check(
        &shop,
        "2026-11-23T09:10:00Z",
        "Mon 2026-11-23 10:10 CET - Mon 2026-11-23 13:00 CET",
    );
    check(
        &shop,
        "2026-11-23T12:30:00Z",
        "Mon 2026-11-23 15:00 CET - Mon 2026-11-23 19:30 CET",
    );
    check(
        &shop,
        "2026-11-23T20:00:00Z",
        "Tue 2026-11-24 09:00 CET - Tue 2026-11-24 13:00 CET",
    );
    check(
        &shop,
        "2026-11-23T18:30:00Z",
        "Tue 2026-11-24 09:00 CET - Tue 2026-11-24 13:00 CET",
    );
    check(
        &shop,
        "2026-11-23T18:29:59.999Z",
        "Mon 2026-11-23 19:29 CET - Mon 2026-11-23 19:30 CET",
    );
    check(
        &shop,
        "2026-11-28T19:00:00Z",
        "Mon 2026-11-30 09:00 CET - Mon 2026-11-30 13:00 CET",
    );
    check(
        &store(ROME, &[], terms()),
        "2026-11-23T09:10:00Z",
        "any time",
    );
}

#[test]
fn work_is_counted_in_opening_hours() {
    let after = |minutes| {
        let terms = LocationTerms {
            preparation_minutes: minutes,
            ..terms()
        };
        store(ROME, &SHOP, terms)
    };
    // Two hours: within the morning, over the break, over the night, over Sunday.
    check(
        &after(120),
        "2026-11-23T08:30:00Z",
        "Mon 2026-11-23 11:30 CET - Mon 2026-11-23 13:00 CET",
    );
    check(
        &after(120),
        "2026-11-23T11:30:00Z",
        "Mon 2026-11-23 16:30 CET - Mon 2026-11-23 19:30 CET",
    );
    check(
        &after(120),
        "2026-11-23T20:00:00Z",
        "Tue 2026-11-24 11:00 CET - Tue 2026-11-24 13:00 CET",
    );
    check(
        &after(120),
        "2026-11-28T18:00:00Z",
        "Mon 2026-11-30 10:30 CET - Mon 2026-11-30 13:00 CET",
    );
    // Ready at the very closing: the next opening.
    check(
        &after(60),
        "2026-11-23T11:00:00Z",
        "Mon 2026-11-23 15:00 CET - Mon 2026-11-23 19:30 CET",
    );
    // Longer than a day's hours.
    check(
        &after(600),
        "2026-11-23T08:00:00Z",
        "Tue 2026-11-24 10:30 CET - Tue 2026-11-24 13:00 CET",
    );
    // A store that never closes works on.
    let always = LocationTerms {
        preparation_minutes: 90,
        ..terms()
    };
    check(
        &store(ROME, &[], always),
        "2026-11-23T22:00:00Z",
        "Tue 2026-11-24 00:30 CET - Wed 2026-11-25 00:00 CET",
    );
}

#[test]
fn the_last_pickup_is_before_closing() {
    let early = LocationTerms {
        last_pickup_minutes: 30,
        preparation_minutes: 30,
        ..terms()
    };
    let shop = store(ROME, &SHOP, early);
    check(
        &shop,
        "2026-11-23T17:00:00Z",
        "Mon 2026-11-23 18:30 CET - Mon 2026-11-23 19:00 CET",
    );
    // Ready before closing, and too late for the last pickup: the work is done, so it waits for the doors alone.
    check(
        &shop,
        "2026-11-23T17:45:00Z",
        "Tue 2026-11-24 09:00 CET - Tue 2026-11-24 12:30 CET",
    );
    // A part of the work was done before closing.
    check(
        &shop,
        "2026-11-23T18:10:00Z",
        "Tue 2026-11-24 09:10 CET - Tue 2026-11-24 12:30 CET",
    );
}

#[test]
fn orders_after_the_cut_off_are_taken_up_on_a_later_day() {
    let cutoff = |minute| {
        let terms = LocationTerms {
            order_cutoff_minute: Some(minute),
            ..terms()
        };
        store(ROME, &SHOP, terms)
    };
    check(
        &cutoff(14 * 60),
        "2026-11-23T12:59:59Z",
        "Mon 2026-11-23 15:00 CET - Mon 2026-11-23 19:30 CET",
    );
    check(
        &cutoff(14 * 60),
        "2026-11-23T13:00:00Z",
        "Tue 2026-11-24 09:00 CET - Tue 2026-11-24 13:00 CET",
    );
    // Saturday afternoon: not Sunday, which has no hours.
    check(
        &cutoff(14 * 60),
        "2026-11-28T14:00:00Z",
        "Mon 2026-11-30 09:00 CET - Mon 2026-11-30 13:00 CET",
    );
    // Midnight is the end of the day: the minute before belongs to today, the next to tomorrow.
    let bar = |minute| {
        let terms = LocationTerms {
            order_cutoff_minute: minute,
            ..terms()
        };
        store(ROME, &[(5, 1200, 1560), (6, 1200, 1560)], terms)
    };
    check(
        &bar(Some(1439)),
        "2026-11-27T22:58:00Z",
        "Fri 2026-11-27 23:58 CET - Sat 2026-11-28 02:00 CET",
    );
    check(
        &bar(Some(1439)),
        "2026-11-27T22:59:00Z",
        "Sat 2026-11-28 20:00 CET - Sun 2026-11-29 02:00 CET",
    );
    check(
        &bar(Some(1439)),
        "2026-11-27T23:00:00Z",
        "Sat 2026-11-28 00:00 CET - Sat 2026-11-28 02:00 CET",
    );
    check(
        &bar(None),
        "2026-11-27T22:59:00Z",
        "Fri 2026-11-27 23:59 CET - Sat 2026-11-28 02:00 CET",
    );
    // Zero: nothing is taken up on the day it comes.
    check(
        &cutoff(0),
        "2026-11-23T07:00:00Z",
        "Tue 2026-11-24 09:00 CET - Tue 2026-11-24 13:00 CET",
    );
}

#[test]
fn special_days_replace_the_weekday() {
    let holidays = LocationTerms {
        special_days: vec![
            SpecialDay {
                date: date(2026, 12, 24),
                opening: vec![(540, 840)],
            },
            SpecialDay {
                date: date(2026, 12, 25),
                opening: vec![],
            },
            SpecialDay {
                date: date(2026, 12, 26),
                opening: vec![],
            },
            SpecialDay {
                date: date(2026, 12, 27),
                opening: vec![(600, 1080)],
            },
        ],
        ..terms()
    };
    let shop = store(ROME, &SHOP, holidays.clone());
    // Christmas Eve closes early; then two holidays; the Sunday after is open for once.
    check(
        &shop,
        "2026-12-24T12:00:00Z",
        "Thu 2026-12-24 13:00 CET - Thu 2026-12-24 14:00 CET",
    );
    check(
        &shop,
        "2026-12-24T14:00:00Z",
        "Sun 2026-12-27 10:00 CET - Sun 2026-12-27 18:00 CET",
    );
    // A store that never closes does so on these days.
    let always = store(ROME, &[], holidays);
    check(
        &always,
        "2026-12-24T14:00:00Z",
        "Sun 2026-12-27 10:00 CET - Sun 2026-12-27 18:00 CET",
    );
    check(
        &always,
        "2026-12-20T14:00:00Z",
        "Sun 2026-12-20 15:00 CET - Mon 2026-12-21 00:00 CET",
    );
}

#[test]
fn a_store_that_stays_closed_beyond_the_horizon_is_never_ready() {
    let first = date(2026, 11, 1);
    let closed = (0..100).map(|n| SpecialDay {
        date: first.checked_add(n.days()).expect("a day of the test"),
        opening: vec![],
    });
    let terms = LocationTerms {
        special_days: closed.collect(),
        ..terms()
    };
    check(&store(ROME, &SHOP, terms), "2026-11-23T09:00:00Z", "never");
}

#[test]
fn the_clock_goes_forward() {
    // Sunday 2026-03-29, 02:00 becomes 03:00 in Rome.
    let night = store(ROME, &[(6, 1320, 1800), (7, 150, 600)], terms());
    // From 22:00 to 06:00 there are seven hours.
    let at = night
        .pickup_windows(time("2026-03-28T20:00:00Z"))
        .next()
        .expect("a window");
    assert_eq!(at.end.0 - at.start.0, 7 * 3_600_000);
    // What begins at 02:30 begins at 03:30, and where it overlaps, after the one before.
    check(
        &store(ROME, &[(7, 150, 600)], terms()),
        "2026-03-29T00:00:00Z",
        "Sun 2026-03-29 03:30 CEST - Sun 2026-03-29 10:00 CEST",
    );
    check(
        &night,
        "2026-03-29T04:00:00Z",
        "Sun 2026-03-29 06:00 CEST - Sun 2026-03-29 10:00 CEST",
    );
    // Two hours of work from 01:00 on end at 04:00.
    let terms = LocationTerms {
        preparation_minutes: 120,
        ..terms()
    };
    check(
        &store(ROME, &[(7, 0, 600)], terms),
        "2026-03-29T00:00:00Z",
        "Sun 2026-03-29 04:00 CEST - Sun 2026-03-29 10:00 CEST",
    );
}

#[test]
fn the_clock_goes_back() {
    // Sunday 2026-10-25, 03:00 becomes 02:00 in Rome.
    let night = store(ROME, &[(6, 1320, 1800)], terms());
    let at = night
        .pickup_windows(time("2026-10-24T18:00:00Z"))
        .next()
        .expect("a window");
    assert_eq!(at.end.0 - at.start.0, 9 * 3_600_000);
    // 02:30 is there twice, and the first counts, for opening and for closing.
    check(
        &store(ROME, &[(7, 150, 600)], terms()),
        "2026-10-24T22:00:00Z",
        "Sun 2026-10-25 02:30 CEST - Sun 2026-10-25 10:00 CET",
    );
    check(
        &store(ROME, &[(7, 0, 150)], terms()),
        "2026-10-24T23:00:00Z",
        "Sun 2026-10-25 01:00 CEST - Sun 2026-10-25 02:30 CEST",
    );
    // Two hours of work from 01:00 on end at the second 02:00.
    let terms = LocationTerms {
        preparation_minutes: 120,
        ..terms()
    };
    check(
        &store(ROME, &[(7, 0, 600)], terms),
        "2026-10-24T23:00:00Z",
        "Sun 2026-10-25 02:00 CET - Sun 2026-10-25 10:00 CET",
    );
}

#[test]
fn each_store_has_its_own_time() {
    let nine_to_five = |zone| {
        let days: Vec<_> = (1..=7).map(|d| (d, 540, 1020)).collect();
        store(zone, &days, terms())
    };
    let now = "2026-11-23T15:30:00Z";
    check(
        &nine_to_five(ROME),
        now,
        "Mon 2026-11-23 16:30 CET - Mon 2026-11-23 17:00 CET",
    );
    check(
        &nine_to_five("Europe/London"),
        now,
        "Mon 2026-11-23 15:30 GMT - Mon 2026-11-23 17:00 GMT",
    );
    check(
        &nine_to_five("America/New_York"),
        now,
        "Mon 2026-11-23 10:30 EST - Mon 2026-11-23 17:00 EST",
    );
    check(
        &nine_to_five("Asia/Tokyo"),
        now,
        "Tue 2026-11-24 09:00 JST - Tue 2026-11-24 17:00 JST",
    );
    // The clock of Lord Howe moves by half an hour, and it is a day ahead of Honolulu.
    check(
        &nine_to_five("Australia/Lord_Howe"),
        now,
        "Tue 2026-11-24 09:00 +11 - Tue 2026-11-24 17:00 +11",
    );
    check(
        &nine_to_five("Pacific/Honolulu"),
        now,
        "Mon 2026-11-23 09:00 HST - Mon 2026-11-23 17:00 HST",
    );
}

#[test]
fn overlapping_hours_are_open_once() {
    let shop = store(
        ROME,
        &[(1, 540, 780), (1, 600, 720), (1, 720, 1170)],
        terms(),
    );
    let intervals: Vec<_> = shop
        .intervals(time("2026-11-23T06:00:00Z"))
        .take(2)
        .map(|i| (text(i.open, ROME), text(i.close, ROME)))
        .collect();
    let expect = [
        ("Mon 2026-11-23 09:00 CET", "Mon 2026-11-23 13:00 CET"),
        ("Mon 2026-11-23 13:00 CET", "Mon 2026-11-23 19:30 CET"),
    ];
    assert_eq!(intervals, expect.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[test]
fn slots_are_counted_from_the_opening_and_none_begins_before_the_order_is_ready() {
    let slotted = |length_minutes, last_pickup_minutes, preparation_minutes| {
        let terms = LocationTerms {
            slots: Some(SlotRules {
                length_minutes,
                capacity: 2,
            }),
            last_pickup_minutes,
            preparation_minutes,
            ..terms()
        };
        store(ROME, &SHOP, terms)
    };
    let check = |store: &Store, now: &str, expect: &[&str]| {
        let clock = |at| text(at, ROME)[4..20].to_owned();
        let got: Vec<_> = store
            .pickup_slots(time(now))
            .take(expect.len())
            .map(|s| format!("{}-{}", clock(s.start), &clock(s.end)[11..]))
            .collect();
        assert_eq!(got, expect, "at {now}");
    };
    check(
        &slotted(60, 0, 0),
        "2026-11-23T10:30:00Z",
        &[
            "2026-11-23 12:00-13:00",
            "2026-11-23 15:00-16:00",
            "2026-11-23 16:00-17:00",
        ],
    );
    // The afternoon has four hours and a half: four slots. With the last pickup at 19:00 as many.
    check(
        &slotted(60, 30, 0),
        "2026-11-23T16:30:00Z",
        &["2026-11-23 18:00-19:00", "2026-11-24 09:00-10:00"],
    );
    check(
        &slotted(60, 0, 90),
        "2026-11-23T11:00:00Z",
        &["2026-11-23 16:00-17:00"],
    );
    // An opening that is shorter than a slot is one.
    check(
        &slotted(300, 0, 0),
        "2026-11-23T07:00:00Z",
        &[
            "2026-11-23 09:00-13:00",
            "2026-11-23 15:00-19:30",
            "2026-11-24 09:00-13:00",
        ],
    );
}

/// Minutes in which the store is open, one by one: as slow and plain as can be.
fn open_minutes(store: &Store, from: Time, minutes: i64) -> BTreeSet<i64> {
    let open = |at: &i64| {
        let instant = Timestamp::from_millisecond(*at).expect("a time of the test");
        let local = store.time_zone.to_datetime(instant);
        let minute = i64::from(local.hour()) * 60 + i64::from(local.minute());
        let on = |day: jiff::civil::Date, minute: i64| {
            let hours: Vec<(u16, u16)> = match store.location_terms.special_day(day) {
                Some(special) => special.opening.clone(),
                None => {
                    let iso = day.weekday().to_monday_one_offset() as u8;
                    let of_day = store.opening.iter().filter(|i| i.iso_day == iso);
                    of_day.map(|i| (i.open_minute, i.close_minute)).collect()
                }
            };
            let within = |(open, close): &(u16, u16)| {
                (i64::from(*open)..i64::from(*close)).contains(&minute)
            };
            hours.iter().any(within)
        };
        let yesterday = local.date().yesterday().expect("a day of the test");
        on(local.date(), minute) || on(yesterday, minute + 1440)
    };
    let first = from.0.div_euclid(60_000) * 60_000;
    (0..minutes)
        .map(|n| first + n * 60_000)
        .filter(open)
        .collect()
}

#[derive(Debug, Clone)]
struct Hours {
    zone: &'static str,
    opening: Vec<(u8, u16, u16)>,
    special: Vec<(i64, Vec<(u16, u16)>)>,
    preparation: u32,
    last: u16,
    now_minute: i64,
}

fn span() -> impl Strategy<Value = (u16, u16)> {
    (0u16..1440, 1u16..900).prop_map(|(open, length)| (open, (open + length).min(2880)))
}

fn hours() -> impl Strategy<Value = Hours> {
    (
        // No zone of these changes its clock in the weeks of the test; those that do are above.
        prop::sample::select(vec![ROME, "UTC", "Asia/Kolkata", "America/Phoenix"]),
        prop::collection::vec((1u8..=7, span()), 1..10),
        prop::collection::vec((0i64..14, prop::collection::vec(span(), 0..3)), 0..4),
        0u32..600,
        prop_oneof![Just(0u16), 1u16..90],
        0i64..10_000,
    )
        .prop_map(
            |(zone, opening, mut special, preparation, last, now_minute)| {
                special.sort();
                special.dedup_by_key(|(day, _)| *day);
                Hours {
                    zone,
                    opening: opening.into_iter().map(|(d, (a, b))| (d, a, b)).collect(),
                    special,
                    preparation,
                    last,
                    now_minute,
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(20_261_123), ..ProptestConfig::default() })]

    // Every minute of every window is open and not before the work is done; and no minute that is was left out, but those
    // after the last pickup of an opening.
    #[test]
    fn windows_are_exactly_the_open_minutes_after_the_work(hours in hours()) {
        let terms = LocationTerms {
            special_days: hours.special.iter().map(|(n, opening)| SpecialDay {
                date: date(2026, 11, 23).checked_add(n.days()).expect("a day"),
                opening: opening.clone(),
            }).collect(),
            preparation_minutes: hours.preparation,
            last_pickup_minutes: hours.last,
            ..terms()
        };
        let store = store(hours.zone, &hours.opening, terms);
        let now = time("2026-11-23T00:00:00Z").plus_ms(hours.now_minute * 60_000);
        let horizon = 20 * 1440;
        let open = open_minutes(&store, now, horizon);
        let ready: BTreeSet<i64> = open.iter().copied().skip(hours.preparation as usize).collect();
        let end = now.0 + horizon * 60_000;
        let mut told = BTreeSet::new();
        let mut after = now;
        for window in store.pickup_windows(now).take_while(|w| w.interval.close.0 <= end) {
            prop_assert!(window.start >= after && window.start < window.end, "in order, not empty");
            prop_assert!(window.interval.open <= window.start && window.end <= window.interval.close);
            after = window.end;
            told.extend((window.start.0..window.end.0).step_by(60_000));
        }
        prop_assert!(told.is_subset(&ready), "{:?}", told.difference(&ready).next());
        let last_ms = i64::from(hours.last) * 60_000;
        for left_out in ready.difference(&told).filter(|m| **m < after.0) {
            let near_closing = store.intervals(Time(*left_out)).next().is_some_and(|i| i.close.0 - left_out <= last_ms);
            prop_assert!(near_closing, "{left_out} is open and in no window");
        }
    }
}
