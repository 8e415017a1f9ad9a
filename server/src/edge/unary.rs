//! One message in, one message out, nothing to wait for between them: the request is gathered here, decoded, answered and
//! encoded in one go, without the streams, boxes and buffers that tonic needs for calls that may compress or stream.
//!
//! Only for methods that read memory; where for once something has to come from disk, its answer is waited for here. It knows no compression: a call that names one goes to tonic's service of the same
//! method. What is wrong with a call gets the code that tonic gives.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::HeaderName;
use http::{HeaderMap, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use tonic::Status;

use crate::grpc::Services;

/// Decodes a request and appends the encoded answer, or says how it will come to be.
pub type Answerer = fn(&Services, &[u8], &mut Vec<u8>) -> Result<Answered, Status>;

/// An answer that something has to be waited for: the encoded message.
pub type Later = Pin<Box<dyn Future<Output = Result<Vec<u8>, Status>> + Send>>;

/// What became of a request.
pub enum Answered {
    /// The answer is appended.
    Now,
    /// Something it tells of is not in memory.
    Later(Later),
}

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// Room for an answer before it has to grow: a recognition of the checkout view is half of it.
const ANSWER_BYTES: usize = 1 << 10;
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Whether the messages of a call are plain.
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    headers
        .get(GRPC_ENCODING)
        .is_none_or(|encoding| encoding == "identity")
}

/// A call whose request is on its way.
pub(super) struct UnaryCall {
    body: Incoming,
    received: Received,
    bytes_max: usize,
    answerer: Answerer,
    later: Option<Later>,
}

impl UnaryCall {
    pub(super) fn new(body: Incoming, bytes_max: usize, answerer: Answerer) -> Self {
        UnaryCall {
            body,
            received: Received::Nothing,
            bytes_max,
            answerer,
            later: None,
        }
    }

    /// The answer with its prefix, once the whole request is here.
    pub(super) fn poll_answer(
        &mut self,
        services: &Services,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Status>> {
        if let Some(later) = &mut self.later {
            let message = ready!(later.as_mut().poll(cx))?;
            let mut answer = Vec::with_capacity(PREFIX_BYTES + message.len());
            answer.extend_from_slice(&[0; PREFIX_BYTES]);
            answer.extend_from_slice(&message);
            return Poll::Ready(finished(answer));
        }
        // hyper tells of the end together with the last bytes, so most calls need no second look.
        while !self.body.is_end_stream() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.received.add(data, self.bytes_max)?;
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(Status::from_error(error.into()))),
                None => break,
            }
        }
        let message = self.received.message()?;
        let mut answer = Vec::with_capacity(ANSWER_BYTES);
        answer.extend_from_slice(&[0; PREFIX_BYTES]);
        match (self.answerer)(services, message, &mut answer)? {
            Answered::Now => Poll::Ready(finished(answer)),
            Answered::Later(later) => {
                self.later = Some(later);
                self.poll_answer(services, cx)
            }
        }
    }
}

/// Writes the prefix before the message.
fn finished(mut answer: Vec<u8>) -> Result<Bytes, Status> {
    let length = u32::try_from(answer.len() - PREFIX_BYTES)
        .map_err(|_| Status::out_of_range("the answer is too long"))?;
    answer[1..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(answer.into())
}

/// An answer whose message is yet to be sent, without headers of its own.
pub(super) fn response<B>(body: B) -> Response<B> {
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(
        http::header::CONTENT_TYPE,
        tonic::metadata::GRPC_CONTENT_TYPE,
    );
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

/// What came of a request. Nearly always it comes in one piece, which is then never copied.
#[derive(Debug)]
enum Received {
    Nothing,
    Whole(Bytes),
    Pieces(BytesMut),
}

impl Received {
    /// Takes the next piece; the length is checked as soon as it is known, so that nothing longer is ever gathered.
    fn add(&mut self, piece: Bytes, bytes_max: usize) -> Result<(), Status> {
        if piece.is_empty() {
            return Ok(());
        }
        *self = match std::mem::replace(self, Received::Nothing) {
            Received::Nothing => Received::Whole(piece),
            Received::Whole(first) => {
                let mut pieces = BytesMut::with_capacity(first.len() + piece.len());
                pieces.extend_from_slice(&first);
                pieces.extend_from_slice(&piece);
                Received::Pieces(pieces)
            }
            Received::Pieces(mut pieces) => {
                pieces.extend_from_slice(&piece);
                Received::Pieces(pieces)
            }
        };
        let Some(length) = message_length(self.bytes())? else {
            return Ok(());
        };
        if length > bytes_max {
            return Err(Status::out_of_range(format!(
                "the message has {length} bytes; at most {bytes_max} are possible"
            )));
        }
        if self.bytes().len() > PREFIX_BYTES + length {
            return Err(Status::internal("more than one message in a unary call"));
        }
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Received::Nothing => &[],
            Received::Whole(bytes) => bytes,
            Received::Pieces(bytes) => bytes,
        }
    }

    /// The message, all of it.
    fn message(&self) -> Result<&[u8], Status> {
        let bytes = self.bytes();
        if bytes.is_empty() {
            return Err(Status::internal("Missing request message."));
        }
        match message_length(bytes)? {
            Some(length) if bytes.len() == PREFIX_BYTES + length => Ok(&bytes[PREFIX_BYTES..]),
            _ => Err(Status::internal("the call ended within its message")),
        }
    }
}

/// The length that the prefix tells; `None` while the prefix is incomplete.
fn message_length(bytes: &[u8]) -> Result<Option<usize>, Status> {
    match *bytes {
        [0, a, b, c, d, ..] => Ok(Some(u32::from_be_bytes([a, b, c, d]) as usize)),
        [] | [0, ..] => Ok(None),
        [1, ..] => Err(Status::internal(
            "a compressed message in a call that names no grpc-encoding",
        )),
        [flag, ..] => Err(Status::internal(format!(
            "{flag} is no compression flag; 0 and 1 are"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend_from_slice(&(message.len() as u32).to_be_bytes());
        bytes.extend_from_slice(message);
        bytes
    }

    fn receive(bytes: &[u8], piece: usize) -> Result<Vec<u8>, Code> {
        let mut received = Received::Nothing;
        for piece in bytes.chunks(piece) {
            received
                .add(Bytes::copy_from_slice(piece), 8)
                .map_err(|s| s.code())?;
        }
        Ok(received.message().map_err(|s| s.code())?.to_vec())
    }

    #[test]
    fn a_message_is_the_same_in_pieces_of_any_size() {
        for message in [&b""[..], b"a", b"12345678"] {
            for piece in 1..14 {
                assert_eq!(receive(&framed(message), piece).as_deref(), Ok(message));
            }
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for piece in 1..14 {
            assert_eq!(receive(&[], piece), Err(Code::Internal));
            assert_eq!(receive(&framed(b"123456789"), piece), Err(Code::OutOfRange));
            assert_eq!(receive(&framed(b"1234")[..8], piece), Err(Code::Internal));
            assert_eq!(receive(&framed(b"1234")[..4], piece), Err(Code::Internal));
            assert_eq!(receive(&[1, 0, 0, 0, 0], piece), Err(Code::Internal));
            assert_eq!(receive(&[7], piece), Err(Code::Internal));
            let twice = [framed(b"1"), framed(b"2")].concat();
            assert_eq!(receive(&twice, piece), Err(Code::Internal));
        }
    }
}
