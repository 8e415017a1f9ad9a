//! Protobuf written by hand, for answers too frequent to be built as messages first. Every field here is encoded exactly as
//! prost does it: in its shortest form, and not at all where proto3 says that the default is absent.

use std::ops::Range;

/// Wire types: a varint, eight bytes, a length and bytes.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;

/// Appends fields to a buffer. The caller gives them in ascending order of their tags.
#[derive(Debug)]
pub struct Fields<'a>(pub &'a mut Vec<u8>);

impl Fields<'_> {
    fn key(&mut self, tag: u32, wire_type: u32) {
        self.varint(u64::from(tag << 3 | wire_type));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A field of kind string, where not empty.
    pub fn text(&mut self, tag: u32, text: &str) {
        if !text.is_empty() {
            self.element(tag, text);
        }
    }

    /// An element of a repeated string.
    pub fn element(&mut self, tag: u32, text: &str) {
        self.encoded(tag, text.as_bytes());
    }

    /// The concatenation of `pieces`, where not empty.
    pub fn joined(&mut self, tag: u32, pieces: &[&str]) {
        let length: usize = pieces.iter().map(|p| p.len()).sum();
        if length > 0 {
            self.key(tag, LENGTH);
            self.varint(length as u64);
            for piece in pieces {
                self.0.extend_from_slice(piece.as_bytes());
            }
        }
    }

    /// A field of kind int64, where not zero; negative numbers have ten bytes.
    pub fn int64(&mut self, tag: u32, value: i64) {
        self.uint64(tag, value as u64);
    }

    /// A field of kind uint64, where not zero.
    pub fn uint64(&mut self, tag: u32, value: u64) {
        if value != 0 {
            self.key(tag, VARINT);
            self.varint(value);
        }
    }

    /// A field of kind int32 or of an enum, where not zero; on the wire it is as wide as an int64.
    pub fn int32(&mut self, tag: u32, value: i32) {
        self.int64(tag, i64::from(value));
    }

    /// A repeated int32 in proto3's packed form, where not empty.
    pub fn packed_int32(&mut self, tag: u32, values: &[i32]) {
        if !values.is_empty() {
            self.message(tag, |fields| {
                for value in values {
                    fields.varint(i64::from(*value) as u64);
                }
            });
        }
    }

    /// A string of the digits of `value`.
    pub fn decimal(&mut self, tag: u32, mut value: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.key(tag, LENGTH);
        self.varint((digits.len() - at) as u64);
        self.0.extend_from_slice(&digits[at..]);
    }

    /// A field of kind bool, where true.
    pub fn flag(&mut self, tag: u32, value: bool) {
        self.uint64(tag, u64::from(value));
    }

    /// A field of kind double, where not zero.
    pub fn double(&mut self, tag: u32, value: f64) {
        if value != 0.0 {
            self.optional_double(tag, value);
        }
    }

    /// An optional double that is set.
    pub fn optional_double(&mut self, tag: u32, value: f64) {
        self.key(tag, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A message that is encoded already.
    pub fn encoded(&mut self, tag: u32, message: &[u8]) {
        self.key(tag, LENGTH);
        self.varint(message.len() as u64);
        self.0.extend_from_slice(message);
    }

    /// A message, present even where it is empty. Returns where in the buffer its content is.
    pub fn message(&mut self, tag: u32, content: impl FnOnce(&mut Fields<'_>)) -> Range<usize> {
        self.key(tag, LENGTH);
        // The length comes before what it is the length of: a byte is left for it, which nearly always is enough.
        let at = self.0.len();
        self.0.push(0);
        content(self);
        let length = self.0.len() - at - 1;
        if length < 0x80 {
            self.0[at] = length as u8;
            return at + 1..self.0.len();
        }
        let mut width = 1;
        while length >> (7 * width) > 0 {
            width += 1;
        }
        let start = at + 1;
        self.0.resize(self.0.len() + width - 1, 0);
        self.0.copy_within(start..start + length, start + width - 1);
        for (i, byte) in self.0[at..at + width].iter_mut().enumerate() {
            let last = i + 1 == width;
            *byte = (length >> (7 * i)) as u8 & 0x7f | if last { 0 } else { 0x80 };
        }
        at + width..self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use tillside_proto::v1;

    #[test]
    fn lengths_of_every_width_are_encoded_as_prost_does() {
        for length in [
            0, 1, 120, 123, 124, 125, 126, 127, 128, 129, 16_379, 16_383, 16_384, 16_385, 3_000_000,
        ] {
            let id = "x".repeat(length);
            let mut bytes = Vec::new();
            Fields(&mut bytes).message(2, |customer| {
                customer.text(1, &id);
                customer.message(3, |contacts| contacts.joined(1, &[&id, "", "é"]));
            });
            let expect = v1::RecognizeCustomerResponse {
                customer: Some(v1::CustomerProfile {
                    customer_id: id.clone(),
                    contacts: Some(v1::Contacts {
                        given_name: format!("{id}é"),
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
                ..Default::default()
            };
            assert!(bytes == expect.encode_to_vec(), "{length}");
        }
    }

    #[test]
    fn numbers_of_every_width_are_encoded_as_prost_does() {
        let numbers = (0..64).flat_map(|bit| {
            [
                1i64 << bit,
                (1i64 << bit).wrapping_sub(1),
                -(1i64 << (bit / 2)),
            ]
        });
        for number in numbers.chain([0, i64::MAX, i64::MIN]) {
            let mut bytes = Vec::new();
            let mut fields = Fields(&mut bytes);
            fields.int64(8, number);
            fields.optional_double(15, number as f64);
            fields.decimal(18, number as u64);
            let expect = v1::CustomerProfile {
                points_available: number,
                days_between_purchases: Some(number as f64),
                etag: (number as u64).to_string(),
                ..Default::default()
            };
            assert_eq!(bytes, expect.encode_to_vec(), "{number}");
        }
    }
}
