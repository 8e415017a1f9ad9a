//! Customers on disk, with the sequencer's logic in explicit steps: a read that comes late or is too old overwrites and hides
//! nothing, whoever is waited for stays, and whatever the order of reads, evictions, failed writes and crashes, a server
//! with room for three customers is the same as one that has them all in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use smallvec::smallvec;
use tillside_engine::command::*;
use tillside_engine::customer::{Customer, KnownIdentifier};
use tillside_engine::decide::Rules;
use tillside_engine::identity::{Identifier, IdentifierKind};
use tillside_engine::ids::*;
use tillside_engine::invariants::violations;
use tillside_engine::reject::Rejection;
use tillside_engine::sale::SaleKind;
use tillside_engine::units::{Currency, Money, Time};
use tillside_server::sequencer::{Answer, Core, Delivery, Load, RequestStamp, Submission, Ticket};
use tillside_store::digest::of_tables;
use tillside_store::faulty::{Fault, FaultyDisk, FaultyLog};
use tillside_store::{
    Profiles as _, StoreError, Table, digest_with_tables, load_within, state_digest,
};

const NOW: Time = Time(1_795_424_400_000);

fn seen(kind: IdentifierKind, value: String) -> SeenIdentifier {
    let identifier = Identifier { kind, value };
    SeenIdentifier {
        hash: Rules::default().index_key.hash(&identifier),
        known: KnownIdentifier {
            identifier,
            verified: None,
            source: String::new(),
        },
    }
}

fn card(n: u64) -> SeenIdentifier {
    seen(IdentifierKind::LoyaltyCard, format!("card {n}"))
}

fn phone(n: u64) -> SeenIdentifier {
    seen(IdentifierKind::Phone, format!("phone {n}"))
}

fn named(n: u64) -> SeenIdentifier {
    seen(IdentifierKind::CustomerId, format!("c-{n}"))
}

fn enrolment(n: u64, town: &str) -> CustomerDraft {
    let mut draft = CustomerDraft {
        customer_id: format!("c-{n}"),
        identifiers: vec![named(n), card(n)],
        ..CustomerDraft::default()
    };
    draft.contacts.town = town.into();
    draft
}

fn event(key: u128, payload: IngestPayload) -> Command {
    Command::Ingest(Box::new(Ingest {
        keys: smallvec![BusinessKey(key)],
        occurred: None,
        position: None,
        payload,
    }))
}

fn sale(key: u128, identifiers: Vec<SeenIdentifier>, minor: i64) -> Command {
    let line = SaleLineDraft {
        item: ItemDraft::Sku("P".into()),
        quantity: Some(1000),
        net: Some(Money {
            currency: Currency::EUR,
            minor,
        }),
        offer_ids: smallvec![],
        reservation: None,
    };
    event(
        key,
        IngestPayload::Sale(SaleDraft {
            kind: SaleKind::Sale,
            store_id: "S".into(),
            workstation: "1".into(),
            business_day: "2026-11-23".into(),
            number: 1,
            paid: None,
            lines: vec![line],
            identifiers,
            tenders: Vec::new(),
            fiscal_document: "".into(),
            fiscal_device: "".into(),
            operator: "".into(),
            offline: false,
            training: false,
        }),
    )
}

fn move_to(n: u64, town: &str) -> Command {
    Command::UpdateCustomer(CustomerChange {
        customer: named(n).hash,
        contacts: ContactsChange {
            town: Some(town.into()),
            ..ContactsChange::default()
        },
        consents: Vec::new(),
        preferred_store_id: None,
        segments: None,
        identifiers: Vec::new(),
        etag: None,
    })
}

/// A server without threads, and its disk.
struct World {
    disk: FaultyDisk,
    core: Core,
}

impl World {
    fn open(disk: FaultyDisk, budget_bytes: Option<u64>) -> Self {
        let log = FaultyLog::open(&disk, None).expect("what was acknowledged is there");
        let loaded = load_within(&log, budget_bytes).expect("sound tables");
        let state = Arc::new(loaded.state);
        assert_eq!(violations(&state), Vec::<String>::new());
        World {
            core: Core::new(state, Rules::default(), Box::new(log)),
            disk,
        }
    }

    /// Customers 1 to `customers` live in Pavia, and none of them is in memory.
    fn with_all_away(customers: u64) -> Self {
        let mut world = World::open(FaultyDisk::default(), Some(0));
        for n in 1..=customers {
            let enrol = Command::CreateCustomer(enrolment(n, "Pavia"));
            world.submit(&enrol).expect("enrolled");
        }
        world.core.commit().expect("written");
        assert!(world.core.state().customers.is_empty());
        assert_eq!(world.core.state().customer_count(), customers);
        world
    }

