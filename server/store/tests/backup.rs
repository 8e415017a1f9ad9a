//! Backups made while the log is written to are whole, cost only what is new, and are restored entirely or not at all.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tempfile::TempDir;
use tillside_engine::apply::{Touched, apply};
use tillside_engine::ctx::Ctx;
use tillside_engine::event::Event;
use tillside_engine::ids::{Sequence, SkuId, StoreId};
use tillside_engine::state::State;
use tillside_engine::units::Time;
use tillside_store::backup::{self, BackupError, BackupHandle, BackupManifest, BackupRequest};
use tillside_store::replay::replay;
use tillside_store::{
    BatchBuilder, Log, OpenError, OpenOptions, RocksLog, load, state_digest, verify,
};

struct Writer {
    state: State,
    builder: BatchBuilder,
    touched: Touched,
}

impl Writer {
    fn of(log: &RocksLog) -> Self {
        Writer {
            state: load(log).expect("a sound log").state,
            builder: BatchBuilder::after(log.position()),
            touched: Touched::default(),
        }
    }

    /// A batch of so many counts, each of another product.
    fn append(&mut self, log: &mut RocksLog, commands: u32) {
        for number in 0..commands {
            let sequence = Sequence(self.state.counters().sequence.0 + 1);
            let events = [Event::StockCounted {
                sku: SkuId((sequence.0 as u32).wrapping_mul(2_654_435_761) % 50_000 + number),
                store: StoreId(1),
                on_hand: sequence.0 as i64,
                safety: None,
                as_of: Time(1),
            }];
            let ctx = Ctx {
                seq: sequence,
                now: Time(sequence.0 as i64),
            };
            apply(&self.state, &events, &ctx, &mut self.touched);
            self.builder.record(sequence, ctx.now, &events, None);
        }
        self.builder.rows(&self.state, &self.touched);
        self.touched.clear();
        log.append(self.builder.batch()).expect("a healthy disk");
        self.builder.clear();
    }
}

struct Places {
    folder: TempDir,
}

impl Places {
    fn new() -> Self {
        Places {
            folder: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

fn open(path: &Path) -> Result<RocksLog, OpenError> {
    RocksLog::open(path, OpenOptions::default())
}

fn request(kept: usize) -> BackupRequest {
    BackupRequest {
        create_time_ms: 1_795_000_000_000,
        kept,
        key_fingerprint: Some("abc".to_owned()),
    }
}

fn make(handle: &BackupHandle, into: &Path, kept: usize) -> BackupManifest {
    let created = handle
        .create(into, &request(kept), |_| {})
        .expect("a backup");
    assert!(created.not_tidied.is_none(), "{:?}", created.not_tidied);
    created.manifest
}

fn ids(directory: &Path) -> Vec<u32> {
    let list = backup::list(directory).expect("a backup directory");
    assert!(list.damaged.is_empty(), "{:?}", list.damaged);
    list.backups.iter().map(|b| b.backup_id).collect()
}

fn sound(report: &verify::Report) {
    assert!(report.is_sound(), "{:#?}", report.problems);
    assert!(report.replayed, "the log reaches back to the beginning");
}

#[test]
fn a_backup_made_while_the_log_is_written_to_is_whole_and_holds_what_was_durable() {
    const BACKUPS: usize = 8;
    let places = Places::new();
    let (data, into) = (places.at("data"), places.at("backups"));
    let mut log = open(&data).expect("a new directory");
    let mut writer = Writer::of(&log);
    writer.append(&mut log, 100);
    let (handle, durable, done) = (
        log.backup_handle(),
        AtomicU64::new(100),
        AtomicBool::new(false),
    );
    let manifests = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            // Batches of all sizes, so that log files are switched and used again in many states.
            let mut size = 1;
            while !done.load(Ordering::Acquire) {
                size = size * 7 % 509 + 1;
                writer.append(&mut log, size);
                durable.store(log.last_sequence().0, Ordering::Release);
            }
        });
        let mut manifests = Vec::new();
        for _ in 0..BACKUPS {
            let at_least = durable.load(Ordering::Acquire);
            let manifest = make(&handle, &into, BACKUPS);
            assert!(manifest.sequence >= at_least, "{manifest:?}");
            manifests.push((manifest, durable.load(Ordering::Acquire)));
        }
        done.store(true, Ordering::Release);
        writing.join().expect("the writer goes on");
        manifests
    });
    assert_eq!(ids(&into), (1..=BACKUPS as u32).collect::<Vec<_>>());
    for (manifest, _) in &manifests {
        let target = places.at(&format!("restored {}", manifest.backup_id));
        let restored = backup::restore(&into, manifest, &target).expect("a restore");
        assert!(restored.position.sequence >= manifest.position().sequence);
        assert!(!restored.took_over);
        let copy = open(&target).expect("it opens as it is");
        assert_eq!(copy.position(), restored.position);
        let record = copy
            .read(manifest.position().sequence)
            .expect("a log")
            .expect("what was promised");
        assert_eq!(record.position(), manifest.position());
        // It is a prefix of the same history, and its tables are at its end.
        let last = restored.position.sequence;
        assert_eq!(copy.read(last), log.read(last));
        let (loaded, replayed) = (load(&copy), replay(&copy));
        assert_eq!(
            state_digest(&loaded.expect("sound tables").state),
            state_digest(&replayed.expect("a sound log"))
        );
        let mut copy = copy;
        Writer::of(&copy).append(&mut copy, 3);
        drop(copy);
        sound(&verify::data_directory(&target, &mut |_, _| {}).expect("a data directory"));
        sound(&verify::backup(&into, Some(manifest.backup_id), &mut |_, _| {}).expect("a backup"));
    }
    let overtaken = manifests
        .iter()
        .filter(|(m, after)| *after > m.sequence)
        .count();
    println!(
        "{} changes; {overtaken} of {BACKUPS} backups were written past meanwhile",
        durable.load(Ordering::Acquire)
    );
}

