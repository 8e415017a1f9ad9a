//! A request id is answered once: the same id and payload get the first answer, whether the first is decided already, on
//! its way to the disk, still queued behind others, or from before a crash; and it is forgotten only after its window.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::Poll;

use geo::Point;
use smallvec::smallvec;
use tillside_engine::catalog::{Product, Store, StoreState};
use tillside_engine::command::{
    Adjustment, Candidate, Command, Ingest, IngestPayload, ProductDraft, Reserve, WantedLine,
};
use tillside_engine::decide::Rules;
use tillside_engine::ids::{BusinessKey, RequestKey, Sequence, SkuId, StoreId};
use tillside_engine::invariants::violations;
use tillside_engine::limits::{REQUEST_WINDOW_MS, REQUEST_WINDOW_STEP_MS};
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::state::{State, lock};
use tillside_engine::units::{Time, Unit};
use tillside_server::clock::Clock;
use tillside_server::sequencer::{
    Answer, Core, RequestStamp, SequencerHandle, SequencerOptions, Submission, SubmitError, start,
};
use tillside_store::faulty::{Fault, FaultyDisk, FaultyLog};
use tillside_store::log::Records;
use tillside_store::replay::replay;
use tillside_store::{Batch, Log, LogError, LogRecord, Position, StoreError, load, state_digest};

const NOW: Time = Time(1_700_000_000_000);
const SKU: SkuId = SkuId(0);
const STORE: StoreId = StoreId(0);

