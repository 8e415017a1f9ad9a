//! How much bulk a batch may hold while tills wait. What a row costs depends on the machine and what else runs there, so
//! the bound is not a number of rows but the time deciding them takes; writing them takes less. A burst of bulk gets the
//! least, so that tills hardly notice it. A lane that has not been empty for a while gets more a batch, since every batch
//! costs a sync: bulk would fall behind for ever.

use std::time::{Duration, Instant};

/// How long the lane is full before it gets the most.
const FULL_FOR: Duration = Duration::from_millis(500);

/// The share, in time of deciding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BulkTime {
    least: Duration,
    most: Duration,
    /// When the lane was seen empty last.
    empty: Instant,
}

impl BulkTime {
    /// A share between `least` and `most`; the lane is empty `now`.
    pub(super) fn new(least: Duration, most: Duration, now: Instant) -> Self {
        BulkTime {
            least,
            most: most.max(least),
            empty: now,
        }
    }

    /// The lane is empty.
    pub(super) fn is_empty(&mut self, now: Instant) {
        self.empty = now;
    }

    /// How long after its begin a batch may still take in bulk.
    pub(super) fn allowed(&self, now: Instant) -> Duration {
        let full_for = now.saturating_duration_since(self.empty).min(FULL_FOR);
        self.least
            + (self.most - self.least).mul_f64(full_for.as_secs_f64() / FULL_FOR.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_millis(2);
    const MOST: Duration = Duration::from_millis(6);

    #[test]
    fn a_burst_gets_the_least_and_a_lane_that_stays_full_the_most() {
        let now = Instant::now();
        let share = BulkTime::new(LEAST, MOST, now);
        assert_eq!(share.allowed(now), LEAST);
        assert_eq!(share.allowed(now + FULL_FOR / 2), (LEAST + MOST) / 2);
        assert_eq!(share.allowed(now + 10 * FULL_FOR), MOST);
    }

    #[test]
    fn a_lane_that_was_emptied_is_a_burst_again() {
        let now = Instant::now();
        let mut share = BulkTime::new(LEAST, MOST, now);
        share.is_empty(now + 2 * FULL_FOR);
        assert_eq!(share.allowed(now + 2 * FULL_FOR), LEAST);
    }

    #[test]
    fn a_most_below_the_least_is_the_least() {
        let now = Instant::now();
        let share = BulkTime::new(MOST, LEAST, now);
        assert_eq!(share.allowed(now + FULL_FOR), MOST);
    }
}
