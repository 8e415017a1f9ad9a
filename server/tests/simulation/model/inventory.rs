//! Deliveries, and what is known about stock beside the levels, as they are meant to be: plain maps, looked through from
//! one end to the other.

use std::collections::BTreeSet;
use std::sync::Arc;

use tillside_engine::accuracy::Accuracy;
use tillside_engine::buffers::{BufferKey, BufferScope};
use tillside_engine::command::{
    FactDraft, InboundDraft, InboundLineDraft, Ingest, ReceiptDraft, ScopeDraft,
};
use tillside_engine::facts::{Fact, FactKey, SourceProgress};
use tillside_engine::ids::{SkuId, StoreId};
use tillside_engine::inbound::{Delivery, DeliveryLine, DeliveryState};
use tillside_engine::reservation::Reservation;
use tillside_engine::units::{Money, Time};

use super::{At, CellKey, Entity, Model, Outcome, Refusal, Told, refused};

/// What a source has told, number by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    taken: BTreeSet<u64>,
    late: u64,
    last: Time,
}

impl Numbers {
    pub(crate) fn progress(&self) -> SourceProgress {
        SourceProgress {
            first: self.taken.first().copied().unwrap_or(0),
            highest: self.taken.last().copied().unwrap_or(0),
            taken: self.taken.len() as u64,
            late: self.late,
            last: self.last,
        }
    }
}

impl Model {
    /// What is kept back of a product in a store by the rules: the most specific one.
    pub(super) fn buffer(&self, (sku, store): CellKey) -> i64 {
        let path = self.products.get(sku as usize).and_then(|p| p.category);
        let path = path.map_or("", |id| &*self.categories[id.0 as usize]);
        let levels: Vec<&str> = path.split(" > ").filter(|l| !l.is_empty()).collect();
        let mut scopes = vec![BufferScope::Sku(SkuId(sku))];
        for depth in (1..=levels.len()).rev() {
            scopes.push(BufferScope::Category(levels[..depth].join(" > ").into()));
        }
        scopes.push(BufferScope::Everything);
        for scope in scopes {
            for store in [Some(StoreId(store)), None] {
                let scope = scope.clone();
                let key = FactKey::Buffer(BufferKey { store, scope });
                if let Some(Fact::Buffer(quantity)) = self.facts.get(&key) {
                    return *quantity;
                }
            }
        }
        0
    }

    /// What a product costs in a store.
    pub(super) fn price_in(&self, sku: u32, store: Option<u32>) -> Option<Money> {
        let own = store.and_then(|store| {
            let cell = tillside_engine::ids::CellKey::new(SkuId(sku), StoreId(store));
            match self.facts.get(&FactKey::Price(cell)) {
                Some(Fact::Price(price)) => Some(*price),
                _ => None,
            }
        });
        own.or(self.products[sku as usize].list_price)
    }

    fn lines(&self, drafts: &[InboundLineDraft], path: &str) -> Result<Vec<(u32, i64)>, Refusal> {
        let mut lines: Vec<(u32, i64)> = Vec::new();
        for (i, draft) in drafts.iter().enumerate() {
            let Some(sku) = self.product_number(&draft.sku) else {
                return refused("UnknownSku", format!("{path}[{i}].sku"));
            };
            match lines.iter_mut().find(|line| line.0 == sku) {
                Some(line) => line.1 += draft.quantity,
                None => lines.push((sku, draft.quantity)),
            }
        }
        Ok(lines)
    }

