//! What a run found, as a table or as JSON. It says plainly where the figures are not to be trusted.

use crate::{
    drive::{Run, Shape},
    tally::{OpTally, Tally},
};
use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::time::Duration;

/// A generator that is later than this (99th percentile) measures itself.
const LATENESS_NANOSECONDS_MAX: u64 = 2_000_000;
/// A rate below this share of what was asked for was not reached.
const RATE_SHARE_MIN: f64 = 0.98;

/// Seconds in which the measured answers came.
fn seconds(run: &Run, tally: &Tally) -> f64 {
    let window = match run.shape {
        Shape::Open { .. } => run.duration,
        // Calls that were under way at the end count, and so does the time they took.
        Shape::Closed { .. } => run
            .duration
            .max(tally.last_answer.saturating_sub(run.warmup)),
    };
    window.max(Duration::from_millis(1)).as_secs_f64()
}

/// Answers a second, all kinds together.
pub(crate) fn rate(run: &Run, tally: &Tally) -> f64 {
    tally.answers() as f64 / seconds(run, tally)
}

/// What makes the figures doubtful, in sentences.
pub(crate) fn doubts(run: &Run, tally: &Tally) -> Vec<String> {
    let mut doubts = Vec::new();
    let late = tally.lateness.value_at_quantile(0.99);
    if late > LATENESS_NANOSECONDS_MAX {
        doubts.push(format!(
            "the generator was late by p99 {} ms: it had no time to send, so the latencies are its own, not the server's",
            millis(late)
        ));
    }
    if let Shape::Open { in_flight_max, .. } = run.shape
        && tally.bound_hit > 0
    {
        doubts.push(format!(
            "the bound of {in_flight_max} calls under way held requests back at {} ticks: the server did not keep up, and latencies depend on the bound",
            tally.bound_hit
        ));
    }
    if tally.unanswered > 0 {
        doubts.push(format!(
            "{} requests had no answer at the end and are in no figure",
            tally.unanswered
        ));
    }
    let wanted = match run.shape {
        Shape::Open { rate, .. } => rate,
        Shape::Closed { .. } => 0.0,
    };
    let errors: u64 = tally.ops().flat_map(|(_, op)| op.errors.values()).sum();
    let reached = (tally.answers() + errors) as f64 / seconds(run, tally);
    if reached < wanted * RATE_SHARE_MIN {
        doubts.push(format!(
            "{reached:.0} answers a second of {wanted:.0} asked for"
        ));
    }
    doubts
}

/// For people.
pub(crate) fn table(run: &Run, tally: &Tally) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "call",
        "answers/s",
        "p50 ms",
        "p90",
        "p99",
        "p99.9",
        "max",
        "server p50 µs",
        "p99",
        "errors",
    ]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let window = seconds(run, tally);
    for (op, found) in tally.ops() {
        let latency = |quantile| millis(found.latency.value_at_quantile(quantile));
        table.add_row([
            op.name().to_owned(),
            format!("{:.0}", found.latency.len() as f64 / window),
            latency(0.5),
            latency(0.9),
            latency(0.99),
            latency(0.999),
            millis(found.latency.max()),
            micros(&found.server, 0.5),
            micros(&found.server, 0.99),
            errors(found),
        ]);
    }
    let mut text = format!("{}\n{table}\n", headline(run));
    if matches!(run.shape, Shape::Open { .. }) {
        text.push_str(&format!(
            "generator late by p50 {} ms, p99 {} ms, max {} ms (part of the latencies)\n",
            millis(tally.lateness.value_at_quantile(0.5)),
            millis(tally.lateness.value_at_quantile(0.99)),
            millis(tally.lateness.max())
        ));
    }
    for doubt in doubts(run, tally) {
        text.push_str(&format!("DO NOT TRUST: {doubt}\n"));
    }
    text
}

fn headline(run: &Run) -> String {
    let shape = match run.shape {
        Shape::Open {
            rate,
            process,
            tick,
            ..
        } => format!(
            "open loop, {rate:.0} requests/s ({process:?} arrivals, rounded up to {} ms), latency from the time a request was due",
            tick.as_secs_f64() * 1000.0
        ),
        Shape::Closed { in_flight } => {
            format!(
                "CLOSED loop, {in_flight} under way: shows throughput; its latencies hide waiting (coordinated omission)"
            )
        }
    };
    format!(
        "{:?} on {}: {shape}; {} connections, {} generator threads, {} s after {} s of warm-up",
        run.scenario,
        run.address,
        run.connections,
        run.threads,
        run.duration.as_secs_f64(),
        run.warmup.as_secs_f64()
    )
}

fn errors(found: &OpTally) -> String {
    let errors: Vec<String> = found
        .errors
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    if errors.is_empty() {
        "–".to_owned()
    } else {
        errors.join("\n")
    }
}

fn millis(nanoseconds: u64) -> String {
    format!("{:.3}", nanoseconds as f64 / 1e6)
}

fn micros(histogram: &Histogram<u64>, quantile: f64) -> String {
    match histogram.len() {
        0 => "–".to_owned(),
        _ => format!("{:.0}", histogram.value_at_quantile(quantile) as f64 / 1e3),
    }
}

/// For programs.
pub(crate) fn json(run: &Run, tally: &Tally) -> Value {
    let shape = match run.shape {
        Shape::Open {
            rate,
            process,
            tick,
            in_flight_max,
        } => json!({
            "loop": "open",
            "rate": rate,
            "arrivals": format!("{process:?}").to_lowercase(),
            "tick_us": tick.as_micros() as u64,
            "in_flight_max": in_flight_max,
        }),
        Shape::Closed { in_flight } => json!({ "loop": "closed", "in_flight": in_flight }),
    };
    let window = seconds(run, tally);
    let calls: Vec<Value> = tally
        .ops()
        .map(|(op, found)| {
            json!({
                "call": op.name(),
                "answers": found.latency.len(),
                "answers_per_second": found.latency.len() as f64 / window,
                "latency_us": quantiles(&found.latency),
                "server_time_us": quantiles(&found.server),
                "errors": found.errors,
            })
        })
        .collect();
    json!({
        "scenario": format!("{:?}", run.scenario).to_lowercase(),
        "target": run.address.to_string(),
        "shape": shape,
        "seed": run.seed,
        "connections": run.connections,
        "threads": run.threads,
        "warmup_seconds": run.warmup.as_secs_f64(),
        "duration_seconds": run.duration.as_secs_f64(),
        "answers_per_second": rate(run, tally),
        "calls": calls,
        "generator_lateness_us": quantiles(&tally.lateness),
        "ticks_with_bound_hit": tally.bound_hit,
        "unanswered": tally.unanswered,
        "doubts": doubts(run, tally),
    })
}

fn quantiles(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": histogram.max() as f64 / 1e3 })
}