#[test]
fn a_second_backup_copies_only_what_is_new() {
    let places = Places::new();
    let (data, into) = (places.at("data"), places.at("backups"));
    let mut log = open(&data).expect("a new directory");
    let mut writer = Writer::of(&log);
    // Little enough that nothing is compacted, which would make new files of old rows.
    (0..200).for_each(|_| writer.append(&mut log, 500));
    let handle = log.backup_handle();
    let began = Instant::now();
    let first = make(&handle, &into, 5);
    let took = began.elapsed();
    writer.append(&mut log, 10);
    let second = make(&handle, &into, 5);
    let unchanged = make(&handle, &into, 5);
    println!(
        "first backup {} bytes copied of {} in {} files ({took:?}); after 10 more changes {} bytes; unchanged {} bytes",
        first.new_bytes, first.bytes, first.files, second.new_bytes, unchanged.new_bytes
    );
    assert!(first.new_bytes >= first.bytes);
    // What is never shared is the end of the write-ahead log, which may be an old file used again.
    assert!(second.new_bytes < first.new_bytes / 4, "{second:?}");
    assert!(unchanged.new_bytes <= second.new_bytes, "{unchanged:?}");
}

#[test]
fn progress_is_seen_and_ends_with_all_bytes() {
    let places = Places::new();
    let mut log = open(&places.at("data")).expect("a new directory");
    Writer::of(&log).append(&mut log, 500);
    let mut seen = None;
    let handle = log.backup_handle();
    let created = handle
        .create(&places.at("backups"), &request(1), |progress| {
            seen = Some(progress)
        })
        .expect("a backup");
    let progress = seen.expect("told when it began");
    assert_eq!(progress.copied_bytes(), created.manifest.new_bytes);
}

#[test]
fn only_the_latest_backups_stay_and_their_files_with_them() {
    let places = Places::new();
    let (data, into) = (places.at("data"), places.at("backups"));
    let mut log = open(&data).expect("a new directory");
    let mut writer = Writer::of(&log);
    for _ in 0..5 {
        writer.append(&mut log, 50);
        make(&log.backup_handle(), &into, 2);
    }
    assert_eq!(ids(&into), [4, 5]);
    for id in [4, 5] {
        sound(&verify::backup(&into, Some(id), &mut |_, _| {}).expect("a backup"));
    }
    let private = fs::read_dir(into.join("rocksdb/private")).expect("a folder");
    assert_eq!(private.count(), 2);
    assert_eq!(
        backup::find(&into, Some(2)).err(),
        Some(BackupError::Unknown {
            path: into.clone(),
            backup_id: 2,
            known: vec![4, 5]
        })
    );
    assert_eq!(backup::find(&into, None).expect("the latest").backup_id, 5);
}

#[test]
fn an_interrupted_backup_is_not_listed_and_the_next_one_removes_what_it_left() {
    let places = Places::new();
    let (data, into) = (places.at("data"), places.at("backups"));
    let mut log = open(&data).expect("a new directory");
    let mut writer = Writer::of(&log);
    for _ in 0..2 {
        writer.append(&mut log, 50);
        make(&log.backup_handle(), &into, 9);
    }
    // Killed after the copy and before the manifest; and another one, killed while it copied.
    fs::remove_file(into.join("manifests/0000000002.json")).expect("a manifest");
    fs::create_dir(into.join("rocksdb/private/7")).expect("a folder");
    let leftover = into.join("rocksdb/shared_checksum/000099_sX_5.sst.tmp");
    fs::write(&leftover, "half").expect("a file");
    assert_eq!(ids(&into), [1]);
    writer.append(&mut log, 50);
    assert_eq!(make(&log.backup_handle(), &into, 9).backup_id, 2);
    assert_eq!(ids(&into), [1, 2]);
    assert!(!leftover.exists() && !into.join("rocksdb/private/7").exists());
    let target = places.at("restored");
    let manifest = backup::find(&into, None).expect("the new one");
    let restored = backup::restore(&into, &manifest, &target).expect("a restore");
    assert_eq!(restored.position.sequence, Sequence(150));
}

