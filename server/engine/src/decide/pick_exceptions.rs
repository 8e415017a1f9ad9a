//! A store cannot keep its promise: it did not find the goods, or it does not answer. The other stores that have them are
//! found in the same step, and the order moves there where that is asked for, so that nobody takes them in between.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::command::WantedLine;
use crate::ctx::Ctx;
use crate::decide::orders::{acknowledge_by, end, moved, put, put_back_later, refused, seen};
use crate::decide::{Decided, order_parts};
use crate::event::Event;
use crate::fulfillment_ladder::{LadderQuery, Leg, ladder, leaves_enough};
use crate::ids::{CellKey, ReservationId, SkuId};
use crate::limits::REROUTES_MAX;
use crate::location_terms::{Method, Methods};
use crate::order::{Handling, PickProblem};
use crate::order_command::PickException;
use crate::own_holds::Own;
use crate::pickup_slots::Slot;
use crate::reject::Rejection;
use crate::reply::{Alternative, Reply};
use crate::reservation::{Reservation, ReservationLine, ReservationState as At};
use crate::routing::{By, PlanQuery, merged, promised_of_deliveries};
use crate::state::State;
use crate::units::Time;

pub(super) fn report(
    state: &State,
    reservation: Arc<Reservation>,
    found: &PickException,
    ctx: &Ctx,
) -> Decided {
    match reservation.state_at(ctx.now) {
        At::Confirmed | At::Picking | At::Ready => {}
        other => {
            return Err(refused(
                other,
                "only what a store still has to hand over in full can be short",
            ));
        }
    }
    let mut after = Reservation::clone(&reservation);
    let mut missing = Missing::default();
    for (i, line) in found.lines.iter().enumerate() {
        let at = position(&reservation, found, i)?;
        let own = &mut after.lines[at];
        let short = own.held - line.found;
        let claimed = own.claimed();
        own.held = line.found;
        own.picked = line.found;
        own.rejected += short;
        own.problem = Some(line.problem);
        // What is still on its way was not to be found: the stock is right without it.
        own.awaited = (claimed - short).max(0);
        missing.add(own.sku, (short - claimed).max(0), line.problem);
    }
    let mut events = missing.events(state, &reservation, ctx);
    events.push(missing.checked(&reservation));
    let alternatives = alternatives(state, &reservation, found.max_options.max(1), ctx.now);
    seen(&mut after, ctx);
    after.state = match after.state {
        At::Confirmed => At::Picking,
        other => other,
    };
    let next = alternatives.first().filter(|_| found.move_to_next);
    let moved_to = next.map(|next| move_to(state, &mut after, &reservation, next, ctx));
    let holds_nothing = after.lines.iter().all(|l| l.held == 0);
    if holds_nothing {
        end(&mut after, At::Released, ctx.now);
    } else if moved_to.is_some() {
        // What was found is off the shelf here.
        put_back_later(&mut after, ctx.now);
    } else if after.state == At::Ready {
        // What is left goes on waiting as long as all of it would have.
        after.handling.deadline = reservation.handling.deadline;
    }
    let (reply, puts) = put(after, ctx);
    events.extend(puts);
    if let Some(new) = &moved_to {
        events.extend(arrived(state, new, ctx));
    }
    let Reply::Reservation(reservation) = reply else {
        return Ok((reply, events));
    };
    let reply = Reply::PickException {
        reservation,
        moved_to,
        alternatives,
    };
    Ok((reply, events))
}

/// The line that the report's line `i` is about.
fn position(
    reservation: &Reservation,
    found: &PickException,
    i: usize,
) -> Result<usize, Rejection> {
    let line = &found.lines[i];
    let invalid = |field: &str, problem: String| {
        let field = format!("lines[{i}].{field}");
        Err(Rejection::Invalid { field, problem })
    };
    let lines = &reservation.lines;
    let Some(at) = lines.iter().position(|l| l.line_id == line.line_id) else {
        return invalid(
            "line_id",
            format!("{:?} is no line of this reservation", line.line_id),
        );
    };
    if found.lines[..i].iter().any(|l| l.line_id == line.line_id) {
        return invalid("line_id", format!("{:?} is named twice", line.line_id));
    }
    if line.found >= lines[at].held {
        let problem = format!(
            "is {} thousandths, and {} are held: name only lines that are short",
            line.found, lines[at].held
        );
        return invalid("quantity_found", problem);
    }
    Ok(at)
}

