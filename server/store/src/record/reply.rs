//! Records of replies, kept beside the events of a command that had a request id, for its retries.

use std::sync::Arc;

use smallvec::SmallVec;
use tillside_engine::ids::{CustomerId, Sequence, SkuId, StoreId};
use tillside_engine::reply::{Reply, Warning};
use tillside_engine::reservation::{CheckoutResult, Reservation};
use tillside_engine::stock::{Beside, StockLevel};

use super::Stored;
use super::codes::Coded;
use super::inbound::DeliveryRecord;
use super::offer::OfferRecord;
use super::order::PickExceptionRecord;
use super::reservation::ReservationRecord;
use super::routing::RoutingPolicyRecord;
use super::stock::StockRecord;
use super::values::{list, millis, optional, required, time};
use crate::error::RecordProblem;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReplyRecord {
    #[prost(
        oneof = "ReplyKind",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 40, 50, 60, 70"
    )]
    kind: Option<ReplyKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum ReplyKind {
    #[prost(message, tag = "1")]
    Put(PutRecord),
    #[prost(message, tag = "2")]
    Customer(CustomerReplyRecord),
    #[prost(message, tag = "3")]
    Offer(Box<OfferRecord>),
    #[prost(message, tag = "4")]
    Outcomes(OutcomesReplyRecord),
    #[prost(message, tag = "5")]
    Stock(StockReplyRecord),
    #[prost(message, tag = "6")]
    Reservation(ReservationRecord),
    #[prost(message, tag = "7")]
    CheckoutHold(CheckoutHoldRecord),
    #[prost(message, tag = "8")]
    CheckoutClosed(CheckoutClosedRecord),
    #[prost(message, tag = "9")]
    Ingested(IngestedRecord),
    #[prost(uint64, tag = "10")]
    Duplicate(u64),
    #[prost(bool, tag = "11")]
    Done(bool),
    #[prost(message, tag = "40")]
    PickException(Box<PickExceptionRecord>),
    #[prost(message, tag = "50")]
    Delivery(Box<DeliveryReplyRecord>),
    #[prost(message, tag = "60")]
    RoutingPolicy(Box<RoutingPolicyRecord>),
    #[prost(message, tag = "70")]
    OrderParts(OrderPartsRecord),
}

