//! A data directory as a kill leaves it, with everything acknowledged known: rows in most tables, files of rows, a log
//! longer than what an opening checks, and write-ahead logs that were used before. And cheap copies of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tillside_engine::apply::{Touched, apply};
use tillside_engine::ctx::Ctx;
use tillside_engine::customer::{KnownIdentifier, Personal, Relation};
use tillside_engine::event::Event;
use tillside_engine::identity::{Identifier, IdentifierKind};
use tillside_engine::ids::{
    BusinessKey, CustomerId, IdentifierHash, RequestKey, Sequence, SkuId, StoreId,
};
use tillside_engine::reply::Reply;
use tillside_engine::reservation::Checkout;
use tillside_engine::state::State;
use tillside_engine::units::Time;
use tillside_store::{BatchBuilder, Log, OpenOptions, RocksLog, StateDigest, Table, state_digest};

/// Commands of one batch.
const COMMANDS: u64 = 4;

/// A directory as a kill leaves it.
pub(crate) struct Killed {
    directory: TempDir,
    /// Its files, as paths below it, in order.
    pub(crate) files: Vec<PathBuf>,
    /// The state after each batch, by its last sequence.
    pub(crate) states: BTreeMap<u64, StateDigest>,
    /// Write-ahead logs with batches that are in no file of rows yet, oldest first, each with the bytes that are its own:
    /// what follows them is left from its earlier life.
    pub(crate) logs: Vec<(PathBuf, u64)>,
}

/// A place where a sync costs nothing: what is tested is what files say, not when they reach the disk.
pub(crate) fn temporary() -> TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    place.expect("a temporary directory")
}

struct Writer {
    state: State,
    builder: BatchBuilder,
    states: BTreeMap<u64, StateDigest>,
}

impl Writer {
    fn batch(&mut self, log: &mut RocksLog) {
        let mut touched = Touched::default();
        for _ in 0..COMMANDS {
            let sequence = Sequence(self.state.counters().sequence.0 + 1);
            let ctx = Ctx {
                seq: sequence,
                now: Time(1_000 * sequence.0 as i64),
            };
            let (events, reply) = command(sequence.0);
            apply(&self.state, &events, &ctx, &mut touched);
            self.builder
                .record(ctx.seq, ctx.now, &events, reply.as_ref());
        }
        self.builder.rows(&self.state, &touched);
        log.append(self.builder.batch()).expect("a healthy disk");
        self.builder.clear();
        self.states
            .insert(self.state.counters().sequence.0, state_digest(&self.state));
    }
}

