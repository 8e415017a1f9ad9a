//! Reservations by store and by order, for lists and for whoever follows a store's orders. Derived from the
//! reservations: nothing here is kept on disk, and no answer of the engine depends on it but lists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{ReservationId, Sequence, StoreId};
use crate::reservation::Reservation;

/// A place in the order of changes of a store's reservations.
pub type Changed = (Sequence, ReservationId);

/// The index.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OrderIndex {
    /// (store, no longer holds stock, last change, reservation): what a store works on lies together.
    by_store: BTreeSet<(StoreId, bool, Sequence, ReservationId)>,
    /// Reservations of an order before its latest one; orders with a single one are not here.
    earlier: BTreeMap<Arc<str>, BTreeSet<ReservationId>>,
}

impl OrderIndex {
    /// A reservation was made or changed.
    pub(crate) fn put(&mut self, old: Option<&Reservation>, new: &Reservation) {
        if let Some(old) = old {
            self.by_store.remove(&place(old));
        }
        self.by_store.insert(place(new));
    }

    /// A reservation is no longer the latest of its order.
    pub(crate) fn superseded(&mut self, order_id: &Arc<str>, id: ReservationId) {
        self.earlier
            .entry(Arc::clone(order_id))
            .or_default()
            .insert(id);
    }

    /// A reservation is forgotten.
    pub(crate) fn forget(&mut self, old: &Reservation) {
        self.by_store.remove(&place(old));
        if let Some(ids) = self.earlier.get_mut(&old.order_id) {
            ids.remove(&old.id);
            if ids.is_empty() {
                self.earlier.remove(&old.order_id);
            }
        }
    }

    /// Takes out the latest of an order's earlier reservations: it is the order's latest again.
    pub(crate) fn revive(&mut self, order_id: &Arc<str>) -> Option<ReservationId> {
        let ids = self.earlier.get_mut(order_id)?;
        let latest = ids.pop_last();
        if ids.is_empty() {
            self.earlier.remove(order_id);
        }
        latest
    }

    /// Reservations of a store that hold stock, or that no longer do, after a place in the order of their last changes.
    pub fn of_store(
        &self,
        store: StoreId,
        ended: bool,
        after: Changed,
    ) -> impl Iterator<Item = Changed> {
        let from = (store, ended, after.0, after.1);
        self.by_store
            .range((std::ops::Bound::Excluded(from), std::ops::Bound::Unbounded))
            .take_while(move |(s, e, _, _)| (*s, *e) == (store, ended))
            .map(|(_, _, sequence, id)| (*sequence, *id))
    }

    /// Reservations of an order before its latest one, oldest first.
    pub fn earlier_of(&self, order_id: &str) -> impl Iterator<Item = ReservationId> {
        self.earlier.get(order_id).into_iter().flatten().copied()
    }

    /// How many reservations it knows, and how many of them are earlier ones of their order.
    pub fn len(&self) -> (usize, usize) {
        let earlier = self.earlier.values().map(BTreeSet::len);
        (self.by_store.len(), earlier.sum())
    }

    /// Whether it knows a reservation as it is.
    pub fn has(&self, reservation: &Reservation) -> bool {
        self.by_store.contains(&place(reservation))
    }
}

fn place(reservation: &Reservation) -> (StoreId, bool, Sequence, ReservationId) {
    let Reservation {
        store, version, id, ..
    } = reservation;
    (*store, !reservation.holds_stock(), *version, *id)
}
