//! Stock.

use std::hash::Hash;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;
use tillside_engine::command::Command;
use tillside_engine::decide::pick_exceptions::alternatives;
use tillside_engine::ids::{StoreId, compare_external};
use tillside_engine::inbound::{Delivery, DeliveryState};
use tillside_engine::reject::Rejection;
use tillside_engine::reply::{Alternative, Reply};
use tillside_engine::reservation::{Reservation, ReservationState};
use tillside_engine::shortage::{AtRisk, at_risk};
use tillside_engine::state::read;
use tillside_proto::v1::{self, inventory_service_server::InventoryService};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use super::availability_watch::{MESSAGES_MAX, Watching, parse_token};
use super::catalog::{page_of, put_counts, token_after};
use super::invariants::check;
use super::open;
use crate::app::App;
use crate::availability::{Filter, WATCHERS_MAX};
use crate::convert::checks::{Checks, Path};
use crate::convert::inbound::{self, wire_delivery};
use crate::convert::orders::wire_alternatives;
use crate::convert::paging::{page, token};
use crate::convert::stock::{adjustment, availabilities, availability, count, wire_level};
use crate::convert::stock_rules::{stock_rules, store_prices, wire_buffer};
use crate::convert::values::timestamp;
use crate::errors;
use crate::gate::Gate;
use crate::sequencer::Answer;

/// Stores that are named for a reservation at risk.
const ALTERNATIVES: usize = 3;

/// Whether a pick exception may be reported, which moves an order.
fn movable(state: ReservationState) -> bool {
    matches!(
        state,
        ReservationState::Confirmed | ReservationState::Picking | ReservationState::Ready
    )
}

/// Stores, or SKUs, that one watcher names: beyond it, all are cheaper.
const FILTER_MAX: usize = 10_000;
/// Seconds between heartbeats where the watcher does not say.
const HEARTBEAT_SECONDS: i64 = 30;
const HEARTBEAT_SECONDS_RANGE: RangeInclusive<i64> = 1..=3600;

type Watched = Result<v1::WatchAvailabilityResponse, Status>;

/// Handlers of `InventoryService`.
#[derive(Debug)]
pub struct Handlers {
    pub(super) app: Arc<App>,
    pub(super) gate: Arc<Gate>,
}

impl Handlers {
    fn level(
        &self,
        request: &v1::GetAvailabilityRequest,
        path: Path<'_>,
    ) -> Result<v1::StockLevel, Rejection> {
        let state = &self.app.state;
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
        let beside = state.beside(sku, number, self.app.now());
        Ok(wire_level(
            &product,
            &store,
            &state.level(sku, number),
            &beside,
            sequence,
        ))
    }

    fn changed(&self, answer: &Answer) -> Result<Response<v1::StockLevel>, Status> {
        let Reply::Stock {
            sku,
            store,
            level,
            beside,
        } = &answer.reply
        else {
            return Err(errors::defect("a stock level was expected"));
        };
        let state = &self.app.state;
        let (Some(product), Some(store)) = (state.products.get(*sku), state.stores.get(*store))
        else {
            return Err(errors::defect("the level's product or store is gone"));
        };
        Ok(Response::new(wire_level(
            &product,
            &store,
            level,
            beside,
            answer.sequence,
        )))
    }

    fn delivery(&self, answer: &Answer) -> Result<Response<v1::InboundDelivery>, Status> {
        let Reply::Delivery { delivery, .. } = &answer.reply else {
            return Err(errors::defect("a delivery was expected"));
        };
        Ok(Response::new(wire_delivery(&self.app.state, delivery)))
    }

