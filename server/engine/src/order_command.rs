//! What can be asked of an order after its hold.

use std::sync::Arc;

use crate::ids::{ReservationId, Sequence};
use crate::order::{HandoverKind, PaymentState, PickProblem, Shipment};

/// A step of a reservation.
#[derive(Clone, Debug)]
pub struct OrderCommand {
    /// Which reservation.
    pub id: ReservationId,
    /// The version the step is based on; `None`: any.
    pub etag: Option<Sequence>,
    /// What.
    pub step: OrderStep,
}

/// A step.
#[derive(Clone, Debug)]
pub enum OrderStep {
    /// Commit a hold; on what is committed, note a payment.
    Confirm(Terms),
    /// Keep a hold, or ready goods, longer: until so many milliseconds from now, never shorter.
    Extend {
        /// Milliseconds.
        hold_ms: i64,
    },
    /// The store has seen it.
    Acknowledge,
    /// The store picks it.
    StartPicking,
    /// It waits for the customer.
    MarkReady,
    /// It goes to the customer.
    HandOver(HandOver),
    /// It goes to a carrier.
    MarkShipped(Shipment),
    /// What was picked is back on the shelf.
    PutBack,
    /// Not all of it could be picked.
    PickException(PickException),
}

/// What is agreed when an order is placed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// How it is paid.
    pub payment: PaymentState,
    /// Where it is handed over. Only at the first time.
    pub handover: HandoverKind,
}

/// Goods given to a customer.
#[derive(Clone, Debug, Default)]
pub struct HandOver {
    /// (line, thousandths; `None`: all that is left of it). Empty: all that is left.
    pub lines: Vec<(Arc<str>, Option<i64>)>,
    /// The customer's code; empty: none was shown.
    pub code: Arc<str>,
    /// The operator knows who it is in another way, so no code is asked for.
    pub without_code: bool,
    /// The customer takes no more: what is left goes back to the shelf.
    pub is_last: bool,
    /// How it is paid now; `None`: as before.
    pub payment: Option<PaymentState>,
}

/// What a picker found.
#[derive(Clone, Debug, Default)]
pub struct PickException {
    /// The lines that are short.
    pub lines: Vec<FoundLine>,
    /// Move the order to the next store that has all of it, in the same step.
    pub move_to_next: bool,
    /// Alternatives to answer at most.
    pub max_options: usize,
}

/// What a picker found of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLine {
    /// The line.
    pub line_id: Arc<str>,
    /// Thousandths that were found, less than what is held.
    pub found: i64,
    /// What became of the rest.
    pub problem: PickProblem,
}
