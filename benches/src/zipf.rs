//! Who comes how often: a few customers often, most of them seldom.

use crate::world::Numbers;

/// Draws ranks below a bound, each with a probability in proportion to rank^-exponent (Gray et al., SIGMOD 1994, as
/// YCSB does). Exact for the first two ranks, an approximation for the rest.
#[derive(Clone, Debug)]
pub struct Zipf {
    bound: u64,
    exponent: f64,
    alpha: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    /// Ranks below `bound`, which is at least 2; `exponent` is above 0 and below 1.
    pub fn new(bound: u64, exponent: f64) -> Self {
        let bound = bound.max(2);
        let sum = |n: u64| (1..=n).map(|i| (i as f64).powf(-exponent)).sum::<f64>();
        let zeta = sum(bound);
        let eta = (1.0 - (2.0 / bound as f64).powf(1.0 - exponent)) / (1.0 - sum(2) / zeta);
        Zipf {
            bound,
            exponent,
            alpha: 1.0 / (1.0 - exponent),
            zeta,
            eta,
        }
    }

    /// The next rank; 0 is the most frequent.
    pub fn rank(&self, numbers: &mut Numbers) -> u64 {
        let u = numbers.between(0.0, 1.0);
        let scaled = u * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5_f64.powf(self.exponent) {
            return 1;
        }
        let rank = self.bound as f64 * (self.eta * u - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.bound - 1)
    }

    /// The next member of a population of that size: the frequent ones are scattered over it.
    pub fn member(&self, numbers: &mut Numbers) -> u64 {
        // An odd factor that shares no divisor with round bounds permutes them.
        let scattered = u128::from(self.rank(numbers)) * 0x9E37_79B9_7F4A_7C15;
        (scattered % u128::from(self.bound)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rank_of_a_thousand_comes_about_one_time_in_eight() {
        let (zipf, mut numbers) = (Zipf::new(1_000, 0.99), Numbers::new(1));
        let draws = 100_000;
        let mut counts = vec![0u32; 1_000];
        for _ in 0..draws {
            counts[zipf.rank(&mut numbers) as usize] += 1;
        }
        // 1 / sum of i^-0.99 for i to 1000 is 0.1296; seed 1.
        assert!((12_000..14_000).contains(&counts[0]), "{}", counts[0]);
        assert!(counts[0] > counts[1] && counts[1] > counts[9] && counts[9] > counts[99]);
    }
}
