//! A method for every unary call. Each is a line in a table: what it does, which service, which deadline, and whether it
//! is `keyed` by a `request_id` (one is made where the caller gave none) or `plain`.

use crate::{
    call::Answer,
    connection::Tillside,
    error::Error,
    v1::{
        self, catalog_service_client::CatalogServiceClient,
        checkout_service_client::CheckoutServiceClient,
        customer_service_client::CustomerServiceClient,
        fulfillment_service_client::FulfillmentServiceClient,
        ingest_service_client::IngestServiceClient,
        inventory_service_client::InventoryServiceClient, offer_service_client::OfferServiceClient,
        operations_service_client::OperationsServiceClient,
        simulation_service_client::SimulationServiceClient,
    },
};

/// Decoded answers may be as large as the largest page the server sends (1000 full entries), not only tonic's 4 MiB.
const ANSWER_BYTES_MAX: usize = 32 << 20;

macro_rules! methods {
    ($($(#[doc = $doc:literal])+ $kind:ident $deadline:ident $client:ident.$method:ident($request:ident) -> $answer:ident;)+) => {
        impl Tillside {
            $(
                $(#[doc = $doc])+
                ///
                /// # Errors
                /// See [`Error`]; a passing reason was retried already.
                pub async fn $method(&self, request: v1::$request) -> Result<Answer<v1::$answer>, Error> {
                    let request = methods!(@prepare $kind request);
                    self.call(self.config.$deadline, request, |channel, request| async move {
                        $client::new(channel)
                            .max_decoding_message_size(ANSWER_BYTES_MAX)
                            .$method(request)
                            .await
                    })
                    .await
                }
            )+
        }
    };
    (@prepare plain $request:ident) => { $request };
    (@prepare keyed $request:ident) => {{
        let mut request = $request;
        if request.request_id.is_empty() {
            request.request_id = uuid::Uuid::new_v4().to_string();
        }
        request
    }};
}

methods! {
    /// Who is this? Unknown and ambiguous are answers, not errors.
    plain timeout CustomerServiceClient.recognize_customer(RecognizeCustomerRequest) -> RecognizeCustomerResponse;
    /// Enrols a person, idempotent by identifier.
    keyed timeout CustomerServiceClient.create_customer(CreateCustomerRequest) -> CreateCustomerResponse;
    /// The customer by its id.
    plain timeout CustomerServiceClient.get_customer(GetCustomerRequest) -> CustomerProfile;
    /// Changes contact data, preferences, segments, consents, and adds identifiers.
    keyed timeout CustomerServiceClient.update_customer(UpdateCustomerRequest) -> CustomerProfile;

    /// What should we offer? Reads only.
    plain timeout OfferServiceClient.next_best_offer(NextBestOfferRequest) -> Decision;
    /// Creates or replaces an offer.
    keyed timeout OfferServiceClient.put_offer(PutOfferRequest) -> Offer;
    /// One offer.
    plain timeout OfferServiceClient.get_offer(GetOfferRequest) -> Offer;
    /// A page of offers in id order.
    plain timeout OfferServiceClient.list_offers(ListOffersRequest) -> ListOffersResponse;
    /// Ends an offer for good.
    keyed timeout OfferServiceClient.archive_offer(ArchiveOfferRequest) -> Offer;
    /// Tells what became of offers that were shown.
    keyed timeout OfferServiceClient.report_outcomes(ReportOutcomesRequest) -> ReportOutcomesResponse;

    /// Where can they get it? Reads only; a promise is [`Tillside::reserve_fulfillment`].
    plain timeout FulfillmentServiceClient.plan_fulfillment(PlanFulfillmentRequest) -> FulfillmentPlan;
    /// Holds all of a basket at the nearest store that has it, all lines or none.
    keyed timeout FulfillmentServiceClient.reserve_fulfillment(ReserveFulfillmentRequest) -> Reservation;
    /// One reservation.
    plain timeout FulfillmentServiceClient.get_reservation(GetReservationRequest) -> Reservation;
    /// Confirms a held reservation. Twice is the same as once.
    keyed timeout FulfillmentServiceClient.confirm_reservation(ConfirmReservationRequest) -> Reservation;
    /// Gives a reservation's stock back. Twice is the same as once.
    keyed timeout FulfillmentServiceClient.release_reservation(ReleaseReservationRequest) -> Reservation;
    /// Keeps a hold, or goods that wait for their customer, longer.
    keyed timeout FulfillmentServiceClient.extend_reservation(ExtendReservationRequest) -> Reservation;
    /// The store has seen the order.
    keyed timeout FulfillmentServiceClient.acknowledge_pick(AcknowledgePickRequest) -> Reservation;
    /// The store picks the order.
    keyed timeout FulfillmentServiceClient.start_picking(StartPickingRequest) -> Reservation;
    /// The order waits for its customer.
    keyed timeout FulfillmentServiceClient.mark_ready_for_pickup(MarkReadyForPickupRequest) -> Reservation;
    /// The store could not pick all of it; tells who could.
    keyed timeout FulfillmentServiceClient.report_pick_exception(ReportPickExceptionRequest) -> ReportPickExceptionResponse;
    /// Goods go to the customer.
    keyed timeout FulfillmentServiceClient.confirm_handover(ConfirmHandoverRequest) -> Reservation;
    /// Goods left with a carrier.
    keyed timeout FulfillmentServiceClient.mark_shipped(MarkShippedRequest) -> Reservation;
    /// Ends an order, however far it is.
    keyed timeout FulfillmentServiceClient.cancel_order(CancelOrderRequest) -> Reservation;
    /// Goods of an order that has ended are on the shelf again.
    keyed timeout FulfillmentServiceClient.confirm_put_back(ConfirmPutBackRequest) -> Reservation;
    /// Reservations of a store or an order, a page at a time.
    plain timeout FulfillmentServiceClient.list_reservations(ListReservationsRequest) -> ListReservationsResponse;

    /// The stock level of one SKU in one store.
    plain timeout InventoryServiceClient.get_availability(GetAvailabilityRequest) -> StockLevel;
    /// The stock levels of many pairs, in the order asked; at most 1000.
    plain timeout InventoryServiceClient.batch_get_availability(BatchGetAvailabilityRequest) -> BatchGetAvailabilityResponse;
    /// Moves stock by a difference.
    keyed timeout InventoryServiceClient.adjust_stock(AdjustStockRequest) -> StockLevel;
    /// Sets stock to a counted quantity.
    keyed timeout InventoryServiceClient.set_stock_count(SetStockCountRequest) -> StockLevel;

    /// Announces a delivery or a transfer, or changes what was announced. Telling the same again changes nothing.
    keyed timeout InventoryServiceClient.schedule_inbound(ScheduleInboundRequest) -> InboundDelivery;
    /// Takes in what came of a delivery.
    keyed timeout InventoryServiceClient.receive_inbound(ReceiveInboundRequest) -> InboundDelivery;
    /// Says that a delivery will not come.
    keyed timeout InventoryServiceClient.cancel_inbound(CancelInboundRequest) -> InboundDelivery;
    /// A page of deliveries in id order.
    plain timeout InventoryServiceClient.list_inbound(ListInboundRequest) -> ListInboundResponse;
    /// Where less is there than was promised, and which reservations are at risk.
    plain timeout InventoryServiceClient.list_shortages(ListShortagesRequest) -> ListShortagesResponse;
    /// Sets or removes safety buffers and near-time rules, all or none.
    keyed timeout InventoryServiceClient.set_stock_rules(SetStockRulesRequest) -> SetStockRulesResponse;
    /// A page of safety buffers; with the first, near-time rules and how far stores can be believed.
    plain timeout InventoryServiceClient.list_stock_rules(ListStockRulesRequest) -> ListStockRulesResponse;
    /// Sets or removes prices of single stores, all or none.
    keyed timeout InventoryServiceClient.set_store_prices(SetStorePricesRequest) -> SetStorePricesResponse;
    /// A page of the sources that number their messages: what is missing, what came late.
    plain timeout InventoryServiceClient.list_sources(ListSourcesRequest) -> ListSourcesResponse;
    /// Proves on the running server that what it holds adds up. Reads everything: hence the longer deadline.
    plain bulk_timeout InventoryServiceClient.check_invariants(CheckInvariantsRequest) -> CheckInvariantsResponse;

    /// Creates or replaces stores, all or none; at most 1000.
    keyed bulk_timeout CatalogServiceClient.put_stores(PutStoresRequest) -> PutStoresResponse;
    /// One store.
    plain timeout CatalogServiceClient.get_store(GetStoreRequest) -> Store;
    /// A page of stores in id order.
    plain timeout CatalogServiceClient.list_stores(ListStoresRequest) -> ListStoresResponse;
    /// Creates or replaces products, all or none; at most 1000.
    keyed bulk_timeout CatalogServiceClient.put_products(PutProductsRequest) -> PutProductsResponse;
    /// One product by SKU or by what a scanner read.
    plain timeout CatalogServiceClient.get_product(GetProductRequest) -> GetProductResponse;
    /// A page of products in SKU order.
    plain timeout CatalogServiceClient.list_products(ListProductsRequest) -> ListProductsResponse;

    /// How orders are routed.
    plain timeout CatalogServiceClient.get_routing_policy(GetRoutingPolicyRequest) -> RoutingPolicy;
    /// Replaces the routing policy, or tries one on the routings of late.
    keyed bulk_timeout CatalogServiceClient.set_routing_policy(SetRoutingPolicyRequest) -> SetRoutingPolicyResponse;
    /// The pickup slots of a store.
    plain timeout FulfillmentServiceClient.list_pickup_slots(ListPickupSlotsRequest) -> ListPickupSlotsResponse;

    /// Takes a batch of events; answers when it is durable. For many events see [`Tillside::ingest`].
    plain bulk_timeout IngestServiceClient.ingest_batch(IngestBatchRequest) -> IngestBatchResponse;
    /// Receipt lines whose SKU or store the server does not know.
    plain timeout IngestServiceClient.list_quarantined_lines(ListQuarantinedLinesRequest) -> ListQuarantinedLinesResponse;
    /// Customers nobody enrolled yet.
    plain timeout IngestServiceClient.list_provisional_customers(ListProvisionalCustomersRequest) -> ListProvisionalCustomersResponse;

    /// Recognise, offer and plan in one round trip. Give a `request_id` where a hold is asked for; one is made otherwise.
    keyed timeout CheckoutServiceClient.evaluate_checkout(EvaluateCheckoutRequest) -> EvaluateCheckoutResponse;
    /// Ends a checkout. Twice is the same as once.
    keyed timeout CheckoutServiceClient.close_checkout(CloseCheckoutRequest) -> CloseCheckoutResponse;

    /// What runs there and what it holds. The digest, where asked for, reads every row once: hence the longer deadline.
    plain bulk_timeout OperationsServiceClient.get_server_info(GetServerInfoRequest) -> ServerInfo;
    /// Starts a backup; answers at once, and [`Tillside::get_operation`] says how far it is.
    keyed timeout OperationsServiceClient.create_backup(CreateBackupRequest) -> Operation;
    /// How far an operation is.
    plain timeout OperationsServiceClient.get_operation(GetOperationRequest) -> Operation;
    /// The complete backups of the server, oldest first.
    plain timeout OperationsServiceClient.list_backups(ListBackupsRequest) -> ListBackupsResponse;
    /// Moves the clock of a server that was started with a simulated clock.
    plain timeout SimulationServiceClient.advance_clock(AdvanceClockRequest) -> AdvanceClockResponse;
}
