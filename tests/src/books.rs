//! What must be true of a server, kept from its answers alone: reservations, levels, customers, receipts. A naive second
//! opinion that shares no code with the server; it never asks the server anything.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result, bail, ensure};
use tillside_proto::v1;
use tillside_proto::v1::ReservationState as State;
use tillside_proto::v1::event::Payload;

use crate::calls::{Answer, Call};

/// (SKU, store).
pub type Cell = (String, String);

/// A change of a level at the time it happened, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// By a difference, in thousandths.
    Move(i64),
    /// To what was counted, in thousandths.
    Count(i64),
}

/// A reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The order.
    pub order: String,
    /// The store.
    pub store: String,
    /// Where it stands.
    pub state: State,
    /// (SKU, thousandths still held), each SKU once.
    pub lines: Vec<(String, i64)>,
    /// When a hold runs out, in milliseconds.
    pub expire_ms: i64,
}

impl Held {
    /// Whether it holds stock.
    pub fn is_live(&self) -> bool {
        matches!(self.state, State::Held | State::Confirmed)
    }

    fn ended(mut self, state: State) -> Self {
        self.state = state;
        self.lines.iter_mut().for_each(|(_, held)| *held = 0);
        self
    }

    fn handed_over(mut self, sku: &str, quantity: i64) -> Self {
        for (_, held) in self.lines.iter_mut().filter(|(s, _)| s == sku) {
            *held -= quantity;
        }
        if self.lines.iter().all(|(_, held)| *held == 0) {
            self.state = State::Fulfilled;
        }
        self
    }
}

/// A customer, known by card.
#[derive(Clone, Debug, Default)]
pub struct Customer {
    /// Once enrolled.
    pub customer_id: Option<String>,
    /// Receipts.
    pub purchases: i64,
    /// Net spend in cents.
    pub cents: i64,
    /// One for each whole euro of a receipt.
    pub points: i64,
}

/// The books.
#[derive(Debug, Default)]
pub struct Books {
    /// The server's clock, in milliseconds.
    pub now_ms: i64,
    /// Reservations by id.
    pub reservations: BTreeMap<String, Held>,
    /// Latest reservation of each order.
    pub orders: HashMap<String, String>,
    /// Every change of every level.
    pub levels: BTreeMap<Cell, Vec<(i64, Change)>>,
    /// Customers by card.
    pub customers: BTreeMap<String, Customer>,
    /// Sequence of each event taken.
    pub events: HashMap<String, u64>,
    /// Receipts taken.
    pub receipts: u64,
    /// Changes acknowledged: calls and events.
    pub acknowledged: u64,
}

/// Milliseconds of a time; zero where unset.
pub fn millis(time: Option<&prost_types::Timestamp>) -> i64 {
    time.map_or(0, |t| t.seconds * 1000 + i64::from(t.nanos) / 1_000_000)
}

fn thousandths(quantity: Option<&v1::Quantity>) -> i64 {
    quantity.map_or(0, |q| q.thousandths)
}

/// The changes of levels a call or its events ask for.
pub fn changes(call: &Call) -> Vec<(Cell, i64, Change)> {
    match call {
        Call::Adjust(r) => vec![(
            (r.sku.clone(), r.store_id.clone()),
            millis(r.occurred_time.as_ref()),
            Change::Move(thousandths(r.delta.as_ref())),
        )],
        Call::Count(r) => vec![(
            (r.sku.clone(), r.store_id.clone()),
            millis(r.as_of_time.as_ref()),
            Change::Count(thousandths(r.on_hand.as_ref())),
        )],
        Call::Ingest(r) => r.events.iter().flat_map(event_changes).collect(),
        _ => Vec::new(),
    }
}

fn event_changes(event: &v1::Event) -> Vec<(Cell, i64, Change)> {
    let at = millis(event.occurred_time.as_ref());
    let cell = |sku: &str, store: &str| (sku.to_owned(), store.to_owned());
    match &event.payload {
        Some(Payload::Transaction(sale)) => {
            let store = sale.key.as_ref().map_or("", |k| &k.store_id);
            let line = |line: &v1::TransactionLine| {
                let sold = thousandths(line.quantity.as_ref());
                (cell(sku_of(line), store), at, Change::Move(-sold))
            };
            sale.lines.iter().map(line).collect()
        }
        Some(Payload::StockAdjustment(a)) => vec![(
            cell(&a.sku, &a.store_id),
            at,
            Change::Move(thousandths(a.delta.as_ref())),
        )],
        Some(Payload::StockCount(c)) => vec![(
            cell(&c.sku, &c.store_id),
            at,
            Change::Count(thousandths(c.on_hand.as_ref())),
        )],
        _ => Vec::new(),
    }
}

