//! Structured logs to standard error. No personal data is ever logged: handlers do not log requests, and errors carry
//! field paths and surrogate ids only.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Config, LogFormat};

/// Starts logging for this process; later calls change nothing.
pub fn start(config: &Config) {
    let filter = filter(&config.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours);
    let started = match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // A test process starts several servers; the first one's logging serves all.
    drop(started);
}

/// Reads a level or directives; the error says what is wrong.
pub fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(level).map_err(|e| format!("{level:?} is not a log level: {e}"))
}
