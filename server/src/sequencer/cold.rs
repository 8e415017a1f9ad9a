//! What the sequencer's thread and its callers add where not all customers are in memory: the threads that read, the
//! commands that wait, and hints of whom will be needed. The logic is in `residency`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam::channel::{Receiver, Select, Sender, bounded};
use metrics::Counter;
use rustc_hash::FxHashMap;
use tillside_engine::command::{Command, Ingest};
use tillside_engine::ids::CustomerId;
use tillside_engine::residency;
use tillside_engine::state::State;
use tillside_store::{Profiles, StoreError, Table};

use super::core::Core;
use super::handle::OneWork;
use super::residency::{Delivery, Load, READS_HINTED_MAX, Ticket};
use crate::profile_reads::ReadPool;

/// Hints that may wait; more are dropped. A few messages of bulk.
const HINTS_MAX: usize = 4096;
/// Hints looked at in one batch.
const HINTS_PER_BATCH_MAX: usize = 1024;

/// The callers' side.
pub(super) struct ColdGate {
    state: Arc<State>,
    hints: Sender<CustomerId>,
    parked: AtomicUsize,
    parked_max: usize,
    resident_bytes: AtomicU64,
    residents: AtomicUsize,
    dropped: Counter,
}

impl ColdGate {
    /// Whether so many commands wait for the disk that one more of them has to be refused.
    pub(super) fn refuses(&self, command: &Command) -> bool {
        self.parked.load(Ordering::Relaxed) >= self.parked_max
            && !residency::missing(&self.state, command).is_empty()
    }

    /// Says whom events will need, before they wait for their turn.
    pub(super) fn prefetch(&self, events: &[Ingest]) {
        for event in events {
            for id in residency::missing_for_event(&self.state, event) {
                self.hint(id);
            }
        }
    }

    /// Says that a customer is needed who is not in memory.
    pub(super) fn hint(&self, id: CustomerId) {
        if self.hints.try_send(id).is_err() {
            self.dropped.increment(1);
        }
    }

    /// (bytes of customers in memory, how many, commands that wait for one).
    pub(super) fn figures(&self) -> (u64, usize, usize) {
        (
            self.resident_bytes.load(Ordering::Relaxed),
            self.residents.load(Ordering::Relaxed),
            self.parked.load(Ordering::Relaxed),
        )
    }
}

/// The thread's side.
pub(super) struct Cold {
    pub(super) gate: Arc<ColdGate>,
    hints: Receiver<CustomerId>,
    pool: ReadPool,
    deliver: Sender<Delivery>,
    delivered: Receiver<Delivery>,
    /// Reads with the threads.
    reading: usize,
    parked: FxHashMap<Ticket, OneWork>,
}

impl Cold {
    /// Both sides; at most `parked_max` interactive commands wait for customers, and those that were queued meanwhile.
    pub(super) fn start(
        state: &Arc<State>,
        profiles: &Arc<dyn Profiles>,
        parked_max: usize,
    ) -> std::io::Result<Cold> {
        let (hint, hints) = bounded(HINTS_MAX);
        // As long as what can be with the threads, so that they never wait to deliver.
        let (deliver, delivered) = bounded(READS_HINTED_MAX);
        let gate = Arc::new(ColdGate {
            state: Arc::clone(state),
            hints: hint,
            parked: AtomicUsize::new(0),
            parked_max,
            resident_bytes: AtomicU64::new(0),
            residents: AtomicUsize::new(0),
            dropped: metrics::counter!("tillside_profile_hints_dropped_total"),
        });
        Ok(Cold {
            gate,
            hints,
            pool: ReadPool::start("loads", profiles, READS_HINTED_MAX)?,
            deliver,
            delivered,
            reading: 0,
            parked: FxHashMap::default(),
        })
    }

    /// Also wakes for what was read, and for hints where they would lead to something.
    pub(super) fn select<'a>(&'a self, core: &Core, select: &mut Select<'a>) {
        select.recv(&self.delivered);
        if core.takes_hints() {
            select.recv(&self.hints);
        }
    }

    /// How long the thread may sleep, where somebody should leave memory who could not yet.
    pub(super) fn sleep_max(core: &Core) -> Option<Duration> {
        core.is_over_budget().then_some(Duration::from_millis(10))
    }

    /// Takes in what was read and what was hinted.
    pub(super) fn take_in(&mut self, core: &mut Core) {
        while let Ok(delivery) = self.delivered.try_recv() {
            self.reading -= 1;
            core.deliver(delivery);
        }
        for _ in 0..HINTS_PER_BATCH_MAX {
            if !core.takes_hints() {
                break;
            }
            let Ok(id) = self.hints.try_recv() else { break };
            core.hint(id);
        }
    }

    /// Keeps a command that waits.
    pub(super) fn keep(&mut self, ticket: Ticket, work: OneWork) {
        self.parked.insert(ticket, work);
    }

    /// Gives it back.
    pub(super) fn give(&mut self, ticket: Ticket) -> Option<OneWork> {
        self.parked.remove(&ticket)
    }

    /// Whether commands wait.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Hands the wanted reads to the threads, and shows how many commands wait for them.
    pub(super) fn send_out(&mut self, core: &mut Core) {
        while self.reading < READS_HINTED_MAX
            && let Some(load) = core.next_load()
        {
            let deliver = self.deliver.clone();
            let accepted = self.pool.try_run(move |profiles| {
                // Told in any case, also by a panic: somebody waits.
                let guard = Told(Some((load, deliver)));
                let delivery = load.read(profiles);
                guard.tell(delivery);
            });
            self.reading += 1;
            if !accepted {
                // As many places as reads that may be with the threads, so there is one; else nobody waits in vain.
                drop(Told(Some((load, self.deliver.clone()))));
            }
        }
        self.gate.parked.store(self.parked.len(), Ordering::Relaxed);
    }

    /// Shows who is in memory, once a batch is on disk.
    pub(super) fn show(&self, core: &Core) {
        let (bytes, residents) = core.residents();
        self.gate.resident_bytes.store(bytes, Ordering::Relaxed);
        self.gate.residents.store(residents, Ordering::Relaxed);
    }
}

/// A read that is answered exactly once.
struct Told(Option<(Load, Sender<Delivery>)>);

impl Told {
    fn tell(mut self, delivery: Delivery) {
        if let Some((_, deliver)) = self.0.take() {
            // The sequencer may have ended.
            drop(deliver.send(delivery));
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some((load, deliver)) = self.0.take() {
            let read = Err(StoreError::Read {
                table: Table::Relations,
                message: "its reader ended".to_owned(),
            });
            drop(deliver.send(Delivery {
                load,
                read,
                took: Duration::ZERO,
            }));
        }
    }
}
