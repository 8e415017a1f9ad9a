//! Where can they get it? Plans against a brute force over all stores with the reference formula.

mod world;

use geo::Point;
use proptest::prelude::*;
use tillside_engine::catalog::{OpeningInterval, Store, StoreState};
use tillside_engine::command::{Command, WantedLine};
use tillside_engine::geo_index::{Spot, distance_mm, limit_mm};
use tillside_engine::limits::REJECTED_STORES_MAX;
use tillside_engine::location_terms::Method;
use tillside_engine::nearest::{Candidates, nearest};
use tillside_engine::own_holds::Own;
use tillside_engine::routing::{Plan, PlanOutcome, PlanQuery, StoreRejection, plan};
use world::build::{count, product, store_at};
use world::{World, property};

/// Distance of the far corner of the earth and more.
const ANYWHERE_MM: u64 = 30_000_000_000;

fn query<'a>(world: &World, lines: &'a [WantedLine]) -> PlanQuery<'a> {
    PlanQuery {
        origin: Point::new(9.0, 45.0),
        lines,
        limit_mm: ANYWHERE_MM,
        max_options: 5,
        require_open_now: false,
        only_store: None,
        now: world.now,
        own: Default::default(),
        travel_zone: None,
        by: Default::default(),
    }
}

fn name(world: &World, id: tillside_engine::ids::StoreId) -> String {
    world
        .state
        .stores
        .get(id)
        .expect("a store of the world")
        .store_id
        .to_string()
}

fn options(world: &World, plan: &Plan) -> Vec<String> {
    plan.options.iter().map(|o| name(world, o.store)).collect()
}

fn rejected(world: &World, plan: &Plan) -> Vec<(String, StoreRejection)> {
    plan.rejected
        .iter()
        .map(|(id, _, reason)| (name(world, *id), *reason))
        .collect()
}

#[test]
fn the_nearest_store_that_has_all_of_it_comes_first() {
    let mut world = World::shop();
    for (sku, store) in [
        ("p1", "A"),
        ("p1", "B"),
        ("p2", "B"),
        ("p1", "C"),
        ("p2", "C"),
    ] {
        world.ok(count(sku, store, 5));
    }
    let lines = world.wanted(&[("p1", 2), ("p2", 5)]);
    let found = plan(&world.state, &query(&world, &lines));
    assert_eq!(found.outcome, PlanOutcome::Matched);
    assert_eq!(options(&world, &found), ["B", "C"]);
    assert_eq!(
        rejected(&world, &found),
        [("A".to_owned(), StoreRejection::InsufficientStock)]
    );
    assert!(found.partial.is_empty());
    let expect = distance_mm(Point::new(9.0, 45.0), Point::new(9.0, 45.09));
    assert_eq!(found.options[0].distance_mm, expect);
    let one = plan(
        &world.state,
        &PlanQuery {
            max_options: 1,
            ..query(&world, &lines)
        },
    );
    assert_eq!(options(&world, &one), ["B"]);
}

#[test]
fn a_plan_says_matched_partial_no_stock_or_no_store_in_range() {
    let mut world = World::shop();
    for (sku, store) in [("p1", "B"), ("p2", "C"), ("p3", "C"), ("p1", "A")] {
        world.ok(count(sku, store, 5));
    }
    let check = |lines: &[(&str, i64)],
                 limit_mm: u64,
                 outcome: PlanOutcome,
                 partial: &[(&str, &[usize])]| {
        let lines = world.wanted(lines);
        let found = plan(
            &world.state,
            &PlanQuery {
                limit_mm,
                ..query(&world, &lines)
            },
        );
        assert_eq!(found.outcome, outcome, "{lines:?}");
        let got: Vec<_> = found
            .partial
            .iter()
            .map(|p| (name(&world, p.store), p.lines.clone()))
            .collect();
        let expect: Vec<_> = partial
            .iter()
            .map(|(s, l)| ((*s).to_owned(), l.to_vec()))
            .collect();
        assert_eq!(got, expect, "{lines:?}");
    };
    check(&[("p1", 5)], ANYWHERE_MM, PlanOutcome::Matched, &[]);
    // Most products first, then nearest.
    check(
        &[("p1", 1), ("p2", 1), ("p3", 1)],
        ANYWHERE_MM,
        PlanOutcome::Partial,
        &[("C", &[1, 2]), ("A", &[0]), ("B", &[0])],
    );
    // Lines of one product are one: 3 + 3 is more than 5, whatever the single lines say.
    check(
        &[("p1", 3), ("p2", 1), ("p1", 3)],
        ANYWHERE_MM,
        PlanOutcome::Partial,
        &[("C", &[1])],
    );
    check(
        &[("p1", 2), ("p2", 9), ("p1", 3)],
        ANYWHERE_MM,
        PlanOutcome::Partial,
        &[("A", &[0, 2]), ("B", &[0, 2])],
    );
    check(&[("p1", 6)], ANYWHERE_MM, PlanOutcome::NoStock, &[]);
    check(&[("p2", 1)], 1_000, PlanOutcome::NoStock, &[]);
    let mut far = World::new();
    far.ok(Command::PutProducts(vec![product("p1", 1)]));
    far.ok(Command::PutStores(vec![store_at("A", 46.0, 9.0)]));
    let lines = far.wanted(&[("p1", 1)]);
    let found = plan(
        &far.state,
        &PlanQuery {
            limit_mm: 1_000,
            ..query(&far, &lines)
        },
    );
    assert_eq!(found.outcome, PlanOutcome::NoStoreInRange);
    assert!(found.rejected.is_empty());
}

