//! More customers than memory: a million customers of whom one in twenty fits, asked for by popularity, with what the disk
//! has read dropped from the page cache again and again. The command does everything itself: it fills a server, measures
//! what customers take, restarts the server within a part of it, compares promised and measured memory, and runs the load.

mod disk;
mod popularity;
mod process;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tillside_client::{ClientConfig, IngestOptions, Tillside, v1};

use crate::arrivals::Process;
use crate::drive::{self, Run, Shape};
use crate::report;
use crate::wire::frame;
use crate::workload::{Requests, Scenario};
use popularity::Zipf;
use process::Server;

/// What the p99 should not exceed.
const GOAL: Duration = Duration::from_millis(2);
/// How far measured memory may be from what was promised.
const MEMORY_SHARE_MAX: f64 = 0.15;
/// A limit that nobody reaches: everything is counted and nothing leaves.
const WITHOUT_END: u64 = 1 << 40;
/// Events a message of the stream.
const CHUNK: usize = 250;
/// Different requests, drawn by popularity: more than a run sends.
const POOL: usize = 1_000_000;
/// Products of the shop; each receipt has some next to each other.
const PRODUCTS: u32 = 5_000;
/// The shop: lines of an unknown one would be kept aside, in memory.
const STORE: &str = "1";

/// Settings.
#[derive(Debug, Clone, Args)]
pub(crate) struct ColdArgs {
    /// Customers
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    customers: u32,
    /// Share of them that fits in memory
    #[arg(long, default_value_t = 0.05)]
    hot_share: f64,
    /// Exponent of their popularity (Zipf)
    #[arg(long, default_value_t = 0.99)]
    skew: f64,
    /// Lines of each customer's receipts: what a history weighs
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(0..=60))]
    lines: u32,
    /// Recognitions a second, open loop
    #[arg(long, default_value_t = 5_000.0)]
    rate: f64,
    /// How long to measure, in seconds
    #[arg(long, default_value_t = 30)]
    duration: u64,
    /// How long to load before measuring, in seconds: the popular come into memory meanwhile
    #[arg(long, default_value_t = 30)]
    warmup: u64,
    /// How often what the server has read is dropped from the page cache, in milliseconds; 0: once, before the load
    #[arg(long, default_value_t = 500)]
    drop_every_ms: u64,
    /// Where to keep the data; filled before, it is used as it is [default: a new folder, removed at the end]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The server's binary [default: beside this one]
    #[arg(long, value_name = "FILE")]
    server_binary: Option<PathBuf>,
    /// Only compare promised and measured memory
    #[arg(long)]
    memory_only: bool,
    /// Seed of the load
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Connections
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
}

/// Runs all of it.
pub(crate) fn run(args: &ColdArgs) -> anyhow::Result<()> {
    let temporary = match &args.data_dir {
        Some(_) => None,
        None => Some(disk::TemporaryFolder::new()?),
    };
    let folder = match (&args.data_dir, &temporary) {
        (Some(folder), _) => folder.clone(),
        (None, Some(folder)) => folder.path().to_owned(),
        (None, None) => anyhow::bail!("there is no folder"),
    };
    let data = folder.join("data");
    let start = |budget: u64| Server::start(args.server_binary.as_deref(), &data, budget);
    if !data.exists() {
        let server = start(0)?;
        fill(&server, args)?;
        server.stop()?;
    }
    let server = start(WITHOUT_END)?;
    let all_bytes = server.metric("tillside_profile_resident_bytes")?;
    let customers = server.metric("tillside_profiles_resident")?;
    server.stop()?;
    println!(
        "{customers:.0} customers take {:.0} MiB by the server's count, {:.0} bytes each",
        all_bytes / MIB,
        all_bytes / customers
    );
    let nobody = memory(&start, all_bytes, args.hot_share)?;
    if !args.memory_only {
        let budget = (all_bytes * args.hot_share) as u64;
        load(&start(budget)?, &data, (budget, nobody), args)?;
    }
    drop(temporary);
    Ok(())
}

const MIB: f64 = 1_048_576.0;

/// Starts within several budgets, and compares what the process takes beyond one that keeps nobody, which it answers.
fn memory(
    start: &impl Fn(u64) -> anyhow::Result<Server>,
    all_bytes: f64,
    hot_share: f64,
) -> anyhow::Result<f64> {
    let resident = |budget: u64| -> anyhow::Result<f64> {
        let server = start(budget)?;
        let bytes = settled(&server)?;
        server.stop()?;
        Ok(bytes)
    };
    // The first start after the fill has the database tidy up, which takes memory of its own.
    resident(1)?;
    let nobody = resident(1)?;
    println!(
        "with nobody in memory the process takes {:.0} MiB",
        nobody / MIB
    );
    for share in [hot_share, 0.25, 0.5, 1.0] {
        let budget = (all_bytes * share) as u64;
        let measured = resident(budget.max(1))? - nobody;
        println!("{}", promised(budget as f64, measured));
    }
    Ok(nobody)
}

