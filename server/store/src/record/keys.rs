//! Records of the three large indexes: identifiers, business keys and answered requests. Each row's key is a hash of
//! 16 bytes; the values are a few bytes, because there are tens of millions of them.

use tillside_engine::ids::{BusinessKey, CustomerId, IdentifierHash, RequestKey, Sequence};
use tillside_engine::state::AnsweredRequest;
use tillside_engine::units::Time;

use super::{Row, Stored};
use crate::error::RecordProblem;
use crate::table::Table;

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct IdentifierEntryRecord {
    #[prost(uint64, tag = "1")]
    customer: u64,
}

/// Whose identifier it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdentifierOwner(pub(crate) CustomerId);

impl Row for IdentifierOwner {
    const TABLE: Table = Table::Identifiers;
    type Key = IdentifierHash;
}

impl Stored for IdentifierOwner {
    type Record = IdentifierEntryRecord;

    fn to_record(&self) -> IdentifierEntryRecord {
        IdentifierEntryRecord { customer: self.0.0 }
    }

    fn from_record(record: IdentifierEntryRecord) -> Result<Self, RecordProblem> {
        Ok(IdentifierOwner(CustomerId(record.customer)))
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct BusinessKeyRecord {
    #[prost(uint64, tag = "1")]
    sequence: u64,
}

/// Which change took the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TakenAt(pub(crate) Sequence);

impl Row for TakenAt {
    const TABLE: Table = Table::BusinessKeys;
    type Key = BusinessKey;
}

impl Stored for TakenAt {
    type Record = BusinessKeyRecord;

    fn to_record(&self) -> BusinessKeyRecord {
        BusinessKeyRecord { sequence: self.0.0 }
    }

    fn from_record(record: BusinessKeyRecord) -> Result<Self, RecordProblem> {
        Ok(TakenAt(Sequence(record.sequence)))
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct RequestRecord {
    #[prost(fixed64, tag = "1")]
    payload_hash: u64,
    #[prost(uint64, tag = "2")]
    sequence: u64,
    #[prost(sint64, tag = "3")]
    time_ms: i64,
}

impl Row for AnsweredRequest {
    const TABLE: Table = Table::Requests;
    type Key = RequestKey;
}

impl Stored for AnsweredRequest {
    type Record = RequestRecord;

    fn to_record(&self) -> RequestRecord {
        RequestRecord {
            payload_hash: self.payload_hash,
            sequence: self.sequence.0,
            time_ms: self.time.0,
        }
    }

    fn from_record(record: RequestRecord) -> Result<Self, RecordProblem> {
        Ok(AnsweredRequest {
            payload_hash: record.payload_hash,
            sequence: Sequence(record.sequence),
            time: Time(record.time_ms),
        })
    }
}
