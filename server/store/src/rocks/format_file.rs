//! The file `FORMAT` says that a directory is a data directory and of which format, before anything else is opened.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::error::OpenError;

const FILE: &str = "FORMAT";
const UNFINISHED: &str = "FORMAT.new";
const FORMAT_1: &str = "tillside data directory, format 1\n";

/// Checks the directory, and makes it where there is none or an empty one.
pub(super) fn ensure(directory: &Path) -> Result<(), OpenError> {
    fs::create_dir_all(directory).map_err(|e| failed(directory, &e))?;
    let path = directory.join(FILE);
    match fs::read(&path) {
        Ok(found) if found == FORMAT_1.as_bytes() => Ok(()),
        Ok(found) => {
            let found = String::from_utf8_lossy(&found[..found.len().min(80)])
                .trim()
                .to_owned();
            Err(OpenError::UnknownFormat {
                path: directory.to_owned(),
                found,
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            refuse_foreign(directory)?;
            create(directory).map_err(|e| failed(&path, &e))
        }
        Err(error) => Err(failed(&path, &error)),
    }
}

/// A mistyped path must not fill somebody's folder, and a data directory that lost its `FORMAT` is not taken for a new one.
fn refuse_foreign(directory: &Path) -> Result<(), OpenError> {
    for entry in fs::read_dir(directory).map_err(|e| failed(directory, &e))? {
        let name = entry.map_err(|e| failed(directory, &e))?.file_name();
        // A new file system has a lost+found; a start that was killed leaves the unfinished file.
        if name != "lost+found" && name != UNFINISHED {
            return Err(OpenError::NotADataDir {
                path: directory.to_owned(),
            });
        }
    }
    Ok(())
}

fn create(directory: &Path) -> io::Result<()> {
    let unfinished = directory.join(UNFINISHED);
    let mut file = File::create(&unfinished)?;
    file.write_all(FORMAT_1.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, directory.join(FILE))?;
    // A rename is durable only with its directory.
    File::open(directory)?.sync_all()
}

pub(super) fn failed(path: &Path, error: &io::Error) -> OpenError {
    OpenError::Io {
        path: path.to_owned(),
        message: error.to_string(),
    }
}
