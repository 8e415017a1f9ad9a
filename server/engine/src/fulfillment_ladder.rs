//! From the best way to the last one: picked up now, picked up later, sent by a store, by a warehouse, by a supplier, in
//! parts, not at all. Each step says what came of it, so that an answer can be understood and a refusal acted on. A ladder
//! only reads; what it promises is held by the sequencer alone.

mod split;

use geo::Point;
use smallvec::SmallVec;

pub use self::split::SplitSize;

use crate::command::WantedLine;
use crate::ids::{CellKey, SkuId, StoreId, compare_external};
use crate::limits::CANDIDATES_MAX;
use crate::location_terms::{Method, Methods};
use crate::near_time::near_time_options;
use crate::own_holds::Own;
use crate::pickup_hours::MINUTE_MS;
use crate::pickup_slots::Pickup;
use crate::routing::{
    By, PartialStore, Plan, PlanOption, PlanOutcome, PlanQuery, StoreRejection, on_the_shelf,
    options, plan,
};
use crate::routing_policy::{Cost, Destination, Features, RankBy, RoutingPolicy, Rules};
use crate::state::State;
use crate::units::Time;

/// A step of the ladder, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Picked up within the opening hours of this moment.
    PickupNow,
    /// Picked up in a later window.
    PickupNearTime,
    /// Sent by a store.
    ShipFromStore,
    /// Sent by a warehouse.
    ShipToHome,
    /// Sent by a supplier.
    DropShip,
    /// In parts.
    Split,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// Ways were found.
    Found,
    /// Not asked for, or not needed: a better step gave enough.
    NotTried,
    /// Ways were found, all of them of the other pickup step.
    OtherWindow,
    /// No place that serves so has everything.
    NoStock,
    /// No place serves so.
    NoPlace,
    /// A rule of the policy forbids it; its name is in the step.
    RuleForbids,
    /// A line may not be fulfilled so.
    LineForbids,
    /// Places have everything, and none opens or has a slot.
    NoWindow,
    /// It would take more parts than the policy allows.
    TooManyParts,
    /// A part would be worth less than the policy allows.
    PartTooSmall,
}

/// A step and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepReport {
    /// Which.
    pub step: Step,
    /// What.
    pub result: StepResult,
    /// The rule that forbade it.
    pub rule_id: Option<std::sync::Arc<str>>,
}

/// What is wanted, and how it may reach the shopper.
#[derive(Clone, Copy, Debug)]
pub struct LadderQuery<'a> {
    /// What and where; `by` is ignored.
    pub plan: PlanQuery<'a>,
    /// Ways that are wanted.
    pub methods: Methods,
    /// Ways that each line may take; empty: all of them.
    pub line_methods: &'a [Methods],
    /// Where parcels go; `None`: to where the shopper is.
    pub destination_point: Option<Point<f64>>,
    /// What rules may ask of where they go.
    pub destination: Option<&'a Destination>,
    /// The policy.
    pub policy: &'a RoutingPolicy,
    /// Also what explains the answer, and splits; a hold has no use for them.
    pub explain: bool,
}

/// What one place does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The place.
    pub place: StoreId,
    /// How.
    pub method: Method,
    /// How far from the shopper.
    pub distance_mm: u64,
    /// Positions of its lines; `None`: all of them.
    pub lines: Option<Vec<usize>>,
    /// When it is ready.
    pub pickup: Pickup,
    /// When what is on its way to it is expected; `None`: everything is there.
    pub expected: Option<Time>,
    /// So little would be left that only a hold counts; told where the answer is explained.
    pub hold_first: bool,
    /// When a parcel is there; `None`: picked up, or not known.
    pub delivery: Option<(Time, Time)>,
    /// What it costs.
    pub cost: Cost,
    /// What that is made of.
    pub features: Features,
    /// A part of a split that the methods of its lines force: no guard of the policy asks what it is worth.
    pub forced: bool,
}

/// A way to fulfil everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The step it was found at.
    pub step: Step,
    /// One leg, or the parts of a split.
    pub legs: SmallVec<[Leg; 1]>,
    /// Parts of a split beyond the first that the methods of its lines force: no guard of the policy counts them.
    pub parts_forced: u32,
}

