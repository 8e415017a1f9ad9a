//! Every kind of record reads back equal, unusual values included, and no damage of it goes unnoticed.

use std::fmt::Debug;
use std::sync::Arc;

use geo::Point;
use jiff::tz::TimeZone;
use smallvec::smallvec;
use tillside_engine::accuracy::Accuracy;
use tillside_engine::answered_requests::AnsweredRequest;
use tillside_engine::buffers::{BufferKey, BufferScope};
use tillside_engine::catalog::{CategoryId, OpeningInterval, Patience, Product, Store, StoreState};
use tillside_engine::customer::{Consent, Contacts, KnownIdentifier, Personal, Purpose, Relation};
use tillside_engine::event::Event;
use tillside_engine::facts::{Fact, FactKey, SourceProgress};
use tillside_engine::identity::{Identifier, IdentifierKind};
use tillside_engine::ids::{
    BusinessKey, CellKey, CustomerId, IdentifierHash, RequestKey, ReservationId, Sequence, SkuId,
    StoreId,
};
use tillside_engine::inbound::{Delivery, DeliveryLine, DeliveryState};
use tillside_engine::location_terms::{
    LocationKind, LocationTerms, Method, Methods, SlotRules, SpecialDay,
};
use tillside_engine::offer::{
    Channel, ComputedBy, Offer, OfferTerms, OutcomeCounts, OutcomeType, Reward,
};
use tillside_engine::order::{
    Handling, HandoverKind, PaymentState, PickProblem, PickupCodeHash, Shipment, Sought,
};
use tillside_engine::pickup_slots::Slot;
use tillside_engine::profile::{History, Spend, Weighted};
use tillside_engine::recent_movements::RecentMovements;
use tillside_engine::reply::{Alternative, Reply, Warning};
use tillside_engine::reservation::{
    Checkout, CheckoutResult, Reservation, ReservationLine, ReservationState,
};
use tillside_engine::routing_policy::{
    Cost, MethodCost, RankBy, RoutingPolicy, RoutingRule, RuleEffect,
};
use tillside_engine::sale::{ItemRef, QuarantinedLine, Sale, SaleKind, SaleLine, StoreRef};
use tillside_engine::state::Counters;
use tillside_engine::stock::{Beside, MoveReason, StockLevel};
use tillside_engine::units::{Currency, Money, Time, Unit};

use super::catalog::CategoryPath;
use super::keys::{Answers, IdentifierOwner, TakenAt};
use super::meta::Meta;
use super::{Row, Stored, read_payload, read_row, write_payload};
use crate::batch::{BatchBuilder, Encoder};
use crate::error::RecordProblem;
use crate::log::Position;
use crate::record;
use crate::table::{Key, PolicyKey, Table};

/// An entity reads back equal from its payload.
fn check<T: Stored + PartialEq + Debug>(entity: &T) {
    let mut payload = Vec::new();
    write_payload(entity, &mut payload);
    assert_eq!(read_payload::<T>(&payload).as_ref(), Ok(entity));
}

/// As [`check`], through the frame; then every flipped bit of the value has to be found.
fn check_row<T: Row + PartialEq + Debug>(key: &T::Key, entity: &T)
where
    T::Key: PartialEq + Debug,
{
    check(entity);
    let mut encoder = Encoder::default();
    let (key_bytes, value) = encoder.row(key, entity);
    let (found, read) = read_row::<T>(key_bytes, value).expect("what was written");
    assert_eq!((&found, &read), (key, entity));
    every_flipped_bit_is_found(value, |value| read_row::<T>(key_bytes, value).map(drop));
}

fn every_flipped_bit_is_found(
    value: &[u8],
    read: impl Fn(&[u8]) -> Result<(), crate::error::RecordError>,
) {
    for bit in 0..value.len() * 8 {
        let mut damaged = value.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let found = read(&damaged);
        assert!(
            matches!(found, Err(ref e) if matches!(e.problem, RecordProblem::Checksum { .. })),
            "bit {bit}: {found:?}"
        );
    }
    for length in 0..value.len() {
        assert!(read(&value[..length]).is_err(), "cut to {length} bytes");
    }
}

