//! Safety buffers, what picking teaches, shortages, prices of stores, and disposal of damaged goods.

mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use tillside_engine::changed_cells::{Changed, changed_cells};
use tillside_engine::command::{Adjustment, Command, Count, FactDraft, ScopeDraft};
use tillside_engine::event::Event;
use tillside_engine::ids::{CellKey, SkuId, StoreId};
use tillside_engine::product_stock::Having;
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::shortage::at_risk;
use tillside_engine::state::lock;
use tillside_engine::stock::MoveReason;
use world::World;
use world::build::{adjust, count, count_of, eur, in_category, line, movement, receipt};

fn buffer(store: Option<&str>, scope: ScopeDraft, pieces: Option<i64>) -> FactDraft {
    FactDraft::Buffer {
        store_id: store.map(Into::into),
        scope,
        quantity: pieces.map(|p| p * 1000),
        unit: None,
    }
}

fn put(facts: Vec<FactDraft>) -> Command {
    Command::PutFacts(facts)
}

fn available(world: &World, sku: &str, store: &str) -> i64 {
    world.level(sku, store).available_online() / 1000
}

/// Stores that the sets say have something to promise.
fn sellable(world: &World, sku: &str) -> Vec<u32> {
    let product = world.state.stock.product(world.sku(sku));
    let having = product.as_ref().map(|product| product.having(1));
    match having {
        None => Vec::new(),
        Some(Having::Few(few)) => few.iter().map(|store| store.0).collect(),
        Some(Having::Many(words, _)) => (0..64).filter(|bit| words[0] >> bit & 1 == 1).collect(),
    }
}

fn everything() -> ScopeDraft {
    ScopeDraft::Everything
}

#[test]
fn a_buffer_is_kept_back_online_and_sold_in_the_store() {
    let mut world = World::shop();
    for store in ["A", "B"] {
        world.ok(count("p1", store, 3));
    }
    let store = world.store("B").0;
    world.ok(put(vec![buffer(Some("A"), everything(), Some(3))]));
    assert_eq!(available(&world, "p1", "A"), 0);
    assert_eq!(world.level("p1", "A").available_in_store(), 3000);
    assert_eq!(sellable(&world, "p1"), [store]);
    // A level that comes into being later keeps it back too.
    world.ok(count("p2", "A", 2));
    assert_eq!(available(&world, "p2", "A"), -1);
    // One that was never counted shows it.
    assert_eq!(available(&world, "p3", "A"), -3);
    assert!(!world.changes(put(vec![buffer(Some("A"), everything(), Some(3))])));
    // What a count gives to the level wins, and 0 hands it back to the rules.
    world.wait_ms(1);
    let safety = |pieces: i64| {
        Command::SetStockCount(Count {
            safety: Some(pieces * 1000),
            ..count_of("p1", "A", 3)
        })
    };
    world.ok(safety(1));
    assert_eq!(available(&world, "p1", "A"), 2);
    world.wait_ms(1);
    world.ok(safety(0));
    assert_eq!(available(&world, "p1", "A"), 0);
    world.assert_recoverable();
    world.ok(put(vec![buffer(Some("A"), everything(), None)]));
    assert_eq!(
        (available(&world, "p1", "A"), sellable(&world, "p1").len()),
        (3, 2)
    );
    world.assert_recoverable();
}

#[test]
fn a_product_that_moves_to_another_category_takes_its_buffer() {
    let mut world = World::shop();
    world.ok(count("p1", "A", 5));
    world.ok(put(vec![buffer(
        None,
        ScopeDraft::Category("Food".into()),
        Some(2),
    )]));
    assert_eq!(available(&world, "p1", "A"), 5);
    world.ok(Command::PutProducts(vec![in_category(
        "p1",
        100,
        "Food > Milk",
    )]));
    assert_eq!(available(&world, "p1", "A"), 3);
    world.assert_recoverable();
    world.ok(Command::PutProducts(vec![in_category("p1", 100, "Home")]));
    assert_eq!(available(&world, "p1", "A"), 5);
    world.assert_recoverable();
}

#[test]
fn a_rule_names_known_things_and_the_refusal_says_which() {
    let mut world = World::shop();
    let check = |world: &mut World, facts: Vec<FactDraft>, field: &str| {
        let refused = format!("{:?}", world.refused(put(facts)));
        assert!(refused.contains(field), "{refused}");
    };
    let good = || buffer(Some("A"), everything(), Some(1));
    check(
        &mut world,
        vec![good(), buffer(Some("Z"), everything(), Some(1))],
        "safety_buffers[1].store_id",
    );
    check(
        &mut world,
        vec![buffer(None, ScopeDraft::Sku("p9".into()), Some(1))],
        "safety_buffers[0].sku",
    );
    let price = |sku: &str, store: &str| FactDraft::Price {
        sku: sku.into(),
        store_id: store.into(),
        price: Some(eur(1)),
    };
    check(
        &mut world,
        vec![good(), price("p1", "Z")],
        "prices[0].store_id",
    );
    assert_eq!(world.state.facts(), []);
}

