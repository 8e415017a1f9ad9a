//! Random content of commands: few stores, products, people and orders, some ids that nobody knows, and times before, now
//! and ahead.

use std::sync::Arc;

use geo::Point;
use rand::RngExt as _;
use rand::rngs::StdRng;
use smallvec::{SmallVec, smallvec};
use tillside_engine::barcode::Embedded;
use tillside_engine::catalog::{Patience, Product, Store, StoreState};
use tillside_engine::command::*;
use tillside_engine::customer::{Consent, Contacts, KnownIdentifier, Purpose};
use tillside_engine::identity::{Identifier, IdentifierKind, IndexKey};
use tillside_engine::ids::*;
use tillside_engine::offer::{ComputedBy, OfferTerms, Reward};
use tillside_engine::order::{HandoverKind, PaymentState, PickProblem, Shipment, Sought};
use tillside_engine::order_command::{
    FoundLine, HandOver, OrderCommand, OrderStep, PickException, Terms,
};
use tillside_engine::pickup_code;
use tillside_engine::sale::SaleKind;
use tillside_engine::stock::MoveReason;
use tillside_engine::units::{Currency, Money, Thousandths, Time, Unit};

use crate::model::Model;

pub(crate) const INDEX_KEY: IndexKey = IndexKey([1; 32]);

pub(crate) const STORES: u32 = 3;
pub(crate) const SKUS: u32 = 5;

/// Before the first command the model has no time.
pub(crate) fn now(model: &Model) -> Time {
    model.now.max(crate::schedule::START)
}

/// A time of its own or none: mostly a little while ago, sometimes long ago, sometimes ahead.
pub(crate) fn time(rng: &mut StdRng, now: Time) -> Option<Time> {
    let minute = 60_000;
    let offset = match rng.random_range(0..10) {
        0..4 => return None,
        4 => 0,
        5..8 => -rng.random_range(0..5 * minute),
        8 => -rng.random_range(0..72 * 60 * minute),
        _ => rng.random_range(0..3 * minute),
    };
    Some(now.plus_ms(offset))
}

pub(crate) fn quantity(rng: &mut StdRng) -> i64 {
    rng.random_range(1..7) * 500
}

pub(crate) fn sku(rng: &mut StdRng) -> Arc<str> {
    let unknown = rng.random_ratio(1, 20);
    if unknown {
        "P?".into()
    } else {
        format!("P{}", rng.random_range(0..SKUS)).into()
    }
}

pub(crate) fn store_id(rng: &mut StdRng) -> Arc<str> {
    let unknown = rng.random_ratio(1, 20);
    if unknown {
        "S?".into()
    } else {
        format!("S{}", rng.random_range(0..STORES)).into()
    }
}

pub(crate) fn offer_id(rng: &mut StdRng) -> Arc<str> {
    format!("O{}", rng.random_range(0..4)).into()
}

pub(crate) fn checkout_id(rng: &mut StdRng) -> Arc<str> {
    format!("checkout {}", rng.random_range(0..4)).into()
}

/// Mostly one of the latest; sometimes one nobody made.
pub(crate) fn reservation(rng: &mut StdRng, model: &Model) -> ReservationId {
    let made = model.reservations_made;
    ReservationId(rng.random_range(made.saturating_sub(8)..made + 2))
}

pub(crate) fn store(rng: &mut StdRng, n: u32) -> Store {
    Store {
        store_id: format!("S{n}").into(),
        display_name: if rng.random_bool(0.2) {
            "Centro".into()
        } else {
            "".into()
        },
        location: Point::new(9.0 + f64::from(n) / 100.0, 45.0),
        time_zone: jiff::tz::TimeZone::UTC,
        opening: Vec::new(),
        state: if rng.random_bool(0.1) {
            StoreState::Paused
        } else {
            StoreState::Open
        },
        town: "".into(),
        province: "".into(),
        travel_zone: "".into(),
        country: "IT".into(),
        patience: Patience {
            acknowledge_ms: rng.random_bool(0.5).then_some(20_000),
            no_show_ms: rng.random_bool(0.5).then_some(60_000),
        },
        version: Sequence(0),
        location_terms: Default::default(),
    }
}

