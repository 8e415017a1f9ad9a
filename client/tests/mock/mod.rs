//! A server that remembers what it was told and breaks where a test wants it to. It decides nothing of its own.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tillside_client::v1::{self, event::Payload};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming, transport::Server};
use tonic_types::{ErrorDetails, StatusExt as _};

/// What the server remembers, and how it misbehaves.
#[derive(Debug, Default)]
pub struct Memory {
    pub stores: BTreeMap<String, v1::Store>,
    pub products: BTreeMap<String, v1::Product>,
    pub offers: BTreeMap<String, v1::Offer>,
    /// Accepted events in order.
    pub events: Vec<v1::Event>,
    /// How many streams were opened, and how many messages came over them, repeats included.
    pub streams: usize,
    pub messages: usize,
    /// The request ids of AdjustStock, in order.
    pub adjust_request_ids: Vec<String>,
    /// The time that callers of AdjustStock left the server.
    pub adjust_timeouts: Vec<String>,
    seen: HashSet<(String, String)>,

    /// Events about this SKU are rejected; products of this SKU are refused with a field violation.
    pub bad_sku: String,
    /// Products of this SKU are refused without saying which one it is.
    pub mute_sku: String,
    /// Streams break after this many messages, the last of them taken but not answered.
    pub break_after_messages: Option<usize>,
    /// How many times a stream breaks.
    pub breaks_left: usize,
    /// The next calls of AdjustStock fail with these.
    pub adjust_failures: Vec<Status>,
    /// AdjustStock never answers.
    pub adjust_hangs: bool,
}

/// A running server; ends with the runtime of the test.
#[derive(Debug, Clone)]
pub struct Mock {
    memory: Arc<Mutex<Memory>>,
    pub address: SocketAddr,
}

impl Mock {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mock = Self {
            memory: Arc::default(),
            address,
        };
        let server = Server::builder()
            .add_service(v1::ingest_service_server::IngestServiceServer::new(
                mock.clone(),
            ))
            .add_service(v1::catalog_service_server::CatalogServiceServer::new(
                mock.clone(),
            ))
            .add_service(v1::offer_service_server::OfferServiceServer::new(
                mock.clone(),
            ))
            .add_service(v1::inventory_service_server::InventoryServiceServer::new(
                mock.clone(),
            ))
            .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
        tokio::spawn(server);
        mock
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory
            .lock()
            .expect("no test panics while it holds this")
    }
}

impl Memory {
    fn take(&mut self, event: v1::Event) -> v1::EventAck {
        let event_id = event.event_id.clone();
        let ack = |status: v1::AckStatus| v1::EventAck {
            event_id: event_id.clone(),
            status: status.into(),
            ..v1::EventAck::default()
        };
        if !self.bad_sku.is_empty() && mentions(&event, &self.bad_sku) {
            return v1::EventAck {
                problem: Some(v1::Problem {
                    reason: "UNKNOWN_SKU".to_owned(),
                    field: "sku".to_owned(),
                    message: "There is no such product.".to_owned(),
                }),
                ..ack(v1::AckStatus::Rejected)
            };
        }
        if !self
            .seen
            .insert((event.source.clone(), event.event_id.clone()))
        {
            return ack(v1::AckStatus::Duplicate);
        }
        self.events.push(event);
        ack(v1::AckStatus::Accepted)
    }

    fn answer(&mut self, request: v1::IngestEventsRequest) -> v1::IngestEventsResponse {
        let acks: Vec<_> = request
            .events
            .into_iter()
            .map(|event| self.take(event))
            .collect();
        let count =
            |status: v1::AckStatus| acks.iter().filter(|ack| ack.status() == status).count() as i32;
        v1::IngestEventsResponse {
            durable_position: request.position,
            accepted: count(v1::AckStatus::Accepted),
            duplicates: count(v1::AckStatus::Duplicate),
            rejected: count(v1::AckStatus::Rejected),
            acks: acks
                .into_iter()
                .filter(|ack| !request.omit_accepted || ack.status() != v1::AckStatus::Accepted)
                .collect(),
        }
    }
}

fn mentions(event: &v1::Event, sku: &str) -> bool {
    match &event.payload {
        Some(Payload::StockCount(count)) => count.sku == sku,
        Some(Payload::Transaction(transaction)) => transaction
            .lines
            .iter()
            .any(|line| line.item == Some(v1::transaction_line::Item::Sku(sku.to_owned()))),
        _ => false,
    }
}

#[tonic::async_trait]
impl v1::ingest_service_server::IngestService for Mock {
    async fn ingest_batch(
        &self,
        request: Request<v1::IngestBatchRequest>,
    ) -> Result<Response<v1::IngestBatchResponse>, Status> {
        let mut memory = self.memory();
        let acks = request
            .into_inner()
            .events
            .into_iter()
            .map(|event| memory.take(event))
            .collect();
        Ok(Response::new(v1::IngestBatchResponse { acks }))
    }

