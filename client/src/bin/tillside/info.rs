//! `tillside info`: what runs there, and what it holds.

use crate::{global::GlobalArgs, instant, output};
use clap::Args;
use std::process::ExitCode;
use tillside_client::v1::{GetServerInfoRequest, ServerInfo, StorageInfo, TableStorage};

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
    let [data, largest, log, disk, writing] =
        info.storage.as_ref().map(storage).unwrap_or_default();
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
        ("data on disk", data),
        ("largest tables", largest),
        ("log", log),
        ("disk", disk),
        ("writing", writing),
    ])
    .to_string()
}

/// Tables named as the largest.
const LARGEST_TABLES: usize = 4;

/// What is said about data, largest tables, log, disk and writing.
fn storage(storage: &StorageInfo) -> [String; 5] {
    let mut tables: Vec<&TableStorage> = storage.tables.iter().collect();
    tables.sort_by_key(|table| std::cmp::Reverse(table.file_bytes));
    let largest: Vec<String> = tables
        .iter()
        .filter(|table| table.file_bytes > 0)
        .take(LARGEST_TABLES)
        .map(|table| format!("{} {}", table.table, bytes(table.file_bytes)))
        .collect();
    let full = if storage.disk_full {
        "; FULL: no changes are taken"
    } else {
        ""
    };
    let writing = if storage.writes_stopped {
        "stopped until compaction has caught up".to_owned()
    } else if storage.writes_delayed_bytes_per_second > 0 {
        format!(
            "slowed down to {}/s",
            bytes(storage.writes_delayed_bytes_per_second)
        )
    } else {
        String::new()
    };
    [
        format!(
            "{} ({} write-ahead logs; {} in memory, {} to compact)",
            bytes(storage.database_bytes),
            bytes(storage.wal_bytes),
            bytes(storage.memtable_bytes),
            bytes(storage.pending_compaction_bytes)
        ),
        largest.join(", "),
        format!(
            "sequence {} to {}",
            storage.log_first_sequence, storage.log_last_sequence
        ),
        format!(
            "{} free of {}, {} kept free{full}",
            bytes(storage.disk_available_bytes),
            bytes(storage.disk_total_bytes),
            bytes(storage.disk_reserve_bytes)
        ),
        writing,
    ]
}

/// Bytes for people, in units of 1024.
fn bytes(count: u64) -> String {
    let (mut value, mut unit) = (count as f64, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" {
        format!("{count} B")
    } else {
        format!("{value:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        for (count, expect) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(bytes(count), expect);
        }
    }
}
