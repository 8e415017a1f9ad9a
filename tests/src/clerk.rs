//! A clerk: one of many that work on the same server at once, each sending one seeded random call after another until an
//! answer stays out. Clerks share stock, cards and stores, but each works on its own orders.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tillside_proto::v1;
use tillside_proto::v1::event::Payload;
use tokio::sync::Notify;
use tonic::transport::Channel;

use crate::books::{Books, Held};
use crate::calls::{Answer, Call};

/// Stores, a few kilometres apart.
pub const STORES: [&str; 4] = ["S1", "S2", "S3", "S4"];
/// Products whose stock only ever grows but for goods handed over to reservations: they can never be oversold.
pub const SCARCE: [&str; 4] = ["scarce-1", "scarce-2", "scarce-3", "scarce-4"];
/// Products that everything happens to.
pub const BUSY: [&str; 4] = ["busy-1", "busy-2", "busy-3", "busy-4"];
/// Loyalty cards; the last four digits tell them apart.
pub const CARDS: usize = 48;
/// Between two cycles, in milliseconds of the server's clock.
pub const CYCLE_MS: i64 = 5_000;

/// What all clerks of a cycle share.
pub struct Desk {
    /// The books.
    pub books: Mutex<Books>,
    /// Time of the latest change of stock; each gets a millisecond of its own.
    pub latest_ms: AtomicI64,
    /// Answers of this cycle.
    pub answers: AtomicU64,
    /// Number of answers at which the cycle ends.
    pub enough: u64,
    /// Told once `enough` is reached.
    pub reached: Notify,
}

impl Desk {
    /// The books; a clerk that failed has said so by itself.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A time of the API.
pub fn timestamp(ms: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: ms.div_euclid(1000),
        nanos: (ms.rem_euclid(1000) * 1_000_000) as i32,
    }
}

/// So many pieces.
pub fn pieces(n: i64) -> Option<v1::Quantity> {
    Some(v1::Quantity {
        thousandths: n * 1000,
        unit: v1::Unit::Ea.into(),
    })
}

/// A card as an identifier.
pub fn card(number: usize) -> v1::Identifier {
    v1::Identifier {
        r#type: v1::IdentifierType::LoyaltyCard.into(),
        value: format!("CARD{number:04}"),
        ..Default::default()
    }
}

/// One clerk.
pub struct Clerk {
    name: String,
    rng: StdRng,
    serial: u64,
    reservations: Vec<String>,
    events: Vec<v1::Event>,
    /// First answers of this cycle, refusals left out.
    pub answered: Vec<(Call, Answer)>,
    /// The call whose answer stayed out.
    pub unknown: Option<Call>,
}

