//! What a connection is told once: where the server is, how long a call may take, how often it is tried.

use std::time::Duration;

/// How a [`Tillside`](crate::Tillside) connects and calls.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Where the server is, for example `http://127.0.0.1:50051`.
    pub server: String,
    /// How long one attempt to connect may take. Default 2 s.
    pub connect_timeout: Duration,
    /// The deadline of a call, retries included; sent as `grpc-timeout`. Default 2 s.
    pub timeout: Duration,
    /// The deadline of calls that carry much data (PutStores, PutProducts, IngestBatch), and the longest silence of the
    /// server on a stream before it is taken up anew. Default 60 s.
    pub bulk_timeout: Duration,
    /// How calls are retried.
    pub retry: RetryPolicy,
    /// How long a connection may be silent before the client asks whether the server is still there. Default 20 s.
    pub keepalive_interval: Duration,
    /// How long the answer to that question may take before the connection is given up. Default 5 s.
    pub keepalive_timeout: Duration,
}

impl ClientConfig {
    /// The defaults, for the server at `server`.
    pub fn new(server: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            bulk_timeout: Duration::from_secs(60),
            retry: RetryPolicy::default(),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(5),
        }
    }
}

/// How a call that failed for a passing reason is tried again: UNAVAILABLE, RESOURCE_EXHAUSTED with RetryInfo, and
/// ABORTED / CONTENDED. A retry carries the same `request_id`, so nothing is ever done twice.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// How often a call is sent at most, the first time included. 1 never retries. Default 4.
    pub attempts_max: u32,
    /// The wait before the first retry; it doubles with each. Default 20 ms.
    pub backoff_first: Duration,
    /// The longest wait the client chooses by itself; a server's RetryInfo may ask for more. Default 1 s.
    pub backoff_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 4,
            backoff_first: Duration::from_millis(20),
            backoff_max: Duration::from_secs(1),
        }
    }
}
