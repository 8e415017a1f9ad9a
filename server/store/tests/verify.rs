//! What is wrong with a data directory is found and named, whatever it is, and looking changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tillside_engine::apply::{Touched, apply};
use tillside_engine::ctx::Ctx;
use tillside_engine::event::Event;
use tillside_engine::ids::{CellKey, Sequence, SkuId, StoreId};
use tillside_engine::state::State;
use tillside_engine::units::Time;
use tillside_store::verify::{self, Report, VerifyError};
use tillside_store::{BatchBuilder, Log, OpenError, OpenOptions, RocksLog, state_digest};

const COMMANDS: u64 = 3_000;
const BATCH: u64 = 50;

/// A directory with three thousand counts: half of them in table files, half in the write-ahead log.
fn directory() -> (TempDir, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let state = State::default();
    let mut touched = Touched::default();
    for half in [1..=COMMANDS / 2, COMMANDS / 2 + 1..=COMMANDS] {
        let mut log = open(directory.path());
        let mut builder = BatchBuilder::after(log.position());
        for sequence in half {
            let events = [Event::StockCounted {
                sku: SkuId(sequence as u32),
                store: StoreId(7),
                on_hand: 10,
                safety: None,
                as_of: Time(1),
            }];
            let ctx = Ctx {
                seq: Sequence(sequence),
                now: Time(sequence as i64),
            };
            apply(&state, &events, &ctx, &mut touched);
            builder.record(ctx.seq, ctx.now, &events, None);
            if sequence.is_multiple_of(BATCH) {
                builder.rows(&state, &touched);
                touched.clear();
                log.append(builder.batch()).expect("a healthy disk");
                builder.clear();
            }
        }
        // The next opening flushes what the log files have.
    }
    (directory, state_digest(&state).hex)
}

fn open(path: &Path) -> RocksLog {
    RocksLog::open(path, OpenOptions::default()).expect("a sound directory")
}

fn look(path: &Path) -> Report {
    verify::data_directory(path, &mut |_, _| {}).expect("a data directory")
}

/// Every file with its bytes and the time it was last written.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a type").is_dir() {
                folders.push(entry.path());
            } else {
                let written = entry.metadata().and_then(|m| m.modified());
                let bytes = fs::read(entry.path()).expect("a file");
                found.insert(entry.path(), (bytes, written.expect("a time")));
            }
        }
    }
    found
}

/// The largest file of the database with this ending.
fn largest(directory: &Path, ending: &str) -> PathBuf {
    fs::read_dir(directory.join("rocksdb"))
        .expect("a database")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .max_by_key(|path| fs::metadata(path).expect("a file").len())
        .expect("a file")
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("a file");
    bytes[at] ^= 16;
    fs::write(path, bytes).expect("a file");
}

#[track_caller]
fn finds(report: &Report, place: &str, key: Option<&str>, words: &str) {
    let found = report.problems.iter().any(|problem| {
        problem.place == place && problem.key.as_deref() == key && problem.problem.contains(words)
    });
    assert!(found, "{place} {key:?} {words}: {:#?}", report.problems);
}

#[test]
fn a_sound_directory_is_read_whole_and_not_changed() {
    let (directory, digest) = directory();
    let before = contents(directory.path());
    let report = look(directory.path());
    assert!(report.is_sound(), "{:#?}", report.problems);
    assert!(report.replayed);
    assert_eq!(report.state_digest, Some(digest));
    assert_eq!((report.log_first, report.log_last), (1, COMMANDS));
    let stock = report.tables.iter().find(|t| t.table == "stock");
    assert_eq!(stock.map(|t| t.rows), Some(COMMANDS));
    assert!(
        contents(directory.path()) == before,
        "looking changes nothing"
    );
}

#[test]
fn a_flipped_bit_in_a_table_file_is_found_and_the_file_named() {
    let (directory, _) = directory();
    let file = largest(directory.path(), "sst");
    flip(&file, 200);
    let before = contents(directory.path());
    let report = look(directory.path());
    let name = file.file_name().expect("a name").to_string_lossy();
    let named = report.problems.iter().any(|p| p.problem.contains(&*name));
    assert!(named, "{:#?}", report.problems);
    assert!(contents(directory.path()) == before);
}

#[test]
fn a_flipped_bit_in_the_write_ahead_log_is_found() {
    let (directory, _) = directory();
    let file = largest(directory.path(), "log");
    let length = fs::metadata(&file).expect("a file").len() as usize;
    flip(&file, length / 2);
    let report = look(directory.path());
    finds(&report, "acknowledged", None, "are lost");
}

