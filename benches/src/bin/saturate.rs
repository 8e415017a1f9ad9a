//! The sequencer over a real disk with everything on: bulk ingest of ten-line sales beside reserves in flight and reads.
//! In process at the sequencer's handle, so that what is measured is deciding, applying, writing and syncing, not the
//! transport. `tillside-saturate --help` says what can be varied.
//!
//! The makers of load share the machine's cores with what they load; how the processor time was split is in the result.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use hdrhistogram::Histogram;
use serde_json::json;
use tillside_benches::disk;
use tillside_benches::process;
use tillside_benches::receipts::Texts;
use tillside_benches::shopping;
use tillside_benches::world::{Common, NOW, Numbers, Size, World};
use tillside_engine::ids::{RequestKey, StoreId};
use tillside_engine::recognition::recognise;
use tillside_engine::state::State;
use tillside_engine::units::Time;
use tillside_server::clock::Clock;
use tillside_server::sequencer::{
    self, RequestStamp, SequencerHandle, SequencerOptions, Submission, SubmitError, Written,
};
use tillside_store::rocks::{Pressure, WritePressure};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often the reader wakes.
const READ_TICK: Duration = Duration::from_millis(1);
/// Longest latency that is told apart.
const LATENCY_NANOSECONDS_MAX: u64 = 60_000_000_000;

/// Saturate the sequencer and say what it did.
#[derive(Clone, Debug, Parser)]
#[command(name = "tillside-saturate")]
struct Options {
    /// Seconds to measure
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seconds of load before measuring
    #[arg(long, default_value_t = 5)]
    warmup: u64,
    /// Customers; seven of ten receipts are theirs, Zipf 0.99
    #[arg(long, default_value_t = 1_000_000)]
    customers: u64,
    /// Stores
    #[arg(long, default_value_t = 2_000)]
    stores: u32,
    /// Products
    #[arg(long, default_value_t = 20_000)]
    products: u32,
    /// Sales a second; 0: as many as are taken
    #[arg(long, default_value_t = 0)]
    sales: u64,
    /// Streams of sales
    #[arg(long, default_value_t = 16)]
    streams: u64,
    /// Sales of one message
    #[arg(long, default_value_t = 64)]
    message: u64,
    /// Sell any product in any store: most lines make a stock level that was not there [default: what the store has]
    #[arg(long)]
    unstocked: bool,
    /// Reserves in flight
    #[arg(long, default_value_t = 128)]
    reserves: u64,
    /// Milliseconds a till waits after each reserve; 0: the next follows at once
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
    /// Reads a second, of customers and of levels
    #[arg(long, default_value_t = 4_000)]
    reads: u64,
    /// Microseconds that a batch may take in bulk where tills are near and bulk waits for long [default: the server's]
    #[arg(long)]
    batch_us: Option<u64>,
    /// Bytes of memory to make ready before the load, as `memory_ready_bytes` of the server does
    #[arg(long, default_value_t = 0)]
    memory_ready_bytes: u64,
    /// Where to keep the data; emptied of nothing, so name an empty directory [default: one that is removed]
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What the makers count.
#[derive(Default)]
struct Counted {
    sales: AtomicU64,
    reserves: AtomicU64,
    refused: AtomicU64,
    /// Latencies count while it is set.
    measuring: AtomicBool,
    stop: AtomicBool,
}

type Latencies = Arc<Mutex<Histogram<u64>>>;

struct Field {
    options: Options,
    size: Size,
    texts: Texts,
    state: Arc<State>,
    clock: Arc<AtomicI64>,
    counted: Counted,
    reserve_latency: Latencies,
    bulk_latency: Latencies,
    read_latency: Latencies,
}

impl Field {
    fn stopped(&self) -> bool {
        self.counted.stop.load(Ordering::Relaxed)
    }

