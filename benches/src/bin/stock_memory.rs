//! `tillside-stock-memory`: fills the table of stock levels and says how much memory it takes.
//!
//! Products are spread as in a large assortment: one of twenty is in half of the stores, six of twenty in one of thirteen,
//! the rest in one of two hundred and sixty. With the defaults that is fifty million levels, counted once each.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::Parser;
use tillside_benches::process::peak_resident_bytes;
use tillside_benches::world::{NOW, Numbers, SEED};
use tillside_engine::ids::{CellKey, SkuId, StoreId};
use tillside_engine::stock::StockLevel;
use tillside_engine::stock_table::StockTable;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
struct Arguments {
    /// Stores.
    #[arg(long, default_value_t = 50_000)]
    stores: u32,
    /// Products.
    #[arg(long, default_value_t = 20_000)]
    products: u32,
    /// Fails where more memory was needed.
    #[arg(long)]
    gib_max: Option<f64>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let before =
        peak_resident_bytes().context("this system does not tell the memory of a process")?;
    let (start, table) = (Instant::now(), StockTable::default());
    for sku in 0..arguments.products {
        let one_of = match sku % 20 {
            0 => 2,
            1..7 => 13,
            _ => 260,
        };
        let mut numbers = Numbers::new(SEED ^ u64::from(sku));
        for store in (0..arguments.stores).filter(|_| numbers.draw().is_multiple_of(one_of)) {
            let mut level = StockLevel::default();
            let pieces = 1 + i64::from((store ^ sku) % 12);
            level.set_count(pieces * 1000, Some(1000), NOW);
            table.insert(CellKey::new(SkuId(sku), StoreId(store)), level);
        }
    }
    let after = peak_resident_bytes().context("memory")?;
    let (levels, bytes) = (table.len(), after - before);
    let gib = bytes as f64 / f64::from(1 << 30);
    println!(
        "{levels} levels of {} products in {} stores: {gib:.2} GiB, {:.1} bytes a level of {}, in {:.1?}",
        arguments.products,
        arguments.stores,
        bytes as f64 / levels as f64,
        size_of::<StockLevel>(),
        start.elapsed(),
    );
    if let Some(most) = arguments.gib_max {
        ensure!(gib <= most, "more than {most} GiB");
    }
    Ok(())
}
