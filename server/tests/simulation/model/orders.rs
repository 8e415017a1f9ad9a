//! Orders after their hold. The stock of a product that went out is the larger of what was handed over and what receipts
//! name; everything else is written down step by step.

use std::collections::BTreeMap;
use std::sync::Arc;

use tillside_engine::catalog::StoreState;
use tillside_engine::geo_index::distance_mm;
use tillside_engine::ids::{ReservationId, StoreId};
use tillside_engine::order::{Handling, PickProblem};
use tillside_engine::order_command::{HandOver, OrderCommand, OrderStep, PickException, Terms};
use tillside_engine::pickup_code;
use tillside_engine::reply::Alternative;
use tillside_engine::reservation::{Reservation, ReservationLine, ReservationState as State};
use tillside_engine::units::Time;

use super::{At, HOUR_MS, Model, Outcome, Refusal, Told, refused, reservation_name};

/// What stands in the way of a step.
fn not_now(state: State) -> Refusal {
    match state {
        State::Expired => Refusal("ReservationExpired", String::new()),
        State::Released | State::Fulfilled | State::PutBack => {
            Refusal("ReservationEnded", state.name().to_owned())
        }
        other => Refusal("WrongState", other.name().to_owned()),
    }
}

fn is_past_hold(state: State) -> bool {
    matches!(
        state,
        State::Picking
            | State::Ready
            | State::PartiallyPickedUp
            | State::Shipped
            | State::Fulfilled
    )
}

impl Model {
    fn stands(reservation: &Reservation, now: Time) -> State {
        if reservation.state == State::Held && reservation.expire.0 <= now.0 {
            State::Expired
        } else {
            reservation.state
        }
    }

    fn change(&mut self, mut after: Reservation, at: At) -> Outcome {
        after.version = at.sequence;
        Ok((Told::Reservation(self.set(after)), true))
    }

    fn give_up(after: &mut Reservation, state: State, now: Time) {
        after.state = state;
        after.lines.iter_mut().for_each(|line| line.held = 0);
        after.handling.deadline = None;
        after.handling.ended = Some(now);
    }

    fn acknowledged(after: &mut Reservation, now: Time) {
        after.handling.acknowledged.get_or_insert(now);
        after.handling.acknowledge_missed = false;
        after.handling.deadline = None;
    }

    pub(super) fn order(&mut self, order: &OrderCommand, at: At) -> Outcome {
        let Some(current) = self.reservation(order.id) else {
            return refused("UnknownReservation", reservation_name(order.id));
        };
        if order.etag.is_some_and(|etag| etag != current.version) {
            return refused("EtagMismatch", "");
        }
        let stands = Self::stands(&current, at.now);
        let mut after = Reservation::clone(&current);
        let unchanged = Ok((Told::Reservation(Arc::clone(&current)), false));
        match &order.step {
            OrderStep::Confirm(terms) => self.confirm(order.id, *terms, at),
            OrderStep::Extend { hold_ms } => self.extend(&current, *hold_ms, at),
            OrderStep::Acknowledge => match stands {
                State::Confirmed if after.handling.acknowledged.is_none() => {
                    Self::acknowledged(&mut after, at.now);
                    self.change(after, at)
                }
                State::Confirmed => unchanged,
                state if is_past_hold(state) => unchanged,
                other => Err(not_now(other)),
            },
            OrderStep::StartPicking => match stands {
                State::Confirmed => {
                    Self::acknowledged(&mut after, at.now);
                    after.state = State::Picking;
                    self.change(after, at)
                }
                state if is_past_hold(state) => unchanged,
                other => Err(not_now(other)),
            },
            OrderStep::MarkReady => match stands {
                State::Confirmed | State::Picking => {
                    Self::acknowledged(&mut after, at.now);
                    after.state = State::Ready;
                    after.lines.iter_mut().for_each(|l| l.picked = l.held);
                    after.handling.ready = Some(at.now);
                    let grace = self.stores[after.store.0 as usize].patience.no_show_ms;
                    let until = after.window.map_or(at.now, |(_, end)| end.max(at.now));
                    after.handling.deadline = grace.map(|grace| until.plus_ms(grace));
                    let picked = after.lines.iter().map(|l| l.picked).sum();
                    self.checked(after.store.0, picked, picked, at);
                    self.change(after, at)
                }
                State::Ready | State::PartiallyPickedUp | State::Fulfilled => unchanged,
                other => Err(not_now(other)),
            },
            OrderStep::HandOver(goods) => self.goods_leave(&current, stands, goods, at),
            OrderStep::MarkShipped(shipment) => match stands {
                State::Confirmed | State::Picking | State::Ready => {
                    for line in &mut after.lines {
                        line.picked = line.picked.max(line.held);
                    }
                    let all: Vec<_> = after.lines.iter().map(|l| l.outstanding()).collect();
                    self.take_out(&mut after, &all, at);
                    after.handling.acknowledged.get_or_insert(at.now);
                    after.handling.acknowledge_missed = false;
                    after.handling.shipment = Some(Box::new(shipment.clone()));
                    Self::give_up(&mut after, State::Shipped, at.now);
                    self.change(after, at)
                }
                State::Shipped => unchanged,
                other => Err(not_now(other)),
            },
            OrderStep::PutBack => match stands {
                State::NeedsPutBack => {
                    Self::give_up(&mut after, State::PutBack, at.now);
                    self.change(after, at)
                }
                State::PutBack => unchanged,
                other => Err(not_now(other)),
            },
            OrderStep::PickException(found) => self.short(&current, stands, found, at),
        }
    }

