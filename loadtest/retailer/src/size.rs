//! How large a world is. Sizes are parameters so that a test can use a village and the demo a country.

use crate::WorldError;

/// Sizes and habits of a world. Public identifiers (stores, SKUs, GTINs, cards, e-mails, phones) depend on the seed and the
/// position alone, so a larger world has those of a smaller one and more.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldSize {
    /// Stores, 1 to 5,000.
    pub stores: u32,
    /// Products, 20 to 200,000.
    pub products: u32,
    /// Customers, 1 to 10,000,000.
    pub customers: u32,
    /// Receipts in all, returns included, at most 100,000,000.
    pub receipts: u64,
    /// Business days with receipts, the last one being the day before the end of the world's time; 10 to 3,660.
    pub days: u32,
    /// Fewest products a store carries (bounded by `products`).
    pub assortment_min: u32,
    /// Most products a store carries (bounded by `products`).
    pub assortment_max: u32,
    /// Share of receipts with a loyalty card, 0 to 1.
    pub identified_share: f64,
    /// Share of receipts that are returns of an earlier one, 0 to 0.1.
    pub return_share: f64,
    /// Mean lines of a receipt, 1 to 30.
    pub lines_mean: f64,
}

impl WorldSize {
    /// The demo: 250 stores, 8,000 products, 50,000 customers, 500,000 receipts over two years, about 475,000 stock levels.
    #[must_use]
    pub fn demo() -> Self {
        Self {
            stores: 250,
            products: 8_000,
            customers: 50_000,
            receipts: 500_000,
            days: 730,
            assortment_min: 1_500,
            assortment_max: 2_300,
            identified_share: 0.7,
            return_share: 0.012,
            lines_mean: 5.0,
        }
    }

    /// For tests: 20 stores, 400 products, 500 customers, 3,000 receipts over 60 days.
    #[must_use]
    pub fn small() -> Self {
        Self {
            stores: 20,
            products: 400,
            customers: 500,
            receipts: 3_000,
            days: 60,
            assortment_min: 150,
            assortment_max: 300,
            ..Self::demo()
        }
    }

    /// Checks every bound.
    pub(crate) fn check(&self) -> Result<(), WorldError> {
        let bounds = [
            ("stores", u64::from(self.stores), 1, 5_000),
            ("products", u64::from(self.products), 20, 200_000),
            ("customers", u64::from(self.customers), 1, 10_000_000),
            ("receipts", self.receipts, 0, 100_000_000),
            ("days", u64::from(self.days), 10, 3_660),
            (
                "assortment_min",
                u64::from(self.assortment_min),
                10,
                u64::from(self.assortment_max),
            ),
            (
                "assortment_max",
                u64::from(self.assortment_max),
                10,
                200_000,
            ),
        ];
        for (name, value, low, high) in bounds {
            if value < low || value > high {
                return Err(WorldError::OutOfBounds {
                    name,
                    low: low as f64,
                    high: high as f64,
                });
            }
        }
        let shares = [
            ("identified_share", self.identified_share, 0.0, 1.0),
            ("return_share", self.return_share, 0.0, 0.1),
            ("lines_mean", self.lines_mean, 1.0, 30.0),
        ];
        for (name, value, low, high) in shares {
            if !(low..=high).contains(&value) {
                return Err(WorldError::OutOfBounds { name, low, high });
            }
        }
        Ok(())
    }
}
