//! A state as sorted lines of text: two states are the same exactly where their lines are. And the copying of rows, the
//! way a store that writes only what was touched would do it.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use tillside_engine::apply::Touched;
use tillside_engine::state::{State, Table, lock, read, write};

fn table<K: Eq + Hash + Debug, V: Debug>(lines: &mut Vec<String>, name: &str, table: &Table<K, V>) {
    lines.extend(
        table
            .iter()
            .map(|e| format!("{name} {:?} = {:?}", e.key(), e.value())),
    );
}

/// All of a state, the derived parts too.
pub(crate) fn dump(state: &State) -> Vec<String> {
    let mut lines = Vec::new();
    table(&mut lines, "store number", &state.stores.numbers);
    table(&mut lines, "store", &state.stores.items);
    table(&mut lines, "product number", &state.products.numbers);
    table(&mut lines, "product", &state.products.items);
    table(&mut lines, "category", &state.categories);
    table(&mut lines, "category path", &state.category_paths);
    table(&mut lines, "gtin", &state.gtins);
    table(&mut lines, "plu", &state.plus);
    table(&mut lines, "customer", &state.customers);
    table(&mut lines, "identifier", &state.identifiers);
    state
        .stock
        .for_each(|cell, level| lines.push(format!("stock {cell:?} = {level:?}")));
    table(&mut lines, "offer", &state.offers);
    table(&mut lines, "outcomes", &state.outcomes);
    table(&mut lines, "reservation", &state.reservations);
    table(&mut lines, "order", &state.orders);
    table(&mut lines, "checkout", &state.checkouts);
    table(&mut lines, "business key", &state.business_keys);
    lines.push(format!("order index = {:?}", lock(&state.order_index)));
    table(&mut lines, "delivery", &state.deliveries);
    let mut facts = state.facts();
    facts.sort_by(|a, b| a.0.cmp(&b.0));
    lines.push(format!("facts = {facts:?}"));
    let products = state.products.items.iter().map(|e| *e.key());
    lines.extend(products.map(|sku| format!("inbound {sku:?} = {:?}", state.inbound.of(sku))));
    lines.push(format!(
        "short = {:?}",
        state.stock.short_cells().collect::<Vec<_>>()
    ));
    lines.push(format!("requests = {:?}", lock(&state.requests)));
    lines.push(format!("quarantine = {:?}", read(&state.quarantine)));
    lines.push(format!("provisional = {:?}", read(&state.provisional)));
    lines.push(format!("timers = {:?}", lock(&state.timers)));
    lines.push(format!("counters = {:?}", state.counters()));
    lines.push(format!("active offers = {:?}", state.active_offers.get()));
    lines.push(format!("routing policy = {:?}", state.routing_policy.get()));
    lines.push(format!("claims = {:?}", state.claims.all()));
    lines.push(format!("held slots = {:?}", state.held_slots.all()));
    lines.push(format!("store index = {:?}", state.store_index.get()));
    lines.sort_unstable();
    lines
}

fn copy<K: Eq + Hash + Clone, V: Clone>(from: &Table<K, V>, to: &Table<K, V>, key: &K) {
    match from.get(key).map(|v| v.clone()) {
        Some(value) => drop(to.insert(key.clone(), value)),
        None => drop(to.remove(key)),
    }
}

fn copy_all<K: Eq + Hash + Clone, V: Clone>(from: &Table<K, V>, to: &Table<K, V>) {
    from.iter()
        .for_each(|e| drop(to.insert(e.key().clone(), e.value().clone())));
}

