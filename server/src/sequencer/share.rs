//! How much bulk a batch may hold while tills wait. What a row costs depends on the machine, its disk and what else runs
//! there, so the bound is not a number of rows but a time: the share shrinks where batches take longer than that, and
//! grows where bulk was held back by it.

use std::time::Duration;

/// The share, in rows of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BulkRows {
    rows: usize,
    rows_min: usize,
    rows_max: usize,
    batch: Duration,
}

impl BulkRows {
    /// A share between `rows_min` and `rows_max` that keeps batches near `batch`.
    pub(super) fn new(rows_min: usize, rows_max: usize, batch: Duration) -> Self {
        BulkRows {
            rows: rows_min,
            rows_min,
            rows_max: rows_max.max(rows_min),
            batch,
        }
    }

    /// Rows that bulk may add to the next batch.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// A batch with tills in it took so long, from its first command to the end of its sync; `cut`: more bulk was waiting.
    pub(super) fn learn(&mut self, took: Duration, cut: bool) {
        if took > self.batch {
            // Down faster than up: tills pay for a share that is too large.
            self.rows = (self.rows - self.rows / 4).max(self.rows_min);
        } else if cut {
            self.rows = (self.rows + self.rows / 16 + 1).min(self.rows_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Duration = Duration::from_millis(4);

    /// Batches whose time is `base` and `per_row` for each row of the share; the share at the end.
    fn settle(base: Duration, per_row: Duration, batches: usize) -> usize {
        let mut share = BulkRows::new(256, 4096, BATCH);
        for _ in 0..batches {
            let rows = u32::try_from(share.rows()).unwrap_or(u32::MAX);
            share.learn(base + per_row * rows, true);
        }
        share.rows()
    }

    #[test]
    fn the_share_settles_where_a_batch_takes_the_time_it_may() {
        let rows = settle(Duration::from_millis(1), Duration::from_micros(2), 1_000);
        assert!(
            (1_100..=1_600).contains(&rows),
            "{rows} rows of 2 us in 3 ms"
        );
    }

    #[test]
    fn a_slow_disk_leaves_bulk_the_least_and_a_fast_one_gives_it_the_most() {
        assert_eq!(settle(2 * BATCH, Duration::from_micros(2), 100), 256);
        assert_eq!(settle(Duration::ZERO, Duration::from_nanos(1), 1_000), 4096);
    }

    #[test]
    fn a_share_that_was_not_used_up_does_not_grow() {
        let mut share = BulkRows::new(256, 4096, BATCH);
        share.learn(Duration::ZERO, false);
        assert_eq!(share.rows(), 256);
    }
}
