//! When requests are due. The schedule is made from the seed alone, before and apart from what the server does: that is
//! what makes the loop open.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use std::time::Duration;

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Process {
    /// At even distances
    Fixed,
    /// At random, as independent tills do
    Poisson,
}

/// Rising times after the start, never ending.
#[derive(Debug)]
pub(crate) struct Arrivals {
    process: Process,
    gap_seconds: f64,
    next_seconds: f64,
    generator: ChaCha8Rng,
}

impl Arrivals {
    /// The share of generator `index` of `count`, each with `rate` / `count` requests a second. Fixed schedules interleave;
    /// random ones are independent, and add up to a random one of the whole rate.
    pub(crate) fn new(process: Process, rate: f64, seed: u64, index: usize, count: usize) -> Self {
        let gap_seconds = count as f64 / rate;
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(index as u64 + 1);
        let mut this = Self {
            process,
            gap_seconds,
            next_seconds: index as f64 / rate,
            generator,
        };
        if process == Process::Poisson {
            this.next_seconds = this.gap();
        }
        this
    }

    fn gap(&mut self) -> f64 {
        match self.process {
            Process::Fixed => self.gap_seconds,
            Process::Poisson => {
                let unit = f64::from(self.generator.next_u32()) / 4_294_967_296.0;
                -(1.0 - unit).ln() * self.gap_seconds
            }
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let due = Duration::from_secs_f64(self.next_seconds);
        self.next_seconds += self.gap();
        Some(due)
    }
}

/// The first tick at or after `due`.
pub(crate) fn tick_of(due: Duration, tick: Duration) -> Duration {
    let ticks = due.as_nanos().div_ceil(tick.as_nanos().max(1));
    Duration::from_nanos(u64::try_from(ticks * tick.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due_within_a_second(process: Process, seed: u64) -> Vec<Duration> {
        let all = (0..2).flat_map(|index| {
            Arrivals::new(process, 10_000.0, seed, index, 2)
                .take_while(|due| *due < Duration::from_secs(1))
                .collect::<Vec<_>>()
        });
        all.collect()
    }

    #[test]
    fn the_rate_is_kept_and_the_seed_decides() {
        assert_eq!(due_within_a_second(Process::Fixed, 1).len(), 10_000);
        let poisson = due_within_a_second(Process::Poisson, 1);
        assert!(
            (9_600..10_400).contains(&poisson.len()),
            "{}",
            poisson.len()
        );
        assert_eq!(poisson, due_within_a_second(Process::Poisson, 1));
        assert_ne!(poisson, due_within_a_second(Process::Poisson, 2));
    }

    #[test]
    fn ticks_never_come_before_what_is_due() {
        let tick = Duration::from_millis(1);
        let micros = Duration::from_micros;
        assert_eq!(tick_of(micros(0), tick), micros(0));
        assert_eq!(tick_of(micros(1), tick), micros(1000));
        assert_eq!(tick_of(micros(1000), tick), micros(1000));
        assert_eq!(tick_of(micros(1001), tick), micros(2000));
    }
}