impl Way {
    /// What all of it costs.
    pub fn cost(&self) -> Cost {
        self.legs
            .iter()
            .fold(Cost::default(), |sum, leg| sum.plus(leg.cost))
    }
}

/// When pickup is possible again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextPickup {
    /// The store that has everything.
    pub store: StoreId,
    /// How far it is.
    pub distance_mm: u64,
    /// What it promises.
    pub pickup: Pickup,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// In a word.
    pub outcome: PlanOutcome,
    /// The best first.
    pub ways: Vec<Way>,
    /// Where no one place has it all: places that have a part.
    pub partial: Vec<PartialStore>,
    /// Nearer stores that were not taken.
    pub rejected: Vec<(StoreId, u64, StoreRejection)>,
    /// Every step, in order.
    pub steps: Vec<StepReport>,
    /// Where nothing can be picked up now: where and when it can.
    pub next_pickup: Option<NextPickup>,
    /// Where nothing was found: when to ask again.
    pub ask_again: Option<Time>,
    /// Ways that were found and were not among the best, for whoever wants to judge another policy by them.
    pub passed: Vec<Way>,
    /// No policy would have found other candidates at the steps that were tried: all there are, or as many as any looks at.
    pub complete: bool,
    /// Rules of the policy may have kept places out.
    pub ruled: bool,
}

/// Goes down the ladder until there are `max_options` ways.
pub fn ladder(state: &State, query: &LadderQuery<'_>) -> Ladder {
    let mut climb = Climb {
        state,
        query,
        answer: Ladder {
            outcome: PlanOutcome::NoStoreInRange,
            ways: Vec::new(),
            partial: Vec::new(),
            rejected: Vec::new(),
            steps: Vec::with_capacity(6),
            next_pickup: None,
            ask_again: None,
            passed: Vec::new(),
            complete: true,
            ruled: false,
        },
    };
    climb.pickup();
    climb.ship(Method::ShipFromStore, Step::ShipFromStore);
    climb.ship(Method::ShipToHome, Step::ShipToHome);
    climb.ship(Method::DropShip, Step::DropShip);
    if query.explain {
        climb.split();
    }
    if query.explain {
        climb.note_caution();
    }
    let mut answer = climb.answer;
    if answer.ways.is_empty() {
        let minutes = i64::from(query.policy.ask_again_minutes);
        answer.ask_again = Some(query.plan.now.plus_ms(minutes * MINUTE_MS));
    } else if answer.ways.iter().any(|way| way.step != Step::Split) {
        answer.outcome = PlanOutcome::Matched;
    }
    answer
}

struct Climb<'a> {
    state: &'a State,
    query: &'a LadderQuery<'a>,
    answer: Ladder,
}

impl<'a> Climb<'a> {
    fn report(&mut self, step: Step, result: StepResult) {
        self.answer.steps.push(StepReport {
            step,
            result,
            rule_id: None,
        });
    }

    fn wants(&self, method: Method) -> bool {
        self.query.methods.has(method) && self.answer.ways.len() < self.query.plan.max_options
    }

    /// Whether every line may go so.
    fn lines_allow(&self, method: Method) -> bool {
        self.query.line_methods.iter().all(|m| m.has(method))
    }

    fn origin(&self, method: Method) -> Point<f64> {
        let shopper = self.query.plan.origin;
        match method {
            Method::Pickup => shopper,
            _ => self.query.destination_point.unwrap_or(shopper),
        }
    }

    /// The places that have all of some lines, by one method.
    fn places(
        &self,
        lines: &[WantedLine],
        method: Method,
        rules: &Rules<'_>,
        max_options: usize,
    ) -> Plan {
        self.places_beside(lines, method, rules, max_options, self.query.plan.own)
    }

    /// The same beside other parts of the order.
    fn places_beside(
        &self,
        lines: &[WantedLine],
        method: Method,
        rules: &Rules<'_>,
        max_options: usize,
        own: Own<'_>,
    ) -> Plan {
        let rules = Some(rules);
        let query = PlanQuery {
            origin: self.origin(method),
            lines,
            limit_mm: if method.ships() {
                u64::MAX
            } else {
                self.query.plan.limit_mm
            },
            max_options,
            require_open_now: self.query.plan.require_open_now && !method.ships(),
            // A parcel crosses a strait.
            travel_zone: self.query.plan.travel_zone.filter(|_| !method.ships()),
            by: By { method, rules },
            own,
            ..self.query.plan
        };
        if self.query.explain {
            return plan(self.state, &query);
        }
        let options = options(self.state, &query);
        Plan {
            outcome: if options.is_empty() {
                PlanOutcome::NoStock
            } else {
                PlanOutcome::Matched
            },
            options,
            partial: Vec::new(),
            rejected: Vec::new(),
        }
    }

