//! What should we offer? Eligibility, ranking and what became of offers.

mod world;

use std::sync::Arc;

use proptest::prelude::*;
use tillside_engine::command::{Command, OfferDraft, OutcomeReport, SaleDraft};
use tillside_engine::customer::{Customer, Purpose};
use tillside_engine::limits::ACTIVE_OFFERS_MAX;
use tillside_engine::offer::{Channel, OfferTerms, OutcomeCounts, OutcomeType, Reward};
use tillside_engine::ranking::{
    BasketItem, ExclusionReason, OfferDecision, OfferQuery, rank_offers,
};
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::units::{Currency, DAY_MS, Money};
use world::build::{
    business_key, card, consent, eur, in_category, line, offer, person, product, receipt,
};
use world::{START, World, property};

fn with(id: &str, change: impl FnOnce(&mut OfferTerms)) -> OfferDraft {
    let mut draft = offer(id);
    change(&mut draft.terms);
    draft
}

fn put(world: &mut World, draft: OfferDraft) -> u64 {
    match world.ok(Command::PutOffer(draft)) {
        Reply::Offer(offer) => offer.version.0,
        other => panic!("{other:?}"),
    }
}

/// Products p1 to p3, milk in a sub-category, and a restricted one of the same.
fn shop() -> World {
    let mut world = World::shop();
    let mut formula = in_category("formula", 1_500, "Food > Milk > Formula");
    formula.product.promotion_restricted = true;
    world.ok(Command::PutProducts(vec![
        in_category("milk", 150, "Food > Milk"),
        formula,
    ]));
    world
}

fn basket(world: &World, items: &[(&str, i64)]) -> Vec<BasketItem> {
    let item = |(sku, cents): &(&str, i64)| BasketItem {
        sku: world.state.products.number(sku),
        quantity: 1000,
        net: eur(*cents),
        vat_rate_basis_points: 2200,
    };
    items.iter().map(item).collect()
}

fn query<'a>(world: &World, basket: &'a [BasketItem]) -> OfferQuery<'a> {
    OfferQuery {
        customer: None,
        store: Some(world.store("A")),
        channel: Channel::Store,
        basket,
        max_offers: 10,
        now: world.now,
    }
}

fn ranked(decision: &OfferDecision) -> Vec<String> {
    decision
        .ranked
        .iter()
        .map(|r| r.offer.terms.offer_id.to_string())
        .collect()
}

/// A customer with a history of milk, who consented to what is given.
fn milk_drinker(world: &mut World, consents: &[Purpose]) -> Customer {
    let mut draft = person("C1", &[card("AAA1")]);
    draft.consents = consents.iter().map(|p| consent(*p, true, START)).collect();
    draft.segments = vec!["gold".into()];
    world.ok(Command::CreateCustomer(draft));
    for number in 0..3 {
        let lines = vec![line("milk", 1, 150)];
        world.sell(SaleDraft {
            lines,
            identifiers: vec![card("AAA1")],
            ..receipt("A", number)
        });
    }
    let id = *world
        .state
        .identifiers
        .get(&card("AAA1").hash)
        .expect("enrolled");
    Customer::clone(&world.customer(id))
}

