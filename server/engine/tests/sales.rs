//! Receipts: what they do to profiles, stock and quarantine, each once.

mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use tillside_engine::command::{Command, Ingest, IngestPayload, SaleDraft, SaleLineDraft};
use tillside_engine::customer::Customer;
use tillside_engine::decide::Rules;
use tillside_engine::ids::Sequence;
use tillside_engine::limits::{CLOCK_SKEW_MS_MAX, RECEIPT_LINES_MAX};
use tillside_engine::offer::OutcomeCounts;
use tillside_engine::profile::Spend;
use tillside_engine::reply::{Reply, Warning};
use tillside_engine::sale::SaleKind;
use tillside_engine::state::read;
use tillside_engine::units::{Currency, DAY_MS, Money};
use world::build::{
    business_key, card, count, eur, in_category, line, person, product, receipt, receipt_key,
    sale_event, scanned,
};
use world::{World, property};

/// A receipt of the holder of card AAA1.
fn bought(number: i64, lines: Vec<SaleLineDraft>) -> SaleDraft {
    SaleDraft {
        lines,
        identifiers: vec![card("AAA1")],
        ..receipt("A", number)
    }
}

fn warnings(reply: Reply) -> Vec<Warning> {
    match reply {
        Reply::Ingested { warnings } => warnings.to_vec(),
        other => panic!("{other:?}"),
    }
}

/// The holder of card AAA1.
fn anna(world: &World) -> Customer {
    let id = *world
        .state
        .identifiers
        .get(&card("AAA1").hash)
        .expect("a receipt had the card");
    Customer::clone(&world.customer(id))
}

/// (purchases, net spend in euro cents, points) of the holder of card AAA1.
fn sums(world: &World) -> (i64, i64, i64) {
    let history = anna(world).history;
    let net = history
        .spend
        .iter()
        .find(|s| s.currency == Currency::EUR)
        .map_or(0, |s| s.net_minor);
    (history.purchases, net, history.points)
}

fn on_hand(world: &World, sku: &str) -> i64 {
    world.level(sku, "A").on_hand
}

#[test]
fn a_receipt_moves_stock_and_feeds_the_profile() {
    let mut world = World::shop();
    world.sell(bought(1, vec![line("p1", 2, 199), line("p2", 1, 1_250)]));
    assert_eq!(sums(&world), (1, 1_449, 14));
    assert_eq!(
        (on_hand(&world, "p1"), on_hand(&world, "p2")),
        (-2_000, -1_000)
    );
    let history = anna(&world).history;
    assert_eq!(
        (history.first_purchase, history.last_purchase),
        (Some(world.now), Some(world.now))
    );
    assert_eq!(history.last_store, Some(world.store("A")));
    let top: Vec<_> = history
        .top_products(9)
        .into_iter()
        .map(|(sku, _)| sku)
        .collect();
    assert_eq!(top, [world.sku("p1"), world.sku("p2")]);
    world.assert_recoverable();
}

#[test]
fn a_receipt_is_taken_once_whichever_key_comes_back() {
    let mut world = World::shop();
    let sale = bought(1, vec![line("p1", 1, 1_000)]);
    let first = sale_event("e1", sale.clone(), None);
    world.ok(first.clone());
    let taken = world.state.snapshot_sequence();
    let mut check = |command: Command| {
        assert_eq!(world.ok(command), Reply::Duplicate { first: taken });
        assert_eq!(
            (sums(&world), on_hand(&world, "p1")),
            ((1, 1_000, 10), -1_000)
        );
    };
    check(first);
    // The same receipt through another channel, and another receipt under the same event id.
    check(sale_event("e2", sale.clone(), None));
    check(sale_event(
        "e1",
        bought(2, vec![line("p1", 9, 9_000)]),
        None,
    ));
    // A duplicate takes no key: the other receipt comes through under its own event id.
    world.ok(sale_event(
        "e3",
        bought(2, vec![line("p1", 1, 1_000)]),
        None,
    ));
    assert_eq!(sums(&world), (2, 2_000, 20));
    assert_ne!(world.state.snapshot_sequence(), Sequence(0));
}

