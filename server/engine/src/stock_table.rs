//! Stock levels of all products in all stores, by product: what is asked together lies together, and the sets of stores
//! that have a product are kept with its levels, under one lock, so that the two never disagree. Numbers of products and
//! stores are dense and never used again.
//!
//! One writer, many readers. The writer locks one product at a time; a reader may hold several, each once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, RwLock, RwLockReadGuard};

use crate::buffers::{Buffers, Sweep};
use crate::ids::{CellKey, SkuId, StoreId};
use crate::limits::{SWEEP_LEVELS_MAX, SWEEP_PRODUCTS_MAX};
use crate::prefetch;
use crate::product_stock::ProductStock;
use crate::state::{read, write};
use crate::stock::StockLevel;

/// Products of the first chunk; each one after it is twice as large, so that they hold every number there can be, and none
/// that is in use ever moves.
const FIRST_CHUNK: u64 = 1024;
/// Chunks that hold all products.
const CHUNKS: usize = 23;

/// The table.
pub struct StockTable {
    chunks: [OnceLock<Chunk>; CHUNKS],
    levels: AtomicUsize,
    /// What levels keep back; worked into each of them.
    buffers: Buffers,
    /// How many levels have less than was promised.
    short: AtomicUsize,
}

/// A step of the way to a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Where the product is.
    Product,
    /// Where the levels of 64 stores are.
    Word,
    /// The level.
    Level,
}

type Chunk = Box<[RwLock<ProductStock>]>;

impl Default for StockTable {
    fn default() -> Self {
        StockTable {
            chunks: [const { OnceLock::new() }; CHUNKS],
            levels: AtomicUsize::new(0),
            buffers: Buffers::default(),
            short: AtomicUsize::new(0),
        }
    }
}

impl std::fmt::Debug for StockTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StockTable")
            .field("levels", &self.len())
            .finish_non_exhaustive()
    }
}

/// Chunk of a product and its place in it.
fn place(sku: SkuId) -> (usize, usize) {
    let number = u64::from(sku.0) + FIRST_CHUNK;
    let chunk = (number / FIRST_CHUNK).ilog2();
    (chunk as usize, (number - (FIRST_CHUNK << chunk)) as usize)
}

impl StockTable {
    fn slot(&self, sku: SkuId) -> Option<&RwLock<ProductStock>> {
        let (chunk, at) = place(sku);
        self.chunks[chunk].get().map(|products| &products[at])
    }

