//! Memory, disk, a restart and a replay are the same state after any events.

use std::sync::Arc;

use geo::Point;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use smallvec::smallvec;
use tillside_engine::apply::{Touched, apply};
use tillside_engine::catalog::{CategoryId, Product, Store, StoreState};
use tillside_engine::ctx::Ctx;
use tillside_engine::customer::{Consent, Contacts, Personal, Purpose, Relation};
use tillside_engine::event::Event;
use tillside_engine::ids::{
    BusinessKey, CustomerId, IdentifierHash, RequestKey, ReservationId, Sequence, SkuId, StoreId,
};
use tillside_engine::offer::{ComputedBy, OfferTerms, OutcomeType, Reward};
use tillside_engine::reply::Reply;
use tillside_engine::reservation::{
    Checkout, CheckoutResult, Reservation, ReservationLine, ReservationState,
};
use tillside_engine::sale::{ItemRef, Sale, SaleKind, SaleLine, StoreRef};
use tillside_engine::state::{State, lock};
use tillside_engine::stock::MoveReason;
use tillside_engine::units::{Currency, Money, Time, Unit};
use tillside_store::faulty::{FaultyDisk, FaultyLog};
use tillside_store::replay::replay;
use tillside_store::{BatchBuilder, Log, OpenOptions, RocksLog, load, state_digest};

/// SplitMix64: enough chance for a test, the same on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn hash(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}

/// Events that fit the state, as `decide` would make them.
fn events(state: &State, chance: &mut Chance, ctx: &Ctx) -> Vec<Event> {
    let time = ctx.now.plus_ms(-(chance.below(200_000_000) as i64));
    match chance.below(16) {
        0 => vec![Event::StorePut {
            id: StoreId(chance.below(5) as u32),
            store: Arc::new(store(chance, ctx.seq)),
        }],
        1 => product(chance, ctx.seq),
        2 | 3 => vec![customer(state, chance, ctx)],
        4 if state.offers.len() < 4 || chance.one_in(2) => vec![Event::OfferPut {
            terms: Arc::new(terms(chance)),
        }],
        4 => vec![Event::OfferArchived {
            offer_id: state
                .offers
                .iter()
                .map(|o| Arc::clone(o.key()))
                .min()
                .expect("there are some"),
        }],
        5 => vec![Event::OutcomeReported {
            offer_id: format!("o{}", chance.below(4)).into(),
            outcome: OutcomeType::Click,
            key: BusinessKey(chance.hash()),
        }],
        6..=8 => sale(state, chance, time),
        9 => vec![Event::StockMoved {
            sku: sku(chance),
            store: store_id(chance),
            delta: chance.below(9) as i64 - 4,
            damaged: chance.below(2) as i64,
            occurred: time,
            reason: MoveReason::Correction,
        }],
        10 => vec![Event::StockCounted {
            sku: sku(chance),
            store: store_id(chance),
            on_hand: chance.below(99) as i64,
            safety: chance.one_in(2).then_some(3),
            as_of: time,
        }],
        11 => vec![held(state, chance, ctx)],
        12 => end_a_reservation(state, chance),
        13 => vec![Event::CheckoutPut {
            checkout: Arc::new(checkout(chance, ctx)),
        }],
        14 => state
            .checkouts
            .iter()
            .map(|c| Arc::clone(c.key()))
            .min()
            .map(|checkout_id| Event::CheckoutForgotten { checkout_id })
            .into_iter()
            .collect(),
        _ => {
            let mut events = vec![Event::RequestAnswered {
                key: RequestKey(chance.below(20).into()),
                payload_hash: chance.next(),
            }];
            let Event::RequestAnswered { key, .. } = &events[0] else {
                unreachable!("just made")
            };
            let requests = lock(&state.requests);
            if requests.get(*key).is_some() {
                events.clear();
            }
            if requests.len() > 4 {
                let before = requests.start_after(Time(i64::MIN), 2);
                events.insert(
                    0,
                    match chance.one_in(2) {
                        true => Event::RequestsForgotten { count: 2 },
                        false => Event::RequestWindowMoved { before },
                    },
                );
            }
            events
        }
    }
}

fn sku(chance: &mut Chance) -> SkuId {
    SkuId(chance.below(12) as u32)
}

fn store_id(chance: &mut Chance) -> StoreId {
    StoreId(chance.below(5) as u32)
}

fn euro(chance: &mut Chance) -> Money {
    Money {
        currency: Currency::EUR,
        minor: chance.below(9_999) as i64 - 999,
    }
}

fn store(chance: &mut Chance, version: Sequence) -> Store {
    Store {
        store_id: format!("s{}", chance.below(5)).into(),
        display_name: "Negozio".into(),
        location: Point::new(chance.below(20) as f64 - 0.5, 45.25),
        time_zone: TimeZone::get("Europe/Rome").expect("a zone of the bundled database"),
        opening: Vec::new(),
        state: StoreState::Open,
        town: "Asti".into(),
        province: "AT".into(),
        travel_zone: "".into(),
        country: "IT".into(),
        patience: Default::default(),
        version,
        location_terms: Default::default(),
    }
}

