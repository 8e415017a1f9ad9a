//! The routing policy.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use tillside_engine::catalog::CATEGORY_SEPARATOR;
use tillside_engine::ids::Sequence;
use tillside_engine::limits::{
    AMOUNT_MINOR_MAX, QUANTITY_THOUSANDTHS_MAX, ROUTING_MINUTES_MAX, ROUTING_RULES_MAX,
    RULE_VALUES_MAX, SPLIT_PARTS_MAX,
};
use tillside_engine::location_terms::{Method, Methods};
use tillside_engine::routing_policy::{MethodCost, RankBy, RoutingPolicy, RoutingRule, RuleEffect};
use tillside_engine::routing_replay::{DryRun, Figures};
use tillside_engine::units::{Currency, Money};
use tillside_proto::v1;

use super::catalog::category_path;
use super::checks::{Checks, Path};
use super::location_terms::{method_of, methods, minutes, wire_method, wire_methods, wire_minutes};
use super::values::money;

const ASK_AGAIN_MINUTES_DEFAULT: u32 = 15;
const HOLD_FIRST_BELOW_DEFAULT: i64 = 3_000;
const SPLIT_PARTS_DEFAULT: usize = 1;
const PARCEL_UNITS_MAX: usize = 1_000_000;

/// The policy of a request.
pub fn policy(
    checks: &mut Checks,
    path: Path<'_>,
    policy: Option<&v1::RoutingPolicy>,
) -> RoutingPolicy {
    let Some(policy) = policy else {
        checks.refuse(path, "is required");
        return RoutingPolicy::default();
    };
    let currency = if policy.currency_code.is_empty() {
        Currency::EUR
    } else {
        Currency::parse(&policy.currency_code).unwrap_or_else(|| {
            checks.refuse(
                path.field("currency_code"),
                "is not three upper-case letters (ISO 4217), for example EUR",
            );
            Currency::EUR
        })
    };
    let rank_by = match checks.known::<v1::RankBy>(path.field("rank_by"), policy.rank_by) {
        Some(v1::RankBy::Cost) => RankBy::Cost,
        Some(v1::RankBy::Readiness) => RankBy::Readiness,
        Some(v1::RankBy::Distance | v1::RankBy::Unspecified) | None => RankBy::Distance,
    };
    let mut amount = |name, minor: i64| amount(checks, path.field(name), minor);
    let full_store_minor = amount("full_store_minor_units", policy.full_store_minor_units);
    let wait_hour_minor = amount("wait_hour_minor_units", policy.wait_hour_minor_units);
    let split_part_value_min = amount(
        "split_part_value_min_minor_units",
        policy.split_part_value_min_minor_units,
    );
    let hold_first_below = match policy.hold_first_below_thousandths {
        0 => HOLD_FIRST_BELOW_DEFAULT,
        thousandths => {
            checks.require(
                (1..=QUANTITY_THOUSANDTHS_MAX).contains(&thousandths),
                path.field("hold_first_below_thousandths"),
                format_args!("is not between 0 and {QUANTITY_THOUSANDTHS_MAX}"),
            );
            thousandths
        }
    };
    let ask_again = minutes(
        checks,
        path.field("retry_duration"),
        policy.retry_duration.as_ref(),
        ROUTING_MINUTES_MAX,
    );
    let mut number = |name, value, default, max| {
        let number = checks.number_or(path.field(name), value, default, max);
        u32::try_from(number).unwrap_or(u32::MAX)
    };
    let parcel_units_max = number(
        "parcel_units_max",
        policy.parcel_units_max,
        0,
        PARCEL_UNITS_MAX,
    );
    let split_parts_max = number(
        "split_parts_max",
        policy.split_parts_max,
        SPLIT_PARTS_DEFAULT,
        SPLIT_PARTS_MAX as usize,
    );
    RoutingPolicy {
        currency,
        rank_by,
        costs: costs(checks, path, &policy.method_costs),
        full_store_minor,
        wait_hour_minor,
        parcel_units_max,
        split_parts_max,
        split_part_value_min,
        ask_again_minutes: if ask_again == 0 {
            ASK_AGAIN_MINUTES_DEFAULT
        } else {
            ask_again
        },
        hold_first_below,
        rules: rules(checks, path, &policy.rules),
        version: Sequence(0),
    }
}

