//! What must hold of any state, whatever happened. Checked after loading, by tests after every step, and by CheckInvariants;
//! a violation is a bug of ours, so each is told in words that find it.
//!
//! A running server is checked while it changes, by looking several times (see [`Findings`]): what is only between two
//! steps of a change is gone at the next look, what is wrong stays.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use rustc_hash::FxBuildHasher;

use crate::command::Timer;
use crate::ids::{CellKey, ReservationId, SkuId, StoreId};
use crate::inbound::Incoming;
use crate::pickup_slots::Slot;
use crate::reservation::ReservationState;
use crate::state::{State, lock, read};
use crate::units::Time;

/// Violations told at most; the first ones are the ones to look at.
const VIOLATIONS_MAX: usize = 100;
/// Findings of one look at most: a server with more is not checked any better by naming them.
const FINDINGS_MAX: usize = 100_000;
/// Timers looked at while the sequencer waits for them.
const TIMERS_PER_STEP: usize = 4096;

/// Checks all of them; an empty answer is a sound state. Exact only where nothing changes meanwhile.
pub fn violations(state: &State) -> Vec<String> {
    look(state, None).into_told()
}

/// What one look found, by what it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(BTreeMap<String, String>);

impl Findings {
    /// Notes a finding. What stands before the first colon, or else all of it, says what it is about.
    fn push(&mut self, text: String) {
        if self.0.len() < FINDINGS_MAX {
            let about = text
                .split_once(": ")
                .map_or(text.as_str(), |(about, _)| about);
            self.0.insert(about.to_owned(), text);
        }
    }

