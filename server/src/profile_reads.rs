//! Threads that read single customers from disk, a fixed number with a bounded queue: never a runtime's thread, never the
//! sequencer's. There are two such pools, so that callers who ask for many cold profiles do not hold up the commands.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam::channel::{Sender, TrySendError, bounded};
use metrics::{Counter, Histogram};
use tillside_engine::customer::Customer;
use tillside_engine::ids::CustomerId;
use tillside_store::{Profiles, StoreError};
use tokio::sync::oneshot;

/// Callers that may wait for the disk at a time; more are told that the server is busy. At 0.2 ms a read and eight
/// threads the last one waits 25 ms.
const CALLERS_WAITING_MAX: usize = 1024;

type Job = Box<dyn FnOnce(&dyn Profiles) + Send>;

/// The threads. Dropped, it lets them finish what is queued and waits for them, so that the data directory is free then.
#[derive(Debug)]
pub struct ReadPool {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl ReadPool {
    /// Starts them. They wait for the disk nearly all the time, so they are more than cores.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub fn start(
        name: &str,
        profiles: &Arc<dyn Profiles>,
        queue: usize,
    ) -> std::io::Result<ReadPool> {
        let (jobs, work) = bounded::<Job>(queue);
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let mut pool = ReadPool {
            jobs: Some(jobs),
            threads: Vec::new(),
        };
        for number in 0..(4 * cores).clamp(4, 32) {
            let (work, profiles) = (work.clone(), Arc::clone(profiles));
            let thread = std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || {
                    // Ends when the pool is dropped.
                    for job in work {
                        job(&*profiles);
                    }
                })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Gives the threads something to do; false where too much waits already.
    pub fn try_run(&self, job: impl FnOnce(&dyn Profiles) + Send + 'static) -> bool {
        let Some(jobs) = &self.jobs else { return false };
        // A reading that panics must not take its thread with it; whoever waits for it finds the other side gone.
        let job: Job = Box::new(|profiles| {
            if catch_unwind(AssertUnwindSafe(|| job(profiles))).is_err() {
                tracing::error!("reading a profile ended with a panic; see the message above");
            }
        });
        match jobs.try_send(job) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

impl Drop for ReadPool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic was told by its own message.
            let _ = thread.join();
        }
    }
}

/// Why a cold profile could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Too many wait for the disk.
    #[error("too many profiles are being read from disk; try again shortly")]
    Busy,
    /// The disk or the row is damaged; the log says more.
    #[error("the profile cannot be read from disk")]
    Unreadable,
}

/// Answers for customers who are not in memory, without bringing them in.
pub struct ColdProfiles {
    pool: ReadPool,
    hits: Counter,
    misses: Counter,
    failed: Counter,
    duration: Histogram,
}

impl std::fmt::Debug for ColdProfiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ColdProfiles").finish_non_exhaustive()
    }
}

impl ColdProfiles {
    /// Over `profiles`.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub fn start(profiles: &Arc<dyn Profiles>) -> std::io::Result<Self> {
        Ok(ColdProfiles {
            pool: ReadPool::start("profiles", profiles, CALLERS_WAITING_MAX)?,
            hits: metrics::counter!("tillside_profile_reads_total", "result" => "hit"),
            misses: metrics::counter!("tillside_profile_reads_total", "result" => "miss"),
            failed: metrics::counter!("tillside_profile_read_failures_total", "by" => "callers"),
            duration: metrics::histogram!("tillside_profile_read_duration_seconds", "by" => "callers"),
        })
    }

    /// Counts a customer that was found in memory.
    pub fn hit(&self) {
        self.hits.increment(1);
    }

    /// A customer who exists and was not in memory.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(&self, id: CustomerId) -> Result<Arc<Customer>, ReadError> {
        let started = Instant::now();
        self.misses.increment(1);
        let (to, read) = oneshot::channel::<Result<Arc<Customer>, StoreError>>();
        let accepted = self.pool.try_run(move |profiles| {
            // A caller that went away in the queue needs no answer.
            if !to.is_closed() {
                drop(to.send(profiles.read(id).map(|read| read.customer)));
            }
        });
        if !accepted {
            return Err(ReadError::Busy);
        }
        let unreadable = |why: &dyn std::fmt::Display| {
            self.failed.increment(1);
            tracing::error!(%why, customer = id.0, "a profile cannot be read from disk");
            ReadError::Unreadable
        };
        let customer = match read.await {
            Ok(Ok(customer)) => customer,
            Ok(Err(error)) => return Err(unreadable(&error)),
            Err(_) => return Err(unreadable(&"its reader ended")),
        };
        self.duration.record(started.elapsed().as_secs_f64());
        Ok(customer)
    }
}
