//! Deliveries and transfers, told once, twice, late and in any order.

mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use tillside_engine::command::{
    Command, InboundDraft, InboundLineDraft, Ingest, IngestPayload, ReceiptDraft,
};
use tillside_engine::inbound::DeliveryState;
use tillside_engine::limits::{ENDED_DELIVERY_MS, NEAR_TIME_HORIZON_MS_DEFAULT, NEAR_TIME_STEP_MS};
use tillside_engine::reject::Rejection;
use tillside_engine::reply::{Reply, Warning};
use tillside_engine::units::{Time, Unit};
use world::World;
use world::build::{business_key, count, event};

const HOUR: i64 = 3_600_000;

fn lines(lines: &[(&str, i64)]) -> Vec<InboundLineDraft> {
    let line = |(sku, pieces): &(&str, i64)| InboundLineDraft {
        sku: (*sku).into(),
        quantity: pieces * 1000,
        unit: None,
    };
    lines.iter().map(line).collect()
}

fn delivery(id: &str, store: &str, expected: Time, of: &[(&str, i64)]) -> InboundDraft {
    InboundDraft {
        delivery_id: id.into(),
        store_id: store.into(),
        from_store_id: None,
        expected,
        lines: lines(of),
        occurred: None,
    }
}

fn transfer(id: &str, from: &str, to: &str, expected: Time, of: &[(&str, i64)]) -> InboundDraft {
    InboundDraft {
        from_store_id: Some(from.into()),
        ..delivery(id, to, expected, of)
    }
}

fn schedule(draft: InboundDraft) -> Command {
    Command::ScheduleInbound(draft)
}

fn receive(id: &str, of: &[(&str, i64)], complete: bool) -> Command {
    Command::ReceiveInbound(ReceiptDraft {
        delivery_id: id.into(),
        lines: lines(of),
        complete,
        occurred: None,
    })
}

fn cancel(id: &str) -> Command {
    Command::CancelInbound {
        delivery_id: id.into(),
    }
}

/// (on_hand, incoming) in pieces.
fn stock(world: &World, sku: &str, store: &str) -> (i64, i64) {
    let (sku, store) = (world.sku(sku), world.store(store));
    let incoming = world.state.beside(sku, store, world.now).incoming;
    (
        world.state.level(sku, store).on_hand / 1000,
        incoming / 1000,
    )
}

