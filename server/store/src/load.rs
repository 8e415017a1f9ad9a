//! Recovery: the tables become a state again. Nothing is replayed; the log's end only has to agree. Large tables are
//! read in ranges by several threads, because decoding and inserting take longer than reading.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tillside_engine::catalog::{Product, Store};
use tillside_engine::customer::{Customer, Personal, Relation};
use tillside_engine::facts::Fact;
use tillside_engine::ids::CustomerId;
use tillside_engine::inbound::Delivery;
use tillside_engine::offer::{Offer, OutcomeCounts};
use tillside_engine::profile::History;
use tillside_engine::reservation::{Checkout, Reservation};
use tillside_engine::residency::Residency;
use tillside_engine::routing_policy::RoutingPolicy;
use tillside_engine::sale::QuarantinedLine;
use tillside_engine::state::{Counters, State, lock, write};
use tillside_engine::stock::StockLevel;

use crate::digest::first_key;
use crate::error::{RecordProblem, StoreError};
use crate::frame;
use crate::log::{Log, Position};
use crate::record::catalog::CategoryPath;
use crate::record::keys::{Answers, IdentifierOwner, TakenAt};
use crate::record::meta::Meta;
use crate::record::{self, Row};
use crate::table::{Cursor, Key, META_KEY, PolicyKey, Table, Tables};

/// Ranges a large table is read in: a few a thread, so that none waits long for the last one.
const RANGES: u64 = 8;
/// Threads at most: beyond it the disk or the memory is the limit.
const THREADS_MAX: usize = 8;

/// A recovered state and how it went.
#[derive(Debug)]
pub struct Loaded {
    /// The state, derived structures and counters included.
    pub state: State,
    /// Rows read, by table.
    pub rows: BTreeMap<Table, u64>,
    /// Reading and inserting.
    pub reading: Duration,
    /// Rebuilding what is derived.
    pub deriving: Duration,
}

/// Loads the state from the tables and checks that they are at the log's end.
///
/// # Errors
/// [`StoreError`] at the first row that cannot be used.
pub fn load(log: &(impl Log + Tables + Sync)) -> Result<Loaded, StoreError> {
    load_within(log, None)
}

/// As [`load`], with at most about `hot_profiles_max_bytes` of customers in memory; the others are read and checked all the
/// same, and left on disk.
///
/// # Errors
/// As [`load`].
pub fn load_within(
    log: &(impl Log + Tables + Sync),
    hot_profiles_max_bytes: Option<u64>,
) -> Result<Loaded, StoreError> {
    let started = Instant::now();
    let counters = check_meta(log, log.position())?.unwrap_or_default();
    let state = State {
        residency: hot_profiles_max_bytes.map_or_else(Residency::default, Residency::limited),
        ..State::default()
    };
    let cold = Cold::default();
    let rows = read_all(log, &state, &cold, &counters)?;
    let read = started.elapsed();
    state.rebuild_derived();
    write(&state.provisional).extend(
        cold.provisional
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner),
    );
    state.set_counters(counters);
    Ok(Loaded {
        state,
        rows,
        reading: read,
        deriving: started.elapsed() - read,
    })
}

/// The counters; an error where the tables are not at `end`. `None` in an empty database.
pub(crate) fn check_meta(
    tables: &impl Tables,
    end: Position,
) -> Result<Option<Counters>, StoreError> {
    let meta = read_meta(tables)?;
    let at = meta.map_or(Position::default(), |m| Position {
        sequence: m.counters.sequence,
        checksum: m.last_checksum,
    });
    if at.sequence != end.sequence {
        return Err(StoreError::TablesNotAtLogEnd {
            tables: at.sequence.0,
            log: end.sequence.0,
        });
    }
    if at.checksum != end.checksum {
        let (expected, found) = (at.checksum, end.checksum);
        return Err(StoreError::BrokenChain {
            sequence: end.sequence.0,
            expected,
            found,
        });
    }
    Ok(meta.map(|m| m.counters))
}

