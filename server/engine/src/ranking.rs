//! Next best offer: score = propensity x context weight x value x lever, over what `eligibility` lets through. The same
//! request against the same state gives the same ranking; without consent to profiling it is made from context alone.

use std::sync::Arc;

use crate::active_offers::ActiveOffer;
use crate::catalog::CategoryId;
use crate::customer::{Customer, Purpose};
pub use crate::eligibility::{BasketItem, ExclusionReason, OfferQuery};
use crate::eligibility::{SeenBasket, SeenLine, excluded, see_basket};
use crate::ids::SkuId;
use crate::offer::{Offer, OfferTerms, OutcomeCounts, Reward};
use crate::profile::{WEIGHT_ONE, Weighted, decayed};
use crate::state::State;
use crate::units::{Money, mul_div_round};

/// Impressions the retailer's own estimate weighs as much as.
const PRIOR_IMPRESSIONS: f64 = 20.0;
/// How much better an offer fits where the basket has one of its targets.
const IN_BASKET_WEIGHT: f64 = 1.5;

/// What comes off one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineReward {
    /// Position in the basket.
    pub line: usize,
    /// What comes off, VAT included.
    pub amount: Money,
    /// The VAT in it.
    pub vat: Money,
}

/// An offer in the ranking.
#[derive(Clone, Debug)]
pub struct RankedOffer {
    /// The offer.
    pub offer: Arc<Offer>,
    /// Probability that it is taken.
    pub propensity: f64,
    /// Fit to the basket.
    pub context_weight: f64,
    /// The retailer's lever.
    pub lever: f64,
    /// The product with the value, in minor units.
    pub score: f64,
    /// Why, for people.
    pub reasons: Vec<String>,
    /// What comes off today.
    pub line_rewards: Vec<LineReward>,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct OfferDecision {
    /// Best first; ties by offer id.
    pub ranked: Vec<RankedOffer>,
    /// The others, in id order.
    pub exclusions: Vec<(Arc<str>, ExclusionReason)>,
    /// The customer's history was used.
    pub personalised: bool,
}

/// Ranks all active offers.
pub fn rank_offers(state: &State, query: &OfferQuery<'_>) -> OfferDecision {
    let offers = state.active_offers.get();
    let basket = see_basket(state, query.basket);
    let taste = query
        .customer
        .filter(|c| c.relation.consents_to(Purpose::Profiling))
        .map(|c| Taste::of(c, query.now.day()));
    // Offers are in id order, so positions compare as ids do, and nothing below has to look at an id again.
    let mut reasons: Vec<Option<ExclusionReason>> = Vec::with_capacity(offers.len());
    let mut scored: Vec<Scored<'_>> = Vec::new();
    for (position, active) in offers.iter().enumerate() {
        let reason = excluded(state, active, query, &basket);
        reasons.push(reason);
        if reason.is_none() {
            scored.push(score(state, (position, active), &basket, taste.as_ref()));
        }
    }
    let mut order: Vec<(f64, u32)> = scored
        .iter()
        .zip(0..)
        .map(|(s, at)| (s.score, at))
        .collect();
    order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, at) in order.iter().skip(query.max_offers) {
        reasons[scored[*at as usize].position] = Some(ExclusionReason::RankedLower);
    }
    let best = order
        .iter()
        .take(query.max_offers)
        .map(|(_, at)| &scored[*at as usize]);
    let ranked = best.map(|s| s.explained(state, &basket)).collect();
    let exclude = |(active, reason): (&ActiveOffer, Option<ExclusionReason>)| {
        Some((Arc::clone(&active.offer.terms.offer_id), reason?))
    };
    OfferDecision {
        ranked,
        exclusions: offers.iter().zip(reasons).filter_map(exclude).collect(),
        personalised: taste.is_some(),
    }
}

struct Scored<'a> {
    active: &'a ActiveOffer,
    /// Its place among all active offers.
    position: usize,
    propensity: f64,
    context_weight: f64,
    lever: f64,
    score: f64,
    /// Aged purchases of the strongest target.
    affinity: Option<Affinity>,
    seen: OutcomeCounts,
}

/// Aged purchases of a target, and which it is.
#[derive(Clone, Copy, Debug)]
struct Affinity {
    weight: f64,
    of: Target,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Product,
    Category(CategoryId),
}