pub(crate) fn product(rng: &mut StdRng, n: u32) -> ProductDraft {
    // Sometimes another product's barcode, and sometimes another unit.
    let other = if rng.random_ratio(1, 8) {
        rng.random_range(0..SKUS)
    } else {
        n
    };
    let weighed = (n == 2) != rng.random_ratio(1, 30);
    let product = Product {
        sku: format!("P{n}").into(),
        display_name: if rng.random_bool(0.2) {
            "nuovo".into()
        } else {
            "".into()
        },
        category: None,
        brand: "".into(),
        unit: if weighed { Unit::Kilogram } else { Unit::Each },
        gtins: if rng.random_bool(0.7) {
            vec![u64::from(other) + 1000]
        } else {
            Vec::new()
        },
        plu: if rng.random_bool(0.6) {
            format!("{:05}", other).into()
        } else {
            "".into()
        },
        list_price: rng.random_bool(0.9).then(|| Money {
            currency: Currency::EUR,
            minor: 99 + 100 * i64::from(n),
        }),
        vat_rate_basis_points: 2200,
        promotion_restricted: false,
        version: Sequence(0),
    };
    let category_path = ["", "Cibo", "Cibo > Pane", "Casa"][rng.random_range(0..4)].into();
    ProductDraft {
        product,
        category_path,
    }
}

pub(crate) fn seen(kind: IdentifierKind, value: String, verified: Option<Time>) -> SeenIdentifier {
    let identifier = Identifier { kind, value };
    let source = "sim".to_owned();
    SeenIdentifier {
        hash: INDEX_KEY.hash(&identifier),
        known: KnownIdentifier {
            identifier,
            verified,
            source,
        },
    }
}

pub(crate) fn identifier(rng: &mut StdRng) -> SeenIdentifier {
    let n = rng.random_range(0..5);
    let verified = rng.random_bool(0.2).then_some(Time(5));
    match rng.random_range(0..10) {
        0..4 => seen(IdentifierKind::LoyaltyCard, format!("card {n}"), verified),
        4 | 5 => seen(IdentifierKind::Email, format!("{n}@example.it"), verified),
        6 | 7 => seen(
            IdentifierKind::Phone,
            format!("+39333000000{}", n % 3),
            verified,
        ),
        8 => seen(
            IdentifierKind::DeviceId,
            format!("device {}", n % 3),
            verified,
        ),
        // Of our own form: sometimes one that was given, sometimes one that was not.
        _ => seen(
            IdentifierKind::CustomerId,
            format!("ts-{}", n + 1),
            verified,
        ),
    }
}

pub(crate) fn identifiers(rng: &mut StdRng, most: usize) -> Vec<SeenIdentifier> {
    (0..rng.random_range(0..=most))
        .map(|_| identifier(rng))
        .collect()
}

pub(crate) fn consent(rng: &mut StdRng) -> Consent {
    let purposes = [
        Purpose::Profiling,
        Purpose::Marketing,
        Purpose::Analytics,
        Purpose::ThirdParties,
    ];
    Consent {
        purpose: purposes[rng.random_range(0..4)],
        granted: rng.random_bool(0.5),
        decided: Time(rng.random_range(0..5)),
        notice_version: "1".into(),
    }
}

pub(crate) fn person(rng: &mut StdRng) -> CustomerDraft {
    let customer_id = if rng.random_bool(0.3) {
        format!("C{}", rng.random_range(0..4))
    } else {
        String::new()
    };
    let mut identifiers = identifiers(rng, 3);
    if !customer_id.is_empty() {
        identifiers.insert(
            0,
            seen(IdentifierKind::CustomerId, customer_id.clone(), None),
        );
    }
    let name = |rng: &mut StdRng| ["", "Maria", "Luca"][rng.random_range(0..3)].to_owned();
    CustomerDraft {
        customer_id,
        identifiers,
        contacts: Contacts {
            given_name: name(rng),
            town: name(rng),
            ..Contacts::default()
        },
        consents: (0..rng.random_range(0..3)).map(|_| consent(rng)).collect(),
        preferred_store_id: rng.random_bool(0.3).then(|| store_id(rng)),
        segments: if rng.random_bool(0.3) {
            vec!["gold".into()]
        } else {
            Vec::new()
        },
    }
}

