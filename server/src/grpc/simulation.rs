//! The clock of a server that runs on a simulated one. Anywhere else these methods do not exist.

use std::sync::Arc;

use tillside_engine::reject::Rejection;
use tillside_proto::v1::{self, simulation_service_server::SimulationService};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert::checks::{Checks, Path};
use crate::convert::values::timestamp;
use crate::errors;

/// Handlers of `SimulationService`.
#[derive(Debug)]
pub struct Handlers(pub(super) Arc<App>);

#[tonic::async_trait]
impl SimulationService for Handlers {
    async fn advance_clock(
        &self,
        request: Request<v1::AdvanceClockRequest>,
    ) -> Result<Response<v1::AdvanceClockResponse>, Status> {
        let app = &*self.0;
        let root = Path::ROOT;
        let mut checks = Checks::default();
        let now = checks.optional_time(root.field("now"), request.get_ref().now.as_ref());
        checks.require(now.is_some(), root.field("now"), "is required");
        checks.finish()?;
        let wanted = now
            .filter(|now| *now >= app.now())
            .ok_or_else(|| errors::rejected(&Rejection::ClockBackwards))?;
        let now = app.sequencer.advance_clock(wanted).await?;
        Ok(Response::new(v1::AdvanceClockResponse {
            now: Some(timestamp(now)),
        }))
    }
}