#[test]
fn the_same_number_at_another_till_day_or_store_is_another_receipt() {
    let mut world = World::shop();
    let one = bought(1, vec![line("p1", 1, 100)]);
    let others = [
        SaleDraft {
            workstation: "2".into(),
            ..one.clone()
        },
        SaleDraft {
            business_day: "2026-11-24".into(),
            ..one.clone()
        },
        SaleDraft {
            store_id: "B".into(),
            ..one.clone()
        },
        SaleDraft {
            number: 2,
            ..one.clone()
        },
        one,
    ];
    for (i, sale) in others.into_iter().enumerate() {
        world.ok(sale_event(&i.to_string(), sale, None));
    }
    assert_eq!(sums(&world).0, 5);
}

#[test]
fn an_unknown_product_is_quarantined_and_the_sale_counts() {
    let mut world = World::shop();
    let told = world.sell(bought(
        1,
        vec![
            line("p1", 1, 100),
            line("p9", 2, 500),
            scanned("8001234567897", &[]),
        ],
    ));
    assert_eq!(
        warnings(told),
        [
            Warning::UnknownSku { line: 1 },
            Warning::UnknownSku { line: 2 }
        ]
    );
    assert_eq!((sums(&world), on_hand(&world, "p1")), ((1, 600, 6), -1_000));
    let kept: Vec<_> = read(&world.state.quarantine)
        .values()
        .map(|q| {
            (
                q.item.to_string(),
                q.scanned,
                q.quantity,
                q.net.minor,
                q.unknown_store,
            )
        })
        .collect();
    assert_eq!(
        kept,
        [
            ("p9".into(), false, 2_000, 500, false),
            ("8001234567897".into(), true, 1_000, 0, false)
        ]
    );
    world.assert_recoverable();
}

#[test]
fn an_unknown_store_quarantines_all_lines_and_the_customer_still_bought() {
    let mut world = World::shop();
    let mut sale = bought(1, vec![line("p1", 1, 100), line("p9", 2, 500)]);
    sale.store_id = "Z".into();
    assert_eq!(
        warnings(world.sell(sale)),
        [Warning::UnknownStore, Warning::UnknownSku { line: 1 }]
    );
    assert_eq!(sums(&world), (1, 600, 6));
    assert_eq!(anna(&world).history.top_products(9).len(), 1);
    assert!(world.state.stock.is_empty());
    let kept: Vec<_> = read(&world.state.quarantine)
        .values()
        .map(|q| (q.store.to_string(), q.item.to_string(), q.unknown_store))
        .collect();
    assert_eq!(
        kept,
        [
            ("Z".into(), "p1".into(), true),
            ("Z".into(), "p9".into(), true)
        ]
    );
}

#[test]
fn a_return_takes_back_spend_points_and_goods_but_no_visit() {
    let mut world = World::shop();
    world.sell(bought(1, vec![line("p1", 3, 3_000)]));
    let seen = anna(&world).history.last_purchase;
    world.wait_ms(1_000);
    world.sell(SaleDraft {
        kind: SaleKind::Return,
        ..bought(2, vec![line("p1", -1, -1_000)])
    });
    assert_eq!(
        (sums(&world), on_hand(&world, "p1")),
        ((1, 2_000, 20), -2_000)
    );
    assert_eq!(anna(&world).history.last_purchase, seen);
    // More points than are left: the balance goes below zero.
    world.sell(SaleDraft {
        kind: SaleKind::Return,
        ..bought(3, vec![line("p1", -1, -9_000)])
    });
    assert_eq!(sums(&world), (1, -7_000, -70));
}

#[test]
fn a_post_void_undoes_the_sale_once() {
    let mut world = World::shop();
    world.sell(bought(1, vec![line("p1", 1, 1_000)]));
    world.sell(bought(2, vec![line("p1", 3, 3_000)]));
    let void = SaleDraft {
        kind: SaleKind::PostVoid,
        ..bought(3, vec![line("p1", -3, -3_000)])
    };
    let command = sale_event("void", void, None);
    world.ok(command.clone());
    assert!(!world.changes(command));
    assert_eq!(
        (sums(&world), on_hand(&world, "p1")),
        ((1, 1_000, 10), -1_000)
    );
}

