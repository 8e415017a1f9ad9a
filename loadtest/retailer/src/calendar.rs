//! Business days in Europe/Rome. Only local times after 6 o'clock are asked for, which no change of summer time touches, so
//! one offset a day is exact.

use crate::WorldError;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

/// One business day.
#[derive(Debug, Clone)]
pub(crate) struct Day {
    /// "YYYY-MM-DD".
    pub(crate) date: String,
    /// 0 is Monday.
    pub(crate) weekday: u8,
    /// Unix second of local midnight by the offset that holds at noon.
    pub(crate) midnight_unix_seconds: i64,
    /// Receipts of all days before this one.
    pub(crate) first_receipt: u64,
    /// Receipts of this day; zero where all stores are shut.
    pub(crate) receipts: u64,
}

impl Day {
    /// Unix second of a local time of day.
    pub(crate) fn at(&self, second_of_day: u32) -> i64 {
        self.midnight_unix_seconds + i64::from(second_of_day)
    }
}

/// The `count` days before the local day of `end_unix_seconds`, oldest first, sharing `receipts` by weekday and season.
pub(crate) fn days_before(
    end_unix_seconds: i64,
    count: u32,
    receipts: u64,
) -> Result<Vec<Day>, WorldError> {
    let bad_end = |_| WorldError::BadEnd(end_unix_seconds);
    let rome = TimeZone::get("Europe/Rome").map_err(bad_end)?;
    let end = Timestamp::from_second(end_unix_seconds).map_err(bad_end)?;
    let last = end.to_zoned(rome.clone()).date();
    let mut days = Vec::with_capacity(count as usize);
    let mut weights = Vec::with_capacity(count as usize);
    for back in (1..=count).rev() {
        let date = last.checked_sub(i64::from(back).days()).map_err(bad_end)?;
        let noon = date
            .at(12, 0, 0, 0)
            .to_zoned(rome.clone())
            .map_err(bad_end)?;
        days.push(Day {
            date: date.to_string(),
            weekday: date.weekday().to_monday_zero_offset() as u8,
            midnight_unix_seconds: noon.timestamp().as_second() - 12 * 3600,
            first_receipt: 0,
            receipts: 0,
        });
        weights.push(weight(date));
    }
    // Rounding the running sum, not each day, makes the days add up to the whole.
    let total: f64 = weights.iter().sum();
    let mut sum = 0.0;
    let mut first_receipt = 0;
    for (day, weight) in days.iter_mut().zip(weights) {
        sum += weight;
        let next = ((receipts as f64 * (sum / total) + 0.5) as u64).min(receipts);
        (day.first_receipt, day.receipts) = (first_receipt, next - first_receipt);
        first_receipt = next;
    }
    Ok(days)
}

fn weight(date: jiff::civil::Date) -> f64 {
    const BY_WEEKDAY: [f64; 7] = [0.90, 0.85, 0.90, 0.95, 1.15, 1.45, 0.80];
    let season = match (date.month(), date.day()) {
        (1, 1) | (12, 25) | (12, 26) => 0.0,
        (12, 15..=24) => 1.45,
        (12, _) => 1.15,
        (8, 10..=20) => 0.75,
        _ => 1.0,
    };
    BY_WEEKDAY[date.weekday().to_monday_zero_offset() as usize] * season
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_follow_summer_time() {
        // 2026-03-31T00:00:00Z; summer time began on 2026-03-29.
        let days = days_before(1_774_915_200, 10, 1000).expect("valid end");
        let noon_utc = |date: &str| {
            let day = days
                .iter()
                .find(|day| day.date == date)
                .expect("day present");
            Timestamp::from_second(day.at(12 * 3600))
                .expect("in range")
                .to_string()
        };
        assert_eq!(noon_utc("2026-03-28"), "2026-03-28T11:00:00Z");
        assert_eq!(noon_utc("2026-03-30"), "2026-03-30T10:00:00Z");
        assert_eq!(days.last().map(|day| day.date.as_str()), Some("2026-03-30"));
        assert_eq!(days.iter().map(|day| day.receipts).sum::<u64>(), 1000);
    }
}
