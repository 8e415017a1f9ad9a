//! What the database takes on disk and how its background work stands, as RocksDB itself reports it. Reading it costs a
//! few hundred property look-ups and one listing of the folder; nothing here is on the way of a request.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rocksdb::{DB, properties};

use crate::error::StoreError;
use crate::log::Position;
use crate::retention::last_sequence;
use crate::table::Table;

use super::{RocksTables, family, read_failed};

/// One table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSpace {
    /// Which.
    pub table: Table,
    /// Bytes of the files that hold its rows now.
    pub live_bytes: u64,
    /// Bytes of all its files: also those that a reader or a running compaction still keeps.
    pub file_bytes: u64,
    /// Bytes in memory that are not in its files yet.
    pub memtable_bytes: u64,
    /// Bytes that compaction is behind with.
    pub pending_compaction_bytes: u64,
}

/// The database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpaceReport {
    /// Each table, in the order of the numbers.
    pub tables: Vec<TableSpace>,
    /// Bytes of the write-ahead logs, kept-for-reuse ones included.
    pub wal_bytes: u64,
    /// Bytes of every file of the database.
    pub total_bytes: u64,
    /// Sequence of the first record of the log that is kept; 1 where none was folded away.
    pub log_first: u64,
    /// Sequence of the last one; 0 for none.
    pub log_last: u64,
    /// Writes stand still until compaction or flushes have caught up.
    pub write_stopped: bool,
    /// Bytes a second that writes are slowed down to; 0: they are not.
    pub delayed_write_rate: u64,
    /// Flushes and compactions that failed since the start. Any ends writing.
    pub background_errors: u64,
    /// A write failed: nothing more is written.
    pub stopped: bool,
}

/// Reports on a database, on any thread, while it is written to.
#[derive(Clone)]
pub struct Space {
    db: Arc<DB>,
    folder: PathBuf,
    head: Arc<Mutex<Position>>,
    stopped: Arc<AtomicBool>,
}

impl Space {
    pub(super) fn new(
        db: Arc<DB>,
        folder: PathBuf,
        head: Arc<Mutex<Position>>,
        stopped: Arc<AtomicBool>,
    ) -> Self {
        Space {
            db,
            folder,
            head,
            stopped,
        }
    }

    /// How it stands now.
    ///
    /// # Errors
    /// [`StoreError`] where the database does not answer.
    pub fn report(&self) -> Result<SpaceReport, StoreError> {
        let head = *self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let tables = RocksTables {
            db: Arc::clone(&self.db),
        };
        let (wal_bytes, total_bytes) = self.files();
        Ok(SpaceReport {
            tables: Table::ALL
                .iter()
                .map(|table| self.table(*table))
                .collect::<Result<_, _>>()?,
            wal_bytes,
            total_bytes,
            log_first: head.sequence.0 + 1,
            log_last: last_sequence(&tables)?.0,
            write_stopped: self.whole(properties::IS_WRITE_STOPPED)? != 0,
            delayed_write_rate: self.whole(properties::ACTUAL_DELAYED_WRITE_RATE)?,
            background_errors: background_errors(&self.db)?,
            stopped: self.stopped.load(Ordering::Acquire),
        })
    }

    fn table(&self, table: Table) -> Result<TableSpace, StoreError> {
        let family = family(&self.db, table)?;
        let number = |name: &properties::PropName| {
            self.db
                .property_int_value_cf(family, name)
                .map(Option::unwrap_or_default)
                .map_err(|e| read_failed(table, e))
        };
        Ok(TableSpace {
            table,
            live_bytes: number(properties::LIVE_SST_FILES_SIZE)?,
            file_bytes: number(properties::TOTAL_SST_FILES_SIZE)?,
            memtable_bytes: number(properties::SIZE_ALL_MEM_TABLES)?,
            pending_compaction_bytes: number(properties::ESTIMATE_PENDING_COMPACTION_BYTES)?,
        })
    }

    fn whole(&self, name: &properties::PropName) -> Result<u64, StoreError> {
        whole(&self.db, name)
    }

    /// Bytes of write-ahead logs and of all files. What cannot be listed is not counted: files come and go meanwhile.
    fn files(&self) -> (u64, u64) {
        let mut bytes = (0, 0);
        for entry in std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
        {
            let Ok(length) = entry.metadata().map(|file| file.len()) else {
                continue;
            };
            bytes.1 += length;
            if entry.file_name().to_string_lossy().ends_with(".log") {
                bytes.0 += length;
            }
        }
        bytes
    }
}

/// Flushes and compactions that failed since the database was opened.
pub(super) fn background_errors(db: &DB) -> Result<u64, StoreError> {
    whole(db, properties::BACKGROUND_ERRORS)
}

fn whole(db: &DB, name: &properties::PropName) -> Result<u64, StoreError> {
    db.property_int_value(name)
        .map(Option::unwrap_or_default)
        .map_err(|e| read_failed(Table::Meta, e))
}
