//! One seed: clients that submit, repeat and give up, a clock that is not to be trusted, a sequencer that fills batches
//! from its two lanes, and a disk that fails. What was acknowledged is asked for again and again.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tillside_engine::command::{Command, Ingest};
use tillside_engine::ids::RequestKey;
use tillside_engine::reject::Rejection;
use tillside_engine::units::Time;
use tillside_server::sequencer::{Finished, RequestStamp, Submission};
use tillside_store::faulty::{FaultyDisk, ReadFault};

use crate::Checked;
use crate::commands::Commands;
use crate::disasters::Disaster;
use crate::model::Expected;
use crate::planted::Planted;
use crate::tally::Tally;
use crate::world::{Answers, Ticket, World, answers_are};

/// 2026-11-22T00:00:00Z.
pub(crate) const START: Time = Time(1_795_305_600_000);

/// How long an answered request is remembered at least.
const WINDOW_MS: i64 = 24 * 3_600_000;

/// Something a client sent and may send again.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    stamp: RequestStamp,
    command: Command,
    /// What it was answered.
    answered: Option<Expected>,
    crashed: bool,
}

/// A command in the interactive lane.
struct Waiting {
    submission: Submission,
    late: bool,
    /// Where it is in `sent`, if it has a request id.
    sent: Option<usize>,
}

pub(crate) struct Schedule {
    pub(crate) rng: StdRng,
    pub(crate) world: World,
    pub(crate) clock: Time,
    commands: Commands,
    sent: Vec<Sent>,
    interactive: VecDeque<Waiting>,
    bulk: VecDeque<(Vec<Ingest>, Ticket)>,
    /// By ticket: what a submission or message has to be answered.
    expected: BTreeMap<Ticket, (Vec<Expected>, Option<usize>)>,
    /// The bulk message that was begun.
    begun: Option<(Ticket, VecDeque<Ingest>)>,
    next_ticket: Ticket,
    next_request: u128,
    /// One batch in so many meets a disaster; 0: none.
    disasters: u32,
    /// The write that is out is going to fail.
    pub(crate) write_fails: bool,
    /// The disk before a batch that may not be recovered from.
    pub(crate) backup: Option<FaultyDisk>,
}

/// Runs one seed over about `commands` commands.
pub(crate) fn run(seed: u64, commands: u64, planted: Option<Planted>) -> Result<Tally, String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let world = World::new(rng.random_range(1..30), planted)?;
    let mut schedule = Schedule {
        commands: Commands::of_seed(&mut rng),
        write_fails: false,
        disasters: [0, 6, 12, 25][rng.random_range(0..4)],
        rng,
        world,
        clock: START,
        sent: Vec::new(),
        interactive: VecDeque::new(),
        bulk: VecDeque::new(),
        expected: BTreeMap::new(),
        begun: None,
        next_ticket: 0,
        next_request: 0,
        backup: None,
    };
    if schedule.rng.random_bool(0.9) {
        for command in schedule.commands.opening(&mut schedule.rng) {
            schedule.send(command, false);
        }
    }
    while schedule.world.tally.submitted < commands {
        schedule.batch()?;
    }
    schedule.drain()?;
    schedule.world.digests_agree()?;
    let mut tally = schedule.world.tally;
    tally.faults(schedule.world.disk.met());
    tally.seeds = 1;
    Ok(tally)
}

impl Schedule {
    /// One round without a disaster.
    pub(crate) fn quiet_batch(&mut self) -> Checked {
        self.move_clock();
        self.clients_send();
        self.fill()?;
        let answers = self
            .world
            .commit()
            .map_err(|e| format!("a healthy disk: {e}"))?;
        self.deliver(answers)
    }

