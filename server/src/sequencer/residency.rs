//! Which customers are in memory, without threads: who is wanted, who is on the way, which commands wait for whom, and who
//! goes. Whoever owns the core carries the wanted reads out, in any order, on any thread or none, and delivers them.
//!
//! * Only here does a customer come into the table of customers or leave it (but for new ones, who come by `apply`).
//! * A customer is changed only while in memory and leaves only once durable, so the rows of who is away are current.
//! * One read at most is on its way for a customer, and while it is, nobody else brings this customer in. So what is
//!   delivered cannot be older than a change. Were a reader to answer twice, late, or from an old snapshot all the same,
//!   the read's number and the sequence it was made at tell, and it is dropped: nothing newer is overwritten or hidden.
//! * Whom a waiting command needs does not leave, so that every command comes to its turn however small the budget.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Counter, Histogram};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use tillside_engine::apply::Touched;
use tillside_engine::ids::{CustomerId, Sequence};
use tillside_engine::residency::Needed;
use tillside_engine::state::State;
use tillside_store::{ProfileRead, Profiles, StoreError};

use super::sieve::Sieve;

/// Reads that hints may have on their way: enough to keep the readers busy. (Waiting commands are not bound by it.)
pub const READS_HINTED_MAX: usize = 256;
/// Residents looked at for eviction in one batch: some tens of microseconds. The rest waits for the next batch.
const LOOKS_PER_BATCH_MAX: usize = 4096;
/// Reads of one customer that are dropped as too old before whoever waits is told that it cannot be read.
const STALE_READS_MAX: u32 = 3;

/// A customer to be read from disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Whom.
    pub id: CustomerId,
    /// Different for every read that was ever wanted.
    number: u64,
    /// What is read must hold every change up to it.
    at_least: Sequence,
    attempt: u32,
}

impl Load {
    /// Reads it.
    pub fn read(self, profiles: &dyn Profiles) -> Delivery {
        let started = Instant::now();
        let read = profiles.read(self.id);
        Delivery {
            load: self,
            read,
            took: started.elapsed(),
        }
    }
}

/// What came of a [`Load`].
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The order.
    pub load: Load,
    /// What was read.
    pub read: Result<ProfileRead, StoreError>,
    /// How long reading took.
    pub took: Duration,
}

/// A waiting command's number; its owner keeps the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// A waiting command whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Which.
    pub ticket: Ticket,
    /// False: somebody it needs cannot be read from disk, so it has to be refused.
    pub readable: bool,
}

/// A read on its way.
#[derive(Debug)]
struct Loading {
    number: u64,
    waiting: SmallVec<[Ticket; 1]>,
}

/// A command that waits.
#[derive(Debug)]
struct Parked {
    needs: Needed,
    /// How many of them are still on their way.
    missing: usize,
}

/// The customers in memory.
pub(super) struct HotProfiles {
    budget_bytes: u64,
    sieve: Sieve,
    loading: FxHashMap<CustomerId, Loading>,
    parked: FxHashMap<Ticket, Parked>,
    /// Whom parked commands need, and how many of them.
    pinned: FxHashMap<CustomerId, u32>,
    wanted: VecDeque<Load>,
    ready: VecDeque<Ready>,
    last_number: u64,
    /// Every change up to it is on disk.
    durable: Sequence,
    metrics: Metrics,
}

struct Metrics {
    evictions: Counter,
    loads: Counter,
    stale: Counter,
    failed: Counter,
    parked: Counter,
    duration: Histogram,
}

impl HotProfiles {
    /// What a loaded state holds; `None` where it has no limit.
    pub(super) fn of(state: &State) -> Option<Self> {
        let budget_bytes = state.residency.budget_bytes()?;
        let mut sieve = Sieve::new();
        // In the order of their numbers, so that runs repeat.
        let mut residents: Vec<(CustomerId, usize)> = state
            .customers
            .iter()
            .map(|c| (*c.key(), c.resident_bytes()))
            .collect();
        residents.sort_unstable();
        for (id, bytes) in residents {
            sieve.put(id, bytes);
        }
        Some(HotProfiles {
            budget_bytes,
            sieve,
            loading: FxHashMap::default(),
            parked: FxHashMap::default(),
            pinned: FxHashMap::default(),
            wanted: VecDeque::new(),
            ready: VecDeque::new(),
            last_number: 0,
            durable: state.snapshot_sequence(),
            metrics: Metrics {
                evictions: metrics::counter!("tillside_profile_evictions_total"),
                loads: metrics::counter!("tillside_profile_loads_total"),
                stale: metrics::counter!("tillside_profile_stale_reads_total"),
                failed: metrics::counter!("tillside_profile_read_failures_total", "by" => "sequencer"),
                parked: metrics::counter!("tillside_commands_parked_total"),
                duration: metrics::histogram!("tillside_profile_read_duration_seconds", "by" => "sequencer"),
            },
        })
    }

    /// Bytes of the customers in memory, as far as they are durable.
    pub(super) fn bytes(&self) -> u64 {
        self.sieve.bytes()
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.sieve.len()
    }

    /// Whether somebody should leave who could not yet.
    pub(super) fn is_over_budget(&self) -> bool {
        self.sieve.bytes() > self.budget_bytes
    }

    /// Lets a command wait until all of `needs` are in memory.
    pub(super) fn park(&mut self, state: &State, needs: Needed) -> Ticket {
        self.metrics.parked.increment(1);
        let ticket = Ticket(self.next_number());
        let mut missing = 0;
        for id in &needs {
            *self.pinned.entry(*id).or_default() += 1;
            if state.customers.contains_key(id) {
                continue;
            }
            missing += 1;
            if !self.loading.contains_key(id) {
                self.want(*id, true);
            }
            if let Some(loading) = self.loading.get_mut(id) {
                loading.waiting.push(ticket);
            }
        }
        self.parked.insert(ticket, Parked { needs, missing });
        if missing == 0 {
            self.ready(ticket, true);
        }
        ticket
    }

