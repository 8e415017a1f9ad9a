//! Checkouts: the three questions in one request.

use std::sync::Arc;

use geo::Point;
use tillside_engine::command::WantedLine;
use tillside_engine::limits::FULFILLMENT_LINES_MAX;
use tillside_engine::reservation::CheckoutResult;
use tillside_engine::state::State;
use tillside_proto::v1;

use super::basket::Basket;
use super::checks::{Checks, Path};
use super::fulfillment::{self, Unknown, Wanted};
use super::ladder::Ways;

/// What a checkout wants to know about fulfilment.
#[derive(Clone, Debug)]
pub struct CheckoutPlan {
    /// What and where.
    pub wanted: Wanted,
    /// Stores to name.
    pub max_options: usize,
    /// How long to hold; `None`: not at all.
    pub hold_ms: Option<i64>,
}

/// Reads the fulfilment part of a checkout. Without lines of its own it is the basket's known ones.
pub fn plan(
    state: &State,
    checks: &mut Checks,
    unknown: &mut Unknown,
    request: &v1::EvaluateCheckoutRequest,
    basket: &Basket,
) -> Option<CheckoutPlan> {
    let asked = request.fulfillment.as_ref()?;
    let root = Path::ROOT;
    let path = root.field("fulfillment");
    let origin = origin(
        state,
        checks,
        unknown,
        path.field("origin"),
        asked,
        &request.store_id,
    );
    let lines = if asked.lines.is_empty() {
        checks.count(
            root.field("lines"),
            basket.known().count(),
            0,
            FULFILLMENT_LINES_MAX,
        );
        basket
            .known()
            .map(|(line_id, sku, quantity)| WantedLine {
                line_id,
                sku,
                quantity,
            })
            .collect()
    } else {
        fulfillment::lines(state, checks, unknown, path, &asked.lines, 1)
    };
    let travel_zone = match &asked.origin {
        Some(place) => fulfillment::travel_zone(
            state,
            checks,
            path.field("origin"),
            Some(place),
            asked.allow_other_travel_zones,
        ),
        None if asked.allow_other_travel_zones => None,
        None => fulfillment::zone_of_store(state, &request.store_id),
    };
    Some(CheckoutPlan {
        wanted: Wanted {
            origin,
            lines,
            limit_mm: fulfillment::limit_mm(
                checks,
                path.field("max_distance_meters"),
                asked.max_distance_meters,
            ),
            travel_zone,
            ways: Ways::default(),
        },
        max_options: fulfillment::max_options(checks, path.field("max_options"), asked.max_options),
        hold_ms: asked.hold.then(|| {
            fulfillment::hold_ms(
                checks,
                path.field("hold_duration"),
                asked.hold_duration.as_ref(),
            )
        }),
    })
}

fn origin(
    state: &State,
    checks: &mut Checks,
    unknown: &mut Unknown,
    path: Path<'_>,
    asked: &v1::CheckoutFulfillment,
    store_id: &str,
) -> Point<f64> {
    let given = asked.origin.as_ref().and_then(|o| o.place.as_ref());
    let found = match given {
        Some(_) => fulfillment::place(state, checks, unknown, path, asked.origin.as_ref()),
        None if store_id.is_empty() => {
            checks.refuse(path, "is required where the request names no store");
            None
        }
        None => state.stores.find(store_id).map(|(_, store)| store.location),
    };
    found.unwrap_or_else(|| Point::new(0.0, 0.0))
}

/// The checkout's id and revision.
pub fn revision(checks: &mut Checks, checkout_id: &str, revision: i64) -> Arc<str> {
    let root = Path::ROOT;
    checks.require(
        revision >= 1,
        root.field("revision"),
        "is required: 1 for the first, rising with every change of the basket",
    );
    checks.id(root.field("checkout_id"), checkout_id)
}

/// How a checkout ended.
pub fn result(checks: &mut Checks, value: i32) -> CheckoutResult {
    let root = Path::ROOT;
    let path = root.field("result");
    match checks.known::<v1::CheckoutResult>(path, value) {
        Some(v1::CheckoutResult::Completed) => CheckoutResult::Completed,
        Some(v1::CheckoutResult::Cancelled) => CheckoutResult::Cancelled,
        Some(v1::CheckoutResult::Unspecified) => {
            checks.refuse(path, "is required");
            CheckoutResult::Cancelled
        }
        None => CheckoutResult::Cancelled,
    }
}

/// How it ended, on the wire.
pub fn wire_result(result: CheckoutResult) -> v1::CheckoutResult {
    match result {
        CheckoutResult::Completed => v1::CheckoutResult::Completed,
        CheckoutResult::Cancelled => v1::CheckoutResult::Cancelled,
    }
}
