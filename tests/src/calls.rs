//! The changing calls of the API as values, so that a test can send the same one again: at once, at the same time, after a
//! crash. Judges no answer; it only tells an answer from a refusal and from a call nobody answered.

use anyhow::{Result, bail};
use tillside_proto::v1;
use tillside_proto::v1::customer_service_client::CustomerServiceClient;
use tillside_proto::v1::fulfillment_service_client::FulfillmentServiceClient;
use tillside_proto::v1::ingest_service_client::IngestServiceClient;
use tillside_proto::v1::inventory_service_client::InventoryServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A call that changes something.
#[derive(Clone, Debug)]
pub enum Call {
    /// Holds a basket.
    Reserve(v1::ReserveFulfillmentRequest),
    /// Places the order of a hold.
    Confirm(v1::ConfirmReservationRequest),
    /// Gives a reservation back.
    Release(v1::ReleaseReservationRequest),
    /// Moves stock.
    Adjust(v1::AdjustStockRequest),
    /// Counts stock.
    Count(v1::SetStockCountRequest),
    /// Enrols a customer.
    Enrol(Box<v1::CreateCustomerRequest>),
    /// Receipts and other events.
    Ingest(v1::IngestBatchRequest),
}

/// What the server said.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To a reserve, confirm or release.
    Reservation(v1::Reservation),
    /// To a movement or a count.
    Level(v1::StockLevel),
    /// To an enrolment.
    Enrolled(Box<v1::CreateCustomerResponse>),
    /// To events, one each.
    Acks(Vec<v1::EventAck>),
    /// A refusal that changed nothing, with its reason.
    Refused(String),
}

/// Refusals that a call under load may meet; any other is a defect of the test or of the server.
const REFUSALS: [&str; 6] = [
    "INSUFFICIENT_STOCK",
    "CONTENDED",
    "ORDER_CONFIRMED",
    "RESERVATION_EXPIRED",
    "RESERVATION_ENDED",
    "COUNT_TOO_OLD",
];

impl Call {
    /// Sends it once. `None`: the connection went before an answer came, so nobody knows what became of it.
    ///
    /// # Errors
    /// A refusal that no such call may meet.
    pub async fn send(&self, channel: &Channel) -> Result<Option<Answer>> {
        let channel = channel.clone();
        let sent = match self {
            Call::Reserve(r) => FulfillmentServiceClient::new(channel)
                .reserve_fulfillment(r.clone())
                .await
                .map(|a| Answer::Reservation(a.into_inner())),
            Call::Confirm(r) => FulfillmentServiceClient::new(channel)
                .confirm_reservation(r.clone())
                .await
                .map(|a| Answer::Reservation(a.into_inner())),
            Call::Release(r) => FulfillmentServiceClient::new(channel)
                .release_reservation(r.clone())
                .await
                .map(|a| Answer::Reservation(a.into_inner())),
            Call::Adjust(r) => InventoryServiceClient::new(channel)
                .adjust_stock(r.clone())
                .await
                .map(|a| Answer::Level(a.into_inner())),
            Call::Count(r) => InventoryServiceClient::new(channel)
                .set_stock_count(r.clone())
                .await
                .map(|a| Answer::Level(a.into_inner())),
            Call::Enrol(r) => CustomerServiceClient::new(channel)
                .create_customer(r.as_ref().clone())
                .await
                .map(|a| Answer::Enrolled(Box::new(a.into_inner()))),
            Call::Ingest(r) => IngestServiceClient::new(channel)
                .ingest_batch(r.clone())
                .await
                .map(|a| Answer::Acks(a.into_inner().acks)),
        };
        match sent {
            Ok(answer) => Ok(Some(answer)),
            Err(status) => refusal(self, &status),
        }
    }

    /// Sends it twice at the same time. `None` where neither told whether it was done.
    ///
    /// # Errors
    /// As [`Self::send`]; and where both were done and the answers differ.
    pub async fn send_twice(&self, channel: &Channel) -> Result<Option<Answer>> {
        let (a, b) = tokio::join!(self.send(channel), self.send(channel));
        let refused = |a: &Answer| matches!(a, Answer::Refused(_));
        match (a?, b?) {
            (Some(a), Some(b)) if !refused(&a) && !refused(&b) => match self.same(&a, &b, false) {
                true => Ok(Some(a)),
                false => bail!("two answers to {self:?}:\n{a:?}\n{b:?}"),
            },
            (Some(a), b) if !refused(&a) => Ok(Some(b.filter(|b| !refused(b)).unwrap_or(a))),
            (a, Some(b)) if !refused(&b) => Ok(Some(a.filter(|a| !refused(a)).unwrap_or(b))),
            // One was refused and the other may have been done after it.
            (a, b) => Ok(a.and(b)),
        }
    }

    /// Whether `again` is what a repeat of the call must get where `first` was its first success. `expired` says that the
    /// hold in it has run out meanwhile, and a repeat shows that. A profile is shown as it is now, so an enrolment's
    /// repeat has to name the same customer only; an event's repeat is a duplicate of the same change.
    pub fn same(&self, first: &Answer, again: &Answer, expired: bool) -> bool {
        match (first, again) {
            (Answer::Reservation(first), Answer::Reservation(again)) if expired => {
                let mut shown = again.clone();
                for (leg, first) in shown.legs.iter_mut().zip(&first.legs) {
                    let held = first.state() == v1::ReservationState::Held;
                    if held && leg.state() == v1::ReservationState::Expired {
                        leg.state = first.state;
                        leg.lines.clone_from(&first.lines);
                    }
                }
                shown == *first
            }
            (Answer::Enrolled(first), Answer::Enrolled(again)) => {
                let id = |a: &v1::CreateCustomerResponse| {
                    a.customer.as_ref().map(|c| c.customer_id.clone())
                };
                first.created == again.created && id(first) == id(again)
            }
            (Answer::Acks(first), Answer::Acks(again)) => {
                first.len() == again.len() && first.iter().zip(again).all(|(f, a)| repeats(f, a))
            }
            _ => first == again,
        }
    }
}

fn repeats(first: &v1::EventAck, again: &v1::EventAck) -> bool {
    let rejected = v1::AckStatus::Rejected;
    first.event_id == again.event_id
        && match first.status() == rejected {
            true => again.status() == rejected,
            false => again.status() == v1::AckStatus::Duplicate && again.sequence == first.sequence,
        }
}

fn refusal(call: &Call, status: &Status) -> Result<Option<Answer>> {
    match status.get_details_error_info() {
        Some(info) if REFUSALS.contains(&info.reason.as_str()) => {
            Ok(Some(Answer::Refused(info.reason)))
        }
        None if matches!(
            status.code(),
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
        ) =>
        {
            Ok(None)
        }
        _ => bail!("{call:?} was answered {status:?}"),
    }
}
