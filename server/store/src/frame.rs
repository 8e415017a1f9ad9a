//! The frame of every value: `[format u8][payload][crc32c u32 LE]`, the checksum over table number, key, format and
//! payload. So a flipped bit is found, and so is a row that stands in a wrong table or under a wrong key. The frame is
//! the same in every format; only what the format byte says about the payload may change.

use crate::error::{RecordError, RecordProblem};
use crate::table::Table;

/// The format of payloads, for good: fields are added by new tags, never changed.
pub(crate) const FORMAT: u8 = 1;
/// Bytes of the checksum at the end.
pub(crate) const CHECKSUM_BYTES: usize = 4;

/// The payload of a value, checked.
pub(crate) fn payload<'v>(
    table: Table,
    key: &[u8],
    value: &'v [u8],
) -> Result<&'v [u8], RecordError> {
    checked(table, key, value).map_err(|problem| problem.at(table, key))
}

fn checked<'v>(table: Table, key: &[u8], value: &'v [u8]) -> Result<&'v [u8], RecordProblem> {
    let too_short = RecordProblem::TooShort {
        length: value.len(),
    };
    let Some((body, checksum)) = value.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(too_short);
    };
    let Some((version, payload)) = body.split_first() else {
        return Err(too_short);
    };
    let stored = u32::from_le_bytes(*checksum);
    let computed = crc32c::crc32c_append(
        crc32c::crc32c_append(crc32c::crc32c(&[table.number()]), key),
        body,
    );
    if stored != computed {
        return Err(RecordProblem::Checksum { stored, computed });
    }
    // After the checksum: a flipped bit in the format byte is damage, not a later version.
    if *version != FORMAT {
        return Err(RecordProblem::UnknownVersion { version: *version });
    }
    Ok(payload)
}

/// The checksum a value ends with; zero where it is too short to have one (then [`payload`] refuses it).
pub(crate) fn checksum(value: &[u8]) -> u32 {
    value
        .last_chunk::<CHECKSUM_BYTES>()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The value with another format and a checksum that agrees: what a later version would write, for tests. A value
/// without a frame stays as it is.
pub(crate) fn with_version(table: Table, key: &[u8], value: &[u8], version: u8) -> Vec<u8> {
    let body = value.split_last_chunk::<CHECKSUM_BYTES>().map(|v| v.0);
    match body.and_then(|body| body.split_first()) {
        Some((_, payload)) => framed(table, key, version, payload),
        None => value.to_vec(),
    }
}

fn framed(table: Table, key: &[u8], version: u8, payload: &[u8]) -> Vec<u8> {
    let body = [&[version], payload].concat();
    let crc = crc32c::crc32c(&[&[table.number()], key, &body].concat());
    [body, crc.to_le_bytes().to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_format_is_named_and_not_taken_for_damage() {
        let value = framed(Table::Stock, b"k", 2, b"x");
        let error = payload(Table::Stock, b"k", &value).unwrap_err();
        assert_eq!(error.problem, RecordProblem::UnknownVersion { version: 2 });
    }

    #[test]
    fn a_row_under_a_wrong_key_or_in_a_wrong_table_is_found() {
        let value = framed(Table::Stock, b"key", FORMAT, b"x");
        assert_eq!(payload(Table::Stock, b"key", &value), Ok(&b"x"[..]));
        for (table, key) in [
            (Table::Stock, &b"kez"[..]),
            (Table::Stock, b"ke"),
            (Table::Offers, b"key"),
        ] {
            assert!(
                matches!(
                    payload(table, key, &value).unwrap_err().problem,
                    RecordProblem::Checksum { .. }
                ),
                "{table:?} {key:?}"
            );
        }
    }

    #[test]
    fn a_value_shorter_than_its_frame_is_named() {
        for length in 0..5 {
            let error = payload(Table::Stock, b"k", &vec![0; length]).unwrap_err();
            assert_eq!(error.problem, RecordProblem::TooShort { length });
        }
    }
}
