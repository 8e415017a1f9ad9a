//! The one decision point: a command and the state give a reply and what happens, or a refusal that changes nothing.
//! Deciding never changes state and never looks at a clock; one file for each capability below.

mod catalog;
mod customers;
mod facts;
mod handover;
mod inbound;
mod ingest;
mod offers;
mod order_parts;
mod orders;
pub mod pick_exceptions;
mod reservations;
mod routing_policy;
mod stock;

use std::sync::Arc;

use crate::catalog::{Product, Store};
use crate::command::{Command, Timer};
use crate::ctx::Ctx;
use crate::event::Event;
use crate::identity::IndexKey;
use crate::ids::{SkuId, StoreId};
use crate::order_command::Terms;
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::state::State;

pub(crate) use self::customers::decisive;
pub(crate) use self::ingest::buyer;

/// Rules that come from configuration. Their results go into the events, so a replay does not need them.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Key of the identifier index: the ids we give customers are found like those the retailer gives.
    pub index_key: IndexKey,
    /// Loyalty points for each whole currency unit of net spend, 0 to 1000.
    pub points_per_currency_unit: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            index_key: IndexKey([0; 32]),
            points_per_currency_unit: 1,
        }
    }
}

/// The answer and the events.
pub type Decided = Result<(Reply, Vec<Event>), Rejection>;

/// Decides one command.
pub fn decide(state: &State, rules: &Rules, command: &Command, ctx: &Ctx) -> Decided {
    match command {
        Command::PutStores(stores) => catalog::put_stores(state, stores, ctx),
        Command::PutProducts(drafts) => catalog::put_products(state, drafts, ctx),
        Command::CreateCustomer(draft) => customers::create(state, rules, draft, ctx),
        Command::UpdateCustomer(change) => customers::update(state, change, ctx),
        Command::PutOffer(draft) => offers::put(state, draft, ctx),
        Command::ArchiveOffer { offer_id } => offers::archive(state, offer_id, ctx),
        Command::ReportOutcomes(reports) => offers::report(state, reports),
        Command::AdjustStock(adjustment) => {
            stock::adjust(state, adjustment, adjustment.occurred, ctx)
        }
        Command::SetStockCount(count) => stock::count(state, count, count.as_of, ctx),
        Command::Reserve(reserve) => reservations::reserve(state, reserve, ctx),
        Command::ConfirmReservation(id) => {
            orders::confirm(state, rules, *id, &Terms::default(), ctx)
        }
        Command::ReleaseReservation(id) => reservations::release(state, *id, ctx),
        Command::CloseCheckout {
            checkout_id,
            result,
        } => reservations::close_checkout(state, rules, checkout_id, *result, ctx),
        Command::SetRoutingPolicy(change) => routing_policy::set(state, change, ctx),
        Command::Ingest(ingest) => ingest::take(state, rules, ingest, ctx),
        Command::Timer(Timer::Reservation(id)) => Ok(orders::due(state, *id, ctx)),
        Command::Timer(Timer::EndedReservation(id)) => Ok(reservations::forget(state, *id, ctx)),
        Command::Timer(Timer::Checkout(id)) => Ok(reservations::forget_checkout(state, id, ctx)),
        Command::Order(order) => orders::step(state, rules, order, ctx),
        Command::CancelOrder { order_id } => orders::cancel(state, order_id, ctx),
        Command::Timer(Timer::EndedDelivery(id)) => Ok(inbound::forget(state, id, ctx)),
        Command::Timer(Timer::BufferSweep) => Ok(facts::sweep(state)),
        Command::ScheduleInbound(draft) => inbound::schedule(state, draft, draft.occurred, 0, ctx),
        Command::ReceiveInbound(draft) => inbound::receive(state, draft, draft.occurred, ctx),
        Command::CancelInbound { delivery_id } => inbound::cancel(state, delivery_id, ctx),
        Command::PutFacts(drafts) => facts::put(state, drafts, None),
    }
}

fn known_store(
    state: &State,
    store_id: &Arc<str>,
    field: &str,
) -> Result<(StoreId, Arc<Store>), Rejection> {
    let unknown = || Rejection::UnknownStore {
        field: field.into(),
        store_id: Arc::clone(store_id),
    };
    state.stores.find(store_id).ok_or_else(unknown)
}

fn known_sku(
    state: &State,
    sku: &Arc<str>,
    field: &str,
) -> Result<(SkuId, Arc<Product>), Rejection> {
    state
        .products
        .find(sku)
        .ok_or_else(|| Rejection::UnknownSku {
            field: field.into(),
            sku: Arc::clone(sku),
        })
}