    fn extend(&mut self, texts: impl IntoIterator<Item = String>) {
        texts.into_iter().for_each(|text| self.push(text));
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many things something was found about.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The first of them, in words.
    pub fn into_told(self) -> Vec<String> {
        self.0.into_values().take(VIOLATIONS_MAX).collect()
    }
}

/// One look at a state that may be changing; only what `before` found something about too is told. A change is seen half
/// done only while it is under way, so what a look finds and a later one finds again is either wrong or was changing both
/// times: after a few looks a look while nothing changes decides.
pub fn look(state: &State, before: Option<&Findings>) -> Findings {
    let mut found = Findings::default();
    held_stock_is_in_the_levels(state, &mut found);
    every_reservation_has_its_timer(state, &mut found);
    reservations_are_found_by_store_and_order(state, &mut found);
    slots_are_held_by_reservations(state, &mut found);
    parts_of_an_order_agree(state, &mut found);
    indexes_point_to_what_exists(state, &mut found);
    what_is_on_its_way_is_indexed(state, &mut found);
    if let Some(before) = before {
        found.0.retain(|about, _| before.0.contains_key(about));
    }
    found
}

/// reserved and committed of a level are the sums over the reservations that hold stock there.
fn held_stock_is_in_the_levels(state: &State, found: &mut Findings) {
    let mut sums: HashMap<CellKey, (i64, i64), FxBuildHasher> = HashMap::default();
    for reservation in &state.reservations {
        for line in &reservation.lines {
            let sum = sums
                .entry(CellKey::new(line.sku, reservation.store))
                .or_default();
            match reservation.state {
                ReservationState::Held => sum.0 += line.held,
                state if state.is_committed() => sum.1 += line.held,
                _ if line.held != 0 => found.push(format!(
                    "{}: has ended but holds {:?}",
                    reservation.id, line
                )),
                _ => {}
            }
            if line.held < 0 || line.held > line.requested {
                found.push(format!(
                    "{}: holds {} of {} asked for",
                    reservation.id, line.held, line.requested
                ));
            }
            let counted = [
                line.picked,
                line.rejected,
                line.handed_over,
                line.receipted,
                line.awaited,
            ];
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
    what_is_claimed_is_counted(state, found);
    let short: BTreeSet<CellKey> = state.stock.short_cells().collect();
    let swept = lock(&state.sweep).is_done();
    let buffers = state.stock.buffers();
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
        if level.damaged < 0 || level.safety < 0 || level.own_safety < 0 {
            found.push(format!(
                "{:?}: damaged {} or safety {} ({}) is negative",
                cell,
                level.damaged,
                level.safety,
                level.own_safety
            ));
        }
        let safety = buffers.effective(cell.sku(), cell.store(), level.own_safety);
        if swept && level.safety != safety {
            found.push(format!(
                "buffer of {cell:?}: the level keeps back {}, the rules say {safety}",
                level.safety
            ));
        }
        if level.is_short() != short.contains(&cell) {
            found.push(format!(
                "shortage of {cell:?}: {} may be sold, and it is listed: {}",
                level.available_in_store(),
                short.contains(&cell)
            ));
        }
    });
    found.extend(
        sums.iter()
            .filter(|(_, s)| **s != (0, 0))
            .map(|(cell, s)| format!("{cell:?}: no level for held {s:?}")),
    );
}

fn what_is_claimed_is_counted(state: &State, found: &mut Findings) {
    let mut claims: BTreeMap<(CellKey, ReservationId), i64> = BTreeMap::new();
    for reservation in &state.reservations {
        for (cell, claimed) in reservation.claims() {
            *claims.entry((cell, reservation.id)).or_default() += claimed;
        }
    }
    for (cell, id, counted) in state.claims.all() {
        let claimed = claims.remove(&(cell, id)).unwrap_or(0);
        if claimed != counted {
            found.push(format!(
                "{id}: claims {claimed} of what is on its way to {cell:?}, and {counted} are counted"
            ));
        }
    }
    found.extend((claims.iter()).map(|((cell, id), claimed)| {
        format!("{id}: claims {claimed} of what is on its way to {cell:?}, and none is counted")
    }));
}

fn every_reservation_has_its_timer(state: &State, found: &mut Findings) {
    let timers = timers(state, |timer| {
        !matches!(
            timer,
            Timer::Checkout(_) | Timer::EndedDelivery(_) | Timer::BufferSweep
        )
    });
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
    if timers.len() != expected {
        found.push(format!(
            "timers of reservations: {} for {expected} that need one",
            timers.len()
        ));
    }
}

/// The timers of a kind, read in steps between which the sequencer goes on.
fn timers(state: &State, of_kind: impl Fn(&Timer) -> bool) -> BTreeSet<(Time, Timer)> {
    let mut all = BTreeSet::new();
    let mut from = Bound::Unbounded;
    loop {
        let timers = lock(&state.timers);
        let step: Vec<_> = timers
            .range((from, Bound::Unbounded))
            .take(TIMERS_PER_STEP)
            .cloned()
            .collect();
        drop(timers);
        let Some(last) = step.last() else { return all };
        from = Bound::Excluded(last.clone());
        all.extend(step.into_iter().filter(|(_, timer)| of_kind(timer)));
    }
}

fn reservations_are_found_by_store_and_order(state: &State, found: &mut Findings) {
    for reservation in &state.reservations {
        let id = reservation.id;
        // The sequencer goes on between two of them.
        let index = lock(&state.order_index);
        if !index.has(&reservation) {
            found.push(format!("{id} is not found by its store"));
        }
        let latest = state.orders.get(&reservation.order_id).map(|id| *id);
        let earlier = || index.earlier_of(&reservation.order_id).any(|e| e == id);
        if latest.is_none_or(|latest| latest < id || (latest > id && !earlier())) {
            found.push(format!("{id} is not found by its order"));
        }
    }
    let (by_store, earlier) = lock(&state.order_index).len();
    let reservations = state.reservations.len();
    if by_store != reservations || state.orders.len() + earlier != reservations {
        found.push(format!(
            "index of reservations: {reservations}, {by_store} by store, {} orders and {earlier} before their latest",
            state.orders.len()
        ));
    }
}

/// Every part of an order names all parts, itself too, and they belong to the same order and run out at the same time while
/// they are held. One that is named may be forgotten; one that moved away names those that the order has without it.
fn parts_of_an_order_agree(state: &State, found: &mut Findings) {
    // A table is not asked while it is walked.
    let in_parts: Vec<_> = (state.reservations.iter())
        .filter(|r| r.parts.is_some())
        .map(|r| Arc::clone(&r))
        .collect();
    for reservation in in_parts {
        let id = reservation.id;
        let parts = reservation.parts.as_deref().unwrap_or_default();
        let once: BTreeSet<_> = parts.iter().collect();
        if parts.len() < 2 || once.len() != parts.len() {
            found.push(format!("parts of {id}: {parts:?} is no list of several"));
        }
        if !reservation.is_part() {
            if reservation.handling.replaced_by.is_none() {
                found.push(format!(
                    "parts of {id}: it did not move and is not in {parts:?}"
                ));
            }
            continue;
        }
        for other in parts.iter().filter_map(|id| state.reservation(*id)) {
            let both_held = [&reservation, &other]
                .iter()
                .all(|r| r.state == ReservationState::Held);
            if other.order_id != reservation.order_id
                || other.parts != reservation.parts
                || (both_held && other.expire != reservation.expire)
            {
                found.push(format!(
                    "parts of {id}: {} does not agree with it",
                    other.id
                ));
            }
        }
        let next = state.counters().next_reservation;
        if let Some(unborn) = parts.iter().find(|id| id.0 >= next) {
            found.push(format!("parts of {id}: {unborn} was never given"));
        }
    }
}

/// What is counted of slots is what the reservations hold; and none was given room that was not there when it was made. So
/// no slot holds more than it takes, unless it takes less since.
fn slots_are_held_by_reservations(state: &State, found: &mut Findings) {
    let mut holders: Vec<_> = (state.reservations.iter())
        .filter_map(|r| r.held_slot().map(|slot| (r.store, slot, r.id)))
        .collect();
    holders.sort_unstable_by_key(|(store, slot, id)| (*store, slot.start, *id));
    let mut counted: Vec<(StoreId, Time, u32)> = Vec::new();
    for (store, slot, _) in &holders {
        match counted.last_mut() {
            Some((s, start, held)) if (*s, *start) == (*store, slot.start) => *held += 1,
            _ => counted.push((*store, slot.start, 1)),
        }
    }
    let mut expected: BTreeMap<(StoreId, Time), u32> = counted
        .into_iter()
        .map(|(store, start, held)| ((store, start), held))
        .collect();
    for (store, start, held) in state.held_slots.all() {
        let holding = expected.remove(&(store, start)).unwrap_or(0);
        if held != holding {
            found.push(format!(
                "slot of {store:?} at {}: {held} are counted, {holding} reservations hold it",
                start.0
            ));
        }
    }
    for ((store, start), holding) in expected {
        found.push(format!(
            "slot of {store:?} at {}: none is counted, {holding} reservations hold it",
            start.0
        ));
    }
    for (at, (store, slot, id)) in holders.iter().enumerate() {
        // Neighbours in the list begin in the same slot; all that hold its beginning are among them.
        let in_slot = |other: &&(StoreId, Slot, ReservationId)| {
            other.0 == *store && (slot.start..slot.end).contains(&other.1.start)
        };
        let first = holders[..at].partition_point(|o| (o.0, o.1.start) < (*store, slot.start));
        let earlier = holders[first..]
            .iter()
            .take_while(in_slot)
            .filter(|other| other.2 <= *id)
            .count();
        if earlier > slot.capacity as usize {
            found.push(format!(
                "{id}: is number {earlier} in the slot of {store:?} at {:?}, which took {}",
                slot.start, slot.capacity
            ));
        }
    }
}

/// Of those on disk nothing but that they exist can be said here.
fn provisional_customers_are_listed(state: &State, found: &mut Findings) {
    let listed = read(&state.provisional).clone();
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
            "provisional customers: {provisional}, {} listed",
            listed.len()
        ));
    }
    let nobody = listed.iter().filter(|id| !state.has_customer(**id));
    found.extend(nobody.map(|id| format!("{id:?} is listed as provisional and does not exist")));
}

