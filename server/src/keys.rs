//! The key of the identifier index. It lives outside the data directory, so that data and backups alone tell nobody's
//! identifiers; lost, it cannot be made again, so a used data directory without its key is refused instead of mended.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tillside_engine::identity::{Identifier, IdentifierKind, IndexKey};
use tillside_engine::state::State;

/// Name of the key file in the keys directory.
pub const INDEX_KEY_FILE: &str = "identifier-index.key";
const KEY_BYTES: usize = 32;

/// Why there is no key to work with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The data needs a key that is gone.
    #[error(
        "the data directory {data_dir} is in use, but its key file {key_file} is missing; \
         restore the file from where keys are kept, or name its directory with --keys-dir"
    )]
    Missing {
        /// The data.
        data_dir: PathBuf,
        /// Where the key should be.
        key_file: PathBuf,
    },
    /// The file is not a key.
    #[error(
        "the key file {path} is damaged: it must have {KEY_BYTES} bytes; restore it from where keys are kept"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Others could read it.
    #[error("the key file {path} can be read by others (mode {mode:o}); run chmod 600 on it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The key belongs to other data.
    #[error(
        "the key file {path} does not belong to this data directory; name the right one with --keys-dir"
    )]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// The file system says no.
    #[error("cannot read or write the key file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Reads the index key, or makes it where the data directory is new.
pub fn load_or_create(keys_dir: &Path, data_dir: &Path) -> Result<IndexKey, KeyError> {
    let path = keys_dir.join(INDEX_KEY_FILE);
    let failed = |source| KeyError::Io {
        path: path.clone(),
        source,
    };
    match fs::read(&path) {
        Ok(bytes) => {
            let mode = fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(KeyError::Exposed { path, mode });
            }
            let key: [u8; KEY_BYTES] = bytes
                .try_into()
                .map_err(|_| KeyError::Damaged { path: path.clone() })?;
            Ok(IndexKey(key))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if in_use(data_dir).map_err(failed)? {
                return Err(KeyError::Missing {
                    data_dir: data_dir.into(),
                    key_file: path,
                });
            }
            create(keys_dir, &path).map_err(failed)
        }
        Err(e) => Err(failed(e)),
    }
}

/// The key in a directory; `None` where there is none. Nothing is made.
pub fn load(keys_dir: &Path) -> Result<Option<IndexKey>, KeyError> {
    if keys_dir.join(INDEX_KEY_FILE).exists() {
        // The data directory only matters where the key is missing.
        return load_or_create(keys_dir, Path::new("")).map(Some);
    }
    Ok(None)
}

/// Says which key it is to whoever has it, and nothing about the key: for backups, which must not hold it.
pub fn fingerprint(key: &IndexKey) -> String {
    let hash = blake3::derive_key("tillside 2026-11-22 fingerprint of the index key", &key.0);
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuses a key under which the loaded customers cannot be found: every one of them would be unknown.
pub fn check_belongs(key: &IndexKey, state: &State, keys_dir: &Path) -> Result<(), KeyError> {
    let Some(customer) = state
        .customers
        .iter()
        .next()
        .map(|entry| entry.value().clone())
    else {
        return Ok(());
    };
    let own_id = Identifier {
        kind: IdentifierKind::CustomerId,
        value: customer.personal.customer_id.clone(),
    };
    let known = customer
        .personal
        .identifiers
        .iter()
        .map(|k| &k.identifier)
        .chain([&own_id]);
    let found = known
        .into_iter()
        .any(|identifier| state.identifiers.contains_key(&key.hash(identifier)));
    found.then_some(()).ok_or_else(|| KeyError::WrongKey {
        path: keys_dir.join(INDEX_KEY_FILE),
    })
}

fn in_use(data_dir: &Path) -> io::Result<bool> {
    match fs::read_dir(data_dir) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Written aside and renamed, so that a crash leaves no half key behind that a later start would refuse.
fn create(keys_dir: &Path, path: &Path) -> io::Result<IndexKey> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(keys_dir)?;
    let key: [u8; KEY_BYTES] = rand::random();
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(keys_dir)?.sync_all()?;
    Ok(IndexKey(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let (keys, data) = (dir.path().join("keys"), dir.path().join("data"));
        let made = load_or_create(&keys, &data).expect("a new key");
        fs::create_dir(&data).expect("the data directory");
        fs::write(data.join("CURRENT"), b"x").expect("some data");
        assert_eq!(
            load_or_create(&keys, &data).expect("the same key").0,
            made.0
        );
        let mode = fs::metadata(keys.join(INDEX_KEY_FILE))
            .expect("the file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_fingerprint_tells_keys_apart() {
        let (one, other) = (IndexKey([1; KEY_BYTES]), IndexKey([2; KEY_BYTES]));
        assert_eq!(fingerprint(&one), fingerprint(&one.clone()));
        assert_ne!(fingerprint(&one), fingerprint(&other));
        assert_eq!(fingerprint(&one).len(), 16);
    }

    #[test]
    fn used_data_without_its_key_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("CURRENT"), b"x").expect("some data");
        let error = load_or_create(&dir.path().join("keys"), dir.path()).expect_err("a refusal");
        assert!(matches!(error, KeyError::Missing { .. }), "{error}");
    }

    #[test]
    fn a_damaged_or_exposed_key_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(INDEX_KEY_FILE);
        fs::write(&path, b"short").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        assert!(matches!(
            load_or_create(dir.path(), Path::new("none")),
            Err(KeyError::Damaged { .. })
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(matches!(
            load_or_create(dir.path(), Path::new("none")),
            Err(KeyError::Exposed { .. })
        ));
    }
}