fn product(chance: &mut Chance, version: Sequence) -> Vec<Event> {
    let (id, category) = (sku(chance), CategoryId(chance.below(3) as u32));
    let product = Product {
        sku: format!("p{}", id.0).into(),
        display_name: "Prodotto".into(),
        category: Some(category),
        brand: "".into(),
        unit: Unit::Each,
        gtins: vec![8_000_000_000_000 + u64::from(id.0)],
        plu: "".into(),
        list_price: Some(euro(chance)),
        vat_rate_basis_points: 1000,
        promotion_restricted: chance.one_in(3),
        version,
    };
    vec![
        Event::CategoryAdded {
            id: category,
            path: format!("c{}", category.0).into(),
        },
        Event::ProductPut {
            id,
            product: Arc::new(product),
        },
    ]
}

fn customer(state: &State, chance: &mut Chance, ctx: &Ctx) -> Event {
    let count = state.counters().next_customer.max(1);
    let created = count < 8 || chance.one_in(2);
    let id = CustomerId(if created {
        count
    } else {
        1 + chance.below(count - 1)
    });
    let created = created || state.customer(id).is_none();
    let personal = Personal {
        customer_id: id.0.to_string(),
        contacts: Contacts {
            given_name: format!("N{}", chance.below(9)),
            ..Contacts::default()
        },
        identifiers: Vec::new(),
    };
    let consent = Consent {
        purpose: Purpose::Profiling,
        granted: true,
        decided: ctx.now,
        notice_version: "1".into(),
    };
    let relation = Relation {
        provisional: chance.one_in(3),
        preferred_store: None,
        segments: Vec::new(),
        consents: smallvec![consent],
        version: ctx.seq,
    };
    let identifiers = vec![IdentifierHash(chance.hash())];
    Event::CustomerPut {
        id,
        personal: Some(Arc::new(personal)),
        relation: Arc::new(relation),
        identifiers,
        created,
    }
}

fn terms(chance: &mut Chance) -> OfferTerms {
    OfferTerms {
        offer_id: format!("o{}", chance.below(6)).into(),
        display_name: "Offerta".into(),
        text: "".into(),
        promotion_code: "".into(),
        computed_by: ComputedBy::Till,
        start: None,
        end: Some(Time(chance.below(99) as i64)),
        stores: Vec::new(),
        channels: Vec::new(),
        segments: Vec::new(),
        minimum_basket: None,
        required_consents: Vec::new(),
        target_skus: vec![sku(chance)],
        target_categories: Vec::new(),
        target_in_basket: false,
        reward: Reward::ExtraPoints(5),
        value: euro(chance),
        base_propensity_ppm: 20_000,
        lever_thousandths: 1_000,
    }
}

fn any_customer(state: &State, chance: &mut Chance) -> Option<CustomerId> {
    let id = CustomerId(chance.below(state.counters().next_customer.max(1)));
    state.customer(id).map(|_| id)
}

fn any_held(state: &State) -> Option<Arc<Reservation>> {
    let held = state
        .reservations
        .iter()
        .filter(|r| r.state == ReservationState::Held)
        .map(|r| Arc::clone(&r));
    held.min_by_key(|r| r.id)
}

fn sale(state: &State, chance: &mut Chance, time: Time) -> Vec<Event> {
    let kind = [
        SaleKind::Sale,
        SaleKind::Sale,
        SaleKind::Return,
        SaleKind::PostVoid,
        SaleKind::Neutral,
    ][chance.below(5) as usize];
    let known = !chance.one_in(5);
    let settled = any_held(state).filter(|_| chance.one_in(2));
    let mut lines: Vec<SaleLine> = (0..1 + chance.below(4))
        .map(|_| {
            let delta = chance.below(7) as i64 - 4;
            SaleLine {
                item: if chance.one_in(5) {
                    ItemRef::UnknownSku("x".into())
                } else {
                    ItemRef::Known(sku(chance))
                },
                quantity: -delta,
                net: euro(chance),
                stock_delta: delta,
                settles: None,
                offer_ids: if chance.one_in(4) {
                    smallvec!["o1".into()]
                } else {
                    smallvec![]
                },
            }
        })
        .collect();
    if let Some(held) = settled {
        let first = &held.lines[0];
        lines[0].item = ItemRef::Known(first.sku);
        lines[0].settles = Some((held.id, first.held));
    }
    let sale = Sale {
        kind,
        store: if known {
            StoreRef::Known(store_id(chance))
        } else {
            StoreRef::Unknown("?".into())
        },
        workstation: "1".into(),
        business_day: "2026-11-22".into(),
        number: chance.below(1000) as i64,
        time,
        customer: any_customer(state, chance),
        points: chance.below(3) as i64,
        lines,
        tenders: vec![("cash".into(), euro(chance))],
        fiscal_document: "".into(),
        fiscal_device: "".into(),
        operator: "".into(),
        offline: false,
        training: false,
    };
    let keys = smallvec![BusinessKey(chance.hash()), BusinessKey(chance.hash())];
    vec![
        Event::Received {
            keys,
            occurred: time,
            future: false,
        },
        Event::SaleRecorded {
            sale: Arc::new(sale),
        },
    ]
}

