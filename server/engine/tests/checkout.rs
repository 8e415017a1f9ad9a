//! Checkouts: revisions of one basket, and how they end.

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tillside_engine::command::{Command, Reserve};
use tillside_engine::limits::{CLOSED_CHECKOUT_MS, HOLD_MS_DEFAULT};
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::reservation::{CheckoutResult, Reservation, ReservationState};
use world::build::count;
use world::{World, property};

fn stocked() -> World {
    let mut world = World::shop();
    world.ok(count("p1", "A", 10));
    world.ok(count("p1", "B", 10));
    world.wait_ms(1);
    world
}

fn evaluation(world: &World, id: &str, revision: i64, pieces: i64, stores: &[&str]) -> Command {
    let reserve = world.reserve(id, &[("p1", pieces)], stores);
    Command::Reserve(Reserve {
        checkout_revision: Some(revision),
        ..reserve
    })
}

/// (superseded, what is held).
fn evaluate(
    world: &mut World,
    id: &str,
    revision: i64,
    pieces: i64,
    stores: &[&str],
) -> (bool, Option<Arc<Reservation>>) {
    let command = evaluation(world, id, revision, pieces, stores);
    match world.ok(command) {
        Reply::CheckoutHold {
            superseded,
            reservation,
        } => (superseded, reservation),
        other => panic!("{other:?}"),
    }
}

fn close(
    world: &mut World,
    id: &str,
    result: CheckoutResult,
) -> (CheckoutResult, Option<ReservationState>) {
    match world.ok(Command::CloseCheckout {
        checkout_id: id.into(),
        result,
    }) {
        Reply::CheckoutClosed {
            result,
            reservation,
        } => (result, reservation.map(|r| r.state)),
        other => panic!("{other:?}"),
    }
}

fn reserved(world: &World, store: &str) -> i64 {
    world.level("p1", store).reserved / 1000
}

#[test]
fn a_later_revision_replaces_the_hold_of_the_earlier() {
    let mut world = stocked();
    let (_, first) = evaluate(&mut world, "c1", 1, 4, &["A"]);
    let (superseded, second) = evaluate(&mut world, "c1", 2, 10, &["A"]);
    assert!(!superseded && first.map(|r| r.id) != second.map(|r| r.id));
    assert_eq!(reserved(&world, "A"), 10);
    evaluate(&mut world, "c1", 3, 2, &["B"]);
    assert_eq!((reserved(&world, "A"), reserved(&world, "B")), (0, 2));
    // The same revision again, as a till repeats it: one hold still.
    evaluate(&mut world, "c1", 3, 2, &["B"]);
    assert_eq!((reserved(&world, "A"), reserved(&world, "B")), (0, 2));
    world.assert_recoverable();
}

#[test]
fn an_earlier_revision_is_ignored() {
    let mut world = stocked();
    evaluate(&mut world, "c1", 5, 4, &["A"]);
    let changes = world.log.len();
    assert_eq!(evaluate(&mut world, "c1", 4, 9, &["B"]), (true, None));
    assert_eq!(evaluate(&mut world, "c1", 4, 9, &[]), (true, None));
    assert_eq!(
        (
            world.log.len(),
            reserved(&world, "A"),
            reserved(&world, "B")
        ),
        (changes, 4, 0)
    );
}

#[test]
fn a_revision_nothing_fits_gives_the_earlier_hold_back() {
    let mut world = stocked();
    evaluate(&mut world, "c1", 1, 4, &["A"]);
    assert_eq!(evaluate(&mut world, "c1", 2, 99, &[]), (false, None));
    assert_eq!(reserved(&world, "A"), 0);
    assert_eq!(evaluate(&mut world, "c1", 1, 4, &["A"]), (true, None));
    world.assert_recoverable();
}

#[test]
fn a_lost_candidate_leaves_everything_as_it_was() {
    let mut world = stocked();
    evaluate(&mut world, "c1", 1, 4, &["A"]);
    let lost = evaluation(&world, "c1", 2, 11, &["A", "B"]);
    assert_eq!(world.refused(lost), Rejection::Contended);
    assert_eq!(reserved(&world, "A"), 4);
    assert!(!evaluate(&mut world, "c1", 1, 4, &["A"]).0);
}

#[test]
fn closing_confirms_or_gives_back_and_the_first_result_stands() {
    let mut world = stocked();
    evaluate(&mut world, "c1", 1, 4, &["A"]);
    evaluate(&mut world, "c2", 1, 4, &["A"]);
    let paid = (CheckoutResult::Completed, Some(ReservationState::Confirmed));
    assert_eq!(close(&mut world, "c1", CheckoutResult::Completed), paid);
    assert_eq!(close(&mut world, "c1", CheckoutResult::Cancelled), paid);
    let given_up = (CheckoutResult::Cancelled, Some(ReservationState::Released));
    assert_eq!(close(&mut world, "c2", CheckoutResult::Cancelled), given_up);
    assert_eq!(close(&mut world, "c2", CheckoutResult::Completed), given_up);
    assert_eq!(
        (reserved(&world, "A"), world.level("p1", "A").committed),
        (0, 4_000)
    );
    for id in ["c1", "c2"] {
        assert_eq!(evaluate(&mut world, id, 9, 1, &["B"]), (true, None));
    }
    assert_eq!(reserved(&world, "B"), 0);
    world.assert_recoverable();
}