    fn submit(&mut self, command: &Command) -> Result<Answer, Rejection> {
        let submission = Submission::plain(command.clone());
        assert!(self.core.missing(&submission).is_empty(), "{command:?}");
        self.core.submit(&submission, NOW)
    }

    fn park(&mut self, command: &Command) -> Ticket {
        let missing = self.core.missing(&Submission::plain(command.clone()));
        assert!(!missing.is_empty(), "{command:?}");
        self.core.park(command)
    }

    fn next_load(&mut self) -> Load {
        self.core.next_load().expect("a read is wanted")
    }

    fn read(&self, load: Load) -> Delivery {
        load.read(&self.disk.tables())
    }

    fn is_ready(&mut self, ticket: Ticket) -> bool {
        let ready = self.core.next_ready();
        assert!(ready.is_none_or(|ready| ready.ticket == ticket));
        ready.is_some_and(|ready| ready.readable)
    }

    /// A customer as a reader sees it: from memory, or else from disk.
    fn customer(&self, n: u64) -> Arc<Customer> {
        let id = CustomerId(n);
        self.core.state().customer(id).unwrap_or_else(|| {
            let read = self.disk.tables().read(id);
            read.expect("a customer on disk").customer
        })
    }

    fn check(&self, n: u64, town: &str, purchases: i64) {
        let customer = self.customer(n);
        let found = (
            customer.personal.contacts.town.as_str(),
            customer.history.purchases,
        );
        assert_eq!(found, (town, purchases), "customer {n}");
    }
}

#[test]
fn a_read_from_before_a_change_never_overwrites_or_hides_it() {
    let mut world = World::with_all_away(1);
    let bought = sale(1, vec![card(1)], 500);
    let ticket = world.park(&bought);
    let early = {
        let load = world.next_load();
        world.read(load)
    };
    world.core.deliver(early.clone());
    assert!(world.is_ready(ticket));
    world.submit(&bought).expect("a sale");

    // The same read once more, while the changed customer is in memory and not yet durable.
    world.core.deliver(early.clone());
    world.check(1, "Pavia", 1);
    world.core.commit().expect("written");
    assert!(world.core.state().customers.is_empty(), "evicted");

    // And once more, after the changed customer has left: it does not come back as it was.
    world.core.deliver(early.clone());
    assert!(world.core.state().customers.is_empty(), "nobody asked");
    world.check(1, "Pavia", 1);

    // A reader that answers a new request with what it read long ago.
    let moved = move_to(1, "Lodi");
    let ticket = world.park(&moved);
    let load = world.next_load();
    let stale = Delivery {
        load,
        ..early.clone()
    };
    world.core.deliver(stale);
    assert!(world.core.state().customers.is_empty(), "too old");
    assert!(!world.is_ready(ticket), "it waits on");
    let again = world.next_load();
    assert_ne!(again, load);
    // The first request answered after all: nobody waits for it any more.
    world.core.deliver(world.read(load));
    assert!(!world.is_ready(ticket));
    world.core.deliver(world.read(again));
    assert!(world.is_ready(ticket));
    world.submit(&moved).expect("moved");
    world.check(1, "Lodi", 1);
    world.core.commit().expect("written");
    world.check(1, "Lodi", 1);
    assert!(world.core.next_load().is_none());
    assert_eq!(world.core.loads_open(), 0);
}

#[test]
fn a_hinted_read_on_its_way_is_shared_and_a_late_one_is_dropped() {
    let mut world = World::with_all_away(2);
    world.core.hint(CustomerId(1));
    world.core.hint(CustomerId(1));
    world.core.hint(CustomerId(7));
    let load = world.next_load();
    assert_eq!(
        world.core.next_load(),
        None,
        "once, and nobody who is not there"
    );
    let hinted = world.read(load);
    let bought = sale(1, vec![card(1)], 500);
    let ticket = world.park(&bought);
    assert_eq!(world.core.next_load(), None, "it is on its way");
    world.core.deliver(hinted);
    assert!(world.is_ready(ticket));
    world.submit(&bought).expect("a sale");
    world.core.commit().expect("written");
    world.check(1, "Pavia", 1);
}