#[test]
fn what_pickers_do_not_find_lowers_confidence_and_raises_the_buffer_of_that_store() {
    let mut world = World::shop();
    for store in ["A", "B"] {
        world.ok(count("p1", store, 5));
    }
    let confidence = |world: &World| world.state.confidence_ppm(world.store("A"), world.now);
    let before = confidence(&world);
    let missed = |world: &World| Event::PickChecked {
        store: world.store("A"),
        expected: 1000,
        found: 0,
    };
    for _ in 0..3 {
        let missed = missed(&world);
        world.happen(vec![missed]);
    }
    assert!(confidence(&world) < before);
    assert_eq!(
        (available(&world, "p1", "A"), available(&world, "p1", "B")),
        (4, 5)
    );
    world.assert_recoverable();
    for _ in 0..60 {
        let found = Event::PickChecked {
            store: world.store("A"),
            expected: 1000,
            found: 1000,
        };
        world.happen(vec![found]);
    }
    assert_eq!(available(&world, "p1", "A"), 5);
    world.assert_recoverable();
}

fn short_at(world: &World, store: &str) -> Vec<CellKey> {
    let store = world.store(store);
    let cells = world.state.stock.short_cells();
    cells.filter(|cell| cell.store() == store).collect()
}

#[test]
fn the_reservations_that_are_no_longer_covered_are_told() {
    let mut world = World::shop();
    world.ok(count("p1", "A", 6));
    let first = world.hold("o1", &[("p1", 2)], &["A"]).id;
    let second = world.hold("o2", &[("p1", 2)], &["A"]).id;
    let third = world.hold("o3", &[("p1", 2)], &["A"]).id;
    world.ok(Command::ConfirmReservation(third));
    assert_eq!(short_at(&world, "A"), []);
    assert_eq!(at_risk(&world.state, &[], world.now), []);
    world.wait_ms(1);
    // Three of them are gone: the confirmed one is covered first, then the oldest.
    let mut sale = receipt("A", 1);
    sale.lines = vec![line("p1", 3, 300)];
    world.sell(sale);
    let found = |world: &World| -> Vec<_> {
        let at_risk = at_risk(&world.state, &short_at(world, "A"), world.now);
        at_risk
            .iter()
            .map(|r| (r.reservation, r.missing / 1000))
            .collect()
    };
    assert_eq!(found(&world), [(first, 1), (second, 2)]);
    assert_eq!(short_at(&world, "B"), []);
    world.ok(Command::AdjustStock(Adjustment {
        reason: MoveReason::Damage,
        ..movement("p1", "A", 2)
    }));
    assert_eq!(found(&world), [(first, 2), (second, 2), (third, 1)]);
    world.assert_recoverable();
    world.wait_ms(1);
    world.ok(count("p1", "A", 20));
    assert_eq!(found(&world), []);
}

#[test]
fn damaged_goods_leave_with_their_damage() {
    let mut world = World::shop();
    world.ok(count("p1", "A", 5));
    let moved = |reason, pieces| {
        Command::AdjustStock(Adjustment {
            reason,
            ..movement("p1", "A", pieces)
        })
    };
    world.wait_ms(1);
    world.ok(moved(MoveReason::Damage, 2));
    let refused = world.refused(moved(MoveReason::Disposal, -3));
    assert!(matches!(refused, Rejection::Invalid { .. }));
    world.ok(moved(MoveReason::Disposal, -2));
    let level = world.level("p1", "A");
    assert_eq!(
        (level.on_hand, level.damaged, level.available_online()),
        (3000, 0, 3000)
    );
    world.assert_recoverable();
}

#[test]
fn a_store_has_its_own_price_where_one_is_given() {
    let mut world = World::shop();
    let price = |minor: Option<i64>| {
        put(vec![FactDraft::Price {
            sku: "p1".into(),
            store_id: "A".into(),
            price: minor.map(eur),
        }])
    };
    world.ok(price(Some(80)));
    let cents = |world: &World, store: &str| {
        let price = world
            .state
            .price_in(world.sku("p1"), Some(world.store(store)));
        price.map(|p| p.minor)
    };
    assert_eq!(
        (cents(&world, "A"), cents(&world, "B")),
        (Some(80), Some(100))
    );
    // A line without a price costs what it costs there.
    let mut sale = receipt("A", 1);
    let mut sold = line("p1", 2, 0);
    sold.net = None;
    sale.lines = vec![sold];
    world.sell(sale);
    let Some((_, events)) = world.log.last() else {
        panic!("it was taken")
    };
    let net = events.iter().find_map(|e| match e {
        Event::SaleRecorded { sale } => Some(sale.lines[0].net.minor),
        _ => None,
    });
    assert_eq!(net, Some(160));
    world.assert_recoverable();
    let Reply::Put { updated, .. } = world.ok(price(None)) else {
        panic!()
    };
    assert_eq!((updated, cents(&world, "A")), (1, Some(100)));
}

