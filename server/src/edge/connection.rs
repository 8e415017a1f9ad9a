//! An accepted connection: a socket that must say the HTTP/2 preface in time, and its place in the count of connections.
//! Without the timeout a peer that connects and says nothing would keep its place for ever.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Bytes of `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`.
const PREFACE_BYTES: usize = 24;

/// A connection's place; given back when the connection is gone.
#[derive(Debug)]
pub struct Place {
    counts: [Arc<AtomicUsize>; 2],
}

impl Place {
    /// Takes a place in both counts.
    pub fn take(total: &Arc<AtomicUsize>, of_worker: &Arc<AtomicUsize>) -> Self {
        let counts = [Arc::clone(total), Arc::clone(of_worker)];
        for count in &counts {
            count.fetch_add(1, Ordering::AcqRel);
        }
        Place { counts }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for count in &self.counts {
            count.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A stream that fails with `TimedOut` unless the preface's bytes arrive in time.
#[derive(Debug)]
pub struct PrefacedIo<T> {
    inner: T,
    /// The timer and how many bytes are still due; `None` once they came.
    awaited: Option<(Pin<Box<Sleep>>, usize)>,
    _place: Place,
}

impl<T> PrefacedIo<T> {
    /// Starts the time of `inner`. Must be called on a tokio runtime with time.
    pub fn new(inner: T, timeout: Duration, place: Place) -> Self {
        PrefacedIo {
            inner,
            awaited: Some((Box::pin(tokio::time::sleep(timeout)), PREFACE_BYTES)),
            _place: place,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for PrefacedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Some((timer, due)) = &mut self.awaited {
            let came = buf.filled().len() - before;
            if came >= *due {
                self.awaited = None;
            } else {
                *due -= came;
                if timer.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "no HTTP/2 preface in time",
                    )));
                }
            }
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for PrefacedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}
