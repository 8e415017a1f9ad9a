//! All tables. One writer (the sequencer, through `apply`), many readers: an entity is read whole, as an `Arc` cloned
//! under the guard, and nothing is computed, encoded or awaited under one. A reader of two entities may see them at
//! different sequences; only what the sequencer answers is a promise.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use dashmap::DashMap;
use rustc_hash::FxBuildHasher;

use crate::accuracy::Accuracy;
use crate::active_offers::ActiveOffer;
use crate::answered_requests::AnsweredRequests;
use crate::barcode::Embedded;
use crate::buffers::Sweep;
use crate::catalog::{CategoryId, Product, Store};
use crate::claims::Claims;
use crate::command::Timer;
use crate::customer::Customer;
use crate::facts::SourceProgress;
use crate::geo_index::StoreIndex;
use crate::ids::{
    BusinessKey, CellKey, CustomerId, IdentifierHash, ReservationId, Sequence, SkuId, StoreId,
};
use crate::inbound::{Delivery, InboundIndex, NearTime};
use crate::offer::{Offer, OutcomeCounts};
use crate::order_index::OrderIndex;
use crate::pickup_slots::HeldSlots;
use crate::reservation::{Checkout, Reservation};
use crate::residency::Residency;
use crate::routing_policy::RoutingPolicy;
use crate::sale::QuarantinedLine;
use crate::stock::{Beside, StockLevel};
use crate::stock_table::StockTable;
use crate::units::{Money, Thousandths, Time, mul_div_round};

/// A concurrent table. Keys are surrogates, dense ids, keyed hashes, or ids of a retailer that harms only itself.
pub type Table<K, V> = DashMap<K, V, FxBuildHasher>;

/// Parts of a table that grows to millions of rows. A part doubles at once while the sequencer waits, so there are many:
/// with a part a core, a table of ten million keys stops all changes for a quarter of a second each time.
const LARGE_TABLE_PARTS: usize = 128;
/// Parts of the table that grows with every receipt, and is never walked through: all parts double at about the same time,
/// two milliseconds each where there are 128 of them.
const BUSINESS_KEY_PARTS: usize = 2048;

/// An empty table for millions of rows.
pub fn large_table<K: Eq + Hash, V>() -> Table<K, V> {
    table_of_parts(LARGE_TABLE_PARTS)
}

fn table_of_parts<K: Eq + Hash, V>(parts: usize) -> Table<K, V> {
    DashMap::with_capacity_and_hasher_and_shard_amount(0, FxBuildHasher, parts)
}

/// Things with a retailer id and a dense number.
#[derive(Debug)]
pub struct Catalog<N: Eq + Hash, T> {
    /// Retailer id -> number.
    pub numbers: Table<Arc<str>, N>,
    /// Number -> thing.
    pub items: Table<N, Arc<T>>,
}

impl<N: Eq + Hash + Copy, T> Default for Catalog<N, T> {
    fn default() -> Self {
        Catalog {
            numbers: Table::default(),
            items: Table::default(),
        }
    }
}

impl<N: Eq + Hash + Copy, T> Catalog<N, T> {
    /// The number of a retailer id.
    pub fn number(&self, id: &str) -> Option<N> {
        self.numbers.get(id).map(|n| *n)
    }

    /// The thing with a number.
    pub fn get(&self, number: N) -> Option<Arc<T>> {
        self.items.get(&number).map(|item| Arc::clone(&item))
    }

    /// Number and thing of a retailer id.
    pub fn find(&self, id: &str) -> Option<(N, Arc<T>)> {
        let number = self.number(id)?;
        Some((number, self.get(number)?))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// A value that is replaced whole and read often.
#[derive(Debug, Default)]
pub struct Published<T>(RwLock<Arc<T>>);

impl<T> Published<T> {
    /// The current value.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&read(&self.0))
    }

    /// Replaces it.
    pub fn set(&self, value: T) {
        *write(&self.0) = Arc::new(value);
    }
}

/// A lock whose holder panicked is taken all the same: the sequencer's panic ends the process anyway.
pub fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// As [`read`].
pub fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// As [`read`].
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counters that are not the length of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sequence of the last command.
    pub sequence: Sequence,
    /// Its time.
    pub now: Time,
    /// The next customer's number.
    pub next_customer: u64,
    /// The next reservation's number.
    pub next_reservation: u64,
    /// Receipts taken.
    pub transactions: u64,
    /// Provisional customers.
    pub provisional: u64,
    /// Every request answered before it is forgotten.
    pub request_window_start: Sequence,
}