pub(crate) fn change(rng: &mut StdRng, model: &Model) -> CustomerChange {
    let people = model.people.len() as u64;
    let customer = if rng.random_bool(0.8) {
        seen(
            IdentifierKind::CustomerId,
            format!("ts-{}", rng.random_range(1..people + 2)),
            None,
        )
    } else {
        seen(
            IdentifierKind::CustomerId,
            format!("C{}", rng.random_range(0..4)),
            None,
        )
    };
    let version = model
        .identifiers
        .get(&customer.hash)
        .map(|id| model.people[*id as usize - 1].relation.version.0);
    let name = |rng: &mut StdRng| {
        rng.random_bool(0.4)
            .then(|| ["", "Maria", "Luca"][rng.random_range(0..3)].to_owned())
    };
    CustomerChange {
        customer: customer.hash,
        contacts: ContactsChange {
            family_name: name(rng),
            language: name(rng),
            ..ContactsChange::default()
        },
        consents: (0..rng.random_range(0..2)).map(|_| consent(rng)).collect(),
        preferred_store_id: rng
            .random_bool(0.3)
            .then(|| rng.random_bool(0.7).then(|| store_id(rng))),
        segments: rng
            .random_bool(0.2)
            .then(|| vec!["silver".into(); rng.random_range(0..2)]),
        identifiers: identifiers(rng, 1),
        etag: match rng.random_range(0..4) {
            0 => version,
            1 => Some(1),
            _ => None,
        },
    }
}

pub(crate) fn offer(rng: &mut StdRng, model: &Model) -> OfferDraft {
    let offer_id = offer_id(rng);
    let version = model.offers.get(&offer_id).map(|o| o.version.0);
    let value = Money {
        currency: Currency::EUR,
        minor: rng.random_range(1..4) * 100,
    };
    let terms = OfferTerms {
        offer_id,
        display_name: "".into(),
        text: "".into(),
        promotion_code: "".into(),
        computed_by: ComputedBy::Till,
        start: None,
        end: None,
        stores: Vec::new(),
        channels: Vec::new(),
        segments: Vec::new(),
        minimum_basket: None,
        required_consents: Vec::new(),
        target_skus: Vec::new(),
        target_categories: if rng.random_bool(0.3) {
            vec!["Cibo".into()]
        } else {
            Vec::new()
        },
        target_in_basket: false,
        reward: Reward::PercentOff(1000),
        value,
        base_propensity_ppm: 50_000,
        lever_thousandths: 1000,
    };
    OfferDraft {
        terms,
        store_ids: (0..rng.random_range(0..2)).map(|_| store_id(rng)).collect(),
        target_skus: (0..rng.random_range(0..3)).map(|_| sku(rng)).collect(),
        etag: match rng.random_range(0..6) {
            0 => version,
            1 => Some(1),
            _ => None,
        },
        validate_only: rng.random_bool(0.1),
    }
}

pub(crate) fn unit(rng: &mut StdRng) -> Option<Unit> {
    rng.random_ratio(1, 8).then(|| {
        if rng.random_bool(0.5) {
            Unit::Each
        } else {
            Unit::Kilogram
        }
    })
}

pub(crate) fn adjustment(rng: &mut StdRng, model: &Model) -> Adjustment {
    let damage = rng.random_bool(0.15);
    let back = rng.random_bool(0.3);
    let quantity = quantity(rng) * if damage { 1 } else { 3 };
    Adjustment {
        sku: sku(rng),
        store_id: store_id(rng),
        delta: if back { -quantity } else { quantity },
        unit: unit(rng),
        reason: if damage {
            MoveReason::Damage
        } else {
            MoveReason::Correction
        },
        occurred: time(rng, now(model)),
    }
}

