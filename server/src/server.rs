//! The life of the process: listen, load, serve, drain. Health says NOT_SERVING until the state is loaded and from the
//! moment the server is told to stop or its storage fails.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tillside_engine::decide::Rules;
use tillside_engine::invariants::violations;
use tillside_engine::state::State;
use tillside_engine::units::Time;
use tillside_store::{
    Foldable as _, OpenOptions, Opening, Profiles, RocksLog, SnapshotDigest, load_within,
};
use tokio::sync::{Semaphore, watch};

use crate::allocator;
use crate::app::{About, App, Reading};
use crate::background::{self, Background};
use crate::backups::Backups;
use crate::clock::Clock;
use crate::config::{ClockStart, Config};
use crate::disk::{self, Room, Storage};
use crate::edge::acceptor;
use crate::edge::methods::Methods;
use crate::edge::service::Shared;
use crate::edge::worker::{ConnectionLimits, Orders, Worker};
use crate::gate::{Gate, Phase};
use crate::grpc::Always;
use crate::http::{self, Pages};
use crate::profile_reads::ColdProfiles;
use crate::reservation_feed::ReservationFeed;
use crate::routing_log::RoutingLog;
use crate::sequencer::{self, SequencerOptions, SequencerThread};
use crate::{availability, keys, retention, telemetry};

/// Version of the data format on disk.
pub const FORMAT_VERSION: u32 = tillside_store::FORMAT_VERSION;
/// Where routings of late are kept, in the data directory.
const ROUTINGS_DIR: &str = "routings";
/// How often the recorder folds what calls have noted into its histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// Computes a digest of everything on disk: (hex, sequence).
pub trait Digester: Send + Sync {
    /// Reads every row once.
    ///
    /// # Errors
    /// A sentence where a row cannot be read.
    fn digest(&self) -> Result<(String, u64), String>;
}

impl Digester for SnapshotDigest {
    fn digest(&self) -> Result<(String, u64), String> {
        SnapshotDigest::digest(self)
            .map(|d| (d.hex, d.sequence))
            .map_err(|e| e.to_string())
    }
}

/// Where a serving server can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Addresses {
    /// gRPC.
    pub grpc: SocketAddr,
    /// Metrics and readiness.
    pub http: SocketAddr,
}

/// How serving ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop; everything acknowledged is durable.
    Stopped,
    /// Storage failed, with the reason. A restart recovers what was acknowledged.
    StorageFailed(String),
}

/// Runs a server until `stop` completes or storage fails. `serving` is called once it takes calls.
///
/// # Errors
/// Whatever kept it from starting, as a sentence that says what to do.
pub async fn run(
    config: Config,
    serving: impl FnOnce(Addresses) -> anyhow::Result<()>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Ended> {
    let recorder = telemetry::recorder().map_err(anyhow::Error::msg)?;
    let started = Instant::now();
    let key = keys::load_or_create(&config.keys_dir, &config.data_dir)?;
    let grpc = acceptor::bind(config.listen)
        .with_context(|| format!("cannot listen on {} (--listen)", config.listen))?;
    let side = acceptor::bind(config.http_listen)
        .with_context(|| format!("cannot listen on {} (--http-listen)", config.http_listen))?;
    let addresses = Addresses {
        grpc: grpc.local_addr()?,
        http: side.local_addr()?,
    };
    tracing::info!(grpc = %addresses.grpc, http = %addresses.http, data_dir = %config.data_dir.display(), "listening; loading");

    let gate = Arc::new(Gate::default());
    let (app_sender, app) = watch::channel(None::<Arc<App>>);
    let (drain_sender, drain) = watch::channel(false);
    let config = Arc::new(config);
    let mut workers = start_workers(
        &config,
        &gate,
        &Orders {
            app: app.clone(),
            drain,
        },
    )?;
    let connections = Arc::new(AtomicUsize::new(0));
    let handovers = workers.iter().map(|w| w.handover.clone()).collect();
    let accepting = tokio::spawn(acceptor::run(
        grpc,
        handovers,
        config.connections_max,
        Arc::clone(&connections),
    ));
    let pages = Pages {
        gate: Arc::clone(&gate),
        metrics: recorder.clone(),
        app,
        connections,
    };
    let side_door = tokio::spawn(http::run(side, pages));
    let upkeep = tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            recorder.run_upkeep();
        }
    });

    let mut stop = std::pin::pin!(stop);
    let loading = tokio::task::spawn_blocking({
        let config = Arc::clone(&config);
        move || Opened::open(&config, key, started)
    });
    let opened = tokio::select! {
        opened = loading => opened.context("loading ended with a panic; see the message above")?,
        () = stop.as_mut() => {
            tracing::info!("told to stop while loading");
            return Ok(Ended::Stopped);
        }
    };
    let Started {
        app,
        mut sequencer,
        background,
    } = opened?.start(&config, &gate)?;
    let backups = app.backups.clone();
    app_sender.send_replace(Some(Arc::new(app)));
    for worker in &mut workers {
        anyhow::ensure!(
            worker.ready().await,
            "an edge thread ended before it was ready; see the message above"
        );
    }
    gate.advance(Phase::Serving);
    serving(addresses)?;
    make_memory_ready(config.memory_ready_bytes);
    tracing::info!(grpc = %addresses.grpc, http = %addresses.http, took_ms = started.elapsed().as_millis() as u64, "serving");

    let ended = tokio::select! {
        () = stop.as_mut() => Ended::Stopped,
        failed = sequencer.failed.wait_for(Option::is_some) => {
            Ended::StorageFailed(failed.ok().and_then(|f| f.clone()).unwrap_or_else(|| "the sequencer ended".to_owned()))
        }
    };
    gate.advance(if ended == Ended::Stopped {
        Phase::Draining
    } else {
        Phase::Failed
    });
    tracing::info!("draining");
    let drained_by = Instant::now() + Duration::from_millis(config.drain_deadline_ms);
    if ended != Ended::Stopped {
        // Nothing is written any more, but reads are answered as long as a drain may take, on new connections too, unless
        // somebody wants the process to end at once.
        drop(tokio::time::timeout_at(drained_by.into(), stop).await);
    }
    accepting.abort();
    drain_sender.send_replace(true);
    tokio::task::spawn_blocking(move || workers.into_iter().for_each(Worker::join)).await?;
    tokio::task::spawn_blocking(move || {
        drop(background);
        sequencer.stop();
    })
    .await?;
    if let Some(backups) = backups {
        // After a failed write nothing is waited for.
        let patience = match ended {
            Ended::Stopped => drained_by.saturating_duration_since(Instant::now()),
            Ended::StorageFailed(_) => Duration::ZERO,
        };
        if !tokio::task::spawn_blocking(move || backups.close(patience)).await? {
            tracing::warn!(
                "a backup did not end in time and is given up; the next one removes what it left"
            );
        }
    }
    side_door.abort();
    upkeep.abort();
    tracing::info!("stopped");
    Ok(ended)
}

