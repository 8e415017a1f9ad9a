//! What is asked: requests about the world that the demo loads, made from its seed. Questions that only read are encoded
//! once and repeated; whatever changes something gets ids of its own.

use crate::wire::frame;
use anyhow::Context as _;
use bytes::Bytes;
use prost_types::{Duration, Timestamp};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use std::sync::Arc;
use tillside_proto::v1::{self, event::Payload};
use tillside_retailer::World;

/// Different requests of a kind that only reads.
const POOL: u32 = 8_192;
/// Different receipts; each gets new ids whenever it is sent.
const RECEIPTS: usize = 2_000;
/// How far shoppers go.
const DISTANCE_METERS: f64 = 100_000.0;

/// Kinds of calls that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Op {
    Recognize,
    Offers,
    Plan,
    Reserve,
    Release,
    Checkout,
    Ingest,
}

impl Op {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Op; 7] = [
        Op::Recognize,
        Op::Offers,
        Op::Plan,
        Op::Reserve,
        Op::Release,
        Op::Checkout,
        Op::Ingest,
    ];

    /// Name for people and programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Op::Recognize => "recognize",
            Op::Offers => "offers",
            Op::Plan => "plan",
            Op::Reserve => "reserve",
            Op::Release => "release",
            Op::Checkout => "checkout",
            Op::Ingest => "ingest",
        }
    }

    /// Path of the call.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Op::Recognize => "/tillside.v1.CustomerService/RecognizeCustomer",
            Op::Offers => "/tillside.v1.OfferService/NextBestOffer",
            Op::Plan => "/tillside.v1.FulfillmentService/PlanFulfillment",
            Op::Reserve => "/tillside.v1.FulfillmentService/ReserveFulfillment",
            Op::Release => "/tillside.v1.FulfillmentService/ReleaseReservation",
            Op::Checkout => "/tillside.v1.CheckoutService/EvaluateCheckout",
            Op::Ingest => "/tillside.v1.IngestService/IngestBatch",
        }
    }
}

/// What a run asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// RecognizeCustomer by card, e-mail or an unknown card
    Recognize,
    /// NextBestOffer with a basket of six lines
    Offers,
    /// PlanFulfillment of three lines
    Plan,
    /// ReserveFulfillment of three lines; every hold is released afterwards, as a call of its own
    Reserve,
    /// EvaluateCheckout: recognition, offers and plan in one call
    Checkout,
    /// IngestBatch of receipts
    Ingest,
    /// Half recognitions, the rest of everything
    Mixed,
}

impl Scenario {
    /// The kinds of calls it makes, by hundredths.
    fn shares(self) -> &'static [(Op, u32)] {
        match self {
            Scenario::Recognize => &[(Op::Recognize, 100)],
            Scenario::Offers => &[(Op::Offers, 100)],
            Scenario::Plan => &[(Op::Plan, 100)],
            Scenario::Reserve => &[(Op::Reserve, 100)],
            Scenario::Checkout => &[(Op::Checkout, 100)],
            Scenario::Ingest => &[(Op::Ingest, 100)],
            Scenario::Mixed => &[
                (Op::Recognize, 50),
                (Op::Offers, 20),
                (Op::Plan, 10),
                (Op::Checkout, 10),
                (Op::Reserve, 5),
                (Op::Ingest, 5),
            ],
        }
    }
}

/// Requests made once and shared by all generators.
#[derive(Debug)]
pub(crate) struct Requests {
    recognitions: Vec<Bytes>,
    offers: Vec<Bytes>,
    plans: Vec<Bytes>,
    reserves: Vec<v1::ReserveFulfillmentRequest>,
    checkouts: Vec<v1::EvaluateCheckoutRequest>,
    receipts: Vec<v1::Event>,
}

impl Requests {
    /// Makes those the scenario needs.
    pub(crate) fn new(world: &World, scenario: Scenario, seed: u64) -> Self {
        let needs = |op| scenario.shares().iter().any(|(share, _)| *share == op);
        let pool = |op, part: u64| {
            (0..if needs(op) { POOL } else { 0 })
                .map(move |number| (part << 32) | u64::from(number))
        };
        let shopper = |number| Shopper::new(world, seed, number);
        Self {
            recognitions: pool(Op::Recognize, 1)
                .map(|number| frame(&shopper(number).recognition()))
                .collect(),
            offers: pool(Op::Offers, 2)
                .map(|number| frame(&shopper(number).offers()))
                .collect(),
            plans: pool(Op::Plan, 3)
                .map(|number| frame(&shopper(number).plan()))
                .collect(),
            reserves: pool(Op::Reserve, 4)
                .map(|number| shopper(number).reserve())
                .collect(),
            checkouts: pool(Op::Checkout, 5)
                .map(|number| shopper(number).checkout())
                .collect(),
            receipts: if needs(Op::Ingest) {
                world.receipts().take(RECEIPTS).collect()
            } else {
                Vec::new()
            },
        }
    }

