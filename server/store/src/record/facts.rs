//! Records of facts about stock. The first byte of a key says what the fact is about; numbers follow as they sort.

use std::sync::Arc;

use tillside_engine::accuracy::Accuracy;
use tillside_engine::buffers::{BufferKey, BufferScope};
use tillside_engine::facts::{Fact, FactKey, SourceProgress};
use tillside_engine::ids::{CellKey, SkuId, StoreId};
use tillside_engine::units::Time;

use super::values::MoneyRecord;
use super::{Row, Stored};
use crate::error::RecordProblem;
use crate::table::{Key, Table};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FactRecord {
    #[prost(oneof = "FactKind", tags = "1, 2, 3, 4, 5")]
    kind: Option<FactKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum FactKind {
    #[prost(sint64, tag = "1")]
    Buffer(i64),
    #[prost(sint64, tag = "2")]
    NearTimeMs(i64),
    #[prost(message, tag = "3")]
    Accuracy(AccuracyRecord),
    #[prost(message, tag = "4")]
    Source(SourceRecord),
    #[prost(message, tag = "5")]
    Price(MoneyRecord),
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct AccuracyRecord {
    #[prost(uint32, tag = "1")]
    checked: u32,
    #[prost(uint32, tag = "2")]
    found: u32,
    #[prost(sint64, tag = "3")]
    day: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct SourceRecord {
    #[prost(uint64, tag = "1")]
    first: u64,
    #[prost(uint64, tag = "2")]
    highest: u64,
    #[prost(uint64, tag = "3")]
    taken: u64,
    #[prost(uint64, tag = "4")]
    late: u64,
    #[prost(sint64, tag = "5")]
    last_ms: i64,
}

/// A fact that was set, or, without one, removed.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FactPutRecord {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    fact: Option<FactRecord>,
}

impl Row for Fact {
    const TABLE: Table = Table::StockFacts;
    type Key = FactKey;
}

impl Stored for Fact {
    type Record = FactRecord;

    fn to_record(&self) -> FactRecord {
        let kind = match self {
            Fact::Buffer(quantity) => FactKind::Buffer(*quantity),
            Fact::NearTime(ms) => FactKind::NearTimeMs(*ms),
            Fact::Accuracy(accuracy) => FactKind::Accuracy(AccuracyRecord {
                checked: accuracy.checked,
                found: accuracy.found,
                day: accuracy.day,
            }),
            Fact::Source(source) => FactKind::Source(SourceRecord {
                first: source.first,
                highest: source.highest,
                taken: source.taken,
                late: source.late,
                last_ms: source.last.0,
            }),
            Fact::Price(price) => FactKind::Price(price.to_record()),
        };
        FactRecord { kind: Some(kind) }
    }

    fn from_record(record: FactRecord) -> Result<Self, RecordProblem> {
        let unknown = || RecordProblem::field("kind of fact", "one this version does not know");
        Ok(match record.kind.ok_or_else(unknown)? {
            FactKind::Buffer(quantity) => Fact::Buffer(quantity),
            FactKind::NearTimeMs(ms) => Fact::NearTime(ms),
            FactKind::Accuracy(accuracy) => Fact::Accuracy(Accuracy {
                checked: accuracy.checked,
                found: accuracy.found,
                day: accuracy.day,
            }),
            FactKind::Source(source) => Fact::Source(SourceProgress {
                first: source.first,
                highest: source.highest,
                taken: source.taken,
                late: source.late,
                last: Time(source.last_ms),
            }),
            FactKind::Price(price) => Fact::Price(Stored::from_record(price)?),
        })
    }
}

impl Stored for (FactKey, Option<Fact>) {
    type Record = FactPutRecord;

    fn to_record(&self) -> FactPutRecord {
        FactPutRecord {
            key: self.0.to_bytes(),
            fact: self.1.as_ref().map(Stored::to_record),
        }
    }

    fn from_record(record: FactPutRecord) -> Result<Self, RecordProblem> {
        let fact = record.fact.map(Stored::from_record).transpose()?;
        Ok((FactKey::read(&record.key)?, fact))
    }
}

const BUFFER: u8 = 1;
const NEAR_TIME: u8 = 2;
const ACCURACY: u8 = 3;
const SOURCE: u8 = 4;
const PRICE: u8 = 5;

const EVERYTHING: u8 = 0;
const CATEGORY: u8 = 1;
const SKU: u8 = 2;

/// 0: every store; else the store's number and one.
fn write_store(store: Option<StoreId>, out: &mut Vec<u8>) {
    let number = store.map_or(0, |store| u64::from(store.0) + 1);
    out.extend_from_slice(&number.to_be_bytes());
}

fn read_store(bytes: &[u8]) -> Option<(Option<StoreId>, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    let store = match u64::from_be_bytes(*number).checked_sub(1) {
        None => None,
        Some(number) => Some(StoreId(u32::try_from(number).ok()?)),
    };
    Some((store, rest))
}

impl Key for FactKey {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            FactKey::Buffer(BufferKey { store, scope }) => {
                out.push(BUFFER);
                write_store(*store, out);
                match scope {
                    BufferScope::Everything => out.push(EVERYTHING),
                    BufferScope::Category(path) => {
                        out.push(CATEGORY);
                        path.write(out);
                    }
                    BufferScope::Sku(sku) => {
                        out.push(SKU);
                        sku.write(out);
                    }
                }
            }
            FactKey::NearTime(store) => {
                out.push(NEAR_TIME);
                write_store(*store, out);
            }
            FactKey::Accuracy(store) => {
                out.push(ACCURACY);
                store.write(out);
            }
            FactKey::Source(source) => {
                out.push(SOURCE);
                source.write(out);
            }
            FactKey::Price(cell) => {
                out.push(PRICE);
                cell.write(out);
            }
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, RecordProblem> {
        let length = || RecordProblem::KeyLength {
            length: bytes.len(),
        };
        let (kind, rest) = bytes.split_first().ok_or_else(length)?;
        Ok(match *kind {
            BUFFER => {
                let (store, rest) = read_store(rest).ok_or_else(length)?;
                let (kind, rest) = rest.split_first().ok_or_else(length)?;
                let scope = match *kind {
                    EVERYTHING if rest.is_empty() => BufferScope::Everything,
                    CATEGORY => BufferScope::Category(Arc::<str>::read(rest)?),
                    SKU => BufferScope::Sku(SkuId::read(rest)?),
                    other => return Err(RecordProblem::field("scope of a buffer", other)),
                };
                FactKey::Buffer(BufferKey { store, scope })
            }
            NEAR_TIME => match read_store(rest).ok_or_else(length)? {
                (store, []) => FactKey::NearTime(store),
                _ => return Err(length()),
            },
            ACCURACY => FactKey::Accuracy(StoreId::read(rest)?),
            SOURCE => FactKey::Source(Arc::<str>::read(rest)?),
            PRICE => FactKey::Price(CellKey::read(rest)?),
            other => return Err(RecordProblem::field("kind of fact", other)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<FactKey> {
        let buffer = |store: Option<u32>, scope| {
            FactKey::Buffer(BufferKey {
                store: store.map(StoreId),
                scope,
            })
        };
        let mut keys = Vec::new();
        for store in [None, Some(0), Some(255), Some(256), Some(u32::MAX)] {
            keys.push(buffer(store, BufferScope::Everything));
            keys.push(buffer(store, BufferScope::Category("Food".into())));
            keys.push(buffer(store, BufferScope::Category("Food > Milk".into())));
            keys.push(buffer(store, BufferScope::Sku(SkuId(7))));
            keys.push(buffer(store, BufferScope::Sku(SkuId(256))));
        }
        let stores = [None, Some(StoreId(0)), Some(StoreId(9))];
        keys.extend(stores.map(FactKey::NearTime));
        keys.extend([0, 1, 256].map(|n| FactKey::Accuracy(StoreId(n))));
        keys.extend(["erp", "pos/1"].map(|s| FactKey::Source(s.into())));
        keys.extend([0, 1, 1 << 40].map(|n| FactKey::Price(CellKey(n))));
        keys
    }

    #[test]
    fn keys_read_back_and_sort_on_disk_as_in_memory() {
        let keys = keys();
        assert!(keys.is_sorted());
        let bytes: Vec<_> = keys.iter().map(Key::to_bytes).collect();
        assert!(bytes.is_sorted());
        for (key, bytes) in keys.iter().zip(&bytes) {
            assert_eq!(FactKey::read(bytes).as_ref(), Ok(key));
            assert!(
                FactKey::read(&[bytes, &[0xff][..]].concat()).is_err(),
                "{key:?}"
            );
        }
        for bad in [
            &[][..],
            &[9],
            &[1, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0, 0, 7],
            &[2],
        ] {
            assert!(FactKey::read(bad).is_err(), "{bad:?}");
        }
    }
}
