//! A durable hold of three lines, with idempotency and validation, beside PostgreSQL (one function call a hold) and Redis
//! (a Lua script, appendfsync always): same world, same baskets, same disk, same generator, taking turns. Every answer
//! counted was synced to disk first.
//!
//! The peers are started here from what is installed, on free ports of the loopback, in a directory that is removed.

mod basket;
mod exchange;
mod postgres;
mod process;
mod redis;
mod tillside;

use crate::compare::{cpu_micros, median};
use anyhow::Context as _;
use basket::{Basket, Baskets};
use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use process::Server;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::Mutex as Turn;

/// Connections that calls to Tillside share at most, as in the other scenarios.
const CONNECTIONS: usize = 16;
/// Pools tried for PostgreSQL.
const POOLS: [usize; 4] = [4, 8, 16, 32];
/// At (calls in flight): goals against PostgreSQL with a connection a call, its best pool, Redis.
const GOALS: [(usize, f64, f64, f64); 2] = [(16, 1.5, 1.5, 0.8), (128, 5.0, 3.0, 1.2)];

/// What is compared.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) in_flight: Vec<usize>,
    pub(crate) rounds: usize,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    pub(crate) threads: usize,
    /// Where all of them keep their data.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) server_program: Option<PathBuf>,
    pub(crate) tillside_only: bool,
}

/// How a subject is reached.
#[derive(Debug, Clone)]
enum Way {
    Tillside,
    Postgres { connections: usize },
    Redis { connections: usize, script: String },
}

struct Subject {
    name: String,
    way: Way,
    address: SocketAddr,
    pid: Option<u32>,
    rates: Vec<f64>,
    latency: Histogram<u64>,
    cpu: Vec<f64>,
}

/// The result for one number of calls in flight.
pub(crate) struct Level {
    in_flight: usize,
    subjects: Vec<Subject>,
}

/// Everything found.
pub(crate) struct Comparison {
    levels: Vec<Level>,
}

struct Servers {
    tillside: Server,
    postgres: Option<Server>,
    redis: Option<(Server, String)>,
}

async fn start(options: &Options, directory: &Path) -> anyhow::Result<Servers> {
    let program = match &options.server_program {
        Some(program) => program.clone(),
        None => tillside::program_beside()?,
    };
    let tillside = tillside::start(&program, &directory.join("tillside")).await?;
    if options.tillside_only {
        return Ok(Servers {
            tillside,
            postgres: None,
            redis: None,
        });
    }
    let postgres = postgres::start(&directory.join("postgres")).await?;
    let folder = directory.join("redis");
    let redis = redis::start(&folder).await?;
    let script = redis::script_name(&folder, redis.address)?;
    Ok(Servers {
        tillside,
        postgres: Some(postgres),
        redis: Some((redis, script)),
    })
}

/// Starts all, and compares.
pub(crate) fn compare(options: &Options) -> anyhow::Result<Comparison> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("tillside-durable-");
    let directory = match &options.directory {
        Some(parent) => builder.tempdir_in(parent)?,
        None => builder.tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let servers = runtime.block_on(start(options, directory.path()))?;
    let mut levels = Vec::new();
    for &in_flight in &options.in_flight {
        let mut subjects = subjects_of(&servers, in_flight)?;
        for round in 0..options.rounds {
            let count = subjects.len();
            for step in 0..count {
                let subject = &mut subjects[(round + step) % count];
                let name = format!("{in_flight}-{round}-{step}-{}", unix_seconds());
                turn(options, subject, in_flight, &name)
                    .with_context(|| format!("{} with {in_flight} in flight", subject.name))?;
                eprintln!(
                    "{in_flight:>4} in flight, round {}: {:<28} {:>8.0}/s",
                    round + 1,
                    subject.name,
                    subject.rates.last().copied().unwrap_or_default()
                );
            }
        }
        levels.push(Level {
            in_flight,
            subjects,
        });
    }
    Ok(Comparison { levels })
}

