//! Memory asked for before it is needed. Tables of millions of rows lie outside the processor's caches, and each lookup
//! waits for memory two or three times; while one command is decided, the rows of the next can be on their way.
//!
//! Hints only: nothing here reads a row, changes anything, or is needed for a right answer.

use std::hash::Hash;

use crate::command::{Command, Ingest, IngestPayload, ItemDraft};
use crate::ids::CellKey;
use crate::state::{State, Table};
use crate::stock_table::Step;

/// Lines of a receipt that are looked ahead at: a longer one has had time enough when its later lines come.
const LINES_MAX: usize = 32;
/// Candidates of a hold that are looked ahead at: mostly the first one has everything.
const CANDIDATES_MAX: usize = 2;

/// Asks for the rows that `command` will look up; shortly before it is decided.
pub fn command(state: &State, command: &Command) {
    match command {
        Command::Ingest(event) => ingest(state, event, Step::Level),
        Command::Reserve(reserve) => {
            row(&state.orders, &reserve.order_id);
            for candidate in reserve.candidates.iter().take(CANDIDATES_MAX) {
                for line in reserve.lines.iter().take(LINES_MAX) {
                    let cell = CellKey::new(line.sku, candidate.store);
                    state.stock.ask(cell, Step::Level);
                }
            }
        }
        Command::ConfirmReservation(id) | Command::ReleaseReservation(id) => {
            row(&state.reservations, id);
        }
        Command::Order(order) => row(&state.reservations, &order.id),
        _ => {}
    }
}

/// Asks for the rows that an event will look up, step by step while those before it are decided.
pub fn ingest(state: &State, event: &Ingest, step: Step) {
    let IngestPayload::Sale(draft) = &event.payload else {
        return;
    };
    match step {
        Step::Product => {
            for key in &event.keys {
                row(&state.business_keys, key);
            }
            for seen in &draft.identifiers {
                row(&state.identifiers, &seen.hash);
            }
        }
        Step::Word => {
            for seen in &draft.identifiers {
                if let Some(customer) = state.identifiers.get(&seen.hash) {
                    row(&state.customers, &customer);
                }
            }
        }
        Step::Level => {
            for seen in &draft.identifiers {
                let customer = state.identifiers.get(&seen.hash).map(|id| *id);
                if let Some(customer) = customer.and_then(|id| state.customers.get(&id)) {
                    value(&customer.history);
                }
            }
        }
    }
    let Some(store) = state.stores.number(&draft.store_id) else {
        return;
    };
    for line in draft.lines.iter().take(LINES_MAX) {
        if let ItemDraft::Known(sku) = line.item {
            state.stock.ask(CellKey::new(sku, store), step);
        }
    }
}

/// Asks for the place where the row of `key` is, or would be.
pub fn row<K: Eq + Hash, V>(table: &Table<K, V>, key: &K) {
    let hash = table.hash_usize(key);
    let part = table.shards()[table.determine_shard(hash)].read();
    let buckets = part.buckets();
    // An empty part has one bucket that is not there.
    if buckets < 2 {
        return;
    }
    // Where the table starts to look, by its low bits; the row is there or a few places further.
    let index = hash & (buckets - 1);
    let rows_end = part.data_end().as_ptr().cast_const();
    // Control bytes lie after the rows, one for each; rows lie before them, the first one last. Addresses only: both are
    // inside the part's memory, but nothing depends on it.
    line(rows_end.cast::<u8>().wrapping_add(index));
    let place = rows_end.wrapping_sub(index + 1);
    line(place.cast());
    line(place.wrapping_add(1).cast::<u8>().wrapping_sub(1));
}

/// Asks for all of a value that is longer than a line of the cache.
pub fn whole<T>(value: &T) {
    const LINE: usize = 64;
    let start = std::ptr::from_ref(value).cast::<u8>();
    for at in (0..size_of::<T>()).step_by(LINE) {
        line(start.wrapping_add(at));
    }
    // It may begin in the middle of a line.
    line(start.wrapping_add(size_of::<T>().saturating_sub(1)));
}

/// Asks for a value behind a pointer.
pub fn value<T>(value: &T) {
    line(std::ptr::from_ref(value).cast());
}

#[inline]
fn line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch of any address reads nothing and cannot fault; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    // Elsewhere the hint is not given.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