    pub(super) fn schedule(
        &mut self,
        draft: &InboundDraft,
        own_time: Option<Time>,
        number: u64,
        at: At,
    ) -> Outcome {
        let Some(store) = self.store_number(&draft.store_id) else {
            return refused("UnknownStore", "delivery.store_id");
        };
        let from = match &draft.from_store_id {
            None => None,
            Some(id) => match self.store_number(id) {
                None => return refused("UnknownStore", "delivery.from_store_id"),
                from => from,
            },
        };
        let lines = self.lines(&draft.lines, "delivery.lines")?;
        if from == Some(store) {
            return refused("Invalid", "delivery.from_store_id");
        }
        let named = |sku: SkuId| lines.iter().find(|l| l.0 == sku.0).map_or(0, |l| l.1);
        let before = self.deliveries.get(&draft.delivery_id).cloned();
        let mut after = match &before {
            None => Delivery {
                delivery_id: Arc::clone(&draft.delivery_id),
                store: StoreId(store),
                from: from.map(StoreId),
                expected: draft.expected,
                lines: Vec::new(),
                state: DeliveryState::Expected,
                position: number,
                changed: at.now,
                version: at.sequence,
            },
            Some(there) => {
                if number != 0 && number < there.position {
                    return Ok((Told::Delivery(Arc::clone(there), true), false));
                }
                if there.store.0 != store || there.from.map(|f| f.0) != from {
                    return refused("Invalid", "delivery.store_id");
                }
                let same_lines = there.lines.iter().all(|l| l.announced == named(l.sku))
                    && lines
                        .iter()
                        .all(|l| there.lines.iter().any(|t| t.sku.0 == l.0));
                if there.expected == draft.expected && same_lines {
                    return Ok((Told::Delivery(Arc::clone(there), false), false));
                }
                ended(there)?;
                Delivery {
                    expected: draft.expected,
                    position: number.max(there.position),
                    changed: at.now,
                    version: at.sequence,
                    ..Delivery::clone(there)
                }
            }
        };
        if after
            .lines
            .iter()
            .any(|line| named(line.sku) < line.received)
        {
            return refused("Invalid", "delivery.lines");
        }
        let mut left: Vec<(u32, i64)> = Vec::new();
        for line in &mut after.lines {
            left.push((line.sku.0, named(line.sku) - line.announced));
            line.announced = named(line.sku);
        }
        for (sku, quantity) in lines {
            if after.lines.iter().all(|line| line.sku.0 != sku) {
                left.push((sku, quantity));
                after.lines.push(DeliveryLine {
                    sku: SkuId(sku),
                    announced: quantity,
                    received: 0,
                });
            }
        }
        if let Some(from) = from {
            for (sku, quantity) in left.into_iter().filter(|l| l.1 != 0) {
                self.move_stock((sku, from), -quantity, own_time, at.now);
            }
        }
        Ok(self.keep(after))
    }

    pub(super) fn receive(
        &mut self,
        draft: &ReceiptDraft,
        own_time: Option<Time>,
        at: At,
    ) -> Outcome {
        let there = self.delivery(&draft.delivery_id)?;
        if there.state == DeliveryState::Received && draft.lines.is_empty() {
            return Ok((Told::Delivery(there, false), false));
        }
        ended(&there)?;
        let mut after = Delivery {
            changed: at.now,
            version: at.sequence,
            ..Delivery::clone(&there)
        };
        let mut came = self.lines(&draft.lines, "lines")?;
        if draft.lines.is_empty() {
            let open = there.lines.iter().filter(|l| l.announced > l.received);
            came = open.map(|l| (l.sku.0, l.announced - l.received)).collect();
        }
        for (sku, quantity) in &came {
            self.bring((*sku, there.store.0), *quantity, at);
        }
        for (sku, quantity) in came {
            self.move_stock((sku, there.store.0), quantity, own_time, at.now);
            match after.lines.iter_mut().find(|line| line.sku.0 == sku) {
                Some(line) => line.received += quantity,
                None => after.lines.push(DeliveryLine {
                    sku: SkuId(sku),
                    announced: 0,
                    received: quantity,
                }),
            }
        }
        if draft.complete || after.lines.iter().all(|l| l.received >= l.announced) {
            after.state = DeliveryState::Received;
        }
        Ok(self.keep(after))
    }

    pub(super) fn cancel_delivery(&mut self, id: &Arc<str>, at: At) -> Outcome {
        let there = self.delivery(id)?;
        if there.state == DeliveryState::Cancelled {
            return Ok((Told::Delivery(there, false), false));
        }
        ended(&there)?;
        if let Some(from) = there.from {
            for line in there.lines.iter().filter(|l| l.announced > l.received) {
                let back = line.announced - line.received;
                self.move_stock((line.sku.0, from.0), back, None, at.now);
            }
        }
        Ok(self.keep(Delivery {
            state: DeliveryState::Cancelled,
            changed: at.now,
            version: at.sequence,
            ..Delivery::clone(&there)
        }))
    }

    fn delivery(&self, id: &Arc<str>) -> Result<Arc<Delivery>, Refusal> {
        match self.deliveries.get(id) {
            Some(delivery) => Ok(Arc::clone(delivery)),
            None => refused("UnknownDelivery", id.to_string()),
        }
    }

    fn keep(&mut self, delivery: Delivery) -> (Told, bool) {
        let delivery = Arc::new(delivery);
        let id = Arc::clone(&delivery.delivery_id);
        self.touch(Entity::Delivery(Arc::clone(&id)));
        self.deliveries.insert(id, Arc::clone(&delivery));
        (Told::Delivery(delivery, false), true)
    }

