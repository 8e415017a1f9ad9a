//! Why there is no backup, or nothing was restored: each with what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{OpenError, StoreError};

/// What went wrong with a backup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// A directory with other things in it.
    #[error("{} is not a backup directory of Tillside (it has no file TILLSIDE-BACKUPS): name the right one, or for the first backup an empty or new one", path.display())]
    NotABackupDir {
        /// Which.
        path: PathBuf,
    },
    /// Written by a later version.
    #[error("the backup directory {} has the format {found:?}; this version reads format 1: use the version that wrote it, or a later one", path.display())]
    UnknownFormat {
        /// Which.
        path: PathBuf,
        /// What it says of itself.
        found: String,
    },
    /// Another process writes or reads it.
    #[error("the backup directory {} is in use by another backup, restore or check: wait until it has ended", path.display())]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// No complete backup.
    #[error("{} has no complete backup", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// No such backup.
    #[error("{} has no complete backup {backup_id}; it has {}", path.display(), known.iter().map(u32::to_string).collect::<Vec<_>>().join(", "))]
    Unknown {
        /// Which directory.
        path: PathBuf,
        /// Which backup.
        backup_id: u32,
        /// Those it has.
        known: Vec<u32>,
    },
    /// The description of a backup cannot be used.
    #[error("{} {problem}: the backup it describes cannot be trusted. Restore another one, and check the disk", path.display())]
    ManifestDamaged {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A backup whose files are not what they were.
    #[error("backup {backup_id} in {0} cannot be restored: {message}. See with `tillside-server verify --backup-dir {0} --backup-id {backup_id}` which file is damaged, and restore another backup", path.display())]
    Damaged {
        /// The backup directory.
        path: PathBuf,
        /// Which backup.
        backup_id: u32,
        /// What the database says.
        message: String,
    },
    /// The database could not do it.
    #[error("{doing} {} failed: {message}. Check that the disk has room and no errors, and that this user may read and write there", path.display())]
    Engine {
        /// What was being done.
        doing: &'static str,
        /// The backup directory.
        path: PathBuf,
        /// What the database says.
        message: String,
    },
    /// The file system says no.
    #[error("{}: {message}: check that it exists, that this user may read and write it, and that the disk has room", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        message: String,
    },
    /// There is something where the backup should be restored to.
    #[error("{} is not empty: a backup is restored only into a new or empty directory. Move what is there away, or name another directory", path.display())]
    TargetNotEmpty {
        /// Which.
        path: PathBuf,
    },
    /// What should be backed up cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was restored does not add up.
    #[error(
        "what was restored from the backup is not what the backup says: {0}. Restore another backup"
    )]
    Restored(OpenError),
}

impl BackupError {
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        BackupError::Io {
            path: path.to_owned(),
            message: error.to_string(),
        }
    }

    pub(super) fn engine(doing: &'static str, path: &Path, error: rocksdb::Error) -> Self {
        BackupError::Engine {
            doing,
            path: path.to_owned(),
            message: error.into_string(),
        }
    }
}
