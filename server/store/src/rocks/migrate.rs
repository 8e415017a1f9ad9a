//! Bringing a data directory of an earlier format to the present one, in place. Every step leaves a directory that the next
//! start can go on from, and until the step that says so the directory is still of its earlier format. Nothing of the
//! earlier format is removed before that.
//!
//! Format 2 has a table of answered requests by their sequence, so that those which outlive their window go by files. In
//! format 1 they are by their key.

use std::path::Path;

use rocksdb::{DB, WriteBatch, WriteOptions};

use super::{SnapshotTables, family, format_file};
use crate::batch::Encoder;
use crate::error::{OpenError, StoreError};
use crate::record;
use crate::record::keys::{Answers, FormerRequest};
use crate::table::{Table, Tables};

/// Tables of earlier formats that a directory may still have.
pub(super) const FORMER: [Table; 1] = [Table::Requests];

/// Rows copied with one write. (Tests have few rows, and want to be killed between two writes.)
const ROWS_PER_WRITE: usize = if cfg!(test) { 4 } else { 10_000 };

/// A step that is about to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Rows of answered requests are written to their new table and synced.
    CopyRequests,
    /// The directory says that it is of the present format.
    SayFormat,
    /// The table of format 1 is dropped.
    DropFormer,
}

/// Brings the directory to the present format, where it is not. `before` is told each step and may end it there.
pub(super) fn migrate(
    directory: &Path,
    db: &mut DB,
    format: format_file::Format,
    mut before: impl FnMut(Step) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    // Also where the directory says the present format: then a kill left the old table behind, whose rows are copied
    // already, or it was restored from an old backup.
    if db.cf_handle(Table::Requests.name()).is_some() {
        copy_requests(directory, db, &mut before)?;
    }
    if format == format_file::Format::One {
        before(Step::SayFormat)?;
        format_file::say_present(directory)?;
    }
    for table in FORMER {
        if db.cf_handle(table.name()).is_some() {
            before(Step::DropFormer)?;
            db.drop_cf(table.name()).map_err(|e| failed(directory, e))?;
        }
    }
    Ok(())
}

/// Copies every row of the table by key to the table by sequence. Copied again after a kill, the rows are the same.
fn copy_requests(
    directory: &Path,
    db: &DB,
    before: &mut impl FnMut(Step) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let to = family(db, Table::AnsweredRequests)?;
    let tables = SnapshotTables::of(db);
    let mut cursor = tables.cursor(Table::Requests, &[], None)?;
    let mut encoder = Encoder::default();
    loop {
        let mut write = WriteBatch::default();
        while write.len() < ROWS_PER_WRITE
            && let Some((key, value)) = cursor.next()?
        {
            let (key, former) =
                record::read_row::<FormerRequest>(key, value).map_err(StoreError::from)?;
            let answered = former.answered(key);
            let (key, value) = encoder.row(&answered.sequence, &Answers::of(&answered));
            write.put_cf(to, key, value);
        }
        if write.is_empty() {
            return Ok(());
        }
        before(Step::CopyRequests)?;
        let mut options = WriteOptions::default();
        options.set_sync(true);
        db.write_opt(write, &options)
            .map_err(|e| failed(directory, e))?;
    }
}

fn failed(directory: &Path, error: rocksdb::Error) -> OpenError {
    OpenError::Migration {
        path: directory.to_owned(),
        message: error.into_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use flate2::read::GzDecoder;
    use tempfile::TempDir;
    use tillside_engine::state::lock;

    use super::*;
    use crate::rocks::{OpenOptions, RocksLog, format_file, open_database};
    use crate::{load, state_digest};

    fn unpacked(name: &str) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let archive = format!("{}/tests/format1/{name}", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::File::open(archive).expect("a directory of format 1");
        let mut archive = tar::Archive::new(GzDecoder::new(file));
        archive.unpack(folder.path()).expect("a packed directory");
        let data = folder.path().join("data");
        (folder, data)
    }

    /// Migrates until `steps` steps were taken, then ends as a kill would: everything written is synced, so only what
    /// the process remembers is lost. Answers the step it was killed before.
    fn killed_after(data: &Path, steps: usize) -> Option<Step> {
        let format = format_file::ensure(data).expect("a known format");
        let mut db = open_database(data, &OpenOptions::default()).expect("a database");
        let (mut taken, mut killed_before) = (0, None);
        let ended = migrate(data, &mut db, format, |step| {
            if taken == steps {
                killed_before = Some(step);
                return Err(OpenError::NotADataDir {
                    path: data.to_owned(),
                });
            }
            taken += 1;
            Ok(())
        });
        assert_eq!(ended.is_err(), killed_before.is_some(), "{ended:?}");
        killed_before
    }

    fn opened(data: &Path) -> (String, usize) {
        let log = RocksLog::open(data, OpenOptions::default()).expect("a directory that opens");
        let state = load(&log).expect("tables that load").state;
        let remembered = lock(&state.requests).len();
        (state_digest(&state).hex, remembered)
    }

    #[test]
    fn a_migration_killed_before_any_step_is_finished_by_the_next_start() {
        for name in ["killed.tar.gz", "stopped.tar.gz"] {
            let (_folder, data) = unpacked(name);
            let expected = opened(&data);
            assert!(expected.1 > 0, "requests are remembered");
            let mut before = Vec::new();
            loop {
                let (_folder, data) = unpacked(name);
                let Some(step) = killed_after(&data, before.len()) else {
                    break;
                };
                before.push(step);
                // Killed again at the same place, and by the time it says so the directory is of the present format.
                killed_after(&data, 0);
                let present = format_file::ensure(&data) == Ok(format_file::Format::Present);
                assert_eq!(present, step == Step::DropFormer, "{name} {step:?}");
                assert_eq!(opened(&data), expected, "{name} killed before {step:?}");
                assert_eq!(opened(&data), expected, "{name} opened once more");
            }
            let copies = before.len() - 2;
            assert!(copies > 2, "several writes: {before:?}");
            assert_eq!(before[copies..], [Step::SayFormat, Step::DropFormer]);
        }
    }
}