fn sku_of(line: &v1::TransactionLine) -> &str {
    match &line.item {
        Some(v1::transaction_line::Item::Sku(sku)) => sku,
        _ => "",
    }
}

/// The receipts in a call: (card, cents).
pub fn purchases(call: &Call) -> Vec<(&str, i64)> {
    let Call::Ingest(batch) = call else {
        return Vec::new();
    };
    let mut seen = BTreeSet::new();
    let first = batch.events.iter().filter(|e| seen.insert(&e.event_id));
    first.filter_map(purchase).collect()
}

fn purchase(event: &v1::Event) -> Option<(&str, i64)> {
    let Some(Payload::Transaction(sale)) = &event.payload else {
        return None;
    };
    let card = &sale.customer_identifiers.first()?.value;
    let cents = |l: &v1::TransactionLine| l.net_amount.as_ref().map_or(0, |m| m.minor_units);
    Some((card, sale.lines.iter().map(cents).sum()))
}

impl Books {
    /// Moves the clock; holds whose time has come have expired.
    pub fn tick(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
        for held in self.reservations.values_mut() {
            if held.state == State::Held && held.expire_ms <= now_ms {
                *held = held.clone().ended(State::Expired);
            }
        }
    }

    /// Enters the first answer to a call. `fresh`: the call was sent once and before nothing else could have done it;
    /// otherwise the answer may be that of an earlier sending.
    ///
    /// # Errors
    /// Where the answer contradicts the books.
    pub fn enter(&mut self, call: &Call, answer: &Answer, fresh: bool) -> Result<()> {
        self.checked(call, answer, fresh)
            .with_context(|| format!("{call:?}\nwas answered {answer:?}"))
    }

    fn checked(&mut self, call: &Call, answer: &Answer, fresh: bool) -> Result<()> {
        if !matches!(answer, Answer::Refused(_) | Answer::Acks(_)) {
            self.acknowledged += 1;
        }
        match (call, answer) {
            (Call::Reserve(request), Answer::Reservation(answer)) => self.held(request, answer),
            (Call::Confirm(request), Answer::Reservation(answer)) => self.moved(
                &request.reservation_id,
                answer,
                fresh,
                |state| match state {
                    State::Held => State::Confirmed,
                    other => other,
                },
            ),
            (Call::Release(request), Answer::Reservation(answer)) => self.moved(
                &request.reservation_id,
                answer,
                fresh,
                |state| match state {
                    State::Held | State::Confirmed => State::Released,
                    other => other,
                },
            ),
            (Call::Adjust(_) | Call::Count(_), Answer::Level(_)) => {
                for (cell, at, change) in changes(call) {
                    self.levels.entry(cell).or_default().push((at, change));
                }
                Ok(())
            }
            (Call::Enrol(request), Answer::Enrolled(answer)) => {
                let id = &answer.customer.as_ref().context("a customer")?.customer_id;
                let customer = self
                    .customers
                    .entry(request.identifiers[0].value.clone())
                    .or_default();
                let known = customer.customer_id.get_or_insert_with(|| id.clone());
                ensure!(known == id, "the card belonged to {known}");
                Ok(())
            }
            (Call::Ingest(request), Answer::Acks(acks)) => {
                ensure!(request.events.len() == acks.len(), "one ack for each event");
                request
                    .events
                    .iter()
                    .zip(acks)
                    .try_for_each(|(event, ack)| self.taken(event, ack, fresh))
            }
            (Call::Reserve(request), Answer::Refused(reason)) => {
                let current = self.orders.get(&request.order_id);
                let current = current.and_then(|id| self.reservations.get(id));
                let confirmed = current.is_some_and(|r| r.state == State::Confirmed);
                // A refusal for want of stock may come before anybody looks at the order.
                let fits = confirmed || reason != "ORDER_CONFIRMED";
                ensure!(fits, "the order has no confirmed reservation");
                Ok(())
            }
            (
                Call::Confirm(v1::ConfirmReservationRequest { reservation_id, .. }),
                Answer::Refused(reason),
            ) => self.refused(
                reservation_id,
                reason,
                &[
                    (State::Expired, "RESERVATION_EXPIRED"),
                    (State::Released, "RESERVATION_ENDED"),
                ],
            ),
            (
                Call::Release(v1::ReleaseReservationRequest { reservation_id, .. }),
                Answer::Refused(reason),
            ) => self.refused(
                reservation_id,
                reason,
                &[(State::Fulfilled, "RESERVATION_ENDED")],
            ),
            (Call::Count(_), Answer::Refused(reason)) if reason == "COUNT_TOO_OLD" => Ok(()),
            _ => bail!("no such answer"),
        }
    }

