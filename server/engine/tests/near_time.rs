//! Pickup of what is on its way: offered after what is there, claimed by a hold, and at risk once it does not come.

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use geo::Point;
use jiff::Timestamp;
use proptest::prelude::*;
use tillside_engine::catalog::OpeningInterval;
use tillside_engine::command::{
    Adjustment, Command, InboundDraft, InboundLineDraft, ReceiptDraft, Reserve,
};
use tillside_engine::fulfillment_ladder::{Ladder, LadderQuery, Step, StepResult, ladder};
use tillside_engine::ids::{CellKey, ReservationId};
use tillside_engine::limits::NEAR_TIME_STEP_MS;
use tillside_engine::location_terms::{Method, Methods};
use tillside_engine::order::PickProblem;
use tillside_engine::order_command::{FoundLine, OrderCommand, OrderStep, PickException};
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::reservation::{Reservation, ReservationState};
use tillside_engine::routing::PlanQuery;
use tillside_engine::shortage::at_risk;
use tillside_engine::stock::MoveReason;
use tillside_engine::units::Time;
use world::build::{count, movement, store_at};
use world::{World, property};

const HOUR: i64 = 3_600_000;

fn announce(id: &str, store: &str, expected: Time, of: &[(&str, i64)]) -> Command {
    Command::ScheduleInbound(InboundDraft {
        delivery_id: id.into(),
        store_id: store.into(),
        from_store_id: None,
        expected,
        lines: lines(of),
        occurred: None,
    })
}

fn receive(id: &str, of: &[(&str, i64)], complete: bool) -> Command {
    Command::ReceiveInbound(ReceiptDraft {
        delivery_id: id.into(),
        lines: lines(of),
        complete,
        occurred: None,
    })
}

fn lines(of: &[(&str, i64)]) -> Vec<InboundLineDraft> {
    let line = |(sku, pieces): &(&str, i64)| InboundLineDraft {
        sku: (*sku).into(),
        quantity: pieces * 1000,
        unit: None,
    };
    of.iter().map(line).collect()
}

/// At A nothing, and three of p1 in an hour; at B, farther away, two of p1.
fn awaiting() -> World {
    let mut world = World::shop();
    world.now = Time(world.now.0 - world.now.0.rem_euclid(NEAR_TIME_STEP_MS));
    world.ok(count("p1", "B", 2));
    world.wait_ms(1);
    let soon = world.now.plus_ms(HOUR);
    world.ok(announce("d1", "A", soon, &[("p1", 3)]));
    world
}

fn plan(world: &World, pieces: i64) -> Ladder {
    let policy = world.state.routing_policy.get();
    let origin = world.state.stores.get(world.store("A"));
    ladder(
        &world.state,
        &LadderQuery {
            plan: PlanQuery {
                origin: origin.expect("store A").location,
                lines: &world.wanted(&[("p1", pieces)]),
                limit_mm: u64::MAX,
                max_options: 3,
                require_open_now: false,
                only_store: None,
                now: world.now,
                own: Default::default(),
                travel_zone: None,
                by: Default::default(),
            },
            methods: Methods::of([Method::Pickup]),
            line_methods: &[],
            destination_point: None::<Point<f64>>,
            destination: None,
            policy: &policy,
            explain: true,
        },
    )
}

fn near_time(world: &World, order: &str, pieces: i64, store: &str) -> Command {
    let mut reserve: Reserve = world.reserve(order, &[("p1", pieces)], &[store]);
    reserve
        .candidates
        .iter_mut()
        .for_each(|c| c.near_time = true);
    Command::Reserve(reserve)
}

fn exact(world: &World, order: &str, pieces: i64, store: &str) -> Command {
    Command::Reserve(world.reserve(order, &[("p1", pieces)], &[store]))
}

fn held(reply: Reply) -> Arc<Reservation> {
    match reply {
        Reply::Reservation(reservation) => reservation,
        other => panic!("{other:?}"),
    }
}

/// Pieces that a reservation still waits for.
fn awaited(world: &World, id: ReservationId) -> i64 {
    let reservation = world.state.reservation(id).expect("it was made");
    reservation.lines.iter().map(|l| l.claimed() / 1000).sum()
}

