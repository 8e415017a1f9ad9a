//! What the subcommands print: results on stdout, progress and failures on stderr.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// How often progress is told.
const INTERVAL: Duration = Duration::from_secs(1);

/// A line on stdout. Unlike `println!` it does not panic where the reader went away.
pub(super) fn line(text: &str) {
    // Whoever reads no more misses nothing he wants.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Says what went wrong.
pub(super) fn failure(message: &str, json: bool) {
    let mut stderr = std::io::stderr().lock();
    let _ = if json {
        writeln!(stderr, "{}", serde_json::json!({ "error": message }))
    } else {
        writeln!(stderr, "tillside-server: {message}")
    };
}

/// Bytes for people.
pub(super) fn bytes(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut size = bytes as f64 / 1e3;
    let mut unit = 0;
    while size >= 999.5 && unit + 1 < units.len() {
        size /= 1e3;
        unit += 1;
    }
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        _ if size < 9.95 => format!("{size:.1} {}", units[unit]),
        _ => format!("{size:.0} {}", units[unit]),
    }
}

/// A number with its thousands apart.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time for people.
pub(super) fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| format!("{ms} ms"), |time| format!("{time:.0}"))
}

/// Lines of progress on stderr, not more than one a second, and none for what is quick.
pub(super) struct Pace {
    told: Instant,
    silent: bool,
}

impl Pace {
    pub(super) fn new(json: bool) -> Self {
        Pace {
            told: Instant::now(),
            silent: json,
        }
    }

    pub(super) fn tell(&mut self, text: impl FnOnce() -> String) {
        if !self.silent && self.told.elapsed() >= INTERVAL {
            self.told = Instant::now();
            let _ = writeln!(std::io::stderr().lock(), "{}", text());
        }
    }

    /// Does something long on another thread and tells meanwhile how far it is.
    pub(super) fn during<T: Send>(
        &mut self,
        work: impl FnOnce() -> T + Send,
        text: impl Fn() -> String,
    ) -> T {
        std::thread::scope(|scope| {
            let (done, finished) = std::sync::mpsc::channel();
            let thread = scope.spawn(move || {
                let result = work();
                // Nobody waits where this thread has panicked.
                let _ = done.send(());
                result
            });
            while finished.recv_timeout(INTERVAL) == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                self.tell(&text);
            }
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_numbers_are_readable() {
        let sizes = [0, 999, 1_000, 9_940, 12_345, 999_600, 3_210_000_000];
        assert_eq!(
            sizes.map(bytes),
            [
                "0 bytes",
                "999 bytes",
                "1.0 kB",
                "9.9 kB",
                "12 kB",
                "1.0 MB",
                "3.2 GB"
            ]
        );
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(number),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(time(1_795_000_000_123), "2026-11-18T11:06:40Z");
    }
}
