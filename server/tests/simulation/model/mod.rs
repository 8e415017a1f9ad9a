//! The naive model: what the server is meant to do, written down a second time with plain maps and sums, from the
//! documents and not from the engine. It is slow, holds every movement for ever, and knows no log, no batches and no
//! rows. It uses the engine's types as data and none of its rules.

mod catalog;
mod holds;
mod inventory;
mod offers;
mod orders;
mod parts;
mod people;
mod sales;
mod stock;

use std::collections::BTreeMap;
use std::sync::Arc;

use tillside_engine::catalog::{Product, Store};
use tillside_engine::command::{Command, Ingest, IngestPayload, Timer};
use tillside_engine::facts::{Fact, FactKey};
use tillside_engine::identity::IndexKey;
use tillside_engine::ids::{
    BusinessKey, CustomerId, IdentifierHash, RequestKey, ReservationId, Sequence,
};
use tillside_engine::inbound::{Delivery, DeliveryState};
use tillside_engine::offer::{Offer, OutcomeCounts};
use tillside_engine::order_command::Terms;
use tillside_engine::reject::Rejection;
use tillside_engine::reply::{Alternative, Reply, Warning};
use tillside_engine::reservation::{Checkout, CheckoutResult, Reservation, ReservationState};
use tillside_engine::sale::QuarantinedLine;
use tillside_engine::units::Time;
use tillside_server::sequencer::{Answer, Submission};

pub(crate) use inventory::Numbers;
pub(crate) use people::Person;
pub(crate) use stock::Cell;

const HOUR_MS: i64 = 3_600_000;

/// What is told to whoever asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Put {
        created: u32,
        updated: u32,
        unchanged: u32,
    },
    Customer {
        id: CustomerId,
        created: bool,
    },
    Offer(Box<Offer>),
    Outcomes {
        accepted: u32,
        duplicates: u32,
    },
    Stock(CellKey, Figures),
    Reservation(Arc<Reservation>),
    /// The one that was named, and all parts of its order.
    Parts(Arc<Reservation>, Vec<Arc<Reservation>>),
    CheckoutHold {
        superseded: bool,
        reservation: Option<Arc<Reservation>>,
    },
    CheckoutClosed {
        result: CheckoutResult,
        reservation: Option<Arc<Reservation>>,
    },
    Delivery(Arc<Delivery>, bool),
    Ingested(Vec<Warning>),
    Duplicate(Sequence),
    Done,
    Short {
        reservation: Arc<Reservation>,
        moved_to: Option<Arc<Reservation>>,
        alternatives: Vec<Alternative>,
    },
    Refused(Refusal),
}

/// A refusal by its name, with the field where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) &'static str, pub(crate) String);

/// (product, store).
pub(crate) type CellKey = (u32, u32);

/// What a stock level says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
    pub(crate) committed: i64,
    pub(crate) safety: i64,
    pub(crate) damaged: i64,
    pub(crate) counted_at: Option<Time>,
}

/// Something that a step may have changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entity {
    Cell(CellKey),
    Person(u64),
    Reservation(u64),
    Checkout(Arc<str>),
    Offer(Arc<str>),
    Store(u32),
    Product(u32),
    Delivery(Arc<str>),
    Fact(FactKey),
}

/// What a step has to look like.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) told: Told,
    pub(crate) sequence: Sequence,
    pub(crate) touched: Vec<Entity>,
}

/// A request that was answered.
#[derive(Clone, Debug)]
pub(crate) struct First {
    payload_hash: u64,
    pub(crate) time: Time,
    sequence: Sequence,
    told: Arc<Told>,
}

