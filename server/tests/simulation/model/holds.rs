//! Reservations and checkouts: HELD, then CONFIRMED or RELEASED or EXPIRED; a receipt fulfils.

use std::collections::BTreeMap;
use std::sync::Arc;

use tillside_engine::command::{Candidate, Reserve, WantedLine};
use tillside_engine::ids::ReservationId;
use tillside_engine::order::{Handling, PaymentState};
use tillside_engine::order_command::Terms;
use tillside_engine::reservation::{
    Checkout, CheckoutResult, Reservation, ReservationLine, ReservationState,
};
use tillside_engine::units::Time;

use super::{At, Entity, HOUR_MS, Model, Outcome, Refusal, Told, refused, reservation_name};

impl Model {
    pub(super) fn reservation(&self, id: ReservationId) -> Option<Arc<Reservation>> {
        self.reservations.get(&id.0).cloned()
    }

    pub(super) fn set(&mut self, reservation: Reservation) -> Arc<Reservation> {
        let cells = reservation
            .lines
            .iter()
            .map(|l| Entity::Cell((l.sku.0, reservation.store.0)));
        self.touched.extend(cells);
        self.touch(Entity::Reservation(reservation.id.0));
        let reservation = Arc::new(reservation);
        self.reservations
            .insert(reservation.id.0, Arc::clone(&reservation));
        reservation
    }

    fn end(
        &mut self,
        id: ReservationId,
        state: ReservationState,
        at: At,
    ) -> Option<Arc<Reservation>> {
        let mut ended = Reservation::clone(&*self.reservation(id)?);
        ended.state = state;
        ended.lines.iter_mut().for_each(|line| line.held = 0);
        ended.version = at.sequence;
        Some(self.set(ended))
    }

    /// Ends a hold, all its parts.
    pub(super) fn expire(&mut self, id: ReservationId) {
        let parts = self
            .reservation(id)
            .map_or_else(Vec::new, |r| self.parts_of(&r));
        let at = At {
            sequence: self.sequence,
            now: self.now,
            changed: true,
        };
        for part in parts {
            if part.state == ReservationState::Held {
                self.end(part.id, ReservationState::Expired, at);
            }
        }
    }

