//! `tillside-server verify`: everything on disk is read and checked, and nothing is changed.

use tillside_store::verify::{self, Report};

use super::{EXIT_OK, EXIT_WRONG, Failure, VerifyArgs, needed, report};
use crate::config::Settings;

pub(super) fn run(args: &VerifyArgs, settings: Settings) -> Result<u8, Failure> {
    let mut pace = report::Pace::new(args.json);
    let mut progress = |what: &str, done: u64| {
        pace.tell(|| match done {
            0 => what.to_owned(),
            done => format!("{what}: {}", report::number(done)),
        });
    };
    let (directory, found) = match &args.backup_dir {
        Some(directory) => (
            directory.clone(),
            verify::backup(directory, args.backup_id, &mut progress),
        ),
        None => {
            let directory = needed(args.data_dir.as_ref(), settings.data_dir, "--data-dir")?;
            let found = verify::data_directory(&directory, &mut progress);
            (directory, found)
        }
    };
    let found = found.map_err(Failure::unusable)?;
    let code = if found.is_sound() {
        EXIT_OK
    } else {
        EXIT_WRONG
    };
    if args.json {
        let object = serde_json::json!({
            "directory": directory,
            "sound": found.is_sound(),
            "report": found,
        });
        report::line(&object.to_string());
    } else {
        human(&found, &directory.display().to_string());
    }
    Ok(code)
}

fn human(found: &Report, directory: &str) {
    let what = match &found.backup {
        Some(backup) => format!(
            "backup {} of {} in {directory}",
            backup.backup_id,
            report::time(backup.create_time_ms)
        ),
        None => format!("the data directory {directory}"),
    };
    for table in &found.tables {
        let rows = report::number(table.rows);
        report::line(&format!("{:>16}  {rows:>13} rows", table.table));
    }
    report::line(&format!(
        "log from sequence {} to {} (checksum {:08x}); {}",
        report::number(found.log_first),
        report::number(found.log_last),
        found.log_checksum,
        match (found.replayed, found.log_first) {
            (true, _) => "replayed, and compared with every row",
            (false, 0 | 1) => "not replayed",
            (false, _) =>
                "it does not reach back to the beginning, so the rows were not compared with it",
        }
    ));
    if let Some(digest) = &found.state_digest {
        report::line(&format!("state digest {digest}"));
    }
    for problem in &found.problems {
        report::line(&format!(
            "PROBLEM in {}: {}",
            problem.place, problem.problem
        ));
    }
    match (found.problems.len() as u64, found.problems_unlisted) {
        (0, _) => report::line(&format!("{what} is sound.")),
        (listed, 0) => report::line(&format!("{what} has {listed} problems.")),
        (listed, more) => report::line(&format!(
            "{what} has {} problems; the first {listed} are above.",
            report::number(listed + more)
        )),
    }
}