/// The world as it is meant to be.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) sequence: Sequence,
    pub(crate) now: Time,
    pub(crate) index_key: IndexKey,
    /// By number.
    pub(crate) stores: Vec<Arc<Store>>,
    /// By number.
    pub(crate) products: Vec<Arc<Product>>,
    pub(crate) categories: Vec<Arc<str>>,
    pub(crate) cells: BTreeMap<CellKey, Arc<Cell>>,
    /// By number.
    pub(crate) reservations: BTreeMap<u64, Arc<Reservation>>,
    /// How many were made.
    pub(crate) reservations_made: u64,
    pub(crate) checkouts: BTreeMap<Arc<str>, Checkout>,
    /// From 1 on.
    pub(crate) people: Vec<Arc<Person>>,
    pub(crate) identifiers: BTreeMap<IdentifierHash, u64>,
    pub(crate) offers: BTreeMap<Arc<str>, Arc<Offer>>,
    pub(crate) outcomes: BTreeMap<Arc<str>, OutcomeCounts>,
    pub(crate) keys: BTreeMap<BusinessKey, Sequence>,
    pub(crate) requests: BTreeMap<RequestKey, First>,
    pub(crate) quarantine: BTreeMap<(Sequence, u32), Arc<QuarantinedLine>>,
    pub(crate) receipts: u64,
    pub(crate) deliveries: BTreeMap<Arc<str>, Arc<Delivery>>,
    /// All but the sources.
    pub(crate) facts: BTreeMap<FactKey, Fact>,
    pub(crate) sources: BTreeMap<Arc<str>, Numbers>,
    /// What doubtful stores keep back on top.
    extras: BTreeMap<u32, i64>,
    touched: Vec<Entity>,
}

/// A command's time and place.
#[derive(Clone, Copy)]
struct At {
    sequence: Sequence,
    now: Time,
    /// Whether the engine changed anything. Used only where the documents leave it to the server: a count from before
    /// movements that are no longer at hand may be refused.
    changed: bool,
}

/// What a command does: the answer, and whether anything changed.
type Outcome = Result<(Told, bool), Refusal>;

fn refused<T>(name: &'static str, field: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(name, field.into()))
}

impl Model {
    pub(crate) fn new(index_key: IndexKey) -> Self {
        Model {
            sequence: Sequence(0),
            now: Time(0),
            index_key,
            stores: Vec::new(),
            products: Vec::new(),
            categories: Vec::new(),
            cells: BTreeMap::new(),
            reservations: BTreeMap::new(),
            reservations_made: 0,
            checkouts: BTreeMap::new(),
            people: Vec::new(),
            identifiers: BTreeMap::new(),
            offers: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            keys: BTreeMap::new(),
            requests: BTreeMap::new(),
            quarantine: BTreeMap::new(),
            receipts: 0,
            deliveries: BTreeMap::new(),
            facts: BTreeMap::new(),
            sources: BTreeMap::new(),
            extras: BTreeMap::new(),
            touched: Vec::new(),
        }
    }

    /// What a submission must do. `late`: its deadline has passed.
    pub(crate) fn submit(
        &mut self,
        submission: &Submission,
        clock: Time,
        late: bool,
        changed: bool,
    ) -> Expected {
        let expected = |told, sequence| Expected {
            told,
            sequence,
            touched: Vec::new(),
        };
        if late {
            return expected(
                Told::Refused(Refusal("DeadlineExceeded", String::new())),
                self.sequence,
            );
        }
        if let Some(stamp) = submission.request
            && let Some(first) = self.requests.get(&stamp.key)
        {
            if first.payload_hash != stamp.payload_hash {
                return expected(
                    Told::Refused(Refusal("RequestIdReused", String::new())),
                    self.sequence,
                );
            }
            return expected(Told::clone(&first.told), first.sequence);
        }
        let at = At {
            sequence: Sequence(self.sequence.0 + 1),
            now: self.now.max(clock),
            changed,
        };
        self.touched.clear();
        let (told, changes) = match self.decide(&submission.command, at) {
            Ok(done) => done,
            Err(refusal) => return expected(Told::Refused(refusal), self.sequence),
        };
        if changes || submission.request.is_some() {
            self.sequence = at.sequence;
            self.now = at.now;
        }
        if let Some(stamp) = submission.request {
            let first = First {
                payload_hash: stamp.payload_hash,
                time: at.now,
                sequence: at.sequence,
                told: Arc::new(told.clone()),
            };
            self.requests.insert(stamp.key, first);
        }
        Expected {
            told,
            sequence: self.sequence,
            touched: std::mem::take(&mut self.touched),
        }
    }

