//! The offers that may be made, prepared for ranking: the categories an offer is about are paths in its terms and
//! numbers here, so that a ranking compares numbers and never text.

use std::sync::Arc;

use crate::catalog::{CATEGORY_SEPARATOR, CategoryId};
use crate::ids::SkuId;
use crate::offer::{Offer, OfferTerms};
use crate::state::State;

/// An offer that is not archived.
#[derive(Clone, Debug)]
pub struct ActiveOffer {
    /// The offer.
    pub offer: Arc<Offer>,
    /// The categories it is about, sub-categories included; sorted.
    categories: Vec<CategoryId>,
}

impl ActiveOffer {
    /// Prepares an offer with the categories known now.
    pub(crate) fn of(offer: Arc<Offer>, state: &State) -> Self {
        let mut categories: Vec<CategoryId> = Vec::new();
        if !offer.terms.target_categories.is_empty() {
            let paths = state.category_paths.iter();
            categories.extend(
                paths
                    .filter(|e| covers(&offer.terms, e.value()))
                    .map(|e| *e.key()),
            );
            categories.sort_unstable();
        }
        ActiveOffer { offer, categories }
    }

    /// Takes in a category that was added after the offer was prepared. Numbers rise, so the list stays sorted.
    pub(crate) fn learn(&mut self, id: CategoryId, path: &str) {
        if covers(&self.offer.terms, path) {
            self.categories.push(id);
        }
    }

    /// Whether the offer is about the whole basket.
    pub(crate) fn is_for_all(&self) -> bool {
        self.offer.terms.target_skus.is_empty() && self.offer.terms.target_categories.is_empty()
    }

    /// Whether the offer is about a product.
    pub(crate) fn targets(&self, sku: Option<SkuId>, category: Option<CategoryId>) -> bool {
        self.is_for_all()
            || sku.is_some_and(|s| self.offer.terms.target_skus.binary_search(&s).is_ok())
            || category.is_some_and(|c| self.covers(c))
    }

    /// Whether a category is one it is about.
    pub(crate) fn covers(&self, category: CategoryId) -> bool {
        self.categories.binary_search(&category).is_ok()
    }

    /// Whether it is about any category at all.
    pub(crate) fn has_categories(&self) -> bool {
        !self.categories.is_empty()
    }
}

/// Whether a path is one of the targets or lies below one.
fn covers(terms: &OfferTerms, path: &str) -> bool {
    terms.target_categories.iter().any(|target| {
        path.strip_prefix(target.as_ref())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(CATEGORY_SEPARATOR))
    })
}
