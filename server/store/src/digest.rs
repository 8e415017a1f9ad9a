//! The canonical digest of a state: BLAKE3 over every table but the log, in the order of the table numbers and then of
//! the keys, over the bytes the rows have on disk. So "the same state" is one comparison, between memory and disk,
//! before and after a crash, or between two machines.

use std::sync::Arc;

use rocksdb::DB;
use tillside_engine::customer::Customer;
use tillside_engine::ids::CustomerId;
use tillside_engine::profile::History;
use tillside_engine::state::{Counters, State, lock, read};

use crate::batch::Encoder;
use crate::error::StoreError;
use crate::frame;
use crate::load::read_meta;
use crate::profiles;
use crate::record::catalog::CategoryPath;
use crate::record::keys::{Answers, IdentifierOwner, TakenAt};
use crate::record::{self, Row};
use crate::rocks::SnapshotTables;
use crate::table::{Key as _, PolicyKey, Table, Tables};

/// Bytes gathered before they are hashed: many rows at once are hashed several times faster than each for itself.
const CHUNK_BYTES: usize = 64 << 10;

/// A digest and what it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDigest {
    /// Sequence of the last change in it.
    pub sequence: u64,
    /// BLAKE3 in hexadecimal digits.
    pub hex: String,
}

/// Tables up to this number count in every digest. One that came later is left out where it is empty, so that a state has
/// the digest it always had.
const FIRST_TABLES_MAX: u8 = 20;

/// Computes digests of what is on disk, from snapshots, on any thread, while the log is written to.
#[derive(Clone)]
pub struct SnapshotDigest {
    db: Arc<DB>,
}

impl SnapshotDigest {
    pub(crate) fn new(db: Arc<DB>) -> Self {
        SnapshotDigest { db }
    }

    /// The digest of the last durable batch.
    ///
    /// # Errors
    /// [`StoreError`] where a row cannot be read or its checksum is wrong.
    pub fn digest(&self) -> Result<StateDigest, StoreError> {
        of_tables(&SnapshotTables::of(&self.db))
    }
}

/// The digest of tables that do not change meanwhile.
///
/// # Errors
/// [`StoreError`] where a row cannot be read or its checksum is wrong.
pub fn of_tables(tables: &impl Tables) -> Result<StateDigest, StoreError> {
    let counters = read_meta(tables)?
        .map(|meta| meta.counters)
        .unwrap_or_default();
    let mut digest = Digest::new(&counters);
    for table in Table::ALL.into_iter().filter(|table| hashed(*table)) {
        digest.start(table);
        let mut cursor = tables.cursor(table, &first_key(table, &counters), None)?;
        while let Some((key, value)) = cursor.next()? {
            frame::payload(table, key, value)?;
            digest.row(key, value);
        }
        digest.end();
    }
    Ok(digest.finish(&counters))
}

/// Where the rows of a table begin that count. Requests before the window's start may still be on disk, and are forgotten all
/// the same.
pub(crate) fn first_key(table: Table, counters: &Counters) -> Vec<u8> {
    match table {
        Table::AnsweredRequests => counters.request_window_start.to_bytes(),
        _ => Vec::new(),
    }
}

/// The digest of a state in memory, which must not change meanwhile: every entity is encoded as its row would be.
/// Customers who are only on disk are not in it: see [`digest_with_tables`].
pub fn state_digest(state: &State) -> StateDigest {
    let resident = state.customers.iter();
    digest_of(
        state,
        &resident
            .map(|e| (*e.key(), Arc::clone(e.value())))
            .collect::<Vec<_>>(),
    )
}

