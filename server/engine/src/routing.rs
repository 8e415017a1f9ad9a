//! Where can they get it? The nearest stores that have all of a basket, by exact distance. A plan only reads: what it
//! saw may be gone when a hold is made, so a hold checks again inside the sequencer.
//!
//! Three layers, each of which costs what it answers: the decision ([`nearest_with_all`]), the options with their opening
//! hours, which a hold needs ([`options`]), and the plan, which also says why nearer stores were passed and who has a part
//! ([`plan`]). The calendar is never asked while stock is held for reading.

use geo::Point;
use smallvec::SmallVec;

use crate::basket_stock::BasketStock;
use crate::catalog::{Store, StoreState};
use crate::command::WantedLine;
use crate::geo_index::{Near, Spot, StoreIndex};
use crate::ids::{CellKey, SkuId, StoreId, compare_external};
use crate::limits::REJECTED_STORES_MAX;
use crate::location_terms::{LocationKind, Method};
use crate::nearest::{Candidates, nearest};
use crate::own_holds::Own;
use crate::pickup_hours::Ready;
use crate::pickup_slots::Pickup;
use crate::routing_policy::Rules;
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
    /// What the order itself holds: it counts as available.
    pub own: Own<'a>,
    /// Only stores of this travel zone, and those that can be reached from everywhere.
    pub travel_zone: Option<&'a str>,
    /// How it is to reach the shopper; the default is pickup, without rules.
    pub by: By<'a>,
}

/// A method, and the rules that its places have to keep.
#[derive(Clone, Copy, Debug, Default)]
pub struct By<'a> {
    /// The method.
    pub method: Method,
    /// The rules that apply to the basket.
    pub rules: Option<&'a Rules<'a>>,
}

impl PlanQuery<'_> {
    /// Whether the shopper gets to a store.
    fn reaches(&self, store: &Store) -> bool {
        let theirs = &*store.travel_zone;
        self.travel_zone
            .is_none_or(|own| theirs.is_empty() || theirs == own)
    }
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
    /// When it is ready: the window to pick it up in, and the slot.
    pub pickup: Pickup,
    /// When what is on its way to it is expected; `None`: everything is there.
    pub expected: Option<Time>,
}

impl PlanOption {
    /// The window to pick up in; `None`: any time.
    pub fn window(&self) -> Option<(Time, Time)> {
        self.pickup.window.map(|window| window.span())
    }
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
    /// In another travel zone than the shopper.
    OtherTravelZone,
    /// It does not serve online orders so.
    NotServing,
    /// A rule of the routing policy forbids it.
    RuleForbids,
    /// Every pickup slot of its is taken.
    SlotsFull,
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

/// What an order itself adds to the availability of a product in a store. Where others were promised what is still on its
/// way, that is no reason to take the order's own goods off the shelf.
pub fn credit_of(state: &State, own: Own<'_>, store: StoreId, sku: SkuId) -> i64 {
    let added = own.stock(store, sku);
    match own.given_back_of(store, sku) {
        (0, _) => added,
        (_, awaited) => added + promised_of_deliveries(state, CellKey::new(sku, store), awaited),
    }
}

/// What may be promised to an order off the shelf of a store: what it holds itself counts, and what others were promised
/// of deliveries does not take it away.
pub fn on_the_shelf(state: &State, own: Own<'_>, store: StoreId, sku: SkuId) -> i64 {
    let (_, awaited) = own.given_back_of(store, sku);
    let available = state.available_online(sku, store) + own.stock(store, sku);
    available + promised_of_deliveries(state, CellKey::new(sku, store), awaited)
}

/// What others than the holder of `awaited` were promised of what is still on its way.
pub(crate) fn promised_of_deliveries(state: &State, cell: CellKey, awaited: i64) -> i64 {
    match state.claims.of(cell) - awaited {
        0 => 0,
        others => others.min(state.inbound.incoming(cell.sku(), cell.store()).0),
    }
}

/// The nearest stores that take orders and have all of it: the decision alone, without calendars and reasons. Allocates
/// nothing for up to eight products and four stores.
pub fn nearest_with_all(state: &State, query: &PlanQuery<'_>, count: usize) -> SmallVec<[Near; 4]> {
    let index = state.store_index.get();
    Search::new(state, query, &index).with_all(count)
}

/// The options of a plan, without what explains them: all that a hold needs.
pub fn options(state: &State, query: &PlanQuery<'_>) -> Vec<PlanOption> {
    let index = state.store_index.get();
    let search = Search::new(state, query, &index);
    match query.only_store {
        Some(store) => search.only(store).options,
        None => search.options(),
    }
}

/// Finds the nearest stores, and says why nearer ones were passed.
pub fn plan(state: &State, query: &PlanQuery<'_>) -> Plan {
    let index = state.store_index.get();
    let search = Search::new(state, query, &index);
    match query.only_store {
        Some(store) => search.only(store),
        None => search.all(),
    }
}

/// One query on its way.
struct Search<'a> {
    state: &'a State,
    query: &'a PlanQuery<'a>,
    index: &'a StoreIndex,
    wanted: SmallVec<[(SkuId, i64); 8]>,
    from: Spot,
}