    fn extend(&mut self, current: &Arc<Reservation>, hold_ms: i64, at: At) -> Outcome {
        let until = at.now.plus_ms(hold_ms);
        let parts = self.parts_of(current);
        let done = self.with_every_part(current, &parts, true, at, |_, part| {
            let mut after = part.clone();
            match Self::stands(part, at.now) {
                State::Held => after.expire = after.expire.max(until),
                State::Ready | State::PartiallyPickedUp => {
                    if let Some(deadline) = &mut after.handling.deadline {
                        *deadline = (*deadline).max(until);
                    }
                }
                State::Confirmed | State::Picking => {}
                other => return Err(not_now(other)),
            }
            Ok((after != *part).then_some(after))
        })?;
        if let (Told::Reservation(after), true) = &done {
            let open = self.checkouts.get(&after.order_id).cloned();
            if let Some(mut open) = open
                && open.closed.is_none()
                && open.reservation == Some(after.id)
                && open.expire < after.expire.plus_ms(24 * HOUR_MS)
            {
                open.expire = after.expire.plus_ms(24 * HOUR_MS);
                self.put_checkout(open);
            }
        }
        Ok(done)
    }

    pub(super) fn confirm(&mut self, id: ReservationId, terms: Terms, at: At) -> Outcome {
        let Some(current) = self.reservation(id) else {
            return refused("UnknownReservation", reservation_name(id));
        };
        let parts = self.parts_of(&current);
        let placed = parts.iter().all(|part| part.state != State::Held);
        self.with_every_part(&current, &parts, placed, at, |model, part| {
            let mut after = part.clone();
            match Self::stands(part, at.now) {
                State::Held => {
                    after.state = State::Confirmed;
                    // One code for all parts: the first one's.
                    let first = part.parts.as_deref().map_or(part.id, |parts| parts[0]);
                    let code = pickup_code::code(&model.index_key, first);
                    after.handling = Handling {
                        confirmed: Some(at.sequence),
                        payment: terms.payment,
                        handover: terms.handover,
                        pickup_code: Some(pickup_code::hash(&model.index_key, &code)),
                        deadline: model.answer_by(after.store, at.now),
                        ..after.handling
                    };
                    Ok(Some(after))
                }
                State::Expired => refused("ReservationExpired", ""),
                ended @ (State::Released | State::PutBack | State::NeedsPutBack) => {
                    refused("ReservationEnded", ended.name())
                }
                _ if terms.payment > part.handling.payment => {
                    after.handling.payment = terms.payment;
                    Ok(Some(after))
                }
                _ => Ok(None),
            }
        })
    }

    fn answer_by(&self, store: StoreId, now: Time) -> Option<Time> {
        // The stores of this world never close.
        let patience = self.stores[store.0 as usize].patience.acknowledge_ms;
        patience.map(|patience| now.plus_ms(patience))
    }

