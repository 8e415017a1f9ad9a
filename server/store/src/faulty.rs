//! A log in memory on a disk that can be told to fail: for tests and simulation. It keeps the promises of the real one
//! where it is not told otherwise; the same conformance suite runs against both.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tillside_engine::ids::{CustomerId, Sequence};

use crate::batch::Batch;
use crate::error::{LogError, OpenError, StoreError};
use crate::load;
use crate::log::{Log, LogRecord, Position, Records};
use crate::mark::{self, Found};
use crate::profiles::{self, ProfileRead, Profiles};
use crate::record;
use crate::retention::{self, Foldable, Folder, OpeningRow};
use crate::table::{Cursor, Key, StoredRow, Table, Tables};

/// What the next append meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The write fails; nothing of it is on the disk.
    FailAppend,
    /// The sync fails. Nobody can know whether the batch is on the disk; here `kept` says it.
    FailSync {
        /// The batch survives all the same.
        kept: bool,
    },
}

type RowMap = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug, Default)]
struct Rows(BTreeMap<Table, RowMap>);

impl Rows {
    fn apply(&mut self, changes: &Changes) {
        for (table, key, value) in changes {
            let rows = self.0.entry(*table).or_default();
            match value {
                Some(value) => drop(rows.insert(key.clone(), value.clone())),
                None => drop(rows.remove(key)),
            }
        }
    }
}

/// A batch that outlives its builder.
type Changes = Vec<(Table, Vec<u8>, Option<Vec<u8>>)>;

#[derive(Debug, Default)]
struct Disk {
    /// What survives a crash.
    durable: Rows,
    /// What the running process reads.
    visible: Rows,
    /// Batches that are visible and not durable, oldest first.
    unsynced: VecDeque<Changes>,
    mark: Option<Position>,
    /// The mark file as it was last synced: with an honest disk the same, else older.
    mark_synced: Option<Position>,
    faults: VecDeque<Option<Fault>>,
    /// Syncs return without syncing.
    lies: bool,
    in_use: bool,
}

impl Disk {
    fn take(&mut self, changes: Changes) {
        self.visible.apply(&changes);
        self.unsynced.push_back(changes);
    }

    fn sync(&mut self) {
        while let Some(changes) = self.unsynced.pop_front() {
            self.durable.apply(&changes);
        }
    }
}

/// The disk below a [`FaultyLog`]: it outlives the log, as a real one outlives a process.
#[derive(Clone, Debug, Default)]
pub struct FaultyDisk(Arc<Mutex<Disk>>);

impl FaultyDisk {
    /// Makes the append after the next `appends` ones meet `fault`.
    pub fn inject_after(&self, appends: usize, fault: Fault) {
        let mut disk = self.lock();
        if disk.faults.len() <= appends {
            disk.faults.resize(appends + 1, None);
        }
        disk.faults[appends] = Some(fault);
    }

    /// From now on syncs do nothing (`true`) or sync everything (`false`, from the next append on).
    pub fn lie_about_syncs(&self, lies: bool) {
        self.lock().lies = lies;
    }

    /// The machine loses power: of the batches that were never synced the first `kept` survive, the rest is lost. The
    /// mark is on another part of the disk: with `mark_kept` it survives as last written, else as last synced.
    pub fn crash(&self, kept: usize, mark_kept: bool) {
        let mut disk = self.lock();
        let kept = kept.min(disk.unsynced.len());
        let survivors: Vec<_> = disk.unsynced.drain(..kept).collect();
        survivors
            .iter()
            .for_each(|changes| disk.durable.apply(changes));
        disk.unsynced.clear();
        disk.visible = disk.durable.clone();
        disk.mark = if mark_kept {
            disk.mark
        } else {
            disk.mark_synced
        };
        disk.in_use = false;
    }

    /// Reads the tables, and single customers, as the running process sees them.
    pub fn tables(&self) -> DiskTables {
        DiskTables(self.clone())
    }

    /// Batches that a crash may lose.
    pub fn unsynced(&self) -> usize {
        self.lock().unsynced.len()
    }

