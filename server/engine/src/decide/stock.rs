//! Movements and counts.

use crate::catalog::Product;
use crate::command::{Adjustment, Count};
use crate::ctx::Ctx;
use crate::decide::{Decided, known_sku, known_store};
use crate::event::Event;
use crate::ids::{SkuId, StoreId};
use crate::limits::{CLOCK_SKEW_MS_MAX, QUANTITY_THOUSANDTHS_MAX};
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::state::State;
use crate::stock::{MoveReason, StockLevel};
use crate::units::{Time, Unit};

pub(super) fn adjust(
    state: &State,
    adjustment: &Adjustment,
    occurred: Option<Time>,
    ctx: &Ctx,
) -> Decided {
    let (sku, product) = known_sku(state, &adjustment.sku, "sku")?;
    let (store, _) = known_store(state, &adjustment.store_id, "store_id")?;
    same_unit(&product, adjustment.unit, "delta.unit")?;
    let mut level = state.level(sku, store);
    let occurred = in_order(&level, occurred, ctx);
    let (delta, damaged) = match adjustment.reason {
        MoveReason::Damage => (0, adjustment.delta),
        MoveReason::Disposal => (
            level.effective(adjustment.delta, occurred),
            adjustment.delta,
        ),
        _ => (level.effective(adjustment.delta, occurred), 0),
    };
    if level.damaged + damaged < 0 {
        let problem = format!(
            "only {} thousandths are damaged; no more can be moved back or disposed of",
            level.damaged
        );
        return Err(Rejection::Invalid {
            field: "delta".into(),
            problem,
        });
    }
    if out_of_range(level.on_hand + delta) || out_of_range(level.damaged + damaged) {
        let problem =
            format!("the level would pass {QUANTITY_THOUSANDTHS_MAX} thousandths; check the unit");
        return Err(Rejection::Invalid {
            field: "delta".into(),
            problem,
        });
    }
    if delta != 0 {
        level.move_on_hand(delta, occurred, ctx.now);
    }
    level.damaged += damaged;
    let beside = state.beside(sku, store, ctx.now);
    Ok((
        Reply::Stock {
            sku,
            store,
            level,
            beside,
        },
        vec![Event::StockMoved {
            sku,
            store,
            delta,
            damaged,
            occurred,
            reason: adjustment.reason,
        }],
    ))
}

/// When a movement happened. Without a time of its own it happened in the order it came: after a count of this very
/// millisecond.
fn in_order(level: &StockLevel, occurred: Option<Time>, ctx: &Ctx) -> Time {
    let after_count = level
        .counted_at()
        .map_or(ctx.now, |t| ctx.now.max(t.plus_ms(1)));
    occurred.map_or(after_count, |t| t.min(ctx.now))
}

fn out_of_range(value: i64) -> bool {
    !(-QUANTITY_THOUSANDTHS_MAX..=QUANTITY_THOUSANDTHS_MAX).contains(&value)
}

/// Goods that moved as part of something larger; nothing where a later count has seen it.
pub(super) fn moved(
    state: &State,
    sku: SkuId,
    store: StoreId,
    by: i64,
    occurred: Option<Time>,
    reason: MoveReason,
    ctx: &Ctx,
) -> Result<Option<Event>, Rejection> {
    let level = state.level(sku, store);
    let occurred = in_order(&level, occurred, ctx);
    let delta = level.effective(by, occurred);
    if out_of_range(by) || out_of_range(level.on_hand + delta) {
        let problem = format!(
            "the level of product number {} would pass {QUANTITY_THOUSANDTHS_MAX} thousandths; check the unit",
            sku.0
        );
        return Err(Rejection::Invalid {
            field: "lines".into(),
            problem,
        });
    }
    Ok((delta != 0).then_some(Event::StockMoved {
        sku,
        store,
        delta,
        damaged: 0,
        occurred,
        reason,
    }))
}

pub(super) fn count(state: &State, count: &Count, as_of: Option<Time>, ctx: &Ctx) -> Decided {
    let (sku, product) = known_sku(state, &count.sku, "sku")?;
    let (store, _) = known_store(state, &count.store_id, "store_id")?;
    same_unit(&product, count.unit, "on_hand.unit")?;
    let as_of = as_of.unwrap_or(ctx.now);
    if as_of > ctx.now.plus_ms(CLOCK_SKEW_MS_MAX) {
        return Err(Rejection::CountInFuture);
    }
    // A clock a little ahead is tolerated, but the count must not swallow what is sold until then.
    let as_of = as_of.min(ctx.now);
    let mut level = state.level(sku, store);
    let on_hand = level
        .after_count(count.on_hand, as_of)
        .map_err(Rejection::CountTooOld)?;
    level.set_count(on_hand, count.safety, as_of);
    level.safety = state
        .stock
        .buffers()
        .effective(sku, store, level.own_safety);
    let event = Event::StockCounted {
        sku,
        store,
        on_hand,
        safety: count.safety,
        as_of,
    };
    let beside = state.beside(sku, store, ctx.now);
    let reply = Reply::Stock {
        sku,
        store,
        level,
        beside,
    };
    Ok((reply, vec![event]))
}

pub(super) fn same_unit(
    product: &Product,
    given: Option<Unit>,
    field: &str,
) -> Result<(), Rejection> {
    match given.filter(|unit| *unit != product.unit) {
        None => Ok(()),
        Some(unit) => {
            let problem = format!(
                "the product is counted in {:?}, not in {unit:?}",
                product.unit
            );
            Err(Rejection::Invalid {
                field: field.into(),
                problem,
            })
        }
    }
}