    /// Takes goods out by line. Where receipts have named more of a product than was handed over, that is what goes first.
    fn take_out(&mut self, after: &mut Reservation, quantities: &[i64], at: At) {
        for (i, quantity) in quantities.iter().enumerate() {
            let sku = after.lines[i].sku;
            let out = |lines: &[ReservationLine]| {
                let of_sku = || lines.iter().filter(|l| l.sku == sku);
                let handed: i64 = of_sku().map(|l| l.handed_over).sum();
                handed.max(of_sku().map(|l| l.receipted).sum())
            };
            let before = out(&after.lines);
            // A receipt that was noted at another line of the product is about this one as far as it needs it.
            for other in 0..after.lines.len() {
                let line = &after.lines[i];
                let lacks = line.handed_over + quantity - line.receipted;
                let spare = after.lines[other].receipted - after.lines[other].handed_over;
                let moved = lacks.min(spare).min(line.held);
                if other != i && after.lines[other].sku == sku && moved > 0 {
                    after.lines[other].receipted -= moved;
                    after.lines[other].held += moved;
                    after.lines[i].receipted += moved;
                    after.lines[i].held -= moved;
                }
            }
            after.lines[i].handed_over += quantity;
            let fell = out(&after.lines) - before;
            after.lines[i].held -= fell;
            if fell != 0 {
                self.move_stock((sku.0, after.store.0), -fell, None, at.now);
            }
        }
    }

    fn goods_leave(
        &mut self,
        current: &Arc<Reservation>,
        stands: State,
        goods: &HandOver,
        at: At,
    ) -> Outcome {
        let mut after = Reservation::clone(current);
        let paid = goods
            .payment
            .unwrap_or_default()
            .max(current.handling.payment);
        match stands {
            State::Ready | State::PartiallyPickedUp => {}
            State::Fulfilled if current.lines.iter().all(|l| l.outstanding() == 0) => {
                return Ok((Told::Reservation(Arc::clone(current)), false));
            }
            State::Fulfilled => {}
            State::Shipped => {
                after.state = State::Fulfilled;
                after.handling.payment = paid;
                return self.change(after, at);
            }
            other => return Err(not_now(other)),
        }
        if let (Some(hash), false) = (current.handling.pickup_code, goods.without_code) {
            if goods.code.is_empty() {
                return refused("Invalid", "pickup_code");
            }
            if pickup_code::hash(&self.index_key, &goods.code) != hash {
                return refused("PickupCodeWrong", "");
            }
        }
        let mut quantities = vec![0; after.lines.len()];
        if goods.lines.is_empty() {
            for (quantity, line) in quantities.iter_mut().zip(&after.lines) {
                *quantity = line.outstanding();
            }
        }
        let mut named: Vec<&Arc<str>> = Vec::new();
        for (i, (line_id, quantity)) in goods.lines.iter().enumerate() {
            let place = after.lines.iter().position(|l| l.line_id == *line_id);
            let Some(place) = place.filter(|_| !named.contains(&line_id)) else {
                return refused("Invalid", format!("lines[{i}].line_id"));
            };
            named.push(line_id);
            let left = after.lines[place].outstanding();
            quantities[place] = quantity.unwrap_or(left);
            if quantities[place] > left {
                return refused("Invalid", format!("lines[{i}].quantity"));
            }
        }
        // In the order they were named, for the lines of one product share what receipts named.
        let order: Vec<usize> = if goods.lines.is_empty() {
            (0..quantities.len()).collect()
        } else {
            let place = |id: &Arc<str>| after.lines.iter().position(|l| l.line_id == *id);
            goods.lines.iter().filter_map(|(id, _)| place(id)).collect()
        };
        for place in order {
            let mut one = vec![0; quantities.len()];
            one[place] = quantities[place];
            self.take_out(&mut after, &one, at);
        }
        after.handling.payment = paid;
        if stands != State::Fulfilled {
            if after.lines.iter().all(|l| l.held == 0) {
                Self::give_up(&mut after, State::Fulfilled, at.now);
            } else if goods.is_last {
                Self::put_back_later(&mut after, at.now);
            } else {
                after.state = State::PartiallyPickedUp;
            }
        }
        self.change(after, at)
    }

