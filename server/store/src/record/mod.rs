//! Records of format 1: what the entities look like on disk, one module an entity, and the only place where domain types
//! become bytes and back. Every record is a protobuf message declared here by its tags, apart from the gRPC surface, so
//! that either can change without the other. Tags and codes are never reused. Defaults are not written and lists have
//! one order, so equal entities have equal bytes: the digest rests on that.

pub(crate) mod catalog;
mod codes;
pub(crate) mod customer;
pub(crate) mod event;
pub(crate) mod facts;
pub(crate) mod history;
pub(crate) mod inbound;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod meta;
pub(crate) mod offer;
pub(crate) mod openings;
pub(crate) mod order;
pub(crate) mod quarantine;
pub(crate) mod reply;
pub(crate) mod reservation;
pub(crate) mod routing;
mod sale;
pub(crate) mod stock;
#[cfg(test)]
mod tests;
mod values;

use prost::Message;

use crate::error::{RecordError, RecordProblem};
use crate::frame;
use crate::table::{Key, Table};

/// An entity that has a record.
pub(crate) trait Stored: Sized {
    /// Its shape on disk.
    type Record: Message + Default;

    /// Shapes it for the disk.
    fn to_record(&self) -> Self::Record;

    /// Appends the encoded shape; where that is worth it, without making the shape first.
    fn write(&self, out: &mut Vec<u8>) {
        write_record(&self.to_record(), out);
    }

    /// Reads it back; refuses what no version could have meant.
    fn from_record(record: Self::Record) -> Result<Self, RecordProblem>;
}

/// An entity that is a row.
pub(crate) trait Row: Stored {
    /// Where it is kept.
    const TABLE: Table;
    /// Its key there.
    type Key: Key;
}

/// Appends the payload of an entity.
pub(crate) fn write_payload<T: Stored>(entity: &T, out: &mut Vec<u8>) {
    entity.write(out);
}

/// Appends a record.
pub(crate) fn write_record(record: &impl Message, out: &mut Vec<u8>) {
    record
        .encode(out)
        .expect("a Vec has room for what it is given");
}

/// Reads a payload.
pub(crate) fn read_payload<T: Stored>(payload: &[u8]) -> Result<T, RecordProblem> {
    T::from_record(T::Record::decode(payload).map_err(|e| RecordProblem::Malformed(e.to_string()))?)
}

/// Reads the value of a row, checked.
pub(crate) fn read_value<T: Row>(key: &[u8], value: &[u8]) -> Result<T, RecordError> {
    read_payload(frame::payload(T::TABLE, key, value)?).map_err(|problem| problem.at(T::TABLE, key))
}

/// Reads a whole row, checked.
pub(crate) fn read_row<T: Row>(key: &[u8], value: &[u8]) -> Result<(T::Key, T), RecordError> {
    let entity = read_value::<T>(key, value)?;
    let key = T::Key::read(key).map_err(|problem| problem.at(T::TABLE, key))?;
    Ok((key, entity))
}
