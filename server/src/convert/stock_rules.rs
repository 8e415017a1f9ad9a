//! Safety buffers, near-time rules, prices of stores.

use std::sync::Arc;

use tillside_engine::buffers::{BufferKey, BufferScope};
use tillside_engine::catalog::CATEGORY_SEPARATOR;
use tillside_engine::command::{FactDraft, ScopeDraft};
use tillside_engine::limits::{ITEMS_PER_CALL_MAX, NEAR_TIME_HORIZON_MS_MAX};
use tillside_engine::state::State;
use tillside_engine::units::Unit;
use tillside_proto::v1;

use super::catalog::category_path;
use super::checks::{Checks, Path};
use super::values::quantity;

/// The rules of a request.
pub fn stock_rules(checks: &mut Checks, request: &v1::SetStockRulesRequest) -> Vec<FactDraft> {
    let root = Path::ROOT;
    let all = request.safety_buffers.len() + request.near_time_rules.len();
    checks.count(root.field("safety_buffers"), all, 1, ITEMS_PER_CALL_MAX);
    let mut facts = Vec::new();
    for (i, buffer) in request
        .safety_buffers
        .iter()
        .take(ITEMS_PER_CALL_MAX)
        .enumerate()
    {
        facts.push(self::buffer(checks, root.item("safety_buffers", i), buffer));
    }
    for (i, rule) in request
        .near_time_rules
        .iter()
        .take(ITEMS_PER_CALL_MAX)
        .enumerate()
    {
        facts.push(near_time(checks, root.item("near_time_rules", i), rule));
    }
    facts
}

fn store(checks: &mut Checks, path: Path<'_>, store_id: &str) -> Option<Arc<str>> {
    let id = checks.optional_id(path.field("store_id"), store_id);
    (!id.is_empty()).then_some(id)
}

fn buffer(checks: &mut Checks, path: Path<'_>, buffer: &v1::SafetyBuffer) -> FactDraft {
    let category = category_path(checks, path, &buffer.category_path);
    let sku = checks.optional_id(path.field("sku"), &buffer.sku);
    let both = !category.is_empty() && !sku.is_empty();
    checks.require(
        !both,
        path.field("sku"),
        "and category_path cannot both be set",
    );
    let scope = match (category.is_empty(), sku.is_empty()) {
        (_, false) => ScopeDraft::Sku(sku),
        (false, true) => ScopeDraft::Category(category),
        (true, true) => ScopeDraft::Everything,
    };
    let given = buffer.quantity.as_ref();
    let given = given.map(|q| checks.quantity(path.field("quantity"), q));
    let good = given.is_none_or(|(quantity, _)| quantity >= 0);
    checks.require(good, path.field("quantity"), "is negative");
    FactDraft::Buffer {
        store_id: store(checks, path, &buffer.store_id),
        scope,
        quantity: given.map(|(quantity, _)| quantity),
        unit: given.and_then(|(_, unit)| unit),
    }
}

fn near_time(checks: &mut Checks, path: Path<'_>, rule: &v1::NearTimeRule) -> FactDraft {
    let horizon_ms = rule.horizon.as_ref().map(|horizon| {
        let ms = horizon
            .seconds
            .saturating_mul(1000)
            .saturating_add(i64::from(horizon.nanos) / 1_000_000);
        let good = (0..=NEAR_TIME_HORIZON_MS_MAX).contains(&ms);
        checks.require(good, path.field("horizon"), "is not between 0 and 31 days");
        ms
    });
    FactDraft::NearTime {
        store_id: store(checks, path, &rule.store_id),
        horizon_ms,
    }
}

/// The prices of a request.
pub fn store_prices(checks: &mut Checks, request: &v1::SetStorePricesRequest) -> Vec<FactDraft> {
    let root = Path::ROOT;
    checks.count(
        root.field("prices"),
        request.prices.len(),
        1,
        ITEMS_PER_CALL_MAX,
    );
    let prices = request.prices.iter().take(ITEMS_PER_CALL_MAX).enumerate();
    prices
        .map(|(i, p)| price(checks, root.item("prices", i), p))
        .collect()
}

/// The price of a product in a store.
pub fn price(checks: &mut Checks, path: Path<'_>, price: &v1::StorePrice) -> FactDraft {
    let money = checks.optional_money(path.field("price"), price.price.as_ref());
    let good = money.is_none_or(|money| money.minor >= 0);
    checks.require(good, path.field("price.minor_units"), "is negative");
    FactDraft::Price {
        sku: checks.id(path.field("sku"), &price.sku),
        store_id: checks.id(path.field("store_id"), &price.store_id),
        price: money,
    }
}

/// A safety buffer on the wire.
pub fn wire_buffer(state: &State, key: &BufferKey, thousandths: i64) -> v1::SafetyBuffer {
    let store = key.store.and_then(|id| state.stores.get(id));
    let mut buffer = v1::SafetyBuffer {
        store_id: store.map_or_else(String::new, |s| s.store_id.to_string()),
        quantity: Some(v1::Quantity {
            unit: v1::Unit::Unspecified.into(),
            ..quantity(thousandths, Unit::Each)
        }),
        ..v1::SafetyBuffer::default()
    };
    match &key.scope {
        BufferScope::Everything => {}
        BufferScope::Category(path) => {
            buffer.category_path = path.split(CATEGORY_SEPARATOR).map(str::to_owned).collect();
        }
        BufferScope::Sku(sku) => {
            if let Some(product) = state.products.get(*sku) {
                buffer.sku = product.sku.to_string();
                buffer.quantity = Some(quantity(thousandths, product.unit));
            }
        }
    }
    buffer
}
