//! The production engine, batching and log over a faulty disk, beside the model. Every step of the engine is a step of
//! the model, and both are compared; nothing here decides what happens next.

use std::sync::Arc;

use tillside_engine::decide::Rules;
use tillside_engine::ids::Sequence;
use tillside_engine::invariants::violations;
use tillside_engine::reservation::ReservationState;
use tillside_engine::state::State;
use tillside_engine::units::Time;
use tillside_server::sequencer::{Batching, Core, Finished, SequencerOptions, Submission, Write};
use tillside_store::faulty::{FaultyDisk, FaultyLog};
use tillside_store::replay::replay;
use tillside_store::{LogError, OpenError, load, state_digest};

use crate::Checked;
use crate::compare::{self, same};
use crate::drafts::INDEX_KEY;
use crate::model::{Entity, Expected, Model, told};
use crate::planted::Planted;
use crate::tally::Tally;

/// Number of a submission or message, in the order they were made.
pub(crate) type Ticket = usize;

/// The answers of a batch, after its commit.
pub(crate) type Answers = Vec<Finished<Ticket, Ticket>>;

pub(crate) struct World {
    pub(crate) disk: FaultyDisk,
    pub(crate) batching: Batching<Ticket, Ticket>,
    /// As decided so far.
    pub(crate) model: Model,
    /// As of the last commit.
    pub(crate) durable: Model,
    /// A batch that is written while the next is decided, and the model as of its end.
    writing: Option<(Write, Model)>,
    pub(crate) tally: Tally,
    pub(crate) planted: Option<Planted>,
    options: SequencerOptions,
}

/// Limits small enough that a few commands reach them.
fn options(bulk_rows: usize) -> SequencerOptions {
    SequencerOptions {
        batch_commands: 6,
        bulk_rows_min: bulk_rows,
        bulk_rows_max: 4 * bulk_rows,
        bulk_events: 12,
        rules: Rules {
            index_key: INDEX_KEY,
            ..Rules::default()
        },
        ..SequencerOptions::default()
    }
}

