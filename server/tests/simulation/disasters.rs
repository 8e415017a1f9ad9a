//! What can happen to the disk and the process at a batch, and what has to be found at the next start: everything
//! acknowledged, nothing in halves, or a refusal by name.

use rand::RngExt as _;
use rand::rngs::StdRng;
use tillside_engine::state::lock;
use tillside_store::faulty::{Damage, Fault, FaultKind, FaultyDisk, MarkDamage, ReadFault};
use tillside_store::{LogError, OpenError, Table, state_digest};

use crate::Checked;
use crate::compare::same;
use crate::schedule::Schedule;
use crate::world::{Found, look_at};

/// A disaster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disaster {
    /// A write fails in one of its ways.
    Write(Fault),
    /// Power is lost after this batch's answers.
    AfterTheBatch,
    /// Power is lost while the batch is being filled.
    WithinTheBatch,
    /// The disk says that it synced and did not, for some batches; then power is lost.
    Lie { batches: usize },
    /// Power is lost, and a row rots.
    Rot(Damage),
    /// Power is lost, and the mark is damaged.
    Mark(MarkDamage),
    /// Power is lost, and a read at the start fails.
    Read(ReadFault),
    /// The server is started again with everything in order, and checked bit for bit.
    Restart,
}

impl Disaster {
    pub(crate) fn any(rng: &mut StdRng) -> Self {
        match rng.random_range(0..20) {
            0 => Disaster::Write(Fault::FailAppend),
            1 | 2 => Disaster::Write(Fault::FailSync { kept: true }),
            3 | 4 => Disaster::Write(Fault::FailSync { kept: false }),
            5 => Disaster::Write(Fault::FailSyncPart {
                changes: rng.random_range(1..12),
            }),
            6 => Disaster::Write(Fault::FullDisk),
            7..9 => Disaster::AfterTheBatch,
            9..11 => Disaster::WithinTheBatch,
            11 | 12 => Disaster::Lie {
                batches: rng.random_range(1..5),
            },
            13 => Disaster::Rot(Damage::Torn {
                bytes: rng.random_range(0..30),
            }),
            14 => Disaster::Rot(Damage::FlippedBit {
                bit: rng.random_range(0..4000),
            }),
            15 => Disaster::Rot(Damage::Dropped),
            16 => Disaster::Rot(Damage::Version(rng.random_range(2..9))),
            17 => Disaster::Mark(
                [
                    MarkDamage::Lost,
                    MarkDamage::Older,
                    MarkDamage::Torn,
                    MarkDamage::Unreadable,
                ][rng.random_range(0..4)],
            ),
            18 => {
                let fault = if rng.random_bool(0.5) {
                    ReadFault::Error
                } else {
                    ReadFault::Short
                };
                Disaster::Read(fault)
            }
            _ => Disaster::Restart,
        }
    }

    /// Before the batch is filled.
    pub(crate) fn prepare(self, schedule: &mut Schedule) {
        if let Disaster::Write(fault) = self {
            schedule.backup = Some(schedule.world.disk.copy());
            schedule.world.disk.inject_after(0, fault);
        }
    }

    /// After the batch is filled, in place of its commit.
    pub(crate) fn strike(self, schedule: &mut Schedule) -> Checked {
        match self {
            Disaster::Write(fault) => failed_write(schedule, fault),
            Disaster::AfterTheBatch => {
                settle(schedule)?;
                schedule.world.tally.met("power lost between two batches");
                let mark_kept = schedule.rng.random_bool(0.5);
                recover(schedule, mark_kept)
            }
            Disaster::WithinTheBatch => {
                schedule.world.tally.met("power lost within a batch");
                recover(schedule, true)
            }
            Disaster::Lie { batches } => lie(schedule, batches),
            Disaster::Rot(damage) => rot(schedule, damage),
            Disaster::Mark(damage) => mark(schedule, damage),
            Disaster::Read(fault) => read(schedule, fault),
            Disaster::Restart => {
                settle(schedule)?;
                schedule.connections_break();
                schedule.world.digests_agree()
            }
        }
        .map_err(|e| format!("{self:?}: {e}"))
    }
}

/// Commits the batch and delivers its answers.
fn settle(schedule: &mut Schedule) -> Checked {
    let answers = schedule.world.commit().map_err(|e| e.to_string())?;
    schedule.deliver(answers)
}

/// Loses power and starts: exactly what was acknowledged is there.
fn recover(schedule: &mut Schedule, mark_kept: bool) -> Checked {
    let durable = schedule.world.durable.clone();
    schedule.world.lose_power(0, mark_kept);
    schedule.connections_break();
    while schedule.rng.random_ratio(1, 3) {
        schedule.world.start_half()?;
    }
    schedule.world.start_as(durable)
}