    /// Recognitions made elsewhere, and nothing else.
    pub(crate) fn of_recognitions(recognitions: Vec<Bytes>) -> Self {
        Self {
            recognitions,
            offers: Vec::new(),
            plans: Vec::new(),
            reserves: Vec::new(),
            checkouts: Vec::new(),
            receipts: Vec::new(),
        }
    }

    /// The recognitions alone, in order.
    pub(crate) fn recognitions(&self) -> &[Bytes] {
        &self.recognitions
    }
}

/// Somebody somewhere with something in a basket.
struct Shopper<'a> {
    world: &'a World,
    number: u64,
    draw: u64,
    customer: u32,
    store: usize,
}

impl<'a> Shopper<'a> {
    fn new(world: &'a World, seed: u64, number: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(number);
        let customer = (u64::from(generator.next_u32()) * u64::from(world.size().customers)) >> 32;
        let customer = u32::try_from(customer).unwrap_or(0);
        Self {
            world,
            number,
            draw: generator.next_u64(),
            customer,
            store: world.home_store(customer),
        }
    }

    /// Nine in ten by card, some by e-mail, a few unknown.
    fn identifiers(&self) -> Vec<v1::Identifier> {
        let email = self
            .world
            .email(self.customer)
            .filter(|_| self.draw % 100 < 8);
        let (kind, value) = match email {
            Some(email) => (v1::IdentifierType::Email, email),
            None if self.draw % 100 == 99 => {
                (v1::IdentifierType::LoyaltyCard, self.world.unknown_card())
            }
            None => (
                v1::IdentifierType::LoyaltyCard,
                self.world.card(self.customer),
            ),
        };
        vec![v1::Identifier {
            r#type: kind.into(),
            value,
            verified_time: None,
            source: String::new(),
        }]
    }

    fn store_id(&self) -> String {
        self.world.store_id(self.store).to_owned()
    }

    fn place(&self) -> v1::Place {
        let place = self.world.store_place(self.store);
        let offset = |bits: u64| (bits % 101) as f64 / 1000.0 - 0.05;
        let location = v1::LatLng {
            latitude: place.latitude + offset(self.draw >> 8),
            longitude: place.longitude + offset(self.draw >> 16),
        };
        v1::Place {
            place: Some(v1::place::Place::Location(location)),
            ..Default::default()
        }
    }

    fn recognition(&self) -> v1::RecognizeCustomerRequest {
        v1::RecognizeCustomerRequest {
            identifiers: self.identifiers(),
            store_id: self.store_id(),
            channel: v1::Channel::Store.into(),
            view: v1::ProfileView::Checkout.into(),
        }
    }

    fn basket(&self) -> Vec<v1::BasketLine> {
        let basket = self
            .world
            .basket(self.number, self.store, Some(self.customer), 6);
        basket.into_iter().map(|item| item.basket_line()).collect()
    }

    fn cart(&self) -> Vec<v1::FulfillmentLine> {
        let basket = self
            .world
            .basket(self.number, self.store, Some(self.customer), 3);
        basket
            .into_iter()
            .map(|item| item.fulfillment_line())
            .collect()
    }

    fn offers(&self) -> v1::NextBestOfferRequest {
        v1::NextBestOfferRequest {
            identifiers: self.identifiers(),
            store_id: self.store_id(),
            channel: v1::Channel::Store.into(),
            lines: self.basket(),
            max_offers: 3,
        }
    }

    fn plan(&self) -> v1::PlanFulfillmentRequest {
        v1::PlanFulfillmentRequest {
            origin: Some(self.place()),
            lines: self.cart(),
            max_distance_meters: Some(DISTANCE_METERS),
            max_options: 3,
            ..Default::default()
        }
    }

    fn reserve(&self) -> v1::ReserveFulfillmentRequest {
        v1::ReserveFulfillmentRequest {
            origin: Some(self.place()),
            lines: self.cart(),
            max_distance_meters: Some(DISTANCE_METERS),
            // Short, so that holds of a run that was cut off are free again soon.
            hold_duration: Some(Duration {
                seconds: 60,
                nanos: 0,
            }),
            ..Default::default()
        }
    }