fn score<'a>(
    state: &State,
    (position, active): (usize, &'a ActiveOffer),
    basket: &SeenBasket,
    taste: Option<&Taste>,
) -> Scored<'a> {
    let terms = &active.offer.terms;
    let seen = state.outcomes.get(&terms.offer_id);
    let seen = seen.map(|o| *o).unwrap_or_default();
    let affinity = taste.and_then(|t| t.affinity(active));
    let learned = learned_propensity(terms, &seen);
    let propensity = affinity.map_or(learned, |a| with_affinity(learned, a.weight));
    let hits = |l: &SeenLine| !l.restricted && active.targets(l.sku, l.category);
    let hit = !active.is_for_all() && basket.lines.iter().any(hits);
    let context_weight = if hit { IN_BASKET_WEIGHT } else { 1.0 };
    let lever = f64::from(terms.lever_thousandths) / 1000.0;
    let score = propensity * context_weight * terms.value.minor as f64 * lever;
    Scored {
        active,
        position,
        propensity,
        context_weight,
        lever,
        score,
        affinity,
        seen,
    }
}

/// The mean of a Beta posterior: the retailer's estimate with the weight of [`PRIOR_IMPRESSIONS`], and what was seen.
fn learned_propensity(terms: &OfferTerms, seen: &OutcomeCounts) -> f64 {
    let base = f64::from(terms.base_propensity_ppm) / 1e6;
    let taken = seen.accepts.max(seen.redeems) as f64;
    let shown = (seen.impressions as f64).max(taken);
    ((base * PRIOR_IMPRESSIONS + taken) / (PRIOR_IMPRESSIONS + shown)).clamp(0.0, 1.0)
}

/// Odds times (1 + aged purchases of the targets): a customer who bought one yesterday is twice as likely.
fn with_affinity(propensity: f64, weight: f64) -> f64 {
    let odds = propensity * (1.0 + weight);
    odds / (odds + 1.0 - propensity).max(f64::MIN_POSITIVE)
}

/// What the customer buys, aged to today once for all offers; the strongest first.
struct Taste {
    categories: Vec<Weighted<CategoryId>>,
    products: Vec<Weighted<SkuId>>,
}

impl Taste {
    fn of(customer: &Customer, today: i64) -> Self {
        let days = today - customer.history.aged_to_day;
        Taste {
            categories: strongest_first(&customer.history.categories, days),
            products: strongest_first(&customer.history.products, days),
        }
    }

    /// The strongest of the targets; `None` where none was bought, or the offer is about everything.
    fn affinity(&self, active: &ActiveOffer) -> Option<Affinity> {
        let purchases = |weight: u32| f64::from(weight) / f64::from(WEIGHT_ONE);
        let category = active
            .has_categories()
            .then(|| self.categories.iter().find(|w| active.covers(w.item)))
            .flatten();
        let skus = &active.offer.terms.target_skus;
        let product = (!skus.is_empty())
            .then(|| {
                self.products
                    .iter()
                    .find(|w| skus.binary_search(&w.item).is_ok())
            })
            .flatten();
        let category = category.map(|w| Affinity {
            weight: purchases(w.weight),
            of: Target::Category(w.item),
        });
        let product = product.map(|w| Affinity {
            weight: purchases(w.weight),
            of: Target::Product,
        });
        match (category, product) {
            (Some(c), Some(p)) => Some(if p.weight > c.weight { p } else { c }),
            (c, p) => c.or(p),
        }
    }
}

/// The list aged by `days`, without what has faded, by weight; ties by item.
fn strongest_first<T: Ord + Copy>(list: &[Weighted<T>], days: i64) -> Vec<Weighted<T>> {
    let aged = list.iter().map(|w| Weighted {
        item: w.item,
        weight: decayed(w.weight, days),
    });
    let mut aged: Vec<_> = aged.filter(|w| w.weight > 0).collect();
    aged.sort_unstable_by(|a, b| b.weight.cmp(&a.weight).then(a.item.cmp(&b.item)));
    aged
}

impl Scored<'_> {
    fn explained(&self, state: &State, basket: &SeenBasket) -> RankedOffer {
        let terms = &self.active.offer.terms;
        let mut reasons = Vec::new();
        if let Some(Affinity { weight, of }) = self.affinity {
            let what = match of {
                Target::Product => None,
                Target::Category(id) => state.category_path(id),
            };
            let what = what.as_deref().unwrap_or("this product");
            reasons.push(format!("bought {what} {weight:.1} times lately"));
        }
        if self.context_weight > 1.0 {
            reasons.push("fits what is in the basket".into());
        }
        if terms.minimum_basket.is_some() {
            reasons.push("the basket reaches its minimum".into());
        }
        if self.seen.impressions > 0 {
            let taken = self.seen.accepts.max(self.seen.redeems);
            reasons.push(format!(
                "taken {taken} of {} times it was shown",
                self.seen.impressions
            ));
        }
        if self.lever != 1.0 {
            reasons.push(format!("weighted {} by the retailer", self.lever));
        }
        if !terms.segments.is_empty() {
            reasons.push(format!("for customers in {}", terms.segments.join(" or ")));
        }
        if reasons.is_empty() {
            reasons.push("open to everybody".into());
        }
        RankedOffer {
            line_rewards: line_rewards(self.active, &basket.lines),
            offer: Arc::clone(&self.active.offer),
            propensity: self.propensity,
            context_weight: self.context_weight,
            lever: self.lever,
            score: self.score,
            reasons,
        }
    }
}