fn usd() -> Currency {
    Currency::parse("USD").unwrap()
}

fn store() -> Store {
    Store {
        store_id: "0007".into(),
        display_name: "Città di Forlì \u{1F6D2}".into(),
        location: Point::new(-179.999_999_9, 89.5),
        time_zone: TimeZone::get("Europe/Rome").unwrap(),
        opening: vec![
            OpeningInterval {
                iso_day: 1,
                open_minute: 0,
                close_minute: 2880,
            },
            OpeningInterval {
                iso_day: 7,
                open_minute: 1439,
                close_minute: 1440,
            },
        ],
        state: StoreState::Paused,
        town: "Forlì".into(),
        province: "FC".into(),
        travel_zone: "sicilia".into(),
        country: "IT".into(),
        patience: Patience {
            acknowledge_ms: Some(0),
            no_show_ms: Some(i64::MAX),
        },
        version: Sequence(u64::MAX),
        location_terms: Arc::new(location_terms()),
    }
}

fn product() -> Product {
    Product {
        sku: "SKU \"1\"".into(),
        display_name: "".into(),
        category: Some(CategoryId(0)),
        brand: "Bärenmarke".into(),
        unit: Unit::Kilogram,
        gtins: vec![0, 8_000_500_310_427, 99_999_999_999_999],
        plu: "01234".into(),
        list_price: Some(Money {
            currency: usd(),
            minor: 0,
        }),
        vat_rate_basis_points: 2200,
        promotion_restricted: true,
        version: Sequence(3),
    }
}

fn personal() -> Personal {
    Personal {
        customer_id: "C-1".into(),
        contacts: Contacts {
            given_name: "Niccolò".into(),
            birth_date: "1980-02-29".into(),
            ..Contacts::default()
        },
        identifiers: vec![
            KnownIdentifier {
                identifier: Identifier {
                    kind: IdentifierKind::DeviceId,
                    value: "d".into(),
                },
                verified: Some(Time(0)),
                source: "app".into(),
            },
            KnownIdentifier {
                identifier: Identifier {
                    kind: IdentifierKind::CustomerId,
                    value: "C-1".into(),
                },
                verified: None,
                source: String::new(),
            },
        ],
    }
}

fn relation() -> Relation {
    Relation {
        provisional: true,
        preferred_store: Some(StoreId(0)),
        segments: vec!["".into(), "famiglie".into()],
        consents: smallvec![
            Consent {
                purpose: Purpose::Profiling,
                granted: true,
                decided: Time(-1),
                notice_version: "v1".into()
            },
            Consent {
                purpose: Purpose::ThirdParties,
                granted: false,
                decided: Time(5),
                notice_version: "".into()
            },
        ],
        version: Sequence(9),
    }
}

fn history() -> History {
    History {
        points: i64::MIN,
        purchases: i64::MIN,
        spend: smallvec![
            Spend {
                currency: Currency::EUR,
                net_minor: -1,
                purchases: 0
            },
            Spend {
                currency: usd(),
                net_minor: i64::MAX,
                purchases: 2
            },
        ],
        first_purchase: Some(Time(0)),
        last_purchase: Some(Time(i64::MAX)),
        last_store: Some(StoreId(0)),
        aged_to_day: -3,
        products: [0, 1, 70_000, u32::MAX]
            .map(|id| Weighted {
                item: SkuId(id),
                weight: id,
            })
            .into(),
        categories: vec![Weighted {
            item: CategoryId(5),
            weight: u32::MAX,
        }],
    }
}

fn level() -> StockLevel {
    let movements = [
        (Time(1_700_000_000_000), -1_000),
        (Time(1_699_999_999_999), 1),
        (Time(i64::MIN), i64::MAX),
    ];
    StockLevel {
        on_hand: -5_000,
        reserved: 1,
        committed: 2,
        safety: 3,
        own_safety: 3,
        damaged: i64::MAX,
        counted: Some(Time(0)).into(),
        recent: Some(Box::new(RecentMovements::new(Some(Time(0)), movements))),
    }
}

