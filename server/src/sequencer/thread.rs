//! The thread that runs the core. It parks when idle, collects without delay, and ends for good at the first failed
//! write: whoever waits then is told that nothing can be promised.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Select, bounded};
use tillside_engine::decide::Rules;
use tillside_engine::prefetch;
use tillside_engine::reject::Rejection;
use tillside_engine::state::State;
use tillside_store::{Log, Profiles};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::batching::{Batching, Finished};
use super::cold::Cold;
use super::core::Core;
use super::handle::{
    Answer, BulkAnswers, Completion, Control, Lane, ManyWork, OneWork, SequencerHandle, Shared,
};
use super::share::BulkRows;
use super::written::SharedWritten;
use crate::clock::Clock;
use crate::disk::Room;

/// Bounds of the sequencer.
#[derive(Clone, Debug)]
pub struct SequencerOptions {
    /// Interactive commands that may wait.
    pub interactive_queue: usize,
    /// Bulk messages that may wait.
    pub bulk_queue: usize,
    /// Interactive commands of one batch.
    pub batch_commands: usize,
    /// Rows that bulk may add to a batch while tills are waiting, at least: it never stands still.
    pub bulk_rows_shared_min: usize,
    /// The same, at most.
    pub bulk_rows_shared_max: usize,
    /// How long a batch with both may take; what bulk may add follows from it. A till that comes while a batch is written
    /// waits for the rest of that one and for its own, so twice this is near the 99th percentile.
    pub batch_shared_time: Duration,
    /// Rows that bulk may add to a batch while nobody else is waiting.
    pub bulk_rows_alone: usize,
    /// Bulk events of one batch: duplicates and refusals write no rows, but take their time all the same.
    pub bulk_events: usize,
    /// Interactive commands that may wait for customers from disk.
    pub parked_max: usize,
    /// Reads customers who are not in memory; needed where the state has a limit of them.
    pub profiles: Option<Arc<dyn Profiles>>,
    /// Rules of the domain.
    pub rules: Rules,
    /// The room on the disk.
    pub room: Arc<Room>,
}

impl Default for SequencerOptions {
    fn default() -> Self {
        SequencerOptions {
            interactive_queue: 8192,
            bulk_queue: 64,
            batch_commands: 512,
            bulk_rows_shared_min: 256,
            bulk_rows_shared_max: 4096,
            batch_shared_time: Duration::from_millis(4),
            bulk_rows_alone: 2048,
            bulk_events: 1024,
            parked_max: 1024,
            profiles: None,
            rules: Rules::default(),
            room: Arc::default(),
        }
    }
}

/// How long the thread sleeps at most: the log wants its upkeep about once a second.
const IDLE: Duration = Duration::from_secs(1);

/// The running thread.
pub struct SequencerThread {
    join: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    /// `Some` with the reason once writing has ended for good.
    pub failed: watch::Receiver<Option<String>>,
}

/// Starts the thread over a loaded state.
pub fn start(
    state: Arc<State>,
    log: Box<dyn Log>,
    clock: Clock,
    options: SequencerOptions,
) -> std::io::Result<(SequencerHandle, SequencerThread)> {
    let (interactive, interactive_work) = bounded(options.interactive_queue);
    let (bulk, bulk_work) = bounded(options.bulk_queue);
    let (control, controls) = bounded(64);
    let durable = AtomicU64::new(state.snapshot_sequence().0);
    let bulk_room = Arc::new(Semaphore::new(options.bulk_queue));
    let cold = match (state.residency.is_limited(), &options.profiles) {
        (false, _) => None,
        (true, Some(profiles)) => Some(Cold::start(&state, profiles, options.parked_max)?),
        (true, None) => {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "customers may be on disk only, and nothing is there to read them",
            ));
        }
    };
    let shared = Arc::new(Shared {
        interactive,
        bulk,
        control,
        bulk_room,
        durable,
        written: SharedWritten::default(),
        lanes: AtomicU32::new(0),
        cold: cold.as_ref().map(|cold| Arc::clone(&cold.gate)),
        closed: AtomicBool::new(false),
    });
    let (fail, failed) = watch::channel(None);
    let core = Core::new(state, options.rules.clone(), log).within(Arc::clone(&options.room));
    let lanes = vec![None];
    let share = BulkRows::new(
        options.bulk_rows_shared_min,
        options.bulk_rows_shared_max,
        options.batch_shared_time,
    );
    let mut runner = Runner {
        share,
        batching: Batching::new(core, options),
        clock,
        interactive: interactive_work,
        bulk: bulk_work,
        controls,
        shared: Arc::clone(&shared),
        lanes,
        stopping: false,
        cold,
    };
    let join = std::thread::Builder::new().name("sequencer".into()).spawn(move || {
        // A panic in the engine leaves a command half applied: as fatal as a failed write.
        let ended = catch_unwind(AssertUnwindSafe(|| runner.run()));
        let reason = match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("a bug stopped the sequencer; see the message above".to_owned()),
        };
        if let Some(reason) = reason {
            tracing::error!(%reason, "no more changes are taken; restart the server to recover");
            fail.send_replace(Some(reason));
        }
        // Everybody who waits or comes later is told `Unavailable`.
        runner.close();
    })?;
    let handle = SequencerHandle {
        shared: Arc::clone(&shared),
        lane: 0,
    };
    Ok((
        handle,
        SequencerThread {
            join: Some(join),
            shared,
            failed,
        },
    ))
}

