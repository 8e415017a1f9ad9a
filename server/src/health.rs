//! `grpc.health.v1`, answered from the [`Gate`]. Watches end when the server drains, so that a health checker's open
//! stream never holds up a stop.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::gate::{Gate, Phase};

/// The health service.
#[derive(Clone, Debug)]
pub struct HealthService {
    gate: Arc<Gate>,
    services: Arc<[String]>,
}

impl HealthService {
    /// Answers for the server as a whole ("") and for each of `services`, which stand and fall together.
    pub fn new(gate: Arc<Gate>, services: impl IntoIterator<Item = String>) -> Self {
        HealthService {
            gate,
            services: services.into_iter().collect(),
        }
    }

    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.iter().any(|s| s == service)
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

fn status_in(phase: Phase) -> ServingStatus {
    match phase {
        Phase::Serving => ServingStatus::Serving,
        Phase::Loading | Phase::Draining | Phase::Failed => ServingStatus::NotServing,
    }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.get_ref().service) {
            return Err(Status::not_found(
                "this server has no such service; ask for \"\" to learn about the server",
            ));
        }
        Ok(Response::new(answer(status_in(self.gate.phase()))))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !self.knows(&request.get_ref().service) {
            // The protocol wants an answer here, for a service may appear later; ours never do.
            let unknown = futures_util::stream::iter([Ok(answer(ServingStatus::ServiceUnknown))]);
            return Ok(Response::new(Box::pin(unknown)));
        }
        let phases = futures_util::stream::unfold(
            (self.gate.watch(), None),
            |(mut watch, last)| async move {
                loop {
                    let phase = *watch.borrow_and_update();
                    if last != Some(phase) {
                        return Some((Ok(answer(status_in(phase))), (watch, Some(phase))));
                    }
                    if phase > Phase::Serving || watch.changed().await.is_err() {
                        return None;
                    }
                }
            },
        );
        Ok(Response::new(Box::pin(phases)))
    }
}
