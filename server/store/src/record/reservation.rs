//! Records of reservations and checkouts.

use std::sync::Arc;

use tillside_engine::ids::{ReservationId, Sequence, SkuId, StoreId};
use tillside_engine::location_terms::Method;
use tillside_engine::order::{Handling, PickProblem};
use tillside_engine::reservation::{
    Checkout, CheckoutResult, Reservation, ReservationLine, ReservationState,
};
use tillside_engine::units::Time;

use super::codes::Coded;
use super::order::{HandlingRecord, SoughtRecord};
use super::routing::SlotRecord;
use super::values::{list, optional};
use super::{Row, Stored};
use crate::error::RecordProblem;
use crate::table::Table;

/// The number is in the record too, because events and replies hold reservations without a key.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReservationRecord {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    order_id: String,
    #[prost(uint32, tag = "3")]
    store: u32,
    #[prost(uint32, tag = "4")]
    state: u32,
    #[prost(message, repeated, tag = "5")]
    lines: Vec<ReservationLineRecord>,
    #[prost(uint64, tag = "6")]
    distance_mm: u64,
    #[prost(message, optional, tag = "7")]
    window: Option<WindowRecord>,
    #[prost(sint64, tag = "8")]
    expire_ms: i64,
    #[prost(sint64, tag = "9")]
    created_ms: i64,
    #[prost(uint64, tag = "10")]
    version: u64,
    #[prost(message, optional, tag = "40")]
    handling: Option<HandlingRecord>,
    #[prost(message, optional, tag = "41")]
    sought: Option<SoughtRecord>,
    #[prost(uint32, tag = "60")]
    method: u32,
    #[prost(message, optional, tag = "61")]
    slot: Option<SlotRecord>,
    /// All parts of the order; empty: it is in one part.
    #[prost(uint64, repeated, tag = "70")]
    parts: Vec<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReservationLineRecord {
    #[prost(string, tag = "1")]
    line_id: String,
    #[prost(uint32, tag = "2")]
    sku: u32,
    #[prost(sint64, tag = "3")]
    requested: i64,
    #[prost(sint64, tag = "4")]
    held: i64,
    #[prost(sint64, tag = "40")]
    picked: i64,
    #[prost(sint64, tag = "41")]
    rejected: i64,
    #[prost(sint64, tag = "42")]
    handed_over: i64,
    #[prost(sint64, tag = "43")]
    receipted: i64,
    /// 0: none.
    #[prost(uint32, tag = "44")]
    problem: u32,
    #[prost(sint64, tag = "60")]
    awaited: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct WindowRecord {
    #[prost(sint64, tag = "1")]
    start_ms: i64,
    #[prost(sint64, tag = "2")]
    end_ms: i64,
}

impl WindowRecord {
    pub(super) fn of((start, end): (Time, Time)) -> Self {
        WindowRecord {
            start_ms: start.0,
            end_ms: end.0,
        }
    }

    pub(super) fn window(self) -> (Time, Time) {
        (Time(self.start_ms), Time(self.end_ms))
    }
}

impl Row for Reservation {
    const TABLE: Table = Table::Reservations;
    type Key = ReservationId;
}

impl Stored for Reservation {
    type Record = ReservationRecord;

    fn to_record(&self) -> ReservationRecord {
        ReservationRecord {
            id: self.id.0,
            order_id: self.order_id.to_string(),
            store: self.store.0,
            state: self.state.code(),
            lines: self.lines.iter().map(Stored::to_record).collect(),
            distance_mm: self.distance_mm,
            window: self.window.map(WindowRecord::of),
            expire_ms: self.expire.0,
            created_ms: self.created.0,
            version: self.version.0,
            handling: (self.handling != Handling::default()).then(|| self.handling.to_record()),
            sought: self.sought.as_ref().map(Stored::to_record),
            method: self.method.code(),
            slot: self.slot.as_ref().map(Stored::to_record),
            parts: (self.parts.iter().flat_map(|parts| parts.iter()))
                .map(|part| part.0)
                .collect(),
        }
    }

    fn from_record(record: ReservationRecord) -> Result<Self, RecordProblem> {
        Ok(Reservation {
            id: ReservationId(record.id),
            order_id: record.order_id.into(),
            store: StoreId(record.store),
            state: ReservationState::decoded(record.state)?,
            lines: list(record.lines)?,
            distance_mm: record.distance_mm,
            window: record.window.map(WindowRecord::window),
            expire: Time(record.expire_ms),
            created: Time(record.created_ms),
            version: Sequence(record.version),
            sought: optional(record.sought)?,
            handling: optional(record.handling)?.unwrap_or_default(),
            method: Method::decoded(record.method)?,
            slot: optional(record.slot)?,
            parts: (!record.parts.is_empty())
                .then(|| record.parts.into_iter().map(ReservationId).collect()),
        })
    }
}

impl Stored for ReservationLine {
    type Record = ReservationLineRecord;

    fn to_record(&self) -> ReservationLineRecord {
        ReservationLineRecord {
            line_id: self.line_id.to_string(),
            sku: self.sku.0,
            requested: self.requested,
            held: self.held,
            picked: self.picked,
            rejected: self.rejected,
            handed_over: self.handed_over,
            receipted: self.receipted,
            problem: self.problem.map_or(0, |problem| problem.code()),
            awaited: self.awaited,
        }
    }

    fn from_record(record: ReservationLineRecord) -> Result<Self, RecordProblem> {
        Ok(ReservationLine {
            line_id: record.line_id.into(),
            sku: SkuId(record.sku),
            requested: record.requested,
            held: record.held,
            picked: record.picked,
            rejected: record.rejected,
            handed_over: record.handed_over,
            receipted: record.receipted,
            problem: match record.problem {
                0 => None,
                code => Some(PickProblem::decoded(code)?),
            },
            awaited: record.awaited,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CheckoutRecord {
    #[prost(string, tag = "1")]
    checkout_id: String,
    #[prost(sint64, tag = "2")]
    revision: i64,
    #[prost(uint32, optional, tag = "3")]
    closed: Option<u32>,
    #[prost(uint64, optional, tag = "4")]
    reservation: Option<u64>,
    #[prost(sint64, tag = "5")]
    expire_ms: i64,
}

impl Row for Checkout {
    const TABLE: Table = Table::Checkouts;
    type Key = Arc<str>;
}

impl Stored for Checkout {
    type Record = CheckoutRecord;

    fn to_record(&self) -> CheckoutRecord {
        CheckoutRecord {
            checkout_id: self.checkout_id.to_string(),
            revision: self.revision,
            closed: self.closed.map(|result| result.code()),
            reservation: self.reservation.map(|id| id.0),
            expire_ms: self.expire.0,
        }
    }

    fn from_record(record: CheckoutRecord) -> Result<Self, RecordProblem> {
        Ok(Checkout {
            checkout_id: record.checkout_id.into(),
            revision: record.revision,
            closed: record.closed.map(CheckoutResult::decoded).transpose()?,
            reservation: record.reservation.map(ReservationId),
            expire: Time(record.expire_ms),
        })
    }
}
