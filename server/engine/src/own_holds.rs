//! An order seen from a new hold of it. What it holds now is given back in the same step, so a shopper is never blocked by
//! their own hold; what the other parts of the new hold take is not there for the next part. Data for whoever counts;
//! what is promised is decided elsewhere.

use std::sync::Arc;

use crate::ids::{SkuId, StoreId};
use crate::pickup_slots::Slot;
use crate::reservation::{Reservation, ReservationState};
use crate::units::Time;

/// What a new hold of an order gives and takes beside the part that is looked at. The default is an order nobody knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own<'a> {
    /// The order's holds that the new one replaces.
    pub given_back: &'a [Arc<Reservation>],
    /// Goods in thousandths that its other parts take.
    pub goods: &'a [(StoreId, SkuId, i64)],
    /// Beginnings of the slots that its other parts take.
    pub slots: &'a [(StoreId, Time)],
}

impl<'a> Own<'a> {
    /// An order that holds `given_back`, and nothing new yet.
    pub fn holds(given_back: &'a [Arc<Reservation>]) -> Self {
        Own {
            given_back,
            ..Own::default()
        }
    }

    /// What it adds to the availability of a product in a store; less than zero where other parts take it.
    pub fn stock(&self, store: StoreId, sku: SkuId) -> i64 {
        let (back, _) = self.given_back_of(store, sku);
        let taken = self.goods.iter().filter(|g| (g.0, g.1) == (store, sku));
        back - taken.map(|g| g.2).sum::<i64>()
    }

    /// What it gives back of a product in a store, and how much of that was still on its way.
    pub fn given_back_of(&self, store: StoreId, sku: SkuId) -> (i64, i64) {
        let held = |r: &&Arc<Reservation>| r.store == store && r.state == ReservationState::Held;
        let lines = self.given_back.iter().filter(held).flat_map(|r| &r.lines);
        lines
            .filter(|line| line.sku == sku)
            .fold((0, 0), |(held, awaited), line| {
                (held + line.held, awaited + line.claimed())
            })
    }

    /// What it adds to the pickups held in a slot; less than zero where it gives them back.
    pub fn pickups(&self, store: StoreId, slot: &Slot) -> i64 {
        let within = |start: Time| (slot.start..slot.end).contains(&start);
        let own = self.given_back.iter().filter(|r| r.store == store);
        let back = own
            .filter_map(|r| r.held_slot())
            .filter(|s| within(s.start));
        let taken = self.slots.iter().filter(|s| s.0 == store && within(s.1));
        taken.count() as i64 - back.count() as i64
    }

    /// The stores where it holds something, each perhaps several times.
    pub fn stores(&self) -> impl Iterator<Item = StoreId> {
        let holding = self.given_back.iter().filter(|r| r.holds_stock());
        holding.map(|r| r.store)
    }
}
