//! Single customers from the tables, for those who are not in memory. The three rows of a customer are read at one moment,
//! and the reading says which: whoever takes it into memory can tell whether it is as new as it has to be.

use std::sync::Arc;

use rocksdb::{DB, ReadOptions};
use tillside_engine::customer::{Customer, Personal, Relation};
use tillside_engine::ids::{CustomerId, Sequence};
use tillside_engine::profile::History;

use crate::error::{RecordProblem, StoreError};
use crate::frame;
use crate::record::meta::Meta;
use crate::record::{self, Row};
use crate::table::{Key, META_KEY, Table};

/// A customer as it was on disk.
#[derive(Clone, Debug)]
pub struct ProfileRead {
    /// The customer.
    pub customer: Arc<Customer>,
    /// Every change up to it is in it.
    pub sequence: Sequence,
}

/// Reads customers, on any thread, while the log is written to.
pub trait Profiles: Send + Sync {
    /// The customer `id` as of one moment not before this call.
    ///
    /// # Errors
    /// [`StoreError`] where a row cannot be read, is damaged or is not there: it is only asked for customers who exist.
    fn read(&self, id: CustomerId) -> Result<ProfileRead, StoreError>;
}

impl std::fmt::Debug for dyn Profiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Profiles")
    }
}

/// Reads from RocksDB. It keeps the directory in use.
pub struct RocksProfiles {
    db: Arc<DB>,
}

impl RocksProfiles {
    pub(crate) fn new(db: Arc<DB>) -> Self {
        RocksProfiles { db }
    }
}

impl Profiles for RocksProfiles {
    fn read(&self, id: CustomerId) -> Result<ProfileRead, StoreError> {
        let snapshot = self.db.snapshot();
        assemble(id, |table, key| {
            let mut options = ReadOptions::default();
            options.set_snapshot(&snapshot);
            let failed = |message: String| StoreError::Read { table, message };
            let family = self
                .db
                .cf_handle(table.name())
                .ok_or_else(|| failed("the database has no such table".to_owned()))?;
            self.db
                .get_pinned_cf_opt(family, key, &options)
                .map_err(|e| failed(e.into_string()))
        })
    }
}

/// Makes a customer of what `get` finds in the tables at one moment.
pub(crate) fn assemble<V: AsRef<[u8]>>(
    id: CustomerId,
    get: impl Fn(Table, &[u8]) -> Result<Option<V>, StoreError>,
) -> Result<ProfileRead, StoreError> {
    let key = id.to_bytes();
    let relation: Relation =
        row(&get, &key)?.ok_or_else(|| missing(Table::Personal, id, Table::Relations))?;
    let personal: Personal =
        row(&get, &key)?.ok_or_else(|| missing(Table::Relations, id, Table::Personal))?;
    // A customer without sales has no row.
    let history: History = row(&get, &key)?.unwrap_or_default();
    let meta = get(Table::Meta, META_KEY)?;
    let sequence = match &meta {
        Some(value) => {
            let payload = frame::payload(Table::Meta, META_KEY, value.as_ref())?;
            let meta: Meta = record::read_payload(payload)
                .map_err(|problem| problem.at(Table::Meta, META_KEY))?;
            meta.counters.sequence
        }
        None => Sequence(0),
    };
    Ok(ProfileRead {
        customer: Arc::new(Customer {
            personal: Arc::new(personal),
            relation: Arc::new(relation),
            history,
        }),
        sequence,
    })
}

fn row<T: Row, V: AsRef<[u8]>>(
    get: &impl Fn(Table, &[u8]) -> Result<Option<V>, StoreError>,
    key: &[u8],
) -> Result<Option<T>, StoreError> {
    let value = get(T::TABLE, key)?;
    Ok(value
        .map(|value| record::read_value(key, value.as_ref()))
        .transpose()?)
}

fn missing(table: Table, id: CustomerId, missing_in: Table) -> StoreError {
    RecordProblem::Orphan {
        missing_in: missing_in.name(),
    }
    .at(table, &id.to_bytes())
    .into()
}
