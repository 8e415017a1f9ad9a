//! Orders in parts: what is about the order is done with every part or with none.

use std::sync::Arc;

use tillside_engine::ids::ReservationId;
use tillside_engine::reservation::{Reservation, ReservationState as State};

use super::{At, Model, Outcome, Refusal, Told, reservation_name};

/// What becomes of a part; `None`: it stays as it is.
pub(super) type After = Result<Option<Reservation>, Refusal>;

fn is_one_of_several(reservation: &Reservation) -> bool {
    let list = reservation.parts.as_deref().unwrap_or_default();
    list.contains(&reservation.id)
}

impl Model {
    /// The parts that are remembered of the order a reservation is a part of, in their order.
    pub(super) fn parts_of(&self, reservation: &Arc<Reservation>) -> Vec<Arc<Reservation>> {
        if !is_one_of_several(reservation) {
            return vec![Arc::clone(reservation)];
        }
        let list = reservation.parts.as_deref().unwrap_or_default();
        list.iter().filter_map(|id| self.reservation(*id)).collect()
    }

    /// The parts an order is in, seen from its latest reservation.
    pub(super) fn parts_of_order(&self, order_id: &Arc<str>) -> Vec<Arc<Reservation>> {
        let of_order = |r: &&Arc<Reservation>| r.order_id == *order_id;
        let mut from = self.reservations.values().rfind(of_order).cloned();
        while let Some(at) = &from {
            if at.parts.is_none() || is_one_of_several(at) {
                return self.parts_of(at);
            }
            // It moved away: the others know where the order is, or the one that took its place does.
            let others = at.parts.as_deref().unwrap_or_default().iter();
            let mut others = others.filter_map(|id| self.reservation(*id));
            let next = match others.find(|other| is_one_of_several(other)) {
                Some(other) => Some(other),
                None => (at.handling.replaced_by).and_then(|id| self.reservation(id)),
            };
            match next {
                Some(next) => from = Some(next),
                None => return vec![Arc::clone(at)],
            }
        }
        Vec::new()
    }

    /// Does `one` to every part. `over_is_fine`: parts whose work is over stay as they are, if there is another.
    pub(super) fn with_every_part(
        &mut self,
        named: &Arc<Reservation>,
        parts: &[Arc<Reservation>],
        over_is_fine: bool,
        at: At,
        one: impl Fn(&Self, &Reservation) -> After,
    ) -> Outcome {
        let done: Vec<After> = parts.iter().map(|part| one(self, part)).collect();
        let some = done.iter().any(Result::is_ok);
        let mut after = Vec::new();
        for (part, done) in parts.iter().zip(done) {
            match done {
                Ok(changed) => after.push(changed),
                Err(_) if over_is_fine && some && part.state != State::Held => after.push(None),
                Err(Refusal(name, field)) if parts.len() > 1 => {
                    let of_part = format!("{} {field}", reservation_name(part.id));
                    return Err(Refusal(name, of_part));
                }
                Err(refusal) => return Err(refusal),
            }
        }
        let changes = after.iter().any(Option::is_some);
        let mut put = |(part, changed): (&Arc<Reservation>, Option<Reservation>)| match changed {
            Some(changed) => self.set(Reservation {
                version: at.sequence,
                ..changed
            }),
            None => Arc::clone(part),
        };
        let parts: Vec<_> = parts.iter().zip(after).map(&mut put).collect();
        let told = parts.iter().find(|part| part.id == named.id);
        let told = Arc::clone(told.unwrap_or(named));
        Ok((Self::told_of(told, parts), changes))
    }

    pub(super) fn told_of(named: Arc<Reservation>, parts: Vec<Arc<Reservation>>) -> Told {
        if parts.len() > 1 {
            Told::Parts(named, parts)
        } else {
            Told::Reservation(named)
        }
    }

    /// `to` takes the place of `from` in every list it was in.
    pub(super) fn take_the_place(&mut self, from: &Reservation, to: ReservationId, at: At) {
        if !is_one_of_several(from) {
            return;
        }
        let list = from.parts.as_deref().unwrap_or_default();
        let now = |id: &ReservationId| if *id == from.id { to } else { *id };
        let now: Arc<[ReservationId]> = list.iter().map(now).collect();
        for id in now.iter() {
            if let Some(part) = self.reservation(*id) {
                self.set(Reservation {
                    parts: Some(Arc::clone(&now)),
                    version: at.sequence,
                    ..Reservation::clone(&part)
                });
            }
        }
    }
}
