//! The server itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tillside_engine::state::read;
use tillside_proto::v1::{self, operations_service_server::OperationsService};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert::values::timestamp;
use crate::errors;
use crate::server::FORMAT_VERSION;

/// Handlers of `OperationsService`.
#[derive(Debug)]
pub struct Handlers(pub(super) Arc<App>);

#[tonic::async_trait]
impl OperationsService for Handlers {
    async fn get_server_info(
        &self,
        request: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::ServerInfo>, Status> {
        let app = &*self.0;
        let (state_digest, state_digest_sequence) = if request.get_ref().include_state_digest {
            app.digest().await?
        } else {
            (String::new(), 0)
        };
        Ok(Response::new(v1::ServerInfo {
            version: env!("CARGO_PKG_VERSION").into(),
            format_version: FORMAT_VERSION,
            durable_sequence: app.sequencer.durable_sequence().0,
            state_digest,
            state_digest_sequence,
            counts: Some(app.counts()),
            start_time: Some(timestamp(app.about.started)),
            now: Some(timestamp(app.now())),
            simulated_clock: app.clock.is_simulated(),
            recovery_duration: prost_types::Duration::try_from(app.about.recovery).ok(),
        }))
    }
}

impl App {
    /// Reads every row on a thread where waiting harms nobody.
    async fn digest(&self) -> Result<(String, u64), Status> {
        let digester = Arc::clone(&self.digester);
        match tokio::task::spawn_blocking(move || digester.digest()).await {
            Ok(Ok(digest)) => Ok(digest),
            Ok(Err(error)) => {
                tracing::error!(%error, "the state digest could not be computed");
                Err(errors::storage_failed())
            }
            Err(_) => Err(errors::defect("the digest's thread ended with a panic")),
        }
    }

    fn counts(&self) -> v1::EntityCounts {
        let state = &self.state;
        v1::EntityCounts {
            stores: state.stores.len() as u64,
            products: state.products.len() as u64,
            customers: state.customers.len() as u64,
            provisional_customers: read(&state.provisional).len() as u64,
            stock_levels: state.stock.len() as u64,
            offers: state.offers.len() as u64,
            reservations: state.reservations.len() as u64,
            transactions: state.transactions.load(Ordering::Acquire),
            quarantined_lines: read(&state.quarantine).len() as u64,
        }
    }
}
