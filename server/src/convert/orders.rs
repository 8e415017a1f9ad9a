//! The life of an order after its hold, between the wire and the engine.

use std::sync::Arc;

use tillside_engine::ids::{ReservationId, Sequence};
use tillside_engine::limits::{FULFILLMENT_LINES_MAX, STORE_PATIENCE_MS_MAX};
use tillside_engine::order::{HandoverKind, PaymentState, PickProblem, Shipment};
use tillside_engine::order_command::{FoundLine, HandOver, PickException, Terms};
use tillside_engine::reply::Alternative;
use tillside_engine::reservation::{Reservation, ReservationLine, ReservationState};
use tillside_engine::state::State;
use tillside_engine::units::{Time, Unit};
use tillside_proto::v1;

use super::catalog::wire_point;
use super::checks::{Checks, Path};
use super::ladder::wire_cost;
use super::location_terms::wire_method;
use super::values::{meters, quantity, timestamp, window};
use crate::requests::Mutation;

/// A request about one reservation.
pub trait OrderRequest: Mutation {
    /// Which.
    fn reservation_id(&self) -> &str;
    /// The version it is based on.
    fn etag(&self) -> &str;
}

macro_rules! order_requests {
    ($($message:ident),* $(,)?) => {
        $(impl OrderRequest for v1::$message {
            fn reservation_id(&self) -> &str {
                &self.reservation_id
            }
            fn etag(&self) -> &str {
                &self.etag
            }
        })*
    };
}

order_requests!(
    ConfirmReservationRequest,
    ExtendReservationRequest,
    AcknowledgePickRequest,
    StartPickingRequest,
    MarkReadyForPickupRequest,
    ReportPickExceptionRequest,
    ConfirmHandoverRequest,
    MarkShippedRequest,
    ConfirmPutBackRequest,
);

/// The version of an etag.
pub fn version(checks: &mut Checks, etag: &str) -> Option<Sequence> {
    super::values::etag(checks, Path::ROOT.field("etag"), etag).map(Sequence)
}

fn payment(checks: &mut Checks, value: i32) -> Option<PaymentState> {
    let path = Path::ROOT.field("payment_state");
    match checks.known::<v1::PaymentState>(path, value)? {
        v1::PaymentState::Unspecified => None,
        v1::PaymentState::Unpaid => Some(PaymentState::Unpaid),
        v1::PaymentState::Authorised => Some(PaymentState::Authorised),
        v1::PaymentState::Paid => Some(PaymentState::Paid),
    }
}

/// What is agreed when an order is placed.
pub fn terms(checks: &mut Checks, request: &v1::ConfirmReservationRequest) -> Terms {
    let path = Path::ROOT.field("handover_kind");
    let handover = match checks.known::<v1::HandoverKind>(path, request.handover_kind) {
        Some(v1::HandoverKind::Curbside) => HandoverKind::Curbside,
        Some(v1::HandoverKind::Locker) => HandoverKind::Locker,
        Some(v1::HandoverKind::Counter | v1::HandoverKind::Unspecified) | None => {
            HandoverKind::Counter
        }
    };
    Terms {
        payment: payment(checks, request.payment_state).unwrap_or_default(),
        handover,
    }
}

/// A quantity of a line of the reservation, in its product's unit where that is known.
fn of_line(
    state: &State,
    reservation: Option<&Reservation>,
    checks: &mut Checks,
    path: Path<'_>,
    line_id: &str,
    value: &v1::Quantity,
) -> i64 {
    let (thousandths, unit) = checks.quantity(path, value);
    let line = reservation.and_then(|r| r.lines.iter().find(|l| &*l.line_id == line_id));
    let product = line.and_then(|l| state.products.get(l.sku));
    let same = unit.is_none() || product.is_none_or(|p| unit == Some(p.unit));
    checks.require(
        same,
        path.field("unit"),
        "is not the product's unit; leave it unset to mean that",
    );
    thousandths
}

