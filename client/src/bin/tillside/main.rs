//! `tillside`, the command line: one file a command, human tables by default, `--json` for machines. It talks to a server
//! through the SDK and refuses to know anything the API does not say.

mod backup;
mod check;
mod decimal;
mod demo;
mod global;
mod import;
mod info;
mod inputs;
mod instant;
mod money;
mod offers;
mod orders;
mod output;
mod plan;
mod profile;
mod recognize;
mod reservation;
mod stock;

use clap::{Parser, Subcommand};
use global::{Exit, GlobalArgs};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Recognise customers, decide offers, route and hold baskets on a Tillside server.
#[derive(Debug, Parser)]
#[command(name = "tillside", version, propagate_version = true, after_help = global::EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load a directory of CSV files: stores, products, customers, stock, offers, transactions
    Import(import::ImportArgs),
    /// Who is this? Identifiers to one customer
    Recognize(recognize::RecognizeArgs),
    /// Everything known about a customer
    Profile(profile::ProfileArgs),
    /// What should we offer for this customer and basket?
    Offers(offers::OffersArgs),
    /// Where can they get it? The nearest stores that have the whole basket
    Plan(plan::PlanArgs),
    /// Hold a basket at the nearest store that has all of it
    Reserve(reservation::ReserveArgs),
    /// Confirm a held reservation
    Confirm(reservation::ReservationArgs),
    /// Give a reservation's stock back
    Release(reservation::ReservationArgs),
    /// What a store does with an order: list, pick, ready, handover
    Orders(orders::OrdersArgs),
    /// Show, count or move stock
    Stock(stock::StockArgs),
    /// Prove that what the running server holds adds up
    Check(check::CheckArgs),
    /// What runs on the server and what it holds
    Info(info::InfoArgs),
    /// Make a backup of the server's data, where the server is configured to put it
    Backup(backup::BackupArgs),
    /// The complete backups the server has
    Backups(backup::BackupsArgs),
    /// Load a made-up Italian retailer and take a short tour
    Demo(demo::DemoArgs),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let global = &cli.global;
    let outcome = match cli.command {
        Command::Import(args) => import::run(args, global).await,
        Command::Recognize(args) => recognize::run(args, global).await,
        Command::Profile(args) => profile::run(args, global).await,
        Command::Offers(args) => offers::run(args, global).await,
        Command::Plan(args) => plan::run(args, global).await,
        Command::Reserve(args) => reservation::reserve(args, global).await,
        Command::Confirm(args) => reservation::confirm(args, global).await,
        Command::Release(args) => reservation::release(args, global).await,
        Command::Orders(args) => orders::run(args, global).await,
        Command::Stock(args) => stock::run(args, global).await,
        Command::Check(args) => check::run(args, global).await,
        Command::Info(args) => info::run(args, global).await,
        Command::Backup(args) => backup::run(args, global).await,
        Command::Backups(args) => backup::list(args, global).await,
        Command::Demo(args) => demo::run(args, global).await,
    };
    outcome.unwrap_or_else(|error| {
        if global::is_closed_pipe(&error) {
            return Exit::Ok.into();
        }
        global::report(&error, global.json);
        Exit::of(&error).into()
    })
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
