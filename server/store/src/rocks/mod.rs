//! The log and the tables in RocksDB: one write and one sync a batch. Nothing is repaired here: a directory that does
//! not add up is refused with the reason.

pub mod backup;
mod folder;
mod format_file;
mod migrate;
mod options;
mod pressure;
pub(crate) mod read_only;
mod reader;
mod space;
mod whole;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rocksdb::{
    Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBRawIterator, ReadOptions,
    SnapshotWithThreadMode, WriteBatch, WriteOptions,
};
use tillside_engine::ids::Sequence;

use self::backup::BackupHandle;
use self::format_file::Format;
use crate::batch::Batch;
use crate::digest::SnapshotDigest;
use crate::error::{LogError, OpenError, StoreError};
use crate::load;
use crate::log::{Log, LogRecord, Position, Records};
use crate::mark::{self, Mark, Opening};
use crate::profiles::RocksProfiles;
use crate::record;
use crate::retention::{self, Foldable, Folder};
use crate::table::{Cursor, Key, StoredRow, TABLE_SLOTS, Table, Tables};

pub use self::pressure::{Pressure, WritePressure};

/// Folder of the database inside the data directory.
pub(crate) const DATABASE: &str = "rocksdb";
/// What a write adds to keys and values: reserved at once, so that the batch is not copied while it grows.
const BYTES_PER_ROW: usize = 16;
/// Scans read this much ahead: whole files are read in order.
const READ_AHEAD_BYTES: usize = 2 << 20;
/// Records at the log's end that are read and checked at every opening: far more than a batch holds.
const TAIL_RECORDS: u64 = 1024;
/// How often the database is asked whether its background work has failed.
const BACKGROUND_CHECK_EVERY: Duration = Duration::from_secs(1);

pub use reader::{LogReader, ReadOn};
pub use space::{Space, SpaceReport, TableSpace};

/// How to open a data directory.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Open even if what was acknowledged after this sequence is lost, if the log ends exactly there.
    pub accept_loss_after: Option<u64>,
    /// Bytes of decompressed blocks kept for reads, bounding what a start or a retry leaves in memory.
    pub block_cache_bytes: usize,
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions {
            accept_loss_after: None,
            block_cache_bytes: 32 << 20,
        }
    }
}

/// The log in RocksDB.
pub struct RocksLog {
    db: Arc<DB>,
    mark: Mark,
    position: Position,
    opening: Opening,
    /// A write is under way, or never came back.
    writing: bool,
    /// A write failed: nothing more is written, nor folded.
    stopped: Arc<AtomicBool>,
    /// Where the log begins; moved by a fold.
    head: Arc<Mutex<Position>>,
    path: PathBuf,
    /// When the database was last asked about its background work.
    asked: Instant,
    migrated: bool,
}

impl RocksLog {
    /// Opens a data directory, or makes a new one, and checks that log, tables and mark belong together.
    ///
    /// # Errors
    /// [`OpenError`], each with what to do.
    pub fn open(directory: impl AsRef<Path>, options: OpenOptions) -> Result<RocksLog, OpenError> {
        let directory = directory.as_ref();
        let format = format_file::ensure(directory)?;
        Self::open_formatted(directory, format, options)
    }

    /// Opens a data directory that is there already; makes none.
    ///
    /// # Errors
    /// [`OpenError`], each with what to do.
    pub fn open_existing(
        directory: impl AsRef<Path>,
        options: OpenOptions,
    ) -> Result<RocksLog, OpenError> {
        let directory = directory.as_ref();
        let format = format_file::check(directory)?;
        Self::open_formatted(directory, format, options)
    }

    /// Opens what says by its `FORMAT` that it is a data directory, or is about to.
    fn open_formatted(
        directory: &Path,
        format: Format,
        options: OpenOptions,
    ) -> Result<RocksLog, OpenError> {
        let mut db = Arc::new(open_database(directory, &options)?);
        let tables = RocksTables {
            db: Arc::clone(&db),
        };
        let head = retention::read_head(&tables)?;
        whole::log_has_no_hole(&db, Sequence(head.sequence.0 + 1))?;
        let position = end_of(&tables, head)?;
        let found = mark::find(directory)
            .map_err(|e| format_file::failed(&directory.join(mark::FILE), &e))?;
        let opening = mark::check(
            directory,
            found,
            position,
            options.accept_loss_after,
            |sequence| {
                // Only what is durable is ever folded: a mark before the head is of a record that the log had.
                if sequence <= head.sequence
                    && let mark::Found::At(mark) = found
                {
                    return Ok(Some(mark.checksum));
                }
                read_record(&tables, sequence)
                    .map(|record| record.map(|r| r.checksum))
                    .map_err(OpenError::Store)
            },
        )?;
        drop(tables);
        // Only what adds up is brought to another format.
        let exclusive = Arc::get_mut(&mut db).expect("nobody else has it yet");
        migrate::migrate(directory, exclusive, format, |_| Ok(()))?;
        // From here on this end is what counts, durably: also where a loss was accepted.
        let mark = Mark::open(directory, position).map_err(OpenError::Mark)?;
        Ok(RocksLog {
            db,
            mark,
            position,
            opening,
            writing: false,
            stopped: Arc::default(),
            head: Arc::new(Mutex::new(head)),
            path: directory.join(DATABASE),
            asked: Instant::now(),
            migrated: format != Format::Present,
        })
    }

