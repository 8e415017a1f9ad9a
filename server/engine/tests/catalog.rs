//! Stores and products: upserts, barcodes, categories.

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tillside_engine::barcode::{BarcodeMask, Embedded};
use tillside_engine::catalog::{Store, StoreState};
use tillside_engine::command::{Command, ProductDraft};
use tillside_engine::geo_index::Spot;
use tillside_engine::nearest::{Candidates, nearest as nearest_of};
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::units::{Thousandths, Unit};
use world::build::{eur, in_category, product, store_at};
use world::{World, property};

fn put(world: &mut World, drafts: &[ProductDraft]) -> (u32, u32, u32) {
    tally(world.ok(Command::PutProducts(drafts.to_vec())))
}

fn put_stores(world: &mut World, stores: &[Store]) -> (u32, u32, u32) {
    tally(world.ok(Command::PutStores(stores.to_vec())))
}

fn tally(reply: Reply) -> (u32, u32, u32) {
    match reply {
        Reply::Put {
            created,
            updated,
            unchanged,
        } => (created, updated, unchanged),
        other => panic!("{other:?}"),
    }
}

fn with_gtins(sku: &str, gtins: &[u64]) -> ProductDraft {
    let mut draft = product(sku, 100);
    draft.product.gtins = gtins.to_vec();
    draft
}

fn with_plu(sku: &str, plu: &str) -> ProductDraft {
    let mut draft = product(sku, 200);
    draft.product.plu = plu.into();
    draft
}

fn scan(world: &World, gtin: u64) -> Option<Arc<str>> {
    world
        .state
        .find_scanned(Some(gtin), &[])
        .map(|f| Arc::clone(&f.product.sku))
}

#[test]
fn putting_twice_is_putting_once() {
    let mut world = World::new();
    let products = [product("p1", 100), in_category("p2", 200, "Food > Milk")];
    let stores = [store_at("A", 45.0, 9.0), store_at("B", 46.0, 9.0)];
    assert_eq!(put(&mut world, &products), (2, 0, 0));
    assert_eq!(put_stores(&mut world, &stores), (2, 0, 0));
    let changes = world.log.len();
    assert_eq!(put(&mut world, &products), (0, 0, 2));
    assert_eq!(put_stores(&mut world, &stores), (0, 0, 2));
    assert_eq!(
        world.log.len(),
        changes,
        "what is there already is no event"
    );
    assert_eq!(
        put(
            &mut world,
            &[product("p1", 101), product("p3", 1), products[1].clone()]
        ),
        (1, 1, 1)
    );
    world.assert_recoverable();
}

#[test]
fn a_change_keeps_the_number_and_takes_a_new_version() {
    let mut world = World::shop();
    let (sku, store) = (world.sku("p1"), world.store("A"));
    let before = world.state.products.get(sku).expect("put").version;
    put(&mut world, &[product("p1", 999)]);
    let after = world.state.products.get(sku).expect("put");
    assert_eq!((world.sku("p1"), after.list_price), (sku, Some(eur(999))));
    assert!(after.version > before);
    let closed = Store {
        state: StoreState::Closed,
        ..store_at("A", 45.0, 9.0)
    };
    assert_eq!(put_stores(&mut world, &[closed]), (0, 1, 0));
    assert_eq!(world.store("A"), store);
}

#[test]
fn of_several_entries_for_one_id_the_last_counts() {
    let mut world = World::new();
    assert_eq!(
        put(&mut world, &[product("p1", 100), product("p1", 200)]),
        (1, 0, 0)
    );
    let found = world.state.find_sku("p1").expect("put");
    assert_eq!(found.product.list_price, Some(eur(200)));
    put_stores(
        &mut world,
        &[store_at("A", 1.0, 1.0), store_at("A", 2.0, 2.0)],
    );
    let (_, store) = world.state.stores.find("A").expect("put");
    assert_eq!(store.location.y(), 2.0);
}

#[test]
fn leading_zeros_make_another_id() {
    let mut world = World::new();
    assert_eq!(
        put(&mut world, &[product("7", 100), product("007", 200)]),
        (2, 0, 0)
    );
    assert_ne!(world.sku("7"), world.sku("007"));
}

