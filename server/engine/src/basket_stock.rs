//! The stock of a basket's products, held for reading while stores are chosen: one look at all of them, so that what the
//! sets say and what the levels say belong together.

use std::sync::RwLockReadGuard;

use smallvec::SmallVec;

use crate::ids::{SkuId, StoreId};
use crate::nearest::Candidates;
use crate::own_holds::Own;
use crate::product_stock::{Having, Listed, ProductStock};
use crate::routing::credit_of;
use crate::state::State;

/// The stock of some products; the writer waits while it lives, so nothing long is done with it.
pub(crate) struct BasketStock<'a> {
    state: &'a State,
    products: SmallVec<[Held<'a>; 8]>,
    /// What the order itself holds: it counts as available.
    own: Own<'a>,
}

struct Held<'a> {
    sku: SkuId,
    quantity: i64,
    /// `None` where it never had a level anywhere.
    stock: Option<RwLockReadGuard<'a, ProductStock>>,
}

impl<'a> BasketStock<'a> {
    /// Holds `wanted`, each product once, in the order of their numbers.
    pub(crate) fn hold(state: &'a State, wanted: &[(SkuId, i64)], own: Own<'a>) -> Self {
        let table = &state.stock;
        let mut products: SmallVec<[Held<'a>; 8]> = SmallVec::new();
        for &(sku, quantity) in wanted {
            let stock = table.product(sku);
            if let Some(stock) = &stock {
                stock.ask_having(quantity);
            }
            products.push(Held {
                sku,
                quantity,
                stock,
            });
        }
        BasketStock {
            state,
            products,
            own,
        }
    }

    /// The stores of the order's own holds, those of `stores`, each once.
    fn own(&self, stores: &[u64]) -> SmallVec<[StoreId; 2]> {
        let mut own = SmallVec::new();
        for store in self.own.stores() {
            let word = stores.get(store.0 as usize / 64).copied().unwrap_or(0);
            if word >> (store.0 % 64) & 1 == 1 && !own.contains(&store) {
                own.push(store);
            }
        }
        own
    }

    /// Those of `stores` that may have everything; nobody else has.
    pub(crate) fn candidates<'s>(&'s self, stores: &'s [u64]) -> Candidates<'s> {
        let mut candidates = Candidates {
            also: self.own(stores),
            ..Candidates::default()
        };
        let mut lists: SmallVec<[Listed<'_>; 8]> = SmallVec::new();
        // What leaves least comes first: most stores are then passed after one look.
        let mut sets: SmallVec<[(u32, &[u64]); 9]> = SmallVec::new();
        for product in &self.products {
            match product
                .stock
                .as_ref()
                .map(|stock| stock.having(product.quantity))
            {
                Some(Having::Many(set, count)) => sets.push((count, set)),
                Some(Having::Few(few)) => lists.push(few),
                None => {
                    candidates.named = Some(SmallVec::new());
                    return candidates;
                }
            }
        }
        sets.sort_unstable_by_key(|(count, _)| *count);
        candidates.sets.extend(sets.iter().map(|(_, set)| *set));
        candidates.sets.push(stores);
        lists.sort_unstable_by_key(|few| few.count());
        if let Some((shortest, others)) = lists.split_first() {
            let mut named = SmallVec::new();
            for store in shortest.iter() {
                if others.iter().all(|few| few.has(store)) && candidates.in_sets(store) {
                    named.push(store);
                }
            }
            candidates.named = Some(named);
        }
        candidates
    }

    /// Whether a store has the whole quantity of the product at `at` in what is wanted.
    pub(crate) fn has(&self, at: usize, store: StoreId) -> bool {
        let product = &self.products[at];
        let own = credit_of(self.state, self.own, store, product.sku);
        let missing = product.quantity.saturating_sub(own);
        match &product.stock {
            Some(stock) => stock.has(store, missing),
            None => missing <= 0,
        }
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

    /// How many products each of `stores` may have the whole quantity of, by store number; it never has more.
    pub(crate) fn counts(&self, stores: &[u64]) -> Vec<u16> {
        let mut counts = vec![0; stores.len() * 64];
        for product in &self.products {
            let Some(stock) = &product.stock else {
                continue;
            };
            let mut candidates = Candidates::from(stores);
            match stock.having(product.quantity) {
                Having::Many(set, _) => candidates.sets.push(set),
                Having::Few(few) => {
                    let few = few.iter().filter(|store| candidates.in_sets(*store));
                    few.for_each(|store| counts[store.0 as usize] += 1);
                    continue;
                }
            }
            candidates.for_each(|store| counts[store.0 as usize] += 1);
        }
        for own in self.own(stores) {
            counts[own.0 as usize] = self.products.len() as u16;
        }
        counts
    }
}
