//! Stores and products.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tillside_engine::command::{Command, PolicyChange};
use tillside_engine::ids::compare_external;
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::routing_policy::RoutingPolicy;
use tillside_engine::state::Table;
use tillside_engine::units::Time;
use tillside_proto::v1::{self, catalog_service_server::CatalogService};
use tonic::{Request, Response, Status};

use super::open;
use crate::app::App;
use crate::convert::catalog::{products, stores, wire_product, wire_store};
use crate::convert::checks::{Checks, Path};
use crate::convert::location_terms::minutes;
use crate::convert::paging::{Page, page, token};
use crate::convert::routing_policy::{policy, wire_dry_run, wire_policy};
use crate::convert::values::{etag, money, quantity};
use crate::errors;

/// Minutes of routings that a new policy is tried on, where the caller does not say.
const DRY_RUN_MINUTES_DEFAULT: u32 = 24 * 60;
/// And at most: they are kept no longer.
const DRY_RUN_MINUTES_MAX: u32 = 48 * 60;

/// Handlers of `CatalogService`.
#[derive(Debug)]
pub struct Handlers(pub(super) Arc<App>);

/// A retailer id in the order of the lists.
#[derive(PartialEq, Eq)]
struct Ordered(Arc<str>);

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_external(&self.0, &other.0)
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The ids of a page in order, and whether there are more: one pass that keeps no more than a page.
pub(super) fn page_of<V>(
    table: &Table<Arc<str>, V>,
    page: &Page,
    wanted: impl Fn(&V) -> bool,
) -> (Vec<Arc<str>>, bool) {
    let mut smallest = BinaryHeap::with_capacity(page.size + 2);
    let after = |id: &str| {
        page.after
            .as_deref()
            .is_none_or(|after| compare_external(id, after) == Ordering::Greater)
    };
    for entry in table
        .iter()
        .filter(|entry| after(entry.key()) && wanted(entry.value()))
    {
        smallest.push(Ordered(Arc::clone(entry.key())));
        if smallest.len() > page.size + 1 {
            smallest.pop();
        }
    }
    let mut ids: Vec<Arc<str>> = smallest
        .into_sorted_vec()
        .into_iter()
        .map(|o| o.0)
        .collect();
    let more = ids.len() > page.size;
    ids.truncate(page.size);
    (ids, more)
}

/// The token after a page.
pub(super) fn token_after(ids: &[Arc<str>], more: bool) -> String {
    token(ids.last().filter(|_| more).map(AsRef::as_ref))
}

pub(super) fn put_counts(reply: &Reply) -> Result<(i32, i32, i32), Status> {
    let Reply::Put {
        created,
        updated,
        unchanged,
    } = *reply
    else {
        return Err(errors::defect("counts were expected"));
    };
    let count = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    Ok((count(created), count(updated), count(unchanged)))
}

#[tonic::async_trait]
impl CatalogService for Handlers {
    async fn put_stores(
        &self,
        request: Request<v1::PutStoresRequest>,
    ) -> Result<Response<v1::PutStoresResponse>, Status> {
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let stores = stores(&mut checks, &request.stores);
        checks.finish()?;
        let answer = self
            .0
            .submit(Command::PutStores(stores), stamp, deadline)
            .await?;
        let (created, updated, unchanged) = put_counts(&answer.reply)?;
        Ok(Response::new(v1::PutStoresResponse {
            created,
            updated,
            unchanged,
        }))
    }

    async fn get_store(
        &self,
        request: Request<v1::GetStoreRequest>,
    ) -> Result<Response<v1::Store>, Status> {
        let root = Path::ROOT;
        let mut checks = Checks::default();
        let store_id = checks.id(root.field("store_id"), &request.get_ref().store_id);
        checks.finish()?;
        let found = self.0.state.stores.find(&store_id);
        let (_, store) = found.ok_or_else(|| {
            errors::rejected(&Rejection::UnknownStore {
                field: "store_id".into(),
                store_id,
            })
        })?;
        Ok(Response::new(wire_store(&store)))
    }

    async fn list_stores(
        &self,
        request: Request<v1::ListStoresRequest>,
    ) -> Result<Response<v1::ListStoresResponse>, Status> {
        let mut checks = Checks::default();
        let page = page(
            &mut checks,
            request.get_ref().page_size,
            &request.get_ref().page_token,
        );
        checks.finish()?;
        let catalog = &self.0.state.stores;
        let (ids, more) = page_of(&catalog.numbers, &page, |_| true);
        let stores = ids
            .iter()
            .filter_map(|id| catalog.find(id))
            .map(|(_, store)| wire_store(&store))
            .collect();
        Ok(Response::new(v1::ListStoresResponse {
            stores,
            next_page_token: token_after(&ids, more),
        }))
    }

    async fn put_products(
        &self,
        request: Request<v1::PutProductsRequest>,
    ) -> Result<Response<v1::PutProductsResponse>, Status> {
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let products = products(&mut checks, &request.products);
        checks.finish()?;
        let answer = self
            .0
            .submit(Command::PutProducts(products), stamp, deadline)
            .await?;
        let (created, updated, unchanged) = put_counts(&answer.reply)?;
        Ok(Response::new(v1::PutProductsResponse {
            created,
            updated,
            unchanged,
        }))
    }

