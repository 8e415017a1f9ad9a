//! Histories of concurrent calls: written down as they happen, and checked for an order that explains every answer
//! (linearizability, by the algorithm of Wing, Gong and Lowe). What stayed open may have happened at any time later, or
//! never.
//!
//! What changes the world is checked as one object, because one call changes several levels or none. Reads are checked level
//! by level: a reader is promised each level, not two of them at one moment.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};

use crate::small_world::{Answered, Cell, Op, Reply, SKUS, STORES, SmallWorld};

/// Calls of one history at most: what can be checked in milliseconds.
pub const CALLS_MAX: usize = 60;

/// A call between two moments; moments are the order in which they were written down.
#[derive(Clone, Debug)]
pub struct Call {
    /// What was asked and answered.
    pub answered: Answered,
    /// Written down before it was sent.
    pub invoked: usize,
    /// Written down after the answer came.
    pub returned: Option<usize>,
}

#[derive(Debug, Default)]
struct Notes {
    calls: Vec<Call>,
    moments: usize,
    /// When the server was killed.
    killed: Option<usize>,
}

/// Writes down calls of many clients.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Notes>);

impl Recorder {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// About to be sent; answers the call's number, which `op` is told. `None`: the history is long enough.
    pub fn invoke(&self, op: impl FnOnce(usize) -> Op) -> Option<(usize, Op)> {
        let mut notes = self.notes();
        let number = notes.calls.len();
        if number == CALLS_MAX {
            return None;
        }
        let op = op(number);
        notes.moments += 1;
        let call = Call {
            answered: Answered {
                op: op.clone(),
                reply: None,
            },
            invoked: notes.moments,
            returned: None,
        };
        notes.calls.push(call);
        Some((number, op))
    }

    /// The answer has come.
    pub fn answer(&self, number: usize, reply: Reply) {
        let mut notes = self.notes();
        notes.moments += 1;
        let now = notes.moments;
        let call = &mut notes.calls[number];
        (call.answered.reply, call.returned) = (Some(reply), Some(now));
    }

    /// Answers so far.
    pub fn answers(&self) -> usize {
        let answered = |call: &&Call| call.returned.is_some();
        self.notes().calls.iter().filter(answered).count()
    }

    /// The server is killed about now; no answer comes from it any more.
    pub fn killed(&self) {
        let mut notes = self.notes();
        notes.moments += 1;
        notes.killed = Some(notes.moments);
    }

    /// The history. A read may have shown a change that the kill took away before it was durable, and nobody was promised
    /// it: where no change that was asked for after the read was acknowledged before the kill, the read is left out.
    pub fn history(&self) -> Vec<Call> {
        let notes = self.notes();
        let settled = notes.killed.map(|killed| {
            let acknowledged = notes.calls.iter().filter(|call| {
                !is_read(call) && call.returned.is_some_and(|returned| returned < killed)
            });
            let last = acknowledged.map(|call| call.invoked).max().unwrap_or(0);
            (killed, last)
        });
        let counts = |call: &&Call| match (settled, call.returned) {
            (Some((killed, last)), Some(returned)) => {
                !is_read(call) || returned < last || returned > killed
            }
            // A read without an answer says nothing.
            (_, None) => !is_read(call),
            _ => true,
        };
        notes.calls.iter().filter(counts).cloned().collect()
    }
}

fn is_read(call: &Call) -> bool {
    matches!(call.answered.op, Op::Read { .. })
}

/// A history that no order explains.
#[derive(Debug)]
pub struct Violation {
    /// What was looked at: the world, or one level.
    pub of: String,
    /// The calls, in the order they were sent.
    pub calls: String,
}

/// Looks for an order that explains the history.
///
/// # Errors
/// [`Violation`] where there is none.
pub fn check(history: &[Call]) -> Result<(), Violation> {
    let changes: Vec<Call> = history.iter().filter(|c| !is_read(c)).cloned().collect();
    judge("all changes".to_owned(), changes)?;
    for cell in (0..STORES).flat_map(|store| (0..SKUS).map(move |sku| (store, sku))) {
        judge(format!("the level {cell:?}"), of_cell(history, cell))?;
    }
    Ok(())
}

fn judge(of: String, calls: Vec<Call>) -> Result<(), Violation> {
    match linearizable(&calls) {
        true => Ok(()),
        false => Err(Violation {
            of,
            calls: told(&calls),
        }),
    }
}

/// Whether some order explains the calls.
pub fn linearizable(calls: &[Call]) -> bool {
    if calls.is_empty() {
        return true;
    }
    let mut moments = Vec::new();
    for (process, call) in calls.iter().enumerate() {
        let answered = || call.answered.clone();
        moments.push((call.invoked, (process, Action::Call(answered()))));
        // An open call ends after everything, where it has no effect that anybody saw: as if it had never happened.
        let returned = call.returned.unwrap_or(usize::MAX);
        moments.push((returned, (process, Action::Response(answered()))));
    }
    moments.sort_by_key(|(moment, (process, _))| (*moment, *process));
    let actions = moments.into_iter().map(|(_, action)| action).collect();
    WGLChecker::<SmallWorld>::is_linearizable(History::from_actions(actions))
}

