//! What the sequencer has made durable since it started: with group commit, how many commands share one sync is the
//! difference between a disk that keeps up and one that does not.

use std::sync::atomic::{AtomicU64, Ordering};

/// What was written since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Writes, each with one sync of the log.
    pub appends: u64,
    /// Commands in them: each changed something and was acknowledged after its write.
    pub commands: u64,
    /// Bytes of keys and values, before the database adds its own.
    pub bytes: u64,
}

impl Written {
    /// Counts one write.
    pub(super) fn add(&mut self, commands: usize, bytes: usize) {
        self.appends += 1;
        self.commands += commands as u64;
        self.bytes += bytes as u64;
    }

    /// Syncs for each acknowledged command; zero before the first.
    pub fn syncs_per_command(&self) -> f64 {
        self.appends as f64 / self.commands.max(1) as f64
    }

    /// What was written after `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Written) -> Written {
        Written {
            appends: self.appends - earlier.appends,
            commands: self.commands - earlier.commands,
            bytes: self.bytes - earlier.bytes,
        }
    }
}

/// The same where any thread may look. Each number is right; together they may be of two moments.
#[derive(Debug, Default)]
pub(super) struct SharedWritten {
    appends: AtomicU64,
    commands: AtomicU64,
    bytes: AtomicU64,
}

impl SharedWritten {
    pub(super) fn set(&self, written: Written) {
        self.appends.store(written.appends, Ordering::Relaxed);
        self.commands.store(written.commands, Ordering::Relaxed);
        self.bytes.store(written.bytes, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Written {
        Written {
            appends: self.appends.load(Ordering::Relaxed),
            commands: self.commands.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}
