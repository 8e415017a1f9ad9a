//! What the sequencer does with a command: decide, and decide and apply.

use std::hint::black_box;
use std::sync::LazyLock;

use divan::Bencher;
use tillside_benches::shopping::{reserve, sale};
use tillside_benches::world::{Numbers, SEED, Size, World};
use tillside_engine::apply::{Touched, apply};
use tillside_engine::command::Command;
use tillside_engine::decide::{Rules, decide};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 2,000 stores, 20,000 products, five million levels.
static WORLD: LazyLock<World> = LazyLock::new(|| {
    World::new(Size {
        stores: 2_000,
        products: 20_000,
        customers: 100_000,
        offers: 0,
    })
});

fn main() {
    LazyLock::force(&WORLD);
    divan::main();
}

/// Commands are numbered through all benchmarks, because a state takes each fact once.
fn made(make: impl Fn(&World, &mut Numbers, u64) -> Command, salt: u64) -> impl FnMut() -> Command {
    let mut numbers = Numbers::new(SEED ^ salt);
    let mut next = salt << 32;
    move || {
        next += 1;
        make(&WORLD, &mut numbers, next)
    }
}

fn only_decide(bencher: Bencher<'_, '_>, commands: impl FnMut() -> Command) {
    let rules = Rules::default();
    let ctx = WORLD.next_ctx();
    bencher
        .with_inputs(commands)
        .bench_local_refs(|command| decide(&WORLD.state, &rules, black_box(command), &ctx));
}

fn decide_and_apply(bencher: Bencher<'_, '_>, commands: impl FnMut() -> Command) {
    let rules = Rules::default();
    let mut touched = Touched::default();
    bencher.with_inputs(commands).bench_local_refs(|command| {
        let ctx = WORLD.next_ctx();
        let decided = decide(&WORLD.state, &rules, command, &ctx);
        if let Ok((_, events)) = &decided {
            apply(&WORLD.state, events, &ctx, &mut touched);
        }
        touched.clear();
        decided
    });
}

/// Three lines at the first of eight stores that has them.
#[divan::bench(sample_count = 200, sample_size = 500)]
fn reserve_three_lines(bencher: Bencher<'_, '_>) {
    only_decide(bencher, made(reserve, 1));
}

/// The same, applied.
#[divan::bench(sample_count = 200, sample_size = 500)]
fn reserve_three_lines_applied(bencher: Bencher<'_, '_>) {
    decide_and_apply(bencher, made(reserve, 2));
}

/// A receipt.
#[divan::bench(sample_count = 200, sample_size = 500)]
fn sale_of_ten_lines(bencher: Bencher<'_, '_>) {
    only_decide(bencher, made(sale, 3));
}

/// The same, applied.
#[divan::bench(sample_count = 200, sample_size = 500)]
fn sale_of_ten_lines_applied(bencher: Bencher<'_, '_>) {
    decide_and_apply(bencher, made(sale, 4));
}