/// (reservation, pieces that are missing) at A.
fn risks(world: &World) -> Vec<(ReservationId, i64)> {
    let short: Vec<CellKey> = world.state.stock.short_cells().collect();
    let found = at_risk(&world.state, &short, world.now);
    found
        .iter()
        .map(|r| (r.reservation, r.missing / 1000))
        .collect()
}

#[test]
fn what_is_on_its_way_is_offered_after_what_is_there() {
    let world = awaiting();
    let check = |pieces: i64, expect: &[(Step, &str, bool)], near: StepResult| {
        let found = plan(&world, pieces);
        let told: Vec<_> = (found.ways.iter())
            .map(|way| {
                let leg = &way.legs[0];
                let store = world.state.stores.get(leg.place).expect("a store");
                (way.step, store.store_id.to_string(), leg.expected.is_some())
            })
            .collect();
        let expect: Vec<_> = (expect.iter())
            .map(|(step, store, awaits)| (*step, (*store).to_owned(), *awaits))
            .collect();
        assert_eq!(told, expect, "{pieces} pieces");
        assert_eq!(found.steps[1].result, near, "{pieces} pieces");
        let taken = |id| found.ways.iter().any(|way| way.legs[0].place == id);
        assert!(!found.rejected.iter().any(|(id, _, _)| taken(*id)));
    };
    use Step::{PickupNearTime, PickupNow};
    let (b, a) = ((PickupNow, "B", false), (PickupNearTime, "A", true));
    check(2, &[b, a], StepResult::Found);
    check(3, &[a], StepResult::Found);
    check(4, &[], StepResult::NoStock);
}

#[test]
fn the_pickup_is_after_the_delivery() {
    let mut world = awaiting();
    // Open from eight to eight, in Rome.
    let mut store = store_at("A", 45.0, 9.0);
    let hours = (1..=7).map(|iso_day| OpeningInterval {
        iso_day,
        open_minute: 480,
        close_minute: 1200,
    });
    store.opening = hours.collect();
    world.ok(Command::PutStores(vec![store]));
    let check = |world: &mut World, order: &str, expected: &str, pickup: &str| {
        let expected: Timestamp = expected.parse().expect("a time");
        let expected = Time(expected.as_millisecond());
        world.ok(announce("d1", "A", expected, &[("p1", 3)]));
        let leg = plan(world, 3).ways[0].legs[0].clone();
        assert!(leg.hold_first, "what is on its way is never sure");
        let promised = leg.pickup.promised();
        let (start, end) = promised.expect("a window");
        let told = [start, end].map(|t| Timestamp::from_millisecond(t.0).expect("a time"));
        assert_eq!(format!("{} – {}", told[0], told[1]), pickup);
        let held = held(world.ok(near_time(world, order, 3, "A")));
        assert_eq!(held.window, promised);
        world.ok(Command::ReleaseReservation(held.id));
    };
    world.now = Time(
        "2026-11-23T09:00:00Z"
            .parse::<Timestamp>()
            .expect("a time")
            .as_millisecond(),
    );
    check(
        &mut world,
        "o1",
        "2026-11-23T12:30:00Z",
        "2026-11-23T12:30:00Z – 2026-11-23T19:00:00Z",
    );
    check(
        &mut world,
        "o2",
        "2026-11-23T20:30:00Z",
        "2026-11-24T07:00:00Z – 2026-11-24T19:00:00Z",
    );
}

#[test]
fn a_hold_claims_what_is_on_its_way() {
    let mut world = awaiting();
    world.ok(count("p1", "A", 1));
    world.wait_ms(1);
    assert_eq!(
        world.refused(exact(&world, "o1", 2, "A")),
        Rejection::Contended
    );
    let first = held(world.ok(near_time(&world, "o1", 2, "A"))).id;
    assert_eq!(awaited(&world, first), 1, "one is on the shelf");
    let second = held(world.ok(near_time(&world, "o2", 2, "A"))).id;
    assert_eq!(awaited(&world, second), 2);
    // Of four pieces, there and announced, four are promised.
    let third = near_time(&world, "o3", 1, "A");
    assert_eq!(world.refused(third), Rejection::Contended);
    assert_eq!(plan(&world, 1).ways.len(), 1, "B alone");
    world.ok(Command::ConfirmReservation(second));
    assert_eq!(risks(&world), []);
    // It is late: nothing of it can be counted on, what is confirmed comes first.
    let (expected, quarter) = (HOUR, NEAR_TIME_STEP_MS);
    world.wait_ms(expected + quarter);
    world.fire_timers();
    assert_eq!(risks(&world), [(second, 1)], "the hold has run out");
    world.ok(receive("d1", &[], false));
    assert_eq!(risks(&world), []);
    assert_eq!(awaited(&world, second), 0);
    assert_eq!(world.level("p1", "A").available_online(), 2_000);
    world.assert_recoverable();
}

