//! Metrics. Handles are made once; a call only adds to counters. Gauges that would cost something to keep are read when
//! they are asked for, in [`observe`].

use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics::{Counter, Histogram, Label, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tillside_engine::state::{lock, read};

use crate::app::App;

/// Upper bounds of the latency buckets in seconds: from a recognition to a call that waited for a slow disk.
const LATENCY_BUCKETS: [f64; 16] = [
    10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.5,
    2.0, 10.0,
];
/// Upper bounds of the batch size buckets.
const BATCH_BUCKETS: [f64; 11] = [
    0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0,
];
/// gRPC has codes 0 to 16.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

static RECORDER: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();

/// The process's recorder; the first call installs it.
pub fn recorder() -> Result<PrometheusHandle, String> {
    RECORDER.get_or_init(install).clone()
}

fn install() -> Result<PrometheusHandle, String> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(
            Matcher::Suffix("_duration_seconds".into()),
            &LATENCY_BUCKETS,
        )
        .and_then(|b| {
            b.set_buckets_for_metric(
                Matcher::Full("tillside_batch_commands".into()),
                &BATCH_BUCKETS,
            )
        })
        .map_err(|e| e.to_string())?;
    let handle = builder.install_recorder().map_err(|e| e.to_string())?;
    metrics::describe_counter!(
        "tillside_requests_total",
        "Calls answered, by method and gRPC code."
    );
    metrics::describe_histogram!(
        "tillside_request_duration_seconds",
        Unit::Seconds,
        "The server's own time per call, by method."
    );
    metrics::describe_histogram!(
        "tillside_batch_commands",
        "Commands that changed something, per batch of the sequencer."
    );
    metrics::describe_gauge!("tillside_connections", "Open gRPC connections.");
    metrics::describe_counter!(
        "tillside_connections_refused_total",
        "Connections closed at once because there were too many."
    );
    metrics::describe_gauge!(
        "tillside_queue_length",
        "What waits for the sequencer, by lane: commands, or messages of events."
    );
    metrics::describe_gauge!(
        "tillside_durable_sequence",
        "Every change up to it is on disk."
    );
    metrics::describe_counter!(
        "tillside_log_appends_total",
        "Writes of the sequencer, each with one sync of the disk; divided by tillside_log_commands_total, the syncs an acknowledged change costs."
    );
    metrics::describe_counter!(
        "tillside_log_commands_total",
        "Commands that changed something and are durable."
    );
    metrics::describe_counter!(
        "tillside_log_written_bytes_total",
        Unit::Bytes,
        "Keys and values written, before the database adds its own."
    );
    metrics::describe_gauge!(
        "tillside_recovery_seconds",
        "How long loading took at start."
    );
    metrics::describe_gauge!(
        "tillside_entities",
        "How many of each kind the server holds."
    );
    metrics::describe_gauge!(
        "tillside_backup_last_success_seconds",
        Unit::Seconds,
        "When the latest complete backup was begun, in seconds since 1970; absent where there is none."
    );
    metrics::describe_gauge!(
        "tillside_backup_last_took_seconds",
        Unit::Seconds,
        "How long the latest complete backup took."
    );
    metrics::describe_gauge!(
        "tillside_backup_last_bytes",
        Unit::Bytes,
        "Bytes of the latest complete backup, by kind: all its files, and those that were copied for it."
    );
    metrics::describe_counter!(
        "tillside_backups_total",
        "Backups that ended since the start, by outcome."
    );
    metrics::describe_gauge!(
        "tillside_request_ids_remembered",
        "Answered request ids that a retry would find."
    );
    metrics::describe_gauge!(
        "tillside_request_window_seconds",
        Unit::Seconds,
        "Age of the oldest remembered request id: how late a retry may come. It shrinks below a day where too many come."
    );
    metrics::describe_counter!(
        "tillside_request_ids_repeated_total",
        "Requests answered with the first answer, because their id was answered before."
    );
    metrics::describe_gauge!(
        "tillside_stock_shortages",
        "Levels with less than was promised, on_hand below zero among them: to count or to correct, unless it was promised of a delivery."
    );
    metrics::describe_gauge!(
        "tillside_availability_watchers",
        "Streams that mirror stock (WatchAvailability)."
    );
    metrics::describe_counter!(
        "tillside_availability_levels_sent_total",
        "Stock levels sent to watchers."
    );
    metrics::describe_counter!(
        "tillside_availability_catch_ups_total",
        "Times a watcher read the log: after it came back with a token, or because it was too slow."
    );
    metrics::describe_counter!(
        "tillside_invariant_checks_total",
        "Checks of the running server (CheckInvariants), by outcome: clean, or violated, which is a defect of the server."
    );
    describe_profiles();
    crate::promise::describe();
    crate::disk::describe();
    crate::routing_log::describe();
    Ok(handle)
}

