//! Batches without threads: decide, apply, gather, write. After a failed write memory is ahead of the disk, so the
//! owner must stop for good; nothing here retries a sync.

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
use tillside_store::{BatchBuilder, Log, LogError};

use super::handle::Answer;
use super::residency::{Delivery, HotProfiles, Load, Ready, Ticket};
use super::written::Written;
use crate::disk::Room;

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

/// Decides and gathers one batch at a time.
pub struct Core {
    state: Arc<State>,
    rules: Rules,
    log: Box<dyn Log>,
    builder: BatchBuilder,
    touched: Touched,
    /// Answers of this batch that a retry may ask for before they are on disk.
    answered: Vec<(Sequence, Reply)>,
    records: usize,
    /// Which customers are in memory; `None`: all of them.
    hot: Option<HotProfiles>,
    room: Arc<Room>,
    /// The log was told that requests before it are forgotten.
    requests_dropped: Sequence,
    written: Written,
}

/// Sequences between two tellings of the log that requests are forgotten: about 10 MB of rows, so that whole files go.
const REQUESTS_DROPPED_AT_ONCE: u64 = 200_000;

impl Core {
    /// A core over a loaded state and the log it was loaded from.
    pub fn new(state: Arc<State>, rules: Rules, log: Box<dyn Log>) -> Self {
        let builder = BatchBuilder::after(log.position());
        let hot = HotProfiles::of(&state);
        Core {
            state,
            rules,
            log,
            builder,
            touched: Touched::default(),
            answered: Vec::new(),
            records: 0,
            hot,
            room: Arc::default(),
            requests_dropped: Sequence(0),
            written: Written::default(),
        }
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

    fn answer_again(&self, sequence: Sequence) -> Result<Answer, Rejection> {
        let in_batch = self
            .answered
            .binary_search_by_key(&sequence, |(answered, _)| *answered)
            .ok()
            .map(|at| self.answered[at].1.clone());
        let reply = match in_batch {
            Some(reply) => Some(reply),
            None => match self.log.read(sequence) {
                Ok(record) => record.and_then(|r| r.reply),
                Err(error) => {
                    tracing::error!(%error, sequence = sequence.0, "the first answer of a repeated request cannot be read");
                    None
                }
            },
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
        apply(&self.state, &events, &ctx, &mut self.touched);
        let kept = request.is_some().then_some(&reply);
        self.builder.record(ctx.seq, now, &events, kept);
        if request.is_some() {
            self.answered.push((ctx.seq, reply.clone()));
        }
        self.records += 1;
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
        self.touched.cells.len()
            + self.touched.histories.len()
            + self.touched.business_keys.len()
            + self.records
    }

    /// Commands in this batch that changed something.
    pub fn batch_records(&self) -> usize {
        self.records
    }

    /// Makes the batch durable: one write, one sync. After an error memory is ahead of the disk.
    pub fn commit(&mut self) -> Result<(), LogError> {
        if self.records > 0 {
            self.builder.rows(&self.state, &self.touched);
            self.log.append(self.builder.batch())?;
            self.room.spend(self.builder.batch().bytes());
            self.written.add(self.records, self.builder.batch().bytes());
        }
        if let Some(hot) = &mut self.hot {
            hot.durable(&self.state, &self.touched);
        }
        self.builder.clear();
        self.touched.clear();
        self.answered.clear();
        self.records = 0;
        Ok(())
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

    /// The log's upkeep that need not wait for a batch; about once a second, after a commit.
    pub fn upkeep(&mut self) -> Result<(), LogError> {
        let start = lock(&self.state.requests).start();
        if self.records == 0 && start.0 >= self.requests_dropped.0 + REQUESTS_DROPPED_AT_ONCE {
            self.log.forget_requests(start)?;
            self.requests_dropped = start;
        }
        self.log.upkeep()
    }

    /// The state.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }
}
