//! Lists of small numbers packed into bytes: a profile's favourites and a level's movements are most of what is stored,
//! and a message an entry would double them. Numbers are LEB128, signed ones zigzag, sorted or slowly moving ones as
//! differences. Differences wrap, so any list reads back exactly.

use crate::error::RecordProblem;

/// Reads numbers from packed bytes.
pub(super) struct Reader<'b> {
    bytes: &'b [u8],
    field: &'static str,
}

impl<'b> Reader<'b> {
    /// Reads `bytes`; errors name `field`.
    pub(super) fn new(bytes: &'b [u8], field: &'static str) -> Self {
        Reader { bytes, field }
    }

    /// Whether all is read.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next number.
    pub(super) fn number(&mut self) -> Result<u64, RecordProblem> {
        let mut number = 0u64;
        for (index, byte) in self.bytes.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                break;
            }
            number |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[index + 1..];
                return Ok(number);
            }
        }
        Err(RecordProblem::field(
            self.field,
            "a packed number without an end",
        ))
    }

    /// The next number where it is at most 32 bits.
    pub(super) fn number_u32(&mut self) -> Result<u32, RecordProblem> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| RecordProblem::field(self.field, number))
    }

    /// The next signed number.
    pub(super) fn signed(&mut self) -> Result<i64, RecordProblem> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}

/// Appends a number.
pub(super) fn number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes of a number.
pub(super) fn number_bytes(value: u64) -> usize {
    // Seven bits a byte, and one byte for zero.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Bytes of a signed number.
pub(super) fn signed_bytes(value: i64) -> usize {
    number_bytes((value << 1 ^ value >> 63) as u64)
}

/// Appends a signed number.
pub(super) fn signed(value: i64, out: &mut Vec<u8>) {
    number((value << 1 ^ value >> 63) as u64, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_numbers_read_back(unsigned in any::<Vec<u64>>(), negative in any::<Vec<i64>>()) {
            let mut bytes = Vec::new();
            unsigned.iter().for_each(|n| number(*n, &mut bytes));
            negative.iter().for_each(|n| signed(*n, &mut bytes));
            let told = unsigned.iter().map(|n| number_bytes(*n)).chain(negative.iter().map(|n| signed_bytes(*n)));
            prop_assert_eq!(told.sum::<usize>(), bytes.len());
            let mut reader = Reader::new(&bytes, "test");
            for n in unsigned {
                prop_assert_eq!(reader.number(), Ok(n));
            }
            for n in negative {
                prop_assert_eq!(reader.signed(), Ok(n));
            }
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn arbitrary_bytes_end_or_are_refused(bytes in any::<Vec<u8>>()) {
            let mut reader = Reader::new(&bytes, "test");
            while !reader.is_empty() {
                if reader.number().is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        assert!(Reader::new(&[0xff; 11], "test").number().is_err());
        assert!(
            Reader::new(
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
                "test"
            )
            .number()
            .is_err()
        );
    }
}
