//! Goods leave the store: to the customer, in one go or line by line, or with a carrier. The stock falls here unless a
//! receipt has moved it already.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::ctx::Ctx;
use crate::decide::orders::{as_it_is, end, moved, put, put_back_later, refused};
use crate::decide::{Decided, Rules};
use crate::event::Event;
use crate::ids::SkuId;
use crate::order::Shipment;
use crate::order_command::HandOver;
use crate::pickup_code;
use crate::reject::Rejection;
use crate::reservation::{Reservation, ReservationState as At};
use crate::settlement;
use crate::state::State;

pub(super) fn hand_over(
    state: &State,
    rules: &Rules,
    reservation: Arc<Reservation>,
    goods: &HandOver,
    ctx: &Ctx,
) -> Decided {
    let stands = reservation.state_at(ctx.now);
    let nothing_left = reservation.lines.iter().all(|l| l.outstanding() == 0);
    match stands {
        At::Ready | At::PartiallyPickedUp => {}
        // A receipt came first: what the customer takes is noted, the stock has fallen.
        At::Fulfilled if nothing_left => return Ok(as_it_is(reservation)),
        At::Fulfilled => {}
        At::Shipped => return Ok(delivered(&reservation, goods, ctx)),
        other => {
            return Err(refused(
                other,
                "it can be handed over once it is ready (MarkReadyForPickup)",
            ));
        }
    }
    check_code(rules, &reservation, goods)?;
    let taken = taken(&reservation, goods)?;
    let mut after = Reservation::clone(&reservation);
    let mut fell: SmallVec<[(SkuId, i64); 4]> = SmallVec::new();
    for (at, quantity) in taken {
        let settled = settlement::handover(&mut after.lines, at, quantity);
        fell.push((after.lines[at].sku, settled.now));
    }
    if let Some(payment) = goods.payment {
        after.handling.payment = after.handling.payment.max(payment);
    }
    let holds_nothing = after.lines.iter().all(|l| l.held == 0);
    if stands != At::Fulfilled {
        if holds_nothing {
            end(&mut after, At::Fulfilled, ctx.now);
        } else if goods.is_last {
            put_back_later(&mut after, ctx.now);
        } else {
            after.state = At::PartiallyPickedUp;
        }
    }
    Ok(left(state, after, &fell, ctx))
}

fn check_code(rules: &Rules, reservation: &Reservation, goods: &HandOver) -> Result<(), Rejection> {
    let Some(expected) = reservation.handling.pickup_code else {
        return Ok(());
    };
    if goods.without_code {
        return Ok(());
    }
    if goods.code.is_empty() {
        return Err(Rejection::Invalid {
            field: "pickup_code".into(),
            problem: "is required; where the customer cannot show it, check who it is in another way and set without_code".into(),
        });
    }
    if pickup_code::hash(&rules.index_key, &goods.code) == expected {
        Ok(())
    } else {
        Err(Rejection::PickupCodeWrong)
    }
}

/// What is taken of which line, by position.
fn taken(
    reservation: &Reservation,
    goods: &HandOver,
) -> Result<SmallVec<[(usize, i64); 4]>, Rejection> {
    let lines = &reservation.lines;
    if goods.lines.is_empty() {
        let all = lines.iter().enumerate().map(|(i, l)| (i, l.outstanding()));
        return Ok(all.filter(|(_, quantity)| *quantity > 0).collect());
    }
    let invalid = |i: usize, field: &str, problem: String| Rejection::Invalid {
        field: format!("lines[{i}].{field}"),
        problem,
    };
    let mut taken: SmallVec<[(usize, i64); 4]> = SmallVec::new();
    for (i, (line_id, quantity)) in goods.lines.iter().enumerate() {
        let Some(at) = lines.iter().position(|l| l.line_id == *line_id) else {
            let problem = format!("{line_id:?} is no line of this reservation");
            return Err(invalid(i, "line_id", problem));
        };
        if taken.iter().any(|(other, _)| *other == at) {
            return Err(invalid(i, "line_id", format!("{line_id:?} is named twice")));
        }
        let outstanding = lines[at].outstanding();
        let quantity = quantity.unwrap_or(outstanding);
        if quantity > outstanding {
            let problem = format!(
                "is {quantity} thousandths, but only {outstanding} of the line are left to hand over"
            );
            return Err(invalid(i, "quantity", problem));
        }
        taken.push((at, quantity));
    }
    Ok(taken)
}

/// A parcel arrived. The stock fell when it left.
fn delivered(
    reservation: &Reservation,
    goods: &HandOver,
    ctx: &Ctx,
) -> (crate::reply::Reply, Vec<Event>) {
    let mut after = reservation.clone();
    if let Some(payment) = goods.payment {
        after.handling.payment = after.handling.payment.max(payment);
    }
    after.state = At::Fulfilled;
    put(after, ctx)
}

pub(super) fn ship(
    state: &State,
    reservation: Arc<Reservation>,
    shipment: &Shipment,
    ctx: &Ctx,
) -> Decided {
    match reservation.state_at(ctx.now) {
        At::Confirmed | At::Picking | At::Ready => {}
        At::Shipped => return Ok(as_it_is(reservation)),
        other => {
            return Err(refused(
                other,
                "it was handed over at the store already, at least in part",
            ));
        }
    }
    let mut after = Reservation::clone(&reservation);
    let mut fell: SmallVec<[(SkuId, i64); 4]> = SmallVec::new();
    for at in 0..after.lines.len() {
        let quantity = after.lines[at].outstanding();
        after.lines[at].picked = after.lines[at].picked.max(after.lines[at].held);
        let settled = settlement::handover(&mut after.lines, at, quantity);
        fell.push((after.lines[at].sku, settled.now));
    }
    after.handling.acknowledged = after.handling.acknowledged.or(Some(ctx.now));
    after.handling.acknowledge_missed = false;
    after.handling.shipment = Some(Box::new(shipment.clone()));
    end(&mut after, At::Shipped, ctx.now);
    Ok(left(state, after, &fell, ctx))
}

/// Goods left the store: the levels fall by what a receipt has not moved before.
fn left(
    state: &State,
    after: Reservation,
    fell: &[(SkuId, i64)],
    ctx: &Ctx,
) -> (crate::reply::Reply, Vec<Event>) {
    let store = after.store;
    let (reply, puts) = put(after, ctx);
    let falls = fell.iter().filter(|(_, quantity)| *quantity != 0);
    let mut events: Vec<Event> = falls
        .map(|(sku, quantity)| moved(state, *sku, store, -quantity, 0, ctx))
        .collect();
    events.extend(puts);
    (reply, events)
}
