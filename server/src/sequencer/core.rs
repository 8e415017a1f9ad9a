//! Batches without threads: decide, apply, gather, write. While one batch is written, the next may already be decided:
//! its answers wait for both writes. After a failed write memory is ahead of the disk, so the owner must stop for good;
//! nothing here retries a sync.

use std::sync::Arc;
use std::time::Instant;

use tillside_engine::apply::{Touched, apply};
use tillside_engine::command::{Command, Ingest};
use tillside_engine::ctx::Ctx;
use tillside_engine::decide::{Rules, decide};
use tillside_engine::event::Event;
use tillside_engine::ids::{CustomerId, RequestKey, Sequence};
use tillside_engine::limits::{
    REQUEST_WINDOW_MS, REQUEST_WINDOW_STEP_MS, REQUESTS_MAX, REQUESTS_STEP, TIMERS_PER_BATCH_MAX,
};
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::residency::{self, Needed};
use tillside_engine::state::{State, lock};
use tillside_engine::units::Time;
use tillside_store::{Batch, BatchBuilder, Log, LogError, Position};

use super::handle::Answer;
use super::residency::{Delivery, HotProfiles, Load, Ready, Ticket};
use super::written::Written;
use crate::availability::Publisher;
use crate::disk::Room;
use crate::promise::Promises;
use crate::reservation_feed::ReservationFeed;

/// Who asked, and what: a retry is recognised by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestStamp {
    /// (principal, request id).
    pub key: RequestKey,
    /// The request without its id.
    pub payload_hash: u64,
}

/// A command with what the sequencer must know about it.
#[derive(Debug)]
pub struct Submission {
    /// The command.
    pub command: Command,
    /// For calls with a request id.
    pub request: Option<RequestStamp>,
    /// Past it nobody waits for the answer, and nothing is done.
    pub deadline: Option<Instant>,
}

/// What a batch has gathered beside its bytes.
#[derive(Default)]
struct Gathered {
    touched: Touched,
    /// Answers that a retry may ask for before they are on disk.
    answered: Vec<(Sequence, Reply)>,
    records: usize,
    last: Sequence,
    /// Where the window of remembered requests starts after it.
    requests_start: Sequence,
}

impl Gathered {
    fn clear(&mut self) {
        self.touched.clear();
        self.answered.clear();
        self.records = 0;
    }

    fn answer(&self, sequence: Sequence) -> Option<Reply> {
        let at = self
            .answered
            .binary_search_by_key(&sequence, |(answered, _)| *answered);
        at.ok().map(|at| self.answered[at].1.clone())
    }
}

/// A batch on its way to the disk, with the log it goes to: it can be written on any thread.
pub struct Write {
    log: Box<dyn Log>,
    batch: Batch,
    written: Result<(), LogError>,
}

impl Write {
    /// Writes it; returns when it is durable, or never will be. Without it nothing is written.
    pub fn run(&mut self) {
        self.written = self.log.append(&self.batch);
    }
}

/// Decides and gathers one batch at a time.
pub struct Core {
    state: Arc<State>,
    rules: Rules,
    /// `None` while a [`Write`] is out.
    log: Option<Box<dyn Log>>,
    builder: BatchBuilder,
    /// The batch that is decided.
    open: Gathered,
    /// The batch that is written, while one is.
    writing: Gathered,
    /// The memory of the batch written last.
    spare: Batch,
    /// A write failed: memory is ahead of the disk.
    failed: bool,
    /// Every change up to it is on disk.
    durable: Sequence,
    /// The same with its checksum.
    position: Position,
    /// On disk, too: requests before it are forgotten.
    requests_start: Sequence,
    /// Which customers are in memory; `None`: all of them.
    hot: Option<HotProfiles>,
    room: Arc<Room>,
    /// The log was told that requests before it are forgotten.
    requests_dropped: Sequence,
    written: Written,
    promises: Promises,
    feed: Arc<ReservationFeed>,
    /// Who is told which levels changed, once they are durable.
    publisher: Option<Publisher>,
}

/// Sequences between two tellings of the log that requests are forgotten: about 10 MB of rows, so that whole files go.
const REQUESTS_DROPPED_AT_ONCE: u64 = 200_000;

