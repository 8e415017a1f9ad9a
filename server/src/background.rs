//! Threads that look after something beside the requests: they look now and then, rest in between, and end when they are
//! dropped. They run at the lowest priority, so that they never take time from an answer.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// A running thread; told to end, and waited for, when dropped.
#[derive(Debug)]
pub struct Background {
    stop: Option<Sender<()>>,
    join: Option<JoinHandle<()>>,
}

/// How the thread rests.
#[derive(Debug)]
pub struct Pace(Receiver<()>);

impl Pace {
    /// Rests; false where it was told to end meanwhile.
    pub fn rest(&self, time: Duration) -> bool {
        matches!(self.0.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }
}

impl Background {
    /// Starts `work`, which ends soon after its pace says no.
    pub fn start(name: &str, work: impl FnOnce(&Pace) + Send + 'static) -> io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let join = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                yield_to_others();
                work(&Pace(stopped));
            })?;
        Ok(Background {
            stop: Some(stop),
            join: Some(join),
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // The thread sees the channel close.
        drop(self.stop.take());
        if let Some(join) = self.join.take()
            && join.join().is_err()
        {
            tracing::error!("a background thread ended with a panic; see the message above");
        }
    }
}

/// The lowest priority for this thread. Where it cannot be had, the work is done at the usual one.
pub(crate) fn yield_to_others() {
    // On Linux a priority belongs to a thread; elsewhere this would slow the whole process down.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 19);
}
