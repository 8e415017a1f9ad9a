//! Small numbers in few bytes, one after the other: LEB128, signed ones zigzag. A list of numbers that move slowly is kept as
//! their differences, which wrap, so that any list reads back exactly.

/// Bytes of the longest number.
const BYTES_MAX: usize = 10;

/// A number as bytes; those of `0..` the length told are its own.
#[inline]
pub fn bytes_of(mut value: u64) -> ([u8; BYTES_MAX], usize) {
    let mut bytes = [0; BYTES_MAX];
    let mut length = 0;
    while value >= 0x80 {
        bytes[length] = value as u8 | 0x80;
        length += 1;
        value >>= 7;
    }
    bytes[length] = value as u8;
    (bytes, length + 1)
}

/// The first number of `bytes`, which is taken from them; `None` where none is whole.
#[inline]
pub fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(BYTES_MAX) {
        let bits = u64::from(byte & 0x7f);
        if index == BYTES_MAX - 1 && bits > 1 {
            return None;
        }
        number |= bits << (7 * index);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Some(number);
        }
    }
    None
}

/// A signed number as one without sign: small ones stay small.
#[inline]
pub fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Back from [`zigzag`].
#[inline]
pub fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_numbers_read_back(numbers in any::<Vec<i64>>()) {
            let mut all = Vec::new();
            for number in &numbers {
                let (bytes, length) = bytes_of(zigzag(*number));
                all.extend_from_slice(&bytes[..length]);
            }
            let mut left = &all[..];
            for number in numbers {
                prop_assert_eq!(take(&mut left).map(unzigzag), Some(number));
            }
            prop_assert!(left.is_empty());
        }

        #[test]
        fn arbitrary_bytes_end_or_are_refused(bytes in any::<Vec<u8>>()) {
            let mut left = &bytes[..];
            while take(&mut left).is_some() {}
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        assert_eq!(take(&mut &[0xff; 11][..]), None);
        let mut most = [0xff; 10];
        most[9] = 1;
        assert_eq!(take(&mut &most[..]), Some(u64::MAX));
        most[9] = 2;
        assert_eq!(take(&mut &most[..]), None);
    }
}
