//! The record of a customer's condensed history: written with every sale, so its lists are packed.

use tillside_engine::catalog::CategoryId;
use tillside_engine::ids::{CustomerId, SkuId, StoreId};
use tillside_engine::packed;
use tillside_engine::profile::{History, Spend, Weighted};

use super::values::{currency, currency_code, list, millis, time};
use super::{Row, Stored};
use crate::error::RecordProblem;
use crate::table::Table;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HistoryRecord {
    #[prost(sint64, tag = "1")]
    points: i64,
    /// Written as a uint64 by the first versions: the bytes are the same while it is not negative.
    #[prost(int64, tag = "2")]
    purchases: i64,
    #[prost(message, repeated, tag = "3")]
    spend: Vec<SpendRecord>,
    #[prost(sint64, optional, tag = "4")]
    first_purchase_ms: Option<i64>,
    #[prost(sint64, optional, tag = "5")]
    last_purchase_ms: Option<i64>,
    #[prost(uint32, optional, tag = "6")]
    last_store: Option<u32>,
    #[prost(sint64, tag = "7")]
    aged_to_day: i64,
    /// Packed (difference of ids, weight), by id.
    #[prost(bytes = "vec", tag = "8")]
    products: Vec<u8>,
    /// Likewise.
    #[prost(bytes = "vec", tag = "9")]
    categories: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SpendRecord {
    #[prost(string, tag = "1")]
    currency: String,
    #[prost(sint64, tag = "2")]
    net_minor: i64,
    /// Likewise.
    #[prost(int64, tag = "3")]
    purchases: i64,
}

impl Row for History {
    const TABLE: Table = Table::Histories;
    type Key = CustomerId;
}

impl Stored for History {
    type Record = HistoryRecord;

    fn to_record(&self) -> HistoryRecord {
        HistoryRecord {
            points: self.points,
            purchases: self.purchases,
            spend: self.spend.iter().map(Stored::to_record).collect(),
            first_purchase_ms: millis(self.first_purchase),
            last_purchase_ms: millis(self.last_purchase),
            last_store: self.last_store.map(|s| s.0),
            aged_to_day: self.aged_to_day,
            products: pack(&self.products, |sku| sku.0),
            categories: pack(&self.categories, |category| category.0),
        }
    }

    fn from_record(record: HistoryRecord) -> Result<Self, RecordProblem> {
        Ok(History {
            points: record.points,
            purchases: record.purchases,
            spend: list(record.spend)?,
            first_purchase: time(record.first_purchase_ms),
            last_purchase: time(record.last_purchase_ms),
            last_store: record.last_store.map(StoreId),
            aged_to_day: record.aged_to_day,
            products: unpack(&record.products, "list of products", SkuId)?,
            categories: unpack(&record.categories, "list of categories", CategoryId)?,
        })
    }
}

impl Stored for Spend {
    type Record = SpendRecord;

    fn to_record(&self) -> SpendRecord {
        SpendRecord {
            currency: currency_code(self.currency),
            net_minor: self.net_minor,
            purchases: self.purchases,
        }
    }

    fn from_record(record: SpendRecord) -> Result<Self, RecordProblem> {
        Ok(Spend {
            currency: currency(record.currency)?,
            net_minor: record.net_minor,
            purchases: record.purchases,
        })
    }
}

fn pack<T: Copy>(weights: &[Weighted<T>], id: impl Fn(T) -> u32) -> Vec<u8> {
    // Two bytes of difference and three of weight are the usual entry.
    let mut bytes = Vec::with_capacity(weights.len() * 5);
    let mut previous = 0u32;
    for entry in weights {
        let current = id(entry.item);
        for number in [current.wrapping_sub(previous), entry.weight] {
            let (packed, length) = packed::bytes_of(number.into());
            bytes.extend_from_slice(&packed[..length]);
        }
        previous = current;
    }
    bytes
}

fn unpack<T>(
    mut bytes: &[u8],
    field: &'static str,
    item: impl Fn(u32) -> T,
) -> Result<Vec<Weighted<T>>, RecordProblem> {
    let number = |bytes: &mut &[u8]| {
        let number = packed::take(bytes)
            .ok_or_else(|| RecordProblem::field(field, "a packed number without an end"))?;
        u32::try_from(number).map_err(|_| RecordProblem::field(field, number))
    };
    // An entry has at least two bytes, so the list is never longer than half of them.
    let mut weights = Vec::with_capacity(bytes.len() / 4);
    let mut previous = 0u32;
    while !bytes.is_empty() {
        previous = previous.wrapping_add(number(&mut bytes)?);
        weights.push(Weighted {
            item: item(previous),
            weight: number(&mut bytes)?,
        });
    }
    weights.shrink_to_fit();
    Ok(weights)
}
