//! Who is this? Recognition, enrolment and changes of customers.

mod world;

use proptest::prelude::*;
use tillside_engine::command::{Command, CustomerDraft, IngestPayload, SeenIdentifier};
use tillside_engine::customer::Purpose;
use tillside_engine::identity::IdentifierKind;
use tillside_engine::ids::CustomerId;
use tillside_engine::limits::IDENTIFIERS_PER_CUSTOMER_MAX;
use tillside_engine::recognition::{Recognition, WEAK_CONFIDENCE, recognise};
use tillside_engine::reject::Rejection;
use tillside_engine::reply::{Reply, Warning};
use tillside_engine::sale::SaleKind;
use world::build::{
    card, change_of, consent, email, event, key, line, person, phone, receipt, sale_event, seen,
};
use world::{START, World, property};

/// Enrols and says (who, new).
fn enrol(world: &mut World, draft: CustomerDraft) -> (CustomerId, bool) {
    match world.ok(Command::CreateCustomer(draft)) {
        Reply::Customer { id, created } => (id, created),
        other => panic!("{other:?}"),
    }
}

fn import(world: &mut World, event_id: &str, draft: CustomerDraft) -> Vec<Warning> {
    match world.ok(event(event_id, IngestPayload::Profile(draft))) {
        Reply::Ingested { warnings } => warnings.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn sell_to(world: &mut World, number: i64, identifiers: &[SeenIdentifier]) -> Vec<Warning> {
    let lines = vec![line("p1", 1, 1000)];
    let sale = tillside_engine::command::SaleDraft {
        identifiers: identifiers.to_vec(),
        lines,
        ..receipt("A", number)
    };
    match world.sell(sale) {
        Reply::Ingested { warnings } => warnings.to_vec(),
        other => panic!("{other:?}"),
    }
}

/// The customers found, and the confidence where it is one.
fn who(world: &World, identifiers: &[SeenIdentifier]) -> (Vec<CustomerId>, Option<f64>) {
    let keys: Vec<_> = identifiers.iter().map(key).collect();
    match recognise(&world.state, &keys) {
        Recognition::Unknown => (Vec::new(), None),
        Recognition::Matched { id, confidence, .. } => (vec![id], Some(confidence)),
        Recognition::Ambiguous(candidates) => {
            (candidates.iter().map(|(id, ..)| *id).collect(), None)
        }
    }
}

#[test]
fn a_customer_is_found_by_every_identifier_in_every_spelling() {
    let mut world = World::shop();
    let ids = [
        card("0290000000012"),
        email("Anna.Rossi@example.com"),
        phone("+39 333 123 4567"),
    ];
    let (anna, _) = enrol(&mut world, person("C1", &ids));
    let check = |seen: SeenIdentifier, confidence: f64| {
        assert_eq!(
            who(&world, std::slice::from_ref(&seen)),
            (vec![anna], Some(confidence)),
            "{seen:?}"
        );
    };
    check(card("0290000000012"), 1.0);
    check(card(" 0290-0000-00012 "), 1.0);
    check(card("290000000012"), 1.0);
    check(email(" anna.rossi@EXAMPLE.com"), 1.0);
    check(phone("333 1234567"), WEAK_CONFIDENCE);
    check(phone("0039333-1234567"), WEAK_CONFIDENCE);
    check(seen(IdentifierKind::CustomerId, "C1"), 1.0);
}

#[test]
fn recognition_says_matched_ambiguous_or_unknown() {
    let mut world = World::shop();
    let (anna, _) = enrol(
        &mut world,
        person("C1", &[card("AAA1"), phone("3331234567")]),
    );
    let (bruno, _) = enrol(&mut world, person("C2", &[card("BBB1")]));
    let check = |seen: &[SeenIdentifier], expect: (Vec<CustomerId>, Option<f64>)| {
        assert_eq!(who(&world, seen), expect, "{seen:?}");
    };
    check(&[], (vec![], None));
    check(&[card("ZZZ9")], (vec![], None));
    check(&[card("ZZZ9"), card("BBB1")], (vec![bruno], Some(1.0)));
    check(
        &[phone("3331234567"), card("AAA1")],
        (vec![anna], Some(1.0)),
    );
    check(&[card("BBB1"), card("AAA1")], (vec![bruno, anna], None));
    check(
        &[phone("3331234567"), card("BBB1")],
        (vec![anna, bruno], None),
    );
    // The same value of another kind is another identifier.
    check(&[seen(IdentifierKind::AppToken, "AAA1")], (vec![], None));
}

#[test]
fn the_positions_of_what_matched_are_told() {
    let mut world = World::shop();
    let (anna, _) = enrol(
        &mut world,
        person("C1", &[card("AAA1"), email("a@example.com")]),
    );
    let keys: Vec<_> = [email("a@example.com"), card("ZZZ9"), card("AAA1")]
        .iter()
        .map(key)
        .collect();
    match recognise(&world.state, &keys) {
        Recognition::Matched { id, matched, .. } => {
            assert_eq!((id, matched.as_slice()), (anna, [0, 2].as_slice()));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn enrolling_twice_is_enrolling_once() {
    let mut world = World::shop();
    let draft = person("C1", &[card("AAA1")]);
    let (anna, created) = enrol(&mut world, draft.clone());
    assert!(created);
    assert!(!world.changes(Command::CreateCustomer(draft)));
    // Without the retailer's id, but with the card, it is the same person; what is new about them is kept.
    let (again, created) = enrol(
        &mut world,
        person("", &[card("AAA1"), email("a@example.com")]),
    );
    assert_eq!((again, created), (anna, false));
    assert_eq!(who(&world, &[email("a@example.com")]).0, [anna]);
    world.assert_recoverable();
}

#[test]
fn an_enrolment_does_not_overwrite_who_was_enrolled_before() {
    let mut world = World::shop();
    let mut first = person("C1", &[card("AAA1")]);
    first.contacts.given_name = "Anna".into();
    let (anna, _) = enrol(&mut world, first);
    let mut second = person("C1", &[card("AAA1")]);
    second.contacts.given_name = "Bruno".into();
    second
        .consents
        .push(consent(Purpose::Profiling, true, START));
    enrol(&mut world, second);
    assert_eq!(world.customer(anna).personal.contacts.given_name, "Anna");
    assert!(
        !world
            .customer(anna)
            .relation
            .consents_to(Purpose::Profiling)
    );
}

#[test]
fn identifiers_of_two_people_are_a_conflict() {
    let mut world = World::shop();
    enrol(&mut world, person("C1", &[card("AAA1")]));
    enrol(&mut world, person("C2", &[card("BBB1")]));
    let mut check = |command: Command, index: usize| {
        assert_eq!(
            world.refused(command),
            Rejection::IdentifierConflict { index }
        );
    };
    check(
        Command::CreateCustomer(person("", &[card("AAA1"), card("NEW1"), card("BBB1")])),
        2,
    );
    // Another retailer id for the holder of this card.
    check(Command::CreateCustomer(person("C3", &[card("AAA1")])), 1);
    let mut change = change_of("C1");
    change.identifiers = vec![card("NEW1"), card("BBB1")];
    check(Command::UpdateCustomer(change), 1);
    assert_eq!(who(&world, &[card("NEW1")]).0, []);
}

#[test]
fn an_unknown_card_makes_a_provisional_customer_whose_history_enrolment_keeps() {
    let mut world = World::shop();
    sell_to(&mut world, 1, &[card("AAA1")]);
    sell_to(&mut world, 2, &[card("AAA1")]);
    let [anna] = who(&world, &[card("AAA1")]).0[..] else {
        panic!("one customer")
    };
    let before = world.customer(anna);
    assert!(before.relation.provisional);
    assert_eq!(world.state.counters().provisional, 1);
    assert_eq!((before.history.purchases, before.history.points), (2, 20));

    let (enrolled, created) = enrol(
        &mut world,
        person("C1", &[card("AAA1"), email("a@example.com")]),
    );
    assert_eq!((enrolled, created), (anna, true));
    let after = world.customer(anna);
    assert!(!after.relation.provisional);
    assert_eq!(after.history, before.history);
    assert_eq!(after.personal.customer_id, "C1");
    assert_eq!(world.state.counters().provisional, 0);
    sell_to(&mut world, 3, &[email("a@example.com")]);
    assert_eq!(world.customer(anna).history.purchases, 3);
    world.assert_recoverable();
}

#[test]
fn a_provisional_customer_carries_the_version_of_its_making() {
    let mut world = World::shop();
    sell_to(&mut world, 1, &[card("AAA1")]);
    let [anna] = who(&world, &[card("AAA1")]).0[..] else {
        panic!("one customer")
    };
    assert_eq!(
        world.customer(anna).relation.version,
        world.state.snapshot_sequence()
    );
}

#[test]
fn an_identifier_read_twice_on_a_receipt_is_kept_once() {
    let mut world = World::shop();
    sell_to(
        &mut world,
        1,
        &[card("AAA1"), card("AAA1"), email("a@example.com")],
    );
    let [anna] = who(&world, &[card("AAA1")]).0[..] else {
        panic!("one customer")
    };
    assert_eq!(world.customer(anna).personal.identifiers.len(), 2);
}

#[test]
fn a_sale_with_identifiers_of_two_people_goes_to_the_most_trusted_one() {
    let mut world = World::shop();
    let (anna, _) = enrol(&mut world, person("C1", &[phone("3331234567")]));
    let (bruno, _) = enrol(&mut world, person("C2", &[card("BBB1")]));
    let warnings = sell_to(&mut world, 1, &[phone("3331234567"), card("BBB1")]);
    assert_eq!(warnings, [Warning::AmbiguousCustomer]);
    assert_eq!(world.customer(anna).history.purchases, 0);
    assert_eq!(world.customer(bruno).history.purchases, 1);
}

#[test]
fn an_import_takes_no_identifier_from_others_and_says_so() {
    let mut world = World::shop();
    let (anna, _) = enrol(&mut world, person("C1", &[card("AAA1")]));
    let warnings = import(&mut world, "1", person("C2", &[card("AAA1"), card("BBB1")]));
    assert_eq!(warnings, [Warning::IdentifierConflict { index: 1 }]);
    assert_eq!(who(&world, &[card("AAA1")]).0, [anna]);
    let bruno = who(&world, &[card("BBB1")]).0;
    assert!(bruno.len() == 1 && bruno[0] != anna);
    // The same customer again, with a change: found by its id, told contacts count.
    let mut changed = person("C2", &[card("BBB1")]);
    changed.contacts.town = "Pavia".into();
    import(&mut world, "2", changed.clone());
    assert_eq!(world.customer(bruno[0]).personal.contacts.town, "Pavia");
    assert!(matches!(
        world.ok(event("2", IngestPayload::Profile(changed))),
        Reply::Duplicate { .. }
    ));
    world.assert_recoverable();
}

#[test]
fn an_import_finds_the_provisional_holder_of_a_card() {
    let mut world = World::shop();
    sell_to(&mut world, 1, &[card("AAA1")]);
    let found = who(&world, &[card("AAA1")]).0;
    import(&mut world, "1", person("C1", &[card("AAA1")]));
    assert_eq!(
        who(&world, &[seen(IdentifierKind::CustomerId, "C1")]).0,
        found
    );
    assert!(!world.customer(found[0]).relation.provisional);
}

#[test]
fn a_change_needs_the_version_it_was_based_on() {
    let mut world = World::shop();
    let (anna, _) = enrol(&mut world, person("C1", &[]));
    let version = world.customer(anna).relation.version.0;
    let rename = |name: &str, etag: Option<u64>| {
        let mut change = change_of("C1");
        change.contacts.given_name = Some(name.into());
        change.etag = etag;
        Command::UpdateCustomer(change)
    };
    assert!(world.changes(rename("Anna", Some(version))));
    assert_eq!(
        world.refused(rename("Bruno", Some(version))),
        Rejection::EtagMismatch
    );
    // What is so already is no change, and no new version.
    assert!(!world.changes(rename("Anna", None)));
    assert!(world.changes(rename("Carla", None)));
    let mut nobody = change_of("C9");
    nobody.etag = Some(version);
    assert_eq!(
        world.refused(Command::UpdateCustomer(nobody)),
        Rejection::UnknownCustomer
    );
    world.assert_recoverable();
}

#[test]
fn a_refused_change_changes_nothing() {
    let mut world = World::shop();
    let (anna, _) = enrol(&mut world, person("C1", &[]));
    let mut change = change_of("C1");
    change.contacts.given_name = Some("Anna".into());
    change.preferred_store_id = Some(Some("nowhere".into()));
    assert!(matches!(
        world.refused(Command::UpdateCustomer(change)),
        Rejection::UnknownStore { .. }
    ));
    assert_eq!(world.customer(anna).personal.contacts.given_name, "");
    let mut elsewhere = person("C2", &[card("NEW1")]);
    elsewhere.preferred_store_id = Some("nowhere".into());
    world.refused(Command::CreateCustomer(elsewhere));
    assert_eq!(who(&world, &[card("NEW1")]).0, []);
}

#[test]
fn a_preferred_store_is_set_and_taken_away() {
    let mut world = World::shop();
    let (anna, _) = enrol(&mut world, person("C1", &[]));
    for store in [Some("B"), None] {
        let mut change = change_of("C1");
        change.preferred_store_id = Some(store.map(Into::into));
        world.ok(Command::UpdateCustomer(change));
        assert_eq!(
            world.customer(anna).relation.preferred_store,
            store.map(|s| world.store(s))
        );
    }
}

#[test]
fn the_later_decision_about_a_consent_counts_in_whatever_order_they_come() {
    let at = |ms: i64, granted: bool| (START.plus_ms(ms), granted);
    let check = |decisions: &[(tillside_engine::units::Time, bool)], expect: bool| {
        let mut world = World::shop();
        let (anna, _) = enrol(&mut world, person("C1", &[]));
        for (decided, granted) in decisions {
            let mut change = change_of("C1");
            change.consents = vec![consent(Purpose::Profiling, *granted, *decided)];
            world.ok(Command::UpdateCustomer(change));
        }
        let relation = &world.customer(anna).relation;
        assert_eq!(
            relation.consents_to(Purpose::Profiling),
            expect,
            "{decisions:?}"
        );
        assert!(
            !relation.consents_to(Purpose::Marketing),
            "never asked counts as no"
        );
    };
    check(&[], false);
    check(&[at(0, true)], true);
    check(&[at(0, true), at(5, false)], false);
    check(&[at(5, false), at(0, true)], false);
    check(&[at(5, true), at(0, false)], true);
    // Of the same time, the one that came later.
    check(&[at(5, true), at(5, false)], false);
}

#[test]
fn a_customer_has_only_so_many_identifiers() {
    let mut world = World::shop();
    let cards: Vec<_> = (0..IDENTIFIERS_PER_CUSTOMER_MAX)
        .map(|i| card(&format!("CARD{i}")))
        .collect();
    enrol(&mut world, person("", &cards));
    let refused = world.refused(Command::CreateCustomer(person(
        "",
        &[cards[0].clone(), card("MORE1")],
    )));
    assert!(
        matches!(refused, Rejection::LimitExceeded { .. }),
        "{refused}"
    );
    assert_eq!(who(&world, &[card("MORE1")]).0, []);
}

/// What happens to identities, with identifiers by number.
#[derive(Clone, Debug)]
enum Step {
    Create {
        customer: Option<usize>,
        ids: Vec<usize>,
    },
    Import {
        customer: Option<usize>,
        ids: Vec<usize>,
    },
    Add {
        customer: usize,
        ids: Vec<usize>,
    },
    Sale {
        ids: Vec<usize>,
    },
}

/// Ten identifiers in the order of trust, and three retailer ids after them.
fn identifier(number: usize) -> SeenIdentifier {
    match number {
        0..4 => card(&format!("CARD{number}")),
        4..7 => email(&format!("p{number}@example.com")),
        7..10 => phone(&format!("33312345{number:02}")),
        _ => seen(IdentifierKind::CustomerId, &customer_id(number - 10)),
    }
}

fn customer_id(number: usize) -> String {
    format!("C{number}")
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ids = || prop::collection::vec(0usize..10, 0..4);
    let customer = || prop::option::of(0usize..3);
    let step = prop_oneof![
        (customer(), ids()).prop_map(|(customer, ids)| Step::Create { customer, ids }),
        (customer(), ids()).prop_map(|(customer, ids)| Step::Import { customer, ids }),
        (0usize..3, ids()).prop_map(|(customer, ids)| Step::Add { customer, ids }),
        ids().prop_map(|ids| Step::Sale { ids }),
    ];
    prop::collection::vec(step, 1..25)
}

/// The naive model: people as plain lists.
#[derive(Clone, Debug, Default)]
struct Person {
    ids: Vec<usize>,
    customer: Option<usize>,
    provisional: bool,
    purchases: i64,
}

#[derive(Default)]
struct Model(Vec<Person>);

impl Model {
    fn owner(&self, id: usize) -> Option<usize> {
        self.0.iter().position(|p| p.ids.contains(&id))
    }

    /// Phones (7 to 9) decide only where nothing else is given.
    fn decisive(ids: &[usize]) -> Vec<usize> {
        let strong = |id: &&usize| !(7..10).contains(*id);
        let any = ids.iter().any(|id| strong(&id));
        ids.iter()
            .filter(|id| strong(id) || !any)
            .copied()
            .collect()
    }

    fn owners(&self, ids: &[usize]) -> Vec<usize> {
        let mut owners = Vec::new();
        for owner in ids.iter().filter_map(|id| self.owner(*id)) {
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        owners
    }

    fn give(&mut self, person: usize, ids: &[usize]) {
        for id in ids {
            if self.owner(*id).is_none() {
                self.0[person].ids.push(*id);
            }
        }
    }

    fn upsert(&mut self, owner: Option<usize>, customer: Option<usize>, ids: &[usize]) {
        let at = owner.unwrap_or_else(|| {
            self.0.push(Person::default());
            self.0.len() - 1
        });
        self.give(at, ids);
        self.0[at].provisional = false;
        self.0[at].customer = customer.or(self.0[at].customer);
    }

    /// Whether the step goes through.
    fn take(&mut self, step: &Step) -> bool {
        let with_own = |customer: &Option<usize>, ids: &[usize]| -> Vec<usize> {
            customer
                .iter()
                .map(|c| c + 10)
                .chain(ids.iter().copied())
                .collect()
        };
        match step {
            Step::Create { customer, ids } => {
                let ids = with_own(customer, ids);
                let owners = self.owners(&Self::decisive(&ids));
                let taken = owners.first().is_some_and(|o| {
                    let known = &self.0[*o];
                    !known.provisional && customer.is_some() && known.customer != *customer
                });
                if owners.len() > 1 || taken {
                    return false;
                }
                self.upsert(owners.first().copied(), *customer, &ids);
            }
            Step::Import { customer, ids } => {
                let ids = with_own(customer, ids);
                let by_id = customer.and_then(|c| self.owner(c + 10));
                let may_be = |o: &usize| customer.is_none() || self.0[*o].provisional;
                let owner = by_id.or_else(|| {
                    Self::decisive(&ids)
                        .iter()
                        .filter_map(|id| self.owner(*id))
                        .find(may_be)
                });
                self.upsert(owner, *customer, &ids);
            }
            Step::Add { customer, ids } => {
                let Some(person) = self.owner(customer + 10) else {
                    return false;
                };
                if ids
                    .iter()
                    .any(|id| self.owner(*id).is_some_and(|o| o != person))
                {
                    return false;
                }
                self.give(person, ids);
            }
            Step::Sale { ids } => {
                if ids.is_empty() {
                    return true;
                }
                // The numbers are in the order of trust by kind; of one kind, the first read counts.
                let trust = |id: &usize| [0, 0, 0, 0, 1, 1, 1, 2, 2, 2][*id];
                let decisive = Self::decisive(ids);
                let known = decisive
                    .iter()
                    .filter(|id| self.owner(**id).is_some())
                    .min_by_key(|id| trust(id));
                let person = known.and_then(|id| self.owner(*id)).unwrap_or_else(|| {
                    self.0.push(Person {
                        provisional: true,
                        ..Person::default()
                    });
                    let last = self.0.len() - 1;
                    self.give(last, ids);
                    last
                });
                self.0[person].purchases += 1;
            }
        }
        true
    }
}

proptest! {
    #![proptest_config(property(1000))]

    #[test]
    fn identities_equal_the_naive_model(steps in steps()) {
        let mut world = World::shop();
        let mut model = Model::default();
        for (number, step) in steps.iter().enumerate() {
            let seen = |ids: &[usize]| -> Vec<_> { ids.iter().map(|id| identifier(*id)).collect() };
            let name = |c: &Option<usize>| c.map(customer_id).unwrap_or_default();
            let command = match step {
                Step::Create { customer, ids } => Command::CreateCustomer(person(&name(customer), &seen(ids))),
                Step::Import { customer, ids } => {
                    event(&number.to_string(), IngestPayload::Profile(person(&name(customer), &seen(ids))))
                }
                Step::Add { customer, ids } => {
                    let mut change = change_of(&customer_id(*customer));
                    change.identifiers = seen(ids);
                    Command::UpdateCustomer(change)
                }
                Step::Sale { ids } => {
                    let sale = tillside_engine::command::SaleDraft {
                        kind: SaleKind::Sale,
                        identifiers: seen(ids),
                        lines: vec![line("p1", 1, 100)],
                        ..receipt("A", number as i64)
                    };
                    sale_event(&number.to_string(), sale, None)
                }
            };
            let went = world.run(command).is_ok();
            prop_assert_eq!(went, model.take(step), "{:?}", step);
        }
        prop_assert_eq!(world.state.customers.len(), model.0.len());
        prop_assert_eq!(world.state.counters().provisional, model.0.iter().filter(|p| p.provisional).count() as u64);
        // Surrogates are given in order, so that the model's position tells the id.
        let id = |person: usize| CustomerId(person as u64 + 1);
        for (at, person) in model.0.iter().enumerate() {
            let customer = world.customer(id(at));
            prop_assert_eq!(customer.history.purchases, person.purchases);
            prop_assert_eq!(customer.personal.identifiers.len(), person.ids.len());
        }
        for a in 0..13 {
            for b in 0..13 {
                let expect: Vec<_> = model.owners(&[a, b]).into_iter().map(id).collect();
                prop_assert_eq!(who(&world, &[identifier(a), identifier(b)]).0, expect);
            }
        }
        world.assert_recoverable();
    }
}

#[test]
fn a_phone_alone_never_makes_two_people_one() {
    let mut world = World::new();
    let (anna, _) = enrol(
        &mut world,
        person("C1", &[card("AAA1"), phone("+393331234567")]),
    );
    // A family shares the number: it stays with who had it first.
    let (bruno, created) = enrol(
        &mut world,
        person("C2", &[card("BBB1"), phone("+393331234567")]),
    );
    assert!(created);
    assert_ne!(anna, bruno);
    assert_eq!(
        who(&world, &[phone("+393331234567")]),
        (vec![anna], Some(WEAK_CONFIDENCE))
    );
    let left = import(&mut world, "p1", person("C3", &[phone("+393331234567")]));
    assert_eq!(left, [Warning::IdentifierConflict { index: 1 }]);
    // Where there is nothing else, the phone says who it is: a retry of an enrolment finds the same person.
    let (again, created) = enrol(&mut world, person("", &[phone("+393331234567")]));
    assert_eq!((again, created), (anna, false));
}

#[test]
fn an_id_that_we_gave_finds_its_customer_and_nobody_else_may_take_one() {
    let mut world = World::shop();
    let by_id = |n: u64| seen(IdentifierKind::CustomerId, &format!("ts-{n}"));
    let (anna, _) = enrol(&mut world, person("", &[card("AAA1")]));
    assert_eq!(who(&world, &[by_id(anna.0)]).0, [anna]);
    sell_to(&mut world, 1, &[card("BBB1")]);
    let provisional = CustomerId(anna.0 + 1);
    assert_eq!(who(&world, &[by_id(provisional.0)]).0, [provisional]);
    // The next number is not given yet: it must not become a retailer's id, or two people would be one later.
    let refused = world.refused(Command::CreateCustomer(person("ts-3", &[card("CCC1")])));
    assert!(matches!(refused, Rejection::Invalid { .. }), "{refused:?}");
    sell_to(&mut world, 2, &[by_id(9), card("DDD1")]);
    assert_eq!(who(&world, &[by_id(9)]).0, []);
    // Enrolled under the retailer's own id, the first id goes on finding the customer.
    enrol(&mut world, person("C7", &[card("BBB1")]));
    assert_eq!(who(&world, &[by_id(provisional.0)]).0, [provisional]);
    world.assert_recoverable();
}
