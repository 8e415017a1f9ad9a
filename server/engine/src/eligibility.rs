//! May this offer be made at all? Each exclusion has one machine-readable reason, the first that applies in the order
//! below. How good an offer is belongs to `ranking`.

use std::sync::Arc;

use crate::catalog::CATEGORY_SEPARATOR;
use crate::customer::{Customer, Relation};
use crate::ids::{SkuId, StoreId};
use crate::offer::{Channel, Offer, OfferTerms};
use crate::state::State;
use crate::units::{Money, Time};

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
    pub(crate) category: Option<Arc<str>>,
    pub(crate) restricted: bool,
    pub(crate) net: Money,
    pub(crate) vat_rate_basis_points: u32,
}

pub(crate) fn see_basket(state: &State, basket: &[BasketItem]) -> Vec<SeenLine> {
    let see = |item: &BasketItem| {
        let product = item.sku.and_then(|sku| state.products.get(sku));
        SeenLine {
            sku: item.sku,
            category: product
                .as_ref()
                .and_then(|p| state.category_path(p.category?)),
            restricted: product.is_some_and(|p| p.promotion_restricted),
            net: item.net,
            vat_rate_basis_points: item.vat_rate_basis_points,
        }
    };
    basket.iter().map(see).collect()
}

/// Whether a category lies in one of the targets: the same path, or one below it.
pub(crate) fn in_categories(targets: &[Arc<str>], path: &str) -> bool {
    let below = |target: &Arc<str>| {
        path.strip_prefix(target.as_ref())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(CATEGORY_SEPARATOR))
    };
    targets.iter().any(below)
}

impl OfferTerms {
    /// Whether the offer is about the whole basket.
    pub(crate) fn is_for_all(&self) -> bool {
        self.target_skus.is_empty() && self.target_categories.is_empty()
    }

    pub(crate) fn targets(&self, line: &SeenLine) -> bool {
        self.is_for_all()
            || line
                .sku
                .is_some_and(|sku| self.target_skus.binary_search(&sku).is_ok())
            || line
                .category
                .as_ref()
                .is_some_and(|path| in_categories(&self.target_categories, path))
    }
}

/// Why an offer may not be made; `None`: it may.
pub(crate) fn excluded(
    state: &State,
    offer: &Offer,
    query: &OfferQuery<'_>,
    basket: &[SeenLine],
) -> Option<ExclusionReason> {
    let terms = &offer.terms;
    let relation = query.customer.map(|c| c.relation.as_ref());
    let checks = [
        (
            terms.start.is_some_and(|start| query.now < start),
            ExclusionReason::NotStarted,
        ),
        (
            terms.end.is_some_and(|end| query.now >= end),
            ExclusionReason::Ended,
        ),
        (
            !terms.stores.is_empty()
                && query
                    .store
                    .is_none_or(|s| terms.stores.binary_search(&s).is_err()),
            ExclusionReason::Store,
        ),
        (
            !terms.channels.is_empty() && !terms.channels.contains(&query.channel),
            ExclusionReason::Channel,
        ),
        (!in_segment(terms, relation), ExclusionReason::Segment),
        (
            !has_consents(terms, relation),
            ExclusionReason::ConsentMissing,
        ),
        (
            !reaches_minimum(terms, basket),
            ExclusionReason::MinimumBasket,
        ),
    ];
    if let Some((_, reason)) = checks.into_iter().find(|(applies, _)| *applies) {
        return Some(reason);
    }
    let in_basket = || basket.iter().filter(|line| terms.targets(line));
    if in_basket().next().is_some() {
        return in_basket()
            .all(|l| l.restricted)
            .then_some(ExclusionReason::PromotionRestricted);
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

fn reaches_minimum(terms: &OfferTerms, basket: &[SeenLine]) -> bool {
    terms.minimum_basket.is_none_or(|minimum| {
        let same = basket.iter().filter(|l| l.net.currency == minimum.currency);
        same.map(|l| l.net.minor).sum::<i64>() >= minimum.minor
    })
}
