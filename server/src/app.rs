//! What a handler works with: the state to read, the sequencer to write through, the clock, and how identifiers and
//! barcodes are read. One on each runtime, so that answers come back in one wake and no count is shared between cores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tillside_engine::barcode::BarcodeMask;
use tillside_engine::command::Command;
use tillside_engine::identity::{IdentityRules, IndexKey};
use tillside_engine::state::State;
use tillside_engine::units::Time;

use crate::backups::Backups;
use crate::clock::Clock;
use crate::profile_cache::ProfileCache;
use crate::sequencer::{Answer, RequestStamp, SequencerHandle, Submission, SubmitError};
use crate::server::Digester;

/// How what a touchpoint saw is read.
#[derive(Clone)]
pub struct Reading {
    /// Normal forms of identifiers.
    pub rules: IdentityRules,
    /// Key of the identifier index.
    pub key: IndexKey,
    /// Barcodes with a price or a weight.
    pub masks: Vec<BarcodeMask>,
}

/// Facts about this process.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// When it started.
    pub started: Time,
    /// How long loading took.
    pub recovery: Duration,
}

/// The application.
#[derive(Clone)]
pub struct App {
    /// Everything the engine knows.
    pub state: Arc<State>,
    /// The one writer.
    pub sequencer: SequencerHandle,
    /// The time.
    pub clock: Clock,
    /// How identifiers and barcodes are read.
    pub reading: Arc<Reading>,
    /// Encoded profiles of those who were recognised last.
    pub profiles: Arc<ProfileCache>,
    /// Facts about the process.
    pub about: About,
    /// Computes the digest of everything on disk.
    pub digester: Arc<dyn Digester>,
    /// Makes and lists backups; `None` where no place for them is configured.
    pub backups: Option<Arc<Backups>>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

impl App {
    /// The same application for the current runtime.
    #[must_use]
    pub fn on_this_runtime(&self) -> Self {
        App {
            sequencer: self.sequencer.on_this_runtime(),
            reading: Arc::new(Reading::clone(&self.reading)),
            ..self.clone()
        }
    }

    /// The time of a read: never before that of a change it can see.
    pub fn now(&self) -> Time {
        self.state.time_at_least(self.clock.now())
    }

    /// Submits a command that a caller waits for.
    pub async fn submit(
        &self,
        command: Command,
        request: RequestStamp,
        deadline: Option<Instant>,
    ) -> Result<Answer, SubmitError> {
        self.sequencer
            .interactive(Submission {
                command,
                request: Some(request),
                deadline,
            })
            .await
    }
}
