//! The page cache: what a file's pages take of it, and dropping them, which needs no privilege for clean pages.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

/// Writes out and drops what is cached of all files below `folder`; answers the bytes of files where that is not possible.
pub(super) fn drop_cached(folder: &Path) -> io::Result<u64> {
    let mut left = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            left += drop_cached(&path)?;
            continue;
        }
        match File::open(&path) {
            Ok(file) => {
                // Dirty pages stay, so they are written first; both only help the measurement, so failing is no error.
                let _ = file.sync_data();
                if fadvise(&file, 0, None, Advice::DontNeed).is_err() {
                    left += file.metadata()?.len();
                }
            }
            // Compactions remove files.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(left)
}

/// A folder that goes when it is dropped.
pub(super) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub(super) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("tillside-cold-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(TemporaryFolder(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Nothing better can be done than to leave it.
        let _ = fs::remove_dir_all(&self.0);
    }
}
