//! Pickup slots: held with the stock in one step, given back with it, and never more than there are.

mod world;

use std::sync::Arc;

use proptest::prelude::*;
use tillside_engine::catalog::{OpeningInterval, Store};
use tillside_engine::command::{Command, Reserve};
use tillside_engine::location_terms::{LocationTerms, SlotRules};
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::reservation::Reservation;
use tillside_engine::routing::{PlanOutcome, PlanQuery, StoreRejection, plan};
use tillside_engine::units::Time;

use world::build::{count, store_at};
use world::{World, property};

const HOUR: i64 = 3_600_000;

/// Open from 9:00 to 12:00 on Mondays, an hour a slot. It is Monday 10:00 in Rome.
fn slotted(id: &str, latitude: f64, capacity: u32) -> Store {
    let slots = SlotRules {
        length_minutes: 60,
        capacity,
    };
    Store {
        opening: vec![OpeningInterval {
            iso_day: 1,
            open_minute: 540,
            close_minute: 720,
        }],
        location_terms: Arc::new(LocationTerms {
            slots: Some(slots),
            ..LocationTerms::default()
        }),
        ..store_at(id, latitude, 9.0)
    }
}

fn shop(capacity: u32) -> World {
    let mut world = World::shop();
    let stores = vec![slotted("A", 45.0, capacity), slotted("B", 45.09, capacity)];
    world.ok(Command::PutStores(stores));
    for store in ["A", "B"] {
        for sku in ["p1", "p2"] {
            world.ok(count(sku, store, 20));
        }
    }
    world
}

fn in_slot(world: &World, order: &str, store: &str, start: Time) -> Command {
    Command::Reserve(Reserve {
        slot_start: Some(start),
        ..world.reserve(order, &[("p1", 1)], &[store])
    })
}

fn reservation(reply: Reply) -> Arc<Reservation> {
    match reply {
        Reply::Reservation(reservation) => reservation,
        other => panic!("{other:?}"),
    }
}

/// Pickups held at a store, by hours from now.
fn held(world: &World, store: &str) -> Vec<(i64, u32)> {
    let all = world.state.held_slots.all();
    all.into_iter()
        .filter(|(s, _, _)| *s == world.store(store))
        .map(|(_, start, n)| ((start.0 - world::START.0) / HOUR, n))
        .collect()
}

#[test]
fn a_hold_takes_the_first_slot_with_room_together_with_the_stock() {
    let mut world = shop(1);
    let at = |n: i64| world::START.plus_ms(n * HOUR);
    let first = world.hold("o1", &[("p1", 1)], &["A"]);
    assert_eq!(first.window, Some((at(0), at(1))));
    assert_eq!(
        first.slot.map(|s| (s.start, s.end, s.capacity)),
        Some((at(0), at(1), 1))
    );
    let second = world.hold("o2", &[("p1", 1)], &["A"]);
    assert_eq!(second.window, Some((at(1), at(2))));
    // Monday is full: a week later.
    let third = world.hold("o3", &[("p1", 1)], &["A"]);
    assert_eq!(third.window, Some((at(7 * 24 - 1), at(7 * 24))));
    assert_eq!(held(&world, "A"), [(0, 1), (1, 1), (167, 1)]);
    world.assert_recoverable();
}

#[test]
fn a_full_slot_is_refused_with_the_next_one_and_takes_no_stock() {
    let mut world = shop(1);
    let at = |n: i64| world::START.plus_ms(n * HOUR);
    let taken = in_slot(&world, "o1", "A", at(1));
    world.ok(taken);
    let before = world.level("p1", "A");
    let again = in_slot(&world, "o2", "A", at(1));
    let next = Some((at(167), at(168)));
    assert_eq!(world.refused(again), Rejection::SlotFull { next });
    assert_eq!(world.level("p1", "A"), before);
    // The last in the week: what is told lies before or after it, with room.
    let last = in_slot(&world, "o2", "A", at(0));
    assert_eq!(reservation(world.ok(last)).window, Some((at(0), at(1))));
    // What begins at no slot is a mistake of the caller.
    for start in [at(0).plus_ms(1), at(-1), at(2)] {
        let never = in_slot(&world, "o3", "A", start);
        let refused = world.refused(never);
        assert!(
            matches!(&refused, Rejection::Invalid { field, .. } if field == "pickup_slot_start_time"),
            "{refused:?}"
        );
    }
}

#[test]
fn whatever_ends_a_hold_gives_its_slot_back() {
    let at = |n: i64| world::START.plus_ms(n * HOUR);
    let mut world = shop(1);
    let command = in_slot(&world, "o1", "A", at(1));
    let hold = reservation(world.ok(command));
    world.ok(Command::ReleaseReservation(hold.id));
    assert_eq!(held(&world, "A"), []);

    let command = in_slot(&world, "o2", "A", at(1));
    let confirmed = reservation(world.ok(command));
    world.ok(Command::ConfirmReservation(confirmed.id));
    assert_eq!(held(&world, "A"), [(1, 1)], "an order keeps it");
    world.ok(Command::ReleaseReservation(confirmed.id));
    assert_eq!(held(&world, "A"), []);

    let command = in_slot(&world, "o3", "A", at(1));
    let expiring = reservation(world.ok(command));
    world.wait_ms(expiring.expire.0 - world.now.0);
    world.fire_timers();
    assert_eq!(held(&world, "A"), []);

    // A repeat for the order moves it; its own slot is no hindrance.
    let command = in_slot(&world, "o4", "A", at(1));
    world.ok(command.clone());
    world.ok(command);
    assert_eq!(held(&world, "A"), [(1, 1)]);
    let elsewhere = in_slot(&world, "o4", "B", at(1));
    world.ok(elsewhere);
    assert_eq!(
        (held(&world, "A"), held(&world, "B")),
        (vec![], vec![(1, 1)])
    );
    world.assert_recoverable();
}