    type IngestEventsStream = ReceiverStream<Result<v1::IngestEventsResponse, Status>>;

    async fn ingest_events(
        &self,
        request: Request<Streaming<v1::IngestEventsRequest>>,
    ) -> Result<Response<Self::IngestEventsStream>, Status> {
        let mut messages = request.into_inner();
        let (answers, stream) = mpsc::channel(4);
        let mock = self.clone();
        mock.memory().streams += 1;
        tokio::spawn(async move {
            let mut count = 0;
            while let Ok(Some(message)) = messages.message().await {
                count += 1;
                let (answer, breaks) = {
                    let mut memory = mock.memory();
                    memory.messages += 1;
                    let answer = memory.answer(message);
                    let breaks =
                        memory.breaks_left > 0 && memory.break_after_messages == Some(count);
                    memory.breaks_left -= usize::from(breaks);
                    (answer, breaks)
                };
                if breaks {
                    let _ = answers.send(Err(Status::unavailable("restarting"))).await;
                    return;
                }
                if answers.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn list_quarantined_lines(
        &self,
        _request: Request<v1::ListQuarantinedLinesRequest>,
    ) -> Result<Response<v1::ListQuarantinedLinesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_provisional_customers(
        &self,
        _request: Request<v1::ListProvisionalCustomersRequest>,
    ) -> Result<Response<v1::ListProvisionalCustomersResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

fn upsert<T: PartialEq>(
    map: &mut BTreeMap<String, T>,
    key: String,
    value: T,
    counts: &mut [i32; 3],
) {
    let slot = match map.get(&key) {
        None => 0,
        Some(before) if *before != value => 1,
        Some(_) => 2,
    };
    counts[slot] += 1;
    map.insert(key, value);
}

fn refused(reason: &str, violations: Vec<(String, &str)>) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "tillside", HashMap::<String, String>::new());
    for (field, description) in violations {
        details.add_bad_request_violation(field, description);
    }
    Status::with_error_details(Code::InvalidArgument, "The batch was refused.", details)
}

#[tonic::async_trait]
impl v1::catalog_service_server::CatalogService for Mock {
    async fn put_stores(
        &self,
        request: Request<v1::PutStoresRequest>,
    ) -> Result<Response<v1::PutStoresResponse>, Status> {
        let mut counts = [0; 3];
        for store in request.into_inner().stores {
            upsert(
                &mut self.memory().stores,
                store.store_id.clone(),
                store,
                &mut counts,
            );
        }
        let [created, updated, unchanged] = counts;
        Ok(Response::new(v1::PutStoresResponse {
            created,
            updated,
            unchanged,
        }))
    }

    async fn put_products(
        &self,
        request: Request<v1::PutProductsRequest>,
    ) -> Result<Response<v1::PutProductsResponse>, Status> {
        let products = request.into_inner().products;
        let mut memory = self.memory();
        let bad = products
            .iter()
            .position(|product| product.sku == memory.bad_sku);
        if let Some(index) = bad {
            let field = format!("products[{index}].gtins[0]");
            return Err(refused(
                "INVALID_GTIN",
                vec![(field, "has a wrong check digit")],
            ));
        }
        if products
            .iter()
            .any(|product| product.sku == memory.mute_sku)
        {
            return Err(refused("GTIN_TAKEN", Vec::new()));
        }
        let mut counts = [0; 3];
        for product in products {
            upsert(
                &mut memory.products,
                product.sku.clone(),
                product,
                &mut counts,
            );
        }
        let [created, updated, unchanged] = counts;
        Ok(Response::new(v1::PutProductsResponse {
            created,
            updated,
            unchanged,
        }))
    }

    async fn get_routing_policy(
        &self,
        _request: Request<v1::GetRoutingPolicyRequest>,
    ) -> Result<Response<v1::RoutingPolicy>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn set_routing_policy(
        &self,
        _request: Request<v1::SetRoutingPolicyRequest>,
    ) -> Result<Response<v1::SetRoutingPolicyResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_store(
        &self,
        _request: Request<v1::GetStoreRequest>,
    ) -> Result<Response<v1::Store>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_stores(
        &self,
        _request: Request<v1::ListStoresRequest>,
    ) -> Result<Response<v1::ListStoresResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_product(
        &self,
        _request: Request<v1::GetProductRequest>,
    ) -> Result<Response<v1::GetProductResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_products(
        &self,
        _request: Request<v1::ListProductsRequest>,
    ) -> Result<Response<v1::ListProductsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl v1::offer_service_server::OfferService for Mock {
    async fn put_offer(
        &self,
        request: Request<v1::PutOfferRequest>,
    ) -> Result<Response<v1::Offer>, Status> {
        let mut offer = request.into_inner().offer.unwrap_or_default();
        let mut memory = self.memory();
        offer.etag = memory
            .offers
            .get(&offer.offer_id)
            .map_or("1".to_owned(), |before| {
                let mut same = before.clone();
                same.etag.clear();
                let step = usize::from(same != offer);
                (before.etag.parse::<usize>().unwrap_or(0) + step).to_string()
            });
        memory.offers.insert(offer.offer_id.clone(), offer.clone());
        Ok(Response::new(offer))
    }

    async fn get_offer(
        &self,
        request: Request<v1::GetOfferRequest>,
    ) -> Result<Response<v1::Offer>, Status> {
        let offer = self
            .memory()
            .offers
            .get(&request.into_inner().offer_id)
            .cloned();
        offer
            .map(Response::new)
            .ok_or_else(|| Status::not_found("There is no such offer."))
    }

    async fn next_best_offer(
        &self,
        _request: Request<v1::NextBestOfferRequest>,
    ) -> Result<Response<v1::Decision>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_offers(
        &self,
        _request: Request<v1::ListOffersRequest>,
    ) -> Result<Response<v1::ListOffersResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn archive_offer(
        &self,
        _request: Request<v1::ArchiveOfferRequest>,
    ) -> Result<Response<v1::Offer>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn report_outcomes(
        &self,
        _request: Request<v1::ReportOutcomesRequest>,
    ) -> Result<Response<v1::ReportOutcomesResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl v1::inventory_service_server::InventoryService for Mock {
    async fn adjust_stock(
        &self,
        request: Request<v1::AdjustStockRequest>,
    ) -> Result<Response<v1::StockLevel>, Status> {
        let timeout = request
            .metadata()
            .get("grpc-timeout")
            .and_then(|value| value.to_str().ok());
        let timeout = timeout.unwrap_or_default().to_owned();
        let hangs = {
            let mut memory = self.memory();
            memory.adjust_timeouts.push(timeout);
            memory
                .adjust_request_ids
                .push(request.get_ref().request_id.clone());
            if !memory.adjust_failures.is_empty() {
                return Err(memory.adjust_failures.remove(0));
            }
            memory.adjust_hangs
        };
        if hangs {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        let mut response = Response::new(v1::StockLevel::default());
        response
            .metadata_mut()
            .insert("tillside-server-time-us", "17".parse().expect("digits"));
        Ok(response)
    }

    async fn get_availability(
        &self,
        _request: Request<v1::GetAvailabilityRequest>,
    ) -> Result<Response<v1::StockLevel>, Status> {
        Err(Status::not_found("There is no such store."))
    }

    async fn batch_get_availability(
        &self,
        _request: Request<v1::BatchGetAvailabilityRequest>,
    ) -> Result<Response<v1::BatchGetAvailabilityResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn set_stock_count(
        &self,
        _request: Request<v1::SetStockCountRequest>,
    ) -> Result<Response<v1::StockLevel>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn schedule_inbound(
        &self,
        _request: Request<v1::ScheduleInboundRequest>,
    ) -> Result<Response<v1::InboundDelivery>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn receive_inbound(
        &self,
        _request: Request<v1::ReceiveInboundRequest>,
    ) -> Result<Response<v1::InboundDelivery>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn cancel_inbound(
        &self,
        _request: Request<v1::CancelInboundRequest>,
    ) -> Result<Response<v1::InboundDelivery>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_inbound(
        &self,
        _request: Request<v1::ListInboundRequest>,
    ) -> Result<Response<v1::ListInboundResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_shortages(
        &self,
        _request: Request<v1::ListShortagesRequest>,
    ) -> Result<Response<v1::ListShortagesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn set_stock_rules(
        &self,
        _request: Request<v1::SetStockRulesRequest>,
    ) -> Result<Response<v1::SetStockRulesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_stock_rules(
        &self,
        _request: Request<v1::ListStockRulesRequest>,
    ) -> Result<Response<v1::ListStockRulesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn set_store_prices(
        &self,
        _request: Request<v1::SetStorePricesRequest>,
    ) -> Result<Response<v1::SetStorePricesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_sources(
        &self,
        _request: Request<v1::ListSourcesRequest>,
    ) -> Result<Response<v1::ListSourcesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn check_invariants(
        &self,
        _request: Request<v1::CheckInvariantsRequest>,
    ) -> Result<Response<v1::CheckInvariantsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    type WatchAvailabilityStream = ReceiverStream<Result<v1::WatchAvailabilityResponse, Status>>;

    async fn watch_availability(
        &self,
        _request: Request<v1::WatchAvailabilityRequest>,
    ) -> Result<Response<Self::WatchAvailabilityStream>, Status> {
        Err(Status::unimplemented(""))
    }
}
