//! `grpc-timeout`: how long the caller waits. Work whose deadline has passed is not begun; work under way is never
//! torn off by a timer here, because reads never wait and the sequencer checks the deadline before it decides.

use std::time::{Duration, Instant};

use http::HeaderMap;

/// The instant after which the caller no longer waits. A timeout that cannot be read is none, as the protocol says nothing
/// better.
pub fn parse(headers: &HeaderMap, now: Instant) -> Option<Instant> {
    let value = headers.get("grpc-timeout")?.as_bytes();
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits
        .iter()
        .fold(0u64, |sum, d| sum * 10 + u64::from(d - b'0'));
    let timeout = match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    };
    now.checked_add(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_of_every_unit_are_read_and_nonsense_is_none() {
        let now = Instant::now();
        let check = |text: &str, expect: Option<Duration>| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("a header value"));
            assert_eq!(parse(&headers, now), expect.map(|d| now + d), "{text}");
        };
        check("2H", Some(Duration::from_secs(7200)));
        check("3M", Some(Duration::from_secs(180)));
        check("99999999S", Some(Duration::from_secs(99_999_999)));
        check("250m", Some(Duration::from_millis(250)));
        check("5u", Some(Duration::from_micros(5)));
        check("0n", Some(Duration::ZERO));
        for nonsense in ["", "S", "1", "1x", "-1S", "123456789S", "1.5S"] {
            check(nonsense, None);
        }
        assert_eq!(parse(&HeaderMap::new(), now), None);
    }
}