fn amount(checks: &mut Checks, path: Path<'_>, minor: i64) -> i64 {
    let good = (0..=AMOUNT_MINOR_MAX).contains(&minor);
    checks.require(
        good,
        path,
        format_args!("is not between 0 and {AMOUNT_MINOR_MAX}"),
    );
    minor.clamp(0, AMOUNT_MINOR_MAX)
}

fn costs(checks: &mut Checks, path: Path<'_>, wire: &[v1::MethodCost]) -> [MethodCost; 4] {
    let mut costs = [MethodCost::default(); 4];
    checks.count(path.field("method_costs"), wire.len(), 0, Method::ALL.len());
    let mut seen = Methods::default();
    for (i, cost) in wire.iter().take(Method::ALL.len()).enumerate() {
        let at = path.item("method_costs", i);
        let Some(method) = method_of(cost.method) else {
            checks.refuse(at.field("method"), "is required");
            continue;
        };
        checks.require(
            !seen.has(method),
            at.field("method"),
            "is in the list twice",
        );
        seen = Methods::of(seen.iter().chain([method]));
        let transit = |checks: &mut Checks, name, duration: Option<&prost_types::Duration>| {
            minutes(checks, at.field(name), duration, ROUTING_MINUTES_MAX)
        };
        let transit_minutes_min = transit(
            checks,
            "transit_duration_min",
            cost.transit_duration_min.as_ref(),
        );
        let transit_minutes_max = transit(
            checks,
            "transit_duration_max",
            cost.transit_duration_max.as_ref(),
        );
        checks.require(
            transit_minutes_max == 0 || transit_minutes_min < transit_minutes_max,
            at.field("transit_duration_max"),
            "is not after transit_duration_min",
        );
        costs[method as usize] = MethodCost {
            order_minor: amount(
                checks,
                at.field("order_minor_units"),
                cost.order_minor_units,
            ),
            line_minor: amount(checks, at.field("line_minor_units"), cost.line_minor_units),
            parcel_minor: amount(
                checks,
                at.field("parcel_minor_units"),
                cost.parcel_minor_units,
            ),
            km_minor: amount(
                checks,
                at.field("kilometer_minor_units"),
                cost.kilometer_minor_units,
            ),
            transit_minutes_min,
            transit_minutes_max,
        };
    }
    costs
}

fn rules(checks: &mut Checks, path: Path<'_>, wire: &[v1::RoutingRule]) -> Vec<RoutingRule> {
    checks.count(path.field("rules"), wire.len(), 0, ROUTING_RULES_MAX);
    let mut seen = FxHashSet::default();
    let mut rules = Vec::with_capacity(wire.len().min(ROUTING_RULES_MAX));
    for (i, rule) in wire.iter().take(ROUTING_RULES_MAX).enumerate() {
        let at = path.item("rules", i);
        checks.require(
            seen.insert(rule.rule_id.as_str()),
            at.field("rule_id"),
            "is in the list twice",
        );
        rules.push(RoutingRule {
            rule_id: checks.id(at.field("rule_id"), &rule.rule_id),
            category: category_path(checks, at, &rule.category_path),
            place_regions: regions(checks, at, "place_regions", &rule.place_regions),
            destination_regions: regions(
                checks,
                at,
                "destination_regions",
                &rule.destination_regions,
            ),
            methods: methods(checks, at, "methods", &rule.methods).unwrap_or(Methods::ANY),
            effect: effect(checks, at, rule.effect.as_ref()),
        });
    }
    rules
}

fn effect(
    checks: &mut Checks,
    path: Path<'_>,
    wire: Option<&v1::routing_rule::Effect>,
) -> RuleEffect {
    use v1::routing_rule::Effect;
    match wire {
        Some(Effect::Forbidden(true)) => RuleEffect::Forbid,
        Some(Effect::Forbidden(false)) => {
            checks.refuse(
                path.field("forbidden"),
                "is false; leave the rule out instead",
            );
            RuleEffect::Forbid
        }
        Some(Effect::RequiredCapability(needed)) => {
            RuleEffect::RequireCapability(checks.id(path.field("required_capability"), needed))
        }
        Some(Effect::RequiredCarriers(any)) => {
            let at = path.field("required_carriers");
            checks.count(at.field("carriers"), any.carriers.len(), 1, RULE_VALUES_MAX);
            let carriers = any.carriers.iter().take(RULE_VALUES_MAX).enumerate();
            RuleEffect::RequireCarrier(
                carriers
                    .map(|(i, carrier)| checks.id(at.item("carriers", i), carrier))
                    .collect(),
            )
        }
        None => {
            checks.refuse(
                path.field("effect"),
                "is required: forbidden, required_capability or required_carriers",
            );
            RuleEffect::Forbid
        }
    }
}

