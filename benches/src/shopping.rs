//! What people do in the world that is measured: show a card, fill a basket, pay, look for a store, hold.

use std::sync::Arc;

use geo::Point;
use smallvec::SmallVec;
use tillside_engine::command::{
    Candidate, Command, Ingest, IngestPayload, ItemDraft, Reserve, SaleDraft, SaleLineDraft,
    SeenIdentifier, WantedLine,
};
use tillside_engine::customer::KnownIdentifier;
use tillside_engine::eligibility::BasketItem;
use tillside_engine::identity::{Identifier, IdentifierKind};
use tillside_engine::ids::{BusinessKey, IdentifierHash, StoreId};
use tillside_engine::routing::PlanQuery;
use tillside_engine::sale::SaleKind;
use tillside_engine::units::{Currency, Money};

use crate::world::{Common, NOW, Numbers, World, card_number, index_key, sku_name};

/// The index entry of a customer's card.
pub fn card(customer: u64) -> (IdentifierKind, IdentifierHash) {
    let identifier = Identifier {
        kind: IdentifierKind::LoyaltyCard,
        value: card_number(customer),
    };
    (identifier.kind, index_key().hash(&identifier))
}

/// A basket of distinct products, as routing and holds want it.
pub fn wanted(world: &World, numbers: &mut Numbers, kinds: &[Common]) -> Vec<WantedLine> {
    let line = |(i, kind): (usize, &Common)| WantedLine {
        line_id: i.to_string().into(),
        sku: world.some_sku(numbers, *kind),
        quantity: 1000,
    };
    kinds.iter().enumerate().map(line).collect()
}

/// A basket at the till.
pub fn basket(world: &World, numbers: &mut Numbers, lines: usize) -> Vec<BasketItem> {
    let mut item = |_| BasketItem {
        sku: Some(world.some_sku(numbers, Common::Usual)),
        quantity: 1000,
        net: Money {
            currency: Currency::EUR,
            minor: 100 + numbers.below(2_000) as i64,
        },
        vat_rate_basis_points: 2200,
    };
    (0..lines).map(&mut item).collect()
}

/// Where a shopper stands.
pub fn place(numbers: &mut Numbers) -> Point<f64> {
    Point::new(numbers.between(7.0, 17.5), numbers.between(37.0, 46.5))
}

/// The question for the five nearest stores within 50 km.
pub fn question<'a>(origin: Point<f64>, lines: &'a [WantedLine]) -> PlanQuery<'a> {
    PlanQuery {
        origin,
        lines,
        limit_mm: 50_000_000,
        max_options: 5,
        require_open_now: false,
        only_store: None,
        now: NOW,
        own: Default::default(),
        travel_zone: None,
        by: Default::default(),
    }
}

/// A hold of three usual products at one of eight stores.
pub fn reserve(world: &World, numbers: &mut Numbers, order: u64) -> Command {
    let stores = u64::from(world.size.stores);
    let candidates = (0..8).map(|_| Candidate {
        near_time: false,
        store: StoreId(numbers.below(stores) as u32),
        distance_mm: 0,
        method: Default::default(),
    });
    let candidates: SmallVec<[Candidate; 8]> = candidates.collect();
    Command::Reserve(Reserve {
        order_id: format!("order-{order}").into(),
        lines: wanted(world, numbers, &[Common::Usual; 3]),
        candidates,
        hold_ms: 900_000,
        checkout_revision: None,
        sought: None,
        slot_start: None,
        otherwise: Default::default(),
        parts: Vec::new(),
    })
}

/// A receipt of ten lines, of a known customer seven times of ten.
pub fn sale(world: &World, numbers: &mut Numbers, number: u64) -> Command {
    let line = |numbers: &mut Numbers| SaleLineDraft {
        item: ItemDraft::Sku(sku_name(world.some_sku(numbers, Common::Usual).0).into()),
        quantity: Some(1000),
        net: Some(Money {
            currency: Currency::EUR,
            minor: 100 + numbers.below(2_000) as i64,
        }),
        offer_ids: SmallVec::new(),
        reservation: None,
    };
    let lines = (0..10).map(|_| line(numbers)).collect();
    let known = numbers.below(10) < 7;
    let identifiers = known
        .then(|| seen(numbers.below(world.size.customers.max(1))))
        .into_iter()
        .collect();
    let empty: Arc<str> = "".into();
    let draft = SaleDraft {
        kind: SaleKind::Sale,
        store_id: numbers
            .below(u64::from(world.size.stores))
            .to_string()
            .into(),
        workstation: "1".into(),
        business_day: "2026-11-23".into(),
        number: number as i64,
        paid: Some(NOW),
        lines,
        identifiers,
        tenders: Vec::new(),
        fiscal_document: Arc::clone(&empty),
        fiscal_device: Arc::clone(&empty),
        operator: empty,
        offline: false,
        training: false,
    };
    // The edge makes the keys; any two distinct numbers a receipt will do here.
    let key = |salt: u64| {
        BusinessKey(u128::from(Numbers::new(number ^ salt).draw()) << 64 | u128::from(number))
    };
    let keys = [key(1), key(2 << 32)].into_iter().collect();
    Command::Ingest(Box::new(Ingest {
        keys,
        occurred: Some(NOW),
        position: None,
        payload: IngestPayload::Sale(draft),
    }))
}

fn seen(customer: u64) -> SeenIdentifier {
    let identifier = Identifier {
        kind: IdentifierKind::LoyaltyCard,
        value: card_number(customer),
    };
    let hash = index_key().hash(&identifier);
    SeenIdentifier {
        hash,
        known: KnownIdentifier {
            identifier,
            verified: None,
            source: String::new(),
        },
    }
}
