//! What all commands share: the server to talk to, the form of the output, and the meaning of the exit status.

use anyhow::Context as _;
use clap::Args;
use std::{process::ExitCode, time::Duration};
use tillside_client::{ClientConfig, Error, Tillside};
use tonic::Code;

/// The part of `--help` that scripts rely on.
pub(crate) const EXIT_CODES: &str = "\
Exit status:
  0  ok
  1  some other failure
  2  wrong use of the command line
  3  not found: an unknown customer, store, product, reservation; or no store that has it all
  4  refused by a rule: not enough stock, expired, exists already, changed meanwhile
  5  the server is unavailable or did not answer in time
  6  the import finished, some rows were rejected
  7  an argument the server does not accept";

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct GlobalArgs {
    /// Address of the server
    #[arg(
        long,
        global = true,
        env = "TILLSIDE_SERVER",
        default_value = "http://127.0.0.1:50051",
        value_name = "URL"
    )]
    pub(crate) server: String,
    /// Print one JSON object instead of tables
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How long a call may take, for example 500ms or 2s
    #[arg(long, global = true, default_value = "2s", value_parser = crate::inputs::duration, value_name = "DURATION")]
    pub(crate) timeout: Duration,
}

impl GlobalArgs {
    /// The SDK's configuration for these options.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let server = if self.server.contains("://") {
            self.server.clone()
        } else {
            format!("http://{}", self.server)
        };
        let defaults = ClientConfig::new(server);
        ClientConfig {
            connect_timeout: defaults.connect_timeout.min(self.timeout),
            timeout: self.timeout,
            bulk_timeout: defaults.bulk_timeout.max(self.timeout),
            ..defaults
        }
    }

    /// Connects to the server.
    pub(crate) async fn connect(&self) -> anyhow::Result<Tillside> {
        self.connect_with(self.client_config()).await
    }

    /// Connects with a configuration that was changed.
    pub(crate) async fn connect_with(&self, config: ClientConfig) -> anyhow::Result<Tillside> {
        Tillside::connect(config)
            .await
            .context("Cannot reach the server; is tillside-server running?")
    }
}

/// Exit statuses, as [`EXIT_CODES`] explains them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Ok = 0,
    /// Some other failure.
    Failure = 1,
    /// Nothing by that name, or no match.
    NotFound = 3,
    /// A rule says no.
    Rejected = 4,
    /// No server, or no answer in time.
    Unavailable = 5,
    /// An import that left rows out.
    RowsRejected = 6,
    /// The server does not accept an argument.
    InvalidArgument = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The status for an error.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let Some(error) = call_error(error) else {
            return Self::Failure;
        };
        match error.code() {
            Code::NotFound => Self::NotFound,
            Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => Self::Rejected,
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => {
                Self::Unavailable
            }
            Code::InvalidArgument | Code::OutOfRange => Self::InvalidArgument,
            _ => Self::Failure,
        }
    }
}

/// Says on stderr what went wrong: one sentence, then every bad field. With `--json` the same as an object.
pub(crate) fn report(error: &anyhow::Error, json: bool) {
    let call = call_error(error);
    if json {
        let violations: Vec<_> = call
            .map_or(&[][..], Error::field_violations)
            .iter()
            .map(|violation| serde_json::json!({"field": violation.field, "description": violation.description}))
            .collect();
        let object = serde_json::json!({
            "error": sentence(error),
            "code": call.map(|call| format!("{:?}", call.code())),
            "reason": call.map(|call| call.reason()).unwrap_or_default(),
            "field_violations": violations,
        });
        eprintln!("{object}");
        return;
    }
    let reason = call.map(Error::reason).unwrap_or_default();
    let reason = if reason.is_empty() {
        String::new()
    } else {
        format!(" [{reason}]")
    };
    eprintln!("tillside: {}{reason}", sentence(error));
    let Some(call) = call else { return };
    for violation in call.field_violations() {
        eprintln!("  {}: {}", violation.field, violation.description);
    }
}

/// Whether whoever reads the output went away, as `head` does: no failure.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn call_error(error: &anyhow::Error) -> Option<&Error> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Error>())
}

fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let next = cause.to_string();
        if text.is_empty() {
            text = next;
        } else if !text.contains(&next) {
            text = format!("{text} ({next})");
        }
    }
    text
}
