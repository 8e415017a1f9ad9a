//! The engine's state beside the model's: entity by entity after a step, all of it at every start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tillside_engine::facts::FactKey;
use tillside_engine::ids::{CustomerId, ReservationId, SkuId, StoreId};
use tillside_engine::profile::History;
use tillside_engine::state::{State, read};

use crate::Checked;
use crate::model::{Entity, Figures, Model, Person};
use crate::schedule::START;

/// Shorter than a favourite lasts.
const YEARS_MS: i64 = 1000 * 86_400_000;

/// Demands that `actual` is `expected`.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
    what: impl FnOnce() -> String,
    actual: T,
    expected: T,
) -> Checked {
    if actual == expected {
        return Ok(());
    }
    Err(format!(
        "{}\n  the server: {actual:?}\n  the model:  {expected:?}",
        what()
    ))
}

/// One entity.
pub(crate) fn entity(state: &State, model: &Model, entity: &Entity) -> Checked {
    let what = || format!("{entity:?} differs");
    match entity {
        Entity::Cell((sku, store)) => {
            let level = state.level(SkuId(*sku), StoreId(*store));
            let actual = Figures {
                on_hand: level.on_hand,
                reserved: level.reserved,
                committed: level.committed,
                safety: level.safety,
                damaged: level.damaged,
                counted_at: level.counted_at(),
            };
            same(what, actual, model.figures((*sku, *store)))?;
            let incoming = state.inbound.incoming(SkuId(*sku), StoreId(*store));
            same(what, incoming, model.incoming((*sku, *store)))
        }
        Entity::Delivery(id) => {
            let actual = state.deliveries.get(id).map(|d| Arc::clone(&d));
            same(what, actual.as_ref(), model.deliveries.get(id))
        }
        Entity::Fact(key) => same(what, state.fact(key), model.fact(key)),
        Entity::Person(id) => {
            let customer = state
                .customer(CustomerId(*id))
                .ok_or_else(|| format!("customer {id} is missing"))?;
            let expected = &model.people[*id as usize - 1];
            same(what, &*customer.personal, &expected.personal)?;
            same(what, &*customer.relation, &expected.relation)?;
            history(&customer.history, expected)
        }
        Entity::Reservation(id) => {
            let actual = state.reservation(ReservationId(*id));
            same(what, actual.as_ref(), model.reservations.get(id))
        }
        Entity::Checkout(id) => {
            let actual = state.checkouts.get(id).map(|c| Arc::clone(&c));
            same(what, actual.as_deref(), model.checkouts.get(id))
        }
        Entity::Offer(id) => {
            let actual = state.offers.get(id).map(|o| Arc::clone(&o));
            same(what, actual.as_ref(), model.offers.get(id))?;
            let actual = state.outcomes.get(id).map(|c| *c);
            same(what, actual.as_ref(), model.outcomes.get(id))
        }
        Entity::Store(number) => {
            let actual = state.stores.get(StoreId(*number));
            same(what, actual.as_ref(), model.stores.get(*number as usize))
        }
        Entity::Product(number) => {
            let actual = state.products.get(SkuId(*number));
            same(what, actual.as_ref(), model.products.get(*number as usize))
        }
    }
}

fn history(actual: &History, expected: &Person) -> Checked {
    let what = || "a history differs".to_owned();
    same(what, actual.points, expected.points)?;
    same(what, actual.purchases, expected.purchases)?;
    let spend = actual
        .spend
        .iter()
        .map(|s| (s.currency.as_str().to_owned(), (s.net_minor, s.purchases)));
    same(
        what,
        spend.collect::<BTreeMap<_, _>>(),
        expected.spend.clone(),
    )?;
    same(
        what,
        (actual.first_purchase, actual.last_purchase),
        (expected.first, expected.last),
    )?;
    same(what, actual.last_store, expected.last_store)?;
    // After years a favourite has no weight any more.
    if expected
        .last
        .is_some_and(|last| last.0 - START.0 > YEARS_MS)
    {
        return Ok(());
    }
    let bought: BTreeSet<u32> = actual.products.iter().map(|w| w.item.0).collect();
    same(what, bought, expected.bought.clone())
}