#[test]
fn the_limit_is_inclusive_to_the_millimetre() {
    let mut world = World::shop();
    world.ok(count("p1", "B", 5));
    let lines = world.wanted(&[("p1", 1)]);
    let exact = distance_mm(Point::new(9.0, 45.0), Point::new(9.0, 45.09));
    let outcome = |limit_mm: u64| {
        plan(
            &world.state,
            &PlanQuery {
                limit_mm,
                ..query(&world, &lines)
            },
        )
        .outcome
    };
    assert_eq!(outcome(exact), PlanOutcome::Matched);
    assert_eq!(outcome(exact - 1), PlanOutcome::NoStock);
    assert_eq!(limit_mm(exact as f64 / 1000.0), exact);
    assert_eq!(limit_mm((exact - 1) as f64 / 1000.0), exact - 1);
}

#[test]
fn at_the_same_distance_the_smaller_id_comes_first() {
    let mut world = World::new();
    let ids = ["b", "10", "9", "a", "007", "B"];
    world.ok(Command::PutStores(
        ids.iter().map(|id| store_at(id, 45.0, 9.0)).collect(),
    ));
    world.ok(Command::PutProducts(vec![product("p1", 1)]));
    ids.iter().for_each(|id| drop(world.ok(count("p1", id, 1))));
    let lines = world.wanted(&[("p1", 1)]);
    let query = PlanQuery {
        max_options: 9,
        ..query(&world, &lines)
    };
    assert_eq!(
        options(&world, &plan(&world.state, &query)),
        ["007", "9", "10", "B", "a", "b"]
    );
}

#[test]
fn stores_that_take_no_orders_are_passed_with_the_reason() {
    let mut world = World::shop();
    let monday = |open_minute: u16, close_minute: u16| OpeningInterval {
        iso_day: 1,
        open_minute,
        close_minute,
    };
    let stores = vec![
        Store {
            state: StoreState::Closed,
            ..store_at("A", 45.0, 9.0)
        },
        Store {
            state: StoreState::Paused,
            ..store_at("B", 45.09, 9.0)
        },
        // It is Monday 10:00 in Rome.
        Store {
            opening: vec![monday(15 * 60, 19 * 60)],
            ..store_at("C", 45.18, 9.0)
        },
        Store {
            opening: vec![monday(9 * 60, 12 * 60)],
            ..store_at("D", 45.27, 9.0)
        },
        store_at("E", 45.36, 9.0),
    ];
    world.ok(Command::PutStores(stores));
    ["A", "B", "C", "D", "E"]
        .iter()
        .for_each(|s| drop(world.ok(count("p1", s, 5))));
    let lines = world.wanted(&[("p1", 1)]);
    let any = plan(&world.state, &query(&world, &lines));
    assert_eq!(options(&world, &any), ["C", "D", "E"]);
    let closed = [
        ("A".to_owned(), StoreRejection::Closed),
        ("B".to_owned(), StoreRejection::Paused),
    ];
    assert_eq!(rejected(&world, &any), closed);
    // The window to pick up in: this afternoon, now, any time.
    let hour = |h: i64| world.now.plus_ms(h * 3_600_000);
    let windows: Vec<_> = any.options.iter().map(|o| o.window()).collect();
    assert_eq!(
        windows,
        [Some((hour(5), hour(9))), Some((hour(0), hour(2))), None]
    );

    let open = plan(
        &world.state,
        &PlanQuery {
            require_open_now: true,
            ..query(&world, &lines)
        },
    );
    assert_eq!(options(&world, &open), ["D", "E"]);
    assert_eq!(
        rejected(&world, &open)[2],
        ("C".to_owned(), StoreRejection::NotOpenNow)
    );
    // At the very minute of closing it is not open any more.
    let noon = PlanQuery {
        require_open_now: true,
        now: hour(2),
        ..query(&world, &lines)
    };
    assert_eq!(options(&world, &plan(&world.state, &noon)), ["E"]);
    // Where nothing that takes orders is in range, the outcome says so, and the passed ones are named.
    let near = PlanQuery {
        limit_mm: 15_000_000,
        ..query(&world, &lines)
    };
    let none = plan(&world.state, &near);
    assert_eq!(
        (none.outcome, rejected(&world, &none)),
        (PlanOutcome::NoStoreInRange, closed.to_vec())
    );
}

