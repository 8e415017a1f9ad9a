//! The only place where state changes. `apply` decides nothing and cannot fail: an event that does not fit the state is
//! a programmer's error and stops the process before anything of it is acknowledged.

mod inventory;
mod levels;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use self::levels::{LevelChange, LevelChanges};
use crate::active_offers::ActiveOffer;
use crate::answered_requests::AnsweredRequest;
use crate::catalog::{CategoryId, Product, Store};
use crate::command::Timer;
use crate::ctx::Ctx;
use crate::customer::Customer;
use crate::event::Event;
use crate::facts::FactKey;
use crate::geo_index::StoreIndex;
use crate::ids::{
    BusinessKey, CellKey, CustomerId, IdentifierHash, ReservationId, Sequence, SkuId, StoreId,
};
use crate::offer::{Offer, OutcomeType};
use crate::order_index::OrderIndex;
use crate::profile::Purchase;
use crate::reservation::{Reservation, ReservationState};
use crate::routing_policy::RoutingPolicy;
use crate::sale::{ItemRef, QuarantinedLine, Sale, SaleKind, StoreRef};
use crate::state::{State, lock, read, write};
use crate::units::Time;

/// Rows that changed since the last write, each once however often it changed.
#[derive(Debug, Default)]
pub struct Touched {
    /// Stock levels.
    pub cells: FxHashSet<CellKey>,
    /// Histories of customers.
    pub histories: FxHashSet<CustomerId>,
    /// Personal records and relations.
    pub customers: FxHashSet<CustomerId>,
    /// Reservations.
    pub reservations: FxHashSet<ReservationId>,
    /// Offers.
    pub offers: FxHashSet<Arc<str>>,
    /// Outcome counts.
    pub outcomes: FxHashSet<Arc<str>>,
    /// Stores.
    pub stores: FxHashSet<StoreId>,
    /// Products.
    pub products: FxHashSet<SkuId>,
    /// Checkouts, forgotten ones too.
    pub checkouts: FxHashSet<Arc<str>>,
    /// New categories.
    pub categories: Vec<CategoryId>,
    /// New index entries.
    pub identifiers: Vec<(IdentifierHash, CustomerId)>,
    /// New business keys.
    pub business_keys: Vec<(BusinessKey, Sequence)>,
    /// New answered requests, by where their answers are.
    pub requests: Vec<Sequence>,
    /// Requests forgotten one by one. What the window's start has left behind needs no mention.
    pub forgotten_requests: Vec<Sequence>,
    /// New quarantined lines.
    pub quarantine: Vec<(Sequence, u32)>,
    /// Deliveries, forgotten ones too.
    pub deliveries: FxHashSet<Arc<str>>,
    /// Facts about stock, removed ones too.
    pub facts: FxHashSet<FactKey>,
    /// Levels whose answer changed while their row did not: what is kept back, or what is on its way.
    pub shown: Vec<CellKey>,
    /// The routing policy.
    pub routing_policy: bool,
    /// What the command at hand does to levels.
    levels: LevelChanges,
}

impl Touched {
    /// Empties it, keeping the memory.
    pub fn clear(&mut self) {
        self.cells.clear();
        self.histories.clear();
        self.customers.clear();
        self.reservations.clear();
        self.offers.clear();
        self.outcomes.clear();
        self.stores.clear();
        self.products.clear();
        self.checkouts.clear();
        self.categories.clear();
        self.identifiers.clear();
        self.business_keys.clear();
        self.requests.clear();
        self.forgotten_requests.clear();
        self.quarantine.clear();
        self.deliveries.clear();
        self.facts.clear();
        self.shown.clear();
        self.routing_policy = false;
    }
}

