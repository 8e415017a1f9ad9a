//! Baskets: what a scanner read becomes a product, and what the till left out comes from the catalog.

use std::sync::Arc;

use smallvec::SmallVec;
use tillside_engine::barcode::{Embedded, parse_gtin};
use tillside_engine::eligibility::BasketItem;
use tillside_engine::ids::{SkuId, StoreId};
use tillside_engine::limits::{BASKET_LINES_MAX, ID_BYTES_MAX};
use tillside_engine::state::{FoundItem, State};
use tillside_engine::units::{Currency, Money, ONE, Thousandths, Unit, price_of};
use tillside_proto::v1;

use super::checks::{Checks, Path};
use crate::app::Reading;

/// All that a scanned code can mean.
#[derive(Clone, Debug)]
pub struct ScannedCode {
    /// As a GTIN.
    pub gtin: Option<u64>,
    /// As an in-store code, in the order of the masks.
    pub embedded: SmallVec<[(Arc<str>, Embedded); 1]>,
}

impl Reading {
    /// What a scanned code can mean.
    pub fn scanned(&self, code: &str) -> ScannedCode {
        let decoded = self.masks.iter().filter_map(|mask| mask.decode(code));
        ScannedCode {
            gtin: parse_gtin(code),
            embedded: decoded
                .map(|(item, value)| (Arc::from(item), value))
                .collect(),
        }
    }

    /// The product of a scanned code.
    pub fn find_scanned(&self, state: &State, code: &str) -> Option<FoundItem> {
        let scanned = self.scanned(code);
        state.find_scanned(scanned.gtin, &scanned.embedded)
    }
}

/// A basket.
#[derive(Clone, Debug, Default)]
pub struct Basket {
    /// The lines as the engine ranks them.
    pub items: Vec<BasketItem>,
    /// Their ids.
    pub line_ids: Vec<Arc<str>>,
}

impl Basket {
    /// Ids of lines whose item nobody knows.
    pub fn unknown_line_ids(&self) -> Vec<String> {
        let unknown = self
            .items
            .iter()
            .zip(&self.line_ids)
            .filter(|(item, _)| item.sku.is_none());
        unknown.map(|(_, id)| id.to_string()).collect()
    }

    /// Products, with what is wanted of each, of the lines that are known.
    pub fn known(&self) -> impl Iterator<Item = (Arc<str>, SkuId, i64)> {
        self.items
            .iter()
            .zip(&self.line_ids)
            .filter_map(|(item, id)| Some((Arc::clone(id), item.sku?, item.quantity)))
    }
}

/// The line's id, or its position from "1".
pub fn line_id(checks: &mut Checks, path: Path<'_>, id: &str, position: usize) -> Arc<str> {
    if id.is_empty() {
        (position + 1).to_string().into()
    } else {
        checks.optional_id(path.field("line_id"), id)
    }
}

/// Reads a basket against the catalog; lines without a price cost what they cost in the store.
pub fn basket(
    reading: &Reading,
    state: &State,
    checks: &mut Checks,
    store_id: &str,
    lines: &[v1::BasketLine],
) -> Basket {
    let root = Path::ROOT;
    checks.count(root.field("lines"), lines.len(), 0, BASKET_LINES_MAX);
    let mut basket = Basket::default();
    let store = state.stores.number(store_id);
    for (i, line) in lines.iter().take(BASKET_LINES_MAX).enumerate() {
        let path = root.item("lines", i);
        basket
            .line_ids
            .push(line_id(checks, path, &line.line_id, i));
        basket
            .items
            .push(item(reading, state, checks, path, store, line));
    }
    basket
}

fn item(
    reading: &Reading,
    state: &State,
    checks: &mut Checks,
    path: Path<'_>,
    store: Option<StoreId>,
    line: &v1::BasketLine,
) -> BasketItem {
    let found = match &line.item {
        Some(v1::basket_line::Item::Sku(sku)) => {
            checks.id(path.field("sku"), sku);
            state.find_sku(sku)
        }
        Some(v1::basket_line::Item::ScannedCode(code)) => {
            checks.id(path.field("scanned_code"), code);
            if code.len() <= ID_BYTES_MAX {
                reading.find_scanned(state, code)
            } else {
                None
            }
        }
        None => {
            checks.refuse(path, "needs a sku or a scanned_code");
            None
        }
    };
    let product = found.as_ref().map(|f| &f.product);
    let embedded = found.as_ref().and_then(|f| f.quantity).unwrap_or(ONE);
    let quantity = line.quantity.as_ref().map_or(embedded.0, |q| {
        wanted(checks, path.field("quantity"), q, product.map(|p| p.unit))
    });
    let unit_price = checks
        .optional_money(path.field("unit_price"), line.unit_price.as_ref())
        .or_else(|| state.own_price(found.as_ref()?.id, store))
        .or(product.and_then(|p| p.list_price));
    let net = checks.optional_money(path.field("net_amount"), line.net_amount.as_ref());
    let of_code = found
        .as_ref()
        .and_then(|f| f.amount)
        .filter(|_| line.unit_price.is_none());
    let of_price = unit_price.map(|p| Money {
        currency: p.currency,
        minor: price_of(p.minor, Thousandths(quantity)),
    });
    let vat_rate_basis_points = match line.vat_rate_basis_points {
        Some(rate) => super::catalog::vat_rate(checks, path.field("vat_rate_basis_points"), rate),
        None => product.map_or(0, |p| p.vat_rate_basis_points),
    };
    BasketItem {
        sku: found.as_ref().map(|f| f.id),
        quantity,
        net: net.or(of_code).or(of_price).unwrap_or(Money {
            currency: Currency::EUR,
            minor: 0,
        }),
        vat_rate_basis_points,
    }
}

/// A quantity that somebody wants: positive, and of the product's unit where both are known.
pub fn wanted(
    checks: &mut Checks,
    path: Path<'_>,
    quantity: &v1::Quantity,
    of: Option<Unit>,
) -> i64 {
    let (thousandths, unit) = checks.quantity(path, quantity);
    checks.require(thousandths > 0, path, "must be positive");
    let same = unit.is_none() || of.is_none() || unit == of;
    checks.require(
        same,
        path.field("unit"),
        "is not the product's unit; leave it unset to mean that",
    );
    thousandths.max(1)
}