#[test]
fn what_is_no_sale_is_kept_and_changes_nothing() {
    let mut world = World::shop();
    let neutral = SaleDraft {
        kind: SaleKind::Neutral,
        training: true,
        ..bought(1, vec![line("p1", 1, 100), line("p9", 1, 1)])
    };
    let command = sale_event("1", neutral, None);
    assert_eq!(warnings(world.ok(command.clone())), []);
    assert!(!world.changes(command), "its keys are taken");
    assert!(world.state.stock.is_empty() && world.state.customers.is_empty());
    assert!(read(&world.state.quarantine).is_empty());
    assert_eq!(world.state.counters().transactions, 1);
}

#[test]
fn a_price_or_weight_in_the_code_tells_the_quantity() {
    let mut world = World::new();
    world.ok(Command::PutStores(vec![world::build::store_at(
        "A", 45.0, 9.0,
    )]));
    let mut ham = product("ham", 200);
    ham.product.plu = "12345".into();
    world.ok(Command::PutProducts(vec![ham]));
    let masks = ["21IIIIIWWWWWC", "20IIIIIPPPPPC"];
    let mut check = |number: i64, kind: SaleKind, code: &str, quantity: i64, net: i64| {
        let before = (on_hand(&world, "ham"), number > 1);
        let spent = if before.1 { sums(&world).1 } else { 0 };
        let told = world.sell(SaleDraft {
            kind,
            ..bought(number, vec![scanned(code, &masks)])
        });
        assert_eq!(warnings(told), []);
        assert_eq!(on_hand(&world, "ham") - before.0, -quantity, "{code}");
        assert_eq!(sums(&world).1 - spent, net, "{code}");
    };
    // 4.99 at 2.00: 2.495 of it. 1.25 kg at 2.00: 2.50.
    check(1, SaleKind::Sale, "2012345004993", 2_495, 499);
    check(2, SaleKind::Sale, "2112345012506", 1_250, 250);
    check(3, SaleKind::Return, "2012345004993", -2_495, -499);
    check(4, SaleKind::PostVoid, "2112345012506", -1_250, -250);
}

#[test]
fn without_an_amount_the_list_price_counts() {
    let mut world = World::shop();
    let mut half = line("p3", 0, 0);
    (half.quantity, half.net) = (Some(500), None);
    let mut one = line("p1", 0, 0);
    (one.quantity, one.net) = (None, None);
    world.sell(bought(1, vec![half, one]));
    assert_eq!(
        (sums(&world).1, on_hand(&world, "p3"), on_hand(&world, "p1")),
        (250, -500, -1_000)
    );
}

#[test]
fn currencies_are_never_added() {
    let mut world = World::shop();
    let chf = Currency::parse("CHF").expect("a code");
    let mut foreign = line("p1", 1, 0);
    foreign.net = Some(Money {
        currency: chf,
        minor: 750,
    });
    world.sell(bought(1, vec![line("p1", 1, 199), foreign]));
    let expect = [
        Spend {
            currency: chf,
            net_minor: 750,
            purchases: 1,
        },
        Spend {
            currency: Currency::EUR,
            net_minor: 199,
            purchases: 1,
        },
    ];
    assert_eq!(anna(&world).history.spend.as_slice(), expect.as_slice());
    // Each earns points by itself: 7 and 1, not 9.
    assert_eq!(sums(&world).2, 8);
}

#[test]
fn points_follow_the_rate_of_the_time() {
    let mut world = World::shop();
    world.rules = Rules {
        points_per_currency_unit: 3,
        ..world.rules.clone()
    };
    world.sell(bought(1, vec![line("p1", 1, 299)]));
    assert_eq!(sums(&world).2, 6);
    world.rules = Rules {
        points_per_currency_unit: 0,
        ..world.rules.clone()
    };
    world.sell(bought(2, vec![line("p1", 1, 299)]));
    assert_eq!(sums(&world).2, 6);
    // Replaying does not need the rules.
    world.assert_recoverable();
}

#[test]
fn a_receipt_from_the_future_is_set_to_now_and_flagged() {
    let check = |occurred: Option<i64>, paid: Option<i64>, flagged: bool| {
        let mut world = World::shop();
        let at = |ms: i64| world.now.plus_ms(ms);
        let sale = SaleDraft {
            paid: paid.map(at),
            ..bought(1, vec![line("p1", 1, 100)])
        };
        let told = warnings(world.ok(sale_event("1", sale, occurred.map(at))));
        assert_eq!(
            told.contains(&Warning::FutureTime),
            flagged,
            "{occurred:?} {paid:?}"
        );
        assert!(
            anna(&world)
                .history
                .last_purchase
                .is_some_and(|t| t <= world.now)
        );
    };
    check(None, None, false);
    check(Some(CLOCK_SKEW_MS_MAX), None, false);
    check(Some(CLOCK_SKEW_MS_MAX + 1), None, true);
    check(None, Some(CLOCK_SKEW_MS_MAX), false);
    check(None, Some(DAY_MS), true);
    check(Some(-DAY_MS), Some(-DAY_MS), false);
}