/// The row of the table `meta`.
pub(crate) fn read_meta(tables: &impl Tables) -> Result<Option<Meta>, StoreError> {
    let mut cursor = tables.cursor(Table::Meta, META_KEY, None)?;
    let Some((key, value)) = cursor.next()? else {
        return Ok(None);
    };
    let payload = frame::payload(Table::Meta, key, value)?;
    Ok(Some(
        record::read_payload(payload).map_err(|problem| problem.at(Table::Meta, key))?,
    ))
}

/// What is kept of customers who stay on disk, and how much memory the others take.
#[derive(Default)]
struct Cold {
    resident_bytes: AtomicU64,
    provisional: Mutex<Vec<CustomerId>>,
}

impl Cold {
    /// Takes a customer into memory while there is room; somebody always is.
    fn place(&self, state: &State, id: CustomerId, customer: Customer) {
        if let Some(budget) = state.residency.budget_bytes() {
            let bytes = customer.resident_bytes() as u64;
            let before = self.resident_bytes.fetch_add(bytes, Ordering::Relaxed);
            if before > 0 && before + bytes > budget {
                self.resident_bytes.fetch_sub(bytes, Ordering::Relaxed);
                if customer.relation.provisional {
                    lock(&self.provisional).push(id);
                }
                return;
            }
        }
        state.customers.insert(id, Arc::new(customer));
    }
}

/// One piece of the work.
struct Unit {
    table: Table,
    from: Vec<u8>,
    to: Option<Vec<u8>>,
}

fn read_all(
    tables: &(impl Tables + Sync),
    state: &State,
    cold: &Cold,
    counters: &Counters,
) -> Result<BTreeMap<Table, u64>, StoreError> {
    let units = plan(tables, counters)?;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut rows = BTreeMap::new();
        // An error ends this thread; the others find the rest of the list and their results are dropped.
        while let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
            read_unit(tables, state, cold, unit, &mut rows)
                .inspect_err(|_| next.store(units.len(), Ordering::Relaxed))?;
        }
        Ok(rows)
    };
    let threads = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .min(THREADS_MAX);
    let results: Vec<Result<BTreeMap<Table, u64>, StoreError>> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut results = vec![work()];
        // A panic of a reader is a programmer's error and goes on here.
        results.extend(others.into_iter().map(|t| {
            t.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        }));
        results
    });
    let mut rows: BTreeMap<Table, u64> = BTreeMap::new();
    for result in results {
        for (table, count) in result? {
            *rows.entry(table).or_default() += count;
        }
    }
    Ok(rows)
}

/// The large tables in ranges of their keys, largest first, then the small ones.
fn plan(tables: &impl Tables, counters: &Counters) -> Result<Vec<Unit>, StoreError> {
    // Requests are read in their order, so in one piece: it begins first.
    let mut units = vec![Unit {
        table: Table::AnsweredRequests,
        from: first_key(Table::AnsweredRequests, counters),
        to: None,
    }];
    // Stock keys begin with the product, and product numbers are dense.
    let products = match tables.last_key(Table::Products)? {
        Some(key) => {
            key.first_chunk()
                .map_or(0, |number| u64::from(u32::from_be_bytes(*number)))
                + 1
        }
        None => 0,
    };
    split(&mut units, Table::Stock, products, |number| {
        (number as u32).to_be_bytes().to_vec()
    });
    split(
        &mut units,
        Table::Relations,
        counters.next_customer,
        |number| number.to_be_bytes().to_vec(),
    );
    // Hashes are spread evenly over their first byte.
    for table in [Table::Identifiers, Table::BusinessKeys] {
        split(&mut units, table, 256, |byte| vec![byte as u8]);
    }
    let small = [
        Table::Reservations,
        Table::Products,
        Table::Stores,
        Table::Categories,
        Table::Offers,
        Table::Outcomes,
        Table::Checkouts,
        Table::Quarantine,
        Table::Deliveries,
        Table::StockFacts,
        Table::RoutingPolicy,
    ];
    units.extend(small.map(|table| Unit {
        table,
        from: Vec::new(),
        to: None,
    }));
    Ok(units)
}