    fn refused(&self, id: &str, reason: &str, expected: &[(State, &str)]) -> Result<()> {
        let state = self.reservations.get(id).context("known")?.state;
        ensure!(expected.contains(&(state, reason)), "it stood at {state:?}");
        Ok(())
    }

    fn held(
        &mut self,
        request: &v1::ReserveFulfillmentRequest,
        answer: &v1::Reservation,
    ) -> Result<()> {
        let leg = answer.legs.first().context("a leg")?;
        let asked = request.lines.iter();
        let lines: Vec<(String, i64)> = asked
            .map(|l| (l.sku.clone(), thousandths(l.quantity.as_ref())))
            .collect();
        let answered = leg.lines.iter();
        ensure!(
            answered
                .map(|l| (l.sku.clone(), thousandths(l.quantity_requested.as_ref())))
                .eq(lines.iter().cloned())
                && answer.order_id == request.order_id
                && (request.store_id.is_empty() || request.store_id == leg.store_id),
            "something else was held than asked for"
        );
        let made_ms = millis(answer.create_time.as_ref());
        let earlier = self
            .orders
            .insert(request.order_id.clone(), answer.reservation_id.clone());
        if let Some(earlier) = earlier.and_then(|id| self.reservations.get_mut(&id)) {
            ensure!(
                earlier.state != State::Confirmed,
                "a confirmed reservation of the order was replaced"
            );
            // The answer may be that of a sending before the clock moved on and the earlier hold would have expired.
            let was_held = earlier.state == State::Held || earlier.expire_ms > made_ms;
            if was_held && matches!(earlier.state, State::Held | State::Expired) {
                *earlier = earlier.clone().ended(State::Released);
            }
        }
        let mut held = Held {
            order: request.order_id.clone(),
            store: leg.store_id.clone(),
            state: State::Held,
            lines,
            expire_ms: millis(answer.expire_time.as_ref()),
        };
        if held.expire_ms <= self.now_ms {
            held = held.ended(State::Expired);
        }
        let id = answer.reservation_id.clone();
        let before = self.reservations.insert(id, held);
        ensure!(before.is_none(), "two requests got the same reservation");
        Ok(())
    }

    fn moved(
        &mut self,
        id: &str,
        answer: &v1::Reservation,
        fresh: bool,
        next: impl Fn(State) -> State,
    ) -> Result<()> {
        let held = self.reservations.get_mut(id).context("known")?;
        let got = answer.legs.first().context("a leg")?.state();
        let expected = next(held.state);
        // Sent before the clock moved on, it may have been done while the hold still ran.
        let in_time = next(State::Held);
        let earlier = !fresh && held.state == State::Expired && got == in_time;
        ensure!(
            got == expected || earlier,
            "it stood at {:?}, so {expected:?} was due",
            held.state
        );
        if got == State::Confirmed && held.state == State::Expired {
            // Its lines were thought to be free again; the answer says what they are.
            let lines = answer.legs[0].lines.iter();
            held.lines = lines
                .map(|l| (l.sku.clone(), thousandths(l.quantity_reserved.as_ref())))
                .collect();
        }
        held.state = got;
        if !held.is_live() {
            *held = held.clone().ended(got);
        }
        Ok(())
    }