    /// Whether opening brought the directory from an earlier format to the present one.
    pub fn was_migrated(&self) -> bool {
        self.migrated
    }

    /// How it was found: whole, or shorter than what was acknowledged and accepted as that.
    pub fn opening(&self) -> Opening {
        self.opening
    }

    /// Something any thread can ask what the database takes on disk. It keeps the directory in use.
    pub fn space_handle(&self) -> Space {
        Space::new(
            Arc::clone(&self.db),
            self.path.clone(),
            Arc::clone(&self.head),
            Arc::clone(&self.stopped),
        )
    }

    /// Something any thread can compute digests with while this log is written to. It keeps the directory in use.
    pub fn snapshot_digest_handle(&self) -> SnapshotDigest {
        SnapshotDigest::new(Arc::clone(&self.db))
    }

    /// Something any thread can read the log with while it is written to. It keeps the directory in use.
    pub fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.db))
    }

    /// Something any thread can make backups with while this log is written to. It keeps the directory in use.
    pub fn backup_handle(&self) -> BackupHandle {
        BackupHandle::new(Arc::clone(&self.db))
    }

    /// Something any thread can read single customers with while this log is written to. It keeps the directory in use.
    pub fn profiles(&self) -> RocksProfiles {
        RocksProfiles::new(Arc::clone(&self.db))
    }

    /// Writes what tables have in memory to files of rows and returns when that is done. A write-ahead log whose batches
    /// are all in files is used again.
    ///
    /// # Errors
    /// [`LogError::Write`]; what was appended before is not in question.
    pub fn flush(&self, tables: &[Table]) -> Result<(), LogError> {
        for table in tables {
            let failed = |message| LogError::Write { message };
            let family = family(&self.db, *table).map_err(|e| failed(e.to_string()))?;
            let flushed = self.db.flush_cf(family);
            flushed.map_err(|e| failed(e.into_string()))?;
        }
        Ok(())
    }

    /// Something any thread can ask whether compactions keep up. It keeps the directory in use.
    pub fn write_pressure(&self) -> WritePressure {
        WritePressure::new(Arc::clone(&self.db))
    }

    fn write(&mut self, batch: &Batch) -> Result<(), LogError> {
        let failed = |e: rocksdb::Error| LogError::Write {
            message: e.into_string(),
        };
        let mut families: [Option<&ColumnFamily>; TABLE_SLOTS] = [None; TABLE_SLOTS];
        for table in Table::ALL {
            families[usize::from(table.number())] = self.db.cf_handle(table.name());
        }
        let rows = batch.records().len() + batch.rows().len();
        let mut write = WriteBatch::with_capacity_bytes(batch.bytes() + rows * BYTES_PER_ROW);
        for (table, key, value) in batch.records().chain(batch.rows()) {
            let Some(family) = families[usize::from(table.number())] else {
                return Err(LogError::Write {
                    message: format!("the database has no table {}", table.name()),
                });
            };
            match value {
                Some(value) => write.put_cf(family, key, value),
                None => write.delete_cf(family, key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(write, &options).map_err(failed)?;
        self.position = batch.after();
        self.mark.write(self.position)
    }
}

impl Log for RocksLog {
    fn append(&mut self, batch: &Batch) -> Result<(), LogError> {
        if self.writing || self.stopped.load(Ordering::Acquire) {
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
        // Stopped while the outcome is open, so that not even a panic in between lets another write follow.
        self.writing = true;
        let written = self.write(batch);
        if written.is_err() {
            self.stop();
        }
        self.writing = false;
        written
    }

    fn read(&self, sequence: Sequence) -> Result<Option<LogRecord>, StoreError> {
        read_record(&self.tables(), sequence)
    }

    fn iterate(&self, from: Sequence) -> Records<'_> {
        Records::of(self, self.head(), from)
    }

    fn position(&self) -> Position {
        self.position
    }

    fn forget_requests(&mut self, before: Sequence) -> Result<(), LogError> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(LogError::Stopped);
        }
        let table = Table::AnsweredRequests;
        let failed = |message: String| LogError::Write { message };
        let family = family(&self.db, table).map_err(|e| failed(e.to_string()))?;
        // Only files that lie before it whole, which costs no write a row; the rest is never read again either.
        let from = Sequence(0).to_bytes();
        let deleted = self
            .db
            .delete_file_in_range_cf(family, &from, &before.to_bytes());
        deleted
            .inspect_err(|_| self.stop())
            .map_err(|e| failed(e.into_string()))
    }

    fn upkeep(&mut self) -> Result<(), LogError> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(LogError::Stopped);
        }
        self.mark
            .sync_when_due()
            .and_then(|()| self.check_background())
            .inspect_err(|_| self.stop())
    }

    fn head(&self) -> Position {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Foldable for RocksLog {
    fn folder(&self) -> Box<dyn Folder> {
        Box::new(folder::RocksFolder::new(
            self.tables(),
            Arc::clone(&self.stopped),
            Arc::clone(&self.head),
        ))
    }
}

impl Drop for RocksLog {
    fn drop(&mut self) {
        if self.stopped.load(Ordering::Acquire) {
            self.mark.abandon();
            // Closing would write: it cuts files to the length it believes in. The process ends; the next start looks at
            // the files as the failure left them.
            std::mem::forget(Arc::clone(&self.db));
        }
    }
}

impl RocksLog {
    /// Ends writing for good, also that of the database's own threads, which might begin again by themselves.
    fn stop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        self.db.cancel_all_background_work(false);
    }

    /// A flush or a compaction that failed means a disk that cannot be written: the log would go on for a while and then
    /// fail at a worse moment. That RocksDB tries again by itself is no proof that nothing was lost.
    fn check_background(&mut self) -> Result<(), LogError> {
        if self.asked.elapsed() < BACKGROUND_CHECK_EVERY {
            return Ok(());
        }
        self.asked = Instant::now();
        let failed = |message: String| LogError::Write { message };
        match space::background_errors(&self.db).map_err(|e| failed(e.to_string()))? {
            0 => Ok(()),
            count => Err(failed(format!(
                "{count} flushes or compactions of the database failed; its file LOG says why"
            ))),
        }
    }

    fn tables(&self) -> RocksTables {
        RocksTables {
            db: Arc::clone(&self.db),
        }
    }
}