#[test]
fn every_exclusion_has_its_reason() {
    let check = |draft: OfferDraft, items: &[(&str, i64)], expect: Option<ExclusionReason>| {
        let mut world = shop();
        let customer = milk_drinker(&mut world, &[Purpose::Marketing]);
        put(&mut world, draft.clone());
        let basket = basket(&world, items);
        let decision = rank_offers(
            &world.state,
            &OfferQuery {
                customer: Some(&customer),
                ..query(&world, &basket)
            },
        );
        let reasons: Vec<_> = decision
            .exclusions
            .iter()
            .map(|(_, reason)| *reason)
            .collect();
        assert_eq!(reasons, expect.into_iter().collect::<Vec<_>>(), "{draft:?}");
        assert_eq!(decision.ranked.len(), usize::from(expect.is_none()));
    };
    let food = [("p1", 1_000), ("milk", 500)];
    let free = |change: fn(&mut OfferTerms), expect| check(with("o", change), &food, expect);
    free(|_| {}, None);
    free(
        |t| t.start = Some(START.plus_ms(1)),
        Some(ExclusionReason::NotStarted),
    );
    free(|t| t.start = Some(START), None);
    free(|t| t.end = Some(START), Some(ExclusionReason::Ended));
    free(|t| t.end = Some(START.plus_ms(1)), None);
    free(
        |t| t.channels = vec![Channel::App, Channel::Kiosk],
        Some(ExclusionReason::Channel),
    );
    free(|t| t.channels = vec![Channel::App, Channel::Store], None);
    free(
        |t| t.segments = vec!["silver".into()],
        Some(ExclusionReason::Segment),
    );
    free(|t| t.segments = vec!["silver".into(), "gold".into()], None);
    free(
        |t| t.required_consents = vec![Purpose::Marketing, Purpose::ThirdParties],
        Some(ExclusionReason::ConsentMissing),
    );
    free(|t| t.required_consents = vec![Purpose::Marketing], None);
    free(
        |t| t.minimum_basket = Some(eur(1_501)),
        Some(ExclusionReason::MinimumBasket),
    );
    free(|t| t.minimum_basket = Some(eur(1_500)), None);
    free(
        |t| {
            t.minimum_basket = Some(Money {
                currency: Currency::parse("CHF").expect("a code"),
                minor: 1,
            })
        },
        Some(ExclusionReason::MinimumBasket),
    );
    free(|t| t.target_categories = vec!["Food".into()], None);
    // A category's name is no prefix of its neighbour's.
    free(
        |t| (t.target_categories, t.target_in_basket) = (vec!["Foo".into()], true),
        Some(ExclusionReason::NoTargetInBasket),
    );
    // The first reason that applies is the one that is told.
    free(
        |t| (t.end, t.channels) = (Some(START), vec![Channel::App]),
        Some(ExclusionReason::Ended),
    );

    let of = |stores: &[&str], skus: &[&str], in_basket: bool| {
        let mut draft = offer("o");
        draft.store_ids = stores.iter().map(|s| Arc::from(*s)).collect();
        draft.target_skus = skus.iter().map(|s| Arc::from(*s)).collect();
        draft.terms.target_in_basket = in_basket;
        draft
    };
    check(
        of(&["C", "B"], &[], false),
        &food,
        Some(ExclusionReason::Store),
    );
    check(of(&["B", "A"], &[], false), &food, None);
    check(
        of(&[], &["p2"], true),
        &food,
        Some(ExclusionReason::NoTargetInBasket),
    );
    check(of(&[], &["p2"], false), &food, None);
    check(of(&[], &["p2", "milk"], true), &food, None);
    // The law limits it: in the basket, or as the only thing the offer is about.
    check(
        of(&[], &["formula"], true),
        &[("formula", 1_500)],
        Some(ExclusionReason::PromotionRestricted),
    );
    check(
        of(&[], &["formula"], false),
        &food,
        Some(ExclusionReason::PromotionRestricted),
    );
    check(of(&[], &["formula", "milk"], false), &food, None);
    check(
        offer("o"),
        &[("formula", 1_500)],
        Some(ExclusionReason::PromotionRestricted),
    );
    check(offer("o"), &[("formula", 1_500), ("p1", 100)], None);
    check(offer("o"), &[], None);
}

#[test]
fn an_unknown_customer_or_place_meets_no_condition_about_them() {
    let mut world = shop();
    put(
        &mut world,
        with("segment", |t| t.segments = vec!["gold".into()]),
    );
    put(
        &mut world,
        with("consent", |t| {
            t.required_consents = vec![Purpose::Marketing]
        }),
    );
    let mut local = offer("store");
    local.store_ids = vec!["A".into()];
    put(&mut world, local);
    let decision = rank_offers(
        &world.state,
        &OfferQuery {
            store: None,
            ..query(&world, &[])
        },
    );
    let reasons: Vec<_> = decision
        .exclusions
        .iter()
        .map(|(id, r)| (id.to_string(), *r))
        .collect();
    let expect = [
        ("consent".to_owned(), ExclusionReason::ConsentMissing),
        ("segment".to_owned(), ExclusionReason::Segment),
        ("store".to_owned(), ExclusionReason::Store),
    ];
    assert_eq!(reasons, expect);
}

