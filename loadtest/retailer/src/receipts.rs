//! Receipts, one by one: a day is planned, then its receipts are made as they are asked for.

use crate::{
    SOURCE, World,
    day_plan::{self, DESK, Original, Visit},
    draw::{Draw, Part},
    euro,
    products::{gtin, sku},
};
use core::ops::Range;
use prost_types::Timestamp;
use tillside_proto::v1::{self, event::Payload, transaction_line::Item};

/// Most lines of a receipt.
const LINES_MAX: usize = 40;

/// Share of piece goods that are sent as the barcode the scanner read, as tills without a product file do.
const SCANNED_SHARE: f64 = 0.10;

/// Iterator over receipts. Holds one day's plan at a time.
#[derive(Debug)]
pub struct Receipts<'a> {
    world: &'a World,
    days: Range<usize>,
    day: usize,
    plan: std::vec::IntoIter<Visit>,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    article: u32,
    thousandths: i64,
    net_cents: i64,
    discount_cents: i64,
    scanned: bool,
}

impl<'a> Receipts<'a> {
    pub(crate) fn new(world: &'a World, days: Range<usize>) -> Self {
        let last = world.days.len();
        let days = days.start.min(last)..days.end.min(last);
        Self {
            world,
            day: days.start,
            days,
            plan: Vec::new().into_iter(),
            lines: Vec::with_capacity(LINES_MAX),
        }
    }
}

impl Iterator for Receipts<'_> {
    type Item = v1::Event;

    fn next(&mut self) -> Option<v1::Event> {
        loop {
            if let Some(visit) = self.plan.next() {
                return Some(receipt(self.world, self.day, &visit, &mut self.lines));
            }
            self.day = self.days.next()?;
            self.plan = day_plan::plan(self.world, self.day).into_iter();
        }
    }
}

fn receipt(world: &World, day: usize, visit: &Visit, lines: &mut Vec<Line>) -> v1::Event {
    let facts = &world.days[day];
    let kind = match visit.returns {
        Some((earlier, original)) => {
            fill(
                world,
                earlier as usize,
                original.index,
                original.customer,
                usize::from(original.store),
                lines,
            );
            lines.truncate(1 + visit.index as usize % 2);
            v1::TransactionType::Return
        }
        None => {
            fill(
                world,
                day,
                visit.index,
                visit.customer,
                usize::from(visit.store),
                lines,
            );
            v1::TransactionType::Sale
        }
    };
    let end = facts.at(visit.second_of_day);
    let total: i64 = lines.iter().map(|line| line.net_cents).sum();
    let number = facts.first_receipt + u64::from(visit.index);
    let by_card = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61 < 5;
    let store_id = &world.shops[usize::from(visit.store)].id;
    let transaction = v1::RetailTransaction {
        key: Some(key(world, day, visit.store, visit.till, visit.sequence)),
        r#type: kind as i32,
        begin_time: Some(Timestamp {
            seconds: end - 20 - 9 * lines.len() as i64,
            nanos: 0,
        }),
        end_time: Some(Timestamp {
            seconds: end,
            nanos: 0,
        }),
        operator_id: format!("{store_id}-{}", 1 + visit.second_of_day / 3600 % 7),
        lines: lines
            .iter()
            .zip(1..)
            .map(|(line, position)| line.message(position))
            .collect(),
        tenders: vec![v1::Tender {
            r#type: if by_card { "CARD" } else { "CASH" }.to_owned(),
            amount: Some(euro(total)),
        }],
        customer_identifiers: visit
            .customer
            .map(|customer| v1::Identifier {
                r#type: v1::IdentifierType::LoyaltyCard as i32,
                value: world.card(customer),
                verified_time: None,
                source: String::new(),
            })
            .into_iter()
            .collect(),
        original_transaction: visit.returns.map(
            |(
                earlier,
                Original {
                    store,
                    till,
                    sequence,
                    ..
                },
            )| key(world, earlier as usize, store, till, sequence),
        ),
        training: false,
        fiscal_document_number: format!("{:04}-{:04}", day % 10_000, visit.sequence),
        fiscal_device_serial: format!("72TIL{:04}{}", visit.store, visit.till),
    };
    v1::Event {
        event_id: format!("receipt-{:x}-{number}", world.seed),
        source: SOURCE.to_owned(),
        occurred_time: Some(Timestamp {
            seconds: end,
            nanos: 0,
        }),
        offline: false,
        payload: Some(Payload::Transaction(transaction)),
        ..Default::default()
    }
}