/// Everything the engine knows.
#[derive(Debug)]
pub struct State {
    /// Stores.
    pub stores: Catalog<StoreId, Store>,
    /// Stores for distances; replaced whole when a store changes.
    pub store_index: Published<StoreIndex>,
    /// Products.
    pub products: Catalog<SkuId, Product>,
    /// Category of each product, by its number. Derived, and small enough to stay in the processor's caches: every line of
    /// a sale asks for one.
    pub product_categories: RwLock<Vec<Option<CategoryId>>>,
    /// Category paths; the number is the position in `category_paths`.
    pub categories: Table<Arc<str>, CategoryId>,
    /// Category number -> path.
    pub category_paths: Table<CategoryId, Arc<str>>,
    /// GTIN-14 -> product.
    pub gtins: Table<u64, SkuId>,
    /// Item code of in-store barcodes -> product.
    pub plus: Table<Arc<str>, SkuId>,
    /// Customers who are in memory: all of them, unless `residency` sets a limit.
    pub customers: Table<CustomerId, Arc<Customer>>,
    /// How much of the customers may be in memory. Not kept on disk.
    pub residency: Residency,
    /// Keyed identifier index.
    pub identifiers: Table<IdentifierHash, CustomerId>,
    /// Stock levels.
    pub stock: StockTable,
    /// Offers.
    pub offers: Table<Arc<str>, Arc<Offer>>,
    /// Offers that are not archived, in id order, for ranking.
    pub active_offers: Published<Vec<ActiveOffer>>,
    /// What became of offers.
    pub outcomes: Table<Arc<str>, OutcomeCounts>,
    /// Reservations.
    pub reservations: Table<ReservationId, Arc<Reservation>>,
    /// Order -> its latest reservation.
    pub orders: Table<Arc<str>, ReservationId>,
    /// Reservations by store, and those of an order before its latest one. Derived.
    pub order_index: Mutex<OrderIndex>,
    /// Checkouts that held something or were closed.
    pub checkouts: Table<Arc<str>, Arc<Checkout>>,
    /// Facts taken, for ever.
    pub business_keys: Table<BusinessKey, Sequence>,
    /// Answered requests. Only the sequencer asks for them.
    pub requests: Mutex<AnsweredRequests>,
    /// Lines nobody can book yet, by (sequence, line).
    pub quarantine: RwLock<BTreeMap<(Sequence, u32), Arc<QuarantinedLine>>>,
    /// Customers nobody enrolled yet.
    pub provisional: RwLock<BTreeSet<CustomerId>>,
    /// What is due when.
    pub timers: Mutex<BTreeSet<(Time, Timer)>>,
    /// Sequence of the last applied command.
    pub sequence: AtomicU64,
    /// Time of the last applied command, milliseconds.
    pub now_ms: AtomicI64,
    /// Next customer.
    pub next_customer: AtomicU64,
    /// Next reservation.
    pub next_reservation: AtomicU64,
    /// Receipts taken.
    pub transactions: AtomicU64,
    /// Counts changes of products in this process, each after it can be read: what was made of names read since a value
    /// was seen is up to date while the value stays. Not kept on disk.
    pub catalog_version: AtomicU64,
    /// What is on its way to stores, and what came lately.
    pub deliveries: Table<Arc<str>, Arc<Delivery>>,
    /// What is on its way, by product. Derived.
    pub inbound: InboundIndex,
    /// How far ahead it may be offered, by store; `None`: where a store has no rule of its own.
    pub near_time_rules: RwLock<BTreeMap<Option<StoreId>, i64>>,
    /// How far each store's stock can be believed.
    pub accuracy: Table<StoreId, Accuracy>,
    /// How far each source that numbers its messages has told.
    pub sources: Table<Arc<str>, SourceProgress>,
    /// Prices of single stores.
    pub store_prices: Table<CellKey, Money>,
    /// Whether there ever was one in this process.
    pub has_store_prices: AtomicBool,
    /// Levels that still have to be fitted to changed buffers. Not kept on disk: loading fits all.
    pub sweep: Mutex<Sweep>,
    /// How orders are routed.
    pub routing_policy: Published<RoutingPolicy>,
    /// Pickup slots that reservations hold. Derived from them.
    pub held_slots: HeldSlots,
    /// What is promised of deliveries on their way.
    pub claims: Claims,
}

