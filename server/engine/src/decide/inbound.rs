//! Deliveries and transfers. Told again, the same is the same; told late, what a source said later stands. Goods that
//! left or came have done so, so nothing is refused for want of stock.

use std::sync::Arc;

use crate::claims::arrived;
use crate::command::{InboundDraft, InboundLineDraft, ReceiptDraft};
use crate::ctx::Ctx;
use crate::decide::stock::{moved, same_unit};
use crate::decide::{Decided, known_sku, known_store};
use crate::event::Event;
use crate::ids::SkuId;
use crate::inbound::{Delivery, DeliveryLine, DeliveryState};
use crate::limits::DELIVERY_LINES_MAX;
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::state::State;
use crate::stock::MoveReason;
use crate::units::Time;

/// `position` is the source's own number of the announcement; 0: it gives none, and the order of arrival counts.
pub(super) fn schedule(
    state: &State,
    draft: &InboundDraft,
    occurred: Option<Time>,
    position: u64,
    ctx: &Ctx,
) -> Decided {
    let (store, _) = known_store(state, &draft.store_id, "delivery.store_id")?;
    let from = draft.from_store_id.as_ref();
    let from = from
        .map(|id| known_store(state, id, "delivery.from_store_id"))
        .transpose()?;
    let from = from.map(|(id, _)| id);
    let lines = resolved(state, &draft.lines, "delivery.lines")?;
    let invalid = |field: &str, problem: &str| Rejection::Invalid {
        field: field.into(),
        problem: problem.into(),
    };
    if from == Some(store) {
        return Err(invalid("delivery.from_store_id", "is the store it goes to"));
    }
    let announced = |sku: SkuId| lines.iter().find(|l| l.0 == sku).map_or(0, |l| l.1);
    let mut delivery = match current(state, &draft.delivery_id) {
        None => Delivery {
            delivery_id: Arc::clone(&draft.delivery_id),
            store,
            from,
            expected: draft.expected,
            lines: Vec::new(),
            state: DeliveryState::Expected,
            position,
            changed: ctx.now,
            version: ctx.seq,
        },
        Some(there) => {
            if position != 0 && position < there.position {
                return Ok((
                    Reply::Delivery {
                        delivery: there,
                        superseded: true,
                    },
                    Vec::new(),
                ));
            }
            let same = there.expected == draft.expected
                && there.lines.iter().all(|l| l.announced == announced(l.sku))
                && lines
                    .iter()
                    .all(|(sku, _)| there.lines.iter().any(|l| l.sku == *sku));
            if (there.store, there.from) != (store, from) {
                let problem =
                    "is not where this delivery goes or comes from; cancel it and schedule another";
                return Err(invalid("delivery.store_id", problem));
            }
            if same {
                return Ok((
                    Reply::Delivery {
                        delivery: there,
                        superseded: false,
                    },
                    Vec::new(),
                ));
            }
            open(&there)?;
            Delivery {
                expected: draft.expected,
                position: position.max(there.position),
                changed: ctx.now,
                version: ctx.seq,
                ..Delivery::clone(&there)
            }
        }
    };
    let mut events = Vec::new();
    let mut left = |sku: SkuId, by: i64| -> Result<(), Rejection> {
        if let Some(from) = from {
            events.extend(moved(
                state,
                sku,
                from,
                -by,
                occurred,
                MoveReason::Transfer,
                ctx,
            )?);
        }
        Ok(())
    };
    for line in &mut delivery.lines {
        let now = announced(line.sku);
        if now < line.received {
            let problem = "is less than was received already";
            return Err(invalid("delivery.lines", problem));
        }
        left(line.sku, now - line.announced)?;
        line.announced = now;
    }
    for (sku, quantity) in lines {
        if delivery.lines.iter().all(|line| line.sku != sku) {
            left(sku, quantity)?;
            delivery.lines.push(DeliveryLine {
                sku,
                announced: quantity,
                received: 0,
            });
        }
    }
    put(delivery, events)
}

