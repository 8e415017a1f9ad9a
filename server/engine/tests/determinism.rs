//! The same commands give the same state, whoever runs them; so do their events alone, and the rows they touched.

mod world;

use proptest::prelude::*;
use tillside_engine::catalog::{Store, StoreState};
use tillside_engine::command::{
    Adjustment, Command, Count, IngestPayload, OutcomeReport, Reserve, SaleDraft, SaleLineDraft,
};
use tillside_engine::customer::Purpose;
use tillside_engine::event::Event;
use tillside_engine::ids::{RequestKey, ReservationId, Sequence};
use tillside_engine::offer::{OutcomeType, Reward};
use tillside_engine::reservation::CheckoutResult;
use tillside_engine::sale::SaleKind;
use tillside_engine::state::lock;
use tillside_engine::stock::MoveReason;
use tillside_engine::units::Time;
use world::build::{
    business_key, card, change_of, consent, count_of, email, eur, event, in_category, line,
    movement, offer, person, phone, receipt, sale_event, scanned, seen, store_at,
};
use world::{World, dump, property};

/// Numbers that a command is made of; the kind of command is the first.
type Step = (u8, u8, u8, u8, i64);

const SKUS: [&str; 4] = ["p1", "p2", "p3", "unknown"];
const STORES: [&str; 4] = ["A", "B", "C", "unknown"];

fn pick<'a>(names: &[&'a str], number: u8) -> &'a str {
    names[number as usize % names.len()]
}

/// A command of any capability.
fn command(world: &World, number: usize, (kind, a, b, c, amount): Step) -> Command {
    let (sku, store) = (pick(&SKUS, a), pick(&STORES, b));
    let order = format!("o{}", c % 4);
    let id = ReservationId(u64::from(a % 12));
    let occurred = Some(Time(world.now.0 - amount * 1000));
    let people = [
        card(&format!("CARD{}", a % 5)),
        email(&format!("p{}@example.com", b % 5)),
        phone("3331234567"),
    ];
    let identifiers = people[..(c % 4) as usize].to_vec();
    let text = number.to_string();
    match kind % 16 {
        0 => {
            let state = [StoreState::Open, StoreState::Paused, StoreState::Closed][c as usize % 3];
            Command::PutStores(vec![Store {
                state,
                ..store_at(store, f64::from(a) / 2.0, f64::from(b))
            }])
        }
        1 => {
            let mut draft =
                in_category(sku, amount.abs() + 1, pick(&["", "Food", "Food > Milk"], c));
            draft.product.gtins = vec![u64::from(b % 6)];
            draft.product.plu = pick(&["", "12345", "54321"], c).into();
            Command::PutProducts(vec![
                draft,
                in_category("extra", 100, pick(&["Non-food", "Food"], a)),
            ])
        }
        2 => Command::CreateCustomer(person(pick(&["", "C1", "C2"], b), &identifiers)),
        3 => {
            let mut change = change_of(pick(&["C1", "C2"], a));
            change.consents = vec![consent(Purpose::Profiling, b % 2 == 0, Time(amount))];
            change.identifiers = identifiers;
            change.segments = Some(vec![pick(&["gold", "silver"], b).into()]);
            Command::UpdateCustomer(change)
        }
        4 => {
            let mut draft = offer(pick(&["x", "y", "z"], a));
            draft.terms.reward = Reward::AmountOff(eur(amount.abs() + 1));
            draft.target_skus = vec![sku.into()];
            Command::PutOffer(draft)
        }
        5 if c % 8 == 0 => Command::ArchiveOffer {
            offer_id: pick(&["x", "y", "z"], a).into(),
        },
        5 => Command::ReportOutcomes(vec![OutcomeReport {
            key: business_key(&format!("{a} {b}")),
            offer_id: pick(&["x", "y", "z"], a).into(),
            outcome: [OutcomeType::Impression, OutcomeType::Accept][b as usize % 2],
        }]),
        6 => Command::AdjustStock(Adjustment {
            occurred,
            reason: if c % 4 == 0 {
                MoveReason::Damage
            } else {
                MoveReason::Correction
            },
            ..movement(sku, store, amount)
        }),
        7 => Command::SetStockCount(Count {
            as_of: occurred,
            ..count_of(sku, store, amount.abs())
        }),
        8 | 9 => {
            let lines = [
                (pick(&SKUS[..3], a), i64::from(c % 3) + 1),
                (pick(&SKUS[..3], b), 1),
            ];
            let reserve = world.reserve(&order, &lines, &["A", "B", "C"][..(b % 4) as usize]);
            let checkout_revision = (kind % 16 == 9).then_some(amount);
            Command::Reserve(Reserve {
                hold_ms: 1_000 * (i64::from(c) + 1),
                checkout_revision,
                ..reserve
            })
        }
        10 => Command::ConfirmReservation(id),
        11 => Command::ReleaseReservation(id),
        12 => {
            let result = [CheckoutResult::Completed, CheckoutResult::Cancelled][a as usize % 2];
            Command::CloseCheckout {
                checkout_id: order.into(),
                result,
            }
        }
        13 => {
            let kind = [
                SaleKind::Sale,
                SaleKind::Sale,
                SaleKind::Return,
                SaleKind::PostVoid,
                SaleKind::Neutral,
            ][a as usize % 5];
            let sign = if matches!(kind, SaleKind::Return | SaleKind::PostVoid) {
                -1
            } else {
                1
            };
            let settles = SaleLineDraft {
                reservation: Some(id),
                ..line(sku, sign, sign * 250)
            };
            let lines = vec![
                settles,
                scanned("2012345004993", &["20IIIIIPPPPPC"]),
                line("extra", sign, sign * 99),
            ];
            sale_event(
                &text,
                SaleDraft {
                    kind,
                    lines,
                    identifiers,
                    paid: occurred,
                    ..receipt(store, i64::from(c))
                },
                None,
            )
        }
        14 => event(
            &(a % 8).to_string(),
            IngestPayload::Adjustment(movement(sku, store, amount)),
        ),
        _ => event(
            &text,
            IngestPayload::Profile(person(pick(&["", "C1", "C2", "C3"], b), &identifiers)),
        ),
    }
}

