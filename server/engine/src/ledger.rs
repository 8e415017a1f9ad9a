//! What an event does to the two ledgers that must always add up: stock (the movements of a product in a store give its
//! level) and points (the movements of a customer give the balance). Written apart from `apply`, so that comparing the
//! two finds a mistake in either; it changes nothing and looks at no state.

use crate::event::Event;
use crate::ids::{CellKey, CustomerId};
use crate::sale::{ItemRef, Sale, SaleKind, StoreRef};

/// One entry of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    /// Stock moved, in thousandths of the product's unit.
    Moved {
        /// Product and store.
        cell: CellKey,
        /// Change of on_hand.
        on_hand: i64,
        /// Change of damaged.
        damaged: i64,
    },
    /// Stock was counted: on_hand is this, whatever the movements before said.
    Counted {
        /// Product and store.
        cell: CellKey,
        /// The level, later movements included.
        on_hand: i64,
    },
    /// Points were given or taken.
    Points {
        /// Whose.
        customer: CustomerId,
        /// How many; signed.
        points: i64,
    },
}

/// Enters the movements of `event` into `book`, in the order they count.
pub fn movements(event: &Event, book: &mut impl FnMut(Movement)) {
    match event {
        Event::StockMoved {
            sku,
            store,
            delta,
            damaged,
            ..
        } => book(Movement::Moved {
            cell: CellKey::new(*sku, *store),
            on_hand: *delta,
            damaged: *damaged,
        }),
        Event::StockCounted {
            sku,
            store,
            on_hand,
            ..
        } => book(Movement::Counted {
            cell: CellKey::new(*sku, *store),
            on_hand: *on_hand,
        }),
        Event::SaleRecorded { sale } => sold(sale, book),
        // Spelled out, so that a new event that moves stock or points cannot be forgotten here.
        Event::StorePut { .. }
        | Event::CategoryAdded { .. }
        | Event::ProductPut { .. }
        | Event::CustomerPut { .. }
        | Event::OfferPut { .. }
        | Event::OfferArchived { .. }
        | Event::OutcomeReported { .. }
        | Event::Received { .. }
        | Event::ReservationHeld { .. }
        | Event::ReservationConfirmed { .. }
        | Event::ReservationReleased { .. }
        | Event::ReservationExpired { .. }
        | Event::ReservationForgotten { .. }
        | Event::ReservationPut { .. }
        | Event::CheckoutPut { .. }
        | Event::RequestAnswered { .. }
        | Event::RequestsForgotten { .. }
        | Event::RequestWindowMoved { .. }
        | Event::CheckoutForgotten { .. }
        | Event::DeliveryPut { .. }
        | Event::DeliveryForgotten { .. }
        | Event::FactsPut { .. }
        | Event::BuffersSwept
        | Event::PickChecked { .. }
        | Event::SourceAdvanced { .. }
        | Event::RoutingPolicySet { .. } => {}
    }
}

fn sold(sale: &Sale, book: &mut impl FnMut(Movement)) {
    if let StoreRef::Known(store) = sale.store {
        for line in &sale.lines {
            if let ItemRef::Known(sku) = line.item
                && line.stock_delta != 0
            {
                book(Movement::Moved {
                    cell: CellKey::new(sku, store),
                    on_hand: line.stock_delta,
                    damaged: 0,
                });
            }
        }
    }
    if let Some(customer) = sale.customer
        && sale.kind != SaleKind::Neutral
        && sale.points != 0
    {
        book(Movement::Points {
            customer,
            points: sale.points,
        });
    }
}
