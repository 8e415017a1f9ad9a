//! What business keys cost, which are kept as long as the facts they stand for: memory and disk a key, microseconds to take
//! one, seconds to load them all.
//!
//! ```sh
//! cargo run --release --package tillside-server --example business_keys -- [KEYS]
//! ```
//!
//! 10 million keys where no number is given. Memory is what the operating system says of this process (Linux only).

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use smallvec::smallvec;
use tillside_engine::apply::{Touched, apply};
use tillside_engine::ctx::Ctx;
use tillside_engine::event::Event;
use tillside_engine::ids::{BusinessKey, Sequence};
use tillside_engine::state::State;
use tillside_engine::units::Time;
use tillside_store::{BatchBuilder, Log as _, OpenOptions, RocksLog, Table, load};

/// As the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Commands of one write, one key each.
const BATCH: u64 = 512;

fn main() -> Result<()> {
    let keys: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(10_000_000), |text| text.parse())?;
    in_memory(keys)?;
    on_disk(keys)
}

/// A hash, as real keys are.
fn key(n: u64) -> BusinessKey {
    let mix = |mut z: u64| {
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    };
    let low = mix(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    BusinessKey(u128::from(mix(low ^ n)) << 64 | u128::from(low))
}

fn in_memory(keys: u64) -> Result<()> {
    let before = resident_bytes()?;
    let state = State::default();
    println!("keys in memory   bytes a key   ns a key   slowest of 1,000 keys in µs");
    let step = (keys / 10).max(1_000);
    let (mut taken, mut at) = (Instant::now(), 0);
    while at < keys {
        let mut slowest = std::time::Duration::ZERO;
        let end = (at + step).min(keys);
        for first in (at..end).step_by(1_000) {
            let started = Instant::now();
            for n in first..(first + 1_000).min(end) {
                state.business_keys.insert(key(n), Sequence(n));
            }
            slowest = slowest.max(started.elapsed());
        }
        let bytes = resident_bytes()?.saturating_sub(before) as f64 / end as f64;
        let nanoseconds = taken.elapsed().as_nanos() as f64 / (end - at) as f64;
        println!(
            "{end:>14}   {bytes:>11.1}   {nanoseconds:>8.0}   {:>10.0}",
            slowest.as_secs_f64() * 1e6
        );
        (at, taken) = (end, Instant::now());
    }
    println!(
        "most that was resident at a time: {:.1} bytes a key\n",
        (status("VmHWM:")? - before as f64) / keys as f64
    );
    Ok(())
}

fn on_disk(keys: u64) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let started = Instant::now();
    let mut log = RocksLog::open(directory.path(), OpenOptions::default())?;
    let state = State::default();
    let mut builder = BatchBuilder::after(log.position());
    let mut touched = Touched::default();
    for first in (1..=keys).step_by(BATCH as usize) {
        for sequence in first..(first + BATCH).min(keys + 1) {
            let event = Event::Received {
                keys: smallvec![key(sequence)],
                occurred: Time(0),
                future: false,
            };
            let ctx = Ctx {
                seq: Sequence(sequence),
                now: Time(1_790_000_000_000),
            };
            apply(&state, std::slice::from_ref(&event), &ctx, &mut touched);
            builder.record(ctx.seq, ctx.now, &[event], None);
        }
        builder.rows(&state, &touched);
        log.append(builder.batch())?;
        builder.clear();
        touched.clear();
    }
    let took = started.elapsed();
    drop((log, state));
    // Opening once more writes out what is only in the write-ahead log.
    drop(RocksLog::open(directory.path(), OpenOptions::default())?);
    println!(
        "{keys} keys in writes of {BATCH}: {:.2} µs a key, {:.1} bytes on disk a key with its record in the log",
        took.as_secs_f64() * 1e6 / keys as f64,
        bytes_of(directory.path())? as f64 / keys as f64
    );
    let started = Instant::now();
    let log = RocksLog::open(directory.path(), OpenOptions::default())?;
    let opened = started.elapsed();
    let loaded = load(&log)?;
    println!(
        "loaded {} in {:.1} s (opening {:.1} s of it)",
        loaded.rows.get(&Table::BusinessKeys).unwrap_or(&0),
        started.elapsed().as_secs_f64(),
        opened.as_secs_f64()
    );
    Ok(())
}

fn bytes_of(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += match about.is_dir() {
            true => bytes_of(&entry.path())?,
            false => about.len(),
        };
    }
    Ok(bytes)
}

fn resident_bytes() -> Result<u64> {
    Ok(status("VmRSS:")? as u64)
}

/// A line of the process's status, in bytes.
fn status(name: &str) -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .context("no such line")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024.0)
}
