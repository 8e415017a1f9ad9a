//! The file `FORMAT` says that a directory is a data directory and of which format, before anything else is opened. It is
//! written last where a directory is restored, so that half a restore never opens.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::error::OpenError;

const FILE: &str = "FORMAT";
const UNFINISHED: &str = "FORMAT.new";
/// There from the first to the last moment of a restore; renaming it to `FORMAT` is what makes the restore count.
const RESTORING: &str = "FORMAT.restoring";
const FORMAT_1: &str = "tillside data directory, format 1\n";
const FORMAT_2: &str = "tillside data directory, format 2\n";

/// The format of a directory that this version can open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The first.
    One,
    /// The one this version writes, [`crate::FORMAT_VERSION`].
    Present,
}

/// Checks the directory, and makes it where there is none or an empty one.
pub(super) fn ensure(directory: &Path) -> Result<Format, OpenError> {
    fs::create_dir_all(directory).map_err(|e| failed(directory, &e))?;
    if let Some(format) = format_of(directory)? {
        return Ok(format);
    }
    refuse_foreign(directory)?;
    say_present(directory)?;
    Ok(Format::Present)
}

/// Says that the directory is of the present format.
pub(super) fn say_present(directory: &Path) -> Result<(), OpenError> {
    create(directory, UNFINISHED)
        .and_then(|()| publish(directory, UNFINISHED))
        .map_err(|e| failed(&directory.join(FILE), &e))
}

/// Checks the directory and changes nothing.
pub(super) fn check(directory: &Path) -> Result<Format, OpenError> {
    if let Some(format) = format_of(directory)? {
        return Ok(format);
    }
    refuse_unfinished(directory)?;
    Err(OpenError::NotADataDir {
        path: directory.to_owned(),
    })
}

/// The format of a data directory; `None` where it is none, an error where this version does not know it.
fn format_of(directory: &Path) -> Result<Option<Format>, OpenError> {
    let path = directory.join(FILE);
    match fs::read(&path) {
        Ok(found) if found == FORMAT_2.as_bytes() => Ok(Some(Format::Present)),
        Ok(found) if found == FORMAT_1.as_bytes() => Ok(Some(Format::One)),
        Ok(found) => {
            let found = String::from_utf8_lossy(&found[..found.len().min(80)])
                .trim()
                .to_owned();
            Err(OpenError::UnknownFormat {
                path: directory.to_owned(),
                found,
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&path, &error)),
    }
}

/// A mistyped path must not fill somebody's folder, and a data directory that lost its `FORMAT` is not taken for a new one.
fn refuse_foreign(directory: &Path) -> Result<(), OpenError> {
    refuse_unfinished(directory)?;
    if is_empty(directory).map_err(|e| failed(directory, &e))? {
        return Ok(());
    }
    Err(OpenError::NotADataDir {
        path: directory.to_owned(),
    })
}

fn refuse_unfinished(directory: &Path) -> Result<(), OpenError> {
    if directory.join(RESTORING).exists() {
        return Err(OpenError::RestoreUnfinished {
            path: directory.to_owned(),
        });
    }
    Ok(())
}

/// Whether nothing of anybody is in it.
pub(super) fn is_empty(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        // A new file system has a lost+found; a start that was killed leaves the unfinished file.
        if name != "lost+found" && name != UNFINISHED {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a restore began here and did not end.
pub(super) fn is_restoring(directory: &Path) -> bool {
    directory.join(RESTORING).exists() && !directory.join(FILE).exists()
}

/// From now on the directory is refused, until [`restored`].
pub(super) fn restoring(directory: &Path) -> io::Result<()> {
    create(directory, RESTORING)?;
    sync(directory)
}

/// The directory is whole from now on.
pub(super) fn restored(directory: &Path) -> io::Result<()> {
    publish(directory, RESTORING)
}

fn create(directory: &Path, name: &str) -> io::Result<()> {
    let mut file = File::create(directory.join(name))?;
    file.write_all(FORMAT_2.as_bytes())?;
    file.sync_all()
}

fn publish(directory: &Path, name: &str) -> io::Result<()> {
    fs::rename(directory.join(name), directory.join(FILE))?;
    // A rename is durable only with its directory.
    sync(directory)
}

pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

pub(super) fn failed(path: &Path, error: &io::Error) -> OpenError {
    OpenError::Io {
        path: path.to_owned(),
        message: error.to_string(),
    }
}