/// Something for most tables.
fn command(n: u64) -> (Vec<Event>, Option<Reply>) {
    let count = Event::StockCounted {
        sku: SkuId(n as u32 % 40),
        store: StoreId(n as u32 % 7),
        on_hand: n as i64 * 1000,
        safety: None,
        as_of: Time(1_000 * n as i64),
    };
    match n % 4 {
        0 => {
            let id = n / 4 % 60 + 1;
            let identifier = Identifier {
                kind: IdentifierKind::LoyaltyCard,
                value: format!("card {id}"),
            };
            let known = KnownIdentifier {
                identifier,
                verified: None,
                source: "test".to_owned(),
            };
            let personal = Personal {
                customer_id: format!("C{id}"),
                identifiers: vec![known],
                ..Personal::default()
            };
            let relation = Relation {
                version: Sequence(n),
                ..Relation::default()
            };
            let put = Event::CustomerPut {
                id: CustomerId(id),
                personal: Some(Arc::new(personal)),
                relation: Arc::new(relation),
                identifiers: vec![IdentifierHash(u128::from(id) << 64)],
                created: n / 4 <= 60,
            };
            (vec![put], None)
        }
        1 => {
            let key = RequestKey(u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            (
                vec![
                    count,
                    Event::RequestAnswered {
                        key,
                        payload_hash: n,
                    },
                ],
                Some(Reply::Done),
            )
        }
        2 => {
            let checkout = Checkout {
                checkout_id: format!("checkout {}", n % 30).into(),
                revision: n as i64,
                closed: None,
                reservation: None,
                expire: Time(i64::MAX / 2),
            };
            (
                vec![Event::CheckoutPut {
                    checkout: Arc::new(checkout),
                }],
                None,
            )
        }
        _ => {
            let keys = [BusinessKey(u128::from(n) << 32)].into_iter().collect();
            (
                vec![
                    Event::Received {
                        keys,
                        occurred: Time(n as i64),
                        future: false,
                    },
                    count,
                ],
                None,
            )
        }
    }
}

fn logs_of(database: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(database)
        .expect("a database")
        .map(|e| e.expect("an entry").path());
    let mut logs: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    logs.sort();
    logs
}

fn newest_log(database: &Path) -> PathBuf {
    logs_of(database).pop().expect("a write-ahead log")
}

impl Killed {
    pub(crate) fn new() -> Self {
        let working = temporary();
        let mut log =
            RocksLog::open(working.path(), OpenOptions::default()).expect("a new directory");
        let mut writer = Writer {
            state: State::default(),
            builder: BatchBuilder::after(log.position()),
            states: BTreeMap::new(),
        };
        let database = working.path().join("rocksdb");
        // Whole rounds first, so that their logs are used again.
        for _ in 0..4 {
            (0..80).for_each(|_| writer.batch(&mut log));
            log.flush(&Table::ALL).expect("a healthy disk");
        }
        let mut logs = Vec::new();
        let mut begin = |writer: &mut Writer, log: &mut RocksLog, batches: u64| {
            let newest = newest_log(&database);
            let before = fs::read(&newest).expect("a log");
            (0..batches).for_each(|_| writer.batch(log));
            let after = fs::read(&newest).expect("a log");
            // Its own bytes end after the last that changed.
            let same = |at: &usize| before.get(*at) == after.get(*at);
            let own = (0..after.len())
                .rev()
                .find(|at| !same(at))
                .map_or(0, |at| at as u64 + 1);
            assert!(
                before.len() as u64 > own,
                "the log is not one that was used before: {} bytes before, {own} written",
                before.len()
            );
            let name = newest
                .strip_prefix(working.path())
                .expect("a file of ours")
                .to_owned();
            logs.push((name, own));
        };
        begin(&mut writer, &mut log, 15);
        // One table only: the log stays needed, and another is begun.
        log.flush(&[Table::Stock]).expect("a healthy disk");
        begin(&mut writer, &mut log, 12);
        assert_ne!(logs[0].0, logs[1].0, "two logs are needed");
        // A copy of the files while the process runs is what a kill leaves.
        let directory = temporary();
        let files = files_below(working.path());
        for file in &files {
            let to = directory.path().join(file);
            fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            fs::copy(working.path().join(file), to).expect("a copy");
        }
        Killed {
            directory,
            files,
            states: writer.states,
            logs,
        }
    }

    /// The last sequence that was acknowledged, and the state then.
    pub(crate) fn acknowledged(&self) -> (u64, &StateDigest) {
        let (sequence, digest) = self.states.last_key_value().expect("batches were written");
        (*sequence, digest)
    }

    pub(crate) fn bytes_of(&self, file: &Path) -> Vec<u8> {
        fs::read(self.directory.path().join(file)).expect("a file")
    }

    /// A copy with one file changed, or without it. Files that RocksDB never writes to again are the same by links.
    pub(crate) fn copy_with(&self, file: &Path, bytes: Option<&[u8]>) -> TempDir {
        let copy = temporary();
        fs::create_dir_all(copy.path().join("rocksdb")).expect("a folder");
        for other in &self.files {
            let (from, to) = (self.directory.path().join(other), copy.path().join(other));
            if other == file {
                if let Some(bytes) = bytes {
                    fs::write(to, bytes).expect("a file");
                }
            } else if other.extension().is_some_and(|e| e == "sst") {
                fs::hard_link(from, to).expect("a link");
            } else {
                fs::copy(from, to).expect("a copy");
            }
        }
        copy
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a type").is_dir() {
                folders.push(entry.path());
            } else {
                files.push(
                    entry
                        .path()
                        .strip_prefix(directory)
                        .expect("below")
                        .to_owned(),
                );
            }
        }
    }
    files.sort();
    files
}
