//! What an order carries beside its stock: how it is paid and handed over, how far its store is with it, and where it
//! has been before. Data only; what may follow what is decided in `decide`.

use std::sync::Arc;

use geo::Point;

use crate::ids::{ReservationId, Sequence, StoreId};
use crate::units::Time;

/// How an order is paid. It only moves forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PaymentState {
    /// Paid when it is picked up (click and reserve).
    #[default]
    Unpaid,
    /// The amount is set aside at the payment provider.
    Authorised,
    /// Paid.
    Paid,
}

/// Where the customer takes the goods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandoverKind {
    /// At the counter.
    #[default]
    Counter,
    /// They are brought to the car.
    Curbside,
    /// From a locker.
    Locker,
}

/// Why a store could not pick a line in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PickProblem {
    /// It is not on the shelf.
    NotFound,
    /// It is there and cannot be sold.
    Damaged,
    /// It is there and the store does not pick it (no hands, closing).
    Declined,
}

/// Where an order's goods were looked for, so that others can be found without asking the shopper again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sought {
    /// Where the shopper is.
    pub origin: Point<f64>,
    /// Inclusive distance limit in millimetres.
    pub limit_mm: u64,
}

/// A parcel on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shipment {
    /// Who carries it; may be empty.
    pub carrier: Arc<str>,
    /// Its number there; may be empty.
    pub tracking_number: Arc<str>,
}

/// Keyed hash of a pickup code: the code itself is kept nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PickupCodeHash(pub u128);

/// How far a reservation is beyond its stock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Handling {
    /// How it is paid.
    pub payment: PaymentState,
    /// Where it is handed over.
    pub handover: HandoverKind,
    /// What the customer's pickup code hashes to; `None`: none was given.
    pub pickup_code: Option<PickupCodeHash>,
    /// The change that confirmed it. Only who asked for that is told the pickup code.
    pub confirmed: Option<Sequence>,
    /// Confirmed: until when the store has to acknowledge it. Ready: when the customer is a no-show. `None`: any time.
    pub deadline: Option<Time>,
    /// When the store acknowledged it.
    pub acknowledged: Option<Time>,
    /// The store did not acknowledge it in time, and no other store had it.
    pub acknowledge_missed: bool,
    /// When it was ready first.
    pub ready: Option<Time>,
    /// When it gave up its stock for good, where that is not told by the hold's own end.
    pub ended: Option<Time>,
    /// Candidates passed over before this store, at the hold and whenever it moved.
    pub fallback_steps: u32,
    /// Stores that had the order and did not keep it.
    pub refused_by: Vec<StoreId>,
    /// The reservation of another store that it moved from.
    pub replaces: Option<ReservationId>,
    /// The reservation of another store that it moved to.
    pub replaced_by: Option<ReservationId>,
    /// The parcel, once it was shipped.
    pub shipment: Option<Box<Shipment>>,
}
