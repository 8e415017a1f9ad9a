//! What a handler works with: the state to read, the sequencer to write through, the clock, and how identifiers and
//! barcodes are read. One on each runtime, so that answers come back in one wake and no count is shared between cores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use tillside_engine::barcode::BarcodeMask;
use tillside_engine::command::Command;
use tillside_engine::customer::Customer;
use tillside_engine::identity::{IdentifierKind, IdentityRules, IndexKey};
use tillside_engine::ids::{CustomerId, IdentifierHash};
use tillside_engine::recognition::{self, Recognition};
use tillside_engine::state::State;
use tillside_engine::units::Time;
use tillside_store::LogReader;
use tokio::sync::Semaphore;

use crate::availability::Hub;
use crate::backups::Backups;
use crate::clock::Clock;
use crate::disk::Storage;
use crate::profile_cache::ProfileCache;
use crate::profile_reads::{ColdProfiles, ReadError};
use crate::reservation_feed::ReservationFeed;
use crate::routing_log::RoutingLog;
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
    /// Wakes whoever follows a store's reservations.
    pub feed: Arc<ReservationFeed>,
    /// The time.
    pub clock: Clock,
    /// How identifiers and barcodes are read.
    pub reading: Arc<Reading>,
    /// Encoded profiles of those who were recognised last.
    pub profiles: Arc<ProfileCache>,
    /// Reads customers who are not in memory; `None`: all of them are.
    pub cold: Option<Arc<ColdProfiles>>,
    /// Facts about the process.
    pub about: About,
    /// Computes the digest of everything on disk.
    pub digester: Arc<dyn Digester>,
    /// Makes and lists backups; `None` where no place for them is configured.
    pub backups: Option<Arc<Backups>>,
    /// The disk, and what the database takes of it.
    pub storage: Storage,
    /// Who watches stock.
    pub availability: Arc<Hub>,
    /// Reads the log while it is written to.
    pub log: LogReader,
    /// Held while the invariants are checked: one check at a time.
    pub checking: Arc<Semaphore>,
    /// Keeps routings for judging other policies.
    pub routings: RoutingLog,
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

    /// A customer, from memory or else from disk; `None`: there is no such customer.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn customer(&self, id: CustomerId) -> Result<Option<Arc<Customer>>, ReadError> {
        let resident = self.state.customer(id);
        let Some(cold) = &self.cold else {
            return Ok(resident);
        };
        if resident.is_some() {
            cold.hit();
            return Ok(resident);
        }
        if !self.state.has_customer(id) {
            return Ok(None);
        }
        let customer = cold.read(id).await?;
        // Whoever was asked for is likely to be asked for again. Said after reading: what the disk gave is at hand then, and
        // is not read from there a second time.
        self.sequencer.hint(id);
        Ok(Some(customer))
    }

    /// As [`Self::customer`], for lists: being listed makes nobody likely to be asked for.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn listed_customer(
        &self,
        id: CustomerId,
    ) -> Result<Option<Arc<Customer>>, ReadError> {
        let resident = self.state.customers.get(&id).map(|c| Arc::clone(&c));
        match &self.cold {
            Some(cold) if resident.is_none() && self.state.has_customer(id) => {
                cold.read(id).await.map(Some)
            }
            _ => Ok(resident),
        }
    }

    /// Whom identifiers belong to, from memory or else from disk.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recognise(
        &self,
        identifiers: &[(IdentifierKind, IdentifierHash)],
    ) -> Result<Recognition, ReadError> {
        let mut found = SmallVec::<[_; 1]>::new();
        for (id, matched) in recognition::resolve(&self.state, identifiers) {
            if let Some(customer) = self.customer(id).await? {
                found.push((id, customer, matched));
            }
        }
        Ok(recognition::outcome(identifiers, found))
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