pub(crate) fn count(rng: &mut StdRng, model: &Model) -> Count {
    Count {
        sku: sku(rng),
        store_id: store_id(rng),
        on_hand: rng.random_range(0..40) * 500,
        unit: unit(rng),
        safety: rng.random_bool(0.2).then(|| rng.random_range(0..3) * 1000),
        as_of: time(rng, now(model)),
    }
}

pub(crate) fn delivery_id(rng: &mut StdRng) -> Arc<str> {
    format!("D{}", rng.random_range(0..6)).into()
}

fn inbound_lines(rng: &mut StdRng, least: usize) -> Vec<InboundLineDraft> {
    let line = |rng: &mut StdRng| InboundLineDraft {
        sku: sku(rng),
        quantity: quantity(rng),
        unit: None,
    };
    let lines = rng.random_range(least..4);
    (0..lines).map(|_| line(rng)).collect()
}

pub(crate) fn delivery(rng: &mut StdRng, model: &Model) -> InboundDraft {
    InboundDraft {
        delivery_id: delivery_id(rng),
        store_id: store_id(rng),
        from_store_id: rng.random_bool(0.4).then(|| store_id(rng)),
        expected: now(model).plus_ms(rng.random_range(0..3) * 3_600_000),
        lines: inbound_lines(rng, 1),
        occurred: time(rng, now(model)),
    }
}

pub(crate) fn receipt(rng: &mut StdRng, model: &Model) -> ReceiptDraft {
    ReceiptDraft {
        delivery_id: delivery_id(rng),
        lines: inbound_lines(rng, 0),
        complete: rng.random_bool(0.2),
        occurred: time(rng, now(model)),
    }
}

pub(crate) fn store_price(rng: &mut StdRng) -> FactDraft {
    FactDraft::Price {
        sku: sku(rng),
        store_id: store_id(rng),
        price: rng.random_bool(0.8).then(|| Money {
            currency: Currency::EUR,
            minor: rng.random_range(0..500),
        }),
    }
}

pub(crate) fn fact(rng: &mut StdRng) -> FactDraft {
    if rng.random_bool(0.2) {
        return store_price(rng);
    }
    FactDraft::Buffer {
        store_id: rng.random_bool(0.5).then(|| store_id(rng)),
        scope: match rng.random_range(0..4) {
            0 => ScopeDraft::Everything,
            1 => ScopeDraft::Category("Cibo".into()),
            2 => ScopeDraft::Category("Cibo > Pane".into()),
            _ => ScopeDraft::Sku(sku(rng)),
        },
        quantity: rng.random_bool(0.7).then(|| rng.random_range(0..3) * 500),
        unit: None,
    }
}

pub(crate) fn reserve(rng: &mut StdRng, checkout: bool) -> Reserve {
    let wanted = |i: u32, rng: &mut StdRng| WantedLine {
        line_id: i.to_string().into(),
        sku: SkuId(rng.random_range(0..SKUS)),
        quantity: quantity(rng),
    };
    let lines = (0..rng.random_range(1..4))
        .map(|i| wanted(i, rng))
        .collect();
    let first = rng.random_range(0..STORES);
    let near_time = rng.random_ratio(1, 4);
    let candidate = |n: u32| Candidate {
        store: StoreId((first + n) % STORES),
        distance_mm: u64::from(n),
        method: Default::default(),
        near_time,
    };
    let candidates = if rng.random_ratio(1, 15) {
        0
    } else {
        rng.random_range(1..=STORES)
    };
    let second = 1000;
    Reserve {
        order_id: if checkout {
            checkout_id(rng)
        } else {
            format!("order {}", rng.random_range(0..8)).into()
        },
        lines,
        candidates: (0..candidates).map(candidate).collect(),
        hold_ms: [second, 10 * second, 900 * second][rng.random_range(0..3)]
            * rng.random_range(1..4),
        checkout_revision: checkout.then(|| rng.random_range(1..5)),
        sought: rng.random_bool(0.8).then(|| Sought {
            origin: Point::new(9.0 + f64::from(first) / 100.0, 45.0),
            // From one store to the next it is 786 m.
            limit_mm: [1_000_000, 50_000_000][rng.random_range(0..2)],
        }),
        otherwise: Default::default(),
        parts: Vec::new(),
        slot_start: Default::default(),
    }
}

