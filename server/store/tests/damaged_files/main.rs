//! Real files, damaged: the write-ahead logs cut at every byte, and single bits flipped in every file of the directory.
//! Each time the server starts with everything that was acknowledged, or refuses with a named error. It is never
//! silently shorter and never has another state.
//!
//! An opening reads the whole of every table and the last records of the log. An older record is read when somebody asks
//! for it, or by reading the whole log: damage there is named then, and is no part of the state. So the cases start,
//! compare the state, and read the log through.
//!
//! By default a sample that is the same every time; `TILLSIDE_DAMAGE_CASES=all` takes every byte of the write-ahead logs
//! and every bit of every file, a number takes about so many of each.

mod directory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use directory::Killed;
use tempfile::TempDir;
use tillside_engine::ids::Sequence;
use tillside_store::{Log, OpenError, OpenOptions, RocksLog, StoreError, load, state_digest};

/// Cases of each test where nothing else is asked for: a quarter of a minute on two cores.
const CASES: usize = 400;

fn cases() -> usize {
    match std::env::var("TILLSIDE_DAMAGE_CASES").as_deref() {
        Ok("all") => usize::MAX,
        Ok(text) => text
            .parse()
            .unwrap_or_else(|e| panic!("TILLSIDE_DAMAGE_CASES={text}: {e}")),
        Err(_) => CASES,
    }
}

/// What came of a case, in words for the table that is printed.
type Outcome = Result<String, String>;

fn open(path: &Path, accept_loss_after: Option<u64>) -> Result<RocksLog, OpenError> {
    RocksLog::open(
        path,
        OpenOptions {
            accept_loss_after,
            ..OpenOptions::default()
        },
    )
}

fn name_of(error: &OpenError) -> &'static str {
    match error {
        OpenError::LogEndsEarly { .. } => "refused: LogEndsEarly",
        OpenError::LogReplaced { .. } => "refused: LogReplaced",
        OpenError::MarkUnusable { .. } => "refused: MarkUnusable",
        OpenError::Database { .. } => "refused: Database",
        OpenError::UnknownFormat { .. } => "refused: UnknownFormat",
        OpenError::UnknownTable { .. } => "refused: UnknownTable",
        OpenError::NotADataDir { .. } => "refused: NotADataDir",
        OpenError::Io { .. } => "refused: Io",
        OpenError::Store(error) => store_name(error),
        _ => "refused: another",
    }
}

fn store_name(error: &StoreError) -> &'static str {
    match error {
        StoreError::Record(_) => "refused: Record",
        StoreError::Read { .. } => "refused: Read",
        StoreError::TablesNotAtLogEnd { .. } => "refused: TablesNotAtLogEnd",
        StoreError::Gap { .. } => "refused: Gap",
        StoreError::BrokenChain { .. } => "refused: BrokenChain",
        #[allow(unreachable_patterns, reason = "more may come to be told apart")]
        _ => "refused: another",
    }
}

/// Starts, and demands all of it or a refusal.
fn start(killed: &Killed, copy: &TempDir) -> Outcome {
    let (end, state) = killed.acknowledged();
    let log = match open(copy.path(), None) {
        Ok(log) => log,
        Err(OpenError::LogEndsEarly {
            log_end,
            acknowledged,
            ..
        }) => {
            if acknowledged > end || !(log_end == 0 || killed.states.contains_key(&log_end)) {
                return Err(format!(
                    "ends at {log_end} of {acknowledged}, of {end} in truth"
                ));
            }
            return Ok("refused: LogEndsEarly".to_owned());
        }
        Err(error) => return Ok(name_of(&error).to_owned()),
    };
    if log.last_sequence() != Sequence(end) {
        return Err(format!(
            "silently ends at {} of {end}",
            log.last_sequence().0
        ));
    }
    let loaded = match load(&log) {
        Ok(loaded) => state_digest(&loaded.state),
        Err(error) => return Ok(store_name(&error).to_owned()),
    };
    if loaded != *state {
        return Err("another state".to_owned());
    }
    let mut read = 0;
    for record in log.iterate(Sequence(1)) {
        match record {
            Ok(record) if record.sequence.0 == read + 1 => read += 1,
            Ok(record) => return Err(format!("after record {read} comes {}", record.sequence.0)),
            Err(error) => {
                return Ok(format!("started; an old record {}", store_name(&error)));
            }
        }
    }
    if read != end {
        return Err(format!("the log has {read} of {end} records"));
    }
    Ok("recovered".to_owned())
}

