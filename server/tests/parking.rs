//! The running sequencer while customers come from a disk that answers when the test says so: what waits, what does not,
//! what is refused, and that nobody waits for ever.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use smallvec::smallvec;
use tillside_engine::command::*;
use tillside_engine::customer::KnownIdentifier;
use tillside_engine::decide::Rules;
use tillside_engine::identity::{Identifier, IdentifierKind};
use tillside_engine::ids::{BusinessKey, CustomerId, ReservationId};
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::sale::SaleKind;
use tillside_engine::units::Time;
use tillside_server::clock::Clock;
use tillside_server::sequencer::{
    self, Core, SequencerHandle, SequencerOptions, SequencerThread, Submission, SubmitError,
};
use tillside_store::faulty::{FaultyDisk, FaultyLog};
use tillside_store::{ProfileRead, Profiles, StoreError, Table, load_within};

/// What the disk does with reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Answer,
    Wait,
    Fail,
    Panic,
}

/// A disk that answers when told to.
struct Slow {
    tables: FaultyDisk,
    mode: Mutex<Mode>,
    changed: Condvar,
}

impl Slow {
    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
        self.changed.notify_all();
    }
}

impl Profiles for Slow {
    fn read(&self, id: CustomerId) -> Result<ProfileRead, StoreError> {
        let mode = self.mode.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |mode: &mut Mode| *mode == Mode::Wait;
        let mode = *self
            .changed
            .wait_while(mode, waits)
            .unwrap_or_else(PoisonError::into_inner);
        match mode {
            Mode::Fail => Err(StoreError::Read {
                table: Table::Personal,
                message: "made up".into(),
            }),
            Mode::Panic => panic!("made up, too"),
            Mode::Answer | Mode::Wait => self.tables.read(id),
        }
    }
}

fn card(n: u64) -> SeenIdentifier {
    let identifier = Identifier {
        kind: IdentifierKind::LoyaltyCard,
        value: format!("card {n}"),
    };
    SeenIdentifier {
        hash: Rules::default().index_key.hash(&identifier),
        known: KnownIdentifier {
            identifier,
            verified: None,
            source: String::new(),
        },
    }
}

fn enrolment(n: u64) -> Command {
    Command::CreateCustomer(CustomerDraft {
        identifiers: vec![card(n)],
        ..CustomerDraft::default()
    })
}

fn sale(key: u128, n: u64) -> Ingest {
    Ingest {
        keys: smallvec![BusinessKey(key)],
        occurred: None,
        position: None,
        payload: IngestPayload::Sale(SaleDraft {
            kind: SaleKind::Sale,
            store_id: "S".into(),
            workstation: "1".into(),
            business_day: "2026-11-23".into(),
            number: 1,
            paid: None,
            lines: Vec::new(),
            identifiers: vec![card(n)],
            tenders: Vec::new(),
            fiscal_document: "".into(),
            fiscal_device: "".into(),
            operator: "".into(),
            offline: false,
            training: false,
        }),
    }
}

struct Running {
    slow: Arc<Slow>,
    handle: SequencerHandle,
    thread: SequencerThread,
    disk: FaultyDisk,
}

const CUSTOMERS: u64 = 5;

/// Customers 1 to 5 exist, and of them only one is in memory: the first.
fn start(parked_max: usize) -> Running {
    let disk = FaultyDisk::default();
    let open = |budget| {
        let log = FaultyLog::open(&disk, None).expect("a sound disk");
        let state = load_within(&log, budget).expect("sound tables").state;
        (Arc::new(state), Box::new(log))
    };
    let (state, log) = open(None);
    let mut core = Core::new(state, Rules::default(), log);
    for n in 1..=CUSTOMERS {
        let enrol = Submission::plain(enrolment(n));
        core.submit(&enrol, Time(1)).expect("enrolled");
    }
    core.commit().expect("written");
    drop(core);
    let (state, log) = open(Some(1));
    assert_eq!(state.customers.len(), 1);
    let slow = Arc::new(Slow {
        tables: disk.tables(),
        mode: Mutex::new(Mode::Answer),
        changed: Condvar::new(),
    });
    let profiles: Arc<dyn Profiles> = slow.clone();
    let options = SequencerOptions {
        parked_max,
        profiles: Some(profiles),
        ..SequencerOptions::default()
    };
    let clock = Clock::simulated(Time(1_000));
    let (handle, thread) = sequencer::start(state, log, clock, options).expect("started");
    Running {
        slow,
        handle,
        thread,
        disk,
    }
}

impl Running {
    /// Until so many commands are parked; each try waits for a command of its own, which needs nobody.
    async fn until_parked(&self, count: usize) {
        while self.handle.residents().map(|(_, _, parked)| parked) != Some(count) {
            self.check_others_go_on().await;
        }
    }

    async fn check_others_go_on(&self) {
        let release = Submission::plain(Command::ReleaseReservation(ReservationId(9)));
        let answer = self.handle.interactive(release).await;
        let unknown = matches!(
            answer,
            Err(SubmitError::Rejected(Rejection::UnknownReservation { .. }))
        );
        assert!(unknown, "{answer:?}");
    }

    fn purchases(&self, n: u64) -> i64 {
        let read = self.disk.tables().read(CustomerId(n)).expect("a customer");
        read.customer.history.purchases
    }

    fn spawn(
        &self,
        submission: Submission,
    ) -> tokio::task::JoinHandle<Result<sequencer::Answer, SubmitError>> {
        let handle = self.handle.clone();
        tokio::spawn(async move { handle.interactive(submission).await })
    }