fn regions(
    checks: &mut Checks,
    path: Path<'_>,
    name: &'static str,
    regions: &[String],
) -> Vec<Arc<str>> {
    checks.count(path.field(name), regions.len(), 0, RULE_VALUES_MAX);
    let mut checked = Vec::with_capacity(regions.len().min(RULE_VALUES_MAX));
    for (i, region) in regions.iter().take(RULE_VALUES_MAX).enumerate() {
        let country = region.split('-').next().unwrap_or_default();
        let good = country.len() == 2
            && country.bytes().all(|b| b.is_ascii_uppercase())
            && region.len() != 3;
        checks.require(
            good,
            path.item(name, i),
            "is not a country, for example IT, or a part of one, for example IT-FI",
        );
        checked.push(checks.optional_id(path.item(name, i), region));
    }
    checked
}

/// The policy on the wire.
pub fn wire_policy(policy: &RoutingPolicy) -> v1::RoutingPolicy {
    let cost = |method: Method| {
        let cost = &policy.costs[method as usize];
        (*cost != MethodCost::default()).then(|| v1::MethodCost {
            method: wire_method(method).into(),
            order_minor_units: cost.order_minor,
            line_minor_units: cost.line_minor,
            parcel_minor_units: cost.parcel_minor,
            kilometer_minor_units: cost.km_minor,
            transit_duration_min: wire_minutes(cost.transit_minutes_min),
            transit_duration_max: wire_minutes(cost.transit_minutes_max),
        })
    };
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let rank_by = match policy.rank_by {
        RankBy::Distance => v1::RankBy::Distance,
        RankBy::Cost => v1::RankBy::Cost,
        RankBy::Readiness => v1::RankBy::Readiness,
    };
    v1::RoutingPolicy {
        currency_code: policy.currency.as_str().into(),
        rank_by: rank_by.into(),
        method_costs: Method::ALL.into_iter().filter_map(cost).collect(),
        full_store_minor_units: policy.full_store_minor,
        wait_hour_minor_units: policy.wait_hour_minor,
        parcel_units_max: number(policy.parcel_units_max),
        split_parts_max: number(policy.split_parts_max),
        split_part_value_min_minor_units: policy.split_part_value_min,
        retry_duration: wire_minutes(policy.ask_again_minutes),
        hold_first_below_thousandths: policy.hold_first_below,
        rules: policy.rules.iter().map(wire_rule).collect(),
        etag: policy.version.0.to_string(),
    }
}

fn wire_rule(rule: &RoutingRule) -> v1::RoutingRule {
    use v1::routing_rule::Effect;
    let texts = |words: &[Arc<str>]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
    v1::RoutingRule {
        rule_id: rule.rule_id.to_string(),
        category_path: if rule.category.is_empty() {
            Vec::new()
        } else {
            rule.category
                .split(CATEGORY_SEPARATOR)
                .map(str::to_owned)
                .collect()
        },
        place_regions: texts(&rule.place_regions),
        destination_regions: texts(&rule.destination_regions),
        methods: wire_methods(rule.methods),
        effect: Some(match &rule.effect {
            RuleEffect::Forbid => Effect::Forbidden(true),
            RuleEffect::RequireCapability(needed) => Effect::RequiredCapability(needed.to_string()),
            RuleEffect::RequireCarrier(any) => Effect::RequiredCarriers(v1::Carriers {
                carriers: texts(any),
            }),
        }),
    }
}

