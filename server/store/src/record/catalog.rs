//! Records of stores, categories and products.

use std::sync::Arc;

use geo::Point;
use jiff::tz::TimeZone;
use tillside_engine::catalog::{CategoryId, OpeningInterval, Patience, Product, Store, StoreState};
use tillside_engine::ids::{Sequence, SkuId, StoreId};
use tillside_engine::units::Unit;

use super::codes::Coded;
use super::routing::{LocationTermsRecord, terms_record};
use super::values::{MoneyRecord, list, optional};
use super::{Row, Stored};
use crate::error::RecordProblem;
use crate::table::Table;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StoreRecord {
    #[prost(string, tag = "1")]
    store_id: String,
    #[prost(string, tag = "2")]
    display_name: String,
    #[prost(double, tag = "3")]
    longitude_degrees: f64,
    #[prost(double, tag = "4")]
    latitude_degrees: f64,
    /// IANA name: rules change with the time zone database, the name does not.
    #[prost(string, tag = "5")]
    time_zone: String,
    #[prost(message, repeated, tag = "6")]
    opening: Vec<OpeningRecord>,
    #[prost(uint32, tag = "7")]
    state: u32,
    #[prost(string, tag = "8")]
    town: String,
    #[prost(string, tag = "9")]
    province: String,
    #[prost(string, tag = "10")]
    country: String,
    #[prost(uint64, tag = "11")]
    version: u64,
    #[prost(sint64, optional, tag = "40")]
    acknowledge_ms: Option<i64>,
    #[prost(sint64, optional, tag = "41")]
    no_show_ms: Option<i64>,
    #[prost(string, tag = "20")]
    travel_zone: String,
    #[prost(message, optional, tag = "60")]
    terms: Option<LocationTermsRecord>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct OpeningRecord {
    #[prost(uint32, tag = "1")]
    iso_day: u32,
    #[prost(uint32, tag = "2")]
    open_minute: u32,
    #[prost(uint32, tag = "3")]
    close_minute: u32,
}

impl Row for Store {
    const TABLE: Table = Table::Stores;
    type Key = StoreId;
}

impl Stored for Store {
    type Record = StoreRecord;

    fn to_record(&self) -> StoreRecord {
        StoreRecord {
            store_id: self.store_id.to_string(),
            display_name: self.display_name.to_string(),
            longitude_degrees: self.location.x(),
            latitude_degrees: self.location.y(),
            time_zone: self.time_zone_name().to_owned(),
            opening: self.opening.iter().map(Stored::to_record).collect(),
            state: self.state.code(),
            town: self.town.to_string(),
            province: self.province.to_string(),
            country: self.country.to_string(),
            version: self.version.0,
            acknowledge_ms: self.patience.acknowledge_ms,
            no_show_ms: self.patience.no_show_ms,
            travel_zone: self.travel_zone.to_string(),
            terms: terms_record(&self.location_terms),
        }
    }

    fn from_record(record: StoreRecord) -> Result<Self, RecordProblem> {
        Ok(Store {
            store_id: record.store_id.into(),
            display_name: record.display_name.into(),
            location: Point::new(record.longitude_degrees, record.latitude_degrees),
            time_zone: TimeZone::get(&record.time_zone)
                .map_err(|_| RecordProblem::field("time zone", record.time_zone))?,
            opening: list(record.opening)?,
            state: StoreState::decoded(record.state)?,
            town: record.town.into(),
            province: record.province.into(),
            country: record.country.into(),
            patience: Patience {
                acknowledge_ms: record.acknowledge_ms,
                no_show_ms: record.no_show_ms,
            },
            version: Sequence(record.version),
            travel_zone: record.travel_zone.into(),
            location_terms: Arc::new(optional(record.terms)?.unwrap_or_default()),
        })
    }
}

impl Stored for OpeningInterval {
    type Record = OpeningRecord;

    fn to_record(&self) -> OpeningRecord {
        OpeningRecord {
            iso_day: self.iso_day.into(),
            open_minute: self.open_minute.into(),
            close_minute: self.close_minute.into(),
        }
    }

    fn from_record(record: OpeningRecord) -> Result<Self, RecordProblem> {
        let minute =
            |m: u32| u16::try_from(m).map_err(|_| RecordProblem::field("opening minute", m));
        Ok(OpeningInterval {
            iso_day: u8::try_from(record.iso_day)
                .map_err(|_| RecordProblem::field("opening day", record.iso_day))?,
            open_minute: minute(record.open_minute)?,
            close_minute: minute(record.close_minute)?,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CategoryRecord {
    #[prost(string, tag = "1")]
    path: String,
}

/// A category's path; the number is the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CategoryPath(pub(crate) Arc<str>);

impl Row for CategoryPath {
    const TABLE: Table = Table::Categories;
    type Key = CategoryId;
}

impl Stored for CategoryPath {
    type Record = CategoryRecord;

    fn to_record(&self) -> CategoryRecord {
        CategoryRecord {
            path: self.0.to_string(),
        }
    }

    fn from_record(record: CategoryRecord) -> Result<Self, RecordProblem> {
        Ok(CategoryPath(record.path.into()))
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ProductRecord {
    #[prost(string, tag = "1")]
    sku: String,
    #[prost(string, tag = "2")]
    display_name: String,
    #[prost(uint32, optional, tag = "3")]
    category: Option<u32>,
    #[prost(string, tag = "4")]
    brand: String,
    #[prost(uint32, tag = "5")]
    unit: u32,
    #[prost(uint64, repeated, tag = "6")]
    gtins: Vec<u64>,
    #[prost(string, tag = "7")]
    plu: String,
    #[prost(message, optional, tag = "8")]
    list_price: Option<MoneyRecord>,
    #[prost(uint32, tag = "9")]
    vat_rate_basis_points: u32,
    #[prost(bool, tag = "10")]
    promotion_restricted: bool,
    #[prost(uint64, tag = "11")]
    version: u64,
}

impl Row for Product {
    const TABLE: Table = Table::Products;
    type Key = SkuId;
}

impl Stored for Product {
    type Record = ProductRecord;

    fn to_record(&self) -> ProductRecord {
        ProductRecord {
            sku: self.sku.to_string(),
            display_name: self.display_name.to_string(),
            category: self.category.map(|c| c.0),
            brand: self.brand.to_string(),
            unit: self.unit.code(),
            gtins: self.gtins.clone(),
            plu: self.plu.to_string(),
            list_price: self.list_price.as_ref().map(Stored::to_record),
            vat_rate_basis_points: self.vat_rate_basis_points,
            promotion_restricted: self.promotion_restricted,
            version: self.version.0,
        }
    }

    fn from_record(record: ProductRecord) -> Result<Self, RecordProblem> {
        Ok(Product {
            sku: record.sku.into(),
            display_name: record.display_name.into(),
            category: record.category.map(CategoryId),
            brand: record.brand.into(),
            unit: Unit::decoded(record.unit)?,
            gtins: record.gtins,
            plu: record.plu.into(),
            list_price: optional(record.list_price)?,
            vat_rate_basis_points: record.vat_rate_basis_points,
            promotion_restricted: record.promotion_restricted,
            version: Sequence(record.version),
        })
    }
}
