//! Buffers, near-time rules and prices of stores: set or removed, all or none. Setting what is there already is no event.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::buffers::{BufferKey, BufferScope};
use crate::command::{FactDraft, ScopeDraft};
use crate::decide::stock::same_unit;
use crate::decide::{Decided, known_sku, known_store};
use crate::event::Event;
use crate::facts::{Fact, FactKey};
use crate::ids::{CellKey, StoreId};
use crate::limits::STOCK_RULES_MAX;
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::state::{State, lock};

/// `field`: where the only draft stands in an event; `None`: they came in lists, one of each kind.
pub(super) fn put(state: &State, drafts: &[FactDraft], field: Option<&str>) -> Decided {
    // The last of several for one key counts.
    let mut facts: BTreeMap<FactKey, Option<Fact>> = BTreeMap::new();
    let mut seen = [0; 3];
    for draft in drafts {
        let (kind, list) = match draft {
            FactDraft::Buffer { .. } => (0, "safety_buffers"),
            FactDraft::NearTime { .. } => (1, "near_time_rules"),
            FactDraft::Price { .. } => (2, "prices"),
        };
        let path = || field.map_or_else(|| format!("{list}[{}]", seen[kind]), str::to_owned);
        let (key, fact) = resolve(state, draft, &path())?;
        seen[kind] += 1;
        facts.insert(key, fact);
    }
    let (mut created, mut updated, mut unchanged) = (0, 0, 0);
    let mut buffers = 0;
    facts.retain(|key, fact| {
        let current = state.fact(key);
        buffers += usize::from(matches!(key, FactKey::Buffer(_)) && current.is_none());
        match (current, *fact) {
            (current, new) if current == new => unchanged += 1,
            (None, _) => created += 1,
            (Some(_), _) => updated += 1,
        }
        current != *fact
    });
    if buffers > 0 && state.stock.buffers().len() + buffers > STOCK_RULES_MAX {
        return Err(Rejection::LimitExceeded {
            what: "the number of safety buffers",
            max: STOCK_RULES_MAX,
        });
    }
    let facts: Vec<_> = facts.into_iter().collect();
    let events = if facts.is_empty() {
        Vec::new()
    } else {
        vec![Event::FactsPut { facts }]
    };
    Ok((
        Reply::Put {
            created,
            updated,
            unchanged,
        },
        events,
    ))
}

fn resolve(
    state: &State,
    draft: &FactDraft,
    path: &str,
) -> Result<(FactKey, Option<Fact>), Rejection> {
    let at_store = |id: &Option<Arc<str>>| -> Result<Option<StoreId>, Rejection> {
        let found = id
            .as_ref()
            .map(|id| known_store(state, id, &format!("{path}.store_id")));
        Ok(found.transpose()?.map(|(store, _)| store))
    };
    let sku_of = |sku: &Arc<str>| known_sku(state, sku, &format!("{path}.sku"));
    Ok(match draft {
        FactDraft::Buffer {
            store_id,
            scope,
            quantity,
            unit,
        } => {
            let store = at_store(store_id)?;
            let scope = match scope {
                ScopeDraft::Everything => BufferScope::Everything,
                // A path that no product has yet is kept: products may come.
                ScopeDraft::Category(path) => BufferScope::Category(Arc::clone(path)),
                ScopeDraft::Sku(sku) => {
                    let (sku, product) = sku_of(sku)?;
                    same_unit(&product, *unit, &format!("{path}.quantity.unit"))?;
                    BufferScope::Sku(sku)
                }
            };
            (
                FactKey::Buffer(BufferKey { store, scope }),
                quantity.map(Fact::Buffer),
            )
        }
        FactDraft::NearTime {
            store_id,
            horizon_ms,
        } => (
            FactKey::NearTime(at_store(store_id)?),
            horizon_ms.map(Fact::NearTime),
        ),
        FactDraft::Price {
            sku,
            store_id,
            price,
        } => {
            let (sku, _) = sku_of(sku)?;
            let (store, _) = known_store(state, store_id, &format!("{path}.store_id"))?;
            (
                FactKey::Price(CellKey::new(sku, store)),
                price.map(Fact::Price),
            )
        }
    })
}

/// Goes on fitting levels to changed buffers, where some are left.
pub(super) fn sweep(state: &State) -> (Reply, Vec<Event>) {
    let done = lock(&state.sweep).is_done();
    (
        Reply::Done,
        if done {
            Vec::new()
        } else {
            vec![Event::BuffersSwept]
        },
    )
}
