//! Wakes whoever follows a store's reservations. It carries no reservations: a reader that is woken looks at what changed
//! since it last looked, so nothing is queued for a slow one, and nothing is told that is not on disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use tillside_engine::apply::Touched;
use tillside_engine::ids::{Sequence, StoreId};
use tillside_engine::state::State;
use tokio::sync::watch;

/// Who follows which store.
#[derive(Debug, Default)]
pub struct ReservationFeed {
    durable: AtomicU64,
    /// One for each store that somebody follows, or followed when it last changed: at most as many as there are stores.
    stores: Mutex<FxHashMap<StoreId, watch::Sender<()>>>,
}

impl ReservationFeed {
    /// Everything up to `sequence` is on disk from the beginning.
    pub fn starts_at(&self, sequence: Sequence) {
        self.durable.store(sequence.0, Ordering::Release);
    }

    /// Everything up to it is on disk.
    pub fn durable(&self) -> Sequence {
        Sequence(self.durable.load(Ordering::Acquire))
    }

    /// Wakes at every change of a store's reservations that became durable after this call. What became durable before it
    /// is in [`Self::durable`] by then.
    pub fn follow(&self, store: StoreId) -> watch::Receiver<()> {
        let mut stores = self.stores();
        let sender = stores.entry(store);
        sender.or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    /// What `touched` names is on disk, with everything up to `durable`. The state may be ahead of it.
    pub fn changed(&self, state: &State, touched: &Touched, durable: Sequence) {
        self.durable.store(durable.0, Ordering::Release);
        if touched.reservations.is_empty() {
            return;
        }
        let mut stores = self.stores();
        if stores.is_empty() {
            return;
        }
        for id in &touched.reservations {
            let Some(store) = state.reservation(*id).map(|r| r.store) else {
                continue;
            };
            let gone = stores.get(&store).is_some_and(|s| s.send(()).is_err());
            if gone {
                stores.remove(&store);
            }
        }
    }

    fn stores(&self) -> MutexGuard<'_, FxHashMap<StoreId, watch::Sender<()>>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