    /// The levels of a product, held for reading: the writer waits as long as they are. A reader of several products holds
    /// each once; `None` where none of this and its neighbours ever had a level.
    pub fn product(&self, sku: SkuId) -> Option<RwLockReadGuard<'_, ProductStock>> {
        self.slot(sku).map(read)
    }

    /// Asks memory for a product that [`Self::product`] will be asked for.
    pub(crate) fn ask_product(&self, sku: SkuId) {
        self.slot(sku).into_iter().for_each(prefetch::whole);
    }

    /// A level.
    pub fn get(&self, cell: CellKey) -> Option<StockLevel> {
        self.read(cell, StockLevel::clone)
    }

    /// What `look` makes of a level, looked at in its place.
    pub fn read<R>(&self, cell: CellKey, look: impl FnOnce(&StockLevel) -> R) -> Option<R> {
        let (sku, store) = (cell.sku(), cell.store());
        self.product(sku)?.get(store).map(look)
    }

    /// Asks memory for the way to a level, each step of which needs the one before to have arrived: `Step::Product` long
    /// before the level is looked at, `Step::Level` shortly before. A hint: it changes nothing, and nothing depends on it.
    pub fn ask(&self, cell: CellKey, step: Step) {
        let (sku, store) = (cell.sku(), cell.store());
        let Some(slot) = self.slot(sku) else {
            return;
        };
        if step == Step::Product {
            return prefetch::whole(slot);
        }
        read(slot).ask(store, step == Step::Level);
    }

    /// Changes a level, made of zeros where there was none. The one writer only.
    pub fn change<R>(&self, cell: CellKey, change: impl FnOnce(&mut StockLevel) -> R) -> R {
        let (sku, store) = (cell.sku(), cell.store());
        let (chunk, at) = place(sku);
        let products = self.chunks[chunk].get_or_init(|| {
            let length = FIRST_CHUNK << chunk;
            (0..length).map(|_| RwLock::default()).collect()
        });
        let mut product = write(&products[at]);
        let ((made, was_short, is_short), new) = product.change(store, |level, new| {
            let (own, was_short) = (level.own_safety, level.is_short());
            let made = change(level);
            if new || level.own_safety != own {
                level.safety = self.buffers.effective(sku, store, level.own_safety);
            }
            (made, was_short, level.is_short())
        });
        if new {
            self.levels.fetch_add(1, Ordering::AcqRel);
        }
        match (was_short, is_short) {
            (false, true) => _ = self.short.fetch_add(1, Ordering::AcqRel),
            (true, false) => _ = self.short.fetch_sub(1, Ordering::AcqRel),
            _ => {}
        }
        made
    }

    /// What levels keep back from online promises.
    pub fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// Levels with less than was promised, in the order of (product, store), each product as it is when its turn comes.
    /// Goes through all products where there is any.
    pub fn short_cells(&self) -> impl Iterator<Item = CellKey> + '_ {
        let all = (self.short_len() > 0).then(|| self.products());
        all.into_iter().flatten().flat_map(|sku| {
            let product = self.product(sku);
            let short = product.iter().flat_map(|product| product.short());
            short
                .map(|store| CellKey::new(sku, store))
                .collect::<Vec<_>>()
        })
    }

    /// How many levels have less than was promised.
    pub fn short_len(&self) -> usize {
        self.short.load(Ordering::Acquire)
    }

    /// Fits levels to the buffers: a bounded step of `sweep`, so that nobody waits for all of it. Tells the levels that
    /// keep back something else now.
    pub fn sweep(&self, sweep: &mut Sweep, mut changed: impl FnMut(CellKey)) {
        let mut levels = 0;
        self.buffers.with(|effective| {
            let mut refit = |sku: SkuId, stores: &BTreeSet<StoreId>| {
                let Some(slot) = self.slot(sku) else { return 0 };
                let product = &mut *write(slot);
                product.refit(
                    stores,
                    |store, own| effective(sku, store, own),
                    |store| changed(CellKey::new(sku, store)),
                )
            };
            while levels < SWEEP_LEVELS_MAX
                && let Some(sku) = sweep.skus.pop_first()
            {
                levels += 1 + refit(sku, &BTreeSet::new());
            }
            let Some(from) = sweep.next else { return };
            let mut products = self.products_from(SkuId(from));
            for _ in 0..SWEEP_PRODUCTS_MAX {
                if levels >= SWEEP_LEVELS_MAX {
                    break;
                }
                let Some(sku) = products.next() else {
                    (sweep.next, sweep.stores) = (None, BTreeSet::new());
                    return;
                };
                levels += refit(sku, &sweep.stores);
                sweep.next = sku.0.checked_add(1);
            }
        });
    }

    /// Fits all levels at once; loading.
    pub(crate) fn refit_all(&self) {
        if !self.buffers.is_active() {
            return;
        }
        let mut sweep = Sweep {
            next: Some(0),
            ..Sweep::default()
        };
        while !sweep.is_done() {
            self.sweep(&mut sweep, |_| {});
        }
    }

    /// Puts a level; loading.
    pub fn insert(&self, cell: CellKey, level: StockLevel) {
        self.change(cell, |there| *there = level);
    }

    /// How many levels there are.
    pub fn len(&self) -> usize {
        self.levels.load(Ordering::Acquire)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Products that may have levels, ascending.
    pub fn products(&self) -> impl Iterator<Item = SkuId> + '_ {
        self.products_from(SkuId(0))
    }

    /// As [`Self::products`], from one on.
    pub fn products_from(&self, from: SkuId) -> impl Iterator<Item = SkuId> + '_ {
        let made = (0u32..)
            .zip(&self.chunks)
            .filter_map(|(chunk, products)| Some((chunk, products.get()?.len() as u64)));
        made.flat_map(move |(chunk, length)| {
            let first = (FIRST_CHUNK << chunk) - FIRST_CHUNK;
            // A chunk may be longer than the numbers left for it.
            let end = (first + length).min(u64::from(u32::MAX) + 1);
            (first.max(u64::from(from.0))..end).map(|sku| SkuId(sku as u32))
        })
    }

    /// Every level with its cell, in the order of (product, store), each product copied when its turn comes.
    pub fn cells(&self) -> impl Iterator<Item = (CellKey, StockLevel)> + '_ {
        self.products().flat_map(|sku| {
            let product = self.product(sku);
            let levels = product.iter().flat_map(|product| product.iter());
            levels
                .map(|(store, level)| (CellKey::new(sku, store), level.clone()))
                .collect::<Vec<_>>()
        })
    }

    /// Looks at every level in the order of (product, store), each product as it is when its turn comes.
    pub fn for_each(&self, mut look: impl FnMut(CellKey, &StockLevel)) {
        for sku in self.products() {
            if let Some(product) = self.product(sku) {
                product
                    .iter()
                    .for_each(|(store, level)| look(CellKey::new(sku, store), level));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StoreId;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_product_has_a_place_of_its_own() {
        let check = |sku, expect| assert_eq!(place(SkuId(sku)), expect, "{sku}");
        check(0, (0, 0));
        check(1023, (0, 1023));
        check(1024, (1, 0));
        check(3071, (1, 2047));
        check(3072, (2, 0));
        check(u32::MAX, (CHUNKS - 1, 1023));
    }

    proptest! {
        #[test]
        fn levels_equal_a_plain_map(
            steps in prop::collection::vec((0u32..3, prop_oneof![0u32..200, 0u32..3000], -3i64..4), 0..400),
        ) {
            let table = StockTable::default();
            let mut naive: BTreeMap<(u32, u32), i64> = BTreeMap::new();
            for (sku, store, delta) in steps {
                let sku = sku * 1000;
                let after = table.change(CellKey::new(SkuId(sku), StoreId(store)), |level| {
                    level.on_hand += delta;
                    level.on_hand
                });
                let level = naive.entry((sku, store)).or_default();
                *level += delta;
                prop_assert_eq!(after, *level);
            }
            prop_assert_eq!(table.len(), naive.len());
            let short: Vec<_> = table.short_cells().map(|cell| (cell.sku().0, cell.store().0)).collect();
            prop_assert_eq!(table.short_len(), short.len());
            let below: Vec<_> = naive.iter().filter(|(_, n)| **n < 0).map(|(cell, _)| *cell).collect();
            prop_assert_eq!(short, below);
            let mut all = Vec::new();
            table.for_each(|cell, level| {
                let (sku, store) = (cell.sku(), cell.store());
                all.push(((sku.0, store.0), level.on_hand));
            });
            prop_assert_eq!(all, naive.clone().into_iter().collect::<Vec<_>>());
            for ((sku, store), level) in naive {
                let cell = CellKey::new(SkuId(sku), StoreId(store));
                prop_assert_eq!(table.get(cell).map(|l| l.on_hand), Some(level));
                prop_assert!(table.get(CellKey::new(SkuId(sku + 1), StoreId(store))).is_none());
            }
        }
    }
}
