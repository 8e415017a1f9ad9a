//! Runs one operation many times, for a counter of instructions around it: `benches/instructions.sh`. Instructions
//! hardly depend on what else the machine does, so that they guard against regressions where times cannot.
//! It measures nothing itself.

use std::hint::black_box;
use std::process::ExitCode;

use tillside_benches::shopping::{basket, card, place, question, reserve, sale, wanted};
use tillside_benches::world::{Common, NOW, Numbers, SEED, Size, World};
use tillside_engine::apply::{Touched, apply};
use tillside_engine::command::Command;
use tillside_engine::decide::{Rules, decide};
use tillside_engine::ids::{CustomerId, StoreId};
use tillside_engine::offer::Channel;
use tillside_engine::ranking::{OfferQuery, rank_offers};
use tillside_engine::recognition::recognise;
use tillside_engine::routing::plan;

/// Operations in a run; the script divides by it.
const TIMES: u64 = 1_000;

const OPERATIONS: [&str; 5] = ["recognise", "reserve", "sale", "route", "rank"];

/// What the counter counts: it starts where this function is entered and stops where it is left.
#[inline(never)]
fn tillside_measured(run: &mut dyn FnMut()) {
    run();
}

fn decide_all(world: &World, commands: &[Command]) {
    let rules = Rules::default();
    let mut touched = Touched::default();
    for command in commands {
        let ctx = world.next_ctx();
        if let Ok((reply, events)) = decide(&world.state, &rules, command, &ctx) {
            apply(&world.state, &events, &ctx, &mut touched);
            black_box(reply);
        }
        touched.clear();
    }
}

fn main() -> ExitCode {
    let operation = std::env::args().nth(1).unwrap_or_default();
    let world = World::new(Size {
        stores: 200,
        products: 500,
        customers: 2_000,
        offers: 200,
    });
    let mut numbers = Numbers::new(SEED);
    match operation.as_str() {
        "recognise" => {
            let cards: Vec<_> = (0..TIMES).map(|_| card(numbers.below(2_000))).collect();
            tillside_measured(&mut || {
                cards
                    .iter()
                    .for_each(|card| drop(black_box(recognise(&world.state, &[*card]))));
            });
        }
        "reserve" => {
            let commands: Vec<_> = (0..TIMES)
                .map(|i| reserve(&world, &mut numbers, i))
                .collect();
            tillside_measured(&mut || decide_all(&world, &commands));
        }
        "sale" => {
            let commands: Vec<_> = (0..TIMES).map(|i| sale(&world, &mut numbers, i)).collect();
            tillside_measured(&mut || decide_all(&world, &commands));
        }
        "route" => {
            let mut ask = |_| {
                (
                    place(&mut numbers),
                    wanted(&world, &mut numbers, &[Common::Usual; 3]),
                )
            };
            let asked: Vec<_> = (0..TIMES).map(&mut ask).collect();
            let ask_all = || {
                for (origin, lines) in &asked {
                    black_box(plan(&world.state, &question(*origin, lines)));
                }
            };
            // The first question of a grid cell makes its list.
            ask_all();
            tillside_measured(&mut || ask_all());
        }
        "rank" => {
            let commands: Vec<_> = (0..TIMES).map(|i| sale(&world, &mut numbers, i)).collect();
            decide_all(&world, &commands);
            let baskets: Vec<_> = (0..TIMES)
                .map(|_| basket(&world, &mut numbers, 10))
                .collect();
            let customer = world.state.customer(CustomerId(1));
            tillside_measured(&mut || {
                for basket in &baskets {
                    let query = OfferQuery {
                        customer: customer.as_deref(),
                        store: Some(StoreId(1)),
                        channel: Channel::Store,
                        basket,
                        max_offers: 3,
                        now: NOW,
                    };
                    black_box(rank_offers(&world.state, &query));
                }
            });
        }
        _ => {
            eprintln!("usage: tillside-instructions {}", OPERATIONS.join("|"));
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