#[test]
fn what_does_not_come_is_missing_at_the_latest_promise() {
    let check = |comes: Command, expect: [i64; 2]| {
        let mut world = awaiting();
        let told = format!("{comes:?}");
        let ids = ["o1", "o2"].map(|order| {
            let pieces = if order == "o1" { 2 } else { 1 };
            held(world.ok(near_time(&world, order, pieces, "A"))).id
        });
        world.ok(comes);
        let missing: BTreeMap<_, _> = risks(&world).into_iter().collect();
        let missing = ids.map(|id| missing.get(&id).copied().unwrap_or(0));
        assert_eq!(missing, expect, "{told}");
        world.assert_recoverable();
    };
    check(receive("d1", &[("p1", 3)], true), [0, 0]);
    check(receive("d1", &[("p1", 2)], true), [0, 1]);
    check(receive("d1", &[("p1", 1)], true), [1, 1]);
    // The rest may still come.
    check(receive("d1", &[("p1", 1)], false), [0, 0]);
    let cancelled = Command::CancelInbound {
        delivery_id: "d1".into(),
    };
    check(cancelled, [2, 1]);
}

#[test]
fn a_claim_takes_nothing_off_the_shelf_of_those_who_hold_it() {
    let mut world = awaiting();
    world.ok(count("p1", "A", 2));
    world.wait_ms(1);
    world.ok(exact(&world, "shelf", 2, "A"));
    world.ok(near_time(&world, "later", 3, "A"));
    // Asking again for what it holds: it is there.
    let again = held(world.ok(exact(&world, "shelf", 2, "A")));
    assert_eq!(awaited(&world, again.id), 0);
    let more = world.refused(exact(&world, "shelf", 3, "A"));
    assert_eq!(more, Rejection::Contended);
    world.ok(near_time(&world, "shelf", 2, "A"));
    assert_eq!(risks(&world), []);
    world.assert_recoverable();
}

/// (on_hand, damaged) of p1 at A, in pieces.
fn shelf(world: &World) -> (i64, i64) {
    let level = world.level("p1", "A");
    (level.on_hand / 1000, level.damaged / 1000)
}

fn step(id: ReservationId, step: OrderStep) -> Command {
    Command::Order(Box::new(OrderCommand {
        id,
        etag: None,
        step,
    }))
}

/// Nobody finds what has not come, and the stock is right without it.
#[test]
fn a_pick_exception_about_what_has_not_come_moves_no_stock() {
    let check = |there: i64, found: i64, problem: PickProblem, expect: (i64, i64), awaits: i64| {
        let mut world = awaiting();
        world.ok(count("p1", "A", there));
        world.wait_ms(1);
        let id = held(world.ok(near_time(&world, "o1", there + 3, "A"))).id;
        world.ok(Command::ConfirmReservation(id));
        let lines = vec![FoundLine {
            line_id: "0".into(),
            found: found * 1000,
            problem,
        }];
        let report = OrderStep::PickException(PickException {
            lines,
            max_options: 1,
            move_to_next: false,
        });
        world.ok(step(id, report));
        let told = format!("{found} of {there} found, {problem:?}");
        assert_eq!(shelf(&world), expect, "{told}");
        assert_eq!(awaited(&world, id), awaits, "{told}");
        world.ok(receive("d1", &[], true));
        assert_eq!(shelf(&world).0, expect.0 + 3, "{told}");
        world.assert_recoverable();
    };
    use PickProblem::{Damaged, Declined, NotFound};
    check(0, 0, NotFound, (0, 0), 0);
    check(2, 2, NotFound, (2, 0), 0);
    check(2, 2, Damaged, (2, 0), 0);
    // One of the two that should be on the shelf is not.
    check(2, 1, NotFound, (1, 0), 0);
    check(2, 1, Damaged, (2, 1), 0);
    check(2, 0, Declined, (2, 0), 0);
    // A part of the delivery is there before anybody said so.
    check(2, 4, NotFound, (2, 0), 2);
}

