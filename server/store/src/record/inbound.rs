//! Records of deliveries.

use std::sync::Arc;

use tillside_engine::ids::{Sequence, SkuId, StoreId};
use tillside_engine::inbound::{Delivery, DeliveryLine, DeliveryState};
use tillside_engine::units::Time;

use super::codes::Coded;
use super::values::list;
use super::{Row, Stored};
use crate::error::RecordProblem;
use crate::table::Table;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DeliveryRecord {
    #[prost(string, tag = "1")]
    delivery_id: String,
    #[prost(uint32, tag = "2")]
    store: u32,
    #[prost(uint32, optional, tag = "3")]
    from: Option<u32>,
    #[prost(sint64, tag = "4")]
    expected_ms: i64,
    #[prost(message, repeated, tag = "5")]
    lines: Vec<DeliveryLineRecord>,
    #[prost(uint32, tag = "6")]
    state: u32,
    #[prost(uint64, tag = "7")]
    position: u64,
    #[prost(sint64, tag = "8")]
    changed_ms: i64,
    #[prost(uint64, tag = "9")]
    version: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct DeliveryLineRecord {
    #[prost(uint32, tag = "1")]
    sku: u32,
    #[prost(sint64, tag = "2")]
    announced: i64,
    #[prost(sint64, tag = "3")]
    received: i64,
}

impl Row for Delivery {
    const TABLE: Table = Table::Deliveries;
    type Key = Arc<str>;
}

impl Stored for Delivery {
    type Record = DeliveryRecord;

    fn to_record(&self) -> DeliveryRecord {
        DeliveryRecord {
            delivery_id: self.delivery_id.to_string(),
            store: self.store.0,
            from: self.from.map(|store| store.0),
            expected_ms: self.expected.0,
            lines: self.lines.iter().map(Stored::to_record).collect(),
            state: self.state.code(),
            position: self.position,
            changed_ms: self.changed.0,
            version: self.version.0,
        }
    }

    fn from_record(record: DeliveryRecord) -> Result<Self, RecordProblem> {
        Ok(Delivery {
            delivery_id: record.delivery_id.into(),
            store: StoreId(record.store),
            from: record.from.map(StoreId),
            expected: Time(record.expected_ms),
            lines: list(record.lines)?,
            state: DeliveryState::decoded(record.state)?,
            position: record.position,
            changed: Time(record.changed_ms),
            version: Sequence(record.version),
        })
    }
}

impl Stored for DeliveryLine {
    type Record = DeliveryLineRecord;

    fn to_record(&self) -> DeliveryLineRecord {
        DeliveryLineRecord {
            sku: self.sku.0,
            announced: self.announced,
            received: self.received,
        }
    }

    fn from_record(record: DeliveryLineRecord) -> Result<Self, RecordProblem> {
        Ok(DeliveryLine {
            sku: SkuId(record.sku),
            announced: record.announced,
            received: record.received,
        })
    }
}
