//! What another policy would have done: routings of the past with the candidates they had, ranked again. What was not found
//! then cannot be chosen now, so the answer says how much of it is exact.

use std::cmp::Ordering;

use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use crate::fulfillment_ladder::{Ladder, LadderQuery, SplitSize, Step, StepResult, Way};
use crate::ids::{SkuId, StoreId, compare_external};
use crate::limits::CANDIDATES_MAX;
use crate::location_terms::{Method, Methods};
use crate::routing_policy::{Destination, Features, RankBy, RoutingPolicy, Rules};
use crate::state::State;
use crate::units::Time;

/// A part of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastLeg {
    /// The place.
    pub place: StoreId,
    /// How.
    pub method: Method,
    /// What its cost was made of.
    pub features: Features,
    /// See [`crate::fulfillment_ladder::Leg::forced`].
    pub forced: bool,
}

/// A candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastWay {
    /// The step it was found at.
    pub step: Step,
    /// Its parts.
    pub legs: SmallVec<[PastLeg; 1]>,
    /// See [`Way::parts_forced`].
    pub parts_forced: u32,
}

/// A routing as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRouting {
    /// When.
    pub time: Time,
    /// What was wanted, each line.
    pub skus: SmallVec<[SkuId; 8]>,
    /// Where parcels were to go.
    pub destination: Option<Destination>,
    /// At most 32; the first one was chosen.
    pub ways: Vec<PastWay>,
    /// See [`Ladder::complete`].
    pub complete: bool,
    /// See [`Ladder::ruled`].
    pub ruled: bool,
    /// Every step that was wanted was tried.
    pub exhausted: bool,
}

impl PastRouting {
    /// What is worth keeping of a routing.
    pub fn of(query: &LadderQuery<'_>, ladder: &Ladder) -> Self {
        let way = |way: &Way| PastWay {
            step: way.step,
            legs: (way.legs.iter())
                .map(|leg| PastLeg {
                    place: leg.place,
                    method: leg.method,
                    features: leg.features,
                    forced: leg.forced,
                })
                .collect(),
            parts_forced: way.parts_forced,
        };
        let ways = ladder.ways.iter().chain(&ladder.passed);
        let skipped = |step: Step, method: Method| {
            query.methods.has(method)
                && (ladder.steps.iter())
                    .any(|report| report.step == step && report.result == StepResult::NotTried)
        };
        PastRouting {
            time: query.plan.now,
            skus: query.plan.lines.iter().map(|line| line.sku).collect(),
            destination: query.destination.cloned(),
            ways: ways.map(way).take(CANDIDATES_MAX).collect(),
            complete: ladder.complete,
            ruled: ladder.ruled,
            exhausted: !skipped(Step::ShipFromStore, Method::ShipFromStore)
                && !skipped(Step::ShipToHome, Method::ShipToHome)
                && !skipped(Step::DropShip, Method::DropShip),
        }
    }

    /// What a policy would choose of the candidates.
    fn choice<'r>(&'r self, state: &State, policy: &RoutingPolicy) -> Option<&'r PastWay> {
        let used = Methods::of(
            self.ways
                .iter()
                .flat_map(|w| w.legs.iter().map(|l| l.method)),
        );
        let rules: SmallVec<[(Method, Rules<'_>); 4]> = used
            .iter()
            .map(|method| {
                let skus = self.skus.iter().copied();
                let destination = self.destination.as_ref().filter(|_| method.ships());
                (method, policy.rules_for(state, skus, destination, method))
            })
            .collect();
        let keeps_rules = |leg: &PastLeg| {
            let of_method = rules.iter().find(|(method, _)| *method == leg.method);
            of_method.is_none_or(|(_, rules)| {
                rules.is_empty()
                    || (state.stores.get(leg.place))
                        .is_some_and(|store| rules.broken_by(&store).is_none())
            })
        };
        let allowed = |way: &&PastWay| {
            let split = way.step != Step::Split || way.is_allowed_split(policy);
            split && way.legs.iter().all(keeps_rules)
        };
        let order = |a: &&PastWay, b: &&PastWay| {
            let by_policy = match policy.rank_by {
                RankBy::Distance => Ordering::Equal,
                RankBy::Cost => a.cost(policy).cmp(&b.cost(policy)),
                RankBy::Readiness => a.step.cmp(&b.step),
            };
            a.group()
                .cmp(&b.group())
                .then(by_policy)
                .then_with(|| a.distance_mm().cmp(&b.distance_mm()))
                .then_with(|| compare_places(state, a, b))
        };
        self.ways.iter().filter(allowed).min_by(order)
    }

    /// Whether the candidates tell exactly what the policy would choose.
    fn covers(&self, policy: &RoutingPolicy, choice: Option<&PastWay>) -> bool {
        if self.ruled {
            return false;
        }
        let Some(choice) = choice else {
            return self.complete && self.exhausted;
        };
        let first_group = self.ways.iter().map(PastWay::group).min();
        // Candidates are the nearest ones, so the nearest of them is the nearest of all.
        let nearest = policy.rank_by == RankBy::Distance && Some(choice.group()) == first_group;
        self.complete || nearest
    }
}