/// What comes off each target line: the reward of the whole, split to the cent by the largest remainders.
fn line_rewards(active: &ActiveOffer, basket: &[SeenLine]) -> Vec<LineReward> {
    let terms = &active.offer.terms;
    let currency = match terms.reward {
        Reward::AmountOff(amount) => Some(amount.currency),
        Reward::PercentOff(_) => None,
        Reward::ExtraPoints(_) => return Vec::new(),
    };
    let eligible = |l: &&(usize, &SeenLine)| {
        !l.1.restricted && l.1.net.minor > 0 && active.targets(l.1.sku, l.1.category)
    };
    let lines: Vec<(usize, &SeenLine)> = basket.iter().enumerate().collect();
    let lines: Vec<(usize, &SeenLine)> = lines.iter().filter(eligible).copied().collect();
    // Amounts of different currencies are never added: the first target line's currency is the one discounted.
    let Some(currency) = currency.or_else(|| lines.first().map(|(_, l)| l.net.currency)) else {
        return Vec::new();
    };
    let lines: Vec<_> = lines
        .into_iter()
        .filter(|(_, l)| l.net.currency == currency)
        .collect();
    let total = lines
        .iter()
        .fold(0i64, |sum, (_, l)| sum.saturating_add(l.net.minor));
    let off = match terms.reward {
        Reward::PercentOff(basis_points) => mul_div_round(total, i64::from(basis_points), 10_000),
        Reward::AmountOff(amount) => amount.minor.min(total),
        Reward::ExtraPoints(_) => 0,
    };
    let shares = split(
        off,
        &lines.iter().map(|(_, l)| l.net.minor).collect::<Vec<_>>(),
    );
    let reward = |((line, seen), minor): ((usize, &SeenLine), i64)| {
        let rate = i64::from(seen.vat_rate_basis_points);
        let vat = mul_div_round(minor, rate, 10_000 + rate);
        LineReward {
            line,
            amount: Money { currency, minor },
            vat: Money {
                currency,
                minor: vat,
            },
        }
    };
    lines
        .into_iter()
        .zip(shares)
        .filter(|(_, minor)| *minor > 0)
        .map(reward)
        .collect()
}

/// Splits `amount` in proportion to `weights` so that the parts sum to it: floors first, then one more to the largest
/// remainders, earlier ones first.
fn split(amount: i64, weights: &[i64]) -> Vec<i64> {
    let total: i128 = weights.iter().map(|w| i128::from(*w)).sum();
    if total <= 0 {
        return vec![0; weights.len()];
    }
    let scaled: Vec<i128> = weights
        .iter()
        .map(|w| i128::from(amount) * i128::from(*w))
        .collect();
    let mut parts: Vec<i64> = scaled.iter().map(|s| (s / total) as i64).collect();
    let missing = amount - parts.iter().sum::<i64>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|i| (-(scaled[*i] % total), *i));
    order
        .into_iter()
        .take(missing.max(0) as usize)
        .for_each(|i| parts[i] += 1);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_affinity_multiplies_the_odds() {
        let check = |p: f64, w: f64, expect: f64| {
            assert!((with_affinity(p, w) - expect).abs() < 1e-12, "{p} {w}")
        };
        check(0.1, 0.0, 0.1);
        check(0.5, 1.0, 2.0 / 3.0);
        check(0.0, 9.0, 0.0);
        check(1.0, 9.0, 1.0);
    }

    proptest! {
        #[test]
        fn a_split_sums_to_the_amount_and_stays_proportional(amount in 0i64..1_000_000, weights in prop::collection::vec(1i64..100_000, 1..20)) {
            let parts = split(amount, &weights);
            let total: i64 = weights.iter().sum();
            prop_assert_eq!(parts.iter().sum::<i64>(), amount);
            for (part, weight) in parts.iter().zip(&weights) {
                let exact = amount as f64 * *weight as f64 / total as f64;
                prop_assert!((*part as f64 - exact).abs() < 1.0 + 1e-6, "{} {}", part, exact);
            }
        }
    }
}
