//! What must hold of any state, whatever happened. Checked after loading, by tests after every step, and later by an
//! RPC; a violation is a bug of ours, so each is told in words that find it.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use crate::ids::CellKey;
use crate::reservation::ReservationState;
use crate::state::{State, lock, read};

/// Violations told at most; the first ones are the ones to look at.
const VIOLATIONS_MAX: usize = 100;

/// Checks all of them; an empty answer is a sound state.
pub fn violations(state: &State) -> Vec<String> {
    let mut found = Vec::new();
    held_stock_is_in_the_levels(state, &mut found);
    every_reservation_has_its_timer(state, &mut found);
    reservations_are_found_by_store_and_order(state, &mut found);
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
                state if state.is_committed() => sum.1 += line.held,
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
            let counted = [line.picked, line.rejected, line.handed_over, line.receipted];
            if counted.iter().any(|n| !(0..=line.requested).contains(n)) {
                found.push(format!(
                    "{}: {line:?} counts more than there is",
                    reservation.id
                ));
            }
            let gone = line.handed_over.max(line.receipted) + line.rejected;
            if line.held + gone > line.requested {
                found.push(format!(
                    "{}: {line:?} holds what has left already",
                    reservation.id
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

fn every_reservation_has_its_timer(state: &State, found: &mut Vec<String>) {
    use crate::command::Timer;
    let timers = lock(&state.timers);
    let mut expected = 0;
    for reservation in &state.reservations {
        let Some(timer) = reservation.timer() else {
            continue;
        };
        expected += 1;
        if !timers.contains(&timer) {
            let (id, name) = (reservation.id, reservation.state.name());
            found.push(format!("{id} is {name} without a timer"));
        }
    }
    let of_reservations = |t: &&(crate::units::Time, Timer)| !matches!(t.1, Timer::Checkout(_));
    let kept = timers.iter().filter(of_reservations).count();
    if kept != expected {
        found.push(format!(
            "{kept} timers for {expected} reservations that need one"
        ));
    }
}

fn reservations_are_found_by_store_and_order(state: &State, found: &mut Vec<String>) {
    let index = lock(&state.order_index);
    for reservation in &state.reservations {
        let id = reservation.id;
        if !index.has(&reservation) {
            found.push(format!("{id} is not found by its store"));
        }
        let latest = state.orders.get(&reservation.order_id).map(|id| *id);
        let earlier = || index.earlier_of(&reservation.order_id).any(|e| e == id);
        if latest.is_none_or(|latest| latest < id || (latest > id && !earlier())) {
            found.push(format!("{id} is not found by its order"));
        }
    }
    let (by_store, earlier) = index.len();
    let reservations = state.reservations.len();
    if by_store != reservations || state.orders.len() + earlier != reservations {
        found.push(format!(
            "{reservations} reservations, {by_store} by store, {} orders and {earlier} before their latest",
            state.orders.len()
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