/// A hold in one to three parts, mostly of what is there, some of them perhaps at the same store.
pub(crate) fn reserve_parts(rng: &mut StdRng, model: &Model) -> Reserve {
    let there: Vec<(u32, u32)> = model
        .cells
        .keys()
        .copied()
        .filter(|cell| model.available(*cell) > 0)
        .collect();
    let mut reserve = reserve(rng, false);
    reserve.candidates.clear();
    for line in &mut reserve.lines {
        let known = !there.is_empty() && rng.random_ratio(7, 8);
        let (sku, store) = if known {
            there[rng.random_range(0..there.len())]
        } else {
            (rng.random_range(0..SKUS), rng.random_range(0..STORES))
        };
        line.sku = SkuId(sku);
        line.quantity = rng.random_range(1..3) * 500;
        let candidate = Candidate {
            near_time: false,
            store: StoreId(store),
            distance_mm: u64::from(sku),
            method: Default::default(),
        };
        let lines = Vec::new();
        reserve.parts.push(PartCandidate { candidate, lines });
    }
    // Now and then two lines are one part.
    for at in 0..reserve.parts.len() {
        let own = reserve.parts[at].candidate.store;
        let mut same = reserve.parts[..at].iter();
        let earlier = same.position(|part| part.candidate.store == own && !part.lines.is_empty());
        let part = earlier.filter(|_| rng.random_bool(0.5)).unwrap_or(at);
        reserve.parts[part].lines.push(at);
    }
    reserve.parts.retain(|part| !part.lines.is_empty());
    reserve
}

/// A step of an order: mostly of one of the latest, with lines it mostly has.
pub(crate) fn order(rng: &mut StdRng, model: &Model) -> OrderCommand {
    // Of those that hold stock, so that orders come far.
    let live: Vec<ReservationId> = model
        .reservations
        .values()
        .filter(|r| r.holds_stock() || rng.random_ratio(1, 20))
        .map(|r| r.id)
        .collect();
    let id = if live.is_empty() || rng.random_ratio(1, 6) {
        reservation(rng, model)
    } else {
        live[rng.random_range(0..live.len())]
    };
    let current = model.reservations.get(&id.0);
    let etag = rng.random_ratio(1, 8).then(|| {
        let version = current.map_or(1, |r| r.version.0);
        Sequence(version + rng.random_range(0..2))
    });
    let line = |rng: &mut StdRng| -> Arc<str> {
        let own = current.filter(|_| rng.random_ratio(2, 3));
        match own.map_or(&[][..], |r| &r.lines) {
            [] => rng.random_range(0..4).to_string().into(),
            lines => Arc::clone(&lines[rng.random_range(0..lines.len())].line_id),
        }
    };
    let payment = |rng: &mut StdRng| {
        [
            PaymentState::Unpaid,
            PaymentState::Authorised,
            PaymentState::Paid,
        ][rng.random_range(0..3)]
    };
    let step = match rng.random_range(0..16) {
        0..3 => OrderStep::Confirm(Terms {
            payment: payment(rng),
            handover: HandoverKind::Locker,
        }),
        3 => OrderStep::Extend {
            hold_ms: 1000 * rng.random_range(1..5000),
        },
        4 => OrderStep::Acknowledge,
        5 => OrderStep::StartPicking,
        6..8 => OrderStep::MarkReady,
        8..11 => {
            let goods = |rng: &mut StdRng| {
                let quantity = rng.random_bool(0.7).then(|| rng.random_range(1..4) * 500);
                (line(rng), quantity)
            };
            OrderStep::HandOver(HandOver {
                lines: (0..rng.random_range(0..3)).map(|_| goods(rng)).collect(),
                code: match rng.random_range(0..4) {
                    0 => "".into(),
                    1 => "WRONG".into(),
                    _ => {
                        let from = current.map_or(id, |r| r.code_from());
                        pickup_code::code(&INDEX_KEY, from).into()
                    }
                },
                without_code: rng.random_bool(0.5),
                is_last: rng.random_ratio(1, 5),
                payment: rng.random_bool(0.3).then(|| payment(rng)),
            })
        }
        11 => OrderStep::MarkShipped(Shipment {
            carrier: "BRT".into(),
            tracking_number: "".into(),
        }),
        12 => OrderStep::PutBack,
        _ => {
            let problems = [
                PickProblem::NotFound,
                PickProblem::Damaged,
                PickProblem::Declined,
            ];
            let found = |rng: &mut StdRng| FoundLine {
                line_id: line(rng),
                found: rng.random_range(0..3) * 500,
                problem: problems[rng.random_range(0..3)],
            };
            OrderStep::PickException(PickException {
                lines: (0..rng.random_range(1..3)).map(|_| found(rng)).collect(),
                move_to_next: rng.random_bool(0.6),
                max_options: rng.random_range(1..4),
            })
        }
    };
    OrderCommand { id, etag, step }
}