impl SequencerThread {
    /// Finishes what is queued, syncs, ends the thread and closes the log.
    pub fn stop(mut self) {
        // The thread may have ended by itself; then nobody listens.
        let _ = self.shared.control.send(Control::Stop);
        if let Some(join) = self.join.take() {
            let _ = join.join();
        }
    }
}

/// Where the answers of a bulk message go, with its place in the lane, given back with them.
type BulkTicket = (
    u32,
    oneshot::Sender<BulkAnswers>,
    tokio::sync::OwnedSemaphorePermit,
);

/// Where the answer of an interactive command goes.
type OneTicket = (u32, oneshot::Sender<Result<Answer, Rejection>>);

struct Runner {
    batching: Batching<OneTicket, BulkTicket>,
    share: BulkRows,
    clock: Clock,
    interactive: Receiver<OneWork>,
    bulk: Receiver<ManyWork>,
    controls: Receiver<Control>,
    shared: Arc<Shared>,
    lanes: Vec<Lane>,
    stopping: bool,
    /// Where not all customers are in memory.
    cold: Option<Cold>,
}

impl Runner {
    fn run(&mut self) -> Result<(), tillside_store::LogError> {
        loop {
            self.wait();
            let now = self.clock.now();
            let started = Instant::now();
            let mut more_due = self.batching.core.fire_timers(now);
            self.take_up_parked(now);
            let tills = self.take_interactive(now);
            let cut = self.take_bulk(now, tills);
            let core = &mut self.batching.core;
            if let Some(cold) = &mut self.cold {
                cold.send_out(core);
            }
            let clock_moved = self.take_controls();
            let core = &mut self.batching.core;
            if clock_moved.is_some() {
                while more_due
                    || !core.is_full()
                        && core
                            .state()
                            .next_timer()
                            .is_some_and(|due| due <= self.clock.now())
                {
                    core.commit()?;
                    more_due = core.fire_timers(self.clock.now());
                }
            }
            metrics::histogram!("tillside_batch_commands").record(core.batch_records() as f64);
            core.commit()?;
            if tills {
                self.share.learn(started.elapsed(), cut);
            }
            if let Some(cold) = &self.cold {
                cold.show(core);
            }
            core.upkeep()?;
            self.shared
                .durable
                .store(core.state().snapshot_sequence().0, Ordering::Release);
            self.shared.written.set(core.written());
            self.tell();
            if let Some(to) = clock_moved {
                // Who asked may have gone.
                let _ = to.send(self.clock.now());
            }
            let queued = !self.interactive.is_empty()
                || !self.bulk.is_empty()
                || self.batching.has_partial();
            let queued = queued || self.cold.as_ref().is_some_and(Cold::is_waited_for);
            if self.stopping && !queued {
                return self.batching.core.upkeep();
            }
        }
    }

    /// Drops what lies in the lanes and lets nobody wait for what comes later.
    fn close(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        while self.interactive.try_recv().is_ok()
            || self.bulk.try_recv().is_ok()
            || self.controls.try_recv().is_ok()
        {}
        self.batching.give_up();
    }

    /// Parks until there is work or a timer, a second at most.
    fn wait(&self) {
        let bulk_waits = self.batching.bulk_waits();
        let tills_wait = self.cold.as_ref().is_some_and(Cold::is_waited_for);
        let bulk_goes_on = self.batching.has_partial() && !bulk_waits;
        if bulk_goes_on || (self.stopping && !bulk_waits && !tills_wait) {
            return;
        }
        let core = &self.batching.core;
        let until_timer = core
            .state()
            .next_timer()
            .map(|due| (due.0 - self.clock.now().0).max(0) as u64);
        let timer_counts = !self.clock.is_simulated() && !core.is_full();
        let timeout = until_timer
            .filter(|_| timer_counts)
            .map_or(IDLE, |ms| Duration::from_millis(ms).min(IDLE));
        let mut timeout = timeout;
        let mut select = Select::new();
        select.recv(&self.interactive);
        select.recv(&self.controls);
        if !bulk_waits {
            select.recv(&self.bulk);
        }
        if let Some(cold) = &self.cold {
            cold.select(core, &mut select);
            timeout = Cold::sleep_max(core).map_or(timeout, |max| max.min(timeout));
        }
        // Whatever woke it, the lanes are looked at.
        let _ = select.ready_timeout(timeout);
    }

