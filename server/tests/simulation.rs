//! The production engine and sequencer logic under a seeded schedule of commands and crashes, over a log that loses what
//! was not synced. After every crash: the loaded state is the state that was acknowledged, bit for bit, and sound.

use std::sync::Arc;

use geo::Point;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use smallvec::smallvec;
use tillside_engine::catalog::{Product, Store, StoreState};
use tillside_engine::command::*;
use tillside_engine::customer::KnownIdentifier;
use tillside_engine::decide::Rules;
use tillside_engine::identity::{Identifier, IdentifierKind, IndexKey};
use tillside_engine::ids::*;
use tillside_engine::invariants::violations;
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::sale::SaleKind;
use tillside_engine::units::{Currency, Money, Time, Unit};
use tillside_server::sequencer::{Core, RequestStamp, Submission};
use tillside_store::faulty::{Fault, FaultyDisk, FaultyLog};
use tillside_store::{load, state_digest};

const STORES: u32 = 3;
const SKUS: u32 = 4;

fn store(n: u32) -> Store {
    Store {
        store_id: format!("S{n}").into(),
        display_name: "".into(),
        location: Point::new(9.0 + f64::from(n) / 100.0, 45.0),
        time_zone: jiff::tz::TimeZone::UTC,
        opening: Vec::new(),
        state: StoreState::Open,
        town: "".into(),
        province: "".into(),
        country: "IT".into(),
        version: Sequence(0),
    }
}

fn product(n: u32) -> ProductDraft {
    let product = Product {
        sku: format!("P{n}").into(),
        display_name: "".into(),
        category: None,
        brand: "".into(),
        unit: Unit::Each,
        gtins: Vec::new(),
        plu: "".into(),
        list_price: Some(Money {
            currency: Currency::EUR,
            minor: 100 + i64::from(n),
        }),
        vat_rate_basis_points: 2200,
        promotion_restricted: false,
        version: Sequence(0),
    };
    ProductDraft {
        product,
        category_path: format!("C{}", n % 2).into(),
    }
}

fn card(n: u32) -> SeenIdentifier {
    let identifier = Identifier {
        kind: IdentifierKind::LoyaltyCard,
        value: format!("card {n}"),
    };
    SeenIdentifier {
        hash: IndexKey([1; 32]).hash(&identifier),
        known: KnownIdentifier {
            identifier,
            verified: None,
            source: "sim".into(),
        },
    }
}

fn wanted(rng: &mut StdRng) -> Vec<WantedLine> {
    let line = |i: u32, rng: &mut StdRng| WantedLine {
        line_id: i.to_string().into(),
        sku: SkuId(rng.random_range(0..SKUS)),
        quantity: rng.random_range(1..4) * 1000,
    };
    (0..rng.random_range(1..4)).map(|i| line(i, rng)).collect()
}

fn sale(rng: &mut StdRng) -> Command {
    let line = |rng: &mut StdRng| SaleLineDraft {
        // One SKU nobody knows, and any reservation there may be.
        item: ItemDraft::Sku(format!("P{}", rng.random_range(0..=SKUS)).into()),
        quantity: Some(rng.random_range(-1..3) * 1000),
        net: None,
        offer_ids: smallvec![],
        reservation: rng
            .random_bool(0.3)
            .then(|| ReservationId(rng.random_range(1..20))),
    };
    let draft = SaleDraft {
        kind: [
            SaleKind::Sale,
            SaleKind::Sale,
            SaleKind::Return,
            SaleKind::Neutral,
        ][rng.random_range(0..4)],
        store_id: format!("S{}", rng.random_range(0..=STORES)).into(),
        workstation: "1".into(),
        business_day: "2026-11-22".into(),
        number: 1,
        paid: None,
        lines: (0..rng.random_range(0..4)).map(|_| line(rng)).collect(),
        identifiers: (0..rng.random_range(0..2))
            .map(|_| card(rng.random_range(0..6)))
            .collect(),
        tenders: Vec::new(),
        fiscal_document: "".into(),
        fiscal_device: "".into(),
        operator: "".into(),
        offline: false,
        training: false,
    };
    let keys = smallvec![BusinessKey(rng.random_range(0..200))];
    Command::Ingest(Box::new(Ingest {
        keys,
        occurred: None,
        payload: IngestPayload::Sale(draft),
    }))
}

