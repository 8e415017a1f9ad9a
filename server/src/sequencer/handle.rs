//! How the edge reaches the sequencer: two lanes with different manners. A till waits in the interactive lane, which is
//! refused when full; bulk waits for room. Answers come back in batches, one wake for each runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, TrySendError};
use tillside_engine::command::Ingest;
use tillside_engine::ids::{CustomerId, Sequence};
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::state::State;
use tillside_engine::units::Time;
use tillside_store::Position;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::cold::ColdGate;
use super::core::Submission;
use super::written::{SharedWritten, Written};

/// A durable answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Sequence of the change, or of the state it was decided on where nothing changed.
    pub sequence: Sequence,
    /// The answer.
    pub reply: Reply,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The domain said no.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The interactive lane is full.
    #[error("the server has more commands waiting than it may; try again shortly")]
    Overloaded,
    /// The storage has failed, or the server is stopping.
    #[error("the server takes no changes: its storage has failed or it is stopping")]
    Unavailable,
}

/// Answers to one submission of the bulk lane, in order.
pub type BulkAnswers = Vec<Result<Answer, Rejection>>;

/// Between two tries to put something to the sequencer itself, where too much is asked of it already.
const CONTROL_RETRY: Duration = Duration::from_millis(1);

/// Something finished, to be told to the task that waits.
pub(super) enum Completion {
    One(
        oneshot::Sender<Result<Answer, Rejection>>,
        Result<Answer, Rejection>,
    ),
    Many(
        oneshot::Sender<BulkAnswers>,
        BulkAnswers,
        OwnedSemaphorePermit,
    ),
}

impl Completion {
    /// Tells it. A task that no longer waits is no error.
    pub(super) fn tell(self) {
        match self {
            Completion::One(to, answer) => drop(to.send(answer)),
            Completion::Many(to, answers, room) => {
                drop(to.send(answers));
                drop(room);
            }
        }
    }
}

/// Where completions of one runtime go; `None`: they are told one by one from the sequencer's thread.
pub(super) type Lane = Option<mpsc::UnboundedSender<Vec<Completion>>>;

pub(super) struct OneWork {
    pub(super) submission: Submission,
    pub(super) lane: u32,
    pub(super) to: oneshot::Sender<Result<Answer, Rejection>>,
}

pub(super) struct ManyWork {
    pub(super) events: Vec<Ingest>,
    pub(super) lane: u32,
    pub(super) to: oneshot::Sender<BulkAnswers>,
    /// Its place in the lane; free again once it is answered.
    pub(super) room: OwnedSemaphorePermit,
}

/// A look at the state between two batches.
pub(super) type Inspection = Box<dyn FnOnce(&State) + Send>;

pub(super) enum Control {
    /// A runtime joins under the number it was given.
    Join(u32, mpsc::UnboundedSender<Vec<Completion>>),
    /// Moves the simulated clock.
    Advance(Time, oneshot::Sender<Time>),
    /// Finish what is queued, then end.
    Stop,
    /// Tell where what is durable ends once everything that was applied before is.
    Barrier(oneshot::Sender<Position>),
    /// Look at the state between two batches. It has to be quick: everybody waits.
    Inspect(Inspection),
}

pub(super) struct Shared {
    pub(super) interactive: Sender<OneWork>,
    pub(super) bulk: Sender<ManyWork>,
    pub(super) control: Sender<Control>,
    pub(super) bulk_room: Arc<Semaphore>,
    pub(super) durable: AtomicU64,
    pub(super) written: SharedWritten,
    pub(super) lanes: std::sync::atomic::AtomicU32,
    /// Where not all customers are in memory.
    pub(super) cold: Option<Arc<ColdGate>>,
    /// The thread has ended. What lies in a lane then is dropped by it, once, after this is set; whoever puts something there
    /// later sees it and does not wait. (A lane whose reader has gone keeps what lies in it.)
    pub(super) closed: AtomicBool,
}

impl Shared {
    /// After something was put into a lane: whether somebody may still take it out.
    fn open(&self) -> Result<(), SubmitError> {
        if self.closed.load(Ordering::SeqCst) {
            Err(SubmitError::Unavailable)
        } else {
            Ok(())
        }
    }
}

/// The edge's side of the sequencer; cheap to clone.
#[derive(Clone)]
pub struct SequencerHandle {
    pub(super) shared: Arc<Shared>,
    pub(super) lane: u32,
}

