//! `tillside-loadtest`: load on a running server, measured honestly, and the comparison with a bare echo. It asks about the
//! world that `tillside demo` loads; against any other data its answers mean little.

mod arrivals;
mod cold;
mod compare;
mod drive;
mod durable;
mod echo;
mod prepare;
mod report;
mod tally;
mod target;
mod wire;
mod workload;

use arrivals::Process;
use clap::{Args, Parser, Subcommand};
use drive::{Run, Shape};
use echo::Treatment;
use prepare::WorldKind;
use std::{
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use workload::{Requests, Scenario};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Load a Tillside server and measure it.
#[derive(Debug, Parser)]
#[command(
    name = "tillside-loadtest",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// RecognizeCustomer divided by a bare echo with the same bytes and the same server shape
    EchoCompare(CompareArgs),
    /// More customers than memory: fills a server of its own, restarts it with room for few, and asks by popularity
    ColdProfiles(cold::ColdArgs),
    /// Durable holds beside PostgreSQL and Redis, which it starts itself from what is installed
    DurableCompare(DurableArgs),
    /// The echo server alone; reads a length (4 bytes, big-endian) and its answer from stdin, ends when stdin does
    #[command(hide = true)]
    EchoServer(EchoArgs),
}

/// Whom to load, and with which world.
#[derive(Debug, Clone, Args)]
struct TargetArgs {
    /// The server
    #[arg(
        long,
        env = "TILLSIDE_SERVER",
        default_value = "http://127.0.0.1:50051",
        value_name = "URL"
    )]
    server: String,
    /// Allow a server on another machine
    #[arg(long)]
    allow_remote: bool,
    /// Seed of the world and of the load
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The world to ask about
    #[arg(long, value_enum, default_value = "demo")]
    world: WorldKind,
    /// Load the world first (what is there already stays as it is)
    #[arg(long)]
    load: bool,
    /// Connections
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Generator threads [default: number of cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Args)]
struct LoadArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// What to ask
    #[arg(long, value_enum, default_value = "mixed")]
    scenario: Scenario,
    /// Requests a second
    #[arg(long, default_value = "1000", value_parser = rate, conflicts_with = "closed", value_name = "R")]
    rate: f64,
    /// How requests follow each other
    #[arg(long, value_enum, default_value = "poisson", conflicts_with = "closed")]
    arrivals: Process,
    /// Closed loop with this many calls under way: the highest throughput, no honest latencies
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    closed: Option<u32>,
    /// How long to measure, in seconds
    #[arg(long, default_value = "10", value_parser = seconds, value_name = "SECONDS")]
    duration: Duration,
    /// How long to load before measuring, in seconds
    #[arg(long, default_value = "2", value_parser = seconds, value_name = "SECONDS")]
    warmup: Duration,
    /// Calls under way at most in an open loop
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "N")]
    in_flight_max: u32,
    /// How often the generator wakes, in microseconds
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=100_000), value_name = "US")]
    tick_us: u32,
    /// Receipts a call of the ingest scenario
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000), value_name = "N")]
    batch: u16,
}

#[derive(Debug, Clone, Args)]
struct CompareArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Rounds; in each, every server has its turn
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// How long each turn is measured, in seconds
    #[arg(long, default_value = "3", value_parser = seconds, value_name = "SECONDS")]
    duration: Duration,
    /// How long each turn runs before it is measured, in seconds
    #[arg(long, default_value = "0.5", value_parser = seconds, value_name = "SECONDS")]
    warmup: Duration,
    /// Calls under way
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: u32,
    /// Runtimes of the echo; the real server's --runtimes [default: number of cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    server_threads: Option<u16>,
    /// Process id of the server, to compare processor time a call as well
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
}

#[derive(Debug, Clone, Args)]
struct EchoArgs {
    #[arg(long, value_enum, default_value = "bytes")]
    treatment: Treatment,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
}

