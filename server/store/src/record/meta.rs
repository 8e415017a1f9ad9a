//! The one row of the table `meta`: the counters, and the checksum the log ends with. It is written in every batch, so
//! tables and log can be seen to belong together.

use tillside_engine::ids::Sequence;
use tillside_engine::state::Counters;
use tillside_engine::units::Time;

use super::Stored;
use super::values::required;
use crate::error::RecordProblem;

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct CountersRecord {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(sint64, tag = "2")]
    now_ms: i64,
    #[prost(uint64, tag = "3")]
    next_customer: u64,
    #[prost(uint64, tag = "4")]
    next_reservation: u64,
    #[prost(uint64, tag = "5")]
    transactions: u64,
    #[prost(uint64, tag = "6")]
    provisional: u64,
    #[prost(uint64, tag = "7")]
    request_window_start: u64,
}

impl Stored for Counters {
    type Record = CountersRecord;

    fn to_record(&self) -> CountersRecord {
        CountersRecord {
            sequence: self.sequence.0,
            now_ms: self.now.0,
            next_customer: self.next_customer,
            next_reservation: self.next_reservation,
            transactions: self.transactions,
            provisional: self.provisional,
            request_window_start: self.request_window_start.0,
        }
    }

    fn from_record(record: CountersRecord) -> Result<Self, RecordProblem> {
        Ok(Counters {
            sequence: Sequence(record.sequence),
            now: Time(record.now_ms),
            next_customer: record.next_customer,
            next_reservation: record.next_reservation,
            transactions: record.transactions,
            provisional: record.provisional,
            request_window_start: Sequence(record.request_window_start),
        })
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct MetaRecord {
    #[prost(message, optional, tag = "1")]
    counters: Option<CountersRecord>,
    /// Checksum of the batch's first record.
    #[prost(fixed32, tag = "2")]
    first_checksum: u32,
    /// Checksum of the batch's last record, which is the log's.
    #[prost(fixed32, tag = "3")]
    last_checksum: u32,
}

/// What the row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) counters: Counters,
    pub(crate) first_checksum: u32,
    pub(crate) last_checksum: u32,
}

impl Stored for Meta {
    type Record = MetaRecord;

    fn to_record(&self) -> MetaRecord {
        MetaRecord {
            counters: Some(self.counters.to_record()),
            first_checksum: self.first_checksum,
            last_checksum: self.last_checksum,
        }
    }

    fn from_record(record: MetaRecord) -> Result<Self, RecordProblem> {
        Ok(Meta {
            counters: required(record.counters, "set of counters")?,
            first_checksum: record.first_checksum,
            last_checksum: record.last_checksum,
        })
    }
}
