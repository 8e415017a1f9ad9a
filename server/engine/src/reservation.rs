//! Reservations: stock held for an order. One state machine with unique transitions; a transition applied twice is a
//! no-op that answers the current state.

use std::sync::Arc;

use crate::ids::{ReservationId, Sequence, SkuId, StoreId};
use crate::limits::ENDED_RESERVATION_MS;
use crate::units::Time;

/// Where a reservation stands. HELD -> CONFIRMED -> FULFILLED; HELD -> EXPIRED; HELD or CONFIRMED -> RELEASED. A receipt
/// may also fulfil what is only held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservationState {
    /// Stock is reserved until it expires.
    Held,
    /// Stock is committed, without a time limit.
    Confirmed,
    /// A receipt for all of it came in.
    Fulfilled,
    /// Given back.
    Released,
    /// Ran out.
    Expired,
}

/// A line of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationLine {
    /// The caller's id.
    pub line_id: Arc<str>,
    /// The product.
    pub sku: SkuId,
    /// Thousandths asked for.
    pub requested: i64,
    /// Thousandths still held or committed; the stock level holds the same sum.
    pub held: i64,
}

/// Stock held for an order at one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Its number.
    pub id: ReservationId,
    /// The order.
    pub order_id: Arc<str>,
    /// The store.
    pub store: StoreId,
    /// Where it stands.
    pub state: ReservationState,
    /// What is held.
    pub lines: Vec<ReservationLine>,
    /// Distance from the shopper in millimetres; zero where unknown.
    pub distance_mm: u64,
    /// When it can be picked up; `None`: any time.
    pub window: Option<(Time, Time)>,
    /// When a hold runs out.
    pub expire: Time,
    /// When it was made.
    pub created: Time,
    /// Sequence of the last change.
    pub version: Sequence,
}

impl Reservation {
    /// The state a reader sees at `now`: a hold is expired from the very instant, before any timer says so.
    pub fn state_at(&self, now: Time) -> ReservationState {
        match self.state {
            ReservationState::Held if self.expire <= now => ReservationState::Expired,
            state => state,
        }
    }

    /// When it can be forgotten; `None` while it holds stock. It follows from the record alone, so that a restart and a replay
    /// say the same.
    pub fn forgotten_at(&self) -> Option<Time> {
        (!self.holds_stock()).then(|| self.expire.plus_ms(ENDED_RESERVATION_MS))
    }

    /// Whether its lines are in the stock levels.
    pub fn holds_stock(&self) -> bool {
        matches!(
            self.state,
            ReservationState::Held | ReservationState::Confirmed
        )
    }
}

/// A checkout that holds or held something: revisions and closing are decided here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// The caller's id; also the order id of its hold.
    pub checkout_id: Arc<str>,
    /// The latest revision seen.
    pub revision: i64,
    /// How it ended.
    pub closed: Option<CheckoutResult>,
    /// Its latest reservation.
    pub reservation: Option<ReservationId>,
    /// When it can be forgotten.
    pub expire: Time,
}

/// How a checkout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckoutResult {
    /// Paid.
    Completed,
    /// Given up.
    Cancelled,
}
