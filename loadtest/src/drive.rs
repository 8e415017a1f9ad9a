//! Sends the load: an open loop at a rate, or a closed loop with a number of calls under way.
//!
//! **Open loop.** Requests are due by a schedule that does not know the server. Latency counts from the moment a request was
//! due, not from when it was sent, so a server that stalls pays for everybody who would have come meanwhile (coordinated
//! omission). One timer a request would make the generator the bottleneck and falsify the tail, so there is one clock
//! thread that wakes the generators every tick (1 ms), and each sends all that is due. The schedule is rounded *up* to ticks:
//! requests come in bursts of a tick's worth, which is harder on the server than an even flow, and nothing is counted as
//! latency that only stems from the tick. How late the generator itself was is measured and reported beside the result.
//!
//! **Closed loop.** Finds the highest throughput. Its latencies say nothing about a server under a given load.

use crate::{
    arrivals::{Arrivals, Process, tick_of},
    tally::{self, Tally},
    wire::{Answer, Connection, reason},
    workload::{self, Op, Requests, Scenario, Workload},
};
use anyhow::Context as _;
use bytes::Bytes;
use http::Uri;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Barrier, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::Notify;
use tonic::Status;

/// How long answers are waited for after the last request was due.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// How the load is shaped.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Requests are due by a schedule.
    Open {
        /// Requests a second over all generators.
        rate: f64,
        /// How they follow each other.
        process: Process,
        /// How often the generators wake.
        tick: Duration,
        /// Calls under way at most, over all generators.
        in_flight_max: usize,
    },
    /// Every answer is followed by the next request.
    Closed {
        /// Calls under way, over all generators.
        in_flight: usize,
    },
}

/// A run.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) address: SocketAddr,
    pub(crate) scenario: Scenario,
    pub(crate) shape: Shape,
    pub(crate) seed: u64,
    /// Different for every run, part of all ids.
    pub(crate) name: String,
    /// Receipts a call of the ingest scenario.
    pub(crate) batch: usize,
    /// Connections over all generators.
    pub(crate) connections: usize,
    /// Generator threads.
    pub(crate) threads: usize,
    /// Sent, but not measured, before the duration.
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
}

impl Run {
    fn end(&self) -> Duration {
        self.warmup + self.duration
    }

    /// The part of `total` that generator `index` has.
    fn share(&self, total: usize, index: usize) -> usize {
        total / self.threads + usize::from(index < total % self.threads)
    }
}

/// What all generators share.
struct Field {
    run: Run,
    requests: Arc<Requests>,
    ready: Barrier,
    start: OnceLock<Instant>,
    wakes: Vec<Notify>,
    done: AtomicBool,
}

/// Runs it and adds up what the generators measured.
pub(crate) fn run(run: Run, requests: &Arc<Requests>) -> anyhow::Result<Tally> {
    let threads = run.threads;
    let tick = match run.shape {
        Shape::Open { tick, .. } => Some(tick),
        Shape::Closed { .. } => None,
    };
    let field = Arc::new(Field {
        requests: Arc::clone(requests),
        ready: Barrier::new(threads),
        start: OnceLock::new(),
        wakes: (0..threads).map(|_| Notify::new()).collect(),
        done: AtomicBool::new(false),
        run,
    });
    let generators: Vec<_> = (0..threads)
        .map(|index| {
            let field = Arc::clone(&field);
            thread::spawn(move || generate(&field, index))
        })
        .collect();
    let clock = tick.map(|tick| {
        let field = Arc::clone(&field);
        thread::spawn(move || beat(&field, tick))
    });
    let mut total = Tally::new();
    let mut outcome = Ok(());
    for generator in generators {
        match generator.join() {
            Ok(Ok(tally)) => total.merge(&tally),
            Ok(Err(error)) => outcome = Err(error),
            Err(_) => outcome = Err(anyhow::anyhow!("a generator ended early")),
        }
    }
    field.done.store(true, Ordering::Relaxed);
    if let Some(clock) = clock {
        clock
            .join()
            .map_err(|_| anyhow::anyhow!("the clock ended early"))?;
    }
    outcome.map(|()| total)
}

/// Wakes all generators at every tick. A thread that sleeps is more exact than a runtime's timer.
fn beat(field: &Field, tick: Duration) {
    let start = *field.start.wait();
    for beat in 1_u32.. {
        let next = start + tick * beat;
        thread::sleep(next.saturating_duration_since(Instant::now()));
        field.wakes.iter().for_each(Notify::notify_one);
        if field.done.load(Ordering::Relaxed) {
            return;
        }
    }
}