fn stamp(id: u128) -> Option<RequestStamp> {
    // Keys are hashes: spread like them.
    let key = RequestKey(id.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    Some(RequestStamp {
        key,
        payload_hash: 7,
    })
}

fn catalog() -> [Command; 2] {
    let store = Store {
        store_id: "S".into(),
        display_name: "".into(),
        location: Point::new(9.0, 45.0),
        time_zone: jiff::tz::TimeZone::UTC,
        opening: Vec::new(),
        state: StoreState::Open,
        town: "".into(),
        province: "".into(),
        travel_zone: "".into(),
        country: "IT".into(),
        patience: Default::default(),
        version: Sequence(0),
        location_terms: Default::default(),
    };
    let product = Product {
        sku: "P".into(),
        display_name: "".into(),
        category: None,
        brand: "".into(),
        unit: Unit::Each,
        gtins: Vec::new(),
        plu: "".into(),
        list_price: None,
        vat_rate_basis_points: 0,
        promotion_restricted: false,
        version: Sequence(0),
    };
    let draft = ProductDraft {
        product,
        category_path: "C".into(),
    };
    [
        Command::PutStores(vec![store]),
        Command::PutProducts(vec![draft]),
    ]
}

fn one_more() -> Command {
    Command::AdjustStock(movement())
}

fn movement() -> Adjustment {
    Adjustment {
        sku: "P".into(),
        store_id: "S".into(),
        delta: 1000,
        unit: None,
        reason: Default::default(),
        occurred: None,
    }
}

fn reserve(order: &str) -> Command {
    Command::Reserve(Reserve {
        order_id: order.into(),
        lines: vec![WantedLine {
            line_id: "1".into(),
            sku: SKU,
            quantity: 1000,
        }],
        candidates: vec![Candidate {
            near_time: false,
            store: STORE,
            distance_mm: 0,
            method: Default::default(),
        }]
        .into_iter()
        .collect(),
        hold_ms: 60_000,
        checkout_revision: None,
        sought: None,
        slot_start: None,
        otherwise: Default::default(),
        parts: Vec::new(),
    })
}

fn submission(id: u128, command: Command) -> Submission {
    Submission {
        command,
        request: stamp(id),
        deadline: None,
    }
}

/// A core over what the disk has.
fn core(disk: &FaultyDisk) -> Core {
    let log = FaultyLog::open(disk, None).expect("a sound disk");
    let state = load(&log).expect("sound tables").state;
    assert_eq!(violations(&state), Vec::<String>::new());
    Core::new(Arc::new(state), Rules::default(), Box::new(log))
}

/// The same with a store and a product.
fn shop(disk: &FaultyDisk) -> Core {
    let mut core = core(disk);
    for command in catalog() {
        core.submit(&Submission::plain(command), NOW)
            .expect("a catalog");
    }
    core.commit().expect("a disk");
    core
}

fn on_hand(state: &State) -> i64 {
    state.level(SKU, STORE).on_hand
}

#[test]
fn a_repeat_gets_the_first_answer_in_the_same_batch_after_it_and_after_a_crash() {
    let disk = FaultyDisk::default();
    let mut core = shop(&disk);
    let first = core.submit(&submission(1, one_more()), NOW);
    assert!(first.is_ok(), "{first:?}");
    for n in 2..200 {
        core.submit(&submission(n, one_more()), NOW)
            .expect("another");
    }
    assert_eq!(
        core.submit(&submission(1, one_more()), NOW),
        first,
        "in the batch"
    );
    core.commit().expect("a disk");
    let later = NOW.plus_ms(3_600_000);
    assert_eq!(
        core.submit(&submission(1, one_more()), later),
        first,
        "after it"
    );
    assert_eq!(core.batch_records(), 0, "nothing was done again");
    drop(core);
    disk.crash(0, true);
    let mut core = self::core(&disk);
    assert_eq!(
        core.submit(&submission(1, one_more()), later),
        first,
        "after a crash"
    );
    let mut other = submission(1, one_more());
    other.request = stamp(1).map(|stamp| RequestStamp {
        payload_hash: 8,
        ..stamp
    });
    assert_eq!(core.submit(&other, later), Err(Rejection::RequestIdReused));
    assert_eq!(on_hand(core.state()), 199_000);
}

#[test]
fn a_refusal_is_not_remembered_so_a_repeat_is_decided_by_itself() {
    let disk = FaultyDisk::default();
    let mut core = shop(&disk);
    let reserve = || submission(1, reserve("order"));
    // Both in one batch, then stock comes, still in the same batch.
    for _ in 0..2 {
        let refused = core.submit(&reserve(), NOW);
        assert!(refused.is_err(), "{refused:?}");
    }
    core.submit(&submission(2, one_more()), NOW).expect("stock");
    let held = core.submit(&reserve(), NOW);
    assert!(
        matches!(&held, Ok(answer) if matches!(answer.reply, Reply::Reservation(_))),
        "{held:?}"
    );
    assert_eq!(core.submit(&reserve(), NOW), held, "from now on it is");
    core.commit().expect("a disk");
    assert_eq!(core.submit(&reserve(), NOW), held);
}

#[test]
fn an_id_is_remembered_for_its_window_and_the_window_is_the_same_after_a_crash_and_in_a_replay() {
    let disk = FaultyDisk::default();
    let mut core = shop(&disk);
    let minutes = |n: i64| NOW.plus_ms(n * 60_000);
    let window_minutes = REQUEST_WINDOW_MS / 60_000;
    let mut first = Vec::new();
    for n in 0..20 {
        let answer = core.submit(&submission(n as u128, one_more()), minutes(n));
        first.push(answer.expect("a movement"));
        core.commit().expect("a disk");
    }
    // A day after the first ones, to the minute: all are remembered.
    let mut at = window_minutes;
    for (n, answer) in first.iter().enumerate() {
        let again = core.submit(&submission(n as u128, one_more()), minutes(at));
        assert_eq!(again.as_ref(), Ok(answer), "{n}");
    }
    assert_eq!(core.batch_records(), 0);
    // Other requests go on, and the window follows them a step behind at most.
    let mut moved = 0;
    for n in 0..60 {
        at = window_minutes + n / 4;
        let before = lock(&core.state().requests).start();
        core.submit(&submission(1000 + n as u128, one_more()), minutes(at))
            .expect("a movement");
        core.commit().expect("a disk");
        let requests = lock(&core.state().requests);
        moved += u32::from(requests.start() != before);
        let oldest = requests.oldest().expect("there are some").time;
        let age = minutes(at).0 - oldest.0;
        assert!(age <= REQUEST_WINDOW_MS + REQUEST_WINDOW_STEP_MS, "{age}");
    }
    assert!(
        (5..=15).contains(&moved),
        "in steps, not with every request: {moved}"
    );
    let start = lock(&core.state().requests).start();
    assert!(start > first[10].sequence, "{start:?}");
    let digest = state_digest(core.state());
    drop(core);
    disk.crash(0, true);

    let log = FaultyLog::open(&disk, None).expect("a sound disk");
    assert_eq!(
        state_digest(&replay(&log).expect("a whole log")),
        digest,
        "replayed"
    );
    drop(log);
    let mut core = self::core(&disk);
    assert_eq!(state_digest(core.state()), digest, "loaded");
    assert_eq!(lock(&core.state().requests).start(), start);
    let kept = first.iter().position(|answer| answer.sequence >= start);
    let kept = kept.expect("some of the first are remembered");
    let again = core.submit(&submission(kept as u128, one_more()), minutes(at));
    assert_eq!(again.as_ref(), Ok(&first[kept]));
    let forgotten = core.submit(&submission(kept as u128 - 1, one_more()), minutes(at));
    assert!(
        forgotten.is_ok_and(|answer| answer.sequence > first[19].sequence),
        "a forgotten id is a new one"
    );
}

#[test]
fn what_the_window_left_behind_is_given_back_and_not_missed() {
    let disk = FaultyDisk::default();
    let mut core = shop(&disk);
    let later = NOW.plus_ms(2 * REQUEST_WINDOW_MS);
    core.submit(&submission(1, one_more()), NOW).expect("one");
    core.submit(&submission(2, one_more()), later).expect("two");
    core.upkeep()
        .expect("nothing is given back before a commit");
    core.commit().expect("a disk");
    core.upkeep().expect("a disk");
    assert_eq!(lock(&core.state().requests).len(), 1);
    let digest = state_digest(core.state());
    drop(core);
    assert_eq!(state_digest(self::core(&disk).state()), digest);
}

/// A disk that takes a batch when it is told to: what is decided meanwhile is not durable.
struct Gated {
    log: FaultyLog,
    /// Told at each append.
    reached: mpsc::Sender<()>,
    /// Waits for it before it goes on.
    go_on: mpsc::Receiver<()>,
}

impl Log for Gated {
    fn append(&mut self, batch: &Batch) -> Result<(), LogError> {
        // The test that ends early has dropped its side; then nothing is held back.
        let _ = self.reached.send(());
        let _ = self.go_on.recv();
        self.log.append(batch)
    }

    fn read(&self, sequence: Sequence) -> Result<Option<LogRecord>, StoreError> {
        self.log.read(sequence)
    }

    fn iterate(&self, from: Sequence) -> Records<'_> {
        self.log.iterate(from)
    }

    fn head(&self) -> Position {
        self.log.head()
    }

    fn position(&self) -> Position {
        self.log.position()
    }
}