fn subjects_of(servers: &Servers, in_flight: usize) -> anyhow::Result<Vec<Subject>> {
    let subject = |name: String, way, server: &Server, one_process: bool| {
        anyhow::Ok(Subject {
            name,
            way,
            address: server.address,
            pid: one_process.then(|| server.pid()),
            rates: Vec::new(),
            latency: Histogram::new_with_bounds(1, 60_000_000_000, 3)?,
            cpu: Vec::new(),
        })
    };
    let mut subjects = vec![subject(
        "tillside".into(),
        Way::Tillside,
        &servers.tillside,
        true,
    )?];
    if let Some(server) = &servers.postgres {
        let pools = POOLS.into_iter().filter(|pool| *pool < in_flight);
        for connections in [in_flight].into_iter().chain(pools) {
            let name = if connections == in_flight {
                "postgres".to_owned()
            } else {
                format!("postgres, pool of {connections}")
            };
            let way = Way::Postgres { connections };
            subjects.push(subject(name, way, server, false)?);
        }
    }
    if let Some((server, script)) = &servers.redis {
        let shared = (in_flight > CONNECTIONS).then_some(CONNECTIONS);
        for connections in [in_flight].into_iter().chain(shared) {
            let name = if connections == in_flight {
                "redis".to_owned()
            } else {
                format!("redis, {connections} connections")
            };
            let way = Way::Redis {
                connections,
                script: script.clone(),
            };
            subjects.push(subject(name, way, server, true)?);
        }
    }
    Ok(subjects)
}

/// One turn of one subject.
fn turn(
    options: &Options,
    subject: &mut Subject,
    in_flight: usize,
    name: &str,
) -> anyhow::Result<()> {
    let before = subject.pid.and_then(cpu_micros);
    let threads = options.threads.min(in_flight);
    let share = |total: usize, index: usize| total / threads + usize::from(index < total % threads);
    let start = Instant::now();
    let measured: Vec<anyhow::Result<Histogram<u64>>> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|index| {
                let (way, address) = (subject.way.clone(), subject.address);
                let calls = share(in_flight, index);
                let connections = move |total: usize| share(total, index).max(1);
                let callers = Callers {
                    seed: options.seed,
                    name: format!("{name}-{index}"),
                    calls,
                    from: start + options.warmup,
                    until: start + options.warmup + options.duration,
                };
                scope.spawn(move || callers.run(&way, address, &connections))
            })
            .collect();
        running
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("a generator ended early")))
            })
            .collect()
    });
    let mut count = 0;
    for latency in measured {
        let latency = latency?;
        count += latency.len();
        subject.latency.add(&latency)?;
    }
    let rate = count as f64 / options.duration.as_secs_f64();
    subject.rates.push(rate);
    let used = subject.pid.and_then(cpu_micros).zip(before);
    let calls = rate * (options.warmup + options.duration).as_secs_f64();
    subject
        .cpu
        .extend(used.map(|(after, before)| (after - before) / calls.max(1.0)));
    Ok(())
}

/// The calls of one thread.
struct Callers {
    seed: u64,
    name: String,
    calls: usize,
    from: Instant,
    until: Instant,
}

/// One connection of any kind, for one caller at a time or for several.
#[derive(Clone)]
enum Line {
    Grpc(tillside::Grpc),
    /// One call at a time: who comes later waits, as for a pool.
    Postgres(Arc<Turn<postgres::Postgres>>),
    Redis(redis::Redis),
}

impl Line {
    async fn reserve(&mut self, basket: &Basket) -> anyhow::Result<()> {
        match self {
            Line::Grpc(grpc) => grpc.reserve(basket).await,
            Line::Postgres(postgres) => postgres.lock().await.reserve(basket).await,
            Line::Redis(redis) => redis.reserve(basket).await,
        }
    }
}

impl Callers {
    fn run(
        &self,
        way: &Way,
        address: SocketAddr,
        share: &dyn Fn(usize) -> usize,
    ) -> anyhow::Result<Histogram<u64>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let local = tokio::task::LocalSet::new();
        runtime.block_on(local.run_until(async {
            let lines = open(way, address, self.calls, share).await?;
            let callers: Vec<_> = (0..self.calls)
                .map(|number| {
                    let line = lines[number % lines.len()].clone();
                    let caller = number as u64;
                    let baskets = Baskets::new(
                        self.seed,
                        caller,
                        format!("{}-{caller}", self.name),
                        unix_seconds(),
                    );
                    tokio::task::spawn_local(call(line, baskets, self.from, self.until))
                })
                .collect();
            let mut all = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
            for caller in callers {
                all.add(&caller.await??)?;
            }
            Ok(all)
        }))
    }
}

async fn open(
    way: &Way,
    address: SocketAddr,
    calls: usize,
    share: &dyn Fn(usize) -> usize,
) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    match way {
        Way::Tillside => {
            for _ in 0..share(CONNECTIONS).min(calls) {
                lines.push(Line::Grpc(tillside::Grpc::open(address).await?));
            }
        }
        Way::Postgres { connections } => {
            for _ in 0..share(*connections).min(calls) {
                let connection = postgres::Postgres::open(address).await?;
                lines.push(Line::Postgres(Arc::new(Turn::new(connection))));
            }
        }
        Way::Redis {
            connections,
            script,
        } => {
            for _ in 0..share(*connections).min(calls) {
                lines.push(Line::Redis(redis::Redis::open(address, script).await?));
            }
        }
    }
    Ok(lines)
}

