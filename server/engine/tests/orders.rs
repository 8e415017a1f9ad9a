//! The life of an order after its hold: each step, what it does to the stock, what it refuses, and that done twice it is
//! done once.

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tillside_engine::catalog::{Patience, Store};
use tillside_engine::command::{Command, SaleDraft};
use tillside_engine::event::Event;
use tillside_engine::ids::{CellKey, ReservationId, Sequence};
use tillside_engine::ledger::{Movement, movements};
use tillside_engine::limits::{ENDED_RESERVATION_MS, HOLD_MS_DEFAULT, REROUTES_MAX};
use tillside_engine::order::{HandoverKind, PaymentState, PickProblem, Shipment};
use tillside_engine::order_command::{
    FoundLine, HandOver, OrderCommand, OrderStep, PickException, Terms,
};
use tillside_engine::pickup_code;
use tillside_engine::reject::Rejection;
use tillside_engine::reply::{Reply, Warning};
use tillside_engine::reservation::{Reservation, ReservationState as At};
use tillside_engine::state::lock;
use tillside_engine::units::Time;
use world::build::{INDEX_KEY, count, receipt, settling, store_at};
use world::{World, property};

const HOUR_MS: i64 = 3_600_000;

/// Ten pieces of every product in every store.
fn stocked() -> World {
    let mut world = World::shop();
    for sku in ["p1", "p2", "p3"] {
        for store in ["A", "B", "C"] {
            world.ok(count(sku, store, 10));
        }
    }
    world.wait_ms(1);
    world
}

/// Gives every store the same patience.
fn patient(world: &mut World, acknowledge_ms: Option<i64>, no_show_ms: Option<i64>) {
    let patience = Patience {
        acknowledge_ms,
        no_show_ms,
    };
    let stores = ["A", "B", "C"].iter().zip([45.0, 45.09, 45.18]);
    let store = |(id, lat): (&&str, f64)| Store {
        patience,
        ..store_at(id, lat, 9.0)
    };
    world.ok(Command::PutStores(stores.map(store).collect()));
}

fn step(id: ReservationId, step: OrderStep) -> Command {
    let etag = None;
    Command::Order(Box::new(OrderCommand { id, etag, step }))
}

fn reservation_of(reply: Reply) -> Arc<Reservation> {
    match reply {
        Reply::Reservation(reservation) => reservation,
        other => panic!("{other:?}"),
    }
}

/// Takes a step that changes something, and takes it again: nothing changes and the answer is the same.
fn once(world: &mut World, id: ReservationId, what: OrderStep) -> Arc<Reservation> {
    let before = world.log.len();
    let first = reservation_of(world.ok(step(id, what.clone())));
    assert!(world.log.len() > before, "{what:?} changes something");
    let changes = world.log.len();
    let again = reservation_of(world.ok(step(id, what)));
    assert_eq!((again, world.log.len()), (Arc::clone(&first), changes));
    assert_eq!(world.state.reservation(id).as_ref(), Some(&first));
    first
}

fn confirmed(world: &mut World, order: &str, lines: &[(&str, i64)]) -> ReservationId {
    let id = world.hold(order, lines, &["A"]).id;
    world.ok(Command::ConfirmReservation(id));
    id
}

fn ready(world: &mut World, order: &str, lines: &[(&str, i64)]) -> ReservationId {
    let id = confirmed(world, order, lines);
    world.ok(step(id, OrderStep::MarkReady));
    id
}

fn code(id: ReservationId) -> Arc<str> {
    pickup_code::code(&INDEX_KEY, id).into()
}

fn all_of(id: ReservationId) -> OrderStep {
    OrderStep::HandOver(HandOver {
        code: code(id),
        ..HandOver::default()
    })
}

fn some_of(id: ReservationId, lines: &[(&str, i64)]) -> OrderStep {
    let lines = lines.iter().map(|(l, n)| ((*l).into(), Some(n * 1000)));
    OrderStep::HandOver(HandOver {
        lines: lines.collect(),
        code: code(id),
        ..HandOver::default()
    })
}

fn short(lines: &[(&str, i64, PickProblem)], move_to_next: bool) -> OrderStep {
    let line = |(line, found, problem): &(&str, i64, PickProblem)| FoundLine {
        line_id: (*line).into(),
        found: found * 1000,
        problem: *problem,
    };
    OrderStep::PickException(PickException {
        lines: lines.iter().map(line).collect(),
        move_to_next,
        max_options: 3,
    })
}

fn at(world: &World, id: ReservationId) -> At {
    world.state.reservation(id).expect("made before").state
}

/// (on hand, reserved, committed, damaged) in pieces.
fn level(world: &World, sku: &str, store: &str) -> (i64, i64, i64, i64) {
    let level = world.level(sku, store);
    (
        level.on_hand / 1000,
        level.reserved / 1000,
        level.committed / 1000,
        level.damaged / 1000,
    )
}

