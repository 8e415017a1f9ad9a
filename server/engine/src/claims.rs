//! Goods that are promised before they are there: what reservations hold of deliveries on their way. A level that gave
//! such a promise has less than it promised until the delivery comes; here is how much of that is meant to be so.
//!
//! It follows from the reservations alone, so it is no table on disk: it is counted when reservations come and go, and again
//! after loading.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::ctx::Ctx;
use crate::event::Event;
use crate::ids::{CellKey, ReservationId, SkuId, StoreId};
use crate::reservation::Reservation;
use crate::state::{State, Table};

/// Thousandths that are claimed, by level and by who claims them; levels without a claim are not here.
#[derive(Debug, Default)]
pub struct Claims {
    by_cell: Table<CellKey, BTreeMap<ReservationId, i64>>,
    /// How many levels have one: mostly none has, and then no table is asked.
    cells: AtomicUsize,
}

impl Claims {
    /// What is claimed of the deliveries to a level.
    pub fn of(&self, cell: CellKey) -> i64 {
        if self.cells.load(Ordering::Acquire) == 0 {
            return 0;
        }
        let claims = self.by_cell.get(&cell);
        claims.map_or(0, |claims| claims.values().sum())
    }

    /// Counts a reservation that came (`true`) or went.
    pub(crate) fn count(&self, reservation: &Reservation, came: bool) {
        for (cell, claimed) in reservation.claims() {
            let mut claims = self.by_cell.entry(cell).or_insert_with(|| {
                self.cells.fetch_add(1, Ordering::AcqRel);
                BTreeMap::new()
            });
            if came {
                *claims.entry(reservation.id).or_insert(0) += claimed;
            } else {
                claims.remove(&reservation.id);
            }
            let is_empty = claims.is_empty();
            drop(claims);
            if is_empty {
                self.by_cell.remove(&cell);
                self.cells.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.by_cell.clear();
        self.cells.store(0, Ordering::Release);
    }

    /// Everything, in order.
    pub fn all(&self) -> Vec<(CellKey, ReservationId, i64)> {
        let of_cell = |(cell, claims): (&CellKey, &BTreeMap<ReservationId, i64>)| {
            let cell = *cell;
            let claims = claims.iter().map(move |(id, n)| (cell, *id, *n));
            claims.collect::<Vec<_>>()
        };
        let all = self.by_cell.iter();
        let mut all: Vec<_> = all.flat_map(|e| of_cell(e.pair())).collect();
        all.sort_unstable();
        all
    }
}

/// What came to a store belongs to those who were promised it, the oldest promise first.
pub(crate) fn arrived(
    state: &State,
    store: StoreId,
    came: &[(SkuId, i64)],
    ctx: &Ctx,
) -> Vec<Event> {
    let mut changed: BTreeMap<ReservationId, Reservation> = BTreeMap::new();
    for &(sku, quantity) in came {
        let Some(claims) = state.claims.by_cell.get(&CellKey::new(sku, store)) else {
            continue;
        };
        // Where the shelf owes more than it has, the goods are for those who were promised it.
        let (owed, there) = state
            .stock
            .read(CellKey::new(sku, store), |level| {
                let claimed: i64 = claims.values().sum();
                let owed = level.reserved + level.committed - claimed;
                (owed, level.on_hand - level.damaged)
            })
            .unwrap_or_default();
        let mut left = quantity.min(there + quantity - owed);
        for id in claims.keys() {
            if left <= 0 {
                break;
            }
            let Some(current) = state.reservation(*id) else {
                continue;
            };
            let new = changed
                .entry(*id)
                .or_insert_with(|| Reservation::clone(&current));
            new.version = ctx.seq;
            for line in new.lines.iter_mut().filter(|line| line.sku == sku) {
                let claimed = line.claimed();
                let came = left.min(claimed);
                line.awaited = claimed - came;
                left -= came;
            }
        }
    }
    let put = |reservation| Event::ReservationPut {
        reservation: Arc::new(reservation),
    };
    changed.into_values().map(put).collect()
}
