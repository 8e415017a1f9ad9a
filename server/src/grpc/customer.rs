//! Who is this?

use std::sync::Arc;

use prost::Message as _;
use tillside_engine::command::Command;
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_proto::v1::{self, customer_service_server::CustomerService};
use tonic::{Request, Response, Status};

use super::open;
use crate::app::App;
use crate::convert::checks::{Checks, Path};
use crate::convert::customer::{change, draft, view};
use crate::convert::identifiers::Lookup;
use crate::convert::profile::{View, profile, recognition};
use crate::convert::profile_bytes::encode_recognition;
use crate::edge::unary::Answered;
use crate::errors;
use crate::sequencer::Answer;

/// Handlers of `CustomerService`.
#[derive(Debug)]
pub struct Handlers(pub(super) Arc<App>);

impl Handlers {
    /// Replies name the customer only; the profile is read now, for a retry as for the first answer.
    async fn customer(&self, answer: &Answer) -> Result<(v1::CustomerProfile, bool), Status> {
        let Reply::Customer { id, created } = answer.reply else {
            return Err(errors::defect("a customer was expected"));
        };
        let customer = self
            .0
            .customer(id)
            .await?
            .ok_or_else(|| errors::rejected(&Rejection::UnknownCustomer))?;
        Ok((profile(&self.0.state, &customer, View::Full), created))
    }

    /// Whom a recognition asks for, and how much of the profile.
    fn asked(&self, request: &v1::RecognizeCustomerRequest) -> Result<(Lookup, View), Status> {
        let root = Path::ROOT;
        let mut checks = Checks::default();
        let lookup = self.0.reading.lookup(&mut checks, 1, &request.identifiers);
        let view = view(&mut checks, request.view, View::Checkout);
        checks.short(
            root.field("store_id"),
            &request.store_id,
            tillside_engine::limits::ID_BYTES_MAX,
        );
        checks.known::<v1::Channel>(root.field("channel"), request.channel);
        checks.finish()?;
        Ok((lookup, view))
    }

    /// RecognizeCustomer from bytes to bytes: the same answer as the service's method gives, encoded straight away where
    /// all it tells of is in memory.
    pub(super) fn recognize(
        &self,
        request: &[u8],
        answer: &mut Vec<u8>,
    ) -> Result<Answered, Status> {
        let app = &*self.0;
        let request = v1::RecognizeCustomerRequest::decode(request)
            .map_err(|error| Status::internal(error.to_string()))?;
        let (lookup, view) = self.asked(&request)?;
        if encode_recognition(&app.state, &app.profiles, &lookup, view, answer) {
            if let Some(cold) = &app.cold {
                cold.hit();
            }
            return Ok(Answered::Now);
        }
        let app = Arc::clone(&self.0);
        Ok(Answered::Later(Box::pin(async move {
            let answer = recognize(&app, &lookup, view).await?;
            Ok(answer.encode_to_vec())
        })))
    }
}

async fn recognize(
    app: &App,
    lookup: &Lookup,
    view: View,
) -> Result<v1::RecognizeCustomerResponse, Status> {
    let sequence = app.state.snapshot_sequence();
    let found = app.recognise(&lookup.entries).await?;
    let mut answer = recognition(&app.state, &found, lookup, view);
    answer.snapshot_sequence = sequence.0;
    Ok(answer)
}

#[tonic::async_trait]
impl CustomerService for Handlers {
    async fn recognize_customer(
        &self,
        request: Request<v1::RecognizeCustomerRequest>,
    ) -> Result<Response<v1::RecognizeCustomerResponse>, Status> {
        let (lookup, view) = self.asked(request.get_ref())?;
        Ok(Response::new(recognize(&self.0, &lookup, view).await?))
    }

    async fn create_customer(
        &self,
        request: Request<v1::CreateCustomerRequest>,
    ) -> Result<Response<v1::CreateCustomerResponse>, Status> {
        let app = &*self.0;
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let draft = draft(&app.reading, &mut checks, &request, app.now());
        checks.finish()?;
        let answer = app
            .submit(Command::CreateCustomer(draft), stamp, deadline)
            .await?;
        let (customer, created) = self.customer(&answer).await?;
        Ok(Response::new(v1::CreateCustomerResponse {
            customer: Some(customer),
            created,
        }))
    }

    async fn get_customer(
        &self,
        request: Request<v1::GetCustomerRequest>,
    ) -> Result<Response<v1::CustomerProfile>, Status> {
        let (app, request) = (&*self.0, request.get_ref());
        let root = Path::ROOT;
        let mut checks = Checks::default();
        let id =
            app.reading
                .customer_id(&mut checks, root.field("customer_id"), &request.customer_id);
        let view = view(&mut checks, request.view, View::Full);
        checks.finish()?;
        let surrogate = id.and_then(|id| app.state.identifiers.get(&id.hash).map(|c| *c));
        let customer = match surrogate {
            Some(id) => app.customer(id).await?,
            None => None,
        };
        let customer = customer.ok_or_else(|| errors::rejected(&Rejection::UnknownCustomer))?;
        Ok(Response::new(profile(&app.state, &customer, view)))
    }

    async fn update_customer(
        &self,
        request: Request<v1::UpdateCustomerRequest>,
    ) -> Result<Response<v1::CustomerProfile>, Status> {
        let app = &*self.0;
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let change = change(&app.reading, &mut checks, &request, app.now());
        checks.finish()?;
        let change = change.ok_or_else(|| errors::rejected(&Rejection::UnknownCustomer))?;
        let answer = app
            .submit(Command::UpdateCustomer(change), stamp, deadline)
            .await?;
        Ok(Response::new(self.customer(&answer).await?.0))
    }
}
