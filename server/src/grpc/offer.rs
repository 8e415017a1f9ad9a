//! What should we offer?

use std::sync::Arc;

use tillside_engine::command::Command;
use tillside_engine::eligibility::OfferQuery;
use tillside_engine::ranking::rank_offers;
use tillside_engine::recognition::Recognition;
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_proto::v1::{self, offer_service_server::OfferService};
use tonic::{Request, Response, Status};

use super::catalog::{page_of, token_after};
use super::open;
use crate::app::App;
use crate::convert::basket::basket;
use crate::convert::checks::{Checks, Path};
use crate::convert::fulfillment::store;
use crate::convert::offer::{
    OFFERS_DEFAULT, OFFERS_MAX, draft, outcomes, wire_decision, wire_offer,
};
use crate::convert::paging::page;
use crate::convert::values::channel;
use crate::errors;
use crate::sequencer::Answer;

/// Handlers of `OfferService`.
#[derive(Debug)]
pub struct Handlers(pub(super) Arc<App>);

impl Handlers {
    fn offer(&self, answer: &Answer) -> Result<Response<v1::Offer>, Status> {
        let Reply::Offer(offer) = &answer.reply else {
            return Err(errors::defect("an offer was expected"));
        };
        Ok(Response::new(wire_offer(&self.0.state, offer)))
    }
}

#[tonic::async_trait]
impl OfferService for Handlers {
    async fn next_best_offer(
        &self,
        request: Request<v1::NextBestOfferRequest>,
    ) -> Result<Response<v1::Decision>, Status> {
        let (app, request) = (&*self.0, request.get_ref());
        let root = Path::ROOT;
        let (mut checks, mut unknown) = (Checks::default(), None);
        let sequence = app.state.snapshot_sequence();
        let lookup = app.reading.lookup(&mut checks, 0, &request.identifiers);
        let basket = basket(
            &app.reading,
            &app.state,
            &mut checks,
            &request.store_id,
            &request.lines,
        );
        let max_offers = checks.number_or(
            root.field("max_offers"),
            request.max_offers,
            OFFERS_DEFAULT,
            OFFERS_MAX,
        );
        let channel = channel(
            &mut checks,
            root.field("channel"),
            request.channel,
            !request.store_id.is_empty(),
        );
        checks.optional_id(root.field("store_id"), &request.store_id);
        checks.finish()?;
        let named = (!request.store_id.is_empty()).then_some(request.store_id.as_str());
        let store =
            named.and_then(|id| store(&app.state, &mut unknown, root.field("store_id"), id));
        if let Some(unknown) = unknown {
            return Err(errors::rejected(&unknown));
        }
        let found = app.recognise(&lookup.entries).await?;
        // Who could be one of several is nobody yet: the till is to ask, and no history is used.
        let customer = if let Recognition::Matched { customer, .. } = &found {
            Some(&**customer)
        } else {
            None
        };
        let query = OfferQuery {
            customer,
            store,
            channel,
            basket: &basket.items,
            max_offers,
            now: app.now(),
        };
        let decision = rank_offers(&app.state, &query);
        Ok(Response::new(wire_decision(
            &decision,
            &basket.line_ids,
            request,
            sequence,
        )))
    }

    async fn put_offer(
        &self,
        request: Request<v1::PutOfferRequest>,
    ) -> Result<Response<v1::Offer>, Status> {
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let draft = draft(&mut checks, &request);
        checks.finish()?;
        let answer = self
            .0
            .submit(Command::PutOffer(draft), stamp, deadline)
            .await?;
        self.offer(&answer)
    }

    async fn get_offer(
        &self,
        request: Request<v1::GetOfferRequest>,
    ) -> Result<Response<v1::Offer>, Status> {
        let root = Path::ROOT;
        let mut checks = Checks::default();
        let offer_id = checks.id(root.field("offer_id"), &request.get_ref().offer_id);
        checks.finish()?;
        let offer = self.0.state.offers.get(&offer_id).map(|o| Arc::clone(&o));
        let offer = offer.ok_or_else(|| errors::rejected(&Rejection::UnknownOffer { offer_id }))?;
        Ok(Response::new(wire_offer(&self.0.state, &offer)))
    }

    async fn list_offers(
        &self,
        request: Request<v1::ListOffersRequest>,
    ) -> Result<Response<v1::ListOffersResponse>, Status> {
        let request = request.get_ref();
        let mut checks = Checks::default();
        let page = page(&mut checks, request.page_size, &request.page_token);
        checks.finish()?;
        let state = &self.0.state;
        let (ids, more) = page_of(&state.offers, &page, |offer| {
            request.show_archived || !offer.archived
        });
        let offers = ids
            .iter()
            .filter_map(|id| state.offers.get(id).map(|o| Arc::clone(&o)));
        let offers = offers.map(|offer| wire_offer(state, &offer)).collect();
        Ok(Response::new(v1::ListOffersResponse {
            offers,
            next_page_token: token_after(&ids, more),
        }))
    }

    async fn archive_offer(
        &self,
        request: Request<v1::ArchiveOfferRequest>,
    ) -> Result<Response<v1::Offer>, Status> {
        let root = Path::ROOT;
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let offer_id = checks.id(root.field("offer_id"), &request.offer_id);
        checks.finish()?;
        let answer = self
            .0
            .submit(Command::ArchiveOffer { offer_id }, stamp, deadline)
            .await?;
        self.offer(&answer)
    }

    async fn report_outcomes(
        &self,
        request: Request<v1::ReportOutcomesRequest>,
    ) -> Result<Response<v1::ReportOutcomesResponse>, Status> {
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let reports = outcomes(&mut checks, &request.outcomes);
        checks.finish()?;
        let answer = self
            .0
            .submit(Command::ReportOutcomes(reports), stamp, deadline)
            .await?;
        let Reply::Outcomes {
            accepted,
            duplicates,
        } = answer.reply
        else {
            return Err(errors::defect("counts were expected"));
        };
        let count = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        Ok(Response::new(v1::ReportOutcomesResponse {
            accepted: count(accepted),
            duplicates: count(duplicates),
        }))
    }
}
