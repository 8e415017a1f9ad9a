//! The task that owns the stream: sends within the window, matches acknowledgements, reconnects and sends again.

use super::codec::BytesCodec;
use crate::{backoff, connection::Tillside, error::Error, v1::IngestEventsResponse};
use bytes::Bytes;
use std::{collections::VecDeque, time::Duration};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, codegen::http::uri::PathAndQuery};

/// How long to wait for the server's end of a stream on which everything is acknowledged.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// A message that is not acknowledged yet.
#[derive(Debug)]
pub(super) struct Pending<T> {
    pub(super) position: u64,
    pub(super) body: Bytes,
    pub(super) tag: T,
}

/// Invariants: `pending` holds, in order of position, exactly what was taken from `queue` and is not acknowledged; it
/// never holds more than `window` messages.
pub(super) struct Driver<T, F> {
    client: Tillside,
    window: usize,
    queue: mpsc::Receiver<Pending<T>>,
    on_ack: F,
    pending: VecDeque<Pending<T>>,
    /// The sender is done: nothing more comes from `queue`.
    drained: bool,
    /// Whether an acknowledgement arrived since the last failure; failures in a row are counted without.
    progressed: bool,
}

impl<T, F> Driver<T, F>
where
    T: Send + 'static,
    F: FnMut(T, IngestEventsResponse) + Send + 'static,
{
    pub(super) fn new(
        client: Tillside,
        window: usize,
        queue: mpsc::Receiver<Pending<T>>,
        on_ack: F,
    ) -> Self {
        Self {
            client,
            window,
            queue,
            on_ack,
            pending: VecDeque::with_capacity(window),
            drained: false,
            progressed: false,
        }
    }

    /// Until everything is acknowledged, or the stream failed for good.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        let mut failures = 0;
        loop {
            self.progressed = false;
            let Err(error) = self.run_stream().await else {
                return Ok(());
            };
            failures = if self.progressed { 1 } else { failures + 1 };
            let policy = self.client.config.retry.clone();
            // A silent server is a broken stream here: the events are sent again, none is taken twice.
            let passing = error.is_retryable()
                || matches!(error, Error::Deadline(_))
                || error.is_broken_connection();
            if !passing || failures >= policy.attempts_max {
                return Err(error);
            }
            tokio::time::sleep(backoff::wait(
                &policy,
                failures,
                error.retry_delay(),
                rand::random(),
            ))
            .await;
        }
    }

    /// One stream, from opening to its end. `Ok` means everything is sent and acknowledged.
    async fn run_stream(&mut self) -> Result<(), Error> {
        let silence_max = self.client.config.bulk_timeout;
        // As long as the window, so that putting a message that fits the window never waits.
        let (outgoing, bodies) = mpsc::channel::<Bytes>(self.window);
        for message in &self.pending {
            outgoing
                .try_send(message.body.clone())
                .map_err(|_| broken())?;
        }
        let mut answers = tokio::time::timeout(silence_max, open(&self.client, bodies))
            .await
            .map_err(|_| Error::Deadline(silence_max))?
            .map_err(|status| Error::from_status(&status, silence_max))?;
        let mut outgoing = Some(outgoing);
        loop {
            if self.drained && self.pending.is_empty() {
                // All is durable. The server's own end of the stream is awaited for politeness: dropping it would look
                // like a cancellation there.
                let _ = tokio::time::timeout(FAREWELL_MAX, answers.message()).await;
                return Ok(());
            }
            let room = !self.drained && self.pending.len() < self.window;
            tokio::select! {
                biased;
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => self.acknowledge(answer),
                    Ok(None) => return Err(broken()),
                    Err(status) => return Err(Error::from_status(&status, silence_max)),
                },
                next = self.queue.recv(), if room => match next {
                    Some(message) => {
                        let body = message.body.clone();
                        self.pending.push_back(message);
                        let sent = outgoing.as_ref().is_some_and(|outgoing| outgoing.try_send(body).is_ok());
                        if !sent {
                            // The transport gave the stream up; its answer says why.
                            outgoing = None;
                        }
                    }
                    None => {
                        self.drained = true;
                        outgoing = None;
                    }
                },
                () = tokio::time::sleep(silence_max), if !self.pending.is_empty() => {
                    return Err(Error::Deadline(silence_max));
                }
            }
        }
    }

    /// "This and all earlier ones are durable": earlier messages without an answer of their own are handed back with an
    /// empty one, which the server of this version never makes necessary.
    fn acknowledge(&mut self, mut answer: IngestEventsResponse) {
        while let Some(first) = self.pending.front() {
            if first.position > answer.durable_position {
                return;
            }
            let exact = first.position == answer.durable_position;
            let Some(message) = self.pending.pop_front() else {
                return;
            };
            self.progressed = true;
            if exact {
                (self.on_ack)(message.tag, std::mem::take(&mut answer));
                return;
            }
            let implied = IngestEventsResponse {
                durable_position: message.position,
                ..IngestEventsResponse::default()
            };
            (self.on_ack)(message.tag, implied);
        }
    }
}

async fn open(
    client: &Tillside,
    bodies: mpsc::Receiver<Bytes>,
) -> Result<tonic::Streaming<IngestEventsResponse>, Status> {
    let mut grpc = tonic::client::Grpc::new(client.channel.clone());
    grpc.ready()
        .await
        .map_err(|cause| Status::unavailable(cause.to_string()))?;
    let path = PathAndQuery::from_static("/tillside.v1.IngestService/IngestEvents");
    let response = grpc
        .streaming(Request::new(ReceiverStream::new(bodies)), path, BytesCodec)
        .await?;
    Ok(response.into_inner())
}

/// The server, or something between, ended the stream with messages unanswered.
fn broken() -> Error {
    Error::from_status(
        &Status::unavailable("the server ended the stream early"),
        Duration::ZERO,
    )
}
