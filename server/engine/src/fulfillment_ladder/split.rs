//! The last step: an order in parts, within what the policy allows. What the methods of the lines force is no choice of ours,
//! so it is no reason to refuse: one line that is only picked up and one that is only sent need two parts whatever they are
//! worth. Only parts beyond those count.

use smallvec::SmallVec;

use super::{Climb, Leg, Step, StepResult, Way};
use crate::command::WantedLine;
use crate::ids::{SkuId, StoreId};
use crate::location_terms::{Method, Methods};
use crate::own_holds::Own;
use crate::routing::{By, PlanOption, PlanQuery, plan};
use crate::routing_policy::{RoutingPolicy, Rules};
use crate::units::{Thousandths, price_of};

/// What counts of a split for the guards of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitSize {
    /// Parts.
    pub parts: usize,
    /// Parts beyond the first that the methods of the lines force.
    pub parts_forced: u32,
}

impl SplitSize {
    /// Whether the policy allows so many parts.
    pub fn is_allowed(self, policy: &RoutingPolicy) -> bool {
        let most = policy.split_parts_max.max(1);
        self.parts <= most.saturating_add(self.parts_forced) as usize
    }
}

/// The fewest methods that serve every line, each by one of its own; `None` where a line has none.
fn methods_needed(by_line: &[Methods]) -> Option<u32> {
    let serves = |set: &u8| by_line.iter().all(|m| !m.and(Methods(*set)).is_empty());
    let sets = (1..=Methods::ANY.0).filter(serves);
    sets.map(u8::count_ones).min()
}

/// What the parts so far take, so that it is not promised twice.
#[derive(Default)]
struct Taken {
    goods: Vec<(StoreId, SkuId, i64)>,
    slots: Vec<(StoreId, crate::units::Time)>,
}

impl Climb<'_> {
    /// The fewest parts that a simple rule finds: each takes the place that has most of what is left, the better step and
    /// then the nearer place first.
    pub(super) fn split(&mut self) {
        let lines = self.query.plan.lines;
        if !self.answer.ways.is_empty() || lines.len() < 2 {
            return self.report(Step::Split, StepResult::NotTried);
        }
        let by_line: Vec<Methods> = (0..lines.len()).map(|at| self.methods_of(at)).collect();
        // A line without any way is found out below, where no place has it.
        let parts_forced = methods_needed(&by_line).map_or(0, |needed| needed - 1);
        let size = |parts| SplitSize {
            parts,
            parts_forced,
        };
        if !size(2).is_allowed(self.query.policy) {
            return self.report(Step::Split, StepResult::TooManyParts);
        }
        let mut left: Vec<usize> = (0..lines.len()).collect();
        let mut legs: SmallVec<[Leg; 1]> = SmallVec::new();
        let mut taken = Taken::default();
        while !left.is_empty() {
            if !size(legs.len() + 1).is_allowed(self.query.policy) {
                return self.report(Step::Split, StepResult::TooManyParts);
            }
            let Some(leg) = self.largest_part(&left, &by_line, &taken) else {
                return self.report(Step::Split, StepResult::NoStock);
            };
            let own = leg.lines.as_deref().unwrap_or_default();
            left.retain(|at| !own.contains(at));
            let goods = |at: &usize| (leg.place, lines[*at].sku, lines[*at].quantity);
            taken.goods.extend(own.iter().map(goods));
            let slot = leg.pickup.slot.filter(|_| !leg.method.ships());
            taken.slots.extend(slot.map(|slot| (leg.place, slot.start)));
            legs.push(leg);
        }
        if parts_forced > 0 {
            for at in 0..legs.len() {
                legs[at].forced = is_forced(&legs, at, &by_line);
            }
        }
        let worth = self.query.policy.split_part_value_min;
        let small = |leg: &Leg| !leg.forced && leg.features.value_minor < worth;
        if legs.iter().any(small) {
            return self.report(Step::Split, StepResult::PartTooSmall);
        }
        self.report(Step::Split, StepResult::Found);
        self.answer.ways.push(Way {
            step: Step::Split,
            legs,
            parts_forced,
        });
    }

    /// How a line may reach the shopper: as it was asked, without what a rule forbids everywhere.
    fn methods_of(&self, at: usize) -> Methods {
        let query = self.query;
        let own = query.line_methods.get(at).copied().unwrap_or(Methods::ANY);
        let line = &query.plan.lines[at..=at];
        let may = |method: &Method| !self.rules(line, *method).forbid_everywhere();
        Methods::of(query.methods.and(own).iter().filter(may))
    }

    fn largest_part(&self, left: &[usize], by_line: &[Methods], taken: &Taken) -> Option<Leg> {
        let all = self.query.plan.lines;
        let mut best: Option<(usize, Leg)> = None;
        for method in self.query.methods.iter() {
            let may = |at: &usize| by_line[*at].has(method);
            let at: Vec<usize> = left.iter().copied().filter(may).collect();
            if at.is_empty() {
                continue;
            }
            let lines: Vec<WantedLine> = at.iter().map(|at| all[*at].clone()).collect();
            let rules = self.rules(&lines, method);
            let own = Own {
                goods: &taken.goods,
                slots: &taken.slots,
                ..self.query.plan.own
            };
            let plan = self.places_beside(&lines, method, &rules, 1, own);
            let part = match (plan.options.first(), plan.partial.first()) {
                (Some(option), _) => Some((*option, at)),
                (None, Some(partial)) => {
                    let at: Vec<usize> = partial.lines.iter().map(|l| at[*l]).collect();
                    self.option_at(partial.store, &at, method, &rules, own)
                        .map(|option| (option, at))
                }
                (None, None) => None,
            };
            if let Some((option, at)) = part
                && best.as_ref().is_none_or(|(most, _)| at.len() > *most)
            {
                best = Some((at.len(), self.leg(&option, method, Some(at))));
            }
        }
        best.map(|(_, leg)| leg)
    }

    /// When a place that has some lines hands them over.
    fn option_at(
        &self,
        store: StoreId,
        at: &[usize],
        method: Method,
        rules: &Rules<'_>,
        own: Own<'_>,
    ) -> Option<PlanOption> {
        let lines: Vec<WantedLine> = (at.iter())
            .map(|at| self.query.plan.lines[*at].clone())
            .collect();
        let query = PlanQuery {
            origin: self.origin(method),
            lines: &lines,
            limit_mm: u64::MAX,
            max_options: 1,
            require_open_now: self.query.plan.require_open_now && !method.ships(),
            only_store: Some(store),
            by: By {
                method,
                rules: Some(rules),
            },
            own,
            ..self.query.plan
        };
        plan(self.state, &query).options.first().copied()
    }

    /// What the lines of a part cost at list price, in the policy's currency.
    pub(super) fn value(&self, lines: &[usize]) -> i64 {
        let price = |at: &usize| {
            let line = &self.query.plan.lines[*at];
            let price = self.state.products.get(line.sku)?.list_price?;
            let ours = price.currency == self.query.policy.currency;
            ours.then(|| price_of(price.minor, Thousandths(line.quantity)))
        };
        lines.iter().filter_map(price).fold(0, i64::saturating_add)
    }
}

/// Whether there had to be such a part: a line of it may go no other part's way, so it is the only one of its method.
fn is_forced(legs: &[Leg], at: usize, by_line: &[Methods]) -> bool {
    let others = Methods::of((legs.iter().enumerate()).filter_map(|(other, leg)| {
        let is_other = other != at;
        is_other.then_some(leg.method)
    }));
    let mut lines = legs[at].lines.iter().flatten();
    lines.any(|line| by_line[*line].and(others).is_empty())
}
