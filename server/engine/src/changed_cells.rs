//! Which stock levels an event changed, as their readers see them. Whoever mirrors stock and was away reads the log and
//! asks here what to look at again. It may name a level too many, and never one too few.

use crate::event::Event;
use crate::facts::FactKey;
use crate::ids::{CellKey, ReservationId, SkuId, StoreId};
use crate::sale::{ItemRef, StoreRef};
use crate::state::State;

/// What an event changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// A level.
    Cell(CellKey),
    /// Perhaps any level of a product.
    Product(SkuId),
    /// Perhaps any level of a store.
    Store(StoreId),
    /// Perhaps any level.
    Everything,
}

/// Tells `note` what `event` changed. `state` is the present one, in which a reservation of the event may be forgotten:
/// then all may have changed.
pub fn changed_cells(event: &Event, state: &State, note: &mut impl FnMut(Changed)) {
    match event {
        Event::StockMoved { sku, store, .. } | Event::StockCounted { sku, store, .. } => {
            note(Changed::Cell(CellKey::new(*sku, *store)));
        }
        Event::SaleRecorded { sale } => {
            let StoreRef::Known(store) = sale.store else {
                return;
            };
            for line in &sale.lines {
                if let ItemRef::Known(sku) = line.item {
                    note(Changed::Cell(CellKey::new(sku, store)));
                }
                if let Some((id, _)) = line.settles {
                    of_reservation(state, id, note);
                }
            }
        }
        Event::ReservationHeld { reservation } | Event::ReservationPut { reservation } => {
            for line in &reservation.lines {
                note(Changed::Cell(CellKey::new(line.sku, reservation.store)));
            }
        }
        Event::ReservationConfirmed { id }
        | Event::ReservationReleased { id }
        | Event::ReservationExpired { id } => of_reservation(state, *id, note),
        Event::DeliveryPut { delivery } => {
            for line in &delivery.lines {
                note(Changed::Cell(CellKey::new(line.sku, delivery.store)));
            }
        }
        Event::FactsPut { facts } => {
            let shown = |key: &FactKey| matches!(key, FactKey::Buffer(_) | FactKey::NearTime(_));
            if facts.iter().any(|(key, _)| shown(key)) {
                note(Changed::Everything);
            }
        }
        // A changed confidence is shown with every level of the store, and perhaps it keeps back something else now.
        Event::PickChecked { store, .. } => note(Changed::Store(*store)),
        Event::BuffersSwept => note(Changed::Everything),
        // Its category may be another, and with it what its levels keep back.
        Event::ProductPut { id, .. } => note(Changed::Product(*id)),
        // Spelled out, so that a new event that changes levels cannot be forgotten here.
        Event::StorePut { .. }
        | Event::CategoryAdded { .. }
        | Event::CustomerPut { .. }
        | Event::OfferPut { .. }
        | Event::OfferArchived { .. }
        | Event::OutcomeReported { .. }
        | Event::Received { .. }
        | Event::ReservationForgotten { .. }
        | Event::RoutingPolicySet { .. }
        | Event::CheckoutPut { .. }
        | Event::RequestAnswered { .. }
        | Event::RequestsForgotten { .. }
        | Event::RequestWindowMoved { .. }
        | Event::CheckoutForgotten { .. }
        | Event::DeliveryForgotten { .. }
        | Event::SourceAdvanced { .. } => {}
    }
}

fn of_reservation(state: &State, id: ReservationId, note: &mut impl FnMut(Changed)) {
    match state.reservation(id) {
        None => note(Changed::Everything),
        Some(reservation) => {
            for line in &reservation.lines {
                note(Changed::Cell(CellKey::new(line.sku, reservation.store)));
            }
        }
    }
}