#[test]
fn who_is_waited_for_stays_until_the_command_had_its_turn() {
    let mut world = World::with_all_away(3);
    // By no id of the retailer, but two cards: both owners are looked at.
    let mut draft = enrolment(9, "Como");
    draft.identifiers = vec![card(1), card(2)];
    let import = event(5, IngestPayload::Profile(draft));
    let ticket = world.park(&import);
    let loads = [world.next_load(), world.next_load()];
    world.core.deliver(world.read(loads[0]));
    for _ in 0..3 {
        world.core.commit().expect("nothing to write");
        assert_eq!(
            world.core.state().customers.len(),
            1,
            "over budget, but waited for"
        );
    }
    assert!(!world.is_ready(ticket));
    world.core.deliver(world.read(loads[1]));
    assert!(world.is_ready(ticket));
    world.submit(&import).expect("imported");
    world.core.commit().expect("written");
    assert!(world.core.state().customers.is_empty());
    assert_eq!(world.core.residents(), (0, 0));
}

#[test]
fn who_cannot_be_read_is_told_at_once_and_asked_for_anew_later() {
    let mut world = World::with_all_away(2);
    let mut draft = enrolment(9, "Como");
    draft.identifiers = vec![card(1), card(2)];
    let import = event(5, IngestPayload::Profile(draft));
    let ticket = world.park(&import);
    let loads = [world.next_load(), world.next_load()];
    world.core.deliver(Delivery {
        read: Err(StoreError::Read {
            table: Table::Personal,
            message: "made up".into(),
        }),
        ..world.read(loads[0])
    });
    let ready = world.core.next_ready().expect("its turn");
    assert_eq!((ready.ticket, ready.readable), (ticket, false));
    world.core.deliver(world.read(loads[1]));
    assert_eq!(world.core.next_ready(), None, "told once");
    world.core.commit().expect("nothing to write");
    assert!(
        world.core.state().customers.is_empty(),
        "nobody is waited for"
    );
    let ticket = world.park(&import);
    while let Some(load) = world.core.next_load() {
        world.core.deliver(world.read(load));
    }
    assert!(world.is_ready(ticket));
    world.submit(&import).expect("imported");
}

#[test]
fn a_damaged_row_is_an_error_of_that_customer_alone() {
    let mut world = World::with_all_away(2);
    for (table, bit) in [(Table::Personal, 77), (Table::Relations, 13)] {
        let key = 1u64.to_be_bytes();
        world.disk.flip_bit(table, Some(&key), bit);
        let tables = world.disk.tables();
        let error = tables.read(CustomerId(1)).expect_err("damaged").to_string();
        assert!(error.contains(table.name()), "{error}");
        assert!(tables.read(CustomerId(2)).is_ok());
        let ticket = world.park(&sale(1, vec![card(1)], 500));
        let load = world.next_load();
        world.core.deliver(world.read(load));
        let ready = world.core.next_ready().expect("its turn");
        assert_eq!((ready.ticket, ready.readable), (ticket, false));
        world.disk.flip_bit(table, Some(&key), bit);
        assert!(tables.read(CustomerId(1)).is_ok());
    }
    let nobody = world.disk.tables().read(CustomerId(3));
    assert!(nobody.is_err(), "only who exists is asked for");
}

#[test]
fn reads_that_stay_too_old_end_in_a_refusal() {
    let mut world = World::with_all_away(1);
    let early = {
        world.core.hint(CustomerId(1));
        let load = world.next_load();
        world.read(load)
    };
    world.core.deliver(early.clone());
    world.core.commit().expect("nothing to write");
    world.submit(&sale(1, vec![card(5)], 1)).expect("a sale");
    world.core.commit().expect("written");
    let ticket = world.park(&move_to(1, "Lodi"));
    let mut tries = 0;
    while let Some(load) = world.core.next_load() {
        tries += 1;
        world.core.deliver(Delivery {
            load,
            ..early.clone()
        });
    }
    assert_eq!(tries, 3);
    let ready = world.core.next_ready().expect("its turn");
    assert_eq!((ready.ticket, ready.readable), (ticket, false));
    assert!(!world.core.state().customers.contains_key(&CustomerId(1)));
}

#[test]
fn a_start_within_a_budget_leaves_the_others_on_disk() {
    let mut all = World::open(FaultyDisk::default(), None);
    for n in 1..=50 {
        all.submit(&Command::CreateCustomer(enrolment(n, "Pavia")))
            .expect("enrolled");
        all.submit(&sale(n.into(), vec![card(100 + n)], 500))
            .expect("a provisional customer");
    }
    all.core.commit().expect("written");
    let expect = state_digest(all.core.state());
    let World { disk, core } = all;
    drop(core);
    let one = World::open(disk.clone(), Some(1)).core.residents();
    assert_eq!(one.1, 1, "somebody always is in memory");
    for customers in [5, 20, 99] {
        let budget = one.0 * customers;
        let world = World::open(disk.clone(), Some(budget));
        let (bytes, residents) = world.core.residents();
        assert!(bytes <= budget && residents as u64 > customers / 2);
        let state = world.core.state();
        assert_eq!(state.customer_count(), 100);
        assert_eq!(state.counters().provisional, 50);
        let digest = digest_with_tables(state, &disk.tables()).expect("sound tables");
        assert_eq!(digest, expect);
    }
}

