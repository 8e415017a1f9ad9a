//! What the binary does besides serving: backups of a stopped server, restoring one, and checking everything on disk. So
//! nobody needs RocksDB's tools, and no client needs RocksDB. Where things are is found as the server finds it.

mod backup;
mod report;
mod restore;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::{self, Cli, Settings};

/// All is well.
const EXIT_OK: u8 = 0;
/// It failed; or something is wrong with what was checked.
const EXIT_WRONG: u8 = 1;
/// It could not be begun: wrong use, a directory that is none of ours, or one in use.
const EXIT_UNUSABLE: u8 = 2;

const EXIT_CODES: &str = "\
Exit status:
  0  done; for verify: nothing is wrong
  1  failed; for verify: something is wrong, each problem is named
  2  could not be begun: wrong use, a directory that is none of Tillside's, or one that is in use";

/// A subcommand.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Back up the data directory of a stopped server. (A running one: `tillside backup`.)
    #[command(after_help = EXIT_CODES)]
    Backup(BackupArgs),
    /// Restore a backup into a new or empty data directory.
    #[command(after_help = EXIT_CODES)]
    Restore(RestoreArgs),
    /// Read everything in a data directory or a backup and check every checksum and invariant. Changes nothing.
    #[command(after_help = EXIT_CODES)]
    Verify(VerifyArgs),
}

/// Arguments of `backup`.
#[derive(Clone, Debug, Args)]
pub struct BackupArgs {
    /// The data directory. [default: the setting data_dir]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the keys are; the backup notes which key it needs. [default: the setting keys_dir]
    #[arg(long, value_name = "DIR")]
    keys_dir: Option<PathBuf>,
    /// Where the backup goes: an empty or new directory, or one with earlier backups. [default: the setting backup_dir]
    #[arg(long, value_name = "DIR")]
    backup_dir: Option<PathBuf>,
    /// Complete backups that stay. [default: the setting backups_kept]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    backups_kept: Option<u16>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `restore`.
#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// Where the backups are. [default: the setting backup_dir]
    #[arg(long, value_name = "DIR")]
    backup_dir: Option<PathBuf>,
    /// Which backup. [default: the latest]
    #[arg(long, value_name = "N")]
    backup_id: Option<u32>,
    /// Where to restore it: a new or empty directory. [default: the setting data_dir]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the keys of that data are; another key is refused. [default: the setting keys_dir]
    #[arg(long, value_name = "DIR")]
    keys_dir: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// The data directory of a stopped server. [default: the setting data_dir]
    #[arg(long, value_name = "DIR", conflicts_with = "backup_dir")]
    data_dir: Option<PathBuf>,
    /// A backup directory, to check a backup instead.
    #[arg(long, value_name = "DIR")]
    backup_dir: Option<PathBuf>,
    /// Which backup. [default: the latest]
    #[arg(long, value_name = "N", requires = "backup_dir")]
    backup_id: Option<u32>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs a subcommand to its end.
pub fn run(command: &Command, cli: &Cli) -> ExitCode {
    let json = match command {
        Command::Backup(args) => args.json,
        Command::Restore(args) => args.json,
        Command::Verify(args) => args.json,
    };
    let outcome = settings(cli).and_then(|settings| match command {
        Command::Backup(args) => backup::run(args, settings),
        Command::Restore(args) => restore::run(args, settings),
        Command::Verify(args) => verify::run(args, settings),
    });
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            report::failure(&failure.message, json);
            ExitCode::from(failure.code)
        }
    }
}

/// Why a subcommand ended without its result.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn wrong(message: impl ToString) -> Self {
        Failure {
            code: EXIT_WRONG,
            message: message.to_string(),
        }
    }

    fn unusable(message: impl ToString) -> Self {
        Failure {
            code: EXIT_UNUSABLE,
            message: message.to_string(),
        }
    }
}

/// Settings of flags, environment and file, without the server's defaults: a wrong directory is not guessed.
fn settings(cli: &Cli) -> Result<Settings, Failure> {
    let file = cli.config.as_deref().map(config::read_file).transpose();
    Ok(cli
        .settings
        .clone()
        .or(file.map_err(Failure::unusable)?.unwrap_or_default()))
}

fn needed(
    given: Option<&PathBuf>,
    setting: Option<PathBuf>,
    flag: &str,
) -> Result<PathBuf, Failure> {
    given
        .cloned()
        .or(setting)
        .ok_or_else(|| Failure::unusable(format!("name the directory with {flag}")))
}