/// Changes `state` by the events of one command and notes the rows that changed.
pub fn apply(state: &State, events: &[Event], ctx: &Ctx, touched: &mut Touched) {
    for event in events {
        apply_one(state, event, ctx, touched);
    }
    let Touched { levels, cells, .. } = touched;
    levels.carry_out(&state.stock, ctx.now, |cell| _ = cells.insert(cell));
    let categories: Vec<(CategoryId, &Arc<str>)> = events
        .iter()
        .filter_map(|e| match e {
            Event::CategoryAdded { id, path } => Some((*id, path)),
            _ => None,
        })
        .collect();
    if !categories.is_empty() {
        let mut active = state.active_offers.get().as_ref().clone();
        for offer in &mut active {
            categories
                .iter()
                .for_each(|(id, path)| offer.learn(*id, path));
        }
        state.active_offers.set(active);
    }
    // The index is replaced whole, so once a command, not once a store.
    let stores = events.iter().filter_map(|e| {
        if let Event::StorePut { id, store } = e {
            Some((*id, Arc::clone(store)))
        } else {
            None
        }
    });
    let mut stores = stores.peekable();
    if stores.peek().is_some() {
        let index = state.store_index.get().with(stores);
        state.store_index.set(index);
    }
    state.now_ms.store(ctx.now.0, Ordering::Release);
    // Last: a reader that sees this sequence sees all of the command.
    state.sequence.store(ctx.seq.0, Ordering::Release);
}

fn apply_one(state: &State, event: &Event, ctx: &Ctx, touched: &mut Touched) {
    match event {
        Event::StorePut { id, store } => put_store(state, *id, store, touched),
        Event::CategoryAdded { id, path } => {
            state.categories.insert(Arc::clone(path), *id);
            state.category_paths.insert(*id, Arc::clone(path));
            touched.categories.push(*id);
        }
        Event::ProductPut { id, product } => put_product(state, *id, product, ctx, touched),
        Event::CustomerPut {
            id,
            personal,
            relation,
            identifiers,
            created,
        } => {
            put_customer(
                state,
                *id,
                personal.as_ref(),
                relation,
                identifiers,
                *created,
                touched,
            );
        }
        Event::OfferPut { terms } => {
            let offer = Offer {
                terms: Arc::clone(terms),
                archived: false,
                version: ctx.seq,
            };
            set_offer(state, offer, touched);
        }
        Event::OfferArchived { offer_id } => {
            let current = state
                .offers
                .get(offer_id)
                .map(|o| Arc::clone(&o))
                .expect("decide checked that the offer exists");
            set_offer(
                state,
                Offer {
                    terms: Arc::clone(&current.terms),
                    archived: true,
                    version: ctx.seq,
                },
                touched,
            );
        }
        Event::OutcomeReported {
            offer_id,
            outcome,
            key,
        } => {
            count_outcome(state, offer_id, *outcome, touched);
            take_key(state, *key, ctx.seq, touched);
        }
        Event::Received { keys, .. } => keys
            .iter()
            .for_each(|key| take_key(state, *key, ctx.seq, touched)),
        Event::SaleRecorded { sale } => record_sale(state, sale, ctx, touched),
        Event::StockMoved {
            sku,
            store,
            delta,
            damaged,
            occurred,
            reason: _,
        } => {
            let change = LevelChange::Moved {
                delta: *delta,
                damaged: *damaged,
                occurred: *occurred,
            };
            touched.levels.push(CellKey::new(*sku, *store), change);
        }
        Event::StockCounted {
            sku,
            store,
            on_hand,
            safety,
            as_of,
        } => {
            let change = LevelChange::Counted {
                on_hand: *on_hand,
                safety: *safety,
                as_of: *as_of,
            };
            touched.levels.push(CellKey::new(*sku, *store), change);
        }
        Event::ReservationHeld { reservation } | Event::ReservationPut { reservation } => {
            put_reservation(state, Arc::clone(reservation), touched);
        }
        Event::ReservationConfirmed { id } => {
            change_reservation(state, *id, ctx, touched, |r| {
                r.state = ReservationState::Confirmed
            });
        }
        Event::ReservationReleased { id } => {
            change_reservation(state, *id, ctx, touched, |r| {
                end(r, ReservationState::Released)
            });
        }
        Event::ReservationExpired { id } => {
            change_reservation(state, *id, ctx, touched, |r| {
                end(r, ReservationState::Expired)
            });
        }
        Event::ReservationForgotten { id } => forget(state, *id, touched),
        Event::CheckoutPut { checkout } => {
            let id = Arc::clone(&checkout.checkout_id);
            let timer = Timer::Checkout(Arc::clone(&id));
            let mut timers = lock(&state.timers);
            if let Some(old) = state
                .checkouts
                .insert(Arc::clone(&id), Arc::clone(checkout))
            {
                timers.remove(&(old.expire, timer.clone()));
            }
            timers.insert((checkout.expire, timer));
            touched.checkouts.insert(id);
        }
        Event::CheckoutForgotten { checkout_id } => {
            if let Some((_, old)) = state.checkouts.remove(checkout_id) {
                lock(&state.timers).remove(&(old.expire, Timer::Checkout(Arc::clone(checkout_id))));
            }
            touched.checkouts.insert(Arc::clone(checkout_id));
        }
        Event::RequestAnswered { key, payload_hash } => {
            lock(&state.requests).insert(AnsweredRequest {
                key: *key,
                payload_hash: *payload_hash,
                sequence: ctx.seq,
                time: ctx.now,
            });
            touched.requests.push(ctx.seq);
        }
        Event::RequestsForgotten { count } => {
            let oldest = lock(&state.requests).forget_oldest(*count as usize);
            touched.forgotten_requests.extend(oldest);
        }
        Event::RequestWindowMoved { before } => lock(&state.requests).forget_before(*before),
        Event::DeliveryPut { delivery } => inventory::put_delivery(state, delivery, touched),
        Event::DeliveryForgotten { delivery_id } => {
            inventory::forget_delivery(state, delivery_id, touched);
        }
        Event::FactsPut { facts } => inventory::put_facts(state, facts, ctx, touched),
        Event::BuffersSwept => inventory::sweep(state, ctx, touched),
        Event::PickChecked {
            store,
            expected,
            found,
        } => inventory::check_pick(state, *store, *expected, *found, ctx, touched),
        Event::SourceAdvanced { source, number } => {
            state
                .sources
                .entry(Arc::clone(source))
                .or_default()
                .take(*number, ctx.now);
            touched.facts.insert(FactKey::Source(Arc::clone(source)));
        }
        Event::RoutingPolicySet { policy } => {
            state.routing_policy.set(RoutingPolicy {
                version: ctx.seq,
                ..RoutingPolicy::clone(policy)
            });
            touched.routing_policy = true;
        }
    }
}

