//! Pickup of what is not there yet: the rest of the basket is on its way to the store, near enough in time that it may be
//! offered: two days, where no near-time rule says otherwise. Only what announced deliveries bring is offered, less what is
//! promised of it already.
//!
//! Few products are on their way at a time, so the stores are found from the deliveries, not from the sets of stores.

use crate::geo_index::distance_mm;
use crate::ids::{CellKey, SkuId, StoreId, compare_external};
use crate::own_holds::Own;
use crate::routing::{PlanOption, PlanQuery, admit, merged, on_the_shelf};
use crate::state::State;
use crate::units::Time;

/// What a store has of a basket, with what is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cover {
    /// When all of it is there; only what is needed counts. `None`: now.
    pub expected: Option<Time>,
}

impl Cover {
    /// Everything is on the shelf.
    pub const THERE: Cover = Cover { expected: None };
}

/// Whether a store has, or will have in near time, as much of each product; `None`: no.
pub fn cover(
    state: &State,
    wanted: &[(SkuId, i64)],
    store: StoreId,
    now: Time,
    own: Own<'_>,
) -> Option<Cover> {
    let mut expected = None;
    for &(sku, quantity) in wanted {
        let there = on_the_shelf(state, own, store, sku);
        if there >= quantity {
            continue;
        }
        let near = state.near_time(sku, store, now)?;
        let (_, awaited) = own.given_back_of(store, sku);
        let of_others = state.claims.of(CellKey::new(sku, store)) - awaited;
        if there.saturating_add(near.quantity - of_others) < quantity {
            return None;
        }
        expected = expected.max(Some(near.expected));
    }
    Some(Cover { expected })
}

/// The stores in range, of those that something of it is on its way to, that will have everything once that has come, nearest
/// first, ties by retailer id. Some may have it all on the shelf: where others were promised what comes, the sets of stores
/// do not know it.
pub fn near_time_options(state: &State, query: &PlanQuery<'_>) -> Vec<PlanOption> {
    if query.require_open_now {
        return Vec::new();
    }
    let wanted = merged(query.lines);
    let on_their_way = wanted.iter().flat_map(|(sku, _)| state.inbound.of(*sku));
    let mut stores: Vec<StoreId> = on_their_way.map(|incoming| incoming.store).collect();
    stores.sort_unstable();
    stores.dedup();
    let option = |id: StoreId| {
        let store = state.stores.get(id)?;
        let distance_mm = distance_mm(query.origin, store.location);
        let is_asked = match query.only_store {
            Some(only) => only == id,
            None => distance_mm <= query.limit_mm,
        };
        if !is_asked || admit(&store, query).is_err() {
            return None;
        }
        let expected = cover(state, &wanted, id, query.now, query.own)?.expected;
        let pickup = match expected {
            Some(expected) => {
                let from = expected.max(query.now);
                store.first_pickup_from(id, &state.held_slots, from, query.own)
            }
            None => store.first_pickup(id, &state.held_slots, query.now, query.own),
        }?;
        let option = PlanOption {
            store: id,
            distance_mm,
            pickup,
            expected,
        };
        Some((option, store))
    };
    let mut options: Vec<_> = stores.into_iter().filter_map(option).collect();
    options.sort_by(|(a, a_store), (b, b_store)| {
        let by_distance = a.distance_mm.cmp(&b.distance_mm);
        by_distance.then_with(|| compare_external(&a_store.store_id, &b_store.store_id))
    });
    let options = options.into_iter().map(|(option, _)| option);
    options.take(query.max_options).collect()
}
