//! `tillside recognize`: who is this?

use crate::{
    global::{Exit, GlobalArgs},
    inputs::IdentifierArgs,
    output, profile,
};
use clap::Args;
use std::process::ExitCode;
use tillside_client::v1::{
    ProfileView, RecognitionOutcome, RecognizeCustomerRequest, RecognizeCustomerResponse,
};

/// Arguments of `tillside recognize`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("who").required(true).multiple(true).args(["card", "email", "phone", "customer_id"])))]
pub(crate) struct RecognizeArgs {
    #[command(flatten)]
    identifiers: IdentifierArgs,
    /// The store where they were seen
    #[arg(long, value_name = "ID")]
    store: Option<String>,
    /// Everything that is known, not only what a till shows
    #[arg(long)]
    full: bool,
}

/// Exit status 3 where nobody, or more than one customer, matches.
pub(crate) async fn run(args: RecognizeArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let view = if args.full {
        ProfileView::Full
    } else {
        ProfileView::Checkout
    };
    let request = RecognizeCustomerRequest {
        identifiers: args.identifiers.identifiers(),
        store_id: args.store.unwrap_or_default(),
        view: view.into(),
        ..RecognizeCustomerRequest::default()
    };
    let answer = global.connect().await?.recognize_customer(request).await?;
    output::show(global, "RecognizeCustomerResponse", &answer, human)?;
    Ok(exit(&answer.value).into())
}

/// The exit status for a recognition.
pub(crate) fn exit(response: &RecognizeCustomerResponse) -> Exit {
    match response.outcome() {
        RecognitionOutcome::Matched => Exit::Ok,
        _ => Exit::NotFound,
    }
}

/// A recognition for people.
pub(crate) fn human(response: &RecognizeCustomerResponse) -> String {
    match (response.outcome(), &response.customer) {
        (RecognitionOutcome::Matched, Some(customer)) => format!(
            "matched, confidence {}\n{}",
            response.match_confidence,
            profile::human(customer)
        ),
        (RecognitionOutcome::Ambiguous, _) => {
            let mut table = output::table(["candidate", "name", "identifiers"]);
            for candidate in &response.candidates {
                let positions: Vec<String> = candidate
                    .matched_identifiers
                    .iter()
                    .map(i32::to_string)
                    .collect();
                table.add_row([
                    &candidate.customer_id,
                    &candidate.masked_name,
                    &positions.join(", "),
                ]);
            }
            format!("ambiguous: the identifiers belong to different customers\n{table}")
        }
        _ => "unknown customer".to_owned(),
    }
}
