//! The demo's directory: the server's data, its log, and a note of which world lies there. The note keeps the world's end,
//! so that a demo that was interrupted goes on with the same receipts.

use super::{DemoArgs, world};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Which world a directory holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    seed: u64,
    stores: u32,
    products: u32,
    customers: u32,
    receipts: u64,
    /// End of the world's time; unset until the server told its clock.
    end_unix_seconds: Option<i64>,
}

/// A directory for one world.
#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    wanted: Note,
}

impl Directory {
    /// Opens the directory the arguments name, or the world's own in the user's cache. Makes it where it is missing.
    pub(super) fn open(args: &DemoArgs) -> anyhow::Result<Self> {
        // Refuses sizes out of bounds before anything is started or deleted.
        world::make(args, 0)?;
        let wanted = Note {
            seed: args.seed,
            stores: args.stores,
            products: args.products,
            customers: args.customers,
            receipts: args.receipts,
            end_unix_seconds: None,
        };
        let root = match &args.data_dir {
            Some(root) => root.clone(),
            None => cache()?.join("demo").join(format!(
                "seed-{}-{}-{}-{}-{}",
                args.seed, args.stores, args.products, args.customers, args.receipts
            )),
        };
        let directory = Self { root, wanted };
        let found = directory.note()?;
        if args.fresh {
            directory.clear(found.is_some())?;
        } else if let Some(found) = found {
            anyhow::ensure!(
                directory.is_wanted(&found),
                "{} holds another world (seed {}, {} stores, {} products, {} customers, {} receipts); name another --data-dir or add --fresh",
                directory.root.display(),
                found.seed,
                found.stores,
                found.products,
                found.customers,
                found.receipts
            );
        } else {
            directory.must_be_empty()?;
        }
        fs::create_dir_all(directory.data())
            .with_context(|| format!("Cannot make {}", directory.data().display()))?;
        if directory.note()?.is_none() {
            directory.write(&directory.wanted)?;
        }
        Ok(directory)
    }

    /// The directory itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The server's data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.root.join("server")
    }

    /// Where the server keeps its keys: beside its data, not in it.
    pub(super) fn keys(&self) -> PathBuf {
        self.root.join("server-keys")
    }

    /// Where the server's log goes.
    pub(super) fn log(&self) -> PathBuf {
        self.root.join("server.log")
    }

    /// The end of the world's time: as noted, else the server's clock now, noted from here on.
    pub(super) fn world_end(&self, now_seconds: i64) -> anyhow::Result<i64> {
        let noted = self.note()?.and_then(|note| note.end_unix_seconds);
        if let Some(end) = noted {
            return Ok(end);
        }
        let end = whole_hour(now_seconds);
        self.write(&Note {
            end_unix_seconds: Some(end),
            ..self.wanted.clone()
        })?;
        Ok(end)
    }

    fn is_wanted(&self, found: &Note) -> bool {
        let found = Note {
            end_unix_seconds: None,
            ..found.clone()
        };
        found == self.wanted
    }

    fn note(&self) -> anyhow::Result<Option<Note>> {
        let path = self.note_path();
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .with_context(|| format!("{} is not a demo's note", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("Cannot read {}", path.display())),
        }
    }

    fn write(&self, note: &Note) -> anyhow::Result<()> {
        let path = self.note_path();
        fs::write(&path, serde_json::to_vec_pretty(note)?)
            .with_context(|| format!("Cannot write {}", path.display()))
    }

    fn note_path(&self) -> PathBuf {
        self.root.join("demo.json")
    }

    /// Deletes only what a demo put there.
    fn clear(&self, noted: bool) -> anyhow::Result<()> {
        if !noted {
            return self.must_be_empty();
        }
        for part in [self.data(), self.keys()] {
            if part.exists() {
                fs::remove_dir_all(&part)
                    .with_context(|| format!("Cannot delete {}", part.display()))?;
            }
        }
        fs::remove_file(self.note_path())?;
        Ok(())
    }

    fn must_be_empty(&self) -> anyhow::Result<()> {
        let empty = match fs::read_dir(&self.root) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        anyhow::ensure!(
            empty,
            "{} is not a demo's directory and not empty; name another --data-dir",
            self.root.display()
        );
        Ok(())
    }
}

/// The last whole hour, so that stock counted "now" is not in the future for a server whose clock is a little behind.
pub(super) fn whole_hour(seconds: i64) -> i64 {
    seconds.div_euclid(3600) * 3600
}

/// Where programs keep what can be made again.
fn cache() -> anyhow::Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    variable("TILLSIDE_CACHE")
        .map(PathBuf::from)
        .or_else(|| variable("XDG_CACHE_HOME").map(|dir| PathBuf::from(dir).join("tillside")))
        .or_else(|| variable("HOME").map(|dir| PathBuf::from(dir).join(".cache").join("tillside")))
        .context("there is no home directory; name a --data-dir")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(root: &Path, seed: u64) -> DemoArgs {
        DemoArgs {
            once: true,
            seed,
            stores: 3,
            products: 100,
            customers: 10,
            receipts: 10,
            data_dir: Some(root.to_owned()),
            fresh: false,
            port: None,
            running: false,
        }
    }

    #[test]
    fn a_world_keeps_its_end_and_refuses_another_world() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let directory = Directory::open(&args(temp.path(), 1)).expect("empty");
        assert_eq!(directory.world_end(1_000_000).expect("written"), 997_200);
        let again = Directory::open(&args(temp.path(), 1)).expect("the same world");
        assert_eq!(again.world_end(9_000_000).expect("noted"), 997_200);
        let other = Directory::open(&args(temp.path(), 2)).expect_err("another world");
        assert!(
            other.to_string().contains("holds another world (seed 1"),
            "{other}"
        );
        let fresh = DemoArgs {
            fresh: true,
            ..args(temp.path(), 2)
        };
        let fresh = Directory::open(&fresh).expect("cleared");
        assert_eq!(fresh.world_end(9_000_000).expect("written"), 9_000_000);
    }

    #[test]
    fn what_no_demo_made_is_not_touched() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        fs::write(temp.path().join("letter.txt"), "dear").expect("written");
        for fresh in [false, true] {
            let refused = Directory::open(&DemoArgs {
                fresh,
                ..args(temp.path(), 1)
            });
            assert!(refused.is_err());
        }
        assert!(temp.path().join("letter.txt").exists());
    }
}
