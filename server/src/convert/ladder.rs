//! Ways to fulfil a basket: how they are asked for, and how they are answered.

use std::sync::Arc;

use geo::Point;
use smallvec::SmallVec;
use tillside_engine::catalog::Store;
use tillside_engine::command::{Candidate, Otherwise, PartCandidate, WantedLine};
use tillside_engine::fulfillment_ladder::{
    Ladder, Leg, NextPickup, Step, StepReport, StepResult, Way,
};
use tillside_engine::ids::StoreId;
use tillside_engine::limits::CANDIDATES_MAX;
use tillside_engine::location_terms::Methods;
use tillside_engine::routing::{PlanOutcome, StoreRejection};
use tillside_engine::routing_policy::{Cost, Destination, RoutingPolicy};
use tillside_engine::state::State;
use tillside_engine::units::{Currency, Money};
use tillside_proto::v1;

use super::catalog::{point, wire_point};
use super::checks::{Checks, Path};
use super::location_terms::{methods, wire_method};
use super::values::{meters, money, timestamp, window};

/// How goods may reach the shopper.
#[derive(Clone, Debug)]
pub struct Ways {
    /// Ways that are wanted.
    pub methods: Methods,
    /// Ways of each line; empty: all of them.
    pub by_line: Vec<Methods>,
    /// Where parcels go, for rules.
    pub destination: Option<Destination>,
    /// Where parcels go, for distances.
    pub destination_point: Option<Point<f64>>,
}

impl Default for Ways {
    fn default() -> Self {
        Ways {
            methods: Methods::PICKUP,
            by_line: Vec::new(),
            destination: None,
            destination_point: None,
        }
    }
}

/// The ways of a request.
pub fn ways(
    checks: &mut Checks,
    wanted: &[i32],
    lines: &[v1::FulfillmentLine],
    ship_to: Option<&v1::Destination>,
) -> Ways {
    let root = Path::ROOT;
    let all = methods(checks, root, "methods", wanted).unwrap_or(Methods::PICKUP);
    let by_line = if lines.iter().all(|line| line.methods.is_empty()) {
        Vec::new()
    } else {
        let of_line = |(i, line): (usize, &v1::FulfillmentLine)| {
            let at = root.item("lines", i);
            let own = methods(checks, at, "methods", &line.methods).unwrap_or(all);
            checks.require(
                !own.and(all).is_empty(),
                at.field("methods"),
                "has none of the request's methods",
            );
            own.and(all)
        };
        lines.iter().enumerate().map(of_line).collect()
    };
    let path = root.field("ship_to");
    let destination_point = ship_to
        .and_then(|to| to.location.as_ref())
        .map(|location| point(checks, path.field("location"), location));
    let destination = ship_to.map(|to| {
        let country = &to.country_code;
        let good = country.is_empty()
            || (country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase()));
        checks.require(
            good,
            path.field("country_code"),
            "is not two upper-case letters (ISO 3166-1), for example IT",
        );
        Destination {
            country: country.as_str().into(),
            postal_code: checks.optional_id(path.field("postal_code"), &to.postal_code),
        }
    });
    Ways {
        methods: all,
        by_line,
        destination,
        destination_point,
    }
}

/// Places to try, in the order of the ways, each of which has everything.
pub fn candidates(ladder: &Ladder) -> SmallVec<[Candidate; 8]> {
    let whole = ladder.ways.iter().filter(|way| way.step != Step::Split);
    whole
        .flat_map(|way| way.legs.iter().map(candidate))
        .take(CANDIDATES_MAX)
        .collect()
}

fn candidate(leg: &Leg) -> Candidate {
    Candidate {
        store: leg.place,
        distance_mm: leg.distance_mm,
        method: leg.method,
        near_time: leg.expected.is_some(),
    }
}

/// The parts of the best split; empty where there is none.
pub fn parts(ladder: &Ladder) -> Vec<PartCandidate> {
    let part = |leg: &Leg| PartCandidate {
        candidate: candidate(leg),
        lines: leg.lines.clone().unwrap_or_default(),
    };
    let split = ladder.ways.iter().find(|way| way.step == Step::Split);
    let legs = split.into_iter().flat_map(|way| &way.legs);
    legs.map(part).collect()
}