    async fn get_product(
        &self,
        request: Request<v1::GetProductRequest>,
    ) -> Result<Response<v1::GetProductResponse>, Status> {
        use v1::get_product_request::Item;
        let app = &*self.0;
        let root = Path::ROOT;
        let mut checks = Checks::default();
        let request = request.into_inner();
        let store_id = checks.optional_id(root.field("store_id"), &request.store_id);
        let (field, code) = match request.item {
            Some(Item::Sku(sku)) => ("sku", sku),
            Some(Item::ScannedCode(code)) => ("scanned_code", code),
            None => ("sku", String::new()),
        };
        let code = checks.id(root.field(field), &code);
        checks.finish()?;
        let found = if field == "sku" {
            app.state.find_sku(&code)
        } else {
            app.reading.find_scanned(&app.state, &code)
        };
        let found = found.ok_or_else(|| {
            errors::rejected(&Rejection::UnknownSku {
                field: field.into(),
                sku: code,
            })
        })?;
        let store = app.state.stores.number(&store_id);
        if store.is_none() && !store_id.is_empty() {
            return Err(errors::rejected(&Rejection::UnknownStore {
                field: "store_id".into(),
                store_id,
            }));
        }
        let price = store.and_then(|store| app.state.price_in(found.id, Some(store)));
        Ok(Response::new(v1::GetProductResponse {
            store_price: price.map(money),
            product: Some(wire_product(&app.state, &found.product)),
            embedded_quantity: found.quantity.map(|q| quantity(q.0, found.product.unit)),
            embedded_amount: found.amount.map(money),
        }))
    }

    async fn list_products(
        &self,
        request: Request<v1::ListProductsRequest>,
    ) -> Result<Response<v1::ListProductsResponse>, Status> {
        let mut checks = Checks::default();
        let page = page(
            &mut checks,
            request.get_ref().page_size,
            &request.get_ref().page_token,
        );
        checks.finish()?;
        let state = &self.0.state;
        let (ids, more) = page_of(&state.products.numbers, &page, |_| true);
        let products = ids
            .iter()
            .filter_map(|id| state.products.find(id))
            .map(|(_, p)| wire_product(state, &p))
            .collect();
        Ok(Response::new(v1::ListProductsResponse {
            products,
            next_page_token: token_after(&ids, more),
        }))
    }

    async fn get_routing_policy(
        &self,
        _: Request<v1::GetRoutingPolicyRequest>,
    ) -> Result<Response<v1::RoutingPolicy>, Status> {
        Ok(Response::new(wire_policy(
            &self.0.state.routing_policy.get(),
        )))
    }

    async fn set_routing_policy(
        &self,
        request: Request<v1::SetRoutingPolicyRequest>,
    ) -> Result<Response<v1::SetRoutingPolicyResponse>, Status> {
        let root = Path::ROOT;
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let policy = policy(&mut checks, root.field("policy"), request.policy.as_ref());
        let etag_sent = request.policy.as_ref().map_or("", |p| p.etag.as_str());
        let etag = etag(&mut checks, root.field("policy").field("etag"), etag_sent);
        let minutes = minutes(
            &mut checks,
            root.field("dry_run_duration"),
            request.dry_run_duration.as_ref(),
            DRY_RUN_MINUTES_MAX,
        );
        checks.finish()?;
        let validate_only = request.validate_only;
        let change = PolicyChange {
            policy,
            etag,
            validate_only,
        };
        let answer = self
            .0
            .submit(Command::SetRoutingPolicy(Box::new(change)), stamp, deadline)
            .await?;
        let Reply::RoutingPolicy(policy) = answer.reply else {
            return Err(errors::defect("a routing policy was expected"));
        };
        let minutes = if minutes == 0 {
            DRY_RUN_MINUTES_DEFAULT
        } else {
            minutes
        };
        let since = self.0.now().plus_ms(-i64::from(minutes) * 60_000);
        Ok(Response::new(v1::SetRoutingPolicyResponse {
            policy: Some(wire_policy(&policy)),
            dry_run: match validate_only {
                true => Some(self.0.dry_run(policy, since).await?),
                false => None,
            },
        }))
    }
}

impl App {
    /// Ranks routings of the past under a policy, on a thread of its own.
    async fn dry_run(
        &self,
        policy: Arc<RoutingPolicy>,
        since: Time,
    ) -> Result<v1::RoutingDryRun, Status> {
        let (state, routings) = (Arc::clone(&self.state), self.routings.clone());
        let run = tokio::task::spawn_blocking(move || {
            let run = routings.dry_run(&state, &policy, since);
            run.map(|run| wire_dry_run(&run, &policy))
        });
        match run.await {
            Ok(Ok(run)) => Ok(run),
            Ok(Err(error)) => Err(errors::routings_unreadable(&error)),
            Err(_) => Err(errors::defect("a dry run ended with a panic")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_in_id_order() {
        let table: Table<Arc<str>, u32> = Table::default();
        for id in ["10", "9", "a", "007", "B", "8"] {
            table.insert(id.into(), 0);
        }
        let mut page = Page {
            size: 2,
            after: None,
        };
        let mut seen: Vec<String> = Vec::new();
        loop {
            let (ids, more) = page_of(&table, &page, |_| true);
            seen.extend(ids.iter().map(|id| id.to_string()));
            assert!(seen.len() <= 6, "{seen:?}");
            if !more {
                break;
            }
            page.after = ids.last().map(|id| id.to_string());
        }
        assert_eq!(seen, ["007", "8", "9", "10", "B", "a"]);
    }
}
