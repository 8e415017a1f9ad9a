//! Backups: RocksDB's backup engine copies what is not yet there, and a manifest of ours says what each backup holds. It
//! runs beside the writer, which waits for nothing but the flush of small memtables; it never deletes a backup before a
//! newer one is complete, and it copies no keys: those live outside the data directory and stay apart.
//!
//! The engine flushes all tables first, holds back the deletion of files, copies new table files once for all backups and
//! the end of the write-ahead log for each. Log files are recycled, so the copied one may end in old bytes, or in half a
//! record of a write under way: opening goes up to the last whole batch, as after a kill, and everything that was
//! durable when the backup began is before it.

mod error;
mod manifest;
mod restore;

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rocksdb::backup::{BackupEngine, BackupEngineOptions};
use rocksdb::{DB, Env};

pub use self::error::BackupError;
pub use self::manifest::{BackupList, BackupManifest};
pub use self::restore::{Restored, restore};
use super::RocksTables;
use crate::frame;
use crate::load::read_meta;
use crate::log::Position;

/// Says what the directory is, before anything is written to it.
const MARKER: &str = "TILLSIDE-BACKUPS";
const MARKER_TEXT: &str = "tillside backups, format 1\n";
/// Locked by whoever works in the directory.
const LOCK: &str = "LOCK";
/// Folder of RocksDB's backup engine.
pub(crate) const ENGINE: &str = "rocksdb";
/// Where the engine keeps one file a backup, and the table files that backups share.
pub(crate) const ENGINE_META: &str = "meta";
const ENGINE_SHARED: &str = "shared_checksum";
/// A log file that is put to a new use while the engine lists them makes it fail; it is asked again this often.
const ATTEMPTS: usize = 3;

/// What a backup is made with.
#[derive(Clone, Debug)]
pub struct BackupRequest {
    /// The time it will have, milliseconds since 1970.
    pub create_time_ms: i64,
    /// Complete backups that stay, this one included; at least one.
    pub kept: usize,
    /// Which key the data needs.
    pub key_fingerprint: Option<String>,
}

/// A complete backup, and what could not be tidied up after it.
#[derive(Debug)]
pub struct CreatedBackup {
    /// The backup.
    pub manifest: BackupManifest,
    /// Why older ones are still there; the next backup tries again.
    pub not_tidied: Option<BackupError>,
}

/// Makes backups of a log on any thread while it is written to. It keeps the directory in use.
#[derive(Clone)]
pub struct BackupHandle {
    db: Arc<DB>,
}

/// How far a backup is, seen from outside.
#[derive(Clone, Debug)]
pub struct BackupProgress {
    engine: PathBuf,
    bytes_before: u64,
    /// Bytes it will copy, as far as they were known when it began.
    pub expected_bytes: u64,
}

impl BackupProgress {
    /// Bytes copied so far.
    pub fn copied_bytes(&self) -> u64 {
        directory_bytes(&self.engine).saturating_sub(self.bytes_before)
    }
}

impl BackupHandle {
    pub(super) fn new(db: Arc<DB>) -> Self {
        BackupHandle { db }
    }

    /// Makes a backup of everything that is durable now, and removes the oldest ones. `began` is told how to see
    /// how far it is. What an earlier, interrupted backup left behind is removed.
    ///
    /// # Errors
    /// [`BackupError`]; the earlier backups are as they were.
    pub fn create(
        &self,
        directory: &Path,
        request: &BackupRequest,
        began: impl FnOnce(BackupProgress),
    ) -> Result<CreatedBackup, BackupError> {
        let started = Instant::now();
        let _lock = claim(directory)?;
        forget_unfinished(directory)?;
        let engine_path = directory.join(ENGINE);
        let mut engine = engine(directory)?;
        let position = self.position()?;
        let bytes_before = directory_bytes(&engine_path);
        began(BackupProgress {
            expected_bytes: self.bytes_to_copy(&engine_path),
            engine: engine_path.clone(),
            bytes_before,
        });
        self.copy(&mut engine, directory)?;
        let newest = engine.get_backup_info().into_iter();
        let Some(info) = newest.max_by_key(|info| info.backup_id) else {
            return Err(BackupError::Empty {
                path: directory.to_owned(),
            });
        };
        let manifest = BackupManifest {
            backup_id: info.backup_id,
            create_time_ms: request.create_time_ms,
            duration_ms: started.elapsed().as_millis() as u64,
            format_version: u32::from(frame::FORMAT),
            sequence: position.sequence.0,
            checksum: position.checksum,
            key_fingerprint: request.key_fingerprint.clone(),
            bytes: info.size,
            new_bytes: directory_bytes(&engine_path).saturating_sub(bytes_before),
            files: info.num_files,
        };
        manifest::write(directory, &manifest)?;
        let not_tidied = tidy(&mut engine, directory, request.kept).err();
        Ok(CreatedBackup {
            manifest,
            not_tidied,
        })
    }

