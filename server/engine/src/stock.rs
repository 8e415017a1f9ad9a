//! Stock of one product in one store. Every change is a movement, and the sum of movements is the level; counts are
//! movements too (the difference they found). Nothing here knows about reservations but their quantities.

use crate::limits::RECENT_MOVEMENTS_MS;
use crate::recent_movements::RecentMovements;
use crate::units::Time;

/// A level, in thousandths of the product's unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StockLevel {
    /// Physically there; negative where more was sold than was known.
    pub on_hand: i64,
    /// Held, not confirmed.
    pub reserved: i64,
    /// Confirmed, not handed over.
    pub committed: i64,
    /// Kept back from online promises: what the buffers of the table of levels say (see [`crate::buffers`]), which keeps
    /// it up to date. It is not on disk.
    pub safety: i64,
    /// The safety stock that a count gave to this very level; 0: none, the rules decide.
    pub own_safety: i64,
    /// There, not for sale.
    pub damaged: i64,
    /// Time of the last count.
    pub counted: CountedAt,
    /// Movements still at hand for a count that arrives late.
    pub recent: Option<Box<RecentMovements>>,
}

/// When a level was counted last. A word, not an option: there are millions of levels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CountedAt(i64);

impl CountedAt {
    /// Never.
    pub const NEVER: CountedAt = CountedAt(i64::MIN);

    /// The time; `None`: never.
    pub fn get(self) -> Option<Time> {
        (self != Self::NEVER).then_some(Time(self.0))
    }
}

impl Default for CountedAt {
    fn default() -> Self {
        Self::NEVER
    }
}

impl From<Option<Time>> for CountedAt {
    fn from(time: Option<Time>) -> Self {
        time.map_or(Self::NEVER, |time| CountedAt(time.0))
    }
}

impl std::fmt::Debug for CountedAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

/// Why stock moved, as it is told to whoever audits it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MoveReason {
    /// A correction of the books.
    #[default]
    Correction,
    /// Goods received.
    Receipt,
    /// Goods lost or stolen.
    Shrinkage,
    /// Goods found damaged: on_hand stays, damaged moves. Negative: back for sale.
    Damage,
    /// Between stores.
    Transfer,
    /// Damaged goods that left the store: on_hand and damaged both move.
    Disposal,
}

/// What is told of a level beside it: it follows from other tables, and a retry tells it as the first answer did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Announced and not received.
    pub incoming: i64,
    /// When the next of it is expected.
    pub incoming_at: Option<Time>,
    /// Of it, what may be offered as near-time.
    pub near_time: i64,
    /// How far the store's stock can be believed, in millionths.
    pub confidence_ppm: u32,
}

/// Why a count was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountRefused {
    /// The level was counted at this later (or the same) time already.
    NotNewer(Time),
    /// Movements up to this time are no longer at hand.
    MovementsForgotten(Time),
}

impl StockLevel {
    /// What may be promised online; may be negative.
    pub fn available_online(&self) -> i64 {
        self.available_in_store() - self.safety
    }

    /// What the till may sell; may be negative.
    pub fn available_in_store(&self) -> i64 {
        self.on_hand - self.reserved - self.committed - self.damaged
    }

    /// When it was counted last.
    pub fn counted_at(&self) -> Option<Time> {
        self.counted.get()
    }

    /// Whether less is there than was promised: somebody will go without, or the books are wrong.
    pub fn is_short(&self) -> bool {
        self.available_in_store() < 0
    }

    /// By how much a movement that happened at `occurred` moves on_hand: nothing where a later count has seen it.
    pub fn effective(&self, delta: i64, occurred: Time) -> i64 {
        if self.counted_at().is_some_and(|counted| occurred <= counted) {
            0
        } else {
            delta
        }
    }

    /// Moves on_hand and remembers the movement as long as `now` asks for.
    pub fn move_on_hand(&mut self, delta: i64, occurred: Time, now: Time) {
        self.on_hand += delta;
        let keep_from = now.plus_ms(-RECENT_MOVEMENTS_MS);
        let recent = self.recent.get_or_insert_default();
        recent.add(occurred, delta, keep_from);
    }

