//! Stores, products, stock, customers and offers of a given size.

use std::sync::Arc;

use geo::Point;
use jiff::tz::TimeZone;
use tillside_engine::apply::{Touched, apply};
use tillside_engine::catalog::{CategoryId, Product, Store, StoreState};
use tillside_engine::ctx::Ctx;
use tillside_engine::customer::{Consent, KnownIdentifier, Personal, Purpose, Relation};
use tillside_engine::event::Event;
use tillside_engine::identity::{Identifier, IdentifierKind, IndexKey};
use tillside_engine::ids::{CustomerId, Sequence, SkuId, StoreId};
use tillside_engine::offer::{ComputedBy, OfferTerms, Reward};
use tillside_engine::state::State;
use tillside_engine::units::{Currency, Money, Time, Unit};

/// 2026-11-23T09:00:00Z.
pub const NOW: Time = Time(1_795_424_400_000);

/// Every world grows from it.
pub const SEED: u64 = 20_261_123;

/// Events applied together while building: bounds the rows noted in between.
const EVENTS_PER_BATCH: usize = 4096;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Stores, spread over Italy.
    pub stores: u32,
    /// Products.
    pub products: u32,
    /// Customers with a card and an e-mail address each.
    pub customers: u64,
    /// Active offers.
    pub offers: u32,
}

/// Seeded numbers (splitmix64): the same everywhere.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Numbers(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next number below `bound`, which is positive.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// The next number between `from` and `to`.
    pub fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A state and what it was made of.
#[derive(Debug)]
pub struct World {
    /// The engine's state.
    pub state: State,
    /// What it was made of.
    pub size: Size,
}

/// How common a product is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Common {
    /// The first tenth of the products: four of five stores have it.
    Usual,
    /// The next four tenths: one store of ten.
    Rare,
    /// The last half: one store of a hundred.
    Scarce,
}

impl World {
    /// Builds a world.
    pub fn new(size: Size) -> Self {
        let world = World {
            state: State::default(),
            size,
        };
        world.put(events(size));
        world
    }

    /// How common a product is.
    pub fn common(&self, sku: SkuId) -> Common {
        common(self.size, sku.0)
    }

    /// A product of a kind.
    pub fn some_sku(&self, numbers: &mut Numbers, kind: Common) -> SkuId {
        let products = u64::from(self.size.products);
        let (from, to) = match kind {
            Common::Usual => (0, products / 10),
            Common::Rare => (products / 10, products / 2),
            Common::Scarce => (products / 2, products),
        };
        SkuId((from + numbers.below((to - from).max(1))) as u32)
    }

    /// The context of the next command.
    pub fn next_ctx(&self) -> Ctx {
        Ctx {
            seq: Sequence(self.state.counters().sequence.0 + 1),
            now: NOW,
        }
    }

    fn put(&self, events: impl Iterator<Item = Event>) {
        let mut touched = Touched::default();
        let mut batch = Vec::with_capacity(EVENTS_PER_BATCH);
        let mut events = events.peekable();
        while events.peek().is_some() {
            batch.extend(events.by_ref().take(EVENTS_PER_BATCH));
            apply(&self.state, &batch, &self.next_ctx(), &mut touched);
            batch.clear();
            touched.clear();
        }
    }
}

/// What makes a world of a size, in order.
pub fn events(size: Size) -> impl Iterator<Item = Event> {
    let category = |i: u32| Event::CategoryAdded {
        id: CategoryId(i),
        path: category_path(i).into(),
    };
    (0..size.stores)
        .map(store_put)
        .chain((0..CATEGORIES).map(category))
        .chain((0..size.products).map(product_put))
        .chain(stock(size))
        .chain((0..size.customers).map(customer_put))
        .chain((0..size.offers).map(offer_put))
}

/// Categories of two levels.
const CATEGORIES: u32 = 200;

fn category_path(i: u32) -> String {
    format!("Department {} > Group {i}", i / 20)
}

/// The SKU of a product.
pub fn sku_name(i: u32) -> String {
    format!("P{i:06}")
}

/// The card of a customer: eleven digits, so that it is in its normal form already.
pub fn card_number(i: u64) -> String {
    format!("70{i:09}")
}

/// The key of the identifier index.
pub fn index_key() -> IndexKey {
    IndexKey([7; 32])
}