/// Metrics that exist where not all customers are in memory (`hot_profiles_max_bytes`).
fn describe_profiles() {
    metrics::describe_counter!(
        "tillside_profile_reads_total",
        "Customers that callers asked for, by whether they were in memory (hit) or had to be read from disk (miss)."
    );
    metrics::describe_histogram!(
        "tillside_profile_read_duration_seconds",
        Unit::Seconds,
        "Reading a customer from disk: for callers (waiting for a reader included) and for the sequencer."
    );
    metrics::describe_counter!(
        "tillside_profile_read_failures_total",
        "Customers that could not be read from disk; the log says why."
    );
    metrics::describe_counter!(
        "tillside_profile_stale_reads_total",
        "Customers that were read older than they had to be, and dropped. Anything but 0 is a defect."
    );
    metrics::describe_counter!(
        "tillside_profile_loads_total",
        "Customers that came into memory from disk."
    );
    metrics::describe_counter!(
        "tillside_profile_evictions_total",
        "Customers that left memory for others."
    );
    metrics::describe_counter!(
        "tillside_profile_hints_dropped_total",
        "Hints of whom will be needed that found no room: those customers are read when they are needed."
    );
    metrics::describe_counter!(
        "tillside_commands_parked_total",
        "Commands, or events of a message, that waited for a customer from disk."
    );
    metrics::describe_gauge!(
        "tillside_commands_parked",
        "Commands of waiting tills that wait for a customer from disk now."
    );
    metrics::describe_gauge!(
        "tillside_profile_resident_bytes",
        Unit::Bytes,
        "What the customers in memory take; hot_profiles_max_bytes is the limit."
    );
    metrics::describe_gauge!("tillside_profiles_resident", "Customers in memory.");
}

/// The metrics of one method.
#[derive(Debug)]
pub struct MethodMetrics {
    name: Box<str>,
    /// Made when a code is first answered, so that nothing is exported that never happened.
    codes: [OnceLock<Counter>; CODES.len()],
    duration: Histogram,
}

impl MethodMetrics {
    /// Registers the metrics of `name`, "Service/Method".
    pub fn new(name: &str) -> Self {
        let duration = metrics::histogram!(
            "tillside_request_duration_seconds",
            vec![Label::new("method", name.to_owned())]
        );
        MethodMetrics {
            name: name.into(),
            codes: Default::default(),
            duration,
        }
    }

    /// Counts an answer.
    pub fn answered(&self, code: usize, took: Duration) {
        let code = if code < CODES.len() { code } else { 2 };
        let labels = || {
            vec![
                Label::new("method", self.name.to_string()),
                Label::from_static_parts("code", CODES[code]),
            ]
        };
        self.codes[code]
            .get_or_init(|| metrics::counter!("tillside_requests_total", labels()))
            .increment(1);
        self.duration.record(took.as_secs_f64());
    }
}

/// Sets the gauges that are read when asked for.
pub fn observe(app: &App) {
    let (interactive, bulk) = app.sequencer.queue_lengths();
    metrics::gauge!("tillside_queue_length", "lane" => "interactive").set(interactive as f64);
    metrics::gauge!("tillside_queue_length", "lane" => "bulk").set(bulk as f64);
    metrics::gauge!("tillside_durable_sequence").set(app.sequencer.durable_sequence().0 as f64);
    let written = app.sequencer.written();
    metrics::counter!("tillside_log_appends_total").absolute(written.appends);
    metrics::counter!("tillside_log_commands_total").absolute(written.commands);
    metrics::counter!("tillside_log_written_bytes_total").absolute(written.bytes);
    metrics::gauge!("tillside_recovery_seconds").set(app.about.recovery.as_secs_f64());
    let (remembered, oldest) = {
        let requests = lock(&app.state.requests);
        (requests.len(), requests.oldest())
    };
    let window_ms = oldest.map_or(0, |oldest| (app.now().0 - oldest.time.0).max(0));
    metrics::gauge!("tillside_request_ids_remembered").set(remembered as f64);
    metrics::gauge!("tillside_request_window_seconds").set(window_ms as f64 / 1000.0);
    if let Some((bytes, residents, parked)) = app.sequencer.residents() {
        metrics::gauge!("tillside_profile_resident_bytes").set(bytes as f64);
        metrics::gauge!("tillside_profiles_resident").set(residents as f64);
        metrics::gauge!("tillside_commands_parked").set(parked as f64);
    }
    crate::disk::observe(&app.storage);
    let state = &app.state;
    metrics::gauge!("tillside_stock_shortages").set(state.stock.short_len() as f64);
    metrics::gauge!("tillside_availability_watchers").set(app.availability.watching() as f64);
    for (kind, count) in [
        ("stores", state.stores.len()),
        ("products", state.products.len()),
        (
            "customers",
            usize::try_from(state.customer_count()).unwrap_or(usize::MAX),
        ),
        ("provisional_customers", read(&state.provisional).len()),
        ("identifiers", state.identifiers.len()),
        ("stock_levels", state.stock.len()),
        ("offers", state.offers.len()),
        ("reservations", state.reservations.len()),
        (
            "transactions",
            usize::try_from(state.transactions.load(Ordering::Acquire)).unwrap_or(usize::MAX),
        ),
        ("quarantined_lines", read(&state.quarantine).len()),
        ("deliveries", state.deliveries.len()),
        ("sources", state.sources.len()),
        ("store_prices", state.store_prices.len()),
    ] {
        metrics::gauge!("tillside_entities", "kind" => kind).set(count as f64);
    }
}