fn sell(world: &mut World, number: i64, id: ReservationId, lines: &[(&str, i64)]) -> Vec<Warning> {
    let lines = lines.iter().map(|(sku, n)| settling(sku, *n, id)).collect();
    match world.sell(SaleDraft {
        lines,
        ..receipt("A", number)
    }) {
        Reply::Ingested { warnings } => warnings.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_order_goes_from_its_hold_to_its_customer() {
    let mut world = stocked();
    let id = world.hold("o1", &[("p1", 3), ("p2", 1)], &["A"]).id;
    let terms = Terms {
        payment: PaymentState::Authorised,
        handover: HandoverKind::Curbside,
    };
    let placed = once(&mut world, id, OrderStep::Confirm(terms));
    assert_eq!(
        (
            placed.state,
            placed.handling.payment,
            placed.handling.handover
        ),
        (
            At::Confirmed,
            PaymentState::Authorised,
            HandoverKind::Curbside
        )
    );
    assert_eq!(
        once(&mut world, id, OrderStep::Acknowledge).state,
        At::Confirmed
    );
    assert_eq!(
        once(&mut world, id, OrderStep::StartPicking).state,
        At::Picking
    );
    assert_eq!(level(&world, "p1", "A"), (10, 0, 3, 0));
    world.wait_ms(HOUR_MS);
    let waiting = once(&mut world, id, OrderStep::MarkReady);
    assert_eq!(
        (waiting.state, waiting.handling.ready),
        (At::Ready, Some(world.now))
    );
    assert_eq!(waiting.lines[0].picked, 3000);
    let done = once(&mut world, id, all_of(id));
    assert_eq!(
        (done.state, done.lines[0].handed_over),
        (At::Fulfilled, 3000)
    );
    assert_eq!(level(&world, "p1", "A"), (7, 0, 0, 0));
    assert_eq!(level(&world, "p2", "A"), (9, 0, 0, 0));
    world.assert_recoverable();
}

#[test]
fn the_money_may_come_after_the_order_and_never_goes() {
    let mut world = stocked();
    let id = confirmed(&mut world, "o1", &[("p1", 1)]);
    let pay = |payment| {
        OrderStep::Confirm(Terms {
            payment,
            handover: HandoverKind::Locker,
        })
    };
    let paid = once(&mut world, id, pay(PaymentState::Paid));
    assert_eq!(
        (paid.handling.payment, paid.handling.handover),
        (PaymentState::Paid, HandoverKind::Counter)
    );
    assert!(!world.changes(step(id, pay(PaymentState::Authorised))));
}

#[test]
fn a_step_on_another_version_is_refused() {
    let mut world = stocked();
    let id = confirmed(&mut world, "o1", &[("p1", 1)]);
    let version = world.state.reservation(id).expect("made").version;
    let picking = |etag| {
        let step = OrderStep::StartPicking;
        Command::Order(Box::new(OrderCommand { id, etag, step }))
    };
    assert_eq!(
        world.refused(picking(Some(Sequence(version.0 - 1)))),
        Rejection::EtagMismatch
    );
    assert!(world.changes(picking(Some(version))));
}

#[test]
fn each_step_has_its_states() {
    let steps = |id| {
        [
            ("extend", OrderStep::Extend { hold_ms: HOUR_MS }),
            ("acknowledge", OrderStep::Acknowledge),
            ("pick", OrderStep::StartPicking),
            ("ready", OrderStep::MarkReady),
            ("hand over", all_of(id)),
            ("ship", OrderStep::MarkShipped(Shipment::default())),
            ("put back", OrderStep::PutBack),
            ("short", short(&[("0", 0, PickProblem::Declined)], false)),
        ]
    };
    // What reaches a state, the steps that go on from it, and those that lie behind it.
    type Reach = fn(&mut World) -> ReservationId;
    let cases: [(At, Reach, &[&str], &[&str]); 10] = [
        (
            At::Held,
            |w| w.hold("o", &[("p1", 2)], &["A"]).id,
            &["extend"],
            &[],
        ),
        (
            At::Confirmed,
            |w| confirmed(w, "o", &[("p1", 2)]),
            &["acknowledge", "pick", "ready", "ship", "short"],
            &["extend"],
        ),
        (
            At::Picking,
            |w| {
                let id = confirmed(w, "o", &[("p1", 2)]);
                w.ok(step(id, OrderStep::StartPicking));
                id
            },
            &["ready", "ship", "short"],
            &["extend", "acknowledge", "pick"],
        ),
        (
            At::Ready,
            |w| ready(w, "o", &[("p1", 2)]),
            &["hand over", "ship", "short"],
            &["extend", "acknowledge", "pick", "ready"],
        ),
        (
            At::PartiallyPickedUp,
            |w| {
                let id = ready(w, "o", &[("p1", 2)]);
                w.ok(step(id, some_of(id, &[("0", 1)])));
                id
            },
            &["hand over"],
            &["extend", "acknowledge", "pick", "ready"],
        ),
        (
            At::Shipped,
            |w| {
                let id = confirmed(w, "o", &[("p1", 2)]);
                w.ok(step(id, OrderStep::MarkShipped(Shipment::default())));
                id
            },
            &["hand over"],
            &["acknowledge", "pick", "ship"],
        ),
        (
            At::Fulfilled,
            |w| {
                let id = ready(w, "o", &[("p1", 2)]);
                w.ok(step(id, all_of(id)));
                id
            },
            &[],
            &["acknowledge", "pick", "ready", "hand over"],
        ),
        (
            At::NeedsPutBack,
            |w| {
                let id = ready(w, "o", &[("p1", 2)]);
                w.ok(Command::CancelOrder {
                    order_id: "o".into(),
                });
                id
            },
            &["put back"],
            &[],
        ),
        (
            At::PutBack,
            |w| {
                let id = ready(w, "o", &[("p1", 2)]);
                w.ok(Command::CancelOrder {
                    order_id: "o".into(),
                });
                w.ok(step(id, OrderStep::PutBack));
                id
            },
            &[],
            &["put back"],
        ),
        (
            At::Released,
            |w| {
                let id = confirmed(w, "o", &[("p1", 2)]);
                w.ok(Command::ReleaseReservation(id));
                id
            },
            &[],
            &[],
        ),
    ];
    for (state, reach, goes_on, behind) in cases {
        for (name, what) in steps(ReservationId(1)) {
            let mut world = stocked();
            let id = reach(&mut world);
            assert_eq!((id, at(&world, id)), (ReservationId(1), state));
            let before = world.log.len();
            match world.run(step(id, what)) {
                Ok(_) if world.log.len() > before => {
                    assert!(goes_on.contains(&name), "{state:?} {name}")
                }
                Ok(_) => assert!(behind.contains(&name), "{state:?} {name}"),
                Err(Rejection::WrongState { .. } | Rejection::ReservationEnded(_)) => {
                    assert!(
                        !goes_on.contains(&name) && !behind.contains(&name),
                        "{state:?} {name}"
                    );
                }
                Err(other) => panic!("{state:?} {name}: {other}"),
            }
        }
    }
}

#[test]
fn a_hold_is_extended_and_never_shortened() {
    let mut world = stocked();
    let id = world.hold("o1", &[("p1", 1)], &["A"]).id;
    let first = world.now.plus_ms(HOLD_MS_DEFAULT);
    assert!(!world.changes(step(id, OrderStep::Extend { hold_ms: 1000 })));
    world.wait_ms(HOLD_MS_DEFAULT - 1);
    let longer = reservation_of(world.ok(step(id, OrderStep::Extend { hold_ms: HOUR_MS })));
    assert_eq!(longer.expire, world.now.plus_ms(HOUR_MS));
    assert!(longer.expire > first);
    world.wait_ms(HOUR_MS - 1);
    assert!(world.changes(Command::ConfirmReservation(id)));
    let late = world.hold("o2", &[("p1", 1)], &["A"]).id;
    world.wait_ms(HOLD_MS_DEFAULT);
    assert_eq!(
        world.step(&step(late, OrderStep::Extend { hold_ms: HOUR_MS })),
        Err(Rejection::ReservationExpired)
    );
}

#[test]
fn an_extended_hold_keeps_its_checkout() {
    let mut world = stocked();
    let mut reserve = world.reserve("till 1", &[("p1", 1)], &["A"]);
    reserve.checkout_revision = Some(1);
    let Reply::CheckoutHold {
        reservation: Some(hold),
        ..
    } = world.ok(Command::Reserve(reserve))
    else {
        panic!("held");
    };
    let expire = |world: &World| world.state.checkouts.get("till 1").expect("open").expire;
    let before = expire(&world);
    world.ok(step(
        hold.id,
        OrderStep::Extend {
            hold_ms: 40 * HOUR_MS,
        },
    ));
    assert_eq!(
        expire(&world),
        before.plus_ms(40 * HOUR_MS - HOLD_MS_DEFAULT)
    );
    world.assert_recoverable();
}

#[test]
fn goods_are_handed_over_line_by_line() {
    let mut world = stocked();
    let id = ready(&mut world, "o1", &[("p1", 3), ("p2", 1)]);
    let part = reservation_of(world.ok(step(id, some_of(id, &[("0", 2)]))));
    assert_eq!(part.state, At::PartiallyPickedUp);
    assert_eq!(
        (part.lines[0].held, part.lines[0].handed_over),
        (1000, 2000)
    );
    assert_eq!(level(&world, "p1", "A"), (8, 0, 1, 0));
    for (line, quantity, field) in [("0", 2, "lines[0].quantity"), ("9", 1, "lines[0].line_id")] {
        let refused = world.refused(step(id, some_of(id, &[(line, quantity)])));
        assert!(
            matches!(&refused, Rejection::Invalid { field: f, .. } if f == field),
            "{refused:?}"
        );
    }
    let twice = world.refused(step(id, some_of(id, &[("0", 1), ("0", 1)])));
    assert!(matches!(twice, Rejection::Invalid { .. }));
    let done = once(&mut world, id, all_of(id));
    assert_eq!(done.state, At::Fulfilled);
    assert_eq!(
        (level(&world, "p1", "A"), level(&world, "p2", "A")),
        ((7, 0, 0, 0), (9, 0, 0, 0))
    );
    world.assert_recoverable();
}

#[test]
fn what_a_customer_leaves_waits_to_be_put_back() {
    let mut world = stocked();
    let id = ready(&mut world, "o1", &[("p1", 3)]);
    let OrderStep::HandOver(goods) = some_of(id, &[("0", 1)]) else {
        panic!("a handover")
    };
    let last = OrderStep::HandOver(HandOver {
        is_last: true,
        ..goods
    });
    let left = reservation_of(world.ok(step(id, last)));
    assert_eq!(left.state, At::NeedsPutBack);
    assert_eq!(level(&world, "p1", "A"), (9, 0, 2, 0));
    once(&mut world, id, OrderStep::PutBack);
    assert_eq!(level(&world, "p1", "A"), (9, 0, 0, 0));
}

#[test]
fn a_pickup_needs_its_code() {
    let mut world = stocked();
    let id = ready(&mut world, "o1", &[("p1", 1)]);
    let with = |code: &str, without_code| {
        OrderStep::HandOver(HandOver {
            code: code.into(),
            without_code,
            ..HandOver::default()
        })
    };
    assert!(matches!(
        world.refused(step(id, with("", false))),
        Rejection::Invalid { .. }
    ));
    assert_eq!(
        world.refused(step(id, with("22222222", false))),
        Rejection::PickupCodeWrong
    );
    let spoken = code(id).to_lowercase();
    assert!(world.changes(step(id, with(&spoken, false))));
    let other = ready(&mut world, "o2", &[("p1", 1)]);
    assert!(world.changes(step(other, with("", true))));
    let kept = format!("{:?}", world.state.reservation(id));
    assert!(!kept.contains(&*code(id)), "the code is kept nowhere");
}

#[test]
fn receipt_and_handover_move_the_stock_once_in_either_order() {
    for receipt_first in [true, false] {
        let mut world = stocked();
        let id = ready(&mut world, "o1", &[("p1", 3), ("p2", 1)]);
        if receipt_first {
            assert_eq!(sell(&mut world, 1, id, &[("p1", 3), ("p2", 1)]), []);
            assert_eq!(at(&world, id), At::Fulfilled);
        }
        let done = once(&mut world, id, all_of(id));
        assert_eq!(
            (done.state, done.lines[0].handed_over),
            (At::Fulfilled, 3000)
        );
        if !receipt_first {
            assert_eq!(done.handling.payment, PaymentState::Unpaid);
            assert_eq!(sell(&mut world, 1, id, &[("p1", 3), ("p2", 1)]), []);
        }
        let settled = world.state.reservation(id).expect("made");
        assert_eq!(settled.handling.payment, PaymentState::Paid);
        assert_eq!(
            (level(&world, "p1", "A"), level(&world, "p2", "A")),
            ((7, 0, 0, 0), (9, 0, 0, 0))
        );
        // Whatever comes after is a sale of its own.
        let warnings = sell(&mut world, 2, id, &[("p1", 1)]);
        assert_eq!(warnings, [Warning::ReservationNotSettled { line: 0 }]);
        assert_eq!(level(&world, "p1", "A"), (6, 0, 0, 0));
        world.assert_recoverable();
    }
}

#[test]
fn a_receipt_of_more_or_less_than_was_handed_over_moves_the_difference() {
    let mut world = stocked();
    let id = ready(&mut world, "o1", &[("p1", 4)]);
    world.ok(step(id, some_of(id, &[("0", 2)])));
    assert_eq!(level(&world, "p1", "A"), (8, 0, 2, 0));
    assert_eq!(sell(&mut world, 1, id, &[("p1", 1)]), []);
    assert_eq!(level(&world, "p1", "A"), (8, 0, 2, 0));
    // One is covered by the handover, two are held, one more was bought at the till.
    assert_eq!(sell(&mut world, 2, id, &[("p1", 4)]), []);
    assert_eq!(level(&world, "p1", "A"), (5, 0, 0, 0));
    assert_eq!(at(&world, id), At::Fulfilled);
    world.assert_recoverable();
}

#[test]
fn a_parcel_leaves_the_stock_when_it_leaves_the_store() {
    let mut world = stocked();
    let id = confirmed(&mut world, "o1", &[("p1", 3)]);
    let shipment = Shipment {
        carrier: "BRT".into(),
        tracking_number: "42".into(),
    };
    let sent = once(&mut world, id, OrderStep::MarkShipped(shipment.clone()));
    assert_eq!(
        (sent.state, sent.handling.shipment.as_deref()),
        (At::Shipped, Some(&shipment))
    );
    assert_eq!(level(&world, "p1", "A"), (7, 0, 0, 0));
    assert_eq!(sell(&mut world, 1, id, &[("p1", 3)]), []);
    assert_eq!(
        (at(&world, id), level(&world, "p1", "A")),
        (At::Shipped, (7, 0, 0, 0))
    );
    let there = once(&mut world, id, OrderStep::HandOver(HandOver::default()));
    assert_eq!(there.state, At::Fulfilled);
    let cancel = Command::CancelOrder {
        order_id: "o1".into(),
    };
    assert_eq!(
        world.refused(cancel),
        Rejection::ReservationEnded("fulfilled")
    );
}

#[test]
fn a_cancelled_order_gives_back_what_is_on_the_shelf_and_keeps_what_is_not() {
    let cancel = || Command::CancelOrder {
        order_id: "o1".into(),
    };
    for (steps, state, committed) in [
        (vec![], At::Released, 0),
        (vec![OrderStep::Confirm(Terms::default())], At::Released, 0),
        (
            vec![
                OrderStep::Confirm(Terms::default()),
                OrderStep::StartPicking,
            ],
            At::NeedsPutBack,
            3,
        ),
        (
            vec![OrderStep::Confirm(Terms::default()), OrderStep::MarkReady],
            At::NeedsPutBack,
            3,
        ),
    ] {
        let mut world = stocked();
        let id = world.hold("o1", &[("p1", 3)], &["A"]).id;
        for what in steps {
            world.ok(step(id, what));
        }
        assert_eq!(reservation_of(world.ok(cancel())).state, state);
        assert!(!world.changes(cancel()));
        assert_eq!(level(&world, "p1", "A"), (10, 0, committed, 0));
        // The order may begin anew, beside what waits to be put back.
        let again = world.hold("o1", &[("p1", 7)], &["A"]);
        assert_eq!(level(&world, "p1", "A"), (10, 7, committed, 0));
        if committed > 0 {
            let much = world.reserve("o1", &[("p1", 8)], &["A"]);
            assert_eq!(world.refused(Command::Reserve(much)), Rejection::Contended);
            once(&mut world, id, OrderStep::PutBack);
            assert_eq!(level(&world, "p1", "A"), (10, 7, 0, 0));
        }
        assert_eq!(at(&world, again.id), At::Held);
        world.assert_recoverable();
    }
    let nobody = stocked().refused(cancel());
    assert!(matches!(nobody, Rejection::UnknownOrder { .. }));
}

#[test]
fn a_picked_order_is_not_released_and_not_replaced() {
    let mut world = stocked();
    let id = ready(&mut world, "o1", &[("p1", 1)]);
    let refused = world.refused(Command::ReleaseReservation(id));
    assert!(matches!(
        refused,
        Rejection::WrongState { state: "ready", .. }
    ));
    let again = world.reserve("o1", &[("p1", 1)], &["A"]);
    let refused = world.refused(Command::Reserve(again));
    assert!(matches!(refused, Rejection::OrderConfirmed { .. }));
}

#[test]
fn what_is_not_found_is_not_there_for_the_next_order_either() {
    let mut world = stocked();
    let other = confirmed(&mut world, "o2", &[("p1", 2)]);
    let id = confirmed(&mut world, "o1", &[("p1", 3), ("p2", 2), ("p3", 2)]);
    let report = short(
        &[
            ("0", 1, PickProblem::NotFound),
            ("1", 1, PickProblem::Damaged),
            ("2", 0, PickProblem::Declined),
        ],
        false,
    );
    let Reply::PickException {
        reservation,
        moved_to,
        alternatives,
    } = world.ok(step(id, report))
    else {
        panic!("an exception");
    };
    assert_eq!(reservation.state, At::Picking);
    let counts: Vec<_> = reservation
        .lines
        .iter()
        .map(|l| (l.held / 1000, l.rejected / 1000, l.problem))
        .collect();
    assert_eq!(
        counts,
        [
            (1, 2, Some(PickProblem::NotFound)),
            (1, 1, Some(PickProblem::Damaged)),
            (0, 2, Some(PickProblem::Declined))
        ]
    );
    assert_eq!(moved_to, None);
    let stores: Vec<_> = alternatives.iter().map(|a| a.store).collect();
    assert_eq!(stores, [world.store("B"), world.store("C")]);
    // There is more than enough of it there.
    assert!(!alternatives.iter().any(|a| a.hold_first));
    // Of ten, two were not found, five nobody had asked for are not believed in, and three are held.
    assert_eq!(level(&world, "p1", "A"), (3, 0, 3, 0));
    assert_eq!(level(&world, "p2", "A"), (10, 0, 1, 1));
    assert_eq!(level(&world, "p3", "A"), (10, 0, 0, 0));
    assert_eq!(at(&world, other), At::Confirmed);
    // The rest goes its way.
    world.ok(step(id, OrderStep::MarkReady));
    world.ok(step(id, all_of(id)));
    assert_eq!(
        (at(&world, id), level(&world, "p1", "A")),
        (At::Fulfilled, (2, 0, 2, 0))
    );
    world.assert_recoverable();
}

#[test]
fn an_order_moves_to_the_next_store_in_the_same_step() {
    let mut world = stocked();
    world.ok(count("p2", "B", 0));
    let id = confirmed(&mut world, "o1", &[("p1", 3), ("p2", 1)]);
    world.ok(step(
        id,
        OrderStep::Confirm(Terms {
            payment: PaymentState::Paid,
            ..Terms::default()
        }),
    ));
    let report = short(&[("0", 2, PickProblem::NotFound)], true);
    let Reply::PickException {
        reservation,
        moved_to: Some(next),
        ..
    } = world.ok(step(id, report))
    else {
        panic!("it moved");
    };
    // B lacks p2.
    assert_eq!((next.store, next.state), (world.store("C"), At::Confirmed));
    assert_eq!(
        next.lines.iter().map(|l| l.held).collect::<Vec<_>>(),
        [3000, 1000]
    );
    assert_eq!(
        (next.handling.payment, next.handling.fallback_steps),
        (PaymentState::Paid, 1)
    );
    assert_eq!(
        (
            reservation.state,
            reservation.handling.replaced_by,
            next.handling.replaces
        ),
        (At::NeedsPutBack, Some(next.id), Some(id))
    );
    assert_eq!(level(&world, "p1", "A"), (2, 0, 2, 0));
    assert_eq!(
        (level(&world, "p1", "C"), level(&world, "p2", "C")),
        ((10, 0, 3, 0), (10, 0, 1, 0))
    );
    once(&mut world, id, OrderStep::PutBack);
    // The customer's code is good at the new store; a cancellation is about the new reservation.
    world.ok(step(next.id, OrderStep::MarkReady));
    world.ok(step(next.id, all_of(id)));
    assert_eq!(at(&world, next.id), At::Fulfilled);
    assert_eq!(
        lock(&world.state.order_index)
            .earlier_of("o1")
            .collect::<Vec<_>>(),
        [id]
    );
    world.assert_recoverable();
}

#[test]
fn an_order_nobody_else_has_stays_with_what_was_found() {
    let mut world = stocked();
    for store in ["B", "C"] {
        world.ok(count("p1", store, 0));
    }
    let id = confirmed(&mut world, "o1", &[("p1", 3)]);
    let Reply::PickException {
        reservation,
        moved_to,
        alternatives,
    } = world.ok(step(id, short(&[("0", 1, PickProblem::NotFound)], true)))
    else {
        panic!("an exception");
    };
    assert_eq!(
        (reservation.state, moved_to, alternatives),
        (At::Picking, None, vec![])
    );
    let Reply::PickException { reservation, .. } =
        world.ok(step(id, short(&[("0", 0, PickProblem::Damaged)], false)))
    else {
        panic!("an exception");
    };
    assert_eq!(
        (reservation.state, reservation.lines[0].rejected),
        (At::Released, 3000)
    );
    assert_eq!(level(&world, "p1", "A"), (1, 0, 0, 1));
    assert!(world.changes(Command::Reserve(world.reserve("o1", &[("p2", 1)], &["B"]))));
    world.assert_recoverable();
}

#[test]
fn only_lines_that_are_short_are_reported() {
    let mut world = stocked();
    let id = confirmed(&mut world, "o1", &[("p1", 3)]);
    for (lines, field) in [
        (
            vec![("0", 3, PickProblem::NotFound)],
            "lines[0].quantity_found",
        ),
        (vec![("7", 0, PickProblem::NotFound)], "lines[0].line_id"),
        (
            vec![
                ("0", 1, PickProblem::NotFound),
                ("0", 2, PickProblem::Damaged),
            ],
            "lines[1].line_id",
        ),
    ] {
        let refused = world.refused(step(id, short(&lines, false)));
        assert!(
            matches!(&refused, Rejection::Invalid { field: f, .. } if f == field),
            "{refused:?}"
        );
    }
}

#[test]
fn a_store_that_does_not_answer_loses_the_order() {
    let mut world = stocked();
    patient(&mut world, Some(HOUR_MS), None);
    let id = confirmed(&mut world, "o1", &[("p1", 3)]);
    let seen = confirmed(&mut world, "o2", &[("p2", 1)]);
    world.ok(step(seen, OrderStep::Acknowledge));
    world.wait_ms(HOUR_MS - 1);
    world.fire_timers();
    assert_eq!(at(&world, id), At::Confirmed);
    world.wait_ms(1);
    world.fire_timers();
    let latest = |world: &World| *world.state.orders.get("o1").expect("an order");
    let next = world.state.reservation(latest(&world)).expect("moved");
    assert_eq!(
        (at(&world, id), at(&world, seen)),
        (At::Released, At::Confirmed)
    );
    assert_eq!((next.store, next.state), (world.store("B"), At::Confirmed));
    assert_eq!(
        (level(&world, "p1", "A"), level(&world, "p1", "B")),
        ((10, 0, 0, 0), (10, 0, 3, 0))
    );
    // C is asked next; then nobody is left, and it stays there.
    for _ in 0..3 {
        world.wait_ms(HOUR_MS);
        world.fire_timers();
    }
    let last = world.state.reservation(latest(&world)).expect("moved");
    assert_eq!(
        (last.store, last.state, last.due()),
        (world.store("C"), At::Confirmed, None)
    );
    assert!(last.handling.acknowledge_missed);
    assert!(last.handling.refused_by.len() < REROUTES_MAX);
    world.ok(step(last.id, OrderStep::Acknowledge));
    assert!(
        !world
            .state
            .reservation(last.id)
            .expect("there")
            .handling
            .acknowledge_missed
    );
    world.assert_recoverable();
}

#[test]
fn a_customer_who_does_not_come_loses_the_goods_once_they_are_back() {
    let mut world = stocked();
    patient(&mut world, None, Some(24 * HOUR_MS));
    let id = ready(&mut world, "o1", &[("p1", 3)]);
    let window_end = world
        .state
        .reservation(id)
        .expect("made")
        .window
        .map(|(_, end)| end);
    let due = window_end
        .map_or(world.now, |end| end.max(world.now))
        .plus_ms(24 * HOUR_MS);
    assert_eq!(world.state.reservation(id).expect("made").due(), Some(due));
    // They called: another day.
    let until = due.plus_ms(24 * HOUR_MS);
    world.ok(step(
        id,
        OrderStep::Extend {
            hold_ms: until.0 - world.now.0,
        },
    ));
    world.wait_ms(until.0 - world.now.0 - 1);
    world.fire_timers();
    assert_eq!(at(&world, id), At::Ready);
    world.wait_ms(1);
    world.fire_timers();
    assert_eq!(
        (at(&world, id), level(&world, "p1", "A")),
        (At::NeedsPutBack, (10, 0, 3, 0))
    );
    let refused = world.refused(step(id, all_of(id)));
    assert!(
        matches!(refused, Rejection::WrongState { .. }),
        "{refused:?}"
    );
    once(&mut world, id, OrderStep::PutBack);
    assert_eq!(level(&world, "p1", "A"), (10, 0, 0, 0));
    // It is forgotten thirty days after it ended, not after its hold.
    world.wait_ms(ENDED_RESERVATION_MS - 1);
    world.fire_timers();
    assert_eq!(at(&world, id), At::PutBack);
    world.wait_ms(1);
    world.fire_timers();
    assert_eq!(world.state.reservation(id), None);
    assert!(world.state.due_timers(Time(i64::MAX), 9).is_empty());
    world.assert_recoverable();
}

#[test]
fn an_order_whose_later_reservation_is_forgotten_goes_on_with_the_earlier_one() {
    let mut world = stocked();
    let first = ready(&mut world, "o1", &[("p1", 1)]);
    world.ok(Command::CancelOrder {
        order_id: "o1".into(),
    });
    let second = world.hold("o1", &[("p1", 1)], &["A"]).id;
    world.ok(Command::ReleaseReservation(second));
    world.wait_ms(HOLD_MS_DEFAULT + ENDED_RESERVATION_MS);
    world.fire_timers();
    assert_eq!(world.state.reservation(second), None);
    assert_eq!(world.state.orders.get("o1").map(|id| *id), Some(first));
    world.assert_recoverable();
}

/// A random command. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
struct Random {
    kind: u8,
    which: u8,
    quantity: i64,
    flag: bool,
    wait_ms: i64,
}

fn random() -> impl Strategy<Value = Random> {
    let wait = prop_oneof![4 => Just(0i64), 4 => 1i64..60_000, 1 => HOUR_MS..40 * HOUR_MS];
    (0u8..17, any::<u8>(), 0i64..5, any::<bool>(), wait).prop_map(
        |(kind, which, quantity, flag, wait_ms)| Random {
            kind,
            which,
            quantity,
            flag,
            wait_ms,
        },
    )
}

fn command(world: &World, random: &Random, number: i64) -> Command {
    let Random {
        kind,
        which,
        quantity,
        flag,
        ..
    } = *random;
    let made = world.state.counters().next_reservation.max(2) - 1;
    let id = ReservationId(1 + u64::from(which) % made);
    let pick = |of: &'static [&'static str]| of[usize::from(which) % of.len()];
    let (sku, store) = (pick(&["p1", "p2"]), pick(&["A", "B", "C"]));
    let problem = [
        PickProblem::NotFound,
        PickProblem::Damaged,
        PickProblem::Declined,
    ][usize::from(which) % 3];
    let handover = |is_last| {
        OrderStep::HandOver(HandOver {
            lines: if flag {
                vec![]
            } else {
                vec![(pick(&["0", "1", "2"]).into(), Some(quantity * 1000))]
            },
            without_code: true,
            is_last,
            ..HandOver::default()
        })
    };
    match kind {
        0 | 1 => Command::Reserve(world.reserve(
            pick(&["o1", "o2", "o3", "o4"]),
            &[("p1", 1 + quantity), ("p2", 2), ("p1", 1)],
            if flag { &["A", "B", "C"] } else { &["B"] },
        )),
        2 => Command::ConfirmReservation(id),
        3 => step(
            id,
            OrderStep::Extend {
                hold_ms: 1000 + quantity * HOUR_MS,
            },
        ),
        4 => step(id, OrderStep::Acknowledge),
        5 => step(id, OrderStep::StartPicking),
        6 | 7 => step(id, OrderStep::MarkReady),
        8 | 9 => step(id, handover(kind == 9 && quantity == 4)),
        10 => step(id, OrderStep::MarkShipped(Shipment::default())),
        11 => step(id, OrderStep::PutBack),
        12 => step(
            id,
            short(&[(pick(&["0", "1"]), quantity.min(1), problem)], flag),
        ),
        13 => Command::CancelOrder {
            order_id: pick(&["o1", "o2", "o3", "o4"]).into(),
        },
        14 => world::build::sale_event(
            &number.to_string(),
            SaleDraft {
                lines: vec![settling(sku, 1 + quantity, id)],
                ..receipt(store, number)
            },
            None,
        ),
        15 => count(sku, store, 4 + quantity),
        _ => Command::ReleaseReservation(id),
    }
}

/// Stock as the movements of the log add up, and the goods of each reservation's products that left by them.
fn ledger(world: &World) -> BTreeMap<CellKey, (i64, i64)> {
    let mut stock: BTreeMap<CellKey, (i64, i64)> = BTreeMap::new();
    for (_, events) in &world.log {
        for event in events {
            movements(event, &mut |movement| match movement {
                Movement::Moved {
                    cell,
                    on_hand,
                    damaged,
                } => {
                    let level = stock.entry(cell).or_default();
                    level.0 += on_hand;
                    level.1 += damaged;
                }
                Movement::Counted { cell, on_hand } => stock.entry(cell).or_default().0 = on_hand,
                Movement::Points { .. } => {}
            });
        }
    }
    stock
}

proptest! {
    #![proptest_config(property(300))]

    // After every step the world demands the invariants (what is reserved and committed is what reservations hold, what
    // left and what is held is not more than was asked for, timers and indexes are whole); here beside: the movements
    // add up to the levels, and nothing is promised that is not there.
    #[test]
    fn orders_of_any_life_keep_the_stock(steps in prop::collection::vec(random(), 1..120)) {
        let mut world = stocked();
        patient(&mut world, Some(HOUR_MS), Some(5 * HOUR_MS));
        for (number, random) in (1..).zip(&steps) {
            world.wait_ms(random.wait_ms);
            let command = command(&world, random, number);
            let before = world.log.len();
            let _refused = world.run(command);
            for (_, events) in &world.log[before..] {
                for event in events {
                    let (Event::ReservationHeld { reservation } | Event::ReservationPut { reservation }) = event else { continue };
                    if reservation.created != world.now || reservation.version.0 != world.state.snapshot_sequence().0 {
                        continue;
                    }
                    for line in &reservation.lines {
                        let level = world.state.level(line.sku, reservation.store);
                        prop_assert!(level.available_online() >= 0, "promised what is not there: {reservation:?} {level:?}");
                    }
                }
            }
        }
        let ledger = ledger(&world);
        for (cell, level) in world.state.stock.cells() {
            prop_assert_eq!((level.on_hand, level.damaged), ledger.get(&cell).copied().unwrap_or_default());
        }
        world.assert_recoverable();
    }
}