    /// Stores that have all that a reservation holds, and did not have the order yet, nearest first.
    fn others(&self, reservation: &Reservation) -> Vec<Alternative> {
        let Some(sought) = reservation.sought else {
            return Vec::new();
        };
        let mut wanted: BTreeMap<u32, i64> = BTreeMap::new();
        for line in &reservation.lines {
            *wanted.entry(line.sku.0).or_default() += line.held;
        }
        wanted.retain(|_, quantity| *quantity > 0);
        if wanted.is_empty() || reservation.handling.refused_by.len() >= 8 {
            return Vec::new();
        }
        let stores = (0..self.stores.len() as u32).filter(|n| {
            let had =
                *n == reservation.store.0 || reservation.handling.refused_by.contains(&StoreId(*n));
            let has = |(sku, quantity): (&u32, &i64)| self.available((*sku, *n)) >= *quantity;
            self.stores[*n as usize].state == StoreState::Open && !had && wanted.iter().all(has)
        });
        let mut found: Vec<_> = stores
            .map(|n| {
                let store = &self.stores[n as usize];
                let far = distance_mm(sought.origin, store.location);
                (far, Arc::clone(&store.store_id), n)
            })
            .filter(|(far, _, _)| *far <= sought.limit_mm)
            .collect();
        found.sort();
        let alternative = |(distance_mm, _, n)| Alternative {
            store: StoreId(n),
            distance_mm,
            window: None,
            cost: Default::default(),
            hold_first: !wanted.iter().all(|(sku, quantity)| {
                let cell = (*sku, n);
                let left = self.shelf(cell, &[]) - quantity;
                left >= self.figures(cell).safety.max(3_000)
            }),
        };
        found.into_iter().map(alternative).collect()
    }

    /// Commits at another store what `from` held.
    fn move_order(
        &mut self,
        from: &Reservation,
        to: &Alternative,
        after: &mut Reservation,
        at: At,
    ) -> Arc<Reservation> {
        self.reservations_made += 1;
        let id = ReservationId(self.reservations_made);
        after.handling.replaced_by = Some(id);
        let held = from.lines.iter().filter(|l| l.held > 0);
        let lines = held.map(|l| ReservationLine::holding(Arc::clone(&l.line_id), l.sku, l.held));
        let mut refused_by = from.handling.refused_by.clone();
        refused_by.push(from.store);
        let moved = Reservation {
            id,
            store: to.store,
            state: State::Confirmed,
            lines: lines.collect(),
            distance_mm: to.distance_mm,
            window: None,
            created: at.now,
            version: at.sequence,
            handling: Handling {
                payment: from.handling.payment,
                handover: from.handling.handover,
                pickup_code: from.handling.pickup_code,
                deadline: self.answer_by(to.store, at.now),
                fallback_steps: from.handling.fallback_steps + 1,
                refused_by,
                replaces: Some(from.id),
                ..Handling::default()
            },
            ..from.clone()
        };
        self.set(moved);
        self.take_the_place(from, id, at);
        let moved = self.reservations[&id.0].clone();
        after.parts = moved.parts.clone();
        moved
    }

