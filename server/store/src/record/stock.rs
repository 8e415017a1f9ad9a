//! The record of a stock level: ten of them are written with a ten-line sale, so it is as short as it can be.

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
            safety: self.safety,
            damaged: self.damaged,
            counted_at_ms: millis(self.counted_at),
            forgotten_until_ms: millis(forgotten_until),
            movements,
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
            safety: record.safety,
            damaged: record.damaged,
            counted_at: time(record.counted_at_ms),
            recent,
        })
    }
}

fn pack(movements: &[(Time, i64)]) -> Vec<u8> {
    // The first time takes six bytes, later ones about five, a change two.
    let mut bytes = Vec::with_capacity(movements.len() * 8);
    let mut previous = 0i64;
    for (time, change) in movements {
        packed::signed(time.0.wrapping_sub(previous), &mut bytes);
        packed::signed(*change, &mut bytes);
        previous = time.0;
    }
    bytes
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
