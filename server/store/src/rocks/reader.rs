//! Reads the log and its ledgers on any thread, while the log is written to: from snapshots, so that what is read stands
//! still and nobody waits for it.

use std::sync::Arc;

use rocksdb::DB;
use tillside_engine::ids::Sequence;

use super::SnapshotTables;
use crate::audit::{Audit, audit};
use crate::error::StoreError;
use crate::log::{LogRecord, Position, Records};
use crate::retention;

/// What reading on from a position came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOn {
    /// Everything after it was read, up to here.
    Through(Position),
    /// The log does not have this position any more, or never had it, or too much came after it.
    Unknown,
}

/// Reads the log of an open directory. It keeps the directory in use.
#[derive(Clone)]
pub struct LogReader {
    db: Arc<DB>,
}

impl LogReader {
    pub(super) fn new(db: Arc<DB>) -> Self {
        LogReader { db }
    }

    /// Shows every durable record after `after`, in order, at most `records_max` of them.
    ///
    /// # Errors
    /// [`StoreError`] where a record cannot be read.
    pub fn read_on(
        &self,
        after: Position,
        records_max: u64,
        look: &mut dyn FnMut(&LogRecord),
    ) -> Result<ReadOn, StoreError> {
        let tables = SnapshotTables::of(&self.db);
        let head = retention::read_head(&tables)?;
        if after.sequence < head.sequence {
            return Ok(ReadOn::Unknown);
        }
        let mut records = Records::of(&tables, head, after.sequence);
        let found = if after.sequence == head.sequence {
            Some(head)
        } else {
            records.next().transpose()?.map(|record| record.position())
        };
        // Another checksum: a record of another history, before a restored backup or of another server.
        if found != Some(after) {
            return Ok(ReadOn::Unknown);
        }
        let mut through = after;
        for record in records {
            let record = record?;
            if record.sequence.0 > after.sequence.0 + records_max {
                return Ok(ReadOn::Unknown);
            }
            look(&record);
            through = record.position();
        }
        Ok(ReadOn::Through(through))
    }

    /// Checks the ledgers of stock and points against the state, as they are on disk now: see [`audit`].
    ///
    /// # Errors
    /// [`StoreError`] where something cannot be read.
    pub fn audit(&self) -> Result<(Audit, Sequence), StoreError> {
        let tables = SnapshotTables::of(&self.db);
        let last = retention::last_sequence(&tables)?;
        Ok((audit(&tables)?, last))
    }
}
