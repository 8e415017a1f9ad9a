//! The rejects file: every row that was not taken, with its place, the reason, and the row itself to mend and import again.

use std::{
    fs::{File, OpenOptions},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

/// Why a row was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The column at fault; empty where it is the whole row.
    pub(super) column: String,
    /// Stable word in UPPER_SNAKE_CASE: the importer's own, or the server's.
    pub(super) reason: String,
    /// A sentence for people.
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(column: &str, reason: &str, message: impl Into<String>) -> Self {
        Self {
            column: column.to_owned(),
            reason: reason.to_owned(),
            message: message.into(),
        }
    }
}

/// The rejects file, made with the first row that needs it.
#[derive(Debug)]
pub(super) struct Rejects {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    writer: Option<csv::Writer<File>>,
    /// The first error; nothing is written after it, and [`Rejects::finish`] answers it.
    error: Option<csv::Error>,
}

impl Rejects {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            state: Mutex::default(),
        }
    }

    /// Notes a row.
    pub(super) fn write(&self, file: &str, line: u64, fault: &Fault, row: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.error.is_some() {
            return;
        }
        if let Err(error) = self.try_write(&mut state, file, line, fault, row) {
            state.error = Some(error);
        }
    }

    fn try_write(
        &self,
        state: &mut State,
        file: &str,
        line: u64,
        fault: &Fault,
        row: &[u8],
    ) -> csv::Result<()> {
        if state.writer.is_none() {
            let mut writer = csv::Writer::from_writer(self.create()?);
            writer.write_record(["file", "line", "column", "reason", "message", "row"])?;
            state.writer = Some(writer);
        }
        let Some(writer) = &mut state.writer else {
            return Ok(());
        };
        writer.write_record([
            file.as_bytes(),
            line.to_string().as_bytes(),
            fault.column.as_bytes(),
            fault.reason.as_bytes(),
            fault.message.as_bytes(),
            row,
        ])
    }

    /// Rows may hold personal data: the file is for its owner alone.
    fn create(&self) -> std::io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path)
    }

    /// Whether a row could not be written: the import must stop, or rows would be lost without a trace.
    pub(super) fn failed(&self) -> bool {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .error
            .is_some()
    }

    /// Writes everything out. Answers the file's path where there is one.
    pub(super) fn finish(&self) -> anyhow::Result<Option<PathBuf>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let flushed = match &mut state.writer {
            Some(writer) => writer.flush().map_err(csv::Error::from),
            None => Ok(()),
        };
        if let Some(error) = state.error.take().or(flushed.err()) {
            return Err(anyhow::Error::new(error).context(format!(
                "Cannot write the rejects file {}",
                self.path.display()
            )));
        }
        Ok(state.writer.is_some().then(|| self.path.clone()))
    }
}