fn start_workers(
    config: &Arc<Config>,
    gate: &Arc<Gate>,
    orders: &Orders,
) -> anyhow::Result<Vec<Worker>> {
    let methods = Arc::new(
        Methods::new(config.simulated_clock.is_some())
            .context("the descriptors of the services do not decode")?,
    );
    let always =
        Always::new(Arc::clone(gate), &methods).context("server reflection cannot be set up")?;
    let worker = |number| {
        let shared = Shared {
            methods: Arc::clone(&methods),
            gate: Arc::clone(gate),
            always: always.clone(),
            services: OnceLock::new(),
            calls: AtomicUsize::new(0),
            calls_max: config.calls_per_runtime_max,
        };
        Worker::start(
            number,
            shared,
            ConnectionLimits::of(config),
            Arc::clone(config),
            orders.clone(),
        )
    };
    (0..config.runtimes)
        .map(|n| worker(n).context("an edge thread cannot be started"))
        .collect()
}

/// What runs once the data is loaded.
struct Started {
    app: App,
    sequencer: SequencerThread,
    /// Threads beside the sequencer: the look at the disk, and folding.
    background: Vec<Background>,
}

/// Touches memory ahead, as far as the configuration says. It may take seconds, and nobody waits for it.
fn make_memory_ready(bytes: u64) {
    if bytes == 0 {
        return;
    }
    let ready = move || {
        let started = Instant::now();
        background::yield_to_others();
        match allocator::make_memory_ready(bytes) {
            Ok(()) => {
                tracing::info!(
                    bytes,
                    took_ms = started.elapsed().as_millis() as u64,
                    "memory ready"
                );
            }
            Err(error) => {
                tracing::warn!(bytes, %error, "not all of memory_ready_bytes could be made ready");
            }
        }
    };
    let thread = std::thread::Builder::new().name("memory".to_owned());
    if let Err(error) = thread.spawn(ready) {
        tracing::warn!(%error, "no thread to make memory ready");
    }
}

/// The opened data directory, loaded.
struct Opened {
    log: RocksLog,
    state: Arc<State>,
    reading: Reading,
    about: About,
}

impl Opened {
    fn open(
        config: &Config,
        key: tillside_engine::identity::IndexKey,
        started: Instant,
    ) -> anyhow::Result<Opened> {
        let options = OpenOptions {
            accept_loss_after: config.accept_loss_after,
            ..OpenOptions::default()
        };
        let log = RocksLog::open(&config.data_dir, options)?;
        match log.opening() {
            Opening::Whole => {}
            Opening::FlagNotNeeded { after } => tracing::info!(
                after,
                "accept_loss_after is set and not needed: nothing acknowledged is lost. Remove the setting"
            ),
            Opening::LossAccepted {
                after,
                acknowledged,
            } => tracing::warn!(
                after,
                acknowledged,
                "going on without what was acknowledged after this sequence, as accept_loss_after says. Remove the setting"
            ),
        }
        if log.was_migrated() {
            tracing::info!(
                data_dir = %config.data_dir.display(),
                "the data directory was brought to format {FORMAT_VERSION}; earlier versions refuse it from now on"
            );
        }
        let loaded = load_within(&log, config.hot_profiles_max_bytes())?;
        keys::check_belongs(&key, &loaded.state, &config.keys_dir)?;
        let checking = Instant::now();
        refuse_unsound(&loaded.state, &config.data_dir)?;
        let checking = checking.elapsed();
        let recovery = started.elapsed();
        let rows: u64 = loaded.rows.values().sum();
        tracing::info!(
            rows,
            sequence = loaded.state.snapshot_sequence().0,
            customers = loaded.state.customer_count(),
            customers_in_memory = loaded.state.customers.len(),
            reading_ms = loaded.reading.as_millis() as u64,
            deriving_ms = loaded.deriving.as_millis() as u64,
            checking_ms = checking.as_millis() as u64,
            "loaded"
        );
        let reading = Reading {
            rules: config.identity_rules(),
            key,
            masks: config.masks()?,
        };
        let about = About {
            started: Clock::System.now(),
            recovery,
        };
        Ok(Opened {
            log,
            state: Arc::new(loaded.state),
            reading,
            about,
        })
    }

