//! gRPC calls as bytes over hyper, one HTTP/2 connection a handle. Requests arrive here encoded and answers leave undecoded,
//! so that the generator costs as little as it can of the cores it shares with the server.

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, Uri, header, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Length of a gRPC message's head: one byte for compression, four for the length.
const HEAD_BYTES: usize = 5;

/// An encoded request message with its gRPC head.
pub(crate) fn frame(message: &impl prost::Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    message.encode_raw(&mut frame);
    frame.freeze()
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The message, without its head.
    pub(crate) message: Bytes,
    /// The server's own time, from the trailer.
    pub(crate) server_time_us: Option<u64>,
}

/// One connection. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

impl Connection {
    /// Connects; the connection lives on the runtime of the caller.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("Cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(8 << 20)
            .handshake(TokioIo::new(stream))
            .await?;
        // Ends with the last handle; an error shows in every call that is under way.
        tokio::spawn(connection);
        Ok(Self {
            sender,
            authority: address.to_string(),
        })
    }

    /// Where calls of `path` on this connection go.
    pub(crate) fn uri(&self, path: &'static str) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(http::uri::Scheme::HTTP);
        parts.authority = self.authority.parse().ok();
        parts.path_and_query = Some(PathAndQuery::from_static(path));
        Uri::from_parts(parts).unwrap_or_default()
    }

    /// One unary call.
    pub(crate) async fn call(&mut self, uri: Uri, frame: Bytes) -> Result<Answer, Status> {
        let lost = |error: hyper::Error| Status::unavailable(error.to_string());
        let mut request = Request::new(Full::new(frame));
        *request.method_mut() = http::Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/grpc"),
        );
        headers.insert(header::TE, header::HeaderValue::from_static("trailers"));
        self.sender.ready().await.map_err(lost)?;
        let response = self.sender.send_request(request).await.map_err(lost)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(lost)?;
        // An answer without a message carries its status in the head.
        let trailers = body.trailers().unwrap_or(&head.headers);
        let status = Status::from_header_map(trailers)
            .unwrap_or_else(|| Status::unknown(format!("no gRPC status, HTTP {}", head.status)));
        if status.code() != Code::Ok {
            return Err(status);
        }
        let server_time_us = server_time_us(trailers);
        let mut message = body.to_bytes();
        if message.len() < HEAD_BYTES {
            return Err(Status::internal("the answer has no message"));
        }
        Ok(Answer {
            message: message.split_off(HEAD_BYTES),
            server_time_us,
        })
    }
}

fn server_time_us(trailers: &HeaderMap) -> Option<u64> {
    trailers
        .get("tillside-server-time-us")?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// The stable reason of an error, or the gRPC code where there is none.
pub(crate) fn reason(status: &Status) -> String {
    match status.get_details_error_info() {
        Some(info) => info.reason,
        None => format!("{:?}", status.code()),
    }
}