/// What is short, by product.
#[derive(Default)]
struct Missing {
    not_found: SmallVec<[(SkuId, i64); 4]>,
    damaged: SmallVec<[(SkuId, i64); 4]>,
}

impl Missing {
    fn add(&mut self, sku: SkuId, short: i64, problem: PickProblem) {
        let list = match problem {
            PickProblem::NotFound => &mut self.not_found,
            PickProblem::Damaged => &mut self.damaged,
            // It is there: nothing is wrong with the stock.
            PickProblem::Declined => return,
        };
        if short == 0 {
            return;
        }
        match list.iter_mut().find(|(known, _)| *known == sku) {
            Some((_, sum)) => *sum += short,
            None => list.push((sku, short)),
        }
    }

    /// What the picker found of all that was held. What was found damaged, or was not wanted, was there.
    fn checked(&self, reservation: &Reservation) -> Event {
        let on_the_shelf = |line: &ReservationLine| line.held - line.claimed();
        let expected = reservation.lines.iter().map(on_the_shelf).sum();
        let missing: i64 = self.not_found.iter().map(|(_, short)| short).sum();
        Event::PickChecked {
            store: reservation.store,
            expected,
            found: expected - missing,
        }
    }

    /// Corrects the stock of the store. Whoever cannot find what is asked for would not find more for the next order either:
    /// besides what is missing, what nobody holds goes as well, until a count says better.
    fn events(&self, state: &State, reservation: &Reservation, ctx: &Ctx) -> Vec<Event> {
        let store = reservation.store;
        let not_found = self.not_found.iter().map(|(sku, short)| {
            let awaited = promised_of_deliveries(state, CellKey::new(*sku, store), 0);
            let free = state.level(*sku, store).available_in_store() + awaited;
            moved(state, *sku, store, -(short + free.max(0)), 0, ctx)
        });
        let damaged = self
            .damaged
            .iter()
            .map(|(sku, short)| moved(state, *sku, store, 0, *short, ctx));
        not_found.chain(damaged).collect()
    }
}

/// Other stores that have everything this one holds, best first. None once too many have failed the order.
pub fn alternatives(
    state: &State,
    reservation: &Reservation,
    max_options: usize,
    now: Time,
) -> Vec<Alternative> {
    let Some(sought) = reservation.sought else {
        return Vec::new();
    };
    let mut without = reservation.handling.refused_by.clone();
    without.push(reservation.store);
    let lines = wanted(reservation);
    if lines.is_empty() || without.len() > REROUTES_MAX {
        return Vec::new();
    }
    // The order was promised where its shopper gets to, so what is as far stays on the same side.
    let failed = state.stores.get(reservation.store);
    let zone = failed.as_ref().map(|store| &*store.travel_zone);
    let policy = state.routing_policy.get();
    let query = LadderQuery {
        plan: PlanQuery {
            origin: sought.origin,
            lines: &lines,
            limit_mm: sought.limit_mm,
            // Those that had the order may be among the first.
            max_options: max_options + without.len(),
            require_open_now: false,
            only_store: None,
            now,
            own: Own::default(),
            travel_zone: zone.filter(|zone| !zone.is_empty() && !reservation.method.ships()),
            by: By::default(),
        },
        methods: Methods::of([reservation.method]),
        line_methods: &[],
        destination_point: None,
        destination: None,
        policy: &policy,
        explain: false,
    };
    let found = ladder(state, &query);
    let legs = found.ways.iter().flat_map(|way| &way.legs);
    // A promise that was broken is not followed by one of goods on their way.
    let others = legs.filter(|leg| leg.expected.is_none() && !without.contains(&leg.place));
    let alternative = |leg: &Leg| Alternative {
        store: leg.place,
        distance_mm: leg.distance_mm,
        window: leg.pickup.promised(),
        cost: leg.cost,
        hold_first: !leaves_enough(state, &policy, leg.place, &merged(&lines), Own::default()),
    };
    others.take(max_options).map(alternative).collect()
}