fn offer() -> Offer {
    let terms = OfferTerms {
        offer_id: "o".into(),
        display_name: "Pasta −20 %".into(),
        text: "".into(),
        promotion_code: "P20".into(),
        computed_by: ComputedBy::Server,
        start: Some(Time(0)),
        end: None,
        stores: vec![StoreId(0), StoreId(4)],
        channels: vec![Channel::Store, Channel::CallCenter],
        segments: vec!["famiglie".into()],
        minimum_basket: Some(Money {
            currency: Currency::EUR,
            minor: 0,
        }),
        required_consents: vec![Purpose::Profiling],
        target_skus: vec![SkuId(0), SkuId(u32::MAX)],
        target_categories: vec!["a > b".into()],
        target_in_basket: true,
        reward: Reward::PercentOff(0),
        value: Money {
            currency: usd(),
            minor: -7,
        },
        base_propensity_ppm: 1_000_000,
        lever_thousandths: 0,
    };
    Offer {
        terms: Arc::new(terms),
        archived: true,
        version: Sequence(1),
    }
}

fn reservation() -> Reservation {
    Reservation {
        id: ReservationId(12),
        order_id: "order 1".into(),
        store: StoreId(3),
        state: ReservationState::Expired,
        lines: vec![ReservationLine {
            held: 0,
            ..ReservationLine::holding("1".into(), SkuId(9), 1_000)
        }],
        distance_mm: 20_015_114_000,
        window: Some((Time(0), Time(1))),
        expire: Time(77),
        created: Time(66),
        version: Sequence(5),
        sought: None,
        handling: Handling::default(),
        method: Method::DropShip,
        slot: Some(Slot {
            start: Time(-1),
            end: Time(i64::MAX),
            capacity: u32::MAX,
        }),
        parts: Some([0, 12, u64::MAX].map(ReservationId).into()),
    }
}

/// An order with everything an order can have.
fn order() -> Reservation {
    let line = |problem| ReservationLine {
        held: 1,
        picked: 2,
        rejected: 3,
        handed_over: 4,
        receipted: 5,
        problem,
        awaited: 6,
        ..ReservationLine::holding("2".into(), SkuId(0), i64::MAX)
    };
    Reservation {
        state: ReservationState::PartiallyPickedUp,
        lines: vec![
            line(None),
            line(Some(PickProblem::NotFound)),
            line(Some(PickProblem::Damaged)),
            line(Some(PickProblem::Declined)),
        ],
        sought: Some(Sought {
            origin: Point::new(-180.0, 1e-9),
            limit_mm: 0,
        }),
        handling: Handling {
            payment: PaymentState::Paid,
            handover: HandoverKind::Locker,
            pickup_code: Some(PickupCodeHash(u128::MAX - 1)),
            confirmed: Some(Sequence(0)),
            deadline: Some(Time(0)),
            acknowledged: Some(Time(-1)),
            acknowledge_missed: true,
            ready: Some(Time(i64::MAX)),
            ended: Some(Time(1)),
            fallback_steps: 7,
            refused_by: vec![StoreId(0), StoreId(u32::MAX)],
            replaces: Some(ReservationId(0)),
            replaced_by: Some(ReservationId(u64::MAX)),
            shipment: Some(Box::new(Shipment {
                carrier: "".into(),
                tracking_number: "42".into(),
            })),
        },
        ..reservation()
    }
}

fn checkout() -> Checkout {
    Checkout {
        checkout_id: "c".into(),
        revision: i64::MIN,
        closed: Some(CheckoutResult::Completed),
        reservation: Some(ReservationId(0)),
        expire: Time(i64::MAX),
    }
}

fn line(item: ItemRef) -> SaleLine {
    SaleLine {
        item,
        quantity: -500,
        net: Money {
            currency: usd(),
            minor: -199,
        },
        stock_delta: 500,
        settles: Some((ReservationId(0), 0)),
        offer_ids: smallvec!["o".into(), "".into()],
    }
}