/// What to say where no whole way was found.
pub fn otherwise(ladder: &Ladder) -> Otherwise {
    if ladder.ways.iter().any(|way| way.step == Step::Split) {
        Otherwise::SplitOnly
    } else if (ladder.rejected.iter()).any(|(_, _, reason)| *reason == StoreRejection::SlotsFull) {
        Otherwise::SlotsFull
    } else {
        Otherwise::NoStock
    }
}

/// The answer on the wire.
pub fn wire_ladder(
    state: &State,
    ladder: &Ladder,
    policy: &RoutingPolicy,
    lines: &[WantedLine],
    sequence: u64,
) -> v1::FulfillmentPlan {
    let writer = Writer {
        state,
        currency: policy.currency,
        lines,
    };
    let outcome = match ladder.outcome {
        PlanOutcome::Matched => v1::PlanOutcome::Matched,
        PlanOutcome::Partial => v1::PlanOutcome::Partial,
        PlanOutcome::NoStock => v1::PlanOutcome::NoStock,
        PlanOutcome::NoStoreInRange => v1::PlanOutcome::NoStoreInRange,
    };
    let mut last_step = None;
    let mut fallback_rank = 0;
    let options = ladder.ways.iter().zip(1..).filter_map(|(way, rank)| {
        if last_step != Some(way.step) {
            fallback_rank += 1;
            last_step = Some(way.step);
        }
        writer.option(way, rank, fallback_rank)
    });
    let partial = ladder.partial.iter().map(|partial| v1::PartialOption {
        store_id: writer.store_id(partial.store),
        distance_meters: meters(partial.distance_mm),
        available_line_ids: writer.line_ids(Some(&partial.lines)),
        available_sku_count: i32::try_from(partial.sku_count).unwrap_or(i32::MAX),
    });
    let rejected = ladder
        .rejected
        .iter()
        .map(|(store, distance_mm, reason)| v1::RejectedStore {
            store_id: writer.store_id(*store),
            distance_meters: meters(*distance_mm),
            reason: rejection(*reason).into(),
        });
    v1::FulfillmentPlan {
        outcome: outcome.into(),
        options: options.collect(),
        partial_options: partial.collect(),
        rejected_stores: rejected.collect(),
        snapshot_sequence: sequence,
        degraded: false,
        steps: ladder.steps.iter().map(report).collect(),
        next_pickup: ladder
            .next_pickup
            .as_ref()
            .and_then(|next| writer.next_pickup(next)),
        retry_time: ladder.ask_again.map(timestamp),
        policy_etag: policy.version.0.to_string(),
    }
}

/// A cost by the routing policy, whose currency it is in.
pub fn wire_cost(cost: &Cost, currency: Currency) -> v1::OptionCost {
    let amount = |minor| Some(money(Money { currency, minor }));
    v1::OptionCost {
        total: amount(cost.total()),
        distance: amount(cost.distance),
        handling: amount(cost.handling),
        parcels: amount(cost.parcels),
        store_load: amount(cost.store_load),
        waiting: amount(cost.waiting),
    }
}

struct Writer<'a> {
    state: &'a State,
    currency: Currency,
    lines: &'a [WantedLine],
}

