//! What breaks an invariant is found and named, and what was only under way is not.

mod world;

use std::sync::Arc;

use tillside_engine::buffers::{BufferKey, BufferScope};
use tillside_engine::command::{Command, InboundDraft, InboundLineDraft};
use tillside_engine::ids::CellKey;
use tillside_engine::inbound::Delivery;
use tillside_engine::invariants::{look, violations};
use tillside_engine::reservation::Reservation;
use tillside_engine::state::lock;
use world::World;
use world::build::count;

fn sound() -> World {
    let mut world = World::shop();
    world.ok(count("p1", "A", 5));
    world.hold("o1", &[("p1", 2)], &["A"]);
    world.ok(Command::ScheduleInbound(InboundDraft {
        delivery_id: "d1".into(),
        store_id: "A".into(),
        from_store_id: None,
        expected: world.now,
        lines: vec![InboundLineDraft {
            sku: "p1".into(),
            quantity: 1000,
            unit: None,
        }],
        occurred: None,
    }));
    assert_eq!(violations(&world.state), [] as [&str; 0]);
    world
}

#[test]
fn whatever_is_broken_is_named() {
    let check = |break_it: &dyn Fn(&World), expect: &str| {
        let world = sound();
        break_it(&world);
        let found = violations(&world.state);
        assert!(
            found.iter().any(|told| told.contains(expect)),
            "{expect}: {found:?}"
        );
    };
    let cell = |world: &World| CellKey::new(world.sku("p1"), world.store("A"));
    check(
        &|world| {
            world
                .state
                .stock
                .change(cell(world), |level| level.reserved += 1)
        },
        "reserved 2001 and committed 0, the reservations hold 2000 and 0",
    );
    check(
        &|world| {
            world
                .state
                .stock
                .change(cell(world), |level| level.damaged = -1)
        },
        "is negative",
    );
    check(
        &|world| {
            let (store, scope) = (None, BufferScope::Everything);
            let buffers = world.state.stock.buffers();
            buffers.set(&BufferKey { store, scope }, Some(7));
        },
        "the level keeps back 0, the rules say 7",
    );
    check(
        &|world| {
            let held: Vec<Arc<Reservation>> = world
                .state
                .reservations
                .iter()
                .map(|r| Arc::clone(&r))
                .collect();
            for reservation in held {
                world.state.reservations.remove(&reservation.id);
            }
        },
        "which does not exist",
    );
    check(
        &|world| lock(&world.state.timers).clear(),
        "is held without a timer",
    );
    check(
        &|world| {
            let there = world
                .state
                .deliveries
                .get("d1")
                .map(|d| Delivery::clone(&d));
            let mut delivery = there.expect("a delivery");
            delivery.lines[0].announced += 1;
            world
                .state
                .deliveries
                .insert("d1".into(), Arc::new(delivery));
        },
        "the index has",
    );
}

#[test]
fn a_change_that_was_under_way_is_gone_at_the_next_look_and_what_is_wrong_stays() {
    let world = sound();
    let (one, other) = (
        CellKey::new(world.sku("p1"), world.store("A")),
        CellKey::new(world.sku("p2"), world.store("B")),
    );
    // Half done at the first look: a level has moved and its reservation has not yet.
    world.state.stock.change(one, |level| level.reserved += 5);
    world.state.stock.change(other, |level| level.reserved += 5);
    let first = look(&world.state, None);
    assert_eq!(first.len(), 2);
    world.state.stock.change(one, |level| level.reserved -= 5);
    // Another one is half done at the second.
    let third = CellKey::new(world.sku("p3"), world.store("C"));
    world
        .state
        .stock
        .change(third, |level| level.committed += 1);
    let second = look(&world.state, Some(&first));
    assert_eq!(second.len(), 1, "{second:?}");
    // What is wrong stays, whatever its figures are by then.
    world.state.stock.change(other, |level| level.reserved += 1);
    let last = look(&world.state, Some(&second)).into_told();
    assert!(last[0].contains("reserved 6"), "{last:?}");
    // Put right, nothing is found.
    world.state.stock.change(other, |level| level.reserved -= 6);
    assert!(look(&world.state, Some(&second)).is_empty());
    world
        .state
        .stock
        .change(third, |level| level.committed -= 1);
    assert_eq!(violations(&world.state), [] as [&str; 0]);
}
