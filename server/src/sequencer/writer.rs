//! Writes a batch while the next one is decided: a thread with one [`Write`] at a time. It decides nothing and keeps nothing;
//! what comes back says whether it is durable.

use std::io;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Select, Sender, TryRecvError, bounded};
use tillside_store::LogError;

use super::core::Write;

/// The thread, and whether it is at work.
pub(super) struct Writer {
    /// `None` once it shall end.
    jobs: Option<Sender<Write>>,
    done: Receiver<Write>,
    busy: bool,
    join: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start() -> io::Result<Writer> {
        let (jobs, work) = bounded::<Write>(1);
        let (finished, done) = bounded(1);
        let join = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || {
                for mut write in work {
                    write.run();
                    // The sequencer may have ended; then nobody is answered.
                    if finished.send(write).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Writer {
            jobs: Some(jobs),
            done,
            busy: false,
            join: Some(join),
        })
    }

    /// Whether it writes, or has written what nobody has taken yet.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Gives it a batch; only while it is not busy.
    ///
    /// # Errors
    /// The thread has ended, and the batch is not written.
    pub(super) fn give(&mut self, write: Write) -> Result<(), LogError> {
        let jobs = self.jobs.as_ref().ok_or(LogError::Stopped)?;
        jobs.send(write).map_err(|_| LogError::Stopped)?;
        self.busy = true;
        Ok(())
    }

    /// What it has written, if it is done.
    ///
    /// # Errors
    /// The thread has ended: nobody knows what came of the batch.
    pub(super) fn try_take(&mut self) -> Result<Option<Write>, LogError> {
        match self.done.try_recv() {
            Ok(write) => {
                self.busy = false;
                Ok(Some(write))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(LogError::Stopped),
        }
    }

    /// What it writes, once it is done; `None` where it is not busy.
    ///
    /// # Errors
    /// As [`Self::try_take`].
    pub(super) fn take(&mut self) -> Result<Option<Write>, LogError> {
        if !self.busy {
            return Ok(None);
        }
        let write = self.done.recv().map_err(|_| LogError::Stopped)?;
        self.busy = false;
        Ok(Some(write))
    }

    /// Also wakes when a batch is written.
    pub(super) fn select<'a>(&'a self, select: &mut Select<'a>) {
        if self.busy {
            select.recv(&self.done);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(join) = self.join.take() {
            // A panic of it was told where it happened.
            drop(join.join());
        }
    }
}
