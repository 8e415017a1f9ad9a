//! The log of all changes, as small as it can be: append a batch, read one record, read on from one. Records and table
//! rows are kept apart in a batch, so that a log with another shape (rows checkpointed later, or a replicated stream)
//! can take its place.

use std::fmt;

use tillside_engine::event::Event;
use tillside_engine::ids::Sequence;
use tillside_engine::reply::Reply;
use tillside_engine::units::Time;

use crate::batch::Batch;
use crate::error::{LogError, StoreError};
use crate::record;
use crate::table::{Cursor, Key, Table, Tables};

/// Where a log ends: what the next record follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Sequence of the last record; 0 for none.
    pub sequence: Sequence,
    /// Its checksum, which covers the checksum of the record before, and so on to the first.
    pub checksum: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sequence {} (checksum {:08x})",
            self.sequence.0, self.checksum
        )
    }
}

/// One command in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// Its place in the order of all changes.
    pub sequence: Sequence,
    /// Its time.
    pub now: Time,
    /// What happened, without personal records.
    pub events: Vec<Event>,
    /// What was answered, where a retry may ask for it.
    pub reply: Option<Reply>,
    /// Checksum of the record before it.
    pub previous_checksum: u32,
    /// Its own checksum.
    pub checksum: u32,
}

impl LogRecord {
    /// The position of a log that ends with it.
    pub fn position(&self) -> Position {
        Position {
            sequence: self.sequence,
            checksum: self.checksum,
        }
    }
}

/// A durable log of commands and the rows they changed. One writer; what `append` returned `Ok` for survives a crash.
pub trait Log: Send {
    /// Writes a batch, all or nothing, and returns when it is durable. An empty batch writes nothing.
    ///
    /// # Errors
    /// [`LogError::OutOfOrder`] writes nothing and may be followed by another append. After any other error the outcome
    /// is unknown, every later append is [`LogError::Stopped`], and the process has to end and recover.
    fn append(&mut self, batch: &Batch) -> Result<(), LogError>;

    /// The record of a sequence; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError`] where it is there and cannot be used.
    fn read(&self, sequence: Sequence) -> Result<Option<LogRecord>, StoreError>;

    /// Records from `from` on, in order, without a gap; each is checked to follow the one before it. Where `from` was folded
    /// away, it starts at the first record that is kept. Nothing comes after an error.
    fn iterate(&self, from: Sequence) -> Records<'_>;

    /// Where it begins: the last record that was folded away, which the first one kept follows; zero where all are kept.
    fn head(&self) -> Position;

    /// Where it ends.
    fn position(&self) -> Position;

    /// Sequence of the last record; 0 for none.
    fn last_sequence(&self) -> Sequence {
        self.position().sequence
    }

    /// Gives back what answered requests before `before` take, now or later: they are forgotten, and nothing reads their
    /// rows again. Only what a durable batch has forgotten may be given.
    ///
    /// # Errors
    /// As [`Log::append`].
    fn forget_requests(&mut self, before: Sequence) -> Result<(), LogError> {
        let _ = before;
        Ok(())
    }

    /// Small upkeep that need not wait for a batch; called about once a second, also when nothing is written.
    ///
    /// # Errors
    /// As [`Log::append`].
    fn upkeep(&mut self) -> Result<(), LogError> {
        Ok(())
    }
}

/// Records in order.
pub struct Records<'l> {
    cursor: Option<Result<Box<dyn Cursor + 'l>, StoreError>>,
    last: Option<Position>,
}

impl<'l> Records<'l> {
    /// Records of `tables` from `from` on; `head` is where the log begins. From there on none may be missing.
    pub fn of<T: Tables + ?Sized>(tables: &'l T, head: Position, from: Sequence) -> Self {
        let first = Sequence(head.sequence.0 + 1);
        let at_head = from <= first;
        Records {
            cursor: Some(tables.cursor(Table::Log, &from.max(first).to_bytes(), None)),
            last: at_head.then_some(head),
        }
    }

    fn step(&mut self) -> Result<Option<LogRecord>, StoreError> {
        let cursor = match &mut self.cursor {
            Some(Ok(cursor)) => cursor,
            Some(Err(error)) => return Err(error.clone()),
            None => return Ok(None),
        };
        let Some((key, value)) = cursor.next()? else {
            return Ok(None);
        };
        let record = record::log::read(key, value)?;
        if let Some(last) = self.last {
            follows(last, &record)?;
        }
        self.last = Some(record.position());
        Ok(Some(record))
    }
}

/// Checks that `record` is the one after `last`.
pub(crate) fn follows(last: Position, record: &LogRecord) -> Result<(), StoreError> {
    let (expected, found) = (last.sequence.0 + 1, record.sequence.0);
    if expected != found {
        return Err(StoreError::Gap { expected, found });
    }
    if record.previous_checksum != last.checksum {
        let (expected, found) = (record.previous_checksum, last.checksum);
        return Err(StoreError::BrokenChain {
            sequence: record.sequence.0,
            expected,
            found,
        });
    }
    Ok(())
}

impl Iterator for Records<'_> {
    type Item = Result<LogRecord, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().transpose();
        if !matches!(step, Some(Ok(_))) {
            self.cursor = None;
        }
        step
    }
}