/// What a server takes that has just started, once what loading and opening needed for a moment is given back.
fn settled(server: &Server) -> anyhow::Result<f64> {
    let mut least = f64::MAX;
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(500));
        least = least.min(server.resident_bytes()?);
    }
    Ok(least)
}

fn promised(budget: f64, measured: f64) -> String {
    let off = measured / budget - 1.0;
    let verdict = if off.abs() <= MEMORY_SHARE_MAX {
        "within"
    } else {
        "NOT WITHIN"
    };
    format!(
        "promised {:.0} MiB, measured {:.0} MiB: {:+.1} %, {verdict} {:.0} %",
        budget / MIB,
        measured / MIB,
        off * 100.0,
        MEMORY_SHARE_MAX * 100.0
    )
}

/// Loads a server that has just started within `budget`; `nobody` is what it would take with nobody in memory.
fn load(
    server: &Server,
    data: &Path,
    (budget, nobody): (u64, f64),
    args: &ColdArgs,
) -> anyhow::Result<()> {
    let requests = Arc::new(Requests::of_recognitions(recognitions(args)));
    let connections = usize::from(args.connections);
    let run = Run {
        address: server.grpc,
        scenario: Scenario::Recognize,
        shape: Shape::Open {
            rate: args.rate,
            process: Process::Poisson,
            tick: Duration::from_millis(1),
            in_flight_max: 10_000,
        },
        seed: args.seed,
        name: String::new(),
        batch: 1,
        connections,
        threads: crate::cores().min(connections),
        warmup: Duration::from_secs(args.warmup),
        duration: Duration::from_secs(args.duration),
    };
    let not_dropped = disk::drop_cached(data)?;
    if not_dropped > 0 {
        println!(
            "the page cache of {not_dropped} bytes cannot be dropped here: the cache is not cold"
        );
    }
    let over = Arc::new(AtomicBool::new(false));
    let dropping = (args.drop_every_ms > 0).then(|| {
        let (over, data, every) = (Arc::clone(&over), data.to_owned(), args.drop_every_ms);
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(every));
                disk::drop_cached(&data)?;
            }
            anyhow::Ok(())
        })
    });
    // Counters of the measured part alone: read once when it begins.
    let watch = {
        let (metrics, warmup) = (server.metrics_reader(), run.warmup);
        std::thread::spawn(move || {
            std::thread::sleep(warmup);
            metrics.read()
        })
    };
    let tally = drive::run(run.clone(), &requests)?;
    over.store(true, Ordering::Relaxed);
    let before = watch
        .join()
        .map_err(|_| anyhow::anyhow!("the reader of the metrics ended early"))??;
    let after = server.metrics_reader().read()?;
    if let Some(dropping) = dropping {
        dropping
            .join()
            .map_err(|_| anyhow::anyhow!("the dropping of the page cache ended early"))??;
    }
    print!("{}", report::table(&run, &tally));
    let count = |name: &str| after.get(name) - before.get(name);
    let hits = count("tillside_profile_reads_total{result=\"hit\"}");
    let misses = count("tillside_profile_reads_total{result=\"miss\"}");
    let reading = "tillside_profile_read_duration_seconds";
    let mean = |by: &str| {
        let of = |what: &str| count(&format!("{reading}_{what}{{by=\"{by}\"}}"));
        of("sum") / of("count").max(1.0) * 1e6
    };
    println!(
        "hit rate {:.1} % ({misses:.0} misses), {:.0} came into memory, {:.0} left; a read from disk takes {:.0} µs for callers and {:.0} µs for the sequencer on average; {:.0} MiB were read from the disk itself since the start",
        100.0 * hits / (hits + misses).max(1.0),
        count("tillside_profile_loads_total"),
        count("tillside_profile_evictions_total"),
        mean("callers"),
        mean("sequencer"),
        server.disk_read_bytes()? / MIB,
    );
    println!(
        "after the load the process takes {:.0} MiB more than with nobody in memory; the limit is {:.0} MiB, encoded profiles and blocks of the database may take 32 MiB each",
        (server.resident_bytes()? - nobody) / MIB,
        budget as f64 / MIB,
    );
    let p99 = tally
        .ops()
        .next()
        .map_or(0, |(_, op)| op.latency.value_at_quantile(0.99));
    let p99 = Duration::from_nanos(p99);
    println!(
        "p99 {:.2} ms, the goal of {:.0} ms is {}",
        p99.as_secs_f64() * 1e3,
        GOAL.as_secs_f64() * 1e3,
        if p99 <= GOAL { "met" } else { "NOT MET" }
    );
    Ok(())
}

fn card(number: u32) -> v1::Identifier {
    v1::Identifier {
        r#type: v1::IdentifierType::LoyaltyCard.into(),
        value: format!("K{number:08}"),
        ..v1::Identifier::default()
    }
}

