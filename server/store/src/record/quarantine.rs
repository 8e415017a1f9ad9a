//! The record of a line nobody can book yet.

use tillside_engine::ids::Sequence;
use tillside_engine::sale::QuarantinedLine;
use tillside_engine::units::Time;

use super::values::{MoneyRecord, required};
use super::{Row, Stored};
use crate::error::RecordProblem;
use crate::table::Table;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct QuarantineRecord {
    #[prost(string, tag = "1")]
    store: String,
    #[prost(string, tag = "2")]
    item: String,
    #[prost(bool, tag = "3")]
    scanned: bool,
    #[prost(sint64, tag = "4")]
    quantity: i64,
    #[prost(message, optional, tag = "5")]
    net: Option<MoneyRecord>,
    #[prost(sint64, tag = "6")]
    time_ms: i64,
    #[prost(bool, tag = "7")]
    unknown_store: bool,
}

impl Row for QuarantinedLine {
    const TABLE: Table = Table::Quarantine;
    type Key = (Sequence, u32);
}

impl Stored for QuarantinedLine {
    type Record = QuarantineRecord;

    fn to_record(&self) -> QuarantineRecord {
        QuarantineRecord {
            store: self.store.to_string(),
            item: self.item.to_string(),
            scanned: self.scanned,
            quantity: self.quantity,
            net: Some(self.net.to_record()),
            time_ms: self.time.0,
            unknown_store: self.unknown_store,
        }
    }

    fn from_record(record: QuarantineRecord) -> Result<Self, RecordProblem> {
        Ok(QuarantinedLine {
            store: record.store.into(),
            item: record.item.into(),
            scanned: record.scanned,
            quantity: record.quantity,
            net: required(record.net, "net amount")?,
            time: Time(record.time_ms),
            unknown_store: record.unknown_store,
        })
    }
}