#[test]
fn the_score_is_propensity_times_fit_times_value_times_lever() {
    let mut world = shop();
    put(&mut world, with("value", |t| t.value = eur(300)));
    put(&mut world, with("lever", |t| t.lever_thousandths = 2_000));
    put(
        &mut world,
        with("likely", |t| t.base_propensity_ppm = 250_000),
    );
    let mut fits = offer("fits");
    fits.target_skus = vec!["p1".into()];
    put(&mut world, fits);
    put(&mut world, offer("b-plain"));
    put(&mut world, offer("a-plain"));
    let basket = basket(&world, &[("p1", 100)]);
    let decision = rank_offers(&world.state, &query(&world, &basket));
    // Ties by id.
    assert_eq!(
        ranked(&decision),
        ["value", "likely", "lever", "fits", "a-plain", "b-plain"]
    );
    for (offer, score) in decision
        .ranked
        .iter()
        .zip([30.0, 25.0, 20.0, 15.0, 10.0, 10.0])
    {
        assert!(
            (offer.score - score).abs() < 1e-9,
            "{} {}",
            offer.offer.terms.offer_id,
            offer.score
        );
        assert!(!offer.reasons.is_empty());
    }
}

#[test]
fn only_so_many_are_made_and_the_others_are_said_to_be_lower() {
    let mut world = shop();
    for (id, value) in [("a", 100), ("b", 300), ("c", 200)] {
        put(&mut world, with(id, |t| t.value = eur(value)));
    }
    for max_offers in 0..4 {
        let decision = rank_offers(
            &world.state,
            &OfferQuery {
                max_offers,
                ..query(&world, &[])
            },
        );
        assert_eq!(ranked(&decision), ["b", "c", "a"][..max_offers.min(3)]);
        assert!(
            decision
                .exclusions
                .iter()
                .all(|(_, r)| *r == ExclusionReason::RankedLower)
        );
        assert_eq!(decision.exclusions.len(), 3 - max_offers.min(3));
        assert!(decision.exclusions.is_sorted_by(|a, b| a.0 < b.0));
    }
}

#[test]
fn a_reward_comes_off_the_lines_to_the_cent() {
    let check =
        |reward: Reward, targets: &[&str], items: &[(&str, i64)], expect: &[(usize, i64, i64)]| {
            let mut world = shop();
            let mut draft = with("o", |t| t.reward = reward);
            draft.target_skus = targets.iter().map(|s| Arc::from(*s)).collect();
            put(&mut world, draft);
            let basket = basket(&world, items);
            let decision = rank_offers(&world.state, &query(&world, &basket));
            let got: Vec<_> = decision.ranked[0]
                .line_rewards
                .iter()
                .map(|r| (r.line, r.amount.minor, r.vat.minor))
                .collect();
            assert_eq!(got, expect, "{reward:?} {items:?}");
        };
    let percent = Reward::PercentOff(1_000);
    // 10 % of 3.33 is 0.33, of which 22 % VAT included is 0.06.
    check(percent, &[], &[("p1", 333)], &[(0, 33, 6)]);
    // 10 % of the whole 0.99, split 0.10 = 0.04 + 0.03 + 0.03: the sum is rounded, never the parts.
    check(
        percent,
        &[],
        &[("p1", 33), ("p2", 33), ("p3", 33)],
        &[(0, 4, 1), (1, 3, 1), (2, 3, 1)],
    );
    // The largest remainder gets the cent: 5.00 over 1.00, 2.00 and 4.00 is 0.714, 1.429, 2.857.
    let five = Reward::AmountOff(eur(500));
    check(
        five,
        &[],
        &[("p1", 100), ("p2", 200), ("p3", 400)],
        &[(0, 71, 13), (1, 143, 26), (2, 286, 52)],
    );
    // Never more than there is to pay.
    check(
        five,
        &[],
        &[("p1", 100), ("p2", 200)],
        &[(0, 100, 18), (1, 200, 36)],
    );
    // Only on targets, never on what the law limits, and not on lines that cost nothing.
    check(
        percent,
        &["p2"],
        &[("p1", 1_000), ("p2", 1_000)],
        &[(1, 100, 18)],
    );
    check(
        percent,
        &[],
        &[("p1", 0), ("formula", 1_000), ("p2", 1_000), ("p3", -500)],
        &[(2, 100, 18)],
    );
    check(
        Reward::PercentOff(10_000),
        &[],
        &[("p1", 333)],
        &[(0, 333, 60)],
    );
    check(Reward::ExtraPoints(50), &[], &[("p1", 333)], &[]);
    check(percent, &[], &[], &[]);
    // Less than half a cent is nothing.
    check(percent, &[], &[("p1", 4)], &[]);
}

