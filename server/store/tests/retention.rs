//! Folding at random moments, cut short anywhere, with crashes that lose what was not synced: the ledgers always add up,
//! nothing acknowledged is lost, and no hole is taken for a fold.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tillside_engine::apply::{Touched, apply};
use tillside_engine::ctx::Ctx;
use tillside_engine::event::Event;
use tillside_engine::ids::{Sequence, SkuId, StoreId};
use tillside_engine::state::State;
use tillside_engine::stock::MoveReason;
use tillside_engine::units::Time;
use tillside_store::faulty::{FaultyDisk, FaultyLog};
use tillside_store::retention::first_kept;
use tillside_store::{
    BatchBuilder, Foldable, Log, OpenError, OpenOptions, RocksLog, StoreError, Table, audit,
    fold_before, load, state_digest, verify,
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

    fn append(&mut self, log: &mut impl Log, now: Time, events: &[Event]) {
        let seq = Sequence(self.state.counters().sequence.0 + 1);
        let mut touched = Touched::default();
        apply(&self.state, events, &Ctx { seq, now }, &mut touched);
        self.builder.record(seq, now, events, None);
        self.builder.rows(&self.state, &touched);
        log.append(self.builder.batch()).expect("a healthy disk");
        self.builder.clear();
    }
}

fn moved(rng: &mut StdRng) -> Event {
    let (sku, store) = (
        SkuId(rng.random_range(0..6)),
        StoreId(rng.random_range(0..3)),
    );
    if rng.random_bool(0.2) {
        let on_hand = rng.random_range(-5..50);
        return Event::StockCounted {
            sku,
            store,
            on_hand,
            safety: None,
            as_of: Time(1),
        };
    }
    Event::StockMoved {
        sku,
        store,
        delta: rng.random_range(-3..4),
        damaged: rng.random_range(0..2),
        occurred: Time(1),
        reason: MoveReason::Correction,
    }
}

fn adds_up(log: &FaultyLog, seed: u64) {
    let audit = audit(log).expect("a log that can be read");
    assert_eq!(audit.violations, [], "seed {seed}");
}

fn run(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let disk = FaultyDisk::default();
    let mut log = FaultyLog::open(&disk, None).expect("an empty disk");
    let mut writer = Writer::of(&log, State::default());
    for _ in 0..60 {
        match rng.random_range(0..10) {
            0..6 => {
                disk.lie_about_syncs(rng.random_bool(0.3));
                let events: Vec<_> = (0..rng.random_range(0..5))
                    .map(|_| moved(&mut rng))
                    .collect();
                writer.append(&mut log, Time(1), &events);
            }
            6..9 => {
                let before = Sequence(rng.random_range(0..=log.last_sequence().0 + 2));
                let mut steps = rng.random_range(0..3);
                let mut go_on = || {
                    steps -= 1;
                    steps >= 0
                };
                fold_before(&*log.folder(), before, &mut go_on).expect("a healthy disk");
            }
            _ => {
                drop(log);
                // The mark is lost with what it speaks of: this disk lies about syncs, so a loss is no defect of the log.
                disk.crash(rng.random_range(0..4), false);
                log = FaultyLog::open(&disk, None).expect("what was synced is there");
                let loaded = load(&log).expect("sound tables");
                writer = Writer::of(&log, loaded.state);
            }
        }
        adds_up(&log, seed);
    }
    let loaded = load(&log).expect("sound tables");
    assert_eq!(
        state_digest(&loaded.state),
        state_digest(&writer.state),
        "seed {seed}"
    );
}

#[test]
fn folding_and_crashing_at_random_keeps_both_ledgers() {
    println!("seeds 0..300");
    (0..300).for_each(run);
}