    fn rules(&self, lines: &[WantedLine], method: Method) -> Rules<'a> {
        let destination = self.query.destination.filter(|_| method.ships());
        let skus = lines.iter().map(|line| line.sku);
        self.query
            .policy
            .rules_for(self.state, skus, destination, method)
    }

    fn pickup(&mut self) {
        let steps = [Step::PickupNow, Step::PickupNearTime];
        if !self.query.methods.has(Method::Pickup) {
            steps
                .into_iter()
                .for_each(|step| self.report(step, StepResult::NotTried));
            return;
        }
        if !self.lines_allow(Method::Pickup) {
            steps
                .into_iter()
                .for_each(|step| self.report(step, StepResult::LineForbids));
            return;
        }
        let rules = self.rules(self.query.plan.lines, Method::Pickup);
        let wanted = self.query.plan.max_options;
        let looked_at = match self.query.policy.rank_by {
            RankBy::Distance => wanted,
            RankBy::Cost | RankBy::Readiness => CANDIDATES_MAX,
        };
        let plan = self.places(self.query.plan.lines, Method::Pickup, &rules, looked_at);
        self.note_completeness(&plan, looked_at, &rules);
        let mut near_time = if plan.options.len() < wanted {
            self.near_time(&rules)
        } else {
            Vec::new()
        };
        near_time.retain(|option| plan.options.iter().all(|found| found.store != option.store));
        let now = self.query.plan.now;
        let is_now =
            |option: &PlanOption| option.expected.is_none() && option.pickup.is_current(now);
        let all = || plan.options.iter().chain(&near_time);
        let found = [all().any(is_now), !all().all(is_now)];
        for (step, found) in steps.into_iter().zip(found) {
            let result = if found {
                StepResult::Found
            } else if plan.options.is_empty() {
                why_not(&plan)
            } else {
                StepResult::OtherWindow
            };
            self.report(step, result);
            if result == StepResult::RuleForbids {
                self.name_rule(&plan, &rules);
            }
        }
        if !found[0] {
            self.answer.next_pickup = self.next_pickup(&plan, &near_time, &rules);
        }
        let step = |option: &PlanOption| {
            if is_now(option) {
                Step::PickupNow
            } else {
                Step::PickupNearTime
            }
        };
        self.take(&plan, Method::Pickup, wanted, step);
        self.answer.outcome = plan.outcome;
        self.answer.partial = plan.partial;
        self.answer.rejected = plan.rejected;
        // They are ways after all.
        let is_way = |id: &StoreId| near_time.iter().any(|option| option.store == *id);
        self.answer.rejected.retain(|(id, _, _)| !is_way(id));
        let later = Plan {
            outcome: PlanOutcome::Matched,
            options: near_time,
            partial: Vec::new(),
            rejected: Vec::new(),
        };
        let room = wanted - self.answer.ways.len();
        self.take(&later, Method::Pickup, room, step);
    }

    /// Stores that will have everything when what is on its way has come.
    fn near_time(&self, rules: &Rules<'_>) -> Vec<PlanOption> {
        let query = PlanQuery {
            by: By {
                method: Method::Pickup,
                rules: Some(rules),
            },
            ..self.query.plan
        };
        near_time_options(self.state, &query)
    }

    /// The soonest pickup of those found, or else of the nearest store that is not open yet.
    fn next_pickup(
        &self,
        found: &Plan,
        near_time: &[PlanOption],
        rules: &Rules<'_>,
    ) -> Option<NextPickup> {
        let of = |option: &PlanOption| NextPickup {
            store: option.store,
            distance_mm: option.distance_mm,
            pickup: option.pickup,
        };
        let start = |next: &NextPickup| next.pickup.promised().map(|(start, _)| start);
        // The first of equals is the nearest.
        let found = found.options.iter().chain(near_time);
        let soonest = found.map(of).min_by_key(start);
        if soonest.is_some() || !self.query.plan.require_open_now {
            return soonest;
        }
        let query = PlanQuery {
            require_open_now: false,
            max_options: 1,
            by: By {
                method: Method::Pickup,
                rules: Some(rules),
            },
            ..self.query.plan
        };
        plan(self.state, &query).options.first().map(of)
    }

    fn ship(&mut self, method: Method, step: Step) {
        if !self.wants(method) {
            return self.report(step, StepResult::NotTried);
        }
        if !self.lines_allow(method) {
            return self.report(step, StepResult::LineForbids);
        }
        let rules = self.rules(self.query.plan.lines, method);
        let room = self.query.plan.max_options - self.answer.ways.len();
        let looked_at = match self.query.policy.rank_by {
            RankBy::Cost => CANDIDATES_MAX,
            RankBy::Distance | RankBy::Readiness => room,
        };
        let plan = self.places(self.query.plan.lines, method, &rules, looked_at);
        self.note_completeness(&plan, looked_at, &rules);
        if plan.options.is_empty() {
            let result = why_not(&plan);
            self.report(step, result);
            if result == StepResult::RuleForbids {
                self.name_rule(&plan, &rules);
            }
        } else {
            self.report(step, StepResult::Found);
            self.take(&plan, method, room, |_| step);
        }
        // What a place has of it is worth knowing whatever the method.
        if self.answer.partial.is_empty() {
            self.answer.partial = plan.partial;
        }
        let better = |outcome: PlanOutcome| match outcome {
            PlanOutcome::Matched => 3,
            PlanOutcome::Partial => 2,
            PlanOutcome::NoStock => 1,
            PlanOutcome::NoStoreInRange => 0,
        };
        if better(plan.outcome) > better(self.answer.outcome) {
            self.answer.outcome = plan.outcome;
        }
    }

    /// Says of each part whether a read of the stock is enough to promise it. Parts of one order at one place count together.
    fn note_caution(&mut self) {
        let plan = &self.query.plan;
        for way in &mut self.answer.ways {
            let cautious = |place: StoreId| {
                let mut wanted = SmallVec::new();
                for leg in way.legs.iter().filter(|leg| leg.place == place) {
                    match &leg.lines {
                        None => plan.lines.iter().for_each(|l| add(&mut wanted, l)),
                        Some(at) => at.iter().for_each(|at| add(&mut wanted, &plan.lines[*at])),
                    }
                }
                !leaves_enough(self.state, self.query.policy, place, &wanted, plan.own)
            };
            let told: SmallVec<[bool; 4]> = (way.legs.iter())
                .map(|leg| leg.expected.is_some() || cautious(leg.place))
                .collect();
            for (leg, told) in way.legs.iter_mut().zip(told) {
                leg.hold_first = told;
            }
        }
    }

    fn note_completeness(&mut self, plan: &Plan, looked_at: usize, rules: &Rules<'_>) {
        let all = plan.options.len() < looked_at || looked_at >= CANDIDATES_MAX;
        self.answer.complete &= all;
        self.answer.ruled |= !rules.is_empty();
    }

    fn name_rule(&mut self, plan: &Plan, rules: &Rules<'_>) {
        let broken = |(id, _, reason): &(StoreId, u64, StoreRejection)| {
            let forbids = *reason == StoreRejection::RuleForbids;
            let store = forbids.then(|| self.state.stores.get(*id)).flatten()?;
            Some(std::sync::Arc::clone(&rules.broken_by(&store)?.rule_id))
        };
        let rule_id = plan.rejected.iter().find_map(broken);
        if let Some(report) = self.answer.steps.last_mut() {
            report.rule_id = rule_id;
        }
    }

    /// Takes the best of what a step found.
    fn take(
        &mut self,
        plan: &Plan,
        method: Method,
        most: usize,
        step: impl Fn(&PlanOption) -> Step,
    ) {
        let mut ways: Vec<Way> = (plan.options.iter())
            .map(|option| Way {
                step: step(option),
                legs: [self.leg(option, method, None)].into_iter().collect(),
                parts_forced: 0,
            })
            .collect();
        match self.query.policy.rank_by {
            // As they come.
            RankBy::Distance => {}
            // Stable: the nearest of equals stays first.
            RankBy::Readiness => ways.sort_by_key(|way| way.step),
            RankBy::Cost => ways.sort_by(|a, b| {
                let key = |way: &Way| (way.cost().total(), way.legs[0].distance_mm);
                key(a).cmp(&key(b)).then_with(|| self.by_id(a, b))
            }),
        }
        if ways.len() > most {
            self.answer.passed.extend(ways.drain(most..));
        }
        self.answer.ways.append(&mut ways);
    }

    fn by_id(&self, a: &Way, b: &Way) -> std::cmp::Ordering {
        let id = |way: &Way| self.state.stores.get(way.legs[0].place);
        match (id(a), id(b)) {
            (Some(a), Some(b)) => compare_external(&a.store_id, &b.store_id),
            _ => std::cmp::Ordering::Equal,
        }
    }

    fn leg(&self, option: &PlanOption, method: Method, lines: Option<Vec<usize>>) -> Leg {
        let now = self.query.plan.now;
        let ready = option.pickup.promised().map_or(now, |(start, _)| start);
        let all = self.query.plan.lines;
        let count = lines.as_ref().map_or(all.len(), Vec::len);
        let thousandths = match &lines {
            None => all
                .iter()
                .fold(0, |sum: i64, l| sum.saturating_add(l.quantity)),
            Some(at) => at
                .iter()
                .fold(0, |sum: i64, at| sum.saturating_add(all[*at].quantity)),
        };
        let load = match (&option.pickup.window, option.pickup.slot) {
            (Some(window), Some(_)) => self.state.stores.get(option.store).map_or((0, 0), |s| {
                s.load(option.store, &self.state.held_slots, window)
            }),
            _ => (0, 0),
        };
        let features = Features {
            distance_mm: option.distance_mm,
            lines: u32::try_from(count).unwrap_or(u32::MAX),
            thousandths,
            load,
            wait_ms: ready.0 - now.0,
            value_minor: lines.as_deref().map_or(0, |at| self.value(at)),
        };
        let policy = self.query.policy;
        let ships = method.ships();
        Leg {
            place: option.store,
            method,
            distance_mm: option.distance_mm,
            lines,
            pickup: option.pickup,
            expected: option.expected,
            hold_first: false,
            delivery: ships.then(|| policy.delivered(method, ready)).flatten(),
            cost: policy.cost(method, &features),
            features,
            forced: false,
        }
    }
}

