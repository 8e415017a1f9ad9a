//! Holds, commitments and what settles them.

mod world;

use std::sync::Arc;

use proptest::prelude::*;
use tillside_engine::command::{Adjustment, Command, Count, Reserve, SaleDraft, SaleLineDraft};
use tillside_engine::ids::ReservationId;
use tillside_engine::limits::{ENDED_RESERVATION_MS, HOLD_MS_DEFAULT, RECENT_MOVEMENTS_MAX};
use tillside_engine::reject::Rejection;
use tillside_engine::reply::{Reply, Warning};
use tillside_engine::reservation::{Reservation, ReservationState};
use tillside_engine::stock::{CountRefused, MoveReason};
use tillside_engine::units::Time;
use world::build::{count, count_of, line, movement, receipt, sale_event, settling};
use world::{START, World, property};

/// Ten pieces of every product in every store.
fn stocked() -> World {
    let mut world = World::shop();
    for sku in ["p1", "p2", "p3"] {
        for store in ["A", "B", "C"] {
            world.ok(count(sku, store, 10));
        }
    }
    world.wait_ms(1);
    world
}

fn available(world: &World, sku: &str, store: &str) -> i64 {
    world.level(sku, store).available_online() / 1000
}

/// (reserved, committed), in pieces.
fn held(world: &World, sku: &str, store: &str) -> (i64, i64) {
    let level = world.level(sku, store);
    (level.reserved / 1000, level.committed / 1000)
}

fn state(world: &World, id: ReservationId) -> ReservationState {
    world
        .state
        .reservation(id)
        .expect("held before")
        .state_at(world.now)
}

