//! The life of an order after its hold. Each step has the states it starts from; on a state that lies behind the step it
//! answers what is, so that a step done twice is done once; on any other it says what would have to be.

use std::sync::Arc;

use crate::ctx::Ctx;
use crate::decide::order_parts::{self, OneStep};
use crate::decide::reservations::known;
use crate::decide::{Decided, Rules, handover, pick_exceptions};
use crate::event::Event;
use crate::ids::{ReservationId, SkuId, StoreId};
use crate::limits::CLOSED_CHECKOUT_MS;
use crate::order_command::{OrderCommand, OrderStep, Terms};
use crate::pickup_code;
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::reservation::{Checkout, Reservation, ReservationState as At};
use crate::state::State;
use crate::stock::MoveReason;
use crate::units::Time;

pub(super) fn step(state: &State, rules: &Rules, order: &OrderCommand, ctx: &Ctx) -> Decided {
    let reservation = known(state, order.id)?;
    if order.etag.is_some_and(|etag| etag != reservation.version) {
        return Err(Rejection::EtagMismatch);
    }
    match &order.step {
        OrderStep::Confirm(terms) => confirm(state, rules, order.id, terms, ctx),
        OrderStep::Extend { hold_ms } => extend(state, reservation, *hold_ms, ctx),
        OrderStep::Acknowledge => acknowledge(reservation, ctx),
        OrderStep::StartPicking => start_picking(reservation, ctx),
        OrderStep::MarkReady => mark_ready(state, reservation, ctx),
        OrderStep::HandOver(goods) => handover::hand_over(state, rules, reservation, goods, ctx),
        OrderStep::MarkShipped(shipment) => handover::ship(state, reservation, shipment, ctx),
        OrderStep::PutBack => put_back(reservation, ctx),
        OrderStep::PickException(found) => pick_exceptions::report(state, reservation, found, ctx),
    }
}

pub(super) fn confirm(
    state: &State,
    rules: &Rules,
    id: ReservationId,
    terms: &Terms,
    ctx: &Ctx,
) -> Decided {
    let reservation = known(state, id)?;
    let parts = state.parts_of(&reservation);
    // A hold is placed whole. What is placed may be paid although a part of it came to nothing.
    let held = parts.iter().any(|part| part.state == At::Held);
    let one = |part: &_| confirm_one(state, rules, part, terms, ctx);
    if held {
        order_parts::each(reservation, parts, one)
    } else {
        order_parts::each_that_goes_on(reservation, parts, one)
    }
}

fn confirm_one(
    state: &State,
    rules: &Rules,
    reservation: &Arc<Reservation>,
    terms: &Terms,
    ctx: &Ctx,
) -> Result<OneStep, Rejection> {
    match reservation.state_at(ctx.now) {
        At::Held => {
            let mut after = Reservation::clone(reservation);
            after.state = At::Confirmed;
            after.handling.confirmed = Some(ctx.seq);
            after.handling.payment = terms.payment;
            after.handling.handover = terms.handover;
            let code = pickup_code::code(&rules.index_key, reservation.code_from());
            after.handling.pickup_code = Some(pickup_code::hash(&rules.index_key, &code));
            after.handling.deadline = acknowledge_by(state, after.store, ctx.now);
            Ok(Some(recorded(after, ctx)))
        }
        // Already confirmed, or even handed over: the promise was kept. Only the money may have come since.
        At::Confirmed
        | At::Picking
        | At::Ready
        | At::PartiallyPickedUp
        | At::Shipped
        | At::Fulfilled => {
            if terms.payment <= reservation.handling.payment {
                return Ok(None);
            }
            let mut after = Reservation::clone(reservation);
            after.handling.payment = terms.payment;
            Ok(Some(recorded(after, ctx)))
        }
        At::Expired => Err(Rejection::ReservationExpired),
        ended @ (At::Released | At::NeedsPutBack | At::PutBack) => {
            Err(Rejection::ReservationEnded(ended.name()))
        }
    }
}

fn extend(state: &State, reservation: Arc<Reservation>, hold_ms: i64, ctx: &Ctx) -> Decided {
    let parts = state.parts_of(&reservation);
    let one = |part: &_| extend_one(part, hold_ms, ctx);
    let (reply, mut events) = order_parts::each_that_goes_on(reservation, parts, one)?;
    // A checkout is remembered as long as what it holds.
    if let Reply::Reservation(after) = &reply
        && !events.is_empty()
        && let Some(checkout) = state.checkouts.get(&after.order_id).map(|c| Arc::clone(&c))
        && checkout.closed.is_none()
        && checkout.reservation == Some(after.id)
        && checkout.expire < after.expire.plus_ms(CLOSED_CHECKOUT_MS)
    {
        events.push(Event::CheckoutPut {
            checkout: Arc::new(Checkout {
                expire: after.expire.plus_ms(CLOSED_CHECKOUT_MS),
                ..Checkout::clone(&checkout)
            }),
        });
    }
    Ok((reply, events))
}

