//! Short ways to write down commands. Quantities are whole pieces and amounts cents unless a name says otherwise.

use std::sync::Arc;

use geo::Point;
use jiff::tz::TimeZone;
use tillside_engine::barcode::{BarcodeMask, parse_gtin};
use tillside_engine::catalog::{Patience, Product, Store, StoreState};
use tillside_engine::command::{
    Adjustment, Candidate, Command, ContactsChange, Count, CustomerChange, CustomerDraft, Ingest,
    IngestPayload, ItemDraft, OfferDraft, PartCandidate, ProductDraft, Reserve, SaleDraft,
    SaleLineDraft, SeenIdentifier, WantedLine,
};
use tillside_engine::customer::{Consent, KnownIdentifier, Purpose};
use tillside_engine::identity::{IdentifierKind, IdentityRules, IndexKey, first_128_bits};
use tillside_engine::ids::{BusinessKey, IdentifierHash, ReservationId, Sequence};
use tillside_engine::limits::HOLD_MS_DEFAULT;
use tillside_engine::location_terms::Method;
use tillside_engine::offer::{ComputedBy, OfferTerms, Reward};
use tillside_engine::order::Sought;
use tillside_engine::reply::Reply;
use tillside_engine::reservation::Reservation;
use tillside_engine::sale::SaleKind;
use tillside_engine::stock::MoveReason;
use tillside_engine::units::{Currency, Money, Time, Unit};

use super::World;

pub(crate) fn eur(minor: i64) -> Money {
    Money {
        currency: Currency::EUR,
        minor,
    }
}

pub(crate) fn store_at(id: &str, latitude: f64, longitude: f64) -> Store {
    Store {
        store_id: id.into(),
        display_name: "".into(),
        location: Point::new(longitude, latitude),
        time_zone: TimeZone::get("Europe/Rome").expect("a zone of the bundled database"),
        opening: Vec::new(),
        state: StoreState::Open,
        town: "".into(),
        province: "".into(),
        travel_zone: "".into(),
        country: "IT".into(),
        patience: Patience::default(),
        version: Sequence(0),
        location_terms: Default::default(),
    }
}

pub(crate) fn product(sku: &str, price_cents: i64) -> ProductDraft {
    let product = Product {
        sku: sku.into(),
        display_name: "".into(),
        category: None,
        brand: "".into(),
        unit: Unit::Each,
        gtins: Vec::new(),
        plu: "".into(),
        list_price: Some(eur(price_cents)),
        vat_rate_basis_points: 2200,
        promotion_restricted: false,
        version: Sequence(0),
    };
    ProductDraft {
        product,
        category_path: "".into(),
    }
}

pub(crate) fn in_category(sku: &str, price_cents: i64, path: &str) -> ProductDraft {
    ProductDraft {
        category_path: path.into(),
        ..product(sku, price_cents)
    }
}

/// Key of the identifier index in these tests.
pub(crate) const INDEX_KEY: IndexKey = IndexKey([7; 32]);

/// An identifier as a touchpoint sees it, normalised by the default rules.
pub(crate) fn seen(kind: IdentifierKind, value: &str) -> SeenIdentifier {
    let identifier = IdentityRules::default()
        .normalise(kind, value)
        .expect("a good identifier");
    let hash = INDEX_KEY.hash(&identifier);
    let known = KnownIdentifier {
        identifier,
        verified: None,
        source: "test".into(),
    };
    SeenIdentifier { hash, known }
}

pub(crate) fn card(value: &str) -> SeenIdentifier {
    seen(IdentifierKind::LoyaltyCard, value)
}

pub(crate) fn email(value: &str) -> SeenIdentifier {
    seen(IdentifierKind::Email, value)
}

pub(crate) fn phone(value: &str) -> SeenIdentifier {
    seen(IdentifierKind::Phone, value)
}

/// What recognition gets of an identifier.
pub(crate) fn key(seen: &SeenIdentifier) -> (IdentifierKind, IdentifierHash) {
    (seen.known.identifier.kind, seen.hash)
}

