//! The floor to compare with: a gRPC server that does nothing, in the shape of the real one (a current_thread runtime a
//! core, SO_REUSEPORT, nodelay, the same allocator). It answers RecognizeCustomer with one fixed message.
//!
//! It runs as a process of its own, `tillside-loadtest echo-server`, so that the cores are shared between generator and
//! server just as with the real one. It reads the message from stdin and ends when stdin does.

use anyhow::Context as _;
use bytes::{Buf as _, BufMut as _, Bytes};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    convert::Infallible,
    future::Future,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    process::{Child, Command, Stdio},
    task::{Context, Poll},
    thread,
};
use tillside_proto::v1::{
    self,
    customer_service_server::{CustomerService, CustomerServiceServer},
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, NamedService, UnaryService},
    transport::{Server, server::TcpIncoming},
};

/// How the echo treats messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Treatment {
    /// Bytes in, bytes out: the bare transport
    Bytes,
    /// The request decoded, a copy of the answer encoded, as every typed service does at least
    Typed,
}

impl Treatment {
    /// Name on the command line and in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Treatment::Bytes => "bytes",
            Treatment::Typed => "typed",
        }
    }
}

/// An echo server that runs. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct EchoProcess {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl EchoProcess {
    /// Starts one that answers `message`.
    pub(crate) fn start(
        treatment: Treatment,
        threads: usize,
        message: &[u8],
    ) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([
                "echo-server",
                "--treatment",
                treatment.name(),
                "--threads",
                &threads.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("Cannot start the echo server")?;
        let stdin = child
            .stdin
            .as_mut()
            .context("the echo server has no stdin")?;
        let length = u32::try_from(message.len()).context("the answer is too long")?;
        stdin.write_all(&length.to_be_bytes())?;
        stdin.write_all(message)?;
        stdin.flush()?;
        let stdout = child
            .stdout
            .take()
            .context("the echo server has no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line
            .trim()
            .parse()
            .context("the echo server did not say where it listens")?;
        Ok(Self { child, address })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for EchoProcess {
    fn drop(&mut self) {
        // Its stdin ends, so it does.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Serves until stdin ends.
pub(crate) fn serve(treatment: Treatment, threads: usize) -> anyhow::Result<()> {
    let mut stdin = std::io::stdin().lock();
    let mut length = [0; 4];
    stdin
        .read_exact(&mut length)
        .context("The echo server reads its answer from stdin")?;
    let mut message = Vec::new();
    (&mut stdin)
        .take(u64::from(u32::from_be_bytes(length)))
        .read_to_end(&mut message)?;
    let answer = Bytes::from(message);
    let typed: v1::RecognizeCustomerResponse = prost::Message::decode(answer.clone())
        .context("The answer is no RecognizeCustomerResponse")?;
    let first = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..threads {
        listeners.push(listen(address)?);
    }
    for listener in listeners {
        let (answer, typed) = (answer.clone(), typed.clone());
        thread::spawn(move || {
            let served = match treatment {
                Treatment::Bytes => run(listener, BytesEcho(answer)),
                Treatment::Typed => run(listener, CustomerServiceServer::new(TypedEcho(typed))),
            };
            if let Err(error) = served {
                eprintln!("echo: {error:#}");
            }
        });
    }
    println!("{address}");
    std::io::stdout().flush()?;
    // Until the other side hangs up.
    let _ = stdin.read(&mut [0])?;
    Ok(())
}

/// A listener that others may join on the same port.
pub(crate) fn listen(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// Serves on a runtime of its own, on the calling thread.
pub(crate) fn run<S>(listener: std::net::TcpListener, service: S) -> anyhow::Result<()>
where
    S: tower::Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let incoming = TcpIncoming::from(TcpListener::from_std(listener)?).with_nodelay(Some(true));
        Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming)
            .await?;
        Ok(())
    })
}

/// Answers every call with the same bytes.
#[derive(Debug, Clone)]
pub(crate) struct BytesEcho(pub(crate) Bytes);

impl NamedService for BytesEcho {
    const NAME: &'static str = "tillside.v1.CustomerService";
}

impl UnaryService<Bytes> for BytesEcho {
    type Response = Bytes;
    type Future = std::future::Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _request: Request<Bytes>) -> Self::Future {
        std::future::ready(Ok(Response::new(self.0.clone())))
    }
}

impl tower::Service<http::Request<Body>> for BytesEcho {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(Grpc::new(BytesCodec).unary(this, request).await) })
    }
}

/// Messages as they are.
#[derive(Debug, Clone, Copy, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Answers RecognizeCustomer with a copy of the same message, nothing else.
#[derive(Debug)]
struct TypedEcho(v1::RecognizeCustomerResponse);

#[tonic::async_trait]
impl CustomerService for TypedEcho {
    async fn recognize_customer(
        &self,
        _request: Request<v1::RecognizeCustomerRequest>,
    ) -> Result<Response<v1::RecognizeCustomerResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    async fn create_customer(
        &self,
        _request: Request<v1::CreateCustomerRequest>,
    ) -> Result<Response<v1::CreateCustomerResponse>, Status> {
        Err(Status::unimplemented("an echo"))
    }

    async fn get_customer(
        &self,
        _request: Request<v1::GetCustomerRequest>,
    ) -> Result<Response<v1::CustomerProfile>, Status> {
        Err(Status::unimplemented("an echo"))
    }

    async fn update_customer(
        &self,
        _request: Request<v1::UpdateCustomerRequest>,
    ) -> Result<Response<v1::CustomerProfile>, Status> {
        Err(Status::unimplemented("an echo"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{wire::Connection, wire::frame, workload::Op};

    #[test]
    fn both_treatments_answer_the_given_message() {
        let answer = v1::RecognizeCustomerResponse {
            match_confidence: 0.5,
            snapshot_sequence: 7,
            ..Default::default()
        };
        let bytes = Bytes::from(prost::Message::encode_to_vec(&answer));
        let request = frame(&v1::RecognizeCustomerRequest {
            store_id: "S001".to_owned(),
            ..Default::default()
        });
        let listener = || listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let (first, second) = (listener(), listener());
        let addresses = [
            first.local_addr().expect("bound"),
            second.local_addr().expect("bound"),
        ];
        let (echo, typed) = (BytesEcho(bytes.clone()), TypedEcho(answer));
        // The threads end with the process.
        thread::spawn(move || run(first, echo));
        thread::spawn(move || run(second, CustomerServiceServer::new(typed)));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        for address in addresses {
            let found = runtime.block_on(async {
                let mut connection = Connection::open(address).await.expect("listening");
                let uri = connection.uri(Op::Recognize.path());
                connection
                    .call(uri, request.clone())
                    .await
                    .expect("answered")
            });
            assert_eq!(found.message, bytes);
        }
    }
}