#[test]
fn a_restore_needs_an_empty_directory_and_half_of_one_is_refused() {
    let places = Places::new();
    let (data, into, target) = (
        places.at("data"),
        places.at("backups"),
        places.at("restored"),
    );
    let mut log = open(&data).expect("a new directory");
    let mut writer = Writer::of(&log);
    writer.append(&mut log, 50);
    let manifest = make(&log.backup_handle(), &into, 1);
    assert_eq!(
        backup::restore(&into, &manifest, &data).err(),
        Some(BackupError::TargetNotEmpty { path: data.clone() })
    );
    // What a restore that was killed leaves: some files, and the name that says so.
    backup::restore(&into, &manifest, &target).expect("a restore");
    fs::rename(target.join("FORMAT"), target.join("FORMAT.restoring")).expect("a file");
    let unfinished = OpenError::RestoreUnfinished {
        path: target.clone(),
    };
    assert_eq!(open(&target).err(), Some(unfinished.clone()));
    assert_eq!(
        verify::data_directory(&target, &mut |_, _| {}).err(),
        Some(verify::VerifyError::Open(unfinished))
    );
    let again = backup::restore(&into, &manifest, &target).expect("it takes over");
    assert!(again.took_over);
    assert_eq!(
        state_digest(&load(&open(&target).expect("whole")).expect("sound").state),
        state_digest(&writer.state)
    );
}

#[test]
fn an_empty_directory_can_be_backed_up_and_restored() {
    let places = Places::new();
    let into = places.at("backups");
    let log = open(&places.at("data")).expect("a new directory");
    let manifest = make(&log.backup_handle(), &into, 1);
    assert_eq!(manifest.sequence, 0);
    backup::restore(&into, &manifest, &places.at("restored")).expect("a restore");
    sound(&verify::data_directory(&places.at("restored"), &mut |_, _| {}).expect("a directory"));
}

#[test]
fn a_foreign_directory_takes_no_backup() {
    let places = Places::new();
    let into = places.at("letters");
    fs::create_dir(&into).expect("a folder");
    fs::write(into.join("letter.txt"), "dear").expect("a file");
    let log = open(&places.at("data")).expect("a new directory");
    let refused = log.backup_handle().create(&into, &request(1), |_| {}).err();
    assert_eq!(
        refused,
        Some(BackupError::NotABackupDir { path: into.clone() })
    );
    assert_eq!(fs::read_dir(&into).expect("a folder").count(), 1);
}

#[test]
fn damage_to_a_backup_is_named_and_a_restore_of_it_refused() {
    let places = Places::new();
    let (data, into) = (places.at("data"), places.at("backups"));
    let mut log = open(&data).expect("a new directory");
    Writer::of(&log).append(&mut log, 2_000);
    let manifest = make(&log.backup_handle(), &into, 1);
    let shared = into.join("rocksdb/shared_checksum");
    let largest = fs::read_dir(&shared)
        .expect("a folder")
        .map(|entry| entry.expect("an entry"))
        .max_by_key(|entry| entry.metadata().expect("a file").len())
        .expect("table files");
    let mut bytes = fs::read(largest.path()).expect("a file");
    bytes[100] ^= 4;
    fs::write(largest.path(), bytes).expect("a file");
    let report = verify::backup(&into, None, &mut |_, _| {}).expect("a backup");
    let name = largest.file_name().into_string().expect("a name");
    assert!(
        report.problems.iter().any(|p| p.place.ends_with(&name)),
        "{:#?}",
        report.problems
    );
    let error = backup::restore(&into, &manifest, &places.at("restored")).expect_err("damage");
    assert!(
        matches!(error, BackupError::Damaged { backup_id: 1, .. }),
        "{error}"
    );
    assert_eq!(
        open(&places.at("restored")).err(),
        Some(OpenError::RestoreUnfinished {
            path: places.at("restored")
        })
    );

    let path = into.join("manifests/0000000001.json");
    let text = fs::read_to_string(&path).expect("a manifest");
    fs::write(
        &path,
        text.replace("\"sequence\":2000", "\"sequence\":1000"),
    )
    .expect("a file");
    let error = backup::find(&into, None).expect_err("a changed manifest");
    assert!(
        matches!(error, BackupError::ManifestDamaged { .. }),
        "{error}"
    );
}
