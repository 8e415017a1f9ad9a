//! What is known about stock beside the levels: safety buffers, rules of near-time, how far a store can be believed, how
//! far each source has told, prices of single stores. Few and small, each set or removed whole; one table on disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::accuracy::Accuracy;
use crate::buffers::BufferKey;
use crate::ids::{CellKey, SkuId, StoreId};
use crate::limits::NEAR_TIME_HORIZON_MS_DEFAULT;
use crate::state::{State, read, write};
use crate::units::{Money, Time};

/// What a fact is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKey {
    /// A safety buffer.
    Buffer(BufferKey),
    /// How far ahead what is on its way may be offered, for one store or for all without a rule of their own.
    NearTime(Option<StoreId>),
    /// How far a store's stock can be believed.
    Accuracy(StoreId),
    /// How far a source has told.
    Source(Arc<str>),
    /// The price of a product in a store.
    Price(CellKey),
}

/// A fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Thousandths.
    Buffer(i64),
    /// Milliseconds; 0: nothing is offered before it is there.
    NearTime(i64),
    /// What picking taught.
    Accuracy(Accuracy),
    /// What was taken.
    Source(SourceProgress),
    /// Of one whole unit.
    Price(Money),
}

/// How far a source that numbers its messages has told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceProgress {
    /// The least number taken.
    pub first: u64,
    /// The greatest number taken.
    pub highest: u64,
    /// How many were taken: as many between `first` and `highest` are missing as it is less than they are.
    pub taken: u64,
    /// How many came after a greater one.
    pub late: u64,
    /// When the last one was taken.
    pub last: Time,
}

impl SourceProgress {
    /// Numbers between the first and the highest that were never taken.
    pub fn missing(&self) -> u64 {
        (self.highest - self.first + u64::from(self.taken > 0)).saturating_sub(self.taken)
    }

    /// Takes a number that was not taken before.
    pub(crate) fn take(&mut self, number: u64, now: Time) {
        if self.taken == 0 {
            (self.first, self.highest) = (number, number);
        }
        self.late += u64::from(number < self.highest);
        self.first = self.first.min(number);
        self.highest = self.highest.max(number);
        self.taken += 1;
        self.last = now;
    }
}

impl State {
    /// A fact; `None` where nothing is known.
    pub fn fact(&self, key: &FactKey) -> Option<Fact> {
        match key {
            FactKey::Buffer(key) => self.stock.buffers().get(key).map(Fact::Buffer),
            FactKey::NearTime(store) => read(&self.near_time_rules)
                .get(store)
                .copied()
                .map(Fact::NearTime),
            FactKey::Accuracy(store) => self.accuracy.get(store).map(|a| Fact::Accuracy(*a)),
            FactKey::Source(source) => self.sources.get(source).map(|s| Fact::Source(*s)),
            FactKey::Price(cell) => self.store_prices.get(cell).map(|p| Fact::Price(*p)),
        }
    }

    /// Sets or removes a fact; loading. What follows from it is not done here.
    pub fn set_fact(&self, key: &FactKey, fact: Option<Fact>) {
        match (key, fact) {
            (FactKey::Buffer(key), Some(Fact::Buffer(quantity))) => {
                self.stock.buffers().set(key, Some(quantity));
            }
            (FactKey::Buffer(key), _) => self.stock.buffers().set(key, None),
            (FactKey::NearTime(store), Some(Fact::NearTime(ms))) => {
                write(&self.near_time_rules).insert(*store, ms);
            }
            (FactKey::NearTime(store), _) => drop(write(&self.near_time_rules).remove(store)),
            (FactKey::Accuracy(store), Some(Fact::Accuracy(accuracy))) => {
                self.accuracy.insert(*store, accuracy);
            }
            (FactKey::Accuracy(store), _) => drop(self.accuracy.remove(store)),
            (FactKey::Source(source), Some(Fact::Source(progress))) => {
                self.sources.insert(Arc::clone(source), progress);
            }
            (FactKey::Source(source), _) => drop(self.sources.remove(source)),
            (FactKey::Price(cell), Some(Fact::Price(price))) => {
                self.store_prices.insert(*cell, price);
                self.has_store_prices.store(true, Ordering::Release);
            }
            (FactKey::Price(cell), _) => drop(self.store_prices.remove(cell)),
        }
    }

    /// All facts, in no order.
    pub fn facts(&self) -> Vec<(FactKey, Fact)> {
        let mut facts: Vec<(FactKey, Fact)> = Vec::new();
        let buffers = self.stock.buffers().page(None, usize::MAX);
        facts.extend(
            buffers
                .into_iter()
                .map(|(k, q)| (FactKey::Buffer(k), Fact::Buffer(q))),
        );
        let near = read(&self.near_time_rules);
        facts.extend(
            near.iter()
                .map(|(s, ms)| (FactKey::NearTime(*s), Fact::NearTime(*ms))),
        );
        drop(near);
        let accuracy = self.accuracy.iter();
        facts.extend(accuracy.map(|e| (FactKey::Accuracy(*e.key()), Fact::Accuracy(*e.value()))));
        let sources = self.sources.iter();
        facts.extend(sources.map(|e| {
            (
                FactKey::Source(Arc::clone(e.key())),
                Fact::Source(*e.value()),
            )
        }));
        let prices = self.store_prices.iter();
        facts.extend(prices.map(|e| (FactKey::Price(*e.key()), Fact::Price(*e.value()))));
        facts
    }

    /// How far ahead what is on its way to a store may be offered, in milliseconds.
    pub fn near_time_horizon_ms(&self, store: StoreId) -> i64 {
        let rules = read(&self.near_time_rules);
        let own = rules.get(&Some(store)).or_else(|| rules.get(&None));
        own.copied().unwrap_or(NEAR_TIME_HORIZON_MS_DEFAULT)
    }

    /// The store's own price of a product, where it has one.
    pub fn own_price(&self, sku: SkuId, store: Option<StoreId>) -> Option<Money> {
        // Most retailers have none: their baskets ask no table.
        let store = store.filter(|_| self.has_store_prices.load(Ordering::Acquire))?;
        self.store_prices.get(&CellKey::new(sku, store)).map(|p| *p)
    }

    /// The price of a product in a store: the store's own where it has one, else the list price.
    pub fn price_in(&self, sku: SkuId, store: Option<StoreId>) -> Option<Money> {
        let own = self.own_price(sku, store);
        own.or_else(|| self.products.get(sku)?.list_price)
    }
}
