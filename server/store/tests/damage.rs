//! Whatever is wrong with a data directory is named, and nothing is silently shorter.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tillside_engine::apply::{Touched, apply};
use tillside_engine::ctx::Ctx;
use tillside_engine::event::Event;
use tillside_engine::ids::{CellKey, Sequence, SkuId, StoreId};
use tillside_engine::state::State;
use tillside_engine::units::Time;
use tillside_store::faulty::{Fault, FaultyDisk, FaultyLog};
use tillside_store::{
    BatchBuilder, Log, LogError, OpenError, OpenOptions, Opening, RecordProblem, RocksLog,
    StoreError, Table, load, state_digest,
};

struct Writer {
    state: State,
    builder: BatchBuilder,
}

impl Writer {
    fn of(log: &impl Log, state: State) -> Self {
        Writer {
            state,
            builder: BatchBuilder::after(log.position()),
        }
    }

    /// One command a batch: a count of one more product.
    fn append(&mut self, log: &mut impl Log) -> Result<(), LogError> {
        let sequence = Sequence(self.state.counters().sequence.0 + 1);
        let event = Event::StockCounted {
            sku: SkuId(1),
            store: StoreId(1),
            on_hand: sequence.0 as i64,
            safety: None,
            as_of: Time(1),
        };
        let ctx = Ctx {
            seq: sequence,
            now: Time(1),
        };
        let mut touched = Touched::default();
        apply(
            &self.state,
            std::slice::from_ref(&event),
            &ctx,
            &mut touched,
        );
        self.builder.record(sequence, ctx.now, &[event], None);
        self.builder.rows(&self.state, &touched);
        log.append(self.builder.batch())?;
        self.builder.clear();
        Ok(())
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn open(path: &Path) -> Result<RocksLog, OpenError> {
    RocksLog::open(path, OpenOptions::default())
}

/// A log with `count` commands on a healthy disk.
fn written(disk: &FaultyDisk, count: usize) {
    let mut log = FaultyLog::open(disk, None).expect("an empty disk");
    let mut writer = Writer::of(&log, State::default());
    (0..count).for_each(|_| writer.append(&mut log).expect("a healthy disk"));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

#[test]
fn a_directory_in_use_is_named_with_its_path() {
    let directory = directory();
    let _log = open(directory.path()).expect("a new directory");
    let error = open(directory.path()).err().expect("in use");
    assert_eq!(
        error,
        OpenError::DataDirInUse {
            path: directory.path().to_owned()
        }
    );
    let text = error.to_string();
    assert!(
        text.contains(&directory.path().display().to_string())
            && text.contains("in use by another process"),
        "{text}"
    );
}

#[test]
fn a_directory_with_other_things_is_not_touched() {
    let directory = directory();
    fs::write(directory.path().join("letter.txt"), "dear").expect("a file");
    assert_eq!(
        open(directory.path()).err(),
        Some(OpenError::NotADataDir {
            path: directory.path().to_owned()
        })
    );
    assert_eq!(
        fs::read_dir(directory.path()).expect("a directory").count(),
        1
    );
}

#[test]
fn a_later_format_is_named() {
    let directory = directory();
    drop(open(directory.path()).expect("a new directory"));
    fs::write(
        directory.path().join("FORMAT"),
        "tillside data directory, format 3\n",
    )
    .expect("a file");
    let found = "tillside data directory, format 3".to_owned();
    assert_eq!(
        open(directory.path()).err(),
        Some(OpenError::UnknownFormat {
            path: directory.path().to_owned(),
            found
        })
    );
}

#[test]
fn a_table_of_a_later_version_is_named() {
    let directory = directory();
    drop(open(directory.path()).expect("a new directory"));
    let database = directory.path().join("rocksdb");
    let options = rocksdb::Options::default();
    let names = rocksdb::DB::list_cf(&options, &database).expect("a database");
    let mut db = rocksdb::DB::open_cf(&options, &database, names).expect("a database");
    db.create_cf("webhooks", &options).expect("one more table");
    drop(db);
    let error = open(directory.path()).err();
    assert_eq!(
        error,
        Some(OpenError::UnknownTable {
            path: directory.path().to_owned(),
            table: "webhooks".to_owned()
        })
    );
}

#[test]
fn a_table_that_is_gone_is_named_and_not_made_anew() {
    for table in Table::ALL {
        let directory = directory();
        let mut log = open(directory.path()).expect("a new directory");
        let mut writer = Writer::of(&log, State::default());
        writer.append(&mut log).expect("a healthy disk");
        drop(log);
        let database = directory.path().join("rocksdb");
        let options = rocksdb::Options::default();
        let names = rocksdb::DB::list_cf(&options, &database).expect("a database");
        let mut db = rocksdb::DB::open_cf(&options, &database, names).expect("a database");
        db.drop_cf(table.name()).expect("one of our tables");
        drop(db);
        let error = open(directory.path()).err().expect("a table is gone");
        let expect = format!("its table {} is missing", table.name());
        assert!(error.to_string().contains(&expect), "{error}");
    }
}

#[test]
fn a_database_older_than_what_was_acknowledged_is_refused_until_its_loss_is_accepted() {
    let (directory, backup) = (directory(), directory());
    let mut log = open(directory.path()).expect("a new directory");
    let mut writer = Writer::of(&log, State::default());
    (0..3).for_each(|_| writer.append(&mut log).expect("a healthy disk"));
    drop(log);
    copy(&directory.path().join("rocksdb"), backup.path());
    let mut log = open(directory.path()).expect("our directory");
    (0..4).for_each(|_| writer.append(&mut log).expect("a healthy disk"));
    drop(log);
    fs::remove_dir_all(directory.path().join("rocksdb")).expect("our directory");
    copy(backup.path(), &directory.path().join("rocksdb"));

    let error = open(directory.path())
        .err()
        .expect("four commands are lost");
    assert_eq!(
        error,
        OpenError::LogEndsEarly {
            path: directory.path().to_owned(),
            log_end: 3,
            acknowledged: 7
        }
    );
    assert!(
        error.to_string().contains("the last 4 are lost")
            && error.to_string().contains("--accept-loss-after 3"),
        "{error}"
    );
    let accept = |sequence| {
        RocksLog::open(
            directory.path(),
            OpenOptions {
                accept_loss_after: Some(sequence),
                ..OpenOptions::default()
            },
        )
    };
    assert!(accept(4).is_err(), "more is lost than was accepted");
    assert!(accept(2).is_err(), "less is lost than was accepted");
    let log = accept(3).expect("accepted");
    assert_eq!(
        log.opening(),
        Opening::LossAccepted {
            after: 3,
            acknowledged: Some(7)
        }
    );
    assert_eq!(
        load(&log)
            .expect("an older database")
            .state
            .counters()
            .sequence,
        Sequence(3)
    );
    drop(log);
    assert_eq!(
        open(directory.path())
            .expect("the loss was accepted once and for all")
            .last_sequence(),
        Sequence(3)
    );
    // The permission stays in somebody's configuration: harmless, until something else is lost.
    let mut log = accept(3).expect("nothing is lost");
    assert_eq!(log.opening(), Opening::FlagNotNeeded { after: 3 });
    let mut writer = Writer::of(&log, load(&log).expect("a log").state);
    writer.append(&mut log).expect("a healthy disk");
    drop(log);
    let shorter = self::directory();
    copy(&directory.path().join("rocksdb"), shorter.path());
    let mut log = accept(3).expect("nothing is lost");
    (0..2).for_each(|_| writer.append(&mut log).expect("a healthy disk"));
    drop(log);
    fs::remove_dir_all(directory.path().join("rocksdb")).expect("our directory");
    copy(shorter.path(), &directory.path().join("rocksdb"));
    assert_eq!(
        accept(3).err(),
        Some(OpenError::LogEndsEarly {
            path: directory.path().to_owned(),
            log_end: 4,
            acknowledged: 6
        })
    );
}

#[test]
fn after_a_kill_everything_acknowledged_is_there_and_a_cut_write_ahead_log_is_refused() {
    let (directory, killed) = (directory(), directory());
    let mut log = open(directory.path()).expect("a new directory");
    let mut writer = Writer::of(&log, State::default());
    (0..5).for_each(|_| writer.append(&mut log).expect("a healthy disk"));
    // A copy of the files while the process runs is what a kill leaves.
    copy(directory.path(), killed.path());
    let copied = open(killed.path()).expect("a copy of our directory");
    let loaded = load(&copied).expect("a copy of our directory");
    assert_eq!(state_digest(&loaded.state), state_digest(&writer.state));
    drop(copied);

    let cut = self::directory();
    copy(directory.path(), cut.path());
    let files = fs::read_dir(cut.path().join("rocksdb"))
        .expect("a database")
        .map(|e| e.expect("an entry").path());
    let wal = files
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .max()
        .expect("a write-ahead log");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&wal)
        .expect("a file");
    file.set_len(file.metadata().expect("a file").len() - 10)
        .expect("a shorter file");
    let error = open(cut.path()).err();
    assert_eq!(
        error,
        Some(OpenError::LogEndsEarly {
            path: cut.path().to_owned(),
            log_end: 4,
            acknowledged: 5
        })
    );
}

#[test]
fn a_database_without_its_present_state_is_refused_and_kept() {
    let directory = directory();
    let mut log = open(directory.path()).expect("a new directory");
    Writer::of(&log, State::default())
        .append(&mut log)
        .expect("a healthy disk");
    drop(log);
    // The next opening writes what is in the write-ahead log into files of rows.
    drop(open(directory.path()).expect("our directory"));
    let current = directory.path().join("rocksdb/CURRENT");
    let named = fs::read(&current).expect("a file");
    fs::remove_file(&current).expect("a file");
    for _ in 0..2 {
        let error = open(directory.path()).err();
        assert!(
            matches!(&error, Some(OpenError::Database { message, .. }) if message.contains("CURRENT")),
            "{error:?}"
        );
    }
    // Nothing was begun anew in its place.
    fs::write(&current, named).expect("a file");
    let log = open(directory.path()).expect("our directory");
    assert_eq!(log.last_sequence(), Sequence(1));
}

#[test]
fn a_database_of_another_directory_is_refused() {
    let (ours, theirs) = (directory(), directory());
    for (directory, first) in [(&ours, 1), (&theirs, 2)] {
        let mut log = open(directory.path()).expect("a new directory");
        let mut writer = Writer::of(&log, State::default());
        // Another time in the first record makes every later checksum another one.
        writer
            .state
            .now_ms
            .store(first, std::sync::atomic::Ordering::Relaxed);
        writer.builder.record(Sequence(1), Time(first), &[], None);
        apply(
            &writer.state,
            &[],
            &Ctx {
                seq: Sequence(1),
                now: Time(first),
            },
            &mut Touched::default(),
        );
        (0..3).for_each(|_| writer.append(&mut log).expect("a healthy disk"));
    }
    fs::remove_dir_all(ours.path().join("rocksdb")).expect("our directory");
    copy(&theirs.path().join("rocksdb"), &ours.path().join("rocksdb"));
    let error = open(ours.path()).err();
    assert_eq!(
        error,
        Some(OpenError::LogReplaced {
            path: ours.path().to_owned(),
            log_end: 4,
            acknowledged: 4
        })
    );
}

#[test]
fn a_database_without_its_mark_is_refused() {
    let directory = directory();
    let mut log = open(directory.path()).expect("a new directory");
    Writer::of(&log, State::default())
        .append(&mut log)
        .expect("a healthy disk");
    drop(log);
    fs::remove_file(directory.path().join("acknowledged")).expect("a mark");
    // Twice: a refusal makes no new mark.
    for _ in 0..2 {
        let error = open(directory.path()).err();
        assert!(
            matches!(
                error,
                Some(OpenError::MarkUnusable {
                    problem: "is missing",
                    log_end: 1,
                    ..
                })
            ),
            "{error:?}"
        );
    }
}

#[test]
fn after_a_failed_write_nothing_more_is_written() {
    for fault in [
        Fault::FailAppend,
        Fault::FailSync { kept: false },
        Fault::FailSync { kept: true },
    ] {
        let disk = FaultyDisk::default();
        disk.inject_after(2, fault);
        let mut log = FaultyLog::open(&disk, None).expect("an empty disk");
        let mut writer = Writer::of(&log, State::default());
        (0..2).for_each(|_| writer.append(&mut log).expect("before the fault"));
        assert!(
            matches!(writer.append(&mut log), Err(LogError::Write { .. })),
            "{fault:?}"
        );
        assert_eq!(
            log.append(writer.builder.batch()),
            Err(LogError::Stopped),
            "{fault:?}"
        );
        drop(log);
        disk.crash(0, true);
        let log = FaultyLog::open(&disk, None).expect("whole batches");
        let expect = if fault == (Fault::FailSync { kept: true }) {
            3
        } else {
            2
        };
        assert_eq!(
            load(&log).expect("whole batches").state.counters().sequence,
            Sequence(expect),
            "{fault:?}"
        );
        let state = load(&log).expect("whole batches").state;
        let mut writer = Writer::of(&log, state);
        let mut log = log;
        writer.append(&mut log).expect("a new start writes again");
        assert_eq!(
            state_digest(&load(&log).expect("a log").state),
            state_digest(&writer.state)
        );
    }
}

#[test]
fn a_batch_of_which_only_a_part_is_on_the_disk_is_refused() {
    for changes in 1..4 {
        let disk = FaultyDisk::default();
        disk.inject_after(2, Fault::FailSyncPart { changes });
        let mut log = FaultyLog::open(&disk, None).expect("an empty disk");
        let mut writer = Writer::of(&log, State::default());
        (0..2).for_each(|_| writer.append(&mut log).expect("before the fault"));
        assert!(matches!(
            writer.append(&mut log),
            Err(LogError::Write { .. })
        ));
        drop(log);
        disk.crash(0, true);
        assert_eq!(
            FaultyLog::open(&disk, None).err(),
            Some(OpenError::Store(StoreError::TablesNotAtLogEnd {
                tables: 2,
                log: 3
            }))
        );
    }
}

#[test]
fn a_full_disk_is_read_and_with_room_it_is_written_again() {
    let disk = FaultyDisk::default();
    disk.inject_after(2, Fault::FullDisk);
    let mut log = FaultyLog::open(&disk, None).expect("an empty disk");
    let mut writer = Writer::of(&log, State::default());
    (0..2).for_each(|_| writer.append(&mut log).expect("before the fault"));
    assert!(matches!(
        writer.append(&mut log),
        Err(LogError::Write { .. })
    ));
    drop(log);
    for full in [true, false] {
        let mut log = FaultyLog::open(&disk, None).expect("a disk that can be read");
        assert_eq!(log.last_sequence(), Sequence(2));
        let mut writer = Writer::of(&log, load(&log).expect("whole batches").state);
        assert_eq!(writer.append(&mut log).is_err(), full);
        disk.make_room();
    }
}

#[test]
fn a_lost_tail_is_refused_where_the_mark_survived() {
    let disk = FaultyDisk::default();
    written(&disk, 2);
    disk.lie_about_syncs(true);
    let mut log = FaultyLog::open(&disk, None).expect("our disk");
    let mut writer = Writer::of(&log, load(&log).expect("a log").state);
    (0..3).for_each(|_| writer.append(&mut log).expect("the disk says so"));
    drop(log);
    assert_eq!(disk.unsynced(), 3);
    disk.crash(1, true);
    let path = Path::new("memory").to_owned();
    assert_eq!(
        FaultyLog::open(&disk, None).err(),
        Some(OpenError::LogEndsEarly {
            path,
            log_end: 3,
            acknowledged: 5
        })
    );
    for given in [2, 4, 5] {
        assert!(
            FaultyLog::open(&disk, Some(given)).is_err(),
            "{given} is not where the log ends"
        );
    }
    let mut log = FaultyLog::open(&disk, Some(3)).expect("accepted");
    assert_eq!(log.last_sequence(), Sequence(3));
    // The permission stays given: harmless while nothing is lost, and no permission for the next loss.
    let mut writer = Writer::of(&log, load(&log).expect("a log").state);
    disk.lie_about_syncs(false);
    writer.append(&mut log).expect("a healthy disk");
    drop(log);
    let mut log = FaultyLog::open(&disk, Some(3)).expect("nothing is lost");
    disk.lie_about_syncs(true);
    (0..2).for_each(|_| writer.append(&mut log).expect("the disk says so"));
    drop(log);
    disk.crash(0, true);
    assert!(matches!(
        FaultyLog::open(&disk, Some(3)),
        Err(OpenError::LogEndsEarly {
            log_end: 4,
            acknowledged: 6,
            ..
        })
    ));
    drop(FaultyLog::open(&disk, Some(4)).expect("accepted"));
    drop(FaultyLog::open(&disk, None).expect("accepted once and for all"));
}

#[test]
fn torn_dropped_and_flipped_rows_are_named() {
    let check = |damage: &dyn Fn(&FaultyDisk), expect: &dyn Fn(&StoreError) -> bool| {
        let disk = FaultyDisk::default();
        written(&disk, 3);
        damage(&disk);
        let error = match FaultyLog::open(&disk, None) {
            Err(OpenError::Store(error)) => error,
            Err(other) => panic!("{other}"),
            Ok(log) => load(&log).expect_err("damage"),
        };
        assert!(expect(&error), "{error}");
    };
    let problem = |error: &StoreError, table: Table, of: &dyn Fn(&RecordProblem) -> bool| matches!(error, StoreError::Record(record) if record.table == table && of(&record.problem));
    let checksum = |p: &RecordProblem| matches!(p, RecordProblem::Checksum { .. });
    check(&|disk| disk.tear_last_record(3), &|e| {
        problem(e, Table::Log, &|p| {
            matches!(p, RecordProblem::TooShort { length: 3 })
        })
    });
    check(&|disk| disk.tear_last_record(12), &|e| {
        problem(e, Table::Log, &checksum)
    });
    check(&|disk| disk.drop_record(Sequence(2)), &|e| {
        *e == StoreError::Gap {
            expected: 2,
            found: 3,
        }
    });
    check(&|disk| disk.drop_record(Sequence(3)), &|e| {
        *e == StoreError::TablesNotAtLogEnd { tables: 3, log: 2 }
    });
    check(&|disk| disk.flip_bit(Table::Meta, None, 17), &|e| {
        problem(e, Table::Meta, &checksum)
    });
    let cell = CellKey::new(SkuId(1), StoreId(1)).0.to_be_bytes();
    check(&|disk| disk.flip_bit(Table::Stock, Some(&cell), 9), &|e| {
        problem(e, Table::Stock, &checksum)
    });
}
