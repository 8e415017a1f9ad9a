//! Where less is there than was promised, and whose goods are in danger. What is there goes to confirmed reservations
//! first, and among equals to the older one; the rest is at risk. What was promised of a delivery is at risk once that is late,
//! cancelled, or came with less.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::ids::{CellKey, ReservationId, SkuId, StoreId};
use crate::reservation::ReservationState;
use crate::state::State;
use crate::units::Time;

/// Part of a reservation that is not covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtRisk {
    /// The reservation.
    pub reservation: ReservationId,
    /// Where its goods should be.
    pub store: StoreId,
    /// The product.
    pub sku: SkuId,
    /// Thousandths it holds.
    pub held: i64,
    /// Thousandths of them that are not there.
    pub missing: i64,
}

/// Every live reservation that is no longer covered because of one of the levels `short`, oldest first. Reads what it finds
/// while changes go on: exact where nothing changes meanwhile.
pub fn at_risk(state: &State, short: &[CellKey], now: Time) -> Vec<AtRisk> {
    let mut promised: FxHashMap<CellKey, Vec<(bool, ReservationId, i64, i64)>> =
        short.iter().map(|cell| (*cell, Vec::new())).collect();
    if promised.is_empty() {
        return Vec::new();
    }
    for entry in state.reservations.iter().filter(|r| r.holds_stock()) {
        for line in entry.lines.iter().filter(|line| line.held > 0) {
            let cell = CellKey::new(line.sku, entry.store);
            if let Some(list) = promised.get_mut(&cell) {
                let held_only = entry.state == ReservationState::Held;
                list.push((held_only, entry.id, line.held, line.claimed()));
            }
        }
    }
    let mut at_risk = Vec::new();
    for (cell, mut list) in promised {
        list.sort_unstable();
        let there = state
            .stock
            .read(cell, |level| level.on_hand - level.damaged);
        let mut left = there.unwrap_or(0).max(0);
        let mut on_its_way = state.inbound.in_time(cell.sku(), cell.store(), now);
        let mut missing: SmallVec<[i64; 8]> = SmallVec::new();
        // What was promised off the shelf comes before what was promised of a delivery.
        for (_, _, held, claimed) in &list {
            let covered = (held - claimed).min(left);
            left -= covered;
            missing.push(held - claimed - covered);
        }
        for ((_, reservation, held, claimed), missing) in list.into_iter().zip(missing) {
            let comes = claimed.min(on_its_way);
            on_its_way -= comes;
            let covered = (claimed - comes).min(left);
            left -= covered;
            let missing = missing + claimed - comes - covered;
            if missing > 0 {
                at_risk.push(AtRisk {
                    reservation,
                    store: cell.store(),
                    sku: cell.sku(),
                    held,
                    missing,
                });
            }
        }
    }
    at_risk.sort_unstable_by_key(|r| (r.reservation, r.store, r.sku));
    at_risk
}
