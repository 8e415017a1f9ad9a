//! The three questions in one round trip.

use std::sync::Arc;

use tillside_engine::command::Command;
use tillside_engine::eligibility::OfferQuery;
use tillside_engine::own_holds::Own;
use tillside_engine::ranking::rank_offers;
use tillside_engine::recognition::Recognition;
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_proto::v1::{self, checkout_service_server::CheckoutService};
use tonic::{Request, Response, Status};

use super::fulfillment::{Hold, Question};
use super::open;
use crate::app::App;
use crate::convert::basket::basket;
use crate::convert::checkout::{self, CheckoutPlan, wire_result};
use crate::convert::checks::{Checks, Path};
use crate::convert::customer::view;
use crate::convert::fulfillment::{store, wire_reservation};
use crate::convert::ladder::wire_ladder;
use crate::convert::offer::{OFFERS_DEFAULT, OFFERS_MAX, wire_decision};
use crate::convert::profile::{View, recognition};
use crate::convert::values::channel;
use crate::errors;
use crate::requests;
use crate::sequencer::SubmitError;

/// Handlers of `CheckoutService`.
#[derive(Debug)]
pub struct Handlers(pub(super) Arc<App>);

#[tonic::async_trait]
impl CheckoutService for Handlers {
    async fn evaluate_checkout(
        &self,
        request: Request<v1::EvaluateCheckoutRequest>,
    ) -> Result<Response<v1::EvaluateCheckoutResponse>, Status> {
        let app = &*self.0;
        let root = Path::ROOT;
        let (mut checks, mut unknown) = (Checks::default(), None);
        let deadline = requests::deadline_of(&request);
        let mut request = request.into_inner();
        let holds = request.fulfillment.as_ref().is_some_and(|f| f.hold);
        let stamp = holds.then(|| requests::stamp(&mut request, &mut checks));
        request.request_id.clear();
        let checkout_id = checkout::revision(&mut checks, &request.checkout_id, request.revision);
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
        let view = view(&mut checks, request.view, View::Checkout);
        checks.optional_id(root.field("store_id"), &request.store_id);
        let named = (!request.store_id.is_empty()).then_some(request.store_id.as_str());
        let store =
            named.and_then(|id| store(&app.state, &mut unknown, root.field("store_id"), id));
        let wanted = checkout::plan(&app.state, &mut checks, &mut unknown, &request, &basket);
        checks.finish()?;
        if let Some(unknown) = unknown {
            return Err(errors::rejected(&unknown));
        }
        let sequence = app.state.snapshot_sequence();
        let found = app.recognise(&lookup.entries).await?;
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
        let mut recognised = recognition(&app.state, &found, &lookup, view);
        recognised.snapshot_sequence = sequence.0;
        let mut answer = v1::EvaluateCheckoutResponse {
            revision: request.revision,
            superseded: app.is_superseded(&checkout_id, request.revision),
            recognition: Some(recognised),
            decision: Some(wire_decision(
                &decision,
                &basket.line_ids,
                &request,
                sequence,
            )),
            plan: wanted
                .as_ref()
                .and_then(|wanted| app.checkout_plan(&checkout_id, wanted)),
            unknown_line_ids: basket.unknown_line_ids(),
            ..v1::EvaluateCheckoutResponse::default()
        };
        if let (Some(stamp), Some(wanted)) = (stamp, &wanted) {
            let hold = Hold {
                order_id: Arc::clone(&checkout_id),
                wanted: &wanted.wanted,
                only_store: None,
                require_open_now: false,
                hold_ms: wanted
                    .hold_ms
                    .unwrap_or(tillside_engine::limits::HOLD_MS_DEFAULT),
                checkout_revision: Some(request.revision),
                slot_start: None,
                allow_split: false,
            };
            app.note_hold(&mut answer, app.hold(&hold, stamp, deadline).await)?;
        }
        answer.checkout_id = request.checkout_id;
        Ok(Response::new(answer))
    }

    async fn close_checkout(
        &self,
        request: Request<v1::CloseCheckoutRequest>,
    ) -> Result<Response<v1::CloseCheckoutResponse>, Status> {
        let app = &*self.0;
        let root = Path::ROOT;
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let checkout_id = checks.id(root.field("checkout_id"), &request.checkout_id);
        let result = checkout::result(&mut checks, request.result);
        checks.finish()?;
        let answer = app
            .submit(
                Command::CloseCheckout {
                    checkout_id,
                    result,
                },
                stamp,
                deadline,
            )
            .await?;
        let Reply::CheckoutClosed {
            result,
            reservation,
        } = &answer.reply
        else {
            return Err(errors::defect("a closed checkout was expected"));
        };
        let reservation = reservation.as_ref().map(|reservation| {
            let mut wire = wire_reservation(&app.state, reservation, app.now());
            app.add_code(&answer, reservation, &mut wire);
            wire
        });
        Ok(Response::new(v1::CloseCheckoutResponse {
            checkout_id: request.checkout_id,
            result: wire_result(*result).into(),
            reservation,
        }))
    }
}

impl App {
    fn is_superseded(&self, checkout_id: &Arc<str>, revision: i64) -> bool {
        self.state
            .checkouts
            .get(checkout_id)
            .is_some_and(|c| c.closed.is_some() || c.revision > revision)
    }

    fn checkout_plan(
        &self,
        checkout_id: &Arc<str>,
        wanted: &CheckoutPlan,
    ) -> Option<v1::FulfillmentPlan> {
        let lines = &wanted.wanted.lines;
        if lines.is_empty() {
            return None;
        }
        let own = self.state.parts_of_order(checkout_id);
        let sequence = self.state.snapshot_sequence();
        let question = Question {
            wanted: &wanted.wanted,
            max_options: wanted.max_options,
            require_open_now: false,
            only_store: None,
            own: Own::holds(&own),
            explain: true,
        };
        let (ladder, policy) = self.ladder(&question);
        Some(wire_ladder(
            &self.state,
            &ladder,
            &policy,
            lines,
            sequence.0,
        ))
    }

    /// What became of the hold. That nothing can be held is part of the answer; that nothing can be written is an error.
    fn note_hold(
        &self,
        answer: &mut v1::EvaluateCheckoutResponse,
        held: Result<crate::sequencer::Answer, SubmitError>,
    ) -> Result<(), Status> {
        match held {
            Ok(held) => {
                let Reply::CheckoutHold {
                    superseded,
                    reservation,
                } = held.reply
                else {
                    return Err(errors::defect("a checkout's hold was expected"));
                };
                answer.superseded = superseded;
                answer.reservation = reservation
                    .as_ref()
                    .map(|r| wire_reservation(&self.state, r, self.now()));
                if reservation.is_none() && !superseded {
                    answer.hold_problem =
                        Some(errors::refusal(&Rejection::InsufficientStock).into_problem());
                }
                Ok(())
            }
            Err(SubmitError::Rejected(
                rejection @ (Rejection::InsufficientStock
                | Rejection::Contended
                | Rejection::SlotFull { .. }
                | Rejection::OrderConfirmed { .. }),
            )) => {
                answer.hold_problem = Some(errors::refusal(&rejection).into_problem());
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