/// What a run met, so that a run that tests nothing is noticed.
#[derive(Debug, Default)]
struct Met {
    parked: usize,
    evicted: usize,
    read_early: usize,
    crashes: usize,
    failed_writes: usize,
    retries: usize,
}

/// The server with room for three customers, and one that has all in memory and is given the same commands in the order
/// in which the first one decided them.
struct Pair {
    small: World,
    whole: World,
    budget: u64,
    parked: BTreeMap<Ticket, Submission>,
    reads: Vec<Result<Delivery, Load>>,
    answered: Vec<(Submission, Result<Answer, Rejection>)>,
    now: Time,
    met: Met,
}

const PEOPLE: u64 = 12;

fn command(rng: &mut StdRng) -> Command {
    let n = rng.random_range(1..=PEOPLE);
    let other = rng.random_range(1..=PEOPLE);
    let key = rng.random_range(0..400);
    let town = format!("town {}", rng.random_range(0..9));
    match rng.random_range(0..10) {
        0 => Command::CreateCustomer(enrolment(n, &town)),
        1 => {
            let mut draft = enrolment(n, &town);
            draft.customer_id.clear();
            draft.identifiers = vec![card(n), phone(other)];
            Command::CreateCustomer(draft)
        }
        2 | 3 => move_to(n, &town),
        4 => event(key, IngestPayload::Profile(enrolment(n, &town))),
        5 => {
            let mut draft = enrolment(n, &town);
            draft.identifiers = vec![card(n), card(other), phone(n)];
            event(key, IngestPayload::Profile(draft))
        }
        6 => sale(key, vec![phone(n), card(other)], 300),
        7 => sale(key, vec![phone(n)], 200),
        _ => sale(key, vec![card(n)], 100 * n as i64),
    }
}

impl Pair {
    fn new(budget: u64) -> Self {
        Pair {
            small: World::open(FaultyDisk::default(), Some(budget)),
            whole: World::open(FaultyDisk::default(), None),
            budget,
            parked: BTreeMap::new(),
            reads: Vec::new(),
            answered: Vec::new(),
            now: NOW,
            met: Met::default(),
        }
    }

    fn take(&mut self, submission: Submission) {
        if !self.small.core.missing(&submission).is_empty() {
            let ticket = self.small.core.park(&submission.command);
            self.parked.insert(ticket, submission);
            self.met.parked += 1;
            return;
        }
        let answer = self.small.core.submit(&submission, self.now);
        let expect = self.whole.core.submit(&submission, self.now);
        assert_eq!(answer, expect, "{submission:?}");
        self.answered.push((submission, answer));
    }

    fn take_up(&mut self) {
        while let Some(ready) = self.small.core.next_ready() {
            assert!(ready.readable);
            let submission = self.parked.remove(&ready.ticket).expect("it waits");
            self.take(submission);
        }
    }

    /// Moves one read on: taken, read, or delivered, in any order.
    fn one_read(&mut self, rng: &mut StdRng) {
        if rng.random_bool(0.4)
            && let Some(load) = self.small.core.next_load()
        {
            return self.reads.push(Err(load));
        }
        if self.reads.is_empty() {
            return;
        }
        let at = rng.random_range(0..self.reads.len());
        match self.reads.swap_remove(at) {
            Err(load) if rng.random_bool(0.5) => {
                self.met.read_early += 1;
                self.reads.push(Ok(self.small.read(load)));
            }
            Err(load) => self.small.core.deliver(self.small.read(load)),
            Ok(delivery) => {
                if rng.random_bool(0.2) {
                    self.small.core.deliver(delivery.clone());
                }
                self.small.core.deliver(delivery);
            }
        }
        self.take_up();
    }

    /// Everybody is for a reader of the one as for a reader of the other, at any moment.
    fn compare_readers(&self) {
        for customer in &self.whole.core.state().customers {
            assert_eq!(&*self.small.customer(customer.key().0), &**customer);
        }
        assert_eq!(violations(self.small.core.state()), Vec::<String>::new());
    }

