//! The stock of a basket's products, held for reading while stores are chosen: one look at all of them, so that what the
//! bits say and what the levels say belong together.

use std::sync::RwLockReadGuard;

use smallvec::SmallVec;

use crate::ids::{SkuId, StoreId};
use crate::reservation::Reservation;
use crate::routing::credit_of;
use crate::stock_table::{ProductStock, StockTable};

/// The stock of some products; the writer waits while it lives, so nothing long is done with it.
pub(crate) struct BasketStock<'a> {
    products: SmallVec<[Held<'a>; 8]>,
    /// The order's own hold: what it holds counts as available.
    credit: Option<&'a Reservation>,
}

struct Held<'a> {
    sku: SkuId,
    quantity: i64,
    /// `None` where it never had a level anywhere.
    stock: Option<RwLockReadGuard<'a, ProductStock>>,
}

impl<'a> BasketStock<'a> {
    /// Holds `wanted`, each product once, in the order of their numbers.
    pub(crate) fn hold(
        table: &'a StockTable,
        wanted: &[(SkuId, i64)],
        credit: Option<&'a Reservation>,
    ) -> Self {
        let products = wanted
            .iter()
            .map(|&(sku, quantity)| Held {
                sku,
                quantity,
                stock: table.product(sku),
            })
            .collect();
        BasketStock {
            products,
            credit: credit.filter(|reservation| reservation.holds_stock()),
        }
    }

    /// Leaves in `stores` those that have something of every product, and the store of the order's own hold; false where
    /// none is left.
    pub(crate) fn keep_possible(&self, stores: &mut [u64]) -> bool {
        let own = self.credit.map(|reservation| reservation.store.0 as usize);
        let own = own.filter(|own| {
            let word = stores.get(own / 64);
            word.is_some_and(|word| word >> (own % 64) & 1 == 1)
        });
        let mut left = true;
        for product in &self.products {
            left = match &product.stock {
                Some(stock) => stock.keep_sellable(stores),
                None => {
                    stores.fill(0);
                    false
                }
            };
            if !left {
                break;
            }
        }
        if let Some(own) = own {
            stores[own / 64] |= 1 << (own % 64);
        }
        left || own.is_some()
    }

    /// Whether a store has the whole quantity of the product at `at` in what is wanted.
    pub(crate) fn has(&self, at: usize, store: StoreId) -> bool {
        let product = &self.products[at];
        let there = product
            .stock
            .as_ref()
            .map_or(0, |s| s.available_online(store));
        let own = credit_of(self.credit, store, product.sku);
        there.saturating_add(own) >= product.quantity
    }

    /// Whether a store has everything.
    pub(crate) fn has_all(&self, store: StoreId) -> bool {
        (0..self.products.len()).all(|at| self.has(at, store))
    }

    /// How many products a store has the whole quantity of.
    pub(crate) fn count_in_full(&self, store: StoreId) -> usize {
        (0..self.products.len())
            .filter(|at| self.has(*at, store))
            .count()
    }

    /// How many products each of `stores` has something of, by store number: at least as many as it has in full.
    pub(crate) fn counts(&self, stores: &[u64]) -> Vec<u16> {
        let mut counts = vec![0; stores.len() * 64];
        let mut sellable: SmallVec<[u64; 64]> = SmallVec::from_elem(0, stores.len());
        for stock in self.products.iter().filter_map(|p| p.stock.as_ref()) {
            sellable.copy_from_slice(stores);
            stock.keep_sellable(&mut sellable);
            for store in crate::nearest::Candidates(&sellable).numbers() {
                counts[store as usize] += 1;
            }
        }
        if let Some(own) = self.credit.map(|reservation| reservation.store.0 as usize)
            && stores
                .get(own / 64)
                .is_some_and(|w| w >> (own % 64) & 1 == 1)
        {
            counts[own] = self.products.len() as u16;
        }
        counts
    }
}
