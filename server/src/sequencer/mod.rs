//! The one writer. Commands from all runtimes meet in two bounded lanes; one thread decides them in order, writes them
//! with one sync a batch, and only then lets the answers go. `core` and `batching` are that logic without threads; `thread`
//! runs it, and `writer` writes one batch while the next is decided.
//! `residency` is what it has to add where not all customers are in memory, `cold` its threads.

mod batching;
mod cold;
mod core;
mod handle;
mod residency;
mod share;
mod sieve;
mod thread;
mod writer;
mod written;

pub use self::batching::{Batching, BulkShare, Finished};
pub use self::core::{Core, RequestStamp, Submission, Write};
pub use self::handle::{Answer, BulkAnswers, SequencerHandle, SubmitError};
pub use self::residency::{Delivery, Load, READS_HINTED_MAX, Ready, Ticket};
pub use self::thread::{SequencerOptions, SequencerThread, start};
pub use self::written::Written;