fn key(world: &World, day: usize, store: u16, till: u8, sequence: u32) -> v1::TransactionKey {
    v1::TransactionKey {
        store_id: world.shops[usize::from(store)].id.clone(),
        workstation_id: if till == DESK {
            "DESK".to_owned()
        } else {
            format!("POS{till}")
        },
        business_day_date: world.days[day].date.clone(),
        sequence_number: i64::from(sequence),
    }
}

/// Fills `lines` with what is on a sale's receipt. Depends on the sale alone, so a return can ask again.
fn fill(
    world: &World,
    day: usize,
    index: u32,
    customer: Option<u32>,
    store: usize,
    lines: &mut Vec<Line>,
) {
    let mut draw = Draw::new(
        world.seed,
        Part::Lines,
        world.days[day].first_receipt + u64::from(index),
    );
    let assortment = &world.assortments[store];
    // Anonymous baskets are smaller; 70 % of 1.15 and 30 % of 0.65 keep the mean.
    let factor = customer.map_or(0.65, |customer| world.habits.basket_factor(customer));
    let more = (world.size.lines_mean * factor - 1.0).max(0.0);
    let wanted = (1 + (draw.exponential() * more + 0.5) as usize)
        .min(LINES_MAX)
        .min(assortment.articles().len() / 2 + 1);
    lines.clear();
    // Goods met twice are left out, so a few tries more than lines.
    for _ in 0..wanted * 3 {
        if lines.len() == wanted {
            break;
        }
        let liked = customer
            .filter(|_| draw.chance(0.62))
            .map(|customer| world.habits.liked(&mut draw, customer, &world.by_leaf))
            .filter(|&article| assortment.carries(article));
        let article = liked.unwrap_or_else(|| assortment.popular(&mut draw));
        if lines.iter().all(|line| line.article != article) {
            lines.push(line(world, article, &mut draw));
        }
    }
}

fn line(world: &World, article: u32, draw: &mut Draw) -> Line {
    let facts = world.articles[article as usize];
    let thousandths = quantity_thousandths(facts.by_weight, draw);
    let gross = facts.amount_cents(thousandths);
    let discount_cents = if draw.chance(0.09) {
        gross * i64::from(*draw.pick(&[10, 20, 25, 30])) / 100
    } else {
        0
    };
    let scanned = draw.chance(SCANNED_SHARE) && !facts.by_weight;
    Line {
        article,
        thousandths,
        net_cents: gross - discount_cents,
        discount_cents,
        scanned,
    }
}

/// What people take of one thing: one or two pieces mostly, or some hundred grams.
pub(crate) fn quantity_thousandths(by_weight: bool, draw: &mut Draw) -> i64 {
    if by_weight {
        return 120 + 2 * i64::from(draw.below(600));
    }
    match draw.below(100) {
        0..74 => 1000,
        74..92 => 2000,
        92..97 => 3000,
        _ => 1000 * i64::from(draw.between(4, 6)),
    }
}

impl Line {
    fn message(self, position: u32) -> v1::TransactionLine {
        v1::TransactionLine {
            line_id: position.to_string(),
            item: Some(if self.scanned {
                Item::ScannedCode(gtin(self.article))
            } else {
                Item::Sku(sku(self.article))
            }),
            // The unit is the product's own.
            quantity: Some(v1::Quantity {
                thousandths: self.thousandths,
                unit: 0,
            }),
            net_amount: Some(euro(self.net_cents)),
            discount_amount: (self.discount_cents > 0).then(|| euro(self.discount_cents)),
            offer_ids: Vec::new(),
            reservation_id: String::new(),
        }
    }
}