impl Tables for RocksLog {
    fn cursor(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Box<dyn Cursor + '_>, StoreError> {
        cursor(&self.db, None, table, from, to)
    }

    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, StoreError> {
        last_key(&self.db, None, table)
    }
}

/// Tables as they are at each read.
#[derive(Clone)]
struct RocksTables {
    db: Arc<DB>,
}

impl Tables for RocksTables {
    fn cursor(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Box<dyn Cursor + '_>, StoreError> {
        cursor(&self.db, None, table, from, to)
    }

    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, StoreError> {
        last_key(&self.db, None, table)
    }

    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db
            .get_cf(family(&self.db, table)?, key)
            .map_err(|e| read_failed(table, e))
    }
}

/// Tables as they were at one moment, while the writer goes on.
pub(crate) struct SnapshotTables<'d> {
    db: &'d DB,
    snapshot: SnapshotWithThreadMode<'d, DB>,
}

impl<'d> SnapshotTables<'d> {
    pub(crate) fn of(db: &'d DB) -> Self {
        SnapshotTables {
            db,
            snapshot: db.snapshot(),
        }
    }
}

impl Tables for SnapshotTables<'_> {
    fn cursor(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Box<dyn Cursor + '_>, StoreError> {
        cursor(self.db, Some(&self.snapshot), table, from, to)
    }

    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, StoreError> {
        last_key(self.db, Some(&self.snapshot), table)
    }
}

/// A scan of one table.
struct RocksCursor<'d> {
    iterator: DBRawIterator<'d>,
    table: Table,
    started: bool,
}

impl Cursor for RocksCursor<'_> {
    fn next(&mut self) -> Result<Option<StoredRow<'_>>, StoreError> {
        // The row handed out last is borrowed until now, so the step forward comes first.
        if self.started && self.iterator.valid() {
            self.iterator.next();
        }
        self.started = true;
        if self.iterator.valid() {
            return Ok(self.iterator.item());
        }
        self.iterator
            .status()
            .map_err(|e| read_failed(self.table, e))?;
        Ok(None)
    }
}

