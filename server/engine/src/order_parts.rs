//! An order in parts: one reservation for each place that does a part of it. All of them name all of them, in one order.
//! What is decided about the order is decided about all; what a store does, it does with its own. Finds the parts only.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::ids::ReservationId;
use crate::reservation::Reservation;
use crate::state::State;

/// The parts of an order that are not forgotten, in their order; one where it is in one part.
pub type Parts = SmallVec<[Arc<Reservation>; 1]>;

impl Reservation {
    /// Whether it is one of the parts it names. One that moved to another store names those the order has without it.
    pub fn is_part(&self) -> bool {
        let of_more = self.parts.as_deref();
        of_more.is_some_and(|parts| parts.contains(&self.id))
    }

    /// The reservation whose number the order's pickup code is made of when it is confirmed: one code for all parts.
    pub fn code_from(&self) -> ReservationId {
        let first = self.parts.as_deref().and_then(|parts| parts.first());
        first.copied().unwrap_or(self.id)
    }
}

impl State {
    /// All parts of the order a reservation is a part of; itself alone where it is none of several.
    pub fn parts_of(&self, reservation: &Arc<Reservation>) -> Parts {
        let alone = || Parts::from_iter([Arc::clone(reservation)]);
        let parts = match reservation.parts.as_deref() {
            Some(parts) if reservation.is_part() => parts,
            _ => return alone(),
        };
        let part = |id: &ReservationId| {
            if *id == reservation.id {
                return Some(Arc::clone(reservation));
            }
            self.reservation(*id)
        };
        parts.iter().filter_map(part).collect()
    }

    /// The parts of an order as it is now: those of its latest reservation. Empty where nothing is known of it.
    pub fn parts_of_order(&self, order_id: &str) -> Parts {
        let latest = self.orders.get(order_id).map(|id| *id);
        let Some(mut at) = latest.and_then(|id| self.reservation(id)) else {
            return Parts::new();
        };
        // Where the latest has moved away and where it went is forgotten already, another part knows the order as it is. Each
        // step goes to a later reservation, so it ends.
        while let Some(parts) = at.parts.clone().filter(|_| !at.is_part()) {
            let known = parts.iter().filter_map(|id| self.reservation(*id));
            if let Some(part) = known.into_iter().find(|part| part.is_part()) {
                return self.parts_of(&part);
            }
            match at.handling.replaced_by.and_then(|id| self.reservation(id)) {
                Some(next) if next.id > at.id => at = next,
                _ => break,
            }
        }
        self.parts_of(&at)
    }
}
