//! Stock.

use std::sync::Arc;

use tillside_engine::command::Command;
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_proto::v1::{self, inventory_service_server::InventoryService};
use tonic::{Request, Response, Status};

use super::open;
use crate::app::App;
use crate::convert::checks::{Checks, Path};
use crate::convert::stock::{adjustment, availabilities, availability, count, wire_level};
use crate::errors;
use crate::sequencer::Answer;

/// Handlers of `InventoryService`.
#[derive(Debug)]
pub struct Handlers(pub(super) Arc<App>);

impl Handlers {
    fn level(
        &self,
        request: &v1::GetAvailabilityRequest,
        path: Path<'_>,
    ) -> Result<v1::StockLevel, Rejection> {
        let state = &self.0.state;
        let sequence = state.snapshot_sequence();
        let unknown_sku = || Rejection::UnknownSku {
            field: path.field("sku").to_string(),
            sku: request.sku.as_str().into(),
        };
        let unknown_store = || Rejection::UnknownStore {
            field: path.field("store_id").to_string(),
            store_id: request.store_id.as_str().into(),
        };
        let (sku, product) = state.products.find(&request.sku).ok_or_else(unknown_sku)?;
        let (number, store) = state
            .stores
            .find(&request.store_id)
            .ok_or_else(unknown_store)?;
        Ok(wire_level(
            &product,
            &store,
            &state.level(sku, number),
            sequence,
        ))
    }

    fn changed(&self, answer: &Answer) -> Result<Response<v1::StockLevel>, Status> {
        let Reply::Stock { sku, store, level } = &answer.reply else {
            return Err(errors::defect("a stock level was expected"));
        };
        let state = &self.0.state;
        let (Some(product), Some(store)) = (state.products.get(*sku), state.stores.get(*store))
        else {
            return Err(errors::defect("the level's product or store is gone"));
        };
        Ok(Response::new(wire_level(
            &product,
            &store,
            level,
            answer.sequence,
        )))
    }
}

#[tonic::async_trait]
impl InventoryService for Handlers {
    async fn get_availability(
        &self,
        request: Request<v1::GetAvailabilityRequest>,
    ) -> Result<Response<v1::StockLevel>, Status> {
        let mut checks = Checks::default();
        availability(&mut checks, Path::ROOT, request.get_ref());
        checks.finish()?;
        let level = self.level(request.get_ref(), Path::ROOT);
        Ok(Response::new(level.map_err(|r| errors::rejected(&r))?))
    }

    async fn batch_get_availability(
        &self,
        request: Request<v1::BatchGetAvailabilityRequest>,
    ) -> Result<Response<v1::BatchGetAvailabilityResponse>, Status> {
        let root = Path::ROOT;
        let requests = &request.get_ref().requests;
        let mut checks = Checks::default();
        availabilities(&mut checks, requests);
        checks.finish()?;
        let levels = requests
            .iter()
            .enumerate()
            .map(|(i, request)| self.level(request, root.item("requests", i)));
        let levels = levels
            .collect::<Result<_, _>>()
            .map_err(|r| errors::rejected(&r))?;
        Ok(Response::new(v1::BatchGetAvailabilityResponse { levels }))
    }

    async fn adjust_stock(
        &self,
        request: Request<v1::AdjustStockRequest>,
    ) -> Result<Response<v1::StockLevel>, Status> {
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let adjustment = adjustment(&mut checks, &request);
        checks.finish()?;
        let answer = self
            .0
            .submit(Command::AdjustStock(adjustment), stamp, deadline)
            .await?;
        self.changed(&answer)
    }

    async fn set_stock_count(
        &self,
        request: Request<v1::SetStockCountRequest>,
    ) -> Result<Response<v1::StockLevel>, Status> {
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let count = count(&mut checks, &request);
        checks.finish()?;
        let answer = self
            .0
            .submit(Command::SetStockCount(count), stamp, deadline)
            .await?;
        self.changed(&answer)
    }
}
