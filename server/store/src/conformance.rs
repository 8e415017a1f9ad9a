//! What every log must do, whatever it is made of: one suite, run against each implementation. `damage` is what it must
//! do where the medium did not keep what was written.

mod damage;

use std::sync::Arc;

use tillside_engine::apply::{Touched, apply};
use tillside_engine::ctx::Ctx;
use tillside_engine::customer::{Personal, Relation};
use tillside_engine::event::Event;
use tillside_engine::ids::{CellKey, CustomerId, RequestKey, Sequence, SkuId, StoreId};
use tillside_engine::reply::Reply;
use tillside_engine::reservation::Checkout;
use tillside_engine::sale::{ItemRef, Sale, SaleKind, SaleLine, StoreRef};
use tillside_engine::state::{State, lock};
use tillside_engine::stock::MoveReason;
use tillside_engine::units::{Currency, Money, Time};

use crate::audit::audit;
use crate::batch::BatchBuilder;
use crate::digest::of_tables;
use crate::error::{LogError, OpenError, StoreError};
use crate::load::load;
use crate::log::{Log, LogRecord, Position};
use crate::replay::replay;
use crate::retention::{Foldable, first_kept, fold_before};
use crate::state_digest;
use crate::table::{Table, Tables};

/// A place for a log, empty at first, that outlives the logs opened in it.
pub trait Place {
    /// The log.
    type Log: Foldable + Tables + Sync;

    /// Opens it.
    ///
    /// # Errors
    /// As the implementation has them.
    fn open(&self) -> Result<Self::Log, OpenError> {
        self.open_with(None)
    }

    /// Opens it, and accepts that what was acknowledged after a sequence is lost.
    ///
    /// # Errors
    /// As the implementation has them.
    fn open_accepting(&self, after: u64) -> Result<Self::Log, OpenError> {
        self.open_with(Some(after))
    }

    /// One of the two above.
    ///
    /// # Errors
    /// As the implementation has them.
    fn open_with(&self, accept_loss_after: Option<u64>) -> Result<Self::Log, OpenError>;

    /// The digest of what is on disk, where the implementation can give it; the default reads the tables.
    fn digest(&self, log: &Self::Log) -> String {
        of_tables(log).expect("tables of a test can be read").hex
    }

    /// A row as it is stored. Nobody has the place open meanwhile; so below.
    fn row(&self, table: Table, key: &[u8]) -> Option<Vec<u8>>;

    /// Puts a row, or removes it, behind the log's back.
    fn put_row(&self, table: Table, key: &[u8], value: Option<Vec<u8>>);

