//! `transactions`: a row is a line of a receipt; the lines of a receipt stand one after the other.
//!
//! A row that cannot be read is left out alone: the rest of the sale still happened. What a receipt says once (store, time,
//! customer, …) is taken from its first good row.

mod recent;

use super::{
    cells::{Cells, Column, Columns, optional, required},
    events::{self, Outbox},
    records::Record,
    rejects::Fault,
    source::Rows,
};
use recent::{Recent, Seen};
use tillside_client::v1::{
    Event, IdentifierType, RetailTransaction, TransactionKey, TransactionLine, TransactionType,
    event::Payload, transaction_line::Item,
};

pub(super) const COLUMNS: &[Column] = &[
    required("transaction_id"),
    required("store_id"),
    required("time"),
    optional("workstation_id"),
    optional("sequence_number"),
    optional("business_date"),
    optional("type"),
    optional("customer_id"),
    optional("card"),
    optional("email"),
    optional("phone"),
    optional("line_id"),
    optional("sku"),
    optional("scanned_code"),
    optional("quantity"),
    optional("net_amount"),
    optional("discount_amount"),
    optional("currency"),
    optional("offer_ids"),
    optional("reservation_id"),
    optional("training"),
    optional("original_store_id"),
    optional("original_workstation_id"),
    optional("original_business_date"),
    optional("original_sequence_number"),
];
const TRANSACTION_ID: usize = 0;
const STORE_ID: usize = 1;
const TIME: usize = 2;
const WORKSTATION_ID: usize = 3;
const SEQUENCE_NUMBER: usize = 4;
const BUSINESS_DATE: usize = 5;
const TYPE: usize = 6;
const CUSTOMER_ID: usize = 7;
const CARD: usize = 8;
const EMAIL: usize = 9;
const PHONE: usize = 10;
const LINE_ID: usize = 11;
const SKU: usize = 12;
const SCANNED_CODE: usize = 13;
const QUANTITY: usize = 14;
const NET_AMOUNT: usize = 15;
const DISCOUNT_AMOUNT: usize = 16;
const CURRENCY: usize = 17;
const OFFER_IDS: usize = 18;
const RESERVATION_ID: usize = 19;
const TRAINING: usize = 20;
const ORIGINAL_STORE_ID: usize = 21;
const ORIGINAL_WORKSTATION_ID: usize = 22;
const ORIGINAL_BUSINESS_DATE: usize = 23;
const ORIGINAL_SEQUENCE_NUMBER: usize = 24;

/// The API's bound on the lines of a receipt.
const RECEIPT_LINES_MAX: usize = 2000;

/// Reads the file.
pub(super) fn read(columns: &Columns, mut rows: Rows, outbox: &mut Outbox) -> anyhow::Result<()> {
    let desk = outbox.desk.clone();
    let mut assembly = Assembly {
        outbox,
        receipt: None,
        recent: Recent::default(),
    };
    desk.each_row(columns, &mut rows, |record, cells| {
        assembly.take(record, &cells)
    })?;
    assembly.close()
}

/// A receipt that may get more lines.
struct Receipt {
    transaction_id: String,
    event: Event,
    transaction: RetailTransaction,
}

/// Puts rows together to receipts.
struct Assembly<'o> {
    outbox: &'o mut Outbox,
    receipt: Option<Receipt>,
    recent: Recent,
}

impl Assembly<'_> {
    /// Adds a row to the open receipt, or begins the next one. A row that cannot be read does neither: it must not tear
    /// apart the receipt it stands in.
    fn take(&mut self, record: Record<'_>, cells: &Cells<'_>) -> anyhow::Result<Result<(), Fault>> {
        let transaction_id = cells.bytes(TRANSACTION_ID);
        let outcome = match &mut self.receipt {
            Some(receipt) if receipt.transaction_id.as_bytes() == transaction_id => {
                extend(receipt, cells)
            }
            _ => match begin(cells, &self.outbox.source) {
                Ok(receipt) => {
                    self.close()?;
                    self.receipt = Some(receipt);
                    Ok(())
                }
                Err(fault) => Err(fault),
            },
        };
        if outcome.is_ok() {
            self.outbox.add_row(record);
        }
        Ok(outcome)
    }

    /// Sends the open receipt.
    fn close(&mut self) -> anyhow::Result<()> {
        let Some(receipt) = self.receipt.take() else {
            return Ok(());
        };
        let content = events::hash_of(self.outbox.open_rows());
        if self
            .recent
            .note(events::hash_of(receipt.transaction_id.as_bytes()), content)
            == Seen::Different
        {
            // The server would call it a duplicate of the first part, and these lines would be lost without a word.
            self.outbox.reject_open_rows(&Fault::new(
                "transaction_id",
                "NOT_CONTIGUOUS",
                "other rows of this transaction_id stand further up; put the rows of a receipt one after the other",
            ));
            return Ok(());
        }
        self.outbox.push(&Event {
            payload: Some(Payload::Transaction(receipt.transaction)),
            ..receipt.event
        })
    }
}