fn held(state: &State, chance: &mut Chance, ctx: &Ctx) -> Event {
    let line = ReservationLine::holding("1".into(), sku(chance), 3);
    let reservation = Reservation {
        id: ReservationId(state.counters().next_reservation.max(1)),
        order_id: format!("order-{}", chance.below(9)).into(),
        store: store_id(chance),
        state: ReservationState::Held,
        lines: vec![line],
        distance_mm: chance.below(1 << 30),
        window: chance.one_in(2).then_some((ctx.now, ctx.now.plus_ms(1))),
        expire: ctx.now.plus_ms(900_000),
        created: ctx.now,
        version: ctx.seq,
        sought: None,
        handling: Default::default(),
        method: Default::default(),
        slot: None,
        parts: None,
    };
    Event::ReservationHeld {
        reservation: Arc::new(reservation),
    }
}

fn end_a_reservation(state: &State, chance: &mut Chance) -> Vec<Event> {
    let Some(held) = any_held(state) else {
        return Vec::new();
    };
    let id = held.id;
    vec![match chance.below(3) {
        0 => Event::ReservationConfirmed { id },
        1 => Event::ReservationReleased { id },
        _ => Event::ReservationExpired { id },
    }]
}

fn checkout(chance: &mut Chance, ctx: &Ctx) -> Checkout {
    Checkout {
        checkout_id: format!("k{}", chance.below(6)).into(),
        revision: chance.below(9) as i64,
        closed: chance.one_in(2).then_some(CheckoutResult::Completed),
        reservation: None,
        expire: ctx.now.plus_ms(chance.below(9_000) as i64),
    }
}

/// Runs one batch of commands.
fn batch(
    state: &State,
    builder: &mut BatchBuilder,
    touched: &mut Touched,
    chance: &mut Chance,
    log: &mut impl Log,
) {
    for _ in 0..=chance.below(6) {
        let counters = state.counters();
        let seq = Sequence(counters.sequence.0 + 1);
        let ctx = Ctx {
            seq,
            now: Time(counters.now.0.max(1_790_000_000_000))
                .plus_ms(chance.below(50_000_000) as i64),
        };
        let events = events(state, chance, &ctx);
        apply(state, &events, &ctx, touched);
        builder.record(
            ctx.seq,
            ctx.now,
            &events,
            chance.one_in(2).then_some(&Reply::Done),
        );
    }
    builder.rows(state, touched);
    touched.clear();
    log.append(builder.batch()).expect("a disk that works");
    builder.clear();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn memory_disk_restart_and_replay_give_one_digest(seed in any::<u64>(), restarts in 1..4usize, batches in 1..40usize) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let open = || RocksLog::open(directory.path(), OpenOptions::default()).expect("a directory of our own");
        let (mut chance, mut touched) = (Chance(seed), Touched::default());
        for _ in 0..restarts {
            let mut log = open();
            let state = load(&log).expect("a log of our own").state;
            let mut builder = BatchBuilder::after(log.position());
            let handle = log.snapshot_digest_handle();
            for _ in 0..batches {
                batch(&state, &mut builder, &mut touched, &mut chance, &mut log);
            }
            let expect = state_digest(&state);
            prop_assert_eq!(expect.sequence, log.last_sequence().0);
            prop_assert_eq!(&handle.digest().expect("a snapshot"), &expect, "on disk");
            drop((handle, log));
            let log = open();
            let loaded = load(&log).expect("a log of our own");
            prop_assert_eq!(&state_digest(&loaded.state), &expect, "after a restart");
            prop_assert_eq!(&state_digest(&replay(&log).expect("a whole log")), &expect, "replayed");
            prop_assert_eq!(loaded.state.counters(), state.counters());
        }
    }

    #[test]
    fn after_a_crash_the_tables_are_at_the_log_s_end_again(seed in any::<u64>(), synced in 1..8usize, unsynced in 1..8usize, kept in 0..8usize) {
        let disk = FaultyDisk::default();
        let (mut chance, mut touched) = (Chance(seed), Touched::default());
        let mut log = FaultyLog::open(&disk, None).expect("an empty disk");
        let state = State::default();
        let mut builder = BatchBuilder::after(log.position());
        let mut digests = vec![state_digest(&state)];
        for index in 0..synced + unsynced {
            disk.lie_about_syncs(index >= synced);
            batch(&state, &mut builder, &mut touched, &mut chance, &mut log);
            digests.push(state_digest(&state));
        }
        drop(log);
        disk.crash(kept, false);
        let log = FaultyLog::open(&disk, None).expect("the mark was lost with the rest");
        let found = state_digest(&load(&log).expect("whole batches").state);
        prop_assert_eq!(&found, &digests[synced + kept.min(unsynced)]);
        prop_assert_eq!(&state_digest(&replay(&log).expect("a whole log")), &found);
    }
}