fn wanted(reservation: &Reservation) -> Vec<WantedLine> {
    let held = reservation.lines.iter().filter(|l| l.held > 0);
    held.map(|l| WantedLine {
        line_id: Arc::clone(&l.line_id),
        sku: l.sku,
        quantity: l.held,
    })
    .collect()
}

/// Commits everything that `before` held at the next store; `from` remembers where it went. The customer keeps their code.
fn move_to(
    state: &State,
    from: &mut Reservation,
    before: &Reservation,
    next: &Alternative,
    ctx: &Ctx,
) -> Arc<Reservation> {
    let id = ReservationId(state.counters().next_reservation.max(1));
    let (window, slot) = promised_at(state, before.method, next, ctx);
    from.handling.replaced_by = Some(id);
    let parts = order_parts::moved(before, id);
    from.parts = parts.clone();
    let mut refused_by = before.handling.refused_by.clone();
    refused_by.push(before.store);
    let line = |l: WantedLine| ReservationLine::holding(l.line_id, l.sku, l.quantity);
    Arc::new(Reservation {
        id,
        order_id: Arc::clone(&before.order_id),
        store: next.store,
        state: At::Confirmed,
        lines: wanted(before).into_iter().map(line).collect(),
        distance_mm: next.distance_mm,
        window,
        expire: before.expire,
        created: ctx.now,
        version: ctx.seq,
        method: before.method,
        slot,
        sought: before.sought,
        handling: Handling {
            payment: before.handling.payment,
            handover: before.handling.handover,
            pickup_code: before.handling.pickup_code,
            deadline: acknowledge_by(state, next.store, ctx.now),
            fallback_steps: before.handling.fallback_steps + 1,
            refused_by,
            replaces: Some(before.id),
            ..Handling::default()
        },
        parts,
    })
}

/// A reservation that came to the next store takes the place of the old one among the parts of its order.
fn arrived(state: &State, new: &Arc<Reservation>, ctx: &Ctx) -> Vec<Event> {
    let mut events = vec![Event::ReservationPut {
        reservation: Arc::clone(new),
    }];
    events.extend(order_parts::tell_the_others(state, new, ctx));
    events
}

/// When the next store has it: its first slot with room is held with the goods.
fn promised_at(
    state: &State,
    method: Method,
    next: &Alternative,
    ctx: &Ctx,
) -> (Option<(Time, Time)>, Option<Slot>) {
    let Some(store) = state.stores.get(next.store) else {
        return (next.window, None);
    };
    if method.ships() {
        let policy = state.routing_policy.get();
        return (policy.delivery(method, &store, ctx.now), None);
    }
    match store.first_pickup(next.store, &state.held_slots, ctx.now, Own::default()) {
        Some(pickup) => (pickup.promised(), pickup.slot),
        None => (next.window, None),
    }
}

/// A store did not acknowledge in time: the order moves to the next one that has it, or is left there and marked.
pub(super) fn unanswered(state: &State, reservation: &Reservation, ctx: &Ctx) -> Vec<Event> {
    let mut after = reservation.clone();
    let alternatives = alternatives(state, reservation, 1, ctx.now);
    let Some(next) = alternatives.first() else {
        after.handling.deadline = None;
        after.handling.acknowledge_missed = true;
        return put(after, ctx).1;
    };
    let new = move_to(state, &mut after, reservation, next, ctx);
    after.handling.acknowledge_missed = true;
    // Nobody has touched the goods: they are on the shelf.
    end(&mut after, At::Released, ctx.now);
    let (_, mut events) = put(after, ctx);
    events.extend(arrived(state, &new, ctx));
    events
}
