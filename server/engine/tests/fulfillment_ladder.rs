//! The ladder: each step with its reason, rules, splits and their guards, costs and ties, and what another policy would have
//! done.

mod world;

use std::sync::Arc;

use geo::Point;
use jiff::tz::TimeZone;
use tillside_engine::catalog::{OpeningInterval, Store};
use tillside_engine::command::{Command, Count, PolicyChange, WantedLine};
use tillside_engine::fulfillment_ladder::{Ladder, LadderQuery, Step, StepResult, ladder};
use tillside_engine::location_terms::{LocationKind, LocationTerms, Method, Methods, SlotRules};
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::routing::{PlanOutcome, PlanQuery};
use tillside_engine::routing_policy::{
    Destination, MethodCost, RankBy, RoutingPolicy, RoutingRule, RuleEffect,
};
use tillside_engine::routing_replay::{DryRun, PastRouting};
use world::World;
use world::build::{count, count_of, in_category, store_at};

const EVERY: Methods = Methods::ANY;

fn place(id: &str, latitude: f64, kind: LocationKind, methods: &[Method]) -> Store {
    Store {
        location_terms: Arc::new(LocationTerms {
            kind,
            methods: Methods::of(methods.iter().copied()),
            ..LocationTerms::default()
        }),
        ..store_at(id, latitude, 9.0)
    }
}

/// A and B sell and hand over; C also sends; W is a warehouse, D a supplier; each 10 km farther from A. Products p1 and p2
/// are dry, f1 is frozen, 1, 2 and 3 euros.
fn chain() -> World {
    let mut world = World::new();
    world.ok(Command::PutStores(vec![
        store_at("A", 45.0, 9.0),
        store_at("B", 45.09, 9.0),
        place(
            "C",
            45.18,
            LocationKind::Store,
            &[Method::Pickup, Method::ShipFromStore],
        ),
        place("W", 45.27, LocationKind::Warehouse, &[Method::ShipToHome]),
        place("D", 45.36, LocationKind::Supplier, &[Method::DropShip]),
    ]));
    world.ok(Command::PutProducts(vec![
        in_category("p1", 100, "Dry"),
        in_category("p2", 200, "Dry"),
        in_category("f1", 300, "Frozen > Fish"),
    ]));
    world
}

struct Asked<'a> {
    lines: &'a [(&'a str, i64)],
    methods: Methods,
    by_line: Vec<Methods>,
    destination: Option<Destination>,
    limit_km: u64,
    max_options: usize,
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Asked {
            lines: &[("p1", 1), ("p2", 1)],
            methods: EVERY,
            by_line: Vec::new(),
            destination: None,
            limit_km: 25,
            max_options: 3,
        }
    }
}