fn sale() -> Sale {
    Sale {
        kind: SaleKind::Neutral,
        store: StoreRef::Unknown("".into()),
        workstation: "till 1".into(),
        business_day: "2026-11-22".into(),
        number: -1,
        time: Time(5),
        customer: Some(CustomerId(0)),
        points: -9,
        lines: vec![
            line(ItemRef::Known(SkuId(0))),
            line(ItemRef::UnknownSku("".into())),
            line(ItemRef::UnknownCode("200".into())),
        ],
        tenders: vec![(
            "cash".into(),
            Money {
                currency: Currency::EUR,
                minor: 0,
            },
        )],
        fiscal_document: "0001-0002".into(),
        fiscal_device: "99MEX".into(),
        operator: "7".into(),
        offline: true,
        training: true,
    }
}

fn delivery() -> Delivery {
    let line = |sku, announced, received| DeliveryLine {
        sku: SkuId(sku),
        announced,
        received,
    };
    Delivery {
        delivery_id: "d".into(),
        store: StoreId(1),
        from: Some(StoreId(0)),
        expected: Time(-1),
        lines: vec![line(0, 1000, 0), line(7, 0, i64::MAX)],
        state: DeliveryState::Cancelled,
        position: u64::MAX,
        changed: Time(5),
        version: Sequence(1),
    }
}

fn facts() -> Vec<(FactKey, Fact)> {
    let buffer = |store, scope| FactKey::Buffer(BufferKey { store, scope });
    let accuracy = Accuracy {
        checked: u32::MAX,
        found: 1,
        day: 20_000,
    };
    let source = SourceProgress {
        first: 1,
        highest: u64::MAX,
        taken: 2,
        late: 1,
        last: Time(-1),
    };
    vec![
        (buffer(None, BufferScope::Everything), Fact::Buffer(0)),
        (
            buffer(Some(StoreId(3)), BufferScope::Category("Cibo".into())),
            Fact::Buffer(i64::MAX),
        ),
        (
            buffer(Some(StoreId(0)), BufferScope::Sku(SkuId(1))),
            Fact::Buffer(1000),
        ),
        (FactKey::NearTime(None), Fact::NearTime(0)),
        (FactKey::Accuracy(StoreId(1)), Fact::Accuracy(accuracy)),
        (FactKey::Source("erp".into()), Fact::Source(source)),
        (
            FactKey::Price(CellKey::new(SkuId(1), StoreId(2))),
            Fact::Price(Money {
                currency: usd(),
                minor: 5,
            }),
        ),
    ]
}

fn quarantined() -> QuarantinedLine {
    QuarantinedLine {
        store: "9".into(),
        item: "x".into(),
        scanned: true,
        quantity: i64::MIN,
        net: Money {
            currency: Currency::EUR,
            minor: i64::MIN,
        },
        time: Time(-1),
        unknown_store: true,
    }
}