struct Held {
    handle: SequencerHandle,
    thread: tillside_server::sequencer::SequencerThread,
    reached: mpsc::Receiver<()>,
    go_on: mpsc::Sender<()>,
}

/// A sequencer whose appends wait for the test.
fn held(disk: &FaultyDisk) -> Held {
    drop(shop(disk));
    let log = FaultyLog::open(disk, None).expect("a sound disk");
    let state = Arc::new(load(&log).expect("sound tables").state);
    let (reached_sender, reached) = mpsc::channel();
    let (go_on, go_on_receiver) = mpsc::channel();
    let log = Gated {
        log,
        reached: reached_sender,
        go_on: go_on_receiver,
    };
    let options = SequencerOptions::default();
    let (handle, thread) =
        start(state, Box::new(log), Clock::simulated(NOW), options).expect("a thread");
    Held {
        handle,
        thread,
        reached,
        go_on,
    }
}

/// Polls once.
async fn is_pending(mut future: Pin<&mut impl Future>) -> bool {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

type Answers = Vec<Result<Answer, SubmitError>>;

/// `callers` ask the same on runtimes of their own: one, and when it is on its way to the disk all others; `between` runs
/// when they have.
fn ask_at_once(
    held: &Held,
    callers: usize,
    command: fn() -> Command,
    between: impl FnOnce(),
) -> Answers {
    let (asked_sender, asked) = mpsc::channel();
    let ask = |handle: SequencerHandle, asked: mpsc::Sender<()>| {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let handle = handle.on_this_runtime();
                let mut answer = std::pin::pin!(handle.interactive(submission(1, command())));
                // Polled once, the command is in its lane.
                let waits = is_pending(answer.as_mut()).await;
                let _ = asked.send(());
                assert!(waits, "nothing is answered before it is on disk");
                answer.await
            })
        })
    };
    let mut threads = vec![ask(held.handle.clone(), asked_sender.clone())];
    asked.recv().expect("the first has asked");
    held.reached.recv().expect("and is on its way to the disk");
    threads.extend((1..callers).map(|_| ask(held.handle.clone(), asked_sender.clone())));
    (1..callers).for_each(|_| asked.recv().expect("another has asked"));
    between();
    threads
        .into_iter()
        .map(|thread| thread.join().expect("a caller"))
        .collect()
}

