//! A backup becomes a data directory again. The directory counts only once everything in it is there, checked and synced:
//! a restore that is cut short leaves a directory that nothing opens, and that a second restore takes over.

use std::fs;
use std::path::Path;

use rocksdb::backup::RestoreOptions;

use super::super::{DATABASE, OpenOptions, RocksLog, format_file};
use super::error::BackupError;
use super::manifest::BackupManifest;
use crate::log::{Log, Position};
use crate::mark::{self, Mark};

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Where its log ends: at or after what the manifest promises.
    pub position: Position,
    /// An earlier restore into this directory had not ended; what it left was removed.
    pub took_over: bool,
}

/// Restores a backup into a new or empty directory, and opens it once as a server would.
///
/// # Errors
/// [`BackupError`]; until it returns `Ok` the directory is refused by everything that opens data directories.
pub fn restore(
    directory: &Path,
    backup: &BackupManifest,
    target: &Path,
) -> Result<Restored, BackupError> {
    let _lock = super::share(directory)?;
    let took_over = take(target)?;
    let database = target.join(DATABASE);
    super::engine(directory)?
        .restore_from_backup(
            &database,
            &database,
            &RestoreOptions::default(),
            backup.backup_id,
        )
        .map_err(|e| not_restored(directory, backup.backup_id, e))?;
    // What the manifest says was acknowledged. Opening checks that it is there, and moves the mark to the log's end.
    Mark::open(target, backup.position())
        .map_err(|e| BackupError::Restored(crate::error::OpenError::Mark(e)))?;
    let log =
        RocksLog::open_formatted(target, format_file::Format::Present, OpenOptions::default())
            .map_err(BackupError::Restored)?;
    let position = log.position();
    drop(log);
    format_file::restored(target).map_err(|e| BackupError::io(target, &e))?;
    Ok(Restored {
        position,
        took_over,
    })
}

fn not_restored(directory: &Path, backup_id: u32, error: rocksdb::Error) -> BackupError {
    match error.kind() {
        rocksdb::ErrorKind::Corruption | rocksdb::ErrorKind::NotFound => BackupError::Damaged {
            path: directory.to_owned(),
            backup_id,
            message: error.into_string(),
        },
        _ => BackupError::engine("restoring from", directory, error),
    }
}

/// Makes the directory ours; true where an unfinished restore was in it.
fn take(target: &Path) -> Result<bool, BackupError> {
    let failed = |e| BackupError::io(target, &e);
    fs::create_dir_all(target).map_err(failed)?;
    let took_over = format_file::is_restoring(target);
    if took_over {
        for name in [DATABASE, mark::FILE] {
            let path = target.join(name);
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(&path),
                false if path.exists() => fs::remove_file(&path),
                false => Ok(()),
            };
            removed.map_err(|e| BackupError::io(&path, &e))?;
        }
    } else if !format_file::is_empty(target).map_err(failed)? {
        return Err(BackupError::TargetNotEmpty {
            path: target.to_owned(),
        });
    }
    format_file::restoring(target).map_err(failed)?;
    fs::create_dir(target.join(DATABASE)).map_err(failed)?;
    // The directory's own name is durable only with its parent.
    if let Some(parent) = target.canonicalize().map_err(failed)?.parent() {
        format_file::sync(parent).map_err(|e| BackupError::io(parent, &e))?;
    }
    Ok(took_over)
}
