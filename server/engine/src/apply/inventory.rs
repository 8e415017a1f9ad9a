//! What happens to deliveries, to facts about stock, and to the levels that follow from them.

use std::sync::Arc;

use crate::apply::Touched;
use crate::command::Timer;
use crate::ctx::Ctx;
use crate::facts::{Fact, FactKey};
use crate::ids::{CellKey, StoreId};
use crate::inbound::Delivery;
use crate::state::{State, lock};

pub(super) fn put_delivery(state: &State, delivery: &Arc<Delivery>, touched: &mut Touched) {
    let id = Arc::clone(&delivery.delivery_id);
    let old = state
        .deliveries
        .insert(Arc::clone(&id), Arc::clone(delivery));
    follow(state, old.as_deref(), Some(delivery));
    note_lines(delivery, touched);
    touched.deliveries.insert(id);
}

pub(super) fn forget_delivery(state: &State, id: &Arc<str>, touched: &mut Touched) {
    let old = state.deliveries.remove(id).map(|(_, old)| old);
    follow(state, old.as_deref(), None);
    touched.deliveries.insert(Arc::clone(id));
}

/// Keeps what is derived from deliveries.
fn follow(state: &State, old: Option<&Delivery>, new: Option<&Delivery>) {
    state.inbound.replace(old, new);
    let mut timers = lock(&state.timers);
    let timer = |d: &Delivery| {
        let due = d.forgotten_at()?;
        Some((due, Timer::EndedDelivery(Arc::clone(&d.delivery_id))))
    };
    if let Some(due) = old.and_then(timer) {
        timers.remove(&due);
    }
    timers.extend(new.and_then(timer));
}

fn note_lines(delivery: &Delivery, touched: &mut Touched) {
    let cell = |sku| CellKey::new(sku, delivery.store);
    touched
        .shown
        .extend(delivery.lines.iter().map(|line| cell(line.sku)));
}

pub(super) fn put_facts(
    state: &State,
    facts: &[(FactKey, Option<Fact>)],
    ctx: &Ctx,
    touched: &mut Touched,
) {
    for (key, fact) in facts {
        state.set_fact(key, *fact);
        if let FactKey::Buffer(key) = key {
            lock(&state.sweep).add(key);
        }
        touched.facts.insert(key.clone());
    }
    sweep_where_needed(state, ctx, touched);
}

pub(super) fn check_pick(
    state: &State,
    store: StoreId,
    expected: i64,
    found: i64,
    ctx: &Ctx,
    touched: &mut Touched,
) {
    if expected <= 0 {
        return;
    }
    let extra = {
        let mut accuracy = state.accuracy.entry(store).or_default();
        accuracy.check(expected, found, ctx.now);
        accuracy.extra(ctx.now)
    };
    touched.facts.insert(FactKey::Accuracy(store));
    let buffers = state.stock.buffers();
    if buffers.extra(store) != extra {
        buffers.set_extra(store, extra);
        lock(&state.sweep).walk(Some(store));
        sweep_where_needed(state, ctx, touched);
    }
}

/// A first step at once: mostly it is the whole.
pub(super) fn sweep_where_needed(state: &State, ctx: &Ctx, touched: &mut Touched) {
    if !lock(&state.sweep).is_done() {
        sweep(state, ctx, touched);
    }
}

/// A step of fitting levels to changed buffers. What is left waits for a timer that is due at once, so that the commands
/// that wait meanwhile come in between.
pub(super) fn sweep(state: &State, ctx: &Ctx, touched: &mut Touched) {
    let mut sweep = lock(&state.sweep);
    state
        .stock
        .sweep(&mut sweep, |cell| touched.shown.push(cell));
    let mut timers = lock(&state.timers);
    timers.retain(|(_, timer)| *timer != Timer::BufferSweep);
    if !sweep.is_done() {
        timers.insert((ctx.now, Timer::BufferSweep));
    }
}

/// What stores keep back on top, and all levels fitted; after loading.
pub(super) fn rebuild_buffers(state: &State) {
    for entry in &state.accuracy {
        // As it was when the store was last checked: that is when it is looked at.
        let checked = crate::units::Time(entry.day * crate::units::DAY_MS);
        state
            .stock
            .buffers()
            .set_extra(*entry.key(), entry.extra(checked));
    }
    *lock(&state.sweep) = crate::buffers::Sweep::default();
    state.stock.refit_all();
}
