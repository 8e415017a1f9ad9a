//! What every log must do, whatever it is made of: one suite, run against each implementation.

use std::sync::Arc;

use tillside_engine::apply::{Touched, apply};
use tillside_engine::ctx::Ctx;
use tillside_engine::event::Event;
use tillside_engine::ids::{CellKey, RequestKey, Sequence, SkuId, StoreId};
use tillside_engine::reply::Reply;
use tillside_engine::reservation::Checkout;
use tillside_engine::state::State;
use tillside_engine::units::Time;

use crate::batch::BatchBuilder;
use crate::digest::of_tables;
use crate::error::{LogError, OpenError};
use crate::load::load;
use crate::log::{Log, LogRecord, Position};
use crate::replay::replay;
use crate::state_digest;
use crate::table::{Table, Tables};

/// A place for a log, empty at first, that outlives the logs opened in it.
pub trait Place {
    /// The log.
    type Log: Log + Tables + Sync;

    /// Opens it.
    ///
    /// # Errors
    /// As the implementation has them.
    fn open(&self) -> Result<Self::Log, OpenError>;

    /// The digest of what is on disk, where the implementation can give it; the default reads the tables.
    fn digest(&self, log: &Self::Log) -> String {
        of_tables(log).expect("tables of a test can be read").hex
    }
}

/// Runs every check, each in a place of its own.
///
/// # Panics
/// Where the implementation does not conform.
pub fn check<P: Place>(place: impl Fn() -> P) {
    starts_empty(&place());
    reads_back_what_was_appended(&place());
    survives_being_dropped(&place());
    loads_what_was_applied(&place());
    refuses_a_batch_out_of_order(&place());
    is_opened_once(&place());
    an_empty_batch_writes_nothing(&place());
}

/// A state, its builder and the commands so far.
struct Writer {
    state: State,
    builder: BatchBuilder,
    touched: Touched,
    sequence: u64,
    written: Vec<(Sequence, Time, Vec<Event>, Option<Reply>)>,
}

impl Writer {
    fn new() -> Self {
        Writer {
            state: State::default(),
            builder: BatchBuilder::after(Position::default()),
            touched: Touched::default(),
            sequence: 0,
            written: Vec::new(),
        }
    }

    fn command(&mut self, events: Vec<Event>, reply: Option<Reply>) {
        self.sequence += 1;
        let ctx = Ctx {
            seq: Sequence(self.sequence),
            now: Time(1_000 * self.sequence as i64),
        };
        apply(&self.state, &events, &ctx, &mut self.touched);
        self.builder
            .record(ctx.seq, ctx.now, &events, reply.as_ref());
        self.written.push((ctx.seq, ctx.now, events, reply));
    }

    fn append(&mut self, log: &mut impl Log) -> Result<(), LogError> {
        self.builder.rows(&self.state, &self.touched);
        self.touched.clear();
        log.append(self.builder.batch())?;
        self.builder.clear();
        Ok(())
    }

    /// Three batches of several commands, with rows put, replaced and deleted.
    fn story(&mut self, log: &mut impl Log) {
        let count = |sku: u32, on_hand| Event::StockCounted {
            sku: SkuId(sku),
            store: StoreId(3),
            on_hand,
            safety: Some(2),
            as_of: Time(500),
        };
        let checkout = Checkout {
            checkout_id: Arc::from("c-1"),
            revision: 1,
            closed: None,
            reservation: None,
            expire: Time(9_000),
        };
        let answered = |n: u128| Event::RequestAnswered {
            key: RequestKey(n),
            payload_hash: 77,
        };
        self.command(vec![count(1, 10), count(2, -4)], None);
        self.command(
            vec![answered(1)],
            Some(Reply::Duplicate { first: Sequence(1) }),
        );
        self.append(log).expect("the first batch");
        self.command(
            vec![
                count(1, 12),
                Event::CheckoutPut {
                    checkout: Arc::new(checkout),
                },
            ],
            Some(Reply::Done),
        );
        self.append(log).expect("the second batch");
        self.command(
            vec![Event::RequestsForgotten { count: 1 }, answered(2)],
            Some(Reply::Done),
        );
        self.command(
            vec![Event::CheckoutForgotten {
                checkout_id: Arc::from("c-1"),
            }],
            None,
        );
        self.append(log).expect("the third batch");
    }