    /// Cuts the last record of the log after `bytes` bytes: a write torn inside.
    pub fn tear_last_record(&self, bytes: usize) {
        self.damage(Table::Log, None, |value| value.truncate(bytes));
    }

    /// Removes a record of the log: a hole.
    pub fn drop_record(&self, sequence: Sequence) {
        let mut disk = self.lock();
        let Disk {
            durable, visible, ..
        } = &mut *disk;
        for rows in [durable, visible] {
            rows.0
                .entry(Table::Log)
                .or_default()
                .remove(&sequence.to_bytes());
        }
    }

    /// Flips one bit of a row's value; `None` is the last row of the table.
    pub fn flip_bit(&self, table: Table, key: Option<&[u8]>, bit: usize) {
        self.damage(table, key, |value| {
            let at = bit / 8 % value.len().max(1);
            if let Some(byte) = value.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        });
    }

    fn damage(&self, table: Table, key: Option<&[u8]>, damage: impl Fn(&mut Vec<u8>)) {
        let mut disk = self.lock();
        let Disk {
            durable, visible, ..
        } = &mut *disk;
        for rows in [durable, visible] {
            let rows = rows.0.entry(table).or_default();
            let value = match key {
                Some(key) => rows.get_mut(key),
                None => rows.last_entry().map(|entry| entry.into_mut()),
            };
            value.into_iter().for_each(&damage);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
        let reader = DiskTables(disk.clone());
        {
            let mut locked = disk.lock();
            if locked.in_use {
                return Err(OpenError::DataDirInUse {
                    path: path.to_owned(),
                });
            }
            locked.in_use = true;
        }
        // From here on dropping the log gives the disk free, also after an error.
        let mut log = FaultyLog {
            disk: disk.clone(),
            position: Position::default(),
            stopped: Arc::default(),
        };
        let head = retention::read_head(&reader).map_err(OpenError::Store)?;
        log.position = head;
        for record in Records::of(&reader, head, Sequence(0)) {
            log.position = record.map_err(OpenError::Store)?.position();
        }
        load::check_meta(&reader, log.position).map_err(OpenError::Store)?;
        let found = disk.lock().mark.map_or(Found::Missing, Found::At);
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
        let mut locked = disk.lock();
        (locked.mark, locked.mark_synced) = (Some(log.position), Some(log.position));
        drop(locked);
        Ok(log)
    }
}

impl Drop for FaultyLog {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        self.disk.lock().in_use = false;
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
        let mut disk = self.disk.lock();
        let fault = disk.faults.pop_front().flatten();
        if let Some(fault) = fault {
            self.stopped.store(true, Ordering::Release);
            let message = match fault {
                Fault::FailAppend => "injected: no space left",
                Fault::FailSync { kept } => {
                    if kept {
                        disk.take(changes);
                        disk.sync();
                    }
                    "injected: sync failed"
                }
            };
            return Err(LogError::Write {
                message: message.to_owned(),
            });
        }
        disk.take(changes);
        if !disk.lies {
            disk.sync();
        }
        disk.mark = Some(batch.after());
        if !disk.lies {
            disk.mark_synced = disk.mark;
        }
        self.position = batch.after();
        Ok(())
    }

    fn read(&self, sequence: Sequence) -> Result<Option<LogRecord>, StoreError> {
        let key = sequence.to_bytes();
        let value = self
            .disk
            .lock()
            .visible
            .0
            .get(&Table::Log)
            .and_then(|rows| rows.get(&key).cloned());
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
        head_of(&DiskTables(self.disk.clone()))
    }
}

impl Foldable for FaultyLog {
    fn folder(&self) -> Box<dyn Folder> {
        Box::new(FaultyFolder {
            tables: DiskTables(self.disk.clone()),
            stopped: Arc::clone(&self.stopped),
        })
    }
}

/// The head; a damaged row is seen by whoever opens the log again, and moves nothing meanwhile.
fn head_of(tables: &DiskTables) -> Position {
    retention::read_head(tables).unwrap_or_default()
}