    fn start(self, config: &Config, gate: &Arc<Gate>) -> anyhow::Result<Started> {
        let clock = clock(config, &self.state)?;
        let backups = config.backup_dir.clone().map(|directory| {
            Arc::new(Backups::new(
                directory,
                config.backups_kept,
                keys::fingerprint(&self.reading.key),
                self.log.backup_handle(),
            ))
        });
        let room = Arc::new(Room::default());
        let looking = disk::watch(
            config.data_dir.clone(),
            config.disk_reserve_bytes,
            Arc::clone(&room),
            Arc::clone(gate),
        )
        .with_context(|| format!("cannot watch the disk of {}", config.data_dir.display()))?;
        let mut background = vec![looking];
        if let Some(keep_ms) = config.log_retention_ms()? {
            let folding = retention::start(self.log.folder(), Arc::clone(&self.state), keep_ms);
            background
                .push(folding.context("the thread that folds old records cannot be started")?);
        }
        let (routings, noting) = RoutingLog::start(config.data_dir.join(ROUTINGS_DIR))
            .context("the thread that keeps routings cannot be started")?;
        background.push(noting);
        let storage = Storage {
            room: Arc::clone(&room),
            space: self.log.space_handle(),
        };
        let digester: Arc<dyn Digester> = Arc::new(self.log.snapshot_digest_handle());
        let profiles: Arc<dyn Profiles> = Arc::new(self.log.profiles());
        let limited = self.state.residency.is_limited();
        let cold = limited.then(|| ColdProfiles::start(&profiles).map(Arc::new));
        let feed: Arc<ReservationFeed> = Arc::default();
        let log = self.log.reader();
        let (availability, publisher) = availability::start()
            .context("the thread that tells watchers of stock cannot be started")?;
        let options = SequencerOptions {
            publisher: Some(publisher),
            profiles: limited.then_some(profiles),
            interactive_queue: config.interactive_queue_max,
            bulk_queue: config.bulk_queue_max,
            rules: Rules {
                index_key: self.reading.key.clone(),
                points_per_currency_unit: config.points_per_currency_unit,
            },
            room,
            feed: Arc::clone(&feed),
            ..SequencerOptions::default()
        };
        let (sequencer, thread) = sequencer::start(
            Arc::clone(&self.state),
            Box::new(self.log),
            clock.clone(),
            options,
        )?;
        let app = App {
            profiles: Arc::default(),
            cold: cold.transpose()?,
            state: self.state,
            sequencer,
            feed,
            clock,
            reading: Arc::new(self.reading),
            about: self.about,
            digester,
            backups,
            storage,
            availability,
            log,
            checking: Arc::new(Semaphore::new(1)),
            routings,
        };
        Ok(Started {
            app,
            sequencer: thread,
            background,
        })
    }
}

/// Refuses a state that breaks an invariant: serving from it would spread what is wrong.
fn refuse_unsound(state: &State, data_dir: &Path) -> anyhow::Result<()> {
    let found = violations(state);
    let Some(first) = found.first() else {
        return Ok(());
    };
    anyhow::bail!(
        "what {} holds breaks an invariant ({first}; {} in all). Nothing was changed; restore a backup, and report this with the log: it is a defect of the server",
        data_dir.display(),
        found.len()
    )
}

/// The clock; a simulated one never starts before what was recorded.
fn clock(config: &Config, state: &State) -> anyhow::Result<Clock> {
    let at_least = |time: Time| state.time_at_least(time);
    Ok(match config.clock_start()? {
        None => Clock::System,
        Some(ClockStart::Now) => Clock::simulated(at_least(Clock::System.now())),
        Some(ClockStart::At(time)) => Clock::simulated(at_least(time)),
    })
}

/// Writes the addresses for whoever started the server; whole or not at all.
pub fn write_port_file(path: &Path, addresses: Addresses) -> anyhow::Result<()> {
    let aside = path.with_extension("new");
    std::fs::write(&aside, serde_json::to_string(&addresses)?)
        .with_context(|| format!("cannot write {}", aside.display()))?;
    std::fs::rename(&aside, path).with_context(|| format!("cannot write {}", path.display()))
}
