//! Folding: the oldest records of the log become opening balances, so that the log does not grow for ever and the ledgers
//! of stock and points still add up. What remains is whole from its first record on, and a missing beginning can never be
//! taken for a loss: the row of the log's head says where it begins and which record came before.
//!
//! It runs beside the one writer and is independent of it: the writer puts records behind the log's end and rows of the
//! state; the fold puts openings and the head, which nobody else writes, and removes records before the head. It can be
//! killed at any point. Each opening says through which sequence it holds, so a record that is already in it is never
//! entered twice; the new head and the removal of what lies before it are one atomic, synced write, after the openings in
//! the same write-ahead log. It refuses to judge how long a record is needed: that is `log_retention`, the caller's.

use std::collections::BTreeMap;

use tillside_engine::ids::{CellKey, CustomerId, Sequence};
use tillside_engine::ledger::{Movement, movements};
use tillside_engine::limits::REQUEST_WINDOW_MS;
use tillside_engine::units::Time;

use crate::batch::Encoder;
use crate::error::{LogError, StoreError};
use crate::frame;
use crate::log::{Log, LogRecord, Position, Records};
use crate::record::openings::LogHead;
pub use crate::record::openings::{PointsOpening, StockOpening};
use crate::record::{self, Row};
use crate::table::{Key, LogHeadKey, Table, Tables};

/// Records folded with one cut: what a kill repeats, and what one range deletion covers.
const RECORDS_PER_CUT: u64 = 1 << 16;
/// Openings gathered for one cut, a few megabytes.
const OPENINGS_PER_CUT: usize = 1 << 17;
/// Openings of one write: the one writer waits behind it for less than a millisecond.
const OPENINGS_PER_WRITE: usize = 256;
/// Records read between two looks at whether to go on.
const RECORDS_PER_PAUSE: u64 = 512;
/// Records at the log's end that are never folded by age: what an opening checks and the mark may point to.
const RECORDS_KEPT_MIN: u64 = 4096;

/// One row of openings, as it is stored.
#[derive(Clone, Debug)]
pub struct OpeningRow {
    pub(crate) table: Table,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// The part of a log that folding needs, usable on another thread than the log's.
pub trait Folder: Tables + Send {
    /// As [`crate::Log::head`].
    fn head(&self) -> Position;

    /// Writes openings. They are durable no later than the next cut.
    ///
    /// # Errors
    /// After any error the log takes no more writes either.
    fn put(&self, rows: &[OpeningRow]) -> Result<(), LogError>;

    /// Makes the log begin after `head`, durably, and removes everything up to it; all or nothing.
    ///
    /// # Errors
    /// As [`Self::put`].
    fn cut(&self, head: Position) -> Result<(), LogError>;
}

/// A log whose oldest records can be folded away.
pub trait Foldable: Log {
    /// What folds them, on any thread, while the log is written to.
    fn folder(&self) -> Box<dyn Folder>;
}

/// Why folding ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// A record or an opening cannot be read; nothing was removed that is not in the openings.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// Writing failed: nothing more is written, by anybody.
    #[error(transparent)]
    Write(#[from] LogError),
}

/// What a fold did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Records folded away.
    pub records: u64,
    /// Openings written.
    pub openings: u64,
    /// Whether everything asked for is folded; false where `go_on` said no.
    pub complete: bool,
}