    /// Somebody may soon be needed. Nobody is promised anything.
    pub(super) fn hint(&mut self, state: &State, id: CustomerId) {
        if self.takes_hints()
            && !self.loading.contains_key(&id)
            && !state.customers.contains_key(&id)
            && state.has_customer(id)
        {
            self.want(id, false);
        }
    }

    /// Whether a hint would lead to anything now.
    pub(super) fn takes_hints(&self) -> bool {
        self.loading.len() < READS_HINTED_MAX
    }

    fn want(&mut self, id: CustomerId, somebody_waits: bool) {
        let load = self.order(id, 1);
        self.loading.insert(
            id,
            Loading {
                number: load.number,
                waiting: SmallVec::new(),
            },
        );
        if somebody_waits {
            self.wanted.push_front(load);
        } else {
            self.wanted.push_back(load);
        }
    }

    fn order(&mut self, id: CustomerId, attempt: u32) -> Load {
        Load {
            id,
            number: self.next_number(),
            at_least: self.durable,
            attempt,
        }
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// The next read to carry out. Each has to be delivered.
    pub(super) fn next_load(&mut self) -> Option<Load> {
        self.wanted.pop_front()
    }

    /// Reads that were handed out or are still to be.
    pub(super) fn loads_open(&self) -> usize {
        self.loading.len()
    }

    /// Takes what was read into memory; what nobody asked for, or what is too old, is dropped.
    pub(super) fn deliver(&mut self, state: &State, delivery: Delivery) {
        let Delivery { load, read, took } = delivery;
        let current = self.loading.get(&load.id).map(|loading| loading.number);
        if current != Some(load.number) {
            return self.metrics.stale.increment(1);
        }
        self.metrics.duration.record(took.as_secs_f64());
        let customer = match read {
            Ok(read) if read.sequence >= load.at_least => Some(read.customer),
            Ok(_) => {
                self.metrics.stale.increment(1);
                if load.attempt < STALE_READS_MAX {
                    return self.order_again(load);
                }
                tracing::error!(
                    customer = load.id.0,
                    "a profile is read from disk older than it was written; restart the server"
                );
                None
            }
            Err(error) => {
                tracing::error!(%error, customer = load.id.0, "a profile cannot be read from disk");
                None
            }
        };
        match &customer {
            Some(customer) => self.admit(state, load.id, customer),
            None => self.metrics.failed.increment(1),
        }
        let waiting = self.loading.remove(&load.id);
        for ticket in waiting.into_iter().flat_map(|loading| loading.waiting) {
            self.one_less_missing(ticket, customer.is_some());
        }
    }

    fn order_again(&mut self, load: Load) {
        let again = self.order(load.id, load.attempt + 1);
        if let Some(loading) = self.loading.get_mut(&load.id) {
            loading.number = again.number;
            self.wanted.push_front(again);
        }
    }

    fn admit(
        &mut self,
        state: &State,
        id: CustomerId,
        customer: &Arc<tillside_engine::customer::Customer>,
    ) {
        // Never over somebody who is there: it cannot be, and what is there would be the newer.
        let there = state
            .customers
            .entry(id)
            .or_insert_with(|| Arc::clone(customer));
        let bytes = there.resident_bytes();
        drop(there);
        self.sieve.put(id, bytes);
        self.metrics.loads.increment(1);
    }

    fn one_less_missing(&mut self, ticket: Ticket, readable: bool) {
        // It may have been told already that somebody else cannot be read.
        let Some(parked) = self.parked.get_mut(&ticket) else {
            return;
        };
        parked.missing -= 1;
        if parked.missing == 0 || !readable {
            self.ready(ticket, readable);
        }
    }

    fn ready(&mut self, ticket: Ticket, readable: bool) {
        self.ready.push_back(Ready { ticket, readable });
        if !readable {
            self.unpark(ticket);
        }
    }

    fn unpark(&mut self, ticket: Ticket) {
        let needs = self.parked.remove(&ticket).map(|parked| parked.needs);
        for id in needs.into_iter().flatten() {
            if let Some(count) = self.pinned.get_mut(&id) {
                *count -= 1;
                if *count == 0 {
                    self.pinned.remove(&id);
                }
            }
        }
    }

    /// The next waiting command whose turn it is. Whom it needs stays until the end of this batch.
    pub(super) fn next_ready(&mut self) -> Option<Ready> {
        let ready = self.ready.pop_front()?;
        self.unpark(ready.ticket);
        Some(ready)
    }

    /// A batch is on disk: what it changed is weighed again, and who is too much goes. Nothing may be changed that is not
    /// on disk, so this is the only moment when anybody leaves.
    pub(super) fn durable(&mut self, state: &State, touched: &Touched) {
        self.durable = state.snapshot_sequence();
        for id in touched.customers.iter().chain(&touched.histories) {
            if let Some(customer) = state.customers.get(id) {
                self.sieve.put(*id, customer.resident_bytes());
            }
        }
        let mut looks = LOOKS_PER_BATCH_MAX;
        while self.is_over_budget() {
            let pinned = &self.pinned;
            let spare = |id| pinned.contains_key(&id) || state.residency.take_mark(id);
            let Some(id) = self.sieve.evict(&mut looks, spare) else {
                return;
            };
            state.customers.remove(&id);
            self.metrics.evictions.increment(1);
        }
    }
}
