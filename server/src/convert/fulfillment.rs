//! Plans and reservations.

use std::sync::Arc;

use geo::Point;
use tillside_engine::command::WantedLine;
use tillside_engine::ids::{ReservationId, SkuId, StoreId};
use tillside_engine::limits::{
    CANDIDATES_MAX, FULFILLMENT_LINES_MAX, HOLD_MS_DEFAULT, HOLD_MS_MAX, HOLD_MS_MIN,
};
use tillside_engine::reject::Rejection;
use tillside_engine::reservation::Reservation;
use tillside_engine::state::State;
use tillside_engine::units::{ONE, Time, Unit};
use tillside_proto::v1;

use super::basket::{line_id, wanted};
use super::catalog::point;
use super::checks::{Checks, Path};
use super::ladder::Ways;
use super::location_terms::wire_method;
use super::orders::{add_handling, add_progress, wire_state};
use super::values::{meters, quantity, timestamp, window};

/// Half the earth's circumference and a little: everywhere.
const DISTANCE_METERS_MAX: f64 = 20_100_000.0;
const LIMIT_MM_DEFAULT: u64 = 50_000_000;
/// Stores of a plan where the caller does not say.
pub const OPTIONS_DEFAULT: usize = 3;

/// Something the catalog does not have; the first one found is the answer.
pub type Unknown = Option<Rejection>;

/// What is wanted and where.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where the shopper is.
    pub origin: Point<f64>,
    /// The lines.
    pub lines: Vec<WantedLine>,
    /// The distance limit in millimetres; `None`: not given.
    pub limit_mm: Option<u64>,
    /// The zone the shopper travels in; `None`: any store will do.
    pub travel_zone: Option<Arc<str>>,
    /// How it may get there.
    pub ways: Ways,
}

impl Wanted {
    /// The limit that holds.
    pub fn limit_mm(&self) -> u64 {
        self.limit_mm.unwrap_or(LIMIT_MM_DEFAULT)
    }
}

/// The store of an id, noting where it is not known.
pub fn store(
    state: &State,
    unknown: &mut Unknown,
    path: Path<'_>,
    store_id: &str,
) -> Option<StoreId> {
    let number = state.stores.number(store_id);
    if number.is_none() && unknown.is_none() {
        *unknown = Some(Rejection::UnknownStore {
            field: path.to_string(),
            store_id: store_id.into(),
        });
    }
    number
}

/// A place.
pub fn place(
    state: &State,
    checks: &mut Checks,
    unknown: &mut Unknown,
    path: Path<'_>,
    place: Option<&v1::Place>,
) -> Option<Point<f64>> {
    match place.and_then(|p| p.place.as_ref()) {
        Some(v1::place::Place::Location(location)) => {
            Some(point(checks, path.field("location"), location))
        }
        Some(v1::place::Place::StoreId(store_id)) => {
            checks.id(path.field("store_id"), store_id);
            let number = store(state, unknown, path.field("store_id"), store_id)?;
            state.stores.get(number).map(|s| s.location)
        }
        None => None,
    }
}

/// The zone that a shopper at a place travels in; `None` where `all` are allowed, or nothing is known about it.
pub fn travel_zone(
    state: &State,
    checks: &mut Checks,
    path: Path<'_>,
    place: Option<&v1::Place>,
    all: bool,
) -> Option<Arc<str>> {
    let place = place?;
    let named = checks.optional_id(path.field("travel_zone"), &place.travel_zone);
    let zone = match &place.place {
        Some(v1::place::Place::StoreId(store_id)) if named.is_empty() => {
            zone_of_store(state, store_id)?
        }
        _ => named,
    };
    (!all && !zone.is_empty()).then_some(zone)
}

/// The zone a store is in.
pub fn zone_of_store(state: &State, store_id: &str) -> Option<Arc<str>> {
    let (_, store) = state.stores.find(store_id)?;
    (!store.travel_zone.is_empty()).then(|| Arc::clone(&store.travel_zone))
}

