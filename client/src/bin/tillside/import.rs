//! `tillside import DIR`: a directory of CSV files into the server, through the same API as everybody else.
//!
//! Files are streamed, never held whole. A bad row never stops the import: it goes to the rejects file. Event ids come from
//! the rows, so the same import twice changes nothing. The module refuses to guess: what a column may hold is written in
//! IMPORT.md, and everything else is a rejected row with its reason.

mod batches;
mod catalog;
mod cells;
mod customers;
mod events;
mod hours;
mod offer_file;
mod offers;
mod progress;
mod receipts;
mod records;
mod rejects;
mod source;
mod stock;
mod summary;
mod tally;

use crate::global::{Exit, GlobalArgs};
use anyhow::{Context as _, bail};
use clap::Args;
use rejects::Rejects;
use source::Directory;
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use summary::Summary;
use tally::Tally;
use tillside_client::{ClientConfig, RetryPolicy, Tillside};

/// Arguments of `tillside import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Directory with any of stores, products, customers, stock, transactions (.csv or .csv.gz) and offers (.toml or .json)
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Read and check everything, send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Where rejected rows go; written only where there are any
    #[arg(long, value_name = "FILE", default_value = "tillside-rejects.csv")]
    pub(crate) rejects: PathBuf,
    /// Name of the system the rows come from; event ids are unique within it
    #[arg(long, value_name = "NAME", default_value = "import")]
    pub(crate) source: String,
}

/// What every file of one import shares.
#[derive(Debug, Clone)]
struct Job {
    /// `None` in a dry run.
    client: Option<Tillside>,
    source: Arc<str>,
    rejects: Arc<Rejects>,
}

/// Imports, prints the summary on stdout, and answers exit status 6 where rows were rejected.
pub(crate) async fn run(args: ImportArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let client = if args.dry_run {
        None
    } else {
        Some(connect(global).await?)
    };
    let summary = import(&args, client).await?;
    crate::output::print(&if global.json {
        summary.json()
    } else {
        summary.human()
    })?;
    let exit = if summary.rejected() > 0 {
        Exit::RowsRejected
    } else {
        Exit::Ok
    };
    Ok(exit.into())
}

/// An import outlives a restart of the server: about half a minute of attempts before it gives up.
async fn connect(global: &GlobalArgs) -> anyhow::Result<Tillside> {
    let config = ClientConfig {
        retry: RetryPolicy {
            attempts_max: 15,
            backoff_first: Duration::from_millis(50),
            backoff_max: Duration::from_secs(3),
        },
        ..global.client_config()
    };
    global.connect_with(config).await
}

/// Imports a directory. Without a client nothing is sent.
pub(crate) async fn import(args: &ImportArgs, client: Option<Tillside>) -> anyhow::Result<Summary> {
    if args.source.is_empty() || args.source.len() > 128 {
        bail!("--source must have 1 to 128 bytes");
    }
    let started = Instant::now();
    // Headers of all files are read before the first row is sent: a wrong file is said before anything happens.
    let directory = Directory::open(&args.directory)?;
    let job = Job {
        client,
        source: args.source.as_str().into(),
        rejects: Arc::new(Rejects::new(args.rejects.clone())),
    };
    let mut summary = Summary::new(args.dry_run);
    let outcome = import_files(&job, directory, &mut summary).await;
    summary.finish(job.rejects.finish()?, started.elapsed());
    if outcome.is_err() {
        eprintln!("{}", summary.human());
    }
    outcome.with_context(|| {
        format!(
            "The import stopped in {}; run it again, what was taken is not taken twice",
            summary.last_file()
        )
    })?;
    Ok(summary)
}

/// The order matters: receipts of known stores, products and customers need no quarantine.
async fn import_files(
    job: &Job,
    directory: Directory,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    if let Some(table) = directory.stores {
        let tally = summary.begin(table.name(), table.length_bytes());
        timed(&tally, batches::put::<catalog::Stores>(job, table, &tally)).await?;
    }
    if let Some(table) = directory.products {
        let tally = summary.begin(table.name(), table.length_bytes());
        timed(
            &tally,
            batches::put::<catalog::Products>(job, table, &tally),
        )
        .await?;
    }
    if let Some(table) = directory.customers {
        let tally = summary.begin(table.name(), table.length_bytes());
        timed(&tally, events::send(job, table, &tally, customers::read)).await?;
    }
    if let Some(table) = directory.stock {
        let tally = summary.begin(table.name(), table.length_bytes());
        timed(&tally, events::send(job, table, &tally, stock::read)).await?;
    }
    if let Some(path) = directory.offers {
        let tally = summary.begin(&source::file_name(&path), 0);
        timed(&tally, offers::put(job, &path, &tally)).await?;
    }
    if let Some(table) = directory.transactions {
        let tally = summary.begin(table.name(), table.length_bytes());
        timed(&tally, events::send(job, table, &tally, receipts::read)).await?;
    }
    Ok(())
}

/// Runs the import of one file beside its progress display.
async fn timed(
    tally: &Arc<Tally>,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let display = progress::show(tally.clone());
    tokio::pin!(display);
    tokio::pin!(work);
    let outcome = tokio::select! {
        outcome = &mut work => outcome,
        never = &mut display => match never {},
    };
    tally.end();
    outcome
}