fn generate(field: &Arc<Field>, index: usize) -> anyhow::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let callers = runtime.block_on(connect(&field.run, index));
    // Everybody comes here, also those who failed: the others wait.
    field.ready.wait();
    let start = *field.start.get_or_init(Instant::now);
    let run = &field.run;
    let workload = Workload::new(
        Arc::clone(&field.requests),
        run.scenario,
        run.seed,
        &run.name,
        index,
        run.batch,
    );
    let generator = Generator {
        index,
        callers: callers?,
        measure: Measure {
            start,
            tally: Arc::new(Mutex::new(Tally::new())),
            in_flight: Arc::new(AtomicUsize::new(0)),
        },
    };
    match run.shape {
        Shape::Open { .. } => runtime.block_on(generator.open_loop(field, workload)),
        Shape::Closed { in_flight } => {
            runtime.block_on(generator.closed_loop(run, run.share(in_flight, index), workload));
        }
    }
    let tally = lock(&generator.measure.tally).clone();
    Ok(tally)
}

async fn connect(run: &Run, index: usize) -> anyhow::Result<Vec<Caller>> {
    let mut callers = Vec::new();
    for _ in 0..run.share(run.connections, index).max(1) {
        let connection = Connection::open(run.address)
            .await
            .context("The load has nowhere to go")?;
        let uris = Op::ALL.map(|op| connection.uri(op.path()));
        callers.push(Caller { connection, uris });
    }
    Ok(callers)
}

/// A connection that knows where each kind of call goes.
#[derive(Debug, Clone)]
struct Caller {
    connection: Connection,
    uris: [Uri; Op::ALL.len()],
}

impl Caller {
    async fn call(&mut self, op: Op, body: Bytes) -> Result<Answer, Status> {
        self.connection
            .call(self.uris[op as usize].clone(), body)
            .await
    }
}

/// Makes calls and notes what came of them. Cloned into every call's task; all clones live on one thread, so neither the
/// lock nor the counter is ever contended.
#[derive(Clone)]
struct Measure {
    start: Instant,
    tally: Arc<Mutex<Tally>>,
    in_flight: Arc<AtomicUsize>,
}

impl Measure {
    /// A call, counted from when it was due; a hold is released by a further call, counted from when it could be sent.
    async fn call(self, mut caller: Caller, op: Op, body: Bytes, due: Duration, counts: bool) {
        let outcome = caller.call(op, body).await;
        let held = self.note(op, outcome, due, counts);
        if let (Op::Reserve, Some(reservation)) = (op, held) {
            let due = self.start.elapsed();
            match workload::release_of(reservation) {
                Ok(body) => drop(self.note(
                    Op::Release,
                    caller.call(Op::Release, body).await,
                    due,
                    counts,
                )),
                Err(_) => lock(&self.tally).failed(Op::Release, "BAD_ANSWER".to_owned()),
            }
        }
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    fn note(
        &self,
        op: Op,
        outcome: Result<Answer, Status>,
        due: Duration,
        counts: bool,
    ) -> Option<Bytes> {
        let now = self.start.elapsed();
        if counts {
            let mut tally = lock(&self.tally);
            match &outcome {
                Ok(answer) => {
                    tally.answered(op, now.saturating_sub(due), answer.server_time_us);
                    tally.last_answer = now;
                }
                Err(status) => tally.failed(op, reason(status)),
            }
        }
        outcome.ok().map(|answer| answer.message)
    }
}

/// One thread's part.
struct Generator {
    index: usize,
    callers: Vec<Caller>,
    measure: Measure,
}

impl Generator {
    async fn open_loop(&self, field: &Field, mut workload: Workload) {
        let run = &field.run;
        let Shape::Open {
            rate,
            process,
            tick,
            in_flight_max,
        } = run.shape
        else {
            return;
        };
        let Measure {
            start, in_flight, ..
        } = &self.measure;
        let bound = run.share(in_flight_max, self.index).max(1);
        let has_room = || in_flight.load(Ordering::Relaxed) < bound;
        let mut arrivals = Arrivals::new(process, rate, run.seed, self.index, run.threads)
            .map(|due| tick_of(due, tick))
            .take_while(|due| *due < run.end())
            .peekable();
        let mut callers = self.callers.iter().cycle();
        let mut lateness = tally::histogram();
        let mut bound_hit = 0;
        while arrivals.peek().is_some() {
            field.wakes[self.index].notified().await;
            let now = start.elapsed();
            if now > run.end() + DRAIN_MAX {
                break;
            }
            let now_seconds = unix_seconds();
            while let Some(due) = arrivals.next_if(|due| *due <= now && has_room()) {
                let Some(caller) = callers.next() else { return };
                let (op, body) = workload.next(now_seconds);
                let counts = due >= run.warmup;
                if counts {
                    tally::record(&mut lateness, start.elapsed().saturating_sub(due));
                }
                in_flight.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(
                    self.measure
                        .clone()
                        .call(caller.clone(), op, body, due, counts),
                );
            }
            bound_hit += u64::from(arrivals.peek().is_some_and(|due| *due <= now));
        }
        let unsent = arrivals.count() as u64;
        while in_flight.load(Ordering::Relaxed) > 0 && start.elapsed() < run.end() + DRAIN_MAX {
            field.wakes[self.index].notified().await;
        }
        let mut tally = lock(&self.measure.tally);
        tally.lateness = lateness;
        tally.bound_hit = bound_hit;
        tally.unanswered = unsent + in_flight.load(Ordering::Relaxed) as u64;
    }