/// What the history says about one level: calls that leave it alone are left out, others cut down to it.
fn of_cell(history: &[Call], cell: Cell) -> Vec<Call> {
    let mut holds = BTreeSet::new();
    let mut calls = Vec::new();
    for call in history {
        let mut call = call.clone();
        let Answered { op, reply } = &mut call.answered;
        let concerned = match op {
            Op::Reserve { hold, store, lines } => {
                lines.retain(|(sku, _)| *sku == cell.1);
                let at = match reply {
                    Some(Reply::Held(at)) => Some(*at),
                    Some(_) => None,
                    None => *store,
                };
                let here = at == Some(cell.0) && !lines.is_empty();
                if here {
                    holds.insert(*hold);
                }
                here
            }
            Op::Confirm { hold } => *reply != Some(Reply::Ended) && holds.contains(hold),
            Op::Release { hold } => holds.contains(hold),
            Op::Adjust { cell: at, .. } | Op::Count { cell: at, .. } | Op::Read { cell: at } => {
                *at == cell
            }
        };
        if concerned {
            calls.push(call);
        }
    }
    calls
}

/// The calls as lines of text.
pub fn told(calls: &[Call]) -> String {
    let mut text = String::new();
    for call in calls {
        let Answered { op, reply } = &call.answered;
        let returned = call.returned.map_or("open".to_owned(), |at| at.to_string());
        // Writing to a string never fails.
        let _ = match reply {
            Some(reply) => writeln!(
                text,
                "{:>4} – {returned:>4}  {op:?} -> {reply:?}",
                call.invoked
            ),
            None => writeln!(text, "{:>4} – {returned:>4}  {op:?}", call.invoked),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_world::Level;

    fn call(op: Op, reply: Option<Reply>, invoked: usize, returned: usize) -> Call {
        Call {
            returned: reply.is_some().then_some(returned),
            answered: Answered { op, reply },
            invoked,
        }
    }

    fn level(on_hand: i64, reserved: i64) -> Option<Reply> {
        Some(Reply::Level(Level {
            on_hand,
            reserved,
            committed: 0,
        }))
    }

    fn adjust(delta: i64) -> Op {
        Op::Adjust {
            cell: (0, 0),
            delta,
        }
    }

    fn read() -> Op {
        Op::Read { cell: (0, 0) }
    }

    fn reserve(hold: usize) -> Op {
        Op::Reserve {
            hold,
            store: Some(0),
            lines: vec![(0, 1)],
        }
    }

    fn sound(history: &[Call]) -> bool {
        check(history).is_ok()
    }

    #[test]
    fn answers_in_the_order_of_time_are_sound_and_a_stale_one_is_not() {
        let first = call(adjust(2), level(2, 0), 1, 2);
        let second = call(adjust(3), level(5, 0), 3, 4);
        let seen = |on_hand, invoked| call(read(), level(on_hand, 0), invoked, 9);
        assert!(sound(&[first.clone(), second.clone(), seen(5, 5)]));
        assert!(
            sound(&[first.clone(), second.clone(), seen(2, 3)]),
            "at the same time"
        );
        assert!(
            !sound(&[first.clone(), second.clone(), seen(2, 5)]),
            "too late"
        );
        assert!(!sound(&[first, second, seen(4, 1)]), "never was");
    }

    #[test]
    fn an_open_call_may_or_may_not_have_happened_but_not_both() {
        let open = call(adjust(2), None, 1, 0);
        let seen = |on_hand, at| call(read(), level(on_hand, 0), at, at + 1);
        let moved = |on_hand, at| call(adjust(1), level(on_hand, 0), at, at + 1);
        assert!(sound(&[open.clone(), seen(0, 2), seen(2, 4)]));
        assert!(!sound(&[open.clone(), seen(2, 2), seen(0, 4)]));
        assert!(sound(&[open.clone(), moved(1, 2), moved(2, 4)]), "never");
        assert!(
            sound(&[open.clone(), moved(1, 2), moved(4, 4)]),
            "in between"
        );
        assert!(!sound(&[open, moved(3, 2), moved(2, 4)]));
    }

    #[test]
    fn the_last_piece_is_held_once() {
        let stock = call(adjust(1), level(1, 0), 1, 2);
        let held = |hold, reply, at| call(reserve(hold), Some(reply), at, at + 3);
        let (yes, no) = (Reply::Held(0), Reply::NotHeld);
        assert!(sound(&[
            stock.clone(),
            held(1, yes.clone(), 3),
            held(2, no.clone(), 4)
        ]));
        assert!(!sound(&[
            stock.clone(),
            held(1, yes.clone(), 3),
            held(2, yes, 4)
        ]));
        assert!(
            !sound(&[stock, held(1, no, 3)]),
            "refused although it was there"
        );
    }

    #[test]
    fn all_lines_are_held_or_none() {
        let both = Op::Reserve {
            hold: 1,
            store: Some(0),
            lines: vec![(0, 1), (1, 1)],
        };
        let stock = call(adjust(1), level(1, 0), 1, 2);
        let seen = |reserved| call(adjust(1), level(2, reserved), 5, 6);
        let refused = call(both, Some(Reply::NotHeld), 3, 4);
        assert!(sound(&[stock.clone(), refused.clone(), seen(0)]));
        assert!(!sound(&[stock, refused, seen(1)]), "half of it is held");
    }

    #[test]
    fn a_read_that_only_a_lost_change_explains_is_left_out_and_others_are_kept() {
        let recorder = Recorder::default();
        let sent = |op: Op| recorder.invoke(|_| op).map_or(0, |(number, _)| number);
        let early = sent(read());
        recorder.answer(early, Reply::Level(Level::default()));
        let change = sent(adjust(1));
        recorder.answer(change, Reply::Level(Level::default()));
        let late = sent(read());
        recorder.answer(late, Reply::Level(Level::default()));
        sent(adjust(1));
        recorder.killed();
        let after = sent(read());
        recorder.answer(after, Reply::Level(Level::default()));
        let reads = recorder.history().iter().filter(|c| is_read(c)).count();
        assert_eq!(reads, 2, "the early one and the one after the start");
    }
}