/// Events of every kind; the match makes a new kind fail to compile until it is here.
fn events() -> Vec<Event> {
    let known = |event: &Event| match event {
        Event::StorePut { .. }
        | Event::CategoryAdded { .. }
        | Event::ProductPut { .. }
        | Event::CustomerPut { .. }
        | Event::OfferPut { .. }
        | Event::OfferArchived { .. }
        | Event::OutcomeReported { .. }
        | Event::Received { .. }
        | Event::SaleRecorded { .. }
        | Event::StockMoved { .. }
        | Event::StockCounted { .. }
        | Event::ReservationHeld { .. }
        | Event::ReservationConfirmed { .. }
        | Event::ReservationReleased { .. }
        | Event::ReservationExpired { .. }
        | Event::ReservationForgotten { .. }
        | Event::ReservationPut { .. }
        | Event::CheckoutPut { .. }
        | Event::RequestAnswered { .. }
        | Event::RequestsForgotten { .. }
        | Event::RequestWindowMoved { .. }
        | Event::CheckoutForgotten { .. }
        | Event::DeliveryPut { .. }
        | Event::DeliveryForgotten { .. }
        | Event::FactsPut { .. }
        | Event::BuffersSwept
        | Event::PickChecked { .. }
        | Event::SourceAdvanced { .. }
        | Event::RoutingPolicySet { .. } => {}
    };
    let events = vec![
        Event::StorePut {
            id: StoreId(0),
            store: Arc::new(store()),
        },
        Event::CategoryAdded {
            id: CategoryId(0),
            path: "".into(),
        },
        Event::ProductPut {
            id: SkuId(0),
            product: Arc::new(product()),
        },
        Event::CustomerPut {
            id: CustomerId(1),
            personal: None,
            relation: Arc::new(relation()),
            identifiers: vec![
                IdentifierHash(0),
                IdentifierHash(u128::MAX),
                IdentifierHash(1 << 64),
            ],
            created: true,
        },
        Event::OfferPut {
            terms: offer().terms,
        },
        Event::OfferArchived {
            offer_id: "".into(),
        },
        Event::OutcomeReported {
            offer_id: "o".into(),
            outcome: OutcomeType::Redeem,
            key: BusinessKey(1),
        },
        Event::Received {
            keys: smallvec![BusinessKey(u128::MAX), BusinessKey(0)],
            occurred: Time(-1),
            future: true,
        },
        Event::SaleRecorded {
            sale: Arc::new(sale()),
        },
        Event::StockMoved {
            sku: SkuId(0),
            store: StoreId(0),
            delta: 0,
            damaged: -1,
            occurred: Time(0),
            reason: MoveReason::Disposal,
        },
        Event::StockCounted {
            sku: SkuId(1),
            store: StoreId(1),
            on_hand: 0,
            safety: Some(0),
            as_of: Time(i64::MIN),
        },
        Event::StockCounted {
            sku: SkuId(1),
            store: StoreId(1),
            on_hand: 0,
            safety: None,
            as_of: Time(1),
        },
        Event::ReservationHeld {
            reservation: Arc::new(reservation()),
        },
        Event::ReservationConfirmed {
            id: ReservationId(0),
        },
        Event::ReservationReleased {
            id: ReservationId(1),
        },
        Event::ReservationForgotten {
            id: ReservationId(1),
        },
        Event::ReservationExpired {
            id: ReservationId(u64::MAX),
        },
        Event::ReservationPut {
            reservation: Arc::new(order()),
        },
        Event::CheckoutPut {
            checkout: Arc::new(checkout()),
        },
        Event::RequestAnswered {
            key: RequestKey(7 << 100),
            payload_hash: u64::MAX,
        },
        Event::RequestsForgotten { count: 0 },
        Event::RequestWindowMoved {
            before: Sequence(u64::MAX),
        },
        Event::CheckoutForgotten {
            checkout_id: "c".into(),
        },
        Event::DeliveryPut {
            delivery: Arc::new(delivery()),
        },
        Event::DeliveryForgotten {
            delivery_id: "d".into(),
        },
        Event::FactsPut {
            facts: facts()
                .into_iter()
                .map(|(key, fact)| (key, Some(fact)))
                .chain([(FactKey::Accuracy(StoreId(0)), None)])
                .collect(),
        },
        Event::BuffersSwept,
        Event::PickChecked {
            store: StoreId(0),
            expected: 1000,
            found: 0,
        },
        Event::SourceAdvanced {
            source: "erp".into(),
            number: u64::MAX,
        },
        Event::RoutingPolicySet {
            policy: Arc::new(policy()),
        },
    ];
    events.iter().for_each(known);
    events
}

