//! Random commands of every kind over a small world, so that they meet each other. Each seed prefers some kinds.

use rand::RngExt as _;
use rand::rngs::StdRng;
use smallvec::{SmallVec, smallvec};
use tillside_engine::command::*;
use tillside_engine::ids::*;
use tillside_engine::offer::OutcomeType;
use tillside_engine::reservation::CheckoutResult;

use crate::drafts::*;
use crate::model::Model;

/// Kinds of commands, as [`Commands::of_kind`] numbers them.
const KINDS: usize = 23;
/// Those that are events of other systems.
const EVENTS: std::ops::Range<usize> = 13..18;

/// Which commands a seed prefers: some seeds never send some kinds, so that others come in long rows.
pub(crate) struct Commands {
    weights: [u32; KINDS],
    /// Facts told so far.
    facts: u64,
    /// The greatest number of a source that numbers its messages.
    numbered: u64,
    /// One time in so many a fact is told again.
    repeats: u32,
}

impl Commands {
    pub(crate) fn of_seed(rng: &mut StdRng) -> Self {
        let mut weights = [0; KINDS];
        weights
            .iter_mut()
            .for_each(|w| *w = [0, 1, 1, 2, 4, 8][rng.random_range(0..6)]);
        // Something to move has to come in.
        weights[7] = weights[7].max(2);
        weights[14] = weights[14].max(2);
        Commands {
            weights,
            facts: 0,
            numbered: 0,
            repeats: rng.random_range(3..20),
        }
    }

    /// The first two: without stores and products little can happen.
    pub(crate) fn opening(&self, rng: &mut StdRng) -> [Command; 2] {
        let stores = (0..STORES).map(|n| store(rng, n)).collect();
        let products = (0..SKUS).map(|n| product(rng, n)).collect();
        [Command::PutStores(stores), Command::PutProducts(products)]
    }

    pub(crate) fn any(&mut self, rng: &mut StdRng, model: &Model) -> Command {
        let total: u32 = self.weights.iter().sum();
        let mut left = rng.random_range(0..total);
        let kind = self
            .weights
            .iter()
            .position(|weight| match left.checked_sub(*weight) {
                Some(rest) => {
                    left = rest;
                    false
                }
                None => true,
            });
        self.of_kind(kind.unwrap_or(0), rng, model)
    }

    /// An event for the bulk lane.
    pub(crate) fn event(&mut self, rng: &mut StdRng, model: &Model) -> Ingest {
        match self.of_kind(rng.random_range(EVENTS), rng, model) {
            Command::Ingest(ingest) => *ingest,
            other => unreachable!("these kinds are events: {other:?}"),
        }
    }

    fn of_kind(&mut self, kind: usize, rng: &mut StdRng, model: &Model) -> Command {
        match kind {
            0 => {
                let stores = (0..rng.random_range(1..3)).map(|_| {
                    let n = rng.random_range(0..=STORES);
                    store(rng, n)
                });
                Command::PutStores(stores.collect())
            }
            1 => {
                let products = (0..rng.random_range(1..4)).map(|_| {
                    let n = rng.random_range(0..=SKUS);
                    product(rng, n)
                });
                Command::PutProducts(products.collect())
            }
            2 => Command::CreateCustomer(person(rng)),
            3 => Command::UpdateCustomer(change(rng, model)),
            4 => Command::PutOffer(offer(rng, model)),
            5 => Command::ArchiveOffer {
                offer_id: offer_id(rng),
            },
            6 => Command::ReportOutcomes(
                (0..rng.random_range(1..4))
                    .map(|_| self.outcome(rng))
                    .collect(),
            ),
            7 => Command::AdjustStock(adjustment(rng, model)),
            8 => Command::SetStockCount(count(rng, model)),
            9 if rng.random_bool(0.4) => Command::Reserve(reserve_parts(rng, model)),
            9 => Command::Reserve(reserve(rng, false)),
            10 => Command::Reserve(reserve(rng, true)),
            11 if rng.random_bool(0.5) => Command::ConfirmReservation(reservation(rng, model)),
            11 => Command::ReleaseReservation(reservation(rng, model)),
            12 => Command::CloseCheckout {
                checkout_id: checkout_id(rng),
                result: if rng.random_bool(0.5) {
                    CheckoutResult::Completed
                } else {
                    CheckoutResult::Cancelled
                },
            },
            13 => self.ingest(rng, model, |rng, model| {
                IngestPayload::Count(count(rng, model))
            }),
            14 => self.ingest(rng, model, |rng, model| {
                IngestPayload::Adjustment(adjustment(rng, model))
            }),
            15 => self.ingest(rng, model, |rng, _| IngestPayload::Profile(person(rng))),
            16 => self.ingest(rng, model, |rng, model| {
                IngestPayload::Sale(sale(rng, model))
            }),
            17 => self.ingest(rng, model, |rng, model| match rng.random_range(0..3) {
                0 => IngestPayload::Inbound(delivery(rng, model)),
                1 => IngestPayload::Received(receipt(rng, model)),
                _ => IngestPayload::Facts(vec![store_price(rng)]),
            }),
            18 | 19 => Command::Order(Box::new(order(rng, model))),
            20 => Command::CancelOrder {
                order_id: order_id(rng),
            },
            21 => match rng.random_range(0..5) {
                0..2 => Command::ScheduleInbound(delivery(rng, model)),
                2..4 => Command::ReceiveInbound(receipt(rng, model)),
                _ => Command::CancelInbound {
                    delivery_id: delivery_id(rng),
                },
            },
            _ => Command::PutFacts((0..rng.random_range(1..4)).map(|_| fact(rng)).collect()),
        }
    }

    fn key(&mut self, rng: &mut StdRng) -> BusinessKey {
        if self.facts == 0 || !rng.random_ratio(1, self.repeats) {
            self.facts += 1;
            return BusinessKey(u128::from(self.facts));
        }
        BusinessKey(u128::from(rng.random_range(1..=self.facts)))
    }

    fn outcome(&mut self, rng: &mut StdRng) -> OutcomeReport {
        let outcomes = [
            OutcomeType::Impression,
            OutcomeType::Click,
            OutcomeType::Accept,
            OutcomeType::Decline,
            OutcomeType::Redeem,
        ];
        OutcomeReport {
            key: self.key(rng),
            offer_id: offer_id(rng),
            outcome: outcomes[rng.random_range(0..5)],
        }
    }

    fn ingest(
        &mut self,
        rng: &mut StdRng,
        model: &Model,
        payload: impl FnOnce(&mut StdRng, &Model) -> IngestPayload,
    ) -> Command {
        let mut keys: SmallVec<[BusinessKey; 2]> = smallvec![self.key(rng)];
        if rng.random_bool(0.3) {
            keys.push(self.key(rng));
        }
        let position = rng.random_bool(0.3).then(|| {
            // A new one, one that was left out, or one that was told before.
            let number = rng.random_range(1..=self.numbered + 3);
            self.numbered = self.numbered.max(number);
            keys.push(BusinessKey(1 << 100 | u128::from(number)));
            ("erp".into(), number)
        });
        Command::Ingest(Box::new(Ingest {
            keys,
            occurred: time(rng, now(model)),
            position,
            payload: payload(rng, model),
        }))
    }
}