async fn call(
    mut line: Line,
    mut baskets: Baskets,
    from: Instant,
    until: Instant,
) -> anyhow::Result<Histogram<u64>> {
    let mut latency = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
    loop {
        let basket = baskets.next();
        let sent = Instant::now();
        if sent >= until {
            return Ok(latency);
        }
        line.reserve(&basket).await?;
        let answered = Instant::now();
        if answered >= from && answered < until {
            let nanos = (answered - sent).as_nanos();
            latency.saturating_record(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
    }
}

fn unix_seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64)
}

impl Subject {
    fn rate(&self) -> f64 {
        median(&self.rates)
    }

    fn millis(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e6
    }
}

impl Level {
    /// Tillside's rate divided by that of the fastest subject among those named so, round by round, the median.
    fn ratio(&self, among: impl Fn(&Way) -> bool) -> Option<f64> {
        let tillside = self.subjects.first()?;
        let fastest = self
            .subjects
            .iter()
            .filter(|subject| among(&subject.way))
            .max_by(|a, b| a.rate().total_cmp(&b.rate()))?;
        let ratios: Vec<f64> = tillside
            .rates
            .iter()
            .zip(&fastest.rates)
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        Some(median(&ratios))
    }

    /// Against PostgreSQL with a connection a call, against its best pool, against Redis.
    fn ratios(&self) -> [Option<f64>; 3] {
        [
            self.ratio(
                |way| matches!(way, Way::Postgres { connections } if *connections == self.in_flight),
            ),
            self.ratio(|way| matches!(way, Way::Postgres { .. })),
            self.ratio(|way| matches!(way, Way::Redis { .. })),
        ]
    }

    fn goals(&self) -> Option<[f64; 3]> {
        GOALS
            .iter()
            .find(|goal| goal.0 == self.in_flight)
            .map(|goal| [goal.1, goal.2, goal.3])
    }
}

const AGAINST: [&str; 3] = [
    "PostgreSQL, a connection a call",
    "PostgreSQL, best pool",
    "Redis",
];

impl Comparison {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for level in &self.levels {
            let mut table = Table::new();
            table.load_style(presets::NOTHING).set_header([
                format!("{} in flight", level.in_flight).as_str(),
                "holds/s",
                "p50 ms",
                "p99 ms",
                "p99.9 ms",
                "server CPU µs",
            ]);
            for column in table.column_iter_mut().skip(1) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            for subject in &level.subjects {
                let cpu = match subject.cpu.as_slice() {
                    [] => String::new(),
                    micros => format!("{:.1}", median(micros)),
                };
                table.add_row([
                    subject.name.clone(),
                    format!("{:.0}", subject.rate()),
                    format!("{:.2}", subject.millis(0.5)),
                    format!("{:.2}", subject.millis(0.99)),
                    format!("{:.2}", subject.millis(0.999)),
                    cpu,
                ]);
            }
            text.push_str(&format!("{table}\n"));
            for (index, ratio) in level.ratios().into_iter().enumerate() {
                let Some(ratio) = ratio else { continue };
                let verdict = match level.goals().map(|goals| goals[index]) {
                    Some(goal) if ratio >= goal => format!(", goal {goal:.1} reached"),
                    Some(goal) => format!(", goal {goal:.1} MISSED"),
                    None => String::new(),
                };
                text.push_str(&format!(
                    "  tillside ÷ {:<32} {ratio:.2}{verdict}\n",
                    AGAINST[index]
                ));
            }
            text.push('\n');
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let level = |level: &Level| {
            let subjects: Vec<Value> = level
                .subjects
                .iter()
                .map(|subject| {
                    json!({
                        "name": subject.name,
                        "holds_per_second": subject.rates,
                        "holds_per_second_median": subject.rate(),
                        "p50_ms": subject.millis(0.5),
                        "p99_ms": subject.millis(0.99),
                        "p999_ms": subject.millis(0.999),
                        "server_cpu_us_per_hold": subject.cpu,
                    })
                })
                .collect();
            let [postgres, pool, redis] = level.ratios();
            json!({
                "in_flight": level.in_flight,
                "subjects": subjects,
                "ratio_to_postgres": postgres,
                "ratio_to_postgres_best_pool": pool,
                "ratio_to_redis": redis,
            })
        };
        json!(self.levels.iter().map(level).collect::<Vec<_>>())
    }
}