/// The digest of a state whose customers are partly in memory and else in `tables`. Neither must change meanwhile, and
/// everything must be durable.
///
/// # Errors
/// [`StoreError`] where a row cannot be read or its checksum is wrong.
pub fn digest_with_tables(state: &State, tables: &impl Tables) -> Result<StateDigest, StoreError> {
    let resident = state.customers.iter();
    let mut customers: Vec<(CustomerId, Arc<Customer>)> = resident
        .map(|e| (*e.key(), Arc::clone(e.value())))
        .collect();
    let mut cursor = tables.cursor(Table::Relations, &[], None)?;
    while let Some((key, _)) = cursor.next()? {
        let id = CustomerId::read(key).map_err(|problem| problem.at(Table::Relations, key))?;
        if state.customers.contains_key(&id) {
            continue;
        }
        let read = profiles::assemble(id, |table, key| {
            let mut to = key.to_vec();
            to.push(0);
            let mut cursor = tables.cursor(table, key, Some(&to))?;
            Ok(cursor.next()?.map(|(_, value)| value.to_vec()))
        })?;
        customers.push((id, read.customer));
    }
    Ok(digest_of(state, &customers))
}

fn digest_of(state: &State, customers: &[(CustomerId, Arc<Customer>)]) -> StateDigest {
    let counters = state.counters();
    let mut digest = Digest::new(&counters);
    rows_with(state, customers, &mut digest);
    digest.finish(&counters)
}

/// Takes the rows of tables, table by table in the order of the digest.
pub(crate) trait RowSink {
    /// A table begins.
    fn start(&mut self, table: Table);
    /// Its next row in the order of the keys, as it is on disk.
    fn row(&mut self, key: &[u8], value: &[u8]);
    /// It ends.
    fn end(&mut self);

    /// A table in memory: gathered, sorted, encoded.
    fn table<E, T: Row>(
        &mut self,
        table: Table,
        entries: impl Iterator<Item = E>,
        row: impl Fn(E) -> (T::Key, Arc<T>),
    ) where
        T::Key: Ord,
    {
        debug_assert_eq!(table, T::TABLE, "a row goes into its own table");
        let mut rows: Vec<(T::Key, Arc<T>)> = entries.map(row).collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        self.start(table);
        let mut encoder = Encoder::default();
        for (key, entity) in &rows {
            let (key, value) = encoder.row(key, &**entity);
            self.row(key, value);
        }
        self.end();
    }
}

/// Gives every row of a state in memory, which must not change meanwhile, but the counters. All customers are in memory.
pub(crate) fn rows_of(state: &State, digest: &mut impl RowSink) {
    let resident = state.customers.iter();
    let customers: Vec<_> = resident
        .map(|e| (*e.key(), Arc::clone(e.value())))
        .collect();
    rows_with(state, &customers, digest);
}

fn rows_with(state: &State, customers: &[(CustomerId, Arc<Customer>)], digest: &mut impl RowSink) {
    let customers = || customers.iter();
    digest.table(Table::Stores, state.stores.items.iter(), |e| {
        (*e.key(), Arc::clone(e.value()))
    });
    digest.table(Table::Categories, state.category_paths.iter(), |e| {
        (*e.key(), Arc::new(CategoryPath(Arc::clone(e.value()))))
    });
    digest.table(Table::Products, state.products.items.iter(), |e| {
        (*e.key(), Arc::clone(e.value()))
    });
    digest.table(Table::Personal, customers(), |(id, customer)| {
        (*id, Arc::clone(&customer.personal))
    });
    digest.table(Table::Relations, customers(), |(id, customer)| {
        (*id, Arc::clone(&customer.relation))
    });
    // A history that says nothing has no row.
    let with_history = customers().filter(|(_, customer)| customer.history != History::default());
    digest.table(Table::Histories, with_history, |(id, customer)| {
        (*id, Arc::new(customer.history.clone()))
    });
    digest.table(Table::Identifiers, state.identifiers.iter(), |e| {
        (*e.key(), Arc::new(IdentifierOwner(*e.value())))
    });
    digest.table(Table::Stock, state.stock.cells(), |(cell, level)| {
        (cell, Arc::new(level))
    });
    digest.table(Table::Offers, state.offers.iter(), |e| {
        (Arc::clone(e.key()), Arc::clone(e.value()))
    });
    digest.table(Table::Outcomes, state.outcomes.iter(), |e| {
        (Arc::clone(e.key()), Arc::new(*e.value()))
    });
    digest.table(Table::Reservations, state.reservations.iter(), |e| {
        (*e.key(), Arc::clone(e.value()))
    });
    digest.table(Table::Checkouts, state.checkouts.iter(), |e| {
        (Arc::clone(e.key()), Arc::clone(e.value()))
    });
    digest.table(Table::BusinessKeys, state.business_keys.iter(), |e| {
        (*e.key(), Arc::new(TakenAt(*e.value())))
    });
    digest.table(
        Table::Quarantine,
        read(&state.quarantine).iter(),
        |(key, line)| (*key, Arc::clone(line)),
    );
    digest.table(
        Table::AnsweredRequests,
        lock(&state.requests).iter(),
        |answered| (answered.sequence, Arc::new(Answers::of(&answered))),
    );
    digest.table(Table::Deliveries, state.deliveries.iter(), |e| {
        (Arc::clone(e.key()), Arc::clone(e.value()))
    });
    digest.table(
        Table::StockFacts,
        state.facts().into_iter(),
        |(key, fact)| (key, Arc::new(fact)),
    );
    // The policy that is built in has no row.
    let policy = Some(state.routing_policy.get()).filter(|policy| policy.version.0 > 0);
    digest.table(Table::RoutingPolicy, policy.into_iter(), |policy| {
        (PolicyKey, policy)
    });
}