/// Runs cases on all cores and counts the outcomes. A case is a file and what it holds instead; `None`: it is gone.
fn run(
    title: &str,
    killed: &Killed,
    count: usize,
    case: impl Fn(usize) -> (PathBuf, Option<Vec<u8>>, String) + Sync,
    also: impl Fn(&TempDir, usize) -> Result<(), String> + Sync,
) {
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<BTreeMap<(String, String), usize>> = Mutex::new(BTreeMap::new());
    let failures: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            let (file, bytes, what) = case(number);
            let copy = killed.copy_with(&file, bytes.as_deref());
            let outcome =
                start(killed, &copy).and_then(|outcome| also(&copy, number).map(|()| outcome));
            match outcome {
                Ok(outcome) => {
                    let kind = kind(&file);
                    let mut outcomes = outcomes.lock().expect("no thread panics with it");
                    *outcomes.entry((kind, outcome)).or_default() += 1;
                }
                Err(error) => failures
                    .lock()
                    .expect("no thread panics with it")
                    .push(format!("{}, {what}: {error}", file.display())),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    println!("{title}: {count} cases");
    for ((kind, outcome), count) in outcomes.into_inner().expect("no thread panics with it") {
        println!("  {count:>7} {kind}: {outcome}");
    }
    let failures = failures.into_inner().expect("no thread panics with it");
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// A file's kind, for the table that is printed.
fn kind(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    match file.extension() {
        Some(extension) => extension.to_string_lossy().into_owned(),
        None => name.split('-').next().unwrap_or_default().to_owned(),
    }
}

/// `count` of the numbers below `all`, spread evenly but not in step with anything, the same every time.
fn sample(all: u64, count: usize) -> Vec<u64> {
    if all <= count as u64 {
        return (0..all).collect();
    }
    let spread = |n: u64| {
        let width = all / count as u64;
        let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        n * width + (mixed >> 32) % width.max(1)
    };
    (0..count as u64).map(spread).collect()
}

#[test]
fn a_write_ahead_log_cut_at_any_byte_loses_nothing_silently() {
    let killed = Killed::new();
    // Every log that is needed, cut in its own bytes and a little after.
    let mut cuts: Vec<(usize, u64)> = Vec::new();
    for (at, (_, own)) in killed.logs.iter().enumerate() {
        let each = cases() / killed.logs.len();
        cuts.extend(sample(own + 50, each).into_iter().map(|cut| (at, cut)));
    }
    let case = |number: usize| {
        let (log, cut) = cuts[number];
        let file = killed.logs[log].0.clone();
        let mut bytes = killed.bytes_of(&file);
        bytes.truncate(cut as usize);
        (file, Some(bytes), format!("cut after {cut} bytes"))
    };
    // Now and then the loss is accepted: then the state is that of a batch that was acknowledged.
    let accepted = |copy: &TempDir, number: usize| {
        if !number.is_multiple_of(8) {
            return Ok(());
        }
        let Err(OpenError::LogEndsEarly { log_end, .. }) = open(copy.path(), None) else {
            return Ok(());
        };
        let log = open(copy.path(), Some(log_end)).map_err(|e| format!("accepted, but {e}"))?;
        let loaded = load(&log).map_err(|e| format!("accepted, but {e}"))?;
        match killed.states.get(&log_end) {
            Some(state) if *state == state_digest(&loaded.state) => Ok(()),
            None if log_end == 0 => Ok(()),
            _ => Err(format!(
                "after accepting the loss after {log_end}: no state that ever was"
            )),
        }
    };
    run("write-ahead logs cut", &killed, cuts.len(), case, accepted);
}

#[test]
fn a_flipped_bit_in_any_file_is_harmless_or_named() {
    let killed = Killed::new();
    let files: Vec<_> = killed
        .files
        .iter()
        .filter(|file| !killed.bytes_of(file).is_empty())
        .collect();
    let each = (cases() / files.len()).max(1);
    let mut flips: Vec<(&PathBuf, u64)> = Vec::new();
    for file in files {
        let bits = killed.bytes_of(file).len() as u64 * 8;
        flips.extend(sample(bits, each).into_iter().map(|bit| (file, bit)));
    }
    let case = |number: usize| {
        let (file, bit) = flips[number];
        let mut bytes = killed.bytes_of(file);
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        (file.clone(), Some(bytes), format!("bit {bit} flipped"))
    };
    run("bits flipped", &killed, flips.len(), case, |_, _| Ok(()));
}

#[test]
fn a_file_that_is_missing_cut_or_has_a_hole_of_zeros_is_harmless_or_named() {
    let killed = Killed::new();
    // Two kinds, and half as many cases as elsewhere; but the list of files is where a cut is hardest to see.
    let each = (cases() / 4 / killed.files.len()).max(1);
    let mut damages: Vec<(&PathBuf, Damage)> = Vec::new();
    for file in &killed.files {
        let length = killed.bytes_of(file).len() as u64;
        let cuts = if kind(file) == "MANIFEST" {
            cases() / 4
        } else {
            each
        };
        damages.push((file, Damage::Missing));
        let cuts = sample(length, cuts).into_iter().map(Damage::Cut);
        let holes = sample(length, each).into_iter().map(Damage::Hole);
        damages.extend(cuts.chain(holes).map(|damage| (file, damage)));
    }
    let case = |number: usize| {
        let (file, damage) = damages[number];
        let bytes = damage.of(killed.bytes_of(file));
        (file.clone(), bytes, format!("{damage:?}"))
    };
    run(
        "files missing, cut, zeroed",
        &killed,
        damages.len(),
        case,
        |_, _| Ok(()),
    );
}

/// Coarse damage.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Missing,
    /// Only so many bytes are left.
    Cut(u64),
    /// From here on a sector reads as zeros: what a file system shows for a block that was never written.
    Hole(u64),
}

impl Damage {
    /// What is left of a file; `None` where nothing is.
    fn of(self, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Damage::Missing => return None,
            Damage::Cut(at) => bytes.truncate(at as usize),
            Damage::Hole(at) => {
                let end = bytes.len().min(at as usize + 512);
                bytes[at as usize..end].fill(0);
            }
        }
        Some(bytes)
    }
}

#[test]
fn the_directory_itself_recovers() {
    let killed = Killed::new();
    let file = killed.logs[0].0.clone();
    let copy = killed.copy_with(&file, Some(&killed.bytes_of(&file)));
    assert_eq!(start(&killed, &copy), Ok("recovered".to_owned()));
}