    async fn closed_loop(&self, run: &Run, in_flight: usize, workload: Workload) {
        let workload = Arc::new(Mutex::new(workload));
        let (end, warmup) = (run.end(), run.warmup);
        let calls: Vec<_> = (0..in_flight)
            .map(|number| {
                let caller = self.callers[number % self.callers.len()].clone();
                let (workload, measure) = (Arc::clone(&workload), self.measure.clone());
                tokio::spawn(async move {
                    loop {
                        let due = measure.start.elapsed();
                        if due >= end {
                            return;
                        }
                        let (op, body) = lock(&workload).next(unix_seconds());
                        measure.in_flight.fetch_add(1, Ordering::Relaxed);
                        measure
                            .clone()
                            .call(caller.clone(), op, body, due, due >= warmup)
                            .await;
                    }
                })
            })
            .collect();
        for call in calls {
            // A task that panicked has printed why; what the others measured still counts.
            let _ = tokio::time::timeout(run.end() + DRAIN_MAX, call).await;
        }
        lock(&self.measure.tally).unanswered =
            self.measure.in_flight.load(Ordering::Relaxed) as u64;
    }
}

fn unix_seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::echo;
    use std::{convert::Infallible, net::Ipv4Addr};
    use tillside_retailer::{World, WorldSize};
    use tonic::{body::Body, server::NamedService};

    const SEED: u64 = 1;

    /// Echoes; call number `stall_at` stops the whole server for `stall`.
    #[derive(Clone)]
    struct Stalling {
        echo: echo::BytesEcho,
        calls: Arc<AtomicUsize>,
        stall_at: usize,
        stall: Duration,
    }

    impl NamedService for Stalling {
        const NAME: &'static str = "tillside.v1.CustomerService";
    }

    impl tower::Service<http::Request<Body>> for Stalling {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = <echo::BytesEcho as tower::Service<http::Request<Body>>>::Future;

        fn poll_ready(
            &mut self,
            _context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: http::Request<Body>) -> Self::Future {
            if self.calls.fetch_add(1, Ordering::Relaxed) == self.stall_at {
                thread::sleep(self.stall);
            }
            self.echo.call(request)
        }
    }

    fn measure(shape: Shape, stall_at: usize, stall: Duration) -> (Tally, usize) {
        println!("seed {SEED}");
        let listener = echo::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        let address = listener.local_addr().expect("bound");
        let calls = Arc::new(AtomicUsize::new(0));
        let service = Stalling {
            echo: echo::BytesEcho(Bytes::new()),
            calls: Arc::clone(&calls),
            stall_at,
            stall,
        };
        // The thread ends with the process.
        thread::spawn(move || echo::run(listener, service));
        let world = World::new(SEED, WorldSize::small(), 1_795_305_600).expect("valid sizes");
        let requests = Arc::new(Requests::new(&world, Scenario::Recognize, SEED));
        let tally = run(
            Run {
                address,
                scenario: Scenario::Recognize,
                shape,
                seed: SEED,
                name: "test".to_owned(),
                batch: 1,
                connections: 2,
                threads: 2,
                warmup: Duration::ZERO,
                duration: Duration::from_millis(400),
            },
            &requests,
        );
        (tally.expect("connected"), calls.load(Ordering::Relaxed))
    }

    fn open() -> Shape {
        Shape::Open {
            rate: 1_000.0,
            process: Process::Fixed,
            tick: Duration::from_millis(1),
            in_flight_max: 10_000,
        }
    }

    #[test]
    fn a_stall_is_paid_for_by_everybody_who_was_due_meanwhile() {
        let (tally, calls) = measure(open(), 50, Duration::from_millis(300));
        assert_eq!((tally.answers(), calls, tally.unanswered), (400, 400, 0));
        let (_, recognitions) = tally.ops().next().expect("recognitions");
        let median = Duration::from_nanos(recognitions.latency.value_at_quantile(0.5));
        assert!(median > Duration::from_millis(50), "median {median:?}");
    }

    #[test]
    fn a_closed_loop_comes_to_rest() {
        let (tally, calls) = measure(Shape::Closed { in_flight: 8 }, usize::MAX, Duration::ZERO);
        assert!(calls > 8);
        assert_eq!((tally.answers(), tally.unanswered), (calls as u64, 0));
    }
}