#[test]
fn an_orders_own_hold_counts_as_available_where_it_is() {
    let mut world = World::shop();
    world.ok(count("p1", "A", 5));
    world.ok(count("p1", "B", 5));
    let own = [world.hold("o1", &[("p1", 4)], &["A"])];
    let lines = world.wanted(&[("p1", 5)]);
    let without = plan(&world.state, &query(&world, &lines));
    assert_eq!(options(&world, &without), ["B"]);
    let with = plan(
        &world.state,
        &PlanQuery {
            own: Own::holds(&own),
            ..query(&world, &lines)
        },
    );
    assert_eq!(options(&world, &with), ["A", "B"]);
    let more = world.wanted(&[("p1", 6)]);
    let none = plan(
        &world.state,
        &PlanQuery {
            own: Own::holds(&own),
            ..query(&world, &more)
        },
    );
    assert_eq!(none.outcome, PlanOutcome::NoStock);
    // What has ended is no credit.
    world.ok(Command::ReleaseReservation(own[0].id));
    world.hold("o2", &[("p1", 5)], &["A"]);
    let ended = [world.state.reservation(own[0].id).expect("kept")];
    let query = PlanQuery {
        own: Own::holds(&ended),
        ..query(&world, &lines)
    };
    assert_eq!(options(&world, &plan(&world.state, &query)), ["B"]);
}

#[test]
fn a_named_store_is_asked_whatever_its_distance() {
    let mut world = World::shop();
    world.ok(count("p1", "C", 5));
    let lines = world.wanted(&[("p1", 1)]);
    let only = |store: &str| {
        let only_store = Some(world.store(store));
        plan(
            &world.state,
            &PlanQuery {
                only_store,
                limit_mm: 0,
                ..query(&world, &lines)
            },
        )
    };
    assert_eq!(options(&world, &only("C")), ["C"]);
    assert_eq!(only("B").outcome, PlanOutcome::NoStock);
    assert_eq!(
        rejected(&world, &only("B")),
        [("B".to_owned(), StoreRejection::InsufficientStock)]
    );
}

#[test]
fn nobody_is_sent_into_another_travel_zone_unless_it_is_allowed() {
    let mut world = World::shop();
    let zones = [
        ("A", "sicily", 45.0),
        ("B", "mainland", 45.09),
        ("C", "", 45.18),
    ];
    let store = |(id, zone, latitude): &(&str, &str, f64)| Store {
        travel_zone: (*zone).into(),
        ..store_at(id, *latitude, 9.0)
    };
    world.ok(Command::PutStores(zones.iter().map(store).collect()));
    for (id, _, _) in zones {
        world.ok(count("p1", id, 5));
    }
    let lines = world.wanted(&[("p1", 1)]);
    let from = |travel_zone| {
        let query = PlanQuery {
            travel_zone,
            ..query(&world, &lines)
        };
        let found = plan(&world.state, &query);
        (options(&world, &found), rejected(&world, &found))
    };
    let passed = |id: &str| vec![(id.to_owned(), StoreRejection::OtherTravelZone)];
    let names = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert_eq!(from(None), (names(&["A", "B", "C"]), Vec::new()));
    assert_eq!(from(Some("mainland")), (names(&["B", "C"]), passed("A")));
    // What lies behind the first option is not explained.
    assert_eq!(from(Some("sicily")), (names(&["A", "C"]), Vec::new()));
    let named = PlanQuery {
        travel_zone: Some("mainland"),
        only_store: Some(world.store("A")),
        ..query(&world, &lines)
    };
    let found = plan(&world.state, &named);
    assert_eq!(rejected(&world, &found), passed("A"));
    assert!(found.options.is_empty());
}