/// A reservation is not written twice: the one that was named is one of the parts.
#[derive(Clone, PartialEq, prost::Message)]
struct OrderPartsRecord {
    #[prost(uint64, tag = "1")]
    named: u64,
    #[prost(message, repeated, tag = "2")]
    parts: Vec<ReservationRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DeliveryReplyRecord {
    #[prost(message, optional, tag = "1")]
    delivery: Option<DeliveryRecord>,
    #[prost(bool, tag = "2")]
    superseded: bool,
}

/// What was told beside a level. Replies of earlier versions have none.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct BesideRecord {
    /// What the level kept back beyond its own safety stock.
    #[prost(sint64, tag = "1")]
    safety_beyond_own: i64,
    #[prost(sint64, tag = "2")]
    incoming: i64,
    #[prost(sint64, optional, tag = "3")]
    incoming_at_ms: Option<i64>,
    #[prost(sint64, tag = "4")]
    near_time: i64,
    #[prost(uint32, tag = "5")]
    confidence_ppm: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct PutRecord {
    #[prost(uint32, tag = "1")]
    created: u32,
    #[prost(uint32, tag = "2")]
    updated: u32,
    #[prost(uint32, tag = "3")]
    unchanged: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct CustomerReplyRecord {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(bool, tag = "2")]
    created: bool,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct OutcomesReplyRecord {
    #[prost(uint32, tag = "1")]
    accepted: u32,
    #[prost(uint32, tag = "2")]
    duplicates: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StockReplyRecord {
    #[prost(uint32, tag = "1")]
    sku: u32,
    #[prost(uint32, tag = "2")]
    store: u32,
    #[prost(message, optional, tag = "3")]
    level: Option<StockRecord>,
    #[prost(message, optional, tag = "40")]
    beside: Option<BesideRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CheckoutHoldRecord {
    #[prost(bool, tag = "1")]
    superseded: bool,
    #[prost(message, optional, tag = "2")]
    reservation: Option<ReservationRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CheckoutClosedRecord {
    #[prost(uint32, tag = "1")]
    result: u32,
    #[prost(message, optional, tag = "2")]
    reservation: Option<ReservationRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct IngestedRecord {
    #[prost(message, repeated, tag = "1")]
    warnings: Vec<WarningRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WarningRecord {
    #[prost(oneof = "WarningKind", tags = "1, 2, 3, 4, 5, 6, 50")]
    kind: Option<WarningKind>,
}

/// Numbers are positions; kinds without one have a flag that is always set.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
enum WarningKind {
    #[prost(bool, tag = "1")]
    UnknownStore(bool),
    #[prost(uint64, tag = "2")]
    UnknownSku(u64),
    #[prost(bool, tag = "3")]
    FutureTime(bool),
    #[prost(bool, tag = "4")]
    AmbiguousCustomer(bool),
    #[prost(uint64, tag = "5")]
    IdentifierConflict(u64),
    #[prost(uint64, tag = "6")]
    ReservationNotSettled(u64),
    #[prost(bool, tag = "50")]
    Superseded(bool),
}

impl Stored for Reply {
    type Record = ReplyRecord;

    fn to_record(&self) -> ReplyRecord {
        let reservation = |r: &Option<Arc<_>>| r.as_deref().map(Stored::to_record);
        ReplyRecord {
            kind: Some(match self {
                Reply::Put {
                    created,
                    updated,
                    unchanged,
                } => ReplyKind::Put(PutRecord {
                    created: *created,
                    updated: *updated,
                    unchanged: *unchanged,
                }),
                Reply::Customer { id, created } => ReplyKind::Customer(CustomerReplyRecord {
                    id: id.0,
                    created: *created,
                }),
                Reply::Offer(offer) => ReplyKind::Offer(Box::new(offer.to_record())),
                Reply::Outcomes {
                    accepted,
                    duplicates,
                } => ReplyKind::Outcomes(OutcomesReplyRecord {
                    accepted: *accepted,
                    duplicates: *duplicates,
                }),
                Reply::Stock {
                    sku,
                    store,
                    level,
                    beside,
                } => ReplyKind::Stock(StockReplyRecord {
                    sku: sku.0,
                    store: store.0,
                    level: Some(level.to_record()),
                    beside: Some(BesideRecord {
                        safety_beyond_own: level.safety.wrapping_sub(level.own_safety),
                        incoming: beside.incoming,
                        incoming_at_ms: millis(beside.incoming_at),
                        near_time: beside.near_time,
                        confidence_ppm: beside.confidence_ppm,
                    }),
                }),
                Reply::Reservation(reservation) => ReplyKind::Reservation(reservation.to_record()),
                Reply::CheckoutHold {
                    superseded,
                    reservation: held,
                } => ReplyKind::CheckoutHold(CheckoutHoldRecord {
                    superseded: *superseded,
                    reservation: reservation(held),
                }),
                Reply::CheckoutClosed {
                    result,
                    reservation: held,
                } => ReplyKind::CheckoutClosed(CheckoutClosedRecord {
                    result: result.code(),
                    reservation: reservation(held),
                }),
                Reply::Ingested { warnings } => ReplyKind::Ingested(IngestedRecord {
                    warnings: warnings.iter().map(Stored::to_record).collect(),
                }),
                Reply::Duplicate { first } => ReplyKind::Duplicate(first.0),
                Reply::Done => ReplyKind::Done(true),
                Reply::PickException {
                    reservation: short,
                    moved_to,
                    alternatives,
                } => ReplyKind::PickException(Box::new(PickExceptionRecord {
                    reservation: Some(short.to_record()),
                    moved_to: reservation(moved_to),
                    alternatives: alternatives.iter().map(Stored::to_record).collect(),
                })),
                Reply::Delivery {
                    delivery,
                    superseded,
                } => ReplyKind::Delivery(Box::new(DeliveryReplyRecord {
                    delivery: Some(delivery.to_record()),
                    superseded: *superseded,
                })),
                Reply::RoutingPolicy(policy) => {
                    ReplyKind::RoutingPolicy(Box::new(policy.to_record()))
                }
                Reply::OrderParts {
                    reservation: named,
                    parts,
                } => ReplyKind::OrderParts(OrderPartsRecord {
                    named: named.id.0,
                    parts: parts.iter().map(|part| part.to_record()).collect(),
                }),
            }),
        }
    }

    fn from_record(record: ReplyRecord) -> Result<Self, RecordProblem> {
        Ok(
            match record.kind.ok_or_else(|| {
                RecordProblem::field("kind of reply", "one this version does not know")
            })? {
                ReplyKind::Put(put) => Reply::Put {
                    created: put.created,
                    updated: put.updated,
                    unchanged: put.unchanged,
                },
                ReplyKind::Customer(reply) => Reply::Customer {
                    id: CustomerId(reply.id),
                    created: reply.created,
                },
                ReplyKind::Offer(offer) => Reply::Offer(Arc::new(Stored::from_record(*offer)?)),
                ReplyKind::Outcomes(reply) => Reply::Outcomes {
                    accepted: reply.accepted,
                    duplicates: reply.duplicates,
                },
                ReplyKind::Stock(reply) => {
                    let mut level: StockLevel = required(reply.level, "stock level")?;
                    let beside = reply.beside.unwrap_or_default();
                    level.safety = level.own_safety.wrapping_add(beside.safety_beyond_own);
                    Reply::Stock {
                        sku: SkuId(reply.sku),
                        store: StoreId(reply.store),
                        level,
                        beside: Beside {
                            incoming: beside.incoming,
                            incoming_at: time(beside.incoming_at_ms),
                            near_time: beside.near_time,
                            confidence_ppm: beside.confidence_ppm,
                        },
                    }
                }
                ReplyKind::Reservation(reservation) => {
                    Reply::Reservation(Arc::new(Stored::from_record(reservation)?))
                }
                ReplyKind::CheckoutHold(hold) => Reply::CheckoutHold {
                    superseded: hold.superseded,
                    reservation: optional(hold.reservation)?.map(Arc::new),
                },
                ReplyKind::CheckoutClosed(closed) => Reply::CheckoutClosed {
                    result: CheckoutResult::decoded(closed.result)?,
                    reservation: optional(closed.reservation)?.map(Arc::new),
                },
                ReplyKind::Ingested(ingested) => Reply::Ingested {
                    warnings: list::<Warning, SmallVec<_>>(ingested.warnings)?,
                },
                ReplyKind::Duplicate(first) => Reply::Duplicate {
                    first: Sequence(first),
                },
                ReplyKind::Done(_) => Reply::Done,
                ReplyKind::PickException(told) => Reply::PickException {
                    reservation: Arc::new(required(told.reservation, "reservation")?),
                    moved_to: optional(told.moved_to)?.map(Arc::new),
                    alternatives: list(told.alternatives)?,
                },
                ReplyKind::Delivery(reply) => Reply::Delivery {
                    delivery: Arc::new(required(reply.delivery, "delivery")?),
                    superseded: reply.superseded,
                },
                ReplyKind::RoutingPolicy(policy) => {
                    Reply::RoutingPolicy(Arc::new(Stored::from_record(*policy)?))
                }
                ReplyKind::OrderParts(told) => {
                    let parts: Vec<Reservation> = list(told.parts)?;
                    let parts: Vec<_> = parts.into_iter().map(Arc::new).collect();
                    let named = parts.iter().find(|part| part.id.0 == told.named);
                    let missing = || RecordProblem::field("part of an order", told.named);
                    Reply::OrderParts {
                        reservation: Arc::clone(named.ok_or_else(missing)?),
                        parts,
                    }
                }
            },
        )
    }
}

impl Stored for Warning {
    type Record = WarningRecord;

    fn to_record(&self) -> WarningRecord {
        WarningRecord {
            kind: Some(match self {
                Warning::UnknownStore => WarningKind::UnknownStore(true),
                Warning::UnknownSku { line } => WarningKind::UnknownSku(*line as u64),
                Warning::FutureTime => WarningKind::FutureTime(true),
                Warning::AmbiguousCustomer => WarningKind::AmbiguousCustomer(true),
                Warning::IdentifierConflict { index } => {
                    WarningKind::IdentifierConflict(*index as u64)
                }
                Warning::ReservationNotSettled { line } => {
                    WarningKind::ReservationNotSettled(*line as u64)
                }
                Warning::Superseded => WarningKind::Superseded(true),
            }),
        }
    }

    fn from_record(record: WarningRecord) -> Result<Self, RecordProblem> {
        let position = |n: u64| {
            usize::try_from(n).map_err(|_| RecordProblem::field("position in a warning", n))
        };
        Ok(
            match record.kind.ok_or_else(|| {
                RecordProblem::field("kind of warning", "one this version does not know")
            })? {
                WarningKind::UnknownStore(_) => Warning::UnknownStore,
                WarningKind::UnknownSku(line) => Warning::UnknownSku {
                    line: position(line)?,
                },
                WarningKind::FutureTime(_) => Warning::FutureTime,
                WarningKind::AmbiguousCustomer(_) => Warning::AmbiguousCustomer,
                WarningKind::IdentifierConflict(index) => Warning::IdentifierConflict {
                    index: position(index)?,
                },
                WarningKind::ReservationNotSettled(line) => Warning::ReservationNotSettled {
                    line: position(line)?,
                },
                WarningKind::Superseded(_) => Warning::Superseded,
            },
        )
    }
}