#[test]
fn amounts_of_another_currency_are_left_alone() {
    let mut world = shop();
    put(
        &mut world,
        with("amount", |t| t.reward = Reward::AmountOff(eur(50))),
    );
    put(&mut world, offer("percent"));
    let mut items = basket(&world, &[("p1", 1_000), ("p2", 1_000)]);
    items[0].net.currency = Currency::parse("CHF").expect("a code");
    let decision = rank_offers(&world.state, &query(&world, &items));
    let of = |id: &str| {
        let offer = decision
            .ranked
            .iter()
            .find(|r| &*r.offer.terms.offer_id == id)
            .expect("ranked");
        offer
            .line_rewards
            .iter()
            .map(|r| (r.line, r.amount.minor))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("amount"), [(1, 50)]);
    assert_eq!(of("percent"), [(0, 100)]);
}

#[test]
fn without_consent_to_profiling_the_history_is_not_used() {
    let decide = |consents: &[Purpose], known: bool| {
        let mut world = shop();
        let customer = milk_drinker(&mut world, consents);
        let mut bread = offer("a-other");
        bread.target_skus = vec!["p1".into()];
        put(&mut world, bread);
        put(
            &mut world,
            with("b-milk", |t| {
                t.target_categories = vec!["Food > Milk".into()]
            }),
        );
        let query = query(&world, &[]);
        rank_offers(
            &world.state,
            &OfferQuery {
                customer: known.then_some(&customer),
                ..query
            },
        )
    };
    let personal = decide(&[Purpose::Profiling], true);
    assert!(personal.personalised);
    assert_eq!(ranked(&personal), ["b-milk", "a-other"]);
    assert!(
        personal.ranked[0].reasons[0].contains("Food > Milk"),
        "{:?}",
        personal.ranked[0].reasons
    );
    // Three purchases today: the odds are four times those of the others.
    let odds = |p: f64| p / (1.0 - p);
    let (milk, other) = (personal.ranked[0].propensity, personal.ranked[1].propensity);
    assert!((odds(milk) / odds(other) - 4.0).abs() < 1e-3);

    let anonymous = decide(&[], false);
    for consents in [
        &[][..],
        &[
            Purpose::Marketing,
            Purpose::Analytics,
            Purpose::ThirdParties,
        ][..],
    ] {
        let without = decide(consents, true);
        assert!(!without.personalised);
        let facts = |d: &OfferDecision| -> Vec<_> {
            d.ranked
                .iter()
                .map(|r| {
                    (
                        r.offer.terms.offer_id.clone(),
                        r.score.to_bits(),
                        r.reasons.clone(),
                    )
                })
                .collect()
        };
        assert_eq!(facts(&without), facts(&anonymous));
    }
}