fn command(rng: &mut StdRng) -> Command {
    let sku = format!("P{}", rng.random_range(0..SKUS)).into();
    let store_id = format!("S{}", rng.random_range(0..STORES)).into();
    let id = ReservationId(rng.random_range(1..20));
    match rng.random_range(0..12) {
        0 => Command::PutStores((0..STORES).map(store).collect()),
        1 => Command::PutProducts((0..SKUS).map(product).collect()),
        2 => Command::SetStockCount(Count {
            sku,
            store_id,
            on_hand: rng.random_range(0..20) * 1000,
            unit: None,
            safety: None,
            as_of: None,
        }),
        3 => Command::AdjustStock(Adjustment {
            sku,
            store_id,
            delta: 1000 * rng.random_range(1..5),
            unit: None,
            damage: rng.random_bool(0.2),
            occurred: None,
        }),
        4..7 => {
            let candidates = (0..STORES)
                .map(|n| Candidate {
                    store: StoreId(n),
                    distance_mm: u64::from(n),
                })
                .collect();
            let order_id = format!("order {}", rng.random_range(0..8)).into();
            let checkout_revision = rng.random_bool(0.3).then(|| rng.random_range(1..5));
            Command::Reserve(Reserve {
                order_id,
                lines: wanted(rng),
                candidates,
                hold_ms: rng.random_range(1..100) * 100,
                checkout_revision,
            })
        }
        7 => Command::ConfirmReservation(id),
        8 => Command::ReleaseReservation(id),
        9 => Command::CreateCustomer(CustomerDraft {
            identifiers: vec![card(rng.random_range(0..6))],
            ..Default::default()
        }),
        _ => sale(rng),
    }
}

struct World {
    disk: FaultyDisk,
    core: Core,
}

impl World {
    fn open(disk: FaultyDisk) -> Self {
        let log = FaultyLog::open(&disk, None).expect("what was acknowledged is there");
        let loaded = load(&log).expect("sound tables");
        let state = Arc::new(loaded.state);
        assert_eq!(violations(&state), Vec::<String>::new());
        World {
            core: Core::new(state, Rules::default(), Box::new(log)),
            disk,
        }
    }
}

/// One history: batches of commands, retries among them, now and then a failed write or a crash.
fn run(seed: u64, batches: usize) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::open(FaultyDisk::default());
    let mut now = Time(1_700_000_000_000);
    let mut answered: Vec<(RequestStamp, Command, Sequence, Reply)> = Vec::new();
    let mut acknowledged = state_digest(world.core.state());
    for _ in 0..batches {
        now = now.plus_ms(rng.random_range(0..3000));
        let fails = rng.random_bool(0.04);
        if fails {
            let fault = if rng.random_bool(0.5) {
                Fault::FailAppend
            } else {
                Fault::FailSync {
                    kept: rng.random_bool(0.5),
                }
            };
            world.disk.inject_after(0, fault);
        }
        world.core.fire_timers(now);
        let mut batch = Vec::new();
        for _ in 0..rng.random_range(0..8) {
            if let Some((stamp, command, sequence, reply)) =
                answered.get(rng.random_range(0..answered.len().max(4)))
            {
                let again = Submission {
                    command: command.clone(),
                    request: Some(*stamp),
                    deadline: None,
                };
                let answer = world.core.submit(&again, now).expect("a retry is answered");
                assert_eq!(
                    (answer.sequence, &answer.reply),
                    (*sequence, reply),
                    "seed {seed}: the first answer"
                );
                let other = Submission {
                    request: Some(RequestStamp {
                        payload_hash: stamp.payload_hash + 1,
                        ..*stamp
                    }),
                    ..again
                };
                assert_eq!(
                    world.core.submit(&other, now),
                    Err(Rejection::RequestIdReused),
                    "seed {seed}"
                );
                continue;
            }
            let command = command(&mut rng);
            let stamp = RequestStamp {
                key: RequestKey(rng.random()),
                payload_hash: rng.random_range(0..1 << 40),
            };
            let submission = Submission {
                command: command.clone(),
                request: Some(stamp),
                deadline: None,
            };
            if let Ok(answer) = world.core.submit(&submission, now) {
                batch.push((stamp, command, answer.sequence, answer.reply));
            }
            assert_eq!(
                violations(world.core.state()),
                Vec::<String>::new(),
                "seed {seed} at {command:?}",
                command = submission.command
            );
        }
        let wrote = world.core.batch_records() > 0;
        match world.core.commit() {
            Ok(()) => {
                answered.append(&mut batch);
                acknowledged = state_digest(world.core.state());
            }
            Err(error) => {
                assert!(wrote, "seed {seed}: {error}");
                // What was not acknowledged may or may not survive; everything acknowledged does.
                let World { disk, core } = world;
                let ahead = state_digest(core.state());
                drop(core);
                disk.crash(rng.random_range(0..2), true);
                world = World::open(disk);
                let loaded = state_digest(world.core.state());
                assert!(
                    loaded == acknowledged || loaded == ahead,
                    "seed {seed}: neither the acknowledged state nor the next"
                );
                acknowledged = loaded;
                continue;
            }
        }
        if rng.random_bool(0.05) {
            let World { disk, core } = world;
            drop(core);
            disk.crash(0, true);
            world = World::open(disk);
            assert_eq!(
                state_digest(world.core.state()),
                acknowledged,
                "seed {seed}: after a crash"
            );
        }
    }
}

#[test]
fn a_crash_at_any_batch_loses_nothing_acknowledged() {
    let seeds = std::env::var("TILLSIDE_SIMULATION_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(200);
    let first = std::env::var("TILLSIDE_SIMULATION_FIRST")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    println!(
        "seeds {first}..{}; TILLSIDE_SIMULATION_FIRST and TILLSIDE_SIMULATION_SEEDS choose others",
        first + seeds
    );
    for seed in first..first + seeds {
        run(seed, 60);
    }
}