#[test]
fn the_latest_purchase_is_the_latest_by_its_own_time() {
    let mut world = World::shop();
    let now = world.now;
    for (number, days, store) in [(1, 2, "A"), (2, 1, "B"), (3, 9, "C")] {
        let sale = SaleDraft {
            store_id: store.into(),
            paid: Some(now.plus_ms(-days * DAY_MS)),
            ..bought(number, vec![line("p1", 1, 100)])
        };
        world.sell(sale);
    }
    let history = anna(&world).history;
    assert_eq!(history.last_purchase, Some(now.plus_ms(-DAY_MS)));
    assert_eq!(history.last_store, Some(world.store("B")));
    assert_eq!(history.first_purchase, Some(now.plus_ms(-9 * DAY_MS)));
    assert_eq!(history.days_between_purchases(), Some(4.0));
}

#[test]
fn an_offer_is_redeemed_once_a_receipt() {
    let mut world = World::shop();
    let discounted = |number: i64| {
        let line = |sku: &str| SaleLineDraft {
            offer_ids: [("ten".into())].into_iter().collect(),
            ..line(sku, 1, 90)
        };
        bought(number, vec![line("p1"), line("p2")])
    };
    world.sell(discounted(1));
    world.sell(discounted(2));
    world.sell(SaleDraft {
        kind: SaleKind::Return,
        ..discounted(3)
    });
    let counts = *world.state.outcomes.get("ten").expect("counted");
    assert_eq!(
        counts,
        OutcomeCounts {
            redeems: 2,
            ..OutcomeCounts::default()
        }
    );
    world.assert_recoverable();
}

#[test]
fn a_receipt_without_identifiers_moves_stock_for_nobody() {
    let mut world = World::shop();
    world.sell(SaleDraft {
        lines: vec![line("p1", 1, 100)],
        ..receipt("A", 1)
    });
    assert_eq!(on_hand(&world, "p1"), -1_000);
    assert!(world.state.customers.is_empty());
}

#[test]
fn a_category_is_a_favourite_through_its_products() {
    let mut world = World::shop();
    world.ok(Command::PutProducts(vec![
        in_category("m1", 100, "Milk"),
        in_category("m2", 100, "Milk"),
    ]));
    world.sell(bought(
        1,
        vec![line("m1", 1, 100), line("m2", 1, 100), line("p1", 1, 100)],
    ));
    let top = anna(&world).history.top_categories(5);
    // Two kinds of milk on one receipt are one visit for milk.
    assert_eq!(top.len(), 1);
    let weight = anna(&world)
        .history
        .category_weight(top[0].0, world.now.day());
    assert!((weight - 1.0).abs() < 1e-4, "{weight}");
}

/// A receipt of the naive model: who, where, what. Customer 3 is nobody, product 3 and store 2 are unknown.
#[derive(Clone, Debug)]
struct Receipt {
    kind: SaleKind,
    customer: usize,
    store: usize,
    hours_ago: i64,
    lines: Vec<(usize, i64, i64)>,
}

const CUSTOMERS: [&str; 3] = ["AAA1", "BBB1", "CCC1"];
const PRODUCTS: [&str; 4] = ["p1", "p2", "p3", "unknown"];
const STORES: [&str; 3] = ["A", "B", "unknown"];

fn receipts() -> impl Strategy<Value = Vec<Receipt>> {
    let kind = prop_oneof![6 => Just(SaleKind::Sale), 2 => Just(SaleKind::Return), 1 => Just(SaleKind::Neutral)];
    let lines = prop::collection::vec((0usize..4, 1i64..5, 0i64..5_000), 0..4);
    let one = (kind, 0usize..4, 0usize..3, 0i64..40 * 24, lines).prop_map(
        |(kind, customer, store, hours_ago, lines)| Receipt {
            kind,
            customer,
            store,
            hours_ago,
            lines,
        },
    );
    prop::collection::vec(one, 1..25)
}

