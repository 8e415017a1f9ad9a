//! Deliveries and transfers.

use tillside_engine::command::{InboundDraft, InboundLineDraft, ReceiptDraft};
use tillside_engine::inbound::{Delivery, DeliveryState};
use tillside_engine::limits::DELIVERY_LINES_MAX;
use tillside_engine::state::State;
use tillside_engine::units::Time;
use tillside_proto::v1;

use super::checks::{Checks, Path};
use super::values::{quantity, timestamp};

/// A delivery as it is announced; `path` is where it stands.
pub fn delivery(
    checks: &mut Checks,
    path: Path<'_>,
    delivery: Option<&v1::InboundDelivery>,
    occurred: Option<Time>,
) -> InboundDraft {
    checks.require(delivery.is_some(), path, "is required");
    let delivery = delivery.cloned().unwrap_or_default();
    let expected = delivery.expected_time.as_ref();
    checks.require(
        expected.is_some(),
        path.field("expected_time"),
        "is required",
    );
    let from = checks.optional_id(path.field("from_store_id"), &delivery.from_store_id);
    InboundDraft {
        delivery_id: checks.id(path.field("delivery_id"), &delivery.delivery_id),
        store_id: checks.id(path.field("store_id"), &delivery.store_id),
        from_store_id: (!from.is_empty()).then_some(from),
        expected: expected.map_or(Time(0), |at| checks.time(path.field("expected_time"), at)),
        lines: lines(checks, path, &delivery.lines, 1),
        occurred,
    }
}

/// What came of a delivery.
pub fn receipt(
    checks: &mut Checks,
    path: Path<'_>,
    (delivery_id, received, complete): (&str, &[v1::InboundLine], bool),
    occurred: Option<Time>,
) -> ReceiptDraft {
    ReceiptDraft {
        delivery_id: checks.id(path.field("delivery_id"), delivery_id),
        lines: lines(checks, path, received, 0),
        complete,
        occurred,
    }
}

fn lines(
    checks: &mut Checks,
    path: Path<'_>,
    lines: &[v1::InboundLine],
    min: usize,
) -> Vec<InboundLineDraft> {
    checks.count(path.field("lines"), lines.len(), min, DELIVERY_LINES_MAX);
    let mut drafts = Vec::new();
    for (i, line) in lines.iter().take(DELIVERY_LINES_MAX).enumerate() {
        let at = path.item("lines", i);
        let given = line.quantity.as_ref();
        let (quantity, unit) =
            given.map_or((0, None), |q| checks.quantity(at.field("quantity"), q));
        checks.require(
            quantity > 0,
            at.field("quantity"),
            "is required and more than zero",
        );
        drafts.push(InboundLineDraft {
            sku: checks.id(at.field("sku"), &line.sku),
            quantity,
            unit,
        });
    }
    drafts
}

/// A delivery on the wire.
pub fn wire_delivery(state: &State, delivery: &Delivery) -> v1::InboundDelivery {
    let store = |id| {
        state
            .stores
            .get(id)
            .map_or_else(String::new, |s| s.store_id.to_string())
    };
    let lines = delivery.lines.iter().filter_map(|line| {
        let product = state.products.get(line.sku)?;
        Some(v1::InboundLine {
            sku: product.sku.to_string(),
            quantity: Some(quantity(line.announced, product.unit)),
            received: Some(quantity(line.received, product.unit)),
        })
    });
    let standing = match delivery.state {
        DeliveryState::Expected => v1::InboundState::Expected,
        DeliveryState::Received => v1::InboundState::Received,
        DeliveryState::Cancelled => v1::InboundState::Cancelled,
    };
    v1::InboundDelivery {
        delivery_id: delivery.delivery_id.to_string(),
        store_id: store(delivery.store),
        from_store_id: delivery.from.map_or_else(String::new, store),
        expected_time: Some(timestamp(delivery.expected)),
        lines: lines.collect(),
        state: standing.into(),
        etag: delivery.version.0.to_string(),
    }
}
