//! The five nearest of 2,000 stores within 50 km that have three products, of 20,000.

use std::sync::LazyLock;

use divan::Bencher;
use tillside_benches::shopping::{place, question, wanted};
use tillside_benches::world::{Common, Numbers, SEED, Size, World};
use tillside_engine::routing::{PlanQuery, plan};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

static WORLD: LazyLock<World> = LazyLock::new(|| {
    World::new(Size {
        stores: 2_000,
        products: 20_000,
        customers: 0,
        offers: 0,
    })
});

fn main() {
    LazyLock::force(&WORLD);
    divan::main();
}

fn route(
    bencher: Bencher<'_, '_>,
    kinds: &[Common],
    change: impl Fn(PlanQuery<'_>) -> PlanQuery<'_>,
) {
    let mut numbers = Numbers::new(SEED);
    bencher
        .with_inputs(|| (place(&mut numbers), wanted(&WORLD, &mut numbers, kinds)))
        .bench_local_refs(|(origin, lines)| plan(&WORLD.state, &change(question(*origin, lines))));
}

/// Four of five stores have each product.
#[divan::bench(sample_count = 200, sample_size = 20)]
fn common_basket(bencher: Bencher<'_, '_>) {
    route(bencher, &[Common::Usual; 3], |query| query);
}

/// The same, for one store only, as a hold asks.
#[divan::bench(sample_count = 200, sample_size = 20)]
fn common_basket_nearest_store(bencher: Bencher<'_, '_>) {
    route(bencher, &[Common::Usual; 3], |query| PlanQuery {
        max_options: 1,
        ..query
    });
}

/// One store of ten has one of the products.
#[divan::bench(sample_count = 200, sample_size = 20)]
fn rare_basket(bencher: Bencher<'_, '_>) {
    route(
        bencher,
        &[Common::Usual, Common::Usual, Common::Rare],
        |query| query,
    );
}

/// No store has it all, however far: every store is looked at.
#[divan::bench(sample_count = 200, sample_size = 20)]
fn basket_that_is_nowhere(bencher: Bencher<'_, '_>) {
    route(bencher, &[Common::Scarce; 3], |query| PlanQuery {
        limit_mm: u64::MAX,
        ..query
    });
}
