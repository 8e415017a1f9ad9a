//! The steps of an order after its hold. Each is one command; what differs is what it says and what it answers.

use tillside_engine::command::Command;
use tillside_engine::order_command::{OrderCommand, OrderStep};
use tillside_engine::pickup_code;
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::reservation::Reservation;
use tillside_proto::v1;
use tonic::{Request, Response, Status};

use super::open;
use crate::app::App;
use crate::convert::checks::Checks;
use crate::convert::fulfillment::{reservation_id, wire_reservation};
use crate::convert::orders::{
    OrderRequest, handover, order_id, pick_exception, version, wire_alternatives,
};
use crate::errors;
use crate::sequencer::Answer;

impl App {
    /// Takes one step: `what` reads it from the request, with the reservation as it is, where there is one.
    async fn step<M: OrderRequest>(
        &self,
        request: Request<M>,
        what: impl FnOnce(&App, Option<&Reservation>, &mut Checks, &M) -> OrderStep,
    ) -> Result<Answer, Status> {
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let id = reservation_id(&mut checks, request.reservation_id());
        let etag = version(&mut checks, request.etag());
        let reservation = id.and_then(|id| self.state.reservation(id));
        let step = what(self, reservation.as_deref(), &mut checks, &request);
        checks.finish()?;
        let Some(id) = id else {
            return Err(errors::rejected(&Rejection::UnknownReservation {
                reservation_id: request.reservation_id().into(),
            }));
        };
        let command = Command::Order(Box::new(OrderCommand { id, etag, step }));
        Ok(self.submit(command, stamp, deadline).await?)
    }

    /// A step that answers the reservation.
    pub(super) async fn stepped<M: OrderRequest>(
        &self,
        request: Request<M>,
        what: impl FnOnce(&mut Checks, &M) -> OrderStep,
    ) -> Result<Response<v1::Reservation>, Status> {
        let what = |_: &App, _: Option<&Reservation>, checks: &mut Checks, request: &M| {
            what(checks, request)
        };
        let answer = self.step(request, what).await?;
        self.reservation_of(&answer)
    }

    pub(super) async fn hand_over(
        &self,
        request: Request<v1::ConfirmHandoverRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        let answer = self.step(request, |app, reservation, checks, request| {
            OrderStep::HandOver(handover(&app.state, reservation, checks, request))
        });
        self.reservation_of(&answer.await?)
    }

    pub(super) async fn report_short(
        &self,
        request: Request<v1::ReportPickExceptionRequest>,
    ) -> Result<Response<v1::ReportPickExceptionResponse>, Status> {
        let lines = request.get_ref().lines.iter();
        let reported: Vec<String> = lines.map(|line| line.line_id.clone()).collect();
        let answer = self.step(request, |app, reservation, checks, request| {
            OrderStep::PickException(pick_exception(&app.state, reservation, checks, request))
        });
        let Reply::PickException {
            reservation,
            moved_to,
            alternatives,
        } = answer.await?.reply
        else {
            return Err(errors::defect("what became of a pick was expected"));
        };
        let (state, now) = (&self.state, self.now());
        Ok(Response::new(v1::ReportPickExceptionResponse {
            alternatives: wire_alternatives(state, &alternatives, &reservation, &reported),
            reservation: Some(wire_reservation(state, &reservation, now)),
            moved_to: moved_to.map(|moved| wire_reservation(state, &moved, now)),
        }))
    }

    pub(super) async fn cancel(
        &self,
        request: Request<v1::CancelOrderRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let order_id = order_id(&mut checks, &request);
        checks.finish()?;
        let command = Command::CancelOrder { order_id };
        self.reservation_of(&self.submit(command, stamp, deadline).await?)
    }

    /// Tells the pickup code where `answer` is the one that confirmed the reservation. Nobody is told it later.
    pub(super) fn add_code(
        &self,
        answer: &Answer,
        reservation: &Reservation,
        wire: &mut v1::Reservation,
    ) {
        if reservation.handling.confirmed == Some(answer.sequence) {
            wire.pickup_code = pickup_code::code(&self.reading.key, reservation.code_from());
        }
    }
}