fn run(steps: &[Step]) -> World {
    let mut world = World::shop();
    for (number, step) in steps.iter().enumerate() {
        world.wait_ms(i64::from(step.3) * 50);
        let command = command(&world, number, *step);
        // Refusals are part of the life of a server.
        let _ = world.run(command);
        // The sequencer remembers answered requests, and forgets the oldest.
        if step.2 % 4 == 0 {
            let key = RequestKey(number as u128);
            world.happen(vec![Event::RequestAnswered {
                key,
                payload_hash: number as u64,
            }]);
        }
        let oldest = lock(&world.state.requests).oldest();
        if step.2 % 16 == 0
            && let Some(oldest) = oldest
        {
            let before = Sequence(oldest.sequence.0 + 1);
            world.happen(vec![if step.2 % 32 == 0 {
                Event::RequestWindowMoved { before }
            } else {
                Event::RequestsForgotten { count: 1 }
            }]);
        }
    }
    world
}

proptest! {
    #![proptest_config(property(150))]

    #[test]
    fn the_same_commands_give_the_same_state(
        steps in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>(), -20i64..40), 1..150)
    ) {
        let (one, other) = (run(&steps), run(&steps));
        prop_assert_eq!(dump::dump(&one.state), dump::dump(&other.state));
        prop_assert_eq!(format!("{:?}", one.log), format!("{:?}", other.log));
        one.assert_recoverable();
    }
}

#[test]
fn a_personal_record_is_in_no_other_event() {
    let mut world = World::shop();
    let mut draft = person(
        "ID-OF-ANNA",
        &[
            email("anna@example.com"),
            seen(
                tillside_engine::identity::IdentifierKind::Phone,
                "3331234567",
            ),
        ],
    );
    draft.contacts.family_name = "NAME-OF-ANNA".into();
    world.ok(Command::CreateCustomer(draft));
    let sale = SaleDraft {
        identifiers: vec![email("anna@example.com")],
        lines: vec![line("p1", 1, 100)],
        ..receipt("A", 1)
    };
    world.sell(sale);
    // What goes to the log: everything but the personal part, which has a table of its own.
    let logged: String = world
        .log
        .iter()
        .flat_map(|(_, events)| events)
        .map(|event| match event.clone() {
            Event::CustomerPut {
                id,
                relation,
                identifiers,
                created,
                ..
            } => {
                format!(
                    "{:?}",
                    Event::CustomerPut {
                        id,
                        personal: None,
                        relation,
                        identifiers,
                        created
                    }
                )
            }
            other => format!("{other:?}"),
        })
        .collect();
    for personal in [
        "anna@example.com",
        "NAME-OF-ANNA",
        "ID-OF-ANNA",
        "3331234567",
    ] {
        assert!(!logged.contains(personal), "{personal}");
    }
    assert!(logged.contains("SaleRecorded"));
}
