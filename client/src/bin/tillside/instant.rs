//! Times as text: RFC 3339 in, UTC or a store's own zone out.

use jiff::{Timestamp, civil, tz::TimeZone};
use prost_types::Timestamp as ProtoTimestamp;

/// Seconds and nanoseconds since 1970 of an RFC 3339 time. A time without a zone is UTC. `None` where it is no time.
pub(crate) fn parse(text: &[u8]) -> Option<ProtoTimestamp> {
    parse_plain(text).or_else(|| parse_any(text))
}

/// The form that tills write, `YYYY-MM-DDTHH:MM:SS` with or without a `Z`. Others are left to [`parse_any`].
fn parse_plain(text: &[u8]) -> Option<ProtoTimestamp> {
    let text: &[u8; 19] = match text {
        [plain @ .., b'Z'] if plain.len() == 19 => plain.try_into().ok()?,
        plain => plain.try_into().ok()?,
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, byte)| text[at] != byte) {
        return None;
    }
    let (year, month, day) = (
        number(&text[0..4])?,
        number(&text[5..7])?,
        number(&text[8..10])?,
    );
    let (hour, minute, second) = (
        number(&text[11..13])?,
        number(&text[14..16])?,
        number(&text[17..19])?,
    );
    if !is_date(year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(ProtoTimestamp {
        seconds: days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second,
        nanos: 0,
    })
}

/// Every other RFC 3339 form: fractions, offsets, a space for the T.
fn parse_any(text: &[u8]) -> Option<ProtoTimestamp> {
    // A date alone is no instant.
    if text.len() < 16 {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let time = text
        .parse::<Timestamp>()
        .or_else(|_| {
            text.parse::<civil::DateTime>()?
                .to_zoned(TimeZone::UTC)
                .map(|zoned| zoned.timestamp())
        })
        .ok()?;
    // Protobuf wants nanoseconds that count forwards, also before 1970.
    let nanoseconds = time.as_nanosecond();
    Some(ProtoTimestamp {
        seconds: i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?,
        nanos: i32::try_from(nanoseconds.rem_euclid(1_000_000_000)).ok()?,
    })
}

/// Whether `text` is a calendar date `YYYY-MM-DD`.
pub(crate) fn is_civil_date(text: &[u8]) -> bool {
    let parts = || {
        if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
            return None;
        }
        Some((
            number(&text[0..4])?,
            number(&text[5..7])?,
            number(&text[8..10])?,
        ))
    };
    parts().is_some_and(|(year, month, day)| is_date(year, month, day))
}

/// A time for people, in UTC, to the second.
pub(crate) fn format(time: &ProtoTimestamp) -> String {
    Timestamp::from_second(time.seconds).map_or_else(|_| String::from("?"), |time| time.to_string())
}

/// The same where there may be none.
pub(crate) fn format_optional(time: Option<&ProtoTimestamp>) -> String {
    time.map(format).unwrap_or_default()
}

/// A time for people in a store's zone, for example "Mon 2026-03-02 08:30"; UTC where the zone is unknown.
pub(crate) fn format_in_zone(time: &ProtoTimestamp, zone: &str) -> String {
    let Ok(instant) = Timestamp::from_second(time.seconds) else {
        return String::from("?");
    };
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    instant
        .to_zoned(zone)
        .strftime("%a %Y-%m-%d %H:%M")
        .to_string()
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + i64::from(byte - b'0'))
    })
}

fn is_date(year: i64, month: i64, day: i64) -> bool {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    year >= 1 && (1..=days).contains(&day)
}

/// Days from 1970-01-01 in the Gregorian calendar. Years are counted from March, so that the leap day is a year's last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<(i64, i32)>) {
        let got = parse(text.as_bytes()).map(|time| (time.seconds, time.nanos));
        assert_eq!(got, expect, "{text:?}");
    }

    #[test]
    fn times_are_read_in_every_form_of_rfc_3339() {
        check("1970-01-01T00:00:00Z", Some((0, 0)));
        check("1970-01-01T00:00:00", Some((0, 0)));
        check("2017-01-01T11:53:26", Some((1_483_271_606, 0)));
        check("2017-01-01 11:53:26", Some((1_483_271_606, 0)));
        check("2024-02-29T23:59:59Z", Some((1_709_251_199, 0)));
        check("2017-01-01T12:53:26+01:00", Some((1_483_271_606, 0)));
        check("2017-01-01T11:53:26.5Z", Some((1_483_271_606, 500_000_000)));
        check("1969-12-31T23:59:59.25Z", Some((-1, 250_000_000)));
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "yesterday",
            "2017-01-01",
            "2023-02-29T00:00:00Z",
            "2017-13-01T00:00:00Z",
            "2017-01-01T24:00:00Z",
            "2017-01-01T00:60:00Z",
            "01/02/2017 10:00:00",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn the_fast_path_agrees_with_the_calendar_on_every_day_of_four_centuries() {
        let mut date = civil::date(1799, 12, 31);
        while date < civil::date(2201, 1, 2) {
            let text = format!("{date}T01:02:03Z");
            let expect: Timestamp = text.parse().expect("a valid time");
            let got = parse_plain(text.as_bytes()).map(|time| time.seconds);
            assert_eq!(got, Some(expect.as_second()), "{text}");
            date = date.tomorrow().expect("in range");
        }
    }
}