fn location_terms() -> LocationTerms {
    let day = |date, opening: &[(u16, u16)]| SpecialDay {
        date,
        opening: opening.to_vec(),
    };
    LocationTerms {
        kind: LocationKind::Warehouse,
        methods: Methods::of([Method::Pickup, Method::DropShip]),
        withholds_online: true,
        special_days: vec![
            day(jiff::civil::date(-9999, 1, 1), &[]),
            day(jiff::civil::date(2026, 12, 24), &[(0, 1), (1439, 2880)]),
            day(jiff::civil::date(9999, 12, 31), &[(0, 0)]),
        ],
        preparation_minutes: u32::MAX,
        last_pickup_minutes: u16::MAX,
        order_cutoff_minute: Some(0),
        slots: Some(SlotRules {
            length_minutes: 0,
            capacity: 0,
        }),
        capabilities: vec!["cold".into(), "".into()],
        carriers: vec!["ö".into()],
    }
}

fn policy() -> RoutingPolicy {
    let rule = |effect| RoutingRule {
        rule_id: "r".into(),
        category: "Food > Cold".into(),
        place_regions: vec!["IT-FI".into()],
        destination_regions: vec!["IT-50".into(), "CH".into()],
        methods: Methods::ANY,
        effect,
    };
    let mut costs = [MethodCost::default(); 4];
    costs[2] = MethodCost {
        order_minor: -1,
        line_minor: i64::MAX,
        parcel_minor: 590,
        km_minor: 3,
        transit_minutes_min: 1,
        transit_minutes_max: u32::MAX,
    };
    RoutingPolicy {
        currency: Currency::parse("CHF").unwrap(),
        rank_by: RankBy::Cost,
        costs,
        full_store_minor: i64::MIN,
        wait_hour_minor: 1,
        parcel_units_max: 2,
        split_parts_max: 3,
        split_part_value_min: 4,
        ask_again_minutes: 5,
        hold_first_below: 2_500,
        rules: vec![
            rule(RuleEffect::Forbid),
            rule(RuleEffect::RequireCapability("cold".into())),
            rule(RuleEffect::RequireCarrier(vec!["a".into(), "b".into()])),
        ],
        version: Sequence(6),
    }
}

fn replies() -> Vec<Reply> {
    let held = Some(Arc::new(reservation()));
    vec![
        Reply::Put {
            created: 1,
            updated: 0,
            unchanged: u32::MAX,
        },
        Reply::Customer {
            id: CustomerId(0),
            created: false,
        },
        Reply::Offer(Arc::new(offer())),
        Reply::Outcomes {
            accepted: 0,
            duplicates: 2,
        },
        Reply::Stock {
            sku: SkuId(1),
            store: StoreId(0),
            level: StockLevel {
                safety: 9,
                ..level()
            },
            beside: Beside {
                incoming: 5,
                incoming_at: Some(Time(0)),
                near_time: 4,
                confidence_ppm: 980_000,
            },
        },
        Reply::Stock {
            sku: SkuId(1),
            store: StoreId(0),
            level: StockLevel::default(),
            beside: Beside::default(),
        },
        Reply::Delivery {
            delivery: Arc::new(delivery()),
            superseded: true,
        },
        Reply::Reservation(Arc::new(reservation())),
        Reply::CheckoutHold {
            superseded: true,
            reservation: None,
        },
        Reply::CheckoutHold {
            superseded: false,
            reservation: held.clone(),
        },
        Reply::CheckoutClosed {
            result: CheckoutResult::Cancelled,
            reservation: held,
        },
        Reply::CheckoutClosed {
            result: CheckoutResult::Completed,
            reservation: None,
        },
        Reply::Ingested {
            warnings: smallvec![],
        },
        Reply::Ingested {
            warnings: smallvec![
                Warning::UnknownStore,
                Warning::UnknownSku { line: 0 },
                Warning::FutureTime,
                Warning::AmbiguousCustomer,
                Warning::IdentifierConflict { index: 3 },
                Warning::ReservationNotSettled { line: usize::MAX },
            ],
        },
        Reply::PickException {
            reservation: Arc::new(order()),
            moved_to: Some(Arc::new(reservation())),
            alternatives: vec![
                Alternative {
                    store: StoreId(0),
                    distance_mm: 0,
                    window: None,
                    cost: Cost::default(),
                    hold_first: false,
                },
                Alternative {
                    store: StoreId(1),
                    distance_mm: u64::MAX,
                    window: Some((Time(-1), Time(1))),
                    hold_first: true,
                    cost: Cost {
                        distance: 1,
                        handling: -2,
                        parcels: i64::MAX,
                        store_load: i64::MIN,
                        waiting: 5,
                    },
                },
            ],
        },
        Reply::PickException {
            reservation: Arc::new(reservation()),
            moved_to: None,
            alternatives: vec![],
        },
        Reply::Duplicate { first: Sequence(0) },
        Reply::Done,
        Reply::RoutingPolicy(Arc::new(policy())),
        {
            let reservation = Arc::new(reservation());
            let other = Reservation {
                id: ReservationId(0),
                ..order()
            };
            Reply::OrderParts {
                parts: vec![Arc::new(other), Arc::clone(&reservation)],
                reservation,
            }
        },
    ]
}

