//! One call from its first byte to its last: what it took goes to the caller in `tillside-server-time-us`, on success and
//! on failure, and to the metrics. For a stream that is its whole life, the caller's pauses included.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use super::methods::MethodNumber;
use super::service::{Connection, Shared};
use super::unary::{self, UnaryCall};
use crate::errors;
use crate::grpc::Answering;

/// The trailer with the server's own time in microseconds.
pub const SERVER_TIME: HeaderName = HeaderName::from_static("tillside-server-time-us");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Trailers of an answer: status and time.
const TRAILERS: usize = 2;
/// gRPC's code of a call whose caller went away.
const CANCELLED: usize = 1;

/// The running call. Dropped before it was answered, it counts as cancelled.
#[derive(Debug)]
pub(super) struct Call {
    started: Instant,
    method: Option<MethodNumber>,
    shared: Arc<Shared>,
    /// Whether the name of the time is to be told to the peer's header table with it.
    introduces_time: bool,
    answered: bool,
}

impl Call {
    pub(super) fn begin(
        started: Instant,
        method: Option<MethodNumber>,
        connection: &Connection,
    ) -> Self {
        connection.shared.calls.fetch_add(1, Ordering::Relaxed);
        Call {
            started,
            method,
            shared: Arc::clone(&connection.shared),
            introduces_time: connection.introduces_time(),
            answered: false,
        }
    }

    /// Ends the call: into `trailers` goes its time, out of them comes its code.
    fn answer(&mut self, trailers: &mut HeaderMap) {
        let took = self.started.elapsed();
        let mut time = HeaderValue::from(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        // Never the same twice: "sensitive" keeps it out of the header compression's table, which it would only churn. But
        // an entry that once got in lets all later ones send a number instead of the name.
        time.set_sensitive(!self.introduces_time);
        trailers.insert(SERVER_TIME, time);
        let code = trailers
            .get(GRPC_STATUS)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.parse().ok());
        self.count(code.unwrap_or(2), took);
    }

    fn count(&mut self, code: usize, took: std::time::Duration) {
        self.answered = true;
        self.shared
            .methods
            .metrics(self.method)
            .answered(code, took);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.answered {
            self.count(CANCELLED, self.started.elapsed());
        }
        self.shared.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer; its trailers carry the time.
#[derive(Debug)]
pub struct AnswerBody {
    content: Content,
    call: Option<Call>,
}

#[derive(Debug)]
enum Content {
    /// As tonic makes it.
    Tonic(tonic::body::Body),
    /// One message with its prefix, then the status of success.
    Message(Bytes),
    /// The message was sent.
    Sent,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut self.content {
            Content::Tonic(body) => {
                let mut frame = ready!(Pin::new(body).poll_frame(cx));
                if let Some(Ok(frame)) = &mut frame
                    && let Some(trailers) = frame.trailers_mut()
                    && let Some(mut call) = self.call.take()
                {
                    call.answer(trailers);
                }
                Poll::Ready(frame)
            }
            Content::Message(message) => {
                let message = std::mem::take(message);
                self.content = Content::Sent;
                Poll::Ready(Some(Ok(Frame::data(message))))
            }
            Content::Sent => Poll::Ready(self.call.take().map(|mut call| {
                let mut trailers = HeaderMap::with_capacity(TRAILERS);
                trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
                call.answer(&mut trailers);
                Ok(Frame::trailers(trailers))
            })),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Tonic(body) => body.is_end_stream(),
            Content::Message(_) => false,
            Content::Sent => self.call.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Tonic(body) => body.size_hint(),
            // The length of a message is in its prefix; nobody needs it in a header, too.
            Content::Message(_) | Content::Sent => SizeHint::default(),
        }
    }
}

/// An answer under way.
pub struct AnswerFuture {
    state: Progress,
    call: Option<Call>,
}

enum Progress {
    /// Refused at the door.
    Refused(Option<Status>),
    /// With its service.
    Answering(Answering),
    /// Answered here from memory.
    Unary(UnaryCall),
}

impl AnswerFuture {
    pub(super) fn refused(status: Status, call: Call) -> Self {
        AnswerFuture {
            state: Progress::Refused(Some(status)),
            call: Some(call),
        }
    }

    pub(super) fn answering(future: Answering, call: Call) -> Self {
        AnswerFuture {
            state: Progress::Answering(future),
            call: Some(call),
        }
    }

    pub(super) fn unary(unary: UnaryCall, call: Call) -> Self {
        AnswerFuture {
            state: Progress::Unary(unary),
            call: Some(call),
        }
    }
}

impl Future for AnswerFuture {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let response = match &mut this.state {
            Progress::Refused(status) => {
                let status = status
                    .take()
                    .unwrap_or_else(|| Status::internal("polled after it was answered"));
                status.into_http()
            }
            Progress::Answering(future) => match ready!(future.as_mut().poll(cx)) {
                Ok(response) => response,
                Err(never) => match never {},
            },
            Progress::Unary(unary) => {
                let services = this.call.as_ref().and_then(|c| c.shared.services.get());
                let answer = match services {
                    Some(services) => ready!(unary.poll_answer(services, cx)),
                    None => Err(errors::defect("answered twice, or before loading")),
                };
                match answer {
                    Ok(message) => {
                        return Poll::Ready(Ok(unary::response(AnswerBody {
                            content: Content::Message(message),
                            call: this.call.take(),
                        })));
                    }
                    Err(status) => status.into_http(),
                }
            }
        };
        let (mut parts, body) = response.into_parts();
        // An answer of headers alone has its status there; all others have it in the trailers.
        if parts.headers.contains_key(GRPC_STATUS)
            && let Some(mut call) = this.call.take()
        {
            call.answer(&mut parts.headers);
        }
        let body = AnswerBody {
            content: Content::Tonic(body),
            call: this.call.take(),
        };
        Poll::Ready(Ok(Response::from_parts(parts, body)))
    }
}
