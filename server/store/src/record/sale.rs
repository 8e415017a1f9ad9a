//! The record of a receipt inside its event.

use tillside_engine::ids::{CustomerId, ReservationId, SkuId, StoreId};
use tillside_engine::sale::{ItemRef, Sale, SaleKind, SaleLine, StoreRef};
use tillside_engine::units::{Money, Time};

use super::Stored;
use super::codes::Coded;
use super::values::{MoneyRecord, currency, currency_code, list, required, strings, texts};
use crate::error::RecordProblem;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SaleRecord {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(oneof = "StoreRefRecord", tags = "2, 3")]
    store: Option<StoreRefRecord>,
    #[prost(string, tag = "4")]
    workstation: String,
    #[prost(string, tag = "5")]
    business_day: String,
    #[prost(sint64, tag = "6")]
    number: i64,
    #[prost(sint64, tag = "7")]
    time_ms: i64,
    #[prost(uint64, optional, tag = "8")]
    customer: Option<u64>,
    #[prost(sint64, tag = "9")]
    points: i64,
    #[prost(message, repeated, tag = "10")]
    lines: Vec<SaleLineRecord>,
    #[prost(message, repeated, tag = "11")]
    tenders: Vec<TenderRecord>,
    #[prost(string, tag = "12")]
    fiscal_document: String,
    #[prost(string, tag = "13")]
    fiscal_device: String,
    #[prost(string, tag = "14")]
    operator: String,
    #[prost(bool, tag = "15")]
    offline: bool,
    #[prost(bool, tag = "16")]
    training: bool,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum StoreRefRecord {
    #[prost(uint32, tag = "2")]
    Known(u32),
    #[prost(string, tag = "3")]
    Unknown(String),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SaleLineRecord {
    #[prost(oneof = "ItemRefRecord", tags = "1, 2, 3")]
    item: Option<ItemRefRecord>,
    #[prost(sint64, tag = "4")]
    quantity: i64,
    #[prost(string, tag = "5")]
    net_currency: String,
    #[prost(sint64, tag = "6")]
    net_minor: i64,
    #[prost(sint64, tag = "7")]
    stock_delta: i64,
    #[prost(message, optional, tag = "8")]
    settles: Option<SettlesRecord>,
    #[prost(string, repeated, tag = "9")]
    offer_ids: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum ItemRefRecord {
    #[prost(uint32, tag = "1")]
    Known(u32),
    #[prost(string, tag = "2")]
    UnknownSku(String),
    #[prost(string, tag = "3")]
    UnknownCode(String),
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct SettlesRecord {
    #[prost(uint64, tag = "1")]
    reservation: u64,
    #[prost(sint64, tag = "2")]
    quantity: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TenderRecord {
    #[prost(string, tag = "1")]
    method: String,
    #[prost(message, optional, tag = "2")]
    amount: Option<MoneyRecord>,
}

impl Stored for Sale {
    type Record = SaleRecord;

    fn to_record(&self) -> SaleRecord {
        SaleRecord {
            kind: self.kind.code(),
            store: Some(match &self.store {
                StoreRef::Known(id) => StoreRefRecord::Known(id.0),
                StoreRef::Unknown(text) => StoreRefRecord::Unknown(text.to_string()),
            }),
            workstation: self.workstation.to_string(),
            business_day: self.business_day.to_string(),
            number: self.number,
            time_ms: self.time.0,
            customer: self.customer.map(|c| c.0),
            points: self.points,
            lines: self.lines.iter().map(Stored::to_record).collect(),
            tenders: self
                .tenders
                .iter()
                .map(|(method, amount)| TenderRecord {
                    method: method.to_string(),
                    amount: Some(amount.to_record()),
                })
                .collect(),
            fiscal_document: self.fiscal_document.to_string(),
            fiscal_device: self.fiscal_device.to_string(),
            operator: self.operator.to_string(),
            offline: self.offline,
            training: self.training,
        }
    }

    fn from_record(record: SaleRecord) -> Result<Self, RecordProblem> {
        let tender =
            |t: TenderRecord| Ok((t.method.into(), required(t.amount, "amount of a tender")?));
        Ok(Sale {
            kind: SaleKind::decoded(record.kind)?,
            store: match record
                .store
                .ok_or_else(|| RecordProblem::field("store of a sale", "nothing"))?
            {
                StoreRefRecord::Known(id) => StoreRef::Known(StoreId(id)),
                StoreRefRecord::Unknown(text) => StoreRef::Unknown(text.into()),
            },
            workstation: record.workstation.into(),
            business_day: record.business_day.into(),
            number: record.number,
            time: Time(record.time_ms),
            customer: record.customer.map(CustomerId),
            points: record.points,
            lines: list(record.lines)?,
            tenders: record
                .tenders
                .into_iter()
                .map(tender)
                .collect::<Result<_, RecordProblem>>()?,
            fiscal_document: record.fiscal_document.into(),
            fiscal_device: record.fiscal_device.into(),
            operator: record.operator.into(),
            offline: record.offline,
            training: record.training,
        })
    }
}

impl Stored for SaleLine {
    type Record = SaleLineRecord;

    fn to_record(&self) -> SaleLineRecord {
        SaleLineRecord {
            item: Some(match &self.item {
                ItemRef::Known(sku) => ItemRefRecord::Known(sku.0),
                ItemRef::UnknownSku(text) => ItemRefRecord::UnknownSku(text.to_string()),
                ItemRef::UnknownCode(text) => ItemRefRecord::UnknownCode(text.to_string()),
            }),
            quantity: self.quantity,
            net_currency: currency_code(self.net.currency),
            net_minor: self.net.minor,
            stock_delta: self.stock_delta,
            settles: self.settles.map(|(id, quantity)| SettlesRecord {
                reservation: id.0,
                quantity,
            }),
            offer_ids: strings(&self.offer_ids),
        }
    }

    fn from_record(record: SaleLineRecord) -> Result<Self, RecordProblem> {
        Ok(SaleLine {
            item: match record
                .item
                .ok_or_else(|| RecordProblem::field("item of a sale's line", "nothing"))?
            {
                ItemRefRecord::Known(sku) => ItemRef::Known(SkuId(sku)),
                ItemRefRecord::UnknownSku(text) => ItemRef::UnknownSku(text.into()),
                ItemRefRecord::UnknownCode(text) => ItemRef::UnknownCode(text.into()),
            },
            quantity: record.quantity,
            net: Money {
                currency: currency(record.net_currency)?,
                minor: record.net_minor,
            },
            stock_delta: record.stock_delta,
            settles: record
                .settles
                .map(|s| (ReservationId(s.reservation), s.quantity)),
            offer_ids: texts(record.offer_ids),
        })
    }
}