    /// Where the tables are now. They are at the end of a batch, and a batch is seen only once it is synced.
    fn position(&self) -> Result<Position, BackupError> {
        // One row needs no snapshot, and letting one go would have RocksDB rewrite files that the last backup has.
        let tables = RocksTables {
            db: Arc::clone(&self.db),
        };
        let meta = read_meta(&tables)?;
        Ok(meta.map_or(Position::default(), |meta| Position {
            sequence: meta.counters.sequence,
            checksum: meta.last_checksum,
        }))
    }

    fn copy(&self, engine: &mut BackupEngine, directory: &Path) -> Result<(), BackupError> {
        let mut attempt = 1;
        loop {
            let Err(error) = engine.create_new_backup_flush(&*self.db, true) else {
                return Ok(());
            };
            if attempt == ATTEMPTS || !error.as_ref().contains("No such file") {
                return Err(BackupError::engine("the backup into", directory, error));
            }
            attempt += 1;
        }
    }

    /// Bytes of the table files that no backup has yet: an estimate, for flushes and compactions go on.
    fn bytes_to_copy(&self, engine: &Path) -> u64 {
        let shared: Vec<String> = fs::read_dir(engine.join(ENGINE_SHARED))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        let live = self.db.live_files().unwrap_or_default();
        let missing = live.iter().filter(|file| {
            // The engine calls them number_session_size.sst.
            let number = file.name.trim_start_matches('/').trim_end_matches(".sst");
            let (start, end) = (format!("{number}_"), format!("_{}.sst", file.size));
            !shared
                .iter()
                .any(|name| name.starts_with(&start) && name.ends_with(&end))
        });
        missing.map(|file| file.size as u64).sum()
    }
}

/// The complete backups of a directory, oldest first; none where there is no directory yet.
///
/// # Errors
/// [`BackupError`] where it is something else, or cannot be read.
pub fn list(directory: &Path) -> Result<BackupList, BackupError> {
    if !directory.exists() {
        return Ok(BackupList::default());
    }
    match marker(directory)? {
        Marker::Ours => manifest::list(directory),
        Marker::EmptyDirectory => Ok(BackupList::default()),
    }
}

/// The backup of this number, or the latest.
///
/// # Errors
/// [`BackupError::Unknown`] and [`BackupError::Empty`] where there is none; a damaged latest one is an error and not
/// passed over in silence.
pub fn find(directory: &Path, backup_id: Option<u32>) -> Result<BackupManifest, BackupError> {
    let list = list(directory)?;
    let ids = manifest::ids(directory)?;
    let wanted = backup_id
        .or_else(|| ids.last().copied())
        .ok_or_else(|| BackupError::Empty {
            path: directory.to_owned(),
        })?;
    let found = list.backups.iter().find(|b| b.backup_id == wanted);
    if let Some(found) = found {
        return Ok(found.clone());
    }
    if ids.contains(&wanted) {
        let damaged = list.damaged.into_iter().next_back();
        return Err(damaged.unwrap_or(BackupError::Empty {
            path: directory.to_owned(),
        }));
    }
    Err(BackupError::Unknown {
        path: directory.to_owned(),
        backup_id: wanted,
        known: ids,
    })
}

/// Bytes of all files below a folder; files may come and go meanwhile.
pub fn directory_bytes(folder: &Path) -> u64 {
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) => bytes += meta.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

enum Marker {
    Ours,
    EmptyDirectory,
}