pub(crate) fn order_id(rng: &mut StdRng) -> Arc<str> {
    format!("order {}", rng.random_range(0..8)).into()
}

pub(crate) fn sale(rng: &mut StdRng, model: &Model) -> SaleDraft {
    let kind = [
        SaleKind::Sale,
        SaleKind::Sale,
        SaleKind::Sale,
        SaleKind::Sale,
        SaleKind::Return,
        SaleKind::PostVoid,
        SaleKind::Neutral,
    ][rng.random_range(0..7)];
    SaleDraft {
        kind,
        store_id: store_id(rng),
        workstation: "1".into(),
        business_day: "2026-11-22".into(),
        number: rng.random_range(0..100),
        paid: if rng.random_bool(0.3) {
            time(rng, now(model))
        } else {
            None
        },
        lines: (0..rng.random_range(0..4))
            .map(|_| line(rng, model))
            .collect(),
        identifiers: identifiers(rng, 2),
        tenders: vec![(
            "cash".into(),
            Money {
                currency: Currency::EUR,
                minor: 100,
            },
        )],
        fiscal_document: "".into(),
        fiscal_device: "".into(),
        operator: "".into(),
        offline: false,
        training: false,
    }
}

pub(crate) fn line(rng: &mut StdRng, model: &Model) -> SaleLineDraft {
    let n = rng.random_range(0..=SKUS);
    let embedded = |rng: &mut StdRng| -> SmallVec<[(Arc<str>, Embedded); 1]> {
        let value = if rng.random_bool(0.5) {
            Embedded::Weight(Thousandths(rng.random_range(1..3000)))
        } else {
            Embedded::PriceMinor(rng.random_range(1..2000))
        };
        smallvec![(format!("{n:05}").into(), value)]
    };
    let item = match rng.random_range(0..10) {
        0..7 => ItemDraft::Sku(sku(rng)),
        7 => ItemDraft::Scanned {
            code: "gtin".into(),
            gtin: Some(u64::from(n) + 1000),
            embedded: smallvec![],
        },
        _ => ItemDraft::Scanned {
            code: "weighed".into(),
            gtin: None,
            embedded: embedded(rng),
        },
    };
    let currency = if rng.random_bool(0.9) {
        Currency::EUR
    } else {
        Currency::parse("CHF").unwrap_or(Currency::EUR)
    };
    SaleLineDraft {
        item,
        quantity: rng.random_bool(0.8).then(|| rng.random_range(-1..4) * 500),
        net: rng.random_bool(0.3).then(|| Money {
            currency,
            minor: rng.random_range(-500..5000),
        }),
        offer_ids: if rng.random_bool(0.2) {
            smallvec![offer_id(rng)]
        } else {
            smallvec![]
        },
        reservation: rng.random_bool(0.3).then(|| reservation(rng, model)),
    }
}
