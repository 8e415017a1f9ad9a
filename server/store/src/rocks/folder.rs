//! Folding in RocksDB: openings in small unsynced writes, then the new head and the removal of what lies before it in one
//! synced write behind them in the same write-ahead log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rocksdb::{DB, WriteBatch, WriteOptions};
use tillside_engine::ids::Sequence;

use super::{RocksTables, family};
use crate::error::{LogError, StoreError};
use crate::log::Position;
use crate::retention::{Folder, OpeningRow, head_row};
use crate::table::{Cursor, Key, Table, Tables};

/// Folds the log of the same database.
pub(super) struct RocksFolder {
    tables: RocksTables,
    /// Shared with the log: after a failed write of either, neither writes.
    stopped: Arc<AtomicBool>,
    /// Where the log begins, as the log sees it.
    head: Arc<Mutex<Position>>,
}

impl RocksFolder {
    pub(super) fn new(
        tables: RocksTables,
        stopped: Arc<AtomicBool>,
        head: Arc<Mutex<Position>>,
    ) -> Self {
        RocksFolder {
            tables,
            stopped,
            head,
        }
    }

    fn db(&self) -> &DB {
        &self.tables.db
    }

    /// Runs a write; whatever fails ends writing for everybody.
    fn write(&self, write: impl FnOnce() -> Result<(), LogError>) -> Result<(), LogError> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(LogError::Stopped);
        }
        write().inspect_err(|_| {
            self.stopped.store(true, Ordering::Release);
            self.db().cancel_all_background_work(false);
        })
    }

    fn put_row(&self, write: &mut WriteBatch, row: &OpeningRow) -> Result<(), LogError> {
        let family = family(self.db(), row.table).map_err(|e| failed(&e))?;
        write.put_cf(family, &row.key, &row.value);
        Ok(())
    }
}

fn failed(error: &impl ToString) -> LogError {
    LogError::Write {
        message: error.to_string(),
    }
}

impl Folder for RocksFolder {
    fn head(&self) -> Position {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, rows: &[OpeningRow]) -> Result<(), LogError> {
        self.write(|| {
            let mut write = WriteBatch::default();
            for row in rows {
                self.put_row(&mut write, row)?;
            }
            let mut options = WriteOptions::default();
            // Compactions that are behind slow this down before they slow the one writer down.
            options.set_low_pri(true);
            self.db().write_opt(write, &options).map_err(|e| failed(&e))
        })
    }

    fn cut(&self, head: Position) -> Result<(), LogError> {
        self.write(|| {
            let log = family(self.db(), Table::Log).map_err(|e| failed(&e))?;
            let mut write = WriteBatch::default();
            self.put_row(&mut write, &head_row(head))?;
            let (from, to) = (Sequence(0).to_bytes(), head.sequence.to_bytes());
            let after = Sequence(head.sequence.0 + 1).to_bytes();
            write.delete_range_cf(log, &from, &after);
            let mut options = WriteOptions::default();
            options.set_sync(true);
            self.db()
                .write_opt(write, &options)
                .map_err(|e| failed(&e))?;
            // Not under the writer's eyes before it is durable.
            *self.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
            // Files that hold nothing else go at once, without being read; the rest goes as it is compacted.
            self.db()
                .delete_file_in_range_cf(log, from, to)
                .map_err(|e| failed(&e))
        })
    }
}

impl Tables for RocksFolder {
    fn cursor(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Box<dyn Cursor + '_>, StoreError> {
        self.tables.cursor(table, from, to)
    }

    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, StoreError> {
        self.tables.last_key(table)
    }

    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.tables.value(table, key)
    }
}
