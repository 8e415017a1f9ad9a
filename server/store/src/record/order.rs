//! Records of what an order carries beside its stock, and of the alternatives told when a store could not pick it. Each
//! is left out where it says nothing, so a reservation that is only a hold is written as it always was.

use geo::Point;
use tillside_engine::ids::{ReservationId, Sequence, StoreId};
use tillside_engine::order::{
    Handling, HandoverKind, PaymentState, PickupCodeHash, Shipment, Sought,
};
use tillside_engine::reply::Alternative;
use tillside_engine::routing_policy::Cost;
use tillside_engine::units::Time;

use super::Stored;
use super::codes::Coded;
use super::reservation::WindowRecord;
use super::values::{halves, hashes, optional};
use crate::error::RecordProblem;

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct SoughtRecord {
    #[prost(double, tag = "1")]
    longitude_degrees: f64,
    #[prost(double, tag = "2")]
    latitude_degrees: f64,
    #[prost(uint64, tag = "3")]
    limit_mm: u64,
}

impl Stored for Sought {
    type Record = SoughtRecord;

    fn to_record(&self) -> SoughtRecord {
        SoughtRecord {
            longitude_degrees: self.origin.x(),
            latitude_degrees: self.origin.y(),
            limit_mm: self.limit_mm,
        }
    }

    fn from_record(record: SoughtRecord) -> Result<Self, RecordProblem> {
        Ok(Sought {
            origin: Point::new(record.longitude_degrees, record.latitude_degrees),
            limit_mm: record.limit_mm,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HandlingRecord {
    #[prost(uint32, tag = "1")]
    payment: u32,
    #[prost(uint32, tag = "2")]
    handover: u32,
    #[prost(fixed64, repeated, tag = "3")]
    pickup_code: Vec<u64>,
    #[prost(sint64, optional, tag = "4")]
    deadline_ms: Option<i64>,
    #[prost(sint64, optional, tag = "5")]
    acknowledged_ms: Option<i64>,
    #[prost(bool, tag = "6")]
    acknowledge_missed: bool,
    #[prost(sint64, optional, tag = "7")]
    ready_ms: Option<i64>,
    #[prost(sint64, optional, tag = "8")]
    ended_ms: Option<i64>,
    #[prost(uint32, tag = "9")]
    fallback_steps: u32,
    #[prost(uint32, repeated, tag = "10")]
    refused_by: Vec<u32>,
    #[prost(uint64, optional, tag = "11")]
    replaces: Option<u64>,
    #[prost(uint64, optional, tag = "12")]
    replaced_by: Option<u64>,
    #[prost(message, optional, tag = "13")]
    shipment: Option<ShipmentRecord>,
    #[prost(uint64, optional, tag = "14")]
    confirmed: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ShipmentRecord {
    #[prost(string, tag = "1")]
    carrier: String,
    #[prost(string, tag = "2")]
    tracking_number: String,
}

impl Stored for Handling {
    type Record = HandlingRecord;

    fn to_record(&self) -> HandlingRecord {
        let ms = |time: Option<Time>| time.map(|t| t.0);
        HandlingRecord {
            payment: self.payment.code(),
            handover: self.handover.code(),
            pickup_code: halves(self.pickup_code.map(|hash| hash.0)),
            deadline_ms: ms(self.deadline),
            acknowledged_ms: ms(self.acknowledged),
            acknowledge_missed: self.acknowledge_missed,
            ready_ms: ms(self.ready),
            ended_ms: ms(self.ended),
            fallback_steps: self.fallback_steps,
            refused_by: self.refused_by.iter().map(|store| store.0).collect(),
            replaces: self.replaces.map(|id| id.0),
            replaced_by: self.replaced_by.map(|id| id.0),
            shipment: self.shipment.as_ref().map(|shipment| ShipmentRecord {
                carrier: shipment.carrier.to_string(),
                tracking_number: shipment.tracking_number.to_string(),
            }),
            confirmed: self.confirmed.map(|sequence| sequence.0),
        }
    }

    fn from_record(record: HandlingRecord) -> Result<Self, RecordProblem> {
        let time = |ms: Option<i64>| ms.map(Time);
        let mut codes = hashes(&record.pickup_code, "hash of a pickup code")?;
        Ok(Handling {
            payment: PaymentState::decoded(record.payment)?,
            handover: HandoverKind::decoded(record.handover)?,
            pickup_code: codes.next().map(PickupCodeHash),
            confirmed: record.confirmed.map(Sequence),
            deadline: time(record.deadline_ms),
            acknowledged: time(record.acknowledged_ms),
            acknowledge_missed: record.acknowledge_missed,
            ready: time(record.ready_ms),
            ended: time(record.ended_ms),
            fallback_steps: record.fallback_steps,
            refused_by: record.refused_by.into_iter().map(StoreId).collect(),
            replaces: record.replaces.map(ReservationId),
            replaced_by: record.replaced_by.map(ReservationId),
            shipment: record.shipment.map(|shipment| {
                Box::new(Shipment {
                    carrier: shipment.carrier.into(),
                    tracking_number: shipment.tracking_number.into(),
                })
            }),
        })
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct AlternativeRecord {
    #[prost(uint32, tag = "1")]
    store: u32,
    #[prost(uint64, tag = "2")]
    distance_mm: u64,
    #[prost(message, optional, tag = "3")]
    window: Option<WindowRecord>,
    #[prost(message, optional, tag = "60")]
    cost: Option<CostRecord>,
    #[prost(bool, tag = "61")]
    hold_first: bool,
}

/// Minor units.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct CostRecord {
    #[prost(sint64, tag = "1")]
    distance: i64,
    #[prost(sint64, tag = "2")]
    handling: i64,
    #[prost(sint64, tag = "3")]
    parcels: i64,
    #[prost(sint64, tag = "4")]
    store_load: i64,
    #[prost(sint64, tag = "5")]
    waiting: i64,
}

impl Stored for Cost {
    type Record = CostRecord;

    fn to_record(&self) -> CostRecord {
        CostRecord {
            distance: self.distance,
            handling: self.handling,
            parcels: self.parcels,
            store_load: self.store_load,
            waiting: self.waiting,
        }
    }

    fn from_record(record: CostRecord) -> Result<Self, RecordProblem> {
        Ok(Cost {
            distance: record.distance,
            handling: record.handling,
            parcels: record.parcels,
            store_load: record.store_load,
            waiting: record.waiting,
        })
    }
}

impl Stored for Alternative {
    type Record = AlternativeRecord;

    fn to_record(&self) -> AlternativeRecord {
        AlternativeRecord {
            store: self.store.0,
            distance_mm: self.distance_mm,
            window: self.window.map(WindowRecord::of),
            cost: (self.cost != Cost::default()).then(|| self.cost.to_record()),
            hold_first: self.hold_first,
        }
    }

    fn from_record(record: AlternativeRecord) -> Result<Self, RecordProblem> {
        Ok(Alternative {
            store: StoreId(record.store),
            distance_mm: record.distance_mm,
            window: record.window.map(WindowRecord::window),
            cost: optional(record.cost)?.unwrap_or_default(),
            hold_first: record.hold_first,
        })
    }
}

/// What became of an order that could not be picked in full, told again to a retry.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PickExceptionRecord {
    #[prost(message, optional, tag = "1")]
    pub(crate) reservation: Option<super::reservation::ReservationRecord>,
    #[prost(message, optional, tag = "2")]
    pub(crate) moved_to: Option<super::reservation::ReservationRecord>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) alternatives: Vec<AlternativeRecord>,
}