/// What goes to a customer.
pub fn handover(
    state: &State,
    reservation: Option<&Reservation>,
    checks: &mut Checks,
    request: &v1::ConfirmHandoverRequest,
) -> HandOver {
    let root = Path::ROOT;
    checks.count(
        root.field("lines"),
        request.lines.len(),
        0,
        FULFILLMENT_LINES_MAX,
    );
    let mut lines = Vec::new();
    for (i, line) in request.lines.iter().take(FULFILLMENT_LINES_MAX).enumerate() {
        let at = root.item("lines", i);
        let line_id = checks.id(at.field("line_id"), &line.line_id);
        let path = at.field("quantity");
        let quantity = line.quantity.as_ref().map(|value| {
            let quantity = of_line(state, reservation, checks, path, &line_id, value);
            checks.require(quantity > 0, path, "must be positive");
            quantity
        });
        lines.push((line_id, quantity));
    }
    HandOver {
        lines,
        code: checks.optional_id(root.field("pickup_code"), &request.pickup_code),
        without_code: request.without_code,
        is_last: request.is_last,
        payment: payment(checks, request.payment_state),
    }
}

/// What a picker found.
pub fn pick_exception(
    state: &State,
    reservation: Option<&Reservation>,
    checks: &mut Checks,
    request: &v1::ReportPickExceptionRequest,
) -> PickException {
    let root = Path::ROOT;
    checks.count(
        root.field("lines"),
        request.lines.len(),
        1,
        FULFILLMENT_LINES_MAX,
    );
    let mut lines = Vec::new();
    for (i, line) in request.lines.iter().take(FULFILLMENT_LINES_MAX).enumerate() {
        let at = root.item("lines", i);
        let line_id = checks.id(at.field("line_id"), &line.line_id);
        let path = at.field("quantity_found");
        let found = line.quantity_found.as_ref().map_or(0, |value| {
            of_line(state, reservation, checks, path, &line_id, value)
        });
        checks.require(found >= 0, path, "must not be negative");
        let reason = at.field("reason");
        let problem = match checks.known::<v1::PickExceptionReason>(reason, line.reason) {
            Some(v1::PickExceptionReason::NotFound) => PickProblem::NotFound,
            Some(v1::PickExceptionReason::Damaged) => PickProblem::Damaged,
            Some(v1::PickExceptionReason::Declined) => PickProblem::Declined,
            Some(v1::PickExceptionReason::Unspecified) => {
                checks.refuse(
                    reason,
                    "is required: what became of what could not be picked",
                );
                PickProblem::Declined
            }
            None => PickProblem::Declined,
        };
        lines.push(FoundLine {
            line_id,
            found,
            problem,
        });
    }
    PickException {
        lines,
        move_to_next: request.move_to_next,
        max_options: super::fulfillment::max_options(
            checks,
            root.field("max_options"),
            request.max_options,
        ),
    }
}

/// A parcel.
pub fn shipment(checks: &mut Checks, request: &v1::MarkShippedRequest) -> Shipment {
    let root = Path::ROOT;
    Shipment {
        carrier: checks.optional_id(root.field("carrier"), &request.carrier),
        tracking_number: checks
            .optional_id(root.field("tracking_number"), &request.tracking_number),
    }
}

/// How long a store's orders may wait, in milliseconds.
pub fn patience_ms(
    checks: &mut Checks,
    path: Path<'_>,
    duration: Option<&prost_types::Duration>,
) -> Option<i64> {
    let duration = duration?;
    let ms = duration
        .seconds
        .saturating_mul(1000)
        .saturating_add(i64::from(duration.nanos) / 1_000_000);
    let good = (1000..=STORE_PATIENCE_MS_MAX).contains(&ms)
        && (0..1_000_000_000).contains(&duration.nanos);
    checks.require(good, path, "is not between 1 second and 90 days");
    good.then_some(ms)
}

/// A duration on the wire.
pub fn wire_duration(ms: i64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: ms / 1000,
        nanos: (ms % 1000) as i32 * 1_000_000,
    }
}

