//! The bytes are those of the messages: for customers, views and outcomes drawn at random, encoded anew and from the cache.

use std::sync::Arc;

use geo::Point;
use prost::Message as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tillside_engine::catalog::{CategoryId, Product, Store, StoreState};
use tillside_engine::customer::{Customer, Personal, Purpose, Relation};
use tillside_engine::identity::{Identifier, IdentifierKind};
use tillside_engine::ids::{CustomerId, Sequence, SkuId, StoreId};
use tillside_engine::profile::{History, Weighted};
use tillside_engine::recognition::recognise;
use tillside_engine::units::Unit;

use super::*;
use crate::convert::checks::Checks;
use crate::convert::identifiers::tests::{identifier as seen, reading};

const SEED: u64 = 20_261_122;
const THINGS: u32 = 12;

/// Often empty, mostly short, sometimes longer than a length of one byte tells.
fn text(rng: &mut StdRng) -> String {
    let length = match rng.random_range(0..10) {
        0..3 => 0,
        3..9 => rng.random_range(1..20),
        _ => rng.random_range(100..400),
    };
    "aèß€ > ".chars().cycle().take(length).collect()
}

fn number(rng: &mut StdRng) -> i64 {
    let shift = rng.random_range(0..64);
    rng.random::<i64>() >> shift
}

/// A time as the checks let one in: between the years 1 and 9999.
fn instant(rng: &mut StdRng) -> Option<Time> {
    rng.random_bool(0.7)
        .then(|| Time(number(rng) % 62_135_596_800_000))
}

fn catalog(rng: &mut StdRng, state: &State) {
    for n in 0..THINGS {
        let store = Store {
            store_id: format!("S{n}").into(),
            display_name: "".into(),
            location: Point::new(9.0, 45.0),
            time_zone: jiff::tz::TimeZone::UTC,
            opening: Vec::new(),
            state: StoreState::Open,
            town: "".into(),
            province: "".into(),
            travel_zone: "".into(),
            country: "".into(),
            patience: Default::default(),
            version: Sequence(0),
            location_terms: Default::default(),
        };
        let product = Product {
            sku: format!("P{n}").into(),
            display_name: text(rng).into(),
            category: None,
            brand: "".into(),
            unit: Unit::Each,
            gtins: Vec::new(),
            plu: "".into(),
            list_price: None,
            vat_rate_basis_points: 0,
            promotion_restricted: false,
            version: Sequence(0),
        };
        state.stores.items.insert(StoreId(n), Arc::new(store));
        state.products.items.insert(SkuId(n), Arc::new(product));
        state
            .category_paths
            .insert(CategoryId(n), text(rng).as_str().into());
    }
}

fn personal(rng: &mut StdRng) -> Personal {
    let known = |rng: &mut StdRng| KnownIdentifier {
        identifier: Identifier {
            kind: IdentifierKind::Phone,
            value: text(rng),
        },
        verified: instant(rng),
        source: text(rng),
    };
    Personal {
        customer_id: text(rng),
        contacts: Contacts {
            given_name: text(rng),
            family_name: text(rng),
            address: text(rng),
            postal_code: text(rng),
            town: text(rng),
            birth_date: text(rng),
            language: text(rng),
        },
        identifiers: (0..rng.random_range(0..4)).map(|_| known(rng)).collect(),
    }
}

fn relation(rng: &mut StdRng) -> Relation {
    let mut relation = Relation {
        provisional: rng.random(),
        preferred_store: rng
            .random_bool(0.5)
            .then(|| StoreId(rng.random_range(0..THINGS + 1))),
        segments: (0..rng.random_range(0..4))
            .map(|_| text(rng).as_str().into())
            .collect(),
        version: Sequence(number(rng).unsigned_abs()),
        ..Relation::default()
    };
    for purpose in [
        Purpose::Profiling,
        Purpose::Marketing,
        Purpose::Analytics,
        Purpose::ThirdParties,
    ] {
        if rng.random_bool(0.7) {
            relation.decide_consent(&Consent {
                purpose,
                granted: rng.random_bool(0.8),
                decided: instant(rng).unwrap_or(Time(0)),
                notice_version: text(rng).into(),
            });
        }
    }
    relation
}

