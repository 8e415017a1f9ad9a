//! `tillside demo`: a made-up Italian retailer on a server of its own, and a short tour of the three questions.
//!
//! It starts `tillside-server`, loads the world through the API as any system of a retailer would, and stays up for the
//! reader to try calls. It refuses to load into a directory that holds something else.

/// A line on stdout; where the reader went away the function ends with that error, which is none of ours.
macro_rules! say {
    ($($text:tt)*) => {
        crate::output::print(&format!($($text)*))?
    };
}

mod cast;
mod child;
mod directory;
mod load;
mod paint;
mod tour;
mod world;

use crate::global::{Exit, GlobalArgs};
use anyhow::Context as _;
use child::ServerProcess;
use directory::Directory;
use paint::Paint;
use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Instant};
use tillside_client::{ClientConfig, Tillside, v1};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Arguments of `tillside demo`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DemoArgs {
    /// End after the tour
    #[arg(long)]
    once: bool,
    /// Seed of the made-up world; the same seed gives the same retailer
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of stores
    #[arg(long, default_value_t = 250)]
    stores: u32,
    /// Number of products
    #[arg(long, default_value_t = 8_000)]
    products: u32,
    /// Number of customers
    #[arg(long, default_value_t = 50_000)]
    customers: u32,
    /// Number of receipts over the last two years
    #[arg(long, default_value_t = 500_000)]
    receipts: u64,
    /// Where the server keeps its data between demos [default: in the user's cache, one directory a world]
    #[arg(long, value_name = "DIR", conflicts_with = "running")]
    data_dir: Option<PathBuf>,
    /// Delete what an earlier demo left in the data directory and load again
    #[arg(long, conflicts_with = "running")]
    fresh: bool,
    /// gRPC port of the server that is started [default: 50051, or any free one]
    #[arg(long, value_name = "PORT", conflicts_with = "running")]
    port: Option<u16>,
    /// Use the server that runs at --server instead of starting one
    #[arg(long)]
    running: bool,
}

/// Waits for the wish to stop, by Ctrl-C or SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn wished(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

pub(crate) async fn run(args: DemoArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        !global.json,
        "the demo is for people; it has no --json form"
    );
    let mut stop = Stop::new()?;
    let paint = Paint::for_stdout();
    if args.running {
        let client = global.connect().await?;
        return tokio::select! {
            done = show(&args, &client, None, &global.server, &paint) => done.map(|()| ExitCode::SUCCESS),
            () = stop.wished() => Ok(Exit::Failure.into()),
        };
    }
    let directory = Directory::open(&args)?;
    let mut server = ServerProcess::start(&directory, args.port)?;
    let address = server.address();
    let outcome = tokio::select! {
        done = with_server(&args, global, &mut server, &directory, &paint) => done.map(|()| true),
        () = stop.wished() => Ok(false),
    };
    if matches!(outcome, Ok(true)) && !args.once {
        say!(
            "\n{}",
            paint.strong(&format!(
                "The server stays up at {address}; Ctrl-C ends it."
            ))
        );
        tokio::select! {
            () = stop.wished() => {}
            status = server.ended() => anyhow::bail!("the server ended by itself: {}", status?),
        }
    }
    let stopping = Instant::now();
    let status = server.stop().await?;
    // What went wrong first is what the reader wants to know.
    let completed = outcome?;
    anyhow::ensure!(
        status.success(),
        "the server did not end cleanly: {status}; its log is {}",
        directory.log().display()
    );
    say!(
        "{}",
        paint.dim(&format!(
            "server stopped cleanly in {:.1} s; its data stays in {}",
            stopping.elapsed().as_secs_f64(),
            directory.root().display()
        ))
    );
    // Stopped on the way, what was asked for did not happen.
    let exit = if completed { Exit::Ok } else { Exit::Failure };
    Ok(exit.into())
}

async fn with_server(
    args: &DemoArgs,
    global: &GlobalArgs,
    server: &mut ServerProcess,
    directory: &Directory,
    paint: &Paint,
) -> anyhow::Result<()> {
    let started = Instant::now();
    server.ready().await?;
    say!(
        "{}",
        paint.dim(&format!(
            "tillside-server is ready at {} after {:.2} s, data in {}",
            server.address(),
            started.elapsed().as_secs_f64(),
            directory.root().display()
        ))
    );
    let config = ClientConfig {
        timeout: global.timeout,
        ..ClientConfig::new(server.address())
    };
    let client = Tillside::connect(config)
        .await
        .context("The server was started, but does not answer")?;
    show(args, &client, Some(directory), &server.address(), paint).await?;
    say!("  curl {}/metrics", server.http_address());
    Ok(())
}

/// Loads the world where it is not there yet, then the tour.
async fn show(
    args: &DemoArgs,
    client: &Tillside,
    directory: Option<&Directory>,
    address: &str,
    paint: &Paint,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let info = client
        .get_server_info(v1::GetServerInfoRequest::default())
        .await?
        .value;
    let now_seconds = info.now.map_or(0, |now| now.seconds);
    let end_seconds = match directory {
        Some(directory) => directory.world_end(now_seconds)?,
        None => directory::whole_hour(now_seconds),
    };
    let world = Arc::new(world::make(args, end_seconds)?);
    if load::is_loaded(&world, client, &info).await? {
        say!(
            "{}",
            paint.dim(&format!(
                "already loaded by an earlier demo with seed {}: {}",
                args.seed,
                load::counts_sentence(&info)
            ))
        );
    } else {
        load::load(&world, client, paint).await?;
    }
    say!(
        "{}",
        paint.strong(&format!(
            "ready in {:.1} s",
            started.elapsed().as_secs_f64()
        ))
    );
    tour::tour(&world, client, paint).await?;
    cast::commands_to_try(&world, address, paint)?;
    Ok(())
}