impl SequencerHandle {
    /// A handle whose answers come in one wake a batch to the current tokio runtime. Call it once on each runtime.
    pub fn on_this_runtime(&self) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Vec<Completion>>();
        let lane = self.shared.lanes.fetch_add(1, Ordering::AcqRel) + 1;
        if self
            .shared
            .control
            .send(Control::Join(lane, sender))
            .is_ok()
        {
            // Ends when the sequencer drops its side.
            tokio::spawn(async move {
                while let Some(batch) = receiver.recv().await {
                    batch.into_iter().for_each(Completion::tell);
                }
            });
        }
        SequencerHandle {
            shared: Arc::clone(&self.shared),
            lane,
        }
    }

    /// Submits a command a till waits for. A full lane is refused at once: waiting would only make everybody late.
    pub async fn interactive(&self, submission: Submission) -> Result<Answer, SubmitError> {
        let cold = self.shared.cold.as_ref();
        if cold.is_some_and(|cold| cold.refuses(&submission.command)) {
            return Err(SubmitError::Overloaded);
        }
        let (to, answer) = oneshot::channel();
        let work = OneWork {
            submission,
            lane: self.lane,
            to,
        };
        match self.shared.interactive.try_send(work) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(SubmitError::Overloaded),
            Err(TrySendError::Disconnected(_)) => return Err(SubmitError::Unavailable),
        }
        self.shared.open()?;
        Ok(answer.await.map_err(|_| SubmitError::Unavailable)??)
    }

    /// Submits events of one message; waits for room, then until they are durable.
    pub async fn bulk(
        &self,
        events: Vec<Ingest>,
    ) -> Result<Vec<Result<Answer, Rejection>>, SubmitError> {
        if let Some(cold) = &self.shared.cold {
            cold.prefetch(&events);
        }
        let room = Arc::clone(&self.shared.bulk_room)
            .acquire_owned()
            .await
            .map_err(|_| SubmitError::Unavailable)?;
        let (to, answers) = oneshot::channel();
        let work = ManyWork {
            events,
            lane: self.lane,
            to,
            room,
        };
        // The permits are as many as the channel has places and travel with the work, whether or not its caller goes on
        // waiting, so the channel is full only where it is closed.
        self.shared
            .bulk
            .try_send(work)
            .map_err(|_| SubmitError::Unavailable)?;
        self.shared.open()?;
        answers.await.map_err(|_| SubmitError::Unavailable)
    }

    /// Moves the simulated clock and fires what becomes due; answers the clock after it.
    pub async fn advance_clock(&self, now: Time) -> Result<Time, SubmitError> {
        let (to, answer) = oneshot::channel();
        self.shared
            .control
            .send(Control::Advance(now, to))
            .map_err(|_| SubmitError::Unavailable)?;
        self.shared.open()?;
        answer.await.map_err(|_| SubmitError::Unavailable)
    }

    /// Completes once everything that could be seen when it was called is durable; answers where that ends.
    pub async fn barrier(&self) -> Result<Position, SubmitError> {
        let (to, answer) = oneshot::channel();
        self.ask(Control::Barrier(to)).await?;
        answer.await.map_err(|_| SubmitError::Unavailable)
    }

    /// Runs `look` on the sequencer's thread between two batches, where nothing changes meanwhile. Everybody waits for it.
    pub async fn inspect<R: Send + 'static>(
        &self,
        look: impl FnOnce(&State) -> R + Send + 'static,
    ) -> Result<R, SubmitError> {
        let (to, answer) = oneshot::channel();
        let look = Box::new(move |state: &State| {
            // Who asked may have gone.
            drop(to.send(look(state)));
        });
        self.ask(Control::Inspect(look)).await?;
        answer.await.map_err(|_| SubmitError::Unavailable)
    }

    /// Puts something to the sequencer itself. Where too much is asked of it already, it waits its turn without holding up
    /// the runtime.
    async fn ask(&self, control: Control) -> Result<(), SubmitError> {
        let mut control = control;
        loop {
            match self.shared.control.try_send(control) {
                Ok(()) => return self.shared.open(),
                Err(TrySendError::Disconnected(_)) => return Err(SubmitError::Unavailable),
                Err(TrySendError::Full(back)) => control = back,
            }
            tokio::time::sleep(CONTROL_RETRY).await;
        }
    }

    /// Says that a customer was asked for who is not in memory, so that the next to ask finds it there.
    pub fn hint(&self, id: CustomerId) {
        if let Some(cold) = &self.shared.cold {
            cold.hint(id);
        }
    }

    /// Where not all customers are in memory: (bytes of those who are, how many, commands that wait for one).
    pub fn residents(&self) -> Option<(u64, usize, usize)> {
        self.shared.cold.as_ref().map(|cold| cold.figures())
    }

    /// Every change up to it is on disk.
    pub fn durable_sequence(&self) -> Sequence {
        Sequence(self.shared.durable.load(Ordering::Acquire))
    }

    /// What was made durable since the start.
    pub fn written(&self) -> Written {
        self.shared.written.get()
    }

    /// Commands waiting: (interactive, bulk messages).
    pub fn queue_lengths(&self) -> (usize, usize) {
        (self.shared.interactive.len(), self.shared.bulk.len())
    }
}

impl Submission {
    /// A submission without deadline and request id.
    pub fn plain(command: tillside_engine::command::Command) -> Self {
        Submission {
            command,
            request: None,
            deadline: None::<Instant>,
        }
    }
}
