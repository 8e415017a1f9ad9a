//! The files of one backup: each against the checksum that was computed when it was copied, and then all of them side by
//! side as the database they are, by links in a temporary folder, so that nothing is copied and the backup is not touched.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{Progress, Report};
use crate::rocks::DATABASE;
use crate::rocks::backup::{BackupError, BackupManifest, ENGINE, ENGINE_META};

const CHUNK_BYTES: usize = 1 << 20;
/// Bytes between two reports of progress.
const BYTES_PER_REPORT: u64 = 64 << 20;
const ADVICE: &str = "Restore another backup, and check the disk";

/// A file as the engine lists it.
struct Listed {
    /// Below the engine's folder.
    path: String,
    checksum: Option<u32>,
}

/// Checks every file of a backup; answers a folder in which the backup looks like a data directory.
pub(super) fn check(
    directory: &Path,
    manifest: &BackupManifest,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<tempfile::TempDir, BackupError> {
    let engine = directory
        .join(ENGINE)
        .canonicalize()
        .map_err(|e| BackupError::io(&directory.join(ENGINE), &e))?;
    let view = tempfile::tempdir().map_err(|e| BackupError::io(&std::env::temp_dir(), &e))?;
    let database = view.path().join(DATABASE);
    fs::create_dir(&database).map_err(|e| BackupError::io(&database, &e))?;
    let meta = format!("{ENGINE_META}/{}", manifest.backup_id);
    let files = match fs::read_to_string(engine.join(&meta)) {
        Ok(text) => listed(&text),
        Err(error) => {
            report.add(meta, None, format!("cannot be read: {error}. {ADVICE}"));
            return Ok(view);
        }
    };
    let Some(files) = files else {
        let problem = format!("is not the list of files it should be. {ADVICE}");
        report.add(meta, None, problem);
        return Ok(view);
    };
    let mut bytes = 0;
    for file in &files {
        let path = engine.join(&file.path);
        match checksum(&path, &mut bytes, progress) {
            Ok(found) => {
                if file.checksum.is_some_and(|listed| listed != found) {
                    let problem = "has other bytes than when it was copied";
                    report.add(&file.path, None, format!("{problem}. {ADVICE}"));
                }
            }
            Err(error) => report.add(
                &file.path,
                None,
                format!("cannot be read: {error}. {ADVICE}"),
            ),
        }
        let link = database.join(database_name(&file.path));
        symlink(&path, &link).map_err(|e| BackupError::io(&link, &e))?;
    }
    if (files.len() as u64, bytes) != (u64::from(manifest.files), manifest.bytes) {
        let problem = format!(
            "has {} files of {bytes} bytes, and its manifest says {} of {}. {ADVICE}",
            files.len(),
            manifest.files,
            manifest.bytes
        );
        report.add(format!("backup {}", manifest.backup_id), None, problem);
    }
    Ok(view)
}

/// The engine's list: time, sequence, perhaps a line of metadata, the number of files, then a line for each.
fn listed(text: &str) -> Option<Vec<Listed>> {
    let mut lines = text.lines().skip(2).peekable();
    lines.next_if(|line| line.starts_with("metadata "));
    let count: usize = lines.next()?.parse().ok()?;
    let files: Vec<Listed> = lines.map(listed_file).collect::<Option<_>>()?;
    (files.len() == count).then_some(files)
}

fn listed_file(line: &str) -> Option<Listed> {
    let mut words = line.split(' ');
    let path = words.next()?.to_owned();
    // The list is damaged where it leads out of its folder.
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return None;
    }
    let mut checksum = None;
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        if name == "crc32" {
            checksum = Some(value.parse().ok()?);
        }
    }
    Some(Listed { path, checksum })
}

/// `shared_checksum/000012_session_size.sst` is `000012.sst` in the database; the others keep their names.
fn database_name(path: &str) -> PathBuf {
    let name = path.rsplit('/').next().unwrap_or(path);
    match (path.starts_with("shared_checksum/"), name.split_once('_')) {
        (true, Some((number, rest))) => {
            let ending = Path::new(rest).extension().unwrap_or_default();
            Path::new(number).with_extension(ending)
        }
        _ => PathBuf::from(name),
    }
}

fn checksum(path: &Path, bytes: &mut u64, progress: Progress<'_>) -> io::Result<u32> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut checksum = 0;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(checksum);
        }
        checksum = crc32c::crc32c_append(checksum, &chunk[..read]);
        let before = *bytes / BYTES_PER_REPORT;
        *bytes += read as u64;
        if *bytes / BYTES_PER_REPORT > before {
            progress("bytes of files", *bytes);
        }
    }
}