#[test]
fn a_barcode_belongs_to_one_product() {
    let mut world = World::new();
    put(
        &mut world,
        &[with_gtins("p1", &[11, 12]), with_plu("w1", "00042")],
    );
    let mut check = |drafts: &[ProductDraft], field: &str, owner: &str| match world
        .refused(Command::PutProducts(drafts.to_vec()))
    {
        Rejection::BarcodeTaken {
            field: f, owner: o, ..
        } => assert_eq!((f.as_str(), &*o), (field, owner)),
        other => panic!("{other}"),
    };
    check(&[with_gtins("p2", &[13, 12])], "products[0].gtins[1]", "p1");
    check(
        &[product("p3", 1), with_plu("w2", "00042")],
        "products[1].plu",
        "w1",
    );
    // Within one call too, and then nothing of the call is done.
    check(
        &[with_gtins("p4", &[14]), with_gtins("p5", &[14])],
        "products[1].gtins[0]",
        "p4",
    );
    assert!(world.state.find_sku("p4").is_none() && world.state.find_sku("p3").is_none());
    // The same code twice on one product is one code.
    assert_eq!(put(&mut world, &[with_gtins("p6", &[15, 15])]), (1, 0, 0));
}

#[test]
fn a_barcode_moves_once_it_is_given_up() {
    let mut world = World::new();
    put(
        &mut world,
        &[with_gtins("p1", &[11, 12]), with_plu("w1", "00042")],
    );
    put(
        &mut world,
        &[with_gtins("p1", &[11]), with_plu("w1", "00043")],
    );
    assert_eq!(scan(&world, 12), None);
    put(
        &mut world,
        &[with_gtins("p2", &[12]), with_plu("w2", "00042")],
    );
    assert_eq!(scan(&world, 11).as_deref(), Some("p1"));
    assert_eq!(scan(&world, 12).as_deref(), Some("p2"));
    let found = world
        .state
        .find_scanned(None, &[("00042".into(), Embedded::PriceMinor(1))]);
    assert_eq!(
        found.map(|f| Arc::clone(&f.product.sku)).as_deref(),
        Some("w2")
    );
    world.assert_recoverable();
}

#[test]
fn the_unit_of_a_product_stays() {
    let mut world = World::shop();
    let mut draft = product("p1", 100);
    draft.product.unit = Unit::Kilogram;
    let refused = world.refused(Command::PutProducts(vec![
        in_category("new", 1, "New"),
        draft,
    ]));
    assert!(
        matches!(&refused, Rejection::Invalid { field, .. } if field == "products[1].unit"),
        "{refused}"
    );
    assert!(world.state.find_sku("new").is_none());
    assert!(world.state.categories.is_empty());
}

#[test]
fn a_category_path_has_one_number() {
    let mut world = World::new();
    put(
        &mut world,
        &[
            in_category("p1", 1, "Food > Milk"),
            in_category("p2", 1, "Food > Milk"),
        ],
    );
    put(
        &mut world,
        &[
            in_category("p3", 1, "Food"),
            in_category("p4", 1, "Food > Milk"),
        ],
    );
    let category = |sku: &str| {
        world
            .state
            .find_sku(sku)
            .and_then(|f| f.product.category)
            .expect("put")
    };
    assert_eq!(category("p1"), category("p2"));
    assert_eq!(category("p1"), category("p4"));
    assert_ne!(category("p1"), category("p3"));
    assert_eq!(
        world.state.category_path(category("p4")).as_deref(),
        Some("Food > Milk")
    );
}

#[test]
fn an_in_store_code_tells_quantity_and_price() {
    let mut world = World::new();
    let mut unpriced = with_plu("w3", "00044");
    unpriced.product.list_price = None;
    put(
        &mut world,
        &[
            with_plu("w1", "00042"),
            with_gtins("p1", &[2_000_042_004_990]),
            unpriced,
        ],
    );
    let check = |mask: &str, code: &str, expect: Option<(&str, Option<i64>, Option<i64>)>| {
        let mask = BarcodeMask::parse(mask).expect("a good mask");
        let (item, value) = mask.decode(code).expect("a code of the mask");
        let found = world.state.find_scanned(None, &[(item.into(), value)]);
        let got = found.map(|f| (Arc::clone(&f.product.sku), f.quantity, f.amount));
        let got = got
            .as_ref()
            .map(|(sku, q, a)| (sku.as_ref(), q.map(|q| q.0), a.map(|a| a.minor)));
        assert_eq!(got, expect, "{code}");
    };
    let coded = |digits: &str| {
        let check = tillside_engine::barcode::gs1_check_digit(digits.as_bytes());
        format!("{digits}{}", char::from(check))
    };
    // 4.99 at 2.00 a unit: 2.495 of it.
    check(
        "20IIIIIPPPPPC",
        &coded("200004200499"),
        Some(("w1", Some(2495), Some(499))),
    );
    check(
        "21IIIIIWWWWWC",
        &coded("210004201250"),
        Some(("w1", Some(1250), None)),
    );
    check(
        "20IIIIIPPPPPC",
        &coded("200004400499"),
        Some(("w3", None, Some(499))),
    );
    check("20IIIIIPPPPPC", &coded("200004500499"), None);
    // A GTIN goes first, so that a manufacturer's number is never read as a price.
    let both = world.state.find_scanned(
        Some(2_000_042_004_990),
        &[("00042".into(), Embedded::Weight(Thousandths(1)))],
    );
    assert_eq!(
        both.map(|f| Arc::clone(&f.product.sku)).as_deref(),
        Some("p1")
    );
}