/// The lines of a request, resolved.
pub fn lines(
    state: &State,
    checks: &mut Checks,
    unknown: &mut Unknown,
    path: Path<'_>,
    lines: &[v1::FulfillmentLine],
    min: usize,
) -> Vec<WantedLine> {
    checks.count(path.field("lines"), lines.len(), min, FULFILLMENT_LINES_MAX);
    let mut wanted_lines = Vec::with_capacity(lines.len().min(FULFILLMENT_LINES_MAX));
    for (i, line) in lines.iter().take(FULFILLMENT_LINES_MAX).enumerate() {
        let at = path.item("lines", i);
        let sku = checks.id(at.field("sku"), &line.sku);
        let found = state.products.find(&sku);
        if found.is_none() && unknown.is_none() {
            *unknown = Some(Rejection::UnknownSku {
                field: at.field("sku").to_string(),
                sku,
            });
        }
        let unit = found.as_ref().map(|(_, product)| product.unit);
        wanted_lines.push(WantedLine {
            line_id: line_id(checks, at, &line.line_id, i),
            sku: found.map_or(SkuId(u32::MAX), |(id, _)| id),
            quantity: line
                .quantity
                .as_ref()
                .map_or(ONE.0, |q| wanted(checks, at.field("quantity"), q, unit)),
        });
    }
    wanted_lines
}

/// A distance limit, to the nearest millimetre.
pub fn limit_mm(checks: &mut Checks, path: Path<'_>, meters: Option<f64>) -> Option<u64> {
    let meters = meters?;
    if !(0.0..=DISTANCE_METERS_MAX).contains(&meters) {
        checks.refuse(
            path,
            format_args!("is not between 0 and {DISTANCE_METERS_MAX} metres"),
        );
        return None;
    }
    Some((meters * 1000.0).round() as u64)
}

/// How many stores a plan names.
pub fn max_options(checks: &mut Checks, path: Path<'_>, value: i32) -> usize {
    checks.number_or(path, value, OPTIONS_DEFAULT, CANDIDATES_MAX)
}

/// How long to hold.
pub fn hold_ms(
    checks: &mut Checks,
    path: Path<'_>,
    duration: Option<&prost_types::Duration>,
) -> i64 {
    let Some(duration) = duration else {
        return HOLD_MS_DEFAULT;
    };
    let ms = duration
        .seconds
        .saturating_mul(1000)
        .saturating_add(i64::from(duration.nanos) / 1_000_000);
    let good =
        (HOLD_MS_MIN..=HOLD_MS_MAX).contains(&ms) && (0..1_000_000_000).contains(&duration.nanos);
    checks.require(good, path, "is not between 1 second and 30 days");
    ms.clamp(HOLD_MS_MIN, HOLD_MS_MAX)
}

/// The id of a reservation; `None` where no reservation can have it.
pub fn reservation_id(checks: &mut Checks, value: &str) -> Option<ReservationId> {
    let root = Path::ROOT;
    checks.id(root.field("reservation_id"), value);
    ReservationId::parse(value)
}