fn extend_one(
    reservation: &Arc<Reservation>,
    hold_ms: i64,
    ctx: &Ctx,
) -> Result<OneStep, Rejection> {
    let until = ctx.now.plus_ms(hold_ms);
    let mut after = Reservation::clone(reservation);
    match reservation.state_at(ctx.now) {
        At::Held => after.expire = after.expire.max(until),
        // Ready goods wait longer; where they wait for ever there is nothing to add.
        At::Ready | At::PartiallyPickedUp => {
            after.handling.deadline = after.handling.deadline.map(|d| d.max(until));
        }
        At::Confirmed | At::Picking => {}
        other => {
            return Err(refused(
                other,
                "only a hold or what waits for its customer can be extended",
            ));
        }
    }
    Ok((after != **reservation).then(|| recorded(after, ctx)))
}

fn acknowledge(reservation: Arc<Reservation>, ctx: &Ctx) -> Decided {
    match reservation.state_at(ctx.now) {
        At::Confirmed if reservation.handling.acknowledged.is_none() => {
            let mut after = Reservation::clone(&reservation);
            seen(&mut after, ctx);
            Ok(put(after, ctx))
        }
        At::Confirmed
        | At::Picking
        | At::Ready
        | At::PartiallyPickedUp
        | At::Shipped
        | At::Fulfilled => Ok(as_it_is(reservation)),
        other => Err(refused(other, "only a confirmed order can be acknowledged")),
    }
}

fn start_picking(reservation: Arc<Reservation>, ctx: &Ctx) -> Decided {
    match reservation.state_at(ctx.now) {
        At::Confirmed => {
            let mut after = Reservation::clone(&reservation);
            after.state = At::Picking;
            seen(&mut after, ctx);
            Ok(put(after, ctx))
        }
        At::Picking | At::Ready | At::PartiallyPickedUp | At::Shipped | At::Fulfilled => {
            Ok(as_it_is(reservation))
        }
        other => Err(refused(other, "only a confirmed order can be picked")),
    }
}

fn mark_ready(state: &State, reservation: Arc<Reservation>, ctx: &Ctx) -> Decided {
    match reservation.state_at(ctx.now) {
        At::Confirmed | At::Picking => {
            let mut after = Reservation::clone(&reservation);
            after.state = At::Ready;
            seen(&mut after, ctx);
            for line in &mut after.lines {
                line.picked = line.held;
            }
            after.handling.ready = Some(ctx.now);
            let store = state.stores.get(after.store);
            after.handling.deadline = store.and_then(|s| s.no_show_at(ctx.now, after.window));
            // Everything was found: that speaks for the store's stock.
            let picked = after.lines.iter().map(|line| line.picked).sum();
            let checked = Event::PickChecked {
                store: after.store,
                expected: picked,
                found: picked,
            };
            let (reply, mut events) = put(after, ctx);
            events.push(checked);
            Ok((reply, events))
        }
        At::Ready | At::PartiallyPickedUp | At::Fulfilled => Ok(as_it_is(reservation)),
        other => Err(refused(other, "only a confirmed order can be made ready")),
    }
}

fn put_back(reservation: Arc<Reservation>, ctx: &Ctx) -> Decided {
    match reservation.state_at(ctx.now) {
        At::NeedsPutBack => {
            let mut after = Reservation::clone(&reservation);
            end(&mut after, At::PutBack, ctx.now);
            Ok(put(after, ctx))
        }
        At::PutBack => Ok(as_it_is(reservation)),
        other => Err(refused(
            other,
            "only goods of an order that was cancelled, moved or not picked up are put back",
        )),
    }
}

/// Ends an order, all its parts. Goods that are off the shelf stay committed until they are put back.
pub(super) fn cancel(state: &State, order_id: &Arc<str>, ctx: &Ctx) -> Decided {
    let parts = state.parts_of_order(order_id);
    let latest = parts.iter().max_by_key(|part| part.id).map(Arc::clone);
    let latest = latest.ok_or_else(|| Rejection::UnknownOrder {
        order_id: Arc::clone(order_id),
    })?;
    order_parts::each(latest, parts, |part| cancel_one(part, ctx))
}

