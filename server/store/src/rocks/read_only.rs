//! A database opened to be looked at: nothing in its directory is made, changed or removed, not even a note of RocksDB's.

use std::fs::File;
use std::io;
use std::path::Path;

use rocksdb::{Cache, DB};
use tillside_engine::ids::Sequence;

use super::{DATABASE, OpenOptions, format_file, not_opened, options};
use crate::batch::Batch;
use crate::error::{LogError, OpenError, StoreError};
use crate::log::{Log, LogRecord, Position, Records};
use crate::record;
use crate::retention;
use crate::table::{Cursor, Key, StoredRow, TABLE_SLOTS, Table, Tables};

/// RocksDB's own lock file.
const LOCK: &str = "LOCK";

/// The log and the tables of a directory that nobody writes to meanwhile.
pub(crate) struct ReadOnlyLog {
    db: DB,
    /// Tables it has; one that a later version has added is empty.
    present: [bool; TABLE_SLOTS],
    /// Where the log ends, once somebody has read it.
    pub(crate) position: Position,
    /// Where it begins.
    head: Position,
    /// Held as long as this lives: no server starts meanwhile.
    _lock: Option<File>,
}

impl ReadOnlyLog {
    /// Opens a data directory that no process has open.
    pub(crate) fn of_data_directory(directory: &Path) -> Result<Self, OpenError> {
        if format_file::check(directory)? != format_file::Format::Present {
            return Err(OpenError::FormerFormat {
                path: directory.to_owned(),
            });
        }
        let lock = lock(directory)?;
        Self::open(directory, lock)
    }

    /// Opens the database in a directory that nobody else knows of.
    pub(crate) fn open(directory: &Path, lock: Option<File>) -> Result<Self, OpenError> {
        let path = directory.join(DATABASE);
        if !path.join("CURRENT").exists() {
            return Err(OpenError::Database {
                path: directory.to_owned(),
                message: "the file rocksdb/CURRENT is missing".to_owned(),
            });
        }
        let env = options::background();
        let database = options::database(env.as_ref());
        let names = super::tables_of(directory, &path, &database)?;
        let mut present = [false; TABLE_SLOTS];
        for table in Table::ALL {
            present[usize::from(table.number())] = names.iter().any(|name| name == table.name());
        }
        let cache = Cache::new_lru_cache(OpenOptions::default().block_cache_bytes);
        let tables = options::tables(&cache)
            .into_iter()
            .filter(|table| names.iter().any(|name| name == table.name()));
        let db = DB::open_cf_descriptors_read_only(&database, &path, tables, false)
            .map_err(|e| not_opened(directory, e))?;
        let mut log = ReadOnlyLog {
            db,
            present,
            position: Position::default(),
            head: Position::default(),
            _lock: lock,
        };
        log.head = retention::read_head(&log)?;
        Ok(log)
    }

    fn has(&self, table: Table) -> bool {
        self.present[usize::from(table.number())]
    }
}

/// RocksDB locks its directory for the one process that writes; a shared lock of ours fails while it does.
fn lock(directory: &Path) -> Result<Option<File>, OpenError> {
    let path = directory.join(DATABASE).join(LOCK);
    let file = match File::open(&path) {
        Ok(file) => file,
        // A copy of a data directory may lack it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format_file::failed(&path, &error)),
    };
    match rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Err(OpenError::DataDirInUse {
            path: directory.to_owned(),
        }),
        Err(error) => Err(format_file::failed(&path, &error.into())),
    }
}

impl Log for ReadOnlyLog {
    fn append(&mut self, _: &Batch) -> Result<(), LogError> {
        Err(LogError::Stopped)
    }

    fn read(&self, sequence: Sequence) -> Result<Option<LogRecord>, StoreError> {
        let key = sequence.to_bytes();
        let mut cursor = self.cursor(Table::Log, &key, None)?;
        match cursor.next()? {
            Some((found, value)) if found == key => Ok(Some(record::log::read(found, value)?)),
            _ => Ok(None),
        }
    }

    fn iterate(&self, from: Sequence) -> Records<'_> {
        Records::of(self, self.head, from)
    }

    fn position(&self) -> Position {
        self.position
    }

    fn head(&self) -> Position {
        self.head
    }
}

impl Tables for ReadOnlyLog {
    fn cursor(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Box<dyn Cursor + '_>, StoreError> {
        if !self.has(table) {
            return Ok(Box::new(NoRows));
        }
        super::cursor(&self.db, None, table, from, to)
    }

    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.has(table) {
            return Ok(None);
        }
        super::last_key(&self.db, None, table)
    }
}

struct NoRows;

impl Cursor for NoRows {
    fn next(&mut self) -> Result<Option<StoredRow<'_>>, StoreError> {
        Ok(None)
    }
}
