//! Whether flushes and compactions keep up with what is written. RocksDB slows the writer down, and at last stops it,
//! where they do not: whoever measures the writer has to know.

use std::sync::Arc;

use rocksdb::DB;

use crate::table::Table;

/// Asks a database how its background work is doing.
#[derive(Clone)]
pub struct WritePressure {
    db: Arc<DB>,
}

/// An answer; sums over all tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// How often the writer was slowed down since the database was opened.
    pub delays: u64,
    /// How often it was stopped.
    pub stops: u64,
    /// Bytes that compactions still have to rewrite.
    pub pending_compaction_bytes: u64,
    /// Files that no compaction has sorted in yet.
    pub level0_files: u64,
    /// Bytes of all tables' files.
    pub file_bytes: u64,
}

impl WritePressure {
    pub(super) fn new(db: Arc<DB>) -> Self {
        WritePressure { db }
    }

    /// How it is doing now. What the database does not tell counts as nothing.
    pub fn now(&self) -> Pressure {
        let mut sum = Pressure::default();
        for table in Table::ALL {
            let Some(family) = self.db.cf_handle(table.name()) else {
                continue;
            };
            let number = |property: &str| {
                let told = self.db.property_int_value_cf(family, property);
                told.ok().flatten().unwrap_or(0)
            };
            let stalls = self
                .db
                .property_value_cf(family, "rocksdb.cf-write-stall-stats");
            let stalls = stalls.ok().flatten().unwrap_or_default();
            sum.delays += count_after(&stalls, "total-delays");
            sum.stops += count_after(&stalls, "total-stops");
            sum.pending_compaction_bytes += number("rocksdb.estimate-pending-compaction-bytes");
            sum.level0_files += count_after(
                &self
                    .db
                    .property_value_cf(family, "rocksdb.num-files-at-level0")
                    .ok()
                    .flatten()
                    .unwrap_or_default(),
                "",
            );
            sum.file_bytes += number("rocksdb.total-sst-files-size");
        }
        sum
    }
}

/// The first number after `name`; zero where there is none.
fn count_after(text: &str, name: &str) -> u64 {
    let Some(at) = text.find(name) else { return 0 };
    let rest = text[at + name.len()..].trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_the_number_after_its_name() {
        let text = "total-delays: 12\ntotal-stops: 3\n";
        assert_eq!(count_after(text, "total-delays"), 12);
        assert_eq!(count_after(text, "total-stops"), 3);
        assert_eq!(count_after(text, "other"), 0);
        assert_eq!(count_after("7", ""), 7);
    }
}