#[test]
fn a_store_without_room_is_passed_over_and_named() {
    let mut world = shop(1);
    let mut none = slotted("A", 45.0, 0);
    world.ok(Command::PutStores(vec![none.clone()]));
    let hold = world.hold("o1", &[("p1", 1)], &["A", "B"]);
    assert_eq!(hold.store, world.store("B"));
    let alone = world.reserve("o2", &[("p1", 1)], &["A"]);
    assert_eq!(
        world.refused(Command::Reserve(alone)),
        Rejection::SlotFull { next: None }
    );
    let lines = world.wanted(&[("p1", 1)]);
    let query = PlanQuery {
        origin: none.location,
        lines: &lines,
        limit_mm: 15_000_000,
        max_options: 3,
        require_open_now: false,
        only_store: None,
        now: world.now,
        own: Default::default(),
        travel_zone: None,
        by: Default::default(),
    };
    let found = plan(&world.state, &query);
    assert_eq!(found.outcome, PlanOutcome::Matched);
    let rejected: Vec<_> = found.rejected.iter().map(|(_, _, r)| *r).collect();
    assert_eq!(rejected, [StoreRejection::SlotsFull]);
    // Capacity that is lowered later takes nobody's slot away.
    none.location_terms = Arc::new(LocationTerms {
        slots: Some(SlotRules {
            length_minutes: 60,
            capacity: 3,
        }),
        ..LocationTerms::default()
    });
    world.ok(Command::PutStores(vec![none.clone()]));
    for order in ["o5", "o6", "o7"] {
        let command = in_slot(&world, order, "A", world::START);
        world.ok(command);
    }
    world.ok(Command::PutStores(vec![slotted("A", 45.0, 1)]));
    assert_eq!(held(&world, "A"), [(0, 3)]);
    let more = in_slot(&world, "o8", "A", world::START);
    assert!(matches!(world.refused(more), Rejection::SlotFull { .. }));
}

#[derive(Debug, Clone)]
enum Step {
    Reserve {
        order: u8,
        store: bool,
        slot: Option<i64>,
    },
    Confirm(u8),
    Release(u8),
    Capacity {
        store: bool,
        capacity: u32,
        length: u16,
    },
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..24, any::<bool>(), prop::option::of(0i64..3)).prop_map(|(order, store, slot)| Step::Reserve { order, store, slot }),
        2 => (0u8..24).prop_map(Step::Confirm),
        3 => (0u8..24).prop_map(Step::Release),
        1 => (any::<bool>(), 0u32..4, prop::sample::select(vec![30u16, 60, 90])).prop_map(|(store, capacity, length)| Step::Capacity { store, capacity, length }),
        2 => (0i64..40 * 60_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(property(64))]

    // The world demands after every step that what is counted is what is held, and that nobody was let in who had no room.
    #[test]
    fn no_slot_is_ever_given_more_than_it_takes(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = shop(2);
        let mut lowered = false;
        for step in steps {
            let name = |second: bool| if second { "B" } else { "A" };
            let order_of = |world: &World, order: u8| world.state.orders.get(format!("o{order}").as_str()).map(|id| *id);
            let command = match step {
                Step::Reserve { order, store, slot } => Command::Reserve(Reserve {
                    slot_start: slot.map(|n| world::START.plus_ms((n - 1) * HOUR)),
                    ..world.reserve(&format!("o{order}"), &[("p1", 1)], &[name(store)])
                }),
                Step::Confirm(order) => match order_of(&world, order) {
                    Some(id) => Command::ConfirmReservation(id),
                    None => continue,
                },
                Step::Release(order) => match order_of(&world, order) {
                    Some(id) => Command::ReleaseReservation(id),
                    None => continue,
                },
                Step::Capacity { store, capacity, length } => {
                    lowered = true;
                    let mut put = slotted(name(store), if store { 45.09 } else { 45.0 }, capacity);
                    put.location_terms = Arc::new(LocationTerms {
                        slots: Some(SlotRules { length_minutes: length, capacity }),
                        ..LocationTerms::default()
                    });
                    Command::PutStores(vec![put])
                }
                Step::Wait(ms) => {
                    world.wait_ms(ms);
                    continue;
                }
            };
            let now = world.now;
            if let Ok(Reply::Reservation(given)) = world.run(command)
                && let Some(slot) = given.slot
                && given.created == now
            {
                prop_assert!(slot.start >= now, "a slot is not before now");
                prop_assert_eq!(given.window, Some(slot.span()));
            }
            if !lowered {
                prop_assert!(world.state.held_slots.all().iter().all(|(_, _, n)| *n <= 2));
            }
        }
        world.assert_recoverable();
    }
}
