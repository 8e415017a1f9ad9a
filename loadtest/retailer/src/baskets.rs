//! Baskets to ask questions with: what a customer might have on the belt, or in the cart of the web shop.

use crate::{
    World,
    draw::{Draw, Part},
    products::sku,
    receipts::quantity_thousandths,
};
use tillside_proto::v1::{self, basket_line};

/// One thing in a basket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasketItem {
    /// Position of the product.
    pub product: u32,
    /// How much, in thousandths of the product's unit.
    pub thousandths: i64,
}

impl BasketItem {
    /// As a line at a till.
    #[must_use]
    pub fn basket_line(self) -> v1::BasketLine {
        v1::BasketLine {
            item: Some(basket_line::Item::Sku(sku(self.product))),
            quantity: Some(v1::Quantity {
                thousandths: self.thousandths,
                unit: 0,
            }),
            ..Default::default()
        }
    }

    /// As a line to fulfil.
    #[must_use]
    pub fn fulfillment_line(self) -> v1::FulfillmentLine {
        v1::FulfillmentLine {
            line_id: String::new(),
            sku: sku(self.product),
            quantity: Some(v1::Quantity {
                thousandths: self.thousandths,
                unit: 0,
            }),
            methods: Default::default(),
        }
    }
}

impl World {
    /// A basket of `lines` different products that `store` (by position) carries, liked by `customer` where one is named.
    /// The same `number` gives the same basket.
    #[must_use]
    pub fn basket(
        &self,
        number: u64,
        store: usize,
        customer: Option<u32>,
        lines: usize,
    ) -> Vec<BasketItem> {
        let mut draw = Draw::new(self.seed, Part::Baskets, number);
        let assortment = &self.assortments[store];
        let lines = lines.min(assortment.articles().len());
        let mut basket: Vec<BasketItem> = Vec::with_capacity(lines);
        for _ in 0..lines * 8 {
            if basket.len() == lines {
                break;
            }
            let liked = customer
                .filter(|_| draw.chance(0.7))
                .map(|customer| self.habits.liked(&mut draw, customer, &self.by_leaf))
                .filter(|&article| assortment.carries(article));
            let product = liked.unwrap_or_else(|| assortment.popular(&mut draw));
            if basket.iter().all(|item| item.product != product) {
                let thousandths =
                    quantity_thousandths(self.articles[product as usize].by_weight, &mut draw);
                basket.push(BasketItem {
                    product,
                    thousandths,
                });
            }
        }
        basket
    }

    /// A product that some stores carry, but not `store` (by position); none where it carries everything. The same `number`
    /// gives the same product.
    #[must_use]
    pub fn product_elsewhere(&self, number: u64, store: usize) -> Option<u32> {
        let mut draw = Draw::new(self.seed, Part::Baskets, (1 << 40) | number);
        let start = draw.index(self.articles.len());
        (0..self.articles.len())
            .map(|step| ((start + step) % self.articles.len()) as u32)
            .find(|&article| !self.carries(store, article) && self.carriers(article) > 0)
    }

    /// Whether a store carries a product, both by position. What it carries may still be out of stock.
    #[must_use]
    pub fn carries(&self, store: usize, product: u32) -> bool {
        self.assortments[store].carries(product)
    }

    /// How many stores carry a product, by position.
    #[must_use]
    pub fn carriers(&self, product: u32) -> usize {
        self.assortments
            .iter()
            .filter(|assortment| assortment.carries(product))
            .count()
    }
}