#[test]
fn a_taste_fades() {
    let mut world = shop();
    let customer = milk_drinker(&mut world, &[Purpose::Profiling]);
    put(
        &mut world,
        with("milk", |t| t.target_categories = vec!["Food".into()]),
    );
    let propensity = |days: i64| {
        let now = world.now.plus_ms(days * DAY_MS);
        rank_offers(
            &world.state,
            &OfferQuery {
                customer: Some(&customer),
                now,
                ..query(&world, &[])
            },
        )
        .ranked[0]
            .propensity
    };
    assert!(propensity(0) > propensity(90) && propensity(90) > propensity(900));
    assert!((propensity(10_000) - 0.1).abs() < 1e-9);
}

#[test]
fn an_outcome_counts_once_and_moves_the_propensity() {
    let mut world = shop();
    put(&mut world, offer("o"));
    let report = |number: u32, outcome: OutcomeType| OutcomeReport {
        key: business_key(&format!("{number} {outcome:?}")),
        offer_id: "o".into(),
        outcome,
    };
    let propensity =
        |world: &World| rank_offers(&world.state, &query(world, &[])).ranked[0].propensity;
    assert!((propensity(&world) - 0.1).abs() < 1e-12);
    let shown: Vec<_> = (0..20)
        .map(|i| report(i, OutcomeType::Impression))
        .collect();
    let all = Command::ReportOutcomes(
        shown
            .iter()
            .cloned()
            .chain([shown[0].clone(), report(0, OutcomeType::Accept)])
            .collect(),
    );
    assert_eq!(
        world.ok(all.clone()),
        Reply::Outcomes {
            accepted: 21,
            duplicates: 1
        }
    );
    assert_eq!(
        world.ok(all),
        Reply::Outcomes {
            accepted: 0,
            duplicates: 22
        }
    );
    let expect = OutcomeCounts {
        impressions: 20,
        accepts: 1,
        ..OutcomeCounts::default()
    };
    assert_eq!(*world.state.outcomes.get("o").expect("counted"), expect);
    // The retailer's 10 % weigh as much as 20 impressions: (2 + 1) / (20 + 20).
    assert!((propensity(&world) - 0.075).abs() < 1e-12);
    let unknown = OutcomeReport {
        offer_id: "nothing".into(),
        ..report(99, OutcomeType::Click)
    };
    let mixed = Command::ReportOutcomes(vec![report(98, OutcomeType::Click), unknown]);
    assert!(matches!(
        world.refused(mixed),
        Rejection::UnknownOffer { .. }
    ));
    assert_eq!(*world.state.outcomes.get("o").expect("counted"), expect);
    world.assert_recoverable();
}

#[test]
fn an_offer_is_put_once_changed_by_version_and_archived_for_good() {
    let mut world = shop();
    let first = put(&mut world, offer("o"));
    assert!(!world.changes(Command::PutOffer(offer("o"))));
    let dearer = |etag: Option<u64>| OfferDraft {
        etag,
        ..with("o", |t| t.value = eur(200))
    };
    assert_eq!(
        world.refused(Command::PutOffer(dearer(Some(first + 1)))),
        Rejection::EtagMismatch
    );
    let unseen = OfferDraft {
        etag: Some(first),
        ..offer("new")
    };
    assert_eq!(
        world.refused(Command::PutOffer(unseen)),
        Rejection::EtagMismatch
    );
    let second = put(&mut world, dearer(Some(first)));
    assert!(second > first);
    // A dry run answers and changes nothing.
    let dry = OfferDraft {
        validate_only: true,
        ..offer("dry")
    };
    assert!(!world.changes(Command::PutOffer(dry)));
    assert_eq!(
        ranked(&rank_offers(&world.state, &query(&world, &[]))),
        ["o"]
    );

    let archive = Command::ArchiveOffer {
        offer_id: "o".into(),
    };
    assert!(world.changes(archive.clone()));
    assert!(!world.changes(archive));
    assert!(matches!(
        world.refused(Command::PutOffer(offer("o"))),
        Rejection::Invalid { .. }
    ));
    let nothing = Command::ArchiveOffer {
        offer_id: "nothing".into(),
    };
    assert!(matches!(
        world.refused(nothing),
        Rejection::UnknownOffer { .. }
    ));
    let decision = rank_offers(&world.state, &query(&world, &[]));
    assert!(decision.ranked.is_empty() && decision.exclusions.is_empty());
    world.assert_recoverable();
}

