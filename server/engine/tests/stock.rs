//! Movements and counts of stock.

mod world;

use tillside_engine::command::{Adjustment, Command, Count, IngestPayload};
use tillside_engine::limits::{
    CLOCK_SKEW_MS_MAX, QUANTITY_THOUSANDTHS_MAX, RECENT_MOVEMENTS_MAX, RECENT_MOVEMENTS_MS,
};
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::stock::{CountRefused, MoveReason};
use tillside_engine::units::Unit;
use world::World;
use world::build::{adjust, count, count_of, event, line, movement, receipt, sale_event};

/// (on_hand, available online, available in the store), in thousandths.
fn levels(world: &World, sku: &str, store: &str) -> (i64, i64, i64) {
    let level = world.level(sku, store);
    (
        level.on_hand,
        level.available_online(),
        level.available_in_store(),
    )
}

fn sell(world: &mut World, number: i64, pieces: i64) {
    let mut sale = receipt("A", number);
    sale.lines = vec![line("p1", pieces, 100 * pieces)];
    world.sell(sale);
}

#[test]
fn counts_set_and_movements_add() {
    let mut world = World::shop();
    world.ok(count("p1", "A", 10));
    world.wait_ms(1);
    world.ok(adjust("p1", "A", -3));
    world.ok(adjust("p1", "B", 5));
    assert_eq!(levels(&world, "p1", "A"), (7_000, 7_000, 7_000));
    assert_eq!(levels(&world, "p1", "B"), (5_000, 5_000, 5_000));
    assert_eq!(levels(&world, "p2", "A"), (0, 0, 0));
    world.assert_recoverable();
}

#[test]
fn the_reply_is_the_level_after_the_change() {
    let mut world = World::shop();
    for command in [
        count("p1", "A", 10),
        Command::AdjustStock(Adjustment {
            reason: MoveReason::Damage,
            ..movement("p1", "A", 2)
        }),
    ] {
        let reply = world.ok(command);
        let Reply::Stock { level, .. } = reply else {
            panic!("{reply:?}")
        };
        assert_eq!(level, world.level("p1", "A"));
    }
}

#[test]
fn safety_and_damaged_goods_are_not_promised() {
    let mut world = World::shop();
    world.ok(Command::SetStockCount(Count {
        safety: Some(2_000),
        ..count_of("p1", "A", 10)
    }));
    world.wait_ms(1);
    world.ok(Command::AdjustStock(Adjustment {
        reason: MoveReason::Damage,
        ..movement("p1", "A", 3)
    }));
    assert_eq!(levels(&world, "p1", "A"), (10_000, 5_000, 7_000));
    // A count without a safety stock leaves it, and damaged goods stay damaged.
    world.ok(count("p1", "A", 20));
    assert_eq!(levels(&world, "p1", "A"), (20_000, 15_000, 17_000));
    // They can be put back, but no more than there are.
    let back = |pieces: i64| {
        Command::AdjustStock(Adjustment {
            reason: MoveReason::Damage,
            ..movement("p1", "A", -pieces)
        })
    };
    assert!(matches!(world.refused(back(4)), Rejection::Invalid { .. }));
    world.ok(back(3));
    assert_eq!(levels(&world, "p1", "A"), (20_000, 18_000, 20_000));
}

#[test]
fn a_sale_may_make_the_level_negative() {
    let mut world = World::shop();
    sell(&mut world, 1, 4);
    assert_eq!(levels(&world, "p1", "A"), (-4_000, -4_000, -4_000));
    world.wait_ms(1);
    world.ok(count("p1", "A", 1));
    assert_eq!(levels(&world, "p1", "A"), (1_000, 1_000, 1_000));
}

#[test]
fn a_count_that_is_not_newer_is_refused_and_changes_nothing() {
    let mut world = World::shop();
    world.ok(count("p1", "A", 10));
    let counted = world.now;
    let late = |ms: i64| {
        Command::SetStockCount(Count {
            as_of: Some(counted.plus_ms(ms)),
            ..count_of("p1", "A", 99)
        })
    };
    for ms in [0, -1, -1_000_000] {
        assert_eq!(
            world.refused(late(ms)),
            Rejection::CountTooOld(CountRefused::NotNewer(counted))
        );
    }
    world.wait_ms(10);
    world.ok(late(1));
    assert_eq!(world.level("p1", "A").on_hand, 99_000);
}

#[test]
fn a_late_count_keeps_what_was_sold_after_it() {
    let mut world = World::shop();
    world.ok(count("p1", "A", 10));
    world.wait_ms(1_000);
    sell(&mut world, 1, 1);
    world.wait_ms(1_000);
    let as_of = world.now;
    world.wait_ms(1_000);
    sell(&mut world, 2, 2);
    world.wait_ms(1_000);
    world.ok(Command::SetStockCount(Count {
        as_of: Some(as_of),
        ..count_of("p1", "A", 8)
    }));
    assert_eq!(world.level("p1", "A").on_hand, 6_000);
    // A sale dated before the count, but arriving after it, is in the count already.
    let mut sale = receipt("A", 3);
    sale.lines = vec![line("p1", 5, 500)];
    sale.paid = Some(as_of);
    world.sell(sale.clone());
    assert_eq!(world.level("p1", "A").on_hand, 6_000);
    sale.number = 4;
    sale.paid = Some(as_of.plus_ms(1));
    world.sell(sale);
    assert_eq!(world.level("p1", "A").on_hand, 1_000);
    // So is an older adjustment.
    world.ok(Command::AdjustStock(Adjustment {
        occurred: Some(as_of),
        ..movement("p1", "A", 7)
    }));
    assert_eq!(world.level("p1", "A").on_hand, 1_000);
    world.assert_recoverable();
}

