//! The nearest of 2,000 and of 50,000 stores that have three products: the decision alone, the options with their opening
//! hours, and the whole plan with its reasons. Shoppers stand at 512 places, so the lists of their grid cells are made;
//! `first_question_of_a_cell` shows what making one costs.
//!
//! `every_store_is_looked_at` answers the same question as `decision` without index, sets and lists: the measure beside
//! which the others are to be read.

use std::sync::LazyLock;

use divan::Bencher;
use geo::Point;
use tillside_benches::shopping::{place, question, wanted};
use tillside_benches::world::{Common, Numbers, SEED, Size, World};
use tillside_engine::geo_index::{Near, Spot, StoreIndex};
use tillside_engine::ids::StoreId;
use tillside_engine::nearest::{Candidates, nearest};
use tillside_engine::routing::{PlanQuery, nearest_with_all, options, plan};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Five million stock levels.
static CHAIN: LazyLock<World> = LazyLock::new(|| world(2_000, 20_000));
/// Twelve million stock levels.
static NETWORK: LazyLock<World> = LazyLock::new(|| world(50_000, 2_000));

/// Places where shoppers stand.
const PLACES: u64 = 512;

/// Four of five stores have each product.
const COMMON: [Common; 3] = [Common::Usual; 3];
/// One store of ten has one of the products: too many are left to measure them all.
const UNCOMMON: [Common; 3] = [Common::Usual, Common::Usual, Common::Rare];
/// One store of ten has each of two: few are left.
const RARE: [Common; 3] = [Common::Usual, Common::Rare, Common::Rare];
/// One store of ten has each of three: one in a thousand is left.
const RAREST: [Common; 3] = [Common::Rare; 3];
/// One store of a hundred has each, nearly never the same one.
const NOWHERE: [Common; 3] = [Common::Scarce; 3];

const STORES: [u32; 2] = [2_000, 50_000];

fn main() {
    for stores in STORES {
        let index = of(stores).state.store_index.get();
        for number in 0..PLACES {
            let (origin, all) = (place_of(number), Candidates::from(index.all()));
            nearest(&index, &Spot::new(origin), u64::MAX, &all, 1, |_| true);
        }
    }
    divan::main();
}

fn world(stores: u32, products: u32) -> World {
    World::new(Size {
        stores,
        products,
        customers: 0,
        offers: 0,
    })
}

fn of(stores: u32) -> &'static World {
    if stores == STORES[0] {
        &CHAIN
    } else {
        &NETWORK
    }
}

fn place_of(number: u64) -> Point<f64> {
    place(&mut Numbers::new(SEED ^ number))
}

/// Asks about baskets of a kind from the places, however far the stores are.
fn route<R>(
    bencher: Bencher<'_, '_>,
    stores: u32,
    kinds: &[Common],
    ask: impl Fn(&World, &PlanQuery<'_>) -> R,
) {
    let mut numbers = Numbers::new(SEED);
    let world = of(stores);
    bencher
        .with_inputs(|| {
            let origin = place_of(numbers.below(PLACES));
            (origin, wanted(world, &mut numbers, kinds))
        })
        .bench_local_refs(|(origin, lines)| {
            let query = PlanQuery {
                limit_mm: u64::MAX,
                ..question(*origin, lines)
            };
            ask(world, &query)
        });
}

fn decide(world: &World, query: &PlanQuery<'_>) -> Option<Near> {
    nearest_with_all(&world.state, query, 1).first().copied()
}

#[divan::bench(args = STORES, sample_count = 500, sample_size = 100)]
fn decision_common(bencher: Bencher<'_, '_>, stores: u32) {
    route(bencher, stores, &COMMON, decide);
}

#[divan::bench(args = STORES, sample_count = 500, sample_size = 100)]
fn decision_uncommon(bencher: Bencher<'_, '_>, stores: u32) {
    route(bencher, stores, &UNCOMMON, decide);
}

#[divan::bench(args = STORES, sample_count = 500, sample_size = 100)]
fn decision_rare(bencher: Bencher<'_, '_>, stores: u32) {
    route(bencher, stores, &RARE, decide);
}

#[divan::bench(args = STORES, sample_count = 500, sample_size = 100)]
fn decision_rarest(bencher: Bencher<'_, '_>, stores: u32) {
    route(bencher, stores, &RAREST, decide);
}

#[divan::bench(args = STORES, sample_count = 500, sample_size = 100)]
fn decision_nowhere(bencher: Bencher<'_, '_>, stores: u32) {
    route(bencher, stores, &NOWHERE, decide);
}

#[divan::bench(args = STORES, sample_count = 20, sample_size = 10)]
fn every_store_is_looked_at_common(bencher: Bencher<'_, '_>, stores: u32) {
    route(bencher, stores, &COMMON, look_at_every_store);
}

#[divan::bench(args = STORES, sample_count = 20, sample_size = 10)]
fn every_store_is_looked_at_nowhere(bencher: Bencher<'_, '_>, stores: u32) {
    route(bencher, stores, &NOWHERE, look_at_every_store);
}

fn look_at_every_store(world: &World, query: &PlanQuery<'_>) -> Option<(u64, StoreId)> {
    let state = &world.state;
    let index = state.store_index.get();
    let origin = Spot::new(query.origin);
    let has_all = |store: &StoreId| {
        let mut lines = query.lines.iter();
        lines.all(|line| state.available_online(line.sku, *store) >= line.quantity)
    };
    let near = |store| Some((index.near(&origin, store)?.distance_mm, store));
    let stores = (0..index.len() as u32).map(StoreId);
    stores.filter(has_all).filter_map(near).min()
}

/// The 32 options of a hold.
#[divan::bench(args = STORES, sample_count = 200, sample_size = 20)]
fn options_of_a_hold_common(bencher: Bencher<'_, '_>, stores: u32) {
    route(bencher, stores, &COMMON, |world, query| {
        let query = PlanQuery {
            max_options: 32,
            ..*query
        };
        options(&world.state, &query)
    });
}

#[divan::bench(args = STORES, sample_count = 200, sample_size = 20)]
fn plan_common(bencher: Bencher<'_, '_>, stores: u32) {
    route(bencher, stores, &COMMON, |world, query| {
        plan(&world.state, query)
    });
}

#[divan::bench(args = STORES, sample_count = 200, sample_size = 20)]
fn plan_rare(bencher: Bencher<'_, '_>, stores: u32) {
    route(bencher, stores, &RARE, |world, query| {
        plan(&world.state, query)
    });
}

#[divan::bench(args = STORES, sample_count = 200, sample_size = 20)]
fn plan_nowhere(bencher: Bencher<'_, '_>, stores: u32) {
    route(bencher, stores, &NOWHERE, |world, query| {
        plan(&world.state, query)
    });
}

/// What a question costs where nobody asked before.
#[divan::bench(args = STORES, sample_count = 20, sample_size = 1)]
fn first_question_of_a_cell(bencher: Bencher<'_, '_>, stores: u32) {
    let index = of(stores).state.store_index.get();
    let all = (0..index.len() as u32).map(StoreId);
    let all: Vec<_> = all
        .filter_map(|id| Some((id, index.store(id)?.clone())))
        .collect();
    bencher
        .with_inputs(|| StoreIndex::build(all.iter().cloned()))
        .bench_local_refs(|index| {
            let all = Candidates::from(index.all());
            nearest(index, &Spot::new(place_of(0)), u64::MAX, &all, 1, |_| true)
        });
}
