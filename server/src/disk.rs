//! The room on the disk of the data directory: a look every second, and a reserve below which no change is taken. So a
//! disk that fills up meets a server that says no in good order, and what was taken before still has room to be flushed
//! and compacted. Once the reserve is used up nothing is promised: then writes fail, and a failed write ends writing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tillside_engine::reject::Rejection;
use tillside_store::{Space, SpaceReport};

use crate::background::{Background, Pace};
use crate::gate::Gate;

/// How often the file system is asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The reserve where none is configured: the write-ahead logs (128 MiB live, eight kept for reuse), memtables that wait for
/// their flush, and the output of a compaction before its input goes (some hundred MiB) fit twice.
const RESERVE_BYTES: u64 = 1 << 30;
/// And never more than this part of the file system, so that a small disk can be used at all.
const RESERVE_PART: u64 = 20;
/// Changes are taken again once this part of the reserve is free beyond it, so that it does not flicker.
const HYSTERESIS_PART: u64 = 8;
/// What a byte of a batch may take until the next look: once in the write-ahead log, once flushed, once compacted.
const BYTES_PER_BYTE_WRITTEN: u64 = 3;

/// What is known about the room; cheap to ask on the way of every change.
#[derive(Debug)]
pub struct Room {
    reserve: AtomicU64,
    available: AtomicU64,
    total: AtomicU64,
    full: AtomicBool,
}

impl Default for Room {
    /// Room without end, until somebody looks.
    fn default() -> Self {
        Room {
            reserve: AtomicU64::new(0),
            available: AtomicU64::new(u64::MAX),
            total: AtomicU64::new(u64::MAX),
            full: AtomicBool::new(false),
        }
    }
}

impl Room {
    /// Whether changes are refused.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Why a change is refused.
    pub fn refusal(&self) -> Rejection {
        Rejection::DiskFull {
            available_bytes: self.available_bytes(),
            reserve_bytes: self.reserve_bytes(),
        }
    }

    /// Bytes this process may still write, as of the last look and what was written since.
    pub fn available_bytes(&self) -> u64 {
        self.available.load(Ordering::Acquire)
    }

    /// Bytes of the file system.
    pub fn total_bytes(&self) -> u64 {
        self.total.load(Ordering::Acquire)
    }

    /// Bytes that are kept free.
    pub fn reserve_bytes(&self) -> u64 {
        self.reserve.load(Ordering::Acquire)
    }

    /// Sets the reserve: as configured, or what suits a file system of `total` bytes.
    pub fn keep(&self, configured: Option<u64>, total: u64) {
        let reserve = configured.unwrap_or_else(|| RESERVE_BYTES.min(total / RESERVE_PART));
        self.reserve.store(reserve, Ordering::Release);
    }

    /// Takes in what the file system says.
    pub fn look(&self, available: u64, total: u64) {
        self.available.store(available, Ordering::Release);
        self.total.store(total, Ordering::Release);
        let reserve = self.reserve_bytes();
        let enough = reserve.saturating_add(reserve / HYSTERESIS_PART);
        if available < reserve {
            self.fill(available, reserve);
        } else if available >= enough && self.full.swap(false, Ordering::AcqRel) {
            tracing::info!(
                available,
                reserve,
                "the disk has room again; changes are taken"
            );
        }
    }

    /// Notes a batch of `bytes`: a burst between two looks cannot pass the reserve unseen.
    pub fn spend(&self, bytes: usize) {
        let bytes = (bytes as u64).saturating_mul(BYTES_PER_BYTE_WRITTEN);
        // One thread writes and one looks: where they meet, the look counts.
        let before = self.available_bytes();
        if before == u64::MAX {
            return;
        }
        let left = before.saturating_sub(bytes);
        let kept =
            self.available
                .compare_exchange(before, left, Ordering::AcqRel, Ordering::Acquire);
        let reserve = self.reserve_bytes();
        if kept.is_ok() && left < reserve {
            self.fill(left, reserve);
        }
    }

    fn fill(&self, available: u64, reserve: u64) {
        if !self.full.swap(true, Ordering::AcqRel) {
            tracing::error!(
                available,
                reserve,
                "the disk is nearly full: no changes are taken, reads go on; free or add space, or lower disk_reserve_bytes"
            );
        }
    }
}

/// What an operator asks about the disk.
#[derive(Clone)]
pub struct Storage {
    /// The room.
    pub room: Arc<Room>,
    /// What the database takes of it.
    pub space: Space,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage")
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

/// Looks once, so that the first change already meets an answer, then every second until the thread is dropped.
///
/// # Errors
/// Where the file system of `directory` cannot be asked, or no thread can be started.
pub fn watch(
    directory: PathBuf,
    configured: Option<u64>,
    room: Arc<Room>,
    gate: Arc<Gate>,
) -> std::io::Result<Background> {
    let (available, total) = ask(&directory)?;
    room.keep(configured, total);
    room.look(available, total);
    gate.refuse_writes(room.is_full());
    Background::start("disk", move |pace: &Pace| {
        let mut failing = false;
        while pace.rest(LOOK_EVERY) {
            match ask(&directory) {
                Ok((available, total)) => {
                    room.look(available, total);
                    gate.refuse_writes(room.is_full());
                    failing = false;
                }
                // What was known last still counts; a disk that is gone is noticed by the next write.
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(%error, "the file system of the data directory does not tell its free space");
                }
                Err(_) => {}
            }
        }
    })
}

/// (Bytes that may be written, bytes in all) of the file system of a directory.
fn ask(directory: &std::path::Path) -> std::io::Result<(u64, u64)> {
    let said = rustix::fs::statvfs(directory)?;
    Ok((
        said.f_bavail.saturating_mul(said.f_frsize),
        said.f_blocks.saturating_mul(said.f_frsize),
    ))
}