/// A log of `count` commands, an hour apart, the first folded away before `before`.
fn folded(disk: &FaultyDisk, count: u64, before: u64) {
    let mut log = FaultyLog::open(disk, None).expect("an empty disk");
    let mut writer = Writer::of(&log, State::default());
    let mut rng = StdRng::seed_from_u64(7);
    for hour in 0..count {
        let event = moved(&mut rng);
        writer.append(&mut log, Time(hour as i64 * 3_600_000), &[event]);
    }
    fold_before(&*log.folder(), Sequence(before), &mut || true).expect("a healthy disk");
}

#[test]
fn a_hole_behind_the_fold_is_no_fold() {
    let opened = |disk: &FaultyDisk| FaultyLog::open(disk, None).map(drop);
    let gap = |expected, found| Err(OpenError::Store(StoreError::Gap { expected, found }));

    let disk = FaultyDisk::default();
    folded(&disk, 20, 10);
    opened(&disk).expect("a folded log opens");
    disk.drop_record(Sequence(10));
    assert_eq!(opened(&disk), gap(10, 11), "the first record kept");

    let disk = FaultyDisk::default();
    folded(&disk, 20, 0);
    disk.drop_record(Sequence(1));
    assert_eq!(opened(&disk), gap(1, 2), "nothing was folded");

    let disk = FaultyDisk::default();
    folded(&disk, 20, 10);
    disk.flip_bit(Table::Meta, Some(b"log"), 20);
    let refused = opened(&disk);
    assert!(
        matches!(refused, Err(OpenError::Store(StoreError::Record(_)))),
        "{refused:?}"
    );
}

#[test]
fn a_wrong_level_or_opening_is_named() {
    let disk = FaultyDisk::default();
    folded(&disk, 20, 10);
    let log = FaultyLog::open(&disk, None).expect("a folded log opens");
    let loaded = load(&log).expect("sound tables");
    // A row that is sound in itself, and says something else than the movements.
    let mut writer = Writer::of(&log, loaded.state);
    let (cell, mut level) = writer.state.stock.cells().next().expect("a level");
    level.on_hand += 1;
    let on_hand = level.on_hand;
    writer.state.stock.insert(cell, level);
    let mut log = log;
    let nothing = Event::StockMoved {
        sku: cell.sku(),
        store: cell.store(),
        delta: 0,
        damaged: 0,
        occurred: Time(1),
        reason: MoveReason::Correction,
    };
    writer.append(&mut log, Time(i64::MAX / 2), &[nothing]);
    let audit = audit(&log).expect("a log that can be read");
    let told: Vec<String> = audit.violations.iter().map(ToString::to_string).collect();
    let expected = format!(
        "product number {} in store number {}: the movements give {} thousandths on hand, the level says {on_hand}",
        cell.sku().0,
        cell.store().0,
        on_hand - 1
    );
    assert_eq!(told, [expected]);
}

#[test]
fn what_a_retry_may_ask_for_and_the_newest_records_are_kept() {
    const HOUR: i64 = 3_600_000;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut log = RocksLog::open(directory.path(), OpenOptions::default()).expect("a new one");
    let mut writer = Writer::of(&log, State::default());
    // As many as are always kept, and a hundred.
    for n in 0..4196 {
        writer.append(&mut log, Time(n * HOUR), &[]);
    }
    let kept = |now: i64, keep: i64| {
        first_kept(&*log.folder(), Time(now), keep).expect("a log that can be read")
    };
    let record = |hour: i64| Some(Sequence(hour as u64 + 1));
    assert_eq!(
        kept(50 * HOUR, 10 * HOUR),
        record(26),
        "never less than a day"
    );
    assert_eq!(kept(50 * HOUR, 30 * HOUR), record(20));
    assert_eq!(kept(50 * HOUR, 60 * HOUR), None);
    assert_eq!(kept(9_999 * HOUR, HOUR), record(99), "the newest stay");

    fold_before(&*log.folder(), Sequence(100), &mut || true).expect("a healthy disk");
    drop(log);
    let report = verify::data_directory(directory.path(), &mut |_, _| {}).expect("a directory");
    assert_eq!(report.problems, [], "a folded log is a whole log");
    assert_eq!((report.log_first, report.log_last), (100, 4196));
}
