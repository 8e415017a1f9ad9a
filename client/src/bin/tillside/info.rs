//! `tillside info`: what runs there, and what it holds.

use crate::{global::GlobalArgs, instant, output};
use clap::Args;
use std::process::ExitCode;
use tillside_client::v1::{GetServerInfoRequest, ServerInfo};

/// Arguments of `tillside info`.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Also compute the digest over all state; reads every row once
    #[arg(long)]
    digest: bool,
}

pub(crate) async fn run(args: InfoArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let request = GetServerInfoRequest {
        include_state_digest: args.digest,
    };
    let answer = global.connect().await?.get_server_info(request).await?;
    output::show(global, "ServerInfo", &answer, human)?;
    Ok(ExitCode::SUCCESS)
}

fn human(info: &ServerInfo) -> String {
    let counts = info.counts.unwrap_or_default();
    let clock = if info.simulated_clock {
        " (simulated)"
    } else {
        ""
    };
    let recovery = info
        .recovery_duration
        .and_then(|duration| std::time::Duration::try_from(duration).ok())
        .map(|duration| format!("{:.3} s", duration.as_secs_f64()));
    let digest = if info.state_digest.is_empty() {
        String::new()
    } else {
        format!(
            "{} at sequence {}",
            info.state_digest, info.state_digest_sequence
        )
    };
    output::facts([
        (
            "version",
            format!("{} (data format {})", info.version, info.format_version),
        ),
        (
            "started",
            instant::format_optional(info.start_time.as_ref()),
        ),
        (
            "clock",
            format!("{}{clock}", instant::format_optional(info.now.as_ref())),
        ),
        ("loaded in", recovery.unwrap_or_default()),
        ("durable sequence", info.durable_sequence.to_string()),
        ("state digest", digest),
        ("stores", counts.stores.to_string()),
        ("products", counts.products.to_string()),
        (
            "customers",
            format!(
                "{} ({} provisional)",
                counts.customers, counts.provisional_customers
            ),
        ),
        ("stock levels", counts.stock_levels.to_string()),
        ("offers", counts.offers.to_string()),
        ("reservations", counts.reservations.to_string()),
        ("receipts", counts.transactions.to_string()),
        ("quarantined lines", counts.quarantined_lines.to_string()),
    ])
    .to_string()
}
