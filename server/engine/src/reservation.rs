//! Reservations: stock held for an order. One state machine with unique transitions; a transition applied twice is a
//! no-op that answers the current state.

use std::sync::Arc;

use crate::command::Timer;
use crate::ids::{CellKey, ReservationId, Sequence, SkuId, StoreId};
use crate::limits::ENDED_RESERVATION_MS;
use crate::location_terms::Method;
use crate::order::{Handling, PickProblem, Sought};
use crate::pickup_slots::Slot;
use crate::units::Time;

/// Where a reservation stands. Each transition has one way:
///
/// ```text
/// Held -> Confirmed -> Picking -> Ready -> PartiallyPickedUp -> Fulfilled
///   |         |           |         |             |
///   |         |           +---------+-------------+-> NeedsPutBack -> PutBack   (cancelled, no-show, moved, returned)
///   |         |           +-> Shipped -> Fulfilled
///   |         +-> Released                                                      (released, cancelled, moved)
///   +-> Expired, Released
/// ```
///
/// Picking may be left out (Confirmed -> Ready, Confirmed -> Shipped). A receipt for all of it fulfils whatever holds stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservationState {
    /// Stock is reserved until it expires.
    Held,
    /// Stock is committed, without a time limit.
    Confirmed,
    /// All of it was handed over, or a receipt for all of it came in.
    Fulfilled,
    /// Given back.
    Released,
    /// Ran out.
    Expired,
    /// The store picks it.
    Picking,
    /// It waits for the customer.
    Ready,
    /// The customer has a part of it.
    PartiallyPickedUp,
    /// It left the store with a carrier.
    Shipped,
    /// It will not be picked up, but the goods are off the shelf: committed until they are put back.
    NeedsPutBack,
    /// The goods are back on the shelf.
    PutBack,
}

impl ReservationState {
    /// As it is told to people.
    pub fn name(self) -> &'static str {
        match self {
            ReservationState::Held => "held",
            ReservationState::Confirmed => "confirmed",
            ReservationState::Fulfilled => "fulfilled",
            ReservationState::Released => "released",
            ReservationState::Expired => "expired",
            ReservationState::Picking => "picking",
            ReservationState::Ready => "ready",
            ReservationState::PartiallyPickedUp => "partially picked up",
            ReservationState::Shipped => "shipped",
            ReservationState::NeedsPutBack => "waiting to be put back",
            ReservationState::PutBack => "put back",
        }
    }

    /// Whether lines in this state are in the stock levels.
    pub fn holds_stock(self) -> bool {
        self == ReservationState::Held || self.is_committed()
    }

    /// Whether they are there as committed.
    pub fn is_committed(self) -> bool {
        matches!(
            self,
            ReservationState::Confirmed
                | ReservationState::Picking
                | ReservationState::Ready
                | ReservationState::PartiallyPickedUp
                | ReservationState::NeedsPutBack
        )
    }
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
    /// Thousandths that were picked.
    pub picked: i64,
    /// Thousandths that could not be picked.
    pub rejected: i64,
    /// Thousandths that went to the customer or a carrier. Stock fell for each once, by the handover or by the receipt.
    pub handed_over: i64,
    /// Thousandths that receipts name.
    pub receipted: i64,
    /// Why something could not be picked, the last time.
    pub problem: Option<PickProblem>,
    /// Thousandths of what was promised that were on their way to the store then.
    pub awaited: i64,
}

impl ReservationLine {
    /// A line that holds what is asked for.
    pub fn holding(line_id: Arc<str>, sku: SkuId, quantity: i64) -> Self {
        ReservationLine {
            line_id,
            sku,
            requested: quantity,
            held: quantity,
            picked: 0,
            rejected: 0,
            handed_over: 0,
            receipted: 0,
            problem: None,
            awaited: 0,
        }
    }

    /// What it holds of deliveries on their way. What is taken first is from the shelf.
    pub fn claimed(&self) -> i64 {
        self.awaited.min(self.held)
    }

    /// What may still be handed over: what is held, and what a receipt named before it was handed over.
    pub fn outstanding(&self) -> i64 {
        self.held + (self.receipted - self.handed_over).max(0)
    }
}

/// Stock held for an order at one store.
#[derive(Clone, Debug, PartialEq)]
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
    /// Where the goods were looked for; `None`: not known.
    pub sought: Option<Sought>,
    /// How far it is beyond its stock.
    pub handling: Handling,
    /// How it reaches the customer.
    pub method: Method,
    /// The slot it was given; [`Self::window`] says the same span. `None`: the store has none, or nothing is picked up.
    pub slot: Option<Slot>,
    /// All parts of its order, this one too, the same list in each of them: what moved to another store is replaced in it by
    /// the reservation there. An ended part stays in it and may be forgotten. `None`: the order is in one part.
    pub parts: Option<Arc<[ReservationId]>>,
}

impl Reservation {
    /// What it holds of deliveries on their way, by level; a level may come more than once.
    pub fn claims(&self) -> impl Iterator<Item = (CellKey, i64)> {
        let lines = self.lines.iter().filter(|_| self.holds_stock());
        lines
            .filter(|line| line.claimed() > 0)
            .map(|line| (CellKey::new(line.sku, self.store), line.claimed()))
    }

    /// The slot it occupies: as long as somebody may come in it. Goods that only wait to be put back need none.
    pub fn held_slot(&self) -> Option<Slot> {
        let comes = self.holds_stock() && self.state != ReservationState::NeedsPutBack;
        self.slot.filter(|_| comes)
    }

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
        let from = self
            .handling
            .ended
            .map_or(self.expire, |e| e.max(self.expire));
        (!self.holds_stock()).then(|| from.plus_ms(ENDED_RESERVATION_MS))
    }

    /// When something is to be done about it while it holds stock.
    pub fn due(&self) -> Option<Time> {
        match self.state {
            ReservationState::Held => Some(self.expire),
            ReservationState::Confirmed
            | ReservationState::Ready
            | ReservationState::PartiallyPickedUp => self.handling.deadline,
            _ => None,
        }
    }

    /// Its timer, where it has one.
    pub fn timer(&self) -> Option<(Time, Timer)> {
        let due = self.due().map(|due| (due, Timer::Reservation(self.id)));
        let forgotten = || Some((self.forgotten_at()?, Timer::EndedReservation(self.id)));
        due.or_else(forgotten)
    }

    /// Whether its lines are in the stock levels.
    pub fn holds_stock(&self) -> bool {
        self.state.holds_stock()
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
