//! Orders in parts beside a naive model that knows no parts' lists, only which holds were made together.

mod world;

use proptest::prelude::*;
use tillside_engine::command::{Command, Reserve};
use tillside_engine::ids::ReservationId;
use tillside_engine::limits::HOLD_MS_DEFAULT;
use tillside_engine::location_terms::Method;
use tillside_engine::order_command::{OrderCommand, OrderStep};
use tillside_engine::reservation::ReservationState as At;
use world::build::{Part, count, split};
use world::{World, property};

fn step(id: ReservationId, step: OrderStep) -> Command {
    let etag = None;
    Command::Order(Box::new(OrderCommand { id, etag, step }))
}

/// What happens in the small world of the model: two products, two stores, two orders.
#[derive(Clone, Debug)]
enum Happens {
    /// An order at one store.
    Whole {
        order: usize,
        pieces: [i64; 2],
        store: usize,
    },
    /// Each product from a store of its own; perhaps the same one.
    Split {
        order: usize,
        pieces: [i64; 2],
        stores: [usize; 2],
        hold_ms: i64,
    },
    Confirm(usize),
    Release(usize),
    Extend(usize, i64),
    Cancel(usize),
    Pick(usize),
    Count {
        sku: usize,
        store: usize,
        pieces: i64,
    },
    Wait(i64),
}

const SKUS: [&str; 2] = ["p1", "p2"];
const STORES: [&str; 2] = ["A", "B"];

fn happens() -> impl Strategy<Value = Vec<Happens>> {
    let pieces = || [1i64..5, 1i64..5];
    let one = prop_oneof![
        2 => (0usize..2, pieces(), 0usize..2)
            .prop_map(|(order, pieces, store)| Happens::Whole { order, pieces, store }),
        6 => (0usize..2, pieces(), [0usize..2, 0usize..2], 1i64..60)
            .prop_map(|(order, pieces, stores, hold_ms)| Happens::Split { order, pieces, stores, hold_ms }),
        2 => (0usize..9).prop_map(Happens::Confirm),
        2 => (0usize..9).prop_map(Happens::Release),
        2 => (0usize..9, 1i64..90).prop_map(|(at, ms)| Happens::Extend(at, ms)),
        1 => (0usize..2).prop_map(Happens::Cancel),
        1 => (0usize..9).prop_map(Happens::Pick),
        2 => (0usize..2, 0usize..2, 0i64..9)
            .prop_map(|(sku, store, pieces)| Happens::Count { sku, store, pieces }),
        3 => (1i64..40).prop_map(Happens::Wait),
    ];
    prop::collection::vec(one, 1..50)
}

/// A part in the naive model.
#[derive(Clone, Debug)]
struct Piece {
    order: usize,
    /// Which of the order's holds it belongs to.
    hold: usize,
    store: usize,
    pieces: [i64; 2],
    state: At,
    expire: i64,
}

/// A plain list of parts; those of one hold belong together, and that is all there is to it.
#[derive(Default)]
struct Model {
    now: i64,
    on_hand: [[i64; 2]; 2],
    all: Vec<Piece>,
    holds: usize,
}

impl Model {
    fn expire(&mut self) {
        for piece in &mut self.all {
            if piece.state == At::Held && piece.expire <= self.now {
                piece.state = At::Expired;
            }
        }
    }

    fn free(&self, sku: usize, store: usize) -> i64 {
        let holds = |p: &&Piece| p.store == store && p.state.holds_stock();
        let held: i64 = self.all.iter().filter(holds).map(|p| p.pieces[sku]).sum();
        self.on_hand[sku][store] - held
    }

    /// The parts of the order's last hold.
    fn current(&self, order: usize) -> Vec<usize> {
        let last = self.all.iter().rfind(|p| p.order == order).map(|p| p.hold);
        let ours = |at: &usize| Some(self.all[*at].hold) == last;
        (0..self.all.len()).filter(ours).collect()
    }

    fn together(&self, at: usize) -> Vec<usize> {
        let same = |other: &usize| self.all[*other].hold == self.all[at].hold;
        (0..self.all.len()).filter(same).collect()
    }

    /// Gives up what the order holds, tries the whole new hold, and takes all of it back where it does not fit.
    fn reserve(&mut self, order: usize, parts: &[(usize, [i64; 2])], hold_ms: i64) -> bool {
        let current = self.current(order);
        let at_work = |at: &usize| {
            let state = self.all[*at].state;
            state.is_committed() && state != At::NeedsPutBack
        };
        if current.iter().any(at_work) {
            return false;
        }
        let before = self.all.clone();
        for at in current {
            if self.all[at].state == At::Held {
                self.all[at].state = At::Released;
            }
        }
        for (store, pieces) in parts {
            if (0..2).any(|sku| pieces[sku] > 0 && pieces[sku] > self.free(sku, *store)) {
                self.all = before;
                return false;
            }
            self.all.push(Piece {
                order,
                hold: self.holds,
                store: *store,
                pieces: *pieces,
                state: At::Held,
                expire: self.now + hold_ms,
            });
        }
        self.holds += 1;
        true
    }

    /// Takes every part to what `to` says of its state, or none where it says nothing of one.
    fn change(&mut self, parts: &[usize], to: impl Fn(At) -> Option<At>) -> bool {
        if parts.is_empty() || parts.iter().any(|at| to(self.all[*at].state).is_none()) {
            return false;
        }
        for at in parts {
            self.all[*at].state = to(self.all[*at].state).expect("asked before");
        }
        true
    }