#[test]
fn every_row_reads_back_and_every_flipped_bit_of_it_is_found() {
    check_row(&StoreId(7), &store());
    check_row(&CategoryId(1), &CategoryPath("Pasta > Riso".into()));
    check_row(&SkuId(u32::MAX), &product());
    check_row(&CustomerId(1), &personal());
    check_row(&CustomerId(2), &relation());
    check_row(&CustomerId(3), &history());
    check_row(&IdentifierHash(3 << 77), &IdentifierOwner(CustomerId(4)));
    check_row(&CellKey::new(SkuId(1), StoreId(2)), &level());
    check_row(&Arc::<str>::from("o"), &offer());
    check_row(
        &Arc::<str>::from("ö"),
        &OutcomeCounts {
            impressions: u64::MAX,
            clicks: 1,
            accepts: 0,
            declines: 3,
            redeems: 4,
        },
    );
    check_row(&ReservationId(12), &reservation());
    check_row(&ReservationId(12), &order());
    check_row(&Arc::<str>::from("c"), &checkout());
    check_row(&BusinessKey(u128::MAX), &TakenAt(Sequence(1 << 40)));
    check_row(
        &Sequence(8),
        &Answers::of(&AnsweredRequest {
            key: RequestKey(u128::MAX - 5),
            payload_hash: 0,
            sequence: Sequence(8),
            time: Time(-4),
        }),
    );
    check_row(&(Sequence(6), 3), &quarantined());
    check_row(&Arc::from("d"), &delivery());
    for (key, fact) in facts() {
        check_row(&key, &fact);
    }
    check_row(&PolicyKey, &policy());
}

#[test]
fn an_entity_of_defaults_reads_back() {
    check(&StockLevel::default());
    check(&History::default());
    check(&Personal::default());
    check(&Relation::default());
    check(&OutcomeCounts::default());
    check(&Counters::default());
    check(&LocationTerms::default());
    check(&RoutingPolicy::default());
    check(&Store {
        location_terms: Arc::default(),
        ..store()
    });
    check(&Reservation {
        method: Method::Pickup,
        slot: None,
        parts: None,
        ..reservation()
    });
    check(&IdentifierOwner(CustomerId(0)));
    for store_ref in [StoreRef::Known(StoreId(0)), StoreRef::Unknown("x".into())] {
        check(&Sale {
            store: store_ref,
            customer: None,
            lines: Vec::new(),
            tenders: Vec::new(),
            ..sale()
        });
    }
    for reward in [
        Reward::AmountOff(Money {
            currency: Currency::EUR,
            minor: 0,
        }),
        Reward::ExtraPoints(-1),
    ] {
        check(&OfferTerms {
            reward,
            ..OfferTerms::clone(&offer().terms)
        });
    }
    check(&Meta {
        counters: Counters {
            next_customer: 5,
            ..Counters::default()
        },
        first_checksum: 0,
        last_checksum: 1,
    });
}