#[test]
fn an_offer_about_what_is_not_in_the_catalog_is_refused() {
    let mut world = shop();
    let mut nowhere = offer("o");
    nowhere.store_ids = vec!["A".into(), "Z".into()];
    match world.refused(Command::PutOffer(nowhere)) {
        Rejection::UnknownStore { field, .. } => assert_eq!(field, "offer.store_ids[1]"),
        other => panic!("{other}"),
    }
    let mut nothing = offer("o");
    nothing.target_skus = vec!["p9".into()];
    assert!(matches!(
        world.refused(Command::PutOffer(nothing)),
        Rejection::UnknownSku { .. }
    ));
    assert!(world.state.offers.is_empty());
}

#[test]
fn archived_offers_make_room_for_new_ones() {
    let mut world = World::shop();
    // The bound is on what ranking looks at; each put checks all invariants, so the events are applied at once.
    let put = |i: usize| tillside_engine::event::Event::OfferPut {
        terms: Arc::new(offer(&format!("o{i:04}")).terms),
    };
    world.happen((0..ACTIVE_OFFERS_MAX).map(put).collect());
    assert!(matches!(
        world.refused(Command::PutOffer(offer("more"))),
        Rejection::LimitExceeded { .. }
    ));
    world.ok(Command::ArchiveOffer {
        offer_id: "o0000".into(),
    });
    world.ok(Command::PutOffer(offer("more")));
}

/// An offer of the naive model.
#[derive(Clone, Debug)]
struct Naive {
    days: (i64, i64),
    at_a: bool,
    segment: u8,
    minimum: i64,
    consent: bool,
    targets: Vec<usize>,
    in_basket: bool,
    value: i64,
    ppm: u32,
    lever: u32,
    archived: bool,
}

const GOODS: [&str; 5] = ["p1", "p2", "p3", "milk", "formula"];

fn naive_offers() -> impl Strategy<Value = Vec<Naive>> {
    let one = (
        (
            -3i64..2,
            0i64..5,
            prop::bool::weighted(0.7),
            0u8..3,
            0i64..1_000,
            prop::bool::weighted(0.2),
        ),
        (
            prop::collection::vec(0usize..5, 0..3),
            any::<bool>(),
            0i64..4,
            0u32..4,
            0u32..3,
            prop::bool::weighted(0.1),
        ),
    );
    let one = one.prop_map(
        |(
            (from, long, at_a, segment, minimum, consent),
            (targets, in_basket, value, ppm, lever, archived),
        )| Naive {
            days: (from, from + long),
            at_a,
            segment,
            minimum: if minimum < 500 { 0 } else { minimum },
            consent,
            targets,
            in_basket,
            // Few different values, so that ties are common.
            value: value * 100,
            ppm: ppm * 200_000,
            lever: lever * 500,
            archived,
        },
    );
    prop::collection::vec(one, 0..15)
}