/// Copies the rows that `touched` names, and no others.
pub(crate) fn write_rows(from: &State, to: &State, touched: &Touched) {
    for id in &touched.stores {
        copy(&from.stores.items, &to.stores.items, id);
        let store = from.stores.get(*id).expect("a touched store exists");
        to.stores.numbers.insert(Arc::clone(&store.store_id), *id);
    }
    for id in &touched.products {
        copy(&from.products.items, &to.products.items, id);
        let product = from.products.get(*id).expect("a touched product exists");
        to.products.numbers.insert(Arc::clone(&product.sku), *id);
    }
    for id in &touched.categories {
        let path = from.category_path(*id).expect("a touched category exists");
        to.categories.insert(Arc::clone(&path), *id);
        to.category_paths.insert(*id, path);
    }
    for id in touched.customers.iter().chain(&touched.histories) {
        // Two tables on disk: a history that is not named as changed must not be written by the way.
        let customer = from.customer(*id).expect("a touched customer exists");
        let mut row = to.customers.entry(*id).or_default();
        let row = Arc::make_mut(&mut row);
        if touched.customers.contains(id) {
            row.personal = Arc::clone(&customer.personal);
            row.relation = Arc::clone(&customer.relation);
        }
        if touched.histories.contains(id) {
            row.history = customer.history.clone();
        }
    }
    for (hash, id) in &touched.identifiers {
        to.identifiers.insert(*hash, *id);
    }
    for cell in &touched.cells {
        let level = from.stock.get(*cell).expect("a touched level exists");
        to.stock.insert(*cell, level);
    }
    touched
        .offers
        .iter()
        .for_each(|key| copy(&from.offers, &to.offers, key));
    touched
        .outcomes
        .iter()
        .for_each(|key| copy(&from.outcomes, &to.outcomes, key));
    touched
        .reservations
        .iter()
        .for_each(|key| copy(&from.reservations, &to.reservations, key));
    touched
        .checkouts
        .iter()
        .for_each(|key| copy(&from.checkouts, &to.checkouts, key));
    touched
        .deliveries
        .iter()
        .for_each(|key| copy(&from.deliveries, &to.deliveries, key));
    touched
        .facts
        .iter()
        .for_each(|key| to.set_fact(key, from.fact(key)));
    if touched.routing_policy {
        to.routing_policy.set((*from.routing_policy.get()).clone());
    }
    for (key, sequence) in &touched.business_keys {
        to.business_keys.insert(*key, *sequence);
    }
    for sequence in &touched.requests {
        if let Some(answered) = lock(&from.requests).answered_at(*sequence) {
            lock(&to.requests).insert(answered);
        }
    }
    let start = lock(&from.requests).start();
    let mut requests = lock(&to.requests);
    requests.forget_oldest(touched.forgotten_requests.len());
    requests.forget_before(start);
    drop(requests);
    for key in &touched.quarantine {
        let line = Arc::clone(&read(&from.quarantine)[key]);
        write(&to.quarantine).insert(*key, line);
    }
}

/// A state with the same rows and nothing derived.
pub(crate) fn copy_rows(from: &State) -> State {
    let to = State::default();
    copy_all(&from.stores.items, &to.stores.items);
    copy_all(&from.stores.numbers, &to.stores.numbers);
    copy_all(&from.products.items, &to.products.items);
    copy_all(&from.products.numbers, &to.products.numbers);
    copy_all(&from.categories, &to.categories);
    copy_all(&from.category_paths, &to.category_paths);
    copy_all(&from.customers, &to.customers);
    copy_all(&from.identifiers, &to.identifiers);
    for (cell, level) in from.stock.cells() {
        to.stock.insert(cell, level);
    }
    copy_all(&from.offers, &to.offers);
    copy_all(&from.outcomes, &to.outcomes);
    copy_all(&from.reservations, &to.reservations);
    copy_all(&from.checkouts, &to.checkouts);
    copy_all(&from.business_keys, &to.business_keys);
    copy_all(&from.deliveries, &to.deliveries);
    for (key, fact) in from.facts() {
        to.set_fact(&key, Some(fact));
    }
    for answered in lock(&from.requests).iter() {
        lock(&to.requests).insert(answered);
    }
    *write(&to.quarantine) = read(&from.quarantine).clone();
    to.routing_policy.set((*from.routing_policy.get()).clone());
    to
}
