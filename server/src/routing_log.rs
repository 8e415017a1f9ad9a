//! Routings of late, kept aside for judging other policies: what was asked, what was found, what it would cost. Answers never
//! wait for it: a routing that finds no room on its way to the file is counted and left out, and a disk that fails costs
//! these records alone. They are no part of the data: no backup has them, and a restart without them is as good.

mod record;
mod segments;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TryRecvError, bounded};
use tillside_engine::fulfillment_ladder::{Ladder, LadderQuery};
use tillside_engine::routing_policy::RoutingPolicy;
use tillside_engine::routing_replay::{DryRun, PastRouting};
use tillside_engine::state::State;
use tillside_engine::units::Time;

use crate::background::Background;
use segments::Segments;

/// Routings on their way to the file: a rest's worth of a busy server.
const QUEUE_MAX: usize = 8_192;
/// How long the writer rests between looks.
const REST: Duration = Duration::from_millis(100);
/// How long somebody waits until what was noted can be read.
const FLUSH_WAIT: Duration = Duration::from_secs(5);

enum Note {
    Routing(Box<PastRouting>),
    /// Everything before it is written; then say so.
    Flush(Sender<()>),
}

/// Takes notes of routings.
#[derive(Clone)]
pub struct RoutingLog {
    notes: Sender<Note>,
    directory: PathBuf,
    recorded: metrics::Counter,
    dropped: metrics::Counter,
}

impl std::fmt::Debug for RoutingLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoutingLog").finish_non_exhaustive()
    }
}

impl RoutingLog {
    /// Starts the writer in a directory, which is made where it is missing.
    ///
    /// # Errors
    /// Where no thread can be started. A directory that cannot be used costs the records, not the server.
    pub fn start(directory: PathBuf) -> io::Result<(RoutingLog, Background)> {
        let (notes, queue) = bounded(QUEUE_MAX);
        let log = RoutingLog {
            notes,
            directory: directory.clone(),
            recorded: metrics::counter!("tillside_routings_recorded_total"),
            dropped: metrics::counter!("tillside_routings_dropped_total"),
        };
        let dropped = log.dropped.clone();
        let writer = Background::start("routings", move |pace| {
            let mut segments = Segments::new(directory);
            loop {
                let going_on = pace.rest(REST);
                write_all(&queue, &mut segments, &dropped);
                if !going_on {
                    return;
                }
            }
        })?;
        Ok((log, writer))
    }

    /// Notes a routing, or counts that there was no room.
    pub fn note(&self, query: &LadderQuery<'_>, ladder: &Ladder) {
        // Making the note is the dear part: not for nothing.
        if self.notes.is_full() {
            return self.dropped.increment(1);
        }
        let routing = Box::new(PastRouting::of(query, ladder));
        match self.notes.try_send(Note::Routing(routing)) {
            Ok(()) => self.recorded.increment(1),
            Err(_) => self.dropped.increment(1),
        }
    }

    /// Ranks the routings since a time under another policy. Reads files: not for a thread that answers calls.
    ///
    /// # Errors
    /// Where what was written cannot be read.
    pub fn dry_run(
        &self,
        state: &State,
        policy: &RoutingPolicy,
        since: Time,
    ) -> io::Result<DryRun> {
        let (written, wait) = bounded(1);
        // Where the writer is gone or stuck, what is written already has to do.
        if self
            .notes
            .send_timeout(Note::Flush(written), FLUSH_WAIT)
            .is_ok()
        {
            let _ = wait.recv_timeout(FLUSH_WAIT);
        }
        let mut run = DryRun::default();
        segments::read(&self.directory, since, |routing| {
            run.add(state, policy, &routing);
        })?;
        Ok(run)
    }
}

fn write_all(queue: &Receiver<Note>, segments: &mut Segments, dropped: &metrics::Counter) {
    let mut waiting = Vec::new();
    loop {
        match queue.try_recv() {
            Ok(Note::Routing(routing)) => {
                if !segments.write(&routing) {
                    dropped.increment(1);
                }
            }
            Ok(Note::Flush(written)) => waiting.push(written),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        }
    }
    segments.flush();
    for written in waiting {
        // Whoever gave up waiting does not read it.
        let _ = written.try_send(());
    }
}

/// Descriptions of the metrics.
pub fn describe() {
    metrics::describe_counter!(
        "tillside_routings_recorded_total",
        "Routings noted for judging other policies."
    );
    metrics::describe_counter!(
        "tillside_routings_dropped_total",
        "Routings that were answered and not kept, because the writer was behind or the disk failed."
    );
}

#[cfg(test)]
mod tests;