/// What a policy would have done, on the wire.
pub fn wire_dry_run(run: &DryRun, policy: &RoutingPolicy) -> v1::RoutingDryRun {
    let share = |part: u64, all: u64| {
        if all == 0 {
            0.0
        } else {
            part as f64 / all as f64
        }
    };
    let figures = |figures: &Figures| {
        let found = figures.fulfilled;
        let mean_cost = figures.cost_minor / i128::from(found.max(1));
        v1::RoutingFigures {
            mean_distance_meters: figures.distance_mm as f64 / 1000.0 / (found.max(1) as f64),
            split_share: share(figures.split, found),
            places_used: figures.places.len() as i64,
            mean_cost: Some(money(Money {
                currency: policy.currency,
                minor: i64::try_from(mean_cost).unwrap_or(i64::MAX),
            })),
            fulfilled_share: share(found, run.routings),
        }
    };
    v1::RoutingDryRun {
        routings: i64::try_from(run.routings).unwrap_or(i64::MAX),
        covered_share: share(run.covered, run.routings),
        changed_share: share(run.changed, run.routings),
        before: Some(figures(&run.before)),
        after: Some(figures(&run.after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use v1::routing_rule::Effect;

    fn full() -> v1::RoutingPolicy {
        let rule = |rule_id: &str, effect| v1::RoutingRule {
            rule_id: rule_id.into(),
            category_path: vec!["Food".into(), "Cold".into()],
            place_regions: vec!["IT-FI".into(), "CH".into()],
            destination_regions: vec!["IT-50".into()],
            methods: vec![v1::FulfillmentMethod::ShipFromStore.into()],
            effect: Some(effect),
        };
        v1::RoutingPolicy {
            currency_code: "CHF".into(),
            rank_by: v1::RankBy::Cost.into(),
            method_costs: vec![v1::MethodCost {
                method: v1::FulfillmentMethod::ShipToHome.into(),
                order_minor_units: 1,
                line_minor_units: 2,
                parcel_minor_units: 3,
                kilometer_minor_units: 4,
                transit_duration_min: wire_minutes(1440),
                transit_duration_max: wire_minutes(2880),
            }],
            full_store_minor_units: 5,
            wait_hour_minor_units: 6,
            parcel_units_max: 7,
            split_parts_max: 3,
            split_part_value_min_minor_units: 8,
            retry_duration: wire_minutes(9),
            hold_first_below_thousandths: 10,
            rules: vec![
                rule("a", Effect::Forbidden(true)),
                rule("b", Effect::RequiredCapability("cold".into())),
                rule(
                    "c",
                    Effect::RequiredCarriers(v1::Carriers {
                        carriers: vec!["poste".into()],
                    }),
                ),
            ],
            etag: "0".into(),
        }
    }

    #[test]
    fn a_policy_survives_the_way_in_and_out() {
        let mut checks = Checks::default();
        let checked = policy(&mut checks, Path::ROOT, Some(&full()));
        assert!(checks.finish().is_ok());
        assert_eq!(wire_policy(&checked), full());
        // What is left out is what is built in.
        let mut checks = Checks::default();
        let empty = policy(&mut checks, Path::ROOT, Some(&v1::RoutingPolicy::default()));
        assert!(checks.finish().is_ok());
        assert_eq!(empty, RoutingPolicy::default());
    }

    #[test]
    fn every_bad_field_is_named() {
        let mut bad = full();
        bad.currency_code = "eur".into();
        bad.rank_by = 99;
        bad.full_store_minor_units = -1;
        bad.split_parts_max = 9;
        bad.hold_first_below_thousandths = -1;
        bad.method_costs.push(v1::MethodCost {
            method: 9,
            ..v1::MethodCost::default()
        });
        bad.rules[0].place_regions = vec!["Italy".into(), "IT-".into()];
        bad.rules[1].rule_id = "a".into();
        bad.rules[2].effect = None;
        let mut checks = Checks::default();
        policy(&mut checks, Path::ROOT, Some(&bad));
        let fields = checks.finish().expect_err("violations").0;
        let fields: Vec<_> = fields.into_iter().map(|v| v.field).collect();
        let expect = [
            "currency_code",
            "rank_by",
            "full_store_minor_units",
            "hold_first_below_thousandths",
            "split_parts_max",
            "method_costs[1].method",
            "rules[0].place_regions[0]",
            "rules[0].place_regions[1]",
            "rules[1].rule_id",
            "rules[2].effect",
        ];
        assert_eq!(fields, expect);
    }
}