impl Default for State {
    fn default() -> Self {
        State {
            stores: Catalog::default(),
            store_index: Published::default(),
            products: Catalog::default(),
            product_categories: RwLock::default(),
            categories: Table::default(),
            category_paths: Table::default(),
            gtins: Table::default(),
            plus: Table::default(),
            customers: large_table(),
            identifiers: large_table(),
            stock: StockTable::default(),
            offers: Table::default(),
            active_offers: Published::default(),
            outcomes: Table::default(),
            reservations: large_table(),
            orders: large_table(),
            order_index: Mutex::default(),
            checkouts: large_table(),
            business_keys: table_of_parts(BUSINESS_KEY_PARTS),
            requests: Mutex::default(),
            quarantine: RwLock::default(),
            provisional: RwLock::default(),
            timers: Mutex::default(),
            sequence: AtomicU64::default(),
            now_ms: AtomicI64::default(),
            next_customer: AtomicU64::default(),
            next_reservation: AtomicU64::default(),
            transactions: AtomicU64::default(),
            catalog_version: AtomicU64::default(),
            residency: Default::default(),
            deliveries: Table::default(),
            inbound: InboundIndex::default(),
            near_time_rules: RwLock::default(),
            accuracy: Table::default(),
            sources: Table::default(),
            store_prices: large_table(),
            has_store_prices: AtomicBool::default(),
            sweep: Mutex::default(),
            routing_policy: Published::default(),
            held_slots: HeldSlots::default(),
            claims: Claims::default(),
        }
    }
}

/// A scanned or named item, found.
#[derive(Clone, Debug)]
pub struct FoundItem {
    /// Its number.
    pub id: SkuId,
    /// The product.
    pub product: Arc<Product>,
    /// What the code says about the quantity.
    pub quantity: Option<Thousandths>,
    /// What the code says about the price.
    pub amount: Option<Money>,
}

impl State {
    /// Counters as they are kept on disk.
    pub fn counters(&self) -> Counters {
        Counters {
            sequence: Sequence(self.sequence.load(Ordering::Acquire)),
            now: Time(self.now_ms.load(Ordering::Acquire)),
            next_customer: self.next_customer.load(Ordering::Acquire),
            next_reservation: self.next_reservation.load(Ordering::Acquire),
            transactions: self.transactions.load(Ordering::Acquire),
            provisional: read(&self.provisional).len() as u64,
            request_window_start: lock(&self.requests).start(),
        }
    }

    /// Sets the counters when a state is loaded.
    pub fn set_counters(&self, counters: Counters) {
        self.sequence.store(counters.sequence.0, Ordering::Release);
        self.now_ms.store(counters.now.0, Ordering::Release);
        self.next_customer
            .store(counters.next_customer, Ordering::Release);
        self.next_reservation
            .store(counters.next_reservation, Ordering::Release);
        self.transactions
            .store(counters.transactions, Ordering::Release);
        lock(&self.requests).forget_before(counters.request_window_start);
    }

    /// A lower bound of what a reader sees: every change up to it.
    pub fn snapshot_sequence(&self) -> Sequence {
        Sequence(self.sequence.load(Ordering::Acquire))
    }

    /// A customer who is in memory; one who is not may be on disk where [`Self::residency`] is limited.
    pub fn customer(&self, id: CustomerId) -> Option<Arc<Customer>> {
        let customer = self.customers.get(&id).map(|c| Arc::clone(&c))?;
        self.residency.touch(id);
        Some(customer)
    }

    /// A reservation.
    pub fn reservation(&self, id: ReservationId) -> Option<Arc<Reservation>> {
        self.reservations.get(&id).map(|r| Arc::clone(&r))
    }

    /// A stock level; zeros where nothing was ever counted or moved.
    pub fn level(&self, sku: SkuId, store: StoreId) -> StockLevel {
        let none = || StockLevel {
            safety: self.stock.buffers().effective(sku, store, 0),
            ..StockLevel::default()
        };
        self.stock
            .get(CellKey::new(sku, store))
            .unwrap_or_else(none)
    }

