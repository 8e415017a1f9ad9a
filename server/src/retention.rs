//! The thread that folds the log's oldest records away once they are older than `log_retention`. It goes by the log's own
//! time, works in small steps and rests between them; how a fold survives a kill is the store's matter.

use std::sync::Arc;
use std::time::Duration;

use tillside_engine::ids::Sequence;
use tillside_engine::state::{State, lock};
use tillside_engine::units::{DAY_MS, Time};
use tillside_store::retention::{FoldError, first_kept};
use tillside_store::{Folder, fold_before};

use crate::background::{Background, Pace};

/// How often it looks whether something is old enough.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Rest after each small step: folding takes a part of one core, at the lowest priority.
const STEP_REST: Duration = Duration::from_millis(4);
/// Records wait this part of the retention longer, a day at most, so that a fold has something to do.
const SLACK_PART: i64 = 24;

/// Starts the thread. Records older than `keep_ms` milliseconds are folded.
///
/// # Errors
/// Where no thread can be started.
pub fn start(
    folder: Box<dyn Folder>,
    state: Arc<State>,
    keep_ms: i64,
) -> std::io::Result<Background> {
    Background::start("retention", move |pace: &Pace| {
        let mut due = None;
        while pace.rest(LOOK_EVERY) {
            let now = state.counters().now;
            let folded = match due {
                Some(due) if now < due => continue,
                _ => fold(&*folder, &state, keep_ms, pace),
            };
            match folded {
                Ok(next) => due = Some(next),
                Err(error) => {
                    // Nothing is lost by waiting for a person: the log grows, and the disk's room is watched.
                    metrics::counter!("tillside_fold_failures_total").increment(1);
                    tracing::error!(%error, "old records could not be folded away; the log grows until the next start");
                    return;
                }
            }
        }
    })
}

/// Folds what is due; answers when to look again, by the log's time.
fn fold(folder: &dyn Folder, state: &State, keep_ms: i64, pace: &Pace) -> Result<Time, FoldError> {
    let now = state.counters().now;
    let slack = (keep_ms / SLACK_PART).min(DAY_MS);
    let again = now.plus_ms(slack.max(1));
    // What is only just old enough waits until there is more of it.
    if first_kept(folder, now, keep_ms.saturating_add(slack))?.is_none() {
        return Ok(again);
    }
    let Some(before) = first_kept(folder, now, keep_ms)? else {
        return Ok(again);
    };
    // A request that is remembered longer than it has to be still finds its answer in the log.
    let answered = lock(&state.requests).oldest();
    let before = answered.map_or(before, |oldest| oldest.sequence.min(before));
    let folded = fold_before(folder, before, &mut || pace.rest(STEP_REST))?;
    metrics::counter!("tillside_folded_records_total").increment(folded.records);
    let Sequence(first) = before;
    tracing::info!(
        records = folded.records,
        openings = folded.openings,
        first,
        complete = folded.complete,
        "old records of the log are folded into opening balances"
    );
    Ok(again)
}
