//! The only way time, order and chance come into the engine.

use crate::ids::Sequence;
use crate::units::Time;

/// What the sequencer stamps on a command.
#[derive(Clone, Copy, Debug)]
pub struct Ctx {
    /// Position of the command in the order of all changes.
    pub seq: Sequence,
    /// The time of the command: never before that of an earlier one.
    pub now: Time,
}
