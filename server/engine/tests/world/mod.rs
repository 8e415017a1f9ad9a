//! A world to test the engine in: it drives `decide` and `apply` as the sequencer does, and after every step demands
//! that the invariants hold, that a refusal changed nothing, and that the rows noted as changed are all that changed.
//! It does no IO and repeats no rule of the engine.

#![allow(dead_code, reason = "each test binary uses a part of the fixture")]

pub(crate) mod build;
pub(crate) mod dump;

use proptest::test_runner::{Config, RngSeed};
use tillside_engine::apply::{Touched, apply};
use tillside_engine::command::Command;
use tillside_engine::ctx::Ctx;
use tillside_engine::customer::Customer;
use tillside_engine::decide::{Rules, decide};
use tillside_engine::event::Event;
use tillside_engine::ids::{CustomerId, Sequence, SkuId, StoreId};
use tillside_engine::invariants::violations;
use tillside_engine::limits::TIMERS_PER_BATCH_MAX;
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::state::State;
use tillside_engine::stock::StockLevel;
use tillside_engine::units::Time;

use std::sync::Arc;

/// 2026-11-23T09:00:00Z, a Monday.
pub(crate) const START: Time = Time(1_795_424_400_000);

/// Every random run starts from it, so that a failure comes back. `PROPTEST_RNG_SEED` takes another.
const SEED: u64 = 20_261_123;

/// Configuration of a property: `cases` of them, or more where `PROPTEST_CASES` asks for more than its default of 256.
pub(crate) fn property(cases: u32) -> Config {
    let default = Config::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(SEED),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    eprintln!("seed {rng_seed}");
    Config {
        cases: if default.cases > 256 {
            default.cases.max(cases)
        } else {
            cases
        },
        rng_seed,
        failure_persistence: None,
        ..default
    }
}

/// A state with its sequencer.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) rules: Rules,
    pub(crate) now: Time,
    /// Everything that happened, for replays.
    pub(crate) log: Vec<(Ctx, Vec<Event>)>,
    /// What a database that writes only the touched rows would hold.
    rows: State,
}

impl World {
    pub(crate) fn new() -> Self {
        World {
            state: State::default(),
            rules: Rules {
                index_key: build::INDEX_KEY,
                ..Rules::default()
            },
            now: START,
            log: Vec::new(),
            rows: State::default(),
        }
    }

    /// Fires what is due, then runs a command.
    pub(crate) fn run(&mut self, command: Command) -> Result<Reply, Rejection> {
        self.fire_timers();
        self.step(&command)
    }

    /// Runs a command that must succeed.
    pub(crate) fn ok(&mut self, command: Command) -> Reply {
        let told = format!("{command:?}");
        self.run(command)
            .unwrap_or_else(|rejection| panic!("{rejection} for {told}"))
    }

    /// Runs a command that must be refused.
    pub(crate) fn refused(&mut self, command: Command) -> Rejection {
        let told = format!("{command:?}");
        match self.run(command) {
            Err(rejection) => rejection,
            Ok(reply) => panic!("{reply:?} for {told}"),
        }
    }

    /// Runs a command and says whether it changed anything.
    pub(crate) fn changes(&mut self, command: Command) -> bool {
        let before = self.log.len();
        self.ok(command);
        self.log.len() > before
    }

    /// Lets time pass; nothing is fired before the next command, as between two batches.
    pub(crate) fn wait_ms(&mut self, ms: i64) {
        assert!(ms >= 0, "time never goes backwards");
        self.now = self.now.plus_ms(ms);
    }

    pub(crate) fn fire_timers(&mut self) {
        for timer in self.state.due_timers(self.now, TIMERS_PER_BATCH_MAX) {
            self.step(&Command::Timer(timer))
                .expect("a timer is never refused");
        }
    }

    /// One command without its timers before it.
    pub(crate) fn step(&mut self, command: &Command) -> Result<Reply, Rejection> {
        let before = self.state.counters();
        let ctx = Ctx {
            seq: Sequence(before.sequence.0 + 1),
            now: self.now,
        };
        match decide(&self.state, &self.rules, command, &ctx) {
            Err(rejection) => {
                // Deciding gets `&State`, whose tables could be changed all the same: they must not be.
                assert_eq!(
                    dump::dump(&self.state),
                    dump::dump(&self.saved()),
                    "{rejection}"
                );
                Err(rejection)
            }
            Ok((reply, events)) => {
                if !events.is_empty() {
                    self.apply(ctx, events);
                }
                Ok(reply)
            }
        }
    }

    fn apply(&mut self, ctx: Ctx, events: Vec<Event>) {
        let mut touched = Touched::default();
        apply(&self.state, &events, &ctx, &mut touched);
        dump::write_rows(&self.state, &self.rows, &touched);
        self.log.push((ctx, events));
        let found = violations(&self.state);
        assert!(found.is_empty(), "{found:#?} after {:?}", self.log.last());
    }

    /// Applies events that the sequencer makes itself.
    pub(crate) fn happen(&mut self, events: Vec<Event>) {
        let seq = Sequence(self.state.counters().sequence.0 + 1);
        self.apply(Ctx { seq, now: self.now }, events);
    }

    /// What a restart would load: the touched rows, and everything derived from them.
    pub(crate) fn saved(&self) -> State {
        let loaded = dump::copy_rows(&self.rows);
        loaded.set_counters(self.state.counters());
        loaded.rebuild_derived();
        loaded
    }

    /// What the log alone gives.
    pub(crate) fn replayed(&self) -> State {
        let state = State::default();
        let mut touched = Touched::default();
        for (ctx, events) in &self.log {
            apply(&state, events, ctx, &mut touched);
        }
        state
    }

    /// The state equals what its rows and what its log give.
    pub(crate) fn assert_recoverable(&self) {
        let live = dump::dump(&self.state);
        assert_eq!(
            live,
            dump::dump(&self.saved()),
            "loading the touched rows gives another state"
        );
        assert_eq!(
            live,
            dump::dump(&self.replayed()),
            "replaying the log gives another state"
        );
    }

    pub(crate) fn sku(&self, sku: &str) -> SkuId {
        self.state
            .products
            .number(sku)
            .expect("a product of the test")
    }

    pub(crate) fn store(&self, store: &str) -> StoreId {
        self.state
            .stores
            .number(store)
            .expect("a store of the test")
    }

    pub(crate) fn level(&self, sku: &str, store: &str) -> StockLevel {
        self.state.level(self.sku(sku), self.store(store))
    }

    pub(crate) fn customer(&self, id: CustomerId) -> Arc<Customer> {
        self.state.customer(id).expect("a customer of the test")
    }
}