    /// Ends what is due at `clock`, earliest first; answers what it touched.
    pub(crate) fn fire_timers(&mut self, clock: Time) -> Vec<Entity> {
        let now = self.now.max(clock);
        self.touched.clear();
        for (_, timer) in self.timers().into_iter().filter(|(due, _)| *due <= now) {
            // All parts of a hold run out with the first of them.
            if let Timer::Reservation(id) = timer
                && self
                    .reservation(id)
                    .and_then(|r| Self::when_due(&r))
                    .is_none_or(|due| due > now)
            {
                continue;
            }
            self.sequence.0 += 1;
            self.now = now;
            match timer {
                Timer::Reservation(id) => self.due(id),
                Timer::EndedReservation(id) => {
                    self.reservations.remove(&id.0);
                    self.touched.push(Entity::Reservation(id.0));
                }
                Timer::Checkout(id) => {
                    self.checkouts.remove(&id);
                    self.touched.push(Entity::Checkout(id));
                }
                Timer::EndedDelivery(id) => {
                    self.deliveries.remove(&id);
                    self.touched.push(Entity::Delivery(id));
                }
                // In a world this small buffers are worked in at once.
                Timer::BufferSweep => unreachable!("the model makes none"),
            }
        }
        std::mem::take(&mut self.touched)
    }

    /// Everything that will be due, in order.
    pub(crate) fn timers(&self) -> Vec<(Time, Timer)> {
        let live = self.reservations.values();
        let holds = live.filter_map(|r| Some((Self::when_due(r)?, Timer::Reservation(r.id))));
        let checkouts = self
            .checkouts
            .values()
            .map(|c| (c.expire, Timer::Checkout(Arc::clone(&c.checkout_id))));
        // What has ended is remembered for 30 days after its hold would have run out, or after its end where that is known.
        let ended = self
            .reservations
            .values()
            .filter(|r| {
                !matches!(
                    r.state,
                    ReservationState::Held
                        | ReservationState::Confirmed
                        | ReservationState::Picking
                        | ReservationState::Ready
                        | ReservationState::PartiallyPickedUp
                        | ReservationState::NeedsPutBack
                )
            })
            .map(|r| {
                let ended = r.handling.ended.unwrap_or(r.expire);
                (
                    r.expire.max(ended).plus_ms(30 * 24 * HOUR_MS),
                    Timer::EndedReservation(r.id),
                )
            });
        let deliveries = self
            .deliveries
            .values()
            .filter(|d| d.state != DeliveryState::Expected)
            .map(|d| {
                (
                    d.changed.plus_ms(30 * 24 * HOUR_MS),
                    Timer::EndedDelivery(Arc::clone(&d.delivery_id)),
                )
            });
        let mut timers: Vec<_> = holds
            .chain(checkouts)
            .chain(ended)
            .chain(deliveries)
            .collect();
        timers.sort();
        timers
    }

    fn decide(&mut self, command: &Command, at: At) -> Outcome {
        match command {
            Command::PutStores(stores) => Ok(self.put_stores(stores, at)),
            Command::PutProducts(drafts) => self.put_products(drafts, at),
            Command::CreateCustomer(draft) => self.enrol(draft, at),
            Command::UpdateCustomer(change) => self.change_customer(change, at),
            Command::PutOffer(draft) => self.put_offer(draft, at),
            Command::ArchiveOffer { offer_id } => self.archive_offer(offer_id, at),
            Command::ReportOutcomes(reports) => self.report(reports, at),
            Command::AdjustStock(adjustment) => self.adjust(adjustment, adjustment.occurred, at),
            Command::SetStockCount(count) => self.count(count, count.as_of, at),
            Command::Reserve(reserve) => self.reserve(reserve, at),
            Command::ConfirmReservation(id) => self.confirm(*id, Terms::default(), at),
            Command::Order(order) => self.order(order, at),
            Command::CancelOrder { order_id } => self.cancel(order_id, at),
            Command::ReleaseReservation(id) => self.release(*id, at),
            Command::CloseCheckout {
                checkout_id,
                result,
            } => Ok(self.close_checkout(checkout_id, *result, at)),
            Command::Ingest(ingest) => self.ingest(ingest, at),
            Command::ScheduleInbound(draft) => {
                self.schedule(draft, draft.occurred.map(|t| t.min(at.now)), 0, at)
            }
            Command::ReceiveInbound(draft) => {
                self.receive(draft, draft.occurred.map(|t| t.min(at.now)), at)
            }
            Command::CancelInbound { delivery_id } => self.cancel_delivery(delivery_id, at),
            Command::PutFacts(drafts) => self.put_facts(drafts, false),
            // Not among the drafts: its own tests are in the engine.
            Command::SetRoutingPolicy(_) => unreachable!("the simulation sends no routing policy"),
            // A timer is the sequencer's own.
            Command::Timer(_) => Ok((Told::Done, false)),
        }
    }