    /// What came belongs to those who were promised it, the oldest promise first.
    fn bring(&mut self, (sku, store): CellKey, quantity: i64, at: At) {
        let claims = |r: &&Arc<Reservation>| {
            let lines = r.lines.iter().filter(|l| l.sku.0 == sku);
            r.store.0 == store
                && r.holds_stock()
                && lines.map(|l| l.awaited.min(l.held)).sum::<i64>() > 0
        };
        let promised: Vec<Arc<Reservation>> =
            self.reservations.values().filter(claims).cloned().collect();
        let figures = self.figures((sku, store));
        let owed = figures.reserved + figures.committed - self.claimed((sku, store), &[]);
        let there = figures.on_hand - figures.damaged + quantity;
        let mut left = quantity.min(there - owed);
        for reservation in promised {
            if left <= 0 {
                return;
            }
            let mut after = Reservation::clone(&reservation);
            after.version = at.sequence;
            for line in after.lines.iter_mut().filter(|l| l.sku.0 == sku) {
                let awaited = line.awaited.min(line.held);
                line.awaited = awaited - left.min(awaited);
                left -= left.min(awaited);
            }
            self.set(after);
        }
    }

    /// What is promised of what is on its way, by all but some reservations.
    pub(super) fn claimed(&self, (sku, store): CellKey, but: &[Arc<Reservation>]) -> i64 {
        let others = self.reservations.values().filter(|r| {
            r.store.0 == store && r.holds_stock() && but.iter().all(|but| but.id != r.id)
        });
        let lines = others.flat_map(|r| r.lines.iter().filter(|l| l.sku.0 == sku));
        lines.map(|l| l.awaited.min(l.held)).sum()
    }

    /// What is there for an order whose own holds are `own`.
    pub(super) fn shelf(&self, (sku, store): CellKey, own: &[Arc<Reservation>]) -> i64 {
        let lines = own
            .iter()
            .filter(|r| r.store.0 == store)
            .flat_map(|r| &r.lines);
        let held: i64 = lines.filter(|l| l.sku.0 == sku).map(|l| l.held).sum();
        let others = self.claimed((sku, store), own);
        self.available((sku, store)) + held + others.min(self.incoming((sku, store)).0)
    }

    /// What comes within two days, counted from the last quarter of an hour.
    pub(super) fn near(&self, key: CellKey, now: Time) -> i64 {
        self.near_lines(key, now).map(|(_, n)| n).sum()
    }

    /// When the last of that is expected.
    pub(super) fn last_near(&self, key: CellKey, now: Time) -> Option<Time> {
        self.near_lines(key, now)
            .map(|(expected, _)| expected)
            .max()
    }

    fn near_lines(&self, (sku, store): CellKey, now: Time) -> impl Iterator<Item = (Time, i64)> {
        let from = now.0.div_euclid(900_000) * 900_000;
        let open = self.deliveries.values().filter(move |d| {
            d.state == DeliveryState::Expected
                && d.store.0 == store
                && (from..=from + 48 * 3_600_000).contains(&d.expected.0)
        });
        let lines = open.flat_map(|d| d.lines.iter().map(|l| (d.expected, l)));
        let here = lines.filter(move |(_, l)| l.sku.0 == sku && l.announced > l.received);
        here.map(|(expected, l)| (expected, l.announced - l.received))
    }

    /// What is on its way to a store, and when the first of it comes.
    pub(crate) fn incoming(&self, (sku, store): CellKey) -> (i64, Option<Time>) {
        let open = self
            .deliveries
            .values()
            .filter(|d| d.state == DeliveryState::Expected && d.store.0 == store);
        let lines = open.flat_map(|d| d.lines.iter().map(|l| (d.expected, l)));
        let here = lines.filter(|(_, l)| l.sku.0 == sku && l.announced > l.received);
        here.fold((0, None), |(sum, first), (expected, line)| {
            let first = first.map_or(expected, |first: Time| first.min(expected));
            (sum + line.announced - line.received, Some(first))
        })
    }

