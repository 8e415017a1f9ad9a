//! The record of a stock level: ten of them are written with a ten-line sale, so it is as short as it can be.

use prost::encoding::{WireType, encode_key, encode_varint, sint64};
use tillside_engine::ids::CellKey;
use tillside_engine::recent_movements::RecentMovements;
use tillside_engine::stock::StockLevel;

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
    /// Packed (difference of times, change), in order of arrival: [`RecentMovements::packed`].
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
            Some(recent) => (recent.forgotten_until(), recent.packed().to_vec()),
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
        if let Some(forgotten) = recent.forgotten_until() {
            sint64::encode(7, &forgotten.0, out);
        }
        let movements = recent.packed();
        if !movements.is_empty() {
            encode_key(8, WireType::LengthDelimited, out);
            encode_varint(movements.len() as u64, out);
            out.extend_from_slice(movements);
        }
    }

    fn from_record(record: StockRecord) -> Result<Self, RecordProblem> {
        // A level never keeps a list that says nothing, so no list and an empty one are the same.
        let recent = if record.forgotten_until_ms.is_none() && record.movements.is_empty() {
            None
        } else {
            let forgotten_until = time(record.forgotten_until_ms);
            let recent = RecentMovements::from_packed(forgotten_until, &record.movements);
            Some(Box::new(recent.ok_or_else(|| {
                RecordProblem::field("list of movements", "a packed number without an end")
            })?))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;
    use tillside_engine::units::Time;

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
            let movements = movements.into_iter().map(|(at, change)| (Time(at), change));
            let recent = RecentMovements::new(time(forgotten), movements);
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