    fn note(&self, latencies: &Latencies, took: Duration) {
        if self.counted.measuring.load(Ordering::Relaxed) {
            let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            lock(latencies).saturating_record(nanos);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn latencies() -> anyhow::Result<Latencies> {
    let histogram = Histogram::new_with_bounds(1, LATENCY_NANOSECONDS_MAX, 3)?;
    Ok(Arc::new(Mutex::new(histogram)))
}

fn main() -> anyhow::Result<()> {
    tillside_server::allocator::keep_freed_memory();
    let options = Options::parse();
    let size = Size {
        stores: options.stores,
        products: options.products,
        customers: options.customers,
        offers: 200,
    };
    let temporary = tempfile::tempdir()?;
    let directory = options
        .directory
        .clone()
        .unwrap_or_else(|| temporary.path().join("data"));
    let started = Instant::now();
    let (log, state) = disk::fill(&directory, size, 1)?;
    eprintln!(
        "{} customers and {} stock levels written in {:.1} s",
        state.customers.len(),
        state.stock.len(),
        started.elapsed().as_secs_f64()
    );
    tillside_server::allocator::make_memory_ready(options.memory_ready_bytes)?;
    let state = Arc::new(state);
    let pressure = log.write_pressure();
    let clock = Arc::new(AtomicI64::new(NOW.0));
    let mut bounds = SequencerOptions::default();
    if let Some(micros) = options.batch_us {
        bounds.bulk_time_max = Duration::from_micros(micros);
        bounds.bulk_time_min = bounds.bulk_time_min.min(bounds.bulk_time_max);
    }
    let (handle, sequencer) = sequencer::start(
        Arc::clone(&state),
        Box::new(log),
        Clock::Simulated(Arc::clone(&clock)),
        bounds,
    )?;
    let mut texts = Texts::new(size);
    if !options.unstocked {
        texts = texts.of_what_is_stocked(&state);
    }
    let field = Arc::new(Field {
        texts,
        options,
        size,
        state,
        clock,
        counted: Counted::default(),
        reserve_latency: latencies()?,
        bulk_latency: latencies()?,
        read_latency: latencies()?,
    });
    let makers = [
        spawn("ingest", &field, &handle, ingest)?,
        spawn("tills", &field, &handle, tills)?,
        spawn("reads", &field, &handle, |field, _| reads(&field))?,
    ];
    let found = watch(&field, &handle, &pressure);
    field.counted.stop.store(true, Ordering::Relaxed);
    for maker in makers {
        maker
            .join()
            .map_err(|_| anyhow::anyhow!("a maker of load ended early"))?;
    }
    sequencer.stop();
    report(&field, &found);
    Ok(())
}

fn spawn(
    name: &str,
    field: &Arc<Field>,
    handle: &SequencerHandle,
    run: fn(Arc<Field>, SequencerHandle),
) -> std::io::Result<thread::JoinHandle<()>> {
    let (field, handle) = (Arc::clone(field), handle.clone());
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || run(field, handle))
}

/// A runtime of its own, as the edge has one a core; answers of a batch come in one wake.
fn on_runtime<F: Future<Output = ()> + 'static>(tasks: impl FnOnce() -> Vec<F>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    let local = tokio::task::LocalSet::new();
    let all = local.run_until(async move {
        let running: Vec<_> = tasks().into_iter().map(tokio::task::spawn_local).collect();
        for task in running {
            // A task that panicked has printed why; the run goes on without it.
            let _ = task.await;
        }
    });
    runtime.block_on(all);
}

fn ingest(field: Arc<Field>, handle: SequencerHandle) {
    on_runtime(|| {
        let handle = handle.on_this_runtime();
        (0..field.options.streams)
            .map(|stream| one_stream(Arc::clone(&field), handle.clone(), stream))
            .collect()
    });
}

async fn one_stream(field: Arc<Field>, handle: SequencerHandle, stream: u64) {
    let mut numbers = Numbers::new(stream << 32 | 1);
    let options = &field.options;
    // Every stream sends one message in this time, the streams one after the other.
    let every = (options.sales > 0).then(|| {
        Duration::from_secs_f64((options.message * options.streams) as f64 / options.sales as f64)
    });
    let mut next = tokio::time::Instant::now()
        + every.unwrap_or_default() * stream as u32 / options.streams.max(1) as u32;
    while !field.stopped() {
        if let Some(every) = every {
            tokio::time::sleep_until(next).await;
            next += every;
        }
        let paid = Time(field.clock.load(Ordering::Relaxed));
        let events: Vec<_> = (0..options.message)
            .map(|_| {
                let mut receipt = field.texts.receipt(&mut numbers, paid);
                // As the edge does.
                receipt.find_known(&field.state);
                receipt
            })
            .collect();
        let sent = Instant::now();
        let Ok(answers) = handle.bulk(events).await else {
            return;
        };
        field.note(&field.bulk_latency, sent.elapsed());
        let taken = answers.iter().filter(|answer| answer.is_ok()).count();
        field
            .counted
            .sales
            .fetch_add(taken as u64, Ordering::Relaxed);
    }
}

fn tills(field: Arc<Field>, handle: SequencerHandle) {
    on_runtime(|| {
        let handle = handle.on_this_runtime();
        (0..field.options.reserves)
            .map(|till| one_till(Arc::clone(&field), handle.clone(), till))
            .collect()
    });
}

async fn one_till(field: Arc<Field>, handle: SequencerHandle, till: u64) {
    // Only its size is asked for.
    let shop = World {
        state: State::default(),
        size: field.size,
    };
    let mut numbers = Numbers::new(till << 32 | 2);
    let pause = Duration::from_millis(field.options.pause_ms);
    for number in 0.. {
        if field.stopped() {
            return;
        }
        let command = shopping::reserve(&shop, &mut numbers, till << 40 | number);
        let key = u128::from(numbers.draw()) << 64 | u128::from(numbers.draw());
        let submission = Submission {
            command,
            request: Some(RequestStamp {
                key: RequestKey(key),
                payload_hash: numbers.draw(),
            }),
            deadline: None,
        };
        let sent = Instant::now();
        match handle.interactive(submission).await {
            Ok(_) => field.counted.reserves.fetch_add(1, Ordering::Relaxed),
            Err(SubmitError::Rejected(_)) => field.counted.refused.fetch_add(1, Ordering::Relaxed),
            Err(_) => return,
        };
        field.note(&field.reserve_latency, sent.elapsed());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Reads at a steady rate, each counted from when it was due. It also moves the clock.
fn reads(field: &Field) {
    let mut numbers = Numbers::new(3);
    let shop = World {
        state: State::default(),
        size: field.size,
    };
    let started = Instant::now();
    let mut made = 0;
    for tick in 1_u32.. {
        let due = started + READ_TICK * tick;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if field.stopped() {
            return;
        }
        let elapsed = started.elapsed();
        field
            .clock
            .store(NOW.0 + elapsed.as_millis() as i64, Ordering::Relaxed);
        let wanted =
            (READ_TICK.as_secs_f64() * f64::from(tick) * field.options.reads as f64) as u64;
        while made < wanted {
            made += 1;
            if made % 2 == 0 {
                let card = field.texts.some_card(&mut numbers);
                drop(std::hint::black_box(recognise(&field.state, &[card])));
            } else {
                let sku = shop.some_sku(&mut numbers, Common::Usual);
                let store = StoreId(numbers.below(u64::from(field.size.stores)) as u32);
                std::hint::black_box(field.state.available_online(sku, store));
            }
            field.note(&field.read_latency, due.elapsed());
        }
    }
}

/// One look at everything that counts.
struct Look {
    at: Instant,
    sales: u64,
    reserves: u64,
    written: Written,
    disk_bytes: u64,
    processor: BTreeMap<String, f64>,
    pressure: Pressure,
}

struct Found {
    from: Look,
    to: Look,
}

fn look(field: &Field, handle: &SequencerHandle, pressure: &WritePressure) -> Look {
    Look {
        at: Instant::now(),
        sales: field.counted.sales.load(Ordering::Relaxed),
        reserves: field.counted.reserves.load(Ordering::Relaxed),
        written: handle.written(),
        disk_bytes: process::written_bytes().unwrap_or(0),
        processor: process::processor_seconds(),
        pressure: pressure.now(),
    }
}

fn watch(field: &Field, handle: &SequencerHandle, pressure: &WritePressure) -> Found {
    const STEP: u64 = 5;
    thread::sleep(Duration::from_secs(field.options.warmup));
    field.counted.measuring.store(true, Ordering::Relaxed);
    let from = look(field, handle, pressure);
    let mut last = look(field, handle, pressure);
    let mut left = field.options.seconds;
    while left > 0 {
        let step = left.min(STEP);
        left -= step;
        thread::sleep(Duration::from_secs(step));
        let now = look(field, handle, pressure);
        let seconds = (now.at - last.at).as_secs_f64();
        eprintln!(
            "{:>6.0} sales/s {:>6.0} reserves/s {:>5.0} MB/s written, {} delays, {} stops, {} MB to compact, {} files in level 0",
            (now.sales - last.sales) as f64 / seconds,
            (now.reserves - last.reserves) as f64 / seconds,
            (now.disk_bytes - last.disk_bytes) as f64 / seconds / 1e6,
            now.pressure.delays - from.pressure.delays,
            now.pressure.stops - from.pressure.stops,
            now.pressure.pending_compaction_bytes / 1_000_000,
            now.pressure.level0_files,
        );
        last = now;
    }
    field.counted.measuring.store(false, Ordering::Relaxed);
    Found { from, to: last }
}

fn millis(latencies: &Latencies, quantile: f64) -> f64 {
    lock(latencies).value_at_quantile(quantile) as f64 / 1e6
}

fn report(field: &Field, found: &Found) {
    let Found { from, to } = found;
    let seconds = (to.at - from.at).as_secs_f64();
    let written = to.written.since(&from.written);
    let (sales, reserves) = (to.sales - from.sales, to.reserves - from.reserves);
    let processor: BTreeMap<&str, f64> = to
        .processor
        .iter()
        .map(|(name, used)| {
            let before = from.processor.get(name).copied().unwrap_or(0.0);
            (name.as_str(), (used - before) / seconds)
        })
        .filter(|(_, share)| *share >= 0.005)
        .collect();
    let quantiles = |l: &Latencies| json!({"p50_ms": millis(l, 0.5), "p99_ms": millis(l, 0.99), "p999_ms": millis(l, 0.999), "max_ms": millis(l, 1.0)});
    let (delays, stops) = (
        to.pressure.delays - from.pressure.delays,
        to.pressure.stops - from.pressure.stops,
    );
    let disk = (to.disk_bytes - from.disk_bytes) as f64;
    if field.options.json {
        let result = json!({
            "seconds": seconds,
            "sales_per_second": sales as f64 / seconds,
            "reserves_per_second": reserves as f64 / seconds,
            "reserves_refused": field.counted.refused.load(Ordering::Relaxed),
            "reserve": quantiles(&field.reserve_latency),
            "bulk_message": quantiles(&field.bulk_latency),
            "read": quantiles(&field.read_latency),
            "appends_per_second": written.appends as f64 / seconds,
            "syncs_per_command": written.syncs_per_command(),
            "log_megabytes_per_second": written.bytes as f64 / seconds / 1e6,
            "disk_megabytes_per_second": disk / seconds / 1e6,
            "write_delays": delays,
            "write_stops": stops,
            "pending_compaction_bytes": to.pressure.pending_compaction_bytes,
            "file_bytes": to.pressure.file_bytes,
            "stock_levels": field.state.stock.len(),
            "peak_resident_bytes": process::peak_resident_bytes(),
            "processors": processor,
        });
        println!("{result}");
        return;
    }
    println!(
        "{seconds:.1} s, ten-line sales in {} streams, {} reserves in flight",
        field.options.streams, field.options.reserves
    );
    println!("sales/s            {:>10.0}", sales as f64 / seconds);
    println!(
        "reserves/s         {:>10.0}   refused {}",
        reserves as f64 / seconds,
        field.counted.refused.load(Ordering::Relaxed)
    );
    for (name, l) in [
        ("reserve ms", &field.reserve_latency),
        ("bulk message ms", &field.bulk_latency),
        ("read ms", &field.read_latency),
    ] {
        println!(
            "{name:<18} p50 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2}",
            millis(l, 0.5),
            millis(l, 0.99),
            millis(l, 0.999),
            millis(l, 1.0)
        );
    }
    println!(
        "appends/s          {:>10.0}   {:.4} syncs per acknowledged command",
        written.appends as f64 / seconds,
        written.syncs_per_command()
    );
    println!(
        "rows MB/s          {:>10.1}   {:.0} bytes per command",
        written.bytes as f64 / seconds / 1e6,
        written.bytes as f64 / written.commands.max(1) as f64
    );
    println!("disk MB/s          {:>10.1}", disk / seconds / 1e6);
    println!(
        "stalls             {delays} delays, {stops} stops; {} MB to compact, {} MB of files",
        to.pressure.pending_compaction_bytes / 1_000_000,
        to.pressure.file_bytes / 1_000_000
    );
    println!(
        "memory             {} stock levels, {} MB resident at most",
        field.state.stock.len(),
        process::peak_resident_bytes().unwrap_or(0) / 1_000_000
    );
    let sequencer = processor.get("sequencer").copied().unwrap_or(0.0);
    println!(
        "sequencer          {:>10.2} µs of processor per acknowledged command",
        sequencer * seconds * 1e6 / written.commands.max(1) as f64
    );
    let split: Vec<String> = processor
        .iter()
        .map(|(name, share)| format!("{name} {share:.2}"))
        .collect();
    println!("processors         {}", split.join(", "));
}