    /// Stores or products of a filter, by number; `None`: all.
    fn numbers<T: Eq + Hash>(
        checks: &mut Checks,
        name: &'static str,
        ids: &[String],
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<FxHashSet<T>>, usize> {
        let root = Path::ROOT;
        checks.count(root.field(name), ids.len(), 0, FILTER_MAX);
        let mut numbers = FxHashSet::default();
        for (i, id) in ids.iter().take(FILTER_MAX).enumerate() {
            checks.id(root.item(name, i), id);
            numbers.insert(find(id).ok_or(i)?);
        }
        Ok((!ids.is_empty()).then_some(numbers))
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
            .app
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
            .app
            .submit(Command::SetStockCount(count), stamp, deadline)
            .await?;
        self.changed(&answer)
    }

    async fn schedule_inbound(
        &self,
        request: Request<v1::ScheduleInboundRequest>,
    ) -> Result<Response<v1::InboundDelivery>, Status> {
        let root = Path::ROOT;
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let at = checks.optional_time(root.field("occurred_time"), request.occurred_time.as_ref());
        let path = root.field("delivery");
        let draft = inbound::delivery(&mut checks, path, request.delivery.as_ref(), at);
        checks.finish()?;
        let command = Command::ScheduleInbound(draft);
        self.delivery(&self.app.submit(command, stamp, deadline).await?)
    }

    async fn receive_inbound(
        &self,
        request: Request<v1::ReceiveInboundRequest>,
    ) -> Result<Response<v1::InboundDelivery>, Status> {
        let root = Path::ROOT;
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let at = checks.optional_time(root.field("occurred_time"), request.occurred_time.as_ref());
        let came = (
            &request.delivery_id[..],
            &request.lines[..],
            request.complete,
        );
        let draft = inbound::receipt(&mut checks, root, came, at);
        checks.finish()?;
        let command = Command::ReceiveInbound(draft);
        self.delivery(&self.app.submit(command, stamp, deadline).await?)
    }

    async fn cancel_inbound(
        &self,
        request: Request<v1::CancelInboundRequest>,
    ) -> Result<Response<v1::InboundDelivery>, Status> {
        let root = Path::ROOT;
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let delivery_id = checks.id(root.field("delivery_id"), &request.delivery_id);
        checks.finish()?;
        let command = Command::CancelInbound { delivery_id };
        self.delivery(&self.app.submit(command, stamp, deadline).await?)
    }

    async fn list_inbound(
        &self,
        request: Request<v1::ListInboundRequest>,
    ) -> Result<Response<v1::ListInboundResponse>, Status> {
        let request = request.get_ref();
        let state = &self.app.state;
        let mut checks = Checks::default();
        let page = page(&mut checks, request.page_size, &request.page_token);
        let store = self.store_of(&mut checks, &request.store_id)?;
        let wanted = |delivery: &Arc<Delivery>| {
            let open = delivery.state == DeliveryState::Expected;
            store.is_none_or(|store| delivery.store == store) && (open || !request.expected_only)
        };
        let (ids, more) = page_of(&state.deliveries, &page, wanted);
        let found = ids
            .iter()
            .filter_map(|id| state.deliveries.get(id).map(|d| Arc::clone(&d)));
        Ok(Response::new(v1::ListInboundResponse {
            deliveries: found.map(|d| wire_delivery(state, &d)).collect(),
            next_page_token: token_after(&ids, more),
        }))
    }

    async fn list_shortages(
        &self,
        request: Request<v1::ListShortagesRequest>,
    ) -> Result<Response<v1::ListShortagesResponse>, Status> {
        let request = request.get_ref();
        let mut checks = Checks::default();
        let size = page(&mut checks, request.page_size, "").size;
        let store = self.store_of(&mut checks, &request.store_id)?;
        let (state, sequence) = (&self.app.state, self.app.state.snapshot_sequence());
        // Goes through all products and reservations: not on the runtime.
        let looking = Arc::clone(&self.app);
        let found = tokio::task::spawn_blocking(move || {
            let cells = looking.state.stock.short_cells();
            let cells = cells.filter(|cell| store.is_none_or(|store| cell.store() == store));
            let short: Vec<_> = cells.collect();
            let now = looking.now();
            let at_risk = at_risk(&looking.state, &short, now);
            let count = at_risk.len();
            let mut told: Vec<(AtRisk, Arc<Reservation>, Vec<Alternative>)> = Vec::new();
            for risk in at_risk.into_iter().take(size) {
                let Some(reservation) = looking.state.reservation(risk.reservation) else {
                    continue;
                };
                let others = match told.last() {
                    Some((last, _, others)) if last.reservation == risk.reservation => {
                        others.clone()
                    }
                    _ if movable(reservation.state) => {
                        alternatives(&looking.state, &reservation, ALTERNATIVES, now)
                    }
                    _ => Vec::new(),
                };
                told.push((risk, reservation, others));
            }
            (short, count, told)
        });
        let found = found.await;
        let (short, reservations_count, at_risk) =
            found.map_err(|_| errors::defect("looking for shortages panicked"))?;
        let now = self.app.now();
        let levels = short.iter().take(size).filter_map(|cell| {
            let (sku, at) = (cell.sku(), cell.store());
            let (product, store) = (state.products.get(sku)?, state.stores.get(at)?);
            let beside = state.beside(sku, at, now);
            let level = state.level(sku, at);
            Some(wire_level(&product, &store, &level, &beside, sequence))
        });
        let levels = levels.collect();
        let reservations = at_risk.iter().filter_map(|(risk, reservation, others)| {
            Some(v1::ReservationAtRisk {
                reservation_id: risk.reservation.to_string(),
                order_id: reservation.order_id.to_string(),
                store_id: state.stores.get(risk.store)?.store_id.to_string(),
                sku: state.products.get(risk.sku)?.sku.to_string(),
                held_thousandths: risk.held,
                missing_thousandths: risk.missing,
                alternatives: wire_alternatives(state, others, reservation, &[]),
            })
        });
        Ok(Response::new(v1::ListShortagesResponse {
            levels,
            levels_count: short.len() as i64,
            reservations: reservations.collect(),
            reservations_count: reservations_count as i64,
        }))
    }

    async fn set_stock_rules(
        &self,
        request: Request<v1::SetStockRulesRequest>,
    ) -> Result<Response<v1::SetStockRulesResponse>, Status> {
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let facts = stock_rules(&mut checks, &request);
        checks.finish()?;
        let command = Command::PutFacts(facts);
        let answer = self.app.submit(command, stamp, deadline).await?;
        let (created, updated, unchanged) = put_counts(&answer.reply)?;
        Ok(Response::new(v1::SetStockRulesResponse {
            created,
            updated,
            unchanged,
        }))
    }

    async fn list_stock_rules(
        &self,
        request: Request<v1::ListStockRulesRequest>,
    ) -> Result<Response<v1::ListStockRulesResponse>, Status> {
        let request = request.get_ref();
        let mut checks = Checks::default();
        let page = page(&mut checks, request.page_size, &request.page_token);
        let from = page.after.as_deref().map_or(Ok(0), str::parse::<usize>);
        let path = Path::ROOT.field("page_token");
        checks.require(from.is_ok(), path, "is not a next_page_token of this list");
        checks.finish()?;
        let (state, from) = (&self.app.state, from.unwrap_or(0));
        // The rules are few, and change seldom: a page begins after so many of them.
        let rules = state
            .stock
            .buffers()
            .page(None, from.saturating_add(page.size + 1));
        let more = rules.len() > from + page.size;
        let shown = rules.iter().skip(from).take(page.size);
        let mut answer = v1::ListStockRulesResponse {
            safety_buffers: shown.map(|(key, q)| wire_buffer(state, key, *q)).collect(),
            next_page_token: token(more.then(|| (from + page.size).to_string()).as_deref()),
            ..v1::ListStockRulesResponse::default()
        };
        if from > 0 {
            return Ok(Response::new(answer));
        }
        let name = |id| {
            state
                .stores
                .get(id)
                .map_or_else(String::new, |s| s.store_id.to_string())
        };
        for (store, ms) in &*read(&state.near_time_rules) {
            answer.near_time_rules.push(v1::NearTimeRule {
                store_id: store.map_or_else(String::new, name),
                horizon: Some(prost_types::Duration {
                    seconds: ms / 1000,
                    nanos: (ms % 1000) as i32 * 1_000_000,
                }),
            });
        }
        let now = self.app.now();
        let stores = state.accuracy.iter().map(|entry| v1::StoreAccuracy {
            store_id: name(*entry.key()),
            confidence: f64::from(entry.confidence_ppm(now)) / 1e6,
            extra_buffer_thousandths: state.stock.buffers().extra(*entry.key()),
        });
        answer.accuracies = stores.collect();
        answer
            .accuracies
            .sort_by(|a, b| compare_external(&a.store_id, &b.store_id));
        Ok(Response::new(answer))
    }

    async fn set_store_prices(
        &self,
        request: Request<v1::SetStorePricesRequest>,
    ) -> Result<Response<v1::SetStorePricesResponse>, Status> {
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let facts = store_prices(&mut checks, &request);
        checks.finish()?;
        let command = Command::PutFacts(facts);
        let answer = self.app.submit(command, stamp, deadline).await?;
        let (created, updated, unchanged) = put_counts(&answer.reply)?;
        Ok(Response::new(v1::SetStorePricesResponse {
            created,
            updated,
            unchanged,
        }))
    }

    async fn list_sources(
        &self,
        request: Request<v1::ListSourcesRequest>,
    ) -> Result<Response<v1::ListSourcesResponse>, Status> {
        let request = request.get_ref();
        let mut checks = Checks::default();
        let page = page(&mut checks, request.page_size, &request.page_token);
        checks.finish()?;
        let state = &self.app.state;
        let (ids, more) = page_of(&state.sources, &page, |_| true);
        let sources = ids.iter().filter_map(|id| {
            let progress = *state.sources.get(id)?;
            Some(v1::SourceProgress {
                source: id.to_string(),
                first_sequence: progress.first,
                highest_sequence: progress.highest,
                taken: progress.taken,
                missing: progress.missing(),
                late: progress.late,
                last_time: Some(timestamp(progress.last)),
            })
        });
        Ok(Response::new(v1::ListSourcesResponse {
            sources: sources.collect(),
            next_page_token: token_after(&ids, more),
        }))
    }

    type WatchAvailabilityStream = Pin<Box<dyn futures_util::Stream<Item = Watched> + Send>>;

    async fn watch_availability(
        &self,
        request: Request<v1::WatchAvailabilityRequest>,
    ) -> Result<Response<Self::WatchAvailabilityStream>, Status> {
        let request = request.get_ref();
        let (root, state) = (Path::ROOT, &self.app.state);
        let mut checks = Checks::default();
        let stores = Self::numbers(&mut checks, "store_ids", &request.store_ids, |id| {
            state.stores.number(id)
        });
        let skus = Self::numbers(&mut checks, "skus", &request.skus, |id| {
            state.products.number(id)
        });
        let from = parse_token(&request.resume_token);
        checks.require(
            from.is_some() || request.resume_token.is_empty(),
            root.field("resume_token"),
            "is not a token of WatchAvailability; leave it out to start anew",
        );
        let asked = request.heartbeat_interval.as_ref();
        let heartbeat = asked.map_or(HEARTBEAT_SECONDS, |interval| interval.seconds);
        checks.require(
            HEARTBEAT_SECONDS_RANGE.contains(&heartbeat),
            root.field("heartbeat_interval"),
            "is not between 1 s and 1 h",
        );
        checks.finish()?;
        let stores = stores.map_err(|i| {
            errors::rejected(&Rejection::UnknownStore {
                field: root.item("store_ids", i).to_string(),
                store_id: request.store_ids[i].as_str().into(),
            })
        })?;
        let skus = skus.map_err(|i| {
            errors::rejected(&Rejection::UnknownSku {
                field: root.item("skus", i).to_string(),
                sku: request.skus[i].as_str().into(),
            })
        })?;
        let watch = self.app.availability.watch(Filter { stores, skus });
        let watch = watch.ok_or_else(|| {
            errors::rejected(&Rejection::LimitExceeded {
                what: "the number of watchers of stock",
                max: WATCHERS_MAX,
            })
        })?;
        let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
        let heartbeat = Duration::from_secs(heartbeat.unsigned_abs());
        let watching = Watching::new(Arc::clone(&self.app), watch, sender, heartbeat);
        tokio::spawn(watching.run(from, Arc::clone(&self.gate)));
        let answers = futures_util::stream::unfold(receiver, |mut receiver| async move {
            Some((receiver.recv().await?, receiver))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn check_invariants(
        &self,
        request: Request<v1::CheckInvariantsRequest>,
    ) -> Result<Response<v1::CheckInvariantsResponse>, Status> {
        let checked = check(&self.app, request.get_ref().skip_ledger).await?;
        Ok(Response::new(checked))
    }
}

impl Handlers {
    /// The store that a list is limited to; `None`: all.
    fn store_of(&self, checks: &mut Checks, store_id: &str) -> Result<Option<StoreId>, Status> {
        let store_id = checks.optional_id(Path::ROOT.field("store_id"), store_id);
        std::mem::take(checks).finish()?;
        if store_id.is_empty() {
            return Ok(None);
        }
        let number = self.app.state.stores.number(&store_id);
        let unknown = Rejection::UnknownStore {
            field: "store_id".into(),
            store_id,
        };
        number.map(Some).ok_or_else(|| errors::rejected(&unknown))
    }
}
