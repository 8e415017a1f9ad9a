//! `grpc.health.v1`, answered from the [`Gate`]. Every service reads, and most write too, so they stand and fall together
//! with what they can read; whether changes are taken has a name of its own, [`WRITES`]. Watches end when the server
//! drains, so that a health checker's open stream never holds up a stop.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::gate::{Gate, Phase};

/// A name to ask for that is no service: SERVING while changes are taken. With a full disk it is NOT_SERVING while "" and the
/// services are SERVING; once a write has failed, and while the server starts or stops, all are NOT_SERVING.
pub const WRITES: &str = "tillside.v1.Writes";

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
        service.is_empty() || service == WRITES || self.services.iter().any(|s| s == service)
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

fn status_in(phase: Phase, refused: bool) -> ServingStatus {
    match phase {
        Phase::Serving if !refused => ServingStatus::Serving,
        Phase::Serving | Phase::Loading | Phase::Draining | Phase::Failed => {
            ServingStatus::NotServing
        }
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
        let writes = request.get_ref().service == WRITES;
        let refused = writes && *self.gate.watch_writes().borrow();
        Ok(Response::new(answer(status_in(self.gate.phase(), refused))))
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
        let about_writes = request.get_ref().service == WRITES;
        let phases = futures_util::stream::unfold(
            (self.gate.watch(), self.gate.watch_writes(), None),
            move |(mut watch, mut writes, last)| async move {
                loop {
                    let phase = *watch.borrow_and_update();
                    let refused = *writes.borrow_and_update() && about_writes;
                    if last != Some((phase, refused)) {
                        let last = Some((phase, refused));
                        return Some((
                            Ok(answer(status_in(phase, refused))),
                            (watch, writes, last),
                        ));
                    }
                    if phase > Phase::Serving {
                        return None;
                    }
                    let gone = tokio::select! {
                        changed = watch.changed() => changed.is_err(),
                        changed = writes.changed() => changed.is_err(),
                    };
                    if gone {
                        return None;
                    }
                }
            },
        );
        Ok(Response::new(Box::pin(phases)))
    }
}