#[test]
fn every_event_and_every_reply_reads_back_from_the_log() {
    events().iter().for_each(check);
    replies().iter().for_each(check);
    let mut builder = BatchBuilder::after(Position::default());
    for (index, reply) in replies().iter().enumerate() {
        builder.record(Sequence(index as u64 + 1), Time(-1), &events(), Some(reply));
    }
    for ((_, key, value), reply) in builder.batch().records().zip(replies()) {
        let record = record::log::read(key, value.unwrap()).unwrap();
        assert_eq!(
            (record.now, record.events, record.reply),
            (Time(-1), events(), Some(reply))
        );
    }
    let (_, key, value) = builder.batch().records().next().unwrap();
    every_flipped_bit_is_found(value.unwrap(), |value| {
        record::log::read(key, value).map(drop)
    });
}

#[test]
fn the_log_never_holds_a_personal_record() {
    let personal = Personal {
        customer_id: "name-of-a-person".into(),
        ..personal()
    };
    let put = Event::CustomerPut {
        id: CustomerId(1),
        personal: Some(Arc::new(personal)),
        relation: Arc::new(relation()),
        identifiers: vec![],
        created: true,
    };
    let mut builder = BatchBuilder::after(Position::default());
    builder.record(Sequence(1), Time(0), &[put], None);
    let (_, key, value) = builder.batch().records().next().unwrap();
    let found = value
        .unwrap()
        .windows(16)
        .any(|window| window == b"name-of-a-person");
    assert!(!found, "the log holds a customer's name");
    let record = record::log::read(key, value.unwrap()).unwrap();
    assert!(matches!(
        &record.events[0],
        Event::CustomerPut { personal: None, .. }
    ));
}

#[test]
fn a_value_a_later_version_wrote_is_named_and_not_guessed() {
    let mut payload = Vec::new();
    write_payload(&reservation(), &mut payload);
    // State 11, after the last one known here: the last value of a field counts.
    payload.extend([4 << 3, 11]);
    let found = read_payload::<Reservation>(&payload);
    assert_eq!(found, Err(RecordProblem::field("reservation state", 11)));
    let sealed = [1 << 3, 7, 2 << 3, 1];
    assert_eq!(
        read_payload::<Personal>(&sealed),
        Err(RecordProblem::UnknownSeal {
            algorithm: 1,
            key_id: 7
        })
    );
    // Tag 1000 of an event: a kind of a later version.
    assert!(matches!(
        read_payload::<Event>(&[0xc0, 0x3e, 1]),
        Err(RecordProblem::Field {
            field: "kind of event",
            ..
        })
    ));
}

#[test]
fn a_field_a_later_version_added_is_passed_over() {
    let mut payload = Vec::new();
    write_payload(&level(), &mut payload);
    payload.extend([0xc0, 0x3e, 1]);
    assert_eq!(read_payload::<StockLevel>(&payload), Ok(level()));
}

#[test]
fn a_usual_stock_row_is_short() {
    let movements = [(Time(1_790_000_000_000), -1_000)];
    let recent = Some(Box::new(RecentMovements::new(None, movements)));
    let usual = StockLevel {
        on_hand: 24_000,
        own_safety: 2_000,
        counted: Some(Time(1_789_000_000_000)).into(),
        recent,
        ..StockLevel::default()
    };
    let mut encoder = Encoder::default();
    let (_, value) = encoder.row(&CellKey::new(SkuId(1), StoreId(1)), &usual);
    assert!(value.len() <= 32, "{} bytes", value.len());
}

#[test]
fn keys_of_the_wrong_length_are_named() {
    assert_eq!(
        CellKey::read(&[0; 7]),
        Err(RecordProblem::KeyLength { length: 7 })
    );
    assert_eq!(
        <(Sequence, u32)>::read(&[0; 13]),
        Err(RecordProblem::KeyLength { length: 13 })
    );
    assert_eq!(Arc::<str>::read(&[0xff]), Err(RecordProblem::KeyText));
    assert_eq!(
        Table::ALL.map(Table::number).to_vec(),
        (1..=15)
            .chain(17..=20)
            .chain([22, 23, 24])
            .collect::<Vec<u8>>(),
        "numbers are for good; 16 was format 1's"
    );
}
