//! The whole of PlanFulfillment but the wire: three products of 2,000 stores in Italy, with opening hours of two intervals a
//! day, holidays, preparation, last pickup and slots of which some are held; windows, costs, reasons and the note that is
//! kept aside. Pickups alone, then with every method.

use std::sync::{Arc, LazyLock};

use divan::Bencher;
use tillside_benches::shopping::{place, question, wanted};
use tillside_benches::world::{Common, Numbers, SEED, Size, World};
use tillside_engine::apply::{Touched, apply};
use tillside_engine::catalog::{OpeningInterval, Store};
use tillside_engine::ctx::Ctx;
use tillside_engine::event::Event;
use tillside_engine::fulfillment_ladder::{LadderQuery, ladder};
use tillside_engine::ids::Sequence;
use tillside_engine::location_terms::{LocationTerms, Method, Methods, SlotRules, SpecialDay};
use tillside_engine::routing_policy::{MethodCost, RankBy, RoutingPolicy};
use tillside_engine::routing_replay::PastRouting;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let world = World::new(Size {
        stores: 2_000,
        products: 20_000,
        customers: 0,
        offers: 0,
    });
    let stores: Vec<_> = (world.state.stores.items.iter())
        .map(|entry| (*entry.key(), Arc::clone(entry.value())))
        .collect();
    let puts: Vec<Event> = stores
        .into_iter()
        .map(|(id, store)| Event::StorePut {
            id,
            store: Arc::new(with_terms(&store)),
        })
        .collect();
    let counters = world.state.counters();
    let ctx = Ctx {
        seq: Sequence(counters.sequence.0 + 1),
        now: counters.now,
    };
    apply(&world.state, &puts, &ctx, &mut Touched::default());
    world
});

/// As busy a calendar as a chain has.
fn with_terms(store: &Store) -> Store {
    let interval = |iso_day, open_minute, close_minute| OpeningInterval {
        iso_day,
        open_minute,
        close_minute,
    };
    let closed = (1..=12).map(|month| SpecialDay {
        date: jiff::civil::date(2026, month, 25),
        opening: Vec::new(),
    });
    Store {
        opening: (1..=6)
            .flat_map(|day| [interval(day, 540, 780), interval(day, 900, 1170)])
            .collect(),
        location_terms: Arc::new(LocationTerms {
            methods: Methods::of([Method::Pickup, Method::ShipFromStore]),
            special_days: closed.collect(),
            preparation_minutes: 90,
            last_pickup_minutes: 15,
            order_cutoff_minute: Some(1080),
            slots: Some(SlotRules {
                length_minutes: 30,
                capacity: 4,
            }),
            ..LocationTerms::default()
        }),
        ..store.clone()
    }
}

fn main() {
    LazyLock::force(&WORLD);
    divan::main();
}

fn policy(rank_by: RankBy) -> RoutingPolicy {
    RoutingPolicy {
        rank_by,
        costs: [MethodCost {
            order_minor: 100,
            line_minor: 20,
            parcel_minor: 590,
            km_minor: 3,
            transit_minutes_min: 1440,
            transit_minutes_max: 2880,
        }; 4],
        full_store_minor: 300,
        wait_hour_minor: 10,
        ..RoutingPolicy::default()
    }
}

fn climb(bencher: Bencher<'_, '_>, kinds: &[Common], methods: Methods, rank_by: RankBy) {
    let mut numbers = Numbers::new(SEED);
    let policy = policy(rank_by);
    bencher
        .with_inputs(|| (place(&mut numbers), wanted(&WORLD, &mut numbers, kinds)))
        .bench_local_refs(|(origin, lines)| {
            let query = LadderQuery {
                plan: question(*origin, lines),
                methods,
                line_methods: &[],
                destination_point: None,
                destination: None,
                policy: &policy,
                explain: true,
            };
            let found = ladder(&WORLD.state, &query);
            (PastRouting::of(&query, &found), found)
        });
}

#[divan::bench(sample_count = 200, sample_size = 50)]
fn pickup_of_a_common_basket(bencher: Bencher<'_, '_>) {
    climb(
        bencher,
        &[Common::Usual; 3],
        Methods::PICKUP,
        RankBy::Distance,
    );
}

#[divan::bench(sample_count = 200, sample_size = 50)]
fn any_method_for_a_rare_basket(bencher: Bencher<'_, '_>) {
    let kinds = [Common::Usual, Common::Usual, Common::Rare];
    climb(bencher, &kinds, Methods::ANY, RankBy::Distance);
}

/// Of the 32 nearest that have it.
#[divan::bench(sample_count = 200, sample_size = 50)]
fn cheapest_pickup_of_a_common_basket(bencher: Bencher<'_, '_>) {
    climb(bencher, &[Common::Usual; 3], Methods::PICKUP, RankBy::Cost);
}