    fn take_interactive(&mut self, now: tillside_engine::units::Time) -> bool {
        let mut taken = 0;
        let mut next = self.next_interactive();
        while let Some(work) = next {
            taken += 1;
            next = if taken < self.batching.options.batch_commands {
                self.next_interactive()
            } else {
                None
            };
            // Its rows come from memory while this one is decided.
            if let Some(next) = &next {
                prefetch::command(self.batching.core.state(), &next.submission.command);
            }
            self.decide_or_park(work, now);
        }
        taken > 0
    }

    /// The next command somebody still waits for: what its caller has given up is not worth anybody's time.
    fn next_interactive(&self) -> Option<OneWork> {
        std::iter::from_fn(|| self.interactive.try_recv().ok()).find(|work| !work.to.is_closed())
    }

    fn decide_or_park(&mut self, work: OneWork, now: tillside_engine::units::Time) {
        let core = &mut self.batching.core;
        if let Some(cold) = &mut self.cold
            && !core.missing(&work.submission).is_empty()
        {
            return cold.keep(core.park(&work.submission.command), work);
        }
        self.batching
            .take_one(&work.submission, (work.lane, work.to), now);
    }

    /// Takes in what was read from disk, and takes up the commands that waited for it.
    fn take_up_parked(&mut self, now: tillside_engine::units::Time) {
        let Some(cold) = &mut self.cold else { return };
        cold.take_in(&mut self.batching.core);
        while let Some(ready) = self.batching.core.next_ready() {
            if self.batching.take_up_bulk(&ready) {
                continue;
            }
            let Some(work) = self.cold.as_mut().and_then(|cold| cold.give(ready.ticket)) else {
                continue;
            };
            if ready.readable {
                self.decide_or_park(work, now);
            } else {
                self.batching
                    .refuse((work.lane, work.to), Rejection::ProfileUnreadable);
            }
        }
    }

    /// Takes the batch's share of bulk; true where that held more of it back.
    fn take_bulk(&mut self, now: tillside_engine::units::Time, tills_wait: bool) -> bool {
        let rows = if tills_wait {
            self.share.rows()
        } else {
            self.batching.options.bulk_rows_alone
        };
        let mut share = self.batching.bulk_share(rows);
        let parks = self.cold.is_some();
        // A stream that has ended sends what was not acknowledged again; none of it has been begun here.
        let next = || {
            let mut waiting = std::iter::from_fn(|| self.bulk.try_recv().ok());
            let work = waiting.find(|work| !work.to.is_closed())?;
            Some((work.events, (work.lane, work.to, work.room)))
        };
        while self.batching.take_bulk(&mut share, now, parks, next) {}
        !self.batching.bulk_waits() && (self.batching.has_partial() || !self.bulk.is_empty())
    }

    /// Takes what is asked of the sequencer itself; answers who waits for the clock.
    fn take_controls(&mut self) -> Option<oneshot::Sender<tillside_engine::units::Time>> {
        while let Ok(control) = self.controls.try_recv() {
            match control {
                Control::Join(lane, sender) => self.join(lane, sender),
                Control::Stop => self.stopping = true,
                Control::Advance(now, to) => {
                    self.clock.advance(now);
                    return Some(to);
                }
            }
        }
        None
    }

    fn join(&mut self, lane: u32, sender: mpsc::UnboundedSender<Vec<Completion>>) {
        let at = lane as usize;
        if self.lanes.len() <= at {
            self.lanes.resize_with(at + 1, || None);
        }
        self.lanes[at] = Some(sender);
    }

    /// Hands each runtime its answers in one wake.
    fn tell(&mut self) {
        let mut by_lane: Vec<Vec<Completion>> = Vec::new();
        by_lane.resize_with(self.lanes.len(), Vec::new);
        for finished in self.batching.finished() {
            let (lane, completion) = match finished {
                Finished::One((lane, to), answer) => (lane, Completion::One(to, answer)),
                Finished::Many((lane, to, room), answers) => {
                    (lane, Completion::Many(to, answers, room))
                }
            };
            match by_lane.get_mut(lane as usize) {
                Some(batch) => batch.push(completion),
                // The runtime's joining is still on its way through `controls`.
                None => completion.tell(),
            }
        }
        for (lane, batch) in by_lane
            .into_iter()
            .enumerate()
            .filter(|(_, b)| !b.is_empty())
        {
            match &self.lanes[lane] {
                // A runtime that has ended waits for nothing.
                Some(sender) => drop(sender.send(batch)),
                None => batch.into_iter().for_each(Completion::tell),
            }
        }
    }
}
