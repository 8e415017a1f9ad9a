//! The counts of one file, written by the thread that reads it and by the task that hears from the server.
//!
//! Once a file is done, rows = accepted + unchanged + rejected.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// What became of the rows of one file.
#[derive(Debug)]
pub(super) struct Tally {
    /// The file.
    pub(super) file: String,
    /// Its length on disk; zero where no progress is shown.
    pub(super) length_bytes: u64,
    started: Instant,
    elapsed: Mutex<Option<Duration>>,
    /// Bytes of the file read so far.
    bytes: AtomicU64,
    rows: AtomicU64,
    accepted: AtomicU64,
    unchanged: AtomicU64,
    rejected: AtomicU64,
    /// Things sent: receipts, customers, counts. Rows for all files but receipts.
    sent: AtomicU64,
    /// Taken but unusual, by reason.
    warnings: Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    pub(super) fn new(file: &str, length_bytes: u64) -> Self {
        Self {
            file: file.to_owned(),
            length_bytes,
            started: Instant::now(),
            elapsed: Mutex::new(None),
            bytes: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            unchanged: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            warnings: Mutex::default(),
        }
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn add_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Relaxed);
    }

    pub(super) fn add_accepted(&self, rows: u64) {
        self.accepted.fetch_add(rows, Relaxed);
    }

    pub(super) fn add_unchanged(&self, rows: u64) {
        self.unchanged.fetch_add(rows, Relaxed);
    }

    pub(super) fn add_rejected(&self, rows: u64) {
        self.rejected.fetch_add(rows, Relaxed);
    }

    pub(super) fn add_sent(&self, things: u64) {
        self.sent.fetch_add(things, Relaxed);
    }

    pub(super) fn add_warning(&self, reason: &str) {
        // Reasons are the server's own few words; the bound is against a server that makes them up.
        const REASONS_MAX: usize = 64;
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.len() < REASONS_MAX || warnings.contains_key(reason) {
            *warnings.entry(reason.to_owned()).or_default() += 1;
        }
    }

    /// Stops the clock.
    pub(super) fn end(&self) {
        *self.elapsed.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.started.elapsed());
    }

    pub(super) fn elapsed(&self) -> Duration {
        let elapsed = *self.elapsed.lock().unwrap_or_else(PoisonError::into_inner);
        elapsed.unwrap_or_else(|| self.started.elapsed())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    pub(super) fn unchanged(&self) -> u64 {
        self.unchanged.load(Relaxed)
    }

    pub(super) fn rejected(&self) -> u64 {
        self.rejected.load(Relaxed)
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    pub(super) fn warnings(&self) -> BTreeMap<String, u64> {
        self.warnings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn rows_per_second(&self) -> f64 {
        let seconds = self.elapsed().as_secs_f64();
        if seconds > 0.0 {
            self.rows() as f64 / seconds
        } else {
            0.0
        }
    }
}