    fn expect(&self, log: &impl Log) {
        let plain = |r: LogRecord| (r.sequence, r.now, r.events, r.reply);
        let read: Vec<_> = log
            .iterate(Sequence(1))
            .map(|r| plain(r.expect("a record")))
            .collect();
        assert_eq!(read, self.written, "all records, in order");
        for record in &self.written {
            let single = log.read(record.0).expect("a record that can be read");
            assert_eq!(single.map(plain).as_ref(), Some(record), "a single record");
        }
        assert_eq!(log.last_sequence(), Sequence(self.sequence));
        assert_eq!(
            log.position(),
            self.builder.batch().before(),
            "the position is where the last batch ended"
        );
    }
}

fn open<P: Place>(place: &P) -> P::Log {
    place
        .open()
        .unwrap_or_else(|error| panic!("opening: {error}"))
}

fn starts_empty(place: &impl Place) {
    let log = open(place);
    assert_eq!(log.position(), Position::default());
    assert!(log.read(Sequence(1)).expect("an empty log").is_none());
    assert_eq!(log.iterate(Sequence(0)).count(), 0);
    let loaded = load(&log).expect("nothing to load");
    assert_eq!(loaded.rows.values().sum::<u64>(), 0);
    assert_eq!(state_digest(&loaded.state).hex, place.digest(&log));
}

fn reads_back_what_was_appended(place: &impl Place) {
    let mut log = open(place);
    let mut writer = Writer::new();
    writer.story(&mut log);
    writer.expect(&log);
    assert!(
        log.read(Sequence(writer.sequence + 1))
            .expect("after the end")
            .is_none()
    );
    let later: Vec<_> = log
        .iterate(Sequence(3))
        .map(|r| r.expect("a record").sequence.0)
        .collect();
    assert_eq!(
        later,
        (3..=writer.sequence).collect::<Vec<_>>(),
        "from the middle on"
    );
}

fn survives_being_dropped(place: &impl Place) {
    let mut writer = Writer::new();
    writer.story(&mut open(place));
    let mut log = open(place);
    writer.expect(&log);
    writer.story(&mut log);
    drop(log);
    writer.expect(&open(place));
}

fn loads_what_was_applied(place: &impl Place) {
    let mut log = open(place);
    let mut writer = Writer::new();
    writer.story(&mut log);
    drop(log);
    let log = open(place);
    let loaded = load(&log).expect("a log that was closed");
    assert_eq!(loaded.state.counters(), writer.state.counters());
    assert_eq!(loaded.rows.get(&Table::Stock), Some(&2));
    assert_eq!(loaded.state.requests.len(), 1, "the forgotten one is gone");
    assert_eq!(loaded.state.checkouts.len(), 0, "the forgotten one is gone");
    let cell = CellKey::new(SkuId(1), StoreId(3));
    assert_eq!(
        loaded.state.stock.read(cell, |level| level.on_hand),
        Some(12),
        "the last put counts"
    );
    let replayed = replay(&log).expect("a log from the beginning");
    let digest = state_digest(&writer.state).hex;
    assert_eq!(state_digest(&loaded.state).hex, digest, "loaded");
    assert_eq!(state_digest(&replayed).hex, digest, "replayed");
    assert_eq!(place.digest(&log), digest, "on disk");
}

fn refuses_a_batch_out_of_order(place: &impl Place) {
    let mut log = open(place);
    let mut writer = Writer::new();
    writer.story(&mut log);
    let mut stranger = Writer::new();
    stranger.command(Vec::new(), None);
    let refused = stranger.append(&mut log);
    assert!(
        matches!(refused, Err(LogError::OutOfOrder { .. })),
        "{refused:?}"
    );
    writer.story(&mut log);
    writer.expect(&log);
}

fn is_opened_once(place: &impl Place) {
    let log = open(place);
    let second = place.open().map(drop);
    assert!(
        matches!(second, Err(OpenError::DataDirInUse { .. })),
        "{second:?}"
    );
    drop(log);
    drop(open(place));
}

fn an_empty_batch_writes_nothing(place: &impl Place) {
    let mut log = open(place);
    let mut writer = Writer::new();
    log.append(writer.builder.batch()).expect("an empty batch");
    assert_eq!(log.position(), Position::default());
    writer.story(&mut log);
    log.append(writer.builder.batch())
        .expect("an empty batch between");
    log.upkeep().expect("upkeep");
    writer.expect(&log);
}
