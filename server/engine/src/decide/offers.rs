//! Offers and what became of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::command::{OfferDraft, OutcomeReport};
use crate::ctx::Ctx;
use crate::decide::{Decided, known_sku, known_store};
use crate::event::Event;
use crate::limits::ACTIVE_OFFERS_MAX;
use crate::offer::{Offer, OfferTerms};
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::state::State;

pub(super) fn put(state: &State, draft: &OfferDraft, ctx: &Ctx) -> Decided {
    let mut terms: OfferTerms = draft.terms.clone();
    let stores = draft.store_ids.iter().enumerate();
    let stores = stores
        .map(|(i, id)| known_store(state, id, &format!("offer.store_ids[{i}]")).map(|(id, _)| id));
    terms.stores = stores.collect::<Result<_, _>>()?;
    let skus = draft.target_skus.iter().enumerate();
    let skus = skus.map(|(i, sku)| {
        known_sku(state, sku, &format!("offer.target_skus[{i}]")).map(|(id, _)| id)
    });
    terms.target_skus = skus.collect::<Result<_, _>>()?;
    terms.stores.sort_unstable();
    terms.stores.dedup();
    terms.target_skus.sort_unstable();
    terms.target_skus.dedup();
    let current = state.offers.get(&terms.offer_id).map(|o| Arc::clone(&o));
    if let Some(etag) = draft.etag
        && current.as_ref().is_none_or(|c| c.version.0 != etag)
    {
        return Err(Rejection::EtagMismatch);
    }
    if let Some(current) = &current {
        if current.archived {
            let problem =
                "this offer is archived for good; put a new one under another offer_id".into();
            return Err(Rejection::Invalid {
                field: "offer.offer_id".into(),
                problem,
            });
        }
        if *current.terms == terms {
            return Ok((Reply::Offer(Arc::clone(current)), Vec::new()));
        }
    } else if state.active_offers.get().len() >= ACTIVE_OFFERS_MAX {
        return Err(Rejection::LimitExceeded {
            what: "active offers",
            max: ACTIVE_OFFERS_MAX,
        });
    }
    let terms = Arc::new(terms);
    let offer = Offer {
        terms: Arc::clone(&terms),
        archived: false,
        version: ctx.seq,
    };
    let events = if draft.validate_only {
        Vec::new()
    } else {
        vec![Event::OfferPut { terms }]
    };
    Ok((Reply::Offer(Arc::new(offer)), events))
}

pub(super) fn archive(state: &State, offer_id: &Arc<str>, ctx: &Ctx) -> Decided {
    let unknown = || Rejection::UnknownOffer {
        offer_id: Arc::clone(offer_id),
    };
    let current = state
        .offers
        .get(offer_id)
        .map(|o| Arc::clone(&o))
        .ok_or_else(unknown)?;
    if current.archived {
        return Ok((Reply::Offer(current), Vec::new()));
    }
    let archived = Offer {
        terms: Arc::clone(&current.terms),
        archived: true,
        version: ctx.seq,
    };
    Ok((
        Reply::Offer(Arc::new(archived)),
        vec![Event::OfferArchived {
            offer_id: Arc::clone(offer_id),
        }],
    ))
}

pub(super) fn report(state: &State, reports: &[OutcomeReport]) -> Decided {
    let mut events = Vec::new();
    let mut seen = BTreeSet::new();
    let mut duplicates = 0;
    for report in reports {
        if !state.offers.contains_key(&report.offer_id) {
            return Err(Rejection::UnknownOffer {
                offer_id: Arc::clone(&report.offer_id),
            });
        }
        if state.business_keys.contains_key(&report.key) || !seen.insert(report.key) {
            duplicates += 1;
            continue;
        }
        let offer_id = Arc::clone(&report.offer_id);
        events.push(Event::OutcomeReported {
            offer_id,
            outcome: report.outcome,
            key: report.key,
        });
    }
    Ok((
        Reply::Outcomes {
            accepted: events.len() as u32,
            duplicates,
        },
        events,
    ))
}
