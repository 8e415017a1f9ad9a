//! A synthetic Italian retailer: stores at real towns, products with barcodes, customers with loyalty cards, and years of
//! receipts, as the messages of `tillside-proto`. The demo, the load test and tests live on it.
//!
//! The same seed, size and end give the same bytes on every machine: there is no ambient time or randomness here, and every
//! part draws from its own stream. The end of the world's time is a parameter; identifiers do not depend on it, so whoever
//! knows the seed can name a customer of a world that was loaded yesterday. Receipts are made as they are asked for; a day's
//! plan is all that is held at once.
//!
//! It refuses to do IO, and it is no model of real people: names, brands, numbers and addresses are invented, e-mail
//! domains are example domains.

mod assortment;
mod barcodes;
mod baskets;
mod calendar;
mod customers;
mod day_plan;
mod departments;
mod draw;
mod habits;
mod names;
mod offers;
mod places;
mod products;
mod receipts;
mod size;
mod stock;
mod stores;

pub use barcodes::with_check_digit;
pub use baskets::BasketItem;
pub use places::{PLACES, Place};
pub use receipts::Receipts;
pub use size::WorldSize;

use assortment::Assortment;
use calendar::Day;
use habits::Habits;
use products::Article;
use prost_types::Timestamp;
use stores::Shop;
use tillside_proto::v1;

/// Where events of the world say they come from.
pub const SOURCE: &str = "retailer";

/// Why a world cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WorldError {
    /// A size is out of its bounds.
    #[error("{name} must be between {low} and {high}")]
    OutOfBounds {
        /// Field of [`WorldSize`].
        name: &'static str,
        /// Lowest allowed value.
        low: f64,
        /// Highest allowed value.
        high: f64,
    },
    /// The end is not a time this calendar knows.
    #[error("{0} seconds after 1970 is no usable end for a world")]
    BadEnd(i64),
}

/// A retailer. Cheap to ask, a few megabytes to hold, made in well under a second.
#[derive(Debug)]
pub struct World {
    seed: u64,
    size: WorldSize,
    end_unix_seconds: i64,
    shops: Vec<Shop>,
    /// Rising sums of the shops' weights.
    shop_weights: Vec<u64>,
    articles: Vec<Article>,
    /// Articles of each category of the lowest level.
    by_leaf: Vec<Vec<u32>>,
    assortments: Vec<Assortment>,
    habits: Habits,
    days: Vec<Day>,
}

impl World {
    /// Makes a world whose time ends at `end_unix_seconds`: stock was counted at that moment, receipts are of the days
    /// before it, offers run around it.
    ///
    /// # Errors
    /// Where a size is out of its bounds or the end is no usable time.
    pub fn new(seed: u64, size: WorldSize, end_unix_seconds: i64) -> Result<Self, WorldError> {
        size.check()?;
        let days = calendar::days_before(end_unix_seconds, size.days, size.receipts)?;
        let shops = stores::shops(seed, size.stores);
        let shop_weights = rising(shops.iter().map(|shop| u64::from(shop.place.weight)));
        let articles = products::articles(seed, size.products);
        let mut by_leaf = vec![Vec::new(); departments::LEAVES.len()];
        for (index, article) in (0..).zip(&articles) {
            by_leaf[usize::from(article.leaf)].push(index);
        }
        let assortments = assortment::assortments(seed, &size);
        let habits = Habits::new(seed, &size, &shop_weights, &assortments, &by_leaf);
        Ok(Self {
            seed,
            size,
            end_unix_seconds,
            shops,
            shop_weights,
            articles,
            by_leaf,
            assortments,
            habits,
            days,
        })
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The size.
    #[must_use]
    pub fn size(&self) -> &WorldSize {
        &self.size
    }

    /// The end of the world's time, seconds after 1970.
    #[must_use]
    pub fn end_unix_seconds(&self) -> i64 {
        self.end_unix_seconds
    }

    /// All stores in id order.
    pub fn stores(&self) -> impl Iterator<Item = v1::Store> + '_ {
        self.shops.iter().map(Shop::message)
    }

    /// All products in SKU order.
    pub fn products(&self) -> impl Iterator<Item = v1::Product> + '_ {
        (0..)
            .zip(&self.articles)
            .map(|(index, article)| article.message(self.seed, index))
    }

    /// All customers, as events of another system, dated before the first receipt.
    pub fn customers(&self) -> impl Iterator<Item = v1::Event> + '_ {
        (0..self.size.customers).map(|index| self.customer(index))
    }

    /// All stock counts, taken at the end of the world's time. Loaded before the receipts they make the load lighter: a
    /// sale that was before the count moves no stock.
    pub fn stock_counts(&self) -> impl Iterator<Item = v1::Event> + '_ {
        (0..self.shops.len()).flat_map(|store| stock::counts(self, store))
    }

    /// Number of stock counts.
    #[must_use]
    pub fn stock_count_total(&self) -> u64 {
        self.assortments
            .iter()
            .map(|assortment| assortment.articles().len() as u64)
            .sum()
    }

    /// All receipts, oldest day first, in the order of their time within a day.
    #[must_use]
    pub fn receipts(&self) -> Receipts<'_> {
        self.receipts_of_days(0..self.size.days as usize)
    }

    /// The receipts of some days (counted from the oldest), for generation on several threads. The parts joined are the
    /// same as the whole.
    #[must_use]
    pub fn receipts_of_days(&self, days: core::ops::Range<usize>) -> Receipts<'_> {
        Receipts::new(self, days)
    }

    /// The offers, a dozen.
    #[must_use]
    pub fn offers(&self) -> Vec<v1::Offer> {
        offers::offers(self)
    }

    fn end(&self) -> Timestamp {
        Timestamp {
            seconds: self.end_unix_seconds,
            nanos: 0,
        }
    }
}

fn rising(weights: impl Iterator<Item = u64>) -> Vec<u64> {
    weights
        .scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect()
}

fn euro(minor_units: i64) -> v1::Money {
    v1::Money {
        currency_code: "EUR".to_owned(),
        minor_units,
    }
}