#[test]
fn only_so_many_nearer_stores_are_named() {
    let mut world = World::new();
    let stores: Vec<_> = (0..30)
        .map(|i| store_at(&i.to_string(), 45.0 + f64::from(i) / 100.0, 9.0))
        .collect();
    world.ok(Command::PutStores(stores));
    world.ok(Command::PutProducts(vec![product("p1", 1)]));
    world.ok(count("p1", "29", 1));
    let lines = world.wanted(&[("p1", 1)]);
    let found = plan(&world.state, &query(&world, &lines));
    assert_eq!(options(&world, &found), ["29"]);
    let expect: Vec<_> = (0..REJECTED_STORES_MAX)
        .map(|i| (i.to_string(), StoreRejection::InsufficientStock))
        .collect();
    assert_eq!(rejected(&world, &found), expect);
}

/// The reference formula, written down once more: haversine on the mean radius, in whole millimetres, halves up.
fn reference_mm(a: (f64, f64), b: (f64, f64)) -> u64 {
    let (lat1, lat2) = (a.0.to_radians(), b.0.to_radians());
    let sin2 = |x: f64| libm::sin(x / 2.0) * libm::sin(x / 2.0);
    let h = sin2(lat2 - lat1)
        + libm::cos(lat1) * libm::cos(lat2) * sin2(b.1.to_radians() - a.1.to_radians());
    let km = 2.0 * 6371.0088 * libm::asin(libm::sqrt(h).min(1.0));
    libm::floor(km * 1e6 + 0.5) as u64
}