/// Ranges of about equal length over the numbers below `end`; the last is open, so no key is outside of all.
fn split(units: &mut Vec<Unit>, table: Table, end: u64, key: impl Fn(u64) -> Vec<u8>) {
    let step = end.div_ceil(RANGES).max(1);
    for range in 0..RANGES {
        let from = if range == 0 {
            Vec::new()
        } else {
            key(range * step)
        };
        let to = (range + 1 < RANGES).then(|| key((range + 1) * step));
        // Past the end the ranges would be empty: the last one that is not takes the rest.
        let last = (range + 1) * step >= end;
        units.push(Unit {
            table,
            from,
            to: to.filter(|_| !last),
        });
        if last {
            break;
        }
    }
}

fn read_unit(
    tables: &impl Tables,
    state: &State,
    cold: &Cold,
    unit: &Unit,
    rows: &mut BTreeMap<Table, u64>,
) -> Result<(), StoreError> {
    if unit.table == Table::Relations {
        return read_customers(tables, state, cold, unit, rows);
    }
    let mut cursor = tables.cursor(unit.table, &unit.from, unit.to.as_deref())?;
    let count = rows.entry(unit.table).or_default();
    while let Some((key, value)) = cursor.next()? {
        insert(state, unit.table, key, value)?;
        *count += 1;
    }
    Ok(())
}

fn insert(state: &State, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    match table {
        Table::Stores => {
            let (id, store) = record::read_row::<Store>(key, value)?;
            state.stores.numbers.insert(Arc::clone(&store.store_id), id);
            state.stores.items.insert(id, Arc::new(store));
        }
        Table::Categories => {
            let (id, CategoryPath(path)) = record::read_row(key, value)?;
            state.categories.insert(Arc::clone(&path), id);
            state.category_paths.insert(id, path);
        }
        Table::Products => {
            let (id, product) = record::read_row::<Product>(key, value)?;
            state.products.numbers.insert(Arc::clone(&product.sku), id);
            state.products.items.insert(id, Arc::new(product));
        }
        Table::Identifiers => {
            let (hash, IdentifierOwner(customer)) = record::read_row(key, value)?;
            state.identifiers.insert(hash, customer);
        }
        Table::Stock => {
            let (cell, level) = record::read_row::<StockLevel>(key, value)?;
            state.stock.insert(cell, level);
        }
        Table::Offers => {
            let (id, offer) = record::read_row::<Offer>(key, value)?;
            state.offers.insert(id, Arc::new(offer));
        }
        Table::Outcomes => {
            let (id, counts) = record::read_row::<OutcomeCounts>(key, value)?;
            state.outcomes.insert(id, counts);
        }
        Table::Reservations => {
            let (id, reservation) = record::read_row::<Reservation>(key, value)?;
            state.reservations.insert(id, Arc::new(reservation));
        }
        Table::Checkouts => {
            let (id, checkout) = record::read_row::<Checkout>(key, value)?;
            state.checkouts.insert(id, Arc::new(checkout));
        }
        Table::BusinessKeys => {
            let (key, TakenAt(sequence)) = record::read_row(key, value)?;
            state.business_keys.insert(key, sequence);
        }
        Table::AnsweredRequests => {
            let (sequence, answers) = record::read_row::<Answers>(key, value)?;
            lock(&state.requests).insert(answers.answered(sequence));
        }
        Table::Quarantine => {
            let (key, line) = record::read_row::<QuarantinedLine>(key, value)?;
            write(&state.quarantine).insert(key, Arc::new(line));
        }
        Table::Deliveries => {
            let (id, delivery) = record::read_row::<Delivery>(key, value)?;
            state.deliveries.insert(id, Arc::new(delivery));
        }
        Table::StockFacts => {
            let (key, fact) = record::read_row::<Fact>(key, value)?;
            state.set_fact(&key, Some(fact));
        }
        Table::RoutingPolicy => {
            let (PolicyKey, policy) = record::read_row::<RoutingPolicy>(key, value)?;
            state.routing_policy.set(policy);
        }
        // The log and what was folded out of it are not state, the counters are read first, and the parts of a customer
        // are read together. What is left of format 1 is moved to its new place before anything is loaded.
        Table::Log
        | Table::Meta
        | Table::Personal
        | Table::Relations
        | Table::Histories
        | Table::StockOpenings
        | Table::PointsOpenings
        | Table::Requests => {}
    }
    Ok(())
}