#[test]
fn requests_in_flight_with_the_same_id_have_one_effect_and_one_answer() {
    let disk = FaultyDisk::default();
    let held = held(&disk);
    // One append for the first; the others change nothing, so they need none.
    let answers = ask_at_once(&held, 24, one_more, || held.go_on.send(()).expect("a disk"));
    assert!(answers[0].is_ok(), "{:?}", answers[0]);
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    let Held { thread, go_on, .. } = held;
    drop(go_on);
    thread.stop();
    assert_eq!(on_hand(core(&disk).state()), 1000);
}

#[test]
fn where_the_first_is_lost_with_the_disk_nobody_is_told_of_it_and_a_repeat_does_it() {
    let disk = FaultyDisk::default();
    let held = held(&disk);
    disk.inject_after(0, Fault::FailAppend);
    let answers = ask_at_once(&held, 8, one_more, || held.go_on.send(()).expect("a disk"));
    for answer in &answers {
        assert_eq!(answer, &Err(SubmitError::Unavailable));
    }
    held.thread.stop();
    disk.crash(0, true);
    let mut core = core(&disk);
    assert_eq!(on_hand(core.state()), 0);
    core.submit(&submission(1, one_more()), NOW)
        .expect("done by the repeat");
    assert_eq!(on_hand(core.state()), 1000);
}

#[test]
fn an_event_in_flight_twice_is_taken_once_and_both_are_told_its_sequence() {
    let disk = FaultyDisk::default();
    let held = held(&disk);
    let event = || Ingest {
        keys: smallvec![BusinessKey(5)],
        occurred: None,
        position: None,
        payload: IngestPayload::Adjustment(movement()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let (first, others) = runtime.block_on(async {
        let handle = held.handle.on_this_runtime();
        let mut first = std::pin::pin!(handle.bulk(vec![event()]));
        assert!(is_pending(first.as_mut()).await);
        held.reached.recv().expect("on its way to the disk");
        // Twice in one message, and in two messages; and by the interactive lane's own kind of key once more.
        let mut others = std::pin::pin!(async {
            tokio::join!(
                handle.bulk(vec![event(), event()]),
                handle.bulk(vec![event()])
            )
        });
        assert!(is_pending(others.as_mut()).await);
        held.go_on.send(()).expect("a disk");
        (first.await, others.await)
    });
    let first = first.expect("an answer");
    let Ok(taken) = &first[0] else {
        panic!("{first:?}");
    };
    assert!(matches!(taken.reply, Reply::Ingested { .. }), "{taken:?}");
    let (two, one) = others;
    let duplicate = Reply::Duplicate {
        first: taken.sequence,
    };
    for answer in two.expect("answers").iter().chain(&one.expect("an answer")) {
        assert_eq!(answer.as_ref().map(|a| &a.reply), Ok(&duplicate));
    }
    let Held { thread, go_on, .. } = held;
    drop(go_on);
    thread.stop();
    assert_eq!(on_hand(core(&disk).state()), 1000);
}