    /// The on_hand after a count of `counted` at `as_of`: movements after it still count.
    pub fn after_count(&self, counted: i64, as_of: Time) -> Result<i64, CountRefused> {
        if let Some(last) = self.counted_at().filter(|last| as_of <= *last) {
            return Err(CountRefused::NotNewer(last));
        }
        let Some(recent) = &self.recent else {
            return Ok(counted);
        };
        if let Some(forgotten) = recent
            .forgotten_until()
            .filter(|forgotten| as_of < *forgotten)
        {
            return Err(CountRefused::MovementsForgotten(forgotten));
        }
        Ok(counted
            + recent
                .iter()
                .filter(|(t, _)| *t > as_of)
                .map(|(_, delta)| delta)
                .sum::<i64>())
    }

    /// Takes a count: `on_hand` is what [`Self::after_count`] said. A safety stock of 0 leaves the buffers to the rules.
    pub fn set_count(&mut self, on_hand: i64, safety: Option<i64>, as_of: Time) {
        self.on_hand = on_hand;
        if let Some(own) = safety.filter(|own| *own != self.own_safety) {
            self.own_safety = own;
            self.safety = own;
        }
        self.counted = Some(as_of).into();
        if let Some(recent) = &mut self.recent {
            // What happened up to the count is in it: those movements have no further use.
            recent.retain(|time| time > as_of);
            if recent.is_past(as_of) {
                self.recent = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_level_takes_no_more_than_a_cache_line() {
        assert_eq!(size_of::<StockLevel>(), 64);
    }

    const NOW: Time = Time(1_000_000_000);

    #[test]
    fn a_count_keeps_what_happened_after_it() {
        let mut level = StockLevel::default();
        level.set_count(10_000, Some(2_000), Time(100));
        level.move_on_hand(-3_000, NOW.plus_ms(-50), NOW);
        level.move_on_hand(-1_000, NOW.plus_ms(-10), NOW);
        assert_eq!(level.after_count(8_000, NOW.plus_ms(-20)), Ok(7_000));
        assert_eq!(level.after_count(8_000, NOW), Ok(8_000));
        assert_eq!(
            level.after_count(8_000, Time(100)),
            Err(CountRefused::NotNewer(Time(100)))
        );
        assert_eq!(
            (level.available_in_store(), level.available_online()),
            (6_000, 4_000)
        );
    }

    #[test]
    fn a_sale_from_before_the_count_moves_nothing() {
        let mut level = StockLevel::default();
        level.set_count(10_000, None, Time(100));
        assert_eq!(level.effective(-1_000, Time(100)), 0);
        assert_eq!(level.effective(-1_000, Time(101)), -1_000);
    }

    #[test]
    fn a_count_from_before_forgotten_movements_is_refused() {
        let mut level = StockLevel::default();
        let old = NOW.plus_ms(-RECENT_MOVEMENTS_MS - 1);
        level.move_on_hand(-1_000, old, NOW);
        assert_eq!(
            level.after_count(5_000, old.plus_ms(-1)),
            Err(CountRefused::MovementsForgotten(old))
        );
        assert_eq!(level.after_count(5_000, old), Ok(5_000));
    }

    proptest! {
        // The naive model keeps every movement for ever; where the level answers, it must answer the same.
        #[test]
        fn counts_and_movements_in_any_order_equal_the_naive_ledger(steps in prop::collection::vec((any::<bool>(), -100i64..100, 0i64..200), 1..80)) {
            let mut level = StockLevel::default();
            let mut ledger: Vec<(i64, i64)> = Vec::new();
            let mut base: Option<(i64, i64)> = None;
            for (count, amount, time) in steps {
                let at = NOW.plus_ms(-time);
                if count {
                    if let Ok(on_hand) = level.after_count(amount, at) {
                        level.set_count(on_hand, None, at);
                        base = Some((at.0, amount));
                    } else {
                        prop_assert!(base.is_some_and(|(t, _)| at.0 <= t) || level.recent.as_ref().is_some_and(|r| r.forgotten_until().is_some()));
                    }
                } else {
                    let delta = level.effective(amount, at);
                    if delta != 0 {
                        level.move_on_hand(delta, at, NOW);
                    }
                    ledger.push((at.0, amount));
                }
                let (from, counted) = base.unwrap_or((i64::MIN, 0));
                let naive = counted + ledger.iter().filter(|(t, _)| *t > from).map(|(_, d)| d).sum::<i64>();
                prop_assert_eq!(level.on_hand, naive);
            }
        }
    }
}
