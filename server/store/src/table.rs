//! The tables, their numbers and keys. Numbers and names are part of the format: none is ever reused or given another
//! meaning. Keys sort as their numbers do, so that a scan meets them in the engine's own order.

use std::sync::Arc;

use tillside_engine::catalog::CategoryId;
use tillside_engine::ids::{
    BusinessKey, CellKey, CustomerId, IdentifierHash, RequestKey, ReservationId, Sequence, SkuId,
    StoreId,
};

use crate::error::{RecordProblem, StoreError};

/// A table of the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Sequence -> what happened.
    Log = 1,
    /// Two rows: the counters with the log's last checksum, written with every batch; and, once history was folded, where
    /// the log begins, written by the fold alone.
    Meta = 2,
    /// Store number -> store.
    Stores = 3,
    /// Category number -> path.
    Categories = 4,
    /// Product number -> product.
    Products = 5,
    /// Customer -> envelope with the personal record. The only table with personal data.
    Personal = 6,
    /// Customer -> what the retailer told us, without naming the person.
    Relations = 7,
    /// Customer -> what the sales say.
    Histories = 8,
    /// Keyed hash of an identifier -> customer.
    Identifiers = 9,
    /// (product, store) -> level.
    Stock = 10,
    /// Offer id -> offer.
    Offers = 11,
    /// Offer id -> what became of it.
    Outcomes = 12,
    /// Reservation number -> reservation.
    Reservations = 13,
    /// Checkout id -> checkout.
    Checkouts = 14,
    /// Business key -> sequence that took it.
    BusinessKeys = 15,
    /// Request key -> where its answer is. Only format 1 has it: format 2 has [`Table::AnsweredRequests`] instead.
    Requests = 16,
    /// (sequence, line) -> line nobody can book yet.
    Quarantine = 17,
    /// (product, store) -> what its folded movements add up to.
    StockOpenings = 18,
    /// Customer -> what the folded movements of the points add up to.
    PointsOpenings = 19,
    /// Sequence of an answer -> the request it answers. Rows before the window's start count for nothing.
    AnsweredRequests = 20,
    /// Delivery id -> what is on its way to a store, and what came lately.
    Deliveries = 22,
    /// What is known about stock beside the levels; the first byte of a key says what: safety buffers, near-time rules, how
    /// far stores can be believed, how far sources have told, prices of stores.
    StockFacts = 23,
    /// One row: how orders are routed. Empty as long as nobody has said.
    RoutingPolicy = 24,
}

/// One more than the greatest table number, for arrays indexed by it.
pub(crate) const TABLE_SLOTS: usize = 25;

impl Table {
    /// Every table of the present format, in the order of the numbers, which is the order of the digest.
    pub const ALL: [Table; 22] = [
        Table::Log,
        Table::Meta,
        Table::Stores,
        Table::Categories,
        Table::Products,
        Table::Personal,
        Table::Relations,
        Table::Histories,
        Table::Identifiers,
        Table::Stock,
        Table::Offers,
        Table::Outcomes,
        Table::Reservations,
        Table::Checkouts,
        Table::BusinessKeys,
        Table::Quarantine,
        Table::StockOpenings,
        Table::PointsOpenings,
        Table::AnsweredRequests,
        Table::Deliveries,
        Table::StockFacts,
        Table::RoutingPolicy,
    ];