pub(super) fn receive(
    state: &State,
    draft: &ReceiptDraft,
    occurred: Option<Time>,
    ctx: &Ctx,
) -> Decided {
    let there = known(state, &draft.delivery_id)?;
    if there.state == DeliveryState::Received && draft.lines.is_empty() {
        // All of it came before: the same again.
        return Ok((
            Reply::Delivery {
                delivery: there,
                superseded: false,
            },
            Vec::new(),
        ));
    }
    open(&there)?;
    let came = if draft.lines.is_empty() {
        let lines = there.on_its_way();
        lines
            .map(|line| (line.sku, line.outstanding()))
            .collect::<Vec<_>>()
    } else {
        resolved(state, &draft.lines, "lines")?
    };
    let mut delivery = Delivery {
        changed: ctx.now,
        version: ctx.seq,
        ..Delivery::clone(&there)
    };
    let mut events = arrived(state, delivery.store, &came, ctx);
    let reason = if delivery.from.is_some() {
        MoveReason::Transfer
    } else {
        MoveReason::Receipt
    };
    for (sku, quantity) in came {
        events.extend(moved(
            state,
            sku,
            delivery.store,
            quantity,
            occurred,
            reason,
            ctx,
        )?);
        match delivery.lines.iter_mut().find(|line| line.sku == sku) {
            Some(line) => line.received += quantity,
            // Nobody announced it, and it came all the same.
            None => delivery.lines.push(DeliveryLine {
                sku,
                announced: 0,
                received: quantity,
            }),
        }
    }
    if draft.complete || delivery.lines.iter().all(|line| line.outstanding() == 0) {
        delivery.state = DeliveryState::Received;
    }
    put(delivery, events)
}

pub(super) fn cancel(state: &State, delivery_id: &Arc<str>, ctx: &Ctx) -> Decided {
    let there = known(state, delivery_id)?;
    if there.state == DeliveryState::Cancelled {
        return Ok((
            Reply::Delivery {
                delivery: there,
                superseded: false,
            },
            Vec::new(),
        ));
    }
    open(&there)?;
    let mut events = Vec::new();
    if let Some(from) = there.from {
        for line in there.on_its_way() {
            let back = line.outstanding();
            events.extend(moved(
                state,
                line.sku,
                from,
                back,
                None,
                MoveReason::Transfer,
                ctx,
            )?);
        }
    }
    let delivery = Delivery {
        state: DeliveryState::Cancelled,
        changed: ctx.now,
        version: ctx.seq,
        ..Delivery::clone(&there)
    };
    put(delivery, events)
}

pub(super) fn forget(state: &State, id: &Arc<str>, ctx: &Ctx) -> (Reply, Vec<Event>) {
    let due = current(state, id)
        .and_then(|d| d.forgotten_at())
        .filter(|due| *due <= ctx.now);
    let forgotten = due.map(|_| Event::DeliveryForgotten {
        delivery_id: Arc::clone(id),
    });
    (Reply::Done, forgotten.into_iter().collect())
}

fn put(delivery: Delivery, mut events: Vec<Event>) -> Decided {
    let delivery = Arc::new(delivery);
    events.push(Event::DeliveryPut {
        delivery: Arc::clone(&delivery),
    });
    Ok((
        Reply::Delivery {
            delivery,
            superseded: false,
        },
        events,
    ))
}

fn current(state: &State, id: &Arc<str>) -> Option<Arc<Delivery>> {
    state.deliveries.get(id).map(|d| Arc::clone(&d))
}

fn known(state: &State, id: &Arc<str>) -> Result<Arc<Delivery>, Rejection> {
    let unknown = || Rejection::UnknownDelivery {
        delivery_id: Arc::clone(id),
    };
    current(state, id).ok_or_else(unknown)
}

fn open(delivery: &Delivery) -> Result<(), Rejection> {
    let state = match delivery.state {
        DeliveryState::Expected => return Ok(()),
        DeliveryState::Received => "received",
        DeliveryState::Cancelled => "cancelled",
    };
    Err(Rejection::DeliveryEnded {
        delivery_id: Arc::clone(&delivery.delivery_id),
        state,
    })
}

/// Products with what is said of each; a product that is said twice is summed.
fn resolved(
    state: &State,
    drafts: &[InboundLineDraft],
    path: &str,
) -> Result<Vec<(SkuId, i64)>, Rejection> {
    if drafts.len() > DELIVERY_LINES_MAX {
        return Err(Rejection::LimitExceeded {
            what: "the number of lines",
            max: DELIVERY_LINES_MAX,
        });
    }
    let mut lines: Vec<(SkuId, i64)> = Vec::with_capacity(drafts.len());
    let mut places = rustc_hash::FxHashMap::default();
    for (i, draft) in drafts.iter().enumerate() {
        let (sku, product) = known_sku(state, &draft.sku, &format!("{path}[{i}].sku"))?;
        same_unit(&product, draft.unit, &format!("{path}[{i}].quantity.unit"))?;
        let at = *places.entry(sku).or_insert(lines.len());
        match lines.get_mut(at) {
            Some(line) => line.1 = line.1.saturating_add(draft.quantity),
            None => lines.push((sku, draft.quantity)),
        }
    }
    Ok(lines)
}
