//! What goes into a batch, without threads and channels: interactive commands first, then a bounded share of bulk, whose
//! messages may be spread over several batches. Whoever drives it brings the work and takes the answers away; the
//! simulation drives it as the sequencer's thread does. It never waits.

use std::collections::VecDeque;

use tillside_engine::command::{Command, Ingest};
use tillside_engine::prefetch;
use tillside_engine::reject::Rejection;
use tillside_engine::stock_table::Step;
use tillside_engine::units::Time;
use tillside_store::LogError;

use super::core::{Core, Submission, Write};
use super::handle::{Answer, BulkAnswers};
use super::residency::{Ready, Ticket};
use super::thread::SequencerOptions;

/// An answer and whose it is; it may be given only after the batch's commit. `O` stands for a waiting till, `M` for the
/// sender of a bulk message.
#[derive(Debug)]
pub enum Finished<O, M> {
    /// To a command of the interactive lane.
    One(O, Result<Answer, Rejection>),
    /// To a message of the bulk lane, complete.
    Many(M, BulkAnswers),
}

/// A bulk message on its way through several batches.
struct Partial<M> {
    events: VecDeque<Ingest>,
    answers: BulkAnswers,
    to: M,
    /// Its next event needs customers who are on their way. The lane waits with it: the order of events is kept.
    waits: Option<Ticket>,
}

/// What bulk may still add to this batch.
#[derive(Debug)]
pub struct BulkShare {
    /// Rows of the batch at which bulk ends.
    rows: usize,
    events: usize,
}

/// Fills one batch after the other.
pub struct Batching<O, M> {
    /// Decides and gathers.
    pub core: Core,
    /// Bounds.
    pub options: SequencerOptions,
    partial: Option<Partial<M>>,
    finished: Vec<Finished<O, M>>,
    /// Answers of the batch that is written.
    writing: Vec<Finished<O, M>>,
}

impl<O, M> Batching<O, M> {
    /// Over a core, with nothing begun.
    pub fn new(core: Core, options: SequencerOptions) -> Self {
        Batching {
            core,
            options,
            partial: None,
            finished: Vec::new(),
            writing: Vec::new(),
        }
    }

    /// Decides a command of the interactive lane.
    pub fn take_one(&mut self, submission: &Submission, to: O, now: Time) {
        let answer = self.core.submit(submission, now);
        self.finished.push(Finished::One(to, answer));
    }

    /// A share of bulk in this batch of about `rows`.
    pub fn bulk_share(&self, rows: usize) -> BulkShare {
        BulkShare {
            rows: self.core.batch_rows() + rows,
            events: self.options.bulk_events,
        }
    }

    /// Whether bulk may still add to the batch.
    pub fn has_left(&self, share: &BulkShare) -> bool {
        self.core.batch_rows() < share.rows && share.events > 0
    }

    /// Decides one event of the bulk lane: of the message begun before, else of the `next` one. False where the share is
    /// used up, there is none, or the event waits for customers who are not in memory (`parks`: some may not be).
    pub fn take_bulk(
        &mut self,
        share: &mut BulkShare,
        now: Time,
        parks: bool,
        next: impl FnOnce() -> Option<(Vec<Ingest>, M)>,
    ) -> bool {
        if !self.has_left(share) {
            return false;
        }
        let begin = |(events, to): (Vec<Ingest>, M)| Partial {
            answers: Vec::with_capacity(events.len()),
            events: events.into(),
            to,
            waits: None,
        };
        let Some(mut partial) = self.partial.take().or_else(|| next().map(begin)) else {
            return false;
        };
        if parks {
            self.park_next_event(&mut partial);
        }
        if partial.waits.is_some() {
            self.partial = Some(partial);
            return false;
        }
        if let Some(event) = partial.events.pop_front() {
            // What leads to a row is asked for events ahead, the row itself for the next one.
            for (ahead, step) in [(2, Step::Product), (1, Step::Word), (0, Step::Level)] {
                if let Some(later) = partial.events.get(ahead) {
                    prefetch::ingest(self.core.state(), later, step);
                }
            }
            let command = Command::Ingest(Box::new(event));
            let answer = self.core.submit(&Submission::plain(command), now);
            partial.answers.push(answer);
            share.events -= 1;
        }
        if partial.events.is_empty() {
            let Partial { answers, to, .. } = partial;
            self.finished.push(Finished::Many(to, answers));
        } else {
            self.partial = Some(partial);
        }
        true
    }

    /// Parks the message where its next event needs somebody who is not in memory.
    fn park_next_event(&mut self, partial: &mut Partial<M>) {
        if partial.waits.is_none()
            && let Some(event) = partial.events.front()
            && !self.core.missing_for_event(event).is_empty()
        {
            partial.waits = Some(self.core.park_event(event));
        }
    }

    /// Takes up the begun message if it is the one that waited; an event whose customer cannot be read is refused.
    pub fn take_up_bulk(&mut self, ready: &Ready) -> bool {
        let waited = |partial: &&mut Partial<M>| partial.waits == Some(ready.ticket);
        let Some(partial) = self.partial.as_mut().filter(waited) else {
            return false;
        };
        partial.waits = None;
        if !ready.readable && partial.events.pop_front().is_some() {
            partial.answers.push(Err(Rejection::ProfileUnreadable));
        }
        true
    }

    /// Refuses a command that was not decided.
    pub fn refuse(&mut self, to: O, rejection: Rejection) {
        self.finished.push(Finished::One(to, Err(rejection)));
    }

    /// Whether the begun bulk message waits for customers who are on their way.
    pub fn bulk_waits(&self) -> bool {
        self.partial.as_ref().is_some_and(|p| p.waits.is_some())
    }

    /// Drops everybody who waits: nothing will be answered any more.
    pub fn give_up(&mut self) {
        self.partial = None;
        self.finished.clear();
        self.writing.clear();
    }

    /// Whether a bulk message is begun and not finished.
    pub fn has_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// The answers of this batch, to be told after its commit.
    pub fn finished(&mut self) -> impl Iterator<Item = Finished<O, M>> + '_ {
        self.finished.drain(..)
    }

    /// Closes the batch and gives it out to be written, as [`Core::begin_write`]; its answers wait for that.
    pub fn begin_write(&mut self) -> Option<Write> {
        let write = self.core.begin_write()?;
        std::mem::swap(&mut self.finished, &mut self.writing);
        Some(write)
    }

    /// Takes the log back, as [`Core::end_write`]; what waited for this write may be told.
    pub fn end_write(
        &mut self,
        write: Write,
    ) -> Result<impl Iterator<Item = Finished<O, M>> + '_, LogError> {
        self.core.end_write(write)?;
        Ok(self.writing.drain(..))
    }
}