impl World {
    pub(crate) fn new(bulk_rows: usize, planted: Option<Planted>) -> Result<Self, String> {
        let disk = FaultyDisk::default();
        if let Some(planted) = planted {
            planted.plant(&disk);
        }
        let options = options(bulk_rows);
        let log = FaultyLog::open(&disk, None).map_err(|e| e.to_string())?;
        let core = Core::new(Arc::default(), options.rules.clone(), Box::new(log));
        let model = Model::new(INDEX_KEY);
        Ok(World {
            disk,
            batching: Batching::new(core, options.clone()),
            durable: model.clone(),
            writing: None,
            model,
            tally: Tally::default(),
            planted,
            options,
        })
    }

    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(self.batching.core.state())
    }

    /// Fires what is due.
    pub(crate) fn fire_timers(&mut self, clock: Time) -> Checked {
        for (due, timer) in self.model.timers() {
            if due <= self.model.now.max(clock) {
                self.tally.command(match timer {
                    tillside_engine::command::Timer::Reservation(id) => {
                        match self.model.reservations.get(&id.0).map(|r| r.state) {
                            Some(ReservationState::Confirmed) => {
                                "give up on a store that does not answer"
                            }
                            Some(ReservationState::Held) | None => "expire a hold",
                            Some(_) => "give up on a customer who does not come",
                        }
                    }
                    tillside_engine::command::Timer::Checkout(_) => "forget a checkout",
                    tillside_engine::command::Timer::EndedReservation(_) => "forget a reservation",
                    tillside_engine::command::Timer::EndedDelivery(_) => "forget a delivery",
                    tillside_engine::command::Timer::BufferSweep => "sweep buffers",
                });
            }
        }
        self.batching.core.fire_timers(clock);
        let touched = self.model.fire_timers(clock);
        self.step_is_sound(&touched)
            .map_err(|e| format!("after firing timers at {}: {e}", clock.0))
    }

    /// What has to come of a submission that the engine has just taken.
    pub(crate) fn expect(
        &mut self,
        submission: &Submission,
        clock: Time,
        late: bool,
        before: Sequence,
    ) -> Result<Expected, String> {
        let changed = self.batching.core.state().snapshot_sequence() > before;
        let expected = self.model.submit(submission, clock, late, changed);
        self.tally.submitted += 1;
        self.tally.command(crate::tally::name(&submission.command));
        if let crate::model::Told::Refused(refusal) = &expected.told {
            self.tally.refusal(refusal.0);
        }
        if !expected.touched.is_empty()
            && let Some(met) = crate::tally::of_parts(&submission.command, &expected.told)
        {
            self.tally.met(met);
        }
        self.step_is_sound(&expected.touched)
            .map_err(|e| format!("after {submission:?} at {}: {e}", clock.0))?;
        Ok(expected)
    }

    fn step_is_sound(&self, touched: &[Entity]) -> Checked {
        let state = self.batching.core.state();
        same(
            || "the sequence differs".to_owned(),
            state.snapshot_sequence(),
            self.model.sequence,
        )?;
        same(
            || "the invariants do not hold".to_owned(),
            violations(state),
            Vec::new(),
        )?;
        touched
            .iter()
            .try_for_each(|entity| compare::entity(state, &self.model, entity))
    }

    /// Makes the batch durable and takes its answers.
    pub(crate) fn commit(&mut self) -> Result<Answers, LogError> {
        self.batching.core.commit()?;
        self.batching.core.upkeep()?;
        self.tally.batches += 1;
        self.durable = self.model.clone();
        Ok(self.batching.finished().collect())
    }

    /// Closes the batch, to be written while the next is decided; false where there is nothing to write.
    pub(crate) fn begin_write(&mut self) -> bool {
        let write = self.batching.begin_write();
        self.writing = write.map(|write| (write, self.model.clone()));
        self.writing.is_some()
    }

    /// Writes the closed batch and takes its answers.
    pub(crate) fn end_write(&mut self) -> Result<Answers, LogError> {
        let Some((mut write, model)) = self.writing.take() else {
            return Ok(Vec::new());
        };
        write.run();
        let answers = self.batching.end_write(write)?.collect();
        self.tally.batches += 1;
        self.durable = model;
        Ok(answers)
    }

    /// Writes the closed batch; nobody hears of it.
    pub(crate) fn write_unheard(&mut self) {
        if let Some((write, model)) = &mut self.writing {
            write.run();
            self.durable = model.clone();
        }
    }

    /// The power fails: what the process knows is gone. `kept` and `mark_kept` as for the disk.
    pub(crate) fn lose_power(&mut self, kept: usize, mark_kept: bool) {
        self.end_process();
        self.disk.crash(kept, mark_kept);
        self.disk.heal();
    }

    /// Lets go of the disk and of everything in memory.
    fn end_process(&mut self) {
        self.writing = None;
        if let Ok(log) = FaultyLog::open(&FaultyDisk::default(), None) {
            let core = Core::new(Arc::default(), self.options.rules.clone(), Box::new(log));
            self.batching = Batching::new(core, self.options.clone());
        }
    }

    /// Starts on the disk as it is. An error is the refusal of a start.
    pub(crate) fn start(&mut self, accept_loss_after: Option<u64>) -> Result<(), OpenError> {
        let log = FaultyLog::open(&self.disk, accept_loss_after)?;
        let loaded = load(&log).map_err(OpenError::Store)?;
        self.tally.starts += 1;
        let core = Core::new(
            Arc::new(loaded.state),
            self.options.rules.clone(),
            Box::new(log),
        );
        self.batching = Batching::new(core, self.options.clone());
        Ok(())
    }

    /// Begins a start, and loses power in the middle of it.
    pub(crate) fn start_half(&mut self) -> Checked {
        let log =
            FaultyLog::open(&self.disk, None).map_err(|e| format!("a start is refused: {e}"))?;
        drop(log);
        self.disk.crash(0, false);
        self.tally.met("a start killed half way");
        Ok(())
    }

    /// Starts, and demands the state that was `model`.
    pub(crate) fn start_as(&mut self, model: Model) -> Checked {
        self.start(None)
            .map_err(|e| format!("a start is refused: {e}"))?;
        self.is(model)
    }

    /// Demands that the state is `model`, which is durable now.
    pub(crate) fn is(&mut self, model: Model) -> Checked {
        let state = self.batching.core.state();
        same(
            || "the invariants do not hold after a start".to_owned(),
            violations(state),
            Vec::new(),
        )?;
        compare::all(state, &model).map_err(|e| format!("after a start: {e}"))?;
        self.durable = model.clone();
        self.model = model;
        Ok(())
    }

    /// The state in memory, the loaded tables and the log replayed from its beginning are the same, bit for bit. Ends
    /// the process and starts it again.
    pub(crate) fn digests_agree(&mut self) -> Checked {
        let memory = state_digest(self.batching.core.state());
        let model = self.model.clone();
        self.end_process();
        let log =
            FaultyLog::open(&self.disk, None).map_err(|e| format!("a start is refused: {e}"))?;
        let loaded = load(&log).map_err(|e| e.to_string())?.state;
        let replayed = replay(&log).map_err(|e| e.to_string())?;
        drop(log);
        same(
            || "loaded and in memory".to_owned(),
            state_digest(&loaded),
            memory.clone(),
        )?;
        same(
            || "replayed and in memory".to_owned(),
            state_digest(&replayed),
            memory,
        )?;
        self.start_as(model)
    }
}

/// What a start on a disk finds.
pub(crate) enum Found {
    /// It is refused.
    Refused(OpenError),
    /// It starts, but replaying the log gives another state than the tables, or cannot be done.
    ByReplaying,
    /// Everything agrees.
    Nothing,
}

/// Starts on a disk, and replays it.
pub(crate) fn look_at(disk: &FaultyDisk) -> Found {
    let log = match FaultyLog::open(disk, None) {
        Ok(log) => log,
        Err(error) => return Found::Refused(error),
    };
    let loaded = match load(&log) {
        Ok(loaded) => state_digest(&loaded.state),
        Err(error) => return Found::Refused(OpenError::Store(error)),
    };
    match replay(&log).map(|state| state_digest(&state)) {
        Ok(replayed) if replayed == loaded => Found::Nothing,
        _ => Found::ByReplaying,
    }
}

/// Compares the answers with what they have to be.
pub(crate) fn answers_are(
    answers: &[Result<tillside_server::sequencer::Answer, tillside_engine::reject::Rejection>],
    expected: &[Expected],
) -> Checked {
    same(
        || "number of answers".to_owned(),
        answers.len(),
        expected.len(),
    )?;
    for (answer, expected) in answers.iter().zip(expected) {
        same(
            || "the answer differs".to_owned(),
            told(answer),
            expected.told.clone(),
        )?;
        if let Ok(answer) = answer {
            same(
                || format!("the sequence of {answer:?}"),
                answer.sequence,
                expected.sequence,
            )?;
        }
    }
    Ok(())
}
