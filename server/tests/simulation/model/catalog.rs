//! Stores and products: numbered in the order they come, never taken away.

use std::sync::Arc;

use tillside_engine::catalog::{CategoryId, Product, Store};
use tillside_engine::command::ProductDraft;

use super::{At, Entity, Model, Outcome, Told, refused};

impl Model {
    pub(super) fn store_number(&self, id: &str) -> Option<u32> {
        self.stores
            .iter()
            .position(|s| &*s.store_id == id)
            .map(|n| n as u32)
    }

    pub(super) fn product_number(&self, sku: &str) -> Option<u32> {
        self.products
            .iter()
            .position(|p| &*p.sku == sku)
            .map(|n| n as u32)
    }

    pub(super) fn put_stores(&mut self, stores: &[Store], at: At) -> (Told, bool) {
        let (mut created, mut updated, mut unchanged) = (0, 0, 0);
        let mut names: Vec<&Arc<str>> = stores.iter().map(|s| &s.store_id).collect();
        names.sort();
        names.dedup();
        for name in names {
            let Some(wanted) = stores.iter().rfind(|s| s.store_id == *name) else {
                continue;
            };
            let wanted = Store {
                version: at.sequence,
                ..wanted.clone()
            };
            match self.store_number(name) {
                None => {
                    created += 1;
                    self.touch(Entity::Store(self.stores.len() as u32));
                    self.stores.push(Arc::new(wanted));
                }
                Some(number) => {
                    let current = &mut self.stores[number as usize];
                    if (Store {
                        version: current.version,
                        ..wanted.clone()
                    }) == **current
                    {
                        unchanged += 1;
                    } else {
                        updated += 1;
                        *current = Arc::new(wanted);
                        self.touch(Entity::Store(number));
                    }
                }
            }
        }
        (
            Told::Put {
                created,
                updated,
                unchanged,
            },
            created + updated > 0,
        )
    }

    pub(super) fn put_products(&mut self, drafts: &[ProductDraft], at: At) -> Outcome {
        let (mut created, mut updated, mut unchanged) = (0, 0, 0);
        // All or none: worked out on copies.
        let (mut products, mut categories) = (self.products.clone(), self.categories.clone());
        let mut changed = Vec::new();
        let last = |at: usize| {
            !drafts[at + 1..]
                .iter()
                .any(|d| d.product.sku == drafts[at].product.sku)
        };
        let counted: Vec<usize> = (0..drafts.len()).filter(|at| last(*at)).collect();
        for (nth, &position) in counted.iter().enumerate() {
            let draft = &drafts[position];
            let sku = &draft.product.sku;
            // A barcode that another product has, or that an earlier one of this call asks for, is taken.
            let others = || {
                let earlier = counted[..nth].iter().map(|p| &drafts[*p].product);
                earlier
                    .chain(self.products.iter().map(|p| &**p))
                    .filter(|p| p.sku != *sku)
            };
            for (i, gtin) in draft.product.gtins.iter().enumerate() {
                if let Some(owner) = others().find(|p| p.gtins.contains(gtin)) {
                    return refused(
                        "BarcodeTaken",
                        format!("products[{position}].gtins[{i}] {}", owner.sku),
                    );
                }
            }
            let plu = &draft.product.plu;
            if let Some(owner) = others().find(|p| !plu.is_empty() && p.plu == *plu) {
                return refused(
                    "BarcodeTaken",
                    format!("products[{position}].plu {}", owner.sku),
                );
            }
            let category = (!draft.category_path.is_empty()).then(|| {
                let known = categories.iter().position(|c| *c == draft.category_path);
                CategoryId(known.unwrap_or_else(|| {
                    categories.push(Arc::clone(&draft.category_path));
                    categories.len() - 1
                }) as u32)
            });
            let wanted = Product {
                category,
                version: at.sequence,
                ..draft.product.clone()
            };
            match products.iter().position(|p| p.sku == *sku) {
                None => {
                    created += 1;
                    changed.push(Entity::Product(products.len() as u32));
                    products.push(Arc::new(wanted));
                }
                Some(number) => {
                    let current = &mut products[number];
                    if (Product {
                        version: current.version,
                        ..wanted.clone()
                    }) == **current
                    {
                        unchanged += 1;
                    } else if wanted.unit != current.unit {
                        return refused("Invalid", format!("products[{position}].unit"));
                    } else {
                        updated += 1;
                        *current = Arc::new(wanted);
                        changed.push(Entity::Product(number as u32));
                    }
                }
            }
        }
        let changes = !changed.is_empty() || categories.len() > self.categories.len();
        (self.products, self.categories) = (products, categories);
        changed.into_iter().for_each(|entity| self.touch(entity));
        Ok((
            Told::Put {
                created,
                updated,
                unchanged,
            },
            changes,
        ))
    }
}
