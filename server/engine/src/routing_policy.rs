//! How the retailer wants orders routed: what an option costs, in what order options of one step come, how far an order may
//! be split, and what may not be done at all. Data, not code: it is versioned, and a new one can be tried on the routings of
//! yesterday before it holds.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::catalog::{CATEGORY_SEPARATOR, Store};
use crate::ids::{Sequence, SkuId};
use crate::location_terms::{Method, Methods};
use crate::pickup_hours::{MINUTE_MS, Ready};
use crate::state::State;
use crate::units::{Currency, Time, mul_div_round};

/// In what order pickups, and options of one other step of the ladder, come. Ties by distance, then by the retailer's id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RankBy {
    /// The nearest first.
    #[default]
    Distance,
    /// The cheapest first.
    Cost,
    /// What can be picked up within the opening hours of this moment before what cannot, then the nearest.
    Readiness,
}

/// What one method costs, in minor units of the policy's currency, and how long it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MethodCost {
    /// An order, whatever is in it.
    pub order_minor: i64,
    /// Handling of a line.
    pub line_minor: i64,
    /// A parcel.
    pub parcel_minor: i64,
    /// A kilometre of great-circle distance.
    pub km_minor: i64,
    /// From ready to delivered, minutes at least.
    pub transit_minutes_min: u32,
    /// And at most. Zero: not known.
    pub transit_minutes_max: u32,
}

/// What a rule does to the lines it applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleEffect {
    /// They may not be fulfilled so.
    Forbid,
    /// The place must be able to do this.
    RequireCapability(Arc<str>),
    /// The place must have one of these carriers.
    RequireCarrier(Vec<Arc<str>>),
}

/// A rule by product type, region, method, capability and carrier. All of its conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingRule {
    /// The retailer's name for it; answers give it as the reason.
    pub rule_id: Arc<str>,
    /// Products of this category and below. Empty: all.
    pub category: Arc<str>,
    /// Places in one of these: "IT", or "IT-FI" for a province. Empty: anywhere.
    pub place_regions: Vec<Arc<str>>,
    /// Destinations in one of these: "IT", or "IT-50" for postal codes that begin so. Empty: anywhere.
    pub destination_regions: Vec<Arc<str>>,
    /// Methods; empty would be none.
    pub methods: Methods,
    /// What follows.
    pub effect: RuleEffect,
}

/// The policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingPolicy {
    /// Of every amount in it.
    pub currency: Currency,
    /// Order within a step.
    pub rank_by: RankBy,
    /// By method.
    pub costs: [MethodCost; 4],
    /// A pickup at a store whose slots of that opening are all taken; less where there is room, in proportion.
    pub full_store_minor: i64,
    /// An hour from asking until it is ready.
    pub wait_hour_minor: i64,
    /// Whole units of one parcel; zero: everything fits one.
    pub parcel_units_max: u32,
    /// Parts of a split order; below two: never split. Parts that the methods of the lines force are not counted.
    pub split_parts_max: u32,
    /// What a part of a split order is worth at least, minor units; one that the methods of its lines force may be worth less.
    pub split_part_value_min: i64,
    /// Minutes after which asking again makes sense where nothing was found: what comes in is refreshed so often.
    pub ask_again_minutes: u32,
    /// Where less of a product would be left after an order, thousandths, only a hold counts.
    pub hold_first_below: i64,
    /// Rules.
    pub rules: Vec<RoutingRule>,
    /// Sequence of the last change; zero: the one that is built in.
    pub version: Sequence,
}

impl Default for RoutingPolicy {
    fn default() -> Self {
        RoutingPolicy {
            currency: Currency::EUR,
            rank_by: RankBy::Distance,
            costs: [MethodCost::default(); 4],
            full_store_minor: 0,
            wait_hour_minor: 0,
            parcel_units_max: 0,
            split_parts_max: 1,
            split_part_value_min: 0,
            ask_again_minutes: 15,
            hold_first_below: 3_000,
            rules: Vec::new(),
            version: Sequence(0),
        }
    }
}

/// What an option costs, in minor units, part by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The way.
    pub distance: i64,
    /// Work: the order and its lines.
    pub handling: i64,
    /// Parcels.
    pub parcels: i64,
    /// How busy the store is.
    pub store_load: i64,
    /// Waiting.
    pub waiting: i64,
}

impl Cost {
    /// All of it.
    pub fn total(&self) -> i64 {
        [
            self.distance,
            self.handling,
            self.parcels,
            self.store_load,
            self.waiting,
        ]
        .into_iter()
        .fold(0, i64::saturating_add)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Cost) -> Cost {
        Cost {
            distance: self.distance.saturating_add(other.distance),
            handling: self.handling.saturating_add(other.handling),
            parcels: self.parcels.saturating_add(other.parcels),
            store_load: self.store_load.saturating_add(other.store_load),
            waiting: self.waiting.saturating_add(other.waiting),
        }
    }
}

/// What the cost of a part is made of: all that has to be known to rank it again under another policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Millimetres.
    pub distance_mm: u64,
    /// Lines of it.
    pub lines: u32,
    /// Thousandths of all of them.
    pub thousandths: i64,
    /// Pickups that are held in that opening, and as many as it takes; zero: no slots.
    pub load: (u32, u32),
    /// Milliseconds until it is ready.
    pub wait_ms: i64,
    /// What a part of a split is worth, in minor units of the policy's currency; zero for what is not split.
    pub value_minor: i64,
}