impl Core {
    /// A core over a loaded state and the log it was loaded from.
    pub fn new(state: Arc<State>, rules: Rules, log: Box<dyn Log>) -> Self {
        let builder = BatchBuilder::after(log.position());
        let hot = HotProfiles::of(&state);
        let requests_start = lock(&state.requests).start();
        Core {
            failed: false,
            durable: state.snapshot_sequence(),
            position: log.position(),
            requests_start,
            state,
            rules,
            log: Some(log),
            builder,
            open: Gathered::default(),
            writing: Gathered::default(),
            spare: Batch::default(),
            hot,
            room: Arc::default(),
            requests_dropped: Sequence(0),
            written: Written::default(),
            promises: Promises::default(),
            feed: Arc::default(),
            publisher: None,
        }
    }

    /// The same core, which tells `publisher` which levels changed.
    #[must_use]
    pub fn publishing(self, publisher: Option<Publisher>) -> Self {
        Core { publisher, ..self }
    }

    /// Where what is on disk ends.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The same core, which tells `feed` what became durable.
    #[must_use]
    pub fn telling(self, feed: Arc<ReservationFeed>) -> Self {
        feed.starts_at(self.durable);
        Core { feed, ..self }
    }

    /// The same core, which takes no changes while `room` is full.
    #[must_use]
    pub fn within(self, room: Arc<Room>) -> Self {
        Core { room, ..self }
    }

    /// Whether changes are refused for want of room. Timers wait then, too: a hold that has run out is expired to every
    /// reader all the same, but its stock is free only once that can be written.
    pub fn is_full(&self) -> bool {
        self.room.is_full()
    }

    /// Fires what is due at `now`; true where more is due than one batch may take.
    pub fn fire_timers(&mut self, now: Time) -> bool {
        if self.is_full() {
            return false;
        }
        let now = self.state.time_at_least(now);
        let due = self.state.due_timers(now, TIMERS_PER_BATCH_MAX);
        let full = due.len() == TIMERS_PER_BATCH_MAX;
        for timer in due {
            let decided = self.decide_and_apply(&Command::Timer(timer), None, now);
            debug_assert!(decided.is_ok(), "a timer is never refused");
        }
        full
    }