/// Whether a table's rows go into the digest as they are. The counters come first, without the log's checksum, which a
/// state in memory does not have. How much of the past is folded is not state: it differs between equal servers.
fn hashed(table: Table) -> bool {
    !matches!(
        table,
        Table::Log | Table::Meta | Table::StockOpenings | Table::PointsOpenings
    )
}

struct Digest {
    hasher: blake3::Hasher,
    chunk: Vec<u8>,
    rows: u64,
    may_be_absent: bool,
}

impl RowSink for Digest {
    fn start(&mut self, table: Table) {
        self.rows = 0;
        self.may_be_absent = table.number() > FIRST_TABLES_MAX;
        self.chunk.push(table.number());
    }

    /// A row, with lengths, so that no two different tables give the same bytes.
    fn row(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        self.chunk
            .extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.chunk.extend_from_slice(key);
        self.chunk
            .extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.chunk.extend_from_slice(value);
        if self.chunk.len() >= CHUNK_BYTES {
            self.hasher.update(&self.chunk);
            self.chunk.clear();
        }
    }

    fn end(&mut self) {
        if self.may_be_absent && self.rows == 0 {
            // As if it were not there: nothing was hashed since its number was pushed.
            self.chunk.pop();
            return;
        }
        self.chunk.extend_from_slice(&self.rows.to_le_bytes());
    }
}

impl Digest {
    fn new(counters: &Counters) -> Self {
        let mut digest = Digest {
            hasher: blake3::Hasher::new(),
            chunk: Vec::with_capacity(2 * CHUNK_BYTES),
            rows: 0,
            may_be_absent: false,
        };
        let mut payload = Vec::new();
        record::write_payload(counters, &mut payload);
        digest.start(Table::Meta);
        digest.row(&[], &payload);
        digest.end();
        digest
    }

    fn finish(mut self, counters: &Counters) -> StateDigest {
        self.hasher.update(&self.chunk);
        StateDigest {
            sequence: counters.sequence.0,
            hex: self.hasher.finalize().to_hex().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tillside_engine::ids::{CellKey, Sequence, SkuId, StoreId};

    use crate::table::Key;

    #[test]
    // What the order of the digest rests on.
    fn keys_sort_on_disk_as_in_memory() {
        let cells: Vec<CellKey> = [(0, 1), (0, u32::MAX), (1, 0), (256, 0), (65_536, 7)]
            .map(|(s, t)| CellKey::new(SkuId(s), StoreId(t)))
            .into();
        assert!(cells.iter().map(Key::to_bytes).is_sorted());
        let lines = [(1, 255), (1, 256), (2, 0), (256, 0)].map(|(s, l)| (Sequence(s), l));
        assert!(lines.iter().map(Key::to_bytes).is_sorted());
    }
}
