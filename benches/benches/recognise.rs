//! Who is this? Among a million customers.

use std::hint::black_box;
use std::sync::LazyLock;

use divan::Bencher;
use tillside_benches::shopping::card;
use tillside_benches::world::{Numbers, SEED, Size, World, card_number, index_key};
use tillside_engine::identity::{IdentifierKind, IdentityRules};
use tillside_engine::recognition::recognise;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

static WORLD: LazyLock<World> = LazyLock::new(|| {
    World::new(Size {
        stores: 1,
        products: 0,
        customers: 1_000_000,
        offers: 0,
    })
});

fn main() {
    LazyLock::force(&WORLD);
    divan::main();
}

/// The index entry at hand: one random customer of a million.
#[divan::bench(sample_count = 200, sample_size = 500)]
fn known_card(bencher: Bencher<'_, '_>) {
    let mut numbers = Numbers::new(SEED);
    let cards: Vec<_> = (0..100_000)
        .map(|_| card(numbers.below(WORLD.size.customers)))
        .collect();
    let mut next = cards.iter().cycle();
    bencher
        .with_inputs(|| next.next().copied().unwrap_or(cards[0]))
        .bench_local_values(|card| recognise(&WORLD.state, black_box(&[card])));
}

/// From what the till sent: normal form, keyed hash, customer.
#[divan::bench(sample_count = 200, sample_size = 500)]
fn card_as_text(bencher: Bencher<'_, '_>) {
    let mut numbers = Numbers::new(SEED);
    let (rules, key) = (IdentityRules::default(), index_key());
    bencher
        .with_inputs(|| card_number(numbers.below(WORLD.size.customers)))
        .bench_local_refs(|text| {
            let identifier = rules
                .normalise(IdentifierKind::LoyaltyCard, text)
                .expect("a card");
            recognise(&WORLD.state, &[(identifier.kind, key.hash(&identifier))])
        });
}

/// Nobody has this card.
#[divan::bench(sample_count = 200, sample_size = 500)]
fn unknown_card(bencher: Bencher<'_, '_>) {
    let mut numbers = Numbers::new(SEED);
    let beyond = WORLD.size.customers;
    bencher
        .with_inputs(|| card(beyond + numbers.below(beyond)))
        .bench_local_values(|card| recognise(&WORLD.state, black_box(&[card])));
}
