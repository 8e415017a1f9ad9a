//! Whether a database is all that it was. RocksDB opens with what its list of files (MANIFEST) says, and that list has no
//! end that could be told from a cut: files it no longer names are deleted as nobody's, tables it no longer names are made
//! anew. What it cannot see is looked for here, before and after it opens; nothing is repaired.

use std::path::Path;
use std::{fs, io};

use rocksdb::DB;
use tillside_engine::ids::Sequence;

use super::format_file;
use crate::error::{OpenError, StoreError};
use crate::mark::{self, Found};
use crate::table::{Key, Table};

/// Tables up to this number are in every database. Those after it came with format 2: they are made where a directory is
/// not of it yet.
const FIRST_TABLES_MAX: u8 = 17;

/// Where `CURRENT` is missing RocksDB begins a new database, and deletes the files of the old one.
pub(super) fn refuse_headless(directory: &Path, database: &Path) -> Result<(), OpenError> {
    let failed = |e: io::Error| format_file::failed(database, &e);
    let entries = match fs::read_dir(database) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        // A database that was killed while it was made has neither.
        if path.extension().is_some_and(|e| e == "sst" || e == "log") {
            return Err(broken(
                directory,
                "its file CURRENT is missing, but it has data".to_owned(),
            ));
        }
    }
    Ok(())
}

/// A table that is not named any more would be made anew, empty. One that was killed while it was made has acknowledged
/// nothing yet.
pub(super) fn refuse_missing_tables(directory: &Path, names: &[String]) -> Result<(), OpenError> {
    let found =
        mark::find(directory).map_err(|e| format_file::failed(&directory.join(mark::FILE), &e))?;
    let Found::At(mark) = found else {
        return Ok(());
    };
    let present = matches!(
        format_file::check(directory),
        Ok(format_file::Format::Present)
    );
    let missing = Table::ALL.into_iter().find(|table| {
        (present || table.number() <= FIRST_TABLES_MAX)
            && !names.iter().any(|name| name == table.name())
    });
    match missing {
        Some(table) if mark.sequence > Sequence(0) => Err(broken(
            directory,
            format!("its table {} is missing", table.name()),
        )),
        _ => Ok(()),
    }
}

/// The keys of the log are consecutive, so the first and last keys of its files tell whether one is missing, without
/// reading any. `first` is where the log begins.
pub(super) fn log_has_no_hole(db: &DB, first: Sequence) -> Result<(), StoreError> {
    let files = db.live_files().map_err(|e| StoreError::Read {
        table: Table::Log,
        message: e.into_string(),
    })?;
    let mut ranges = Vec::new();
    for file in files {
        if file.column_family_name == Table::Log.name()
            && let (Some(start), Some(end)) = (&file.start_key, &file.end_key)
        {
            let number =
                |key: &[u8]| Sequence::read(key).map_err(|problem| problem.at(Table::Log, key));
            ranges.push((number(start)?.0, number(end)?.0));
        }
    }
    ranges.sort_unstable();
    let mut expected = first.0;
    for (start, end) in ranges {
        if start > expected {
            let found = start;
            return Err(StoreError::Gap { expected, found });
        }
        expected = expected.max(end + 1);
    }
    Ok(())
}

fn broken(directory: &Path, message: String) -> OpenError {
    OpenError::Database {
        path: directory.to_owned(),
        message,
    }
}