fn put_store(state: &State, id: StoreId, store: &Arc<Store>, touched: &mut Touched) {
    state.stores.items.insert(id, Arc::clone(store));
    state.stores.numbers.insert(Arc::clone(&store.store_id), id);
    touched.stores.insert(id);
}

fn put_product(state: &State, id: SkuId, product: &Arc<Product>, ctx: &Ctx, touched: &mut Touched) {
    if let Some(old) = state.products.items.insert(id, Arc::clone(product)) {
        for gtin in old.gtins.iter().filter(|g| !product.gtins.contains(g)) {
            state.gtins.remove(gtin);
        }
        if old.plu != product.plu {
            state.plus.remove(&old.plu);
        }
    }
    state.products.numbers.insert(Arc::clone(&product.sku), id);
    state.note_category(id, product.category);
    for gtin in &product.gtins {
        state.gtins.insert(*gtin, id);
    }
    if !product.plu.is_empty() {
        state.plus.insert(Arc::clone(&product.plu), id);
    }
    // After the product is in its table: see the field.
    state.catalog_version.fetch_add(1, Ordering::AcqRel);
    touched.products.insert(id);
    inventory::sweep_where_needed(state, ctx, touched);
}

fn put_customer(
    state: &State,
    id: CustomerId,
    personal: Option<&Arc<crate::customer::Personal>>,
    relation: &Arc<crate::customer::Relation>,
    identifiers: &[IdentifierHash],
    created: bool,
    touched: &mut Touched,
) {
    {
        // Somebody on disk would otherwise be overwritten by a blank.
        assert!(
            created || state.customers.contains_key(&id),
            "only customers in memory are changed"
        );
        let mut entry = state
            .customers
            .entry(id)
            .or_insert_with(|| Arc::new(Customer::default()));
        let customer = Arc::make_mut(&mut entry);
        customer.relation = Arc::clone(relation);
        if let Some(personal) = personal {
            customer.personal = Arc::clone(personal);
        }
    }
    for hash in identifiers {
        state.identifiers.insert(*hash, id);
        touched.identifiers.push((*hash, id));
    }
    let mut provisional = write(&state.provisional);
    if relation.provisional {
        provisional.insert(id)
    } else {
        provisional.remove(&id)
    };
    drop(provisional);
    if created {
        state.next_customer.fetch_max(id.0 + 1, Ordering::AcqRel);
    }
    touched.customers.insert(id);
}

