//! The thread that runs the core. It parks when idle, collects without delay, and ends for good at the first failed
//! write: whoever waits then is told that nothing can be promised.
//!
//! While more work waits, a batch is written on a thread beside it and the next one is decided meanwhile; where nobody
//! waits it is written here, which spares two changes of thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Select, bounded};
use tillside_engine::decide::Rules;
use tillside_engine::ids::Sequence;
use tillside_engine::prefetch;
use tillside_engine::reject::Rejection;
use tillside_engine::state::State;
use tillside_engine::units::Time;
use tillside_store::{Log, LogError, Position, Profiles};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::batching::{Batching, BulkShare, Finished};
use super::cold::Cold;
use super::core::{Core, Write};
use super::handle::{
    Answer, BulkAnswers, Completion, Control, Lane, ManyWork, OneWork, SequencerHandle, Shared,
};
use super::share::BulkTime;
use super::writer::Writer;
use super::written::SharedWritten;
use crate::availability::Publisher;
use crate::clock::Clock;
use crate::disk::Room;
use crate::reservation_feed::ReservationFeed;

/// Bounds of the sequencer.
#[derive(Clone, Debug)]
pub struct SequencerOptions {
    /// Interactive commands that may wait.
    pub interactive_queue: usize,
    /// Bulk messages that may wait.
    pub bulk_queue: usize,
    /// Interactive commands of one batch.
    pub batch_commands: usize,
    /// Rows that bulk may add to a batch in any case: it never stands still.
    pub bulk_rows_min: usize,
    /// Rows that bulk may add to a batch at most.
    pub bulk_rows_max: usize,
    /// How long after its begin a batch may take in more bulk while tills are near and the bulk lane is not full for long. A
    /// till waits for the rest of a batch, its write, and maybe the write before.
    pub bulk_time_min: Duration,
    /// The same where the bulk lane has been full for half a second.
    pub bulk_time_max: Duration,
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
    /// Told what became durable.
    pub feed: Arc<ReservationFeed>,
    /// Who is told which levels changed.
    pub publisher: Option<Publisher>,
}

impl Default for SequencerOptions {
    fn default() -> Self {
        SequencerOptions {
            interactive_queue: 8192,
            bulk_queue: 64,
            batch_commands: 512,
            bulk_rows_min: 256,
            bulk_rows_max: 4096,
            bulk_time_min: Duration::from_micros(1_500),
            bulk_time_max: Duration::from_millis(6),
            bulk_events: 1024,
            parked_max: 1024,
            profiles: None,
            rules: Rules::default(),
            room: Arc::default(),
            feed: Arc::default(),
            publisher: None,
        }
    }
}

/// How long the thread sleeps at most: the log wants its upkeep about once a second.
const IDLE: Duration = Duration::from_secs(1);