    fn spawn_bulk(
        &self,
        events: Vec<Ingest>,
    ) -> tokio::task::JoinHandle<Vec<Result<sequencer::Answer, Rejection>>> {
        let handle = self.handle.clone();
        tokio::spawn(async move { handle.bulk(events).await.expect("answered") })
    }
}

#[tokio::test]
async fn a_command_waits_for_its_customer_and_others_do_not() {
    let running = start(1);
    running.slow.set(Mode::Wait);
    let parked = running.spawn(Submission::plain(enrolment(2)));
    running.until_parked(1).await;
    // Room for one to wait: a second one who would have to is told at once; who is in memory is served.
    let refused = running.handle.interactive(Submission::plain(enrolment(3)));
    assert_eq!(refused.await, Err(SubmitError::Overloaded));
    running.check_others_go_on().await;
    let stranger = running.handle.interactive(Submission::plain(enrolment(77)));
    assert!(matches!(
        stranger.await.expect("enrolled").reply,
        Reply::Customer { created: true, .. }
    ));
    running.slow.set(Mode::Answer);
    let answer = parked.await.expect("no panic").expect("answered");
    let same = Reply::Customer {
        id: CustomerId(2),
        created: false,
    };
    assert_eq!(answer.reply, same);
    let next = running.handle.interactive(Submission::plain(enrolment(3)));
    assert!(next.await.is_ok());
    running.thread.stop();
}

#[tokio::test]
async fn events_keep_their_order_while_one_of_them_waits() {
    let running = start(10);
    running.slow.set(Mode::Wait);
    let first = running.spawn_bulk(vec![sale(1, 2), sale(2, 99), sale(3, 2), sale(1, 2)]);
    let second = running.spawn_bulk(vec![sale(4, 2), sale(5, 4)]);
    // The lane waits, the tills do not.
    for _ in 0..20 {
        running.check_others_go_on().await;
    }
    assert!(!first.is_finished() && !second.is_finished());
    running.slow.set(Mode::Answer);
    let answers = [
        first.await.expect("no panic"),
        second.await.expect("no panic"),
    ]
    .concat();
    let answers: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.expect("taken"))
        .collect();
    let sequences: Vec<u64> = answers.iter().map(|a| a.sequence.0).collect();
    assert!(sequences[..3].is_sorted() && sequences[4..].is_sorted());
    assert!(matches!(answers[3].reply, Reply::Duplicate { .. }));
    running.thread.stop();
    let running_purchases = |n| {
        let read = running.disk.tables().read(CustomerId(n));
        read.expect("a customer").customer.history.purchases
    };
    assert_eq!([2, 4].map(running_purchases), [3, 1]);
}

#[tokio::test]
async fn who_cannot_be_read_is_refused_and_nothing_waits_for_ever() {
    let running = start(10);
    for (mode, key) in [(Mode::Fail, 10), (Mode::Panic, 20)] {
        running.slow.set(mode);
        let refused = running.handle.interactive(Submission::plain(enrolment(2)));
        let unreadable = Rejection::ProfileUnreadable;
        assert_eq!(
            refused.await,
            Err(SubmitError::Rejected(unreadable.clone()))
        );
        let events = vec![sale(key, 99), sale(key + 1, 3), sale(key + 2, 99)];
        let answers = running.spawn_bulk(events).await.expect("no panic");
        assert_eq!(answers[1], Err(unreadable.clone()));
        assert_eq!(running.purchases(3), 0);
        running.slow.set(Mode::Answer);
        let again = running.spawn_bulk(vec![sale(key + 1, 3)]);
        assert!(again.await.expect("no panic")[0].is_ok());
        let found = running.purchases(3);
        assert_eq!(found, 1, "{mode:?}");
        // As it was, for the next turn.
        let undo = Ingest {
            payload: match sale(0, 3).payload {
                IngestPayload::Sale(draft) => IngestPayload::Sale(SaleDraft {
                    kind: SaleKind::PostVoid,
                    ..draft
                }),
                other => other,
            },
            ..sale(key + 3, 3)
        };
        assert!(running.spawn_bulk(vec![undo]).await.expect("no panic")[0].is_ok());
    }
    running.thread.stop();
}

#[tokio::test]
async fn a_deadline_that_passes_while_waiting_is_kept() {
    let running = start(10);
    running.slow.set(Mode::Wait);
    let deadline = Instant::now() + Duration::from_millis(50);
    let parked = running.spawn(Submission {
        deadline: Some(deadline),
        ..Submission::plain(enrolment(2))
    });
    // The disk comes back when the deadline is over.
    while Instant::now() <= deadline {
        running.check_others_go_on().await;
    }
    running.slow.set(Mode::Answer);
    let late = SubmitError::Rejected(Rejection::DeadlineExceeded);
    assert_eq!(parked.await.expect("no panic"), Err(late));
    running.thread.stop();
}

#[tokio::test]
async fn what_waits_is_answered_before_the_end() {
    let running = start(10);
    running.slow.set(Mode::Wait);
    let parked = running.spawn(Submission::plain(enrolment(2)));
    running.until_parked(1).await;
    let events = running.spawn_bulk(vec![sale(1, 3)]);
    running.check_others_go_on().await;
    let Running { slow, thread, .. } = running;
    let stopping = tokio::task::spawn_blocking(move || thread.stop());
    slow.set(Mode::Answer);
    assert!(parked.await.expect("no panic").is_ok());
    stopping.await.expect("ended");
    drop(events.await);
}