fn set_offer(state: &State, offer: Offer, touched: &mut Touched) {
    let id = Arc::clone(&offer.terms.offer_id);
    let offer = Arc::new(offer);
    state.offers.insert(Arc::clone(&id), Arc::clone(&offer));
    let mut active: Vec<ActiveOffer> = state
        .active_offers
        .get()
        .iter()
        .filter(|a| a.offer.terms.offer_id != id)
        .cloned()
        .collect();
    if !offer.archived {
        let at = active.partition_point(|a| a.offer.terms.offer_id < id);
        active.insert(at, ActiveOffer::of(offer, state));
    }
    state.active_offers.set(active);
    touched.offers.insert(id);
}

fn count_outcome(state: &State, offer_id: &Arc<str>, outcome: OutcomeType, touched: &mut Touched) {
    state
        .outcomes
        .entry(Arc::clone(offer_id))
        .or_default()
        .count(outcome);
    touched.outcomes.insert(Arc::clone(offer_id));
}

fn take_key(state: &State, key: BusinessKey, sequence: Sequence, touched: &mut Touched) {
    state.business_keys.insert(key, sequence);
    touched.business_keys.push((key, sequence));
}

fn record_sale(state: &State, sale: &Sale, ctx: &Ctx, touched: &mut Touched) {
    state.transactions.fetch_add(1, Ordering::AcqRel);
    let neutral = sale.kind == SaleKind::Neutral;
    let store = match &sale.store {
        StoreRef::Known(store) => Some(*store),
        StoreRef::Unknown(_) => None,
    };
    for (index, line) in sale.lines.iter().enumerate() {
        let (Some(store), ItemRef::Known(sku)) = (store, &line.item) else {
            if !neutral {
                quarantine(state, sale, index, ctx.seq, touched);
            }
            continue;
        };
        if let Some((reservation, quantity)) = line.settles {
            settle(state, reservation, *sku, quantity, ctx, touched);
        }
        if line.stock_delta != 0 {
            let cell = CellKey::new(*sku, store);
            let change = LevelChange::Moved {
                delta: line.stock_delta,
                damaged: 0,
                occurred: sale.time,
            };
            touched.levels.push(cell, change);
        }
    }
    if neutral {
        return;
    }
    if sale.kind == SaleKind::Sale {
        // An offer that discounted several lines of a receipt was redeemed once.
        let redeemed: BTreeSet<&Arc<str>> = sale.lines.iter().flat_map(|l| &l.offer_ids).collect();
        for offer_id in redeemed {
            count_outcome(state, offer_id, OutcomeType::Redeem, touched);
        }
    }
    if let Some(customer) = sale.customer {
        record_history(state, customer, sale, store);
        touched.histories.insert(customer);
    }
}

fn record_history(state: &State, customer: CustomerId, sale: &Sale, store: Option<StoreId>) {
    let bought = sale.lines.iter().filter(|l| l.quantity > 0);
    let mut products: SmallVec<[SkuId; 16]> = bought
        .filter_map(|l| {
            if let ItemRef::Known(sku) = l.item {
                Some(sku)
            } else {
                None
            }
        })
        .collect();
    products.sort_unstable();
    products.dedup();
    let by_product = read(&state.product_categories);
    let category = |sku: &SkuId| by_product.get(sku.0 as usize).copied().flatten();
    let mut categories: SmallVec<[CategoryId; 16]> = products.iter().filter_map(category).collect();
    drop(by_product);
    categories.sort_unstable();
    categories.dedup();
    let purchase = Purchase {
        time: sale.time,
        store,
        count: match sale.kind {
            SaleKind::Sale => 1,
            SaleKind::PostVoid => -1,
            SaleKind::Return | SaleKind::Neutral => 0,
        },
        net: &sale.net_by_currency(),
        points: sale.points,
        products: &products,
        categories: &categories,
    };
    let mut entry = state
        .customers
        .get_mut(&customer)
        .expect("decide resolved the customer, and only customers in memory are changed");
    Arc::make_mut(&mut entry).history.record(&purchase);
}