    fn checkout(&self) -> v1::EvaluateCheckoutRequest {
        v1::EvaluateCheckoutRequest {
            revision: 1,
            identifiers: self.identifiers(),
            store_id: self.store_id(),
            channel: v1::Channel::Store.into(),
            lines: self.basket(),
            max_offers: 3,
            fulfillment: Some(v1::CheckoutFulfillment {
                origin: Some(self.place()),
                lines: self.cart(),
                max_distance_meters: Some(DISTANCE_METERS),
                max_options: 3,
                hold: false,
                hold_duration: None,
                ..Default::default()
            }),
            view: v1::ProfileView::Checkout.into(),
            ..Default::default()
        }
    }
}

/// One generator's requests, one after the other.
#[derive(Debug)]
pub(crate) struct Workload {
    requests: Arc<Requests>,
    shares: &'static [(Op, u32)],
    /// Different for every run and every generator, so that ids never repeat.
    name: String,
    batch: usize,
    generator: ChaCha8Rng,
    sent: u64,
}

impl Workload {
    pub(crate) fn new(
        requests: Arc<Requests>,
        scenario: Scenario,
        seed: u64,
        run: &str,
        index: usize,
        batch: usize,
    ) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(1_000_000 + index as u64);
        Self {
            requests,
            shares: scenario.shares(),
            name: format!("load-{run}-{index}"),
            batch,
            generator,
            sent: 0,
        }
    }

    /// The next request. `now_seconds` is the clock that receipts are dated by.
    pub(crate) fn next(&mut self, now_seconds: i64) -> (Op, Bytes) {
        let op = self.op();
        self.sent += 1;
        let id = format!("{}-{}", self.name, self.sent);
        let random = self.generator.next_u64();
        let body = match op {
            Op::Recognize => pick(&self.requests.recognitions, random).clone(),
            Op::Offers => pick(&self.requests.offers, random).clone(),
            Op::Plan => pick(&self.requests.plans, random).clone(),
            Op::Reserve | Op::Release => frame(&v1::ReserveFulfillmentRequest {
                request_id: id.clone(),
                order_id: id,
                ..pick(&self.requests.reserves, random).clone()
            }),
            Op::Checkout => frame(&v1::EvaluateCheckoutRequest {
                checkout_id: id,
                ..pick(&self.requests.checkouts, random).clone()
            }),
            Op::Ingest => frame(&self.receipts(&id, random, now_seconds)),
        };
        (op, body)
    }

    fn op(&mut self) -> Op {
        let mut left = self.generator.next_u32() % 100;
        for &(op, share) in self.shares {
            match left.checked_sub(share) {
                Some(rest) => left = rest,
                None => return op,
            }
        }
        self.shares[0].0
    }

    fn receipts(&self, id: &str, random: u64, now_seconds: i64) -> v1::IngestBatchRequest {
        let events = (0..self.batch).map(|number| {
            let mut event =
                pick(&self.requests.receipts, random.wrapping_add(number as u64)).clone();
            event.event_id = format!("{id}-{number}");
            event.occurred_time = Some(Timestamp {
                seconds: now_seconds,
                nanos: 0,
            });
            if let Some(Payload::Transaction(transaction)) = &mut event.payload {
                transaction.end_time = event.occurred_time;
                transaction.begin_time = None;
                transaction.original_transaction = None;
                transaction.r#type = v1::TransactionType::Sale.into();
                if let Some(key) = &mut transaction.key {
                    key.workstation_id = self.name.clone();
                    key.sequence_number = (self.sent * self.batch as u64 + number as u64) as i64;
                }
            }
            event
        });
        v1::IngestBatchRequest {
            events: events.collect(),
        }
    }
}

/// The caller's scenario made the pool; the pools it did not make are never asked for.
fn pick<T>(pool: &[T], random: u64) -> &T {
    &pool[(random % pool.len() as u64) as usize]
}

/// The call that gives a hold back.
pub(crate) fn release_of(reservation: Bytes) -> anyhow::Result<Bytes> {
    let reservation: v1::Reservation =
        prost::Message::decode(reservation).context("the answer is no Reservation")?;
    // One release a reservation, so its id makes a request id.
    Ok(frame(&v1::ReleaseReservationRequest {
        request_id: format!("release-{}", reservation.order_id),
        reservation_id: reservation.reservation_id,
    }))
}