fn climb<T>(
    world: &World,
    asked: &Asked<'_>,
    then: impl FnOnce(&LadderQuery<'_>, &Ladder) -> T,
) -> T {
    let lines: Vec<WantedLine> = world.wanted(asked.lines);
    let policy = world.state.routing_policy.get();
    let query = LadderQuery {
        plan: PlanQuery {
            origin: Point::new(9.0, 45.0),
            lines: &lines,
            limit_mm: asked.limit_km * 1_000_000,
            max_options: asked.max_options,
            require_open_now: false,
            only_store: None,
            now: world.now,
            own: Default::default(),
            travel_zone: None,
            by: Default::default(),
        },
        methods: asked.methods,
        line_methods: &asked.by_line,
        destination_point: None,
        destination: asked.destination.as_ref(),
        policy: &policy,
        explain: true,
    };
    then(&query, &ladder(&world.state, &query))
}

/// Ways as "step: place place", the costs after them where there are any.
fn told(world: &World, asked: &Asked<'_>) -> Vec<String> {
    climb(world, asked, |query, ladder| {
        let id = |id| {
            world
                .state
                .stores
                .get(id)
                .expect("a place")
                .store_id
                .clone()
        };
        let way = |way: &tillside_engine::fulfillment_ladder::Way| {
            let legs = way.legs.iter().map(|leg| match &leg.lines {
                None => id(leg.place).to_string(),
                Some(at) => {
                    let lines = at
                        .iter()
                        .map(|at| query.plan.lines[*at].line_id.to_string());
                    format!("{}[{}]", id(leg.place), lines.collect::<Vec<_>>().join(","))
                }
            });
            let total = way.cost().total();
            let cost = if total == 0 {
                String::new()
            } else {
                format!(" {total}")
            };
            format!(
                "{:?}: {}{cost}",
                way.step,
                legs.collect::<Vec<_>>().join(" ")
            )
        };
        ladder.ways.iter().map(way).collect()
    })
}

fn steps(world: &World, asked: &Asked<'_>) -> Vec<StepResult> {
    climb(world, asked, |_, ladder| {
        let order: Vec<Step> = ladder.steps.iter().map(|s| s.step).collect();
        let every = [
            Step::PickupNow,
            Step::PickupNearTime,
            Step::ShipFromStore,
            Step::ShipToHome,
            Step::DropShip,
            Step::Split,
        ];
        assert_eq!(order, every, "every step is told, in order");
        ladder.steps.iter().map(|s| s.result).collect()
    })
}

fn stock(world: &mut World, levels: &[(&str, &str, i64)]) {
    for (sku, place, pieces) in levels {
        world.ok(count(sku, place, *pieces));
    }
}

fn set(world: &mut World, policy: RoutingPolicy) {
    world.ok(Command::SetRoutingPolicy(Box::new(PolicyChange {
        policy,
        etag: None,
        validate_only: false,
    })));
}

/// Orders may be split in two.
fn allow_splits(world: &mut World) {
    set(
        world,
        RoutingPolicy {
            split_parts_max: 2,
            ..RoutingPolicy::default()
        },
    );
}

fn rule(id: &str, methods: &[Method], effect: RuleEffect) -> RoutingRule {
    RoutingRule {
        rule_id: id.into(),
        category: "".into(),
        place_regions: Vec::new(),
        destination_regions: Vec::new(),
        methods: Methods::of(methods.iter().copied()),
        effect,
    }
}

#[test]
fn each_step_is_taken_where_the_one_before_gives_nothing() {
    use StepResult::{Found, NoPlace, NoStock, NotTried, OtherWindow};
    let both = |place| [("p1", place, 5), ("p2", place, 5)];
    let one = Asked {
        max_options: 1,
        ..Asked::default()
    };
    let check = |levels: &[(&str, &str, i64)], way: &str, results: [StepResult; 6]| {
        let mut world = chain();
        allow_splits(&mut world);
        stock(&mut world, levels);
        assert_eq!(told(&world, &one), [way]);
        assert_eq!(steps(&world, &one), results, "{way}");
    };
    check(
        &both("B"),
        "PickupNow: B",
        [Found, OtherWindow, NotTried, NotTried, NotTried, NotTried],
    );
    // C is out of range for a pickup.
    let asked = Asked {
        limit_km: 15,
        max_options: 1,
        ..Asked::default()
    };
    let mut world = chain();
    stock(&mut world, &both("C"));
    assert_eq!(told(&world, &asked), ["ShipFromStore: C"]);
    assert_eq!(
        steps(&world, &asked),
        [NoStock, NoStock, Found, NotTried, NotTried, NotTried]
    );
    check(
        &both("W"),
        "ShipToHome: W",
        [NoStock, NoStock, NoStock, Found, NotTried, NotTried],
    );
    check(
        &both("D"),
        "DropShip: D",
        [NoStock, NoStock, NoStock, NoStock, Found, NotTried],
    );
    check(
        &[("p1", "A", 5), ("p2", "B", 5)],
        "Split: A[0] B[1]",
        [NoStock, NoStock, NoStock, NoStock, NoStock, Found],
    );
    // A part may be sent while another is picked up.
    check(
        &[("p1", "A", 5), ("p2", "W", 5)],
        "Split: A[0] W[1]",
        [NoStock, NoStock, NoStock, NoStock, NoStock, Found],
    );
    // Nothing: when to ask again, and that nobody sends.
    let mut world = World::new();
    world.ok(Command::PutStores(vec![store_at("A", 45.0, 9.0)]));
    world.ok(Command::PutProducts(vec![
        in_category("p1", 100, "Dry"),
        in_category("p2", 200, "Dry"),
    ]));
    allow_splits(&mut world);
    assert_eq!(
        steps(&world, &one),
        [NoStock, NoStock, NoPlace, NoPlace, NoPlace, NoStock]
    );
    climb(&world, &one, |_, ladder| {
        assert_eq!(ladder.outcome, PlanOutcome::NoStock);
        assert_eq!(ladder.ask_again, Some(world.now.plus_ms(15 * 60_000)));
    });
}

#[test]
fn all_steps_are_offered_while_there_is_room() {
    let mut world = chain();
    for place in ["B", "C", "W", "D"] {
        stock(&mut world, &[("p1", place, 5), ("p2", place, 5)]);
    }
    let many = Asked {
        max_options: 10,
        ..Asked::default()
    };
    let ways = [
        "PickupNow: B",
        "PickupNow: C",
        "ShipFromStore: C",
        "ShipToHome: W",
        "DropShip: D",
    ];
    assert_eq!(told(&world, &many), ways);
    assert_eq!(told(&world, &Asked::default()), ways[..3]);
    // Only what was asked for.
    let sent = Asked {
        methods: Methods::of([Method::ShipToHome]),
        ..Asked::default()
    };
    assert_eq!(told(&world, &sent), ways[3..4]);
}

#[test]
fn a_place_that_withholds_its_stock_is_never_routed_to() {
    let mut world = chain();
    stock(&mut world, &[("p1", "A", 5), ("p2", "A", 5)]);
    stock(&mut world, &[("p1", "B", 5), ("p2", "B", 5)]);
    let franchise = Store {
        location_terms: Arc::new(LocationTerms {
            withholds_online: true,
            ..LocationTerms::default()
        }),
        ..store_at("A", 45.0, 9.0)
    };
    world.ok(Command::PutStores(vec![franchise]));
    assert_eq!(told(&world, &Asked::default()), ["PickupNow: B"]);
    climb(&world, &Asked::default(), |_, ladder| {
        let reasons: Vec<_> = ladder.rejected.iter().map(|r| r.2).collect();
        assert_eq!(
            reasons,
            [tillside_engine::routing::StoreRejection::NotServing]
        );
    });
}

#[test]
fn rules_ask_for_product_type_region_destination_capability_and_carrier() {
    let mut world = chain();
    for place in ["B", "C", "W"] {
        stock(
            &mut world,
            &[("p1", place, 5), ("p2", place, 5), ("f1", place, 5)],
        );
    }
    let frozen = Asked {
        lines: &[("p1", 1), ("f1", 1)],
        max_options: 10,
        destination: Some(Destination {
            country: "IT".into(),
            postal_code: "50123".into(),
        }),
        ..Asked::default()
    };
    let dry = Asked {
        max_options: 10,
        destination: frozen.destination.clone(),
        ..Asked::default()
    };
    let all = [
        "PickupNow: B",
        "PickupNow: C",
        "ShipFromStore: C",
        "ShipToHome: W",
    ];
    let sends = [Method::ShipFromStore, Method::ShipToHome, Method::DropShip];
    let mut check = |rule: RoutingRule, of_frozen: &[&str], of_dry: &[&str]| {
        let id = rule.rule_id.clone();
        set(
            &mut world,
            RoutingPolicy {
                rules: vec![rule],
                split_parts_max: 1,
                ..RoutingPolicy::default()
            },
        );
        assert_eq!(told(&world, &frozen), of_frozen, "{id}");
        assert_eq!(told(&world, &dry), of_dry, "{id}");
    };
    let of_fish = |rule: RoutingRule| RoutingRule {
        category: "Frozen".into(),
        ..rule
    };
    check(
        of_fish(rule("no frozen parcels", &sends, RuleEffect::Forbid)),
        &all[..2],
        &all,
    );
    // Nobody can, until W says it can.
    let cold = || RuleEffect::RequireCapability("cold".into());
    check(of_fish(rule("cold chain", &sends, cold())), &all[..2], &all);
    let to_florence = |rule: RoutingRule| RoutingRule {
        destination_regions: vec!["IT-50".into()],
        ..rule
    };
    check(
        to_florence(rule("none to Florence", &sends, RuleEffect::Forbid)),
        &all[..2],
        &all[..2],
    );
    let to_rome = RoutingRule {
        destination_regions: vec!["IT-00".into(), "CH".into()],
        ..rule("none to Rome", &sends, RuleEffect::Forbid)
    };
    check(to_rome, &all, &all);
    let here = RoutingRule {
        place_regions: vec!["IT".into()],
        ..rule("none from Italy", &[Method::Pickup], RuleEffect::Forbid)
    };
    check(here, &all[2..], &all[2..]);
    let carrier = RuleEffect::RequireCarrier(vec!["poste".into(), "corriere".into()]);
    check(
        rule("carriers", &[Method::ShipToHome], carrier),
        &all[..3],
        &all[..3],
    );
    // The reason is told.
    climb(&world, &frozen, |_, ladder| {
        let step = ladder
            .steps
            .iter()
            .find(|s| s.step == Step::ShipToHome)
            .expect("the step");
        assert_eq!(step.result, StepResult::RuleForbids);
        assert_eq!(step.rule_id.as_deref(), Some("carriers"));
    });
    let mut able = place("W", 45.27, LocationKind::Warehouse, &[Method::ShipToHome]);
    Arc::make_mut(&mut able.location_terms).capabilities = vec!["cold".into()];
    Arc::make_mut(&mut able.location_terms).carriers = vec!["corriere".into()];
    world.ok(Command::PutStores(vec![able]));
    assert_eq!(told(&world, &frozen), all);
}

#[test]
fn splits_are_guarded_by_parts_and_by_value() {
    let mut world = chain();
    stock(
        &mut world,
        &[("p1", "A", 5), ("p2", "B", 5), ("f1", "W", 5)],
    );
    let asked = Asked {
        lines: &[("p1", 1), ("p2", 1), ("f1", 1)],
        ..Asked::default()
    };
    let mut check = |parts: u32, value: i64, way: &[&str], result: StepResult| {
        set(
            &mut world,
            RoutingPolicy {
                split_parts_max: parts,
                split_part_value_min: value,
                ..RoutingPolicy::default()
            },
        );
        assert_eq!(told(&world, &asked), way, "{parts} parts of {value}");
        assert_eq!(steps(&world, &asked)[5], result);
    };
    check(2, 0, &[], StepResult::TooManyParts);
    check(1, 0, &[], StepResult::TooManyParts);
    check(3, 0, &["Split: A[0] B[1] W[2]"], StepResult::Found);
    check(3, 100, &["Split: A[0] B[1] W[2]"], StepResult::Found);
    check(3, 101, &[], StepResult::PartTooSmall);
    // Without a split the answer is a partial one.
    climb(&world, &asked, |_, ladder| {
        assert_eq!(ladder.outcome, PlanOutcome::Partial);
        assert_eq!(ladder.partial.len(), 2);
        assert!(ladder.ask_again.is_some());
    });
}

#[test]
fn near_what_is_kept_back_only_a_hold_counts() {
    let mut world = chain();
    allow_splits(&mut world);
    stock(&mut world, &[("p1", "A", 9), ("p2", "B", 9)]);
    // "place" of each part, "place!" where it has to be held first.
    let check = |world: &World, lines: &[(&str, i64)], expect: &[&str]| {
        let asked = Asked {
            lines,
            ..Asked::default()
        };
        let parts: Vec<String> = climb(world, &asked, |_, ladder| {
            let legs = ladder.ways.iter().flat_map(|way| &way.legs);
            let told = legs.map(|leg| {
                let place = world.state.stores.get(leg.place).expect("a store");
                format!(
                    "{}{}",
                    place.store_id,
                    if leg.hold_first { "!" } else { "" }
                )
            });
            told.collect()
        });
        assert_eq!(parts, expect, "{lines:?}");
    };
    // Three are left, or two.
    check(&world, &[("p1", 6)], &["A"]);
    check(&world, &[("p1", 7)], &["A!"]);
    // Lines of one product count together.
    check(&world, &[("p1", 3), ("p1", 4)], &["A!"]);
    // Each part has its own answer.
    check(&world, &[("p1", 1), ("p2", 8)], &["A", "B!"]);
    // What others hold is gone.
    let held = world.hold("o1", &[("p1", 1)], &["A"]);
    check(&world, &[("p1", 6)], &["A!"]);
    world.ok(Command::ReleaseReservation(held.id));
    check(&world, &[("p1", 6)], &["A"]);
    world.wait_ms(1);
    // Four are kept back, so five may be promised, and four of them have to be left.
    world.ok(Command::SetStockCount(Count {
        safety: Some(4_000),
        ..count_of("p1", "A", 9)
    }));
    check(&world, &[("p1", 1)], &["A"]);
    check(&world, &[("p1", 2)], &["A!"]);
    // The policy says what is little.
    set(
        &mut world,
        RoutingPolicy {
            hold_first_below: 8_001,
            ..RoutingPolicy::default()
        },
    );
    check(&world, &[("p2", 1)], &["B!"]);
}

#[test]
fn parts_at_one_place_leave_it_the_rest_of_both() {
    let mut world = chain();
    stock(&mut world, &[("p1", "C", 9)]);
    let check = |lines: &[(&str, i64)], expect: [bool; 2]| {
        let asked = Asked {
            lines,
            // One is picked up, one is sent.
            by_line: vec![
                Methods::of([Method::Pickup]),
                Methods::of([Method::ShipFromStore]),
            ],
            ..Asked::default()
        };
        climb(&world, &asked, |_, ladder| {
            let legs = ladder.ways[0].legs.iter();
            let told: Vec<bool> = legs.map(|leg| leg.hold_first).collect();
            assert_eq!(told, expect, "{lines:?}");
        });
    };
    check(&[("p1", 3), ("p1", 3)], [false, false]);
    check(&[("p1", 3), ("p1", 4)], [true, true]);
}

#[test]
fn lines_of_a_mixed_order_go_their_own_ways() {
    let mut world = chain();
    allow_splits(&mut world);
    for place in ["A", "W"] {
        stock(&mut world, &[("p1", place, 5), ("p2", place, 5)]);
    }
    let mixed = Asked {
        by_line: vec![
            Methods::of([Method::Pickup]),
            Methods::of([Method::ShipToHome]),
        ],
        ..Asked::default()
    };
    assert_eq!(told(&world, &mixed), ["Split: A[0] W[1]"]);
    assert_eq!(steps(&world, &mixed)[0], StepResult::LineForbids);
}

#[test]
fn what_the_methods_of_the_lines_force_is_not_guarded() {
    let (pickup, home) = (
        Methods::of([Method::Pickup]),
        Methods::of([Method::ShipToHome]),
    );
    // p1 is worth 1 euro, p2 is worth 2, f1 is worth 3.
    let check = |levels: &[(&str, &str, i64)],
                 by_line: &[Methods],
                 parts: u32,
                 value: i64,
                 way: &[&str],
                 result: StepResult| {
        let mut world = chain();
        stock(&mut world, levels);
        set(
            &mut world,
            RoutingPolicy {
                split_parts_max: parts,
                split_part_value_min: value,
                ..RoutingPolicy::default()
            },
        );
        let asked = Asked {
            lines: &[("p1", 1), ("p2", 1), ("f1", 1)],
            by_line: by_line.to_vec(),
            ..Asked::default()
        };
        assert_eq!(told(&world, &asked), way, "{parts} parts of {value}");
        assert_eq!(steps(&world, &asked)[5], result, "{parts} parts of {value}");
    };
    let (found, many) = (StepResult::Found, StepResult::TooManyParts);
    let together = [("p1", "A", 5), ("p2", "W", 5), ("f1", "W", 5)];
    let mixed = [pickup, home, home];
    // Not to split is no reason to refuse what nobody can do in one part.
    check(&together, &mixed, 1, 0, &["Split: W[1,2] A[0]"], found);
    check(&together, &mixed, 0, 0, &["Split: W[1,2] A[0]"], found);
    // Nor is what such a part is worth.
    check(&together, &mixed, 1, 9999, &["Split: W[1,2] A[0]"], found);
    // Where the pickups themselves lie apart, a part more counts, and what both of them are worth.
    let apart = [("p1", "A", 5), ("p2", "B", 5), ("f1", "W", 5)];
    let mixed = [pickup, pickup, home];
    check(&apart, &mixed, 1, 0, &[], many);
    check(&apart, &mixed, 2, 100, &["Split: A[0] B[1] W[2]"], found);
    check(&apart, &mixed, 2, 101, &[], StepResult::PartTooSmall);
    // Lines that could have gone together, had a place all of it, force nothing.
    let either = Methods::of([Method::Pickup, Method::ShipToHome]);
    check(&together, &[either, either, home], 1, 0, &[], many);
    check(
        &together,
        &[either, either, home],
        2,
        101,
        &[],
        StepResult::PartTooSmall,
    );
    // A third way that only the stock asks for counts as well.
    let stray = [("p1", "A", 5), ("p2", "C", 5), ("f1", "W", 5)];
    let sent = Methods::of([Method::ShipFromStore, Method::ShipToHome]);
    check(&stray, &[pickup, sent, home], 1, 0, &[], many);
    check(
        &stray,
        &[pickup, sent, home],
        2,
        200,
        &["Split: A[0] C[1] W[2]"],
        found,
    );
    check(
        &stray,
        &[pickup, sent, home],
        2,
        201,
        &[],
        StepResult::PartTooSmall,
    );
}

#[test]
fn parts_at_one_place_do_not_count_on_the_same_goods() {
    let mut world = chain();
    allow_splits(&mut world);
    stock(&mut world, &[("p1", "C", 1)]);
    // The same product, one piece to be picked up and one to be sent.
    let twice = Asked {
        lines: &[("p1", 1), ("p1", 1)],
        by_line: vec![
            Methods::of([Method::Pickup]),
            Methods::of([Method::ShipFromStore]),
        ],
        ..Asked::default()
    };
    assert_eq!(told(&world, &twice), [""; 0]);
    assert_eq!(steps(&world, &twice)[5], StepResult::NoStock);
    world.wait_ms(1);
    stock(&mut world, &[("p1", "C", 2)]);
    assert_eq!(told(&world, &twice), ["Split: C[0] C[1]"]);
}

#[test]
fn costs_are_sums_of_weights_and_ties_go_to_the_nearest_and_the_smaller_id() {
    let mut world = chain();
    for id in ["A", "B", "C", "W"] {
        stock(&mut world, &[("p1", id, 50), ("p2", id, 50)]);
    }
    let mut costs = [MethodCost::default(); 4];
    costs[Method::Pickup as usize] = MethodCost {
        order_minor: 100,
        line_minor: 10,
        km_minor: 5,
        ..MethodCost::default()
    };
    costs[Method::ShipToHome as usize] = MethodCost {
        parcel_minor: 590,
        ..MethodCost::default()
    };
    let policy = RoutingPolicy {
        costs,
        parcel_units_max: 4,
        full_store_minor: 1000,
        wait_hour_minor: 60,
        rank_by: RankBy::Cost,
        ..RoutingPolicy::default()
    };
    set(&mut world, policy.clone());
    let asked = Asked {
        lines: &[("p1", 3), ("p2", 2)],
        max_options: 10,
        ..Asked::default()
    };
    // 10.0 and 20.0 km; five pieces are two parcels.
    let ways = [
        "PickupNow: A 120",
        "PickupNow: B 170",
        "PickupNow: C 220",
        "ShipFromStore: C",
        "ShipToHome: W 1180",
    ];
    assert_eq!(told(&world, &asked), ways);
    // A opens in an hour and is half full then: dearer than B and C.
    let busy = Store {
        opening: vec![OpeningInterval {
            iso_day: 1,
            open_minute: 660,
            close_minute: 780,
        }],
        location_terms: Arc::new(LocationTerms {
            slots: Some(SlotRules {
                length_minutes: 60,
                capacity: 1,
            }),
            ..LocationTerms::default()
        }),
        ..store_at("A", 45.0, 9.0)
    };
    world.ok(Command::PutStores(vec![busy]));
    world.hold("o1", &[("p1", 1)], &["A"]);
    let ways = [
        "PickupNow: B 170",
        "PickupNow: C 220",
        // Two hours at 60, half of 1000, and 120.
        "PickupNearTime: A 740",
        "ShipFromStore: C",
        "ShipToHome: W 1180",
    ];
    assert_eq!(told(&world, &asked), ways);
    // Nearest first puts it in front again, and readiness behind.
    let nearest = |rank_by| RoutingPolicy {
        rank_by,
        ..RoutingPolicy::default()
    };
    set(&mut world, nearest(RankBy::Distance));
    assert_eq!(
        told(&world, &asked)[..3],
        ["PickupNearTime: A", "PickupNow: B", "PickupNow: C"]
    );
    set(&mut world, nearest(RankBy::Readiness));
    assert_eq!(
        told(&world, &asked)[..3],
        ["PickupNow: B", "PickupNow: C", "PickupNearTime: A"]
    );
    // Equal in everything: the smaller id, numbers before names.
    let twins = ["b", "10", "9"].map(|id| store_at(id, 45.0, 9.0));
    world.ok(Command::PutStores(twins.to_vec()));
    for id in ["b", "10", "9"] {
        stock(&mut world, &[("p1", id, 50), ("p2", id, 50)]);
    }
    set(&mut world, policy);
    assert_eq!(
        told(&world, &asked)[..3],
        ["PickupNow: 9 120", "PickupNow: 10 120", "PickupNow: b 120"]
    );
}

#[test]
fn the_next_pickup_is_told_where_none_is_possible_now() {
    let mut world = chain();
    stock(&mut world, &[("p1", "A", 5), ("p2", "A", 5)]);
    let asked = Asked {
        methods: Methods::PICKUP,
        ..Asked::default()
    };
    climb(&world, &asked, |_, ladder| {
        assert_eq!(ladder.next_pickup, None, "it is possible now");
    });
    let closed = Store {
        // In New York it is four in the morning.
        time_zone: TimeZone::get("America/New_York").expect("a zone"),
        opening: vec![OpeningInterval {
            iso_day: 2,
            open_minute: 600,
            close_minute: 1200,
        }],
        ..store_at("A", 45.0, 9.0)
    };
    world.ok(Command::PutStores(vec![closed]));
    let tomorrow = world.now.plus_ms((24 + 6) * 3_600_000);
    climb(&world, &asked, |_, ladder| {
        let next = ladder.next_pickup.expect("the next one");
        let (start, end) = next.pickup.promised().expect("a window");
        assert_eq!(start, tomorrow);
        assert_eq!(end, tomorrow.plus_ms(10 * 3_600_000));
        assert_eq!(ladder.ways[0].step, Step::PickupNearTime);
    });
    // Also where only open stores are wanted, and so none is an option.
    climb(&world, &asked, |query, _| {
        let open = LadderQuery {
            plan: PlanQuery {
                require_open_now: true,
                ..query.plan
            },
            ..*query
        };
        let found = ladder(&world.state, &open);
        assert!(found.ways.is_empty());
        let next = found.next_pickup.expect("the next one");
        assert_eq!(next.pickup.promised().map(|p| p.0), Some(tomorrow));
        assert_eq!(found.steps[0].result, StepResult::NoWindow);
    });
}

#[test]
fn a_policy_is_replaced_whole_and_only_at_the_version_it_was_read() {
    let mut world = chain();
    let change = |etag, validate_only, split_parts_max| {
        let policy = RoutingPolicy {
            split_parts_max,
            ..RoutingPolicy::default()
        };
        Command::SetRoutingPolicy(Box::new(PolicyChange {
            policy,
            etag,
            validate_only,
        }))
    };
    assert_eq!(world.state.routing_policy.get().version.0, 0);
    assert!(
        !world.changes(change(Some(0), false, 1)),
        "it is so already"
    );
    assert!(!world.changes(change(Some(0), true, 5)), "only checked");
    assert!(world.changes(change(Some(0), false, 5)));
    let set = world.state.routing_policy.get();
    assert_eq!(set.split_parts_max, 5);
    assert_eq!(
        world.refused(change(Some(0), false, 6)),
        Rejection::EtagMismatch
    );
    assert!(world.changes(change(Some(set.version.0), false, 6)));
    let reply = world.ok(change(None, true, 7));
    assert!(matches!(reply, Reply::RoutingPolicy(policy) if policy.split_parts_max == 7));
    assert_eq!(world.state.routing_policy.get().split_parts_max, 6);
    world.assert_recoverable();
}

#[test]
fn another_policy_is_tried_on_routings_of_the_past() {
    let mut world = chain();
    for id in ["A", "B", "W"] {
        stock(&mut world, &[("p1", id, 50), ("p2", id, 50)]);
    }
    let past = |world: &World, asked: &Asked<'_>| climb(world, asked, PastRouting::of);
    let try_on = |world: &World, policy: &RoutingPolicy, routings: &[&PastRouting]| {
        let mut run = DryRun::default();
        routings
            .iter()
            .for_each(|routing| run.add(&world.state, policy, routing));
        run
    };
    let whole = past(
        &world,
        &Asked {
            max_options: 10,
            ..Asked::default()
        },
    );
    let first_three = past(&world, &Asked::default());
    let one = past(
        &world,
        &Asked {
            max_options: 1,
            ..Asked::default()
        },
    );
    // The same policy chooses the same.
    let same = try_on(
        &world,
        &RoutingPolicy::default(),
        &[&whole, &first_three, &one],
    );
    assert_eq!((same.routings, same.changed, same.covered), (3, 0, 3));
    assert_eq!(same.before, same.after);
    // One under which pickups at A are dear: where only the nearest candidate was kept, that cannot be told.
    let forbid_near = RoutingPolicy {
        rules: vec![rule("no pickups", &[Method::Pickup], RuleEffect::Forbid)],
        ..RoutingPolicy::default()
    };
    let run = try_on(&world, &forbid_near, &[&whole, &one]);
    assert_eq!((run.routings, run.changed, run.covered), (2, 2, 1));
    assert_eq!(
        run.after.fulfilled, 1,
        "the warehouse is known of one alone"
    );
    let warehouse = world.store("W");
    assert!(run.after.places.contains(&warehouse) && run.after.places.len() == 1);
    // Splits: what a tighter guard would have left out.
    let mut split = chain();
    allow_splits(&mut split);
    stock(&mut split, &[("p1", "A", 5), ("p2", "B", 5)]);
    let parts = past(&split, &Asked::default());
    let never = RoutingPolicy {
        split_parts_max: 1,
        ..RoutingPolicy::default()
    };
    let run = try_on(&split, &never, &[&parts]);
    assert_eq!(
        (run.before.split, run.after.split, run.after.fulfilled),
        (1, 0, 0)
    );
}