/// Loses power while a batch is written and the next one decided: it is there as a whole or not at all, the next one is
/// gone.
pub(crate) fn power_lost_beside_a_write(schedule: &mut Schedule) -> Checked {
    if schedule.rng.random_bool(0.5) {
        schedule.world.write_unheard();
        schedule
            .world
            .tally
            .met("power lost beside a write that was done");
    } else {
        schedule
            .world
            .tally
            .met("power lost beside a write that was not");
    }
    recover(schedule, true)
}

fn failed_write(schedule: &mut Schedule, fault: Fault) -> Checked {
    let wrote = schedule.world.batching.core.batch_records() > 0;
    // What the write would leave behind, where the next batch is decided beside it.
    let mut closed = None;
    if wrote && schedule.rng.random_bool(0.5) {
        closed = Some(schedule.world.model.clone());
        schedule.world.begin_write();
        schedule.write_fails = true;
        schedule.clients_send();
        let filled = schedule.fill();
        schedule.write_fails = false;
        filled?;
        schedule
            .world
            .tally
            .met("a failed write beside which the next batch was decided");
    }
    let failed = match closed {
        Some(_) => schedule.world.end_write(),
        None => schedule.world.commit(),
    };
    if !wrote {
        schedule.world.disk.heal();
        let answers = failed.map_err(|e| format!("nothing was written: {e}"))?;
        return schedule.deliver(answers);
    }
    match failed {
        Err(LogError::Write { .. }) => {}
        Err(other) => return Err(format!("another error: {other}")),
        Ok(_) => return Err("a failed write was acknowledged".to_owned()),
    }
    // Nothing more is written, and readers go on with what is in memory.
    match schedule.world.commit() {
        Err(LogError::Stopped) => {}
        other => {
            return Err(format!(
                "writing went on: {:?}",
                other.map(|answers| answers.len())
            ));
        }
    }
    // Of the batch that failed; memory may be ahead of that.
    let digest = closed
        .is_none()
        .then(|| state_digest(&schedule.world.state()));
    let ahead = closed.unwrap_or_else(|| schedule.world.model.clone());
    let durable = schedule.world.durable.clone();
    schedule.world.lose_power(0, true);
    schedule.connections_break();
    match fault {
        Fault::FailSync { kept: true } => {
            schedule
                .world
                .tally
                .met("a failed write whose batch survived");
            schedule.world.start_as(ahead)?;
            let found = state_digest(&schedule.world.state());
            digest.map_or(Ok(()), |digest| {
                same(|| "the batch that survived".to_owned(), found, digest)
            })
        }
        Fault::FailSyncPart { .. } => {
            match schedule.world.start(None) {
                Err(OpenError::Store(_)) => {}
                Err(other) => return Err(format!("refused as {other}")),
                Ok(()) => return Err("a batch in halves went by".to_owned()),
            }
            let backup = schedule.backup.take().ok_or("no backup")?;
            schedule.world.disk.restore(&backup);
            schedule.world.start_as(durable)
        }
        Fault::FullDisk => {
            // Still full: a start reads, and the first write ends it.
            schedule.world.start_as(durable.clone())?;
            schedule.clients_send();
            schedule.fill()?;
            if schedule.world.batching.core.batch_records() > 0 {
                if !matches!(schedule.world.commit(), Err(LogError::Write { .. })) {
                    return Err("a full disk took a batch".to_owned());
                }
                schedule.world.lose_power(0, true);
                schedule.connections_break();
                schedule.world.disk.make_room();
                schedule.world.start_as(durable)?;
            }
            schedule.world.disk.make_room();
            settle(schedule)?;
            schedule.quiet_batch()?;
            schedule
                .world
                .tally
                .met("writing went on with room on the disk");
            Ok(())
        }
        Fault::FailAppend | Fault::FailSync { kept: false } => {
            schedule
                .world
                .tally
                .met("a failed write whose batch is gone");
            schedule.world.start_as(durable)
        }
    }
}

fn lie(schedule: &mut Schedule, batches: usize) -> Checked {
    settle(schedule)?;
    let mut history = vec![schedule.world.durable.clone()];
    schedule.world.disk.lie_about_syncs(true);
    for _ in 0..batches {
        schedule.quiet_batch()?;
        history.push(schedule.world.durable.clone());
    }
    // A batch without changes writes nothing.
    history.dedup_by_key(|model| model.sequence);
    let unsynced = schedule.world.disk.unsynced();
    let kept = schedule.rng.random_range(0..=unsynced);
    schedule.world.lose_power(kept, true);
    schedule.world.disk.lie_about_syncs(false);
    schedule.connections_break();
    let last = schedule.world.durable.sequence.0;
    let Some(left) = history.get(kept).cloned() else {
        return Err(format!(
            "{} batches but {unsynced} of them not synced",
            history.len() - 1
        ));
    };
    if kept == unsynced {
        return schedule.world.start_as(left);
    }
    let end = left.sequence.0;
    match schedule.world.start(None) {
        Err(OpenError::LogEndsEarly {
            log_end,
            acknowledged,
            ..
        }) => {
            same(
                || "where the log ends".to_owned(),
                (log_end, acknowledged),
                (end, last),
            )?;
        }
        Err(other) => return Err(format!("refused as {other}")),
        Ok(()) => return Err("a lost tail went by".to_owned()),
    }
    schedule.world.tally.met("a lost tail refused");
    if schedule.world.start(Some(end + 1)).is_ok() {
        return Err("more was lost than was accepted".to_owned());
    }
    schedule
        .world
        .start(Some(end))
        .map_err(|e| format!("the loss is accepted: {e}"))?;
    schedule.loss_accepted(end);
    schedule.world.tally.met("a lost tail accepted");
    schedule.world.is(left)
}

