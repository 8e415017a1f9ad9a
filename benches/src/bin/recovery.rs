//! How long a start takes: from opening the directory to a checked state, in a process of its own, with the memory it
//! took. `tillside-recovery` makes a world, then recovers it; `--only DIRECTORY` recovers one that is there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Parser;
use serde_json::json;
use tillside_benches::disk;
use tillside_benches::process;
use tillside_benches::world::Size;
use tillside_engine::invariants::violations;
use tillside_store::{OpenOptions, RocksLog, load};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure a recovery.
#[derive(Debug, Parser)]
#[command(name = "tillside-recovery")]
struct Options {
    /// Customers, each with a profile
    #[arg(long, default_value_t = 1_000_000)]
    customers: u64,
    /// Receipts of ten lines behind each profile
    #[arg(long, default_value_t = 3)]
    receipts: u64,
    /// Stores
    #[arg(long, default_value_t = 2_000)]
    stores: u32,
    /// Products; with 2,000 stores, 20,000 make five million stock levels
    #[arg(long, default_value_t = 20_000)]
    products: u32,
    /// Recover this directory, which an earlier run left
    #[arg(long, value_name = "DIRECTORY")]
    only: Option<PathBuf>,
    /// Where to make the world; it stays [default: one that is removed]
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(directory) = &options.only {
        return recover(directory, options.json);
    }
    let temporary = tempfile::tempdir()?;
    let directory = options
        .directory
        .clone()
        .unwrap_or_else(|| temporary.path().join("data"));
    let size = Size {
        stores: options.stores,
        products: options.products,
        customers: options.customers,
        offers: 200,
    };
    let started = Instant::now();
    let made = disk::fill(&directory, size, options.receipts)?;
    eprintln!(
        "{} customers and {} stock levels written in {:.1} s",
        made.1.customers.len(),
        made.1.stock.len(),
        started.elapsed().as_secs_f64()
    );
    drop(made);
    // A process of its own: memory and caches of this one would falsify the figures.
    let mut child = Command::new(std::env::current_exe()?);
    child.arg("--only").arg(&directory);
    if options.json {
        child.arg("--json");
    }
    let status = child.status()?;
    anyhow::ensure!(status.success(), "the recovery failed");
    Ok(())
}

fn recover(directory: &Path, as_json: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    let log = RocksLog::open(directory, OpenOptions::default())?;
    let opened = started.elapsed();
    let loaded = load(&log)?;
    let checking = Instant::now();
    let found = violations(&loaded.state);
    let checked = checking.elapsed();
    let all = started.elapsed();
    anyhow::ensure!(found.is_empty(), "the state is not sound: {}", found[0]);
    let rows: u64 = loaded.rows.values().sum();
    let processor: f64 = process::processor_seconds().values().sum();
    let peak = process::peak_resident_bytes();
    if as_json {
        let rows: serde_json::Map<String, serde_json::Value> = loaded
            .rows
            .iter()
            .map(|(table, rows)| (table.name().to_owned(), json!(rows)))
            .collect();
        let result = json!({
            "seconds": all.as_secs_f64(),
            "opening_seconds": opened.as_secs_f64(),
            "reading_seconds": loaded.reading.as_secs_f64(),
            "deriving_seconds": loaded.deriving.as_secs_f64(),
            "checking_seconds": checked.as_secs_f64(),
            "processor_seconds": processor,
            "peak_resident_bytes": peak,
            "rows": rows,
        });
        println!("{result}");
        return Ok(());
    }
    println!(
        "recovered {rows} rows in {:.1} s: opened in {:.1}, read in {:.1}, derived in {:.1}, checked in {:.1}; {processor:.1} s of processor, {} MB resident at most",
        all.as_secs_f64(),
        opened.as_secs_f64(),
        loaded.reading.as_secs_f64(),
        loaded.deriving.as_secs_f64(),
        checked.as_secs_f64(),
        peak.unwrap_or(0) / 1_000_000
    );
    for (table, rows) in &loaded.rows {
        println!("  {:<14} {rows:>10} rows", table.name());
    }
    Ok(())
}
