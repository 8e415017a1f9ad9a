//! The HTTP side door for operators: `/metrics` for Prometheus, `/livez` and `/readyz` for whoever supervises the process.
//! Nothing about customers is ever shown here.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::app::App;
use crate::gate::{Gate, Phase};
use crate::telemetry;

/// Connections at a time: scrapers and supervisors, not customers.
const CONNECTIONS_MAX: usize = 32;
/// How long a peer may take for the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// What the pages are made from.
#[derive(Clone, Debug)]
pub struct Pages {
    /// Readiness.
    pub gate: Arc<Gate>,
    /// The numbers.
    pub metrics: PrometheusHandle,
    /// The loaded application, once there is one.
    pub app: watch::Receiver<Option<Arc<App>>>,
    /// Open gRPC connections.
    pub connections: Arc<AtomicUsize>,
}

/// Serves until dropped.
pub async fn run(listener: TcpListener, pages: Pages) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Waiting for a place before accepting leaves the rest to the kernel's queue.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let pages = pages.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                std::future::ready(Ok::<_, Infallible>(pages.answer(&request)))
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT);
            if let Err(error) = builder
                .serve_connection(TokioIo::new(stream), service)
                .await
            {
                tracing::debug!(%error, "an HTTP connection ended with an error");
            }
            drop(place);
        });
    }
}

impl Pages {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return page(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET is possible here\n",
            );
        }
        match request.uri().path() {
            "/metrics" => self.metrics(),
            "/livez" => page(StatusCode::OK, "alive\n"),
            "/readyz" => match self.gate.phase() {
                Phase::Serving => page(StatusCode::OK, "ready\n"),
                Phase::Loading => page(StatusCode::SERVICE_UNAVAILABLE, "loading\n"),
                Phase::Draining => page(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
                Phase::Failed => page(StatusCode::SERVICE_UNAVAILABLE, "storage failed\n"),
            },
            _ => page(
                StatusCode::NOT_FOUND,
                "there are /metrics, /livez and /readyz\n",
            ),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        metrics::gauge!("tillside_connections")
            .set(self.connections.load(Ordering::Acquire) as f64);
        if let Some(app) = self.app.borrow().as_ref() {
            telemetry::observe(app);
        }
        let mut response = page(StatusCode::OK, self.metrics.render());
        let text = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        response
    }
}

fn page(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}
