//! What must hold of any state, whatever happened. Checked after loading, by tests after every step, and later by an
//! RPC; a violation is a bug of ours, so each is told in words that find it.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use crate::ids::{CellKey, ReservationId};
use crate::reservation::ReservationState;
use crate::state::{State, lock, read};

/// Violations told at most; the first ones are the ones to look at.
const VIOLATIONS_MAX: usize = 100;

/// Checks all of them; an empty answer is a sound state.
pub fn violations(state: &State) -> Vec<String> {
    let mut found = Vec::new();
    held_stock_is_in_the_levels(state, &mut found);
    every_hold_has_a_timer(state, &mut found);
    every_ended_reservation_will_be_forgotten(state, &mut found);
    indexes_point_to_what_exists(state, &mut found);
    found.truncate(VIOLATIONS_MAX);
    found
}

/// reserved and committed of a level are the sums over the reservations that hold stock there.
fn held_stock_is_in_the_levels(state: &State, found: &mut Vec<String>) {
    let mut sums: HashMap<CellKey, (i64, i64), FxBuildHasher> = HashMap::default();
    for reservation in &state.reservations {
        for line in &reservation.lines {
            let sum = sums
                .entry(CellKey::new(line.sku, reservation.store))
                .or_default();
            match reservation.state {
                ReservationState::Held => sum.0 += line.held,
                ReservationState::Confirmed => sum.1 += line.held,
                _ if line.held != 0 => {
                    found.push(format!("{} has ended but holds {:?}", reservation.id, line))
                }
                _ => {}
            }
            if line.held < 0 || line.held > line.requested {
                found.push(format!(
                    "{} holds {} of {} asked for",
                    reservation.id, line.held, line.requested
                ));
            }
        }
    }
    state.stock.for_each(|cell, level| {
        let (reserved, committed) = sums.remove(&cell).unwrap_or_default();
        if (level.reserved, level.committed) != (reserved, committed) {
            found.push(format!(
                "{:?}: reserved {} and committed {}, the reservations hold {reserved} and {committed}",
                cell,
                level.reserved,
                level.committed
            ));
        }
        if level.damaged < 0 || level.safety < 0 {
            found.push(format!(
                "{:?}: damaged {} or safety {} is negative",
                cell,
                level.damaged,
                level.safety
            ));
        }
    });
    found.extend(
        sums.iter()
            .filter(|(_, s)| **s != (0, 0))
            .map(|(cell, s)| format!("{cell:?}: no level for held {s:?}")),
    );
}

fn every_hold_has_a_timer(state: &State, found: &mut Vec<String>) {
    use crate::command::Timer;
    let held = |r: &crate::reservation::Reservation| r.state == ReservationState::Held;
    let expected: Vec<(crate::units::Time, ReservationId)> = state
        .reservations
        .iter()
        .filter(|r| held(r))
        .map(|r| (r.expire, r.id))
        .collect();
    let timers = lock(&state.timers);
    for (expire, id) in &expected {
        if !timers.contains(&(*expire, Timer::Reservation(*id))) {
            found.push(format!("{id} is held without a timer"));
        }
    }
    let kept = timers
        .iter()
        .filter(|(_, t)| matches!(t, Timer::Reservation(_)))
        .count();
    if kept != expected.len() {
        found.push(format!(
            "{kept} reservation timers for {} holds",
            expected.len()
        ));
    }
}

/// Of those on disk nothing but that they exist can be said here.
fn provisional_customers_are_listed(state: &State, found: &mut Vec<String>) {
    let listed = read(&state.provisional);
    let mut provisional = 0;
    for customer in &state.customers {
        provisional += usize::from(customer.relation.provisional);
        if customer.relation.provisional != listed.contains(customer.key()) {
            found.push(format!(
                "{:?} is provisional and not listed, or the reverse",
                customer.key()
            ));
        }
    }
    let away = listed
        .iter()
        .filter(|id| !state.customers.contains_key(id))
        .count();
    if provisional + away != listed.len() || (away > 0 && !state.residency.is_limited()) {
        found.push(format!(
            "{provisional} provisional customers, {} listed",
            listed.len()
        ));
    }
    let nobody = listed.iter().filter(|id| !state.has_customer(**id));
    found.extend(nobody.map(|id| format!("{id:?} is listed as provisional and does not exist")));
}

fn every_ended_reservation_will_be_forgotten(state: &State, found: &mut Vec<String>) {
    use crate::command::Timer;
    let timers = lock(&state.timers);
    let mut ended = 0;
    for reservation in &state.reservations {
        let Some(due) = reservation.forgotten_at() else {
            continue;
        };
        ended += 1;
        if !timers.contains(&(due, Timer::EndedReservation(reservation.id))) {
            found.push(format!(
                "{} has ended and is never forgotten",
                reservation.id
            ));
        }
    }
    let kept = timers
        .iter()
        .filter(|(_, t)| matches!(t, Timer::EndedReservation(_)))
        .count();
    if kept != ended {
        found.push(format!("{kept} timers for {ended} ended reservations"));
    }
}

fn indexes_point_to_what_exists(state: &State, found: &mut Vec<String>) {
    for entry in &state.identifiers {
        if !state.has_customer(*entry.value()) {
            found.push(format!(
                "an identifier points to {:?}, who does not exist",
                entry.value()
            ));
        }
    }
    for entry in &state.gtins {
        if state
            .products
            .get(*entry.value())
            .is_none_or(|p| !p.gtins.contains(entry.key()))
        {
            found.push(format!(
                "GTIN {} points to {:?}, which does not have it",
                entry.key(),
                entry.value()
            ));
        }
    }
    for entry in &state.orders {
        if !state.reservations.contains_key(entry.value()) {
            found.push(format!(
                "order {:?} points to {}, which does not exist",
                entry.key(),
                entry.value()
            ));
        }
    }
    provisional_customers_are_listed(state, found);
    let in_range = |name: &str, numbers: usize, items: usize, found: &mut Vec<String>| {
        if numbers != items {
            found.push(format!("{name}: {numbers} ids for {items} items"));
        }
    };
    in_range(
        "stores",
        state.stores.numbers.len(),
        state.stores.len(),
        found,
    );
    in_range(
        "products",
        state.products.numbers.len(),
        state.products.len(),
        found,
    );
}
