//! Values that several records hold.

use std::sync::Arc;

use tillside_engine::ids::{CustomerId, ReservationId, Sequence, SkuId, StoreId};
use tillside_engine::units::{Currency, Money, Time};

use super::Stored;
use crate::error::RecordProblem;

/// Money; the euro is not written.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MoneyRecord {
    #[prost(string, tag = "1")]
    pub(super) currency: String,
    #[prost(sint64, tag = "2")]
    pub(super) minor: i64,
}

impl Stored for Money {
    type Record = MoneyRecord;

    fn to_record(&self) -> MoneyRecord {
        MoneyRecord {
            currency: currency_code(self.currency),
            minor: self.minor,
        }
    }

    fn from_record(record: MoneyRecord) -> Result<Self, RecordProblem> {
        Ok(Money {
            currency: currency(record.currency)?,
            minor: record.minor,
        })
    }
}

/// The code of a currency; empty for the euro, which almost every amount is in.
pub(super) fn currency_code(currency: Currency) -> String {
    if currency == Currency::EUR {
        String::new()
    } else {
        currency.as_str().to_owned()
    }
}

/// The currency of a code.
pub(super) fn currency(code: String) -> Result<Currency, RecordProblem> {
    if code.is_empty() {
        return Ok(Currency::EUR);
    }
    Currency::parse(&code).ok_or_else(|| RecordProblem::field("currency", code))
}

/// A field that a message must have.
pub(super) fn required<T: Stored>(
    record: Option<T::Record>,
    field: &'static str,
) -> Result<T, RecordProblem> {
    T::from_record(record.ok_or_else(|| RecordProblem::field(field, "nothing"))?)
}

/// A field that a message may have.
pub(super) fn optional<T: Stored>(record: Option<T::Record>) -> Result<Option<T>, RecordProblem> {
    record.map(T::from_record).transpose()
}

/// A repeated field.
pub(super) fn list<T: Stored, C: FromIterator<T>>(
    records: Vec<T::Record>,
) -> Result<C, RecordProblem> {
    records.into_iter().map(T::from_record).collect()
}

pub(super) fn strings(texts: &[Arc<str>]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

pub(super) fn texts<C: FromIterator<Arc<str>>>(strings: Vec<String>) -> C {
    strings.into_iter().map(Arc::from).collect()
}

pub(super) fn millis(time: Option<Time>) -> Option<i64> {
    time.map(|t| t.0)
}

pub(super) fn time(millis: Option<i64>) -> Option<Time> {
    millis.map(Time)
}

/// 128-bit hashes as pairs of words, high word first: packed, a pair is 16 bytes.
pub(super) fn halves(hashes: impl IntoIterator<Item = u128>) -> Vec<u64> {
    hashes
        .into_iter()
        .flat_map(|hash| [(hash >> 64) as u64, hash as u64])
        .collect()
}

/// What [`halves`] wrote.
pub(super) fn hashes(
    halves: &[u64],
    field: &'static str,
) -> Result<impl Iterator<Item = u128>, RecordProblem> {
    let (pairs, rest) = halves.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(RecordProblem::field(field, "half a hash"));
    }
    Ok(pairs
        .iter()
        .map(|[high, low]| u128::from(*high) << 64 | u128::from(*low)))
}

/// Ids and their plain numbers, for fields that are only a number.
macro_rules! plain {
    ($($name:ident($number:ty)),* $(,)?) => {$(
        impl Plain for $name {
            type Number = $number;

            fn number(self) -> $number {
                self.0
            }

            fn of(number: $number) -> Self {
                $name(number)
            }
        }
    )*};
}

pub(super) trait Plain: Copy {
    type Number;
    fn number(self) -> Self::Number;
    fn of(number: Self::Number) -> Self;
}

plain!(
    Sequence(u64),
    CustomerId(u64),
    SkuId(u32),
    StoreId(u32),
    ReservationId(u64)
);

pub(super) fn numbers<T: Plain>(ids: &[T]) -> Vec<T::Number> {
    ids.iter().map(|id| id.number()).collect()
}

pub(super) fn ids<T: Plain>(numbers: Vec<T::Number>) -> Vec<T> {
    numbers.into_iter().map(T::of).collect()
}