/// A state of the engine on the wire.
pub fn wire_state(state: ReservationState) -> v1::ReservationState {
    match state {
        ReservationState::Held => v1::ReservationState::Held,
        ReservationState::Confirmed => v1::ReservationState::Confirmed,
        ReservationState::Fulfilled => v1::ReservationState::Fulfilled,
        ReservationState::Released => v1::ReservationState::Released,
        ReservationState::Expired => v1::ReservationState::Expired,
        ReservationState::Picking => v1::ReservationState::Picking,
        ReservationState::Ready => v1::ReservationState::Ready,
        ReservationState::PartiallyPickedUp => v1::ReservationState::PartiallyPickedUp,
        ReservationState::Shipped => v1::ReservationState::Shipped,
        ReservationState::NeedsPutBack => v1::ReservationState::NeedsPutBack,
        ReservationState::PutBack => v1::ReservationState::PutBack,
    }
}

/// Fills in what a reservation is beyond its stock.
pub fn add_handling(
    wire: &mut v1::Reservation,
    reservation: &Reservation,
    stands: ReservationState,
) {
    let handling = &reservation.handling;
    let payment = match handling.payment {
        PaymentState::Unpaid => v1::PaymentState::Unpaid,
        PaymentState::Authorised => v1::PaymentState::Authorised,
        PaymentState::Paid => v1::PaymentState::Paid,
    };
    let handover = match handling.handover {
        HandoverKind::Counter => v1::HandoverKind::Counter,
        HandoverKind::Curbside => v1::HandoverKind::Curbside,
        HandoverKind::Locker => v1::HandoverKind::Locker,
    };
    let id = |id: Option<ReservationId>| id.map_or_else(String::new, |id| id.to_string());
    // Before the order is placed nothing is agreed.
    let is_placed = handling.confirmed.is_some() || handling.replaces.is_some();
    if is_placed || handling.payment != PaymentState::Unpaid {
        wire.payment_state = payment.into();
        wire.handover_kind = handover.into();
    }
    wire.fallback_steps = i32::try_from(handling.fallback_steps).unwrap_or(i32::MAX);
    wire.replaces_reservation_id = id(handling.replaces);
    wire.replaced_by_reservation_id = id(handling.replaced_by);
    let Some(leg) = wire.legs.first_mut() else {
        return;
    };
    let deadline = handling.deadline.map(timestamp);
    match stands {
        ReservationState::Confirmed => leg.acknowledge_deadline_time = deadline,
        ReservationState::Ready | ReservationState::PartiallyPickedUp => {
            leg.no_show_time = deadline;
        }
        _ => {}
    }
    leg.acknowledge_time = handling.acknowledged.map(timestamp);
    leg.acknowledge_missed = handling.acknowledge_missed;
    leg.ready_time = handling.ready.map(timestamp);
    if let Some(shipment) = &handling.shipment {
        leg.carrier = shipment.carrier.to_string();
        leg.tracking_number = shipment.tracking_number.to_string();
    }
}

/// Fills in how far a line is.
pub fn add_progress(wire: &mut v1::ReservationLine, line: &ReservationLine, unit: Unit) {
    let some = |thousandths: i64| (thousandths != 0).then(|| quantity(thousandths, unit));
    wire.quantity_picked = some(line.picked);
    wire.quantity_rejected = some(line.rejected);
    wire.quantity_handed_over = some(line.handed_over);
    wire.quantity_receipted = some(line.receipted);
    wire.quantity_awaited = some(line.claimed());
    let reason = line
        .problem
        .map_or(v1::PickExceptionReason::Unspecified, |p| match p {
            PickProblem::NotFound => v1::PickExceptionReason::NotFound,
            PickProblem::Damaged => v1::PickExceptionReason::Damaged,
            PickProblem::Declined => v1::PickExceptionReason::Declined,
        });
    wire.reason = reason.into();
}