proptest! {
    #![proptest_config(property(1000))]

    // Receipts come in any order and again and again, then under their event id, their own key, or both.
    #[test]
    fn profiles_and_stock_equal_a_recount_of_all_receipts(
        receipts in receipts(),
        arrivals in prop::collection::vec((any::<prop::sample::Index>(), 0u8..3), 1..80),
        enrolled in any::<bool>(),
    ) {
        let mut world = World::shop();
        if enrolled {
            for (i, number) in CUSTOMERS.iter().enumerate() {
                world.ok(Command::CreateCustomer(person(&i.to_string(), &[card(number)])));
            }
        }
        let now = world.now;
        let mut taken: BTreeMap<usize, &Receipt> = BTreeMap::new();
        for (index, by) in &arrivals {
            let at = index.index(receipts.len());
            let receipt_ = &receipts[at];
            let sign = if receipt_.kind == SaleKind::Return { -1 } else { 1 };
            let sale = SaleDraft {
                kind: receipt_.kind,
                identifiers: CUSTOMERS.get(receipt_.customer).map(|c| card(c)).into_iter().collect(),
                lines: receipt_.lines.iter().map(|(p, q, c)| line(PRODUCTS[*p], sign * q, sign * c)).collect(),
                paid: Some(now.plus_ms(-receipt_.hours_ago * 3_600_000)),
                ..receipt(STORES[receipt_.store], at as i64)
            };
            let both = [business_key(&format!("event {at}")), receipt_key(&sale)];
            let first = taken.insert(at, receipt_).is_none();
            let sent = match (first, by) {
                (false, 0) => &both[..1],
                (false, 1) => &both[1..],
                _ => &both[..],
            };
            let keys = sent.iter().copied().collect();
            let command = Ingest { keys, occurred: None, position: None, payload: IngestPayload::Sale(sale) };
            let reply = world.ok(Command::Ingest(Box::new(command)));
            prop_assert_eq!(matches!(reply, Reply::Duplicate { .. }), !first);
        }

        prop_assert_eq!(world.state.counters().transactions, taken.len() as u64);
        for (number, card_number) in CUSTOMERS.iter().enumerate() {
            let own: Vec<_> = taken.values().filter(|r| r.customer == number && r.kind != SaleKind::Neutral).collect();
            let found = world.state.identifiers.get(&card(card_number).hash).map(|id| *id);
            prop_assert_eq!(found.is_some(), enrolled || !own.is_empty());
            let Some(id) = found else { continue };
            let history = &world.customer(id).history;
            let sales: Vec<_> = own.iter().filter(|r| r.kind == SaleKind::Sale).collect();
            let signed = |r: &Receipt| {
                let sum: i64 = r.lines.iter().map(|l| l.2).sum();
                if r.kind == SaleKind::Sale { sum } else { -sum }
            };
            prop_assert_eq!(history.purchases, sales.len() as i64);
            prop_assert_eq!(history.spend.iter().map(|s| s.net_minor).sum::<i64>(), own.iter().map(|r| signed(r)).sum::<i64>());
            prop_assert_eq!(history.points, own.iter().map(|r| signed(r) / 100).sum::<i64>());
            let latest = sales.iter().map(|r| r.hours_ago).min();
            prop_assert_eq!(history.last_purchase, latest.map(|h| now.plus_ms(-h * 3_600_000)));
            let earliest = sales.iter().map(|r| r.hours_ago).max();
            prop_assert_eq!(history.first_purchase, earliest.map(|h| now.plus_ms(-h * 3_600_000)));
            for (p, sku) in PRODUCTS[..3].iter().enumerate() {
                let day = |r: &Receipt| now.plus_ms(-r.hours_ago * 3_600_000).day();
                let with: Vec<_> = sales.iter().filter(|r| r.lines.iter().any(|l| l.0 == p)).collect();
                let naive: f64 = with.iter().map(|r| libm::pow(0.5, (now.day() - day(r)) as f64 / 90.0)).sum();
                let got = history.product_weight(world.sku(sku), now.day());
                prop_assert!((got - naive).abs() < 0.002, "{} {}", got, naive);
            }
        }
        for (s, store) in STORES[..2].iter().enumerate() {
            for (p, sku) in PRODUCTS[..3].iter().enumerate() {
                let moved = |r: &&&Receipt| r.store == s && r.kind != SaleKind::Neutral;
                let left: i64 = taken.values().filter(|r| moved(r)).map(|r| {
                    let sign = if r.kind == SaleKind::Return { -1 } else { 1 };
                    sign * r.lines.iter().filter(|l| l.0 == p).map(|l| l.1).sum::<i64>()
                }).sum();
                prop_assert_eq!(world.level(sku, store).on_hand, -left * 1000);
            }
        }
        let unknown: usize = taken.values().filter(|r| r.kind != SaleKind::Neutral)
            .map(|r| r.lines.iter().filter(|l| l.0 == 3 || r.store == 2).count()).sum();
        prop_assert_eq!(read(&world.state.quarantine).len(), unknown);
        world.assert_recoverable();
    }
}

