//! Routing against answers that independent programs computed over real outlets: every store and every millimetre.
//! The data is not part of the project; where it is absent these tests say so and pass.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use geo::Point;
use serde_json::Value;
use tillside_engine::apply::{Touched, apply};
use tillside_engine::catalog::{Store, StoreState};
use tillside_engine::command::{Command, Reserve, WantedLine};
use tillside_engine::ctx::Ctx;
use tillside_engine::event::Event;
use tillside_engine::geo_index::limit_mm;
use tillside_engine::ids::{ReservationId, Sequence, SkuId, StoreId};
use tillside_engine::reply::Reply;
use tillside_engine::reservation::ReservationState;
use tillside_engine::routing::{Plan, PlanOutcome, PlanQuery, plan};
use tillside_engine::state::State;
use tillside_engine::stock::StockLevel;
use world::build::{product, store_at};
use world::{START, World};

/// `shared/data` and `shared/reference`, from `TILLSIDE_SHARED_DATA` or some folder above this one.
fn shared(test: &str) -> Option<(PathBuf, PathBuf)> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test may ask where its data is"
    )]
    let named = std::env::var_os("TILLSIDE_SHARED_DATA").map(PathBuf::from);
    let above = || {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|d| d.join("shared/data"))
            .find(|d| d.is_dir())
    };
    let found = named
        .or_else(above)
        .map(|data| (data.clone(), data.with_file_name("reference")));
    let found = found.filter(|(_, reference)| reference.join("bopis_queries_dev.json").is_file());
    if found.is_none() {
        eprintln!(
            "SKIPPED {test}: neither TILLSIDE_SHARED_DATA nor a folder above has shared/data and shared/reference"
        );
    }
    found
}