    pub(super) fn reserve(&mut self, reserve: &Reserve, at: At) -> Outcome {
        let checkout = self.checkouts.get(&reserve.order_id).cloned();
        if let (Some(revision), Some(current)) = (reserve.checkout_revision, &checkout)
            && (current.closed.is_some() || revision < current.revision)
        {
            return Ok((
                Told::CheckoutHold {
                    superseded: true,
                    reservation: None,
                },
                false,
            ));
        }
        let mut earlier = self.parts_of_order(&reserve.order_id);
        let is_placed = |r: &&Arc<Reservation>| {
            matches!(
                r.state,
                ReservationState::Confirmed
                    | ReservationState::Picking
                    | ReservationState::Ready
                    | ReservationState::PartiallyPickedUp
            )
        };
        if let Some(confirmed) = earlier.iter().find(is_placed) {
            return refused("OrderConfirmed", reservation_name(confirmed.id));
        }
        earlier.retain(|r| r.state == ReservationState::Held);
        let in_parts = reserve.candidates.is_empty() && reserve.checkout_revision.is_none();
        if in_parts && !reserve.parts.is_empty() {
            return self.reserve_parts(reserve, &earlier, at);
        }
        let mut wanted: BTreeMap<u32, i64> = BTreeMap::new();
        for line in &reserve.lines {
            *wanted.entry(line.sku.0).or_default() += line.quantity;
        }
        let own = &earlier[..];
        let has_all = |store: u32, near_time: bool| {
            wanted.iter().all(|(sku, q)| {
                let there = self.shelf((*sku, store), own);
                let comes = self.near((*sku, store), at.now) - self.claimed((*sku, store), own);
                there >= *q
                    || (near_time && self.near((*sku, store), at.now) > 0 && there + comes >= *q)
            })
        };
        let place = reserve
            .candidates
            .iter()
            .enumerate()
            .find(|(_, c)| has_all(c.store.0, c.near_time))
            .map(|(n, c)| (n, *c));
        let mut shelf: BTreeMap<u32, i64> = BTreeMap::new();
        let mut complete = None;
        if let Some((_, place)) = place {
            for (sku, q) in &wanted {
                let key = (*sku, place.store.0);
                let there = self.shelf(key, own);
                if there < *q {
                    complete = complete.max(self.last_near(key, at.now));
                }
                shelf.insert(*sku, there.max(0));
            }
        }
        let hold = match (
            reserve.candidates.is_empty(),
            reserve.checkout_revision,
            place,
        ) {
            (true, Some(_), _) => None,
            (true, None, _) => return refused("InsufficientStock", ""),
            (false, _, None) => return refused("Contended", ""),
            (false, _, Some(place)) => Some(place),
        };
        for earlier in &earlier {
            self.end(earlier.id, ReservationState::Released, at);
        }
        let hold = hold.map(|(passed_over, place)| {
            self.reservations_made += 1;
            let id = ReservationId(self.reservations_made);
            let lines: Vec<&WantedLine> = reserve.lines.iter().collect();
            let mut reservation = held(reserve, id, &place, &lines, at);
            reservation.handling.fallback_steps = passed_over as u32;
            for line in &mut reservation.lines {
                let left = shelf.get_mut(&line.sku.0).expect("it is wanted");
                let there = line.held.min(*left);
                *left -= there;
                line.awaited = line.held - there;
            }
            // The stores are in UTC and never close: the rest of the day.
            reservation.window = complete.map(|complete: Time| {
                let from = complete.max(at.now);
                let day_ms = 24 * HOUR_MS;
                (from, Time((from.0.div_euclid(day_ms) + 1) * day_ms))
            });
            self.set(reservation)
        });
        let Some(revision) = reserve.checkout_revision else {
            return match hold {
                Some(reservation) => Ok((Told::Reservation(reservation), true)),
                None => refused("InsufficientStock", ""),
            };
        };
        let ends = hold.as_ref().map_or(at.now, |r| r.expire);
        let checkout = Checkout {
            checkout_id: Arc::clone(&reserve.order_id),
            revision,
            closed: None,
            reservation: hold.as_ref().map(|r| r.id),
            expire: ends.plus_ms(24 * HOUR_MS),
        };
        self.put_checkout(checkout);
        Ok((
            Told::CheckoutHold {
                superseded: false,
                reservation: hold,
            },
            true,
        ))
    }

    /// Gives the earlier hold back, takes part by part, and takes all of it back where one is not there.
    fn reserve_parts(
        &mut self,
        reserve: &Reserve,
        earlier: &[Arc<Reservation>],
        at: At,
    ) -> Outcome {
        let before = self.clone();
        for earlier in earlier {
            self.end(earlier.id, ReservationState::Released, at);
        }
        let first = self.reservations_made + 1;
        let last = first + reserve.parts.len() as u64;
        let ids: Arc<[ReservationId]> = (first..last).map(ReservationId).collect();
        for (part, id) in reserve.parts.iter().zip(ids.iter()) {
            self.reservations_made += 1;
            let lines: Vec<&WantedLine> = part.lines.iter().map(|at| &reserve.lines[*at]).collect();
            let store = part.candidate.store.0;
            let short = |line: &&WantedLine| {
                let same = lines.iter().filter(|l| l.sku == line.sku);
                let wanted: i64 = same.map(|l| l.quantity).sum();
                self.shelf((line.sku.0, store), &[]) < wanted
            };
            if lines.iter().any(short) {
                *self = before;
                return refused("Contended", "");
            }
            let parts = (ids.len() > 1).then(|| Arc::clone(&ids));
            self.set(Reservation {
                parts,
                ..held(reserve, *id, &part.candidate, &lines, at)
            });
        }
        let parts: Vec<_> = ids.iter().filter_map(|id| self.reservation(*id)).collect();
        Ok((Self::told_of(Arc::clone(&parts[0]), parts), true))
    }

