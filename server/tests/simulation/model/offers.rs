//! Offers and what became of them.

use std::sync::Arc;

use tillside_engine::command::{OfferDraft, OutcomeReport};
use tillside_engine::ids::{SkuId, StoreId};
use tillside_engine::offer::{Offer, OutcomeType};

use super::{At, Entity, Model, Outcome, Told, refused};

impl Model {
    pub(super) fn put_offer(&mut self, draft: &OfferDraft, at: At) -> Outcome {
        let mut terms = draft.terms.clone();
        terms.stores.clear();
        terms.target_skus.clear();
        for (i, id) in draft.store_ids.iter().enumerate() {
            match self.store_number(id) {
                Some(number) => terms.stores.push(StoreId(number)),
                None => return refused("UnknownStore", format!("offer.store_ids[{i}]")),
            }
        }
        for (i, sku) in draft.target_skus.iter().enumerate() {
            match self.product_number(sku) {
                Some(number) => terms.target_skus.push(SkuId(number)),
                None => return refused("UnknownSku", format!("offer.target_skus[{i}]")),
            }
        }
        terms.stores.sort();
        terms.stores.dedup();
        terms.target_skus.sort();
        terms.target_skus.dedup();
        let current = self.offers.get(&terms.offer_id).cloned();
        if draft
            .etag
            .is_some_and(|etag| current.as_ref().is_none_or(|c| c.version.0 != etag))
        {
            return refused("EtagMismatch", "");
        }
        if let Some(current) = &current {
            if current.archived {
                return refused("Invalid", "offer.offer_id");
            }
            if *current.terms == terms {
                return Ok((Told::Offer(Box::new(Offer::clone(current))), false));
            }
        }
        let offer = Offer {
            terms: Arc::new(terms),
            archived: false,
            version: at.sequence,
        };
        if !draft.validate_only {
            self.set_offer(offer.clone());
        }
        Ok((Told::Offer(Box::new(offer)), !draft.validate_only))
    }

    fn set_offer(&mut self, offer: Offer) {
        let id = Arc::clone(&offer.terms.offer_id);
        self.touch(Entity::Offer(Arc::clone(&id)));
        self.offers.insert(id, Arc::new(offer));
    }

    pub(super) fn archive_offer(&mut self, offer_id: &Arc<str>, at: At) -> Outcome {
        let Some(current) = self.offers.get(offer_id).cloned() else {
            return refused("UnknownOffer", offer_id.to_string());
        };
        if current.archived {
            return Ok((Told::Offer(Box::new(Offer::clone(&current))), false));
        }
        let archived = Offer {
            archived: true,
            version: at.sequence,
            ..Offer::clone(&current)
        };
        self.set_offer(archived.clone());
        Ok((Told::Offer(Box::new(archived)), true))
    }

    pub(super) fn report(&mut self, reports: &[OutcomeReport], at: At) -> Outcome {
        if let Some(unknown) = reports
            .iter()
            .find(|r| !self.offers.contains_key(&r.offer_id))
        {
            return refused("UnknownOffer", unknown.offer_id.to_string());
        }
        let (mut accepted, mut duplicates) = (0, 0);
        for report in reports {
            if self.keys.contains_key(&report.key) {
                duplicates += 1;
                continue;
            }
            accepted += 1;
            self.keys.insert(report.key, at.sequence);
            self.count_outcome(&report.offer_id, report.outcome);
        }
        Ok((
            Told::Outcomes {
                accepted,
                duplicates,
            },
            accepted > 0,
        ))
    }

    pub(super) fn count_outcome(&mut self, offer_id: &Arc<str>, outcome: OutcomeType) {
        self.touch(Entity::Offer(Arc::clone(offer_id)));
        let counts = self.outcomes.entry(Arc::clone(offer_id)).or_default();
        *match outcome {
            OutcomeType::Impression => &mut counts.impressions,
            OutcomeType::Click => &mut counts.clicks,
            OutcomeType::Accept => &mut counts.accepts,
            OutcomeType::Decline => &mut counts.declines,
            OutcomeType::Redeem => &mut counts.redeems,
        } += 1;
    }
}
