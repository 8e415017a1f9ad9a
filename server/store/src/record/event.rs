//! Records of events. The personal record of a customer is left out: the log names nobody, so that erasing a person
//! leaves nothing behind in it, its copies or its backups.

use std::sync::Arc;

use tillside_engine::catalog::CategoryId;
use tillside_engine::event::Event;
use tillside_engine::ids::{
    BusinessKey, CustomerId, IdentifierHash, RequestKey, ReservationId, Sequence, SkuId, StoreId,
};
use tillside_engine::offer::OutcomeType;
use tillside_engine::stock::MoveReason;
use tillside_engine::units::Time;

use super::Stored;
use super::catalog::{ProductRecord, StoreRecord};
use super::codes::Coded;
use super::customer::RelationRecord;
use super::facts::FactPutRecord;
use super::inbound::DeliveryRecord;
use super::offer::TermsRecord;
use super::reservation::{CheckoutRecord, ReservationRecord};
use super::routing::RoutingPolicyRecord;
use super::sale::SaleRecord;
use super::values::{halves, hashes, list, required};
use crate::error::RecordProblem;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EventRecord {
    #[prost(
        oneof = "EventKind",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 30, 40, 50, 51, 52, 53, 54, 55, 60"
    )]
    kind: Option<EventKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum EventKind {
    #[prost(message, tag = "1")]
    StorePut(StorePutRecord),
    #[prost(message, tag = "2")]
    CategoryAdded(CategoryAddedRecord),
    #[prost(message, tag = "3")]
    ProductPut(ProductPutRecord),
    #[prost(message, tag = "4")]
    CustomerPut(CustomerPutRecord),
    #[prost(message, tag = "5")]
    OfferPut(TermsRecord),
    #[prost(string, tag = "6")]
    OfferArchived(String),
    #[prost(message, tag = "7")]
    OutcomeReported(OutcomeReportedRecord),
    #[prost(message, tag = "8")]
    Received(ReceivedRecord),
    #[prost(message, tag = "9")]
    SaleRecorded(SaleRecord),
    #[prost(message, tag = "10")]
    StockMoved(StockMovedRecord),
    #[prost(message, tag = "11")]
    StockCounted(StockCountedRecord),
    #[prost(message, tag = "12")]
    ReservationHeld(ReservationRecord),
    #[prost(uint64, tag = "13")]
    ReservationConfirmed(u64),
    #[prost(uint64, tag = "14")]
    ReservationReleased(u64),
    #[prost(uint64, tag = "15")]
    ReservationExpired(u64),
    #[prost(message, tag = "16")]
    CheckoutPut(CheckoutRecord),
    #[prost(message, tag = "17")]
    RequestAnswered(RequestAnsweredRecord),
    #[prost(uint32, tag = "18")]
    RequestsForgotten(u32),
    #[prost(string, tag = "19")]
    CheckoutForgotten(String),
    #[prost(uint64, tag = "20")]
    RequestWindowMoved(u64),
    #[prost(uint64, tag = "30")]
    ReservationForgotten(u64),
    #[prost(message, tag = "40")]
    ReservationPut(ReservationRecord),
    #[prost(message, tag = "50")]
    DeliveryPut(DeliveryRecord),
    #[prost(string, tag = "51")]
    DeliveryForgotten(String),
    #[prost(message, tag = "52")]
    FactsPut(FactsPutRecord),
    #[prost(bool, tag = "53")]
    BuffersSwept(bool),
    #[prost(message, tag = "54")]
    PickChecked(PickCheckedRecord),
    #[prost(message, tag = "55")]
    SourceAdvanced(SourceAdvancedRecord),
    #[prost(message, tag = "60")]
    RoutingPolicySet(RoutingPolicyRecord),
}

