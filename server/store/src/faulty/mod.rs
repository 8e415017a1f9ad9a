//! A log in memory on a disk that can be told to fail, for tests and simulation. It keeps the promises of the real one
//! where it is not told otherwise: the same conformance suite runs against both. It is no database: it never writes a file.

mod disk;
mod fault;
mod log;

pub use disk::FaultyDisk;
pub use fault::{Damage, Fault, FaultKind, MarkDamage, ReadFault};
pub use log::FaultyLog;
