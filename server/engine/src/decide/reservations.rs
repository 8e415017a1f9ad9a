//! Holds: all lines or none, at the first candidate that still has them, or in all the parts of a split. A hold is keyed by its
//! order: a repeat replaces all of it, and a shopper is never blocked by their own hold.

use std::sync::Arc;

use crate::command::{Candidate, Otherwise, PartCandidate, Reserve, WantedLine};
use crate::ctx::Ctx;
use crate::decide::order_parts::{self, OneStep};
use crate::decide::{Decided, Rules, orders};
use crate::event::Event;
use crate::ids::{ReservationId, SkuId};
use crate::limits::{CLOSED_CHECKOUT_MS, SLOTS_LOOKED_AT_MAX};
use crate::near_time::{Cover, cover};
use crate::order::{Handling, PaymentState};
use crate::order_command::Terms;
use crate::order_parts::Parts;
use crate::own_holds::Own;
use crate::pickup_slots::{Slot, has_room};
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::reservation::{
    Checkout, CheckoutResult, Reservation, ReservationLine, ReservationState,
};
use crate::routing::{merged, on_the_shelf};
use crate::state::State;
use crate::units::Time;

pub(super) fn reserve(state: &State, reserve: &Reserve, ctx: &Ctx) -> Decided {
    let checkout = reserve.checkout_revision.map(|revision| {
        (
            revision,
            state
                .checkouts
                .get(&reserve.order_id)
                .map(|c| Arc::clone(&c)),
        )
    });
    if let Some((revision, Some(current))) = &checkout
        && (current.closed.is_some() || *revision < current.revision)
    {
        return Ok((
            Reply::CheckoutHold {
                superseded: true,
                reservation: None,
            },
            Vec::new(),
        ));
    }
    let earlier = current_of_order(state, reserve)?;
    let own = Own::holds(&earlier);
    let held: Parts = match (reserve.candidates.is_empty(), &checkout) {
        // Nothing fits: what an earlier revision holds is given back all the same.
        (true, Some(_)) => Parts::new(),
        (true, None) if !reserve.parts.is_empty() => take_parts(state, reserve, own, ctx)?,
        _ => Parts::from_iter([Arc::new(take_first(state, reserve, own, ctx)?)]),
    };
    let released = earlier.iter().map(|earlier| earlier.id);
    let mut events: Vec<Event> = released
        .map(|id| Event::ReservationReleased { id })
        .collect();
    events.extend(held.iter().map(|reservation| Event::ReservationHeld {
        reservation: Arc::clone(reservation),
    }));
    let first = held.first().map(Arc::clone);
    let Some((revision, _)) = checkout else {
        return match first {
            Some(first) => Ok((order_parts::told(first, held), events)),
            None => Err(nothing(reserve.otherwise)),
        };
    };
    let held = first;
    let expire = held
        .as_ref()
        .map_or(ctx.now, |r| r.expire)
        .plus_ms(CLOSED_CHECKOUT_MS);
    let checkout_id = Arc::clone(&reserve.order_id);
    let put = Checkout {
        checkout_id,
        revision,
        closed: None,
        reservation: held.as_ref().map(|r| r.id),
        expire,
    };
    events.push(Event::CheckoutPut {
        checkout: Arc::new(put),
    });
    Ok((
        Reply::CheckoutHold {
            superseded: false,
            reservation: held,
        },
        events,
    ))
}

/// The order's holds that a new one replaces, all its parts. A confirmed one is not replaced: the order is placed.
fn current_of_order(state: &State, reserve: &Reserve) -> Result<Parts, Rejection> {
    let mut current = state.parts_of_order(&reserve.order_id);
    // Goods that wait to be put back belong to an order that has ended: it may begin anew.
    let placed =
        |r: &&Arc<Reservation>| r.state.is_committed() && r.state != ReservationState::NeedsPutBack;
    if let Some(placed) = current.iter().find(placed) {
        return Err(Rejection::OrderConfirmed {
            order_id: Arc::clone(&reserve.order_id),
            reservation_id: placed.id.to_string(),
        });
    }
    // A hold past its time that no timer has ended yet still is in the levels.
    current.retain(|r| r.state == ReservationState::Held);
    Ok(current)
}