    fn commit(&mut self, rng: &mut StdRng) {
        let before = self.small.core.state().customers.len();
        let wrote = self.small.core.batch_records() > 0;
        if wrote && rng.random_bool(0.05) {
            let kept = rng.random_bool(0.5);
            for disk in [&self.small.disk, &self.whole.disk] {
                disk.inject_after(0, Fault::FailSync { kept });
            }
            assert!(self.small.core.commit().is_err() && self.whole.core.commit().is_err());
            self.met.failed_writes += 1;
            // Memory is ahead of the disk and nothing more is written; readers go on until the end.
            return self.restart(rng);
        }
        self.small.core.commit().expect("written");
        self.whole.core.commit().expect("written");
        let after = self.small.core.state().customers.len();
        self.met.evicted += before.saturating_sub(after);
        let (bytes, residents) = self.small.core.residents();
        assert_eq!(residents, after);
        assert!(bytes <= self.budget || !self.parked.is_empty(), "{bytes}");
        let tables = self.small.disk.tables();
        let expect = state_digest(self.whole.core.state());
        let found = digest_with_tables(self.small.core.state(), &tables);
        assert_eq!(found.expect("sound tables"), expect);
        assert_eq!(of_tables(&tables).expect("sound tables"), expect);
    }

    fn restart(&mut self, rng: &mut StdRng) {
        self.met.crashes += 1;
        let kept = rng.random_range(0..2);
        let reopen = |world: &mut World, budget| {
            let disk = world.disk.clone();
            let fresh = World::open(FaultyDisk::default(), None);
            drop(std::mem::replace(world, fresh));
            disk.crash(kept, true);
            *world = World::open(disk, budget);
        };
        reopen(&mut self.small, Some(self.budget));
        reopen(&mut self.whole, None);
        // Who waited is told nothing, and what was being read belongs to a process that is gone.
        self.parked.clear();
        self.reads.clear();
        self.answered.clear();
    }

    fn finish(&mut self, rng: &mut StdRng) {
        while self.small.core.loads_open() > 0 {
            self.one_read(rng);
        }
        assert!(self.parked.is_empty(), "everybody had a turn");
        self.compare_readers();
    }
}

fn run(seed: u64, budget: u64) -> Met {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut pair = Pair::new(budget);
    for _ in 0..150 {
        for _ in 0..rng.random_range(0..5) {
            if rng.random_bool(0.15)
                && let Some((submission, answer)) = pair
                    .answered
                    .get(rng.random_range(0..pair.answered.len().max(1)))
                && answer.is_ok()
            {
                let again = Submission {
                    command: submission.command.clone(),
                    ..*submission
                };
                pair.met.retries += 1;
                pair.take(again);
                continue;
            }
            let request = rng.random_bool(0.5).then(|| RequestStamp {
                key: RequestKey(rng.random()),
                payload_hash: rng.random_range(0..1 << 40),
            });
            let command = command(&mut rng);
            pair.take(Submission {
                command,
                request,
                deadline: None,
            });
        }
        if rng.random_bool(0.3) {
            pair.small
                .core
                .hint(CustomerId(rng.random_range(0..PEOPLE + 2)));
        }
        for _ in 0..rng.random_range(0..6) {
            pair.one_read(&mut rng);
        }
        pair.compare_readers();
        pair.now = pair.now.plus_ms(rng.random_range(0..5_000_000));
        if rng.random_bool(0.7) {
            pair.commit(&mut rng);
        }
        if rng.random_bool(0.02) {
            pair.restart(&mut rng);
        }
    }
    pair.finish(&mut rng);
    pair.met
}

#[test]
fn room_for_few_gives_the_same_answers_and_tables_as_room_for_all() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse().ok());
    let seeds = number("TILLSIDE_RESIDENCY_SEEDS").unwrap_or(60);
    let first = number("TILLSIDE_RESIDENCY_FIRST").unwrap_or(0);
    let mut total = Met::default();
    for seed in first..first + seeds {
        println!(
            "seed {seed} (TILLSIDE_RESIDENCY_FIRST={seed} TILLSIDE_RESIDENCY_SEEDS=1 runs it alone)"
        );
        let met = run(seed, [0, 1500, 3000, 8000][seed as usize % 4]);
        total.parked += met.parked;
        total.evicted += met.evicted;
        total.read_early += met.read_early;
        total.crashes += met.crashes;
        total.failed_writes += met.failed_writes;
        total.retries += met.retries;
    }
    println!("{total:?}");
    let Met {
        parked,
        evicted,
        read_early,
        crashes,
        failed_writes,
        retries,
    } = total;
    let least = [parked, evicted, read_early, crashes, failed_writes, retries];
    assert!(seeds < 60 || least.iter().all(|n| *n > 30), "{total:?}");
}
