//! Who watches stock, and how they hear of changes. The sequencer says once a batch which levels changed, after the batch is
//! durable, and only while somebody watches; a thread of its own gives that to those it concerns. A watcher keeps which
//! levels to look at again, not their values, so a level that changes a hundred times is sent once, and a watcher that
//! falls too far behind forgets even that and reads the log instead.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crossbeam::channel::{Receiver, Sender, bounded};
use rustc_hash::{FxBuildHasher, FxHashSet};
use tillside_engine::apply::Touched;
use tillside_engine::ids::{CellKey, SkuId, StoreId};
use tillside_engine::state::lock;
use tillside_store::Position;
use tokio::sync::Notify;

/// Watchers at a time: each is a connector that mirrors stock, not a shopper.
pub const WATCHERS_MAX: usize = 256;
/// Levels a watcher keeps in mind; beyond it, it reads the log from where it was: a megabyte each.
const CELLS_KEPT_MAX: usize = 50_000;
/// Batches on their way from the sequencer to the watchers.
const BATCHES_MAX: usize = 1024;

/// Which levels a watcher wants.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only these stores; `None`: all.
    pub stores: Option<FxHashSet<StoreId>>,
    /// Only these products; `None`: all.
    pub skus: Option<FxHashSet<SkuId>>,
}

impl Filter {
    /// Whether a level is wanted.
    pub fn takes(&self, cell: CellKey) -> bool {
        self.stores
            .as_ref()
            .is_none_or(|stores| stores.contains(&cell.store()))
            && self
                .skus
                .as_ref()
                .is_none_or(|skus| skus.contains(&cell.sku()))
    }
}

/// What one batch changed.
struct Published {
    through: Position,
    cells: Vec<CellKey>,
}

/// What a watcher has not been sent yet.
#[derive(Debug, Default)]
pub struct Pending {
    /// Levels to look at again.
    pub cells: FxHashSet<CellKey>,
    /// Everything up to here is in it.
    pub through: Position,
    /// Some changes are missing: read the log.
    pub behind: bool,
    /// Nothing comes any more.
    pub closed: bool,
}

#[derive(Debug)]
struct Watcher {
    filter: Filter,
    pending: Mutex<Pending>,
    woken: Notify,
}

/// All watchers.
#[derive(Debug, Default)]
pub struct Hub {
    /// How many there are: what the sequencer asks.
    watching: AtomicUsize,
    watchers: Mutex<Vec<Arc<Watcher>>>,
    /// A batch found no room: every watcher has missed something.
    lost: AtomicBool,
}

/// The sequencer's side.
#[derive(Clone)]
pub struct Publisher {
    hub: Arc<Hub>,
    to: Sender<Published>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

impl Publisher {
    /// Says what a durable batch changed. Costs one look at a counter while nobody watches.
    pub fn publish(&self, through: Position, touched: &Touched) {
        if self.hub.watching.load(Ordering::SeqCst) == 0 {
            return;
        }
        let cells = touched
            .cells
            .iter()
            .chain(&touched.shown)
            .copied()
            .collect();
        if self.to.try_send(Published { through, cells }).is_err() {
            self.hub.lost.store(true, Ordering::SeqCst);
        }
    }
}

/// Starts the thread that tells watchers. It ends with the publisher.
pub fn start() -> std::io::Result<(Arc<Hub>, Publisher)> {
    let hub = Arc::new(Hub::default());
    let (to, published) = bounded(BATCHES_MAX);
    let telling = Arc::clone(&hub);
    std::thread::Builder::new()
        .name("availability".into())
        .spawn(move || telling.tell(&published))?;
    let publisher = Publisher {
        hub: Arc::clone(&hub),
        to,
    };
    Ok((hub, publisher))
}

impl Hub {
    fn tell(&self, published: &Receiver<Published>) {
        while let Ok(batch) = published.recv() {
            let lost = self.lost.swap(false, Ordering::SeqCst);
            let watchers: Vec<_> = lock(&self.watchers).clone();
            for watcher in watchers {
                watcher.take(&batch, lost);
            }
        }
        for watcher in lock(&self.watchers).iter() {
            lock(&watcher.pending).closed = true;
            watcher.woken.notify_one();
        }
    }

    /// Begins to watch; `None` where too many do. Whatever becomes durable from the next barrier of the sequencer on is
    /// among what is pending.
    pub fn watch(self: &Arc<Self>, filter: Filter) -> Option<Watch> {
        let mut watchers = lock(&self.watchers);
        if watchers.len() >= WATCHERS_MAX {
            return None;
        }
        let watcher = Arc::new(Watcher {
            filter,
            pending: Mutex::default(),
            woken: Notify::new(),
        });
        watchers.push(Arc::clone(&watcher));
        self.watching.store(watchers.len(), Ordering::SeqCst);
        Some(Watch {
            hub: Arc::clone(self),
            watcher,
        })
    }

