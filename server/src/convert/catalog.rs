//! Stores and products.

use std::sync::Arc;

use geo::Point;
use jiff::tz::TimeZone;
use rustc_hash::FxHashSet;
use tillside_engine::barcode::parse_gtin;
use tillside_engine::catalog::{
    CATEGORY_SEPARATOR, OpeningInterval, Patience, Product, Store, StoreState,
};
use tillside_engine::command::ProductDraft;
use tillside_engine::ids::Sequence;
use tillside_engine::limits::{
    CATEGORY_LEVELS_MAX, GTINS_PER_PRODUCT_MAX, OPENING_INTERVALS_MAX, PUTS_PER_CALL_MAX,
};
use tillside_engine::state::State;
use tillside_engine::units::Unit;
use tillside_proto::v1;

use super::checks::{Checks, Path};
use super::location_terms::{location_terms, wire_terms};
use super::orders::{patience_ms, wire_duration};
use super::values;

const TIME_ZONE_DEFAULT: &str = "Europe/Rome";
const VAT_BASIS_POINTS_MAX: i32 = 10_000;

/// The stores of a request.
pub fn stores(checks: &mut Checks, stores: &[v1::Store]) -> Vec<Store> {
    let root = Path::ROOT;
    checks.count(root.field("stores"), stores.len(), 1, PUTS_PER_CALL_MAX);
    let mut seen = FxHashSet::default();
    let mut checked = Vec::with_capacity(stores.len().min(PUTS_PER_CALL_MAX));
    for (i, store) in stores.iter().take(PUTS_PER_CALL_MAX).enumerate() {
        let path = root.item("stores", i);
        checks.require(
            seen.insert(store.store_id.as_str()),
            path.field("store_id"),
            "is in this call twice",
        );
        checked.push(self::store(checks, path, store));
    }
    checked
}

fn store(checks: &mut Checks, path: Path<'_>, store: &v1::Store) -> Store {
    let location = match &store.location {
        Some(location) => point(checks, path.field("location"), location),
        None => {
            checks.refuse(path.field("location"), "is required");
            Point::new(0.0, 0.0)
        }
    };
    let name = if store.time_zone.is_empty() {
        TIME_ZONE_DEFAULT
    } else {
        &store.time_zone
    };
    let time_zone = TimeZone::get(name).unwrap_or_else(|_| {
        checks.refuse(
            path.field("time_zone"),
            "is not an IANA time zone, for example Europe/Rome",
        );
        TimeZone::UTC
    });
    let state = match checks.known::<v1::StoreState>(path.field("state"), store.state) {
        Some(v1::StoreState::Paused) => StoreState::Paused,
        Some(v1::StoreState::Closed) => StoreState::Closed,
        Some(v1::StoreState::Open | v1::StoreState::Unspecified) | None => StoreState::Open,
    };
    let country = &store.country_code;
    let good = country.is_empty()
        || (country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase()));
    checks.require(
        good,
        path.field("country_code"),
        "is not two upper-case letters (ISO 3166-1), for example IT",
    );
    Store {
        store_id: checks.id(path.field("store_id"), &store.store_id),
        display_name: checks.text(path.field("display_name"), &store.display_name),
        location,
        time_zone,
        opening: opening(checks, path, &store.opening_hours),
        state,
        town: checks.text(path.field("town"), &store.town),
        province: checks.optional_id(path.field("province"), &store.province),
        country: country.as_str().into(),
        patience: Patience {
            acknowledge_ms: patience_ms(
                checks,
                path.field("pick_acknowledge_timeout"),
                store.pick_acknowledge_timeout.as_ref(),
            ),
            no_show_ms: patience_ms(
                checks,
                path.field("no_show_grace"),
                store.no_show_grace.as_ref(),
            ),
        },
        travel_zone: checks.optional_id(path.field("travel_zone"), &store.travel_zone),
        version: Sequence(0),
        location_terms: Arc::new(location_terms(
            checks,
            path.field("terms"),
            store.terms.as_ref(),
        )),
    }
}

