//! `stores` and `products`: a row is a record that is put as it stands.

use super::{
    batches::{Counts, Kind},
    cells::{Cells, Column, optional, required},
    hours,
    rejects::Fault,
};
use tillside_client::{
    Error, Tillside,
    v1::{LatLng, Product, PutProductsRequest, PutStoresRequest, Store, StoreState, Unit},
};

pub(super) const STORE_COLUMNS: &[Column] = &[
    required("store_id"),
    required("lat"),
    required("lon"),
    optional("name"),
    optional("time_zone"),
    optional("state"),
    optional("town"),
    optional("province"),
    optional("country"),
    optional("opening_hours"),
    optional("travel_zone"),
];
const STORE_ID: usize = 0;
const LAT: usize = 1;
const LON: usize = 2;
const NAME: usize = 3;
const TIME_ZONE: usize = 4;
const STATE: usize = 5;
const TOWN: usize = 6;
const PROVINCE: usize = 7;
const COUNTRY: usize = 8;
const OPENING_HOURS: usize = 9;
const TRAVEL_ZONE: usize = 10;

/// `stores`.
pub(super) struct Stores;

impl Kind for Stores {
    type Item = Store;

    fn read(cells: &Cells<'_>) -> Result<Store, Fault> {
        let state = match cells.text(STATE, 16)? {
            "" | "open" => StoreState::Open,
            "paused" => StoreState::Paused,
            "closed" => StoreState::Closed,
            _ => return Err(cells.fault(STATE, "BAD_STATE", "is none of open, paused, closed")),
        };
        let opening_hours = hours::parse(cells.text(OPENING_HOURS, 1024)?).map_err(|message| {
            cells.fault(
                OPENING_HOURS,
                "BAD_OPENING_HOURS",
                format!("cannot be read: {message}"),
            )
        })?;
        Ok(Store {
            store_id: cells.id(STORE_ID)?.to_owned(),
            display_name: cells.label(NAME)?,
            location: Some(LatLng {
                latitude: cells.degrees(LAT, 90.0)?,
                longitude: cells.degrees(LON, 180.0)?,
            }),
            time_zone: cells.label(TIME_ZONE)?,
            opening_hours,
            state: state.into(),
            town: cells.label(TOWN)?,
            province: cells.label(PROVINCE)?,
            country_code: cells.label(COUNTRY)?,
            travel_zone: cells.label(TRAVEL_ZONE)?,
            ..Default::default()
        })
    }

    async fn put(client: &Tillside, stores: Vec<Store>) -> Result<Counts, Error> {
        let request = PutStoresRequest {
            request_id: String::new(),
            stores,
        };
        let done = client.put_stores(request).await?.value;
        Ok(Counts::new(done.created, done.updated, done.unchanged))
    }

    fn column(field: &str) -> &str {
        match field {
            "location" | "location.latitude" => "lat",
            "location.longitude" => "lon",
            "display_name" => "name",
            "country_code" => "country",
            field if field.starts_with("opening_hours") => "opening_hours",
            field => field,
        }
    }
}

pub(super) const PRODUCT_COLUMNS: &[Column] = &[
    required("sku"),
    optional("name"),
    optional("category"),
    optional("brand"),
    optional("unit"),
    optional("gtins"),
    optional("plu"),
    optional("price"),
    optional("currency"),
    optional("vat_percent"),
    optional("promotion_restricted"),
];
const SKU: usize = 0;
const PRODUCT_NAME: usize = 1;
const CATEGORY: usize = 2;
const BRAND: usize = 3;
const UNIT: usize = 4;
const GTINS: usize = 5;
const PLU: usize = 6;
const PRICE: usize = 7;
const CURRENCY: usize = 8;
const VAT_PERCENT: usize = 9;
const PROMOTION_RESTRICTED: usize = 10;

/// `products`.
pub(super) struct Products;

impl Kind for Products {
    type Item = Product;

    fn read(cells: &Cells<'_>) -> Result<Product, Fault> {
        let unit = match cells.text(UNIT, 16)?.to_ascii_uppercase().as_str() {
            "" | "EA" => Unit::Ea,
            "KG" => Unit::Kg,
            "L" => Unit::L,
            "M" => Unit::M,
            _ => return Err(cells.fault(UNIT, "BAD_UNIT", "is none of EA, KG, L, M")),
        };
        // A percentage with two decimal places is a whole number of basis points.
        let vat = cells.decimal(VAT_PERCENT, 2)?.unwrap_or_default();
        let vat_rate_basis_points = i32::try_from(vat)
            .ok()
            .filter(|vat| (0..=10_000).contains(vat))
            .ok_or_else(|| cells.fault(VAT_PERCENT, "OUT_OF_RANGE", "is not between 0 and 100"))?;
        Ok(Product {
            sku: cells.id(SKU)?.to_owned(),
            display_name: cells.label(PRODUCT_NAME)?,
            category_path: cells.list(CATEGORY, '>')?,
            brand: cells.label(BRAND)?,
            unit: unit.into(),
            gtins: cells.list(GTINS, ' ')?,
            plu: cells.label(PLU)?,
            list_price: cells.money(PRICE, cells.currency(CURRENCY)?)?,
            vat_rate_basis_points,
            promotion_restricted: cells.flag(PROMOTION_RESTRICTED)?.unwrap_or_default(),
            etag: String::new(),
        })
    }

    async fn put(client: &Tillside, products: Vec<Product>) -> Result<Counts, Error> {
        let request = PutProductsRequest {
            request_id: String::new(),
            products,
        };
        let done = client.put_products(request).await?.value;
        Ok(Counts::new(done.created, done.updated, done.unchanged))
    }

    fn column(field: &str) -> &str {
        match field {
            "display_name" => "name",
            "vat_rate_basis_points" => "vat_percent",
            field if field.starts_with("category_path") => "category",
            field if field.starts_with("gtins") => "gtins",
            "list_price.currency_code" => "currency",
            field if field.starts_with("list_price") => "price",
            field => field,
        }
    }
}