/// Describes the metrics of [`observe`].
pub fn describe() {
    metrics::describe_gauge!(
        "tillside_disk_available_bytes",
        metrics::Unit::Bytes,
        "Bytes that may still be written to the file system of the data directory."
    );
    metrics::describe_gauge!(
        "tillside_disk_reserve_bytes",
        metrics::Unit::Bytes,
        "Bytes kept free: below it no change is taken."
    );
    metrics::describe_gauge!(
        "tillside_disk_full",
        "1 while changes are refused because the disk is nearly full."
    );
    metrics::describe_gauge!(
        "tillside_disk_database_bytes",
        metrics::Unit::Bytes,
        "Bytes of every file of the database."
    );
    metrics::describe_gauge!(
        "tillside_disk_wal_bytes",
        metrics::Unit::Bytes,
        "Bytes of the write-ahead logs, those kept for reuse included."
    );
    metrics::describe_gauge!(
        "tillside_disk_table_bytes",
        metrics::Unit::Bytes,
        "Bytes of a table's files, by table."
    );
    metrics::describe_gauge!(
        "tillside_memtable_bytes",
        metrics::Unit::Bytes,
        "Bytes in memory that are not in a table's files yet, all tables."
    );
    metrics::describe_gauge!(
        "tillside_pending_compaction_bytes",
        metrics::Unit::Bytes,
        "Bytes that compaction is behind with, all tables."
    );
    metrics::describe_gauge!(
        "tillside_writes_stopped",
        "1 while writes stand still until flushes or compactions have caught up."
    );
    metrics::describe_gauge!(
        "tillside_writes_delayed_bytes_per_second",
        "What writes are slowed down to; 0: they are not."
    );
    metrics::describe_gauge!(
        "tillside_background_errors",
        "Flushes and compactions that failed; any ends writing."
    );
    metrics::describe_gauge!(
        "tillside_log_first_sequence",
        "The first record of the log that is kept; earlier ones are folded away."
    );
    metrics::describe_gauge!("tillside_log_last_sequence", "The last record of the log.");
    metrics::describe_counter!(
        "tillside_folded_records_total",
        "Records of the log folded into opening balances by this process."
    );
    metrics::describe_counter!(
        "tillside_fold_failures_total",
        "Folds that ended with an error; the log grows until the next start."
    );
}

/// Sets the gauges of the disk.
pub fn observe(storage: &Storage) {
    let room = &storage.room;
    metrics::gauge!("tillside_disk_available_bytes").set(room.available_bytes() as f64);
    metrics::gauge!("tillside_disk_reserve_bytes").set(room.reserve_bytes() as f64);
    metrics::gauge!("tillside_disk_full").set(f64::from(u8::from(room.is_full())));
    let report = match storage.space.report() {
        Ok(report) => report,
        Err(error) => {
            tracing::warn!(%error, "the database does not tell what it takes on disk");
            return;
        }
    };
    metrics::gauge!("tillside_disk_database_bytes").set(report.total_bytes as f64);
    metrics::gauge!("tillside_disk_wal_bytes").set(report.wal_bytes as f64);
    for table in &report.tables {
        metrics::gauge!("tillside_disk_table_bytes", "table" => table.table.name())
            .set(table.file_bytes as f64);
    }
    metrics::gauge!("tillside_memtable_bytes").set(memtable_bytes(&report) as f64);
    metrics::gauge!("tillside_pending_compaction_bytes")
        .set(pending_compaction_bytes(&report) as f64);
    metrics::gauge!("tillside_writes_stopped").set(f64::from(u8::from(report.write_stopped)));
    metrics::gauge!("tillside_writes_delayed_bytes_per_second")
        .set(report.delayed_write_rate as f64);
    metrics::gauge!("tillside_background_errors").set(report.background_errors as f64);
    metrics::gauge!("tillside_log_first_sequence").set(report.log_first as f64);
    metrics::gauge!("tillside_log_last_sequence").set(report.log_last as f64);
}

/// Of all tables.
pub fn memtable_bytes(report: &SpaceReport) -> u64 {
    report.tables.iter().map(|t| t.memtable_bytes).sum()
}

/// Of all tables.
pub fn pending_compaction_bytes(report: &SpaceReport) -> u64 {
    report
        .tables
        .iter()
        .map(|t| t.pending_compaction_bytes)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_reserve_suits_the_disk_and_zero_means_none() {
        let reserve = |configured, total| {
            let room = Room::default();
            room.keep(configured, total);
            room.reserve_bytes()
        };
        assert_eq!(reserve(None, 1000 * GIB), GIB);
        assert_eq!(reserve(None, 10 * GIB), GIB / 2);
        assert_eq!(reserve(Some(7), 10 * GIB), 7);
        let room = Room::default();
        room.keep(Some(0), 10 * GIB);
        room.look(0, 10 * GIB);
        assert!(!room.is_full());
    }

    #[test]
    fn it_fills_below_the_reserve_and_empties_well_above_it() {
        let room = Room::default();
        assert!(!room.is_full());
        room.spend(usize::MAX);
        assert!(!room.is_full(), "nobody has looked");
        room.keep(Some(800), 10_000);
        for (available, full) in [
            (800, false),
            (799, true),
            (899, true),
            (900, false),
            (850, false),
        ] {
            room.look(available, 10_000);
            assert_eq!(room.is_full(), full, "{available}");
        }
        room.spend(16);
        assert!(!room.is_full(), "802 are left");
        room.spend(1);
        assert!(room.is_full(), "a burst is seen before the next look");
        room.look(5_000, 10_000);
        assert!(!room.is_full());
    }
}