proptest! {
    #![proptest_config(property(1000))]

    #[test]
    fn the_ranking_equals_a_naive_filter_and_sort(
        offers in naive_offers(),
        items in prop::collection::vec((0usize..5, 1i64..400), 0..5),
        known in any::<bool>(),
        max_offers in 0usize..6,
    ) {
        let mut world = shop();
        let customer = milk_drinker(&mut world, &[Purpose::Marketing]);
        for (i, naive) in offers.iter().enumerate() {
            let day = |d: i64| START.plus_ms(d * DAY_MS);
            let mut draft = with(&format!("o{i:02}"), |t| {
                (t.start, t.end) = (Some(day(naive.days.0)), Some(day(naive.days.1)));
                t.segments = match naive.segment { 0 => vec![], 1 => vec!["gold".into()], _ => vec!["silver".into()] };
                t.minimum_basket = (naive.minimum > 0).then_some(eur(naive.minimum));
                t.required_consents = if naive.consent { vec![Purpose::Marketing] } else { vec![] };
                t.target_in_basket = naive.in_basket;
                t.value = eur(naive.value);
                t.base_propensity_ppm = naive.ppm;
                t.lever_thousandths = naive.lever;
            });
            draft.store_ids = if naive.at_a { vec![] } else { vec!["B".into()] };
            draft.target_skus = naive.targets.iter().map(|t| Arc::from(GOODS[*t])).collect();
            put(&mut world, draft);
            if naive.archived {
                world.ok(Command::ArchiveOffer { offer_id: format!("o{i:02}").into() });
            }
        }
        let named: Vec<_> = items.iter().map(|(p, cents)| (GOODS[*p], *cents)).collect();
        let basket = basket(&world, &named);
        let who = known.then_some(&customer);
        let decision = rank_offers(&world.state, &OfferQuery { customer: who, max_offers, ..query(&world, &basket) });

        let total: i64 = items.iter().map(|i| i.1).sum();
        let may = |o: &Naive| {
            let hits: Vec<_> = items.iter().filter(|i| o.targets.is_empty() || o.targets.contains(&i.0)).collect();
            let legal = if hits.is_empty() {
                o.targets.is_empty() || o.targets.iter().any(|t| *t != 4)
            } else {
                hits.iter().any(|i| i.0 != 4)
            };
            !o.archived && o.days.0 <= 0 && o.days.1 > 0 && o.at_a
                && (o.segment == 0 || (known && o.segment == 1))
                && (!o.consent || known)
                && total >= o.minimum
                && (!o.in_basket || !hits.is_empty())
                && legal
        };
        let score = |o: &Naive| {
            let fits = items.iter().any(|i| i.0 != 4 && o.targets.contains(&i.0));
            f64::from(o.ppm) / 1e6 * if fits { 1.5 } else { 1.0 } * o.value as f64 * f64::from(o.lever) / 1000.0
        };
        let mut naive: Vec<_> = offers.iter().enumerate().filter(|(_, o)| may(o)).map(|(i, o)| (i, score(o))).collect();
        // Scores that differ only by the order of multiplication are equal.
        let rounded = |s: f64| libm::round(s * 1e6) as i64;
        naive.sort_by_key(|(i, s)| (-rounded(*s), *i));
        let lower = naive.split_off(naive.len().min(max_offers));
        let got: Vec<_> = decision.ranked.iter().map(|r| (r.offer.terms.offer_id.to_string(), rounded(r.score))).collect();
        let expect: Vec<_> = naive.iter().map(|(i, s)| (format!("o{i:02}"), rounded(*s))).collect();
        prop_assert_eq!(got, expect);
        let said_lower = decision.exclusions.iter().filter(|(_, r)| *r == ExclusionReason::RankedLower).count();
        prop_assert_eq!(said_lower, lower.len());
        let active = offers.iter().filter(|o| !o.archived).count();
        prop_assert_eq!(decision.ranked.len() + decision.exclusions.len(), active, "every active offer is answered");
        for offer in &decision.ranked {
            let off: i64 = offer.line_rewards.iter().map(|r| r.amount.minor).sum();
            let eligible: i64 = offer.line_rewards.iter().map(|r| basket[r.line].net.minor).sum();
            prop_assert!(off <= eligible);
            prop_assert!(offer.line_rewards.iter().all(|r| r.amount.minor > 0 && r.vat.minor <= r.amount.minor));
        }
    }
}

#[test]
fn the_same_question_has_the_same_answer() {
    let mut world = shop();
    for i in 0..50 {
        put(
            &mut world,
            with(&format!("o{i:02}"), |t| {
                t.base_propensity_ppm = 1_000 * (i % 7)
            }),
        );
    }
    world.ok(Command::PutProducts(vec![product("p9", 1)]));
    let basket = basket(&world, &[("p1", 100)]);
    let first = ranked(&rank_offers(&world.state, &query(&world, &basket)));
    for state in [world.saved(), world.replayed()] {
        assert_eq!(ranked(&rank_offers(&state, &query(&world, &basket))), first);
    }
}