#[test]
fn a_deleted_row_is_found_and_named_by_its_key() {
    let (directory, _) = directory();
    let key = CellKey::new(SkuId(99), StoreId(7)).0.to_be_bytes();
    edit(directory.path(), |db| {
        let stock = db.cf_handle("stock").expect("a table");
        db.delete_cf(stock, key).expect("a delete");
    });
    let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let report = look(directory.path());
    finds(&report, "table stock", Some(&text), "is missing");
}

#[test]
fn a_row_that_was_put_back_to_an_older_one_is_found() {
    let (directory, _) = directory();
    let (from, to) = (
        CellKey::new(SkuId(5), StoreId(7)).0.to_be_bytes(),
        CellKey::new(SkuId(6), StoreId(7)).0.to_be_bytes(),
    );
    edit(directory.path(), |db| {
        let stock = db.cf_handle("stock").expect("a table");
        let value = db.get_cf(stock, from).expect("a read").expect("a row");
        db.put_cf(stock, to, value).expect("a put");
    });
    let text: String = to.iter().map(|byte| format!("{byte:02x}")).collect();
    let report = look(directory.path());
    finds(&report, "table stock", Some(&text), "checksum");
}

#[test]
fn a_record_missing_inside_the_log_is_found() {
    let (directory, _) = directory();
    edit(directory.path(), |db| {
        let log = db.cf_handle("log").expect("a table");
        db.delete_cf(log, 17u64.to_be_bytes()).expect("a delete");
    });
    let report = look(directory.path());
    finds(&report, "table log", Some("17"), "no record 17");
}

#[test]
fn a_truncated_or_missing_mark_is_found() {
    let (directory, _) = directory();
    let mark = directory.path().join("acknowledged");
    let file = fs::OpenOptions::new().write(true).open(&mark);
    file.and_then(|f| f.set_len(10)).expect("a shorter file");
    finds(
        &look(directory.path()),
        "acknowledged",
        None,
        "cannot be read",
    );
    fs::remove_file(&mark).expect("a file");
    finds(&look(directory.path()), "acknowledged", None, "is missing");
}

#[test]
fn a_database_that_does_not_open_is_a_problem_and_a_foreign_folder_none_of_ours() {
    let (directory, _) = directory();
    fs::write(
        directory.path().join("rocksdb/CURRENT"),
        "MANIFEST-999999\n",
    )
    .expect("a file");
    let report = look(directory.path());
    assert!(!report.is_sound());
    let foreign = tempfile::tempdir().expect("a temporary directory");
    fs::write(foreign.path().join("letter.txt"), "dear").expect("a file");
    assert!(matches!(
        verify::data_directory(foreign.path(), &mut |_, _| {}),
        Err(VerifyError::Open(OpenError::NotADataDir { .. }))
    ));
}

/// One bit of any file: either it is found, or it was in bytes that nothing rests on and the state is the same.
#[test]
fn no_flipped_bit_changes_what_is_read_without_being_found() {
    const FLIPS: u64 = 60;
    let (directory, digest) = directory();
    let files: Vec<(PathBuf, Vec<u8>)> = contents(directory.path())
        .into_iter()
        .map(|(path, (bytes, _))| (path, bytes))
        .filter(|(_, bytes)| !bytes.is_empty())
        .collect();
    let mut seed = 20_261_122_u64;
    let mut next = move |below: usize| {
        // Knuth's generator: the upper bits are good enough to choose by.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let mut found = 0;
    for _ in 0..FLIPS {
        let (path, bytes) = &files[next(files.len())];
        let (at, bit) = (next(bytes.len()), next(8));
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        fs::write(path, flipped).expect("a file");
        let case = format!("bit {bit} of byte {at} of {}", path.display());
        match verify::data_directory(directory.path(), &mut |_, _| {}) {
            Ok(report) if report.is_sound() => {
                assert_eq!(report.state_digest.as_ref(), Some(&digest), "{case}");
                assert_eq!(report.log_last, COMMANDS, "{case}");
            }
            Ok(_) | Err(VerifyError::Open(_)) => found += 1,
            Err(error) => panic!("{case}: {error}"),
        }
        fs::write(path, bytes).expect("a file");
    }
    println!(
        "{found} of {FLIPS} flipped bits found, the others are in notes, options and unused bytes"
    );
    assert!(found > FLIPS / 5, "{found}");
}

/// Changes rows behind the server's back.
fn edit(directory: &Path, change: impl FnOnce(&rocksdb::DB)) {
    let database = directory.join("rocksdb");
    let mut options = rocksdb::Options::default();
    options.set_allow_concurrent_memtable_write(false);
    let names = rocksdb::DB::list_cf(&options, &database).expect("a database");
    let db = rocksdb::DB::open_cf(&options, &database, names).expect("a database");
    change(&db);
}