#[test]
fn a_count_that_cannot_be_placed_any_more_is_refused() {
    let mut world = World::shop();
    let as_of = world.now;
    world.wait_ms(1);
    for number in 0..=RECENT_MOVEMENTS_MAX as i64 {
        sell(&mut world, number, 1);
    }
    let late = Command::SetStockCount(Count {
        as_of: Some(as_of),
        ..count_of("p1", "A", 50)
    });
    assert!(matches!(
        world.refused(late),
        Rejection::CountTooOld(CountRefused::MovementsForgotten(_))
    ));
    world.ok(count("p1", "A", 50));

    let as_of = world.now.plus_ms(1);
    world.wait_ms(2);
    sell(&mut world, 100, 1);
    world.wait_ms(RECENT_MOVEMENTS_MS + 1);
    sell(&mut world, 101, 1);
    let late = Command::SetStockCount(Count {
        as_of: Some(as_of),
        ..count_of("p1", "A", 50)
    });
    assert!(matches!(
        world.refused(late),
        Rejection::CountTooOld(CountRefused::MovementsForgotten(_))
    ));
}

#[test]
fn a_count_from_the_future_is_refused_and_one_a_little_ahead_swallows_no_sale() {
    let mut world = World::shop();
    let ahead = |world: &World, ms: i64| {
        Command::SetStockCount(Count {
            as_of: Some(world.now.plus_ms(ms)),
            ..count_of("p1", "A", 10)
        })
    };
    let refused = ahead(&world, CLOCK_SKEW_MS_MAX + 1);
    assert_eq!(world.refused(refused), Rejection::CountInFuture);
    let tolerated = ahead(&world, CLOCK_SKEW_MS_MAX);
    world.ok(tolerated);
    world.wait_ms(1);
    sell(&mut world, 1, 3);
    assert_eq!(world.level("p1", "A").on_hand, 7_000);
}

#[test]
fn what_the_catalog_does_not_know_is_refused() {
    let mut world = World::shop();
    for command in [count("p9", "A", 1), adjust("p9", "A", 1)] {
        assert!(matches!(
            world.refused(command),
            Rejection::UnknownSku { .. }
        ));
    }
    for command in [count("p1", "Z", 1), adjust("p1", "Z", 1)] {
        assert!(matches!(
            world.refused(command),
            Rejection::UnknownStore { .. }
        ));
    }
    let kilos = Some(Unit::Kilogram);
    for command in [
        Command::SetStockCount(Count {
            unit: kilos,
            ..count_of("p1", "A", 1)
        }),
        Command::AdjustStock(Adjustment {
            unit: kilos,
            ..movement("p1", "A", 1)
        }),
        Command::AdjustStock(Adjustment {
            delta: QUANTITY_THOUSANDTHS_MAX + 1,
            ..movement("p1", "A", 1)
        }),
    ] {
        assert!(matches!(world.refused(command), Rejection::Invalid { .. }));
    }
    assert!(world.state.stock.is_empty());
}

#[test]
fn an_event_of_stock_is_taken_once() {
    let mut world = World::shop();
    let moved = event("1", IngestPayload::Adjustment(movement("p1", "A", 5)));
    world.ok(moved.clone());
    assert!(!world.changes(moved));
    assert_eq!(world.level("p1", "A").on_hand, 5_000);
    world.wait_ms(1);
    let counted = event("2", IngestPayload::Count(count_of("p1", "A", 9)));
    world.ok(counted.clone());
    assert!(!world.changes(counted));
    assert_eq!(world.level("p1", "A").on_hand, 9_000);
    // A refused event is not remembered: once the product is there, it is taken.
    let early = event("3", IngestPayload::Adjustment(movement("p9", "A", 5)));
    world.refused(early.clone());
    world.ok(Command::PutProducts(vec![world::build::product("p9", 100)]));
    world.ok(early);
    assert_eq!(world.level("p9", "A").on_hand, 5_000);
}

#[test]
fn a_movement_without_a_time_counts_after_a_count_of_the_same_millisecond() {
    let mut world = World::shop();
    world.ok(count("p1", "A", 10));
    world.ok(adjust("p1", "A", 3));
    assert_eq!(world.level("p1", "A").on_hand, 13_000);
}

#[test]
fn an_event_without_a_time_counts_after_a_count_of_the_same_millisecond() {
    let mut world = World::shop();
    world.ok(count("p1", "A", 10));
    let mut moved = movement("p1", "A", 3);
    moved.occurred = None;
    world.ok(event("m1", IngestPayload::Adjustment(moved)));
    assert_eq!(world.level("p1", "A").on_hand, 13_000);
    let mut sale = receipt("A", 1);
    sale.lines = vec![line("p1", 2, 200)];
    world.ok(sale_event("s1", sale.clone(), None));
    assert_eq!(world.level("p1", "A").on_hand, 11_000);
    // One that says when it happened is in the count of that time.
    sale.number = 2;
    let now = world.now;
    world.ok(sale_event("s2", sale, Some(now)));
    assert_eq!(world.level("p1", "A").on_hand, 11_000);
}
