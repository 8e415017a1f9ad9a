//! Everything the domain can say no to. One enum; the edge has one place that turns it into statuses. A rejection
//! changes nothing.

use std::sync::Arc;

use crate::stock::CountRefused;
use crate::units::Time;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A field is wrong in a way only the state can tell.
    #[error("{field}: {problem}")]
    Invalid {
        /// Path of the field in the request.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// No such product.
    #[error("SKU {sku:?} is not in the catalog; put the product first")]
    UnknownSku {
        /// Path of the field.
        field: String,
        /// As sent.
        sku: Arc<str>,
    },
    /// No such store.
    #[error("store {store_id:?} is not in the catalog; put the store first")]
    UnknownStore {
        /// Path of the field.
        field: String,
        /// As sent.
        store_id: Arc<str>,
    },
    /// No such customer.
    #[error("there is no customer with this customer_id")]
    UnknownCustomer,
    /// No such offer.
    #[error("there is no offer {offer_id:?}")]
    UnknownOffer {
        /// As sent.
        offer_id: Arc<str>,
    },
    /// No such reservation.
    #[error("there is no reservation {reservation_id:?}")]
    UnknownReservation {
        /// As sent.
        reservation_id: Arc<str>,
    },
    /// The identifiers belong to different customers.
    #[error("identifiers[{index}] belongs to another customer; recognise first, or leave it out")]
    IdentifierConflict {
        /// Which of the request's identifiers.
        index: usize,
    },
    /// A barcode belongs to another product.
    #[error("{field}: barcode {code} belongs to SKU {owner:?}; remove it there first")]
    BarcodeTaken {
        /// Path of the field.
        field: String,
        /// The barcode.
        code: String,
        /// Whose it is.
        owner: Arc<str>,
    },
    /// The record is newer than the etag.
    #[error(
        "the record has changed since it was read; read it again and repeat the change on the new version"
    )]
    EtagMismatch,
    /// No store in range has all of it.
    #[error(
        "no store in range has all lines in stock; ask PlanFulfillment for partial options or a wider range"
    )]
    InsufficientStock,
    /// Every candidate was taken meanwhile.
    #[error("every candidate store was taken meanwhile; call again")]
    Contended,
    /// The order has a confirmed reservation.
    #[error(
        "order {order_id:?} is confirmed already (reservation {reservation_id}); release that first to reserve anew"
    )]
    OrderConfirmed {
        /// The order.
        order_id: Arc<str>,
        /// Its reservation.
        reservation_id: String,
    },
    /// The hold has run out.
    #[error("the hold has expired and its stock is free again; reserve anew")]
    ReservationExpired,
    /// The reservation has ended in another way.
    #[error("the reservation has ended ({0}); nothing can be done with it any more")]
    ReservationEnded(&'static str),
    /// No such order.
    #[error(
        "there is no order {order_id:?} with a reservation; ended ones are forgotten after 30 days"
    )]
    UnknownOrder {
        /// As sent.
        order_id: Arc<str>,
    },
    /// The reservation is not where it would have to be.
    #[error("the reservation is {state}; {needs}")]
    WrongState {
        /// Where it is.
        state: &'static str,
        /// What would have to be, or what to do.
        needs: &'static str,
    },
    /// The code is not the customer's.
    #[error(
        "the pickup code is not the one of this reservation; have it read out again, or check who it is in another way and set without_code"
    )]
    PickupCodeWrong,
    /// A count cannot be placed.
    #[error("{}", count_refused(.0))]
    CountTooOld(CountRefused),
    /// No such delivery.
    #[error("there is no delivery {delivery_id:?}; schedule it first")]
    UnknownDelivery {
        /// As sent.
        delivery_id: Arc<str>,
    },
    /// The delivery has ended.
    #[error(
        "delivery {delivery_id:?} is {state} already; schedule what comes now under another delivery_id"
    )]
    DeliveryEnded {
        /// Which.
        delivery_id: Arc<str>,
        /// How it ended.
        state: &'static str,
    },
    /// A count from the future.
    #[error("as_of_time is in the future; a count says what was there, not what will be")]
    CountInFuture,
    /// The same request id with another payload.
    #[error("this request_id was used for another request; take a new one for each new request")]
    RequestIdReused,
    /// The first answer to a repeated request cannot be read any more; what it did is done.
    #[error(
        "this request was carried out before, but its answer is no longer at hand; read the result instead of repeating it"
    )]
    AnswerUnreadable,
    /// A customer that the request is about is on disk and cannot be read from there; nothing was done.
    #[error(
        "the customer's profile cannot be read from disk; nothing was done. Try again, and have the server's log looked at"
    )]
    ProfileUnreadable,
    /// A bound of the server.
    #[error("{what} would exceed the limit of {max}")]
    LimitExceeded {
        /// What.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The deadline passed before the server came to it.
    #[error("the deadline passed before the request was taken up; nothing was done")]
    DeadlineExceeded,
    /// The disk is nearly full: nothing that has to be written is taken, so that what was taken stays safe.
    #[error(
        "the server's disk is nearly full, so it takes no changes (reads go on): nothing was done. Send it again, with the same ids, once an operator has made room"
    )]
    DiskFull {
        /// What may still be written.
        available_bytes: u64,
        /// What is kept free.
        reserve_bytes: u64,
    },
    /// No room in the pickup slot, or in any.
    #[error("{}", slot_full(.next.is_some()))]
    SlotFull {
        /// The next one with room, at the store that was asked for or the nearest that has the goods.
        next: Option<(Time, Time)>,
    },
    /// Only several places together have everything.
    #[error(
        "only several places together have all lines; set allow_split to hold it in parts (PlanFulfillment names them)"
    )]
    SplitNotReserved,
    /// What is asked of an order in parts cannot be done with one of them, so it is done with none.
    #[error("part {reservation_id} of the order: {rejection}")]
    OfPart {
        /// The part.
        reservation_id: String,
        /// What is wrong with it.
        rejection: Box<Rejection>,
    },
    /// The simulated clock cannot go back.
    #[error("now is before the server's clock; a clock never goes backwards")]
    ClockBackwards,
}

fn slot_full(another: bool) -> &'static str {
    if another {
        "the pickup slot is full; take the next one with room (next_slot_start_time), or ask ListPickupSlots"
    } else {
        "every pickup slot is full; take another store or another method"
    }
}

fn count_refused(refused: &CountRefused) -> &'static str {
    match refused {
        CountRefused::NotNewer(_) => {
            "a count of the same or a later time was taken already; this one is ignored"
        }
        CountRefused::MovementsForgotten(_) => {
            "the movements since as_of_time are no longer at hand (48 h, at most 16); count again"
        }
    }
}