    /// Its number, which is also covered by the checksum of each of its rows.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Its name, on disk and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Table::Log => "log",
            Table::Meta => "meta",
            Table::Stores => "stores",
            Table::Categories => "categories",
            Table::Products => "products",
            Table::Personal => "personal",
            Table::Relations => "relations",
            Table::Histories => "histories",
            Table::Identifiers => "identifiers",
            Table::Stock => "stock",
            Table::Offers => "offers",
            Table::Outcomes => "outcomes",
            Table::Reservations => "reservations",
            Table::Checkouts => "checkouts",
            Table::BusinessKeys => "business_keys",
            Table::Requests => "requests",
            Table::Quarantine => "quarantine",
            Table::StockOpenings => "stock_openings",
            Table::PointsOpenings => "points_openings",
            Table::AnsweredRequests => "answered_requests",
            Table::Deliveries => "deliveries",
            Table::StockFacts => "stock_facts",
            Table::RoutingPolicy => "routing_policy",
        }
    }

    /// A key as people read it in a message: text where the key is text, a number or hexadecimal digits elsewhere.
    pub(crate) fn key_text(self, key: &[u8]) -> String {
        match self {
            Table::Meta
            | Table::Offers
            | Table::Outcomes
            | Table::Checkouts
            | Table::Deliveries
            | Table::RoutingPolicy => {
                format!("{:?}", String::from_utf8_lossy(key))
            }
            Table::Log
            | Table::Stores
            | Table::Categories
            | Table::Products
            | Table::Personal
            | Table::Relations
            | Table::Histories
            | Table::Reservations
            | Table::PointsOpenings
            | Table::AnsweredRequests
                if key.len() <= 8 =>
            {
                key.iter()
                    .fold(0u64, |number, byte| number << 8 | u64::from(*byte))
                    .to_string()
            }
            _ => key.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// A row as it is stored: key and framed value.
pub type StoredRow<'c> = (&'c [u8], &'c [u8]);

/// Reads rows of one table in key order.
pub trait Cursor {
    /// The next row; `None` at the end of the range.
    ///
    /// # Errors
    /// [`StoreError::Read`] where the medium cannot be read.
    fn next(&mut self) -> Result<Option<StoredRow<'_>>, StoreError>;
}

/// Tables that can be read: a database, a snapshot of one, or the memory of a test.
pub trait Tables {
    /// A cursor over the keys from `from` (included) to `to` (excluded; `None`: to the end).
    ///
    /// # Errors
    /// [`StoreError::Read`] where the medium cannot be read.
    fn cursor(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Box<dyn Cursor + '_>, StoreError>;

    /// The greatest key of a table.
    ///
    /// # Errors
    /// [`StoreError::Read`] where the medium cannot be read.
    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, StoreError>;

    /// One value; the default opens a cursor for it.
    ///
    /// # Errors
    /// [`StoreError::Read`] where the medium cannot be read.
    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut cursor = self.cursor(table, key, None)?;
        let row = cursor.next()?;
        Ok(row
            .filter(|(found, _)| *found == key)
            .map(|(_, value)| value.to_vec()))
    }
}

/// The key of the counters in [`Table::Meta`].
pub(crate) const META_KEY: &[u8] = b"state";

/// The key of the log's beginning in [`Table::Meta`].
const LOG_HEAD_KEY: &[u8] = b"log";

/// A key in its order-preserving form.
pub(crate) trait Key: Sized {
    fn write(&self, out: &mut Vec<u8>);
    fn read(bytes: &[u8]) -> Result<Self, RecordProblem>;

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

/// The one key of the log's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogHeadKey;

impl Key for LogHeadKey {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(LOG_HEAD_KEY);
    }

    fn read(bytes: &[u8]) -> Result<Self, RecordProblem> {
        (bytes == LOG_HEAD_KEY)
            .then_some(LogHeadKey)
            .ok_or(RecordProblem::KeyLength {
                length: bytes.len(),
            })
    }
}

/// The key of the only row of [`Table::RoutingPolicy`].
const POLICY_KEY: &[u8] = b"policy";

/// The one key of the routing policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PolicyKey;

impl Key for PolicyKey {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(POLICY_KEY);
    }

    fn read(bytes: &[u8]) -> Result<Self, RecordProblem> {
        (bytes == POLICY_KEY)
            .then_some(PolicyKey)
            .ok_or(RecordProblem::KeyLength {
                length: bytes.len(),
            })
    }
}

macro_rules! number_keys {
    ($($name:ident($number:ty)),* $(,)?) => {$(
        impl Key for $name {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0.to_be_bytes());
            }

            fn read(bytes: &[u8]) -> Result<Self, RecordProblem> {
                let bytes = bytes.try_into().map_err(|_| RecordProblem::KeyLength { length: bytes.len() })?;
                Ok($name(<$number>::from_be_bytes(bytes)))
            }
        }
    )*};
}

number_keys!(
    Sequence(u64),
    StoreId(u32),
    CategoryId(u32),
    SkuId(u32),
    CustomerId(u64),
    IdentifierHash(u128),
    CellKey(u64),
    ReservationId(u64),
    BusinessKey(u128),
    RequestKey(u128),
);

impl Key for (Sequence, u32) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        out.extend_from_slice(&self.1.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Result<Self, RecordProblem> {
        match (bytes.first_chunk::<8>(), bytes.last_chunk::<4>()) {
            (Some(sequence), Some(line)) if bytes.len() == 12 => Ok((
                Sequence(u64::from_be_bytes(*sequence)),
                u32::from_be_bytes(*line),
            )),
            _ => Err(RecordProblem::KeyLength {
                length: bytes.len(),
            }),
        }
    }
}

impl Key for Arc<str> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn read(bytes: &[u8]) -> Result<Self, RecordProblem> {
        std::str::from_utf8(bytes)
            .map(Arc::from)
            .map_err(|_| RecordProblem::KeyText)
    }
}