fn history_of(rng: &mut StdRng) -> History {
    // One more than there is: what is not in the catalog is left out.
    let weights = |rng: &mut StdRng| -> Vec<u32> {
        let number = rng.random_range(0..=THINGS + 1);
        (0..number).map(|_| rng.random_range(1..5)).collect()
    };
    let spend = |currency: &str, rng: &mut StdRng| Spend {
        currency: Currency::parse(currency).expect("a currency"),
        net_minor: number(rng) / 1000,
        purchases: rng.random_range(0..4),
    };
    History {
        points: number(rng),
        purchases: rng.random_range(0..4),
        spend: ["CHF", "EUR"][..rng.random_range(0..3)]
            .iter()
            .map(|c| spend(c, rng))
            .collect(),
        first_purchase: instant(rng),
        last_purchase: instant(rng),
        last_store: rng
            .random_bool(0.7)
            .then(|| StoreId(rng.random_range(0..THINGS + 1))),
        aged_to_day: 0,
        products: weights(rng)
            .into_iter()
            .zip(0..)
            .map(|(weight, n)| Weighted {
                item: SkuId(n),
                weight,
            })
            .collect(),
        categories: weights(rng)
            .into_iter()
            .zip(0..)
            .map(|(weight, n)| Weighted {
                item: CategoryId(n),
                weight,
            })
            .collect(),
    }
}

#[test]
fn the_bytes_are_those_of_the_messages() {
    println!("seed {SEED}");
    let mut rng = StdRng::seed_from_u64(SEED);
    let cases = [
        seen(v1::IdentifierType::Email, "null"),
        seen(v1::IdentifierType::Phone, "333 123 4567"),
        seen(v1::IdentifierType::LoyaltyCard, "0400000000015"),
        seen(v1::IdentifierType::Email, "a@b.it"),
    ];
    let (mut outcomes, mut longest) = ([0; 4], 0);
    for case in 0..3000 {
        let (state, profiles) = (State::default(), ProfileCache::default());
        catalog(&mut rng, &state);
        for id in 0..3 {
            let customer = Customer {
                personal: Arc::new(personal(&mut rng)),
                relation: Arc::new(relation(&mut rng)),
                history: history_of(&mut rng),
            };
            state.customers.insert(CustomerId(id), Arc::new(customer));
        }
        state.sequence.store(
            number(&mut rng).unsigned_abs(),
            std::sync::atomic::Ordering::Release,
        );
        let mut checks = Checks::default();
        let lookup = reading().lookup(&mut checks, 1, &cases[..rng.random_range(1..=cases.len())]);
        assert!(checks.finish().is_ok());
        let people = rng.random_range(1..4);
        for (_, hash) in &lookup.entries {
            if rng.random_bool(0.7) {
                let id = CustomerId(rng.random_range(0..people));
                state.identifiers.insert(*hash, id);
            }
        }
        for view in [View::Basic, View::Checkout, View::Full] {
            let found = recognise(&state, &lookup.entries);
            let mut expect = profile::recognition(&state, &found, &lookup, view);
            expect.snapshot_sequence = state.snapshot_sequence().0;
            outcomes[expect.outcome as usize] += 1;
            longest = longest.max(expect.encoded_len());
            for turn in ["anew", "from the cache"] {
                let mut bytes = b"before".to_vec();
                assert!(encode_recognition(
                    &state, &profiles, &lookup, view, &mut bytes
                ));
                assert!(
                    bytes[6..] == expect.encode_to_vec(),
                    "case {case}, {view:?}, {turn}: {expect:?}"
                );
            }
        }
    }
    assert!(outcomes[1..].iter().all(|n| *n > 300), "{outcomes:?}");
    assert!(longest > 4096, "nothing longer than the cache keeps");
}
