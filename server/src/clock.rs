//! Where time comes from: the machine's clock in production, a number that an RPC moves in tests and replays. The engine
//! never asks; the sequencer stamps what this says, and never lets it go backwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tillside_engine::units::Time;

/// A clock; cheap to clone.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's.
    System,
    /// Moved by `SimulationService.AdvanceClock` only; milliseconds since 1970.
    Simulated(Arc<AtomicI64>),
}

impl Clock {
    /// A simulated clock that starts at `time`.
    pub fn simulated(time: Time) -> Self {
        Clock::Simulated(Arc::new(AtomicI64::new(time.0)))
    }

    /// The time.
    pub fn now(&self) -> Time {
        match self {
            Clock::System => {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Clock::Simulated(time) => Time(time.load(Ordering::Acquire)),
        }
    }

    /// Whether it is simulated.
    pub fn is_simulated(&self) -> bool {
        matches!(self, Clock::Simulated(_))
    }

    /// Moves a simulated clock forward to `time`; a machine's clock is not moved.
    pub fn advance(&self, time: Time) {
        if let Clock::Simulated(now) = self {
            now.fetch_max(time.0, Ordering::AcqRel);
        }
    }
}
