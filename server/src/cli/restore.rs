//! `tillside-server restore`: a backup becomes a data directory. The keys are not in the backup; beside another key than
//! the data needs nothing is restored, for every customer in it would be unknown.

use tillside_store::backup::{self, BackupError};

use super::{EXIT_OK, Failure, RestoreArgs, needed, report};
use crate::config::{Settings, beside};
use crate::keys::{self, INDEX_KEY_FILE};

pub(super) fn run(args: &RestoreArgs, settings: Settings) -> Result<u8, Failure> {
    let backup_dir = needed(
        args.backup_dir.as_ref(),
        settings.backup_dir,
        "--backup-dir",
    )?;
    let data_dir = needed(args.data_dir.as_ref(), settings.data_dir, "--data-dir")?;
    let keys_dir = args
        .keys_dir
        .clone()
        .or(settings.keys_dir)
        .unwrap_or_else(|| beside(&data_dir));
    if !backup_dir.exists() {
        return Err(Failure::unusable(format!(
            "there is no directory {}: name the backup directory with --backup-dir",
            backup_dir.display()
        )));
    }
    let found = backup::find(&backup_dir, args.backup_id).map_err(failed)?;
    let key_file = keys_dir.join(INDEX_KEY_FILE);
    let key = keys::load(&keys_dir).map_err(Failure::unusable)?;
    let key_found = key.is_some();
    if let (Some(key), Some(needed)) = (key, &found.key_fingerprint)
        && keys::fingerprint(&key) != *needed
    {
        return Err(Failure::unusable(format!(
            "the key file {} is not the key of backup {}: name the directory with its keys with --keys-dir. Nothing was restored",
            key_file.display(),
            found.backup_id
        )));
    }
    let restored = report::Pace::new(args.json)
        .during(
            || backup::restore(&backup_dir, &found, &data_dir),
            || {
                let done = report::bytes(backup::directory_bytes(&data_dir));
                format!("{done} of {}", report::bytes(found.bytes))
            },
        )
        .map_err(failed)?;
    let sequence = restored.position.sequence.0;
    let key_missing = found.key_fingerprint.is_some() && !key_found;
    if args.json {
        let object = serde_json::json!({
            "backup": found,
            "data_dir": data_dir,
            "sequence": sequence,
            "took_over_unfinished_restore": restored.took_over,
            "key_missing": key_missing,
        });
        report::line(&object.to_string());
        return Ok(EXIT_OK);
    }
    if restored.took_over {
        report::line("What an unfinished restore had left there was removed first.");
    }
    report::line(&format!(
        "backup {} of {} is restored in {}: {} in {} files, every change up to sequence {}",
        found.backup_id,
        report::time(found.create_time_ms),
        data_dir.display(),
        report::bytes(found.bytes),
        found.files,
        report::number(sequence)
    ));
    if key_missing {
        report::line(&format!(
            "The keys are not in the backup: put {INDEX_KEY_FILE} from where keys are kept into {} before the server is started.",
            keys_dir.display()
        ));
    } else if found.key_fingerprint.is_some() {
        report::line(&format!("{} is its key.", key_file.display()));
    }
    Ok(EXIT_OK)
}

fn failed(error: BackupError) -> Failure {
    match error {
        BackupError::NotABackupDir { .. }
        | BackupError::UnknownFormat { .. }
        | BackupError::InUse { .. }
        | BackupError::Empty { .. }
        | BackupError::Unknown { .. }
        | BackupError::TargetNotEmpty { .. } => Failure::unusable(error),
        error => Failure::wrong(error),
    }
}