    /// A fact is taken once. Its time is never in the future: more than a minute ahead is flagged.
    fn ingest(&mut self, ingest: &Ingest, at: At) -> Outcome {
        if let Some(first) = ingest.keys.iter().find_map(|key| self.keys.get(key)) {
            return Ok((Told::Duplicate(*first), false));
        }
        let ahead = |time: &Time| time.0 > at.now.0 + 60_000;
        let paid = match &ingest.payload {
            IngestPayload::Sale(draft) => draft.paid,
            _ => None,
        };
        let mut warnings = Vec::new();
        if ingest.occurred.as_ref().is_some_and(ahead) || paid.as_ref().is_some_and(ahead) {
            warnings.push(Warning::FutureTime);
        }
        let own_time = ingest.occurred.map(|time| time.min(at.now));
        match &ingest.payload {
            IngestPayload::Sale(draft) => self.sale(
                draft,
                paid.map(|p| p.min(at.now)).or(own_time),
                &mut warnings,
                at,
            ),
            IngestPayload::Count(count) => drop(self.count(count, own_time, at)?),
            IngestPayload::Adjustment(adjustment) => drop(self.adjust(adjustment, own_time, at)?),
            IngestPayload::Profile(draft) => self.import(draft, &mut warnings, at)?,
            IngestPayload::Inbound(draft) => {
                let number = ingest.position.as_ref().map_or(0, |(_, number)| *number);
                if let (Told::Delivery(_, true), _) = self.schedule(draft, own_time, number, at)? {
                    warnings.push(Warning::Superseded);
                }
            }
            IngestPayload::Received(draft) => drop(self.receive(draft, own_time, at)?),
            IngestPayload::Facts(drafts) => {
                let number = ingest.position.as_ref().map(|(_, number)| *number);
                let before = self.facts.clone();
                let touched = self.touched.len();
                self.put_facts(drafts, true)?;
                if number.is_some_and(|number| number < self.highest(ingest)) {
                    // Without a time of its own a late one has no place.
                    self.facts = before;
                    self.touched.truncate(touched);
                    warnings.push(Warning::Superseded);
                }
            }
        }
        self.advance(ingest, at);
        for key in &ingest.keys {
            self.keys.insert(*key, at.sequence);
        }
        Ok((Told::Ingested(warnings), true))
    }

    fn touch(&mut self, entity: Entity) {
        self.touched.push(entity);
    }
}

/// What the engine told, in the model's words.
pub(crate) fn told(answer: &Result<Answer, Rejection>) -> Told {
    match answer {
        Ok(answer) => reply(&answer.reply),
        Err(rejection) => Told::Refused(refusal(rejection)),
    }
}

