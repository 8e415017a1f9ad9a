//! Reservations and checkouts: HELD, then CONFIRMED or RELEASED or EXPIRED; a receipt fulfils.

use std::collections::BTreeMap;
use std::sync::Arc;

use tillside_engine::command::Reserve;
use tillside_engine::ids::ReservationId;
use tillside_engine::order::{Handling, PaymentState};
use tillside_engine::order_command::Terms;
use tillside_engine::reservation::{
    Checkout, CheckoutResult, Reservation, ReservationLine, ReservationState,
};

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

    pub(super) fn expire(&mut self, id: ReservationId) {
        let at = At {
            sequence: self.sequence,
            now: self.now,
            changed: true,
        };
        self.end(id, ReservationState::Expired, at);
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
        let earlier = self
            .reservations
            .values()
            .rfind(|r| r.order_id == reserve.order_id)
            .cloned();
        let is_placed = |r: &&Arc<Reservation>| {
            matches!(
                r.state,
                ReservationState::Confirmed
                    | ReservationState::Picking
                    | ReservationState::Ready
                    | ReservationState::PartiallyPickedUp
            )
        };
        if let Some(confirmed) = earlier.as_ref().filter(is_placed) {
            return refused("OrderConfirmed", reservation_name(confirmed.id));
        }
        let earlier = earlier.filter(|r| r.state == ReservationState::Held);
        let mut wanted: BTreeMap<u32, i64> = BTreeMap::new();
        for line in &reserve.lines {
            *wanted.entry(line.sku.0).or_default() += line.quantity;
        }
        let own = earlier.as_deref();
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
        if let Some((_, place)) = place {
            for sku in wanted.keys() {
                shelf.insert(*sku, self.shelf((*sku, place.store.0), own).max(0));
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
        if let Some(earlier) = &earlier {
            self.end(earlier.id, ReservationState::Released, at);
        }
        let hold = hold.map(|(passed_over, place)| {
            self.reservations_made += 1;
            let mut line = |l: &tillside_engine::command::WantedLine| {
                let left = shelf.get_mut(&l.sku.0).expect("it is wanted");
                let there = l.quantity.min(*left);
                *left -= there;
                let line = ReservationLine::holding(Arc::clone(&l.line_id), l.sku, l.quantity);
                ReservationLine {
                    awaited: l.quantity - there,
                    ..line
                }
            };
            let reservation = Reservation {
                id: ReservationId(self.reservations_made),
                order_id: Arc::clone(&reserve.order_id),
                store: place.store,
                state: ReservationState::Held,
                lines: reserve.lines.iter().map(&mut line).collect(),
                distance_mm: place.distance_mm,
                window: None,
                expire: at.now.plus_ms(reserve.hold_ms),
                created: at.now,
                version: at.sequence,
                sought: reserve.sought,
                handling: Handling {
                    fallback_steps: passed_over as u32,
                    ..Handling::default()
                },
                method: Default::default(),
                slot: None,
            };
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
        match current.state {
            ReservationState::Fulfilled | ReservationState::Shipped => {
                refused("ReservationEnded", current.state.name())
            }
            ReservationState::Released | ReservationState::Expired | ReservationState::PutBack => {
                Ok((Told::Reservation(current), false))
            }
            ReservationState::Picking
            | ReservationState::Ready
            | ReservationState::PartiallyPickedUp
            | ReservationState::NeedsPutBack => refused("WrongState", current.state.name()),
            ReservationState::Held | ReservationState::Confirmed => {
                let ended = self
                    .end(id, ReservationState::Released, at)
                    .unwrap_or(current);
                Ok((Told::Reservation(ended), true))
            }
        }
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
