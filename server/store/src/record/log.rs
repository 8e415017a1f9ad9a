//! The record of one command in the log: its time, its events, and its reply where a retry may ask for it.

use tillside_engine::event::Event;
use tillside_engine::ids::Sequence;
use tillside_engine::reply::Reply;
use tillside_engine::units::Time;

use super::event::EventRecord;
use super::reply::ReplyRecord;
use super::values::{list, optional};
use super::{Stored, write_record};
use crate::error::{RecordError, RecordProblem};
use crate::frame;
use crate::log::LogRecord;
use crate::table::{Key, Table};

#[derive(Clone, PartialEq, prost::Message)]
struct CommandRecord {
    #[prost(sint64, tag = "1")]
    now_ms: i64,
    #[prost(message, repeated, tag = "2")]
    events: Vec<EventRecord>,
    #[prost(message, optional, tag = "3")]
    reply: Option<ReplyRecord>,
    /// Checksum of the record before: each record's own checksum covers it, so no record can be exchanged or left out.
    #[prost(fixed32, tag = "4")]
    previous_checksum: u32,
}

/// Appends the payload of a record.
pub(crate) fn write(
    now: Time,
    events: &[Event],
    reply: Option<&Reply>,
    previous_checksum: u32,
    out: &mut Vec<u8>,
) {
    let record = CommandRecord {
        now_ms: now.0,
        events: events.iter().map(Stored::to_record).collect(),
        reply: reply.map(Stored::to_record),
        previous_checksum,
    };
    write_record(&record, out);
}

/// Reads a row of the log, checked.
pub(crate) fn read(key: &[u8], value: &[u8]) -> Result<LogRecord, RecordError> {
    let payload = frame::payload(Table::Log, key, value)?;
    decode(key, payload, frame::checksum(value)).map_err(|problem| problem.at(Table::Log, key))
}

fn decode(key: &[u8], payload: &[u8], checksum: u32) -> Result<LogRecord, RecordProblem> {
    let record: CommandRecord =
        prost::Message::decode(payload).map_err(|e| RecordProblem::Malformed(e.to_string()))?;
    Ok(LogRecord {
        sequence: Sequence::read(key)?,
        now: Time(record.now_ms),
        events: list(record.events)?,
        reply: optional(record.reply)?,
        previous_checksum: record.previous_checksum,
        checksum,
    })
}
