//! Times, quantities and money as integers: every sum in the engine is exact and the same on every machine.

use std::fmt;

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// Milliseconds in a day of 24 hours.
pub const DAY_MS: i64 = 86_400_000;

impl Time {
    /// This instant and `ms` milliseconds; stays at the ends of the range instead of wrapping.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Time(self.0.saturating_add(ms))
    }

    /// Whole UTC days since 1970-01-01.
    pub fn day(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }
}

/// What a quantity counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Pieces.
    #[default]
    Each,
    /// Kilograms.
    Kilogram,
    /// Litres.
    Litre,
    /// Metres.
    Metre,
}

/// Thousandths of a unit; signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thousandths(pub i64);

/// One whole unit.
pub const ONE: Thousandths = Thousandths(1000);

/// ISO 4217 code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Euro, the default of everything that names no currency.
    pub const EUR: Currency = Currency(*b"EUR");

    /// Reads a code of three upper-case letters.
    pub fn parse(code: &str) -> Option<Self> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(u8::is_ascii_uppercase)
            .then_some(Currency(bytes))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        // Only ASCII letters get in through `parse`, so the bytes are always UTF-8.
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount in minor units (cents) of one currency; signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    /// The currency.
    pub currency: Currency,
    /// Minor units.
    pub minor: i64,
}

/// `a * b / divisor`, halves away from zero; exact in between. `divisor` must be positive.
pub fn mul_div_round(a: i64, b: i64, divisor: i64) -> i64 {
    assert!(
        divisor > 0,
        "a divisor is a positive constant of ours or a checked field"
    );
    let product = i128::from(a) * i128::from(b);
    let half = i128::from(divisor) / 2;
    let rounded = if product >= 0 {
        product + half
    } else {
        product - half
    } / i128::from(divisor);
    rounded.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// Price of a quantity at a price per whole unit, half a cent away from zero.
pub fn price_of(unit_price_minor: i64, quantity: Thousandths) -> i64 {
    mul_div_round(unit_price_minor, quantity.0, 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_rounded_half_away_from_zero() {
        let check = |a, b, d, expect| assert_eq!(mul_div_round(a, b, d), expect, "{a} * {b} / {d}");
        check(199, 500, 1000, 100);
        check(-199, 500, 1000, -100);
        check(1, 499, 1000, 0);
        check(1, 500, 1000, 1);
        check(i64::MAX, 2, 1, i64::MAX);
        check(7, 3, 2, 11);
    }

    #[test]
    fn a_currency_is_three_capitals() {
        assert_eq!(Currency::parse("EUR"), Some(Currency::EUR));
        for bad in ["", "eur", "EURO", "E1R", "€"] {
            assert_eq!(Currency::parse(bad), None, "{bad}");
        }
    }
}
