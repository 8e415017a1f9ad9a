//! Bugs planted between the model and the server, to show that the simulation finds them.

use tillside_engine::command::Command;
use tillside_server::sequencer::Submission;
use tillside_store::faulty::FaultyDisk;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// The log says that a batch is durable before it is, and the mark knows no better.
    AcknowledgesBeforeTheSync,
    /// Now and then one row of a batch is not written.
    LosesARow,
    /// A request id is not looked at, so a retry is carried out again.
    ForgetsRequests,
    /// A reservation holds less than it says.
    HoldsTooLittle,
}

impl Planted {
    pub(crate) fn plant(self, disk: &FaultyDisk) {
        match self {
            Planted::AcknowledgesBeforeTheSync => disk.lie_about_syncs(true),
            Planted::LosesARow => disk.lose_a_row_every(5),
            Planted::ForgetsRequests | Planted::HoldsTooLittle => {}
        }
    }

    /// The submission as a server with the bug takes it.
    pub(crate) fn spoil(self, submission: &Submission) -> Submission {
        let mut spoiled = Submission {
            command: submission.command.clone(),
            request: submission.request,
            deadline: submission.deadline,
        };
        match (self, &mut spoiled.command) {
            (Planted::ForgetsRequests, _) => spoiled.request = None,
            (Planted::HoldsTooLittle, Command::Reserve(reserve)) => {
                reserve
                    .lines
                    .iter_mut()
                    .take(1)
                    .for_each(|line| line.quantity -= 500);
            }
            _ => {}
        }
        spoiled
    }
}
