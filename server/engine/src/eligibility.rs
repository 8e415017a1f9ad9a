//! May this offer be made at all? Each exclusion has one machine-readable reason, the first that applies in the order
//! below. How good an offer is belongs to `ranking`.

use smallvec::SmallVec;

use crate::active_offers::ActiveOffer;
use crate::catalog::CategoryId;
use crate::customer::{Customer, Relation};
use crate::ids::{SkuId, StoreId};
use crate::offer::{Channel, OfferTerms};
use crate::state::State;
use crate::units::{Currency, Money, Time};

/// A line of the basket.
#[derive(Clone, Debug)]
pub struct BasketItem {
    /// The product, if known.
    pub sku: Option<SkuId>,
    /// Thousandths.
    pub quantity: i64,
    /// What it costs.
    pub net: Money,
    /// VAT rate in hundredths of a percent.
    pub vat_rate_basis_points: u32,
}

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub struct OfferQuery<'a> {
    /// The customer, if known.
    pub customer: Option<&'a Customer>,
    /// Where.
    pub store: Option<StoreId>,
    /// How.
    pub channel: Channel,
    /// The basket so far.
    pub basket: &'a [BasketItem],
    /// Offers wanted.
    pub max_offers: usize,
    /// When.
    pub now: Time,
}

/// Why an offer is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExclusionReason {
    /// Not yet.
    NotStarted,
    /// No more.
    Ended,
    /// Not here.
    Store,
    /// Not so.
    Channel,
    /// Not to this customer.
    Segment,
    /// Too little in the basket, or another currency.
    MinimumBasket,
    /// A consent is missing.
    ConsentMissing,
    /// Nothing in the basket it is about.
    NoTargetInBasket,
    /// The law limits it.
    PromotionRestricted,
    /// Good, but others are better.
    RankedLower,
}

/// A basket line with what the offers ask about it.
#[derive(Clone, Debug)]
pub(crate) struct SeenLine {
    pub(crate) sku: Option<SkuId>,
    pub(crate) category: Option<CategoryId>,
    pub(crate) restricted: bool,
    pub(crate) net: Money,
    pub(crate) vat_rate_basis_points: u32,
}

pub(crate) fn see_basket(state: &State, basket: &[BasketItem]) -> SeenBasket {
    let see = |item: &BasketItem| {
        let product = item.sku.and_then(|sku| state.products.get(sku));
        SeenLine {
            sku: item.sku,
            category: product.as_ref().and_then(|p| p.category),
            restricted: product.is_some_and(|p| p.promotion_restricted),
            net: item.net,
            vat_rate_basis_points: item.vat_rate_basis_points,
        }
    };
    let mut totals: SmallVec<[(Currency, i64); 1]> = SmallVec::new();
    for item in basket {
        match totals.iter_mut().find(|(c, _)| *c == item.net.currency) {
            Some((_, total)) => *total = total.saturating_add(item.net.minor),
            None => totals.push((item.net.currency, item.net.minor)),
        }
    }
    SeenBasket {
        lines: basket.iter().map(see).collect(),
        totals,
    }
}

/// A basket seen, with its net amount in each currency.
#[derive(Clone, Debug)]
pub(crate) struct SeenBasket {
    pub(crate) lines: Vec<SeenLine>,
    totals: SmallVec<[(Currency, i64); 1]>,
}

/// Why an offer may not be made; `None`: it may.
pub(crate) fn excluded(
    state: &State,
    active: &ActiveOffer,
    query: &OfferQuery<'_>,
    basket: &SeenBasket,
) -> Option<ExclusionReason> {
    let terms = &active.offer.terms;
    let relation = query.customer.map(|c| c.relation.as_ref());
    if terms.start.is_some_and(|start| query.now < start) {
        return Some(ExclusionReason::NotStarted);
    }
    if terms.end.is_some_and(|end| query.now >= end) {
        return Some(ExclusionReason::Ended);
    }
    let here = |store| terms.stores.binary_search(&store).is_ok();
    if !terms.stores.is_empty() && !query.store.is_some_and(here) {
        return Some(ExclusionReason::Store);
    }
    if !terms.channels.is_empty() && !terms.channels.contains(&query.channel) {
        return Some(ExclusionReason::Channel);
    }
    if !in_segment(terms, relation) {
        return Some(ExclusionReason::Segment);
    }
    if !has_consents(terms, relation) {
        return Some(ExclusionReason::ConsentMissing);
    }
    if !reaches_minimum(terms, basket) {
        return Some(ExclusionReason::MinimumBasket);
    }
    let mut targets = basket
        .lines
        .iter()
        .filter(|l| active.targets(l.sku, l.category));
    if let Some(first) = targets.next() {
        let all_restricted = first.restricted && targets.all(|l| l.restricted);
        return all_restricted.then_some(ExclusionReason::PromotionRestricted);
    }
    if terms.target_in_basket {
        return Some(ExclusionReason::NoTargetInBasket);
    }
    let restricted = |sku: &SkuId| {
        state
            .products
            .items
            .get(sku)
            .is_some_and(|p| p.promotion_restricted)
    };
    let only_restricted = !terms.target_skus.is_empty()
        && terms.target_categories.is_empty()
        && terms.target_skus.iter().all(restricted);
    only_restricted.then_some(ExclusionReason::PromotionRestricted)
}

fn in_segment(terms: &OfferTerms, relation: Option<&Relation>) -> bool {
    terms.segments.is_empty()
        || relation.is_some_and(|r| r.segments.iter().any(|s| terms.segments.contains(s)))
}

fn has_consents(terms: &OfferTerms, relation: Option<&Relation>) -> bool {
    terms
        .required_consents
        .iter()
        .all(|purpose| relation.is_some_and(|r| r.consents_to(*purpose)))
}

fn reaches_minimum(terms: &OfferTerms, basket: &SeenBasket) -> bool {
    terms.minimum_basket.is_none_or(|minimum| {
        let same = basket.totals.iter().find(|(c, _)| *c == minimum.currency);
        same.map_or(0, |(_, total)| *total) >= minimum.minor
    })
}