fn take_first(
    state: &State,
    reserve: &Reserve,
    own: Own<'_>,
    ctx: &Ctx,
) -> Result<Reservation, Rejection> {
    if reserve.candidates.is_empty() {
        return Err(nothing(reserve.otherwise));
    }
    let wanted = merged(&reserve.lines);
    let covered = |candidate: &Candidate| {
        if candidate.near_time {
            return cover(state, &wanted, candidate.store, ctx.now, own);
        }
        has_all(state, &wanted, candidate, own).then_some(Cover::THERE)
    };
    let mut full = None;
    let mut promised = None;
    let candidates = reserve.candidates.iter().enumerate();
    let candidates = candidates.filter_map(|(choice, c)| Some((choice, c, covered(c)?)));
    for (choice, candidate, cover) in candidates {
        match promise(state, candidate, reserve.slot_start, own, cover, ctx)? {
            Ok(promise) => {
                promised = Some((choice, candidate, cover, promise));
                break;
            }
            Err(next) => full = full.or(Some(next)),
        }
    }
    let Some((choice, candidate, cover, promise)) = promised else {
        return Err(full.map_or(Rejection::Contended, |next| Rejection::SlotFull { next }));
    };
    let id = ReservationId(state.counters().next_reservation.max(1));
    let lines = reserve.lines.iter();
    let mut held = hold(reserve, id, lines, candidate, promise, ctx);
    held.handling.fallback_steps = choice as u32;
    if cover.expected.is_some() {
        for (sku, _) in &wanted {
            let there = on_the_shelf(state, own, candidate.store, *sku);
            await_rest(&mut held.lines, *sku, there);
        }
    }
    Ok(held)
}

/// Holds every part of a split, or none: where one place no longer has its part, other places may have it.
fn take_parts(
    state: &State,
    reserve: &Reserve,
    given_back: Own<'_>,
    ctx: &Ctx,
) -> Result<Parts, Rejection> {
    let covered = |at: &usize| {
        let holders = reserve.parts.iter().filter(|part| part.lines.contains(at));
        holders.count() == 1
    };
    assert!(
        (0..reserve.lines.len()).all(|at| covered(&at)),
        "the parts of a split have each line once"
    );
    let first = state.counters().next_reservation.max(1);
    let ids: Arc<[ReservationId]> = (first..)
        .take(reserve.parts.len())
        .map(ReservationId)
        .collect();
    let (mut goods, mut slots) = (Vec::new(), Vec::new());
    let mut held = Parts::new();
    for (PartCandidate { candidate, lines }, id) in reserve.parts.iter().zip(ids.iter()) {
        let lines: Vec<WantedLine> = lines.iter().map(|at| reserve.lines[*at].clone()).collect();
        let own = Own {
            goods: &goods,
            slots: &slots,
            ..given_back
        };
        if !has_all(state, &merged(&lines), candidate, own) {
            return Err(Rejection::Contended);
        }
        let Ok(promise) = promise(state, candidate, reserve.slot_start, own, Cover::THERE, ctx)?
        else {
            return Err(Rejection::Contended);
        };
        let (store, slot) = (candidate.store, promise.1);
        goods.extend(lines.iter().map(|line| (store, line.sku, line.quantity)));
        slots.extend(slot.map(|slot| (store, slot.start)));
        let mut part = hold(reserve, *id, lines.iter(), candidate, promise, ctx);
        part.parts = (ids.len() > 1).then(|| Arc::clone(&ids));
        held.push(Arc::new(part));
    }
    Ok(held)
}

fn has_all(state: &State, wanted: &[(SkuId, i64)], candidate: &Candidate, own: Own<'_>) -> bool {
    let store = candidate.store;
    wanted
        .iter()
        .all(|&(sku, quantity)| on_the_shelf(state, own, store, sku) >= quantity)
}