#[derive(Clone, PartialEq, prost::Message)]
struct FactsPutRecord {
    #[prost(message, repeated, tag = "1")]
    facts: Vec<FactPutRecord>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct PickCheckedRecord {
    #[prost(uint32, tag = "1")]
    store: u32,
    #[prost(sint64, tag = "2")]
    expected: i64,
    #[prost(sint64, tag = "3")]
    found: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SourceAdvancedRecord {
    #[prost(string, tag = "1")]
    source: String,
    #[prost(uint64, tag = "2")]
    number: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StorePutRecord {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(message, optional, tag = "2")]
    store: Option<StoreRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CategoryAddedRecord {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(string, tag = "2")]
    path: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ProductPutRecord {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(message, optional, tag = "2")]
    product: Option<ProductRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CustomerPutRecord {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, optional, tag = "2")]
    relation: Option<RelationRecord>,
    #[prost(fixed64, repeated, tag = "3")]
    identifiers: Vec<u64>,
    #[prost(bool, tag = "4")]
    created: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct OutcomeReportedRecord {
    #[prost(string, tag = "1")]
    offer_id: String,
    #[prost(uint32, tag = "2")]
    outcome: u32,
    #[prost(fixed64, repeated, tag = "3")]
    key: Vec<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReceivedRecord {
    #[prost(fixed64, repeated, tag = "1")]
    keys: Vec<u64>,
    #[prost(sint64, tag = "2")]
    occurred_ms: i64,
    #[prost(bool, tag = "3")]
    future: bool,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct StockMovedRecord {
    #[prost(uint32, tag = "1")]
    sku: u32,
    #[prost(uint32, tag = "2")]
    store: u32,
    #[prost(sint64, tag = "3")]
    delta: i64,
    #[prost(sint64, tag = "4")]
    damaged: i64,
    #[prost(sint64, tag = "5")]
    occurred_ms: i64,
    #[prost(uint32, tag = "6")]
    reason: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct StockCountedRecord {
    #[prost(uint32, tag = "1")]
    sku: u32,
    #[prost(uint32, tag = "2")]
    store: u32,
    #[prost(sint64, tag = "3")]
    on_hand: i64,
    #[prost(sint64, optional, tag = "4")]
    safety: Option<i64>,
    #[prost(sint64, tag = "5")]
    as_of_ms: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RequestAnsweredRecord {
    #[prost(fixed64, repeated, tag = "1")]
    key: Vec<u64>,
    #[prost(fixed64, tag = "2")]
    payload_hash: u64,
}

impl Stored for Event {
    type Record = EventRecord;

    fn to_record(&self) -> EventRecord {
        EventRecord {
            kind: Some(kind(self)),
        }
    }

    fn from_record(record: EventRecord) -> Result<Self, RecordProblem> {
        event(record.kind.ok_or_else(|| {
            RecordProblem::field("kind of event", "one this version does not know")
        })?)
    }
}

fn kind(event: &Event) -> EventKind {
    match event {
        Event::StorePut { id, store } => EventKind::StorePut(StorePutRecord {
            id: id.0,
            store: Some(store.to_record()),
        }),
        Event::CategoryAdded { id, path } => EventKind::CategoryAdded(CategoryAddedRecord {
            id: id.0,
            path: path.to_string(),
        }),
        Event::ProductPut { id, product } => EventKind::ProductPut(ProductPutRecord {
            id: id.0,
            product: Some(product.to_record()),
        }),
        Event::CustomerPut {
            id,
            personal: _,
            relation,
            identifiers,
            created,
        } => EventKind::CustomerPut(CustomerPutRecord {
            id: id.0,
            relation: Some(relation.to_record()),
            identifiers: halves(identifiers.iter().map(|hash| hash.0)),
            created: *created,
        }),
        Event::OfferPut { terms } => EventKind::OfferPut(terms.to_record()),
        Event::OfferArchived { offer_id } => EventKind::OfferArchived(offer_id.to_string()),
        Event::OutcomeReported {
            offer_id,
            outcome,
            key,
        } => EventKind::OutcomeReported(OutcomeReportedRecord {
            offer_id: offer_id.to_string(),
            outcome: outcome.code(),
            key: halves([key.0]),
        }),
        Event::Received {
            keys,
            occurred,
            future,
        } => EventKind::Received(ReceivedRecord {
            keys: halves(keys.iter().map(|key| key.0)),
            occurred_ms: occurred.0,
            future: *future,
        }),
        Event::SaleRecorded { sale } => EventKind::SaleRecorded(sale.to_record()),
        Event::StockMoved {
            sku,
            store,
            delta,
            damaged,
            occurred,
            reason,
        } => EventKind::StockMoved(StockMovedRecord {
            sku: sku.0,
            store: store.0,
            delta: *delta,
            damaged: *damaged,
            occurred_ms: occurred.0,
            reason: reason.code(),
        }),
        Event::StockCounted {
            sku,
            store,
            on_hand,
            safety,
            as_of,
        } => EventKind::StockCounted(StockCountedRecord {
            sku: sku.0,
            store: store.0,
            on_hand: *on_hand,
            safety: *safety,
            as_of_ms: as_of.0,
        }),
        Event::ReservationHeld { reservation } => {
            EventKind::ReservationHeld(reservation.to_record())
        }
        Event::ReservationConfirmed { id } => EventKind::ReservationConfirmed(id.0),
        Event::ReservationReleased { id } => EventKind::ReservationReleased(id.0),
        Event::ReservationExpired { id } => EventKind::ReservationExpired(id.0),
        Event::ReservationForgotten { id } => EventKind::ReservationForgotten(id.0),
        Event::ReservationPut { reservation } => EventKind::ReservationPut(reservation.to_record()),
        Event::CheckoutPut { checkout } => EventKind::CheckoutPut(checkout.to_record()),
        Event::RequestAnswered { key, payload_hash } => {
            EventKind::RequestAnswered(RequestAnsweredRecord {
                key: halves([key.0]),
                payload_hash: *payload_hash,
            })
        }
        Event::RequestsForgotten { count } => EventKind::RequestsForgotten(*count),
        Event::RequestWindowMoved { before } => EventKind::RequestWindowMoved(before.0),
        Event::CheckoutForgotten { checkout_id } => {
            EventKind::CheckoutForgotten(checkout_id.to_string())
        }
        Event::DeliveryPut { delivery } => EventKind::DeliveryPut(delivery.to_record()),
        Event::DeliveryForgotten { delivery_id } => {
            EventKind::DeliveryForgotten(delivery_id.to_string())
        }
        Event::FactsPut { facts } => EventKind::FactsPut(FactsPutRecord {
            facts: facts.iter().map(Stored::to_record).collect(),
        }),
        Event::BuffersSwept => EventKind::BuffersSwept(true),
        Event::PickChecked {
            store,
            expected,
            found,
        } => EventKind::PickChecked(PickCheckedRecord {
            store: store.0,
            expected: *expected,
            found: *found,
        }),
        Event::SourceAdvanced { source, number } => {
            EventKind::SourceAdvanced(SourceAdvancedRecord {
                source: source.to_string(),
                number: *number,
            })
        }
        Event::RoutingPolicySet { policy } => EventKind::RoutingPolicySet(policy.to_record()),
    }
}

fn event(kind: EventKind) -> Result<Event, RecordProblem> {
    Ok(match kind {
        EventKind::StorePut(put) => Event::StorePut {
            id: StoreId(put.id),
            store: Arc::new(required(put.store, "store")?),
        },
        EventKind::CategoryAdded(added) => Event::CategoryAdded {
            id: CategoryId(added.id),
            path: added.path.into(),
        },
        EventKind::ProductPut(put) => Event::ProductPut {
            id: SkuId(put.id),
            product: Arc::new(required(put.product, "product")?),
        },
        EventKind::CustomerPut(put) => Event::CustomerPut {
            id: CustomerId(put.id),
            personal: None,
            relation: Arc::new(required(put.relation, "relation")?),
            identifiers: hashes(&put.identifiers, "list of identifiers")?
                .map(IdentifierHash)
                .collect(),
            created: put.created,
        },
        EventKind::OfferPut(terms) => Event::OfferPut {
            terms: Arc::new(Stored::from_record(terms)?),
        },
        EventKind::OfferArchived(offer_id) => Event::OfferArchived {
            offer_id: offer_id.into(),
        },
        EventKind::OutcomeReported(reported) => Event::OutcomeReported {
            offer_id: reported.offer_id.into(),
            outcome: OutcomeType::decoded(reported.outcome)?,
            key: BusinessKey(one_hash(&reported.key, "key of an outcome")?),
        },
        EventKind::Received(received) => Event::Received {
            keys: hashes(&received.keys, "list of keys")?
                .map(BusinessKey)
                .collect(),
            occurred: Time(received.occurred_ms),
            future: received.future,
        },
        EventKind::SaleRecorded(sale) => Event::SaleRecorded {
            sale: Arc::new(Stored::from_record(sale)?),
        },
        EventKind::StockMoved(moved) => Event::StockMoved {
            sku: SkuId(moved.sku),
            store: StoreId(moved.store),
            delta: moved.delta,
            damaged: moved.damaged,
            occurred: Time(moved.occurred_ms),
            reason: MoveReason::decoded(moved.reason)?,
        },
        EventKind::StockCounted(counted) => Event::StockCounted {
            sku: SkuId(counted.sku),
            store: StoreId(counted.store),
            on_hand: counted.on_hand,
            safety: counted.safety,
            as_of: Time(counted.as_of_ms),
        },
        EventKind::ReservationHeld(reservation) => Event::ReservationHeld {
            reservation: Arc::new(Stored::from_record(reservation)?),
        },
        EventKind::ReservationConfirmed(id) => Event::ReservationConfirmed {
            id: ReservationId(id),
        },
        EventKind::ReservationReleased(id) => Event::ReservationReleased {
            id: ReservationId(id),
        },
        EventKind::ReservationExpired(id) => Event::ReservationExpired {
            id: ReservationId(id),
        },
        EventKind::ReservationForgotten(id) => Event::ReservationForgotten {
            id: ReservationId(id),
        },
        EventKind::ReservationPut(reservation) => Event::ReservationPut {
            reservation: Arc::new(Stored::from_record(reservation)?),
        },
        EventKind::CheckoutPut(checkout) => Event::CheckoutPut {
            checkout: Arc::new(Stored::from_record(checkout)?),
        },
        EventKind::RequestAnswered(answered) => Event::RequestAnswered {
            key: RequestKey(one_hash(&answered.key, "key of a request")?),
            payload_hash: answered.payload_hash,
        },
        EventKind::RequestsForgotten(count) => Event::RequestsForgotten { count },
        EventKind::RequestWindowMoved(before) => Event::RequestWindowMoved {
            before: Sequence(before),
        },
        EventKind::CheckoutForgotten(checkout_id) => Event::CheckoutForgotten {
            checkout_id: checkout_id.into(),
        },
        EventKind::DeliveryPut(delivery) => Event::DeliveryPut {
            delivery: Arc::new(Stored::from_record(delivery)?),
        },
        EventKind::DeliveryForgotten(delivery_id) => Event::DeliveryForgotten {
            delivery_id: delivery_id.into(),
        },
        EventKind::FactsPut(put) => Event::FactsPut {
            facts: list(put.facts)?,
        },
        EventKind::BuffersSwept(_) => Event::BuffersSwept,
        EventKind::PickChecked(checked) => Event::PickChecked {
            store: StoreId(checked.store),
            expected: checked.expected,
            found: checked.found,
        },
        EventKind::SourceAdvanced(advanced) => Event::SourceAdvanced {
            source: advanced.source.into(),
            number: advanced.number,
        },
        EventKind::RoutingPolicySet(policy) => Event::RoutingPolicySet {
            policy: Arc::new(Stored::from_record(policy)?),
        },
    })
}

fn one_hash(words: &[u64], field: &'static str) -> Result<u128, RecordProblem> {
    let mut all = hashes(words, field)?;
    match (all.next(), all.next()) {
        (Some(hash), None) => Ok(hash),
        _ => Err(RecordProblem::field(
            field,
            "another number of hashes than one",
        )),
    }
}