fn quarantine(state: &State, sale: &Sale, index: usize, sequence: Sequence, touched: &mut Touched) {
    let line = &sale.lines[index];
    let store_name = |id: StoreId| {
        state
            .stores
            .get(id)
            .map_or_else(|| "".into(), |s| Arc::clone(&s.store_id))
    };
    let sku_name = |id: SkuId| {
        state
            .products
            .get(id)
            .map_or_else(|| "".into(), |p| Arc::clone(&p.sku))
    };
    let (store, unknown_store) = match &sale.store {
        StoreRef::Known(id) => (store_name(*id), false),
        StoreRef::Unknown(text) => (Arc::clone(text), true),
    };
    let (item, scanned) = match &line.item {
        ItemRef::Known(sku) => (sku_name(*sku), false),
        ItemRef::UnknownSku(text) => (Arc::clone(text), false),
        ItemRef::UnknownCode(text) => (Arc::clone(text), true),
    };
    let quarantined = QuarantinedLine {
        store,
        item,
        scanned,
        quantity: line.quantity,
        net: line.net,
        time: sale.time,
        unknown_store,
    };
    let key = (sequence, index as u32);
    write(&state.quarantine).insert(key, Arc::new(quarantined));
    touched.quarantine.push(key);
}

fn end(reservation: &mut Reservation, state: ReservationState) {
    reservation.state = state;
    reservation.lines.iter_mut().for_each(|line| line.held = 0);
}

fn settle(
    state: &State,
    id: ReservationId,
    sku: SkuId,
    quantity: i64,
    ctx: &Ctx,
    touched: &mut Touched,
) {
    change_reservation(state, id, ctx, touched, |reservation| {
        let mut left = quantity;
        for line in reservation.lines.iter_mut().filter(|l| l.sku == sku) {
            let taken = left.min(line.held);
            line.held -= taken;
            left -= taken;
        }
        if reservation.lines.iter().all(|l| l.held == 0) {
            reservation.state = ReservationState::Fulfilled;
        }
    });
}

fn change_reservation(
    state: &State,
    id: ReservationId,
    ctx: &Ctx,
    touched: &mut Touched,
    change: impl FnOnce(&mut Reservation),
) {
    let current = state
        .reservation(id)
        .expect("decide checked that the reservation exists");
    let mut changed = Reservation::clone(&current);
    change(&mut changed);
    changed.version = ctx.seq;
    put_reservation(state, Arc::new(changed), touched);
}

/// Takes what the reservation held before out of the levels, and puts in what it holds now. So the levels always hold the
/// sum over reservations, whatever the transition; timers and indexes follow the same way.
fn put_reservation(state: &State, new: Arc<Reservation>, touched: &mut Touched) {
    let id = new.id;
    let old = state.reservation(id);
    if let Some(old) = &old {
        book(old, -1, touched);
        state.held_slots.count(old, false);
        state.claims.count(old, false);
    } else {
        state.next_reservation.fetch_max(id.0 + 1, Ordering::AcqRel);
        let superseded = state.orders.insert(Arc::clone(&new.order_id), id);
        if let Some(superseded) = superseded {
            lock(&state.order_index).superseded(&new.order_id, superseded);
        }
    }
    book(&new, 1, touched);
    state.held_slots.count(&new, true);
    state.claims.count(&new, true);
    let (before, after) = (old.as_ref().and_then(|r| r.timer()), new.timer());
    if before != after {
        let mut timers = lock(&state.timers);
        before.map(|timer| timers.remove(&timer));
        after.map(|timer| timers.insert(timer));
    }
    lock(&state.order_index).put(old.as_deref(), &new);
    state.reservations.insert(id, new);
    touched.reservations.insert(id);
}