/// The hold of some lines at a place.
fn hold<'a>(
    reserve: &Reserve,
    id: ReservationId,
    lines: impl Iterator<Item = &'a WantedLine>,
    candidate: &Candidate,
    (window, slot): Promise,
    ctx: &Ctx,
) -> Reservation {
    let line = |l: &WantedLine| ReservationLine::holding(Arc::clone(&l.line_id), l.sku, l.quantity);
    Reservation {
        id,
        order_id: Arc::clone(&reserve.order_id),
        store: candidate.store,
        state: ReservationState::Held,
        lines: lines.map(line).collect(),
        distance_mm: candidate.distance_mm,
        window,
        expire: ctx.now.plus_ms(reserve.hold_ms),
        created: ctx.now,
        version: ctx.seq,
        method: candidate.method,
        slot,
        sought: reserve.sought,
        handling: Handling::default(),
        parts: None,
    }
}

/// Notes what the shelf has not got for the lines of a product: it is on its way.
fn await_rest(lines: &mut [ReservationLine], sku: SkuId, on_the_shelf: i64) {
    let mut left = on_the_shelf.max(0);
    for line in lines.iter_mut().filter(|line| line.sku == sku) {
        let there = left.min(line.held);
        line.awaited = line.held - there;
        left -= there;
    }
}

/// The refusal where there is no candidate.
fn nothing(otherwise: Otherwise) -> Rejection {
    match otherwise {
        Otherwise::NoStock => Rejection::InsufficientStock,
        Otherwise::SlotsFull => Rejection::SlotFull { next: None },
        Otherwise::SplitOnly => Rejection::SplitNotReserved,
    }
}

/// What is promised of a place: when, and in which slot.
type Promise = (Option<(Time, Time)>, Option<Slot>);

/// What a candidate that has everything, or will have, can promise; `Err`: no room in its slots, and where the next one with
/// room is.
fn promise(
    state: &State,
    candidate: &Candidate,
    slot_start: Option<Time>,
    own: Own<'_>,
    cover: Cover,
    ctx: &Ctx,
) -> Result<Result<Promise, Option<(Time, Time)>>, Rejection> {
    let Some(store) = state.stores.get(candidate.store) else {
        return Ok(Ok((None, None)));
    };
    let from = cover
        .expected
        .map_or(ctx.now, |expected| expected.max(ctx.now));
    if candidate.method.ships() {
        let policy = state.routing_policy.get();
        return Ok(Ok((policy.delivery(candidate.method, &store, from), None)));
    }
    let (id, held) = (candidate.store, &state.held_slots);
    let first = || match cover.expected {
        Some(_) => store.first_pickup_from(id, held, from, own),
        None => store.first_pickup(id, held, from, own),
    };
    let Some(start) = slot_start else {
        return Ok(match first() {
            Some(pickup) => Ok((pickup.promised(), pickup.slot)),
            // A store that does not open within the horizon was no candidate; a hold is no place to find that out.
            None if store.location_terms.slots.is_none() => Ok((None, None)),
            None => Err(None),
        });
    };
    let mut slots = store.pickup_slots(from).take(SLOTS_LOOKED_AT_MAX);
    match slots.find(|slot| slot.start >= start) {
        Some(slot) if slot.start == start => Ok(if has_room(&slot, id, held, own) {
            Ok((Some(slot.span()), Some(slot)))
        } else {
            let free = slots.find(|slot| has_room(slot, id, held, own));
            Err(free.or_else(|| first()?.slot).map(|slot| slot.span()))
        }),
        _ => Err(Rejection::Invalid {
            field: "pickup_slot_start_time".into(),
            problem: "is not the beginning of a slot in which the order can be ready; take one of ListPickupSlots".into(),
        }),
    }
}

pub(super) fn release(state: &State, id: ReservationId, ctx: &Ctx) -> Decided {
    let reservation = known(state, id)?;
    let parts = state.parts_of(&reservation);
    order_parts::each(reservation, parts, |part| release_one(part, ctx))
}