fn cancel_one(reservation: &Arc<Reservation>, ctx: &Ctx) -> Result<OneStep, Rejection> {
    match reservation.state {
        At::Held | At::Confirmed => {
            let mut after = Reservation::clone(reservation);
            end(&mut after, At::Released, ctx.now);
            Ok(Some(recorded(after, ctx)))
        }
        At::Picking | At::Ready | At::PartiallyPickedUp => {
            let mut after = Reservation::clone(reservation);
            put_back_later(&mut after, ctx.now);
            Ok(Some(recorded(after, ctx)))
        }
        At::Released | At::Expired | At::NeedsPutBack | At::PutBack => Ok(None),
        sold @ (At::Shipped | At::Fulfilled) => Err(Rejection::ReservationEnded(sold.name())),
    }
}

/// A timer of a reservation fired: a hold ran out, a store did not answer, a customer did not come.
pub(super) fn due(state: &State, id: ReservationId, ctx: &Ctx) -> (Reply, Vec<Event>) {
    let reservation = state.reservation(id);
    let Some(reservation) = reservation.filter(|r| r.due().is_some_and(|due| due <= ctx.now))
    else {
        return (Reply::Done, Vec::new());
    };
    let events = match reservation.state {
        // All parts of a hold run out at the same time, and in the same step.
        At::Held => {
            let parts = state.parts_of(&reservation);
            let over = |r: &&Arc<Reservation>| r.state == At::Held && r.expire <= ctx.now;
            let over = parts.iter().filter(over);
            over.map(|r| Event::ReservationExpired { id: r.id })
                .collect()
        }
        At::Confirmed => pick_exceptions::unanswered(state, &reservation, ctx),
        _ => {
            let mut after = Reservation::clone(&reservation);
            put_back_later(&mut after, ctx.now);
            put(after, ctx).1
        }
    };
    (Reply::Done, events)
}

/// The store has to do with it: it need not acknowledge any more.
pub(super) fn seen(reservation: &mut Reservation, ctx: &Ctx) {
    let handling = &mut reservation.handling;
    handling.acknowledged = handling.acknowledged.or(Some(ctx.now));
    handling.acknowledge_missed = false;
    handling.deadline = None;
}

/// Gives up what it holds, for good.
pub(super) fn end(reservation: &mut Reservation, state: At, now: Time) {
    reservation.state = state;
    reservation.lines.iter_mut().for_each(|line| line.held = 0);
    reservation.handling.deadline = None;
    reservation.handling.ended = Some(now);
}

/// Its goods are off the shelf and have to be put back. What never came is given up at once: others wait for it.
pub(super) fn put_back_later(reservation: &mut Reservation, now: Time) {
    for line in &mut reservation.lines {
        line.held -= line.claimed();
        line.awaited = 0;
    }
    if reservation.lines.iter().all(|line| line.held == 0) {
        end(reservation, At::Released, now);
    } else {
        reservation.state = At::NeedsPutBack;
        reservation.handling.deadline = None;
    }
}

/// Until when a store has to acknowledge what it gets now.
pub(super) fn acknowledge_by(state: &State, store: StoreId, now: Time) -> Option<Time> {
    state.stores.get(store)?.acknowledge_by(now)
}

/// The reservation as it is from now on, told and recorded.
pub(super) fn put(after: Reservation, ctx: &Ctx) -> (Reply, Vec<Event>) {
    let (reservation, event) = recorded(after, ctx);
    (Reply::Reservation(reservation), vec![event])
}

/// The same, where it is one of several.
fn recorded(mut after: Reservation, ctx: &Ctx) -> (Arc<Reservation>, Event) {
    after.version = ctx.seq;
    let reservation = Arc::new(after);
    let event = Event::ReservationPut {
        reservation: Arc::clone(&reservation),
    };
    (reservation, event)
}

pub(super) fn as_it_is(reservation: Arc<Reservation>) -> (Reply, Vec<Event>) {
    (Reply::Reservation(reservation), Vec::new())
}

/// A movement of the stock of an order's store. Without a time of its own it happened in the order it came: after a count
/// of this very millisecond.
pub(super) fn moved(
    state: &State,
    sku: SkuId,
    store: StoreId,
    delta: i64,
    damaged: i64,
    ctx: &Ctx,
) -> Event {
    let counted = state.level(sku, store).counted_at();
    Event::StockMoved {
        sku,
        store,
        delta,
        damaged,
        occurred: counted.map_or(ctx.now, |t| ctx.now.max(t.plus_ms(1))),
        reason: if damaged == 0 {
            MoveReason::Correction
        } else {
            MoveReason::Damage
        },
    }
}

/// Why a step is refused on a state.
pub(super) fn refused(state: At, needs: &'static str) -> Rejection {
    match state {
        At::Expired => Rejection::ReservationExpired,
        At::Released | At::Fulfilled | At::PutBack => Rejection::ReservationEnded(state.name()),
        At::Held => Rejection::WrongState {
            state: state.name(),
            needs: "it has to be confirmed first",
        },
        _ => Rejection::WrongState {
            state: state.name(),
            needs,
        },
    }
}