fn state(reply: &Reply) -> DeliveryState {
    match reply {
        Reply::Delivery { delivery, .. } => delivery.state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_delivery_is_incoming_until_it_is_received_whole_or_in_parts() {
    let mut world = World::shop();
    let soon = world.now.plus_ms(HOUR);
    world.ok(count("p1", "A", 2));
    world.ok(schedule(delivery(
        "d1",
        "A",
        soon,
        &[("p1", 5), ("p2", 3), ("p1", 1)],
    )));
    assert_eq!(stock(&world, "p1", "A"), (2, 6));
    assert_eq!(stock(&world, "p2", "A"), (0, 3));
    assert_eq!(stock(&world, "p1", "B"), (0, 0));
    let reply = world.ok(receive("d1", &[("p1", 4)], false));
    assert_eq!(state(&reply), DeliveryState::Expected);
    assert_eq!(stock(&world, "p1", "A"), (6, 2));
    world.assert_recoverable();
    // The rest of it; and what nobody announced comes in all the same.
    world.ok(receive("d1", &[("p3", 1)], false));
    assert_eq!(stock(&world, "p3", "A"), (1, 0));
    let reply = world.ok(receive("d1", &[], false));
    assert_eq!(state(&reply), DeliveryState::Received);
    assert_eq!(stock(&world, "p1", "A"), (8, 0));
    assert_eq!(stock(&world, "p2", "A"), (3, 0));
    assert!(!world.changes(receive("d1", &[], false)));
    assert!(matches!(
        world.refused(receive("d1", &[("p1", 1)], false)),
        Rejection::DeliveryEnded { .. }
    ));
    assert!(matches!(
        world.refused(cancel("d1")),
        Rejection::DeliveryEnded { .. }
    ));
    world.assert_recoverable();
    // It is remembered for a while.
    world.wait_ms(ENDED_DELIVERY_MS - 1);
    world.fire_timers();
    assert_eq!(world.state.deliveries.len(), 1);
    world.wait_ms(1);
    world.fire_timers();
    assert_eq!(world.state.deliveries.len(), 0);
    assert!(matches!(
        world.refused(receive("d1", &[], false)),
        Rejection::UnknownDelivery { .. }
    ));
    world.assert_recoverable();
}

#[test]
fn an_announcement_told_again_doubles_nothing_and_a_changed_one_replaces_it() {
    let mut world = World::shop();
    let soon = world.now.plus_ms(HOUR);
    let first = delivery("d1", "A", soon, &[("p1", 5)]);
    world.ok(schedule(first.clone()));
    assert!(!world.changes(schedule(first.clone())));
    assert_eq!(stock(&world, "p1", "A"), (0, 5));
    world.ok(schedule(delivery(
        "d1",
        "A",
        soon.plus_ms(HOUR),
        &[("p2", 4), ("p1", 2)],
    )));
    assert_eq!(stock(&world, "p1", "A"), (0, 2));
    assert_eq!(stock(&world, "p2", "A"), (0, 4));
    let at = world
        .state
        .beside(world.sku("p2"), world.store("A"), world.now);
    assert_eq!(at.incoming_at, Some(soon.plus_ms(HOUR)));
    // Withdrawn.
    world.ok(schedule(delivery("d1", "A", soon, &[("p2", 4)])));
    assert_eq!(stock(&world, "p1", "A"), (0, 0));
    world.ok(receive("d1", &[("p2", 3)], false));
    let refused = world.refused(schedule(delivery("d1", "A", soon, &[("p2", 2)])));
    assert!(matches!(refused, Rejection::Invalid { .. }));
    let refused = world.refused(schedule(delivery("d1", "B", soon, &[("p2", 4)])));
    assert!(matches!(refused, Rejection::Invalid { .. }));
    // What is missing will not come.
    let reply = world.ok(receive("d1", &[], true));
    assert_eq!(state(&reply), DeliveryState::Received);
    assert_eq!(stock(&world, "p2", "A"), (4, 0));
    world.assert_recoverable();
}

#[test]
fn a_transfer_leaves_one_store_is_on_its_way_and_comes_to_the_other() {
    let mut world = World::shop();
    let soon = world.now.plus_ms(HOUR);
    world.ok(count("p1", "A", 10));
    let first = transfer("t1", "A", "B", soon, &[("p1", 4)]);
    world.ok(schedule(first.clone()));
    assert!(!world.changes(schedule(first)));
    assert_eq!(
        (stock(&world, "p1", "A"), stock(&world, "p1", "B")),
        ((6, 0), (0, 4))
    );
    world.ok(schedule(transfer("t1", "A", "B", soon, &[("p1", 7)])));
    assert_eq!(
        (stock(&world, "p1", "A"), stock(&world, "p1", "B")),
        ((3, 0), (0, 7))
    );
    world.ok(schedule(transfer("t1", "A", "B", soon, &[("p1", 5)])));
    assert_eq!(
        (stock(&world, "p1", "A"), stock(&world, "p1", "B")),
        ((5, 0), (0, 5))
    );
    world.ok(receive("t1", &[("p1", 2)], false));
    assert_eq!(
        (stock(&world, "p1", "A"), stock(&world, "p1", "B")),
        ((5, 0), (2, 3))
    );
    // What is still on its way goes back.
    let reply = world.ok(cancel("t1"));
    assert_eq!(state(&reply), DeliveryState::Cancelled);
    assert_eq!(
        (stock(&world, "p1", "A"), stock(&world, "p1", "B")),
        ((8, 0), (2, 0))
    );
    assert!(!world.changes(cancel("t1")));
    // To itself nothing is transferred; and what left is never refused for want of stock.
    let refused = world.refused(schedule(transfer("t2", "A", "A", soon, &[("p1", 1)])));
    assert!(matches!(refused, Rejection::Invalid { .. }));
    world.ok(schedule(transfer("t2", "A", "B", soon, &[("p1", 10)])));
    assert_eq!(stock(&world, "p1", "A"), (-2, 0));
    assert_eq!(world.state.stock.short_len(), 1);
    world.assert_recoverable();
}

#[test]
fn a_delivery_names_known_things_in_their_units() {
    let mut world = World::shop();
    let soon = world.now;
    let refused = |world: &mut World, draft| format!("{:?}", world.refused(schedule(draft)));
    let told = refused(&mut world, delivery("d", "Z", soon, &[("p1", 1)]));
    assert!(told.contains("delivery.store_id"), "{told}");
    let told = refused(&mut world, transfer("d", "Z", "A", soon, &[("p1", 1)]));
    assert!(told.contains("delivery.from_store_id"), "{told}");
    let told = refused(
        &mut world,
        delivery("d", "A", soon, &[("p1", 1), ("p9", 1)]),
    );
    assert!(told.contains("delivery.lines[1].sku"), "{told}");
    let mut kilos = delivery("d", "A", soon, &[("p1", 1)]);
    kilos.lines[0].unit = Some(Unit::Kilogram);
    let told = refused(&mut world, kilos);
    assert!(told.contains("delivery.lines[0].quantity.unit"), "{told}");
    let refused = world.refused(cancel("d"));
    assert!(matches!(refused, Rejection::UnknownDelivery { .. }));
}

#[test]
fn what_is_near_is_offered_for_a_quarter_of_an_hour_and_what_is_late_is_not() {
    let mut world = World::shop();
    let start = Time(world.now.0 - world.now.0.rem_euclid(NEAR_TIME_STEP_MS));
    world.now = start;
    let horizon = NEAR_TIME_HORIZON_MS_DEFAULT;
    world.ok(schedule(delivery(
        "d1",
        "A",
        start.plus_ms(HOUR),
        &[("p1", 1)],
    )));
    world.ok(schedule(delivery(
        "d2",
        "A",
        start.plus_ms(horizon),
        &[("p1", 2)],
    )));
    world.ok(schedule(delivery(
        "d3",
        "A",
        start.plus_ms(horizon + 1),
        &[("p1", 4)],
    )));
    let near = |world: &World, at: Time| {
        let near = world.state.near_time(world.sku("p1"), world.store("A"), at);
        near.map_or(0, |near| near.quantity / 1000)
    };
    let check = |after_ms: i64, expect: i64| {
        assert_eq!(
            near(&world, start.plus_ms(after_ms)),
            expect,
            "{after_ms} ms"
        );
    };
    check(0, 3);
    check(NEAR_TIME_STEP_MS - 1, 3);
    check(NEAR_TIME_STEP_MS, 7);
    check(HOUR + NEAR_TIME_STEP_MS - 1, 7);
    check(HOUR + NEAR_TIME_STEP_MS, 6);
    check(horizon + 2 * NEAR_TIME_STEP_MS, 0);
    assert_eq!(near(&world, start), 3);
}

#[test]
fn numbered_announcements_count_in_the_order_of_their_source() {
    let mut world = World::shop();
    let soon = world.now.plus_ms(HOUR);
    let told = |number: u64, pieces: i64| {
        let payload = IngestPayload::Inbound(delivery("d1", "A", soon, &[("p1", pieces)]));
        Command::Ingest(Box::new(Ingest {
            keys: [
                business_key(&format!("event {number} {pieces}")),
                business_key(&format!("erp {number}")),
            ]
            .into_iter()
            .collect(),
            occurred: None,
            position: Some(("erp".into(), number)),
            payload,
        }))
    };
    world.ok(told(5, 50));
    let reply = world.ok(told(3, 30));
    assert_eq!(
        reply,
        Reply::Ingested {
            warnings: [Warning::Superseded].into_iter().collect()
        }
    );
    assert_eq!(stock(&world, "p1", "A"), (0, 50));
    world.ok(told(8, 80));
    assert_eq!(stock(&world, "p1", "A"), (0, 80));
    // The same number is the same message, whatever it says.
    assert!(!world.changes(told(8, 81)));
    let progress = *world.state.sources.get("erp").expect("a source");
    assert_eq!(
        (progress.first, progress.highest, progress.taken),
        (3, 8, 3)
    );
    assert_eq!((progress.missing(), progress.late), (3, 1));
    // One without a number is in the order it came.
    world.ok(event(
        "x",
        IngestPayload::Received(ReceiptDraft {
            delivery_id: "d1".into(),
            lines: lines(&[("p1", 10)]),
            complete: true,
            occurred: None,
        }),
    ));
    assert_eq!(stock(&world, "p1", "A"), (10, 0));
    world.assert_recoverable();
}

#[derive(Clone, Debug)]
enum Step {
    Schedule(usize, Option<usize>, usize, Vec<(usize, i64)>),
    Receive(usize, Vec<(usize, i64)>, bool),
    Cancel(usize),
    Count(usize, usize, i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = || prop::collection::vec((0usize..3, 1i64..6), 0..4);
    let step = prop_oneof![
        4 => (0usize..4, prop::option::of(0usize..3), 0usize..3, some())
            .prop_map(|(id, from, to, lines)| Step::Schedule(id, from, to, lines)),
        4 => (0usize..4, some(), any::<bool>()).prop_map(|(id, lines, all)| Step::Receive(id, lines, all)),
        1 => (0usize..4).prop_map(Step::Cancel),
        1 => (0usize..3, 0usize..3, 0i64..20).prop_map(|(s, t, n)| Step::Count(s, t, n)),
    ];
    prop::collection::vec(step, 0..40)
}

/// What is told of a delivery, naively.
#[derive(Clone, Default)]
struct Told {
    route: (Option<usize>, usize),
    announced: BTreeMap<usize, i64>,
    received: BTreeMap<usize, i64>,
    ended: bool,
    cancelled: bool,
}

proptest! {
    #![proptest_config(world::property(64))]

    #[test]
    fn any_deliveries_equal_a_naive_model(steps in steps()) {
        const SKUS: [&str; 3] = ["p1", "p2", "p3"];
        const STORES: [&str; 3] = ["A", "B", "C"];
        let mut world = World::shop();
        let soon = world.now.plus_ms(HOUR);
        let mut told: BTreeMap<usize, Told> = BTreeMap::new();
        let mut on_hand: BTreeMap<(usize, usize), i64> = BTreeMap::new();
        for step in &steps {
            world.wait_ms(1);
            let names = |of: &[(usize, i64)]| of.iter().map(|(s, n)| (SKUS[*s], *n)).collect::<Vec<_>>();
            let sums = |of: &[(usize, i64)]| {
                let mut sums: BTreeMap<usize, i64> = BTreeMap::new();
                of.iter().for_each(|(s, n)| *sums.entry(*s).or_default() += n);
                sums
            };
            match step {
                Step::Schedule(id, from, to, of) => {
                    let mut draft = delivery(&id.to_string(), STORES[*to], soon, &names(of));
                    draft.from_store_id = from.map(|f| STORES[f].into());
                    let there = told.get(id);
                    let new = sums(of);
                    let same = |t: &Told| SKUS.iter().enumerate().all(|(s, _)| t.announced.get(&s).unwrap_or(&0) == new.get(&s).unwrap_or(&0));
                    let less = |t: &Told| t.announced.keys().chain(t.received.keys()).any(|s| new.get(s).unwrap_or(&0) < t.received.get(s).unwrap_or(&0));
                    let good = *from != Some(*to) && there.is_none_or(|t| {
                        t.route == (*from, *to) && (same(t) || !t.ended && !less(t))
                    });
                    let ran = world.run(schedule(draft));
                    prop_assert_eq!(ran.is_ok(), good, "{:?} {:?}", step, ran);
                    if good {
                        let t = told.entry(*id).or_insert_with(|| Told { route: (*from, *to), ..Told::default() });
                        if let Some(from) = from {
                            for s in 0..3 {
                                *on_hand.entry((s, *from)).or_default() -= new.get(&s).unwrap_or(&0) - t.announced.get(&s).unwrap_or(&0);
                            }
                        }
                        t.announced = new;
                    }
                }
                Step::Receive(id, of, all) => {
                    let ran = world.run(receive(&id.to_string(), &names(of), *all));
                    let Some(t) = told.get_mut(id) else {
                        prop_assert!(ran.is_err());
                        continue;
                    };
                    let again = t.ended && !t.cancelled && of.is_empty();
                    prop_assert_eq!(ran.is_ok(), !t.ended || again, "{:?} {:?}", step, ran);
                    if t.ended {
                        continue;
                    }
                    let open = |t: &Told| -> Vec<(usize, i64)> {
                        let left = t.announced.iter().map(|(s, n)| (*s, n - t.received.get(s).unwrap_or(&0)));
                        left.filter(|(_, n)| *n > 0).collect()
                    };
                    let came = if of.is_empty() { open(t) } else { of.clone() };
                    for (s, n) in came {
                        *t.received.entry(s).or_default() += n;
                        *on_hand.entry((s, t.route.1)).or_default() += n;
                    }
                    t.ended = *all || open(t).is_empty();
                }
                Step::Cancel(id) => {
                    let ran = world.run(cancel(&id.to_string()));
                    let Some(t) = told.get_mut(id) else {
                        prop_assert!(ran.is_err());
                        continue;
                    };
                    prop_assert_eq!(ran.is_ok(), !t.ended || t.cancelled);
                    if !t.ended {
                        (t.ended, t.cancelled) = (true, true);
                        if let Some(from) = t.route.0 {
                            for (s, n) in &t.announced {
                                let left = (n - t.received.get(s).unwrap_or(&0)).max(0);
                                *on_hand.entry((*s, from)).or_default() += left;
                            }
                        }
                    }
                }
                Step::Count(s, t, n) => {
                    world.ok(count(SKUS[*s], STORES[*t], *n));
                    on_hand.insert((*s, *t), *n);
                }
            }
            for (s, sku) in SKUS.iter().enumerate() {
                for (t, store) in STORES.iter().enumerate() {
                    let open = told.values().filter(|d| d.route.1 == t && !d.ended);
                    let incoming: i64 = open
                        .map(|d| (d.announced.get(&s).unwrap_or(&0) - d.received.get(&s).unwrap_or(&0)).max(0))
                        .sum();
                    let there = on_hand.get(&(s, t)).copied().unwrap_or(0);
                    prop_assert_eq!(stock(&world, sku, store), (there, incoming), "{} {} after {:?}", sku, store, step);
                }
            }
        }
        world.assert_recoverable();
    }
}
