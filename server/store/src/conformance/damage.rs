//! Where the medium did not keep what was written, a log says so by name, with the place and what to do about it. It is
//! never silently shorter, and never another history.

use tillside_engine::ids::{CellKey, Sequence, SkuId, StoreId};

use super::{Place, Writer, open};
use crate::error::{OpenError, RecordProblem, StoreError};
use crate::frame;
use crate::load::load;
use crate::log::Log;
use crate::table::{Key, META_KEY, Table};

pub(super) fn check<P: Place>(place: &impl Fn() -> P) {
    a_hole_is_named(&place());
    a_missing_last_record_is_named(&place());
    a_flipped_bit_is_named(place);
    a_torn_row_is_named(place);
    a_later_version_is_named_and_not_taken_for_damage(&place());
    a_record_of_another_history_is_named(&place(), &place());
    a_row_under_another_key_is_named(&place());
    a_log_shorter_than_its_mark_is_refused_until_the_loss_is_accepted(&place());
    a_short_read_is_named(&place());
}

/// Why the place cannot be opened and loaded.
fn refusal(place: &impl Place) -> OpenError {
    let error = match place.open() {
        Err(error) => error,
        Ok(log) => match load(&log) {
            Err(error) => OpenError::Store(error),
            Ok(loaded) => panic!("damage went by; loaded {:?}", loaded.state.counters()),
        },
    };
    let text = error.to_string();
    let says_what_to_do = ["Restore", "restore", "Start", "start"];
    assert!(
        says_what_to_do.iter().any(|word| text.contains(word)),
        "a refusal says what to do: {text}"
    );
    error
}

fn told(place: &impl Place) {
    Writer::new().story(&mut open(place));
}

fn record(sequence: u64) -> Vec<u8> {
    Sequence(sequence).to_bytes()
}

/// Three rows of different tables that each opening or loading has to read.
fn rows() -> [(Table, Vec<u8>); 3] {
    let cell = CellKey::new(SkuId(1), StoreId(3));
    [
        (Table::Log, record(4)),
        (Table::Meta, META_KEY.to_vec()),
        (Table::Stock, cell.to_bytes()),
    ]
}

fn change(place: &impl Place, table: Table, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
    let mut value = place.row(table, key).expect("a row of the story");
    change(&mut value);
    place.put_row(table, key, Some(value));
}

#[track_caller]
fn names_the_row(error: &OpenError, table: Table, problem: impl Fn(&RecordProblem) -> bool) {
    assert!(
        matches!(error, OpenError::Store(StoreError::Record(record)) if record.table == table && problem(&record.problem)),
        "{error}"
    );
    assert!(error.to_string().contains(table.name()), "{error}");
}

fn a_hole_is_named(place: &impl Place) {
    told(place);
    place.put_row(Table::Log, &record(3), None);
    let (expected, found) = (3, 4);
    let error = OpenError::Store(StoreError::Gap { expected, found });
    assert_eq!(refusal(place), error);
}

fn a_missing_last_record_is_named(place: &impl Place) {
    told(place);
    place.put_row(Table::Log, &record(5), None);
    let (tables, log) = (5, 4);
    let error = OpenError::Store(StoreError::TablesNotAtLogEnd { tables, log });
    assert_eq!(refusal(place), error);
}

fn a_flipped_bit_is_named<P: Place>(place: &impl Fn() -> P) {
    for (table, key) in rows() {
        let place = place();
        told(&place);
        change(&place, table, &key, |value| {
            let middle = value.len() / 2;
            value[middle] ^= 0x10;
        });
        let checksum = |p: &RecordProblem| matches!(p, RecordProblem::Checksum { .. });
        names_the_row(&refusal(&place), table, checksum);
    }
}

fn a_torn_row_is_named<P: Place>(place: &impl Fn() -> P) {
    for (table, key) in rows() {
        let place = place();
        told(&place);
        change(&place, table, &key, |value| value.truncate(value.len() / 2));
        let checksum = |p: &RecordProblem| matches!(p, RecordProblem::Checksum { .. });
        names_the_row(&refusal(&place), table, checksum);
        change(&place, table, &key, |value| value.truncate(3));
        let short = |p: &RecordProblem| matches!(p, RecordProblem::TooShort { length: 3 });
        names_the_row(&refusal(&place), table, short);
    }
}

fn a_later_version_is_named_and_not_taken_for_damage(place: &impl Place) {
    told(place);
    for (table, key) in rows() {
        let mut before = Vec::new();
        change(place, table, &key, |value| {
            before.clone_from(value);
            *value = frame::with_version(table, &key, value, 7);
        });
        let later = |p: &RecordProblem| matches!(p, RecordProblem::UnknownVersion { version: 7 });
        names_the_row(&refusal(place), table, later);
        place.put_row(table, &key, Some(before));
    }
    drop(open(place));
}

fn a_record_of_another_history_is_named(place: &impl Place, other: &impl Place) {
    told(place);
    let mut stranger = Writer::new();
    let mut log = open(other);
    stranger.command(Vec::new(), None);
    stranger.append(&mut log).expect("a batch of its own");
    stranger.story(&mut log);
    drop(log);
    // A sound record with the same sequence, which follows another one.
    let foreign = other.row(Table::Log, &record(4));
    assert!(foreign.is_some());
    place.put_row(Table::Log, &record(4), foreign);
    let error = refusal(place);
    assert!(
        matches!(
            error,
            OpenError::Store(StoreError::BrokenChain { sequence: 4, .. })
        ),
        "{error}"
    );
}

fn a_row_under_another_key_is_named(place: &impl Place) {
    told(place);
    let [one, two] = [1, 2].map(|sku| CellKey::new(SkuId(sku), StoreId(3)).to_bytes());
    let value = place.row(Table::Stock, &one);
    place.put_row(Table::Stock, &two, value);
    let checksum = |p: &RecordProblem| matches!(p, RecordProblem::Checksum { .. });
    names_the_row(&refusal(place), Table::Stock, checksum);
}

fn a_log_shorter_than_its_mark_is_refused_until_the_loss_is_accepted(place: &impl Place) {
    let mut writer = Writer::new();
    let mut log = open(place);
    writer.story(&mut log);
    drop(log);
    let before = place.row(Table::Meta, META_KEY);
    let mut log = open(place);
    for _ in 0..3 {
        writer.command(Vec::new(), None);
        writer.append(&mut log).expect("a batch");
    }
    drop(log);
    // The log and the counters as they were three batches before: what a lost tail leaves.
    (6..=8).for_each(|sequence| place.put_row(Table::Log, &record(sequence), None));
    place.put_row(Table::Meta, META_KEY, before);
    for _ in 0..2 {
        let error = refusal(place);
        assert!(
            matches!(
                error,
                OpenError::LogEndsEarly {
                    log_end: 5,
                    acknowledged: 8,
                    ..
                }
            ),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains("--accept-loss-after 5"), "{text}");
    }
    let error = place.open_accepting(6).map(drop);
    assert!(error.is_err(), "more is lost than was accepted");
    let log = place.open_accepting(5).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(log.last_sequence(), Sequence(5));
    drop(log);
    assert_eq!(open(place).last_sequence(), Sequence(5), "once and for all");
}

fn a_short_read_is_named(place: &impl Place) {
    told(place);
    place.shorten_reads();
    let error = refusal(place);
    // A database may find it by its own means, before a row of ours is read.
    assert!(
        matches!(error, OpenError::Store(_) | OpenError::Database { .. }),
        "{error}"
    );
}
