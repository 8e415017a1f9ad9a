//! What a command answers. Replies carry surrogate ids only, so that they may be kept beside the log for retries.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::ids::{CustomerId, Sequence, SkuId, StoreId};
use crate::inbound::Delivery;
use crate::offer::Offer;
use crate::reservation::{CheckoutResult, Reservation};
use crate::routing_policy::{Cost, RoutingPolicy};
use crate::stock::{Beside, StockLevel};
use crate::units::Time;

/// The answer to a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Stores or products were put.
    Put {
        /// New ones.
        created: u32,
        /// Changed ones.
        updated: u32,
        /// Equal ones.
        unchanged: u32,
    },
    /// A customer was created, found or changed.
    Customer {
        /// Which.
        id: CustomerId,
        /// New, or newly enrolled.
        created: bool,
    },
    /// An offer.
    Offer(Arc<Offer>),
    /// Outcomes.
    Outcomes {
        /// New ones.
        accepted: u32,
        /// Known ones.
        duplicates: u32,
    },
    /// A stock level.
    Stock {
        /// Product.
        sku: SkuId,
        /// Store.
        store: StoreId,
        /// The level after the change.
        level: StockLevel,
        /// What is told beside it.
        beside: Beside,
    },
    /// A reservation.
    Reservation(Arc<Reservation>),
    /// A checkout's hold.
    CheckoutHold {
        /// A later revision was seen, or it is closed.
        superseded: bool,
        /// What is held.
        reservation: Option<Arc<Reservation>>,
    },
    /// A checkout was closed.
    CheckoutClosed {
        /// How, the first time.
        result: CheckoutResult,
        /// Its reservation.
        reservation: Option<Arc<Reservation>>,
    },
    /// An event was taken.
    Ingested {
        /// What was unusual.
        warnings: SmallVec<[Warning; 1]>,
    },
    /// An event was taken before.
    Duplicate {
        /// Then.
        first: Sequence,
    },
    /// A timer fired; nobody waits for the answer.
    Done,
    /// A delivery.
    Delivery {
        /// As it is after the change.
        delivery: Arc<Delivery>,
        /// A later announcement of the same source was taken before; this one changed nothing.
        superseded: bool,
    },
    /// What became of an order that could not be picked in full.
    PickException {
        /// The reservation of the store that could not.
        reservation: Arc<Reservation>,
        /// Where the order moved.
        moved_to: Option<Arc<Reservation>>,
        /// Stores that have all that the failing store held, best first.
        alternatives: Vec<Alternative>,
    },
    /// The routing policy.
    RoutingPolicy(Arc<RoutingPolicy>),
    /// A reservation of an order in several parts.
    OrderParts {
        /// The one that was named, or the first.
        reservation: Arc<Reservation>,
        /// All that are not forgotten, that one too, in their order.
        parts: Vec<Arc<Reservation>>,
    },
}

/// Another store that has all of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// The store.
    pub store: StoreId,
    /// Its distance from the shopper in millimetres.
    pub distance_mm: u64,
    /// When it can be picked up there; `None`: any time.
    pub window: Option<(Time, Time)>,
    /// What it costs by the routing policy.
    pub cost: Cost,
    /// So little would be left there that only a hold counts.
    pub hold_first: bool,
}

/// Something unusual in an event that was taken all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The receipt's store is not known; its lines are in quarantine.
    UnknownStore,
    /// A line's item is not known; it is in quarantine.
    UnknownSku {
        /// Which line, from 0.
        line: usize,
    },
    /// The event's time was in the future and was set to now.
    FutureTime,
    /// The identifiers belong to several customers; the most trusted one was taken.
    AmbiguousCustomer,
    /// An identifier belongs to another customer and was left there.
    IdentifierConflict {
        /// Which identifier, from 0.
        index: usize,
    },
    /// A line's reservation is not known, has ended, or is for other goods.
    ReservationNotSettled {
        /// Which line, from 0.
        line: usize,
    },
    /// A later announcement of the same source was taken before; this one changed nothing.
    Superseded,
}
