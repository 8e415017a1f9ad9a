//! Everything that can be wrong with stored data or its medium, by name, each with what to do about it. Nothing here is
//! recovered from silently.

use std::path::PathBuf;

use crate::table::Table;

/// What a person does about damaged data.
pub(crate) const RESTORE: &str = "The data on disk is damaged: stop the server, keep a copy of the data directory, check the disk, \
                       and restore the directory from a backup";

/// What is wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordProblem {
    /// Fewer bytes than the frame of the smallest record.
    #[error("has only {length} bytes. {RESTORE}")]
    TooShort {
        /// How many.
        length: usize,
    },
    /// The checksum over table, key and value is another one: flipped bits, or a row under a wrong key.
    #[error("has the checksum {stored:08x} but its bytes give {computed:08x}. {RESTORE}")]
    Checksum {
        /// As stored.
        stored: u32,
        /// As computed.
        computed: u32,
    },
    /// Written by a later version.
    #[error(
        "is of format {version}, which this version does not know. Start the version that wrote it, or a later one"
    )]
    UnknownVersion {
        /// Its format.
        version: u8,
    },
    /// Sealed in a way this version cannot open.
    #[error(
        "is sealed with algorithm {algorithm} and key {key_id}, which this version does not know. Start a later version"
    )]
    UnknownSeal {
        /// Its algorithm.
        algorithm: u32,
        /// Its key.
        key_id: u64,
    },
    /// The payload is not a record.
    #[error("cannot be read as a record ({0}). {RESTORE}")]
    Malformed(String),
    /// A field has a value that cannot be.
    #[error(
        "has an impossible {field}: {found}. If a later version wrote it, start that one. {RESTORE}"
    )]
    Field {
        /// Which field.
        field: &'static str,
        /// What is there.
        found: String,
    },
    /// A key of the wrong length.
    #[error("has a key of {length} bytes, which its table does not have. {RESTORE}")]
    KeyLength {
        /// How many.
        length: usize,
    },
    /// A key that is not text where text is meant.
    #[error("has a key that is not UTF-8. {RESTORE}")]
    KeyText,
    /// A row without the row of another table that it belongs to.
    #[error("has no row in the table {missing_in}. {RESTORE}")]
    Orphan {
        /// Where the other row should be.
        missing_in: &'static str,
    },
}

impl RecordProblem {
    pub(crate) fn field(field: &'static str, found: impl std::fmt::Debug) -> Self {
        RecordProblem::Field {
            field,
            found: format!("{found:?}"),
        }
    }

    pub(crate) fn at(self, table: Table, key: &[u8]) -> RecordError {
        RecordError {
            table,
            key: table.key_text(key),
            problem: self,
        }
    }
}

/// A row that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {key} of the table {} {problem}", table.name())]
pub struct RecordError {
    /// Its table.
    pub table: Table,
    /// Its key, readable.
    pub key: String,
    /// What is wrong.
    pub problem: RecordProblem,
}

/// Why tables could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A row cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The database or its disk failed to read.
    #[error("reading the table {} failed: {message}. {RESTORE}", table.name())]
    Read {
        /// Which table.
        table: Table,
        /// What the database says.
        message: String,
    },
    /// The tables are at one sequence, the log at another.
    #[error("the tables are at sequence {tables} but the log ends at {log}. {RESTORE}")]
    TablesNotAtLogEnd {
        /// Sequence of the tables.
        tables: u64,
        /// Last sequence of the log.
        log: u64,
    },
    /// A record is missing inside the log.
    #[error("the log has no record {expected}: after it comes {found}. {RESTORE}")]
    Gap {
        /// Missing.
        expected: u64,
        /// There instead.
        found: u64,
    },
    /// The log's beginning is gone on purpose, and whoever asked needs it.
    #[error(
        "the log begins at record {first}: what came before was folded into opening balances after log_retention, so the state cannot be built from the first record. Load the tables instead, or use a copy of the data directory from before"
    )]
    HeadFolded {
        /// The first record kept.
        first: u64,
    },
    /// A record does not follow the one before it.
    #[error(
        "record {sequence} of the log follows a record with checksum {expected:08x}, but the one before it has {found:08x}. {RESTORE}"
    )]
    BrokenChain {
        /// Which record.
        sequence: u64,
        /// Of the record it was written after.
        expected: u32,
        /// Of the record that is there.
        found: u32,
    },
}