fn reply(reply: &Reply) -> Told {
    match reply {
        &Reply::Put {
            created,
            updated,
            unchanged,
        } => Told::Put {
            created,
            updated,
            unchanged,
        },
        &Reply::Customer { id, created } => Told::Customer { id, created },
        Reply::Offer(offer) => Told::Offer(Box::new(Offer::clone(offer))),
        &Reply::Outcomes {
            accepted,
            duplicates,
        } => Told::Outcomes {
            accepted,
            duplicates,
        },
        Reply::Delivery {
            delivery,
            superseded,
        } => Told::Delivery(Arc::clone(delivery), *superseded),
        Reply::Stock {
            sku, store, level, ..
        } => Told::Stock(
            (sku.0, store.0),
            Figures {
                on_hand: level.on_hand,
                reserved: level.reserved,
                committed: level.committed,
                safety: level.safety,
                damaged: level.damaged,
                counted_at: level.counted_at(),
            },
        ),
        Reply::Reservation(reservation) => Told::Reservation(Arc::clone(reservation)),
        Reply::OrderParts { reservation, parts } => {
            Told::Parts(Arc::clone(reservation), parts.clone())
        }
        Reply::CheckoutHold {
            superseded,
            reservation,
        } => Told::CheckoutHold {
            superseded: *superseded,
            reservation: reservation.clone(),
        },
        Reply::CheckoutClosed {
            result,
            reservation,
        } => Told::CheckoutClosed {
            result: *result,
            reservation: reservation.clone(),
        },
        Reply::Ingested { warnings } => Told::Ingested(warnings.to_vec()),
        Reply::Duplicate { first } => Told::Duplicate(*first),
        Reply::Done => Told::Done,
        Reply::PickException {
            reservation,
            moved_to,
            alternatives,
        } => Told::Short {
            reservation: Arc::clone(reservation),
            moved_to: moved_to.clone(),
            alternatives: alternatives.clone(),
        },
        Reply::RoutingPolicy(_) => unreachable!("the simulation sends no routing policy"),
    }
}

fn refusal(rejection: &Rejection) -> Refusal {
    use Rejection::*;
    let (name, field) = match rejection {
        Invalid { field, .. } => ("Invalid", field.clone()),
        UnknownSku { field, .. } => ("UnknownSku", field.clone()),
        UnknownStore { field, .. } => ("UnknownStore", field.clone()),
        UnknownCustomer => ("UnknownCustomer", String::new()),
        UnknownOffer { offer_id } => ("UnknownOffer", offer_id.to_string()),
        UnknownReservation { reservation_id } => ("UnknownReservation", reservation_id.to_string()),
        IdentifierConflict { index } => ("IdentifierConflict", index.to_string()),
        BarcodeTaken { field, owner, .. } => ("BarcodeTaken", format!("{field} {owner}")),
        EtagMismatch => ("EtagMismatch", String::new()),
        InsufficientStock => ("InsufficientStock", String::new()),
        Contended => ("Contended", String::new()),
        OrderConfirmed { reservation_id, .. } => ("OrderConfirmed", reservation_id.clone()),
        ReservationExpired => ("ReservationExpired", String::new()),
        ReservationEnded(how) => ("ReservationEnded", (*how).to_owned()),
        UnknownOrder { order_id } => ("UnknownOrder", order_id.to_string()),
        WrongState { state, .. } => ("WrongState", (*state).to_owned()),
        PickupCodeWrong => ("PickupCodeWrong", String::new()),
        CountTooOld(_) => ("CountTooOld", String::new()),
        CountInFuture => ("CountInFuture", String::new()),
        UnknownDelivery { delivery_id } => ("UnknownDelivery", delivery_id.to_string()),
        DeliveryEnded { state, .. } => ("DeliveryEnded", (*state).to_owned()),
        RequestIdReused => ("RequestIdReused", String::new()),
        AnswerUnreadable => ("AnswerUnreadable", String::new()),
        LimitExceeded { what, .. } => ("LimitExceeded", (*what).to_owned()),
        DeadlineExceeded => ("DeadlineExceeded", String::new()),
        OfPart {
            reservation_id,
            rejection,
        } => {
            let Refusal(name, field) = refusal(rejection);
            (name, format!("{reservation_id} {field}"))
        }
        other => ("another", format!("{other:?}")),
    };
    Refusal(name, field)
}

fn reservation_name(id: ReservationId) -> String {
    format!("r-{}", id.0)
}