/// A reservation as it stands at `now`: a hold is expired from the very instant.
pub fn wire_reservation(
    state: &State,
    reservation: &Arc<Reservation>,
    now: Time,
) -> v1::Reservation {
    let stands = reservation.state_at(now);
    let holds = stands.holds_stock();
    let lines = reservation.lines.iter().map(|line| {
        let product = state.products.get(line.sku);
        let unit = product.as_ref().map_or(Unit::Each, |p| p.unit);
        let mut wire = v1::ReservationLine {
            line_id: line.line_id.to_string(),
            sku: product.map_or_else(String::new, |p| p.sku.to_string()),
            quantity_requested: Some(quantity(line.requested, unit)),
            quantity_reserved: Some(quantity(if holds { line.held } else { 0 }, unit)),
            ..Default::default()
        };
        add_progress(&mut wire, line, unit);
        if !holds {
            wire.quantity_awaited = None;
        }
        wire
    });
    let store = state.stores.get(reservation.store);
    let ships = reservation.method.ships();
    let leg = v1::ReservationLeg {
        store_id: store
            .as_ref()
            .map_or_else(String::new, |s| s.store_id.to_string()),
        state: wire_state(stands).into(),
        lines: lines.collect(),
        distance_meters: meters(reservation.distance_mm),
        pickup_window: reservation.window.filter(|_| !ships).map(window),
        store_time_zone: store.map_or_else(String::new, |s| s.time_zone_name().to_owned()),
        method: wire_method(reservation.method).into(),
        pickup_slot: (reservation.slot.as_ref())
            .filter(|_| holds)
            .map(|slot| window(slot.span())),
        delivery_window: reservation.window.filter(|_| ships).map(window),
        ..Default::default()
    };
    let mut wire = v1::Reservation {
        reservation_id: reservation.id.to_string(),
        order_id: reservation.order_id.to_string(),
        legs: vec![leg],
        expire_time: Some(timestamp(reservation.expire)),
        create_time: Some(timestamp(reservation.created)),
        etag: reservation.version.0.to_string(),
        part_reservation_ids: (reservation.parts.iter().flat_map(|parts| parts.iter()))
            .map(ReservationId::to_string)
            .collect(),
        ..Default::default()
    };
    add_handling(&mut wire, reservation, stands);
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_holds_are_checked() {
        let check = |meters: Option<f64>, expect: Option<u64>, good: bool| {
            let mut checks = Checks::default();
            assert_eq!(
                limit_mm(&mut checks, Path::ROOT, meters),
                expect,
                "{meters:?}"
            );
            assert_eq!(checks.finish().is_ok(), good, "{meters:?}");
        };
        check(None, None, true);
        check(Some(50_000.123), Some(50_000_123), true);
        check(Some(0.0), Some(0), true);
        check(Some(-1.0), None, false);
        check(Some(f64::NAN), None, false);
        let hold = |seconds, nanos| {
            let mut checks = Checks::default();
            let ms = hold_ms(
                &mut checks,
                Path::ROOT,
                Some(&prost_types::Duration { seconds, nanos }),
            );
            checks.finish().ok().map(|()| ms)
        };
        assert_eq!(hold(60, 0), Some(60_000));
        assert_eq!(hold(1, 500_000_000), Some(1500));
        assert_eq!(
            (hold(0, 5), hold(i64::MAX, 0), hold(1, -1)),
            (None, None, None)
        );
    }

    #[test]
    fn a_travel_zone_is_the_places_own_unless_all_are_allowed() {
        let zone = |named: &str, all: bool| {
            let place = v1::Place {
                place: Some(v1::place::Place::StoreId("nowhere".into())),
                travel_zone: named.into(),
            };
            let mut checks = Checks::default();
            let zone = travel_zone(
                &State::default(),
                &mut checks,
                Path::ROOT,
                Some(&place),
                all,
            );
            assert!(checks.finish().is_ok());
            zone
        };
        assert_eq!(zone("sicily", false).as_deref(), Some("sicily"));
        assert_eq!(zone("sicily", true), None);
        assert_eq!(zone("", false), None);
    }

    #[test]
    fn an_unknown_sku_is_reported_once_beside_the_violations() {
        let state = State::default();
        let (mut checks, mut unknown) = (Checks::default(), None);
        let line = |sku: &str| v1::FulfillmentLine {
            sku: sku.into(),
            ..Default::default()
        };
        lines(
            &state,
            &mut checks,
            &mut unknown,
            Path::ROOT,
            &[line("A"), line("B")],
            1,
        );
        assert!(checks.finish().is_ok());
        assert_eq!(
            unknown,
            Some(Rejection::UnknownSku {
                field: "lines[0].sku".into(),
                sku: "A".into()
            })
        );
    }
}
