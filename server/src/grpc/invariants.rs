//! CheckInvariants: the whole state is looked at while it changes, and only what three looks in a row find something about is
//! decided by a look while nothing does. So a sound server is never held up, and an answer is never a change seen half done.
//! The ledgers are added up from a snapshot of what is on disk.

use std::sync::Arc;
use std::time::Instant;

use tillside_engine::invariants::{Findings, look};
use tillside_proto::v1;
use tillside_store::StoreError;
use tonic::Status;

use crate::app::App;
use crate::errors;

/// Looks before everybody is made to wait for one.
const LOOKS: usize = 3;
/// Violations told at most.
const VIOLATIONS_MAX: usize = 100;

/// Runs the check; one at a time.
pub(super) async fn check(
    app: &Arc<App>,
    skip_ledger: bool,
) -> Result<v1::CheckInvariantsResponse, Status> {
    let busy = app.checking.acquire().await;
    let _busy = busy.map_err(|_| errors::defect("the bound on checks is closed"))?;
    let started = Instant::now();
    let sequence = app.state.snapshot_sequence();
    let found = look_at_state(app).await?;
    let mut count = found.len();
    let mut violations = found.into_told();
    let mut records_checked = 0;
    if !skip_ledger {
        let log = app.log.clone();
        let audit = aside(move || log.audit()).await?;
        let (audit, _) = audit.map_err(|error| unreadable(&error))?;
        count += usize::try_from(audit.violations_count).unwrap_or(usize::MAX);
        violations.extend(audit.violations.iter().map(ToString::to_string));
        violations.truncate(VIOLATIONS_MAX);
        records_checked = audit.records;
    }
    let outcome = if count == 0 { "clean" } else { "violated" };
    metrics::counter!("tillside_invariant_checks_total", "outcome" => outcome).increment(1);
    if let Some(first) = violations.first() {
        tracing::error!(
            count,
            first,
            "the state breaks invariants: this is a defect of the server"
        );
    }
    let took = started.elapsed();
    Ok(v1::CheckInvariantsResponse {
        violations,
        violations_count: count as i64,
        sequence: sequence.0,
        levels_checked: app.state.stock.len() as i64,
        reservations_checked: app.state.reservations.len() as i64,
        records_checked: records_checked as i64,
        took: Some(prost_types::Duration {
            seconds: took.as_secs() as i64,
            nanos: took.subsec_nanos() as i32,
        }),
    })
}

async fn look_at_state(app: &Arc<App>) -> Result<Findings, Status> {
    let mut found: Option<Findings> = None;
    for _ in 0..LOOKS {
        let (looking, before) = (Arc::clone(app), found.take());
        let now = aside(move || look(&looking.state, before.as_ref())).await?;
        if now.is_empty() {
            return Ok(now);
        }
        found = Some(now);
        // Whatever was under way then is over after it.
        app.sequencer.barrier().await?;
    }
    Ok(app
        .sequencer
        .inspect(move |state| look(state, found.as_ref()))
        .await?)
}

/// Work that takes long does not hold up a runtime.
async fn aside<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| errors::defect("checking the invariants panicked"))
}

fn unreadable(error: &StoreError) -> Status {
    tracing::error!(%error, "the ledgers cannot be read");
    errors::ledger_unreadable(error)
}