/// Folds every record before `before`, but never the last one. `go_on` is asked between small steps: it may take its time,
/// and where it says no the fold ends there, to be taken up again by the next one.
///
/// # Errors
/// [`FoldError`]; what was folded before it stays folded.
pub fn fold_before(
    folder: &dyn Folder,
    before: Sequence,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Folded, FoldError> {
    let mut folded = Folded::default();
    let last = last_sequence(folder)?;
    let before = before.min(last);
    loop {
        let head = folder.head();
        if head.sequence.0 + 1 >= before.0 {
            folded.complete = true;
            return Ok(folded);
        }
        let mut chunk = Chunk::default();
        if !chunk.gather(folder, head, before, go_on)? || !chunk.write(folder, go_on)? {
            return Ok(folded);
        }
        folder.cut(chunk.end)?;
        folded.records += chunk.end.sequence.0 - head.sequence.0;
        folded.openings += (chunk.stock.len() + chunk.points.len()) as u64;
    }
}

/// The first record that is to be kept where records are kept for `keep_ms` milliseconds of the log's own time, and at least as long as
/// a retry may ask for its first answer. `None` where nothing is older.
///
/// # Errors
/// [`StoreError`] where a record cannot be read.
pub fn first_kept(
    folder: &dyn Folder,
    now: Time,
    keep_ms: i64,
) -> Result<Option<Sequence>, StoreError> {
    let cutoff = now.plus_ms(-keep_ms.max(REQUEST_WINDOW_MS));
    let first = folder.head().sequence.0 + 1;
    let end = last_sequence(folder)?.0.saturating_sub(RECORDS_KEPT_MIN);
    // Times never go backwards along the log, so the first young enough is found by halving.
    let (mut low, mut high) = (first, end.max(first));
    while low < high {
        let middle = low + (high - low) / 2;
        let key = Sequence(middle).to_bytes();
        let Some(value) = folder.value(Table::Log, &key)? else {
            return Err(StoreError::Gap {
                expected: middle,
                found: high,
            });
        };
        if record::log::read(&key, &value)?.now < cutoff {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok((low > first).then_some(Sequence(low)))
}

/// Where the log of `tables` begins, as its row says; zero where there is none.
pub(crate) fn read_head(tables: &(impl Tables + ?Sized)) -> Result<Position, StoreError> {
    let key = LogHeadKey.to_bytes();
    Ok(match tables.value(Table::Meta, &key)? {
        Some(value) => record::read_value::<LogHead>(&key, &value)?.0,
        None => Position::default(),
    })
}

/// The row that says where the log begins.
pub(crate) fn head_row(head: Position) -> OpeningRow {
    row(&mut Encoder::default(), &LogHeadKey, &LogHead(head))
}

fn row<T: Row>(encoder: &mut Encoder, key: &T::Key, entity: &T) -> OpeningRow {
    let (key, value) = encoder.row(key, entity);
    OpeningRow {
        table: T::TABLE,
        key: key.to_vec(),
        value: value.to_vec(),
    }
}

/// Sequence of the log's last record; 0 for none.
pub(crate) fn last_sequence(tables: &(impl Tables + ?Sized)) -> Result<Sequence, StoreError> {
    match tables.last_key(Table::Log)? {
        Some(key) => Ok(Sequence::read(&key).map_err(|problem| problem.at(Table::Log, &key))?),
        None => Ok(Sequence(0)),
    }
}

/// The openings after some records, gathered before any is written.
#[derive(Default)]
struct Chunk {
    stock: BTreeMap<CellKey, StockOpening>,
    points: BTreeMap<CustomerId, PointsOpening>,
    end: Position,
}

impl Chunk {
    /// Enters the records after `head`, up to a bound; false where it was told to stop.
    fn gather(
        &mut self,
        folder: &dyn Folder,
        head: Position,
        before: Sequence,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool, StoreError> {
        for (count, record) in (0u64..).zip(Records::of(folder, head, Sequence(0))) {
            let record = record?;
            let full = count >= RECORDS_PER_CUT
                || self.stock.len() + self.points.len() >= OPENINGS_PER_CUT;
            if record.sequence >= before || full {
                break;
            }
            if count % RECORDS_PER_PAUSE == 0 && !go_on() {
                return Ok(false);
            }
            self.enter(folder, &record)?;
            self.end = record.position();
        }
        Ok(true)
    }

    fn enter(&mut self, folder: &dyn Folder, record: &LogRecord) -> Result<(), StoreError> {
        let mut failed = Ok(());
        for event in &record.events {
            movements(event, &mut |movement| {
                if failed.is_ok() {
                    failed = self.book(folder, record.sequence, movement);
                }
            });
        }
        failed
    }

    fn book(
        &mut self,
        folder: &dyn Folder,
        sequence: Sequence,
        movement: Movement,
    ) -> Result<(), StoreError> {
        match movement {
            Movement::Moved { cell, .. } | Movement::Counted { cell, .. } => {
                let opening = match self.stock.entry(cell) {
                    std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        entry.insert(opening::<StockOpening>(folder, &cell)?)
                    }
                };
                opening.enter(sequence, movement);
            }
            Movement::Points { customer, points } => {
                let opening = match self.points.entry(customer) {
                    std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        entry.insert(opening::<PointsOpening>(folder, &customer)?)
                    }
                };
                opening.enter(sequence, points);
            }
        }
        Ok(())
    }

    /// Writes the openings in small steps; false where it was told to stop between them.
    fn write(
        &self,
        folder: &dyn Folder,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool, LogError> {
        let mut encoder = Encoder::default();
        let mut rows = Vec::with_capacity(OPENINGS_PER_WRITE);
        // An opening from a fold that was cut short may hold further than this one's end.
        let end = self.end.sequence;
        for (cell, opening) in &self.stock {
            let through = opening.through.max(end);
            let opening = StockOpening {
                through,
                ..*opening
            };
            rows.push(row(&mut encoder, cell, &opening));
            if rows.len() == OPENINGS_PER_WRITE {
                folder.put(&rows)?;
                rows.clear();
                if !go_on() {
                    return Ok(false);
                }
            }
        }
        for (customer, opening) in &self.points {
            let through = opening.through.max(end);
            let opening = PointsOpening {
                through,
                ..*opening
            };
            rows.push(row(&mut encoder, customer, &opening));
            if rows.len() == OPENINGS_PER_WRITE {
                folder.put(&rows)?;
                rows.clear();
                if !go_on() {
                    return Ok(false);
                }
            }
        }
        if !rows.is_empty() {
            folder.put(&rows)?;
        }
        Ok(true)
    }
}

fn opening<T: Row + Default>(folder: &dyn Folder, key: &T::Key) -> Result<T, StoreError> {
    let key = key.to_bytes();
    Ok(match folder.value(T::TABLE, &key)? {
        Some(value) => record::read_payload(frame::payload(T::TABLE, &key, &value)?)
            .map_err(|problem| problem.at(T::TABLE, &key))?,
        None => T::default(),
    })
}

impl StockOpening {
    /// Enters a movement of the record `sequence`, unless it is in already. `through` stays: it moves when all records up to
    /// it are entered.
    pub(crate) fn enter(&mut self, sequence: Sequence, movement: Movement) {
        if sequence <= self.through {
            return;
        }
        match movement {
            Movement::Moved {
                on_hand, damaged, ..
            } => {
                self.on_hand = self.on_hand.saturating_add(on_hand);
                self.damaged = self.damaged.saturating_add(damaged);
            }
            Movement::Counted { on_hand, .. } => self.on_hand = on_hand,
            Movement::Points { .. } => {}
        }
    }
}

impl PointsOpening {
    /// As [`StockOpening::enter`].
    pub(crate) fn enter(&mut self, sequence: Sequence, points: i64) {
        if sequence > self.through {
            self.points = self.points.saturating_add(points);
        }
    }
}
