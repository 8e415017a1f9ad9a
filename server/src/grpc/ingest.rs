//! Everything that happened. A message's events go to the bulk lane together and are acknowledged together, in the order of
//! the messages, once they are durable.

use std::ops::Bound;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use tillside_engine::ids::{CustomerId, Sequence};
use tillside_engine::limits::ITEMS_PER_CALL_MAX;
use tillside_engine::state::read;
use tillside_engine::units::Unit;
use tillside_proto::v1::{self, ingest_service_server::IngestService};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use crate::app::App;
use crate::convert::acks::refused;
use crate::convert::checks::{Checks, Invalid, Path};
use crate::convert::ingest::{Taken, event};
use crate::convert::paging::{page, token};
use crate::convert::profile::provisional;
use crate::convert::values::{money, quantity, timestamp};
use crate::errors;
use crate::gate::{Gate, Phase};
use crate::sequencer::SubmitError;

/// Messages of one stream on their way at a time: enough to keep the sequencer busy while acknowledgements travel.
const IN_FLIGHT_MAX: usize = 16;

/// Customers of a list that are read from disk at a time: a list must not take all readers from the tills.
const LISTED_AT_ONCE: usize = 2;

/// Handlers of `IngestService`.
#[derive(Debug)]
pub struct Handlers {
    pub(super) app: Arc<App>,
    pub(super) gate: Arc<Gate>,
}

/// One event of a message: on its way, or refused already.
enum Entry {
    Taken(Box<Taken>),
    Refused(v1::Problem),
}

/// Takes a message's events; answers one acknowledgement for each, in order.
async fn take(app: Arc<App>, events: Vec<v1::Event>) -> Result<Vec<v1::EventAck>, SubmitError> {
    if let Some(problem) = whole_message_problem(events.len()) {
        return Ok(events
            .into_iter()
            .map(|e| refused(e.event_id, problem.clone()))
            .collect());
    }
    let now = app.now();
    let mut commands = Vec::with_capacity(events.len());
    let mut entries = Vec::with_capacity(events.len());
    for sent in events {
        let entry = match event(&app.reading, &sent, now) {
            Ok(mut taken) => {
                commands.extend(taken.take_ingest().map(|mut ingest| {
                    ingest.find_known(&app.state);
                    ingest
                }));
                Entry::Taken(Box::new(taken))
            }
            Err(invalid) => Entry::Refused(errors::invalid_problem(&invalid)),
        };
        entries.push((sent.event_id, entry));
    }
    let answers = if commands.is_empty() {
        Vec::new()
    } else {
        app.sequencer.bulk(commands).await?
    };
    let mut answers = answers.into_iter();
    Ok(entries
        .into_iter()
        .map(|(event_id, entry)| match entry {
            Entry::Refused(problem) => refused(event_id, problem),
            Entry::Taken(taken) => match answers.next() {
                Some(Ok(answer)) => taken.ack(event_id, &answer),
                Some(Err(rejection)) => {
                    refused(event_id, errors::refusal(&rejection).into_problem())
                }
                None => refused(
                    event_id,
                    errors::refusal(&tillside_engine::reject::Rejection::Contended).into_problem(),
                ),
            },
        })
        .collect())
}

fn whole_message_problem(events: usize) -> Option<v1::Problem> {
    let root = Path::ROOT;
    let mut checks = Checks::default();
    checks.count(root.field("events"), events, 1, ITEMS_PER_CALL_MAX);
    checks
        .finish()
        .err()
        .map(|invalid| errors::invalid_problem(&invalid))
}

fn answer(
    position: u64,
    omit_accepted: bool,
    mut acks: Vec<v1::EventAck>,
) -> v1::IngestEventsResponse {
    let count = |acks: &[v1::EventAck], status: v1::AckStatus| {
        acks.iter().filter(|a| a.status() == status).count() as i32
    };
    let (accepted, duplicates, rejected) = (
        count(&acks, v1::AckStatus::Accepted),
        count(&acks, v1::AckStatus::Duplicate),
        count(&acks, v1::AckStatus::Rejected),
    );
    if omit_accepted {
        acks.retain(|ack| ack.status() != v1::AckStatus::Accepted || !ack.warnings.is_empty());
    }
    v1::IngestEventsResponse {
        durable_position: position,
        acks,
        accepted,
        duplicates,
        rejected,
    }
}

