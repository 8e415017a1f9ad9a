//! Stock levels, movements and counts.

use tillside_engine::catalog::{Product, Store};
use tillside_engine::command::{Adjustment, Count};
use tillside_engine::ids::Sequence;
use tillside_engine::limits::ITEMS_PER_CALL_MAX;
use tillside_engine::stock::{Beside, MoveReason, StockLevel};
use tillside_engine::units::Unit;
use tillside_proto::v1;

use super::checks::{Checks, Path};
use super::values::{timestamp, unit};

/// Checks a question for one level.
pub fn availability(checks: &mut Checks, path: Path<'_>, request: &v1::GetAvailabilityRequest) {
    checks.id(path.field("sku"), &request.sku);
    checks.id(path.field("store_id"), &request.store_id);
}

/// Checks a question for many levels.
pub fn availabilities(checks: &mut Checks, requests: &[v1::GetAvailabilityRequest]) {
    let root = Path::ROOT;
    checks.count(
        root.field("requests"),
        requests.len(),
        0,
        ITEMS_PER_CALL_MAX,
    );
    for (i, request) in requests.iter().take(ITEMS_PER_CALL_MAX).enumerate() {
        availability(checks, root.item("requests", i), request);
    }
}

/// A movement.
pub fn adjustment(checks: &mut Checks, request: &v1::AdjustStockRequest) -> Adjustment {
    let root = Path::ROOT;
    let reason = checks.known::<v1::AdjustmentReason>(root.field("reason"), request.reason);
    let (delta, unit) = delta(checks, root.field("delta"), request.delta.as_ref());
    Adjustment {
        sku: checks.id(root.field("sku"), &request.sku),
        store_id: checks.id(root.field("store_id"), &request.store_id),
        delta,
        unit,
        reason: reason.map_or(MoveReason::Correction, move_reason),
        occurred: checks.optional_time(root.field("occurred_time"), request.occurred_time.as_ref()),
    }
}

/// A movement that another system tells of.
pub fn adjusted(checks: &mut Checks, path: Path<'_>, event: &v1::StockAdjusted) -> Adjustment {
    let (delta, unit) = delta(checks, path.field("delta"), event.delta.as_ref());
    let reason = checks.known::<v1::AdjustmentReason>(path.field("reason"), event.reason);
    let reason = match reason.unwrap_or_default() {
        v1::AdjustmentReason::Unspecified if event.damage => MoveReason::Damage,
        reason => move_reason(reason),
    };
    Adjustment {
        sku: checks.id(path.field("sku"), &event.sku),
        store_id: checks.id(path.field("store_id"), &event.store_id),
        delta,
        unit,
        reason,
        occurred: None,
    }
}

fn move_reason(reason: v1::AdjustmentReason) -> MoveReason {
    use v1::AdjustmentReason as Wire;
    match reason {
        Wire::Unspecified | Wire::Correction => MoveReason::Correction,
        Wire::Receipt => MoveReason::Receipt,
        Wire::Shrinkage => MoveReason::Shrinkage,
        Wire::Damage => MoveReason::Damage,
        Wire::Transfer => MoveReason::Transfer,
        Wire::Disposal => MoveReason::Disposal,
    }
}

fn delta(checks: &mut Checks, path: Path<'_>, delta: Option<&v1::Quantity>) -> (i64, Option<Unit>) {
    let (thousandths, unit) = delta.map_or((0, None), |q| checks.quantity(path, q));
    checks.require(thousandths != 0, path, "is required and not zero");
    (thousandths, unit)
}

/// A count.
pub fn count(checks: &mut Checks, request: &v1::SetStockCountRequest) -> Count {
    let root = Path::ROOT;
    let (on_hand, unit, safety) = counted(
        checks,
        root,
        request.on_hand.as_ref(),
        request.safety_stock.as_ref(),
    );
    Count {
        sku: checks.id(root.field("sku"), &request.sku),
        store_id: checks.id(root.field("store_id"), &request.store_id),
        on_hand,
        unit,
        safety,
        as_of: checks.optional_time(root.field("as_of_time"), request.as_of_time.as_ref()),
    }
}

