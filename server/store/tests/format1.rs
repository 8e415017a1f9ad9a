//! What a server of format 1 left behind opens here as the state it said it had. See `format1/README.md`.

use std::fs::File;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use prost::Message;
use tempfile::TempDir;
use tillside_engine::ids::Sequence;
use tillside_engine::invariants::violations;
use tillside_engine::state::lock;
use tillside_store::replay::replay;
use tillside_store::{
    FORMAT_VERSION, Log as _, OpenError, OpenOptions, RocksLog, Table, Tables, load, state_digest,
};

const VARIANTS: [&str; 2] = ["killed.tar.gz", "stopped.tar.gz"];

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format1")
}

fn unpacked(name: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = File::open(kept().join(name)).expect("a directory of format 1");
    tar::Archive::new(GzDecoder::new(file))
        .unpack(folder.path())
        .expect("a packed directory");
    let data = folder.path().join("data");
    (folder, data)
}

fn open(data: &Path) -> Result<RocksLog, OpenError> {
    RocksLog::open(data, OpenOptions::default())
}

/// What `expected.txt` says after `name = `.
fn expected(name: &str) -> String {
    let text = std::fs::read_to_string(kept().join("expected.txt")).expect("a text file");
    let mut lines = text.lines().filter_map(|line| line.split_once(" = "));
    let (_, value) = lines.find(|(n, _)| *n == name).expect("the line is there");
    value.to_owned()
}

/// The counters of format 1, and no others.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Counters {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(sint64, tag = "2")]
    now_ms: i64,
    #[prost(uint64, tag = "3")]
    next_customer: u64,
    #[prost(uint64, tag = "4")]
    next_reservation: u64,
    #[prost(uint64, tag = "5")]
    transactions: u64,
    #[prost(uint64, tag = "6")]
    provisional: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Meta {
    #[prost(message, optional, tag = "1")]
    counters: Option<Counters>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Answered {
    #[prost(fixed64, tag = "1")]
    key_high: u64,
    #[prost(fixed64, tag = "2")]
    key_low: u64,
    #[prost(fixed64, tag = "3")]
    payload_hash: u64,
    #[prost(sint64, tag = "4")]
    time_ms: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct AnsweredByKey {
    #[prost(fixed64, tag = "1")]
    payload_hash: u64,
    #[prost(uint64, tag = "2")]
    sequence: u64,
    #[prost(sint64, tag = "3")]
    time_ms: i64,
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn rows(tables: &impl Tables, table: Table) -> Rows {
    let mut cursor = tables.cursor(table, &[], None).expect("a table");
    let mut rows = Rows::new();
    while let Some((key, value)) = cursor.next().expect("a row") {
        rows.push((key.to_vec(), value.to_vec()));
    }
    rows
}

/// A value between its format byte and its checksum.
fn payload(value: &[u8]) -> &[u8] {
    &value[1..value.len() - 4]
}

/// The table of answered requests as format 1 had it, from the one that there is now.
fn requests_by_key(tables: &impl Tables) -> Rows {
    let by_key = |(key, value): (Vec<u8>, Vec<u8>)| {
        let answered = Answered::decode(payload(&value)).expect("a record");
        let sequence = u64::from_be_bytes(key.try_into().expect("eight bytes"));
        let record = AnsweredByKey {
            payload_hash: answered.payload_hash,
            sequence,
            time_ms: answered.time_ms,
        };
        let key = [answered.key_high, answered.key_low]
            .map(u64::to_be_bytes)
            .concat();
        let mut value = vec![1];
        value.extend(record.encode_to_vec());
        let covered = [&[Table::Requests.number()], &key[..], &value].concat();
        value.extend(crc32c::crc32c(&covered).to_le_bytes());
        (key, value)
    };
    let mut rows: Rows = rows(tables, Table::AnsweredRequests)
        .into_iter()
        .map(by_key)
        .collect();
    rows.sort();
    rows
}

/// The digest as format 1 computed it. Written anew here: it must not change with the code.
fn digest_of_format_1(tables: &impl Tables) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut table = |number: u8, rows: &Rows| {
        hasher.update(&[number]);
        for (key, value) in rows {
            for part in [key, value] {
                hasher.update(&(part.len() as u32).to_le_bytes());
                hasher.update(part);
            }
        }
        hasher.update(&(rows.len() as u64).to_le_bytes());
    };
    let meta = rows(tables, Table::Meta);
    let (_, meta) = meta.iter().find(|(key, _)| key == b"state").expect("a row");
    let meta = Meta::decode(payload(meta)).expect("the counters row");
    let counters = meta.counters.expect("counters").encode_to_vec();
    table(Table::Meta.number(), &vec![(Vec::new(), counters)]);
    for number in 3..=17 {
        let rows = if number == Table::Requests.number() {
            requests_by_key(tables)
        } else {
            let of_number = |table: &&Table| table.number() == number;
            rows(tables, *Table::ALL.iter().find(of_number).expect("a table"))
        };
        assert!(!rows.is_empty(), "table {number} of the kept directory");
        table(number, &rows);
    }
    hasher.finalize().to_hex().to_string()
}

#[test]
fn a_directory_of_format_1_opens_as_the_state_it_was() {
    for name in VARIANTS {
        let (_folder, data) = unpacked(name);
        let log = open(&data).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(log.was_migrated(), "{name}");
        assert_eq!(log.last_sequence().0.to_string(), expected("sequence"));
        assert_eq!(digest_of_format_1(&log), expected("state_digest"), "{name}");
        let state = load(&log).expect("tables that load").state;
        assert_eq!(violations(&state), Vec::<String>::new(), "{name}");
        let replayed = replay(&log).expect("a log from its beginning");
        assert_eq!(
            state_digest(&replayed),
            state_digest(&state),
            "{name}: events of format 1 still say the same"
        );
        let remembered = lock(&state.requests).len();
        drop(log);

        let log = open(&data).expect("the present format");
        assert!(!log.was_migrated(), "{name}: once is enough");
        let again = load(&log).expect("tables that load").state;
        assert_eq!(state_digest(&again), state_digest(&state), "{name}");
        assert_eq!(lock(&again.requests).len(), remembered, "{name}");
        assert_eq!(lock(&again.requests).start(), Sequence(0), "{name}");
    }
}

/// A server of format 1 then says: `the data directory … has the format "tillside data directory, format 2"; this version
/// reads format 1: start the version that wrote it, or a later one`.
#[test]
fn an_opened_directory_says_its_new_format_to_older_servers() {
    let (_folder, data) = unpacked(VARIANTS[0]);
    drop(open(&data).expect("a directory of format 1"));
    let format = std::fs::read_to_string(data.join("FORMAT")).expect("a text file");
    assert_eq!(
        format,
        format!("tillside data directory, format {FORMAT_VERSION}\n")
    );
}

#[test]
fn a_damaged_directory_of_format_1_is_refused_as_it_is() {
    let (_folder, data) = unpacked(VARIANTS[0]);
    std::fs::remove_file(data.join("acknowledged")).expect("the mark");
    let refused = open(&data).map(drop);
    assert!(
        matches!(refused, Err(OpenError::MarkUnusable { .. })),
        "{refused:?}"
    );
    let format = std::fs::read_to_string(data.join("FORMAT")).expect("a text file");
    assert_eq!(format, "tillside data directory, format 1\n", "untouched");
}