/// Adds a line to the sum of its product.
fn add(wanted: &mut SmallVec<[(SkuId, i64); 8]>, line: &WantedLine) {
    match wanted.iter_mut().find(|(sku, _)| *sku == line.sku) {
        Some((_, sum)) => *sum = sum.saturating_add(line.quantity),
        None => wanted.push((line.sku, line.quantity)),
    }
}

/// Whether so much is left at a place after (product, quantity), each product once, that a read of its stock may be shown as
/// a promise. Far above what is kept back it may; near it another order may be faster, and only a hold counts. What the
/// order holds itself is sure.
pub fn leaves_enough(
    state: &State,
    policy: &RoutingPolicy,
    place: StoreId,
    wanted: &[(SkuId, i64)],
    own: Own<'_>,
) -> bool {
    wanted.iter().all(|&(sku, quantity)| {
        if own.stock(place, sku) >= quantity {
            return true;
        }
        let cell = CellKey::new(sku, place);
        let kept_back = state.stock.read(cell, |level| level.safety).unwrap_or(0);
        let left = on_the_shelf(state, own, place, sku).saturating_sub(quantity);
        left >= kept_back.max(policy.hold_first_below)
    })
}

/// Why a step found no place.
fn why_not(plan: &Plan) -> StepResult {
    let any = |reason| plan.rejected.iter().any(|(_, _, r)| *r == reason);
    if any(StoreRejection::SlotsFull) || any(StoreRejection::NotOpenNow) {
        StepResult::NoWindow
    } else if any(StoreRejection::RuleForbids) {
        StepResult::RuleForbids
    } else if plan.outcome == PlanOutcome::NoStoreInRange {
        StepResult::NoPlace
    } else {
        StepResult::NoStock
    }
}
