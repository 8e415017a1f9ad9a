//! Reads everything a data directory or a backup has and says what is wrong with it: every checksum, the log's chain from
//! its first record, the tables at the log's end, the mark, the state's invariants, and, where the log reaches back to the
//! beginning, that it still gives the same rows. It changes nothing, and goes on after a problem, to tell them all.

mod backup_files;
mod compare;

use std::path::Path;

use serde::Serialize;
use tillside_engine::invariants;

use crate::digest::{StateDigest, rows_of, state_digest};
use crate::error::{OpenError, RESTORE, StoreError};
use crate::frame;
use crate::load::{self, load};
use crate::log::{Log, Position, follows};
use crate::mark::{self, Found};
use crate::record;
use crate::replay::replay;
use crate::rocks::backup::{self, BackupError, BackupManifest};
use crate::rocks::read_only::ReadOnlyLog;
use crate::table::{Table, Tables};

/// Problems told at most; the first ones are the ones to look at.
const PROBLEMS_MAX: usize = 100;
/// Rows between two reports of progress.
const ROWS_PER_REPORT: u64 = 1 << 16;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Which file or table.
    pub place: String,
    /// Which row, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What is wrong and what to do.
    pub problem: String,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableRows {
    /// Name of the table.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The backup that was read, where it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupManifest>,
    /// Every table that was read.
    pub tables: Vec<TableRows>,
    /// Sequence of the first record of the log; 0 for none.
    pub log_first: u64,
    /// Sequence of the last record; 0 for none.
    pub log_last: u64,
    /// Its checksum.
    pub log_checksum: u32,
    /// Digest of the state, as the server gives it; `None` where the state could not be loaded.
    pub state_digest: Option<String>,
    /// The log reaches back to the beginning, and every row was compared with what it gives.
    pub replayed: bool,
    /// What is wrong; nothing in a sound directory.
    pub problems: Vec<Problem>,
    /// Problems beyond those.
    pub problems_unlisted: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, place: impl Into<String>, key: Option<String>, problem: impl ToString) {
        let problem = Problem {
            place: place.into(),
            key,
            problem: problem.to_string(),
        };
        if self.problems.contains(&problem) {
            return;
        }
        if self.problems.len() == PROBLEMS_MAX {
            self.problems_unlisted += 1;
        } else {
            self.problems.push(problem);
        }
    }

    fn add_store(&mut self, error: &StoreError) {
        let table = |table: Table| format!("table {}", table.name());
        let (place, key) = match error {
            StoreError::Record(record) => (table(record.table), Some(record.key.clone())),
            StoreError::Read { table: of, .. } => (table(*of), None),
            StoreError::TablesNotAtLogEnd { .. } => (table(Table::Meta), None),
            StoreError::Gap { expected, .. } => (table(Table::Log), Some(expected.to_string())),
            StoreError::HeadFolded { first } => (table(Table::Log), Some(first.to_string())),
            StoreError::BrokenChain { sequence, .. } => {
                (table(Table::Log), Some(sequence.to_string()))
            }
        };
        self.add(place, key, error);
    }
}

/// Why nothing could be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is no data directory, or in use, or of a later version.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It is no backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// Where the reading is: what is read, and how many rows or bytes of it.
pub type Progress<'p> = &'p mut dyn FnMut(&str, u64);

/// Looks at a data directory that no server has open.
///
/// # Errors
/// [`VerifyError`] where it cannot be looked at; what is wrong inside is in the report.
pub fn data_directory(directory: &Path, progress: Progress<'_>) -> Result<Report, VerifyError> {
    let mut report = Report::default();
    let log = match ReadOnlyLog::of_data_directory(directory) {
        Ok(log) => log,
        // It is a data directory of ours, and damaged.
        Err(error @ OpenError::Database { .. }) => {
            report.add("rocksdb", None, error);
            return Ok(report);
        }
        Err(error) => return Err(error.into()),
    };
    match mark::find(directory) {
        Ok(found) => examine(directory, log, found, &mut report, progress),
        Err(error) => {
            report.add(mark::FILE, None, format!("cannot be read: {error}"));
            examine(directory, log, Found::Unreadable, &mut report, progress);
        }
    }
    Ok(report)
}

/// Looks at a backup: the latest, or the one of this number.
///
/// # Errors
/// [`VerifyError`] where it cannot be looked at; what is wrong inside is in the report.
pub fn backup(
    directory: &Path,
    backup_id: Option<u32>,
    progress: Progress<'_>,
) -> Result<Report, VerifyError> {
    let manifest = backup::find(directory, backup_id)?;
    let _lock = backup::share(directory)?;
    let mut report = Report {
        backup: Some(manifest.clone()),
        ..Report::default()
    };
    let view = backup_files::check(directory, &manifest, &mut report, progress)?;
    let log = match ReadOnlyLog::open(view.path(), None) {
        Ok(log) => log,
        Err(error) => {
            // The view is ours: the person knows the backup directory.
            let text = error.to_string();
            let known = view.path().display().to_string();
            report.add(
                "rocksdb",
                None,
                text.replace(&known, &directory.display().to_string()),
            );
            return Ok(report);
        }
    };
    let found = Found::At(manifest.position());
    examine(directory, log, found, &mut report, progress);
    Ok(report)
}