/// Adds a row to its receipt.
fn extend(receipt: &mut Receipt, cells: &Cells<'_>) -> Result<(), Fault> {
    let lines = &mut receipt.transaction.lines;
    if lines.len() == RECEIPT_LINES_MAX {
        return Err(cells.fault(
            TRANSACTION_ID,
            "TOO_MANY_LINES",
            format!("has more than {RECEIPT_LINES_MAX} lines"),
        ));
    }
    let kind = TransactionType::try_from(receipt.transaction.r#type).unwrap_or_default();
    lines.extend(line(cells, kind)?);
    Ok(())
}

/// A receipt with its first row.
fn begin(cells: &Cells<'_>, source: &str) -> Result<Receipt, Fault> {
    let kind = kind(cells)?;
    let first = line(cells, kind)?;
    let mut receipt = open(cells, kind, source)?;
    receipt.transaction.lines.extend(first);
    Ok(receipt)
}

/// What a receipt says once.
fn open(cells: &Cells<'_>, kind: TransactionType, source: &str) -> Result<Receipt, Fault> {
    let transaction_id = cells.id(TRANSACTION_ID)?;
    let store_id = cells.id(STORE_ID)?.to_owned();
    let time = cells
        .time(TIME)?
        .ok_or_else(|| cells.fault(TIME, "REQUIRED", "is empty"))?;
    let workstation_id = cells.optional_id(WORKSTATION_ID)?.to_owned();
    let mut business_day_date = cells.date(BUSINESS_DATE)?.to_owned();
    if business_day_date.is_empty() && !workstation_id.is_empty() {
        // The day as the till wrote it: the time was read, so it begins with the date.
        business_day_date = String::from_utf8_lossy(&cells.bytes(TIME)[..10]).into_owned();
    }
    let key = TransactionKey {
        store_id,
        workstation_id,
        business_day_date,
        sequence_number: cells.integer(SEQUENCE_NUMBER)?.unwrap_or_default(),
    };
    let customer_identifiers = cells.identifiers(&[
        (CUSTOMER_ID, IdentifierType::CustomerId),
        (CARD, IdentifierType::LoyaltyCard),
        (EMAIL, IdentifierType::Email),
        (PHONE, IdentifierType::Phone),
    ])?;
    Ok(Receipt {
        transaction_id: transaction_id.to_owned(),
        event: Event {
            event_id: events::event_id("tx", &[transaction_id]),
            source: source.to_owned(),
            occurred_time: Some(time),
            ..Event::default()
        },
        transaction: RetailTransaction {
            key: Some(key),
            r#type: kind.into(),
            lines: Vec::with_capacity(8),
            customer_identifiers,
            original_transaction: original(cells)?,
            training: cells.flag(TRAINING)?.unwrap_or_default(),
            ..RetailTransaction::default()
        },
    })
}

fn kind(cells: &Cells<'_>) -> Result<TransactionType, Fault> {
    match cells.bytes(TYPE) {
        b"" | b"SALE" => Ok(TransactionType::Sale),
        b"RETURN" => Ok(TransactionType::Return),
        b"VOID" => Ok(TransactionType::Void),
        b"POST_VOID" => Ok(TransactionType::PostVoid),
        b"SUSPEND" => Ok(TransactionType::Suspend),
        b"NO_SALE" => Ok(TransactionType::NoSale),
        _ => Err(cells.fault(
            TYPE,
            "BAD_TYPE",
            "is none of SALE, RETURN, VOID, POST_VOID, SUSPEND, NO_SALE",
        )),
    }
}

/// The line in a row. Receipts that are no sale may have none.
fn line(cells: &Cells<'_>, kind: TransactionType) -> Result<Option<TransactionLine>, Fault> {
    let (sku, scanned_code) = (cells.optional_id(SKU)?, cells.optional_id(SCANNED_CODE)?);
    let item = match (sku, scanned_code) {
        ("", "") if matches!(kind, TransactionType::Sale | TransactionType::Return) => {
            return Err(cells.fault(SKU, "REQUIRED", "and scanned_code are empty"));
        }
        ("", "") => return Ok(None),
        ("", code) => Item::ScannedCode(code.to_owned()),
        (sku, _) => Item::Sku(sku.to_owned()),
    };
    let currency = cells.currency(CURRENCY)?;
    Ok(Some(TransactionLine {
        line_id: cells.optional_id(LINE_ID)?.to_owned(),
        item: Some(item),
        quantity: cells.quantity(QUANTITY)?,
        net_amount: cells.money(NET_AMOUNT, currency)?,
        discount_amount: cells
            .money(DISCOUNT_AMOUNT, currency)?
            .filter(|amount| amount.minor_units != 0),
        offer_ids: cells.list(OFFER_IDS, ';')?,
        reservation_id: cells.optional_id(RESERVATION_ID)?.to_owned(),
    }))
}

/// The receipt that a return or a void is about.
fn original(cells: &Cells<'_>) -> Result<Option<TransactionKey>, Fault> {
    let key = TransactionKey {
        store_id: cells.optional_id(ORIGINAL_STORE_ID)?.to_owned(),
        workstation_id: cells.optional_id(ORIGINAL_WORKSTATION_ID)?.to_owned(),
        business_day_date: cells.date(ORIGINAL_BUSINESS_DATE)?.to_owned(),
        sequence_number: cells.integer(ORIGINAL_SEQUENCE_NUMBER)?.unwrap_or_default(),
    };
    Ok((key != TransactionKey::default()).then_some(key))
}