    /// One round: the clock moves, clients send, the sequencer fills a batch and makes it durable, or a disaster strikes.
    fn batch(&mut self) -> Checked {
        self.move_clock();
        self.clients_send();
        let strikes = self.disasters > 0 && self.rng.random_ratio(1, self.disasters);
        let disaster = strikes.then(|| Disaster::any(&mut self.rng));
        if let Some(disaster) = disaster {
            disaster.prepare(self);
        }
        self.fill()?;
        match disaster {
            Some(disaster) => disaster.strike(self),
            None if self.rng.random_ratio(1, 3) => self.write_aside(),
            None => {
                let answers = self
                    .world
                    .commit()
                    .map_err(|e| format!("a healthy disk: {e}"))?;
                self.deliver(answers)
            }
        }
    }

    /// Writes the batch while the next one is decided, then that one, unless power is lost in between.
    fn write_aside(&mut self) -> Checked {
        let healthy = |e| format!("a healthy disk: {e}");
        if self.world.begin_write() {
            self.world.tally.met("a batch decided while one is written");
            self.clients_send();
            self.fill()?;
            if self.disasters > 0 && self.rng.random_ratio(1, 2 * self.disasters) {
                return crate::disasters::power_lost_beside_a_write(self);
            }
            let answers = self.world.end_write().map_err(healthy)?;
            self.deliver(answers)?;
        }
        let answers = self.world.commit().map_err(healthy)?;
        self.deliver(answers)
    }

    /// Empties the lanes.
    pub(crate) fn drain(&mut self) -> Checked {
        while !self.interactive.is_empty() || !self.bulk.is_empty() || self.begun.is_some() {
            self.fill()?;
            let answers = self
                .world
                .commit()
                .map_err(|e| format!("a healthy disk: {e}"))?;
            self.deliver(answers)?;
        }
        Ok(())
    }

    fn move_clock(&mut self) {
        let before = self.clock;
        let hour = 3_600_000;
        self.clock = before.plus_ms(match self.rng.random_range(0..40) {
            0..8 => 0,
            8..34 => self.rng.random_range(1..3000),
            34..36 => -self.rng.random_range(1..10_000),
            36 => -hour,
            37 | 38 => self.rng.random_range(1..hour),
            _ if self.rng.random_ratio(1, 8) => 35 * 24 * hour,
            _ => self.rng.random_range(hour..50 * hour),
        });
        let moved = self.clock.0 - before.0;
        self.world.tally.met(match moved {
            ..0 => "the clock went back",
            0 => "the clock stood still",
            _ if moved >= hour => "the clock leapt",
            _ => return,
        });
    }