fn release_one(reservation: &Arc<Reservation>, ctx: &Ctx) -> Result<OneStep, Rejection> {
    match reservation.state {
        ReservationState::Held | ReservationState::Confirmed => Ok(Some(changed(
            reservation,
            ReservationState::Released,
            ctx,
            Event::ReservationReleased { id: reservation.id },
        ))),
        // What has ended without a sale holds nothing: releasing it again is the same as once.
        ReservationState::Released | ReservationState::Expired | ReservationState::PutBack => {
            Ok(None)
        }
        ReservationState::Fulfilled | ReservationState::Shipped => {
            Err(Rejection::ReservationEnded(reservation.state.name()))
        }
        ReservationState::Picking
        | ReservationState::Ready
        | ReservationState::PartiallyPickedUp
        | ReservationState::NeedsPutBack => Err(Rejection::WrongState {
            state: reservation.state.name(),
            needs: "its goods are off the shelf: cancel the order, and confirm when they are put back",
        }),
    }
}

pub(super) fn close_checkout(
    state: &State,
    rules: &Rules,
    checkout_id: &Arc<str>,
    result: CheckoutResult,
    ctx: &Ctx,
) -> Decided {
    let current = state.checkouts.get(checkout_id).map(|c| Arc::clone(&c));
    let reservation = current
        .as_ref()
        .and_then(|c| c.reservation)
        .and_then(|id| state.reservation(id));
    if let Some(first) = current.as_ref().and_then(|c| c.closed) {
        return Ok((
            Reply::CheckoutClosed {
                result: first,
                reservation,
            },
            Vec::new(),
        ));
    }
    let (reservation, mut events) = match reservation {
        None => (None, Vec::new()),
        Some(reservation) => {
            let decided = match result {
                CheckoutResult::Completed => {
                    let terms = Terms {
                        payment: PaymentState::Paid,
                        ..Terms::default()
                    };
                    orders::confirm(state, rules, reservation.id, &terms, ctx)
                }
                CheckoutResult::Cancelled => release(state, reservation.id, ctx),
            };
            match decided {
                Ok((
                    Reply::Reservation(after)
                    | Reply::OrderParts {
                        reservation: after, ..
                    },
                    events,
                )) => (Some(after), events),
                // The hold ended before the checkout did: what was paid is paid, and the answer shows the hold's end.
                _ => (Some(reservation), Vec::new()),
            }
        }
    };
    let put = Checkout {
        checkout_id: Arc::clone(checkout_id),
        revision: current.as_ref().map_or(0, |c| c.revision),
        closed: Some(result),
        reservation: reservation.as_ref().map(|r| r.id),
        expire: ctx.now.plus_ms(CLOSED_CHECKOUT_MS),
    };
    events.push(Event::CheckoutPut {
        checkout: Arc::new(put),
    });
    Ok((
        Reply::CheckoutClosed {
            result,
            reservation,
        },
        events,
    ))
}

pub(super) fn forget(state: &State, id: ReservationId, ctx: &Ctx) -> (Reply, Vec<Event>) {
    let due = state
        .reservation(id)
        .and_then(|r| r.forgotten_at())
        .filter(|due| *due <= ctx.now);
    (
        Reply::Done,
        due.map(|_| Event::ReservationForgotten { id })
            .into_iter()
            .collect(),
    )
}

pub(super) fn forget_checkout(state: &State, id: &Arc<str>, ctx: &Ctx) -> (Reply, Vec<Event>) {
    let due = state.checkouts.get(id).is_some_and(|c| c.expire <= ctx.now);
    (
        Reply::Done,
        due.then(|| Event::CheckoutForgotten {
            checkout_id: Arc::clone(id),
        })
        .into_iter()
        .collect(),
    )
}

pub(super) fn known(state: &State, id: ReservationId) -> Result<Arc<Reservation>, Rejection> {
    state
        .reservation(id)
        .ok_or_else(|| Rejection::UnknownReservation {
            reservation_id: id.to_string().into(),
        })
}

/// The reservation as `apply` will leave it, for the reply.
fn changed(
    reservation: &Reservation,
    state: ReservationState,
    ctx: &Ctx,
    event: Event,
) -> (Arc<Reservation>, Event) {
    let mut after = Reservation {
        state,
        version: ctx.seq,
        ..reservation.clone()
    };
    if !after.holds_stock() {
        after.lines.iter_mut().for_each(|line| line.held = 0);
    }
    (Arc::new(after), event)
}