/// Other stores for an order, best first. Each would do all lines that the failing store held.
pub fn wire_alternatives(
    state: &State,
    alternatives: &[Alternative],
    short: &Reservation,
    reported: &[String],
) -> Vec<v1::FulfillmentOption> {
    // What was held before the report: what is held now, and what the report says is short.
    let is_reported = |l: &&ReservationLine| reported.iter().any(|id| **id == *l.line_id);
    let lines = short.lines.iter().filter(|l| l.held > 0 || is_reported(l));
    let line_ids: Vec<String> = lines.map(|l| l.line_id.to_string()).collect();
    let currency = state.routing_policy.get().currency;
    let options = alternatives.iter().zip(1..).filter_map(|(found, rank)| {
        let cost = Some(wire_cost(&found.cost, currency));
        let store = state.stores.get(found.store)?;
        let method = wire_method(short.method);
        let pickup_window = found.window.filter(|_| !short.method.ships()).map(window);
        let leg = v1::FulfillmentLeg {
            store_id: store.store_id.to_string(),
            store_display_name: store.display_name.to_string(),
            distance_meters: meters(found.distance_mm),
            pickup_window,
            store_time_zone: store.time_zone_name().to_owned(),
            line_ids: line_ids.clone(),
            location: Some(wire_point(store.location)),
            method: method.into(),
            cost: cost.clone(),
            hold_first: found.hold_first,
            ..Default::default()
        };
        Some(v1::FulfillmentOption {
            method: method.into(),
            rank,
            legs: vec![leg],
            cost,
            ..Default::default()
        })
    });
    options.collect()
}

/// Which reservations a list is about.
pub struct Wanted {
    /// A bit for each state.
    states: u32,
}

impl Wanted {
    /// The states of a request; none named: `default`.
    pub fn of(checks: &mut Checks, states: &[i32], default: &[v1::ReservationState]) -> Self {
        let path = Path::ROOT.field("states");
        checks.count(path, states.len(), 0, 16);
        let mut bits = 0;
        for (i, state) in states.iter().take(16).enumerate() {
            let at = Path::ROOT.item("states", i);
            match checks.known::<v1::ReservationState>(at, *state) {
                Some(v1::ReservationState::Unspecified) => checks.refuse(at, "is required"),
                Some(state) => bits |= 1 << state as u32,
                None => {}
            }
        }
        if states.is_empty() {
            bits = default
                .iter()
                .fold(0, |bits, state| bits | 1 << *state as u32);
        }
        Wanted { states: bits }
    }

    /// Whether a reservation as it stands at `now` is wanted.
    pub fn has(&self, reservation: &Reservation, now: Time) -> bool {
        self.states & (1 << wire_state(reservation.state_at(now)) as u32) != 0
    }

    /// Whether any state that holds stock is wanted, and any that does not.
    pub fn parts(&self) -> (bool, bool) {
        let holding = HOLDING
            .iter()
            .fold(0, |bits, state| bits | 1 << *state as u32);
        // A hold that has run out stands as expired before a timer ends it.
        let live = holding | 1 << v1::ReservationState::Expired as u32;
        (self.states & live != 0, self.states & !holding != 0)
    }
}

/// States that hold stock.
pub const HOLDING: [v1::ReservationState; 6] = [
    v1::ReservationState::Held,
    v1::ReservationState::Confirmed,
    v1::ReservationState::Picking,
    v1::ReservationState::Ready,
    v1::ReservationState::PartiallyPickedUp,
    v1::ReservationState::NeedsPutBack,
];

/// All states.
pub const ALL: [v1::ReservationState; 11] = [
    v1::ReservationState::Held,
    v1::ReservationState::Confirmed,
    v1::ReservationState::Fulfilled,
    v1::ReservationState::Released,
    v1::ReservationState::Expired,
    v1::ReservationState::Picking,
    v1::ReservationState::Ready,
    v1::ReservationState::PartiallyPickedUp,
    v1::ReservationState::Shipped,
    v1::ReservationState::NeedsPutBack,
    v1::ReservationState::PutBack,
];

/// The order of a cancellation.
pub fn order_id(checks: &mut Checks, request: &v1::CancelOrderRequest) -> Arc<str> {
    checks.id(Path::ROOT.field("order_id"), &request.order_id)
}
