//! Many events over one stream: a bounded window of messages under way, and the stream taken up anew where it breaks.
//!
//! Events are their own idempotency keys, so what was sent but not acknowledged is simply sent again after a reconnect;
//! what had arrived is then answered DUPLICATE. Messages are encoded once, by whoever makes them, and kept as bytes until
//! acknowledged. The module refuses to interpret acknowledgements: they go to the caller, each with the caller's own tag.

mod codec;
mod stream;

pub use codec::EncodedEvents;

use crate::{
    connection::Tillside,
    error::Error,
    v1::{Event, IngestEventsResponse},
};
use stream::{Driver, Pending};
use tokio::{sync::mpsc, task::JoinHandle};

/// How a stream of events behaves.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// How many messages may be under way without an acknowledgement. Default 64, at least 1.
    pub window_messages_max: usize,
    /// Leaves acks of plainly accepted events out of the answers, to save traffic. Default true.
    pub omit_accepted: bool,
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self {
            window_messages_max: 64,
            omit_accepted: true,
        }
    }
}

/// A stream of events to the server. Each message carries a tag of type `T` that comes back with its acknowledgement.
#[derive(Debug)]
pub struct Ingest<T> {
    messages: mpsc::Sender<Pending<T>>,
    driver: JoinHandle<Result<(), Error>>,
    next_position: u64,
    omit_accepted: bool,
}

impl Tillside {
    /// Opens a stream of events. `on_ack` is called once for each message, in the order sent, when the message and all
    /// earlier ones are durable. It must not block. Needs a tokio runtime; a stream that is dropped without
    /// [`Ingest::finish`] still sends what it was given, but nobody hears how that ended.
    pub fn ingest<T, F>(&self, options: &IngestOptions, on_ack: F) -> Ingest<T>
    where
        T: Send + 'static,
        F: FnMut(T, IngestEventsResponse) + Send + 'static,
    {
        let (messages, queue) = mpsc::channel(1);
        let driver = Driver::new(
            self.clone(),
            options.window_messages_max.max(1),
            queue,
            on_ack,
        );
        Ingest {
            messages,
            driver: tokio::spawn(driver.run()),
            next_position: 1,
            omit_accepted: options.omit_accepted,
        }
    }
}

impl<T: Send + 'static> Ingest<T> {
    /// Sends a message of 1 to 1000 events; waits while the window is full. Answers the message's position.
    ///
    /// # Errors
    /// The error that ended the stream for good. What was not acknowledged by then may or may not have been taken.
    pub async fn send(&mut self, events: &[Event], tag: T) -> Result<u64, Error> {
        self.send_encoded(EncodedEvents::encode(events), tag).await
    }

    /// The same with events that were encoded elsewhere, for example on a thread of their own.
    ///
    /// # Errors
    /// As [`Ingest::send`].
    pub async fn send_encoded(&mut self, events: EncodedEvents, tag: T) -> Result<u64, Error> {
        let position = self.next_position;
        let body = events.into_message(position, self.omit_accepted);
        if self
            .messages
            .send(Pending {
                position,
                body,
                tag,
            })
            .await
            .is_err()
        {
            // Only a driver that failed hangs up before this side does.
            return Err(self.failure().await);
        }
        self.next_position += 1;
        Ok(position)
    }

    /// Ends the stream; returns when every message is acknowledged.
    ///
    /// # Errors
    /// As [`Ingest::send`].
    pub async fn finish(self) -> Result<(), Error> {
        drop(self.messages);
        self.driver.await.unwrap_or_else(|panic| Err(ended(&panic)))
    }

    async fn failure(&mut self) -> Error {
        match (&mut self.driver).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => Error::Config("the stream was finished before this message".to_owned()),
            Err(panic) => ended(&panic),
        }
    }
}

fn ended(cause: &dyn std::fmt::Display) -> Error {
    Error::Config(format!("the ingest task ended early: {cause}"))
}