    /// How many watch.
    pub fn watching(&self) -> usize {
        self.watching.load(Ordering::SeqCst)
    }
}

impl Watcher {
    fn take(&self, batch: &Published, lost: bool) {
        let mut pending = lock(&self.pending);
        pending.through = batch.through;
        if lost {
            pending.fall_behind();
        }
        if !pending.behind {
            let wanted = batch.cells.iter().filter(|cell| self.filter.takes(**cell));
            pending.cells.extend(wanted);
            if pending.cells.len() > CELLS_KEPT_MAX {
                pending.fall_behind();
            }
        }
        if pending.behind || !pending.cells.is_empty() {
            self.woken.notify_one();
        }
    }
}

impl Pending {
    fn fall_behind(&mut self) {
        self.cells = HashSet::with_hasher(FxBuildHasher);
        self.behind = true;
    }
}

/// One watcher's side; it watches until it is dropped.
#[derive(Debug)]
pub struct Watch {
    hub: Arc<Hub>,
    watcher: Arc<Watcher>,
}

impl Watch {
    /// Which levels are wanted.
    pub fn filter(&self) -> &Filter {
        &self.watcher.filter
    }

    /// What is to be sent; nothing is pending after it.
    pub fn take(&self) -> Pending {
        let mut pending = lock(&self.watcher.pending);
        let left = Pending {
            through: pending.through,
            closed: pending.closed,
            ..Pending::default()
        };
        std::mem::replace(&mut pending, left)
    }

    /// Completes when something is pending.
    pub async fn woken(&self) {
        self.watcher.woken.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watchers = lock(&self.hub.watchers);
        watchers.retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
        self.hub.watching.store(watchers.len(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tillside_engine::ids::Sequence;

    fn cell(sku: u32, store: u32) -> CellKey {
        CellKey::new(SkuId(sku), StoreId(store))
    }

    fn batch(sequence: u64, cells: impl IntoIterator<Item = CellKey>) -> Published {
        let through = Position {
            sequence: Sequence(sequence),
            checksum: 7,
        };
        Published {
            through,
            cells: cells.into_iter().collect(),
        }
    }

    fn watch(hub: &Arc<Hub>, filter: Filter) -> Watch {
        hub.watch(filter).expect("room for one more")
    }

    fn tell(hub: &Arc<Hub>, batches: Vec<Published>) {
        let (to, published) = bounded(batches.len().max(1));
        for batch in batches {
            to.send(batch).expect("room for all");
        }
        drop(to);
        hub.tell(&published);
    }

    #[test]
    fn changes_of_a_level_are_kept_once_and_others_not_at_all() {
        let hub = Arc::new(Hub::default());
        let stores = Some([StoreId(1)].into_iter().collect());
        let some = watch(&hub, Filter { stores, skus: None });
        let all = watch(&hub, Filter::default());
        tell(
            &hub,
            vec![
                batch(4, [cell(1, 1), cell(1, 2)]),
                batch(5, [cell(1, 1)]),
                batch(6, [cell(2, 2)]),
            ],
        );
        let pending = some.take();
        assert_eq!(pending.cells, [cell(1, 1)].into_iter().collect());
        assert_eq!(pending.through.sequence, Sequence(6));
        assert!(pending.closed, "nothing comes any more");
        assert_eq!(all.take().cells.len(), 3);
        assert_eq!(some.take().cells.len(), 0);
        assert_eq!(hub.watching(), 2);
        drop((some, all));
        assert_eq!(hub.watching(), 0);
    }

    #[test]
    fn who_falls_too_far_behind_keeps_nothing_and_is_told_so() {
        let hub = Arc::new(Hub::default());
        let slow = watch(&hub, Filter::default());
        let half = CELLS_KEPT_MAX as u32 / 2 + 1;
        tell(&hub, vec![batch(1, (0..half).map(|n| cell(n, 0)))]);
        assert!(!lock(&slow.watcher.pending).behind);
        tell(
            &hub,
            vec![
                batch(2, (0..half).map(|n| cell(n, 1))),
                batch(3, [cell(0, 0)]),
            ],
        );
        let pending = slow.take();
        assert!(pending.behind && pending.cells.is_empty());
        assert_eq!(pending.through.sequence, Sequence(3));
        assert!(!slow.take().behind);
        // A batch that found no room is the same for everybody.
        hub.lost.store(true, Ordering::SeqCst);
        tell(&hub, vec![batch(4, [cell(0, 0)])]);
        assert!(slow.take().behind);
    }

    #[test]
    fn nobody_more_than_there_is_room_for_watches() {
        let hub = Arc::new(Hub::default());
        let all: Vec<_> = (0..WATCHERS_MAX)
            .map(|_| watch(&hub, Filter::default()))
            .collect();
        assert!(hub.watch(Filter::default()).is_none());
        drop(all);
        assert!(hub.watch(Filter::default()).is_some());
    }
}
