//! What was measured, by kind of call. Latencies are kept in histograms of three significant digits, from a microsecond to a
//! minute; longer ones count as a minute.

use crate::workload::Op;
use hdrhistogram::Histogram;
use std::{collections::BTreeMap, time::Duration};

const NANOSECONDS_MAX: u64 = 60_000_000_000;
/// Reasons that are told apart; more are counted together.
const REASONS_MAX: usize = 32;

/// A histogram with the bounds above.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, NANOSECONDS_MAX, 3).expect("constant bounds, and valid ones")
}

/// Records a time.
pub(crate) fn record(histogram: &mut Histogram<u64>, time: Duration) {
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    histogram.saturating_record(nanoseconds.min(NANOSECONDS_MAX));
}

/// One kind of call.
#[derive(Debug, Clone)]
pub(crate) struct OpTally {
    /// From the time it was due to the end of the answer.
    pub(crate) latency: Histogram<u64>,
    /// The server's own time.
    pub(crate) server: Histogram<u64>,
    /// Errors by reason.
    pub(crate) errors: BTreeMap<String, u64>,
}

/// Everything one generator measured.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    ops: Vec<Option<OpTally>>,
    /// How late requests were sent.
    pub(crate) lateness: Histogram<u64>,
    /// How many requests had to wait because too many were under way.
    pub(crate) bound_hit: u64,
    /// How many answers were outstanding, or requests not even sent, when the run was over.
    pub(crate) unanswered: u64,
    /// When the last measured answer came, after the start.
    pub(crate) last_answer: Duration,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            ops: vec![None; Op::ALL.len()],
            lateness: histogram(),
            bound_hit: 0,
            unanswered: 0,
            last_answer: Duration::ZERO,
        }
    }

    fn op(&mut self, op: Op) -> &mut OpTally {
        self.ops[op as usize].get_or_insert_with(|| OpTally {
            latency: histogram(),
            server: histogram(),
            errors: BTreeMap::new(),
        })
    }

    /// A call that succeeded.
    pub(crate) fn answered(&mut self, op: Op, latency: Duration, server_time_us: Option<u64>) {
        let tally = self.op(op);
        record(&mut tally.latency, latency);
        if let Some(us) = server_time_us {
            record(&mut tally.server, Duration::from_micros(us));
        }
    }

    /// A call that did not.
    pub(crate) fn failed(&mut self, op: Op, reason: String) {
        let errors = &mut self.op(op).errors;
        let full = errors.len() >= REASONS_MAX && !errors.contains_key(&reason);
        *errors
            .entry(if full { "OTHER".to_owned() } else { reason })
            .or_default() += 1;
    }

    /// The kinds of calls that were made.
    pub(crate) fn ops(&self) -> impl Iterator<Item = (Op, &OpTally)> {
        Op::ALL
            .into_iter()
            .zip(&self.ops)
            .filter_map(|(op, tally)| tally.as_ref().map(|tally| (op, tally)))
    }

    /// Answers without an error.
    pub(crate) fn answers(&self) -> u64 {
        self.ops().map(|(_, tally)| tally.latency.len()).sum()
    }

    /// Adds what another generator measured.
    pub(crate) fn merge(&mut self, other: &Tally) {
        for (op, theirs) in other.ops() {
            let ours = self.op(op);
            // Same bounds everywhere, so nothing can be lost.
            let _ = ours.latency.add(&theirs.latency);
            let _ = ours.server.add(&theirs.server);
            for (reason, count) in &theirs.errors {
                *ours.errors.entry(reason.clone()).or_default() += count;
            }
        }
        let _ = self.lateness.add(&other.lateness);
        self.bound_hit += other.bound_hit;
        self.unanswered += other.unanswered;
        self.last_answer = self.last_answer.max(other.last_answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_of_several_generators_add_up() {
        let mut all = Tally::new();
        for generator in 0..3_u64 {
            let mut tally = Tally::new();
            tally.answered(
                Op::Plan,
                Duration::from_micros(100 * (generator + 1)),
                Some(7),
            );
            tally.failed(Op::Plan, "INSUFFICIENT_STOCK".to_owned());
            tally.bound_hit = 1;
            all.merge(&tally);
        }
        let (op, plan) = all.ops().next().expect("plans");
        assert_eq!(
            (op, plan.latency.len(), all.answers(), all.bound_hit),
            (Op::Plan, 3, 3, 3)
        );
        assert_eq!(plan.errors["INSUFFICIENT_STOCK"], 3);
        assert!((299_000..301_000).contains(&plan.latency.max()));
    }

    #[test]
    fn times_beyond_the_bounds_count_as_the_bound() {
        let mut tally = Tally::new();
        tally.answered(Op::Plan, Duration::from_secs(1000), None);
        let (_, plan) = tally.ops().next().expect("plans");
        assert!(plan.latency.max() >= 59_000_000_000);
    }
}
