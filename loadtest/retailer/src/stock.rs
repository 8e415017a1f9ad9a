//! Stock, as counts at the end of the world's time: mostly some dozen pieces, sometimes none.

use crate::{
    SOURCE, World,
    draw::{Draw, Part},
    products::{Article, sku},
};
use tillside_proto::v1::{self, event::Payload};

/// The counts of one store.
pub(crate) fn counts(world: &World, store: usize) -> impl Iterator<Item = v1::Event> + '_ {
    let mut draw = Draw::new(world.seed, Part::Stock, store as u64);
    let store_id = &world.shops[store].id;
    world.assortments[store]
        .articles()
        .iter()
        .map(move |&article| {
            let facts = world.articles[article as usize];
            let on_hand = on_hand_thousandths(facts, &mut draw);
            let safety_stock = (draw.chance(0.2) && on_hand >= 12_000).then_some(2_000);
            let quantity = |thousandths| v1::Quantity {
                thousandths,
                unit: facts.unit() as i32,
            };
            v1::Event {
                event_id: format!("count-{:x}-{store}-{article}", world.seed),
                source: SOURCE.to_owned(),
                occurred_time: Some(world.end()),
                offline: false,
                payload: Some(Payload::StockCount(v1::StockCounted {
                    sku: sku(article),
                    store_id: store_id.clone(),
                    on_hand: Some(quantity(on_hand)),
                    safety_stock: safety_stock.map(quantity),
                })),
                ..Default::default()
            }
        })
}

fn on_hand_thousandths(article: Article, draw: &mut Draw) -> i64 {
    if draw.chance(0.05) {
        return 0;
    }
    if article.by_weight {
        // Whole hundreds of grams.
        return 100 * (5 + (draw.exponential() * 120.0) as i64).min(1_000);
    }
    1000 * (1 + (draw.exponential() * 22.0) as i64).min(250)
}