    fn taken(&mut self, event: &v1::Event, ack: &v1::EventAck, fresh: bool) -> Result<()> {
        let status = ack.status();
        let known = self.events.get(&event.event_id);
        if let Some(first) = known {
            ensure!(
                status == v1::AckStatus::Duplicate && ack.sequence == *first,
                "event {} was taken at {first} already",
                event.event_id
            );
            return Ok(());
        }
        if status == v1::AckStatus::Rejected {
            let reason = ack.problem.as_ref().map_or("", |p| &p.reason);
            ensure!(reason == "COUNT_TOO_OLD", "rejected: {ack:?}");
            return Ok(());
        }
        ensure!(
            status == v1::AckStatus::Accepted || !fresh,
            "a new event was no duplicate: {ack:?}"
        );
        ensure!(ack.warnings.is_empty(), "warned: {ack:?}");
        self.events.insert(event.event_id.clone(), ack.sequence);
        self.acknowledged += 1;
        for (cell, at, change) in event_changes(event) {
            self.levels.entry(cell).or_default().push((at, change));
        }
        let Some(Payload::Transaction(sale)) = &event.payload else {
            return Ok(());
        };
        self.receipts += 1;
        for line in sale.lines.iter().filter(|l| !l.reservation_id.is_empty()) {
            let held = self.reservations.get_mut(&line.reservation_id);
            let held = held.context("known")?;
            *held = held
                .clone()
                .handed_over(sku_of(line), thousandths(line.quantity.as_ref()));
        }
        if let Some((card, cents)) = purchase(event) {
            let customer = self.customers.entry(card.to_owned()).or_default();
            customer.purchases += 1;
            customer.cents += cents;
            customer.points += cents / 100;
        }
        Ok(())
    }

    /// How reservations would stand if a call that nobody answered was done.
    pub fn if_done(&self, call: &Call) -> Vec<(String, Held)> {
        let with = |id: &str, change: &dyn Fn(Held) -> Held| {
            let held = self.reservations.get(id).filter(|r| r.is_live());
            held.map(|held| (id.to_owned(), change(held.clone())))
        };
        match call {
            Call::Reserve(r) => self
                .orders
                .get(&r.order_id)
                .and_then(|id| with(id, &|held| held.ended(State::Released)))
                .into_iter()
                .collect(),
            Call::Confirm(r) => with(&r.reservation_id, &|held| Held {
                state: State::Confirmed,
                ..held
            })
            .into_iter()
            .collect(),
            Call::Release(r) => with(&r.reservation_id, &|held| held.ended(State::Released))
                .into_iter()
                .collect(),
            Call::Ingest(batch) => {
                let sales = batch.events.iter().filter_map(|e| match &e.payload {
                    Some(Payload::Transaction(sale)) => Some(sale),
                    _ => None,
                });
                let lines = sales.flat_map(|s| &s.lines);
                lines
                    .filter(|l| !l.reservation_id.is_empty())
                    .filter_map(|l| {
                        let sold = thousandths(l.quantity.as_ref());
                        with(&l.reservation_id, &|held| held.handed_over(sku_of(l), sold))
                    })
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// What on_hand of a cell may be, given changes that may or may not have happened. One value where there are none.
    pub fn on_hand(&self, cell: &Cell, unknown: &[(i64, Change)]) -> BTreeSet<i64> {
        let entered = self.levels.get(cell).map_or(&[][..], Vec::as_slice);
        let counts = |entries: &[(i64, Change)]| {
            let count = |&(at, change): &(i64, Change)| match change {
                Change::Count(n) => Some((at, n)),
                Change::Move(_) => None,
            };
            entries.iter().filter_map(count).collect::<Vec<_>>()
        };
        let last = counts(entered).into_iter().max().unwrap_or((i64::MIN, 0));
        let newer = counts(unknown).into_iter().filter(|(at, _)| *at > last.0);
        let mut possible = BTreeSet::new();
        for (since, counted) in newer.chain([last]) {
            let moves = |entries: &[(i64, Change)]| {
                let moved = |&(at, change): &(i64, Change)| match change {
                    Change::Move(delta) if at > since => Some(delta),
                    _ => None,
                };
                entries.iter().filter_map(moved).collect::<Vec<_>>()
            };
            let mut sums = BTreeSet::from([counted + moves(entered).iter().sum::<i64>()]);
            for delta in moves(unknown) {
                let with: Vec<i64> = sums.iter().map(|sum| sum + delta).collect();
                sums.extend(with);
            }
            possible.extend(sums);
        }
        possible
    }
}
