//! Decimal numbers as whole multiples of a power of ten: money and quantities never pass through floating point.

use std::fmt;

/// Decimal places of a quantity: the API counts thousandths.
pub(crate) const QUANTITY_DIGITS: u32 = 3;

/// Why a text is not a number we can keep exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecimalError {
    /// Not a plain decimal number.
    NotANumber,
    /// A comma where a point belongs.
    Comma,
    /// More decimal places than the amount or quantity has.
    TooPrecise(u32),
    /// Does not fit.
    TooLarge,
}

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber => f.write_str("is not a decimal number, for example 12.50"),
            Self::Comma => f.write_str("has a comma; write decimals with a point, for example 12.50, and no thousands separator"),
            Self::TooPrecise(digits) => write!(f, "has more than {digits} decimal places"),
            Self::TooLarge => f.write_str("is too large"),
        }
    }
}

/// `text` times ten to the power of `digits`, exactly. Surplus decimal places are fine where they are zeros.
pub(crate) fn parse(text: &[u8], digits: u32) -> Result<i64, DecimalError> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let mut value: i64 = 0;
    let mut seen_digit = false;
    // Decimal places still to come; `None` before the point.
    let mut places_left = None;
    for &byte in unsigned {
        match byte {
            b'0'..=b'9' => {
                seen_digit = true;
                match places_left {
                    Some(0) if byte == b'0' => continue,
                    Some(0) => return Err(DecimalError::TooPrecise(digits)),
                    Some(left) => places_left = Some(left - 1),
                    None => {}
                }
                value = value
                    .checked_mul(10)
                    .and_then(|value| value.checked_add(i64::from(byte - b'0')))
                    .ok_or(DecimalError::TooLarge)?;
            }
            b'.' if places_left.is_none() => places_left = Some(digits),
            b',' => return Err(DecimalError::Comma),
            _ => return Err(DecimalError::NotANumber),
        }
    }
    if !seen_digit {
        return Err(DecimalError::NotANumber);
    }
    let value = 10_i64
        .checked_pow(places_left.unwrap_or(digits))
        .and_then(|scale| value.checked_mul(scale))
        .ok_or(DecimalError::TooLarge)?;
    Ok(if negative { -value } else { value })
}

/// The decimal number `value` over ten to the power of `digits`, with all its decimal places.
pub(crate) fn format(value: i64, digits: u32) -> String {
    if digits == 0 {
        return value.to_string();
    }
    let scale = 10_u64.pow(digits);
    let sign = if value < 0 { "-" } else { "" };
    let (whole, part) = (value.unsigned_abs() / scale, value.unsigned_abs() % scale);
    format!("{sign}{whole}.{part:0width$}", width = digits as usize)
}

/// A quantity in thousandths, without trailing zeros: 1500 is "1.5".
pub(crate) fn format_quantity(thousandths: i64) -> String {
    let text = format(thousandths, QUANTITY_DIGITS);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, digits: u32, expect: Result<i64, DecimalError>) {
        assert_eq!(
            parse(text.as_bytes(), digits),
            expect,
            "{text:?} with {digits} digits"
        );
    }

    #[test]
    fn decimals_are_read_exactly() {
        check("0", 2, Ok(0));
        check("1.50", 2, Ok(150));
        check("1.5", 2, Ok(150));
        check("-0.01", 2, Ok(-1));
        check("+3", 3, Ok(3000));
        check(".5", 3, Ok(500));
        check("5.", 3, Ok(5000));
        check("1.2500", 2, Ok(125));
        check("0.1", 0, Err(DecimalError::TooPrecise(0)));
        check("12.0", 0, Ok(12));
        check("92233720368547758.07", 2, Ok(i64::MAX));
    }

    #[test]
    fn what_is_no_exact_decimal_is_refused_with_its_reason() {
        check("", 2, Err(DecimalError::NotANumber));
        check(".", 2, Err(DecimalError::NotANumber));
        check("-", 2, Err(DecimalError::NotANumber));
        check("1.2.3", 2, Err(DecimalError::NotANumber));
        check("1e3", 2, Err(DecimalError::NotANumber));
        check("NaN", 2, Err(DecimalError::NotANumber));
        check("1,50", 2, Err(DecimalError::Comma));
        check("1.005", 2, Err(DecimalError::TooPrecise(2)));
        check("92233720368547758.08", 2, Err(DecimalError::TooLarge));
        check("99999999999999999999", 0, Err(DecimalError::TooLarge));
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for (value, digits, expect) in [
            (150, 2, "1.50"),
            (-1, 2, "-0.01"),
            (7, 0, "7"),
            (i64::MIN, 2, "-92233720368547758.08"),
        ] {
            assert_eq!(format(value, digits), expect);
        }
        for (value, expect) in [
            (1500, "1.5"),
            (2000, "2"),
            (0, "0"),
            (-250, "-0.25"),
            (10_000, "10"),
        ] {
            assert_eq!(format_quantity(value), expect);
        }
    }
}
