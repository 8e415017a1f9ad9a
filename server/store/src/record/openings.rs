//! Records of what folded history leaves behind: the opening balances of the two ledgers, and where the log begins.

use tillside_engine::ids::{CellKey, CustomerId, Sequence};

use super::{Row, Stored};
use crate::error::RecordProblem;
use crate::log::Position;
use crate::table::{LogHeadKey, Table};

/// What the movements of a stock level up to a sequence add up to. There are as many as cells that ever moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StockOpening {
    /// on_hand after them.
    pub on_hand: i64,
    /// damaged after them.
    pub damaged: i64,
    /// The last sequence in it: later records of the log come on top.
    pub through: Sequence,
}

/// What the points of a customer up to a sequence add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PointsOpening {
    /// The balance after them.
    pub points: i64,
    /// The last sequence in it: later records of the log come on top.
    pub through: Sequence,
}

/// Where the log begins: the last record that was folded away, which the first one kept follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogHead(pub(crate) Position);

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct StockOpeningRecord {
    #[prost(sint64, tag = "1")]
    on_hand: i64,
    #[prost(sint64, tag = "2")]
    damaged: i64,
    #[prost(uint64, tag = "3")]
    through: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct PointsOpeningRecord {
    #[prost(sint64, tag = "1")]
    points: i64,
    #[prost(uint64, tag = "2")]
    through: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct LogHeadRecord {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(fixed32, tag = "2")]
    checksum: u32,
}

impl Row for StockOpening {
    const TABLE: Table = Table::StockOpenings;
    type Key = CellKey;
}

impl Stored for StockOpening {
    type Record = StockOpeningRecord;

    fn to_record(&self) -> StockOpeningRecord {
        StockOpeningRecord {
            on_hand: self.on_hand,
            damaged: self.damaged,
            through: self.through.0,
        }
    }

    fn from_record(record: StockOpeningRecord) -> Result<Self, RecordProblem> {
        Ok(StockOpening {
            on_hand: record.on_hand,
            damaged: record.damaged,
            through: Sequence(record.through),
        })
    }
}

impl Row for PointsOpening {
    const TABLE: Table = Table::PointsOpenings;
    type Key = CustomerId;
}

impl Stored for PointsOpening {
    type Record = PointsOpeningRecord;

    fn to_record(&self) -> PointsOpeningRecord {
        PointsOpeningRecord {
            points: self.points,
            through: self.through.0,
        }
    }

    fn from_record(record: PointsOpeningRecord) -> Result<Self, RecordProblem> {
        Ok(PointsOpening {
            points: record.points,
            through: Sequence(record.through),
        })
    }
}

impl Row for LogHead {
    const TABLE: Table = Table::Meta;
    type Key = LogHeadKey;
}

impl Stored for LogHead {
    type Record = LogHeadRecord;

    fn to_record(&self) -> LogHeadRecord {
        LogHeadRecord {
            sequence: self.0.sequence.0,
            checksum: self.0.checksum,
        }
    }

    fn from_record(record: LogHeadRecord) -> Result<Self, RecordProblem> {
        if record.sequence == 0 {
            return Err(RecordProblem::field("sequence", 0));
        }
        Ok(LogHead(Position {
            sequence: Sequence(record.sequence),
            checksum: record.checksum,
        }))
    }
}