    /// Decides one command. The answer may be given only after [`Self::commit`]; so may a refusal, which may rest on
    /// changes of this batch.
    pub fn submit(&mut self, submission: &Submission, now: Time) -> Result<Answer, Rejection> {
        if submission
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            return Err(Rejection::DeadlineExceeded);
        }
        if let Some(stamp) = submission.request
            && let Some(answered) = lock(&self.state.requests).get(stamp.key)
        {
            if answered.payload_hash != stamp.payload_hash {
                return Err(Rejection::RequestIdReused);
            }
            metrics::counter!("tillside_request_ids_repeated_total").increment(1);
            return self.answer_again(answered.sequence);
        }
        self.decide_and_apply(
            &submission.command,
            submission.request,
            self.state.time_at_least(now),
        )
    }

    /// Whether a request was answered before and its answer can only be read from the log, which a [`Write`] has: it has to
    /// be ended before the request is submitted.
    pub fn needs_the_log(&self, submission: &Submission) -> bool {
        self.log.is_none()
            && submission.request.is_some_and(|stamp| {
                let answered = lock(&self.state.requests).get(stamp.key);
                answered.is_some_and(|answered| self.answer_at_hand(answered.sequence).is_none())
            })
    }

    /// An answer that is not on disk yet, as far as anybody here knows.
    fn answer_at_hand(&self, sequence: Sequence) -> Option<Reply> {
        let open = self.open.answer(sequence);
        open.or_else(|| self.writing.answer(sequence))
    }

    fn answer_again(&self, sequence: Sequence) -> Result<Answer, Rejection> {
        let reply = match (self.answer_at_hand(sequence), &self.log) {
            (Some(reply), _) => Some(reply),
            (None, Some(log)) => match log.read(sequence) {
                Ok(record) => record.and_then(|r| r.reply),
                Err(error) => {
                    tracing::error!(%error, sequence = sequence.0, "the first answer of a repeated request cannot be read");
                    None
                }
            },
            (None, None) => None,
        };
        reply
            .map(|reply| Answer { sequence, reply })
            .ok_or(Rejection::AnswerUnreadable)
    }

    fn decide_and_apply(
        &mut self,
        command: &Command,
        request: Option<RequestStamp>,
        now: Time,
    ) -> Result<Answer, Rejection> {
        let current = self.state.snapshot_sequence();
        let ctx = Ctx {
            seq: Sequence(current.0 + 1),
            now,
        };
        let (reply, mut events) = decide(&self.state, &self.rules, command, &ctx)?;
        if let Some(stamp) = request {
            events.push(Event::RequestAnswered {
                key: stamp.key,
                payload_hash: stamp.payload_hash,
            });
        }
        // With any change: where only events come, the window has to move all the same.
        if !events.is_empty()
            && let Some(before) = self.outlived_requests(now)
        {
            events.push(Event::RequestWindowMoved { before });
        }
        if events.is_empty() {
            return Ok(Answer {
                sequence: current,
                reply,
            });
        }
        // Here and not at the door: what changes nothing, a retry or a duplicate, is answered with a full disk too.
        if self.is_full() {
            return Err(self.room.refusal());
        }
        apply(&self.state, &events, &ctx, &mut self.open.touched);
        self.promises.note(&self.state, command, &events, &ctx);
        let kept = request.is_some().then_some(&reply);
        self.builder.record(ctx.seq, now, &events, kept);
        if request.is_some() {
            self.open.answered.push((ctx.seq, reply.clone()));
        }
        self.open.records += 1;
        self.open.last = ctx.seq;
        Ok(Answer {
            sequence: ctx.seq,
            reply,
        })
    }

    /// Where the window of remembered requests has to start, where its start has to move.
    fn outlived_requests(&self, now: Time) -> Option<Sequence> {
        let requests = lock(&self.state.requests);
        let oldest = requests.oldest()?;
        let too_many = requests.len() >= REQUESTS_MAX;
        let too_old = oldest
            .time
            .plus_ms(REQUEST_WINDOW_MS + REQUEST_WINDOW_STEP_MS)
            <= now;
        let excess = if too_many { REQUESTS_STEP } else { 0 };
        (too_many || too_old).then(|| requests.start_after(now.plus_ms(-REQUEST_WINDOW_MS), excess))
    }

    /// Rows this batch would write: what bounds its bulk share.
    pub fn batch_rows(&self) -> usize {
        let touched = &self.open.touched;
        touched.cells.len()
            + touched.histories.len()
            + touched.business_keys.len()
            + self.open.records
    }

    /// Commands in this batch that changed something.
    pub fn batch_records(&self) -> usize {
        self.open.records
    }

    /// Makes the batch durable: one write, one sync. After an error memory is ahead of the disk. A write that is out has to
    /// be ended before.
    pub fn commit(&mut self) -> Result<(), LogError> {
        if self.failed || self.is_writing() {
            return Err(LogError::Stopped);
        }
        match self.begin_write() {
            Some(mut write) => {
                write.run();
                self.end_write(write)
            }
            None => {
                self.forget_the_written();
                Ok(())
            }
        }
    }

    /// Whether the next batch may be decided while this one is written. Not where customers may be on disk only: who
    /// leaves memory must be on disk as he is, which is known only while nothing is decided.
    pub fn may_write_aside(&self) -> bool {
        self.hot.is_none()
    }

    /// Whether a write is out.
    pub fn is_writing(&self) -> bool {
        self.log.is_none()
    }

    /// Closes the batch and gives it out to be written; the next one begins. `None` where nothing was changed, where another
    /// write is out, and after one has failed. Unless it is ended, nothing more can be written.
    pub fn begin_write(&mut self) -> Option<Write> {
        if self.open.records == 0 || self.failed {
            return None;
        }
        let log = self.log.take()?;
        self.open.requests_start = lock(&self.state.requests).start();
        self.builder.rows(&self.state, &self.open.touched);
        std::mem::swap(&mut self.open, &mut self.writing);
        Some(Write {
            log,
            batch: self.builder.take(std::mem::take(&mut self.spare)),
            written: Err(LogError::Stopped),
        })
    }

    /// Takes the log back. Without an error everything in the write is durable. After one memory is ahead of the disk.
    pub fn end_write(&mut self, write: Write) -> Result<(), LogError> {
        let Write {
            log,
            batch,
            written,
        } = write;
        self.log = Some(log);
        self.failed = written.is_err();
        written?;
        self.durable = self.writing.last;
        self.requests_start = self.writing.requests_start;
        self.room.spend(batch.bytes());
        self.written.add(self.writing.records, batch.bytes());
        let touched = &self.writing.touched;
        self.feed.changed(&self.state, touched, self.durable);
        self.position = batch.after();
        if let Some(publisher) = &self.publisher {
            publisher.publish(self.position, touched);
        }
        self.spare = batch;
        self.forget_the_written();
        Ok(())
    }

    fn forget_the_written(&mut self) {
        if let Some(hot) = &mut self.hot {
            hot.durable(&self.state, &self.writing.touched);
        }
        self.writing.clear();
    }

    /// Every change up to it is on disk.
    pub fn durable(&self) -> Sequence {
        self.durable
    }

    /// Customers that a command needs and that are not in memory. Such a command is parked; it must not be submitted.
    /// Nobody, where it would be refused or answered without looking at them.
    pub fn missing(&self, submission: &Submission) -> Needed {
        let missing = residency::missing(&self.state, &submission.command);
        let past = |deadline: Instant| deadline <= Instant::now();
        if !missing.is_empty()
            && (submission.deadline.is_some_and(past)
                || submission
                    .request
                    .is_some_and(|stamp| lock(&self.state.requests).get(stamp.key).is_some()))
        {
            return Needed::new();
        }
        missing
    }

    /// As [`Self::missing`], for an event of the bulk lane.
    pub fn missing_for_event(&self, event: &Ingest) -> Needed {
        residency::missing_for_event(&self.state, event)
    }

    /// Lets a command wait for the customers it needs. Its turn is told by [`Self::next_ready`]; then it is looked at anew,
    /// for identifiers may have got other owners.
    ///
    /// # Panics
    /// Where all customers are in memory: then nothing is ever missing.
    pub fn park(&mut self, command: &Command) -> Ticket {
        self.park_for(residency::needed(&self.state, command))
    }

    /// As [`Self::park`], for an event of the bulk lane.
    pub fn park_event(&mut self, event: &Ingest) -> Ticket {
        self.park_for(residency::needed_by_event(&self.state, event))
    }

    fn park_for(&mut self, needs: Needed) -> Ticket {
        let hot = self.hot.as_mut();
        hot.expect("nobody is missing where all customers are in memory")
            .park(&self.state, needs)
    }

    /// Somebody may soon be needed.
    pub fn hint(&mut self, id: CustomerId) {
        if let Some(hot) = &mut self.hot {
            hot.hint(&self.state, id);
        }
    }

    /// Whether a hint would lead to anything now.
    pub fn takes_hints(&self) -> bool {
        self.hot.as_ref().is_some_and(HotProfiles::takes_hints)
    }

    /// The next read from disk to carry out; it has to be delivered.
    pub fn next_load(&mut self) -> Option<Load> {
        self.hot.as_mut()?.next_load()
    }

    /// Reads that are wanted and not delivered.
    pub fn loads_open(&self) -> usize {
        self.hot.as_ref().map_or(0, HotProfiles::loads_open)
    }

    /// Takes in what was read.
    pub fn deliver(&mut self, delivery: Delivery) {
        if let Some(hot) = &mut self.hot {
            hot.deliver(&self.state, delivery);
        }
    }

    /// The next parked command whose turn it is. It must be taken up before the batch is committed.
    pub fn next_ready(&mut self) -> Option<Ready> {
        self.hot.as_mut()?.next_ready()
    }

    /// Durable customers in memory: (bytes, how many). Zeros where all customers are.
    pub fn residents(&self) -> (u64, usize) {
        let hot = self.hot.as_ref();
        hot.map_or((0, 0), |hot| (hot.bytes(), hot.len()))
    }

    /// Whether somebody should leave memory who could not yet.
    pub fn is_over_budget(&self) -> bool {
        self.hot.as_ref().is_some_and(HotProfiles::is_over_budget)
    }

    /// What was made durable so far.
    pub fn written(&self) -> Written {
        self.written
    }

    /// The log's upkeep that need not wait for a batch; about once a second, after a commit. While a write is out it is
    /// left for the next time.
    pub fn upkeep(&mut self) -> Result<(), LogError> {
        let Some(log) = &mut self.log else {
            return Ok(());
        };
        if self.requests_start.0 >= self.requests_dropped.0 + REQUESTS_DROPPED_AT_ONCE {
            log.forget_requests(self.requests_start)?;
            self.requests_dropped = self.requests_start;
        }
        log.upkeep()
    }

    /// The state.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }
}
