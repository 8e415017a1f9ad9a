//! What an import did, file by file.

use super::tally::Tally;
use crate::output;
use comfy_table::CellAlignment;
use serde_json::json;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// The summary of an import.
#[derive(Debug)]
pub(crate) struct Summary {
    dry_run: bool,
    files: Vec<Arc<Tally>>,
    rejects: Option<PathBuf>,
    elapsed: Duration,
}

impl Summary {
    pub(super) fn new(dry_run: bool) -> Self {
        Self {
            dry_run,
            files: Vec::new(),
            rejects: None,
            elapsed: Duration::ZERO,
        }
    }

    /// Begins a file.
    pub(super) fn begin(&mut self, file: &str, length_bytes: u64) -> Arc<Tally> {
        let tally = Arc::new(Tally::new(file, length_bytes));
        self.files.push(tally.clone());
        tally
    }

    pub(super) fn finish(&mut self, rejects: Option<PathBuf>, elapsed: Duration) {
        self.rejects = rejects;
        self.elapsed = elapsed;
    }

    /// The file the import came to.
    pub(super) fn last_file(&self) -> &str {
        self.files.last().map_or("nothing", |tally| &tally.file)
    }

    /// Rows that were not taken.
    pub(crate) fn rejected(&self) -> u64 {
        self.files.iter().map(|tally| tally.rejected()).sum()
    }

    /// For people.
    pub(crate) fn human(&self) -> String {
        let mut table = output::table([
            "file",
            "rows",
            "accepted",
            "unchanged",
            "rejected",
            "seconds",
            "rows/s",
        ]);
        for tally in &self.files {
            table.add_row([
                tally.file.clone(),
                tally.rows().to_string(),
                tally.accepted().to_string(),
                tally.unchanged().to_string(),
                tally.rejected().to_string(),
                format!("{:.2}", tally.elapsed().as_secs_f64()),
                format!("{:.0}", tally.rows_per_second()),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = table.to_string();
        for tally in &self.files {
            for (reason, count) in tally.warnings() {
                text.push_str(&format!(
                    "\n{}: {count} taken with a warning {reason}",
                    tally.file
                ));
            }
        }
        if let Some(path) = &self.rejects {
            text.push_str(&format!(
                "\n{} rows rejected, see {}",
                self.rejected(),
                path.display()
            ));
        }
        if self.dry_run {
            text.push_str("\ndry run: nothing was sent");
        }
        text.push_str(&format!("\ndone in {:.2} s", self.elapsed.as_secs_f64()));
        text
    }

    /// For machines.
    pub(crate) fn json(&self) -> String {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|tally| {
                json!({
                    "file": tally.file,
                    "rows": tally.rows(),
                    "sent": tally.sent(),
                    "accepted": tally.accepted(),
                    "unchanged": tally.unchanged(),
                    "rejected": tally.rejected(),
                    "warnings": tally.warnings(),
                    "seconds": tally.elapsed().as_secs_f64(),
                    "rows_per_second": tally.rows_per_second(),
                })
            })
            .collect();
        let sum =
            |count: fn(&Tally) -> u64| self.files.iter().map(|tally| count(tally)).sum::<u64>();
        json!({
            "dry_run": self.dry_run,
            "files": files,
            "rows": sum(Tally::rows),
            "accepted": sum(Tally::accepted),
            "unchanged": sum(Tally::unchanged),
            "rejected": sum(Tally::rejected),
            "rejects_file": self.rejects,
            "seconds": self.elapsed.as_secs_f64(),
        })
        .to_string()
    }
}