/// A person to enrol. As the edge does it, a customer_id is among the identifiers too.
pub(crate) fn person(customer_id: &str, identifiers: &[SeenIdentifier]) -> CustomerDraft {
    let own = (!customer_id.is_empty()).then(|| seen(IdentifierKind::CustomerId, customer_id));
    CustomerDraft {
        customer_id: customer_id.into(),
        identifiers: own.into_iter().chain(identifiers.iter().cloned()).collect(),
        ..CustomerDraft::default()
    }
}

/// A change that changes nothing yet.
pub(crate) fn change_of(customer_id: &str) -> CustomerChange {
    CustomerChange {
        customer: seen(IdentifierKind::CustomerId, customer_id).hash,
        contacts: ContactsChange::default(),
        consents: Vec::new(),
        preferred_store_id: None,
        segments: None,
        identifiers: Vec::new(),
        etag: None,
    }
}

pub(crate) fn consent(purpose: Purpose, granted: bool, decided: Time) -> Consent {
    Consent {
        purpose,
        granted,
        decided,
        notice_version: "1".into(),
    }
}

pub(crate) fn business_key(text: &str) -> BusinessKey {
    BusinessKey(first_128_bits(&blake3::hash(text.as_bytes())))
}

pub(crate) fn event(id: &str, payload: IngestPayload) -> Command {
    let keys = [business_key(&format!("event {id}"))].into_iter().collect();
    Command::Ingest(Box::new(Ingest {
        keys,
        occurred: None,
        position: None,
        payload,
    }))
}

/// A receipt of till 1, without lines and customer.
pub(crate) fn receipt(store: &str, number: i64) -> SaleDraft {
    SaleDraft {
        kind: SaleKind::Sale,
        store_id: store.into(),
        workstation: "1".into(),
        business_day: "2026-11-23".into(),
        number,
        paid: None,
        lines: Vec::new(),
        identifiers: Vec::new(),
        tenders: Vec::new(),
        fiscal_document: "".into(),
        fiscal_device: "".into(),
        operator: "".into(),
        offline: false,
        training: false,
    }
}

/// A receipt's own key, as the edge makes it.
pub(crate) fn receipt_key(sale: &SaleDraft) -> BusinessKey {
    let SaleDraft {
        store_id,
        workstation,
        business_day,
        number,
        ..
    } = sale;
    business_key(&format!(
        "receipt {store_id}/{workstation}/{business_day}/{number}"
    ))
}

pub(crate) fn sale_event(event_id: &str, sale: SaleDraft, occurred: Option<Time>) -> Command {
    let keys = [
        business_key(&format!("event {event_id}")),
        receipt_key(&sale),
    ]
    .into_iter()
    .collect();
    Command::Ingest(Box::new(Ingest {
        keys,
        occurred,
        position: None,
        payload: IngestPayload::Sale(sale),
    }))
}

/// `pieces` and `cents` are negative in returns and voids: the edge turns them.
pub(crate) fn line(sku: &str, pieces: i64, cents: i64) -> SaleLineDraft {
    SaleLineDraft {
        item: ItemDraft::Sku(sku.into()),
        quantity: Some(pieces * 1000),
        net: Some(eur(cents)),
        offer_ids: [].into_iter().collect(),
        reservation: None,
    }
}

pub(crate) fn settling(sku: &str, pieces: i64, reservation: ReservationId) -> SaleLineDraft {
    SaleLineDraft {
        reservation: Some(reservation),
        ..line(sku, pieces, 100)
    }
}

/// A line a scanner read, with neither quantity nor amount.
pub(crate) fn scanned(code: &str, masks: &[&str]) -> SaleLineDraft {
    let decode = |mask: &&str| {
        let mask = BarcodeMask::parse(mask).expect("a good mask");
        mask.decode(code)
            .map(|(item, value)| (Arc::from(item), value))
    };
    let item = ItemDraft::Scanned {
        code: code.into(),
        gtin: parse_gtin(code),
        embedded: masks.iter().filter_map(decode).collect(),
    };
    SaleLineDraft {
        item,
        quantity: None,
        net: None,
        ..line("", 1, 0)
    }
}

pub(crate) fn count_of(sku: &str, store: &str, pieces: i64) -> Count {
    Count {
        sku: sku.into(),
        store_id: store.into(),
        on_hand: pieces * 1000,
        unit: None,
        safety: None,
        as_of: None,
    }
}