    /// From now on a read of stored rows gets fewer bytes than were written.
    fn shorten_reads(&self);
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
    folds_its_oldest_records_into_openings(&place());
    a_fold_that_is_cut_short_is_taken_up_again(&place());
    damage::check(&place);
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
            vec![
                Event::CheckoutForgotten {
                    checkout_id: Arc::from("c-1"),
                },
                answered(3),
                Event::RequestWindowMoved {
                    before: Sequence(self.sequence + 1),
                },
            ],
            Some(Reply::Done),
        );
        self.append(log).expect("the third batch");
    }

    /// A customer and `cells` counted products, then `sales` receipts of one of them each, one batch a command.
    fn ledger(&mut self, log: &mut impl Log, cells: u32, sales: u32) {
        let counts = (0..cells).map(|sku| Event::StockCounted {
            sku: SkuId(sku),
            store: StoreId(1),
            on_hand: 10_000,
            safety: None,
            as_of: Time(1),
        });
        let customer = Event::CustomerPut {
            id: CustomerId(1),
            personal: Some(Arc::new(Personal::default())),
            relation: Arc::new(Relation::default()),
            identifiers: Vec::new(),
            created: true,
        };
        self.command(counts.chain([customer]).collect(), None);
        self.append(log).expect("the counts");
        for n in 0..sales {
            let cell = (SkuId(n % cells), StoreId(1));
            let damaged = Event::StockMoved {
                sku: cell.0,
                store: cell.1,
                delta: 0,
                damaged: 1_000,
                occurred: Time(2),
                reason: MoveReason::Correction,
            };
            let sale = Event::SaleRecorded {
                sale: Arc::new(sale(cell, CustomerId(1), i64::from(n) + 1)),
            };
            self.command(vec![damaged, sale], None);
            self.append(log).expect("a sale");
        }
    }

    /// Everything adds up, and the log is whole from `first` on.
    fn expect_folded(&self, log: &(impl Log + Tables), first: u64) {
        let audit = audit(log).expect("a log that can be read");
        assert_eq!(audit.violations, [], "both ledgers add up");
        assert_eq!(audit.first, Sequence(first));
        assert_eq!(audit.records, self.sequence + 1 - first);
        assert_eq!(log.head().sequence.0 + 1, first);
        let kept: Vec<_> = log
            .iterate(Sequence(0))
            .map(|r| r.expect("a record").sequence.0)
            .collect();
        assert_eq!(kept, (first..=self.sequence).collect::<Vec<_>>());
        for sequence in 1..=self.sequence {
            let record = log
                .read(Sequence(sequence))
                .expect("a log that can be read");
            assert_eq!(record.is_some(), sequence >= first, "record {sequence}");
        }
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

fn sale(cell: (SkuId, StoreId), customer: CustomerId, points: i64) -> Sale {
    let line = SaleLine {
        item: ItemRef::Known(cell.0),
        quantity: 1_000,
        net: Money {
            currency: Currency::EUR,
            minor: 100,
        },
        stock_delta: -1_000,
        settles: None,
        offer_ids: Default::default(),
    };
    Sale {
        kind: SaleKind::Sale,
        store: StoreRef::Known(cell.1),
        workstation: "".into(),
        business_day: "".into(),
        number: 1,
        time: Time(2),
        customer: Some(customer),
        points,
        lines: vec![line],
        tenders: Vec::new(),
        fiscal_document: "".into(),
        fiscal_device: "".into(),
        operator: "".into(),
        offline: false,
        training: false,
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
    let remembered = lock(&loaded.state.requests).oldest();
    assert_eq!(
        remembered.map(|request| (request.key, request.sequence)),
        Some((RequestKey(3), Sequence(writer.sequence))),
        "all others are forgotten"
    );
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

fn folds_its_oldest_records_into_openings(place: &impl Place) {
    let mut log = open(place);
    let mut writer = Writer::new();
    writer.ledger(&mut log, 3, 9);
    writer.expect_folded(&log, 1);
    let digest = place.digest(&log);
    let folder = log.folder();
    let folded = fold_before(&*folder, Sequence(5), &mut || true).expect("a healthy log");
    assert_eq!((folded.records, folded.complete), (4, true));
    writer.expect_folded(&log, 5);
    assert_eq!(place.digest(&log), digest, "folding is no change of state");
    assert!(
        matches!(replay(&log), Err(StoreError::HeadFolded { first: 5 })),
        "a replay says why it cannot be"
    );
    writer.ledger(&mut log, 4, 3);
    let again = fold_before(&*folder, Sequence(5), &mut || true).expect("a healthy log");
    assert_eq!((again.records, again.complete), (0, true), "nothing to do");
    drop((log, folder));
    let log = open(place);
    writer.expect_folded(&log, 5);
    // The last record always stays: what comes next follows it.
    let folder = log.folder();
    fold_before(&*folder, Sequence(u64::MAX), &mut || true).expect("a healthy log");
    writer.expect_folded(&log, writer.sequence);
    drop((log, folder));
    let mut log = open(place);
    writer.expect_folded(&log, writer.sequence);
    let first = writer.sequence;
    writer.ledger(&mut log, 2, 2);
    writer.expect_folded(&log, first);
    let loaded = load(&log).expect("tables at the log's end");
    assert_eq!(state_digest(&loaded.state), state_digest(&writer.state));
    assert_eq!(
        first_kept(&*log.folder(), Time(i64::MAX), 0).expect("a log that can be read"),
        None,
        "the records at the end stay, however old"
    );
}

/// Ends between two writes of openings: some say more than others, and the head has not moved.
fn a_fold_that_is_cut_short_is_taken_up_again(place: &impl Place) {
    let mut log = open(place);
    let mut writer = Writer::new();
    writer.ledger(&mut log, 600, 9);
    for steps in 0..4 {
        let mut left = steps;
        let mut go_on = || {
            left -= 1;
            left >= 0
        };
        let folded = fold_before(&*log.folder(), Sequence(8), &mut go_on).expect("a healthy log");
        assert_eq!(folded.complete, steps == 3, "{steps} steps");
        writer.expect_folded(&log, if steps == 3 { 8 } else { 1 });
        drop(log);
        log = open(place);
        writer.expect_folded(&log, if steps == 3 { 8 } else { 1 });
        writer.ledger(&mut log, 2, 1);
    }
}