/// A count that another system tells of.
pub fn counted_event(checks: &mut Checks, path: Path<'_>, event: &v1::StockCounted) -> Count {
    let (on_hand, unit, safety) = counted(
        checks,
        path,
        event.on_hand.as_ref(),
        event.safety_stock.as_ref(),
    );
    Count {
        sku: checks.id(path.field("sku"), &event.sku),
        store_id: checks.id(path.field("store_id"), &event.store_id),
        on_hand,
        unit,
        safety,
        as_of: None,
    }
}

fn counted(
    checks: &mut Checks,
    path: Path<'_>,
    on_hand: Option<&v1::Quantity>,
    safety: Option<&v1::Quantity>,
) -> (i64, Option<Unit>, Option<i64>) {
    let mut quantity = |name, given: &v1::Quantity| {
        let at = path.field(name);
        let (thousandths, unit) = checks.quantity(at, given);
        checks.require(thousandths >= 0, at, "is negative");
        (thousandths, unit)
    };
    let safety = safety.map(|q| quantity("safety_stock", q));
    let counted = on_hand.map(|q| quantity("on_hand", q));
    checks.require(counted.is_some(), path.field("on_hand"), "is required");
    let (thousandths, unit) = counted.unwrap_or_default();
    let same = safety.is_none_or(|(_, u)| u.is_none() || unit.is_none() || u == unit);
    checks.require(
        same,
        path.field("safety_stock"),
        "has another unit than on_hand",
    );
    (
        thousandths,
        unit.or(safety.and_then(|(_, u)| u)),
        safety.map(|(q, _)| q),
    )
}

/// A level on the wire.
pub fn wire_level(
    product: &Product,
    store: &Store,
    level: &StockLevel,
    beside: &Beside,
    sequence: Sequence,
) -> v1::StockLevel {
    v1::StockLevel {
        sku: product.sku.to_string(),
        store_id: store.store_id.to_string(),
        unit: unit(product.unit).into(),
        on_hand_thousandths: level.on_hand,
        reserved_thousandths: level.reserved,
        committed_thousandths: level.committed,
        safety_stock_thousandths: level.safety,
        damaged_thousandths: level.damaged,
        available_online_thousandths: level.available_online(),
        available_in_store_thousandths: level.available_in_store(),
        as_of_time: level.counted_at().map(timestamp),
        snapshot_sequence: sequence.0,
        incoming_thousandths: beside.incoming,
        incoming_time: beside.incoming_at.map(timestamp),
        near_time_thousandths: beside.near_time,
        confidence: f64::from(beside.confidence_ppm) / 1e6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_field_of_a_movement_or_count_is_named() {
        let check = |run: &dyn Fn(&mut Checks), expect: &[&str]| {
            let mut checks = Checks::default();
            run(&mut checks);
            let got = checks
                .finish()
                .err()
                .map_or_else(Vec::new, |invalid| invalid.0);
            assert_eq!(
                got.iter().map(|v| v.field.as_str()).collect::<Vec<_>>(),
                expect
            );
        };
        let of = |thousandths, unit: v1::Unit| {
            Some(v1::Quantity {
                thousandths,
                unit: unit.into(),
            })
        };
        check(
            &|c| drop(adjustment(c, &v1::AdjustStockRequest::default())),
            &["delta", "sku", "store_id"],
        );
        check(
            &|c| drop(count(c, &v1::SetStockCountRequest::default())),
            &["on_hand", "sku", "store_id"],
        );
        let negative = v1::SetStockCountRequest {
            sku: "A".into(),
            store_id: "1".into(),
            on_hand: of(-1, v1::Unit::Ea),
            ..Default::default()
        };
        check(&|c| drop(count(c, &negative)), &["on_hand"]);
        let mixed = v1::SetStockCountRequest {
            on_hand: of(1, v1::Unit::Ea),
            safety_stock: of(1, v1::Unit::Kg),
            ..negative
        };
        check(&|c| drop(count(c, &mixed)), &["safety_stock"]);
    }
}