/// The index says of each product what the deliveries have on their way.
fn what_is_on_its_way_is_indexed(state: &State, found: &mut Findings) {
    let mut expected: BTreeMap<SkuId, Vec<Incoming>> = BTreeMap::new();
    for delivery in &state.deliveries {
        for line in delivery.on_its_way() {
            expected.entry(line.sku).or_default().push(Incoming {
                store: delivery.store,
                expected: delivery.expected,
                delivery_id: delivery.delivery_id.clone(),
                quantity: line.outstanding(),
            });
        }
    }
    for (sku, list) in state.inbound.all() {
        let mut there = expected.remove(&sku).unwrap_or_default();
        there.sort_by(|a, b| {
            (a.store, a.expected, &a.delivery_id).cmp(&(b.store, b.expected, &b.delivery_id))
        });
        if there != list {
            found.push(format!(
                "inbound of {sku:?}: the index has {list:?}, the deliveries {there:?}"
            ));
        }
    }
    found.extend(
        expected
            .iter()
            .map(|(sku, lines)| format!("inbound of {sku:?}: nothing is indexed of {lines:?}")),
    );
}

fn indexes_point_to_what_exists(state: &State, found: &mut Findings) {
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
    let in_range = |name: &str, numbers: usize, items: usize, found: &mut Findings| {
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
