//! What the operating system says about this process: processor time of each thread, bytes written, peak memory. Only
//! Linux tells; elsewhere the figures are missing, and nothing fails.

use std::collections::BTreeMap;
use std::fs;

/// The kernel's unit of processor time towards programs, whatever its own.
const SECONDS_PER_TICK: f64 = 0.01;

/// Processor seconds used so far, by name of the thread; threads of one name together.
pub fn processor_seconds() -> BTreeMap<String, f64> {
    let mut seconds = BTreeMap::new();
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return seconds;
    };
    for thread in threads.flatten() {
        let Ok(stat) = fs::read_to_string(thread.path().join("stat")) else {
            continue;
        };
        let Some((name, used)) = name_and_ticks(&stat) else {
            continue;
        };
        *seconds.entry(name.to_owned()).or_default() += used * SECONDS_PER_TICK;
    }
    seconds
}

/// The name, which may hold spaces, and user and system time: fields 2, 14 and 15.
fn name_and_ticks(stat: &str) -> Option<(&str, f64)> {
    let (start, end) = (stat.find('(')?, stat.rfind(')')?);
    let mut after = stat[end + 1..].split_ascii_whitespace().skip(11);
    let user: f64 = after.next()?.parse().ok()?;
    let system: f64 = after.next()?.parse().ok()?;
    Some((&stat[start + 1..end], user + system))
}

/// Bytes this process has sent towards the disk.
pub fn written_bytes() -> Option<u64> {
    number_after(&fs::read_to_string("/proc/self/io").ok()?, "\nwrite_bytes:")
}

/// The most memory this process ever had resident, in bytes.
pub fn peak_resident_bytes() -> Option<u64> {
    number_after(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:").map(|kib| kib * 1024)
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    let at = text.find(name)? + name.len();
    text[at..].split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_name_with_spaces_and_brackets_is_read() {
        let stat = "7 (a (b) c) S 1 1 1 0 -1 64 1 0 0 0 150 50 0 0 20 0 3";
        assert_eq!(name_and_ticks(stat), Some(("a (b) c", 200.0)));
    }
}
