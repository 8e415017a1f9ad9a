//! Events of other systems. A sale already happened: what can be read is taken, what cannot is said in a warning, and only
//! an event without its bones (ids, a store, numbers within bounds) is refused, alone.

use smallvec::SmallVec;
use tillside_engine::command::{
    Ingest, IngestPayload, ItemDraft, SaleDraft, SaleLineDraft, SeenIdentifier,
};
use tillside_engine::identity::first_128_bits;
use tillside_engine::ids::{BusinessKey, ReservationId};
use tillside_engine::limits::{IDENTIFIERS_PER_REQUEST_MAX, RECEIPT_LINES_MAX};
use tillside_engine::sale::SaleKind;
use tillside_engine::units::{Money, Time};
use tillside_proto::v1;

use super::checks::{Checks, Invalid, Path};
use super::{customer, inbound, stock, stock_rules};
use crate::app::Reading;
use crate::errors;

/// Parts of one receipt's payment.
const TENDERS_MAX: usize = 32;
/// Bytes of a kind of payment.
const TENDER_TYPE_BYTES_MAX: usize = 32;
/// Offers that discounted one line.
const OFFERS_PER_LINE_MAX: usize = 16;

/// An event, ready for the sequencer.
#[derive(Debug)]
pub struct Taken {
    /// The command, until it goes to the sequencer.
    ingest: Option<Ingest>,
    pub(super) is_profile: bool,
    /// What was left out on the way in.
    pub(super) warnings: Vec<v1::Problem>,
    /// Positions in the event of the identifiers that could be read.
    pub(super) positions: SmallVec<[u8; 2]>,
}

/// Checks an event and turns it into a command.
pub fn event(reading: &Reading, event: &v1::Event, now: Time) -> Result<Taken, Invalid> {
    let root = Path::ROOT;
    let mut checks = Checks::default();
    let mut keys: SmallVec<[BusinessKey; 2]> = SmallVec::new();
    checks.id(root.field("event_id"), &event.event_id);
    checks.id(root.field("source"), &event.source);
    keys.push(key(
        b"ev",
        &[event.source.as_bytes(), event.event_id.as_bytes()],
    ));
    let occurred = checks.optional_time(root.field("occurred_time"), event.occurred_time.as_ref());
    let (mut warnings, mut positions) = (Vec::new(), SmallVec::new());
    let payload = match &event.payload {
        Some(v1::event::Payload::Transaction(transaction)) => {
            let path = root.field("transaction");
            transaction_keys(transaction, &mut keys);
            let mut sale = sale(&mut checks, path, reading, transaction);
            let (identifiers, read) = identifiers(
                reading,
                path,
                &transaction.customer_identifiers,
                &mut warnings,
            );
            sale.identifiers = identifiers;
            positions = read;
            sale.offline = event.offline;
            Some(IngestPayload::Sale(sale))
        }
        Some(v1::event::Payload::StockCount(count)) => Some(IngestPayload::Count(
            stock::counted_event(&mut checks, root.field("stock_count"), count),
        )),
        Some(v1::event::Payload::StockAdjustment(adjustment)) => Some(IngestPayload::Adjustment(
            stock::adjusted(&mut checks, root.field("stock_adjustment"), adjustment),
        )),
        Some(v1::event::Payload::ProfileUpserted(profile)) => {
            let path = root.field("profile_upserted");
            Some(IngestPayload::Profile(customer::upserted(
                reading,
                &mut checks,
                path,
                profile,
                now,
            )))
        }
        Some(v1::event::Payload::InboundScheduled(announced)) => {
            let path = root.field("inbound_scheduled");
            let path = path.field("delivery");
            let delivery = announced.delivery.as_ref();
            let draft = inbound::delivery(&mut checks, path, delivery, None);
            Some(IngestPayload::Inbound(draft))
        }
        Some(v1::event::Payload::InboundReceived(came)) => {
            let what = (came.delivery_id.as_str(), &came.lines[..], came.complete);
            let path = root.field("inbound_received");
            let draft = inbound::receipt(&mut checks, path, what, None);
            Some(IngestPayload::Received(draft))
        }
        Some(v1::event::Payload::PriceChanged(price)) => {
            let path = root.field("price_changed");
            let draft = stock_rules::price(&mut checks, path, price);
            Some(IngestPayload::Facts(vec![draft]))
        }
        None => {
            checks.refuse(
                root.field("payload"),
                "is required: transaction, stock_count, stock_adjustment, profile_upserted, inbound_scheduled, inbound_received or price_changed",
            );
            None
        }
    };
    checks.finish()?;
    let position = (event.source_sequence > 0).then(|| {
        let number = event.source_sequence.to_be_bytes();
        keys.push(key(b"sq", &[event.source.as_bytes(), &number]));
        (event.source.as_str().into(), event.source_sequence)
    });
    match payload {
        Some(payload) => {
            let is_profile = matches!(payload, IngestPayload::Profile(_));
            Ok(Taken {
                ingest: Some(Ingest {
                    keys,
                    occurred,
                    position,
                    payload,
                }),
                is_profile,
                warnings,
                positions,
            })
        }
        None => Err(Invalid::field("payload", "is required")),
    }
}