#[test]
fn what_has_not_come_is_not_put_back() {
    let mut world = awaiting();
    world.ok(count("p1", "A", 1));
    world.wait_ms(1);
    let first = held(world.ok(near_time(&world, "o1", 3, "A"))).id;
    let second = held(world.ok(near_time(&world, "o2", 1, "A"))).id;
    for id in [first, second] {
        world.ok(Command::ConfirmReservation(id));
        world.ok(step(id, OrderStep::StartPicking));
    }
    let cancel = |order: &str| Command::CancelOrder {
        order_id: order.into(),
    };
    world.ok(cancel("o1"));
    let after = world.state.reservation(first).expect("it was made");
    assert_eq!(
        (after.state, after.lines[0].held),
        (ReservationState::NeedsPutBack, 1000)
    );
    // All of the delivery is free for others, and what comes is theirs.
    let third = held(world.ok(near_time(&world, "o3", 2, "A"))).id;
    world.ok(receive("d1", &[], true));
    assert_eq!([second, third].map(|id| awaited(&world, id)), [0, 0]);
    assert_eq!(risks(&world), []);
    world.ok(cancel("o2"));
    let state = |world: &World| world.state.reservation(second).map(|r| r.state);
    assert_eq!(state(&world), Some(ReservationState::NeedsPutBack));
    world.assert_recoverable();
}

/// Others wait for a delivery; what is found meanwhile is for who asks.
#[test]
fn what_is_on_the_shelf_is_planned_and_held_while_others_wait() {
    let mut world = awaiting();
    world.ok(near_time(&world, "waits", 3, "A"));
    world.ok(Command::AdjustStock(movement("p1", "A", 2)));
    assert!(world.level("p1", "A").available_online() < 0);
    let found = plan(&world, 2);
    let at_a = found
        .ways
        .iter()
        .find(|way| way.legs[0].place == world.store("A"));
    let way = at_a.expect("two are there");
    assert_eq!((way.step, way.legs[0].expected), (Step::PickupNow, None));
    let now = held(world.ok(exact(&world, "now", 2, "A")));
    assert_eq!(awaited(&world, now.id), 0);
    assert_eq!(risks(&world), []);
    world.assert_recoverable();
}

/// The shelf owes more than it has: what comes is for those who were promised it.
#[test]
fn what_comes_is_not_taken_for_what_was_gone_before() {
    let mut world = awaiting();
    world.ok(announce(
        "d2",
        "A",
        world.now.plus_ms(2 * HOUR),
        &[("p1", 2)],
    ));
    let waits = held(world.ok(near_time(&world, "o1", 5, "A"))).id;
    // Three were sold that nobody had booked in yet.
    world.ok(Command::AdjustStock(movement("p1", "A", -3)));
    world.ok(receive("d1", &[], true));
    assert_eq!(
        awaited(&world, waits),
        5,
        "nothing of it is left for this order"
    );
    world.ok(receive("d2", &[], true));
    assert_eq!(awaited(&world, waits), 3);
    assert_eq!(risks(&world), [(waits, 3)]);
    world.assert_recoverable();
}

/// A store that never closes has the goods when they have come, not at any time.
#[test]
fn a_store_that_never_closes_says_when() {
    let mut world = awaiting();
    let soon = world.now.plus_ms(HOUR);
    let found = plan(&world, 3);
    let promised = found.ways[0].legs[0].pickup.promised();
    assert_eq!(promised.map(|(start, _)| start), Some(soon));
    let held = held(world.ok(near_time(&world, "o1", 3, "A")));
    assert_eq!(held.window, promised);
}

