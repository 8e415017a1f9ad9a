//! What every call passes, in this order: the bound on calls, the method table, the deadline, readiness; then its service.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use http::Request;
use hyper::body::Incoming;
use tonic::codegen::Service as _;

use super::call::{AnswerFuture, Call};
use super::deadline;
use super::methods::{Methods, Target};
use super::unary::{self, UnaryCall};
use crate::errors;
use crate::gate::{Gate, Phase};
use crate::grpc::{Always, Services};
use crate::requests::Deadline;

/// What all connections of one worker share.
#[derive(Debug)]
pub struct Shared {
    /// All methods.
    pub methods: Arc<Methods>,
    /// Whether calls are taken.
    pub gate: Arc<Gate>,
    /// Services that answer from the first moment.
    pub always: Always,
    /// The services that need the state; set once it is loaded.
    pub services: OnceLock<Services>,
    /// Calls under way on this worker.
    pub calls: AtomicUsize,
    /// Their bound.
    pub calls_max: usize,
}

/// Calls of a connection after which the name of the server time is told again to the peer's header table: the headers of
/// failed calls may have driven it out. Rarely, because each time leaves an entry that every later call is compared with.
const TIME_INTRODUCED_EVERY: u32 = 1 << 20;

/// One connection, as the service of its calls.
#[derive(Debug)]
pub struct Connection {
    pub(super) shared: Arc<Shared>,
    /// Calls so far, wrapping.
    calls: AtomicU32,
}

impl Connection {
    /// A new one.
    pub fn new(shared: Arc<Shared>) -> Self {
        Connection {
            shared,
            calls: AtomicU32::new(0),
        }
    }

    /// Whether the call that begins now is to tell the name of the server time.
    pub(super) fn introduces_time(&self) -> bool {
        // One thread alone serves a connection.
        let calls = self.calls.load(Ordering::Relaxed);
        self.calls.store(calls.wrapping_add(1), Ordering::Relaxed);
        calls.is_multiple_of(TIME_INTRODUCED_EVERY)
    }
}

impl hyper::service::Service<Request<Incoming>> for Connection {
    type Response = http::Response<super::call::AnswerBody>;
    type Error = std::convert::Infallible;
    type Future = AnswerFuture;

    fn call(&self, mut request: Request<Incoming>) -> AnswerFuture {
        let started = Instant::now();
        let shared = &self.shared;
        let method = shared.methods.find(request.uri().path());
        let calls = shared.calls.load(Ordering::Relaxed);
        let call = Call::begin(started, method, self);
        if calls >= shared.calls_max {
            return AnswerFuture::refused(errors::overloaded(), call);
        }
        let Some(method) = method else {
            let status = tonic::Status::unimplemented(
                "this server has no such method; server reflection lists what it has",
            );
            return AnswerFuture::refused(status, call);
        };
        if let Some(deadline) = deadline::parse(request.headers(), started) {
            if deadline <= Instant::now() {
                return AnswerFuture::refused(errors::deadline_exceeded(), call);
            }
            request.extensions_mut().insert(Deadline(deadline));
        }
        let always = &shared.always;
        let answering = match shared.methods.target(method) {
            Target::Health => always.health.clone().call(request),
            Target::ReflectionV1 => (always.reflection_v1)(request),
            Target::ReflectionV1Alpha => (always.reflection_v1alpha)(request),
            target => {
                let Some(services) = shared
                    .services
                    .get()
                    .filter(|_| shared.gate.phase() != Phase::Loading)
                else {
                    let why = "the server is still loading its data; call again once its health is SERVING";
                    return AnswerFuture::refused(errors::not_ready(why), call);
                };
                if target == Target::Recognition && unary::is_plain(request.headers()) {
                    let unary = UnaryCall::new(
                        request.into_body(),
                        services.hot_message_bytes_max,
                        Services::recognize_customer,
                    );
                    return AnswerFuture::unary(unary, call);
                }
                match target {
                    Target::Customer | Target::Recognition => {
                        services.customer.clone().call(request)
                    }
                    Target::Offer => services.offer.clone().call(request),
                    Target::Fulfillment => services.fulfillment.clone().call(request),
                    Target::Inventory => services.inventory.clone().call(request),
                    Target::Catalog => services.catalog.clone().call(request),
                    Target::Ingest => services.ingest.clone().call(request),
                    Target::Checkout => services.checkout.clone().call(request),
                    Target::Operations => services.operations.clone().call(request),
                    _ => services.simulation.clone().call(request),
                }
            }
        };
        AnswerFuture::answering(answering, call)
    }
}