/// A key under which a fact is taken once, for good. Each part is preceded by its length, so that no two facts meet.
fn key(kind: &[u8], parts: &[&[u8]]) -> BusinessKey {
    let mut hasher = blake3::Hasher::new();
    hasher.update(kind);
    for part in parts {
        hasher
            .update(&(part.len() as u64).to_le_bytes())
            .update(part);
    }
    BusinessKey(first_128_bits(&hasher.finalize()))
}

fn receipt_key(kind: &[u8], of: &v1::TransactionKey) -> Option<BusinessKey> {
    let number = of.sequence_number.to_le_bytes();
    let parts = [
        of.store_id.as_bytes(),
        of.workstation_id.as_bytes(),
        of.business_day_date.as_bytes(),
        &number,
    ];
    // A till that does not number its receipts would have one key a day for all of them.
    let whole = !of.workstation_id.is_empty()
        && !of.business_day_date.is_empty()
        && of.sequence_number != 0;
    whole.then(|| key(kind, &parts))
}

fn transaction_keys(transaction: &v1::RetailTransaction, keys: &mut SmallVec<[BusinessKey; 2]>) {
    keys.extend(
        transaction
            .key
            .as_ref()
            .and_then(|of| receipt_key(b"tx", of)),
    );
    // A receipt can be undone once, whatever the number of the receipt that undoes it.
    if transaction.r#type == v1::TransactionType::PostVoid as i32 && !transaction.training {
        keys.extend(
            transaction
                .original_transaction
                .as_ref()
                .and_then(|of| receipt_key(b"void", of)),
        );
    }
}