impl Clerk {
    /// The clerk with this number.
    pub fn new(seed: u64, number: u64) -> Self {
        Clerk {
            name: format!("clerk-{number}"),
            rng: StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number)),
            serial: 0,
            reservations: Vec::new(),
            events: Vec::new(),
            answered: Vec::new(),
            unknown: None,
        }
    }

    /// Works until an answer stays out.
    ///
    /// # Errors
    /// Where an answer contradicts the books.
    pub async fn work(&mut self, channel: &Channel, desk: &Arc<Desk>) -> Result<()> {
        loop {
            if !self.answered.is_empty() && self.rng.random_range(0..100) < 10 {
                // A caller that repeats itself, long after or right after.
                let at = self.rng.random_range(0..self.answered.len());
                let (call, first) = &self.answered[at];
                let Some(again) = call.send(channel).await? else {
                    // The first answer is known, so nothing is open.
                    return Ok(());
                };
                ensure!(
                    call.same(first, &again, false),
                    "a repeat of {call:?}\nwas first answered {first:?}\nand now {again:?}"
                );
                self.count(desk, 1);
                continue;
            }
            let call = self.next_call(desk);
            let twice = !matches!(call, Call::Ingest(_)) && self.rng.random_range(0..100) < 8;
            let sent = match twice {
                true => call.send_twice(channel).await?,
                false => call.send(channel).await?,
            };
            let Some(answer) = sent else {
                self.unknown = Some(call);
                return Ok(());
            };
            desk.books().enter(&call, &answer, true)?;
            self.remember(call, answer);
            self.count(desk, 1);
        }
    }

    /// Sends the call again whose answer stayed out, until it is known; answers whether there was one.
    ///
    /// # Errors
    /// Where no answer comes, or one that contradicts the books.
    pub async fn resolve(&mut self, channel: &Channel, desk: &Desk) -> Result<bool> {
        let Some(call) = self.unknown.take() else {
            return Ok(false);
        };
        let answer = call.send(channel).await?;
        let Some(answer) = answer else {
            anyhow::bail!("the server went away during {call:?}");
        };
        desk.books().enter(&call, &answer, false)?;
        self.remember(call, answer);
        Ok(true)
    }

    fn count(&self, desk: &Desk, answers: u64) {
        let before = desk.answers.fetch_add(answers, Ordering::AcqRel);
        if before < desk.enough && before + answers >= desk.enough {
            desk.reached.notify_one();
        }
    }

    fn remember(&mut self, call: Call, answer: Answer) {
        if let (Call::Reserve(_), Answer::Reservation(r)) = (&call, &answer) {
            self.reservations.push(r.reservation_id.clone());
            let too_many = self.reservations.len().saturating_sub(24);
            self.reservations.drain(..too_many);
        }
        if let Call::Ingest(batch) = &call {
            self.events.extend(batch.events.iter().cloned());
            let too_many = self.events.len().saturating_sub(64);
            self.events.drain(..too_many);
        }
        if !matches!(answer, Answer::Refused(_)) {
            self.answered.push((call, answer));
        }
    }

    fn fresh_id(&mut self, what: &str) -> String {
        self.serial += 1;
        format!("{}-{what}-{}", self.name, self.serial)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.random_range(0..from.len())]
    }

    fn sku(&mut self) -> String {
        let kind = self.pick(&[SCARCE, BUSY]);
        self.pick(&kind).to_owned()
    }

    fn reservation(&mut self) -> Option<String> {
        let n = self.reservations.len();
        (n > 0).then(|| self.reservations[self.rng.random_range(0..n)].clone())
    }

    fn next_call(&mut self, desk: &Desk) -> Call {
        let roll = self.rng.random_range(0..100);
        match (roll, self.reservation()) {
            (0..15, Some(reservation_id)) => Call::Confirm(v1::ConfirmReservationRequest {
                request_id: self.fresh_id("confirm"),
                reservation_id,
                ..Default::default()
            }),
            (15..27, Some(reservation_id)) => Call::Release(v1::ReleaseReservationRequest {
                request_id: self.fresh_id("release"),
                reservation_id,
            }),
            (27..38, _) => {
                let (sku, delta) = self.movement();
                Call::Adjust(v1::AdjustStockRequest {
                    request_id: self.fresh_id("adjust"),
                    sku,
                    store_id: self.pick(&STORES).to_owned(),
                    delta: pieces(delta),
                    occurred_time: Some(stamp(desk)),
                    ..Default::default()
                })
            }
            (38..44, _) => Call::Count(v1::SetStockCountRequest {
                request_id: self.fresh_id("count"),
                sku: self.pick(&BUSY).to_owned(),
                store_id: self.pick(&STORES).to_owned(),
                on_hand: pieces(self.rng.random_range(0..60)),
                as_of_time: Some(stamp(desk)),
                ..Default::default()
            }),
            (44..68, _) => self.ingest(desk),
            (68..73, _) => self.enrol(),
            _ => self.reserve(desk),
        }
    }

    fn movement(&mut self) -> (String, i64) {
        let sku = self.sku();
        let least = if SCARCE.contains(&sku.as_str()) {
            1
        } else {
            -6
        };
        match self.rng.random_range(least..7) {
            0 => (sku, 1),
            delta => (sku, delta),
        }
    }

    fn enrol(&mut self) -> Call {
        let number = self.rng.random_range(0..CARDS);
        Call::Enrol(Box::new(v1::CreateCustomerRequest {
            request_id: self.fresh_id("enrol"),
            identifiers: vec![card(number)],
            consents: vec![v1::Consent {
                purpose: v1::ConsentPurpose::Profiling.into(),
                granted: true,
                ..Default::default()
            }],
            ..Default::default()
        }))
    }

    fn reserve(&mut self, desk: &Desk) -> Call {
        let again = self.reservation().filter(|_| self.rng.random_bool(0.25));
        let order = again.and_then(|id| Some(desk.books().reservations.get(&id)?.order.clone()));
        let order_id = order.unwrap_or_else(|| self.fresh_id("order"));
        let count = self.rng.random_range(1..=3);
        let mut skus: Vec<String> = (0..count).map(|_| self.sku()).collect();
        skus.sort();
        skus.dedup();
        let lines = skus
            .into_iter()
            .map(|sku| v1::FulfillmentLine {
                line_id: String::new(),
                sku,
                quantity: pieces(self.rng.random_range(1..=3)),
                methods: Default::default(),
            })
            .collect();
        let anywhere = self.rng.random_bool(0.5);
        let store_id = if anywhere {
            String::new()
        } else {
            self.pick(&STORES).to_owned()
        };
        let location = v1::LatLng {
            latitude: 43.70 + f64::from(self.rng.random_range(0..200)) / 1000.0,
            longitude: 11.25,
        };
        hold(
            self.fresh_id("reserve"),
            order_id,
            lines,
            store_id,
            location,
            // Some run out while the server is down or starts; most stay.
            self.pick(&[1, 4, 7, 12, 86_400, 86_400, 86_400, 86_400]),
        )
    }

    fn ingest(&mut self, desk: &Desk) -> Call {
        let count = self.rng.random_range(1..=4);
        let mut events: Vec<v1::Event> = Vec::new();
        if let Some(pickup) = self.pickup(desk) {
            events.push(pickup);
        }
        while events.len() < count {
            let event = match self.rng.random_range(0..100) {
                // What was sent before, whatever became of it, in this batch too.
                0..8 if !self.events.is_empty() => {
                    let at = self.rng.random_range(0..self.events.len());
                    self.events[at].clone()
                }
                8..14 if !events.is_empty() => events[0].clone(),
                14..24 => {
                    let (sku, delta) = self.movement();
                    let adjusted = v1::StockAdjusted {
                        sku,
                        store_id: self.pick(&STORES).to_owned(),
                        delta: pieces(delta),
                        damage: false,
                        ..Default::default()
                    };
                    self.event(desk, Payload::StockAdjustment(adjusted))
                }
                24..29 => {
                    let counted = v1::StockCounted {
                        sku: self.pick(&BUSY).to_owned(),
                        store_id: self.pick(&STORES).to_owned(),
                        on_hand: pieces(self.rng.random_range(0..60)),
                        safety_stock: None,
                    };
                    self.event(desk, Payload::StockCount(counted))
                }
                _ => {
                    let store = self.pick(&STORES).to_owned();
                    let lines = (0..self.rng.random_range(1..=3))
                        .map(|_| {
                            let sku = self.pick(&BUSY).to_owned();
                            let sold = 1000 * self.rng.random_range(1..4);
                            self.line(sku, sold, String::new())
                        })
                        .collect();
                    self.receipt(desk, store, lines)
                }
            };
            events.push(event);
        }
        Call::Ingest(v1::IngestBatchRequest { events })
    }

    /// A receipt that hands over goods of a reservation that cannot run out meanwhile.
    fn pickup(&mut self, desk: &Desk) -> Option<v1::Event> {
        let id = self.reservation().filter(|_| self.rng.random_bool(0.4))?;
        let held: Held = {
            let books = desk.books();
            let held = books.reservations.get(&id)?.clone();
            let confirmed = held.state == v1::ReservationState::Confirmed;
            let long = held.expire_ms > books.now_ms + 100 * CYCLE_MS;
            (held.is_live() && (confirmed || long)).then_some(held)?
        };
        let (sku, left) = held.lines.iter().find(|(_, left)| *left > 0)?.clone();
        let part = if self.rng.random_bool(0.5) {
            left
        } else {
            left.min(1000)
        };
        let line = self.line(sku, part, id);
        Some(self.receipt(desk, held.store, vec![line]))
    }

    fn line(&mut self, sku: String, sold: i64, reservation_id: String) -> v1::TransactionLine {
        v1::TransactionLine {
            item: Some(v1::transaction_line::Item::Sku(sku)),
            quantity: Some(v1::Quantity {
                thousandths: sold,
                unit: v1::Unit::Ea.into(),
            }),
            net_amount: Some(v1::Money {
                currency_code: "EUR".into(),
                minor_units: self.rng.random_range(1..5000),
            }),
            reservation_id,
            ..Default::default()
        }
    }

    fn receipt(
        &mut self,
        desk: &Desk,
        store: String,
        lines: Vec<v1::TransactionLine>,
    ) -> v1::Event {
        let known = self.rng.random_bool(0.7);
        let number = self.rng.random_range(0..CARDS);
        let sale = v1::RetailTransaction {
            key: Some(v1::TransactionKey {
                store_id: store,
                workstation_id: self.name.clone(),
                business_day_date: "2026-11-02".into(),
                sequence_number: self.serial as i64 + 1,
            }),
            lines,
            customer_identifiers: known.then(|| card(number)).into_iter().collect(),
            ..Default::default()
        };
        self.event(desk, Payload::Transaction(sale))
    }

    fn event(&mut self, desk: &Desk, payload: Payload) -> v1::Event {
        v1::Event {
            event_id: self.fresh_id("event"),
            source: "crash-loop".into(),
            occurred_time: Some(stamp(desk)),
            offline: false,
            payload: Some(payload),
            ..Default::default()
        }
    }
}

fn stamp(desk: &Desk) -> prost_types::Timestamp {
    timestamp(desk.latest_ms.fetch_add(1, Ordering::AcqRel) + 1)
}

fn hold(
    request_id: String,
    order_id: String,
    lines: Vec<v1::FulfillmentLine>,
    store_id: String,
    location: v1::LatLng,
    hold_seconds: i64,
) -> Call {
    Call::Reserve(v1::ReserveFulfillmentRequest {
        request_id,
        order_id,
        origin: Some(v1::Place {
            place: Some(v1::place::Place::Location(location)),
            ..Default::default()
        }),
        lines,
        hold_duration: Some(prost_types::Duration {
            seconds: hold_seconds,
            nanos: 0,
        }),
        store_id,
        ..Default::default()
    })
}