    pub(super) fn put_checkout(&mut self, checkout: Checkout) {
        self.touch(Entity::Checkout(Arc::clone(&checkout.checkout_id)));
        self.checkouts
            .insert(Arc::clone(&checkout.checkout_id), checkout);
    }

    fn existing(&self, id: ReservationId) -> Result<Arc<Reservation>, Refusal> {
        self.reservation(id)
            .map_or_else(|| refused("UnknownReservation", reservation_name(id)), Ok)
    }

    pub(super) fn release(&mut self, id: ReservationId, at: At) -> Outcome {
        let current = self.existing(id)?;
        let parts = self.parts_of(&current);
        self.with_every_part(&current, &parts, false, at, |_, part| match part.state {
            ReservationState::Fulfilled | ReservationState::Shipped => {
                refused("ReservationEnded", part.state.name())
            }
            ReservationState::Released | ReservationState::Expired | ReservationState::PutBack => {
                Ok(None)
            }
            ReservationState::Picking
            | ReservationState::Ready
            | ReservationState::PartiallyPickedUp
            | ReservationState::NeedsPutBack => refused("WrongState", part.state.name()),
            ReservationState::Held | ReservationState::Confirmed => {
                let mut after = part.clone();
                after.state = ReservationState::Released;
                after.lines.iter_mut().for_each(|line| line.held = 0);
                Ok(Some(after))
            }
        })
    }

    pub(super) fn close_checkout(
        &mut self,
        id: &Arc<str>,
        result: CheckoutResult,
        at: At,
    ) -> (Told, bool) {
        let current = self.checkouts.get(id).cloned();
        let hold = current.as_ref().and_then(|c| c.reservation);
        if let Some(first) = current.as_ref().and_then(|c| c.closed) {
            let reservation = hold.and_then(|id| self.reservation(id));
            return (
                Told::CheckoutClosed {
                    result: first,
                    reservation,
                },
                false,
            );
        }
        let hold = hold.filter(|id| self.reservation(*id).is_some());
        if let Some(hold) = hold {
            // Paid confirms what is held, given up gives it back; where the hold has ended, it has ended.
            let _ = match result {
                CheckoutResult::Completed => {
                    let terms = Terms {
                        payment: PaymentState::Paid,
                        ..Terms::default()
                    };
                    self.confirm(hold, terms, at)
                }
                CheckoutResult::Cancelled => self.release(hold, at),
            };
        }
        let checkout = Checkout {
            checkout_id: Arc::clone(id),
            revision: current.map_or(0, |c| c.revision),
            closed: Some(result),
            reservation: hold,
            expire: at.now.plus_ms(24 * HOUR_MS),
        };
        self.put_checkout(checkout);
        let reservation = hold.and_then(|id| self.reservation(id));
        (
            Told::CheckoutClosed {
                result,
                reservation,
            },
            true,
        )
    }
}

/// The hold of some lines at a place.
fn held(
    reserve: &Reserve,
    id: ReservationId,
    place: &Candidate,
    lines: &[&WantedLine],
    at: At,
) -> Reservation {
    let line =
        |l: &&WantedLine| ReservationLine::holding(Arc::clone(&l.line_id), l.sku, l.quantity);
    Reservation {
        id,
        order_id: Arc::clone(&reserve.order_id),
        store: place.store,
        state: ReservationState::Held,
        lines: lines.iter().map(line).collect(),
        distance_mm: place.distance_mm,
        window: None,
        expire: at.now.plus_ms(reserve.hold_ms),
        created: at.now,
        version: at.sequence,
        sought: reserve.sought,
        handling: Handling::default(),
        method: Default::default(),
        slot: None,
        parts: None,
    }
}
