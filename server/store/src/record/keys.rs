//! Records of the three large indexes: identifiers, business keys and answered requests. Keys are hashes of 16 bytes or
//! sequences; the values are a few bytes, because there are tens of millions of them.

use tillside_engine::answered_requests::AnsweredRequest;
use tillside_engine::ids::{BusinessKey, CustomerId, IdentifierHash, RequestKey, Sequence};
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
pub(crate) struct AnsweredRecord {
    #[prost(fixed64, tag = "1")]
    key_high: u64,
    #[prost(fixed64, tag = "2")]
    key_low: u64,
    #[prost(fixed64, tag = "3")]
    payload_hash: u64,
    #[prost(sint64, tag = "4")]
    time_ms: i64,
}

/// Which request a sequence answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    key: RequestKey,
    payload_hash: u64,
    time: Time,
}

impl Answers {
    /// Of a request of the engine.
    pub(crate) fn of(answered: &AnsweredRequest) -> Self {
        Answers {
            key: answered.key,
            payload_hash: answered.payload_hash,
            time: answered.time,
        }
    }

    /// The request that was answered at `sequence`.
    pub(crate) fn answered(self, sequence: Sequence) -> AnsweredRequest {
        AnsweredRequest {
            key: self.key,
            payload_hash: self.payload_hash,
            sequence,
            time: self.time,
        }
    }
}

impl Row for Answers {
    const TABLE: Table = Table::AnsweredRequests;
    type Key = Sequence;
}

impl Stored for Answers {
    type Record = AnsweredRecord;

    fn to_record(&self) -> AnsweredRecord {
        AnsweredRecord {
            key_high: (self.key.0 >> 64) as u64,
            key_low: self.key.0 as u64,
            payload_hash: self.payload_hash,
            time_ms: self.time.0,
        }
    }

    fn from_record(record: AnsweredRecord) -> Result<Self, RecordProblem> {
        Ok(Answers {
            key: RequestKey(u128::from(record.key_high) << 64 | u128::from(record.key_low)),
            payload_hash: record.payload_hash,
            time: Time(record.time_ms),
        })
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct FormerRequestRecord {
    #[prost(fixed64, tag = "1")]
    payload_hash: u64,
    #[prost(uint64, tag = "2")]
    sequence: u64,
    #[prost(sint64, tag = "3")]
    time_ms: i64,
}

/// Where the answer to a request is, as format 1 has it: a row a request key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FormerRequest {
    payload_hash: u64,
    sequence: Sequence,
    time: Time,
}

impl FormerRequest {
    /// The request of `key`.
    pub(crate) fn answered(self, key: RequestKey) -> AnsweredRequest {
        AnsweredRequest {
            key,
            payload_hash: self.payload_hash,
            sequence: self.sequence,
            time: self.time,
        }
    }
}

impl Row for FormerRequest {
    const TABLE: Table = Table::Requests;
    type Key = RequestKey;
}

impl Stored for FormerRequest {
    type Record = FormerRequestRecord;

    fn to_record(&self) -> FormerRequestRecord {
        FormerRequestRecord {
            payload_hash: self.payload_hash,
            sequence: self.sequence.0,
            time_ms: self.time.0,
        }
    }

    fn from_record(record: FormerRequestRecord) -> Result<Self, RecordProblem> {
        Ok(FormerRequest {
            payload_hash: record.payload_hash,
            sequence: Sequence(record.sequence),
            time: Time(record.time_ms),
        })
    }
}