/// Why the log could not be written. Whatever it is but [`LogError::OutOfOrder`]: the outcome is unknown and memory is
/// ahead of disk, so nothing more is written and the process has to end and recover.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The batch does not start where the log ends. Nothing was written; a programmer's error.
    #[error("the log ends at {log}, but the batch follows {batch}")]
    OutOfOrder {
        /// Where the log ends.
        log: crate::log::Position,
        /// What the batch was built to follow.
        batch: crate::log::Position,
    },
    /// Writing or syncing failed.
    #[error(
        "writing to the log failed: {message}. Nothing more is written; check the disk (space, errors, mount) and restart the server"
    )]
    Write {
        /// What the medium says.
        message: String,
    },
    /// Writing the mark of what is acknowledged failed.
    #[error("writing {} failed: {message}. Nothing more is written; check the disk (space, errors, mount) and restart the server", path.display())]
    Mark {
        /// The mark's file.
        path: PathBuf,
        /// What the medium says.
        message: String,
    },
    /// An earlier write failed.
    #[error("an earlier write failed, so nothing more is written; restart the server")]
    Stopped,
}

/// Why a data directory could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the data directory {} is in use by another process: stop the other server, or give this one a data directory of its own", path.display())]
    DataDirInUse {
        /// Which.
        path: PathBuf,
    },
    /// A directory with other things in it.
    #[error("{} is not empty and is no Tillside data directory (it has no file FORMAT): give an empty or new directory", path.display())]
    NotADataDir {
        /// Which.
        path: PathBuf,
    },
    /// A restore that did not end.
    #[error("a restore into {} has not ended, so it is no data directory yet: run the same restore again, or delete the directory", path.display())]
    RestoreUnfinished {
        /// Which.
        path: PathBuf,
    },
    /// A format of a later version.
    #[error("the data directory {} has the format {found:?}; this version reads formats 1 and 2: start the version that wrote it, or a later one", path.display())]
    UnknownFormat {
        /// Which.
        path: PathBuf,
        /// What the file FORMAT says.
        found: String,
    },
    /// Of an earlier format, where nothing may be changed.
    #[error("the data directory {} is of an earlier format: start the server on it once, which brings it to format {}", path.display(), crate::FORMAT_VERSION)]
    FormerFormat {
        /// Which.
        path: PathBuf,
    },
    /// Bringing the directory to the present format failed; it is as before, or goes on at the next start.
    #[error("bringing the data directory {} to the present format failed: {message}. Check the disk (space, errors, mount) and start again: it goes on where it ended", path.display())]
    Migration {
        /// Which directory.
        path: PathBuf,
        /// What the database says.
        message: String,
    },
    /// A table of a later version.
    #[error("the data directory {} has a table {table:?} that this version does not know: start the version that wrote it, or a later one", path.display())]
    UnknownTable {
        /// Which directory.
        path: PathBuf,
        /// Which table.
        table: String,
    },
    /// The log ends before what was acknowledged.
    #[error(
        "the log in {} ends at sequence {log_end}, but changes up to {acknowledged} were acknowledged: the last {} are lost. \
         Restore the directory from a replica or a later backup; or start once with --accept-loss-after {log_end}, exactly where the log ends, \
         to go on without them",
        path.display(), acknowledged - log_end
    )]
    LogEndsEarly {
        /// Which directory.
        path: PathBuf,
        /// Last sequence of the log.
        log_end: u64,
        /// Last acknowledged sequence.
        acknowledged: u64,
    },
    /// The log is another one than was acknowledged.
    #[error(
        "the log in {} has another record at sequence {acknowledged} than the one that was acknowledged: the files come from \
         different directories or times. Restore the whole directory; or start once with --accept-loss-after {log_end}, where this \
         log ends, to go on with it",
        path.display()
    )]
    LogReplaced {
        /// Which directory.
        path: PathBuf,
        /// Last sequence of the log.
        log_end: u64,
        /// Last acknowledged sequence.
        acknowledged: u64,
    },
    /// The mark of what was acknowledged is missing or unreadable.
    #[error(
        "{} {problem}, so nobody knows whether the log's end at sequence {log_end} is all that was acknowledged. \
         Restore the whole directory; or start once with --accept-loss-after {log_end}, exactly where the log ends, to go on",
        path.display()
    )]
    MarkUnusable {
        /// The mark's file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
        /// Last sequence of the log.
        log_end: u64,
    },
    /// The database does not open.
    #[error("the database in {} does not open: {message}. Keep a copy of the directory, check the disk, and restore it from a backup", path.display())]
    Database {
        /// Which directory.
        path: PathBuf,
        /// What it says.
        message: String,
    },
    /// A file or directory cannot be made, read or written.
    #[error("{}: {message}: check that it exists, that this user may write to it, and that the disk has room", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        message: String,
    },
    /// The mark of what is acknowledged cannot be written.
    #[error(transparent)]
    Mark(LogError),
    /// What was read at opening cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}