#[derive(Clone, Debug)]
enum Act {
    Announce { pieces: i64 },
    Receive { delivery: usize, pieces: i64 },
    Found { pieces: i64 },
    Hold { order: u8, pieces: i64, near: bool },
    Release { order: u8 },
    Confirm { order: u8 },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (1i64..6).prop_map(|pieces| Act::Announce { pieces }),
        (0usize..4, 1i64..4).prop_map(|(delivery, pieces)| Act::Receive { delivery, pieces }),
        (1i64..3).prop_map(|pieces| Act::Found { pieces }),
        (0u8..4, 1i64..5, any::<bool>()).prop_map(|(order, pieces, near)| Act::Hold {
            order,
            pieces,
            near
        }),
        (0u8..4).prop_map(|order| Act::Release { order }),
        (0u8..4).prop_map(|order| Act::Confirm { order }),
    ]
}

proptest! {
    #![proptest_config(property(400))]
    /// Where everything comes as it was announced, nobody is promised more than there is and than comes.
    #[test]
    fn promises_never_exceed_what_is_there_and_what_comes(acts in prop::collection::vec(act(), 1..60)) {
        let mut world = World::shop();
        let mut announced: Vec<i64> = Vec::new();
        let mut orders: BTreeMap<u8, ReservationId> = BTreeMap::new();
        let mut there = 0;
        for act in acts {
            let told = format!("{act:?}");
            match act {
                Act::Announce { pieces } => {
                    let id = format!("d{}", announced.len());
                    world.ok(announce(&id, "A", world.now.plus_ms(HOUR), &[("p1", pieces)]));
                    announced.push(pieces);
                }
                Act::Receive { delivery, pieces } => {
                    if let Some(left) = announced.get_mut(delivery).filter(|left| **left > 0) {
                        let pieces = pieces.min(*left);
                        *left -= pieces;
                        there += pieces;
                        world.ok(receive(&format!("d{delivery}"), &[("p1", pieces)], false));
                    }
                }
                Act::Found { pieces } => {
                    there += pieces;
                    world.ok(Command::AdjustStock(Adjustment {
                        reason: MoveReason::Correction,
                        ..movement("p1", "A", pieces)
                    }));
                }
                Act::Hold { order, pieces, near } => {
                    let id = format!("o{order}");
                    let reserve = if near {
                        near_time(&world, &id, pieces, "A")
                    } else {
                        exact(&world, &id, pieces, "A")
                    };
                    // What others hold of the shelf, and claim of what comes.
                    let (mut shelf, mut claimed) = (0, 0);
                    for entry in world.state.reservations.iter().filter(|r| r.holds_stock()) {
                        if *entry.order_id != *id {
                            shelf += entry.lines.iter().map(|l| (l.held - l.claimed()) / 1000).sum::<i64>();
                            claimed += entry.lines.iter().map(|l| l.claimed() / 1000).sum::<i64>();
                        }
                    }
                    let placed = orders.get(&order).and_then(|id| world.state.reservation(*id));
                    let placed = placed.is_some_and(|r| r.state == ReservationState::Confirmed);
                    let comes: i64 = announced.iter().sum();
                    let room = if near { there - shelf + comes - claimed } else { there - shelf };
                    match world.run(reserve) {
                        Ok(reply) => {
                            prop_assert!(pieces <= room && !placed, "{told}: room for {room}");
                            let reservation = held(reply);
                            prop_assert!(near || awaited(&world, reservation.id) == 0);
                            orders.insert(order, reservation.id);
                        }
                        Err(refused) => {
                            prop_assert!(placed || pieces > room, "{told}: {refused}, room for {room}");
                        }
                    }
                }
                Act::Release { order } => {
                    if let Some(id) = orders.remove(&order) {
                        world.ok(Command::ReleaseReservation(id));
                    }
                }
                Act::Confirm { order } => {
                    if let Some(id) = orders.get(&order) {
                        world.ok(Command::ConfirmReservation(*id));
                    }
                }
            }
            let (mut shelf, mut claimed) = (0, 0);
            for entry in world.state.reservations.iter().filter(|r| r.holds_stock()) {
                shelf += entry.lines.iter().map(|l| (l.held - l.claimed()) / 1000).sum::<i64>();
                claimed += entry.lines.iter().map(|l| l.claimed() / 1000).sum::<i64>();
            }
            let comes: i64 = announced.iter().sum();
            prop_assert!(shelf <= there, "{}: {} of {} promised off the shelf", told, shelf, there);
            prop_assert!(claimed <= comes, "{}: {} of {} claimed", told, claimed, comes);
            prop_assert_eq!(risks(&world), []);
        }
        world.assert_recoverable();
    }
}
