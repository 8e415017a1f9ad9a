//! The log on a faulty disk: the checks of the real one over rows in memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tillside_engine::ids::Sequence;

use super::disk::{Changes, FaultyDisk};
use crate::batch::Batch;
use crate::error::{LogError, OpenError, StoreError};
use crate::load;
use crate::log::{Log, LogRecord, Position, Records};
use crate::mark::{self, Found};
use crate::record;
use crate::retention::{self, Foldable, Folder, OpeningRow};
use crate::table::{Cursor, Key, Table, Tables};

/// A log on a [`FaultyDisk`].
#[derive(Debug)]
pub struct FaultyLog {
    disk: FaultyDisk,
    position: Position,
    /// Shared with its folders; set when it is dropped, too, so that none writes for a log that is gone.
    stopped: Arc<AtomicBool>,
}

impl FaultyLog {
    /// Opens the log of a disk, with the same checks as the real one.
    ///
    /// # Errors
    /// [`OpenError`] as for the real one; the path in it is the name `memory`.
    pub fn open(disk: &FaultyDisk, accept_loss_after: Option<u64>) -> Result<FaultyLog, OpenError> {
        let path = Path::new("memory");
        if !disk.occupy() {
            let path = path.to_owned();
            return Err(OpenError::DataDirInUse { path });
        }
        // From here on dropping the log gives the disk free, also after an error.
        let mut log = FaultyLog {
            disk: disk.clone(),
            position: Position::default(),
            stopped: Arc::default(),
        };
        let head = retention::read_head(disk).map_err(OpenError::Store)?;
        log.position = head;
        for record in Records::of(disk, head, Sequence(0)) {
            log.position = record.map_err(OpenError::Store)?.position();
        }
        load::check_meta(disk, log.position).map_err(OpenError::Store)?;
        let found = disk.find_mark();
        mark::check(path, found, log.position, accept_loss_after, |sequence| {
            if sequence <= head.sequence
                && let Found::At(mark) = found
            {
                return Ok(Some(mark.checksum));
            }
            log.read(sequence)
                .map(|record| record.map(|r| r.checksum))
                .map_err(OpenError::Store)
        })?;
        disk.sync_mark(log.position);
        Ok(log)
    }
}

impl Drop for FaultyLog {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        self.disk.vacate();
    }
}

impl Log for FaultyLog {
    fn append(&mut self, batch: &Batch) -> Result<(), LogError> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(LogError::Stopped);
        }
        if batch.before() != self.position {
            return Err(LogError::OutOfOrder {
                log: self.position,
                batch: batch.before(),
            });
        }
        if batch.is_empty() {
            return Ok(());
        }
        let owned = |(table, key, value): (Table, &[u8], Option<&[u8]>)| {
            (table, key.to_vec(), value.map(<[u8]>::to_vec))
        };
        let changes: Changes = batch.records().chain(batch.rows()).map(owned).collect();
        if let Err(message) = self.disk.write(changes, batch.after()) {
            self.stopped.store(true, Ordering::Release);
            return Err(LogError::Write {
                message: message.to_owned(),
            });
        }
        self.position = batch.after();
        Ok(())
    }

    fn read(&self, sequence: Sequence) -> Result<Option<LogRecord>, StoreError> {
        let key = sequence.to_bytes();
        let value = self.disk.read_row(Table::Log, &key)?;
        Ok(value
            .map(|value| record::log::read(&key, &value))
            .transpose()?)
    }

    fn iterate(&self, from: Sequence) -> Records<'_> {
        Records::of(self, self.head(), from)
    }

    fn position(&self) -> Position {
        self.position
    }

    fn head(&self) -> Position {
        head_of(&self.disk)
    }
}

impl Foldable for FaultyLog {
    fn folder(&self) -> Box<dyn Folder> {
        Box::new(FaultyFolder {
            disk: self.disk.clone(),
            stopped: Arc::clone(&self.stopped),
        })
    }
}

/// The head; a damaged row is seen by whoever opens the log again, and moves nothing meanwhile.
fn head_of(disk: &FaultyDisk) -> Position {
    retention::read_head(disk).unwrap_or_default()
}

/// Folds the log of the same disk.
struct FaultyFolder {
    disk: FaultyDisk,
    stopped: Arc<AtomicBool>,
}

impl FaultyFolder {
    fn write(&self, changes: Changes, sync: bool) -> Result<(), LogError> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(LogError::Stopped);
        }
        self.disk.write_rows(changes, sync);
        Ok(())
    }
}

impl Folder for FaultyFolder {
    fn head(&self) -> Position {
        head_of(&self.disk)
    }

    fn put(&self, rows: &[OpeningRow]) -> Result<(), LogError> {
        let put = |row: &OpeningRow| (row.table, row.key.clone(), Some(row.value.clone()));
        self.write(rows.iter().map(put).collect(), false)
    }

    fn cut(&self, head: Position) -> Result<(), LogError> {
        let row = retention::head_row(head);
        let mut changes: Changes = vec![(row.table, row.key, Some(row.value))];
        let end = Sequence(head.sequence.0 + 1).to_bytes();
        let folded = self.disk.keys(Table::Log).into_iter();
        changes.extend(
            folded
                .take_while(|key| *key < end)
                .map(|key| (Table::Log, key, None)),
        );
        self.write(changes, true)
    }
}

impl Tables for FaultyFolder {
    fn cursor(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Box<dyn Cursor + '_>, StoreError> {
        self.disk.cursor(table, from, to)
    }

    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, StoreError> {
        self.disk.last_key(table)
    }

    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.disk.value(table, key)
    }
}

impl Tables for FaultyLog {
    fn cursor(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Box<dyn Cursor + '_>, StoreError> {
        self.disk.cursor(table, from, to)
    }

    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, StoreError> {
        self.disk.last_key(table)
    }
}