    pub(crate) fn clients_send(&mut self) {
        for _ in 0..self.rng.random_range(0..6) {
            if self.rng.random_ratio(1, 5) && !self.sent.is_empty() {
                self.send_again();
            } else {
                let command = self.commands.any(&mut self.rng, &self.world.model);
                let late = self.rng.random_ratio(1, 40);
                self.send(command, late);
            }
        }
        if self.rng.random_ratio(1, 4) && self.bulk.len() < 4 {
            let events = self.rng.random_range(1..12);
            let events = (0..events)
                .map(|_| self.commands.event(&mut self.rng, &self.world.model))
                .collect();
            let ticket = self.ticket();
            self.bulk.push_back((events, ticket));
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// A new command, mostly with a request id.
    fn send(&mut self, command: Command, late: bool) {
        // A deadline of this instant has passed when it is looked at; one of a day never does.
        let day = Duration::from_secs(86_400);
        let deadline = match late {
            true => Some(Instant::now()),
            false => self.rng.random_bool(0.5).then(|| Instant::now() + day),
        };
        if self.rng.random_ratio(1, 4) {
            let submission = Submission {
                command,
                request: None,
                deadline,
            };
            self.interactive.push_back(Waiting {
                submission,
                late,
                sent: None,
            });
            return;
        }
        self.next_request += 1;
        // Keys are hashes: their order is not the order of sending.
        let key = RequestKey(
            self.next_request
                .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
        );
        let stamp = RequestStamp {
            key,
            payload_hash: self.rng.random_range(0..1 << 40),
        };
        self.sent.push(Sent {
            stamp,
            command: command.clone(),
            answered: None,
            crashed: false,
        });
        let waiting = |deadline| Waiting {
            submission: Submission {
                command: command.clone(),
                request: Some(stamp),
                deadline,
            },
            late,
            sent: Some(self.sent.len() - 1),
        };
        self.interactive.push_back(waiting(deadline));
        if !late && self.rng.random_ratio(1, 30) {
            self.world.tally.met("a request repeated within its batch");
            self.interactive.push_back(waiting(None));
        }
    }

    /// One of the latest again, the same or with another payload under its id.
    fn send_again(&mut self) {
        let from = self.sent.len().saturating_sub(40);
        let at = self.rng.random_range(from..self.sent.len());
        let sent = self.sent[at].clone();
        let mut stamp = sent.stamp;
        if sent.answered.is_some() && self.rng.random_ratio(1, 5) {
            stamp.payload_hash += 1;
        }
        let submission = Submission {
            command: sent.command,
            request: Some(stamp),
            deadline: None,
        };
        let same = (stamp == sent.stamp).then_some(at);
        self.interactive.push_back(Waiting {
            submission,
            late: false,
            sent: same,
        });
    }

    /// Fills a batch as the sequencer's thread does.
    pub(crate) fn fill(&mut self) -> Checked {
        self.world.fire_timers(self.clock)?;
        let mut taken = 0;
        while taken < self.world.batching.options.batch_commands
            && let Some(waiting) = self.interactive.pop_front()
        {
            self.take_one(waiting)?;
            taken += 1;
        }
        let options = &self.world.batching.options;
        let rows = if taken > 0 {
            options.bulk_rows_min
        } else {
            options.bulk_rows_max
        };
        let mut share = self.world.batching.bulk_share(rows);
        loop {
            let before = self.world.batching.core.state().snapshot_sequence();
            let (bulk, begun) = (&mut self.bulk, &mut self.begun);
            let next = || {
                let (events, ticket) = bulk.pop_front()?;
                *begun = Some((ticket, events.clone().into()));
                Some((events, ticket))
            };
            if !self
                .world
                .batching
                .take_bulk(&mut share, self.clock, false, next)
            {
                if self.begun.is_some() {
                    self.world.tally.met("a bulk message in several batches");
                }
                return Ok(());
            }
            let Some((ticket, mut left)) = self.begun.take() else {
                return Err("an event came from nowhere".to_owned());
            };
            if let Some(event) = left.pop_front() {
                let submission = Submission::plain(Command::Ingest(Box::new(event)));
                let expected = self.world.expect(&submission, self.clock, false, before)?;
                if matches!(expected.told, crate::model::Told::Duplicate(_)) {
                    self.world.tally.met("a fact told twice");
                }
                self.expected.entry(ticket).or_default().0.push(expected);
            }
            if !left.is_empty() {
                self.begun = Some((ticket, left));
            }
        }
    }

    fn take_one(&mut self, waiting: Waiting) -> Checked {
        let Waiting {
            submission,
            late,
            sent,
        } = waiting;
        let spoiled = self.world.planted.map(|planted| planted.spoil(&submission));
        let before = self.world.batching.core.state().snapshot_sequence();
        let first = submission
            .request
            .and_then(|stamp| self.world.model.requests.get(&stamp.key));
        // Past its window it may be forgotten, and is a new request then: clients do not try.
        let now = self.world.model.now.max(self.clock);
        if first.is_some_and(|first| now.0 >= first.time.0 + WINDOW_MS) {
            return Ok(());
        }
        let repeated = first.is_some().then(|| {
            submission
                .request
                .is_some_and(|stamp| self.world.durable.requests.contains_key(&stamp.key))
        });
        if self.world.batching.core.needs_the_log(&submission) {
            if self.write_fails {
                // Tried again after the crash.
                return Ok(());
            }
            self.world
                .tally
                .met("a request repeated while a batch is written");
            let answers = self
                .world
                .end_write()
                .map_err(|e| format!("a healthy disk: {e}"))?;
            self.deliver(answers)?;
        }
        // A first answer that is on disk may meet a fault there.
        if repeated == Some(true) && self.rng.random_ratio(1, 12) {
            return self.take_one_unread(&submission);
        }
        let ticket = self.ticket();
        self.world
            .batching
            .take_one(spoiled.as_ref().unwrap_or(&submission), ticket, self.clock);
        let expected = self.world.expect(&submission, self.clock, late, before)?;
        if late {
            self.world.tally.met("a deadline passed");
        }
        if matches!(
            expected.told,
            crate::model::Told::Refused(crate::model::Refusal("RequestIdReused", _))
        ) {
            self.world.tally.met("a request id with another payload");
        }
        if let Some(sent) = sent {
            let crashed = self.sent[sent].crashed;
            match (repeated.is_some(), self.sent[sent].answered.is_some()) {
                (true, true) if crashed => self
                    .world
                    .tally
                    .met("a request repeated after a crash, answered before"),
                (true, true) => self.world.tally.met("a request repeated after its answer"),
                (true, false) if crashed => self
                    .world
                    .tally
                    .met("a request repeated after a crash, unanswered and kept"),
                (false, false) if crashed => self
                    .world
                    .tally
                    .met("a request repeated after a crash, unanswered and lost"),
                _ => {}
            }
        }
        self.expected.insert(ticket, (vec![expected], sent));
        Ok(())
    }

    /// A repeated request while its first answer cannot be read: that or the answer, never anything else.
    fn take_one_unread(&mut self, submission: &Submission) -> Checked {
        let fault = if self.rng.random_bool(0.5) {
            ReadFault::Error
        } else {
            ReadFault::Short
        };
        self.world.disk.inject_read_after(0, fault);
        let answer = self.world.batching.core.submit(submission, self.clock);
        self.world.disk.heal_reads();
        let before = self.world.model.sequence;
        let expected = self.world.expect(submission, self.clock, false, before)?;
        if answer == Err(Rejection::AnswerUnreadable) {
            self.world
                .tally
                .met("a first answer that could not be read");
            return Ok(());
        }
        answers_are(&[answer], &[expected])
    }

    /// Compares the answers of a durable batch with what they have to be.
    pub(crate) fn deliver(&mut self, answers: Answers) -> Checked {
        for finished in answers {
            let (ticket, answers) = match finished {
                Finished::One(ticket, answer) => (ticket, vec![answer]),
                Finished::Many(ticket, answers) => (ticket, answers),
            };
            let (expected, sent) = self.expected.remove(&ticket).unwrap_or_default();
            answers_are(&answers, &expected)?;
            let Some(sent) = sent.map(|at| &mut self.sent[at]) else {
                continue;
            };
            let (Some(Ok(_)), Some(expected)) = (answers.first(), expected.into_iter().next())
            else {
                continue;
            };
            match &sent.answered {
                Some(first) => {
                    let what = || format!("request {:?} got another answer", sent.stamp);
                    crate::compare::same(what, &expected.told, &first.told)?;
                    crate::compare::same(what, expected.sequence, first.sequence)?;
                }
                None => sent.answered = Some(expected),
            }
        }
        Ok(())
    }

    /// Connections break: nobody waits any more for what was not answered.
    pub(crate) fn connections_break(&mut self) {
        self.interactive.clear();
        self.bulk.clear();
        self.begun = None;
        self.expected.clear();
        self.sent.iter_mut().for_each(|sent| sent.crashed = true);
    }

    /// What was answered after a sequence was declared lost: its clients have to begin anew.
    pub(crate) fn loss_accepted(&mut self, after: u64) {
        self.sent.retain(|sent| {
            sent.answered
                .as_ref()
                .is_none_or(|first| first.sequence.0 <= after)
        });
    }
}
