//! The binary: configuration, logging, signals, exit status. Everything else is in the library.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use tillside_server::allocator;
use tillside_server::config::{Config, parse_cli};
use tillside_server::server::{self, Addresses, Ended};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Usage and configuration errors, as in sysexits.h.
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    allocator::keep_freed_memory();
    let cli = parse_cli(std::env::args_os());
    if let Some(command) = &cli.command {
        return tillside_server::cli::run(command, &cli);
    }
    let config = match Config::load(&cli) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("tillside-server: {error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if cli.print_config {
        return print_config(&config);
    }
    tillside_server::logging::start(&config);
    match serve(config, cli.port_file.as_deref()) {
        Ok(Ended::Stopped) => leave(libc::EXIT_SUCCESS),
        Ok(Ended::StorageFailed(reason)) => {
            eprintln!(
                "tillside-server: storage failed: {reason}. Everything acknowledged is kept; mend the disk and start again"
            );
            leave(libc::EXIT_FAILURE)
        }
        Err(error) => {
            eprintln!("tillside-server: {error:#}");
            leave(libc::EXIT_FAILURE)
        }
    }
}

/// Ends the process at once. A backup or a load that was given up may still be inside RocksDB, whose global locks the usual
/// way out destroys first: that thread would then abort the process, and a clean stop would look like a crash. Nothing is
/// lost: what was acknowledged is synced, and log lines are written as they are made.
fn leave(status: i32) -> ! {
    drop(std::io::stdout().flush());
    // SAFETY: it takes any status, runs nothing of ours and does not return.
    unsafe { libc::_exit(status) }
}

fn print_config(config: &Config) -> ExitCode {
    match config.to_toml() {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("tillside-server: the configuration cannot be printed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config, port_file: Option<&std::path::Path>) -> anyhow::Result<Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime can be started")?;
    let serving = |addresses: Addresses| {
        println!(
            "serving gRPC on {} and HTTP on {}",
            addresses.grpc, addresses.http
        );
        port_file.map_or(Ok(()), |path| server::write_port_file(path, addresses))
    };
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        server::run(config, serving, stop).await
    });
    // A load that is still running after a signal is not waited for: it changes nothing.
    runtime.shutdown_background();
    ended
}