#[test]
fn a_sale_before_the_first_count_is_in_it() {
    let mut world = World::shop();
    world.ok(count("p1", "A", 10));
    let counted = world.now;
    world.wait_ms(5);
    world.sell(SaleDraft {
        paid: Some(counted),
        ..bought(1, vec![line("p1", 1, 100)])
    });
    world.sell(SaleDraft {
        paid: Some(counted.plus_ms(1)),
        ..bought(2, vec![line("p1", 1, 100)])
    });
    assert_eq!((on_hand(&world, "p1"), sums(&world).0), (9_000, 2));
    assert_eq!(eur(200).minor, sums(&world).1);
}

#[test]
fn absurd_receipts_stop_at_the_ends_and_break_nothing() {
    use tillside_engine::limits::{
        AMOUNT_MINOR_MAX, LEVEL_THOUSANDTHS_MAX, QUANTITY_THOUSANDTHS_MAX,
    };
    let mut world = World::shop();
    world.rules = Rules {
        points_per_currency_unit: 1000,
        ..world.rules.clone()
    };
    let absurd = |price: Option<i64>| SaleLineDraft {
        quantity: Some(QUANTITY_THOUSANDTHS_MAX),
        net: price.map(|minor| Money {
            currency: Currency::EUR,
            minor,
        }),
        ..line("p1", 1, 0)
    };
    // A price that no one pays: without an amount of its own the line costs more than 64 bits can say.
    world.ok(Command::PutProducts(vec![product(
        "gold",
        AMOUNT_MINOR_MAX,
    )]));
    world.sell(bought(
        9,
        vec![SaleLineDraft {
            quantity: Some(QUANTITY_THOUSANDTHS_MAX),
            net: None,
            ..line("gold", 1, 0)
        }],
    ));
    for number in 1..4 {
        let lines = (0..RECEIPT_LINES_MAX).map(|i| absurd((i > 0).then_some(AMOUNT_MINOR_MAX)));
        let sale = SaleDraft {
            identifiers: vec![card("AAA1")],
            lines: lines.collect(),
            ..receipt("A", number)
        };
        world.sell(sale);
    }
    let sku = world
        .state
        .products
        .number("p1")
        .expect("a product of the shop");
    let store = world.state.stores.number("A").expect("a store of the shop");
    let level = world.state.level(sku, store);
    assert!(level.on_hand < -LEVEL_THOUSANDTHS_MAX && level.available_online() < 0);
    // A level that far out moves no further, and still takes a count.
    world.sell(SaleDraft {
        lines: vec![line("p1", 1, 100)],
        ..receipt("A", 4)
    });
    assert_eq!(world.state.level(sku, store).on_hand, level.on_hand);
}

#[test]
fn goods_taken_back_within_a_sale_give_back_the_price_in_their_code() {
    let mut world = World::shop();
    let mut ham = product("ham", 200);
    ham.product.plu = "12345".into();
    world.ok(Command::PutProducts(vec![ham]));
    let back = SaleLineDraft {
        quantity: Some(-2_495),
        ..scanned("2012345004993", &["20IIIIIPPPPPC"])
    };
    world.sell(bought(1, vec![line("p1", 1, 1_000), back]));
    // 4.99 comes off the ten euros, and the goods are back on the shelf.
    assert_eq!((sums(&world).1, on_hand(&world, "ham")), (501, 2_495));
}
