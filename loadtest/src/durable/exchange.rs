//! A socket on which many calls are under way: commands go out in the order they come, replies come back in the same
//! order. Thin on purpose, so that the peers are not slowed down by a client: what a client library would add is left out.

use anyhow::Context as _;
use bytes::{Buf as _, BytesMut};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
};

/// Commands of one socket that may wait to be written: more than ever are in flight.
const QUEUE: usize = 1024;

/// What a reply says; an error is the server's text.
pub(super) type Reply = Result<(), String>;

/// Finds the end of a reply.
pub(super) trait Protocol: Copy + Send + 'static {
    /// Bytes of the first whole reply and what it says; none while it is incomplete.
    fn reply(self, bytes: &[u8]) -> Option<(usize, Reply)>;
}

type Waiting = Arc<Mutex<VecDeque<oneshot::Sender<Reply>>>>;

fn lock(waiting: &Waiting) -> MutexGuard<'_, VecDeque<oneshot::Sender<Reply>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One socket; clones share it. It lives on the runtime that opened it.
#[derive(Clone)]
pub(super) struct Exchange {
    commands: mpsc::Sender<(Vec<u8>, oneshot::Sender<Reply>)>,
}

impl Exchange {
    pub(super) async fn open(address: SocketAddr, protocol: impl Protocol) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("Cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let (input, output) = stream.into_split();
        let (commands, queue) = mpsc::channel(QUEUE);
        let waiting = Waiting::default();
        tokio::spawn(write(output, queue, Arc::clone(&waiting)));
        tokio::spawn(read(input, protocol, waiting));
        Ok(Self { commands })
    }

    /// Sends a command and waits for its reply.
    pub(super) async fn call(&self, command: Vec<u8>) -> anyhow::Result<()> {
        let (to, reply) = oneshot::channel();
        self.commands
            .send((command, to))
            .await
            .map_err(|_| anyhow::anyhow!("the connection is closed"))?;
        reply
            .await
            .context("the connection was closed before the reply")?
            .map_err(anyhow::Error::msg)
    }
}

async fn write(
    mut output: OwnedWriteHalf,
    mut queue: mpsc::Receiver<(Vec<u8>, oneshot::Sender<Reply>)>,
    waiting: Waiting,
) {
    let mut bytes = Vec::new();
    while let Some((command, to)) = queue.recv().await {
        bytes.clear();
        bytes.extend_from_slice(&command);
        lock(&waiting).push_back(to);
        // What else has come meanwhile goes out with it.
        while let Ok((command, to)) = queue.try_recv() {
            bytes.extend_from_slice(&command);
            lock(&waiting).push_back(to);
        }
        if output.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn read(mut input: OwnedReadHalf, protocol: impl Protocol, waiting: Waiting) {
    let mut bytes = BytesMut::with_capacity(1 << 16);
    while matches!(input.read_buf(&mut bytes).await, Ok(count) if count > 0) {
        while let Some((length, reply)) = protocol.reply(&bytes) {
            bytes.advance(length);
            if let Some(to) = lock(&waiting).pop_front() {
                // Whoever no longer waits has been told by a timeout.
                let _ = to.send(reply);
            }
        }
    }
    // Dropping the senders tells everybody who still waits.
    lock(&waiting).clear();
}
