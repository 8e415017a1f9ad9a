//! What makes a retry a retry: the stamp of a mutating request, from the caller, its `request_id` and its payload.

use std::time::Instant;

use prost::Message;
use tillside_engine::identity::first_128_bits;
use tillside_engine::ids::RequestKey;
use tillside_proto::v1;
use tonic::Request;

use crate::convert::checks::Checks;
use crate::sequencer::RequestStamp;

/// Who calls. Everybody is the same caller until there is authentication; request ids of different callers never meet.
pub const PRINCIPAL: &str = "anonymous";

/// When the caller stops waiting; set by the edge from `grpc-timeout`.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

/// The caller's deadline, if it gave one.
pub fn deadline_of<T>(request: &Request<T>) -> Option<Instant> {
    request.extensions().get::<Deadline>().map(|d| d.0)
}

/// A request that changes something once, however often it is sent.
pub trait Mutation: Message {
    /// Full name of the method: the same id and bytes to another method are another request.
    const METHOD: &'static str;
    /// The field.
    fn request_id_mut(&mut self) -> &mut String;
}

macro_rules! mutations {
    ($($message:ident => $method:literal),* $(,)?) => {
        $(impl Mutation for v1::$message {
            const METHOD: &'static str = $method;
            fn request_id_mut(&mut self) -> &mut String {
                &mut self.request_id
            }
        })*
    };
}

mutations! {
    PutStoresRequest => "CatalogService/PutStores",
    PutProductsRequest => "CatalogService/PutProducts",
    CreateCustomerRequest => "CustomerService/CreateCustomer",
    UpdateCustomerRequest => "CustomerService/UpdateCustomer",
    PutOfferRequest => "OfferService/PutOffer",
    ArchiveOfferRequest => "OfferService/ArchiveOffer",
    SetRoutingPolicyRequest => "CatalogService/SetRoutingPolicy",
    ReportOutcomesRequest => "OfferService/ReportOutcomes",
    AdjustStockRequest => "InventoryService/AdjustStock",
    SetStockCountRequest => "InventoryService/SetStockCount",
    ScheduleInboundRequest => "InventoryService/ScheduleInbound",
    ReceiveInboundRequest => "InventoryService/ReceiveInbound",
    CancelInboundRequest => "InventoryService/CancelInbound",
    SetStockRulesRequest => "InventoryService/SetStockRules",
    SetStorePricesRequest => "InventoryService/SetStorePrices",
    ReserveFulfillmentRequest => "FulfillmentService/ReserveFulfillment",
    ConfirmReservationRequest => "FulfillmentService/ConfirmReservation",
    ReleaseReservationRequest => "FulfillmentService/ReleaseReservation",
    ExtendReservationRequest => "FulfillmentService/ExtendReservation",
    AcknowledgePickRequest => "FulfillmentService/AcknowledgePick",
    StartPickingRequest => "FulfillmentService/StartPicking",
    MarkReadyForPickupRequest => "FulfillmentService/MarkReadyForPickup",
    ReportPickExceptionRequest => "FulfillmentService/ReportPickException",
    ConfirmHandoverRequest => "FulfillmentService/ConfirmHandover",
    MarkShippedRequest => "FulfillmentService/MarkShipped",
    CancelOrderRequest => "FulfillmentService/CancelOrder",
    ConfirmPutBackRequest => "FulfillmentService/ConfirmPutBack",
    EvaluateCheckoutRequest => "CheckoutService/EvaluateCheckout",
    CloseCheckoutRequest => "CheckoutService/CloseCheckout",
}

/// The stamp of `message`. Its `request_id` is taken out: the payload hash is of everything else.
pub fn stamp<M: Mutation>(message: &mut M, checks: &mut Checks) -> RequestStamp {
    let request_id = std::mem::take(message.request_id_mut());
    checks.request_id(&request_id);
    let mut key = blake3::Hasher::new();
    key.update(PRINCIPAL.as_bytes())
        .update(&[0])
        .update(request_id.as_bytes());
    let mut payload = blake3::Hasher::new();
    payload
        .update(M::METHOD.as_bytes())
        .update(&[0])
        .update(&message.encode_to_vec());
    let mut first = [0; 8];
    first.copy_from_slice(&payload.finalize().as_bytes()[..8]);
    RequestStamp {
        key: RequestKey(first_128_bits(&key.finalize())),
        payload_hash: u64::from_le_bytes(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp_of<M: Mutation>(mut message: M) -> (RequestKey, u64) {
        let stamp = stamp(&mut message, &mut Checks::default());
        (stamp.key, stamp.payload_hash)
    }

    #[test]
    fn the_key_is_of_the_id_and_the_hash_of_method_and_payload() {
        let confirm = |request_id: &str, id: &str| v1::ConfirmReservationRequest {
            request_id: request_id.into(),
            reservation_id: id.into(),
            ..Default::default()
        };
        let release = v1::ReleaseReservationRequest {
            request_id: "a".into(),
            reservation_id: "r-1".into(),
        };
        let first = stamp_of(confirm("a", "r-1"));
        assert_eq!(stamp_of(confirm("a", "r-1")), first);
        assert_eq!(stamp_of(confirm("a", "r-2")).0, first.0);
        assert_ne!(stamp_of(confirm("a", "r-2")).1, first.1);
        assert_eq!(stamp_of(confirm("b", "r-1")).1, first.1);
        assert_ne!(stamp_of(confirm("b", "r-1")).0, first.0);
        assert_ne!(stamp_of(release).1, first.1);
    }

    #[test]
    fn a_request_id_is_required() {
        let mut checks = Checks::default();
        stamp(&mut v1::ArchiveOfferRequest::default(), &mut checks);
        assert!(checks.finish().is_err());
    }
}