    fn step(&mut self, step: &Happens) -> bool {
        let known = |at: usize, model: &Model| match at < model.all.len() {
            true => model.together(at),
            false => Vec::new(),
        };
        match *step {
            Happens::Whole {
                order,
                pieces,
                store,
            } => self.reserve(order, &[(store, pieces)], HOLD_MS_DEFAULT),
            Happens::Split {
                order,
                pieces: [one, other],
                stores,
                hold_ms,
            } => {
                let parts = [(stores[0], [one, 0]), (stores[1], [0, other])];
                self.reserve(order, &parts, hold_ms)
            }
            Happens::Confirm(at) => {
                let parts = known(at, self);
                let goes_on =
                    |at: &usize| matches!(self.all[*at].state, At::Confirmed | At::Picking);
                if parts.iter().any(goes_on) {
                    return true;
                }
                self.change(&parts, |state| (state == At::Held).then_some(At::Confirmed))
            }
            Happens::Release(at) => {
                let parts = known(at, self);
                self.change(&parts, |state| match state {
                    At::Held | At::Confirmed | At::Released => Some(At::Released),
                    At::Expired => Some(At::Expired),
                    _ => None,
                })
            }
            Happens::Extend(at, ms) => {
                let parts = known(at, self);
                let goes_on = |at: &usize| {
                    matches!(self.all[*at].state, At::Held | At::Confirmed | At::Picking)
                };
                let until = self.now + ms;
                let some = parts.iter().any(goes_on);
                for at in parts {
                    if self.all[at].state == At::Held {
                        self.all[at].expire = self.all[at].expire.max(until);
                    }
                }
                some
            }
            Happens::Cancel(order) => {
                let parts = self.current(order);
                self.change(&parts, |state| match state {
                    At::Held | At::Confirmed => Some(At::Released),
                    At::Picking => Some(At::NeedsPutBack),
                    ended => Some(ended),
                })
            }
            Happens::Pick(at) => match self.all.get_mut(at) {
                Some(piece) if matches!(piece.state, At::Confirmed | At::Picking) => {
                    piece.state = At::Picking;
                    true
                }
                _ => false,
            },
            Happens::Count { sku, store, pieces } => {
                self.on_hand[sku][store] = pieces;
                true
            }
            Happens::Wait(_) => true,
        }
    }
}

fn command(world: &World, happens: &Happens) -> Option<Command> {
    let id = |at: &usize| ReservationId(*at as u64 + 1);
    let name = |order: &usize| order.to_string();
    let lines = |pieces: &[i64; 2]| [(SKUS[0], pieces[0]), (SKUS[1], pieces[1])];
    Some(match happens {
        Happens::Wait(_) => return None,
        Happens::Whole {
            order,
            pieces,
            store,
        } => Command::Reserve(world.reserve(&name(order), &lines(pieces), &[STORES[*store]])),
        Happens::Split {
            order,
            pieces,
            stores,
            hold_ms,
        } => {
            let parts: [Part<'_>; 2] = [
                (STORES[stores[0]], Method::Pickup, &[0]),
                (STORES[stores[1]], Method::ShipFromStore, &[1]),
            ];
            Command::Reserve(Reserve {
                hold_ms: *hold_ms,
                ..split(world, &name(order), &lines(pieces), &parts)
            })
        }
        Happens::Confirm(at) => Command::ConfirmReservation(id(at)),
        Happens::Release(at) => Command::ReleaseReservation(id(at)),
        Happens::Extend(at, hold_ms) => step(id(at), OrderStep::Extend { hold_ms: *hold_ms }),
        Happens::Cancel(order) => Command::CancelOrder {
            order_id: name(order).into(),
        },
        Happens::Pick(at) => step(id(at), OrderStep::StartPicking),
        Happens::Count { sku, store, pieces } => count(SKUS[*sku], STORES[*store], *pieces),
    })
}

proptest! {
    #![proptest_config(property(1000))]

    #[test]
    fn orders_in_parts_equal_the_naive_model(steps in happens()) {
        let mut world = World::shop();
        let mut model = Model { now: world.now.0, ..Model::default() };
        for (sku, product) in SKUS.iter().enumerate() {
            for (store, place) in STORES.iter().enumerate() {
                world.ok(count(product, place, 6));
                model.on_hand[sku][store] = 6;
            }
        }
        for step in &steps {
            // Counts of one millisecond would not be newer.
            let ms = if let Happens::Wait(ms) = step { *ms } else { 1 };
            world.wait_ms(ms);
            model.now += ms;
            model.expire();
            let expect = model.step(step);
            if let Some(command) = command(&world, step) {
                let went = world.run(command);
                prop_assert_eq!(went.is_ok(), expect, "{:?} {:?}", step, went);
            }
            for (at, piece) in model.all.iter().enumerate() {
                let id = ReservationId(at as u64 + 1);
                let part = world.state.reservation(id).expect("made before");
                prop_assert_eq!(part.state_at(world.now), piece.state, "{:?} after {:?}", id, step);
                let together: Vec<u64> = model.together(at).iter().map(|at| *at as u64 + 1).collect();
                let several = if together.len() > 1 { together } else { Vec::new() };
                let told: Vec<u64> = part.parts.iter().flat_map(|p| p.iter()).map(|p| p.0).collect();
                prop_assert_eq!(told, several);
            }
            world.fire_timers();
            for (sku, product) in SKUS.iter().enumerate() {
                for (store, place) in STORES.iter().enumerate() {
                    let there = world.level(product, place).available_online() / 1000;
                    prop_assert_eq!(there, model.free(sku, store), "{} in {} after {:?}", product, place, step);
                }
            }
        }
        world.assert_recoverable();
    }
}