fn sell(world: &mut World, number: i64, lines: Vec<SaleLineDraft>) -> Vec<Warning> {
    match world.sell(SaleDraft {
        lines,
        ..receipt("A", number)
    }) {
        Reply::Ingested { warnings } => warnings.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn confirmed(reply: Reply) -> Arc<Reservation> {
    match reply {
        Reply::Reservation(reservation) => reservation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hold_takes_all_lines_at_the_first_candidate_that_has_them() {
    let mut world = stocked();
    world.ok(count("p2", "A", 1));
    let hold = world.hold("o1", &[("p1", 3), ("p2", 2)], &["A", "B", "C"]);
    assert_eq!(
        (hold.store, hold.state),
        (world.store("B"), ReservationState::Held)
    );
    assert_eq!(
        (hold.created, hold.expire),
        (world.now, world.now.plus_ms(HOLD_MS_DEFAULT))
    );
    assert_eq!(held(&world, "p1", "B"), (3, 0));
    assert_eq!(held(&world, "p1", "A"), (0, 0));
    assert_eq!(
        (available(&world, "p1", "B"), available(&world, "p2", "B")),
        (7, 8)
    );
    assert_eq!(
        *world.state.reservation(hold.id).expect("held"),
        *hold,
        "the reply is what is on record"
    );
    world.assert_recoverable();
}

#[test]
fn lines_of_one_product_are_held_together() {
    let mut world = stocked();
    let split = world.reserve("o1", &[("p1", 6), ("p1", 5)], &["A"]);
    assert_eq!(world.refused(Command::Reserve(split)), Rejection::Contended);
    let hold = world.hold("o1", &[("p1", 6), ("p1", 4)], &["A"]);
    assert_eq!(hold.lines.len(), 2);
    assert_eq!(available(&world, "p1", "A"), 0);
}

#[test]
fn a_hold_takes_everything_or_nothing() {
    let mut world = stocked();
    let none = world.reserve("o1", &[("p1", 1)], &[]);
    assert_eq!(
        world.refused(Command::Reserve(none)),
        Rejection::InsufficientStock
    );
    let lost = world.reserve("o1", &[("p1", 1), ("p2", 11)], &["A", "B", "C"]);
    assert_eq!(world.refused(Command::Reserve(lost)), Rejection::Contended);
    for store in ["A", "B", "C"] {
        assert_eq!(held(&world, "p1", store), (0, 0));
    }
    assert!(world.state.reservations.is_empty());
}

#[test]
fn safety_stock_is_never_held() {
    let mut world = stocked();
    world.ok(Command::SetStockCount(Count {
        safety: Some(4_000),
        ..count_of("p1", "A", 10)
    }));
    let much = world.reserve("o1", &[("p1", 7)], &["A"]);
    assert_eq!(world.refused(Command::Reserve(much)), Rejection::Contended);
    world.hold("o1", &[("p1", 6)], &["A"]);
}

#[test]
fn every_transition_done_twice_is_done_once() {
    let mut world = stocked();
    let hold = world.hold("o1", &[("p1", 4)], &["A"]);
    let first = confirmed(world.ok(Command::ConfirmReservation(hold.id)));
    assert_eq!(
        (first.state, held(&world, "p1", "A")),
        (ReservationState::Confirmed, (0, 4))
    );
    assert!(!world.changes(Command::ConfirmReservation(hold.id)));
    assert_eq!(
        confirmed(world.ok(Command::ConfirmReservation(hold.id))),
        first
    );
    let first = confirmed(world.ok(Command::ReleaseReservation(hold.id)));
    assert_eq!(
        (first.state, held(&world, "p1", "A")),
        (ReservationState::Released, (0, 0))
    );
    assert!(!world.changes(Command::ReleaseReservation(hold.id)));
    assert_eq!(available(&world, "p1", "A"), 10);
    assert_eq!(
        world.refused(Command::ConfirmReservation(hold.id)),
        Rejection::ReservationEnded("released")
    );
    world.assert_recoverable();
}

#[test]
fn nobody_changes_what_does_not_exist() {
    let mut world = stocked();
    let nobody = ReservationId(77);
    for command in [
        Command::ConfirmReservation(nobody),
        Command::ReleaseReservation(nobody),
    ] {
        assert!(matches!(
            world.refused(command),
            Rejection::UnknownReservation { .. }
        ));
    }
}

#[test]
fn a_hold_expires_at_its_very_time_by_read_and_by_timer() {
    let mut world = stocked();
    let hold = world.hold("o1", &[("p1", 4)], &["A"]);
    let other = world.hold("o2", &[("p1", 1)], &["A"]);
    world.wait_ms(HOLD_MS_DEFAULT - 1);
    assert_eq!(state(&world, hold.id), ReservationState::Held);
    world.ok(Command::ConfirmReservation(other.id));
    world.wait_ms(1);
    // By read first: no timer has fired yet, and confirming checks by itself.
    assert_eq!(state(&world, hold.id), ReservationState::Expired);
    assert_eq!(held(&world, "p1", "A"), (4, 1));
    assert_eq!(
        world.step(&Command::ConfirmReservation(hold.id)),
        Err(Rejection::ReservationExpired)
    );
    world.fire_timers();
    assert_eq!(held(&world, "p1", "A"), (0, 1));
    let changes = world.log.len();
    world.fire_timers();
    assert_eq!(world.log.len(), changes, "it expires once");
    assert_eq!(
        world.refused(Command::ConfirmReservation(hold.id)),
        Rejection::ReservationExpired
    );
    assert!(!world.changes(Command::ReleaseReservation(hold.id)));
    world.wait_ms(100 * HOLD_MS_DEFAULT);
    world.fire_timers();
    assert_eq!(state(&world, other.id), ReservationState::Confirmed);
    world.assert_recoverable();
}

#[test]
fn an_ended_reservation_is_forgotten_in_time_and_its_order_starts_anew() {
    let mut world = stocked();
    let kept = world.hold("kept", &[("p1", 1)], &["A"]);
    world.ok(Command::ConfirmReservation(kept.id));
    let [released, expired, fulfilled] = ["o1", "o2", "o3"].map(|order| {
        let hold = world.hold(order, &[("p1", 1)], &["A"]);
        hold.id
    });
    world.ok(Command::ReleaseReservation(released));
    sell(&mut world, 1, vec![settling("p1", 1, fulfilled)]);
    assert_eq!(state(&world, fulfilled), ReservationState::Fulfilled);
    world.wait_ms(HOLD_MS_DEFAULT + ENDED_RESERVATION_MS - 1);
    world.fire_timers();
    for id in [released, expired, fulfilled] {
        assert!(world.state.reservation(id).is_some(), "{id}");
    }
    world.assert_recoverable();
    world.wait_ms(1);
    world.fire_timers();
    for id in [released, expired, fulfilled] {
        assert!(world.state.reservation(id).is_none(), "{id}");
        let refused = world.refused(Command::ReleaseReservation(id));
        assert!(
            matches!(refused, Rejection::UnknownReservation { .. }),
            "{refused}"
        );
    }
    assert_eq!(
        state(&world, kept.id),
        ReservationState::Confirmed,
        "it holds stock"
    );
    assert!(world.state.due_timers(Time(i64::MAX), 9).is_empty());
    world.assert_recoverable();
    let again = world.hold("o1", &[("p1", 1)], &["A"]);
    assert!(again.id > fulfilled, "numbers are never used again");
    // What ends later than that is forgotten with the next look.
    world.ok(Command::ReleaseReservation(kept.id));
    world.fire_timers();
    assert!(world.state.reservation(kept.id).is_none());
    world.assert_recoverable();
}

#[test]
fn a_shopper_is_not_blocked_by_their_own_hold() {
    let mut world = stocked();
    let first = world.hold("o1", &[("p1", 8)], &["A"]);
    let stranger = world.reserve("o2", &[("p1", 3)], &["A"]);
    assert_eq!(
        world.refused(Command::Reserve(stranger)),
        Rejection::Contended
    );
    let second = world.hold("o1", &[("p1", 10), ("p2", 1)], &["A"]);
    assert_ne!(first.id, second.id);
    assert_eq!(state(&world, first.id), ReservationState::Released);
    assert_eq!(
        (held(&world, "p1", "A"), held(&world, "p2", "A")),
        ((10, 0), (1, 0))
    );
    // What cannot be had leaves the earlier hold as it is.
    let much = world.reserve("o1", &[("p1", 11)], &["A", "B"]);
    assert_eq!(world.refused(Command::Reserve(much)), Rejection::Contended);
    assert_eq!(state(&world, second.id), ReservationState::Held);
    // At another store, its own hold helps nothing.
    let third = world.hold("o1", &[("p1", 10)], &["B"]);
    assert_eq!(
        (held(&world, "p1", "A"), held(&world, "p1", "B")),
        ((0, 0), (10, 0))
    );
    assert_eq!(third.store, world.store("B"));
    world.assert_recoverable();
}

#[test]
fn a_confirmed_order_is_not_replaced_until_it_is_released() {
    let mut world = stocked();
    let hold = world.hold("o1", &[("p1", 4)], &["A"]);
    world.ok(Command::ConfirmReservation(hold.id));
    let again = world.reserve("o1", &[("p1", 1)], &["A"]);
    assert!(matches!(
        world.refused(Command::Reserve(again.clone())),
        Rejection::OrderConfirmed { .. }
    ));
    assert_eq!(held(&world, "p1", "A"), (0, 4));
    world.ok(Command::ReleaseReservation(hold.id));
    world.ok(Command::Reserve(again));
    assert_eq!(held(&world, "p1", "A"), (1, 0));
}

#[test]
fn an_expired_hold_no_timer_has_ended_is_replaced_and_given_back_once() {
    let mut world = stocked();
    let first = world.hold("o1", &[("p1", 10)], &["A"]);
    world.wait_ms(HOLD_MS_DEFAULT);
    let again = world.reserve("o1", &[("p1", 10)], &["A"]);
    world
        .step(&Command::Reserve(again))
        .expect("its own hold does not block it");
    assert_ne!(state(&world, first.id), ReservationState::Held);
    assert_eq!(held(&world, "p1", "A"), (10, 0));
    world.fire_timers();
    assert_eq!(held(&world, "p1", "A"), (10, 0));
}

#[test]
fn a_receipt_settles_what_it_hands_over_and_moves_the_stock_once() {
    for confirm in [false, true] {
        let mut world = stocked();
        let hold = world.hold("o1", &[("p1", 4), ("p2", 1)], &["A"]);
        if confirm {
            world.ok(Command::ConfirmReservation(hold.id));
        }
        let total = |world: &World| {
            let (reserved, committed) = held(world, "p1", "A");
            reserved + committed
        };
        // Part of it.
        let command = sale_event(
            "1",
            SaleDraft {
                lines: vec![settling("p1", 1, hold.id)],
                ..receipt("A", 1)
            },
            None,
        );
        world.ok(command.clone());
        assert_eq!(
            (
                total(&world),
                world.level("p1", "A").on_hand,
                available(&world, "p1", "A")
            ),
            (3, 9_000, 6)
        );
        // The same receipt again.
        world.ok(command);
        assert_eq!((total(&world), world.level("p1", "A").on_hand), (3, 9_000));
        // More than is left: the surplus is an ordinary sale.
        assert_eq!(sell(&mut world, 2, vec![settling("p1", 5, hold.id)]), []);
        assert_eq!(
            (
                total(&world),
                world.level("p1", "A").on_hand,
                available(&world, "p1", "A")
            ),
            (0, 4_000, 4)
        );
        assert_ne!(state(&world, hold.id), ReservationState::Fulfilled);
        // The rest.
        sell(&mut world, 3, vec![settling("p2", 1, hold.id)]);
        assert_eq!(state(&world, hold.id), ReservationState::Fulfilled);
        assert_eq!(held(&world, "p2", "A"), (0, 0));
        // Nothing is left to settle, or to give back.
        assert_eq!(
            sell(&mut world, 4, vec![settling("p1", 1, hold.id)]),
            [Warning::ReservationNotSettled { line: 0 }]
        );
        assert_eq!(world.level("p1", "A").on_hand, 3_000);
        assert!(
            !world.changes(Command::ConfirmReservation(hold.id)),
            "the promise was kept"
        );
        assert_eq!(
            world.refused(Command::ReleaseReservation(hold.id)),
            Rejection::ReservationEnded("fulfilled")
        );
        world.wait_ms(2 * HOLD_MS_DEFAULT);
        world.fire_timers();
        assert_eq!(state(&world, hold.id), ReservationState::Fulfilled);
        world.assert_recoverable();
    }
}

#[test]
fn the_lines_of_one_receipt_share_what_is_held() {
    let mut world = stocked();
    let hold = world.hold("o1", &[("p1", 2), ("p1", 2)], &["A"]);
    let lines = vec![settling("p1", 3, hold.id), settling("p1", 3, hold.id)];
    assert_eq!(sell(&mut world, 1, lines), []);
    assert_eq!(
        (held(&world, "p1", "A"), world.level("p1", "A").on_hand),
        ((0, 0), 4_000)
    );
    assert_eq!(state(&world, hold.id), ReservationState::Fulfilled);
}

#[test]
fn a_receipt_for_something_else_settles_nothing_and_says_so() {
    let mut world = stocked();
    let here = world.hold("o1", &[("p1", 1)], &["A"]);
    let elsewhere = world.hold("o2", &[("p1", 1)], &["B"]);
    let expired = world.hold("o3", &[("p1", 1)], &["A"]);
    world.ok(Command::ReleaseReservation(expired.id));
    let lines = vec![
        settling("p2", 1, here.id),
        settling("p1", 1, elsewhere.id),
        settling("p1", 1, ReservationId(77)),
        settling("p1", 1, expired.id),
        settling("p1", -1, here.id),
    ];
    let expect: Vec<_> = (0..5)
        .map(|line| Warning::ReservationNotSettled { line })
        .collect();
    assert_eq!(sell(&mut world, 1, lines), expect);
    assert_eq!(
        (held(&world, "p1", "A"), held(&world, "p1", "B")),
        ((1, 0), (1, 0))
    );
    assert_eq!(
        (
            world.level("p1", "A").on_hand,
            world.level("p2", "A").on_hand
        ),
        (8_000, 9_000)
    );
}

#[test]
fn a_sale_takes_the_goods_of_a_hold_and_the_hold_stays() {
    let mut world = stocked();
    let hold = world.hold("o1", &[("p1", 8)], &["A"]);
    sell(&mut world, 1, vec![line("p1", 5, 500)]);
    assert_eq!(
        (available(&world, "p1", "A"), held(&world, "p1", "A")),
        (-3, (8, 0))
    );
    assert_eq!(state(&world, hold.id), ReservationState::Held);
}

/// What happens on the small world of the model: two products, two stores, three orders.
#[derive(Clone, Debug)]
enum Step {
    Reserve {
        order: usize,
        lines: Vec<(usize, i64)>,
        stores: Vec<usize>,
        hold_ms: i64,
    },
    Confirm(usize),
    Release(usize),
    Sale {
        store: usize,
        lines: Vec<(usize, i64, Option<usize>)>,
        ago_ms: i64,
    },
    Adjust {
        sku: usize,
        store: usize,
        pieces: i64,
        ago_ms: i64,
        damage: bool,
    },
    Count {
        sku: usize,
        store: usize,
        pieces: i64,
        ago_ms: i64,
        safety: Option<i64>,
    },
    Wait(i64),
}

const SKUS: [&str; 2] = ["p1", "p2"];
const STORES: [&str; 2] = ["A", "B"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ago = || prop_oneof![3 => Just(0i64), 1 => 0i64..40];
    let reserve = (
        0usize..3,
        prop::collection::vec((0usize..2, 1i64..6), 1..4),
        prop::collection::vec(0usize..2, 0..3),
        1i64..60,
    );
    let sold = prop::collection::vec((0usize..2, 1i64..4, prop::option::of(0usize..8)), 1..4);
    let step = prop_oneof![
        4 => reserve.prop_map(|(order, lines, stores, hold_ms)| Step::Reserve { order, lines, stores, hold_ms }),
        2 => (0usize..8).prop_map(Step::Confirm),
        2 => (0usize..8).prop_map(Step::Release),
        3 => (0usize..2, sold, ago()).prop_map(|(store, lines, ago_ms)| Step::Sale { store, lines, ago_ms }),
        2 => (0usize..2, 0usize..2, -5i64..8, ago(), prop::bool::weighted(0.2))
            .prop_map(|(sku, store, pieces, ago_ms, damage)| Step::Adjust { sku, store, pieces, ago_ms, damage }),
        2 => (0usize..2, 0usize..2, 0i64..15, ago(), prop::option::weighted(0.2, 0i64..3))
            .prop_map(|(sku, store, pieces, ago_ms, safety)| Step::Count { sku, store, pieces, ago_ms, safety }),
        2 => (1i64..30).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

/// The naive model: a ledger of movements for ever, and reservations as a plain list.
#[derive(Default)]
struct Model {
    now: i64,
    /// (sku, store, when, pieces)
    movements: Vec<(usize, usize, i64, i64)>,
    /// (sku, store, when, pieces)
    counts: Vec<(usize, usize, i64, i64)>,
    damaged: [[i64; 2]; 2],
    safety: [[i64; 2]; 2],
    reservations: Vec<Hold>,
}

#[derive(Clone)]
struct Hold {
    order: usize,
    store: usize,
    lines: Vec<(usize, i64)>,
    state: ReservationState,
    expire: i64,
}

impl Hold {
    fn holds(&self) -> bool {
        matches!(
            self.state,
            ReservationState::Held | ReservationState::Confirmed
        )
    }

    fn left(&self, sku: usize) -> i64 {
        self.lines.iter().filter(|l| l.0 == sku).map(|l| l.1).sum()
    }
}

impl Model {
    fn last_count(&self, sku: usize, store: usize) -> Option<(i64, i64)> {
        let own = self.counts.iter().filter(|c| (c.0, c.1) == (sku, store));
        own.map(|c| (c.2, c.3)).max_by_key(|c| c.0)
    }

    fn on_hand(&self, sku: usize, store: usize) -> i64 {
        let (from, base) = self.last_count(sku, store).unwrap_or((i64::MIN, 0));
        let own = self
            .movements
            .iter()
            .filter(|m| (m.0, m.1) == (sku, store) && m.2 > from);
        base + own.map(|m| m.3).sum::<i64>()
    }

    fn held(&self, sku: usize, store: usize, state: ReservationState) -> i64 {
        self.reservations
            .iter()
            .filter(|r| r.store == store && r.state == state)
            .map(|r| r.left(sku))
            .sum()
    }

    fn available(&self, sku: usize, store: usize) -> i64 {
        self.on_hand(sku, store)
            - self.held(sku, store, ReservationState::Held)
            - self.held(sku, store, ReservationState::Confirmed)
            - self.damaged[sku][store]
            - self.safety[sku][store]
    }

    fn expire(&mut self) {
        for hold in self
            .reservations
            .iter_mut()
            .filter(|r| r.state == ReservationState::Held && r.expire <= self.now)
        {
            hold.state = ReservationState::Expired;
        }
    }

    fn end(&mut self, at: usize, state: ReservationState) {
        self.reservations[at].state = state;
    }

    /// Whether the hold is made.
    fn reserve(
        &mut self,
        order: usize,
        lines: &[(usize, i64)],
        stores: &[usize],
        hold_ms: i64,
    ) -> bool {
        let latest = self.reservations.iter().rposition(|r| r.order == order);
        let own = latest.filter(|at| self.reservations[*at].holds());
        if own.is_some_and(|at| self.reservations[at].state == ReservationState::Confirmed) {
            return false;
        }
        let has_all = |store: &&usize| {
            (0..2).all(|sku| {
                let wanted: i64 = lines.iter().filter(|l| l.0 == sku).map(|l| l.1).sum();
                let credit = own.map_or(0, |at| {
                    let hold = &self.reservations[at];
                    if hold.store == **store {
                        hold.left(sku)
                    } else {
                        0
                    }
                });
                wanted == 0 || self.available(sku, **store) + credit >= wanted
            })
        };
        let Some(store) = stores.iter().find(has_all).copied() else {
            return false;
        };
        if let Some(at) = own {
            self.end(at, ReservationState::Released);
        }
        let expire = self.now + hold_ms;
        self.reservations.push(Hold {
            order,
            store,
            lines: lines.to_vec(),
            state: ReservationState::Held,
            expire,
        });
        true
    }

    fn settle(&mut self, reservation: usize, store: usize, sku: usize, mut pieces: i64) {
        let Some(hold) = self.reservations.get_mut(reservation) else {
            return;
        };
        if hold.store != store || !hold.holds() {
            return;
        }
        for line in hold.lines.iter_mut().filter(|l| l.0 == sku) {
            let taken = pieces.min(line.1);
            line.1 -= taken;
            pieces -= taken;
        }
        if hold.lines.iter().all(|l| l.1 == 0) {
            hold.state = ReservationState::Fulfilled;
        }
    }
}

/// The command of a step.
fn command(world: &World, number: usize, step: &Step) -> Option<Command> {
    let at = |ago_ms: &i64| Time(world.now.0 - ago_ms);
    let id = |number: &usize| ReservationId(*number as u64 + 1);
    Some(match step {
        Step::Wait(_) => return None,
        Step::Reserve {
            order,
            lines,
            stores,
            hold_ms,
        } => {
            let lines: Vec<_> = lines
                .iter()
                .map(|(sku, pieces)| (SKUS[*sku], *pieces))
                .collect();
            let stores: Vec<_> = stores.iter().map(|s| STORES[*s]).collect();
            let reserve = world.reserve(&order.to_string(), &lines, &stores);
            Command::Reserve(Reserve {
                hold_ms: *hold_ms,
                ..reserve
            })
        }
        Step::Confirm(number) => Command::ConfirmReservation(id(number)),
        Step::Release(number) => Command::ReleaseReservation(id(number)),
        Step::Sale {
            store,
            lines,
            ago_ms,
        } => {
            let sold = |(sku, pieces, reservation): &(usize, i64, Option<usize>)| {
                let sold = line(SKUS[*sku], *pieces, 100);
                SaleLineDraft {
                    reservation: reservation.as_ref().map(id),
                    ..sold
                }
            };
            let sale = SaleDraft {
                lines: lines.iter().map(sold).collect(),
                paid: Some(at(ago_ms)),
                ..receipt(STORES[*store], number as i64)
            };
            sale_event(&number.to_string(), sale, None)
        }
        Step::Adjust {
            sku,
            store,
            pieces,
            ago_ms,
            damage,
        } => Command::AdjustStock(Adjustment {
            occurred: Some(at(ago_ms)),
            reason: if *damage {
                MoveReason::Damage
            } else {
                MoveReason::Correction
            },
            ..movement(SKUS[*sku], STORES[*store], *pieces)
        }),
        Step::Count {
            sku,
            store,
            pieces,
            ago_ms,
            safety,
        } => Command::SetStockCount(Count {
            as_of: Some(at(ago_ms)),
            safety: safety.map(|s| s * 1000),
            ..count_of(SKUS[*sku], STORES[*store], *pieces)
        }),
    })
}

proptest! {
    #![proptest_config(property(1000))]

    #[test]
    fn stock_and_reservations_equal_the_naive_model(steps in steps()) {
        let mut world = World::shop();
        let mut model = Model { now: START.0, ..Model::default() };
        for (number, step) in steps.iter().enumerate() {
            if let Step::Wait(ms) = step {
                world.wait_ms(*ms);
                model.now += ms;
            }
            // By read, before any timer.
            model.expire();
            for (at, hold) in model.reservations.iter().enumerate() {
                prop_assert_eq!(state(&world, ReservationId(at as u64 + 1)), hold.state);
            }
            let Some(command) = command(&world, number, step) else { continue };
            let went = world.run(command);
            let expect = match step {
                Step::Wait(_) => true,
                Step::Reserve { order, lines, stores, hold_ms } => model.reserve(*order, lines, stores, *hold_ms),
                Step::Confirm(at) => match model.reservations.get(*at).map(|r| r.state) {
                    Some(ReservationState::Held) => {
                        model.end(*at, ReservationState::Confirmed);
                        true
                    }
                    Some(ReservationState::Confirmed | ReservationState::Fulfilled) => true,
                    _ => false,
                },
                Step::Release(at) => match model.reservations.get(*at).map(|r| r.state) {
                    Some(ReservationState::Held | ReservationState::Confirmed) => {
                        model.end(*at, ReservationState::Released);
                        true
                    }
                    Some(ReservationState::Released | ReservationState::Expired) => true,
                    _ => false,
                },
                Step::Sale { store, lines, ago_ms } => {
                    for (sku, pieces, reservation) in lines {
                        if let Some(at) = reservation {
                            model.settle(*at, *store, *sku, *pieces);
                        }
                        model.movements.push((*sku, *store, model.now - ago_ms, -pieces));
                    }
                    true
                }
                Step::Adjust { sku, store, pieces, ago_ms, damage } => {
                    let possible = !damage || model.damaged[*sku][*store] + pieces >= 0;
                    if possible && *damage {
                        model.damaged[*sku][*store] += pieces;
                    } else if possible {
                        model.movements.push((*sku, *store, model.now - ago_ms, *pieces));
                    }
                    possible
                }
                Step::Count { sku, store, pieces, ago_ms, safety } => {
                    let as_of = model.now - ago_ms;
                    let newer = model.last_count(*sku, *store).is_none_or(|(last, _)| as_of > last);
                    let moved = model.movements.iter().filter(|m| (m.0, m.1) == (*sku, *store)).count();
                    let forgotten = matches!(went, Err(Rejection::CountTooOld(CountRefused::MovementsForgotten(_))));
                    prop_assert!(!forgotten || moved > RECENT_MOVEMENTS_MAX, "nothing can be forgotten yet");
                    if newer && !forgotten {
                        model.counts.push((*sku, *store, as_of, *pieces));
                        let kept = model.safety[*sku][*store];
                        model.safety[*sku][*store] = safety.unwrap_or(kept);
                    }
                    newer && !forgotten
                }
            };
            prop_assert_eq!(went.is_ok(), expect, "{:?}: {:?}", step, went);
            for (sku, name) in SKUS.iter().enumerate() {
                for (store, at) in STORES.iter().enumerate() {
                    let level = world.level(name, at);
                    prop_assert_eq!(level.on_hand, model.on_hand(sku, store) * 1000);
                    prop_assert_eq!(level.reserved, model.held(sku, store, ReservationState::Held) * 1000);
                    prop_assert_eq!(level.committed, model.held(sku, store, ReservationState::Confirmed) * 1000);
                    prop_assert_eq!(level.available_online(), model.available(sku, store) * 1000);
                }
            }
        }
        prop_assert_eq!(world.state.reservations.len(), model.reservations.len());
        world.assert_recoverable();
    }
}
