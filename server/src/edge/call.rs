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
use super::service::Shared;
use crate::grpc::Answering;

/// The trailer with the server's own time in microseconds.
pub const SERVER_TIME: HeaderName = HeaderName::from_static("tillside-server-time-us");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// gRPC's code of a call whose caller went away.
const CANCELLED: usize = 1;

/// The running call. Dropped before it was answered, it counts as cancelled.
#[derive(Debug)]
pub(super) struct Call {
    started: Instant,
    method: Option<MethodNumber>,
    shared: Arc<Shared>,
    answered: bool,
}

impl Call {
    pub(super) fn begin(
        started: Instant,
        method: Option<MethodNumber>,
        shared: Arc<Shared>,
    ) -> Self {
        shared.calls.fetch_add(1, Ordering::Relaxed);
        Call {
            started,
            method,
            shared,
            answered: false,
        }
    }

    /// Ends the call: into `trailers` goes its time, out of them comes its code.
    fn answer(&mut self, trailers: &mut HeaderMap) {
        let took = self.started.elapsed();
        let mut time = HeaderValue::from(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        // Never the same twice: "sensitive" keeps it out of the header compression's table, which it would only churn.
        time.set_sensitive(true);
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
    inner: tonic::body::Body,
    call: Option<Call>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
            && let Some(mut call) = self.call.take()
        {
            call.answer(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
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
}

impl Future for AnswerFuture {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match &mut self.state {
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
        };
        let (mut parts, inner) = response.into_parts();
        // An answer of headers alone has its status there; all others have it in the trailers.
        if parts.headers.contains_key(GRPC_STATUS)
            && let Some(mut call) = self.call.take()
        {
            call.answer(&mut parts.headers);
        }
        let call = self.call.take();
        Poll::Ready(Ok(Response::from_parts(parts, AnswerBody { inner, call })))
    }
}