    pub(super) fn put_facts(&mut self, drafts: &[FactDraft], event: bool) -> Outcome {
        let mut facts: Vec<(FactKey, Option<Fact>)> = Vec::new();
        let mut seen = [0, 0];
        for draft in drafts {
            let (kind, list) = match draft {
                FactDraft::Price { .. } => (0, "prices"),
                _ => (1, "safety_buffers"),
            };
            let path = if event {
                "price_changed".to_owned()
            } else {
                format!("{list}[{}]", seen[kind])
            };
            seen[kind] += 1;
            let store = |id: &Arc<str>| match self.store_number(id) {
                Some(store) => Ok(StoreId(store)),
                None => refused("UnknownStore", format!("{path}.store_id")),
            };
            let sku = |sku: &Arc<str>| match self.product_number(sku) {
                Some(sku) => Ok(SkuId(sku)),
                None => refused("UnknownSku", format!("{path}.sku")),
            };
            let (key, fact) = match draft {
                FactDraft::Buffer {
                    store_id,
                    scope,
                    quantity,
                    ..
                } => {
                    let store = store_id.as_ref().map(store).transpose()?;
                    let scope = match scope {
                        ScopeDraft::Everything => BufferScope::Everything,
                        ScopeDraft::Category(path) => BufferScope::Category(Arc::clone(path)),
                        ScopeDraft::Sku(of) => BufferScope::Sku(sku(of)?),
                    };
                    let key = FactKey::Buffer(BufferKey { store, scope });
                    (key, quantity.map(Fact::Buffer))
                }
                FactDraft::Price {
                    sku: of,
                    store_id,
                    price,
                } => {
                    let sku = sku(of)?;
                    let cell = tillside_engine::ids::CellKey::new(sku, store(store_id)?);
                    (FactKey::Price(cell), price.map(Fact::Price))
                }
                FactDraft::NearTime { .. } => unreachable!("the simulation sends none"),
            };
            // The last of several counts.
            facts.retain(|(there, _)| *there != key);
            facts.push((key, fact));
        }
        let (mut created, mut updated, mut unchanged) = (0, 0, 0);
        for (key, fact) in facts {
            let before = self.facts.get(&key).copied();
            match (before, fact) {
                (before, fact) if before == fact => unchanged += 1,
                (None, _) => created += 1,
                _ => updated += 1,
            }
            if before != fact {
                self.touch(Entity::Fact(key.clone()));
                match fact {
                    Some(fact) => drop(self.facts.insert(key, fact)),
                    None => drop(self.facts.remove(&key)),
                }
            }
        }
        let told = Told::Put {
            created,
            updated,
            unchanged,
        };
        Ok((told, created + updated > 0))
    }

    /// A picker looked for goods. How a store is believed less is the learner's business, which is tested by itself; what
    /// follows from it for every level of the store is told here.
    pub(super) fn checked(&mut self, store: u32, expected: i64, found: i64, at: At) {
        if expected <= 0 {
            return;
        }
        let key = FactKey::Accuracy(StoreId(store));
        let mut accuracy = match self.facts.get(&key) {
            Some(Fact::Accuracy(accuracy)) => *accuracy,
            _ => Accuracy::default(),
        };
        accuracy.check(expected, found, at.now);
        self.extras.insert(store, accuracy.extra(at.now));
        self.touch(Entity::Fact(key.clone()));
        self.facts.insert(key, Fact::Accuracy(accuracy));
    }

    /// What a store keeps back on top of every buffer.
    pub(super) fn extra(&self, store: u32) -> i64 {
        self.extras.get(&store).copied().unwrap_or(0)
    }

    /// The greatest number that the source of an event has told.
    pub(super) fn highest(&self, ingest: &Ingest) -> u64 {
        let numbers = ingest
            .position
            .as_ref()
            .and_then(|(s, _)| self.sources.get(s));
        numbers.map_or(0, |numbers| numbers.progress().highest)
    }

    /// Notes the number of an event that was taken.
    pub(super) fn advance(&mut self, ingest: &Ingest, at: At) {
        if let Some((source, number)) = &ingest.position {
            let late = *number < self.highest(ingest);
            let numbers = self.sources.entry(Arc::clone(source)).or_default();
            numbers.taken.insert(*number);
            numbers.late += u64::from(late);
            numbers.last = at.now;
            self.touch(Entity::Fact(FactKey::Source(Arc::clone(source))));
        }
    }

    /// A fact as the server should have it.
    pub(crate) fn fact(&self, key: &FactKey) -> Option<Fact> {
        match key {
            FactKey::Source(source) => {
                let numbers = self.sources.get(source)?;
                Some(Fact::Source(numbers.progress()))
            }
            key => self.facts.get(key).copied(),
        }
    }
}

fn ended(delivery: &Delivery) -> Result<(), Refusal> {
    match delivery.state {
        DeliveryState::Expected => Ok(()),
        DeliveryState::Received => refused("DeliveryEnded", "received"),
        DeliveryState::Cancelled => refused("DeliveryEnded", "cancelled"),
    }
}
