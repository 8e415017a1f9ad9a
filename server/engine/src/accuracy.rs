//! How far a store's stock can be believed, learned from what pickers find. Each check of a pick counts with how much of
//! it was found; older checks count less, by number and by time, and without any a store is believed as most are. Whole
//! numbers only, so that a replay learns the same.

use crate::profile::decayed;
use crate::units::Time;

/// Weight of one check.
const ONE: u32 = 1 << 20;
/// A check counts 63/64 of itself after each later one: about the last 64 speak.
const KEEP: (u64, u64) = (63, 64);
/// What a store is believed without any check: as 50 checks of which 98 % were found.
const PRIOR: (u64, u64) = (50 * ONE as u64, 49 * ONE as u64);
/// Confidence in millionths from which on a store keeps back this many units more; the first that fits counts.
const EXTRA_UNITS: [(u32, i64); 3] = [(950_000, 0), (900_000, 1), (800_000, 2)];
/// Units kept back below all of them.
const EXTRA_UNITS_MAX: i64 = 3;
/// Millionths of the whole.
const PPM: u64 = 1_000_000;

/// What is known of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accuracy {
    /// Weight of all checks.
    pub checked: u32,
    /// Weight of what was found.
    pub found: u32,
    /// The day the weights are aged to.
    pub day: i64,
}

impl Accuracy {
    /// A picker looked for `expected` (more than zero) and found `found`, both in thousandths; more than was looked for
    /// counts as all of it.
    pub fn check(&mut self, expected: i64, found: i64, now: Time) {
        if expected <= 0 {
            return;
        }
        let (checked, all) = self.aged(now);
        let keep = |weight: u32| (u64::from(weight) * KEEP.0 / KEEP.1) as u32;
        let share = i128::from(ONE) * i128::from(found.clamp(0, expected)) / i128::from(expected);
        self.checked = keep(checked).saturating_add(ONE);
        self.found = keep(all).saturating_add(share as u32);
        self.day = self.day.max(now.day());
    }

    fn aged(&self, now: Time) -> (u32, u32) {
        let days = (now.day() - self.day).max(0);
        (decayed(self.checked, days), decayed(self.found, days))
    }

    /// How far the store's stock can be believed at `now`, in millionths.
    pub fn confidence_ppm(&self, now: Time) -> u32 {
        let (checked, found) = self.aged(now);
        let (checked, found) = (u64::from(checked) + PRIOR.0, u64::from(found) + PRIOR.1);
        (found * PPM / checked) as u32
    }

    /// Thousandths that the store keeps back on top of its buffers.
    pub fn extra(&self, now: Time) -> i64 {
        let confidence = self.confidence_ppm(now);
        let fits = EXTRA_UNITS.iter().find(|(from, _)| confidence >= *from);
        1000 * fits.map_or(EXTRA_UNITS_MAX, |(_, units)| *units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::DAY_MS;

    const DAY: Time = Time(20_000 * DAY_MS);

    fn after(checks: &[(i64, i64)]) -> Accuracy {
        let mut accuracy = Accuracy::default();
        for (expected, found) in checks {
            accuracy.check(*expected, *found, DAY);
        }
        accuracy
    }

    #[test]
    fn what_is_not_found_lowers_confidence_and_raises_the_buffer() {
        let check = |checks: &[(i64, i64)], confidence: u32, extra: i64| {
            let accuracy = after(checks);
            let got = (accuracy.confidence_ppm(DAY) / 1000, accuracy.extra(DAY));
            assert_eq!(got, (confidence, extra * 1000), "{checks:?}");
        };
        check(&[], 980, 0);
        check(&[(1000, 1000)], 980, 0);
        check(&[(1000, 0)], 960, 0);
        check(&[(1000, 0); 2], 942, 1);
        // Half of it found is half a miss; more than was looked for is all of it.
        check(&[(2000, 1000); 2], 961, 0);
        check(&[(1000, 5000)], 980, 0);
        check(&[(1000, 0); 6], 878, 2);
        check(&[(1000, 0); 60], 549, 3);
        // A check of nothing teaches nothing.
        check(&[(0, 0)], 980, 0);
    }

    #[test]
    fn old_checks_are_forgotten() {
        let bad = after(&[(1000, 0); 60]);
        let confidence = |days| bad.confidence_ppm(DAY.plus_ms(days * DAY_MS));
        assert!(confidence(0) < confidence(90));
        assert!(confidence(90) < 900_000);
        assert!(confidence(2000) > 979_000);
        // Good checks bring a store back.
        let mut store = bad;
        for _ in 0..200 {
            store.check(1000, 1000, DAY);
        }
        assert_eq!(store.extra(DAY), 0);
    }
}
