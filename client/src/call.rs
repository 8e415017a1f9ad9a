//! One unary call: its deadline, its attempts, and what comes back with the answer.

use crate::{backoff, connection::Tillside, error::Error};
use std::{future::Future, time::Duration};
use tokio::time::Instant;
use tonic::{Request, Response, Status, transport::Channel};

/// An answer of the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    /// What was answered.
    pub value: T,
    /// The server's own time for the call in microseconds, from the trailer `tillside-server-time-us`.
    pub server_time_us: Option<u64>,
    /// How often the call was sent, 1 where nothing went wrong.
    pub attempts: u32,
}

impl<T> Answer<T> {
    /// The same answer with its value changed.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            value: change(self.value),
            server_time_us: self.server_time_us,
            attempts: self.attempts,
        }
    }
}

impl Tillside {
    /// Sends `request` until it is answered, refused for good, or out of attempts or time. `timeout` spans all attempts;
    /// every attempt tells the server how much of it is left.
    pub(crate) async fn call<Req, Res, F, Fut>(
        &self,
        timeout: Duration,
        request: Req,
        send: F,
    ) -> Result<Answer<Res>, Error>
    where
        Req: Clone,
        F: Fn(Channel, Request<Req>) -> Fut,
        Fut: Future<Output = Result<Response<Res>, Status>>,
    {
        let deadline = Instant::now() + timeout;
        let policy = &self.config.retry;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let mut attempt = Request::new(request.clone());
            attempt.set_timeout(left);
            // The transport's own timer ends with the response headers; this one spans the whole answer.
            let outcome =
                tokio::time::timeout_at(deadline, send(self.channel.clone(), attempt)).await;
            let error = match outcome {
                Ok(Ok(response)) => {
                    return Ok(Answer {
                        server_time_us: server_time_us(&response),
                        value: response.into_inner(),
                        attempts,
                    });
                }
                Ok(Err(status)) => Error::from_status(&status, timeout),
                Err(_elapsed) => Error::Deadline(timeout),
            };
            let passing = error.is_retryable() || error.is_broken_connection();
            if !passing || attempts >= policy.attempts_max {
                return Err(error);
            }
            let wait = backoff::wait(policy, attempts, error.retry_delay(), rand::random());
            if Instant::now() + wait >= deadline {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }
}

/// For unary calls tonic merges the trailers into the metadata of the response.
fn server_time_us<T>(response: &Response<T>) -> Option<u64> {
    response
        .metadata()
        .get("tillside-server-time-us")?
        .to_str()
        .ok()?
        .parse()
        .ok()
}
