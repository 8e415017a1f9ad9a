//! Durability for the engine: records, the log of all changes, the tables that make recovery a load instead
//! of a replay, and the digest that says whether two states are the same.
//!
//! It decides nothing about customers, stock or offers, knows no clock that a decision depends on, and never repairs
//! silently: whatever does not fit is a named error that says what to do.

pub mod audit;
pub mod batch;
pub mod conformance;
pub mod digest;
pub mod error;
pub mod faulty;
mod frame;
pub mod load;
pub mod log;
mod mark;
pub mod profiles;
mod record;
pub mod replay;
pub mod retention;
pub mod rocks;
pub mod table;
pub mod verify;

pub use audit::{Audit, audit};
pub use batch::{Batch, BatchBuilder};
pub use digest::{SnapshotDigest, StateDigest, digest_with_tables, state_digest};
pub use error::{LogError, OpenError, RecordError, RecordProblem, StoreError};
pub use load::{Loaded, load, load_within};
pub use log::{Log, LogRecord, Position};
pub use mark::Opening;
pub use profiles::{ProfileRead, Profiles};
pub use retention::{Foldable, Folded, Folder, fold_before};
pub use rocks::backup::{BackupError, BackupHandle, BackupManifest, BackupRequest};
pub use rocks::{LogReader, OpenOptions, ReadOn, RocksLog, Space, SpaceReport, TableSpace, backup};
pub use table::{Cursor, Table, Tables};

/// Version of the data format on disk: the tables there are. Earlier ones are brought to it when they are opened.
pub const FORMAT_VERSION: u32 = 2;
