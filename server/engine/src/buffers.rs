//! Safety buffers: what is kept back from online promises, by rules of the retailer and by what picking taught about a
//! store. They are worked into the levels, so that whoever asks a level asks nothing else; a change is worked in step by
//! step (see [`Sweep`]), so that no command waits for millions of levels.
//!
//! The most specific rule alone counts: what a count gave to the level itself; SKU and store; SKU; then for each category
//! of the product from the deepest to the topmost: category and store, category; store; everything. The store's extra for
//! doubtful stock comes on top of any.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustc_hash::FxHashMap;

use crate::catalog::CATEGORY_SEPARATOR;
use crate::ids::{SkuId, StoreId};
use crate::state::{read, write};

/// What a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferKey {
    /// One store; `None`: every store.
    pub store: Option<StoreId>,
    /// Which products.
    pub scope: BufferScope,
}

/// Which products a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BufferScope {
    /// All of them.
    Everything,
    /// Those of a category and of the categories below it, by its joined path.
    Category(Arc<str>),
    /// One.
    Sku(SkuId),
}

/// The rules and what they need to know of products.
#[derive(Debug, Default)]
pub struct Buffers {
    /// Whether there is anything to look at; levels that come into being ask it first.
    active: AtomicBool,
    rules: RwLock<Rules>,
}

/// A rule for every store, and rules for some.
#[derive(Debug, Default)]
struct Scoped {
    everywhere: Option<i64>,
    stores: FxHashMap<StoreId, i64>,
}

impl Scoped {
    fn of(&self, store: StoreId) -> Option<i64> {
        self.stores.get(&store).copied().or(self.everywhere)
    }

    fn set(&mut self, store: Option<StoreId>, quantity: Option<i64>) {
        match (store, quantity) {
            (None, quantity) => self.everywhere = quantity,
            (Some(store), Some(quantity)) => drop(self.stores.insert(store, quantity)),
            (Some(store), None) => drop(self.stores.remove(&store)),
        }
    }
}

#[derive(Debug, Default)]
struct Rules {
    all: BTreeMap<BufferKey, i64>,
    everything: Scoped,
    categories: FxHashMap<Arc<str>, Scoped>,
    skus: FxHashMap<SkuId, Scoped>,
    /// What doubtful stores keep back on top.
    extras: FxHashMap<StoreId, i64>,
    /// Category path of each product, by its number.
    paths: Vec<Option<Arc<str>>>,
}

impl Rules {
    fn of(&self, sku: SkuId, store: StoreId) -> i64 {
        if let Some(quantity) = self.skus.get(&sku).and_then(|scoped| scoped.of(store)) {
            return quantity;
        }
        if !self.categories.is_empty()
            && let Some(Some(path)) = self.paths.get(sku.0 as usize)
        {
            let mut path: &str = path;
            loop {
                if let Some(quantity) = self.categories.get(path).and_then(|s| s.of(store)) {
                    return quantity;
                }
                match path.rsplit_once(CATEGORY_SEPARATOR) {
                    Some((above, _)) => path = above,
                    None => break,
                }
            }
        }
        self.everything.of(store).unwrap_or(0)
    }

    fn effective(&self, sku: SkuId, store: StoreId, own: i64) -> i64 {
        let base = if own != 0 { own } else { self.of(sku, store) };
        base + self.extras.get(&store).copied().unwrap_or(0)
    }

    fn is_empty(&self) -> bool {
        self.all.is_empty() && self.extras.is_empty()
    }
}

impl Buffers {
    /// What a level keeps back whose own safety stock is `own`.
    pub fn effective(&self, sku: SkuId, store: StoreId, own: i64) -> i64 {
        if !self.active.load(Ordering::Acquire) {
            return own;
        }
        read(&self.rules).effective(sku, store, own)
    }

