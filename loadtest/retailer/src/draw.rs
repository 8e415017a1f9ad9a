//! Seeded random draws. Every part of the world has its own stream of one ChaCha8 key, so that parts can be generated in
//! any order, on any thread, and a change in one does not shift the others. The sampling is written here and not taken from a
//! library, because a library may change its algorithm with a minor version and the world must stay the same.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

/// The part of the world a stream belongs to.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum Part {
    Stores = 1,
    Products = 2,
    Popularity = 3,
    Assortment = 4,
    Person = 5,
    Habits = 6,
    Stock = 7,
    Day = 8,
    Lines = 9,
    Returns = 10,
    Baskets = 11,
}

/// A stream of random draws.
#[derive(Debug, Clone)]
pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    /// Stream `index` of `part`.
    pub(crate) fn new(seed: u64, part: Part, index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = part as u8;
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(index);
        Self(generator)
    }

    /// Uniform in `0..bound`; zero where `bound` is zero. The bias is below `bound` / 2^32.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let wide = u64::from(self.0.next_u32()) * u64::from(bound);
        (wide >> 32) as u32
    }

    /// Uniform in `0..len`; zero where `len` is zero.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.below(u32::try_from(len).unwrap_or(u32::MAX)) as usize
    }

    /// Uniform in `0..bound`, for bounds beyond 32 bits.
    pub(crate) fn below_u64(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(bound);
        (wide >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Uniform in [0, 1), in steps of 2^-32.
    pub(crate) fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / 4_294_967_296.0
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of the items; the caller guarantees that there is one.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// Index into `cumulative` (rising sums of weights) with probability in proportion to the weights.
    pub(crate) fn weighted(&mut self, cumulative: &[u64]) -> usize {
        let total = cumulative.last().copied().unwrap_or(0);
        let target = self.below_u64(total);
        cumulative
            .partition_point(|&sum| sum <= target)
            .min(cumulative.len().saturating_sub(1))
    }

    /// Exponential with mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.unit())
    }

    fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(2.0 * self.exponential());
        radius * libm::cos(core::f64::consts::TAU * self.unit())
    }

    /// Gamma with this shape (at least 1) and mean 1, after Marsaglia and Tsang.
    pub(crate) fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * d);
        // One round succeeds with more than 95 %; the bound only makes the loop finite by construction.
        for _ in 0..64 {
            let x = self.normal();
            let v = 1.0 + c * x;
            if v <= 0.0 {
                continue;
            }
            let v = v * v * v;
            if libm::log(1.0 - self.unit()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return d * v / shape;
            }
        }
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_moments_they_claim() {
        let mut draw = Draw::new(7, Part::Habits, 0);
        let rounds = 20_000;
        let mut sums = [0.0; 3];
        for _ in 0..rounds {
            sums[0] += draw.unit();
            sums[1] += draw.gamma(1.4);
            sums[2] += draw.exponential();
        }
        for (sum, mean) in sums.into_iter().zip([0.5, 1.0, 1.0]) {
            let found = sum / f64::from(rounds);
            assert!((found - mean).abs() < 0.03, "mean {found}, wanted {mean}");
        }
    }

    #[test]
    fn weighted_follows_the_weights_and_never_takes_a_zero_weight() {
        let mut draw = Draw::new(7, Part::Habits, 1);
        let mut counts = [0_u32; 3];
        for _ in 0..10_000 {
            counts[draw.weighted(&[1, 1, 4])] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((2300..2700).contains(&counts[0]), "{counts:?}");
    }
}