/// Removes an ended reservation. Its order goes on with the one before, if that is still here, or starts anew.
fn forget(state: &State, id: ReservationId, touched: &mut Touched) {
    if let Some((_, old)) = state.reservations.remove(&id) {
        let mut index = lock(&state.order_index);
        index.forget(&old);
        let latest = state
            .orders
            .remove_if(&old.order_id, |_, latest| *latest == id);
        if let Some((order, _)) = latest
            && let Some(earlier) = index.revive(&order)
        {
            state.orders.insert(order, earlier);
        }
        drop(index);
        if let Some(timer) = old.timer() {
            lock(&state.timers).remove(&timer);
        }
    }
    touched.reservations.insert(id);
}

fn book(reservation: &Reservation, sign: i64, touched: &mut Touched) {
    for line in reservation.lines.iter().filter(|l| l.held != 0) {
        let cell = CellKey::new(line.sku, reservation.store);
        let (reserved, committed) = match reservation.state {
            ReservationState::Held => (sign * line.held, 0),
            committed if committed.is_committed() => (0, sign * line.held),
            _ => continue,
        };
        let change = LevelChange::Promised {
            reserved,
            committed,
        };
        touched.levels.push(cell, change);
    }
}

impl State {
    /// Rebuilds what is derived from the tables after loading them: timers, orders, published lists, indexes.
    pub fn rebuild_derived(&self) {
        let mut timers = lock(&self.timers);
        timers.clear();
        let mut of_orders: Vec<(Arc<str>, ReservationId)> = Vec::new();
        let mut index = OrderIndex::default();
        self.held_slots.clear();
        self.claims.clear();
        for entry in &self.reservations {
            self.held_slots.count(&entry, true);
            self.claims.count(&entry, true);
            timers.extend(entry.timer());
            index.put(None, &entry);
            of_orders.push((Arc::clone(&entry.order_id), entry.id));
        }
        // Numbers grow, so the last one of an order is its latest.
        of_orders.sort_unstable_by_key(|(_, id)| *id);
        for (order, id) in of_orders {
            if let Some(earlier) = self.orders.insert(Arc::clone(&order), id) {
                index.superseded(&order, earlier);
            }
        }
        *lock(&self.order_index) = index;
        for entry in &self.checkouts {
            timers.insert((
                entry.expire,
                Timer::Checkout(Arc::clone(&entry.checkout_id)),
            ));
        }
        self.inbound.clear();
        for entry in &self.deliveries {
            self.inbound.replace(None, Some(entry.value()));
            if let Some(due) = entry.forgotten_at() {
                timers.insert((due, Timer::EndedDelivery(Arc::clone(entry.key()))));
            }
        }
        drop(timers);
        let mut active: Vec<ActiveOffer> = self
            .offers
            .iter()
            .filter(|o| !o.archived)
            .map(|o| ActiveOffer::of(Arc::clone(&o), self))
            .collect();
        active.sort_by(|a, b| a.offer.terms.offer_id.cmp(&b.offer.terms.offer_id));
        self.active_offers.set(active);
        self.store_index.set(StoreIndex::build(
            self.stores
                .items
                .iter()
                .map(|e| (*e.key(), Arc::clone(e.value()))),
        ));
        write(&self.product_categories).clear();
        for entry in &self.products.items {
            self.note_category(*entry.key(), entry.category);
            for gtin in &entry.gtins {
                self.gtins.insert(*gtin, *entry.key());
            }
            if !entry.plu.is_empty() {
                self.plus.insert(Arc::clone(&entry.plu), *entry.key());
            }
        }
        // After the categories of products are known.
        inventory::rebuild_buffers(self);
        *write(&self.provisional) = self
            .customers
            .iter()
            .filter(|c| c.relation.provisional)
            .map(|c| *c.key())
            .collect();
    }

    /// The latest of the state's own time and `clock`: time never goes backwards.
    pub fn time_at_least(&self, clock: Time) -> Time {
        Time(self.now_ms.load(Ordering::Acquire)).max(clock)
    }
}