#[test]
fn closing_what_was_never_held_is_remembered() {
    let mut world = stocked();
    assert_eq!(
        close(&mut world, "c9", CheckoutResult::Cancelled),
        (CheckoutResult::Cancelled, None)
    );
    assert_eq!(evaluate(&mut world, "c9", 1, 1, &["A"]), (true, None));
}

#[test]
fn a_closed_checkout_is_forgotten_in_time() {
    let mut world = stocked();
    evaluate(&mut world, "c1", 1, 4, &["A"]);
    close(&mut world, "c1", CheckoutResult::Completed);
    world.wait_ms(CLOSED_CHECKOUT_MS - 1);
    world.fire_timers();
    assert_eq!(world.state.checkouts.len(), 1);
    world.wait_ms(1);
    world.fire_timers();
    assert!(world.state.checkouts.is_empty());
    assert!(world.state.next_timer().is_none());
    // What was paid stays paid.
    assert_eq!(world.level("p1", "A").committed, 4_000);
    world.assert_recoverable();
}

#[derive(Clone, Debug)]
enum Step {
    Evaluate {
        checkout: usize,
        revision: i64,
        pieces: i64,
        fits: bool,
    },
    Close {
        checkout: usize,
        result: CheckoutResult,
    },
    Wait(i64),
}

/// The naive model of one checkout: what was last taken.
#[derive(Clone, Default)]
struct Model {
    revision: i64,
    closed: Option<CheckoutResult>,
    /// (pieces, expires); `None`: nothing is held.
    held: Option<(i64, i64)>,
    committed: i64,
}

proptest! {
    #![proptest_config(property(1000))]

    #[test]
    fn checkouts_equal_the_naive_model(steps in prop::collection::vec(prop_oneof![
        5 => (0usize..3, 1i64..6, 1i64..4, prop::bool::weighted(0.8))
            .prop_map(|(checkout, revision, pieces, fits)| Step::Evaluate { checkout, revision, pieces, fits }),
        1 => (0usize..3, prop_oneof![Just(CheckoutResult::Completed), Just(CheckoutResult::Cancelled)])
            .prop_map(|(checkout, result)| Step::Close { checkout, result }),
        1 => (1i64..HOLD_MS_DEFAULT).prop_map(Step::Wait),
    ], 1..40)) {
        let mut world = stocked();
        let mut models: BTreeMap<usize, Model> = BTreeMap::new();
        for step in &steps {
            for model in models.values_mut() {
                if model.held.is_some_and(|(_, expire)| expire <= world.now.0) {
                    model.held = None;
                }
            }
            match step {
                Step::Wait(ms) => world.wait_ms(*ms),
                Step::Evaluate { checkout, revision, pieces, fits } => {
                    let model = models.entry(*checkout).or_default();
                    let stores: &[&str] = if *fits { &["A"] } else { &[] };
                    let (superseded, hold) = evaluate(&mut world, &checkout.to_string(), *revision, *pieces, stores);
                    let late = model.closed.is_some() || *revision < model.revision;
                    prop_assert_eq!(superseded, late);
                    prop_assert_eq!(hold.is_some(), !late && *fits);
                    if !late {
                        model.revision = *revision;
                        model.held = fits.then_some((*pieces, world.now.0 + HOLD_MS_DEFAULT));
                    }
                }
                Step::Close { checkout, result } => {
                    let model = models.entry(*checkout).or_default();
                    let command = Command::CloseCheckout { checkout_id: checkout.to_string().into(), result: *result };
                    let went = world.run(command);
                    prop_assert!(went.is_ok(), "{:?}", went);
                    if model.closed.is_some() {
                        continue;
                    }
                    model.closed = Some(*result);
                    if let (Some((pieces, _)), CheckoutResult::Completed) = (model.held.take(), *result) {
                        model.committed = pieces;
                    }
                }
            }
            world.fire_timers();
            let now = world.now.0;
            let held = models.values().filter_map(|m| m.held).filter(|h| h.1 > now).map(|h| h.0).sum::<i64>();
            prop_assert_eq!(reserved(&world, "A"), held);
            prop_assert_eq!(world.level("p1", "A").committed / 1000, models.values().map(|m| m.committed).sum::<i64>());
        }
        world.assert_recoverable();
    }
}

#[test]
fn a_checkout_closes_as_paid_even_where_its_hold_ran_out() {
    let mut world = stocked();
    let (_, held) = evaluate(&mut world, "basket", 1, 2, &["A"]);
    assert!(held.is_some());
    world.wait_ms(HOLD_MS_DEFAULT + 1);
    assert_eq!(
        close(&mut world, "basket", CheckoutResult::Completed),
        (CheckoutResult::Completed, Some(ReservationState::Expired))
    );
    assert_eq!(
        close(&mut world, "basket", CheckoutResult::Cancelled).0,
        CheckoutResult::Completed,
        "the first time counts"
    );
}