    fn short(
        &mut self,
        current: &Arc<Reservation>,
        stands: State,
        found: &PickException,
        at: At,
    ) -> Outcome {
        if !matches!(stands, State::Confirmed | State::Picking | State::Ready) {
            return Err(not_now(stands));
        }
        let mut after = Reservation::clone(current);
        let mut missing: BTreeMap<(bool, u32), i64> = BTreeMap::new();
        for (i, line) in found.lines.iter().enumerate() {
            let place = after.lines.iter().position(|l| l.line_id == line.line_id);
            let named = found.lines[..i].iter().any(|l| l.line_id == line.line_id);
            let Some(place) = place.filter(|_| !named) else {
                return refused("Invalid", format!("lines[{i}].line_id"));
            };
            let own = &mut after.lines[place];
            if line.found >= own.held {
                return refused("Invalid", format!("lines[{i}].quantity_found"));
            }
            let short = own.held - line.found;
            let awaited = own.awaited.min(own.held);
            own.awaited = (awaited - short).max(0);
            (own.held, own.picked, own.problem) = (line.found, line.found, Some(line.problem));
            own.rejected += short;
            let short = short - short.min(awaited);
            if line.problem != PickProblem::Declined && short > 0 {
                let is_damaged = line.problem == PickProblem::Damaged;
                *missing.entry((is_damaged, own.sku.0)).or_default() += short;
            }
        }
        let alternatives = self.others(current);
        let there = |l: &ReservationLine| l.held - l.awaited.min(l.held);
        let expected: i64 = current.lines.iter().map(there).sum();
        let gone = missing.iter().filter(|((is_damaged, _), _)| !is_damaged);
        let gone: i64 = gone.map(|(_, short)| short).sum();
        for ((is_damaged, sku), short) in missing {
            let key = (sku, current.store.0);
            if is_damaged {
                self.cell(key).damage(short);
            } else {
                let figures = self.figures(key);
                let free = figures.on_hand - figures.reserved - figures.committed - figures.damaged
                    + self.claimed(key, &[]).min(self.incoming(key).0);
                self.lose(key, short, free.max(0), at.now);
            }
        }
        self.checked(current.store.0, expected, expected - gone, at);
        Self::acknowledged(&mut after, at.now);
        if after.state == State::Confirmed {
            after.state = State::Picking;
        }
        let moved_to = match alternatives.first() {
            Some(to) if found.move_to_next => Some(self.move_order(current, to, &mut after, at)),
            _ => None,
        };
        if after.lines.iter().all(|l| l.held == 0) {
            Self::give_up(&mut after, State::Released, at.now);
        } else if moved_to.is_some() {
            Self::put_back_later(&mut after, at.now);
        } else if after.state == State::Ready {
            after.handling.deadline = current.handling.deadline;
        }
        after.version = at.sequence;
        let reservation = self.set(after);
        let most = found.max_options.max(1);
        let told = Told::Short {
            reservation,
            moved_to,
            alternatives: alternatives.into_iter().take(most).collect(),
        };
        Ok((told, true))
    }

    pub(super) fn cancel(&mut self, order_id: &Arc<str>, at: At) -> Outcome {
        let parts = self.parts_of_order(order_id);
        let Some(latest) = parts.iter().max_by_key(|part| part.id) else {
            return refused("UnknownOrder", order_id.to_string());
        };
        self.with_every_part(latest, &parts, false, at, |_, part| {
            let mut after = part.clone();
            match part.state {
                State::Held | State::Confirmed => {
                    Self::give_up(&mut after, State::Released, at.now)
                }
                State::Picking | State::Ready | State::PartiallyPickedUp => {
                    Self::put_back_later(&mut after, at.now);
                }
                State::Shipped | State::Fulfilled => {
                    return refused("ReservationEnded", part.state.name());
                }
                _ => return Ok(None),
            }
            Ok(Some(after))
        })
    }

    /// A hold ran out, a store did not answer, a customer did not come.
    pub(super) fn due(&mut self, id: ReservationId) {
        let at = At {
            sequence: self.sequence,
            now: self.now,
            changed: true,
        };
        let Some(current) = self.reservation(id) else {
            return;
        };
        let mut after = Reservation::clone(&current);
        match current.state {
            State::Held => return self.expire(id),
            State::Confirmed => {
                after.handling.acknowledge_missed = true;
                after.handling.deadline = None;
                if let Some(to) = self.others(&current).first() {
                    self.move_order(&current, to, &mut after, at);
                    Self::give_up(&mut after, State::Released, at.now);
                }
            }
            _ => Self::put_back_later(&mut after, at.now),
        }
        let _ = self.change(after, at);
    }

    /// What was taken off the shelf waits to be put back there; what had not come is given up.
    fn put_back_later(after: &mut Reservation, now: Time) {
        for line in &mut after.lines {
            line.held -= line.awaited.min(line.held);
            line.awaited = 0;
        }
        if after.lines.iter().any(|line| line.held > 0) {
            after.state = State::NeedsPutBack;
            after.handling.deadline = None;
        } else {
            Self::give_up(after, State::Released, now);
        }
    }

    /// When something is to be done about a reservation that holds stock.
    pub(super) fn when_due(reservation: &Reservation) -> Option<Time> {
        match reservation.state {
            State::Held => Some(reservation.expire),
            State::Confirmed | State::Ready | State::PartiallyPickedUp => {
                reservation.handling.deadline
            }
            _ => None,
        }
    }
}
