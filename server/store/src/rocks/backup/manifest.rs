//! What one backup is, in a small file of ours: a backup is there from the moment this file is, and not before. So a
//! backup that was cut short is never listed, and its leftovers are known to be nobody's.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tillside_engine::ids::Sequence;

use super::error::BackupError;
use crate::log::Position;

/// Folder of these files in the backup directory.
pub(super) const FOLDER: &str = "manifests";
const ENDING: &str = "json";
/// A manifest is some hundred bytes: a longer file is something else.
const BYTES_MAX: u64 = 64 << 10;

/// A complete backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    /// Its number; later backups have greater ones.
    pub backup_id: u32,
    /// When it was begun, milliseconds since 1970.
    pub create_time_ms: i64,
    /// How long it took.
    pub duration_ms: u64,
    /// Format of the data in it.
    pub format_version: u32,
    /// It holds every change up to this one; those that were made while it was copied may be in it too.
    pub sequence: u64,
    /// Checksum of the log's record at that sequence.
    pub checksum: u32,
    /// Says which key the data needs; tells nothing about the key. `None` where the data had none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_fingerprint: Option<String>,
    /// Bytes of all its files, also of those that it shares with other backups.
    pub bytes: u64,
    /// Bytes that were copied for it.
    pub new_bytes: u64,
    /// Its files, shared ones included.
    pub files: u32,
}

impl BackupManifest {
    /// What the backup holds at least.
    pub fn position(&self) -> Position {
        Position {
            sequence: Sequence(self.sequence),
            checksum: self.checksum,
        }
    }
}

/// The complete backups of a directory, oldest first, and the manifests that cannot be read.
#[derive(Debug, Default)]
pub struct BackupList {
    /// Complete backups.
    pub backups: Vec<BackupManifest>,
    /// One error a manifest.
    pub damaged: Vec<BackupError>,
}

/// Reads every manifest of a backup directory.
pub(super) fn list(directory: &Path) -> Result<BackupList, BackupError> {
    let mut list = BackupList::default();
    for id in ids(directory)? {
        match read(&path(directory, id)) {
            Ok(manifest) => list.backups.push(manifest),
            Err(error) => list.damaged.push(error),
        }
    }
    Ok(list)
}

/// Numbers of the backups that have a manifest, readable or not, in order.
pub(super) fn ids(directory: &Path) -> Result<Vec<u32>, BackupError> {
    let folder = directory.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(BackupError::io(&folder, &error)),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry.map_err(|e| BackupError::io(&folder, &e))?.file_name();
        let id = Path::new(&name)
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        // What was never renamed to its name is no manifest.
        if let Some(id) = id.filter(|id| name == file_name(*id).as_str()) {
            ids.push(id);
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

fn file_name(id: u32) -> String {
    format!("{id:010}.{ENDING}")
}

fn path(directory: &Path, id: u32) -> PathBuf {
    directory.join(FOLDER).join(file_name(id))
}

/// Makes a backup count, durably.
pub(super) fn write(directory: &Path, manifest: &BackupManifest) -> Result<(), BackupError> {
    let path = path(directory, manifest.backup_id);
    let failed = |e: io::Error| BackupError::io(&path, &e);
    let json = serde_json::to_string(manifest).map_err(|e| failed(e.into()))?;
    let text = format!("{json}\n{:08x}\n", crc32c::crc32c(json.as_bytes()));
    let aside = path.with_extension("new");
    let mut file = File::create(&aside).map_err(failed)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&aside, &path))
        .and_then(|()| File::open(directory.join(FOLDER))?.sync_all())
        .map_err(failed)
}

/// The backup no longer counts, durably: its files may go.
pub(super) fn remove(directory: &Path, id: u32) -> Result<(), BackupError> {
    let path = path(directory, id);
    fs::remove_file(&path)
        .and_then(|()| File::open(directory.join(FOLDER))?.sync_all())
        .map_err(|e| BackupError::io(&path, &e))
}

fn read(path: &Path) -> Result<BackupManifest, BackupError> {
    let damaged = |problem: &str| BackupError::ManifestDamaged {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    let failed = |e: io::Error| BackupError::io(path, &e);
    if fs::metadata(path).map_err(failed)?.len() > BYTES_MAX {
        return Err(damaged("is too long"));
    }
    let bytes = fs::read(path).map_err(failed)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged("is not text"))?;
    let (json, checksum) = text
        .strip_suffix('\n')
        .and_then(|text| text.rsplit_once('\n'))
        .ok_or_else(|| damaged("is cut short"))?;
    if checksum != format!("{:08x}", crc32c::crc32c(json.as_bytes())) {
        return Err(damaged("has a wrong checksum"));
    }
    serde_json::from_str(json).map_err(|e| damaged(&format!("cannot be read: {e}")))
}