/// The three tables of customers side by side in the order of their one key, so that each customer is made once.
fn read_customers(
    tables: &impl Tables,
    state: &State,
    cold: &Cold,
    unit: &Unit,
    rows: &mut BTreeMap<Table, u64>,
) -> Result<(), StoreError> {
    let cursor = |table| tables.cursor(table, &unit.from, unit.to.as_deref());
    let mut personal = Side::<Personal>::new(cursor(Table::Personal)?)?;
    let mut relations = Side::<Relation>::new(cursor(Table::Relations)?)?;
    let mut histories = Side::<History>::new(cursor(Table::Histories)?)?;
    while let Some((id, relation)) = relations.take()? {
        let Some(personal) = personal.take_if(id)? else {
            return Err(orphan(Table::Relations, id, Table::Personal));
        };
        let history = histories.take_if(id)?.unwrap_or_default();
        // The other tables have no earlier row than this one, else its relation is missing.
        let customer = Customer {
            personal: Arc::new(personal),
            relation: Arc::new(relation),
            history,
        };
        cold.place(state, id, customer);
    }
    let left_personal = personal.head.as_ref().map(|(id, _)| (Table::Personal, *id));
    let left_history = histories
        .head
        .as_ref()
        .map(|(id, _)| (Table::Histories, *id));
    if let Some((table, id)) = left_personal.or(left_history) {
        return Err(orphan(table, id, Table::Relations));
    }
    for (table, count) in [
        (Table::Personal, personal.count),
        (Table::Relations, relations.count),
        (Table::Histories, histories.count),
    ] {
        *rows.entry(table).or_default() += count;
    }
    Ok(())
}

fn orphan(table: Table, id: CustomerId, missing_in: Table) -> StoreError {
    RecordProblem::Orphan {
        missing_in: missing_in.name(),
    }
    .at(table, &id.to_bytes())
    .into()
}

/// A table of customers with its next row decoded.
struct Side<'t, T> {
    cursor: Box<dyn Cursor + 't>,
    head: Option<(CustomerId, T)>,
    count: u64,
}

impl<'t, T: Row<Key = CustomerId>> Side<'t, T> {
    fn new(cursor: Box<dyn Cursor + 't>) -> Result<Self, StoreError> {
        let mut side = Side {
            cursor,
            head: None,
            count: 0,
        };
        side.take()?;
        Ok(side)
    }

    /// The head; the row after it becomes the head.
    fn take(&mut self) -> Result<Option<(CustomerId, T)>, StoreError> {
        let next = match self.cursor.next()? {
            Some((key, value)) => Some(record::read_row::<T>(key, value)?),
            None => None,
        };
        self.count += u64::from(next.is_some());
        Ok(std::mem::replace(&mut self.head, next))
    }

    /// The head if it is the row of `id`; an earlier row belongs to nobody.
    fn take_if(&mut self, id: CustomerId) -> Result<Option<T>, StoreError> {
        match &self.head {
            Some((found, _)) if *found == id => Ok(self.take()?.map(|(_, entity)| entity)),
            Some((found, _)) if *found < id => Err(orphan(T::TABLE, *found, Table::Relations)),
            _ => Ok(None),
        }
    }
}