fn opening(
    checks: &mut Checks,
    path: Path<'_>,
    hours: &[v1::OpeningHours],
) -> Vec<OpeningInterval> {
    checks.count(
        path.field("opening_hours"),
        hours.len(),
        0,
        OPENING_INTERVALS_MAX,
    );
    let mut intervals = Vec::with_capacity(hours.len().min(OPENING_INTERVALS_MAX));
    for (i, interval) in hours.iter().take(OPENING_INTERVALS_MAX).enumerate() {
        let at = path.item("opening_hours", i);
        checks.require(
            (1..=7).contains(&interval.day),
            at.field("day"),
            "is required: DAY_OF_WEEK_MONDAY to DAY_OF_WEEK_SUNDAY",
        );
        checks.require(
            (0..=1439).contains(&interval.open_minute),
            at.field("open_minute"),
            "is not between 0 and 1439",
        );
        let after = interval.close_minute > interval.open_minute && interval.close_minute <= 2880;
        checks.require(
            after,
            at.field("close_minute"),
            "is not after open_minute and at most 2880",
        );
        intervals.push(OpeningInterval {
            iso_day: u8::try_from(interval.day).unwrap_or(0),
            open_minute: u16::try_from(interval.open_minute).unwrap_or(0),
            close_minute: u16::try_from(interval.close_minute).unwrap_or(0),
        });
    }
    intervals
}

/// A point on the earth.
pub fn point(checks: &mut Checks, path: Path<'_>, location: &v1::LatLng) -> Point<f64> {
    let within = |value: f64, limit: f64| value.is_finite() && value.abs() <= limit;
    checks.require(
        within(location.latitude, 90.0),
        path.field("latitude"),
        "is not a number of degrees between -90 and 90",
    );
    checks.require(
        within(location.longitude, 180.0),
        path.field("longitude"),
        "is not a number of degrees between -180 and 180",
    );
    if within(location.latitude, 90.0) && within(location.longitude, 180.0) {
        Point::new(location.longitude, location.latitude)
    } else {
        Point::new(0.0, 0.0)
    }
}

/// A store on the wire.
pub fn wire_store(store: &Store) -> v1::Store {
    let state = match store.state {
        StoreState::Open => v1::StoreState::Open,
        StoreState::Paused => v1::StoreState::Paused,
        StoreState::Closed => v1::StoreState::Closed,
    };
    let interval = |i: &OpeningInterval| v1::OpeningHours {
        day: i32::from(i.iso_day),
        open_minute: i32::from(i.open_minute),
        close_minute: i32::from(i.close_minute),
    };
    v1::Store {
        store_id: store.store_id.to_string(),
        display_name: store.display_name.to_string(),
        location: Some(wire_point(store.location)),
        time_zone: store.time_zone_name().to_owned(),
        opening_hours: store.opening.iter().map(interval).collect(),
        state: state.into(),
        town: store.town.to_string(),
        province: store.province.to_string(),
        country_code: store.country.to_string(),
        travel_zone: store.travel_zone.to_string(),
        etag: store.version.0.to_string(),
        pick_acknowledge_timeout: store.patience.acknowledge_ms.map(wire_duration),
        no_show_grace: store.patience.no_show_ms.map(wire_duration),
        terms: wire_terms(&store.location_terms),
    }
}

/// A point on the wire.
pub fn wire_point(point: Point<f64>) -> v1::LatLng {
    v1::LatLng {
        latitude: point.y(),
        longitude: point.x(),
    }
}

/// The products of a request.
pub fn products(checks: &mut Checks, products: &[v1::Product]) -> Vec<ProductDraft> {
    let root = Path::ROOT;
    checks.count(root.field("products"), products.len(), 1, PUTS_PER_CALL_MAX);
    let mut seen = FxHashSet::default();
    let mut checked = Vec::with_capacity(products.len().min(PUTS_PER_CALL_MAX));
    for (i, product) in products.iter().take(PUTS_PER_CALL_MAX).enumerate() {
        let path = root.item("products", i);
        checks.require(
            seen.insert(product.sku.as_str()),
            path.field("sku"),
            "is in this call twice",
        );
        checked.push(self::product(checks, path, product));
    }
    checked
}