/// A store of the brute force: place, state, pieces of two products, travel zone.
type Naive = ((f64, f64), StoreState, [i64; 2], &'static str);

fn latitude() -> impl Strategy<Value = f64> {
    prop_oneof![
        -90.0..=90.0f64,
        Just(90.0),
        Just(-90.0),
        Just(0.0),
        89.9..90.0f64,
        (-90i32..=90).prop_map(f64::from)
    ]
}

fn longitude() -> impl Strategy<Value = f64> {
    prop_oneof![
        -180.0..=180.0f64,
        Just(180.0),
        Just(-180.0),
        179.9..180.0f64,
        -180.0..-179.9f64,
        (-18i32..18).prop_map(|d| f64::from(d) * 10.0)
    ]
}

fn stores() -> impl Strategy<Value = Vec<Naive>> {
    let state = prop_oneof![8 => Just(StoreState::Open), 1 => Just(StoreState::Paused), 1 => Just(StoreState::Closed)];
    let zone = prop::sample::select(vec!["", "island", "mainland"]);
    let one = ((latitude(), longitude()), state, [0i64..4, 0i64..4], zone);
    prop::collection::vec(one, 1..40).prop_map(|mut stores| {
        // Every third stands where the one before does, or on its mirror image: exact ties.
        for i in (2..stores.len()).step_by(3) {
            stores[i].0 = stores[i - 1].0;
        }
        stores
    })
}

proptest! {
    #![proptest_config(property(1000))]

    #[test]
    fn plans_equal_a_brute_force_over_all_stores(
        stores in stores(),
        at in (latitude(), longitude()),
        wanted in prop::collection::vec((0usize..2, 1i64..3), 1..4),
        limit in prop_oneof![0u64..2_000_000_000, 0u64..ANYWHERE_MM],
        // Half of the limits are exactly a store's distance, or a millimetre less.
        touch in prop::option::of((any::<prop::sample::Index>(), 0u64..2)),
        max_options in 1usize..5,
        zone in prop::option::of(prop::sample::select(vec!["island", "mainland", "elsewhere"])),
    ) {
        let mut world = World::new();
        world.ok(Command::PutProducts(vec![product("p1", 1), product("p2", 1)]));
        let skus = ["p1", "p2"];
        // Ids run backwards, so that the order of making and the order of ids differ.
        let id = |i: usize| (stores.len() - i).to_string();
        let put = |(i, s): (usize, &Naive)| Store { state: s.1, travel_zone: s.3.into(), ..store_at(&id(i), s.0.0, s.0.1) };
        world.ok(Command::PutStores(stores.iter().enumerate().map(put).collect()));
        for (i, store) in stores.iter().enumerate() {
            for (p, pieces) in store.2.iter().enumerate().filter(|(_, pieces)| **pieces > 0) {
                world.ok(count(skus[p], &id(i), *pieces));
            }
        }
        let limit_mm = touch.map_or(limit, |(index, less)| reference_mm(at, index.get(&stores).0).saturating_sub(less));
        let lines = world.wanted(&wanted.iter().map(|(p, q)| (skus[*p], *q)).collect::<Vec<_>>());
        let found = plan(&world.state, &PlanQuery { origin: Point::new(at.1, at.0), limit_mm, max_options, travel_zone: zone, ..query(&world, &lines) });

        let mut near: Vec<_> = stores.iter().enumerate().map(|(i, s)| (reference_mm(at, s.0), stores.len() - i, s)).collect();
        near.retain(|n| n.0 <= limit_mm);
        near.sort_by_key(|n| (n.0, n.1));
        let need = |p: usize| wanted.iter().filter(|w| w.0 == p).map(|w| w.1).sum::<i64>();
        let full = |s: &Naive| (0..2).filter(|p| need(*p) > 0 && s.2[*p] >= need(*p)).count();
        let all = (0..2).filter(|p| need(*p) > 0).count();
        let takes = |s: &Naive| s.1 == StoreState::Open && (s.3.is_empty() || zone.is_none_or(|zone| zone == s.3));
        let open: Vec<_> = near.iter().filter(|n| takes(n.2)).collect();
        let matches: Vec<_> = open.iter().filter(|n| full(n.2) == all).map(|n| (n.1.to_string(), n.0)).collect();
        let mut parts: Vec<_> = open.iter().filter(|n| full(n.2) > 0).map(|n| (full(n.2), n.0, n.1)).collect();
        parts.sort_by_key(|p| (std::cmp::Reverse(p.0), p.1, p.2));
        let outcome = if open.is_empty() {
            PlanOutcome::NoStoreInRange
        } else if !matches.is_empty() {
            PlanOutcome::Matched
        } else if !parts.is_empty() {
            PlanOutcome::Partial
        } else {
            PlanOutcome::NoStock
        };
        prop_assert_eq!(found.outcome, outcome);
        let got: Vec<_> = found.options.iter().map(|o| (name(&world, o.store), o.distance_mm)).collect();
        prop_assert_eq!(got, &matches[..matches.len().min(max_options)]);
        let got: Vec<_> = found.partial.iter().map(|p| (p.sku_count, p.distance_mm, name(&world, p.store))).collect();
        let expect: Vec<_> = parts.iter().map(|p| (p.0, p.1, p.2.to_string())).take(max_options).collect();
        prop_assert_eq!(got, if matches.is_empty() { expect } else { Vec::new() });
        let passed: Vec<_> = near.iter().take_while(|n| !takes(n.2) || full(n.2) < all).take(REJECTED_STORES_MAX).map(|n| n.0).collect();
        prop_assert_eq!(found.rejected.iter().map(|r| r.1).collect::<Vec<_>>(), passed);
    }
}

#[test]
fn a_plan_keeps_its_store_records_alive() {
    // A reader may hold an old index while the sequencer publishes a new one.
    let mut world = World::shop();
    let index = world.state.store_index.get();
    world.ok(Command::PutStores(vec![Store {
        state: StoreState::Closed,
        ..store_at("A", 45.0, 9.0)
    }]));
    let (origin, open) = (
        Point::new(9.0, 45.0),
        Candidates::from(index.serving(Method::Pickup)),
    );
    let seen = nearest(&index, &Spot::new(origin), ANYWHERE_MM, &open, 1, |_| true);
    let store = index.store(seen[0].id).expect("a store of the index");
    assert_eq!((&*store.store_id, store.state), ("A", StoreState::Open));
}
