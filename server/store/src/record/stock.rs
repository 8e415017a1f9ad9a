//! The record of a stock level: ten of them are written with a ten-line sale, so it is as short as it can be.

use prost::encoding::{WireType, encode_key, encode_varint, sint64};
use smallvec::SmallVec;
use tillside_engine::ids::CellKey;
use tillside_engine::stock::{RecentMovements, StockLevel};
use tillside_engine::units::Time;

use super::packed::{self, Reader};
use super::values::{millis, time};
use super::{Row, Stored};
use crate::error::RecordProblem;
use crate::table::Table;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StockRecord {
    #[prost(sint64, tag = "1")]
    on_hand: i64,
    #[prost(sint64, tag = "2")]
    reserved: i64,
    #[prost(sint64, tag = "3")]
    committed: i64,
    /// What a count gave; what the rules say is not stored with each level.
    #[prost(sint64, tag = "4")]
    safety: i64,
    #[prost(sint64, tag = "5")]
    damaged: i64,
    #[prost(sint64, optional, tag = "6")]
    counted_at_ms: Option<i64>,
    #[prost(sint64, optional, tag = "7")]
    forgotten_until_ms: Option<i64>,
    /// Packed (difference of times, change), in order of arrival.
    #[prost(bytes = "vec", tag = "8")]
    movements: Vec<u8>,
}

impl Row for StockLevel {
    const TABLE: Table = Table::Stock;
    type Key = CellKey;
}

impl Stored for StockLevel {
    type Record = StockRecord;

    fn to_record(&self) -> StockRecord {
        let (forgotten_until, movements) = match &self.recent {
            Some(recent) => (recent.forgotten_until, pack(&recent.movements)),
            None => (None, Vec::new()),
        };
        StockRecord {
            on_hand: self.on_hand,
            reserved: self.reserved,
            committed: self.committed,
            safety: self.own_safety,
            damaged: self.damaged,
            counted_at_ms: millis(self.counted_at()),
            forgotten_until_ms: millis(forgotten_until),
            movements,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        // Field by field as prost does it: defaults are left out, in the order of the tags.
        let number = |tag, value: i64, out: &mut Vec<u8>| {
            if value != 0 {
                sint64::encode(tag, &value, out);
            }
        };
        number(1, self.on_hand, out);
        number(2, self.reserved, out);
        number(3, self.committed, out);
        number(4, self.own_safety, out);
        number(5, self.damaged, out);
        if let Some(counted) = self.counted_at() {
            sint64::encode(6, &counted.0, out);
        }
        let Some(recent) = &self.recent else { return };
        if let Some(forgotten) = recent.forgotten_until {
            sint64::encode(7, &forgotten.0, out);
        }
        if !recent.movements.is_empty() {
            encode_key(8, WireType::LengthDelimited, out);
            let numbers = differences(&recent.movements);
            let length: usize = numbers.map(packed::signed_bytes).sum();
            encode_varint(length as u64, out);
            differences(&recent.movements).for_each(|number| packed::signed(number, out));
        }
    }

    fn from_record(record: StockRecord) -> Result<Self, RecordProblem> {
        // A level never keeps a list that says nothing, so no list and an empty one are the same.
        let recent = if record.forgotten_until_ms.is_none() && record.movements.is_empty() {
            None
        } else {
            let movements = unpack(&record.movements)?;
            Some(Box::new(RecentMovements {
                forgotten_until: time(record.forgotten_until_ms),
                movements,
            }))
        };
        Ok(StockLevel {
            on_hand: record.on_hand,
            reserved: record.reserved,
            committed: record.committed,
            // What the rules make of it follows once they are known.
            safety: record.safety,
            own_safety: record.safety,
            damaged: record.damaged,
            counted: time(record.counted_at_ms).into(),
            recent,
        })
    }
}

fn pack(movements: &[(Time, i64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    differences(movements).for_each(|number| packed::signed(number, &mut bytes));
    bytes
}

/// The numbers of a list, in order. The first time takes six bytes, later ones about five, a change two.
fn differences(movements: &[(Time, i64)]) -> impl Iterator<Item = i64> {
    let mut previous = 0i64;
    movements.iter().flat_map(move |(time, change)| {
        let difference = time.0.wrapping_sub(previous);
        previous = time.0;
        [difference, *change]
    })
}

fn unpack(bytes: &[u8]) -> Result<SmallVec<[(Time, i64); 2]>, RecordProblem> {
    let mut reader = Reader::new(bytes, "list of movements");
    let mut movements = SmallVec::new();
    let mut previous = 0i64;
    while !reader.is_empty() {
        previous = previous.wrapping_add(reader.signed()?);
        movements.push((Time(previous), reader.signed()?));
    }
    Ok(movements)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    proptest! {
        #[test]
        fn a_level_is_written_as_its_record_is(
            numbers in any::<[i64; 5]>(),
            counted in any::<Option<i64>>(),
            forgotten in any::<Option<i64>>(),
            movements in prop::collection::vec(any::<(i64, i64)>(), 0..20),
        ) {
            let [on_hand, reserved, committed, safety, damaged] = numbers;
            let recent = RecentMovements {
                forgotten_until: time(forgotten),
                movements: movements.into_iter().map(|(at, change)| (Time(at), change)).collect(),
            };
            let level = StockLevel {
                on_hand, reserved, committed, damaged,
                own_safety: safety,
                safety: 7,
                counted: time(counted).into(),
                recent: (recent != RecentMovements::default()).then(|| Box::new(recent)),
            };
            let mut written = Vec::new();
            level.write(&mut written);
            prop_assert_eq!(written, level.to_record().encode_to_vec());
        }
    }
}
