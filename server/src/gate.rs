//! Whether the server takes calls: one value that readiness, the health service and the edge all look at, so that they can
//! never contradict each other. A phase only moves forward.

use tokio::sync::watch;

/// Where the process stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The state is being loaded.
    Loading,
    /// Calls are taken.
    Serving,
    /// Calls under way end, no new ones should come.
    Draining,
    /// Storage failed: reads are answered until the drain ends, writes are not.
    Failed,
}

/// The current phase, and whether changes are refused for want of room, shared by everything that asks.
#[derive(Debug)]
pub struct Gate {
    phase: watch::Sender<Phase>,
    writes_refused: watch::Sender<bool>,
}

impl Default for Gate {
    fn default() -> Self {
        Gate {
            phase: watch::Sender::new(Phase::Loading),
            writes_refused: watch::Sender::new(false),
        }
    }
}

impl Gate {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves on to `phase`; an earlier one changes nothing.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let forward = phase > *current;
            if forward {
                *current = phase;
            }
            forward
        });
    }

    /// Completes when the server begins to end.
    pub async fn ending(&self) {
        // An error means that the gate is gone, and the server with it.
        drop(self.watch().wait_for(|phase| *phase > Phase::Serving).await);
    }

    /// Sees every change from now on, and the phase now.
    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Says whether changes are refused while reads are answered. Unlike a phase, this may pass.
    pub fn refuse_writes(&self, refused: bool) {
        self.writes_refused
            .send_if_modified(|current| std::mem::replace(current, refused) != refused);
    }

    /// Sees every change of [`Self::refuse_writes`] from now on, and how it stands.
    pub fn watch_writes(&self) -> watch::Receiver<bool> {
        self.writes_refused.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_only_moves_forward() {
        let gate = Gate::default();
        let mut seen = gate.watch();
        assert_eq!(gate.phase(), Phase::Loading);
        gate.advance(Phase::Serving);
        gate.advance(Phase::Draining);
        gate.advance(Phase::Serving);
        assert_eq!(gate.phase(), Phase::Draining);
        gate.advance(Phase::Failed);
        assert_eq!(*seen.borrow_and_update(), Phase::Failed);
    }
}