/// Everything.
pub(crate) fn all(state: &State, model: &Model) -> Checked {
    let counters = state.counters();
    let what = || "the counters differ".to_owned();
    same(what, counters.sequence, model.sequence)?;
    same(what, counters.now, model.now)?;
    same(
        what,
        counters.next_customer.max(1),
        model.people.len() as u64 + 1,
    )?;
    same(
        what,
        counters.next_reservation.max(1),
        model.reservations_made + 1,
    )?;
    same(what, counters.transactions, model.receipts)?;
    let sizes = |name: &'static str, actual: usize, expected: usize| {
        same(|| format!("number of {name}"), actual, expected)
    };
    sizes("stores", state.stores.len(), model.stores.len())?;
    sizes("products", state.products.len(), model.products.len())?;
    sizes("categories", state.categories.len(), model.categories.len())?;
    sizes("customers", state.customers.len(), model.people.len())?;
    sizes(
        "identifiers",
        state.identifiers.len(),
        model.identifiers.len(),
    )?;
    sizes(
        "reservations",
        state.reservations.len(),
        model.reservations.len(),
    )?;
    sizes("checkouts", state.checkouts.len(), model.checkouts.len())?;
    sizes("offers", state.offers.len(), model.offers.len())?;
    sizes("outcomes", state.outcomes.len(), model.outcomes.len())?;
    sizes("business keys", state.business_keys.len(), model.keys.len())?;
    sizes("deliveries", state.deliveries.len(), model.deliveries.len())?;
    let facts = model.facts.len() + model.sources.len();
    sizes("facts", state.facts().len(), facts)?;
    let deliveries = model.deliveries.keys().cloned().map(Entity::Delivery);
    let sources = model.sources.keys().cloned().map(FactKey::Source);
    let facts = model.facts.keys().cloned().chain(sources).map(Entity::Fact);
    let stores = (0..model.stores.len() as u32).map(Entity::Store);
    let products = (0..model.products.len() as u32).map(Entity::Product);
    let people = (1..=model.people.len() as u64).map(Entity::Person);
    let reservations = model.reservations.keys().copied().map(Entity::Reservation);
    let checkouts = model.checkouts.keys().cloned().map(Entity::Checkout);
    let offers = model
        .offers
        .keys()
        .chain(model.outcomes.keys())
        .cloned()
        .map(Entity::Offer);
    let cells: BTreeSet<_> = state
        .stock
        .cells()
        .map(|(cell, _)| (cell.sku().0, cell.store().0))
        .collect();
    let cells = cells
        .into_iter()
        .chain(model.cells.keys().copied())
        .map(Entity::Cell);
    let entities = stores
        .chain(products)
        .chain(people)
        .chain(reservations)
        .chain(checkouts)
        .chain(offers)
        .chain(deliveries)
        .chain(facts)
        .chain(cells);
    for found in entities {
        entity(state, model, &found)?;
    }
    for (hash, id) in &model.identifiers {
        let actual = state.identifiers.get(hash).map(|id| id.0);
        same(|| format!("{hash:?} differs"), actual, Some(*id))?;
    }
    for (key, sequence) in &model.keys {
        let actual = state.business_keys.get(key).map(|s| *s);
        same(|| format!("{key:?} differs"), actual, Some(*sequence))?;
    }
    let quarantine = read(&state.quarantine).clone();
    same(
        || "the quarantine differs".to_owned(),
        quarantine,
        model.quarantine.clone(),
    )?;
    let due = model.timers().first().map(|(time, _)| *time);
    same(
        || "the next timer differs".to_owned(),
        state.next_timer(),
        due,
    )
}