pub(crate) fn count(sku: &str, store: &str, pieces: i64) -> Command {
    Command::SetStockCount(count_of(sku, store, pieces))
}

pub(crate) fn movement(sku: &str, store: &str, pieces: i64) -> Adjustment {
    Adjustment {
        sku: sku.into(),
        store_id: store.into(),
        delta: pieces * 1000,
        unit: None,
        reason: MoveReason::Correction,
        occurred: None,
    }
}

pub(crate) fn adjust(sku: &str, store: &str, pieces: i64) -> Command {
    Command::AdjustStock(movement(sku, store, pieces))
}

/// An offer without conditions: 10 % off everything.
pub(crate) fn offer(id: &str) -> OfferDraft {
    let terms = OfferTerms {
        offer_id: id.into(),
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
        target_categories: Vec::new(),
        target_in_basket: false,
        reward: Reward::PercentOff(1000),
        value: eur(100),
        base_propensity_ppm: 100_000,
        lever_thousandths: 1000,
    };
    OfferDraft {
        terms,
        store_ids: Vec::new(),
        target_skus: Vec::new(),
        etag: None,
        validate_only: false,
    }
}

/// One part of a split: the store, how, and positions of lines.
pub(crate) type Part<'a> = (&'a str, Method, &'a [usize]);

pub(crate) fn split(
    world: &World,
    order: &str,
    lines: &[(&str, i64)],
    parts: &[Part<'_>],
) -> Reserve {
    let part = |(store, method, lines): &Part<'_>| PartCandidate {
        candidate: Candidate {
            near_time: false,
            store: world.store(store),
            distance_mm: 7,
            method: *method,
        },
        lines: lines.to_vec(),
    };
    Reserve {
        parts: parts.iter().map(part).collect(),
        ..world.reserve(order, lines, &[])
    }
}

impl World {
    /// Stores A, B and C on one meridian north of Milan, 10 km from one to the next, and products p1, p2 and p3 at
    /// 1, 2 and 3 euros.
    pub(crate) fn shop() -> Self {
        let mut world = World::new();
        let stores = ["A", "B", "C"].iter().zip([45.0, 45.09, 45.18]);
        world.ok(Command::PutStores(
            stores.map(|(id, lat)| store_at(id, lat, 9.0)).collect(),
        ));
        world.ok(Command::PutProducts(vec![
            product("p1", 100),
            product("p2", 200),
            product("p3", 300),
        ]));
        world
    }

    pub(crate) fn wanted(&self, lines: &[(&str, i64)]) -> Vec<WantedLine> {
        let wanted = |(i, (sku, pieces)): (usize, &(&str, i64))| WantedLine {
            line_id: i.to_string().into(),
            sku: self.sku(sku),
            quantity: pieces * 1000,
        };
        lines.iter().enumerate().map(wanted).collect()
    }

    pub(crate) fn reserve(&self, order: &str, lines: &[(&str, i64)], stores: &[&str]) -> Reserve {
        Reserve {
            order_id: order.into(),
            lines: self.wanted(lines),
            candidates: stores
                .iter()
                .map(|s| Candidate {
                    store: self.store(s),
                    distance_mm: 0,
                    method: Default::default(),
                    near_time: false,
                })
                .collect(),
            hold_ms: HOLD_MS_DEFAULT,
            checkout_revision: None,
            sought: Some(Sought {
                origin: Point::new(9.0, 45.0),
                limit_mm: 50_000_000,
            }),
            slot_start: None,
            otherwise: Default::default(),
            parts: Vec::new(),
        }
    }

    /// Holds for an order; must succeed.
    pub(crate) fn hold(
        &mut self,
        order: &str,
        lines: &[(&str, i64)],
        stores: &[&str],
    ) -> Arc<Reservation> {
        let reserve = self.reserve(order, lines, stores);
        match self.ok(Command::Reserve(reserve)) {
            Reply::Reservation(reservation) => reservation,
            other => panic!("{other:?}"),
        }
    }

    /// Takes a receipt; must be new.
    pub(crate) fn sell(&mut self, sale: SaleDraft) -> Reply {
        let id = format!("{}/{}", sale.store_id, sale.number);
        self.ok(sale_event(&id, sale, None))
    }
}
