//! One thread, one runtime, its connections. It ends when told to: it says GOAWAY on every connection, lets the calls
//! under way finish, and past the deadline drops what is left.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::{mpsc, oneshot, watch};

use super::connection::{Place, PrefacedIo};
use super::service::{Connection, Shared};
use crate::app::App;
use crate::config::Config;
use crate::grpc::Services;

/// Connections on their way from the acceptor to a worker; more wait in the acceptor.
const HANDOVER_MAX: usize = 256;
/// Bytes of the headers of one call.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Window of one stream: a receipt batch of 1000 events is about that much.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Window of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Streams a peer may reset, by mistake or by purpose, before its connection is closed. Tills that cancel slow calls must
/// not trip it (h2 #856), an attack must (RUSTSEC-2024-0003).
const RESET_STREAMS_MAX: usize = 1024;

/// Limits of a connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    streams_max: u32,
    preface_timeout: Duration,
    keepalive_interval: Option<Duration>,
    keepalive_timeout: Duration,
}

impl ConnectionLimits {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        let interval = config.keepalive_interval_ms;
        ConnectionLimits {
            streams_max: config.streams_per_connection_max,
            preface_timeout: Duration::from_millis(config.preface_timeout_ms),
            keepalive_interval: (interval > 0).then(|| Duration::from_millis(interval)),
            keepalive_timeout: Duration::from_millis(config.keepalive_timeout_ms),
        }
    }
}

/// The acceptor's side of a worker.
#[derive(Clone, Debug)]
pub struct Handover {
    /// Connections to serve.
    pub connections: mpsc::Sender<(TcpStream, Place)>,
    /// How many it has.
    pub count: Arc<AtomicUsize>,
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    /// For the acceptor.
    pub handover: Handover,
    ready: Option<oneshot::Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What a worker is told.
#[derive(Clone, Debug)]
pub struct Orders {
    /// The loaded application, once there is one.
    pub app: watch::Receiver<Option<Arc<App>>>,
    /// True: drain.
    pub drain: watch::Receiver<bool>,
}

impl Worker {
    /// Starts the thread.
    pub fn start(
        number: usize,
        shared: Shared,
        limits: ConnectionLimits,
        config: Arc<Config>,
        orders: Orders,
    ) -> std::io::Result<Worker> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (connections, incoming) = mpsc::channel(HANDOVER_MAX);
        let (ready_tx, ready) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(format!("edge-{number}"))
            .spawn(move || {
                runtime.block_on(run(
                    Arc::new(shared),
                    limits,
                    config,
                    orders,
                    incoming,
                    ready_tx,
                ));
                // What is still open past the deadline is dropped here.
                runtime.shutdown_background();
            })?;
        let handover = Handover {
            connections,
            count: Arc::default(),
        };
        Ok(Worker {
            handover,
            ready: Some(ready),
            thread: Some(thread),
        })
    }

    /// Waits until the services are installed; false where the worker ended before.
    pub async fn ready(&mut self) -> bool {
        match self.ready.take() {
            Some(ready) => ready.await.is_ok(),
            None => true,
        }
    }

    /// Waits for the end of the thread, after it was told to drain.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("an edge thread ended with a panic");
        }
    }
}

async fn run(
    shared: Arc<Shared>,
    limits: ConnectionLimits,
    config: Arc<Config>,
    orders: Orders,
    mut incoming: mpsc::Receiver<(TcpStream, Place)>,
    ready: oneshot::Sender<()>,
) {
    let installer = tokio::spawn(install(
        Arc::clone(&shared),
        Arc::clone(&config),
        orders.app.clone(),
        ready,
    ));
    // Each connection holds a sender; the receiver ends when all are gone.
    let (alive, mut gone) = mpsc::channel::<()>(1);
    let mut told = std::pin::pin!(told_to_drain(orders.drain.clone()));
    loop {
        tokio::select! {
            connection = incoming.recv() => match connection {
                Some((stream, place)) => serve(stream, place, &shared, limits, orders.drain.clone(), alive.clone()),
                None => break,
            },
            () = told.as_mut() => break,
        }
    }
    drop((alive, incoming));
    let deadline = Duration::from_millis(config.drain_deadline_ms);
    if tokio::time::timeout(deadline, gone.recv()).await.is_err() {
        tracing::warn!("calls were still under way at the drain deadline and are cut off");
    }
    installer.abort();
}

/// Completes when the worker is told to drain, or nobody is left to tell it.
async fn told_to_drain(mut drain: watch::Receiver<bool>) {
    drop(drain.wait_for(|drain| *drain).await);
}

/// Waits for the loaded state and installs the services. On the worker's own runtime, where their answers come back to.
async fn install(
    shared: Arc<Shared>,
    config: Arc<Config>,
    mut app: watch::Receiver<Option<Arc<App>>>,
    ready: oneshot::Sender<()>,
) {
    let Ok(app) = app.wait_for(Option::is_some).await.map(|app| app.clone()) else {
        return;
    };
    if let Some(app) = app {
        let services = Services::new(
            Arc::new(app.on_this_runtime()),
            Arc::clone(&shared.gate),
            &config,
        );
        // Only this task sets it, once.
        let _ = shared.services.set(services);
        let _ = ready.send(());
    }
}

fn serve(
    stream: TcpStream,
    place: Place,
    shared: &Arc<Shared>,
    limits: ConnectionLimits,
    drain: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
) {
    let stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "a connection could not be taken over"),
    };
    let io = TokioIo::new(PrefacedIo::new(stream, limits.preface_timeout, place));
    let connection = builder(limits).serve_connection(io, Connection::new(Arc::clone(shared)));
    tokio::spawn(async move {
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = told_to_drain(drain) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended with an error");
        }
        drop(alive);
    });
}

fn builder(limits: ConnectionLimits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(RESET_STREAMS_MAX)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout)
        .auto_date_header(false);
    builder
}