/// Recognitions by card, drawn by popularity.
fn recognitions(args: &ColdArgs) -> Vec<bytes::Bytes> {
    let zipf = Zipf::new(args.customers, args.skew);
    let mut generator = ChaCha8Rng::seed_from_u64(args.seed);
    (0..POOL)
        .map(|_| {
            let customer = zipf.draw(generator.next_u64());
            frame(&v1::RecognizeCustomerRequest {
                identifiers: vec![card(customer)],
                view: v1::ProfileView::Checkout.into(),
                ..v1::RecognizeCustomerRequest::default()
            })
        })
        .collect()
}

fn fill(server: &Server, args: &ColdArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client =
            Tillside::connect(ClientConfig::new(format!("http://{}", server.grpc))).await?;
        let store = v1::Store {
            store_id: STORE.into(),
            location: Some(v1::LatLng {
                latitude: 45.0,
                longitude: 9.0,
            }),
            ..v1::Store::default()
        };
        let stores = vec![store];
        client
            .put_stores(v1::PutStoresRequest {
                stores,
                ..Default::default()
            })
            .await?;
        let products: Vec<v1::Product> = (0..PRODUCTS).map(product).collect();
        for products in products.chunks(CHUNK) {
            client
                .put_products(v1::PutProductsRequest {
                    products: products.to_vec(),
                    ..Default::default()
                })
                .await?;
        }
        let mut stream = client.ingest(
            &IngestOptions::default(),
            |(), answer: v1::IngestEventsResponse| {
                if answer.rejected > 0 {
                    eprintln!(
                        "{} events were refused: {:?}",
                        answer.rejected,
                        answer.acks.first()
                    );
                }
            },
        );
        let numbers: Vec<u32> = (0..args.customers).collect();
        for chunk in numbers.chunks(CHUNK / 2) {
            let events: Vec<v1::Event> = chunk
                .iter()
                .flat_map(|n| {
                    [
                        Some(person(*n)),
                        (args.lines > 0).then(|| receipt(*n, args.lines)),
                    ]
                })
                .flatten()
                .collect();
            stream.send(&events, ()).await?;
        }
        stream.finish().await.context("Filling the server")
    })?;
    println!(
        "{} customers written in {:.0} s",
        args.customers,
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn product(number: u32) -> v1::Product {
    v1::Product {
        sku: format!("P{number}"),
        display_name: format!("Product {number}"),
        category_path: vec![
            format!("Department {}", number / 25 % 40),
            format!("Shelf {}", number / 5),
        ],
        ..v1::Product::default()
    }
}

fn event(number: u32, what: &str, payload: v1::event::Payload) -> v1::Event {
    v1::Event {
        event_id: format!("{what}-{number}"),
        source: "fill".into(),
        occurred_time: Some(prost_types::Timestamp {
            seconds: 1_763_000_000,
            nanos: 0,
        }),
        payload: Some(payload),
        ..v1::Event::default()
    }
}

fn person(number: u32) -> v1::Event {
    let consent = v1::Consent {
        purpose: v1::ConsentPurpose::Profiling.into(),
        granted: true,
        decided_time: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        notice_version: "2026-01".into(),
    };
    let profile = v1::ProfileUpserted {
        identifiers: vec![
            card(number),
            v1::Identifier {
                r#type: v1::IdentifierType::Email.into(),
                value: format!("customer.{number}@example.it"),
                ..v1::Identifier::default()
            },
        ],
        contacts: Some(v1::Contacts {
            given_name: format!("Given{}", number % 997),
            family_name: format!("Family{}", number % 9973),
            address: format!("Via Garibaldi {}, interno {}", number % 300, number % 17),
            postal_code: format!("{:05}", number % 99_999),
            town: format!("Town {}", number % 7919),
            birth_date: "1980-05-17".into(),
            language: "it".into(),
        }),
        consents: vec![consent],
        ..v1::ProfileUpserted::default()
    };
    event(
        number,
        "person",
        v1::event::Payload::ProfileUpserted(profile),
    )
}

fn receipt(number: u32, lines: u32) -> v1::Event {
    let line = |i: u32| v1::TransactionLine {
        // Every customer has some products of its own, and they are in several categories.
        item: Some(v1::transaction_line::Item::Sku(format!(
            "P{}",
            (number.wrapping_mul(31).wrapping_add(i * 7)) % PRODUCTS
        ))),
        quantity: Some(v1::Quantity {
            thousandths: 1000,
            unit: v1::Unit::Ea.into(),
        }),
        net_amount: Some(v1::Money {
            currency_code: "EUR".into(),
            minor_units: 100 + i64::from(i),
        }),
        ..v1::TransactionLine::default()
    };
    let transaction = v1::RetailTransaction {
        key: Some(v1::TransactionKey {
            store_id: STORE.into(),
            workstation_id: "1".into(),
            business_day_date: "2025-11-13".into(),
            sequence_number: i64::from(number),
        }),
        lines: (0..lines).map(line).collect(),
        customer_identifiers: vec![card(number)],
        ..v1::RetailTransaction::default()
    };
    event(
        number,
        "receipt",
        v1::event::Payload::Transaction(transaction),
    )
}
