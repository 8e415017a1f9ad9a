//! Backups of a serving server: one at a time, on a thread that yields to those who answer, as operations that can be
//! asked after. Where they go is configuration; a caller only says "now". Operations live as long as the process: a backup
//! counts by its manifest on disk, not by what is remembered here.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tillside_engine::units::Time;
use tillside_store::backup::{self, BackupError, BackupList, BackupProgress};
use tillside_store::{BackupHandle, BackupManifest, BackupRequest};

use crate::background::yield_to_others;
use crate::clock::Clock;

/// Operations remembered: a caller asks after its own within minutes.
const REMEMBERED_MAX: usize = 100;

/// Makes and lists backups.
pub struct Backups {
    directory: PathBuf,
    kept: usize,
    key_fingerprint: String,
    handle: BackupHandle,
    book: Mutex<Book>,
    /// Told whenever a backup has ended.
    ended: Condvar,
}

#[derive(Default)]
struct Book {
    /// The oldest first; at most one is running, and it is the last.
    operations: VecDeque<Entry>,
    /// No more are begun: the server is stopping.
    closed: bool,
}

struct Entry {
    request_id: String,
    progress: Option<BackupProgress>,
    operation: Operation,
}

/// A backup under way or ended.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its name.
    pub id: String,
    /// When it began.
    pub started: Time,
    /// When it ended, and how; `None` while it is running.
    pub ended: Option<(Time, Result<BackupManifest, String>)>,
    /// Bytes copied so far.
    pub bytes_done: u64,
    /// Bytes to copy, an estimate; 0 where it is not known.
    pub bytes_expected: u64,
}

/// Why no backup was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// This one is still running.
    Running(String),
    /// The server is stopping.
    Stopping,
    /// The operating system gives no thread.
    NoThread(String),
}

impl std::fmt::Debug for Backups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backups")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl Backups {
    /// Backups of a log into a directory; none is made yet.
    pub fn new(
        directory: PathBuf,
        kept: usize,
        key_fingerprint: String,
        handle: BackupHandle,
    ) -> Self {
        let backups = Backups {
            directory,
            kept,
            key_fingerprint,
            handle,
            book: Mutex::default(),
            ended: Condvar::new(),
        };
        // What a dashboard watches is the age of the latest backup, which a restart must not hide. A directory that
        // cannot be read now keeps no till from being served.
        match backups.list() {
            Ok(list) => {
                if let Some(latest) = list.backups.last() {
                    observe(latest);
                }
                for error in list.damaged {
                    tracing::warn!(%error, "a backup cannot be used");
                }
            }
            Err(error) => {
                tracing::error!(%error, "backups will fail until the backup directory is mended");
            }
        }
        backups
    }

    /// Begins a backup, or answers the one that was begun for this request.
    pub fn create(self: &Arc<Self>, request_id: &str) -> Result<Operation, Refused> {
        let mut book = self.lock();
        let known = book.operations.iter().find(|e| e.request_id == request_id);
        if let Some(known) = known {
            return Ok(known.seen());
        }
        if book.closed {
            return Err(Refused::Stopping);
        }
        if let Some(running) = book.running() {
            return Err(Refused::Running(running.operation.id.clone()));
        }
        let operation = Operation {
            id: format!("backup-{:016x}", rand::random::<u64>()),
            started: Clock::System.now(),
            ended: None,
            bytes_done: 0,
            bytes_expected: 0,
        };
        let this = Arc::clone(self);
        let started = operation.started;
        std::thread::Builder::new()
            .name("backup".into())
            .spawn(move || this.run(started))
            .map_err(|e| Refused::NoThread(e.to_string()))?;
        if book.operations.len() == REMEMBERED_MAX {
            book.operations.pop_front();
        }
        book.operations.push_back(Entry {
            request_id: request_id.to_owned(),
            progress: None,
            operation: operation.clone(),
        });
        Ok(operation)
    }

    /// The operation of this name, as far as it is. It looks at files.
    pub fn operation(&self, id: &str) -> Option<Operation> {
        let book = self.lock();
        let entry = book.operations.iter().find(|e| e.operation.id == id)?;
        Some(entry.seen())
    }

    /// The complete backups on disk. It reads files.
    ///
    /// # Errors
    /// [`BackupError`] where the directory cannot be read.
    pub fn list(&self) -> Result<BackupList, BackupError> {
        backup::list(&self.directory)
    }

    /// Begins no more, and waits for the one that is running; false where it still is after `patience`. Ending the
    /// process then is like killing it: the backup is not complete, the earlier ones are, and the next removes the rest.
    pub fn close(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut book = self.lock();
        book.closed = true;
        while book.running().is_some() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.ended.wait_timeout(book, left);
            book = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// The backup's thread. The lock is held by whoever started it until the operation is in the book.
    fn run(&self, started: Time) {
        // The threads that copy are made by this one and inherit its priority. Without permission it is a busier one.
        yield_to_others();
        let request = BackupRequest {
            create_time_ms: started.0,
            kept: self.kept,
            key_fingerprint: Some(self.key_fingerprint.clone()),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.handle.create(&self.directory, &request, |progress| {
                if let Some(entry) = self.lock().running_mut() {
                    entry.progress = Some(progress);
                }
            })
        }));
        let outcome = match outcome {
            Ok(Ok(created)) => {
                if let Some(error) = created.not_tidied {
                    tracing::warn!(%error, "older backups could not be removed; the next backup tries again");
                }
                Ok(created.manifest)
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("a bug stopped the backup; see the server's log".to_owned()),
        };
        self.finish(outcome);
    }

    fn finish(&self, outcome: Result<BackupManifest, String>) {
        match &outcome {
            Ok(manifest) => {
                metrics::counter!("tillside_backups_total", "outcome" => "succeeded").increment(1);
                observe(manifest);
                tracing::info!(
                    backup_id = manifest.backup_id,
                    sequence = manifest.sequence,
                    bytes = manifest.bytes,
                    new_bytes = manifest.new_bytes,
                    took_ms = manifest.duration_ms,
                    "backup complete"
                );
            }
            Err(error) => {
                metrics::counter!("tillside_backups_total", "outcome" => "failed").increment(1);
                tracing::error!(%error, "backup failed");
            }
        }
        if let Some(entry) = self.lock().running_mut() {
            entry.operation = entry.seen();
            if let Ok(manifest) = &outcome {
                entry.operation.bytes_done = manifest.new_bytes;
            }
            entry.progress = None;
            entry.operation.ended = Some((Clock::System.now(), outcome));
        }
        self.ended.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn running(&self) -> Option<&Entry> {
        self.operations
            .back()
            .filter(|e| e.operation.ended.is_none())
    }

    fn running_mut(&mut self) -> Option<&mut Entry> {
        self.operations
            .back_mut()
            .filter(|e| e.operation.ended.is_none())
    }
}

impl Entry {
    fn seen(&self) -> Operation {
        let mut operation = self.operation.clone();
        if let Some(progress) = &self.progress {
            operation.bytes_done = progress.copied_bytes();
            operation.bytes_expected = progress.expected_bytes;
        }
        operation
    }
}

fn observe(latest: &BackupManifest) {
    metrics::gauge!("tillside_backup_last_success_seconds").set(latest.create_time_ms as f64 / 1e3);
    metrics::gauge!("tillside_backup_last_took_seconds").set(latest.duration_ms as f64 / 1e3);
    metrics::gauge!("tillside_backup_last_bytes", "kind" => "all").set(latest.bytes as f64);
    metrics::gauge!("tillside_backup_last_bytes", "kind" => "copied").set(latest.new_bytes as f64);
}
