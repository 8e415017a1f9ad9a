//! The handlers: convert, call, convert. Each is about a screen; what it decides is which engine function to ask.

mod availability_watch;
mod catalog;
mod checkout;
mod customer;
mod fulfillment;
mod ingest;
mod invariants;
mod inventory;
mod offer;
mod operations;
mod orders;
mod reservation_lists;
mod simulation;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use tillside_proto::v1::{
    catalog_service_server::CatalogServiceServer, checkout_service_server::CheckoutServiceServer,
    customer_service_server::CustomerServiceServer,
    fulfillment_service_server::FulfillmentServiceServer,
    ingest_service_server::IngestServiceServer, inventory_service_server::InventoryServiceServer,
    offer_service_server::OfferServiceServer, operations_service_server::OperationsServiceServer,
    simulation_service_server::SimulationServiceServer,
};
use tonic::codegen::Service as _;
use tonic::{Request, Status};
use tonic_health::pb::health_server::HealthServer;

use crate::app::App;
use crate::config::Config;
use crate::convert::checks::Checks;
use crate::edge::methods::Methods;
use crate::edge::unary::Answered;
use crate::gate::Gate;
use crate::health::HealthService;
use crate::requests::{self, Mutation};
use crate::sequencer::RequestStamp;

/// All services over one [`App`].
#[derive(Debug)]
#[allow(missing_docs, reason = "the names are the services'")]
pub struct Services {
    /// Bytes of a request of the methods that answer from memory.
    pub hot_message_bytes_max: usize,
    customers: Arc<customer::Handlers>,
    pub customer: CustomerServiceServer<customer::Handlers>,
    pub offer: OfferServiceServer<offer::Handlers>,
    pub fulfillment: FulfillmentServiceServer<fulfillment::Handlers>,
    pub inventory: InventoryServiceServer<inventory::Handlers>,
    pub catalog: CatalogServiceServer<catalog::Handlers>,
    pub ingest: IngestServiceServer<ingest::Handlers>,
    pub checkout: CheckoutServiceServer<checkout::Handlers>,
    pub operations: OperationsServiceServer<operations::Handlers>,
    pub simulation: SimulationServiceServer<simulation::Handlers>,
}

impl Services {
    /// The services, each with the message limit of its kind: a length prefix reserves memory up to it.
    pub fn new(app: Arc<App>, gate: Arc<Gate>, config: &Config) -> Services {
        let (hot, list, bulk) = (
            config.hot_message_bytes_max,
            config.message_bytes_max,
            config.bulk_message_bytes_max,
        );
        let app = || Arc::clone(&app);
        let customers = Arc::new(customer::Handlers(app()));
        Services {
            hot_message_bytes_max: hot,
            customer: CustomerServiceServer::from_arc(Arc::clone(&customers))
                .max_decoding_message_size(hot),
            customers,
            fulfillment: FulfillmentServiceServer::new(fulfillment::Handlers {
                app: app(),
                gate: Arc::clone(&gate),
            })
            .max_decoding_message_size(hot),
            operations: OperationsServiceServer::new(operations::Handlers {
                app: app(),
                gate: Arc::clone(&gate),
            })
            .max_decoding_message_size(hot),
            simulation: SimulationServiceServer::new(simulation::Handlers(app()))
                .max_decoding_message_size(hot),
            offer: OfferServiceServer::new(offer::Handlers(app())).max_decoding_message_size(list),
            checkout: CheckoutServiceServer::new(checkout::Handlers(app()))
                .max_decoding_message_size(list),
            inventory: InventoryServiceServer::new(inventory::Handlers {
                app: app(),
                gate: Arc::clone(&gate),
            })
            .max_decoding_message_size(list),
            catalog: CatalogServiceServer::new(catalog::Handlers(app()))
                .max_decoding_message_size(bulk),
            ingest: IngestServiceServer::new(ingest::Handlers { app: app(), gate })
                .max_decoding_message_size(bulk),
        }
    }

    /// RecognizeCustomer from bytes to bytes; the answer is appended.
    pub fn recognize_customer(
        &self,
        request: &[u8],
        answer: &mut Vec<u8>,
    ) -> Result<Answered, Status> {
        self.customers.recognize(request, answer)
    }
}

/// What a generated service answers with.
pub type Answering =
    Pin<Box<dyn Future<Output = Result<http::Response<tonic::body::Body>, Infallible>> + Send>>;
/// A service whose type has no name.
pub type Erased = Arc<dyn Fn(http::Request<Incoming>) -> Answering + Send + Sync>;

/// Services that answer from the first moment.
#[derive(Clone)]
#[allow(missing_docs, reason = "the names are the services'")]
pub struct Always {
    pub health: HealthServer<HealthService>,
    pub reflection_v1: Erased,
    pub reflection_v1alpha: Erased,
}

impl std::fmt::Debug for Always {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Always").finish_non_exhaustive()
    }
}

impl Always {
    /// Health from the gate, reflection over our own protos and health's.
    pub fn new(
        gate: Arc<Gate>,
        methods: &Methods,
    ) -> Result<Always, tonic_reflection::server::Error> {
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(tillside_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let (v1, v1alpha) = (builder().build_v1()?, builder().build_v1alpha()?);
        Ok(Always {
            health: HealthServer::new(HealthService::new(gate, methods.services().to_vec())),
            reflection_v1: Arc::new(move |request| v1.clone().call(request)),
            reflection_v1alpha: Arc::new(move |request| v1alpha.clone().call(request)),
        })
    }
}

/// A mutating request, taken apart: its message without the id, its stamp, and when the caller stops waiting.
fn open<M: Mutation>(
    request: Request<M>,
    checks: &mut Checks,
) -> (M, RequestStamp, Option<Instant>) {
    let deadline = requests::deadline_of(&request);
    let mut message = request.into_inner();
    let stamp = requests::stamp(&mut message, checks);
    (message, stamp, deadline)
}