impl PastWay {
    /// Pickups are ranked together.
    fn group(&self) -> Step {
        match self.step {
            Step::PickupNearTime => Step::PickupNow,
            step => step,
        }
    }

    fn is_allowed_split(&self, policy: &RoutingPolicy) -> bool {
        let size = SplitSize {
            parts: self.legs.len(),
            parts_forced: self.parts_forced,
        };
        let worth = policy.split_part_value_min;
        let worth_it = |leg: &PastLeg| leg.forced || leg.features.value_minor >= worth;
        size.is_allowed(policy) && self.legs.iter().all(worth_it)
    }

    fn distance_mm(&self) -> u64 {
        self.legs.iter().map(|leg| leg.features.distance_mm).sum()
    }

    fn cost(&self, policy: &RoutingPolicy) -> i64 {
        let cost = |leg: &PastLeg| policy.cost(leg.method, &leg.features).total();
        self.legs.iter().map(cost).fold(0, i64::saturating_add)
    }
}

fn compare_places(state: &State, a: &PastWay, b: &PastWay) -> Ordering {
    let id = |way: &PastWay| {
        let place = way.legs.first()?.place;
        Some(state.stores.get(place)?.store_id.clone())
    };
    match (id(a), id(b)) {
        (Some(a), Some(b)) => compare_external(&a, &b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

/// Figures of some choices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Routings that found a way.
    pub fulfilled: u64,
    /// Sum of the distances of all parts.
    pub distance_mm: u128,
    /// Those that are split.
    pub split: u64,
    /// Sum of the costs, by the new policy's weights.
    pub cost_minor: i128,
    /// Places that are part of some choice.
    pub places: FxHashSet<StoreId>,
}

impl Figures {
    fn add(&mut self, policy: &RoutingPolicy, choice: Option<&PastWay>) {
        let Some(choice) = choice else {
            return;
        };
        self.fulfilled += 1;
        self.distance_mm += u128::from(choice.distance_mm());
        self.split += u64::from(choice.step == Step::Split);
        self.cost_minor += i128::from(choice.cost(policy));
        self.places.extend(choice.legs.iter().map(|leg| leg.place));
    }
}

/// A policy tried on routings of the past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DryRun {
    /// Routings that were looked at.
    pub routings: u64,
    /// Those whose candidates tell exactly what would be chosen.
    pub covered: u64,
    /// Those whose choice would be another.
    pub changed: u64,
    /// As they were.
    pub before: Figures,
    /// As they would have been.
    pub after: Figures,
}

impl DryRun {
    /// Ranks one more.
    pub fn add(&mut self, state: &State, policy: &RoutingPolicy, routing: &PastRouting) {
        let choice = routing.choice(state, policy);
        let before = routing.ways.first();
        self.routings += 1;
        self.covered += u64::from(routing.covers(policy, choice));
        self.changed += u64::from(choice != before);
        self.before.add(policy, before);
        self.after.add(policy, choice);
    }
}
