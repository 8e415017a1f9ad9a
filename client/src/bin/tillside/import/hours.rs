//! Opening hours as people write them: `mon-sat 08:30-20:00; sun 09:00-13:00 15:30-20:00`.

use tillside_client::v1::OpeningHours;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_MINUTES: i32 = 24 * 60;
/// More than a store can have: seven days of eight intervals.
const INTERVALS_MAX: usize = 56;

/// Reads a week. Days that are not named are closed; an empty text is a store that never closes. An interval that ends
/// before it begins ends on the next day.
pub(super) fn parse(text: &str) -> Result<Vec<OpeningHours>, String> {
    let mut hours = Vec::new();
    for part in text
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let mut words = part.split_ascii_whitespace();
        let days = days(words.next().unwrap_or_default())?;
        let mut intervals = Vec::new();
        let mut closed = false;
        for word in words {
            match word {
                "closed" => closed = true,
                word => intervals.push(interval(word)?),
            }
        }
        if intervals.is_empty() != closed {
            return Err(format!(
                "{part:?} needs hours like 08:30-20:00, or the word closed"
            ));
        }
        for day in days {
            hours.extend(
                intervals
                    .iter()
                    .map(|&(open_minute, close_minute)| OpeningHours {
                        day,
                        open_minute,
                        close_minute,
                    }),
            );
        }
    }
    if hours.len() > INTERVALS_MAX {
        return Err(format!("more than {INTERVALS_MAX} intervals"));
    }
    if hours.is_empty() && !text.trim().is_empty() {
        return Err("closed all week; set the store's state to closed instead".to_owned());
    }
    Ok(hours)
}

/// `mon`, `mon-fri`, `sat-mon` or `mon,wed`, as ISO 8601 numbers.
fn days(word: &str) -> Result<Vec<i32>, String> {
    let mut days = Vec::new();
    for part in word.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last - first).rem_euclid(7);
        days.extend((0..=length).map(|step| (first + step).rem_euclid(7) + 1));
    }
    Ok(days)
}

fn day(word: &str) -> Result<i32, String> {
    let lower = word.to_ascii_lowercase();
    DAYS.iter()
        .position(|day| *day == lower)
        .and_then(|position| i32::try_from(position).ok())
        .ok_or_else(|| format!("{word:?} is not a day; write mon, tue, wed, thu, fri, sat or sun"))
}

fn interval(word: &str) -> Result<(i32, i32), String> {
    let bad = || format!("{word:?} is not an interval like 08:30-20:00");
    let (open, close) = word.split_once('-').ok_or_else(bad)?;
    let (open, close) = (
        minute(open).ok_or_else(bad)?,
        minute(close).ok_or_else(bad)?,
    );
    if open == DAY_MINUTES {
        return Err(bad());
    }
    Ok((
        open,
        if close > open {
            close
        } else {
            close + DAY_MINUTES
        },
    ))
}

/// Minutes after midnight of `HH:MM`, 24:00 included.
fn minute(word: &str) -> Option<i32> {
    let (hour, minute) = word.split_once(':')?;
    let number = |digits: &str| {
        (1..=2).contains(&digits.len()).then_some(())?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(())?;
        digits.parse::<i32>().ok()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    (minute < 60 && hour * 60 + minute <= DAY_MINUTES).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<&[(i32, i32, i32)]>) {
        let got = parse(text).ok().map(|hours| {
            hours
                .iter()
                .map(|hours| (hours.day, hours.open_minute, hours.close_minute))
                .collect::<Vec<_>>()
        });
        assert_eq!(got.as_deref(), expect, "{text:?}");
    }

    #[test]
    fn opening_hours_are_read_as_people_write_them() {
        check("", Some(&[]));
        check("mon 08:30-20:00", Some(&[(1, 510, 1200)]));
        check(
            "Sat-Mon 9:00-13:00",
            Some(&[(6, 540, 780), (7, 540, 780), (1, 540, 780)]),
        );
        check(
            "mon-tue 08:30-20:00; sun 09:00-13:00 15:30-20:00;",
            Some(&[
                (1, 510, 1200),
                (2, 510, 1200),
                (7, 540, 780),
                (7, 930, 1200),
            ]),
        );
        check(
            "mon,wed 08:00-24:00",
            Some(&[(1, 480, 1440), (3, 480, 1440)]),
        );
        check("fri 18:00-02:00", Some(&[(5, 1080, 1560)]));
        check("mon 00:00-00:00; tue closed", Some(&[(1, 0, 1440)]));
    }

    #[test]
    fn what_is_no_opening_hours_is_refused() {
        for text in [
            "always",
            "mon",
            "mon 8-20",
            "mon 08:30",
            "mon 08:60-20:00",
            "mon 25:00-26:00",
            "lun 08:30-20:00",
            "mon closed 08:00-10:00",
            "sun closed",
            "mon 24:00-02:00",
        ] {
            check(text, None);
        }
    }
}