fn sale(
    checks: &mut Checks,
    path: Path<'_>,
    reading: &Reading,
    transaction: &v1::RetailTransaction,
) -> SaleDraft {
    let key = path.field("key");
    let empty = v1::TransactionKey::default();
    let of = transaction.key.as_ref().unwrap_or(&empty);
    let store_id = checks.id(key.field("store_id"), &of.store_id);
    let date = &of.business_day_date;
    let good = date.is_empty() || (date.len() == 10 && date.parse::<jiff::civil::Date>().is_ok());
    checks.require(
        good,
        key.field("business_day_date"),
        "is not a date of the form YYYY-MM-DD",
    );
    let kind = kind(checks, path.field("type"), transaction);
    let back = matches!(kind, SaleKind::Return | SaleKind::PostVoid);
    checks.optional_time(path.field("begin_time"), transaction.begin_time.as_ref());
    checks.count(
        path.field("lines"),
        transaction.lines.len(),
        0,
        RECEIPT_LINES_MAX,
    );
    checks.count(
        path.field("tenders"),
        transaction.tenders.len(),
        0,
        TENDERS_MAX,
    );
    let mut lines = Vec::with_capacity(transaction.lines.len().min(RECEIPT_LINES_MAX));
    for (i, sold) in transaction.lines.iter().take(RECEIPT_LINES_MAX).enumerate() {
        lines.push(line(checks, path.item("lines", i), reading, sold, back));
    }
    let mut tenders = Vec::with_capacity(transaction.tenders.len().min(TENDERS_MAX));
    for (i, tender) in transaction.tenders.iter().take(TENDERS_MAX).enumerate() {
        let at = path.item("tenders", i);
        checks.short(at.field("type"), &tender.r#type, TENDER_TYPE_BYTES_MAX);
        match &tender.amount {
            Some(amount) => tenders.push((
                tender.r#type.as_str().into(),
                checks.money(at.field("amount"), amount),
            )),
            None => checks.refuse(at.field("amount"), "is required"),
        }
    }
    SaleDraft {
        kind,
        store_id,
        workstation: checks.optional_id(key.field("workstation_id"), &of.workstation_id),
        business_day: date.as_str().into(),
        number: of.sequence_number,
        paid: checks.optional_time(path.field("end_time"), transaction.end_time.as_ref()),
        lines,
        identifiers: Vec::new(),
        tenders,
        fiscal_document: checks.optional_id(
            path.field("fiscal_document_number"),
            &transaction.fiscal_document_number,
        ),
        fiscal_device: checks.optional_id(
            path.field("fiscal_device_serial"),
            &transaction.fiscal_device_serial,
        ),
        operator: checks.optional_id(path.field("operator_id"), &transaction.operator_id),
        offline: false,
        training: transaction.training,
    }
}

fn kind(checks: &mut Checks, path: Path<'_>, transaction: &v1::RetailTransaction) -> SaleKind {
    use v1::TransactionType as Wire;
    let kind = match checks.known::<Wire>(path, transaction.r#type) {
        Some(Wire::Return) => SaleKind::Return,
        Some(Wire::PostVoid) => SaleKind::PostVoid,
        Some(Wire::Void | Wire::Suspend | Wire::NoSale) => SaleKind::Neutral,
        Some(Wire::Sale | Wire::Unspecified) | None => SaleKind::Sale,
    };
    if transaction.training {
        SaleKind::Neutral
    } else {
        kind
    }
}

fn line(
    checks: &mut Checks,
    path: Path<'_>,
    reading: &Reading,
    line: &v1::TransactionLine,
    back: bool,
) -> SaleLineDraft {
    let item = match &line.item {
        Some(v1::transaction_line::Item::Sku(sku)) => {
            ItemDraft::Sku(checks.id(path.field("sku"), sku))
        }
        Some(v1::transaction_line::Item::ScannedCode(code)) => {
            let code = checks.id(path.field("scanned_code"), code);
            let scanned = reading.scanned(&code);
            ItemDraft::Scanned {
                code,
                gtin: scanned.gtin,
                embedded: scanned.embedded,
            }
        }
        None => {
            checks.refuse(path, "needs a sku or a scanned_code");
            ItemDraft::Sku("".into())
        }
    };
    checks.optional_id(path.field("line_id"), &line.line_id);
    checks.optional_money(path.field("discount_amount"), line.discount_amount.as_ref());
    checks.count(
        path.field("offer_ids"),
        line.offer_ids.len(),
        0,
        OFFERS_PER_LINE_MAX,
    );
    let mut offer_ids = SmallVec::new();
    for (i, offer_id) in line.offer_ids.iter().take(OFFERS_PER_LINE_MAX).enumerate() {
        offer_ids.push(checks.id(path.item("offer_ids", i), offer_id));
    }
    let sign = if back { -1 } else { 1 };
    // A unit other than the product's is the till's rounding of words, not a reason to lose the sale.
    let quantity = line
        .quantity
        .as_ref()
        .map(|q| sign * checks.quantity(path.field("quantity"), q).0);
    let net = checks.optional_money(path.field("net_amount"), line.net_amount.as_ref());
    let reservation =
        (!line.reservation_id.is_empty()).then(|| ReservationId::parse(&line.reservation_id));
    SaleLineDraft {
        item,
        quantity,
        net: net.map(|m| Money {
            minor: sign * m.minor,
            ..m
        }),
        offer_ids,
        // An id nobody gave is one of no reservation: the engine warns that it is not settled.
        reservation: reservation.map(|id| id.unwrap_or(ReservationId(0))),
    }
}

fn identifiers(
    reading: &Reading,
    path: Path<'_>,
    seen: &[v1::Identifier],
    warnings: &mut Vec<v1::Problem>,
) -> (Vec<SeenIdentifier>, SmallVec<[u8; 2]>) {
    let mut kept = Vec::new();
    let mut positions = SmallVec::new();
    for (i, identifier) in seen.iter().take(IDENTIFIERS_PER_REQUEST_MAX).enumerate() {
        let mut checks = Checks::default();
        let one = reading.keep_one(
            &mut checks,
            path.item("customer_identifiers", i),
            identifier,
        );
        match (one, checks.finish()) {
            (Some(one), Ok(())) => {
                if kept.iter().all(|k: &SeenIdentifier| k.hash != one.hash) {
                    kept.push(one);
                    positions.push(i as u8);
                }
            }
            (_, Err(invalid)) => warnings.push(v1::Problem {
                reason: "BAD_IDENTIFIER".into(),
                ..errors::invalid_problem(&invalid)
            }),
            (None, Ok(())) => {}
        }
    }
    if seen.len() > IDENTIFIERS_PER_REQUEST_MAX {
        let field = path.field("customer_identifiers").to_string();
        let message = format!("only the first {IDENTIFIERS_PER_REQUEST_MAX} are looked at");
        warnings.push(v1::Problem {
            reason: "BAD_IDENTIFIER".into(),
            field,
            message,
        });
    }
    (kept, positions)
}

impl Taken {
    /// The command, once.
    pub fn take_ingest(&mut self) -> Option<Ingest> {
        self.ingest.take()
    }
}

#[cfg(test)]
mod tests {
    use super::super::identifiers::tests::{identifier, reading};
    use super::*;

    fn key_of(store: &str, till: &str, day: &str, number: i64) -> v1::TransactionKey {
        v1::TransactionKey {
            store_id: store.into(),
            workstation_id: till.into(),
            business_day_date: day.into(),
            sequence_number: number,
        }
    }

    fn receipt(kind: v1::TransactionType) -> v1::RetailTransaction {
        let line = v1::TransactionLine {
            item: Some(v1::transaction_line::Item::Sku("A".into())),
            quantity: Some(v1::Quantity {
                thousandths: 2000,
                unit: 0,
            }),
            net_amount: Some(v1::Money {
                currency_code: "EUR".into(),
                minor_units: 398,
            }),
            ..Default::default()
        };
        v1::RetailTransaction {
            key: Some(key_of("1", "7", "2026-11-21", 42)),
            r#type: kind.into(),
            lines: vec![line],
            ..Default::default()
        }
    }

    fn of(transaction: v1::RetailTransaction) -> v1::Event {
        let payload = Some(v1::event::Payload::Transaction(transaction));
        v1::Event {
            event_id: "e".into(),
            source: "pos".into(),
            payload,
            ..Default::default()
        }
    }

    fn sale_of(transaction: v1::RetailTransaction) -> (SaleDraft, usize, Vec<v1::Problem>) {
        let taken = event(&reading(), &of(transaction), Time(0)).expect("a good event");
        let ingest = taken.ingest.expect("not taken yet");
        let IngestPayload::Sale(sale) = ingest.payload else {
            panic!("a sale")
        };
        (sale, ingest.keys.len(), taken.warnings)
    }

    fn check_bad(event: &v1::Event, expect: &[&str]) {
        let invalid = super::event(&reading(), event, Time(0)).expect_err("a refusal");
        assert_eq!(
            invalid
                .0
                .iter()
                .map(|v| v.field.as_str())
                .collect::<Vec<_>>(),
            expect
        );
    }

    #[test]
    fn goods_taken_back_count_negative() {
        let check = |kind, expect_kind, quantity, net| {
            let (sale, _, _) = sale_of(receipt(kind));
            assert_eq!(
                (
                    sale.kind,
                    sale.lines[0].quantity,
                    sale.lines[0].net.map(|m| m.minor)
                ),
                (expect_kind, Some(quantity), Some(net))
            );
        };
        check(v1::TransactionType::Sale, SaleKind::Sale, 2000, 398);
        check(v1::TransactionType::Unspecified, SaleKind::Sale, 2000, 398);
        check(v1::TransactionType::Return, SaleKind::Return, -2000, -398);
        check(
            v1::TransactionType::PostVoid,
            SaleKind::PostVoid,
            -2000,
            -398,
        );
        check(v1::TransactionType::NoSale, SaleKind::Neutral, 2000, 398);
        let (training, _, _) = sale_of(v1::RetailTransaction {
            training: true,
            ..receipt(v1::TransactionType::Return)
        });
        assert_eq!(training.kind, SaleKind::Neutral);
    }

    #[test]
    fn a_receipt_is_one_fact_and_can_be_undone_once() {
        let keys = |transaction: v1::RetailTransaction| {
            let mut keys = SmallVec::new();
            transaction_keys(&transaction, &mut keys);
            keys
        };
        let sale = keys(receipt(v1::TransactionType::Sale));
        assert_eq!(sale.len(), 1);
        let void = |number, of| {
            let original_transaction = Some(key_of("1", "7", "2026-11-21", of));
            let key = Some(key_of("1", "7", "2026-11-21", number));
            keys(v1::RetailTransaction {
                key,
                original_transaction,
                ..receipt(v1::TransactionType::PostVoid)
            })
        };
        assert_eq!(void(43, 42)[1], void(44, 42)[1]);
        assert_ne!(void(43, 42)[1], void(43, 41)[1]);
        // What does not number its receipts must not have one key for all of a day.
        for part in [
            key_of("1", "", "2026-11-21", 42),
            key_of("1", "7", "", 42),
            key_of("1", "7", "2026-11-21", 0),
        ] {
            let incomplete = v1::RetailTransaction {
                key: Some(part),
                ..receipt(v1::TransactionType::Sale)
            };
            assert!(keys(incomplete).is_empty());
        }
        assert_ne!(key(b"ev", &[b"ab", b"c"]), key(b"ev", &[b"a", b"bc"]));
    }

    #[test]
    fn a_bad_identifier_never_loses_the_sale() {
        let seen = vec![
            identifier(v1::IdentifierType::LoyaltyCard, "0400000000012"),
            identifier(v1::IdentifierType::LoyaltyCard, "0400000000015"),
        ];
        let (sale, _, warnings) = sale_of(v1::RetailTransaction {
            customer_identifiers: seen,
            ..receipt(v1::TransactionType::Sale)
        });
        assert_eq!(sale.identifiers.len(), 1);
        assert_eq!(
            (warnings[0].reason.as_str(), warnings[0].field.as_str()),
            (
                "BAD_IDENTIFIER",
                "transaction.customer_identifiers[0].value"
            )
        );
    }

    #[test]
    fn an_event_without_its_bones_is_refused_with_every_bad_field() {
        check_bad(&v1::Event::default(), &["event_id", "source", "payload"]);
        let mut bad = receipt(v1::TransactionType::Sale);
        bad.key = Some(key_of("", "7", "21.11.2026", 1));
        bad.lines[0].item = None;
        check_bad(
            &of(bad),
            &[
                "transaction.key.store_id",
                "transaction.key.business_day_date",
                "transaction.lines[0]",
            ],
        );
    }
}