    /// As [`Self::effective`], for many levels.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&dyn Fn(SkuId, StoreId, i64) -> i64) -> R) -> R {
        let rules = read(&self.rules);
        work(&|sku, store, own| rules.effective(sku, store, own))
    }

    /// Whether any level may keep back anything but its own safety stock.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// A rule.
    pub fn get(&self, key: &BufferKey) -> Option<i64> {
        read(&self.rules).all.get(key).copied()
    }

    /// Sets or removes a rule. The levels have to be swept after it.
    pub fn set(&self, key: &BufferKey, quantity: Option<i64>) {
        let mut rules = write(&self.rules);
        match quantity {
            Some(quantity) => drop(rules.all.insert(key.clone(), quantity)),
            None => drop(rules.all.remove(key)),
        }
        match &key.scope {
            BufferScope::Everything => rules.everything.set(key.store, quantity),
            BufferScope::Category(path) => {
                let scoped = rules.categories.entry(Arc::clone(path)).or_default();
                scoped.set(key.store, quantity);
                if scoped.everywhere.is_none() && scoped.stores.is_empty() {
                    rules.categories.remove(path);
                }
            }
            BufferScope::Sku(sku) => {
                let scoped = rules.skus.entry(*sku).or_default();
                scoped.set(key.store, quantity);
                if scoped.everywhere.is_none() && scoped.stores.is_empty() {
                    rules.skus.remove(sku);
                }
            }
        }
        self.active.store(!rules.is_empty(), Ordering::Release);
    }

    /// What a store keeps back on top of any rule.
    pub fn extra(&self, store: StoreId) -> i64 {
        read(&self.rules).extras.get(&store).copied().unwrap_or(0)
    }

    /// Sets it. The levels have to be swept after it.
    pub fn set_extra(&self, store: StoreId, quantity: i64) {
        let mut rules = write(&self.rules);
        if quantity == 0 {
            rules.extras.remove(&store);
        } else {
            rules.extras.insert(store, quantity);
        }
        self.active.store(!rules.is_empty(), Ordering::Release);
    }

    /// Notes the category of a product; true where its levels have to be swept.
    pub(crate) fn note_category(&self, sku: SkuId, path: Option<Arc<str>>) -> bool {
        let mut rules = write(&self.rules);
        // Numbers of products are dense.
        let at = sku.0 as usize;
        if rules.paths.len() <= at {
            rules.paths.resize(at + 1, None);
        }
        let changed = rules.paths[at] != path;
        rules.paths[at] = path;
        changed && !rules.categories.is_empty()
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        read(&self.rules).all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rules after `after` in their order, at most `max`.
    pub fn page(&self, after: Option<&BufferKey>, max: usize) -> Vec<(BufferKey, i64)> {
        use std::ops::Bound;
        let rules = read(&self.rules);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = rules.all.range((from, Bound::Unbounded)).take(max);
        page.map(|(key, quantity)| (key.clone(), *quantity))
            .collect()
    }
}

/// Which levels still have to be fitted to changed rules. What is left of it is not on disk: loading fits all levels.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// All levels of these products.
    pub(crate) skus: BTreeSet<SkuId>,
    /// Where a walk over all products goes on; `None`: none is under way.
    pub(crate) next: Option<u32>,
    /// The stores that the walk is about; empty: all.
    pub(crate) stores: BTreeSet<StoreId>,
}

impl Sweep {
    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.skus.is_empty() && self.next.is_none()
    }

    /// The levels that a rule is about.
    pub(crate) fn add(&mut self, key: &BufferKey) {
        match (&key.scope, key.store) {
            (BufferScope::Sku(sku), _) => drop(self.skus.insert(*sku)),
            (_, store) => self.walk(store),
        }
    }

    /// All levels of a store, or of all.
    pub(crate) fn walk(&mut self, store: Option<StoreId>) {
        match (self.next, store) {
            // All stores already: only begun anew.
            (Some(_), _) if self.stores.is_empty() => {}
            (_, Some(store)) => drop(self.stores.insert(store)),
            (_, None) => self.stores.clear(),
        }
        self.next = Some(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_rule_alone_counts() {
        let buffers = Buffers::default();
        let (milk, store, other) = (SkuId(3), StoreId(1), StoreId(2));
        buffers.note_category(milk, Some("Food > Dairy > Milk".into()));
        let check = |expect: (i64, i64)| {
            let of = |store| buffers.effective(milk, store, 0);
            assert_eq!((of(store), of(other)), expect);
        };
        let set = |at: Option<StoreId>, scope: BufferScope, quantity: Option<i64>| {
            buffers.set(&BufferKey { store: at, scope }, quantity);
        };
        let category = |path: &str| BufferScope::Category(path.into());
        check((0, 0));
        set(None, BufferScope::Everything, Some(1));
        check((1, 1));
        set(Some(store), BufferScope::Everything, Some(2));
        check((2, 1));
        set(None, category("Food"), Some(3));
        check((3, 3));
        set(Some(store), category("Food"), Some(4));
        check((4, 3));
        // A deeper category wins over a higher one of the store.
        set(None, category("Food > Dairy"), Some(5));
        check((5, 5));
        set(None, category("Food > Da"), Some(99));
        check((5, 5));
        set(None, BufferScope::Sku(milk), Some(6));
        check((6, 6));
        set(Some(store), BufferScope::Sku(milk), Some(0));
        check((0, 6));
        // What a count gave to the level wins over all, and the extra comes on top of any.
        assert_eq!(buffers.effective(milk, store, 8), 8);
        buffers.set_extra(store, 10);
        assert_eq!(buffers.effective(milk, store, 8), 18);
        check((10, 6));
        set(Some(store), BufferScope::Sku(milk), None);
        check((16, 6));
        set(None, BufferScope::Sku(milk), None);
        set(None, category("Food > Dairy"), None);
        check((14, 3));
        buffers.set_extra(store, 0);
        check((4, 3));
    }
}
