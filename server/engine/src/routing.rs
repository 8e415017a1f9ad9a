//! Where can they get it? The nearest stores that have all of a basket, by exact distance. A plan only reads: what it
//! saw may be gone when a hold is made, so a hold checks again inside the sequencer.

use geo::Point;
use smallvec::SmallVec;

use crate::catalog::{Store, StoreState};
use crate::command::WantedLine;
use crate::geo_index::Near;
use crate::ids::{SkuId, StoreId};
use crate::limits::REJECTED_STORES_MAX;
use crate::reservation::Reservation;
use crate::state::State;
use crate::units::Time;

/// What is wanted, where.
#[derive(Clone, Copy, Debug)]
pub struct PlanQuery<'a> {
    /// Where the shopper is.
    pub origin: Point<f64>,
    /// The basket.
    pub lines: &'a [WantedLine],
    /// Inclusive distance limit in millimetres.
    pub limit_mm: u64,
    /// Stores to answer at most.
    pub max_options: usize,
    /// Only stores open at `now`.
    pub require_open_now: bool,
    /// Only this store, whatever its distance.
    pub only_store: Option<StoreId>,
    /// The time of asking.
    pub now: Time,
    /// The order's own hold: what it holds counts as available.
    pub credit: Option<&'a Reservation>,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanOutcome {
    /// Some store has everything.
    Matched,
    /// Some store has a part.
    Partial,
    /// No store has any line.
    NoStock,
    /// No store in range takes orders.
    NoStoreInRange,
}

/// A store that has everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanOption {
    /// The store.
    pub store: StoreId,
    /// Its distance.
    pub distance_mm: u64,
    /// The opening interval to pick up in; `None`: always open.
    pub window: Option<(Time, Time)>,
}

/// A store that has a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialStore {
    /// The store.
    pub store: StoreId,
    /// Its distance.
    pub distance_mm: u64,
    /// Lines it has in full, by position.
    pub lines: Vec<usize>,
    /// Distinct products it has in full.
    pub sku_count: usize,
}

/// Why a nearer store was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreRejection {
    /// It does not have everything.
    InsufficientStock,
    /// Paused.
    Paused,
    /// Closed for good, or its hours never open.
    Closed,
    /// Not open now, and that was asked for.
    NotOpenNow,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In a word.
    pub outcome: PlanOutcome,
    /// Nearest first, ties by retailer id.
    pub options: Vec<PlanOption>,
    /// Where nothing has it all: most products first, then nearest, then retailer id.
    pub partial: Vec<PartialStore>,
    /// Stores nearer than the first option (or all in range, where there is none), nearest first.
    pub rejected: Vec<(StoreId, u64, StoreRejection)>,
}

/// Lines of the same product summed, sorted by product.
pub fn merged(lines: &[WantedLine]) -> SmallVec<[(SkuId, i64); 8]> {
    let mut sums: SmallVec<[(SkuId, i64); 8]> = SmallVec::new();
    for line in lines {
        match sums.binary_search_by_key(&line.sku, |(sku, _)| *sku) {
            Ok(at) => sums[at].1 = sums[at].1.saturating_add(line.quantity),
            Err(at) => sums.insert(at, (line.sku, line.quantity)),
        }
    }
    sums
}

/// What an order's own hold adds to the availability of a product in a store.
pub fn credit_of(credit: Option<&Reservation>, store: StoreId, sku: SkuId) -> i64 {
    let own = credit.filter(|r| r.store == store && r.holds_stock());
    own.map_or(0, |r| {
        r.lines
            .iter()
            .filter(|l| l.sku == sku)
            .map(|l| l.held)
            .sum()
    })
}

/// Finds the nearest stores.
pub fn plan(state: &State, query: &PlanQuery<'_>) -> Plan {
    let wanted = merged(query.lines);
    let index = state.store_index.get();
    let mut plan = Plan {
        outcome: PlanOutcome::NoStoreInRange,
        options: Vec::new(),
        partial: Vec::new(),
        rejected: Vec::new(),
    };
    let mut visit = |near: Near| {
        if let Err(reason) = admit(&near.store, query) {
            plan.reject(&near, reason);
            return true;
        }
        if plan.outcome == PlanOutcome::NoStoreInRange {
            plan.outcome = PlanOutcome::NoStock;
        }
        let has = |&(sku, quantity): &(SkuId, i64)| {
            state.available_online(sku, near.id) + credit_of(query.credit, near.id, sku) >= quantity
        };
        if !wanted.iter().all(has) {
            if plan.options.is_empty() {
                plan.note_partial(query, &wanted, &near, has);
            }
            plan.reject(&near, StoreRejection::InsufficientStock);
            return true;
        }
        // The calendar is the dear part, so only a store that has everything is asked when it opens.
        match near.store.next_opening(query.now) {
            Some(window) => plan.options.push(PlanOption {
                store: near.id,
                distance_mm: near.distance_mm,
                window,
            }),
            None => plan.reject(&near, StoreRejection::Closed),
        }
        plan.options.len() < query.max_options
    };
    match query.only_store {
        Some(id) => {
            if let Some(near) = index.near(query.origin, id) {
                visit(near);
            }
        }
        None => {
            for near in index.walk(query.origin, query.limit_mm) {
                if !visit(near) {
                    break;
                }
            }
        }
    }
    if !plan.options.is_empty() {
        plan.outcome = PlanOutcome::Matched;
        plan.partial.clear();
    } else if !plan.partial.is_empty() {
        plan.outcome = PlanOutcome::Partial;
    }
    plan
}

/// Whether a store takes orders at all.
fn admit(store: &Store, query: &PlanQuery<'_>) -> Result<(), StoreRejection> {
    match store.state {
        StoreState::Open => {}
        StoreState::Paused => return Err(StoreRejection::Paused),
        StoreState::Closed => return Err(StoreRejection::Closed),
    }
    if !query.require_open_now {
        return Ok(());
    }
    match store.next_opening(query.now) {
        None => Err(StoreRejection::Closed),
        Some(Some((open, _))) if open > query.now => Err(StoreRejection::NotOpenNow),
        Some(_) => Ok(()),
    }
}

impl Plan {
    fn reject(&mut self, near: &Near, reason: StoreRejection) {
        if self.options.is_empty() && self.rejected.len() < REJECTED_STORES_MAX {
            self.rejected.push((near.id, near.distance_mm, reason));
        }
    }

    /// Keeps the best stores that have a part. The walk comes nearest first, so a store only moves up by having more.
    fn note_partial(
        &mut self,
        query: &PlanQuery<'_>,
        wanted: &[(SkuId, i64)],
        near: &Near,
        has: impl Fn(&(SkuId, i64)) -> bool,
    ) {
        let available: SmallVec<[SkuId; 8]> = wanted
            .iter()
            .filter(|w| has(w))
            .map(|(sku, _)| *sku)
            .collect();
        if available.is_empty() {
            return;
        }
        let at = self
            .partial
            .partition_point(|p| p.sku_count >= available.len());
        if at >= query.max_options {
            return;
        }
        let lines = (0..query.lines.len())
            .filter(|i| available.contains(&query.lines[*i].sku))
            .collect();
        let partial = PartialStore {
            store: near.id,
            distance_mm: near.distance_mm,
            lines,
            sku_count: available.len(),
        };
        self.partial.insert(at, partial);
        self.partial.truncate(query.max_options);
    }
}