/// Settles the batch, and loses power.
fn power_lost(schedule: &mut Schedule) -> Checked {
    settle(schedule)?;
    schedule.world.lose_power(0, true);
    schedule.connections_break();
    Ok(())
}

fn rot(schedule: &mut Schedule, damage: Damage) -> Checked {
    settle(schedule)?;
    let window = lock(&schedule.world.state().requests).start();
    power_lost(schedule)?;
    // The healthy disk is the backup that the operator restores.
    let sick = schedule.world.disk.copy();
    // Answers from before the window count for nothing, whatever becomes of their rows.
    let rows = |table: Table| {
        let mut keys = sick.keys(table);
        keys.retain(|key| {
            table != Table::AnsweredRequests || key.as_slice() >= &window.0.to_be_bytes()[..]
        });
        keys
    };
    let tables: Vec<Table> = Table::ALL
        .into_iter()
        .filter(|table| !rows(*table).is_empty())
        .collect();
    if !tables.is_empty() {
        let table = tables[schedule.rng.random_range(0..tables.len())];
        let keys = rows(table);
        let key = &keys[schedule.rng.random_range(0..keys.len())];
        if sick.damage(table, Some(key), damage) {
            schedule.world.tally.faults(sick.met());
            schedule.world.tally.met(match look_at(&sick) {
                Found::Refused(OpenError::Store(_)) => "damage refused at the start",
                Found::Refused(other) => {
                    return Err(format!("{table:?} {key:?} refused as {other}"));
                }
                Found::ByReplaying if damage == Damage::Dropped => "damage found by replaying",
                Found::ByReplaying => {
                    return Err(format!("{table:?} {key:?} went by at the start"));
                }
                Found::Nothing => return Err(format!("{table:?} {key:?} went by")),
            });
        }
    }
    let durable = schedule.world.durable.clone();
    schedule.world.start_as(durable)
}

fn mark(schedule: &mut Schedule, damage: MarkDamage) -> Checked {
    power_lost(schedule)?;
    let durable = schedule.world.durable.clone();
    let sick = schedule.world.disk.copy();
    if sick.damage_mark(damage) {
        schedule.world.tally.faults(sick.met());
        let unusable = matches!(damage, MarkDamage::Lost | MarkDamage::Unreadable);
        match (look_at(&sick), unusable) {
            (Found::Refused(OpenError::MarkUnusable { .. }), true) => {}
            // Where nothing was ever acknowledged, a mark that is not there says so.
            (Found::Nothing, true) if durable.sequence.0 == 0 => {}
            (Found::Nothing, true) => return Err("a start without its mark went by".to_owned()),
            // Torn on a disk that was never written to: there is no mark before it.
            (Found::Refused(OpenError::MarkUnusable { .. }), false) if durable.sequence.0 == 0 => {}
            (Found::Nothing, false) => {}
            (Found::Refused(other), _) => return Err(format!("refused as {other}")),
            (Found::ByReplaying, _) => return Err("the mark changed the tables".to_owned()),
        }
    }
    schedule.world.start_as(durable)
}

fn read(schedule: &mut Schedule, fault: ReadFault) -> Checked {
    power_lost(schedule)?;
    let durable = schedule.world.durable.clone();
    let reads = 2 * durable.sequence.0 as usize + 50;
    let met = |disk: &FaultyDisk| {
        disk.met().get(&FaultKind::ReadError).copied().unwrap_or(0)
            + disk.met().get(&FaultKind::ShortRead).copied().unwrap_or(0)
    };
    let before = met(&schedule.world.disk);
    schedule
        .world
        .disk
        .inject_read_after(schedule.rng.random_range(0..reads), fault);
    let started = schedule.world.start(None);
    schedule.world.disk.heal();
    let was_met = met(&schedule.world.disk) > before;
    match started {
        Ok(()) if was_met => return Err("a read that failed went by".to_owned()),
        Err(OpenError::Store(_)) if was_met => {}
        Err(other) => return Err(format!("refused as {other}")),
        // More reads were healthy than there are.
        Ok(()) => return schedule.world.is(durable),
    }
    schedule.world.start_as(durable)
}
