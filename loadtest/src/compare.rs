//! RecognizeCustomer divided by a bare echo: how much of the transport's speed the decision leaves. Same client, same
//! machine, same request bytes, an answer of the same bytes; the subjects take turns, so that what changes on the machine
//! meanwhile hits all of them.

use crate::{
    drive::{self, Run},
    echo::{EchoProcess, Treatment},
    report,
    wire::Connection,
    workload::{Op, Requests},
};
use anyhow::Context as _;
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};
use std::sync::Arc;
use tillside_proto::v1;

/// What the real server should reach.
const GOAL: f64 = 0.90;
/// Where rounds differ by more than this, against their median, something else was using the cores.
const SPREAD_MAX: f64 = 0.25;
/// Answers looked at to find one of typical length.
const SAMPLES: usize = 501;

/// One server that takes part, and its rates, one a round.
struct Subject {
    name: &'static str,
    run: Run,
    rates: Vec<f64>,
    p99_millis: Vec<f64>,
    /// The server's process, where it is known.
    pid: Option<u32>,
    /// Processor time of the server a call, one a round; empty where it could not be read.
    cpu_micros: Vec<f64>,
}

/// What was found.
pub(crate) struct Comparison {
    subjects: Vec<Subject>,
    answer_bytes: usize,
    request_bytes: usize,
}

/// Runs `rounds` rounds of `run` (a closed loop against the real server) and of two echoes.
pub(crate) fn compare(
    run: &Run,
    requests: &Arc<Requests>,
    rounds: usize,
    server_threads: usize,
    server_pid: Option<u32>,
) -> anyhow::Result<Comparison> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime.block_on(typical_answer(run, requests))?;
    let echoes: Vec<EchoProcess> = [Treatment::Bytes, Treatment::Typed]
        .into_iter()
        .map(|treatment| EchoProcess::start(treatment, server_threads, &answer))
        .collect::<anyhow::Result<_>>()?;
    let subject = |name, address, pid| Subject {
        name,
        run: Run {
            address,
            ..run.clone()
        },
        rates: Vec::new(),
        p99_millis: Vec::new(),
        pid,
        cpu_micros: Vec::new(),
    };
    let mut subjects = vec![subject("tillside", run.address, server_pid)];
    subjects.extend(
        ["echo, bytes", "echo, typed"]
            .into_iter()
            .zip(&echoes)
            .map(|(name, echo)| subject(name, echo.address, Some(echo.pid()))),
    );
    for round in 0..rounds {
        let count = subjects.len();
        // Everybody goes first, second and last in turn.
        for step in 0..count {
            let subject = &mut subjects[(round + step) % count];
            let before = subject.pid.and_then(cpu_micros);
            let tally = drive::run(subject.run.clone(), requests)?;
            let used = subject
                .pid
                .and_then(cpu_micros)
                .zip(before)
                .map(|(after, before)| after - before);
            let errors: u64 = tally.ops().flat_map(|(_, op)| op.errors.values()).sum();
            anyhow::ensure!(
                errors == 0,
                "{} answered {errors} calls with an error",
                subject.name
            );
            let rate = report::rate(&subject.run, &tally);
            let p99 = tally
                .ops()
                .next()
                .map_or(0, |(_, op)| op.latency.value_at_quantile(0.99));
            eprintln!(
                "round {}: {:<12} {rate:>9.0} calls/s",
                round + 1,
                subject.name
            );
            subject.rates.push(rate);
            // The time includes the warm-up, so its calls are counted at the same rate.
            let calls = rate * (run.warmup + run.duration).as_secs_f64();
            subject.cpu_micros.extend(used.map(|used| used / calls));
            subject.p99_millis.push(p99 as f64 / 1e6);
        }
    }
    let request_bytes = requests
        .recognitions()
        .iter()
        .map(Bytes::len)
        .sum::<usize>()
        / requests.recognitions().len().max(1);
    Ok(Comparison {
        subjects,
        answer_bytes: answer.len(),
        request_bytes,
    })
}