fn numbers_of(kind: &str, i: u64) -> Numbers {
    let kind = kind
        .bytes()
        .fold(SEED, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)));
    Numbers::new(kind ^ i.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn store_put(i: u32) -> Event {
    let mut numbers = numbers_of("store", u64::from(i));
    let store = Store {
        store_id: i.to_string().into(),
        display_name: format!("Store {i}").into(),
        location: Point::new(numbers.between(7.0, 17.5), numbers.between(37.0, 46.5)),
        time_zone: TimeZone::get("Europe/Rome").unwrap_or(TimeZone::UTC),
        opening: Vec::new(),
        state: StoreState::Open,
        town: "".into(),
        province: "".into(),
        travel_zone: "".into(),
        country: "IT".into(),
        patience: Default::default(),
        version: Sequence(1),
        location_terms: Default::default(),
    };
    Event::StorePut {
        id: StoreId(i),
        store: Arc::new(store),
    }
}

fn product_put(i: u32) -> Event {
    let product = Product {
        sku: sku_name(i).into(),
        display_name: format!("Product {i}").into(),
        category: Some(CategoryId(i % CATEGORIES)),
        brand: "".into(),
        unit: Unit::Each,
        gtins: vec![8_000_000_000_000 + u64::from(i)],
        plu: "".into(),
        list_price: Some(Money {
            currency: Currency::EUR,
            minor: 99 + i64::from(i % 900),
        }),
        vat_rate_basis_points: 2200,
        promotion_restricted: i % 100 == 99,
        version: Sequence(1),
    };
    Event::ProductPut {
        id: SkuId(i),
        product: Arc::new(product),
    }
}

fn common(size: Size, sku: u32) -> Common {
    if sku < size.products / 10 {
        Common::Usual
    } else if sku < size.products / 2 {
        Common::Rare
    } else {
        Common::Scarce
    }
}

fn stock(size: Size) -> impl Iterator<Item = Event> {
    (0..size.products).flat_map(move |sku| {
        let mut numbers = numbers_of("stock", u64::from(sku));
        let percent = match common(size, sku) {
            Common::Usual => 80,
            Common::Rare => 10,
            Common::Scarce => 1,
        };
        (0..size.stores).filter_map(move |store| {
            // Far more than the measured holds take, so that the last iteration sees what the first saw.
            let (has, pieces) = (
                numbers.below(100) < percent,
                1_000_000 + numbers.below(100) as i64,
            );
            has.then_some(Event::StockCounted {
                sku: SkuId(sku),
                store: StoreId(store),
                on_hand: pieces * 1000,
                safety: None,
                as_of: Time(NOW.0 - 86_400_000),
            })
        })
    })
}

fn customer_put(i: u64) -> Event {
    let identifiers = [
        Identifier {
            kind: IdentifierKind::LoyaltyCard,
            value: card_number(i),
        },
        Identifier {
            kind: IdentifierKind::Email,
            value: format!("customer{i}@example.com"),
        },
    ];
    let key = index_key();
    let hashes = identifiers
        .iter()
        .map(|identifier| key.hash(identifier))
        .collect();
    let known = |identifier: Identifier| KnownIdentifier {
        identifier,
        verified: None,
        source: String::new(),
    };
    let personal = Personal {
        customer_id: format!("C{i}"),
        identifiers: identifiers.into_iter().map(known).collect(),
        ..Personal::default()
    };
    let consent = Consent {
        purpose: Purpose::Profiling,
        granted: true,
        decided: NOW,
        notice_version: "1".into(),
    };
    let relation = Relation {
        consents: [consent].into_iter().collect(),
        version: Sequence(1),
        ..Relation::default()
    };
    Event::CustomerPut {
        id: CustomerId(i + 1),
        personal: Some(Arc::new(personal)),
        relation: Arc::new(relation),
        identifiers: hashes,
        created: true,
    }
}

fn offer_put(i: u32) -> Event {
    let mut numbers = numbers_of("offer", u64::from(i));
    // A third for everything, a third for a category, a third for twenty products.
    let target_categories = if i % 3 == 1 {
        vec![category_path(i % CATEGORIES).into()]
    } else {
        Vec::new()
    };
    let mut target_skus: Vec<SkuId> = match i % 3 {
        2 => (0..20)
            .map(|_| SkuId(numbers.below(1_000) as u32))
            .collect(),
        _ => Vec::new(),
    };
    target_skus.sort_unstable();
    target_skus.dedup();
    let terms = OfferTerms {
        offer_id: format!("offer-{i:04}").into(),
        display_name: "".into(),
        text: "".into(),
        promotion_code: "".into(),
        computed_by: ComputedBy::Till,
        start: Some(Time(NOW.0 - 86_400_000)),
        end: Some(Time(NOW.0 + 86_400_000)),
        stores: Vec::new(),
        channels: Vec::new(),
        segments: Vec::new(),
        minimum_basket: (i.is_multiple_of(5)).then_some(Money {
            currency: Currency::EUR,
            minor: 1_000,
        }),
        required_consents: Vec::new(),
        target_skus,
        target_categories,
        target_in_basket: false,
        reward: Reward::PercentOff(500 + 100 * (i % 20)),
        value: Money {
            currency: Currency::EUR,
            minor: 50 + numbers.below(500) as i64,
        },
        base_propensity_ppm: 10_000 + numbers.below(200_000) as u32,
        lever_thousandths: 1_000,
    };
    Event::OfferPut {
        terms: Arc::new(terms),
    }
}