type Sent = Result<v1::IngestEventsResponse, Status>;

/// Runs one stream. Messages enter the bulk lane in their order: each future is polled once, and so has its place in the
/// lane's queue, before the next message is read.
async fn run(
    app: Arc<App>,
    gate: Arc<Gate>,
    mut messages: Streaming<v1::IngestEventsRequest>,
    answers: mpsc::Sender<Sent>,
) {
    let mut ending = std::pin::pin!(gate.ending());
    let mut on_their_way = FuturesOrdered::new();
    let mut open = true;
    let mut end: Option<Status> = None;
    while open || !on_their_way.is_empty() {
        tokio::select! {
            biased;
            Some(done) = on_their_way.next(), if !on_their_way.is_empty() => {
                let failed = Result::is_err(&done);
                // A caller that has gone needs no answer; what it sent is taken all the same.
                let gone = answers.send(done).await.is_err();
                if failed {
                    return;
                }
                open &= !gone;
            }
            message = messages.message(), if open && on_their_way.len() < IN_FLIGHT_MAX => match message {
                Ok(Some(message)) => on_their_way.push_back(process(Arc::clone(&app), message)),
                Ok(None) => open = false,
                Err(status) => {
                    tracing::debug!(%status, "an ingest stream broke off");
                    open = false;
                    // What came before is answered first, then why nothing after it was taken.
                    end = Some(status);
                }
            },
            () = ending.as_mut(), if open && end.is_none() => {
                open = false;
                let why = "the server is stopping; reconnect and go on after the last durable_position";
                end = Some(match gate.phase() {
                    Phase::Failed => errors::storage_failed(),
                    _ => errors::not_ready(why),
                });
            }
        }
    }
    if let Some(status) = end {
        // The stream's last word; nobody may be listening.
        drop(answers.send(Err(status)).await);
    }
}

async fn process(app: Arc<App>, message: v1::IngestEventsRequest) -> Sent {
    if message.events.is_empty() {
        // Nothing to acknowledge one by one: the message itself is.
        let problem = whole_message_problem(0).unwrap_or_default();
        return Ok(answer(
            message.position,
            false,
            vec![refused(String::new(), problem)],
        ));
    }
    let acks = take(app, message.events).await?;
    Ok(answer(message.position, message.omit_accepted, acks))
}

#[tonic::async_trait]
impl IngestService for Handlers {
    async fn ingest_batch(
        &self,
        request: Request<v1::IngestBatchRequest>,
    ) -> Result<Response<v1::IngestBatchResponse>, Status> {
        let events = request.into_inner().events;
        if let Some(problem) = whole_message_problem(events.len()) {
            return Err(Invalid::field(problem.field, problem.message).into());
        }
        let acks = take(Arc::clone(&self.app), events).await?;
        // A caller of one batch sends it again as a whole; what was taken of it before the disk was full is then known.
        let disk_full = errors::refusal(&self.app.storage.room.refusal());
        let said = |ack: &v1::EventAck| {
            let problem = ack.problem.as_ref();
            problem.is_some_and(|problem| problem.reason == disk_full.reason)
        };
        if acks.iter().any(said) {
            return Err(disk_full.into_status());
        }
        Ok(Response::new(v1::IngestBatchResponse { acks }))
    }

    type IngestEventsStream = std::pin::Pin<Box<dyn futures_util::Stream<Item = Sent> + Send>>;