    /// What is told of a level beside it.
    pub fn beside(&self, sku: SkuId, store: StoreId, now: Time) -> Beside {
        let (incoming, incoming_at) = self.inbound.incoming(sku, store);
        let near = self.near_time(sku, store, now);
        Beside {
            incoming,
            incoming_at,
            near_time: near.map_or(0, |near| near.quantity),
            confidence_ppm: self.confidence_ppm(store, now),
        }
    }

    /// What may be offered of a product in a store before it is there.
    pub fn near_time(&self, sku: SkuId, store: StoreId, now: Time) -> Option<NearTime> {
        let horizon_ms = self.near_time_horizon_ms(store);
        if horizon_ms == 0 {
            return None;
        }
        self.inbound.near_time(sku, store, now, horizon_ms)
    }

    /// How far a store's stock can be believed, in millionths.
    pub fn confidence_ppm(&self, store: StoreId, now: Time) -> u32 {
        let accuracy = self.accuracy.get(&store).map(|a| *a);
        accuracy.unwrap_or_default().confidence_ppm(now)
    }

    /// What may be promised online of a product in a store.
    pub fn available_online(&self, sku: SkuId, store: StoreId) -> i64 {
        let level = self
            .stock
            .read(CellKey::new(sku, store), StockLevel::available_online);
        // What was never there is kept back all the same, when it comes.
        level.unwrap_or_else(|| -self.stock.buffers().effective(sku, store, 0))
    }

    /// The path of a category.
    pub fn category_path(&self, id: CategoryId) -> Option<Arc<str>> {
        self.category_paths.get(&id).map(|p| Arc::clone(&p))
    }

    /// Notes the category of a product for [`Self::product_categories`].
    pub(crate) fn note_category(&self, id: SkuId, category: Option<CategoryId>) {
        let path = category.and_then(|category| self.category_path(category));
        if self.stock.buffers().note_category(id, path) {
            lock(&self.sweep).skus.insert(id);
        }
        let mut categories = write(&self.product_categories);
        // Numbers of products are dense.
        let at = id.0 as usize;
        if categories.len() <= at {
            categories.resize(at + 1, None);
        }
        categories[at] = category;
    }

    /// A product by SKU.
    pub fn find_sku(&self, sku: &str) -> Option<FoundItem> {
        let (id, product) = self.products.find(sku)?;
        Some(FoundItem {
            id,
            product,
            quantity: None,
            amount: None,
        })
    }

    /// A product by what a scanner read: a GTIN first, then in-store codes in the order of the masks. A price-embedded
    /// code tells the quantity where the product has a list price: price divided by price per unit.
    pub fn find_scanned(
        &self,
        gtin: Option<u64>,
        embedded: &[(Arc<str>, Embedded)],
    ) -> Option<FoundItem> {
        if let Some(id) = gtin.and_then(|g| self.gtins.get(&g).map(|id| *id)) {
            let product = self.products.get(id)?;
            return Some(FoundItem {
                id,
                product,
                quantity: None,
                amount: None,
            });
        }
        embedded.iter().find_map(|(code, value)| {
            let id = self.plus.get(code.as_ref()).map(|id| *id)?;
            let product = self.products.get(id)?;
            let (quantity, amount) = match (*value, product.list_price) {
                (Embedded::Weight(weight), _) => (Some(weight), None),
                (Embedded::PriceMinor(minor), Some(price)) => {
                    let quantity = (price.minor > 0)
                        .then(|| Thousandths(mul_div_round(minor, 1000, price.minor)));
                    (
                        quantity,
                        Some(Money {
                            currency: price.currency,
                            minor,
                        }),
                    )
                }
                (Embedded::PriceMinor(minor), None) => (
                    None,
                    Some(Money {
                        currency: crate::units::Currency::EUR,
                        minor,
                    }),
                ),
            };
            Some(FoundItem {
                id,
                product,
                quantity,
                amount,
            })
        })
    }

    /// The time of the next timer.
    pub fn next_timer(&self) -> Option<Time> {
        lock(&self.timers).first().map(|(time, _)| *time)
    }

    /// Timers due at `now`, earliest first, at most `max`. They stay until their command is applied.
    pub fn due_timers(&self, now: Time, max: usize) -> Vec<Timer> {
        lock(&self.timers)
            .iter()
            .take_while(|(time, _)| *time <= now)
            .take(max)
            .map(|(_, t)| t.clone())
            .collect()
    }
}