fn cursor<'d>(
    db: &'d DB,
    snapshot: Option<&'d SnapshotWithThreadMode<'_, DB>>,
    table: Table,
    from: &[u8],
    to: Option<&[u8]>,
) -> Result<Box<dyn Cursor + 'd>, StoreError> {
    let mut options = read_options(snapshot);
    options.set_readahead_size(READ_AHEAD_BYTES);
    // A scan reads every block once: keeping them would only drop what is read again.
    options.fill_cache(false);
    if let Some(to) = to {
        options.set_iterate_upper_bound(to);
    }
    let mut iterator = db.raw_iterator_cf_opt(family(db, table)?, options);
    iterator.seek(from);
    Ok(Box::new(RocksCursor {
        iterator,
        table,
        started: false,
    }))
}

fn last_key(
    db: &DB,
    snapshot: Option<&SnapshotWithThreadMode<'_, DB>>,
    table: Table,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut iterator = db.raw_iterator_cf_opt(family(db, table)?, read_options(snapshot));
    iterator.seek_to_last();
    iterator.status().map_err(|e| read_failed(table, e))?;
    Ok(iterator.key().map(<[u8]>::to_vec))
}

fn read_options(snapshot: Option<&SnapshotWithThreadMode<'_, DB>>) -> ReadOptions {
    let mut options = ReadOptions::default();
    if let Some(snapshot) = snapshot {
        options.set_snapshot(snapshot);
    }
    options
}

fn family(db: &DB, table: Table) -> Result<&ColumnFamily, StoreError> {
    let missing = || StoreError::Read {
        table,
        message: "the database has no such table".to_owned(),
    };
    db.cf_handle(table.name()).ok_or_else(missing)
}

fn read_failed(table: Table, error: rocksdb::Error) -> StoreError {
    StoreError::Read {
        table,
        message: error.into_string(),
    }
}

fn read_record(tables: &RocksTables, sequence: Sequence) -> Result<Option<LogRecord>, StoreError> {
    let key = sequence.to_bytes();
    let value = tables.value(Table::Log, &key)?;
    Ok(value
        .map(|value| record::log::read(&key, &value))
        .transpose()?)
}

/// Where the log ends, with its tail read and the counters row compared. A log that is shorter than the tail is read from
/// its head on, which the first record has to follow.
fn end_of(tables: &RocksTables, head: Position) -> Result<Position, StoreError> {
    let last = retention::last_sequence(tables)?;
    let from = Sequence(last.0.saturating_sub(TAIL_RECORDS) + 1);
    let mut end = head;
    for record in Records::of(tables, head, from) {
        end = record?.position();
    }
    load::check_meta(tables, end)?;
    Ok(end)
}

fn open_database(directory: &Path, options: &OpenOptions) -> Result<DB, OpenError> {
    let path = directory.join(DATABASE);
    let env = options::background();
    let database = options::database(env.as_ref());
    let there = tables_of(directory, &path, &database)?;
    let cache = Cache::new_lru_cache(options.block_cache_bytes);
    let mut tables = options::tables(&cache);
    let former = migrate::FORMER
        .iter()
        .filter(|table| there.contains(&table.name().to_owned()));
    tables.extend(
        former.map(|table| ColumnFamilyDescriptor::new(table.name(), rocksdb::Options::default())),
    );
    DB::open_cf_descriptors(&database, &path, tables).map_err(|e| not_opened(directory, e))
}

/// The tables there are. A later version may have added some; opening without them would leave them behind.
fn tables_of(
    directory: &Path,
    database: &Path,
    options: &rocksdb::Options,
) -> Result<Vec<String>, OpenError> {
    // RocksDB's file that names its present state: without it there is no database yet.
    if !database.join("CURRENT").exists() {
        whole::refuse_headless(directory, database)?;
        return Ok(Vec::new());
    }
    let names = DB::list_cf(options, database).map_err(|e| not_opened(directory, e))?;
    whole::refuse_missing_tables(directory, &names)?;
    let all = || Table::ALL.iter().chain(&migrate::FORMER);
    let known = |name: &str| name == "default" || all().any(|table| table.name() == name);
    match names.iter().find(|name| !known(name)) {
        Some(table) => Err(OpenError::UnknownTable {
            path: directory.to_owned(),
            table: table.clone(),
        }),
        None => Ok(names),
    }
}

fn not_opened(directory: &Path, error: rocksdb::Error) -> OpenError {
    let (path, message): (PathBuf, String) = (directory.to_owned(), error.into_string());
    // The first is another process, the second another log of this one; RocksDB tells them apart by its words only.
    if message.contains("While lock file") || message.contains("lock hold by current process") {
        return OpenError::DataDirInUse { path };
    }
    OpenError::Database { path, message }
}