/// Folds the log of the same disk. Its writes meet no injected faults; a crash loses them like any unsynced ones.
struct FaultyFolder {
    tables: DiskTables,
    stopped: Arc<AtomicBool>,
}

impl FaultyFolder {
    fn write(&self, changes: Changes, sync: bool) -> Result<(), LogError> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(LogError::Stopped);
        }
        let mut disk = self.tables.0.lock();
        disk.take(changes);
        if sync && !disk.lies {
            disk.sync();
        }
        Ok(())
    }
}

impl Folder for FaultyFolder {
    fn head(&self) -> Position {
        head_of(&self.tables)
    }

    fn put(&self, rows: &[OpeningRow]) -> Result<(), LogError> {
        let put = |row: &OpeningRow| (row.table, row.key.clone(), Some(row.value.clone()));
        self.write(rows.iter().map(put).collect(), false)
    }

    fn cut(&self, head: Position) -> Result<(), LogError> {
        let row = retention::head_row(head);
        let mut changes: Changes = vec![(row.table, row.key, Some(row.value))];
        let end = Sequence(head.sequence.0 + 1).to_bytes();
        {
            let disk = self.tables.0.lock();
            let log = disk.visible.0.get(&Table::Log);
            let folded = log.into_iter().flatten().map(|(key, _)| key);
            changes.extend(
                folded
                    .take_while(|key| **key < end)
                    .map(|key| (Table::Log, key.clone(), None)),
            );
        }
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
        self.tables.cursor(table, from, to)
    }

    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, StoreError> {
        self.tables.last_key(table)
    }

    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.tables.value(table, key)
    }
}

impl Tables for FaultyLog {
    fn cursor(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Box<dyn Cursor + '_>, StoreError> {
        Ok(Box::new(cursor(&self.disk, table, from, to)))
    }

    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(last_key(&self.disk, table))
    }
}

/// Reads a [`FaultyDisk`] while its log is written to.
#[derive(Debug)]
pub struct DiskTables(FaultyDisk);

impl Profiles for DiskTables {
    fn read(&self, id: CustomerId) -> Result<ProfileRead, StoreError> {
        // One guard for all rows: one moment.
        let disk = self.0.lock();
        profiles::assemble(id, |table, key| {
            Ok(disk.visible.0.get(&table).and_then(|rows| rows.get(key)))
        })
    }
}

impl Tables for DiskTables {
    fn cursor(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Box<dyn Cursor + '_>, StoreError> {
        Ok(Box::new(cursor(&self.0, table, from, to)))
    }

    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(last_key(&self.0, table))
    }

    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let disk = self.0.lock();
        let rows = disk.visible.0.get(&table);
        Ok(rows.and_then(|rows| rows.get(key).cloned()))
    }
}

/// Rows copied when the scan began, as a snapshot.
struct MemoryCursor {
    rows: std::vec::IntoIter<(Vec<u8>, Vec<u8>)>,
    current: (Vec<u8>, Vec<u8>),
}

impl Cursor for MemoryCursor {
    fn next(&mut self) -> Result<Option<StoredRow<'_>>, StoreError> {
        let Some(row) = self.rows.next() else {
            return Ok(None);
        };
        self.current = row;
        Ok(Some((&self.current.0, &self.current.1)))
    }
}

fn cursor(disk: &FaultyDisk, table: Table, from: &[u8], to: Option<&[u8]>) -> MemoryCursor {
    let disk = disk.lock();
    let rows = disk.visible.0.get(&table).into_iter().flatten();
    let rows =
        rows.filter(|(key, _)| key.as_slice() >= from && to.is_none_or(|to| key.as_slice() < to));
    let rows: Vec<_> = rows
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    MemoryCursor {
        rows: rows.into_iter(),
        current: Default::default(),
    }
}

fn last_key(disk: &FaultyDisk, table: Table) -> Option<Vec<u8>> {
    disk.lock()
        .visible
        .0
        .get(&table)
        .and_then(|rows| rows.last_key_value())
        .map(|(key, _)| key.clone())
}