    async fn ingest_events(
        &self,
        request: Request<Streaming<v1::IngestEventsRequest>>,
    ) -> Result<Response<Self::IngestEventsStream>, Status> {
        let (sender, receiver) = mpsc::channel(IN_FLIGHT_MAX);
        tokio::spawn(run(
            Arc::clone(&self.app),
            Arc::clone(&self.gate),
            request.into_inner(),
            sender,
        ));
        let answers = futures_util::stream::unfold(receiver, |mut receiver| async move {
            Some((receiver.recv().await?, receiver))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn list_quarantined_lines(
        &self,
        request: Request<v1::ListQuarantinedLinesRequest>,
    ) -> Result<Response<v1::ListQuarantinedLinesResponse>, Status> {
        let mut checks = Checks::default();
        let page = page(
            &mut checks,
            request.get_ref().page_size,
            &request.get_ref().page_token,
        );
        let after = page
            .after
            .as_deref()
            .map(|text| parse_pair(&mut checks, text))
            .unwrap_or_default();
        checks.finish()?;
        let from = after.map_or(Bound::Unbounded, |key| {
            Bound::Excluded((Sequence(key.0), key.1))
        });
        let rows: Vec<_> = {
            let table = read(&self.app.state.quarantine);
            table
                .range((from, Bound::Unbounded))
                .take(page.size + 1)
                .map(|(key, line)| (*key, Arc::clone(line)))
                .collect()
        };
        let more = rows.len() > page.size;
        let shown = &rows[..rows.len().min(page.size)];
        let last = shown
            .last()
            .filter(|_| more)
            .map(|((sequence, line), _)| format!("{}.{line}", sequence.0));
        let lines = shown
            .iter()
            .map(|((sequence, _), line)| v1::QuarantinedLine {
                sequence: sequence.0,
                store_id: line.store.to_string(),
                item: line.item.to_string(),
                scanned: line.scanned,
                quantity: Some(v1::Quantity {
                    unit: v1::Unit::Unspecified.into(),
                    ..quantity(line.quantity, Unit::Each)
                }),
                net_amount: Some(money(line.net)),
                occurred_time: Some(timestamp(line.time)),
                reason: if line.unknown_store {
                    "UNKNOWN_STORE"
                } else {
                    "UNKNOWN_SKU"
                }
                .into(),
            });
        Ok(Response::new(v1::ListQuarantinedLinesResponse {
            lines: lines.collect(),
            next_page_token: token(last.as_deref()),
        }))
    }

    async fn list_provisional_customers(
        &self,
        request: Request<v1::ListProvisionalCustomersRequest>,
    ) -> Result<Response<v1::ListProvisionalCustomersResponse>, Status> {
        let root = Path::ROOT;
        let mut checks = Checks::default();
        let page = page(
            &mut checks,
            request.get_ref().page_size,
            &request.get_ref().page_token,
        );
        let after = page.after.as_deref().map(str::parse::<u64>);
        checks.require(
            !matches!(after, Some(Err(_))),
            root.field("page_token"),
            "is not a next_page_token of this list",
        );
        checks.finish()?;
        let from = after
            .and_then(Result::ok)
            .map_or(Bound::Unbounded, |id| Bound::Excluded(CustomerId(id)));
        let ids: Vec<CustomerId> = read(&self.app.state.provisional)
            .range((from, Bound::Unbounded))
            .take(page.size + 1)
            .copied()
            .collect();
        let more = ids.len() > page.size;
        let shown = &ids[..ids.len().min(page.size)];
        let last = shown.last().filter(|_| more).map(|id| id.0.to_string());
        let mut read = futures_util::stream::iter(shown.iter().copied())
            .map(|id| self.app.listed_customer(id))
            .buffered(LISTED_AT_ONCE);
        let mut customers = Vec::with_capacity(shown.len());
        while let Some(customer) = read.next().await {
            customers.extend(customer?.map(|c| provisional(&c)));
        }
        Ok(Response::new(v1::ListProvisionalCustomersResponse {
            customers,
            next_page_token: token(last.as_deref()),
        }))
    }
}

fn parse_pair(checks: &mut Checks, text: &str) -> Option<(u64, u32)> {
    let root = Path::ROOT;
    let pair = text
        .split_once('.')
        .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    checks.require(
        pair.is_some(),
        root.field("page_token"),
        "is not a next_page_token of this list",
    );
    pair
}