/// How long after the last till bulk still leaves room for the next: tills come in waves.
const TILLS_NEAR: Duration = Duration::from_millis(100);

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
    let mut options = options;
    let core = Core::new(state, options.rules.clone(), log)
        .within(Arc::clone(&options.room))
        .telling(Arc::clone(&options.feed))
        .publishing(options.publisher.take());
    let lanes = vec![None];
    let bulk_time = BulkTime::new(options.bulk_time_min, options.bulk_time_max, Instant::now());
    let mut runner = Runner {
        bulk_time,
        writer: Writer::start()?,
        open: None,
        last_till: None,
        batching: Batching::new(core, options),
        clock,
        interactive: interactive_work,
        bulk: bulk_work,
        controls,
        shared: Arc::clone(&shared),
        lanes,
        stopping: false,
        cold,
        barriers: Vec::new(),
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

/// The batch that is filled.
struct Open {
    /// Interactive commands it may still take.
    interactive_left: usize,
    /// What bulk may add at most, and what in any case.
    share: BulkShare,
    share_min: BulkShare,
    /// When bulk may add no more than that; `None`: no till is near.
    bulk_until: Option<Instant>,
    /// More timers are due than it took.
    more_due: bool,
}

struct Runner {
    batching: Batching<OneTicket, BulkTicket>,
    bulk_time: BulkTime,
    writer: Writer,
    open: Option<Open>,
    last_till: Option<Instant>,
    clock: Clock,
    interactive: Receiver<OneWork>,
    bulk: Receiver<ManyWork>,
    controls: Receiver<Control>,
    shared: Arc<Shared>,
    lanes: Vec<Lane>,
    stopping: bool,
    /// Where not all customers are in memory.
    cold: Option<Cold>,
    /// Who waits until a sequence is durable.
    barriers: Vec<(Sequence, oneshot::Sender<Position>)>,
}

impl Runner {
    fn run(&mut self) -> Result<(), LogError> {
        loop {
            self.wait();
            let now = self.clock.now();
            let mut open = match self.open.take() {
                Some(open) => open,
                None => self.begin_batch(now),
            };
            self.take_up_parked(now)?;
            self.fill(&mut open, now)?;
            if let Some(cold) = &mut self.cold {
                cold.send_out(&mut self.batching.core);
            }
            let clock_moved = self.take_controls();
            if self.writer.is_busy() && clock_moved.is_none() {
                // Filled further when something comes, closed when that write has ended.
                self.open = Some(open);
                continue;
            }
            match clock_moved {
                Some(to) => {
                    self.end_write()?;
                    self.fire_what_became_due(open.more_due)?;
                    self.close_batch(false)?;
                    // Who asked may have gone.
                    let _ = to.send(self.clock.now());
                }
                None => self.close_batch(self.is_more_to_do())?,
            }
            if self.stopping && !self.writer.is_busy() && !self.is_queued() {
                return self.batching.core.upkeep();
            }
        }
    }

    fn begin_batch(&mut self, time: Time) -> Open {
        let more_due = self.batching.core.fire_timers(time);
        let now = Instant::now();
        if self.bulk.is_empty() && !self.batching.has_partial() {
            self.bulk_time.is_empty(now);
        }
        let near = |till: Instant| now.saturating_duration_since(till) < TILLS_NEAR;
        let tills_near = self.last_till.is_some_and(near) || !self.interactive.is_empty();
        let options = &self.batching.options;
        Open {
            interactive_left: options.batch_commands,
            share: self.batching.bulk_share(options.bulk_rows_max),
            share_min: self.batching.bulk_share(options.bulk_rows_min),
            bulk_until: tills_near.then(|| now + self.bulk_time.allowed(now)),
            more_due,
        }
    }

    /// Whether bulk may still add to the batch.
    fn takes_bulk(&self, open: &Open) -> bool {
        let in_time = |until| Instant::now() < until;
        self.batching.has_left(&open.share)
            && (open.bulk_until.is_none_or(in_time) || self.batching.has_left(&open.share_min))
    }

    /// Takes what waits: tills before each event of bulk, and bulk up to its share.
    fn fill(&mut self, open: &mut Open, now: Time) -> Result<(), LogError> {
        loop {
            if self.writer.is_busy()
                && let Some(write) = self.writer.try_take()?
            {
                self.take_back(write)?;
            }
            if open.interactive_left > 0 && !self.interactive.is_empty() {
                self.take_interactive(open, now)?;
            } else if !self.takes_bulk(open) || !self.take_bulk(&mut open.share, now) {
                return Ok(());
            }
        }
    }

    /// After the clock was moved: timers fire in as many batches as they need.
    fn fire_what_became_due(&mut self, mut more_due: bool) -> Result<(), LogError> {
        loop {
            let core = &mut self.batching.core;
            let now = self.clock.now();
            let due = |due: Time| due <= now;
            if !more_due && (core.is_full() || !core.state().next_timer().is_some_and(due)) {
                return Ok(());
            }
            core.commit()?;
            more_due = core.fire_timers(now);
        }
    }

    /// Writes the batch, beside this thread where `aside`; no other write may be out. Answers are told once it is durable.
    fn close_batch(&mut self, aside: bool) -> Result<(), LogError> {
        let records = self.batching.core.batch_records();
        if records > 0 {
            metrics::histogram!("tillside_batch_commands").record(records as f64);
        }
        if aside && let Some(write) = self.batching.begin_write() {
            return self.writer.give(write);
        }
        self.batching.core.commit()?;
        let finished = self.batching.finished().collect();
        self.after_a_write(finished)
    }

    /// Waits for the write that is out, if there is one.
    fn end_write(&mut self) -> Result<(), LogError> {
        match self.writer.take()? {
            Some(write) => self.take_back(write),
            None => Ok(()),
        }
    }

    fn take_back(&mut self, write: Write) -> Result<(), LogError> {
        let finished = self.batching.end_write(write)?.collect();
        self.after_a_write(finished)
    }

    /// Tells the answers of what is durable now.
    fn after_a_write(
        &mut self,
        finished: Vec<Finished<OneTicket, BulkTicket>>,
    ) -> Result<(), LogError> {
        let core = &mut self.batching.core;
        if let Some(cold) = &self.cold {
            cold.show(core);
        }
        core.upkeep()?;
        self.shared
            .durable
            .store(core.durable().0, Ordering::Release);
        self.shared.written.set(core.written());
        let (durable, position) = (core.durable(), core.position());
        self.tell(finished);
        for (_, to) in self
            .barriers
            .extract_if(.., |(sequence, _)| *sequence <= durable)
        {
            // Who asked may have gone.
            let _ = to.send(position);
        }
        Ok(())
    }

    /// Whether the next batch may be decided while this one is written, and there is something to decide.
    fn is_more_to_do(&self) -> bool {
        let bulk =
            !self.batching.bulk_waits() && (self.batching.has_partial() || !self.bulk.is_empty());
        self.batching.core.may_write_aside() && (bulk || !self.interactive.is_empty())
    }

    /// Whether anything waits that has to be done before the end.
    fn is_queued(&self) -> bool {
        !self.interactive.is_empty()
            || !self.bulk.is_empty()
            || self.batching.has_partial()
            || self.cold.as_ref().is_some_and(Cold::is_waited_for)
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

    /// Parks until there is work, a timer or the end of a write, a second at most.
    fn wait(&self) {
        let bulk_waits = self.batching.bulk_waits();
        let tills_wait = self.cold.as_ref().is_some_and(Cold::is_waited_for);
        let takes = |open: &Open| self.takes_bulk(open);
        let takes_bulk = !bulk_waits && self.open.as_ref().is_none_or(takes);
        let bulk_goes_on = self.batching.has_partial() && takes_bulk;
        let writing = self.writer.is_busy();
        if bulk_goes_on || (self.stopping && !writing && !bulk_waits && !tills_wait) {
            return;
        }
        let core = &self.batching.core;
        let until_timer = core
            .state()
            .next_timer()
            .map(|due| (due.0 - self.clock.now().0).max(0) as u64);
        let timer_counts = !writing && !self.clock.is_simulated() && !core.is_full();
        let timeout = until_timer
            .filter(|_| timer_counts)
            .map_or(IDLE, |ms| Duration::from_millis(ms).min(IDLE));
        let mut timeout = timeout;
        let mut select = Select::new();
        if self
            .open
            .as_ref()
            .is_none_or(|open| open.interactive_left > 0)
        {
            select.recv(&self.interactive);
        }
        select.recv(&self.controls);
        if takes_bulk {
            select.recv(&self.bulk);
        }
        self.writer.select(&mut select);
        if let Some(cold) = &self.cold {
            cold.select(core, &mut select);
            timeout = Cold::sleep_max(core).map_or(timeout, |max| max.min(timeout));
        }
        // Whatever woke it, the lanes are looked at.
        let _ = select.ready_timeout(timeout);
    }

    fn take_interactive(&mut self, open: &mut Open, now: Time) -> Result<(), LogError> {
        self.last_till = Some(Instant::now());
        let mut next = self.next_interactive();
        while let Some(work) = next {
            open.interactive_left -= 1;
            next = if open.interactive_left > 0 {
                self.next_interactive()
            } else {
                None
            };
            // Its rows come from memory while this one is decided.
            if let Some(next) = &next {
                prefetch::command(self.batching.core.state(), &next.submission.command);
            }
            self.decide_or_park(work, now)?;
        }
        Ok(())
    }

    /// The next command somebody still waits for: what its caller has given up is not worth anybody's time.
    fn next_interactive(&self) -> Option<OneWork> {
        std::iter::from_fn(|| self.interactive.try_recv().ok()).find(|work| !work.to.is_closed())
    }

    fn decide_or_park(&mut self, work: OneWork, now: Time) -> Result<(), LogError> {
        if self.batching.core.needs_the_log(&work.submission) {
            self.end_write()?;
        }
        let core = &mut self.batching.core;
        if let Some(cold) = &mut self.cold
            && !core.missing(&work.submission).is_empty()
        {
            cold.keep(core.park(&work.submission.command), work);
            return Ok(());
        }
        self.batching
            .take_one(&work.submission, (work.lane, work.to), now);
        Ok(())
    }

    /// Takes in what was read from disk, and takes up the commands that waited for it.
    fn take_up_parked(&mut self, now: Time) -> Result<(), LogError> {
        let Some(cold) = &mut self.cold else {
            return Ok(());
        };
        cold.take_in(&mut self.batching.core);
        while let Some(ready) = self.batching.core.next_ready() {
            if self.batching.take_up_bulk(&ready) {
                continue;
            }
            let Some(work) = self.cold.as_mut().and_then(|cold| cold.give(ready.ticket)) else {
                continue;
            };
            if ready.readable {
                self.decide_or_park(work, now)?;
            } else {
                self.batching
                    .refuse((work.lane, work.to), Rejection::ProfileUnreadable);
            }
        }
        Ok(())
    }

    /// Takes one event of bulk; false where there is none to take.
    fn take_bulk(&mut self, share: &mut BulkShare, now: Time) -> bool {
        let parks = self.cold.is_some();
        // A stream that has ended sends what was not acknowledged again; none of it has been begun here.
        let next = || {
            let mut waiting = std::iter::from_fn(|| self.bulk.try_recv().ok());
            let work = waiting.find(|work| !work.to.is_closed())?;
            Some((work.events, (work.lane, work.to, work.room)))
        };
        self.batching.take_bulk(share, now, parks, next)
    }

    /// Takes what is asked of the sequencer itself; answers who waits for the clock.
    fn take_controls(&mut self) -> Option<oneshot::Sender<Time>> {
        while let Ok(control) = self.controls.try_recv() {
            match control {
                Control::Join(lane, sender) => self.join(lane, sender),
                Control::Stop => self.stopping = true,
                Control::Barrier(to) => {
                    let seen = self.batching.core.state().snapshot_sequence();
                    self.barriers.push((seen, to));
                }
                // Nothing changes while this thread does something else.
                Control::Inspect(look) => look(self.batching.core.state()),
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
    fn tell(&mut self, finished: Vec<Finished<OneTicket, BulkTicket>>) {
        let mut by_lane: Vec<Vec<Completion>> = Vec::new();
        by_lane.resize_with(self.lanes.len(), Vec::new);
        for finished in finished {
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
