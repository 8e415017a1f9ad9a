//! What a scanner reads: GTINs of every length as one 14-digit number, and in-store codes that carry a price or a
//! weight, decoded by configured masks. Which product a code means is the catalog's business.

use crate::units::Thousandths;

/// Check digit of GS1 numbers: weights 3 and 1 from the right. `digits` excludes the check digit.
pub fn gs1_check_digit(digits: &[u8]) -> u8 {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| u32::from(d - b'0') * if i % 2 == 0 { 3 } else { 1 })
        .sum();
    b'0' + ((10 - sum % 10) % 10) as u8
}

/// True for 2 or more digits whose last is the GS1 check digit of the others.
pub fn has_gs1_check_digit(code: &[u8]) -> bool {
    code.len() >= 2
        && code.iter().all(u8::is_ascii_digit)
        && gs1_check_digit(&code[..code.len() - 1]) == code[code.len() - 1]
}

/// A GTIN-8, -12, -13 or -14 as its 14-digit number; `None` where the length or the check digit is wrong.
pub fn parse_gtin(code: &str) -> Option<u64> {
    let valid = matches!(code.len(), 8 | 12 | 13 | 14) && has_gs1_check_digit(code.as_bytes());
    valid.then(|| code.parse().ok()).flatten()
}

/// What a mask's value digits say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embedded {
    /// The price to pay in minor units.
    PriceMinor(i64),
    /// The weight in grams, which are thousandths of a kilogram.
    Weight(Thousandths),
}

/// A mask for in-store codes: digits stand for themselves, `I` item code, `P` price in minor units, `W` weight in grams,
/// `V` a check digit of the value (not checked: its algorithms differ by country), `C` the EAN check digit, last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BarcodeMask(Box<[u8]>);

impl BarcodeMask {
    /// Reads a mask such as `"20IIIIIPPPPPC"`; the error says what is wrong.
    pub fn parse(mask: &str) -> Result<Self, String> {
        let bytes = mask.as_bytes();
        if !matches!(bytes.len(), 8 | 12 | 13) {
            return Err(format!(
                "mask {mask:?} has {} characters; 8, 12 or 13 are possible",
                bytes.len()
            ));
        }
        if let Some(bad) = mask
            .chars()
            .find(|c| !c.is_ascii_digit() && !"IPWVC".contains(*c))
        {
            return Err(format!(
                "mask {mask:?} has {bad:?}; digits and I, P, W, V, C are possible"
            ));
        }
        let contiguous = |c: u8| {
            let first = bytes.iter().position(|b| *b == c);
            let last = bytes.iter().rposition(|b| *b == c);
            first
                .zip(last)
                .is_none_or(|(f, l)| bytes[f..=l].iter().all(|b| *b == c))
        };
        let has = |c: u8| bytes.contains(&c);
        let item_and_one_value =
            has(b'I') && (has(b'P') ^ has(b'W')) && [b'I', b'P', b'W'].into_iter().all(contiguous);
        if !item_and_one_value
            || bytes.iter().filter(|b| **b == b'C').count() != 1
            || bytes[bytes.len() - 1] != b'C'
        {
            return Err(format!(
                "mask {mask:?} needs one run of I, one run of P or of W, and C at the end"
            ));
        }
        Ok(BarcodeMask(bytes.into()))
    }

    /// The item code and the value, where `code` fits.
    pub fn decode<'c>(&self, code: &'c str) -> Option<(&'c str, Embedded)> {
        let bytes = code.as_bytes();
        if bytes.len() != self.0.len() || !has_gs1_check_digit(bytes) {
            return None;
        }
        let literal_differs = self
            .0
            .iter()
            .zip(bytes)
            .any(|(m, b)| m.is_ascii_digit() && m != b);
        if literal_differs {
            return None;
        }
        let run = |c: u8| {
            let start = self.0.iter().position(|m| *m == c)?;
            let length = self.0[start..].iter().take_while(|m| **m == c).count();
            code.get(start..start + length)
        };
        let embedded = match (run(b'P'), run(b'W')) {
            (Some(price), _) => Embedded::PriceMinor(price.parse().ok()?),
            (_, Some(grams)) => Embedded::Weight(Thousandths(grams.parse().ok()?)),
            _ => return None,
        };
        Some((run(b'I')?, embedded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gtins_of_every_length_become_one_number() {
        let check =
            |code: &str, expect: Option<u64>| assert_eq!(parse_gtin(code), expect, "{code}");
        check("8001234567897", Some(8_001_234_567_897));
        check("08001234567897", Some(8_001_234_567_897));
        check("036000291452", Some(36_000_291_452));
        check("0036000291452", Some(36_000_291_452));
        check("96385074", Some(96_385_074));
        check("8001234567898", None);
        check("800123456789", None);
        check("", None);
        check("80012345678 5", None);
    }

    #[test]
    fn masks_give_item_and_value() {
        let check = |mask: &str, code: &str, expect: Option<(&str, Embedded)>| {
            assert_eq!(
                BarcodeMask::parse(mask).expect("a good mask").decode(code),
                expect,
                "{mask} {code}"
            );
        };
        check(
            "20IIIIIPPPPPC",
            "2012345004993",
            Some(("12345", Embedded::PriceMinor(499))),
        );
        check("20IIIIIPPPPPC", "2112345004990", None);
        check("20IIIIIPPPPPC", "2012345004994", None);
        check(
            "21IIIIIWWWWWC",
            "2100042012509",
            Some(("00042", Embedded::Weight(Thousandths(1250)))),
        );
        check(
            "2IIIIIVPPPPPC",
            "2012349004999",
            Some(("01234", Embedded::PriceMinor(499))),
        );
    }

    #[test]
    fn a_bad_mask_is_refused_with_a_reason() {
        for bad in [
            "",
            "20IIIIIPPPPPCC",
            "20IIIII00000C",
            "20IIIIIPPPWWC",
            "20IIIIIPPPPP0",
            "20IPIIIPPPPPC",
            "20IIIIIPPPXPC",
        ] {
            assert!(BarcodeMask::parse(bad).is_err(), "{bad}");
        }
    }
}