fn product(checks: &mut Checks, path: Path<'_>, product: &v1::Product) -> ProductDraft {
    let unit = match checks.known::<v1::Unit>(path.field("unit"), product.unit) {
        Some(v1::Unit::Kg) => Unit::Kilogram,
        Some(v1::Unit::L) => Unit::Litre,
        Some(v1::Unit::M) => Unit::Metre,
        Some(v1::Unit::Ea | v1::Unit::Unspecified) | None => Unit::Each,
    };
    let list_price = checks.optional_money(path.field("list_price"), product.list_price.as_ref());
    checks.require(
        list_price.is_none_or(|p| p.minor >= 0),
        path.field("list_price.minor_units"),
        "is negative",
    );
    let vat_rate_basis_points = vat_rate(
        checks,
        path.field("vat_rate_basis_points"),
        product.vat_rate_basis_points,
    );
    let checked = Product {
        sku: checks.id(path.field("sku"), &product.sku),
        display_name: checks.text(path.field("display_name"), &product.display_name),
        category: None,
        brand: checks.text(path.field("brand"), &product.brand),
        unit,
        gtins: gtins(checks, path, &product.gtins),
        plu: plu(checks, path.field("plu"), &product.plu),
        list_price,
        vat_rate_basis_points,
        promotion_restricted: product.promotion_restricted,
        version: Sequence(0),
    };
    ProductDraft {
        product: checked,
        category_path: category_path(checks, path, &product.category_path),
    }
}

/// A VAT rate.
pub fn vat_rate(checks: &mut Checks, path: Path<'_>, rate: i32) -> u32 {
    checks.require(
        (0..=VAT_BASIS_POINTS_MAX).contains(&rate),
        path,
        "is not between 0 and 10000 hundredths of a percent",
    );
    u32::try_from(rate.clamp(0, VAT_BASIS_POINTS_MAX)).unwrap_or(0)
}

fn gtins(checks: &mut Checks, path: Path<'_>, codes: &[String]) -> Vec<u64> {
    checks.count(path.field("gtins"), codes.len(), 0, GTINS_PER_PRODUCT_MAX);
    let mut gtins = Vec::with_capacity(codes.len().min(GTINS_PER_PRODUCT_MAX));
    for (i, code) in codes.iter().take(GTINS_PER_PRODUCT_MAX).enumerate() {
        match parse_gtin(code) {
            Some(gtin) if !gtins.contains(&gtin) => gtins.push(gtin),
            Some(_) => {}
            None => checks.refuse(
                path.item("gtins", i),
                format_args!("{code:?} is not a GTIN-8, -12, -13 or -14 with a right check digit"),
            ),
        }
    }
    gtins
}

fn plu(checks: &mut Checks, path: Path<'_>, plu: &str) -> Arc<str> {
    let good = plu.len() <= 12 && plu.bytes().all(|b| b.is_ascii_digit());
    checks.require(good, path, "is not an item code of at most 12 digits");
    plu.into()
}

/// A category, by the names from the top, as it is compared.
pub fn category_path(checks: &mut Checks, path: Path<'_>, levels: &[String]) -> Arc<str> {
    checks.count(
        path.field("category_path"),
        levels.len(),
        0,
        CATEGORY_LEVELS_MAX,
    );
    for (i, level) in levels.iter().take(CATEGORY_LEVELS_MAX).enumerate() {
        checks.id(path.item("category_path", i), level);
        checks.require(
            !level.contains(CATEGORY_SEPARATOR),
            path.item("category_path", i),
            "contains \" > \", which joins the levels",
        );
    }
    levels.join(CATEGORY_SEPARATOR).into()
}

