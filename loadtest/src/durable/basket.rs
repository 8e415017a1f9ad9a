//! What is held: three distinct products of one store that has plenty of everything, so that no subject ever refuses.

use prost_types::Duration;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use tillside_proto::v1;

/// Stores of the world.
pub(super) const STORES: u32 = 100;
/// Products of the world, each in every store.
pub(super) const PRODUCTS: u32 = 2_000;
/// Lines of a basket.
const LINES: usize = 3;
/// How long a hold lasts; longer than a comparison.
pub(super) const HOLD_SECONDS: i64 = 900;

/// A basket with ids of its own.
#[derive(Debug, Clone)]
pub(super) struct Basket {
    pub(super) request_id: String,
    pub(super) payload_hash: i64,
    pub(super) order_id: String,
    pub(super) store: u32,
    /// Product and thousandths, in no order.
    pub(super) lines: Vec<(u32, i64)>,
    expires: i64,
}

impl Basket {
    /// Store, expiry and lines as Redis takes them after the request's id.
    pub(super) fn numbers_as_text(&self) -> Vec<String> {
        let mut texts = vec![
            self.payload_hash.to_string(),
            self.order_id.clone(),
            self.store.to_string(),
            self.expires.to_string(),
        ];
        for (sku, quantity) in &self.lines {
            texts.extend([sku.to_string(), quantity.to_string()]);
        }
        texts
    }

    /// The call of the real API.
    pub(super) fn request(&self) -> v1::ReserveFulfillmentRequest {
        let line = |(number, (sku, quantity)): (usize, &(u32, i64))| v1::FulfillmentLine {
            line_id: number.to_string(),
            sku: format!("P{sku}"),
            quantity: Some(v1::Quantity {
                thousandths: *quantity,
                unit: v1::Unit::Ea.into(),
            }),
            methods: Default::default(),
        };
        v1::ReserveFulfillmentRequest {
            request_id: self.request_id.clone(),
            order_id: self.order_id.clone(),
            lines: self.lines.iter().enumerate().map(line).collect(),
            hold_duration: Some(Duration {
                seconds: HOLD_SECONDS,
                nanos: 0,
            }),
            store_id: self.store.to_string(),
            ..Default::default()
        }
    }
}

/// Draws baskets.
pub(super) struct Baskets {
    generator: ChaCha8Rng,
    name: String,
    drawn: u64,
    now_seconds: i64,
}

impl Baskets {
    /// `name` is different for every run of every caller: an id that was used would be answered as a repeat.
    pub(super) fn new(seed: u64, caller: u64, name: String, now_seconds: i64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(caller);
        Self {
            generator,
            name,
            drawn: 0,
            now_seconds,
        }
    }

    pub(super) fn next(&mut self) -> Basket {
        self.drawn += 1;
        let mut lines: Vec<(u32, i64)> = Vec::with_capacity(LINES);
        while lines.len() < LINES {
            let sku = self.generator.next_u32() % PRODUCTS;
            if lines.iter().all(|(other, _)| *other != sku) {
                lines.push((sku, 1_000));
            }
        }
        let id = format!("{}-{}", self.name, self.drawn);
        Basket {
            request_id: format!("q-{id}"),
            payload_hash: i64::from(self.generator.next_u32()),
            order_id: id,
            store: self.generator.next_u32() % STORES,
            lines,
            expires: self.now_seconds + HOLD_SECONDS,
        }
    }
}
