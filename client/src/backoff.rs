//! How long to wait before the next attempt. It decides nothing but durations.

use crate::config::RetryPolicy;
use std::time::Duration;

/// The wait before retry number `retry` (1 is the first). `jitter` in 0..1 spreads clients that failed together: the wait
/// is between half and the whole of the exponential step, and never shorter than what the server asked for.
pub(crate) fn wait(
    policy: &RetryPolicy,
    retry: u32,
    asked: Option<Duration>,
    jitter: f64,
) -> Duration {
    let doublings = retry.saturating_sub(1).min(20);
    let step = policy
        .backoff_first
        .saturating_mul(1 << doublings)
        .min(policy.backoff_max);
    let own = step.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
    match asked {
        // A server that is asked again by everybody at the same instant is overloaded again, hence the jitter on top.
        Some(asked) => asked + own.min(asked / 2 + Duration::from_millis(1)),
        None => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(retry: u32, asked_ms: Option<u64>, jitter: f64, expect_ms: u64) {
        let policy = RetryPolicy::default();
        let got = wait(&policy, retry, asked_ms.map(Duration::from_millis), jitter);
        assert_eq!(
            got.as_millis() as u64,
            expect_ms,
            "retry {retry}, asked {asked_ms:?}, jitter {jitter}"
        );
    }

    #[test]
    fn waits_double_up_to_the_maximum_and_honour_the_server() {
        check(1, None, 1.0, 20);
        check(1, None, 0.0, 10);
        check(3, None, 1.0, 80);
        check(40, None, 1.0, 1000);
        check(1, Some(100), 0.0, 110);
        check(10, Some(100), 1.0, 151);
    }
}