/// A product on the wire.
pub fn wire_product(state: &State, product: &Product) -> v1::Product {
    let path = product.category.and_then(|id| state.category_path(id));
    v1::Product {
        sku: product.sku.to_string(),
        display_name: product.display_name.to_string(),
        category_path: path.map_or_else(Vec::new, |p| {
            p.split(CATEGORY_SEPARATOR).map(str::to_owned).collect()
        }),
        brand: product.brand.to_string(),
        unit: values::unit(product.unit).into(),
        gtins: product.gtins.iter().map(|g| wire_gtin(*g)).collect(),
        plu: product.plu.to_string(),
        list_price: product.list_price.map(values::money),
        vat_rate_basis_points: i32::try_from(product.vat_rate_basis_points).unwrap_or(0),
        promotion_restricted: product.promotion_restricted,
        etag: product.version.0.to_string(),
    }
}

/// The usual form: 13 digits, 14 only where the number needs them.
fn wire_gtin(gtin: u64) -> String {
    format!("{gtin:013}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(checks: Checks) -> Vec<String> {
        checks.finish().err().map_or_else(Vec::new, |invalid| {
            invalid.0.into_iter().map(|v| v.field).collect()
        })
    }

    #[test]
    fn a_store_survives_the_way_in_and_out() {
        let wire = v1::Store {
            store_id: "007".into(),
            display_name: "Firenze Gavinana".into(),
            location: Some(v1::LatLng {
                latitude: 43.75,
                longitude: 11.29,
            }),
            time_zone: "Europe/Rome".into(),
            opening_hours: vec![v1::OpeningHours {
                day: 1,
                open_minute: 510,
                close_minute: 1200,
            }],
            state: v1::StoreState::Paused.into(),
            town: "Firenze".into(),
            province: "FI".into(),
            country_code: "IT".into(),
            travel_zone: "mainland".into(),
            etag: "0".into(),
            pick_acknowledge_timeout: Some(wire_duration(1500)),
            no_show_grace: Some(wire_duration(90 * 86_400_000)),
            terms: None,
        };
        let mut checks = Checks::default();
        let store = stores(&mut checks, std::slice::from_ref(&wire));
        assert!(fields(checks).is_empty());
        assert_eq!(wire_store(&store[0]), wire);
    }

    #[test]
    fn every_bad_field_of_a_store_is_named() {
        let wire = v1::Store {
            location: Some(v1::LatLng {
                latitude: 91.0,
                longitude: f64::NAN,
            }),
            time_zone: "Mars/Base".into(),
            opening_hours: vec![v1::OpeningHours {
                day: 0,
                open_minute: 700,
                close_minute: 600,
            }],
            state: 9,
            country_code: "Italy".into(),
            ..Default::default()
        };
        let mut checks = Checks::default();
        stores(&mut checks, &[wire]);
        let expect = [
            "stores[0].location.latitude",
            "stores[0].location.longitude",
            "stores[0].time_zone",
            "stores[0].state",
            "stores[0].country_code",
            "stores[0].store_id",
            "stores[0].opening_hours[0].day",
            "stores[0].opening_hours[0].close_minute",
        ];
        assert_eq!(fields(checks), expect);
    }

    #[test]
    fn every_bad_field_of_a_product_is_named() {
        let wire = v1::Product {
            sku: "A".into(),
            gtins: vec!["8001234567897".into(), "123".into()],
            plu: "12a".into(),
            vat_rate_basis_points: -1,
            list_price: Some(v1::Money {
                currency_code: "EUR".into(),
                minor_units: -5,
            }),
            category_path: vec!["Food".into(), "A > B".into()],
            ..Default::default()
        };
        let mut checks = Checks::default();
        products(
            &mut checks,
            &[
                wire.clone(),
                v1::Product {
                    sku: "A".into(),
                    ..Default::default()
                },
            ],
        );
        let expect = [
            "products[0].list_price.minor_units",
            "products[0].vat_rate_basis_points",
            "products[0].gtins[1]",
            "products[0].plu",
            "products[0].category_path[1]",
            "products[1].sku",
        ];
        assert_eq!(fields(checks), expect);
    }
}