impl Writer<'_> {
    fn store(&self, id: StoreId) -> Option<Arc<Store>> {
        self.state.stores.get(id)
    }

    fn store_id(&self, id: StoreId) -> String {
        self.store(id)
            .map_or_else(String::new, |s| s.store_id.to_string())
    }

    fn line_ids(&self, at: Option<&[usize]>) -> Vec<String> {
        let id = |line: &WantedLine| line.line_id.to_string();
        match at {
            None => self.lines.iter().map(id).collect(),
            Some(at) => at
                .iter()
                .filter_map(|at| self.lines.get(*at))
                .map(id)
                .collect(),
        }
    }

    fn option(&self, way: &Way, rank: i32, fallback_rank: i32) -> Option<v1::FulfillmentOption> {
        let first = way.legs.first()?;
        Some(v1::FulfillmentOption {
            method: wire_method(first.method).into(),
            rank,
            legs: way.legs.iter().filter_map(|leg| self.leg(leg)).collect(),
            step: step(way.step).into(),
            cost: Some(self.cost(&way.cost())),
            near_time: way.step == Step::PickupNearTime,
            fallback_rank,
        })
    }

    fn leg(&self, leg: &Leg) -> Option<v1::FulfillmentLeg> {
        let store = self.store(leg.place)?;
        let pickup = (!leg.method.ships()).then_some(&leg.pickup);
        Some(v1::FulfillmentLeg {
            store_id: store.store_id.to_string(),
            store_display_name: store.display_name.to_string(),
            distance_meters: meters(leg.distance_mm),
            pickup_window: pickup
                .and_then(|p| p.window.as_ref())
                .map(|w| window(w.span())),
            store_time_zone: store.time_zone_name().to_owned(),
            line_ids: self.line_ids(leg.lines.as_deref()),
            location: Some(wire_point(store.location)),
            method: wire_method(leg.method).into(),
            pickup_slot: pickup
                .and_then(|p| p.slot.as_ref())
                .map(|s| window(s.span())),
            delivery_window: leg.delivery.map(window),
            incoming_time: leg.expected.map(timestamp),
            hold_first: leg.hold_first,
            cost: Some(self.cost(&leg.cost)),
        })
    }

    fn cost(&self, cost: &Cost) -> v1::OptionCost {
        wire_cost(cost, self.currency)
    }

    fn next_pickup(&self, next: &NextPickup) -> Option<v1::NextPickup> {
        let store = self.store(next.store)?;
        Some(v1::NextPickup {
            store_id: store.store_id.to_string(),
            distance_meters: meters(next.distance_mm),
            pickup_window: next.pickup.window.as_ref().map(|w| window(w.span())),
            pickup_slot: next.pickup.slot.as_ref().map(|s| window(s.span())),
            store_time_zone: store.time_zone_name().to_owned(),
        })
    }
}

fn rejection(reason: StoreRejection) -> v1::StoreRejection {
    match reason {
        StoreRejection::InsufficientStock => v1::StoreRejection::InsufficientStock,
        StoreRejection::Paused => v1::StoreRejection::Paused,
        StoreRejection::Closed => v1::StoreRejection::Closed,
        StoreRejection::NotOpenNow => v1::StoreRejection::NotOpenNow,
        StoreRejection::OtherTravelZone => v1::StoreRejection::OtherTravelZone,
        StoreRejection::NotServing => v1::StoreRejection::NotServing,
        StoreRejection::RuleForbids => v1::StoreRejection::RuleForbids,
        StoreRejection::SlotsFull => v1::StoreRejection::SlotsFull,
    }
}

fn step(step: Step) -> v1::FallbackStep {
    match step {
        Step::PickupNow => v1::FallbackStep::PickupNow,
        Step::PickupNearTime => v1::FallbackStep::PickupNearTime,
        Step::ShipFromStore => v1::FallbackStep::ShipFromStore,
        Step::ShipToHome => v1::FallbackStep::ShipToHome,
        Step::DropShip => v1::FallbackStep::DropShip,
        Step::Split => v1::FallbackStep::Split,
    }
}

fn report(report: &StepReport) -> v1::StepReport {
    let result = match report.result {
        StepResult::Found => v1::StepResult::Found,
        StepResult::NotTried => v1::StepResult::NotTried,
        StepResult::OtherWindow => v1::StepResult::OtherWindow,
        StepResult::NoStock => v1::StepResult::NoStock,
        StepResult::NoPlace => v1::StepResult::NoPlace,
        StepResult::RuleForbids => v1::StepResult::RuleForbids,
        StepResult::LineForbids => v1::StepResult::LineForbids,
        StepResult::NoWindow => v1::StepResult::NoWindow,
        StepResult::TooManyParts => v1::StepResult::TooManyParts,
        StepResult::PartTooSmall => v1::StepResult::PartTooSmall,
    };
    v1::StepReport {
        step: step(report.step).into(),
        result: result.into(),
        rule_id: report
            .rule_id
            .as_ref()
            .map_or_else(String::new, |id| id.to_string()),
    }
}