#[test]
fn a_moved_store_is_found_where_it_is_now() {
    let mut world = World::shop();
    let at = |lat: f64| geo::Point::new(9.0, lat);
    let nearest = |world: &World, lat: f64| {
        let index = world.state.store_index.get();
        let all = Candidates::from(index.all());
        let found = nearest_of(&index, &Spot::new(at(lat)), u64::MAX, &all, 1, |_| true);
        let first = index.store(found.first()?.id)?;
        Some(Arc::clone(&first.store_id))
    };
    assert_eq!(nearest(&world, 45.0).as_deref(), Some("A"));
    put_stores(
        &mut world,
        &[store_at("A", -45.0, 9.0), store_at("D", 0.0, 9.0)],
    );
    assert_eq!(nearest(&world, 45.0).as_deref(), Some("B"));
    assert_eq!(nearest(&world, -44.0).as_deref(), Some("A"));
    assert_eq!(nearest(&world, 1.0).as_deref(), Some("D"));
    world.assert_recoverable();
}

type Draft = (u8, Vec<u64>, u8, u8, i64);

/// The naive model of products: the last accepted draft of each SKU.
fn accept(model: &mut BTreeMap<u8, Draft>, call: &[Draft]) -> bool {
    let latest: BTreeMap<u8, &Draft> = call.iter().map(|d| (d.0, d)).collect();
    let others = |sku: u8| {
        model
            .values()
            .filter(move |d| d.0 != sku)
            .chain(latest.values().copied().filter(move |d| d.0 != sku))
    };
    let clash = |d: &Draft| {
        others(d.0).any(|o| o.1.iter().any(|g| d.1.contains(g)) || (d.2 != 0 && o.2 == d.2))
    };
    if latest.values().any(|d| clash(d)) {
        return false;
    }
    for draft in latest.into_values() {
        model.insert(draft.0, draft.clone());
    }
    true
}

proptest! {
    #![proptest_config(property(1000))]

    #[test]
    fn products_equal_the_naive_model(
        calls in prop::collection::vec(
            prop::collection::vec((0u8..5, prop::collection::vec(0u64..8, 0..3), 0u8..4, 0u8..3, 1i64..4), 1..4),
            1..12,
        )
    ) {
        let mut world = World::new();
        let mut model = BTreeMap::new();
        for call in &calls {
            let draft = |d: &Draft| {
                let path = if d.3 == 0 { String::new() } else { format!("c{}", d.3) };
                let mut draft = in_category(&d.0.to_string(), d.4, &path);
                draft.product.gtins = d.1.clone();
                draft.product.plu = if d.2 == 0 { "".into() } else { d.2.to_string().into() };
                draft
            };
            let went = world.run(Command::PutProducts(call.iter().map(draft).collect())).is_ok();
            prop_assert_eq!(went, accept(&mut model, call), "{:?}", call);
        }
        prop_assert_eq!(world.state.products.len(), model.len());
        for draft in model.values() {
            let found = world.state.find_sku(&draft.0.to_string()).expect("the model has it");
            prop_assert_eq!(&found.product.gtins, &draft.1);
            prop_assert_eq!(found.product.list_price, Some(eur(draft.4)));
            let path = found.product.category.and_then(|c| world.state.category_path(c));
            let naive = (draft.3 != 0).then(|| format!("c{}", draft.3));
            prop_assert_eq!(path.map(|p| p.to_string()), naive);
        }
        for gtin in 0..8 {
            let naive = model.values().find(|d| d.1.contains(&gtin)).map(|d| d.0.to_string());
            prop_assert_eq!(scan(&world, gtin).map(|s| s.to_string()), naive);
        }
        for plu in 1..4u8 {
            let naive = model.values().find(|d| d.2 == plu).map(|d| d.0.to_string());
            let found = world.state.find_scanned(None, &[(plu.to_string().into(), Embedded::PriceMinor(1))]);
            prop_assert_eq!(found.map(|f| f.product.sku.to_string()), naive);
        }
        world.assert_recoverable();
    }
}
