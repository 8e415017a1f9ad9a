//! The one listener: takes connections, bounds their number, and hands each to the worker that has the fewest.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::connection::Place;
use super::worker::Handover;

/// Connections the kernel may queue: a whole chain's tills reconnecting at once.
const BACKLOG: i32 = 4096;
/// Pause after an accept that failed for want of descriptors or memory, so as not to spin until some are free.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Binds a listener. SO_REUSEADDR only: a restarted server gets its port at once, a second server does not.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until dropped.
pub async fn run(
    listener: TcpListener,
    workers: Vec<Handover>,
    connections_max: usize,
    connections: Arc<AtomicUsize>,
) {
    let refused = metrics::counter!("tillside_connections_refused_total");
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        if connections.load(Ordering::Acquire) >= connections_max {
            refused.increment(1);
            continue;
        }
        let Some(worker) = workers
            .iter()
            .min_by_key(|w| w.count.load(Ordering::Acquire))
        else {
            return;
        };
        let place = Place::take(&connections, &worker.count);
        // Without TCP_NODELAY an answer waits for the acknowledgement of the one before: 40 ms.
        let handed = stream.set_nodelay(true).and_then(|()| stream.into_std());
        match handed {
            Ok(stream) => drop(worker.connections.send((stream, place)).await),
            Err(error) => tracing::debug!(%error, "a connection was gone before it was taken over"),
        }
    }
}
