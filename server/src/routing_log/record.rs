//! A routing of the past as bytes. Written and read by the same server, so it is as plain as can be; a record that a later
//! version wrote differently is left out.

use prost::Message;
use tillside_engine::fulfillment_ladder::Step;
use tillside_engine::ids::{SkuId, StoreId};
use tillside_engine::location_terms::Method;
use tillside_engine::routing_policy::{Destination, Features};
use tillside_engine::routing_replay::{PastLeg, PastRouting, PastWay};
use tillside_engine::units::Time;

#[derive(Clone, PartialEq, Message)]
struct RoutingRecord {
    #[prost(sint64, tag = "1")]
    time_ms: i64,
    #[prost(uint32, repeated, tag = "2")]
    skus: Vec<u32>,
    #[prost(message, optional, tag = "3")]
    destination: Option<DestinationRecord>,
    #[prost(message, repeated, tag = "4")]
    ways: Vec<WayRecord>,
    #[prost(bool, tag = "5")]
    complete: bool,
    #[prost(bool, tag = "6")]
    ruled: bool,
    #[prost(bool, tag = "7")]
    exhausted: bool,
}

#[derive(Clone, PartialEq, Message)]
struct DestinationRecord {
    #[prost(string, tag = "1")]
    country: String,
    #[prost(string, tag = "2")]
    postal_code: String,
}

#[derive(Clone, PartialEq, Message)]
struct WayRecord {
    #[prost(uint32, tag = "1")]
    step: u32,
    #[prost(message, repeated, tag = "2")]
    legs: Vec<LegRecord>,
    #[prost(uint32, tag = "70")]
    parts_forced: u32,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct LegRecord {
    #[prost(uint32, tag = "1")]
    place: u32,
    #[prost(uint32, tag = "2")]
    method: u32,
    #[prost(uint64, tag = "3")]
    distance_mm: u64,
    #[prost(uint32, tag = "4")]
    lines: u32,
    #[prost(sint64, tag = "5")]
    thousandths: i64,
    #[prost(uint32, tag = "6")]
    held: u32,
    #[prost(uint32, tag = "7")]
    capacity: u32,
    #[prost(sint64, tag = "8")]
    wait_ms: i64,
    #[prost(sint64, tag = "9")]
    value_minor: i64,
    #[prost(bool, tag = "70")]
    forced: bool,
}

const STEPS: [Step; 6] = [
    Step::PickupNow,
    Step::PickupNearTime,
    Step::ShipFromStore,
    Step::ShipToHome,
    Step::DropShip,
    Step::Split,
];

/// As bytes.
pub(super) fn encode(routing: &PastRouting) -> Vec<u8> {
    let leg = |leg: &PastLeg| LegRecord {
        place: leg.place.0,
        method: leg.method as u32,
        distance_mm: leg.features.distance_mm,
        lines: leg.features.lines,
        thousandths: leg.features.thousandths,
        held: leg.features.load.0,
        capacity: leg.features.load.1,
        wait_ms: leg.features.wait_ms,
        value_minor: leg.features.value_minor,
        forced: leg.forced,
    };
    let record = RoutingRecord {
        time_ms: routing.time.0,
        skus: routing.skus.iter().map(|sku| sku.0).collect(),
        destination: routing.destination.as_ref().map(|to| DestinationRecord {
            country: to.country.to_string(),
            postal_code: to.postal_code.to_string(),
        }),
        ways: (routing.ways.iter())
            .map(|way| WayRecord {
                step: way.step as u32,
                legs: way.legs.iter().map(leg).collect(),
                parts_forced: way.parts_forced,
            })
            .collect(),
        complete: routing.complete,
        ruled: routing.ruled,
        exhausted: routing.exhausted,
    };
    record.encode_to_vec()
}

/// From bytes; `None` where this version cannot read them.
pub(super) fn decode(bytes: &[u8]) -> Option<PastRouting> {
    let record = RoutingRecord::decode(bytes).ok()?;
    let leg = |leg: &LegRecord| {
        Some(PastLeg {
            place: StoreId(leg.place),
            method: *Method::ALL.get(leg.method as usize)?,
            features: Features {
                distance_mm: leg.distance_mm,
                lines: leg.lines,
                thousandths: leg.thousandths,
                load: (leg.held, leg.capacity),
                wait_ms: leg.wait_ms,
                value_minor: leg.value_minor,
            },
            forced: leg.forced,
        })
    };
    let way = |way: &WayRecord| {
        Some(PastWay {
            step: *STEPS.get(way.step as usize)?,
            legs: way.legs.iter().map(leg).collect::<Option<_>>()?,
            parts_forced: way.parts_forced,
        })
    };
    Some(PastRouting {
        time: Time(record.time_ms),
        skus: record.skus.into_iter().map(SkuId).collect(),
        destination: record.destination.map(|to| Destination {
            country: to.country.into(),
            postal_code: to.postal_code.into(),
        }),
        ways: record.ways.iter().map(way).collect::<Option<_>>()?,
        complete: record.complete,
        ruled: record.ruled,
        exhausted: record.exhausted,
    })
}