#[derive(Debug, Clone, Args)]
struct DurableArgs {
    /// Calls in flight, one comparison each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 128], value_parser = clap::value_parser!(u16).range(1..=128))]
    in_flight: Vec<u16>,
    /// Rounds; in each, every subject has its turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// How long each turn is measured, in seconds
    #[arg(long, default_value = "4", value_parser = seconds, value_name = "SECONDS")]
    duration: Duration,
    /// How long each turn runs before it is measured, in seconds
    #[arg(long, default_value = "1", value_parser = seconds, value_name = "SECONDS")]
    warmup: Duration,
    /// Generator threads [default: number of cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Where the servers keep their data: on the disk that is to be compared [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    directory: Option<std::path::PathBuf>,
    /// The server's program [default: tillside-server beside this program]
    #[arg(long, value_name = "FILE")]
    server_program: Option<std::path::PathBuf>,
    /// Measure Tillside alone
    #[arg(long)]
    tillside_only: bool,
    /// Seed of the baskets
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('s').unwrap_or(text).parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("write seconds between 0 and 86400, for example 10 or 0.5".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.1..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("write requests a second between 0.1 and 10000000".to_owned()),
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Different for every run: ids that an earlier run used would be answered as repeats.
fn run_name() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("{:x}", since.as_micros())
}

impl TargetArgs {
    /// Makes the requests, having found the world on the server, and the run they are for.
    fn prepare(&self, scenario: Scenario, shape: Shape) -> anyhow::Result<(Run, Arc<Requests>)> {
        let address = target::resolve(&self.server, self.allow_remote)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let server = format!("http://{address}");
        let world = runtime.block_on(prepare::world(&server, self.seed, self.world, self.load))?;
        let requests = Arc::new(Requests::new(&world, scenario, self.seed));
        let connections = usize::from(self.connections);
        let threads = self
            .threads
            .map_or_else(cores, usize::from)
            .min(connections);
        let run = Run {
            address,
            scenario,
            shape,
            seed: self.seed,
            name: run_name(),
            batch: 1,
            connections,
            threads,
            warmup: Duration::ZERO,
            duration: Duration::ZERO,
        };
        Ok((run, requests))
    }
}

fn load(args: &LoadArgs) -> anyhow::Result<()> {
    let shape = match args.closed {
        Some(in_flight) => Shape::Closed {
            in_flight: in_flight as usize,
        },
        None => Shape::Open {
            rate: args.rate,
            process: args.arrivals,
            tick: Duration::from_micros(u64::from(args.tick_us)),
            in_flight_max: args.in_flight_max as usize,
        },
    };
    let (run, requests) = args.target.prepare(args.scenario, shape)?;
    let run = Run {
        batch: usize::from(args.batch),
        warmup: args.warmup,
        duration: args.duration,
        ..run
    };
    let tally = drive::run(run.clone(), &requests)?;
    if args.target.json {
        println!("{}", report::json(&run, &tally));
    } else {
        print!("{}", report::table(&run, &tally));
    }
    Ok(())
}

fn compare(args: &CompareArgs) -> anyhow::Result<()> {
    let shape = Shape::Closed {
        in_flight: args.in_flight as usize,
    };
    let (run, requests) = args.target.prepare(Scenario::Recognize, shape)?;
    let run = Run {
        warmup: args.warmup,
        duration: args.duration,
        ..run
    };
    let server_threads = args.server_threads.map_or_else(cores, usize::from);
    let comparison = compare::compare(
        &run,
        &requests,
        usize::from(args.rounds),
        server_threads,
        args.server_pid,
    )?;
    if args.target.json {
        println!("{}", comparison.json());
    } else {
        print!("{}", comparison.text());
    }
    Ok(())
}

fn durable_compare(args: &DurableArgs) -> anyhow::Result<()> {
    let comparison = durable::compare(&durable::Options {
        seed: args.seed,
        in_flight: args.in_flight.iter().map(|n| usize::from(*n)).collect(),
        rounds: usize::from(args.rounds),
        warmup: args.warmup,
        duration: args.duration,
        threads: args.threads.map_or_else(cores, usize::from),
        directory: args.directory.clone(),
        server_program: args.server_program.clone(),
        tillside_only: args.tillside_only,
    })?;
    if args.json {
        println!("{}", comparison.json());
    } else {
        print!("{}", comparison.text());
    }
    Ok(())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.command {
        None => load(&cli.load),
        Some(Command::EchoCompare(args)) => compare(args),
        Some(Command::ColdProfiles(args)) => cold::run(args),
        Some(Command::DurableCompare(args)) => durable_compare(args),
        Some(Command::EchoServer(args)) => echo::serve(args.treatment, usize::from(args.threads)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tillside-loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
