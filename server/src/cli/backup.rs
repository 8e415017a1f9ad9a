//! `tillside-server backup`: a backup of a data directory that no server has open.

use std::sync::Mutex;

use tillside_store::backup::BackupProgress;
use tillside_store::{BackupRequest, OpenError, OpenOptions, RocksLog};

use super::{BackupArgs, EXIT_OK, Failure, needed, report};
use crate::clock::Clock;
use crate::config::{Settings, beside};
use crate::keys;

/// Backups that stay where nothing else is said, as for the server.
const KEPT: usize = 7;

pub(super) fn run(args: &BackupArgs, settings: Settings) -> Result<u8, Failure> {
    let data_dir = needed(args.data_dir.as_ref(), settings.data_dir, "--data-dir")?;
    let backup_dir = needed(
        args.backup_dir.as_ref(),
        settings.backup_dir,
        "--backup-dir",
    )?;
    let keys_dir = args
        .keys_dir
        .clone()
        .or(settings.keys_dir)
        .unwrap_or_else(|| beside(&data_dir));
    if backup_dir.starts_with(&data_dir) || data_dir.starts_with(&backup_dir) {
        return Err(Failure::unusable(
            "the backup directory and the data directory must lie apart (--backup-dir)",
        ));
    }
    let key = keys::load(&keys_dir).map_err(Failure::unusable)?;
    let log = RocksLog::open_existing(&data_dir, OpenOptions::default()).map_err(not_opened)?;
    let request = BackupRequest {
        create_time_ms: Clock::System.now().0,
        kept: args
            .backups_kept
            .map(usize::from)
            .or(settings.backups_kept)
            .unwrap_or(KEPT),
        key_fingerprint: key.as_ref().map(keys::fingerprint),
    };
    let progress = Mutex::new(None::<BackupProgress>);
    let seen = || progress.lock().ok().and_then(|p| p.clone());
    let handle = log.backup_handle();
    let work = || {
        handle.create(&backup_dir, &request, |began| {
            if let Ok(mut progress) = progress.lock() {
                *progress = Some(began);
            }
        })
    };
    let created = report::Pace::new(args.json)
        .during(work, || {
            seen().map_or_else(
                || "starting".to_owned(),
                |p| {
                    let (done, all) = (p.copied_bytes(), p.expected_bytes);
                    format!("{} of about {}", report::bytes(done), report::bytes(all))
                },
            )
        })
        .map_err(Failure::wrong)?;
    let backup = created.manifest;
    let not_tidied = created.not_tidied.map(|error| error.to_string());
    if args.json {
        report::line(
            &serde_json::json!({ "backup": backup, "not_tidied": not_tidied }).to_string(),
        );
        return Ok(EXIT_OK);
    }
    report::line(&format!(
        "backup {} is complete: every change up to sequence {}, {} in {} files, {} copied, {:.1} s",
        backup.backup_id,
        report::number(backup.sequence),
        report::bytes(backup.bytes),
        backup.files,
        report::bytes(backup.new_bytes),
        backup.duration_ms as f64 / 1e3
    ));
    if let Some(error) = not_tidied {
        report::line(&format!("older backups could not be removed: {error}"));
    }
    report::line(&format!(
        "The keys are not in it. Keep a copy of {} apart: restored data cannot be used without it.",
        keys_dir.display()
    ));
    Ok(EXIT_OK)
}

fn not_opened(error: OpenError) -> Failure {
    match error {
        OpenError::DataDirInUse { path } => Failure::unusable(format!(
            "the data directory {} is in use: a running server makes its own backups, with `tillside backup` or \
             OperationsService.CreateBackup; or stop it first",
            path.display()
        )),
        OpenError::NotADataDir { .. }
        | OpenError::RestoreUnfinished { .. }
        | OpenError::UnknownFormat { .. }
        | OpenError::UnknownTable { .. } => Failure::unusable(error),
        error => Failure::wrong(error),
    }
}
