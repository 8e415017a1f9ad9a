//! What folding costs, and what it costs the writer beside it: a log of ten-line sales is written, then all but its end is
//! folded away while the writer goes on.
//!
//! `fold_cost [SALES] [CELLS]` (300,000 and 200,000 where not given); prints one line a phase.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tillside_engine::apply::{Touched, apply};
use tillside_engine::ctx::Ctx;
use tillside_engine::event::Event;
use tillside_engine::ids::{Sequence, SkuId, StoreId};
use tillside_engine::state::State;
use tillside_engine::stock::MoveReason;
use tillside_engine::units::Time;
use tillside_store::{
    BatchBuilder, Foldable, Log, OpenOptions, RocksLog, SpaceReport, audit, fold_before,
};

const SALES_PER_BATCH: u64 = 128;
const LINES: u64 = 10;

struct Writer {
    log: RocksLog,
    state: State,
    builder: BatchBuilder,
    touched: Touched,
    random: u64,
    cells: u64,
}

impl Writer {
    /// A number that looks like chance and is the same in every run.
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// One batch; answers how long the append took.
    fn batch(&mut self) -> Result<Duration, Box<dyn Error>> {
        for _ in 0..SALES_PER_BATCH {
            let ctx = Ctx {
                seq: Sequence(self.state.counters().sequence.0 + 1),
                now: Time(1),
            };
            let events: Vec<Event> = (0..LINES)
                .map(|_| {
                    let cell = self.next() % self.cells;
                    Event::StockMoved {
                        sku: SkuId((cell / 100) as u32),
                        store: StoreId((cell % 100) as u32),
                        delta: -1_000,
                        damaged: 0,
                        occurred: Time(1),
                        reason: MoveReason::Correction,
                    }
                })
                .collect();
            apply(&self.state, &events, &ctx, &mut self.touched);
            self.builder.record(ctx.seq, ctx.now, &events, None);
        }
        self.builder.rows(&self.state, &self.touched);
        self.touched.clear();
        let started = Instant::now();
        self.log.append(self.builder.batch())?;
        self.builder.clear();
        Ok(started.elapsed())
    }
}

fn told(phase: &str, took: Duration, waits: &mut [Duration], report: &SpaceReport) {
    waits.sort_unstable();
    let at = |part: f64| {
        let index = ((waits.len() as f64 * part) as usize).min(waits.len().saturating_sub(1));
        waits.get(index).copied().unwrap_or_default().as_micros()
    };
    let log = report.tables.first().map_or(0, |table| table.file_bytes);
    println!(
        "{phase}: {:.2} s; append p50 {} us, p99 {} us, max {} us ({} appends); log {:.1} MB, all {:.1} MB, first record {}",
        took.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(1.0),
        waits.len(),
        log as f64 / 1e6,
        report.total_bytes as f64 / 1e6,
        report.log_first
    );
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let sales = arguments.next().transpose()?.unwrap_or(300_000);
    let cells = arguments.next().transpose()?.unwrap_or(200_000).max(1);
    let directory = tempfile::tempdir()?;
    let log = RocksLog::open(directory.path(), OpenOptions::default())?;
    let (space, folder) = (log.space_handle(), log.folder());
    let mut writer = Writer {
        builder: BatchBuilder::after(log.position()),
        log,
        state: State::default(),
        touched: Touched::default(),
        random: 88_172_645_463_325_252,
        cells,
    };
    let started = Instant::now();
    let mut waits = Vec::new();
    while writer.state.counters().sequence.0 < sales {
        waits.push(writer.batch()?);
    }
    told("write", started.elapsed(), &mut waits, &space.report()?);

    let before = Sequence(writer.log.last_sequence().0.saturating_sub(4096));
    let done = Arc::new(AtomicBool::new(false));
    let folding = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let started = Instant::now();
            let rest = &mut || {
                std::thread::sleep(Duration::from_millis(2));
                true
            };
            let folded = fold_before(&*folder, before, rest);
            done.store(true, Ordering::Release);
            (folded, started.elapsed())
        }
    });
    let mut waits = Vec::new();
    while !done.load(Ordering::Acquire) {
        waits.push(writer.batch()?);
        // About two thirds of a core is left to the fold and to compaction.
        std::thread::sleep(Duration::from_millis(4));
    }
    let (folded, took) = folding.join().map_err(|_| "the fold panicked")?;
    let folded = folded?;
    told("fold", took, &mut waits, &space.report()?);
    println!(
        "folded {} records into {} openings, {:.0} records/s",
        folded.records,
        folded.openings,
        folded.records as f64 / took.as_secs_f64()
    );
    let started = Instant::now();
    let audit = audit(&writer.log)?;
    println!(
        "audit: {:.2} s, {} levels, {} records, {} violations",
        started.elapsed().as_secs_f64(),
        audit.levels,
        audit.records,
        audit.violations_count
    );
    Ok(())
}
