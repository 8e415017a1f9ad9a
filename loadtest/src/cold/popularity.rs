//! Whom shoppers are: the n-th most popular customer is asked for in proportion to 1/n^s.

/// Draws customers by popularity.
pub(super) struct Zipf {
    /// Sums of the weights up to each rank.
    sums: Vec<f64>,
    customers: u32,
}

/// Prime, so that ranks are spread over all customers: the popular ones are not neighbours on disk.
const SPREAD: u64 = 982_451_653;

impl Zipf {
    /// Over `customers`, with the exponent `skew`.
    pub(super) fn new(customers: u32, skew: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=customers)
            .map(|rank| {
                sum += f64::from(rank).powf(-skew);
                sum
            })
            .collect();
        Zipf { sums, customers }
    }

    /// The customer for a random number.
    pub(super) fn draw(&self, random: u64) -> u32 {
        let total = self.sums.last().copied().unwrap_or_default();
        let point = (random >> 11) as f64 / (1_u64 << 53) as f64 * total;
        let rank = self.sums.partition_point(|sum| *sum <= point) as u64;
        ((rank * SPREAD) % u64::from(self.customers)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn the_popular_are_drawn_in_proportion_and_everybody_may_be() {
        let zipf = Zipf::new(1000, 1.0);
        let draws = 1_000_000_u64;
        let mut counts: HashMap<u32, u64> = HashMap::new();
        for n in 0..draws {
            let random = (n * ((1 << 44) / draws)) << 20;
            *counts.entry(zipf.draw(random)).or_default() += 1;
        }
        assert_eq!(counts.len(), 1000);
        let mut sorted: Vec<u64> = counts.into_values().collect();
        sorted.sort_unstable_by_key(|n| std::cmp::Reverse(*n));
        for rank in [1, 2, 10, 100] {
            let share = sorted[0] as f64 / sorted[rank - 1] as f64;
            assert!((share / rank as f64 - 1.0).abs() < 0.05, "{rank}: {share}");
        }
    }
}
