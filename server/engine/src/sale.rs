//! A receipt as the engine records it: resolved where it could be, as sent where not. A sale already happened, so
//! nothing here can refuse it.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::ids::{CustomerId, ReservationId, SkuId, StoreId};
use crate::units::{Currency, Money, Time};

/// Kinds of transactions that are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaleKind {
    /// Goods sold.
    Sale,
    /// Goods taken back.
    Return,
    /// The undoing of a complete sale.
    PostVoid,
    /// Recorded, changes nothing: void, suspend, no sale, training.
    Neutral,
}

/// The store of a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreRef {
    /// Known.
    Known(StoreId),
    /// Not known (yet); as sent.
    Unknown(Arc<str>),
}

/// The item of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemRef {
    /// Known.
    Known(SkuId),
    /// An SKU the server does not know; as sent.
    UnknownSku(Arc<str>),
    /// A scanned code the server does not know; as sent.
    UnknownCode(Arc<str>),
}

/// A line of a receipt. Quantities and amounts are signed: what left the store and what came in for it are positive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaleLine {
    /// What.
    pub item: ItemRef,
    /// Thousandths that left the store.
    pub quantity: i64,
    /// Net amount.
    pub net: Money,
    /// By how much the stock level moves: zero where it is not known or a later count has seen it.
    pub stock_delta: i64,
    /// What it takes out of a reservation.
    pub settles: Option<(ReservationId, i64)>,
    /// Offers that gave a discount.
    pub offer_ids: SmallVec<[Arc<str>; 0]>,
}

/// A receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// Kind.
    pub kind: SaleKind,
    /// Where.
    pub store: StoreRef,
    /// Till; may be empty.
    pub workstation: Arc<str>,
    /// Business day, "YYYY-MM-DD"; may be empty.
    pub business_day: Arc<str>,
    /// Running number.
    pub number: i64,
    /// When it was paid.
    pub time: Time,
    /// Who bought.
    pub customer: Option<CustomerId>,
    /// Points it earns; signed.
    pub points: i64,
    /// The lines.
    pub lines: Vec<SaleLine>,
    /// How it was paid.
    pub tenders: Vec<(Arc<str>, Money)>,
    /// Number of the fiscal document; may be empty.
    pub fiscal_document: Arc<str>,
    /// Serial of the fiscal printer; may be empty.
    pub fiscal_device: Arc<str>,
    /// Who served; may be empty.
    pub operator: Arc<str>,
    /// Sent while offline.
    pub offline: bool,
    /// Training mode.
    pub training: bool,
}

impl Sale {
    /// Net amounts, one a currency, in order of appearance.
    pub fn net_by_currency(&self) -> SmallVec<[(Currency, i64); 1]> {
        let mut sums: SmallVec<[(Currency, i64); 1]> = SmallVec::new();
        for line in &self.lines {
            match sums.iter_mut().find(|(c, _)| *c == line.net.currency) {
                Some((_, sum)) => *sum = sum.saturating_add(line.net.minor),
                None => sums.push((line.net.currency, line.net.minor)),
            }
        }
        sums
    }
}

/// A line nobody can book yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedLine {
    /// The store as sent.
    pub store: Arc<str>,
    /// The item as sent.
    pub item: Arc<str>,
    /// The item is a scanned code.
    pub scanned: bool,
    /// Thousandths that left the store.
    pub quantity: i64,
    /// Net amount.
    pub net: Money,
    /// When it was sold.
    pub time: Time,
    /// The store is what is unknown.
    pub unknown_store: bool,
}