/// The answer of median length to the first requests.
async fn typical_answer(run: &Run, requests: &Requests) -> anyhow::Result<Bytes> {
    let mut connection = Connection::open(run.address).await?;
    let mut answers = Vec::with_capacity(SAMPLES);
    for request in requests.recognitions().iter().take(SAMPLES) {
        let uri = connection.uri(Op::Recognize.path());
        let answer = connection.call(uri, request.clone()).await?.message;
        let decoded = v1::RecognizeCustomerResponse::decode(answer.clone())?;
        if decoded.outcome() == v1::RecognitionOutcome::Matched {
            answers.push(answer);
        }
    }
    answers.sort_by_key(Bytes::len);
    let middle = answers.len() / 2;
    answers
        .into_iter()
        .nth(middle)
        .context("the server recognises nobody of this world")
}

/// Processor time a process has used, in microseconds; none where the system does not tell (only Linux does).
pub(crate) fn cpu_micros(pid: u32) -> Option<f64> {
    // The kernel's unit towards programs, whatever its own.
    const MICROS_PER_TICK: f64 = 10_000.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold spaces: user and system time are fields 14 and 15 of the whole.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) * MICROS_PER_TICK)
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}

impl Comparison {
    /// tillside ÷ subject, one a round.
    fn ratios(&self, subject: &Subject) -> Vec<f64> {
        self.subjects[0]
            .rates
            .iter()
            .zip(&subject.rates)
            .map(|(ours, theirs)| ours / theirs)
            .collect()
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let ours = &self.subjects[0];
        let mut text = format!(
            "RecognizeCustomer and an echo of the same bytes ({} in, {} out), closed loop, {} rounds\n",
            self.request_bytes,
            self.answer_bytes,
            ours.rates.len()
        );
        for subject in &self.subjects {
            let cpu = match subject.cpu_micros.as_slice() {
                [] => String::new(),
                micros => format!(", server CPU {:.1} µs a call", median(micros)),
            };
            text.push_str(&format!(
                "  {:<12} {:>9.0} calls/s (median; {}), p99 {:.2} ms{cpu}\n",
                subject.name,
                median(&subject.rates),
                spread(&subject.rates, 0),
                median(&subject.p99_millis)
            ));
        }
        for subject in &self.subjects[1..] {
            let ratios = self.ratios(subject);
            text.push_str(&format!(
                "  tillside ÷ {:<12} {:.3} (median of the rounds; {})\n",
                subject.name,
                median(&ratios),
                spread(&ratios, 3)
            ));
        }
        let reached = median(&self.ratios(&self.subjects[1]));
        let verdict = if reached >= GOAL { "reached" } else { "missed" };
        text.push_str(&format!(
            "goal {GOAL:.2} against the bytes echo: {verdict}\n"
        ));
        for subject in &self.subjects {
            if relative_spread(&subject.rates) > SPREAD_MAX {
                text.push_str(&format!(
                    "DO NOT TRUST: the rounds of {} differ by {:.0} % of their median; something else used the cores\n",
                    subject.name,
                    relative_spread(&subject.rates) * 100.0
                ));
            }
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let subjects: Vec<Value> = self
            .subjects
            .iter()
            .map(|subject| {
                json!({
                    "name": subject.name,
                    "calls_per_second": subject.rates,
                    "calls_per_second_median": median(&subject.rates),
                    "p99_ms": subject.p99_millis,
                    "server_cpu_us_per_call": subject.cpu_micros,
                    "relative_spread": relative_spread(&subject.rates),
                    "tillside_ratio": self.ratios(subject),
                    "tillside_ratio_median": median(&self.ratios(subject)),
                })
            })
            .collect();
        json!({
            "request_bytes": self.request_bytes,
            "answer_bytes": self.answer_bytes,
            "goal": GOAL,
            "subjects": subjects,
        })
    }
}

fn low_and_high(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (low, high)
}

fn spread(values: &[f64], digits: usize) -> String {
    let (low, high) = low_and_high(values);
    format!("{low:.digits$} to {high:.digits$}")
}

fn relative_spread(values: &[f64]) -> f64 {
    let (low, high) = low_and_high(values);
    (high - low) / median(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }
}
