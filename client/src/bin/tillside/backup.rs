//! `tillside backup` and `tillside backups`: a backup of the server's data, made by the server where it is configured to.

use crate::{global::Exit, global::GlobalArgs, instant, output};
use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::{io::IsTerminal as _, process::ExitCode, time::Duration};
use tillside_client::{
    Answer, Tillside,
    v1::{
        self, Backup, CreateBackupRequest, GetOperationRequest, ListBackupsRequest,
        ListBackupsResponse, Operation, OperationState,
    },
};

/// How often the server is asked how far it is.
const POLL: Duration = Duration::from_millis(200);
const KEYS: &str = "The server's keys are not in it: keep a copy of its keys directory apart.";

/// Arguments of `tillside backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Answer as soon as the backup is begun
    #[arg(long)]
    no_wait: bool,
    /// At most one backup is begun for one id [default: a new one]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

/// Arguments of `tillside backups`.
#[derive(Debug, Args)]
pub(crate) struct BackupsArgs {}

pub(crate) async fn run(args: BackupArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let server = global.connect().await?;
    let request = CreateBackupRequest {
        request_id: args.request_id.unwrap_or_default(),
    };
    let mut answer = server.create_backup(request).await?;
    if !args.no_wait {
        answer = wait(&server, answer).await?;
    }
    output::show(global, "Operation", &answer, human)?;
    match answer.value.state() {
        OperationState::Failed => Ok(Exit::Failure.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

pub(crate) async fn list(_: BackupsArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let server = global.connect().await?;
    let answer = server.list_backups(ListBackupsRequest {}).await?;
    output::show(global, "ListBackupsResponse", &answer, human_list)?;
    Ok(ExitCode::SUCCESS)
}

/// Asks until it has ended, with a bar where somebody looks.
async fn wait(
    server: &Tillside,
    mut answer: Answer<Operation>,
) -> anyhow::Result<Answer<Operation>> {
    let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(0));
    let style = ProgressStyle::with_template("{prefix:>20} {bar:32} {bytes}/{total_bytes}");
    if let (Some(bar), Ok(style)) = (&bar, style) {
        bar.set_style(style);
        bar.set_prefix("backup");
    }
    while answer.value.state() == OperationState::Running {
        if let Some(bar) = &bar {
            bar.set_length(answer.value.bytes_expected.max(answer.value.bytes_done));
            bar.set_position(answer.value.bytes_done);
        }
        tokio::time::sleep(POLL).await;
        let request = GetOperationRequest {
            operation_id: answer.value.operation_id.clone(),
        };
        answer = server.get_operation(request).await.context(
            "the backup was begun, and how it ended is not known; see `tillside backups`",
        )?;
    }
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    Ok(answer)
}

fn human(operation: &Operation) -> String {
    match (operation.state(), &operation.backup, &operation.problem) {
        (OperationState::Succeeded, Some(backup), _) => {
            format!("{}\n{KEYS}", facts(backup))
        }
        (_, _, Some(problem)) => format!("The backup failed: {}", problem.message),
        _ => output::facts([
            ("operation", operation.operation_id.clone()),
            (
                "state",
                output::word(operation.state().as_str_name(), "OPERATION_STATE_"),
            ),
            (
                "started",
                instant::format_optional(operation.start_time.as_ref()),
            ),
        ])
        .to_string(),
    }
}

fn facts(backup: &Backup) -> String {
    output::facts([
        ("backup", backup.backup_id.to_string()),
        (
            "begun",
            instant::format_optional(backup.create_time.as_ref()),
        ),
        ("took", seconds(backup)),
        ("holds changes up to", backup.sequence.to_string()),
        ("bytes", backup.bytes.to_string()),
        ("copied", backup.new_bytes.to_string()),
        ("files", backup.files.to_string()),
        ("key fingerprint", backup.key_fingerprint.clone()),
    ])
    .to_string()
}

fn seconds(backup: &Backup) -> String {
    backup
        .duration
        .and_then(|duration| Duration::try_from(duration).ok())
        .map_or_else(String::new, |d| format!("{:.2} s", d.as_secs_f64()))
}

fn human_list(list: &ListBackupsResponse) -> String {
    let mut table = output::table([
        "backup",
        "begun",
        "took",
        "changes up to",
        "bytes",
        "copied",
    ]);
    for backup in &list.backups {
        table.add_row([
            backup.backup_id.to_string(),
            instant::format_optional(backup.create_time.as_ref()),
            seconds(backup),
            backup.sequence.to_string(),
            backup.bytes.to_string(),
            backup.new_bytes.to_string(),
        ]);
    }
    let damaged = |problem: &v1::Problem| format!("\ndamaged: {}", problem.message);
    let problems: String = list.problems.iter().map(damaged).collect();
    match list.backups.is_empty() {
        true => format!("no complete backup{problems}"),
        false => format!("{table}{problems}"),
    }
}