/// Whether a store takes orders at all.
pub(crate) fn admit(store: &Store, query: &PlanQuery<'_>) -> Result<(), StoreRejection> {
    match store.state {
        StoreState::Open => {}
        StoreState::Paused => return Err(StoreRejection::Paused),
        StoreState::Closed => return Err(StoreRejection::Closed),
    }
    if !query.reaches(store) {
        return Err(StoreRejection::OtherTravelZone);
    }
    if !store.location_terms.serves(query.by.method) {
        return Err(StoreRejection::NotServing);
    }
    if query
        .by
        .rules
        .is_some_and(|rules| rules.broken_by(store).is_some())
    {
        return Err(StoreRejection::RuleForbids);
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

/// Why a store that has everything is no option.
fn no_window(store: &Store) -> StoreRejection {
    if store.location_terms.slots.is_some() {
        StoreRejection::SlotsFull
    } else {
        StoreRejection::Closed
    }
}

impl<'a> Search<'a> {
    fn new(state: &'a State, query: &'a PlanQuery<'a>, index: &'a StoreIndex) -> Self {
        let wanted = merged(query.lines);
        // Their stock is on its way from memory while the place is worked out.
        for (sku, _) in &wanted {
            state.stock.ask_product(*sku);
        }
        Search {
            state,
            query,
            index,
            wanted,
            from: Spot::new(query.origin),
        }
    }

    fn hold(&self) -> BasketStock<'_> {
        BasketStock::hold(self.state, &self.wanted, self.query.own)
    }

    /// Stores that may be asked at all.
    fn serving(&self) -> &[u64] {
        self.index.serving(self.query.by.method)
    }

    /// Whether the rules allow a store.
    fn allowed(&self, id: StoreId) -> bool {
        match self.query.by.rules {
            Some(rules) if !rules.is_empty() => {
                let store = self.index.store(id);
                store.is_some_and(|store| rules.broken_by(store).is_none())
            }
            _ => true,
        }
    }

    fn find(
        &self,
        candidates: &Candidates<'_>,
        limit_mm: u64,
        count: usize,
        accept: impl FnMut(StoreId) -> bool,
    ) -> SmallVec<[Near; 4]> {
        nearest(self.index, &self.from, limit_mm, candidates, count, accept)
    }

    fn with_all(&self, count: usize) -> SmallVec<[Near; 4]> {
        let stock = self.hold();
        let candidates = stock.candidates(self.serving());
        let reaches = |id| {
            let store = self.index.store(id);
            store.is_some_and(|store| self.query.reaches(store))
        };
        self.find(&candidates, self.query.limit_mm, count, |id| {
            (self.query.travel_zone.is_none() || reaches(id))
                && stock.has_all(id)
                && self.allowed(id)
        })
    }

    fn all(&self) -> Plan {
        let options = self.options();
        let limit = self.query.limit_mm;
        let rejected = self.rejected(options.first());
        if !options.is_empty() {
            return Plan {
                outcome: PlanOutcome::Matched,
                options,
                partial: Vec::new(),
                rejected,
            };
        }
        let partial = self.partial();
        let open = Candidates::from(self.serving());
        let takes_orders = || self.find(&open, limit, 1, |id| self.admitted(id));
        let outcome = if !partial.is_empty() {
            PlanOutcome::Partial
        } else if !takes_orders().is_empty() {
            PlanOutcome::NoStock
        } else {
            PlanOutcome::NoStoreInRange
        };
        Plan {
            outcome,
            options,
            partial,
            rejected,
        }
    }

    /// The nearest that have everything and will open.
    fn options(&self) -> Vec<PlanOption> {
        self.enough(
            |count| self.with_all(count).to_vec(),
            |near| self.option(near),
        )
    }

    /// The first of what `find` finds that pass `check`. Calendars are dear and asked when the stock was let go, so those that
    /// never open again are found out last, and then more are looked for.
    fn enough<T, U>(
        &self,
        find: impl Fn(usize) -> Vec<T>,
        check: impl Fn(&T) -> Option<U>,
    ) -> Vec<U> {
        let mut count = self.query.max_options;
        loop {
            let found = find(count);
            let last = found.len() < count;
            let good = found.iter().filter_map(&check);
            let good: Vec<U> = good.take(self.query.max_options).collect();
            if last || good.len() == self.query.max_options {
                return good;
            }
            count *= 4;
        }
    }

    fn option(&self, near: &Near) -> Option<PlanOption> {
        let (store, now) = (self.index.store(near.id)?, self.query.now);
        if self.query.require_open_now {
            let opening = store.next_opening(now)?;
            if opening.is_some_and(|(open, _)| open > now) {
                return None;
            }
        }
        let pickup = if self.query.by.method.ships() {
            match store.ready(now) {
                Ready::Never => return None,
                Ready::AnyTime => Pickup::ANY_TIME,
                Ready::Window(window) => Pickup {
                    window: Some(window),
                    slot: None,
                },
            }
        } else {
            store.first_pickup(near.id, &self.state.held_slots, now, self.query.own)?
        };
        Some(PlanOption {
            store: near.id,
            distance_mm: near.distance_mm,
            pickup,
            expected: None,
        })
    }

    fn admitted(&self, id: StoreId) -> bool {
        let store = self.index.store(id);
        store.is_some_and(|store| admit(store, self.query).is_ok())
    }

    /// Stores nearer than the first option, or all in range where there is none.
    fn rejected(&self, first: Option<&PlanOption>) -> Vec<(StoreId, u64, StoreRejection)> {
        let limit = first.map_or(self.query.limit_mm, |option| option.distance_mm);
        let all = Candidates::from(self.index.all());
        let method = self.query.by.method;
        let mut nearer = self.find(&all, limit, REJECTED_STORES_MAX, |id| {
            // A warehouse is no store that was passed over.
            first.is_none_or(|option| option.store != id)
                && self.index.store(id).is_some_and(|store| {
                    let terms = &store.location_terms;
                    terms.kind == LocationKind::Store || terms.methods.has(method)
                })
        });
        let name = |id| self.index.store(id).map(|store| &store.store_id);
        nearer.retain(|near| {
            first.is_none_or(|option| {
                near.distance_mm < option.distance_mm
                    || matches!((name(near.id), name(option.store)), (Some(a), Some(b)) if compare_external(a, b).is_lt())
            })
        });
        let has_all: SmallVec<[bool; REJECTED_STORES_MAX]> = {
            let stock = self.hold();
            nearer.iter().map(|near| stock.has_all(near.id)).collect()
        };
        let reason = |(near, has_all): (&Near, &bool)| {
            let store = self.index.store(near.id)?;
            let reason = match admit(store, self.query) {
                Err(reason) => reason,
                // Stock that came since the options were looked for is not seen: the answer is of one moment.
                Ok(()) if *has_all => no_window(store),
                Ok(()) => StoreRejection::InsufficientStock,
            };
            Some((near.id, near.distance_mm, reason))
        };
        nearer.iter().zip(&has_all).filter_map(reason).collect()
    }

    /// The stores that have most of it.
    fn partial(&self) -> Vec<PartialStore> {
        self.enough(
            |count| self.parts(count),
            |part| self.admitted(part.store).then(|| part.clone()),
        )
    }

    /// How many products a store may have in full bounds how many it has, so the bound goes down until enough stores were found
    /// that keep what it says.
    fn parts(&self, count: usize) -> Vec<PartialStore> {
        let stock = self.hold();
        let mut parts: Vec<PartialStore> = Vec::new();
        let bounds = stock.counts(self.serving());
        let most = bounds.iter().copied().max().unwrap_or(0);
        let mut set: SmallVec<[u64; 64]> = SmallVec::from_elem(0, self.serving().len());
        for products in (1..=most).rev() {
            for (word, bounds) in set.iter_mut().zip(bounds.chunks(64)) {
                *word = bounds
                    .iter()
                    .rev()
                    .fold(0, |word, bound| word << 1 | u64::from(*bound >= products));
            }
            let missing = count - parts.len();
            let candidates = Candidates::from(&set[..]);
            let found = self.find(&candidates, self.query.limit_mm, missing, |id| {
                stock.count_in_full(id) == usize::from(products)
            });
            parts.extend(found.iter().map(|near| self.part(&stock, near)));
            if parts.len() == count {
                break;
            }
        }
        parts
    }

    fn part(&self, stock: &BasketStock<'_>, near: &Near) -> PartialStore {
        let in_full = |at: usize| {
            let sku = self.query.lines[at].sku;
            let wanted = self.wanted.iter().position(|(wanted, _)| *wanted == sku);
            wanted.is_some_and(|wanted| stock.has(wanted, near.id))
        };
        PartialStore {
            store: near.id,
            distance_mm: near.distance_mm,
            lines: (0..self.query.lines.len())
                .filter(|at| in_full(*at))
                .collect(),
            sku_count: stock.count_in_full(near.id),
        }
    }

    /// A plan for one store, whatever its distance.
    fn only(&self, store: StoreId) -> Plan {
        let mut plan = Plan {
            outcome: PlanOutcome::NoStoreInRange,
            options: Vec::new(),
            partial: Vec::new(),
            rejected: Vec::new(),
        };
        let (Some(near), Some(record)) =
            (self.index.near(&self.from, store), self.index.store(store))
        else {
            return plan;
        };
        if let Err(reason) = admit(record, self.query) {
            plan.rejected.push((store, near.distance_mm, reason));
            return plan;
        }
        let (has_all, part) = {
            let stock = self.hold();
            (stock.has_all(store), self.part(&stock, &near))
        };
        if has_all {
            match self.option(&near) {
                Some(option) => {
                    plan.outcome = PlanOutcome::Matched;
                    plan.options.push(option);
                }
                None => {
                    let reason = no_window(record);
                    plan.outcome = PlanOutcome::NoStock;
                    plan.rejected.push((store, near.distance_mm, reason));
                }
            }
            return plan;
        }
        let reason = StoreRejection::InsufficientStock;
        plan.rejected.push((store, near.distance_mm, reason));
        plan.outcome = PlanOutcome::NoStock;
        if part.sku_count > 0 {
            plan.outcome = PlanOutcome::Partial;
            plan.partial.push(part);
        }
        plan
    }
}
