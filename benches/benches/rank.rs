//! The three best of 200 offers for a basket of ten lines.

use std::sync::{Arc, LazyLock};

use divan::Bencher;
use tillside_benches::shopping::{basket, sale};
use tillside_benches::world::{NOW, Numbers, SEED, Size, World};
use tillside_engine::apply::{Touched, apply};
use tillside_engine::customer::Customer;
use tillside_engine::decide::{Rules, decide};
use tillside_engine::ids::{CustomerId, StoreId};
use tillside_engine::offer::Channel;
use tillside_engine::ranking::{OfferQuery, rank_offers};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Ten customers with some seventy receipts each: full lists of favourites.
static WORLD: LazyLock<World> = LazyLock::new(|| {
    let world = World::new(Size {
        stores: 20,
        products: 2_000,
        customers: 10,
        offers: 200,
    });
    let mut numbers = Numbers::new(SEED);
    let mut touched = Touched::default();
    for number in 0..1_000 {
        let ctx = world.next_ctx();
        let sale = sale(&world, &mut numbers, number);
        if let Ok((_, events)) = decide(&world.state, &Rules::default(), &sale, &ctx) {
            apply(&world.state, &events, &ctx, &mut touched);
        }
    }
    world
});

fn main() {
    LazyLock::force(&WORLD);
    divan::main();
}

fn rank(bencher: Bencher<'_, '_>, customer: Option<Arc<Customer>>) {
    let mut numbers = Numbers::new(SEED);
    bencher
        .with_inputs(|| basket(&WORLD, &mut numbers, 10))
        .bench_local_refs(|basket| {
            let query = OfferQuery {
                customer: customer.as_deref(),
                store: Some(StoreId(1)),
                channel: Channel::Store,
                basket,
                max_offers: 3,
                now: NOW,
            };
            rank_offers(&WORLD.state, &query)
        });
}

/// From context alone.
#[divan::bench(sample_count = 200, sample_size = 20)]
fn anonymous(bencher: Bencher<'_, '_>) {
    rank(bencher, None);
}

/// With a full history.
#[divan::bench(sample_count = 200, sample_size = 20)]
fn personal(bencher: Bencher<'_, '_>) {
    rank(bencher, WORLD.state.customer(CustomerId(1)));
}
