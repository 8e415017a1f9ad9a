//! `tillside check`: proves on the running server that what it holds adds up.

use crate::{global::GlobalArgs, output};
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;
use tillside_client::v1::{CheckInvariantsRequest, CheckInvariantsResponse};

/// Arguments of `tillside check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Leave out the comparison of all movements in the log with all levels, which reads the whole log
    #[arg(long)]
    skip_ledger: bool,
}

pub(crate) async fn run(args: CheckArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let client = global.connect().await?;
    let request = CheckInvariantsRequest {
        skip_ledger: args.skip_ledger,
    };
    let answer = client.check_invariants(request).await?;
    output::show(global, "CheckInvariantsResponse", &answer, human)?;
    Ok(if answer.value.violations_count == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn human(answer: &CheckInvariantsResponse) -> String {
    let took = answer.took.and_then(|took| Duration::try_from(took).ok());
    let facts = output::facts([
        ("violations", answer.violations_count.to_string()),
        ("stock levels", answer.levels_checked.to_string()),
        ("reservations", answer.reservations_checked.to_string()),
        ("records of the log", answer.records_checked.to_string()),
        ("at sequence", answer.sequence.to_string()),
        (
            "took",
            took.map_or_else(String::new, |took| format!("{:.2} s", took.as_secs_f64())),
        ),
    ]);
    let mut text = facts.to_string();
    for violation in &answer.violations {
        text.push_str("\nviolated: ");
        text.push_str(violation);
    }
    text
}
