//! Stores and products: upserts, all or none. Putting what is there already is no event.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::{CategoryId, Product, Store};
use crate::command::ProductDraft;
use crate::ctx::Ctx;
use crate::decide::Decided;
use crate::event::Event;
use crate::ids::{SkuId, StoreId};
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::state::State;

#[derive(Default)]
struct Tally {
    created: u32,
    updated: u32,
    unchanged: u32,
}

impl Tally {
    fn reply(self) -> Reply {
        Reply::Put {
            created: self.created,
            updated: self.updated,
            unchanged: self.unchanged,
        }
    }
}

pub(super) fn put_stores(state: &State, stores: &[Store], ctx: &Ctx) -> Decided {
    let mut tally = Tally::default();
    let mut events = Vec::new();
    // The last of several entries for one id counts.
    let latest: BTreeMap<&Arc<str>, &Store> = stores.iter().map(|s| (&s.store_id, s)).collect();
    let mut next = state.stores.len() as u32;
    for (store_id, draft) in latest {
        let mut store = Store {
            version: ctx.seq,
            ..draft.clone()
        };
        let id = match state.stores.find(store_id) {
            Some((id, current)) => {
                store.version = current.version;
                if store == *current {
                    tally.unchanged += 1;
                    continue;
                }
                store.version = ctx.seq;
                tally.updated += 1;
                id
            }
            None => {
                tally.created += 1;
                next += 1;
                StoreId(next - 1)
            }
        };
        events.push(Event::StorePut {
            id,
            store: Arc::new(store),
        });
    }
    Ok((tally.reply(), events))
}

pub(super) fn put_products(state: &State, drafts: &[ProductDraft], ctx: &Ctx) -> Decided {
    let mut tally = Tally::default();
    let mut events = Vec::new();
    let latest: BTreeMap<&Arc<str>, (usize, &ProductDraft)> = drafts
        .iter()
        .enumerate()
        .map(|(i, d)| (&d.product.sku, (i, d)))
        .collect();
    let mut barcodes = Barcodes::default();
    let mut new_categories: BTreeMap<Arc<str>, CategoryId> = BTreeMap::new();
    let mut next = state.products.len() as u32;
    // Ids follow the order of the request, so that a retailer's order stays visible in listings by number.
    let mut in_order: Vec<(usize, &ProductDraft)> = latest.into_values().collect();
    in_order.sort_unstable_by_key(|(i, _)| *i);
    for (position, draft) in in_order {
        barcodes.claim(state, &draft.product, position)?;
        let category = category_of(
            state,
            &draft.category_path,
            &mut new_categories,
            &mut events,
        );
        let mut product = Product {
            category,
            version: ctx.seq,
            ..draft.product.clone()
        };
        let id = match state.products.find(&product.sku) {
            Some((id, current)) => {
                product.version = current.version;
                if product == *current {
                    tally.unchanged += 1;
                    continue;
                }
                if product.unit != current.unit {
                    let problem = "the unit of a product cannot change, its stock is counted in it; use a new SKU".into();
                    return Err(Rejection::Invalid {
                        field: format!("products[{position}].unit"),
                        problem,
                    });
                }
                product.version = ctx.seq;
                tally.updated += 1;
                id
            }
            None => {
                tally.created += 1;
                next += 1;
                SkuId(next - 1)
            }
        };
        events.push(Event::ProductPut {
            id,
            product: Arc::new(product),
        });
    }
    Ok((tally.reply(), events))
}

fn category_of(
    state: &State,
    path: &Arc<str>,
    new: &mut BTreeMap<Arc<str>, CategoryId>,
    events: &mut Vec<Event>,
) -> Option<CategoryId> {
    if path.is_empty() {
        return None;
    }
    if let Some(known) = state
        .categories
        .get(path)
        .map(|id| *id)
        .or_else(|| new.get(path).copied())
    {
        return Some(known);
    }
    let id = CategoryId((state.categories.len() + new.len()) as u32);
    new.insert(Arc::clone(path), id);
    events.push(Event::CategoryAdded {
        id,
        path: Arc::clone(path),
    });
    Some(id)
}

/// Barcodes claimed in this call: one product each.
#[derive(Default)]
struct Barcodes {
    gtins: BTreeMap<u64, Arc<str>>,
    plus: BTreeMap<Arc<str>, Arc<str>>,
}

impl Barcodes {
    fn claim(
        &mut self,
        state: &State,
        product: &Product,
        position: usize,
    ) -> Result<(), Rejection> {
        let owner_of = |id: SkuId| state.products.get(id).map(|p| Arc::clone(&p.sku));
        let taken = |field: String, code: String, owner: Arc<str>| Rejection::BarcodeTaken {
            field,
            code,
            owner,
        };
        for (i, gtin) in product.gtins.iter().enumerate() {
            let stored = state.gtins.get(gtin).map(|id| *id).and_then(owner_of);
            let claimed = self.gtins.insert(*gtin, Arc::clone(&product.sku));
            if let Some(owner) = claimed.or(stored).filter(|owner| *owner != product.sku) {
                return Err(taken(
                    format!("products[{position}].gtins[{i}]"),
                    gtin.to_string(),
                    owner,
                ));
            }
        }
        if product.plu.is_empty() {
            return Ok(());
        }
        let stored = state
            .plus
            .get(&product.plu)
            .map(|id| *id)
            .and_then(owner_of);
        let claimed = self
            .plus
            .insert(Arc::clone(&product.plu), Arc::clone(&product.sku));
        match claimed.or(stored).filter(|owner| *owner != product.sku) {
            Some(owner) => Err(taken(
                format!("products[{position}].plu"),
                product.plu.to_string(),
                owner,
            )),
            None => Ok(()),
        }
    }
}