#[derive(Clone, Debug)]
enum Step {
    Rule(Option<usize>, usize, Option<i64>),
    Own(usize, usize, i64),
    Move(usize, usize, i64),
    Category(usize, usize),
    Pick(usize, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (prop::option::of(0usize..3), 0usize..7, prop::option::of(0i64..4)).prop_map(|(s, w, q)| Step::Rule(s, w, q)),
        2 => (0usize..3, 0usize..3, 0i64..3).prop_map(|(p, s, n)| Step::Own(p, s, n)),
        2 => (0usize..3, 0usize..3, -3i64..6).prop_map(|(p, s, n)| Step::Move(p, s, if n == 0 { 1 } else { n })),
        1 => (0usize..3, 0usize..4).prop_map(|(p, c)| Step::Category(p, c)),
        2 => (0usize..3, any::<bool>()).prop_map(|(s, f)| Step::Pick(s, f)),
    ];
    prop::collection::vec(step, 0..60)
}

const SKUS: [&str; 3] = ["p1", "p2", "p3"];
const STORES: [&str; 3] = ["A", "B", "C"];
const PATHS: [&str; 4] = ["", "Food", "Food > Milk", "Home"];

proptest! {
    #![proptest_config(world::property(64))]

    #[test]
    fn any_rules_equal_a_naive_model_and_every_change_is_told(steps in steps()) {
        let mut world = World::shop();
        let mut rules: BTreeMap<(Option<usize>, usize), i64> = BTreeMap::new();
        let mut own = [[0i64; 3]; 3];
        let mut on_hand = [[0i64; 3]; 3];
        let mut category = [0usize; 3];
        let mut misses = [0u32; 3];
        let shown = |world: &World| -> BTreeMap<CellKey, i64> {
            world.state.stock.cells().map(|(cell, level)| (cell, level.available_online())).collect()
        };
        for step in &steps {
            world.wait_ms(1);
            let before = shown(&world);
            let logged = world.log.len();
            match step {
                Step::Rule(store, what, quantity) => {
                    let scope = match what {
                        0 => ScopeDraft::Everything,
                        1..4 => ScopeDraft::Category(PATHS[*what].into()),
                        sku => ScopeDraft::Sku(SKUS[sku - 4].into()),
                    };
                    world.ok(put(vec![buffer(store.map(|s| STORES[s]), scope, *quantity)]));
                    match quantity {
                        Some(q) => drop(rules.insert((*store, *what), *q)),
                        None => drop(rules.remove(&(*store, *what))),
                    }
                }
                Step::Own(p, s, n) => {
                    world.ok(Command::SetStockCount(Count { safety: Some(n * 1000), ..count_of(SKUS[*p], STORES[*s], 9) }));
                    (own[*p][*s], on_hand[*p][*s]) = (*n, 9);
                }
                Step::Move(p, s, n) => {
                    world.ok(adjust(SKUS[*p], STORES[*s], *n));
                    on_hand[*p][*s] += n;
                }
                Step::Category(p, c) => {
                    world.ok(Command::PutProducts(vec![in_category(SKUS[*p], 100 + 100 * *p as i64, PATHS[*c])]));
                    category[*p] = *c;
                }
                Step::Pick(s, found) => {
                    let checked = Event::PickChecked { store: StoreId(*s as u32), expected: 1000, found: 1000 * i64::from(*found) };
                    world.happen(vec![checked]);
                    misses[*s] += u32::from(!found);
                }
            }
            for (p, sku) in SKUS.iter().enumerate() {
                for (s, store) in STORES.iter().enumerate() {
                    let mut scopes = vec![p + 4];
                    // Deepest first.
                    match category[p] {
                        2 => scopes.extend([2, 1]),
                        0 => {}
                        c => scopes.push(c),
                    }
                    scopes.push(0);
                    let rule = scopes.iter().find_map(|w| rules.get(&(Some(s), *w)).or(rules.get(&(None, *w))));
                    let base = if own[p][s] != 0 { own[p][s] } else { rule.copied().unwrap_or(0) };
                    let extra = world.state.stock.buffers().extra(world.store(store)) / 1000;
                    prop_assert!(misses[s] > 0 || extra == 0);
                    prop_assert_eq!(available(&world, sku, store), on_hand[p][s] - base - extra, "{} {} after {:?}", sku, store, step);
                }
                let expected: Vec<u32> = (0..3).filter(|s| available(&world, sku, STORES[*s as usize]) > 0
                    && world.state.stock.get(CellKey::new(SkuId(p as u32), StoreId(*s))).is_some()).collect();
                prop_assert_eq!(sellable(&world, sku), expected);
            }
            // Whoever mirrors the levels hears of every one that changed.
            let mut told = Vec::new();
            for (_, events) in &world.log[logged..] {
                events.iter().for_each(|e| changed_cells(e, &world.state, &mut |c| told.push(c)));
            }
            let heard = |cell: CellKey| told.iter().any(|c| match c {
                Changed::Everything => true,
                Changed::Store(store) => cell.store() == *store,
                Changed::Product(sku) => cell.sku() == *sku,
                Changed::Cell(c) => *c == cell,
            });
            for (cell, after) in shown(&world) {
                prop_assert!(before.get(&cell) == Some(&after) || heard(cell), "{:?} after {:?}", cell, step);
            }
            prop_assert!(lock(&world.state.sweep).is_done());
        }
        world.assert_recoverable();
    }
}