fn examine(
    directory: &Path,
    mut log: ReadOnlyLog,
    found: Found,
    report: &mut Report,
    progress: Progress<'_>,
) {
    let end = read_log(&log, report, progress);
    log.position = end;
    (report.log_last, report.log_checksum) = (end.sequence.0, end.checksum);
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Log) {
        read_table(&log, table, report, progress);
    }
    if let Err(error) = load::check_meta(&log, end) {
        report.add_store(&error);
    }
    let checksum_at = |sequence| match found {
        // Only what is durable is ever folded: a mark before the head is of a record that the log had.
        Found::At(mark) if sequence <= log.head().sequence => Ok(Some(mark.checksum)),
        _ => Ok::<_, OpenError>(log.read(sequence)?.map(|r| r.checksum)),
    };
    match mark::check(directory, found, end, None, checksum_at) {
        Ok(_) => {}
        Err(OpenError::Store(error)) => report.add_store(&error),
        Err(error) => report.add(mark::FILE, None, error),
    }
    progress("loading the state", 0);
    match load(&log) {
        Ok(loaded) => {
            for violation in invariants::violations(&loaded.state) {
                report.add("state", None, format!("{violation}. {RESTORE}"));
            }
            report.state_digest = Some(digest(state_digest(&loaded.state)));
        }
        Err(error) => report.add_store(&error),
    }
    audit(&log, report, progress);
}

/// What the log proves about the rows: all of them where it is whole, stock and points where its beginning is folded.
fn audit(log: &ReadOnlyLog, report: &mut Report, progress: Progress<'_>) {
    if report.log_first > 1 {
        progress("adding up stock and points", 0);
        match crate::audit::audit(log) {
            Ok(audit) => {
                for violation in audit.violations {
                    report.add("ledger", None, format!("{violation}. {RESTORE}"));
                }
            }
            Err(error) => report.add_store(&error),
        }
        return;
    }
    progress("replaying the log", 0);
    match replay(log) {
        Ok(state) => {
            report.replayed = true;
            let mut compare = compare::Compare::new(log, report);
            compare.counters(&state.counters());
            rows_of(&state, &mut compare);
        }
        Err(error) => report.add_store(&error),
    }
}

fn digest(digest: StateDigest) -> String {
    digest.hex
}

/// Every record with its checksum, and the chain from the first one on; answers where the log ends.
fn read_log(log: &ReadOnlyLog, report: &mut Report, progress: Progress<'_>) -> Position {
    let mut rows = 0;
    let mut end = Position::default();
    // After a record that cannot be used the chain begins anew.
    let mut last = None;
    let outcome =
        each_row(
            log,
            Table::Log,
            progress,
            &mut rows,
            |key, value| match record::log::read(key, value) {
                Ok(record) => {
                    if report.log_first == 0 {
                        report.log_first = record.sequence.0;
                        // What was folded away is known; anything else that is missing is a gap.
                        last = Some(log.head());
                    }
                    if let Some(last) = last
                        && let Err(error) = follows(last, &record)
                    {
                        report.add_store(&error);
                    }
                    end = record.position();
                    last = Some(end);
                }
                Err(error) => {
                    report.add_store(&error.into());
                    last = None;
                }
            },
        );
    if let Err(error) = outcome {
        report.add_store(&error);
    }
    report.tables.push(TableRows {
        table: Table::Log.name(),
        rows,
    });
    end
}

fn read_table(log: &ReadOnlyLog, table: Table, report: &mut Report, progress: Progress<'_>) {
    let mut rows = 0;
    let outcome = each_row(log, table, progress, &mut rows, |key, value| {
        if let Err(error) = frame::payload(table, key, value) {
            report.add_store(&error.into());
        }
    });
    if let Err(error) = outcome {
        report.add_store(&error);
    }
    report.tables.push(TableRows {
        table: table.name(),
        rows,
    });
}

fn each_row(
    log: &ReadOnlyLog,
    table: Table,
    progress: Progress<'_>,
    rows: &mut u64,
    mut row: impl FnMut(&[u8], &[u8]),
) -> Result<(), StoreError> {
    let mut cursor = log.cursor(table, &[], None)?;
    while let Some((key, value)) = cursor.next()? {
        row(key, value);
        *rows += 1;
        if rows.is_multiple_of(ROWS_PER_REPORT) {
            progress(table.name(), *rows);
        }
    }
    Ok(())
}
