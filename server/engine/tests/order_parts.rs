//! Orders in parts: held whole or not at all, replaced, extended, placed and ended whole; what a store does, it does with its
//! own part.

mod world;

use std::sync::Arc;

use tillside_engine::catalog::{OpeningInterval, Patience, Store};
use tillside_engine::command::{Command, Reserve};
use tillside_engine::event::Event;
use tillside_engine::ids::ReservationId;
use tillside_engine::limits::{ENDED_RESERVATION_MS, HOLD_MS_DEFAULT};
use tillside_engine::location_terms::{LocationTerms, Method, SlotRules};
use tillside_engine::order::{PaymentState, PickProblem};
use tillside_engine::order_command::{
    FoundLine, HandOver, OrderCommand, OrderStep, PickException, Terms,
};
use tillside_engine::pickup_code;
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::reservation::{Reservation, ReservationState as At};
use world::World;
use world::build::{INDEX_KEY, Part, count, receipt, settling, split, store_at};

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

/// p1 from A and p2 from B, both picked up.
fn halves(world: &World, order: &str, pieces: i64) -> Reserve {
    let lines = [("p1", pieces), ("p2", pieces)];
    let parts: [Part<'_>; 2] = [("A", Method::Pickup, &[0]), ("B", Method::Pickup, &[1])];
    split(world, order, &lines, &parts)
}

/// The named one of an answer, and all parts.
fn parts_of(reply: Reply) -> (Arc<Reservation>, Vec<Arc<Reservation>>) {
    match reply {
        Reply::OrderParts { reservation, parts } => (reservation, parts),
        other => panic!("{other:?}"),
    }
}

fn held(world: &mut World, reserve: Reserve) -> Vec<ReservationId> {
    let (_, parts) = parts_of(world.ok(Command::Reserve(reserve)));
    parts.iter().map(|part| part.id).collect()
}

fn placed(world: &mut World, order: &str) -> Vec<ReservationId> {
    let reserve = halves(world, order, 3);
    let ids = held(world, reserve);
    world.ok(Command::ConfirmReservation(ids[0]));
    ids
}

fn step(id: ReservationId, step: OrderStep) -> Command {
    let etag = None;
    Command::Order(Box::new(OrderCommand { id, etag, step }))
}

fn paid() -> OrderStep {
    OrderStep::Confirm(Terms {
        payment: PaymentState::Paid,
        ..Terms::default()
    })
}

fn cancel(order: &str) -> Command {
    Command::CancelOrder {
        order_id: order.into(),
    }
}

fn short(line: &str, problem: PickProblem, move_to_next: bool) -> OrderStep {
    OrderStep::PickException(PickException {
        lines: vec![FoundLine {
            line_id: line.into(),
            found: 0,
            problem,
        }],
        move_to_next,
        max_options: 3,
    })
}

fn get(world: &World, id: ReservationId) -> Arc<Reservation> {
    world.state.reservation(id).expect("made before")
}

fn states(world: &World, ids: &[ReservationId]) -> Vec<At> {
    let state = |id: &ReservationId| get(world, *id).state_at(world.now);
    ids.iter().map(state).collect()
}

/// Numbers of all parts, as one of them tells them.
fn named(world: &World, id: ReservationId) -> Vec<u64> {
    let parts = get(world, id).parts.clone();
    parts.iter().flat_map(|p| p.iter()).map(|p| p.0).collect()
}

/// (reserved, committed) in pieces.
fn level(world: &World, sku: &str, store: &str) -> (i64, i64) {
    let level = world.level(sku, store);
    (level.reserved / 1000, level.committed / 1000)
}

#[test]
fn all_parts_are_held_in_one_step() {
    let mut world = stocked();
    let changes = world.log.len();
    let reserve = halves(&world, "o1", 4);
    let (first, parts) = parts_of(world.ok(Command::Reserve(reserve)));
    assert_eq!(world.log.len(), changes + 1, "one command");
    let held = world.log[changes].1.iter();
    let held = held.filter(|e| matches!(e, Event::ReservationHeld { .. }));
    assert_eq!(held.count(), 2, "an event a part");
    assert_eq!(first, parts[0]);
    let told: Vec<_> = parts.iter().map(|p| (p.id.0, p.store, p.state)).collect();
    let expect = [
        (1, world.store("A"), At::Held),
        (2, world.store("B"), At::Held),
    ];
    assert_eq!(told, expect);
    for part in &parts {
        assert_eq!(named(&world, part.id), [1, 2]);
        assert_eq!(part.expire, world.now.plus_ms(HOLD_MS_DEFAULT));
        assert_eq!(
            get(&world, part.id),
            *part,
            "the reply is what is on record"
        );
    }
    assert_eq!(&*parts[1].lines[0].line_id, "1");
    assert_eq!(
        (level(&world, "p1", "A"), level(&world, "p2", "B")),
        ((4, 0), (4, 0))
    );
    assert_eq!(
        (level(&world, "p1", "B"), level(&world, "p2", "A")),
        ((0, 0), (0, 0))
    );
    world.assert_recoverable();
}

#[test]
fn what_one_place_does_alone_is_an_order_in_one_part() {
    let mut world = stocked();
    let one = split(
        &world,
        "o1",
        &[("p1", 1)],
        &[("B", Method::ShipFromStore, &[0])],
    );
    match world.ok(Command::Reserve(one)) {
        Reply::Reservation(one) => {
            assert_eq!(
                (one.method, one.parts.clone()),
                (Method::ShipFromStore, None)
            );
        }
        other => panic!("{other:?}"),
    }
    // A place that has everything is better than several.
    let both = Reserve {
        candidates: world.reserve("o2", &[], &["C"]).candidates,
        ..halves(&world, "o2", 1)
    };
    match world.ok(Command::Reserve(both)) {
        Reply::Reservation(one) => assert_eq!((one.store, one.lines.len()), (world.store("C"), 2)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn where_one_part_is_taken_nothing_is_held() {
    let mut world = stocked();
    world.hold("other", &[("p2", 8)], &["B"]);
    let lost = halves(&world, "o1", 3);
    assert_eq!(world.refused(Command::Reserve(lost)), Rejection::Contended);
    assert_eq!(level(&world, "p1", "A"), (0, 0));
    assert_eq!(world.state.reservations.len(), 1);
    // An earlier hold stays where the new one comes to nothing.
    let small = halves(&world, "o1", 2);
    let ids = held(&mut world, small);
    let large = halves(&world, "o1", 3);
    assert_eq!(world.refused(Command::Reserve(large)), Rejection::Contended);
    assert_eq!(states(&world, &ids), [At::Held, At::Held]);
}

#[test]
fn parts_at_one_store_do_not_take_the_same_goods_twice() {
    let mut world = stocked();
    let both = |world: &World, pieces: i64| {
        let parts: [Part<'_>; 2] = [
            ("A", Method::Pickup, &[0]),
            ("A", Method::ShipFromStore, &[1]),
        ];
        split(world, "o1", &[("p1", 5), ("p1", pieces)], &parts)
    };
    let much = both(&world, 6);
    assert_eq!(world.refused(Command::Reserve(much)), Rejection::Contended);
    let all = both(&world, 5);
    held(&mut world, all);
    assert_eq!(level(&world, "p1", "A"), (10, 0));
}

/// Open from 9:00 to 12:00 on Mondays, an hour a slot. It is Monday 10:00 in Rome.
fn slotted(id: &str, latitude: f64, capacity: u32) -> Store {
    Store {
        opening: vec![OpeningInterval {
            iso_day: 1,
            open_minute: 540,
            close_minute: 720,
        }],
        location_terms: Arc::new(LocationTerms {
            slots: Some(SlotRules {
                length_minutes: 60,
                capacity,
            }),
            ..LocationTerms::default()
        }),
        ..store_at(id, latitude, 9.0)
    }
}

#[test]
fn slots_are_held_and_given_back_with_their_parts() {
    let mut world = stocked();
    let stores = vec![slotted("A", 45.0, 1), slotted("B", 45.09, 1)];
    world.ok(Command::PutStores(stores));
    let slots = |world: &World| -> Vec<_> {
        let all = world.state.held_slots.all().into_iter();
        all.map(|(store, start, n)| (store, (start.0 - world::START.0) / HOUR_MS, n))
            .collect()
    };
    let (a, b) = (world.store("A"), world.store("B"));
    let reserve = halves(&world, "o1", 1);
    held(&mut world, reserve.clone());
    assert_eq!(slots(&world), [(a, 1, 1), (b, 1, 1)]);
    // A repeat is not blocked by the slots of the hold it replaces.
    let ids = held(&mut world, reserve);
    assert_eq!(slots(&world), [(a, 1, 1), (b, 1, 1)]);
    // Two pickups at one store need two slots.
    let parts: [Part<'_>; 2] = [("A", Method::Pickup, &[0]), ("A", Method::Pickup, &[1])];
    let twice = split(&world, "o1", &[("p1", 1), ("p2", 1)], &parts);
    held(&mut world, twice);
    assert_eq!(slots(&world), [(a, 1, 1), (a, 167, 1)]);
    assert_eq!(states(&world, &ids), [At::Released, At::Released]);
    world.ok(cancel("o1"));
    assert_eq!(slots(&world), []);
    world.assert_recoverable();
}

#[test]
fn a_repeat_replaces_all_parts_and_is_blocked_by_none() {
    let mut world = stocked();
    let reserve = halves(&world, "o1", 10);
    let first = held(&mut world, reserve.clone());
    let second = held(&mut world, reserve);
    assert_eq!(states(&world, &first), [At::Released, At::Released]);
    assert_eq!(
        (level(&world, "p1", "A"), level(&world, "p2", "B")),
        ((10, 0), (10, 0))
    );
    // To one part, where the credit is another part's too, and back.
    let single = world.hold("o1", &[("p1", 10), ("p2", 10)], &["B"]);
    assert_eq!(states(&world, &second), [At::Released, At::Released]);
    assert_eq!(
        (level(&world, "p1", "A"), level(&world, "p2", "B")),
        ((0, 0), (10, 0))
    );
    let reserve = halves(&world, "o1", 10);
    let third = held(&mut world, reserve);
    assert_eq!(states(&world, &[single.id]), [At::Released]);
    assert_eq!(named(&world, third[0]), [6, 7]);
    // Another order gets nothing of it.
    let other = halves(&world, "o2", 1);
    assert_eq!(world.refused(Command::Reserve(other)), Rejection::Contended);
    world.ok(Command::ConfirmReservation(third[1]));
    let again = halves(&world, "o1", 1);
    let Rejection::OrderConfirmed { reservation_id, .. } = world.refused(Command::Reserve(again))
    else {
        panic!("it is placed");
    };
    assert_eq!(reservation_id, third[0].to_string());
    world.assert_recoverable();
}

#[test]
fn an_order_is_placed_by_any_of_its_parts_with_one_code() {
    let mut world = stocked();
    let reserve = halves(&world, "o1", 3);
    let ids = held(&mut world, reserve);
    let (named, parts) = parts_of(world.ok(step(ids[1], paid())));
    assert_eq!((named.id, &named), (ids[1], &parts[1]));
    let code = pickup_code::code(&INDEX_KEY, ids[0]);
    let hash = Some(pickup_code::hash(&INDEX_KEY, &code));
    for part in &parts {
        let handling = &part.handling;
        assert_eq!(part.state, At::Confirmed);
        assert_eq!(
            (handling.pickup_code, handling.payment),
            (hash, PaymentState::Paid)
        );
        assert_eq!(
            (handling.confirmed, part.code_from()),
            (Some(part.version), ids[0])
        );
    }
    assert_eq!(
        (level(&world, "p1", "A"), level(&world, "p2", "B")),
        ((0, 3), (0, 3))
    );
    // Twice is the same as once.
    assert!(!world.changes(step(ids[0], paid())));
    // Each store hands over its own, with the same code.
    for id in &ids {
        world.ok(step(*id, OrderStep::MarkReady));
        let goods = HandOver {
            code: code.as_str().into(),
            ..HandOver::default()
        };
        world.ok(step(*id, OrderStep::HandOver(goods)));
    }
    assert_eq!(states(&world, &ids), [At::Fulfilled, At::Fulfilled]);
    world.assert_recoverable();
}

#[test]
fn a_hold_is_released_extended_and_cancelled_whole() {
    let mut world = stocked();
    let reserve = halves(&world, "o1", 3);
    let ids = held(&mut world, reserve.clone());
    let longer = OrderStep::Extend {
        hold_ms: 2 * HOUR_MS,
    };
    let (_, parts) = parts_of(world.ok(step(ids[1], longer)));
    let until = world.now.plus_ms(2 * HOUR_MS);
    assert!(parts.iter().all(|part| part.expire == until));
    world.wait_ms(HOUR_MS);
    assert_eq!(states(&world, &ids), [At::Held, At::Held]);
    let (released, parts) = parts_of(world.ok(Command::ReleaseReservation(ids[0])));
    assert_eq!((released.id, parts.len()), (ids[0], 2));
    assert_eq!(states(&world, &ids), [At::Released, At::Released]);
    assert!(!world.changes(Command::ReleaseReservation(ids[1])));
    // By the order, and once it is placed.
    for place in [false, true] {
        let ids = held(&mut world, reserve.clone());
        if place {
            world.ok(Command::ConfirmReservation(ids[0]));
        }
        let (named, _) = parts_of(world.ok(cancel("o1")));
        assert_eq!((named.id, named.state), (ids[1], At::Released));
        assert_eq!(states(&world, &ids), [At::Released, At::Released]);
    }
    assert_eq!(
        (level(&world, "p1", "A"), level(&world, "p2", "B")),
        ((0, 0), (0, 0))
    );
    world.assert_recoverable();
}

#[test]
fn a_refusal_names_the_part_that_is_in_the_way_and_changes_none() {
    let mut world = stocked();
    let ids = placed(&mut world, "o1");
    world.ok(step(ids[1], OrderStep::StartPicking));
    let Rejection::OfPart {
        reservation_id,
        rejection,
    } = world.refused(Command::ReleaseReservation(ids[0]))
    else {
        panic!("a part is in the way");
    };
    assert_eq!(reservation_id, ids[1].to_string());
    assert!(matches!(
        *rejection,
        Rejection::WrongState {
            state: "picking",
            ..
        }
    ));
    assert_eq!(states(&world, &ids), [At::Confirmed, At::Picking]);
    // What has left with the customer cannot be cancelled, so the rest is not either.
    world.ok(step(ids[1], OrderStep::MarkReady));
    let goods = HandOver {
        without_code: true,
        ..HandOver::default()
    };
    world.ok(step(ids[1], OrderStep::HandOver(goods)));
    let refused = world.refused(cancel("o1")).to_string();
    assert!(refused.contains(&ids[1].to_string()), "{refused}");
    assert_eq!(states(&world, &ids), [At::Confirmed, At::Fulfilled]);
    // The store that has the rest may decline it.
    world.ok(step(ids[0], short("0", PickProblem::Declined, false)));
    assert_eq!(states(&world, &ids), [At::Released, At::Fulfilled]);
    assert_eq!(level(&world, "p1", "A"), (0, 0));
}

#[test]
fn what_a_store_does_is_about_its_part_alone() {
    let mut world = stocked();
    let ids = placed(&mut world, "o1");
    let before = get(&world, ids[1]);
    for what in [
        OrderStep::Acknowledge,
        OrderStep::StartPicking,
        OrderStep::MarkReady,
    ] {
        match world.ok(step(ids[0], what)) {
            Reply::Reservation(part) => assert_eq!(part.id, ids[0]),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(get(&world, ids[1]), before, "nothing was said about it");
    world.ok(step(ids[1], OrderStep::MarkShipped(Default::default())));
    assert_eq!(states(&world, &ids), [At::Ready, At::Shipped]);
    // What has left does not keep what waits from being paid, or from waiting longer.
    let (_, parts) = parts_of(world.ok(step(ids[0], paid())));
    assert!(
        parts
            .iter()
            .all(|p| p.handling.payment == PaymentState::Paid)
    );
    world.ok(step(ids[0], OrderStep::Extend { hold_ms: HOUR_MS }));
    // Cancelled goods go back one store at a time.
    let ids = placed(&mut world, "o2");
    world.ok(step(ids[0], OrderStep::MarkReady));
    world.ok(cancel("o2"));
    assert_eq!(states(&world, &ids), [At::NeedsPutBack, At::Released]);
    world.ok(step(ids[0], OrderStep::PutBack));
    assert_eq!(states(&world, &ids), [At::PutBack, At::Released]);
    // It may begin anew.
    let reserve = halves(&world, "o2", 1);
    held(&mut world, reserve);
    world.assert_recoverable();
}

#[test]
fn a_part_that_came_to_nothing_does_not_keep_the_rest_from_being_paid() {
    let mut world = stocked();
    for store in ["B", "C"] {
        world.ok(count("p1", store, 0));
    }
    let ids = placed(&mut world, "o1");
    world.ok(step(ids[0], short("0", PickProblem::NotFound, true)));
    assert_eq!(states(&world, &ids), [At::Released, At::Confirmed]);
    world.ok(step(ids[1], paid()));
    let payments: Vec<_> = ids
        .iter()
        .map(|id| get(&world, *id).handling.payment)
        .collect();
    assert_eq!(payments, [PaymentState::Unpaid, PaymentState::Paid]);
    // Where all of it came to nothing there is nothing to pay.
    world.ok(Command::ReleaseReservation(ids[1]));
    let refused = world.refused(step(ids[1], paid())).to_string();
    assert!(refused.contains(&ids[0].to_string()), "{refused}");
}

#[test]
fn all_parts_run_out_in_one_step() {
    let mut world = stocked();
    let reserve = halves(&world, "o1", 3);
    let ids = held(&mut world, reserve);
    world.wait_ms(HOLD_MS_DEFAULT);
    // From the very instant, before any timer.
    assert_eq!(states(&world, &ids), [At::Expired, At::Expired]);
    let late = [
        Command::ConfirmReservation(ids[1]),
        step(ids[1], OrderStep::Extend { hold_ms: HOUR_MS }),
    ];
    for command in late {
        let Err(Rejection::OfPart { rejection, .. }) = world.step(&command) else {
            panic!("{command:?} came too late");
        };
        assert_eq!(*rejection, Rejection::ReservationExpired);
    }
    let changes = world.log.len();
    world.fire_timers();
    assert_eq!(world.log.len(), changes + 1, "one step");
    assert_eq!(
        (level(&world, "p1", "A"), level(&world, "p2", "B")),
        ((0, 0), (0, 0))
    );
    // Done twice, it is done once.
    assert!(!world.changes(Command::ReleaseReservation(ids[0])));
    world.assert_recoverable();
}

#[test]
fn a_receipt_settles_its_part_and_the_rest_is_placed() {
    let mut world = stocked();
    let reserve = halves(&world, "o1", 3);
    let ids = held(&mut world, reserve);
    let sold = tillside_engine::command::SaleDraft {
        lines: vec![settling("p1", 3, ids[0])],
        ..receipt("A", 1)
    };
    world.sell(sold);
    assert_eq!(states(&world, &ids), [At::Fulfilled, At::Held]);
    world.ok(Command::ConfirmReservation(ids[0]));
    assert_eq!(states(&world, &ids), [At::Fulfilled, At::Confirmed]);
    world.assert_recoverable();
}

#[test]
fn a_part_that_moves_takes_the_place_of_the_old_one() {
    let mut world = stocked();
    let ids = placed(&mut world, "o1");
    let moved =
        |world: &mut World, id| match world.ok(step(id, short("0", PickProblem::NotFound, true))) {
            Reply::PickException {
                moved_to: Some(moved),
                ..
            } => moved,
            other => panic!("{other:?}"),
        };
    // To where the other part is: two parts at one store.
    let second = moved(&mut world, ids[0]);
    assert_eq!(
        (second.id, second.store),
        (ReservationId(3), world.store("B"))
    );
    let third = moved(&mut world, second.id);
    assert_eq!(third.store, world.store("C"));
    for id in [ids[1], third.id] {
        assert_eq!(named(&world, id), [third.id.0, ids[1].0]);
    }
    assert!(!get(&world, ids[0]).is_part() && !get(&world, second.id).is_part());
    // The code stays, and what is about the order is about where it is now.
    assert_eq!(
        third.handling.pickup_code,
        get(&world, ids[1]).handling.pickup_code
    );
    let (_, parts) = parts_of(world.ok(step(ids[1], paid())));
    assert_eq!(parts[0].id, third.id);
    let (_, parts) = parts_of(world.ok(cancel("o1")));
    assert_eq!(parts.len(), 2);
    assert_eq!(
        states(&world, &[third.id, ids[1]]),
        [At::Released, At::Released]
    );
    world.assert_recoverable();
}

#[test]
fn a_store_that_does_not_answer_loses_its_part() {
    let mut world = World::shop();
    let patience = Patience {
        acknowledge_ms: Some(HOUR_MS),
        no_show_ms: None,
    };
    let stores = ["A", "B", "C"].iter().zip([45.0, 45.09, 45.18]);
    let store = |(id, lat): (&&str, f64)| Store {
        patience,
        ..store_at(id, lat, 9.0)
    };
    world.ok(Command::PutStores(stores.map(store).collect()));
    for (sku, store) in [("p1", "A"), ("p2", "B"), ("p1", "C")] {
        world.ok(count(sku, store, 10));
    }
    let ids = placed(&mut world, "o1");
    world.ok(step(ids[1], OrderStep::Acknowledge));
    world.wait_ms(HOUR_MS);
    world.fire_timers();
    let moved = get(&world, ids[0]).handling.replaced_by.expect("it moved");
    assert_eq!(
        states(&world, &[ids[0], moved, ids[1]]),
        [At::Released, At::Confirmed, At::Confirmed]
    );
    assert_eq!(get(&world, moved).store, world.store("C"));
    assert_eq!(named(&world, ids[1]), [moved.0, ids[1].0]);
    world.assert_recoverable();
}

#[test]
fn an_order_is_found_by_what_is_left_of_it() {
    let mut world = stocked();
    let ids = placed(&mut world, "o1");
    // The second part moves, its old store never puts back what was found; the new one ends and is forgotten.
    let found_some = OrderStep::PickException(PickException {
        lines: vec![FoundLine {
            line_id: "1".into(),
            found: 1000,
            problem: PickProblem::NotFound,
        }],
        move_to_next: true,
        max_options: 1,
    });
    world.ok(step(ids[1], found_some));
    let moved = get(&world, ids[1]).handling.replaced_by.expect("it moved");
    world.ok(step(moved, OrderStep::MarkReady));
    let goods = HandOver {
        without_code: true,
        ..HandOver::default()
    };
    world.ok(step(moved, OrderStep::HandOver(goods)));
    world.wait_ms(2 * ENDED_RESERVATION_MS);
    world.fire_timers();
    assert_eq!(world.state.reservation(moved), None, "it is forgotten");
    assert_eq!(states(&world, &ids), [At::Confirmed, At::NeedsPutBack]);
    // The list still names it; the order is what is left.
    assert_eq!(named(&world, ids[0]), [ids[0].0, moved.0]);
    let again = halves(&world, "o1", 1);
    assert!(matches!(
        world.refused(Command::Reserve(again)),
        Rejection::OrderConfirmed { .. }
    ));
    match world.ok(cancel("o1")) {
        Reply::Reservation(left) => assert_eq!((left.id, left.state), (ids[0], At::Released)),
        other => panic!("{other:?}"),
    }
    world.assert_recoverable();
}
