//! Next best offer: score = propensity x context weight x value x lever, over what `eligibility` lets through. The same
//! request against the same state gives the same ranking; without consent to profiling it is made from context alone.

use std::sync::Arc;

use crate::customer::{Customer, Purpose};
pub use crate::eligibility::{BasketItem, ExclusionReason, OfferQuery};
use crate::eligibility::{SeenLine, excluded, in_categories, see_basket};
use crate::offer::{Offer, OfferTerms, OutcomeCounts, Reward};
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
        .map(|c| Taste::of(state, c, query.now.day()));
    let mut exclusions = Vec::new();
    let mut scored: Vec<Scored<'_>> = Vec::new();
    for offer in offers.iter() {
        match excluded(state, offer, query, &basket) {
            Some(reason) => exclusions.push((Arc::clone(&offer.terms.offer_id), reason)),
            None => scored.push(score(state, offer, &basket, taste.as_ref())),
        }
    }
    scored.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| a.offer.terms.offer_id.cmp(&b.offer.terms.offer_id))
    });
    let lower = scored.split_off(scored.len().min(query.max_offers));
    exclusions.extend(lower.into_iter().map(|s| {
        (
            Arc::clone(&s.offer.terms.offer_id),
            ExclusionReason::RankedLower,
        )
    }));
    exclusions.sort_by(|a, b| a.0.cmp(&b.0));
    let ranked = scored.into_iter().map(|s| s.explained(&basket)).collect();
    OfferDecision {
        ranked,
        exclusions,
        personalised: taste.is_some(),
    }
}

struct Scored<'a> {
    offer: &'a Arc<Offer>,
    propensity: f64,
    context_weight: f64,
    lever: f64,
    score: f64,
    /// Aged purchases of the targets, and what they were.
    affinity: Option<(f64, Arc<str>)>,
    seen: OutcomeCounts,
}

fn score<'a>(
    state: &State,
    offer: &'a Arc<Offer>,
    basket: &[SeenLine],
    taste: Option<&Taste>,
) -> Scored<'a> {
    let terms = &offer.terms;
    let seen = state
        .outcomes
        .get(&terms.offer_id)
        .map(|o| *o)
        .unwrap_or_default();
    let affinity = taste.and_then(|t| t.affinity(terms));
    let learned = learned_propensity(terms, &seen);
    let propensity = affinity
        .as_ref()
        .map_or(learned, |(weight, _)| with_affinity(learned, *weight));
    let hit = !terms.is_for_all() && basket.iter().any(|l| !l.restricted && terms.targets(l));
    let context_weight = if hit { IN_BASKET_WEIGHT } else { 1.0 };
    let lever = f64::from(terms.lever_thousandths) / 1000.0;
    let score = propensity * context_weight * terms.value.minor as f64 * lever;
    Scored {
        offer,
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

/// What the customer buys, resolved once for all offers.
struct Taste<'a> {
    customer: &'a Customer,
    today: i64,
    categories: Vec<(Arc<str>, f64)>,
}

impl<'a> Taste<'a> {
    fn of(state: &State, customer: &'a Customer, today: i64) -> Self {
        let weigh = |w: &crate::profile::Weighted<crate::catalog::CategoryId>| {
            Some((
                state.category_path(w.item)?,
                customer.history.category_weight(w.item, today),
            ))
        };
        Taste {
            customer,
            today,
            categories: customer
                .history
                .categories
                .iter()
                .filter_map(weigh)
                .collect(),
        }
    }

    /// The strongest of the targets; `None` where none was bought, or the offer is about everything.
    fn affinity(&self, terms: &OfferTerms) -> Option<(f64, Arc<str>)> {
        let by_category = self
            .categories
            .iter()
            .filter(|(path, _)| in_categories(&terms.target_categories, path));
        let category = by_category
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(path, weight)| (*weight, Arc::clone(path)));
        let skus = terms
            .target_skus
            .iter()
            .map(|sku| self.customer.history.product_weight(*sku, self.today));
        let product = skus
            .max_by(f64::total_cmp)
            .map(|weight| (weight, Arc::from("")));
        let better = |a: (f64, Arc<str>), b: (f64, Arc<str>)| if b.0 > a.0 { b } else { a };
        let best = match (category, product) {
            (Some(a), Some(b)) => better(a, b),
            (a, b) => a.or(b)?,
        };
        (best.0 > 0.0).then_some(best)
    }
}

impl Scored<'_> {
    fn explained(self, basket: &[SeenLine]) -> RankedOffer {
        let terms = &self.offer.terms;
        let mut reasons = Vec::new();
        match &self.affinity {
            Some((weight, path)) if path.is_empty() => {
                reasons.push(format!("bought this product {weight:.1} times lately"))
            }
            Some((weight, path)) => reasons.push(format!("bought {path} {weight:.1} times lately")),
            None => {}
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
            line_rewards: line_rewards(terms, basket),
            offer: Arc::clone(self.offer),
            propensity: self.propensity,
            context_weight: self.context_weight,
            lever: self.lever,
            score: self.score,
            reasons,
        }
    }
}

/// What comes off each target line: the reward of the whole, split to the cent by the largest remainders.
fn line_rewards(terms: &OfferTerms, basket: &[SeenLine]) -> Vec<LineReward> {
    let currency = match terms.reward {
        Reward::AmountOff(amount) => Some(amount.currency),
        Reward::PercentOff(_) => None,
        Reward::ExtraPoints(_) => return Vec::new(),
    };
    let eligible =
        |l: &&(usize, &SeenLine)| !l.1.restricted && l.1.net.minor > 0 && terms.targets(l.1);
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
    let total: i64 = lines.iter().map(|(_, l)| l.net.minor).sum();
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
