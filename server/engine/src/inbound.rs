//! Deliveries and transfers: what is on its way to a store. A transfer is a delivery that left another store when it was
//! scheduled, under one id from there to its arrival. Stock itself moves by movements alone; here is only what is expected.

use std::sync::Arc;

use crate::ids::{Sequence, SkuId, StoreId};
use crate::limits::{ENDED_DELIVERY_MS, NEAR_TIME_STEP_MS};
use crate::state::Table;
use crate::units::Time;

/// Where a delivery stands. Expected -> Received or Cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// On its way.
    Expected,
    /// It came; what had not come by then will not.
    Received,
    /// It will not come. What a transfer still had on its way went back to where it came from.
    Cancelled,
}

/// A line of a delivery. A product has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryLine {
    /// The product.
    pub sku: SkuId,
    /// Thousandths announced. A line that was withdrawn stays with 0.
    pub announced: i64,
    /// Thousandths received; may be more.
    pub received: i64,
}

/// Something on its way to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The retailer's id: the key, so that telling it again doubles nothing.
    pub delivery_id: Arc<str>,
    /// Where it goes.
    pub store: StoreId,
    /// The store it left; `None`: from outside.
    pub from: Option<StoreId>,
    /// When it is expected.
    pub expected: Time,
    /// What is in it.
    pub lines: Vec<DeliveryLine>,
    /// Where it stands.
    pub state: DeliveryState,
    /// The sender's own number of the last announcement that counted; 0: it gives none.
    pub position: u64,
    /// When it was last changed.
    pub changed: Time,
    /// Sequence of the last change.
    pub version: Sequence,
}

impl DeliveryLine {
    /// What has not come yet.
    pub fn outstanding(&self) -> i64 {
        (self.announced - self.received).max(0)
    }
}

impl Delivery {
    /// Lines with something on its way.
    pub fn on_its_way(&self) -> impl Iterator<Item = &DeliveryLine> {
        let open = self.state == DeliveryState::Expected;
        self.lines
            .iter()
            .filter(move |line| open && line.outstanding() > 0)
    }

    /// When it can be forgotten; `None` while it is expected.
    pub fn forgotten_at(&self) -> Option<Time> {
        (self.state != DeliveryState::Expected).then(|| self.changed.plus_ms(ENDED_DELIVERY_MS))
    }
}

/// Something of a product on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Where it goes.
    pub store: StoreId,
    /// When it is expected.
    pub expected: Time,
    /// The delivery.
    pub delivery_id: Arc<str>,
    /// Thousandths.
    pub quantity: i64,
}

/// What may be offered before it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NearTime {
    /// Thousandths.
    pub quantity: i64,
    /// When all of it is expected to be there.
    pub expected: Time,
}

/// What is on its way, by product; derived from the deliveries.
#[derive(Debug, Default)]
pub struct InboundIndex(Table<SkuId, Vec<Incoming>>);

impl InboundIndex {
    /// Puts what `new` has on its way in the place of what `old` had.
    pub(crate) fn replace(&self, old: Option<&Delivery>, new: Option<&Delivery>) {
        for (old, line) in old
            .iter()
            .flat_map(|old| old.on_its_way().map(move |l| (old, l)))
        {
            if let Some(mut list) = self.0.get_mut(&line.sku) {
                list.retain(|incoming| incoming.delivery_id != old.delivery_id);
            }
            self.0.remove_if(&line.sku, |_, list| list.is_empty());
        }
        for (new, line) in new
            .iter()
            .flat_map(|new| new.on_its_way().map(move |l| (new, l)))
        {
            let incoming = Incoming {
                store: new.store,
                expected: new.expected,
                delivery_id: Arc::clone(&new.delivery_id),
                quantity: line.outstanding(),
            };
            let mut list = self.0.entry(line.sku).or_default();
            let order = |i: &Incoming| (i.store, i.expected, Arc::clone(&i.delivery_id));
            let at = list.partition_point(|there| order(there) < order(&incoming));
            list.insert(at, incoming);
        }
    }

    /// What is on its way of a product: by store, then by time.
    pub fn of(&self, sku: SkuId) -> Vec<Incoming> {
        self.0.get(&sku).map_or_else(Vec::new, |list| list.clone())
    }

    /// How much is on its way to a store, and when the first of it is expected.
    pub fn incoming(&self, sku: SkuId, store: StoreId) -> (i64, Option<Time>) {
        let Some(list) = self.0.get(&sku) else {
            return (0, None);
        };
        let here = list.iter().filter(|incoming| incoming.store == store);
        here.fold((0, None), |(sum, first), incoming| {
            (sum + incoming.quantity, first.or(Some(incoming.expected)))
        })
    }

    /// What may be offered at `now` as near-time: what is expected from the last quarter of an hour on and within
    /// `horizon_ms` of it. So the answer is the same for a quarter of an hour, and what is late is not offered.
    pub fn near_time(
        &self,
        sku: SkuId,
        store: StoreId,
        now: Time,
        horizon_ms: i64,
    ) -> Option<NearTime> {
        let from = Time(now.0 - now.0.rem_euclid(NEAR_TIME_STEP_MS));
        let until = from.plus_ms(horizon_ms);
        let list = self.0.get(&sku)?;
        let near = list
            .iter()
            .filter(|i| i.store == store && i.expected >= from && i.expected <= until);
        near.fold(None, |sum: Option<NearTime>, incoming| {
            Some(NearTime {
                quantity: sum.map_or(0, |s| s.quantity) + incoming.quantity,
                expected: incoming.expected,
            })
        })
    }

    /// How much is on its way to a store and not late at `now`.
    pub fn in_time(&self, sku: SkuId, store: StoreId, now: Time) -> i64 {
        let near = self.near_time(sku, store, now, i64::MAX);
        near.map_or(0, |near| near.quantity)
    }

    /// Everything, for whoever checks it.
    pub(crate) fn all(&self) -> Vec<(SkuId, Vec<Incoming>)> {
        let mut all: Vec<_> = self
            .0
            .iter()
            .map(|e| (*e.key(), e.value().clone()))
            .collect();
        all.sort_by_key(|(sku, _)| *sku);
        all
    }

    pub(crate) fn clear(&self) {
        self.0.clear();
    }
}
