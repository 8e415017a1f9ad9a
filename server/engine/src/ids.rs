//! Newtypes for everything that is numbered, so that a store can never be passed where a product is meant.
//! Dense and surrogate ids are given by the sequencer in order and are never used again; retailer ids stay strings.

use std::cmp::Ordering;
use std::fmt;

/// Position of a change in the one order of all changes; the first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// Surrogate of a customer; carries nothing personal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerId(pub u64);

/// Dense number of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SkuId(pub u32);

/// Dense number of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u32);

/// Number of a reservation; shown to clients as "r-" and digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReservationId(pub u64);

/// Keyed hash of a normalised identifier: the identifier index holds no personal data. Packed, because a hash aligned to 16
/// bytes makes its row in a table of tens of millions a third larger.
#[repr(Rust, packed(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentifierHash(pub u128);

/// Hash of a business key, (source, event id) or the receipt's own key; kept as long as the fact. Packed, as
/// [`IdentifierHash`] is.
#[repr(Rust, packed(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusinessKey(pub u128);

/// Hash of (principal, request id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey(pub u128);

impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r-{}", self.0)
    }
}

impl ReservationId {
    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("r-")?;
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        plain
            .then(|| digits.parse().ok().map(ReservationId))
            .flatten()
    }
}

/// A pair of product and store in one word: the key of a stock level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey(pub u64);

impl CellKey {
    /// The key of `sku` in `store`. Products sort first, so one product's stores are neighbours on disk.
    pub fn new(sku: SkuId, store: StoreId) -> Self {
        CellKey(u64::from(sku.0) << 32 | u64::from(store.0))
    }

    /// The product.
    pub fn sku(self) -> SkuId {
        SkuId((self.0 >> 32) as u32)
    }

    /// The store.
    pub fn store(self) -> StoreId {
        StoreId(self.0 as u32)
    }
}

/// Order of retailer ids where ids break a tie: all-digit ids compare as numbers and come first, others bytewise.
pub fn compare_external(a: &str, b: &str) -> Ordering {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|c| c.is_ascii_digit());
    match (digits(a), digits(b)) {
        (true, true) => {
            let (x, y) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
            // Equal numbers with different zeros are different ids: the bytes decide, so that the order stays total.
            x.len()
                .cmp(&y.len())
                .then_with(|| x.cmp(y))
                .then_with(|| a.cmp(b))
        }
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digit_ids_compare_as_numbers_and_others_bytewise() {
        let check = |a: &str, b: &str, expect: Ordering| {
            assert_eq!(compare_external(a, b), expect, "{a} {b}")
        };
        check("9", "10", Ordering::Less);
        check("007", "7", Ordering::Less);
        check("7", "007", Ordering::Greater);
        check("10", "a", Ordering::Less);
        check("A10", "A9", Ordering::Less);
        check(
            "18446744073709551617",
            "18446744073709551616",
            Ordering::Greater,
        );
        check("5", "5", Ordering::Equal);
    }

    #[test]
    fn a_reservation_id_reads_back_and_nothing_else_does() {
        assert_eq!(
            ReservationId::parse(&ReservationId(42).to_string()),
            Some(ReservationId(42))
        );
        for bad in ["", "r-", "42", "r--1", "r-+1", "r-99999999999999999999"] {
            assert_eq!(ReservationId::parse(bad), None, "{bad}");
        }
    }
}