fn marker(directory: &Path) -> Result<Marker, BackupError> {
    let path = directory.join(MARKER);
    match fs::read(&path) {
        Ok(found) if found == MARKER_TEXT.as_bytes() => Ok(Marker::Ours),
        Ok(found) => Err(BackupError::UnknownFormat {
            path: directory.to_owned(),
            found: String::from_utf8_lossy(&found[..found.len().min(80)])
                .trim()
                .to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let foreign = |name: &std::ffi::OsStr| {
                name != "lost+found" && name != LOCK && name != format!("{MARKER}.new").as_str()
            };
            let entries = fs::read_dir(directory).map_err(|e| BackupError::io(directory, &e))?;
            for entry in entries {
                let entry = entry.map_err(|e| BackupError::io(directory, &e))?;
                if foreign(&entry.file_name()) {
                    return Err(BackupError::NotABackupDir {
                        path: directory.to_owned(),
                    });
                }
            }
            Ok(Marker::EmptyDirectory)
        }
        Err(error) => Err(BackupError::io(&path, &error)),
    }
}

/// Makes the directory where it is new, and keeps others out of it.
fn claim(directory: &Path) -> Result<File, BackupError> {
    fs::create_dir_all(directory).map_err(|e| BackupError::io(directory, &e))?;
    let found = marker(directory)?;
    let path = directory.join(LOCK);
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| BackupError::io(&path, &e))?;
    locked(directory, file.try_lock())?;
    if matches!(found, Marker::EmptyDirectory) {
        mark(directory).map_err(|e| BackupError::io(&directory.join(MARKER), &e))?;
    }
    let folder = directory.join(manifest::FOLDER);
    fs::create_dir_all(&folder)
        .and_then(|()| File::open(directory)?.sync_all())
        .map_err(|e| BackupError::io(&folder, &e))?;
    Ok(file)
}

/// Keeps writers out of the directory; changes nothing in it.
pub(crate) fn share(directory: &Path) -> Result<Option<File>, BackupError> {
    let path = directory.join(LOCK);
    match File::open(&path) {
        Ok(file) => {
            locked(directory, file.try_lock_shared())?;
            Ok(Some(file))
        }
        // A copy of a backup directory may lack it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(BackupError::io(&path, &error)),
    }
}

fn locked(directory: &Path, outcome: Result<(), TryLockError>) -> Result<(), BackupError> {
    outcome.map_err(|error| match error {
        TryLockError::WouldBlock => BackupError::InUse {
            path: directory.to_owned(),
        },
        TryLockError::Error(error) => BackupError::io(&directory.join(LOCK), &error),
    })
}

fn mark(directory: &Path) -> io::Result<()> {
    let aside = directory.join(format!("{MARKER}.new"));
    let mut file = File::create(&aside)?;
    file.write_all(MARKER_TEXT.as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, directory.join(MARKER))?;
    File::open(directory)?.sync_all()
}

/// What the engine knows and no manifest names was cut short between the two: without its entry the engine takes the
/// files for leftovers and removes them.
fn forget_unfinished(directory: &Path) -> Result<(), BackupError> {
    let complete = manifest::ids(directory)?;
    let folder = directory.join(ENGINE).join(ENGINE_META);
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let id: Option<u32> = name.to_str().and_then(|name| name.parse().ok());
        if id.is_some_and(|id| !complete.contains(&id)) {
            fs::remove_file(entry.path()).map_err(|e| BackupError::io(&entry.path(), &e))?;
        }
    }
    Ok(())
}

fn engine(directory: &Path) -> Result<BackupEngine, BackupError> {
    let failed = |e| BackupError::engine("opening the backup directory", directory, e);
    let options = BackupEngineOptions::new(directory.join(ENGINE)).map_err(failed)?;
    // Copying threads are made here and inherit this thread's priority.
    BackupEngine::open(&options, &Env::new().map_err(failed)?).map_err(failed)
}

/// Removes all but the latest `kept` backups, manifest first: what has none counts for nothing.
fn tidy(engine: &mut BackupEngine, directory: &Path, kept: usize) -> Result<(), BackupError> {
    let ids = manifest::ids(directory)?;
    let (old, stay) = ids.split_at(ids.len().saturating_sub(kept.max(1)));
    old.iter()
        .try_for_each(|id| manifest::remove(directory, *id))?;
    let known = engine.get_backup_info();
    let staying = known.iter().filter(|info| stay.contains(&info.backup_id));
    // The engine removes its oldest, which are those without a manifest, and everything that is in no backup.
    engine
        .purge_old_backups(staying.count())
        .map_err(|e| BackupError::engine("removing old backups from", directory, e))
}