fn read(path: &Path) -> Vec<u8> {
    #[expect(clippy::disallowed_methods, reason = "a test may read its data")]
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&read(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The rows of a table, each by column name.
fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let bytes = read(path);
    let plain: Box<dyn std::io::Read> = match path.extension() {
        Some(gz) if gz == "gz" => Box::new(GzDecoder::new(&bytes[..])),
        _ => Box::new(&bytes[..]),
    };
    csv::Reader::from_reader(plain)
        .deserialize()
        .map(|row| row.expect("a row of the table"))
        .collect()
}

/// The rule of the reference that spreads stock over stores.
fn hash(text: &str) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        h = (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let z = h.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn stock_rule(set: &str, store: &str, sku: u64) -> i64 {
    let h = hash(&format!("stock|{set}|{store}|{sku}"));
    if h % 100 < 35 {
        0
    } else {
        1 + (h / 100 % 12) as i64
    }
}

#[test]
fn the_rule_of_the_synthetic_stock_gives_the_published_vectors() {
    assert_eq!(hash(""), 14_087_677_454_934_409_008);
    assert_eq!(hash("a"), 6_857_225_946_766_476_583);
    assert_eq!(hash("stock|it|59183|1082185"), 126_364_535_546_469_969);
    assert_eq!(hash("stock|ww|1|1082185"), 10_699_338_530_283_883_412);
}

fn outlets(data: &Path, set: &str) -> Vec<Store> {
    let file = if set == "it" {
        "stores_it_mimit.csv.gz"
    } else {
        "stores_ww_starbucks.csv.gz"
    };
    let store = |row: BTreeMap<String, String>| {
        let degrees = |column: &str| row[column].parse::<f64>().expect("degrees");
        let state = if row["is_open"] == "1" {
            StoreState::Open
        } else {
            StoreState::Closed
        };
        Store {
            state,
            ..store_at(&row["store_id"], degrees("lat"), degrees("lon"))
        }
    };
    rows(&data.join(file)).into_iter().map(store).collect()
}

/// A query of the reference, with distinct products numbered in the order they come.
struct Query {
    origin: Point<f64>,
    limit_mm: u64,
    skus: Vec<u64>,
    lines: Vec<WantedLine>,
}

impl Query {
    /// `None` where the form is wrong: that is refused before the engine is asked.
    fn read(value: &Value) -> Option<Query> {
        let number = |field: &str| value[field].as_f64().unwrap_or(f64::NAN);
        let (lat, lon, max_km) = (number("lat"), number("lon"), number("max_km"));
        let asked = value["lines"].as_array()?;
        let line = |l: &Value| Some((l["sku"].as_u64()?, l["qty"].as_i64().filter(|q| *q >= 1)?));
        let asked: Vec<_> = asked.iter().map(line).collect::<Option<_>>()?;
        let on_earth = lat.abs() <= 90.0 && lon.abs() <= 180.0 && max_km >= 0.0;
        if !on_earth || asked.is_empty() {
            return None;
        }
        let mut skus: Vec<u64> = Vec::new();
        let lines = asked.iter().enumerate().map(|(i, (sku, pieces))| {
            let at = skus.iter().position(|s| s == sku).unwrap_or_else(|| {
                skus.push(*sku);
                skus.len() - 1
            });
            WantedLine {
                line_id: i.to_string().into(),
                sku: SkuId(at as u32),
                quantity: pieces * 1000,
            }
        });
        let lines = lines.collect();
        Some(Query {
            origin: Point::new(lon, lat),
            limit_mm: limit_mm(max_km * 1000.0),
            skus,
            lines,
        })
    }

    fn plan(&self, state: &State, now: tillside_engine::units::Time) -> Plan {
        let query = PlanQuery {
            origin: self.origin,
            lines: &self.lines,
            limit_mm: self.limit_mm,
            max_options: 1,
            require_open_now: false,
            only_store: None,
            now,
            own: Default::default(),
            travel_zone: None,
            by: Default::default(),
        };
        plan(state, &query)
    }
}

fn outcome_name(outcome: PlanOutcome) -> &'static str {
    match outcome {
        PlanOutcome::Matched => "OK",
        PlanOutcome::Partial => "PARTIAL",
        PlanOutcome::NoStock => "NO_STOCK",
        PlanOutcome::NoStoreInRange => "NO_STORE_IN_RANGE",
    }
}

#[test]
fn two_hundred_queries_over_real_outlets_have_the_reference_answers() {
    let Some((data, reference)) = shared("two_hundred_queries_over_real_outlets") else {
        return;
    };
    let queries = json(&reference.join("bopis_queries_dev.json"));
    let queries = queries.as_array().expect("a list");
    let answers: BTreeMap<_, _> = rows(&reference.join("bopis_answers_dev.csv"))
        .into_iter()
        .map(|r| (r["query_id"].clone(), r))
        .collect();
    let known: BTreeSet<u64> = rows(&reference.join("bopis_skus.csv"))
        .iter()
        .map(|r| r["sku"].parse().expect("a number"))
        .collect();
    let (mut compared, mut refused) = (0, 0);
    for set in ["it", "ww"] {
        let mut world = World::new();
        let stores = outlets(&data, set);
        world.ok(Command::PutStores(stores));
        let state = &world.state;
        for query in queries.iter().filter(|q| q["set"] == set) {
            let id = query["query_id"].as_str().expect("an id");
            let answer = &answers[id];
            let expect = answer["status"].as_str();
            let Some(query) = Query::read(query) else {
                assert_eq!(expect, "INVALID_ARGUMENT", "{id}");
                refused += 1;
                continue;
            };
            if !query.skus.iter().all(|sku| known.contains(sku)) {
                assert_eq!(expect, "UNKNOWN_SKU", "{id}");
                refused += 1;
                continue;
            }
            // Only the products asked for, one query at a time: all of them together are ten million levels.
            for (cell, _) in state.stock.cells() {
                state.stock.insert(cell, StockLevel::default());
            }
            let mut touched = Touched::default();
            let ctx = Ctx {
                seq: Sequence(state.counters().sequence.0 + 1),
                now: START,
            };
            for store in &state.stores.items {
                let counted = |(at, sku): (usize, &u64)| Event::StockCounted {
                    sku: SkuId(at as u32),
                    store: *store.key(),
                    on_hand: stock_rule(set, &store.store_id, *sku) * 1000,
                    safety: None,
                    as_of: START,
                };
                let events: Vec<_> = query.skus.iter().enumerate().map(counted).collect();
                apply(state, &events, &ctx, &mut touched);
            }
            let found = query.plan(state, START);
            assert_eq!(outcome_name(found.outcome), expect, "{id}");
            let matched = found
                .options
                .first()
                .map(|o| (o.store, o.distance_mm, query.skus.len()));
            let partial = found
                .partial
                .first()
                .map(|p| (p.store, p.distance_mm, p.sku_count));
            let got = matched.or(partial).map(|(store, mm, available)| {
                let store = state.stores.get(store).expect("a store of the plan");
                (
                    store.store_id.to_string(),
                    mm.to_string(),
                    available.to_string(),
                )
            });
            let told = |column: &str| answer[column].clone();
            let wanted = matches!(expect, "OK" | "PARTIAL").then(|| {
                (
                    told("store_id"),
                    told("dist_key_mm"),
                    told("lines_available"),
                )
            });
            assert_eq!(got, wanted, "{id}");
            compared += 1;
        }
    }
    assert_eq!(compared + refused, answers.len());
    eprintln!(
        "{compared} plans equal the reference, {refused} bad queries refused before the engine"
    );
}

#[test]
fn four_hundred_timed_operations_end_as_the_reference_says() {
    let Some((data, reference)) = shared("four_hundred_timed_operations") else {
        return;
    };
    let scenario = json(&reference.join("bopis_scenario_dev.json"));
    let hot: Vec<u64> = scenario["hot_skus"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_u64)
        .collect();
    let mut world = World::new();
    let start = world.now;
    world.ok(Command::PutProducts(
        hot.iter()
            .map(|sku| product(&sku.to_string(), 100))
            .collect(),
    ));
    world.ok(Command::PutStores(outlets(&data, "it")));
    let stores: Vec<(StoreId, String)> = world
        .state
        .stores
        .items
        .iter()
        .map(|s| (*s.key(), s.store_id.to_string()))
        .collect();
    let mut counts = Vec::new();
    for (id, name) in &stores {
        for sku in &hot {
            let on_hand = stock_rule("it", name, *sku) * 1000;
            counts.push(Event::StockCounted {
                sku: world.sku(&sku.to_string()),
                store: *id,
                on_hand,
                safety: None,
                as_of: start,
            });
        }
    }
    world.happen(counts);
    let mut made: BTreeMap<String, ReservationId> = BTreeMap::new();
    for op in scenario["ops"].as_array().expect("a list") {
        let name = op["reservation"].as_str().expect("a name");
        world.now = start.plus_ms(op["t"].as_i64().expect("seconds") * 1000);
        world.fire_timers();
        let expect = op["expect_status"].as_str().expect("a status");
        match op["op"].as_str() {
            Some("COMMIT") => drop(world.ok(Command::ConfirmReservation(made[name]))),
            Some("RELEASE") => drop(world.ok(Command::ReleaseReservation(made[name]))),
            _ => {
                let mut query = Query::read(op).expect("a good query");
                for line in &mut query.lines {
                    line.sku = world.sku(&query.skus[line.sku.0 as usize].to_string());
                }
                let found = query.plan(&world.state, world.now);
                assert_eq!(outcome_name(found.outcome), expect, "{name}");
                let Some(option) = found.options.first() else {
                    continue;
                };
                let at = world
                    .state
                    .stores
                    .get(option.store)
                    .expect("a store of the plan");
                assert_eq!(
                    Some(at.store_id.to_string()),
                    op["expect_store"].as_u64().map(|s| s.to_string()),
                    "{name}"
                );
                let candidate = tillside_engine::command::Candidate {
                    near_time: false,
                    store: option.store,
                    distance_mm: option.distance_mm,
                    method: Default::default(),
                };
                let reply = world.ok(Command::Reserve(Reserve {
                    order_id: name.into(),
                    lines: query.lines,
                    candidates: [candidate].into_iter().collect(),
                    hold_ms: op["ttl_s"].as_i64().expect("seconds") * 1000,
                    checkout_revision: None,
                    sought: None,
                    slot_start: None,
                    otherwise: Default::default(),
                    parts: Vec::new(),
                }));
                let Reply::Reservation(reservation) = reply else {
                    panic!("{reply:?}")
                };
                made.insert(name.to_owned(), reservation.id);
            }
        }
    }
    world.now = start.plus_ms(scenario["final_time"].as_i64().expect("seconds") * 1000);
    world.fire_timers();
    let state_of = |id: &ReservationId| {
        world
            .state
            .reservation(*id)
            .expect("made")
            .state_at(world.now)
    };
    let active: Vec<_> = made
        .iter()
        .filter(|(_, id)| state_of(id) == ReservationState::Held)
        .map(|(n, _)| n.as_str())
        .collect();
    let expect: Vec<_> = scenario["final_active"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(active, expect);
    // The reference takes goods out of stock when they are committed; here they stay until they are handed over.
    for row in scenario["final_on_hand_of_touched"]
        .as_array()
        .expect("a list")
    {
        let number = |i: usize| row[i].as_i64().expect("a number");
        let level = world.level(&number(1).to_string(), &number(0).to_string());
        assert_eq!((level.on_hand - level.committed) / 1000, number(2), "{row}");
    }
}