impl RoutingPolicy {
    /// Parcels that a part needs.
    pub fn parcels(&self, method: Method, thousandths: i64) -> i64 {
        match (method.ships(), i64::from(self.parcel_units_max)) {
            (false, _) => 0,
            (true, 0) => 1,
            (true, units) => {
                let whole = (thousandths.max(0) - 1).div_euclid(1000) + 1;
                (whole.max(1) - 1).div_euclid(units) + 1
            }
        }
    }

    /// What a part costs.
    pub fn cost(&self, method: Method, features: &Features) -> Cost {
        let weights = &self.costs[method as usize];
        let times = |n: i64, minor: i64| mul_div_round(n, minor, 1);
        let (held, capacity) = features.load;
        let distance = i64::try_from(features.distance_mm).unwrap_or(i64::MAX);
        Cost {
            distance: mul_div_round(distance, weights.km_minor, 1_000_000),
            handling: weights
                .order_minor
                .saturating_add(times(i64::from(features.lines), weights.line_minor)),
            parcels: times(
                self.parcels(method, features.thousandths),
                weights.parcel_minor,
            ),
            store_load: if capacity == 0 {
                0
            } else {
                mul_div_round(
                    i64::from(held.min(capacity)),
                    self.full_store_minor,
                    i64::from(capacity),
                )
            },
            waiting: mul_div_round(features.wait_ms, self.wait_hour_minor, 3_600_000),
        }
    }

    /// When a parcel of an order that comes at `now` is there; `None` where that is not known.
    pub fn delivery(&self, method: Method, store: &Store, now: Time) -> Option<(Time, Time)> {
        let ready = match store.ready(now) {
            Ready::AnyTime => now,
            Ready::Window(window) => window.start,
            Ready::Never => return None,
        };
        self.delivered(method, ready)
    }

    /// When a parcel that is ready then is there.
    pub fn delivered(&self, method: Method, ready: Time) -> Option<(Time, Time)> {
        let MethodCost {
            transit_minutes_min: min,
            transit_minutes_max: max,
            ..
        } = self.costs[method as usize];
        let after = |minutes: u32| ready.plus_ms(i64::from(minutes) * MINUTE_MS);
        (max > 0).then(|| (after(min), after(max)))
    }

    /// The rules that apply to a basket on its way somewhere; what is left to ask is the place.
    pub fn rules_for<'p>(
        &'p self,
        state: &State,
        skus: impl Iterator<Item = SkuId>,
        destination: Option<&Destination>,
        method: Method,
    ) -> Rules<'p> {
        if self.rules.is_empty() {
            return Rules::default();
        }
        let path_of = |sku: SkuId| {
            let categories = crate::state::read(&state.product_categories);
            let category = categories.get(sku.0 as usize).copied().flatten();
            drop(categories);
            category.and_then(|id| state.category_path(id))
        };
        let paths: SmallVec<[Option<Arc<str>>; 8]> = skus.map(path_of).collect();
        let applies = |rule: &&RoutingRule| {
            rule.methods.has(method)
                && (rule.destination_regions.is_empty()
                    || destination.is_some_and(|d| d.is_in(&rule.destination_regions)))
                && (rule.category.is_empty()
                    || paths
                        .iter()
                        .flatten()
                        .any(|p| is_at_or_below(p, &rule.category)))
        };
        Rules(self.rules.iter().filter(applies).collect())
    }
}

fn is_at_or_below(path: &str, category: &str) -> bool {
    path.strip_prefix(category)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(CATEGORY_SEPARATOR))
}

/// Where a parcel goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// ISO 3166-1 alpha-2.
    pub country: Arc<str>,
    /// Empty: not known.
    pub postal_code: Arc<str>,
}

impl Destination {
    fn is_in(&self, regions: &[Arc<str>]) -> bool {
        regions.iter().any(|region| match region.split_once('-') {
            None => **region == *self.country,
            Some((country, postal)) => {
                country == &*self.country && self.postal_code.starts_with(postal)
            }
        })
    }
}

fn place_is_in(store: &Store, regions: &[Arc<str>]) -> bool {
    regions.iter().any(|region| match region.split_once('-') {
        None => **region == *store.country,
        Some((country, province)) => country == &*store.country && province == &*store.province,
    })
}

/// Rules that apply to a basket.
#[derive(Clone, Debug, Default)]
pub struct Rules<'p>(Vec<&'p RoutingRule>);

impl Rules<'_> {
    /// The first rule that a place breaks.
    pub fn broken_by(&self, store: &Store) -> Option<&RoutingRule> {
        let terms = &store.location_terms;
        let breaks = |rule: &&&RoutingRule| {
            let here = rule.place_regions.is_empty() || place_is_in(store, &rule.place_regions);
            here && match &rule.effect {
                RuleEffect::Forbid => true,
                RuleEffect::RequireCapability(needed) => !terms.capabilities.contains(needed),
                RuleEffect::RequireCarrier(any) => {
                    !any.iter().any(|carrier| terms.carriers.contains(carrier))
                }
            }
        };
        self.0.iter().find(breaks).copied()
    }

    /// Whether no place at all can keep them.
    pub fn forbid_everywhere(&self) -> bool {
        self.0
            .iter()
            .any(|rule| rule.effect == RuleEffect::Forbid && rule.place_regions.is_empty())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
