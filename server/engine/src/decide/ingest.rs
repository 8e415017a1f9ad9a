//! Events of other systems. A fact is taken once for good; a sale already happened and is never refused.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::command::{
    FactDraft, Ingest, IngestPayload, ItemDraft, SaleDraft, SaleLineDraft, SeenIdentifier,
};
use crate::ctx::Ctx;
use crate::decide::{Decided, Rules, customers, facts, inbound, orders, stock};
use crate::event::Event;
use crate::ids::{CellKey, CustomerId, ReservationId, SkuId, StoreId};
use crate::limits::{CLOCK_SKEW_MS_MAX, LEVEL_THOUSANDTHS_MAX, SOURCES_MAX};
use crate::order::PaymentState;
use crate::prefetch;
use crate::reject::Rejection;
use crate::reply::{Reply, Warning};
use crate::reservation::{Reservation, ReservationLine, ReservationState};
use crate::sale::{ItemRef, Sale, SaleKind, SaleLine, StoreRef};
use crate::settlement::{self, Settled};
use crate::state::State;
use crate::units::{Currency, Money, ONE, Thousandths, Time, price_of};

pub(super) fn take(state: &State, rules: &Rules, ingest: &Ingest, ctx: &Ctx) -> Decided {
    if let Some(first) = ingest
        .keys
        .iter()
        .find_map(|key| state.business_keys.get(key).map(|s| *s))
    {
        return Ok((Reply::Duplicate { first }, Vec::new()));
    }
    let (occurred, future) = clamp(ingest.occurred.unwrap_or(ctx.now), ctx.now);
    // Without a time of its own it happened now: after a count of the same millisecond that came before it.
    let own_time = ingest.occurred.map(|_| occurred);
    let paid = if let IngestPayload::Sale(draft) = &ingest.payload {
        draft.paid
    } else {
        None
    };
    let future = future || paid.is_some_and(|paid| clamp(paid, ctx.now).1);
    let mut warnings: SmallVec<[Warning; 1]> = SmallVec::new();
    if future {
        warnings.push(Warning::FutureTime);
    }
    let mut events = vec![Event::Received {
        keys: ingest.keys.clone(),
        occurred,
        future,
    }];
    if let Some((source, number)) = &ingest.position {
        events.extend(advanced(state, source, *number));
    }
    match &ingest.payload {
        IngestPayload::Sale(draft) => sale(
            state,
            rules,
            draft,
            own_time,
            ctx,
            &mut warnings,
            &mut events,
        ),
        IngestPayload::Count(count) => {
            events.extend(stock::count(state, count, Some(occurred), ctx)?.1)
        }
        IngestPayload::Adjustment(adjustment) => {
            events.extend(stock::adjust(state, adjustment, own_time, ctx)?.1)
        }
        IngestPayload::Profile(draft) => {
            events.extend(customers::import(state, rules, draft, &mut warnings, ctx)?)
        }
        IngestPayload::Inbound(draft) => {
            let position = ingest.position.as_ref().map_or(0, |(_, number)| *number);
            let (reply, happened) = inbound::schedule(state, draft, own_time, position, ctx)?;
            if let Reply::Delivery {
                superseded: true, ..
            } = reply
            {
                warnings.push(Warning::Superseded);
            }
            events.extend(happened);
        }
        IngestPayload::Received(draft) => {
            events.extend(inbound::receive(state, draft, own_time, ctx)?.1);
        }
        IngestPayload::Facts(drafts) => {
            let (late, events_of) = price_changed(state, ingest, drafts)?;
            if late {
                warnings.push(Warning::Superseded);
            }
            events.extend(events_of);
        }
    }
    Ok((Reply::Ingested { warnings }, events))
}

/// A price has no time to place it by: where its source numbers its messages, one that comes late is left out.
fn price_changed(
    state: &State,
    ingest: &Ingest,
    drafts: &[FactDraft],
) -> Result<(bool, Vec<Event>), Rejection> {
    let late = ingest.position.as_ref().is_some_and(|(source, number)| {
        state
            .sources
            .get(source)
            .is_some_and(|told| *number < told.highest)
    });
    let (_, events) = facts::put(state, drafts, Some("price_changed"))?;
    Ok((late, if late { Vec::new() } else { events }))
}

/// Notes a source's own number. A number that was taken before is among the event's keys and does not come here.
fn advanced(state: &State, source: &Arc<str>, number: u64) -> Option<Event> {
    if !state.sources.contains_key(source) && state.sources.len() >= SOURCES_MAX {
        // A sale is never refused: the number of one source too many is only not noted.
        return None;
    }
    Some(Event::SourceAdvanced {
        source: Arc::clone(source),
        number,
    })
}

/// A till's clock may be a little ahead; what lies beyond is set to now and flagged.
fn clamp(time: Time, now: Time) -> (Time, bool) {
    (time.min(now), time > now.plus_ms(CLOCK_SKEW_MS_MAX))
}

fn sale(
    state: &State,
    rules: &Rules,
    draft: &SaleDraft,
    own_time: Option<Time>,
    ctx: &Ctx,
    warnings: &mut SmallVec<[Warning; 1]>,
    events: &mut Vec<Event>,
) {
    let store = state.stores.number(&draft.store_id);
    if store.is_none() {
        warnings.push(Warning::UnknownStore);
    }
    let own_time = draft.paid.map(|paid| clamp(paid, ctx.now).0).or(own_time);
    let time = own_time.unwrap_or(ctx.now);
    let customer = if draft.kind == SaleKind::Neutral {
        None
    } else {
        customer_of(state, rules, &draft.identifiers, ctx, warnings, events)
    };
    let mut booking = Booking {
        state,
        store,
        own_time,
        kind: draft.kind,
        settled: SmallVec::new(),
        now: ctx.now,
    };
    let lines = draft
        .lines
        .iter()
        .enumerate()
        .map(|(i, line)| booking.line(i, line, warnings))
        .collect();
    let mut sale = Sale {
        kind: draft.kind,
        store: store.map_or_else(
            || StoreRef::Unknown(Arc::clone(&draft.store_id)),
            StoreRef::Known,
        ),
        workstation: Arc::clone(&draft.workstation),
        business_day: Arc::clone(&draft.business_day),
        number: draft.number,
        time,
        customer,
        points: 0,
        lines,
        tenders: draft.tenders.clone(),
        fiscal_document: Arc::clone(&draft.fiscal_document),
        fiscal_device: Arc::clone(&draft.fiscal_device),
        operator: Arc::clone(&draft.operator),
        offline: draft.offline,
        training: draft.training,
    };
    if customer.is_some() {
        sale.points = points(&sale, rules);
    }
    events.push(Event::SaleRecorded {
        sale: Arc::new(sale),
    });
    for mut settled in booking.settled {
        settled.version = ctx.seq;
        events.push(Event::ReservationPut {
            reservation: Arc::new(settled),
        });
    }
}

/// Whole currency units of the receipt times the rate, truncated towards zero so that a return of a whole receipt takes
/// back what it gave. Currencies are never added; each earns by itself.
fn points(sale: &Sale, rules: &Rules) -> i64 {
    let rate = i64::from(rules.points_per_currency_unit);
    sale.net_by_currency()
        .iter()
        .map(|(_, minor)| (minor / 100).saturating_mul(rate))
        .fold(0, i64::saturating_add)
}

fn owner_of(state: &State, seen: &SeenIdentifier) -> Option<CustomerId> {
    state.identifiers.get(&seen.hash).map(|id| *id)
}

/// Whose a receipt with these identifiers is, where they name anybody who is known.
pub(crate) fn buyer(state: &State, identifiers: &[SeenIdentifier]) -> Option<CustomerId> {
    customers::decisive(identifiers)
        .filter_map(|(_, seen)| Some((seen.known.identifier.kind, owner_of(state, seen)?)))
        .min_by_key(|(kind, _)| *kind)
        .map(|(_, customer)| customer)
}

fn customer_of(
    state: &State,
    rules: &Rules,
    identifiers: &[SeenIdentifier],
    ctx: &Ctx,
    warnings: &mut SmallVec<[Warning; 1]>,
    events: &mut Vec<Event>,
) -> Option<CustomerId> {
    match buyer(state, identifiers) {
        Some(customer) => {
            let owner = |seen: &SeenIdentifier| owner_of(state, seen);
            if identifiers.iter().filter_map(owner).any(|o| o != customer) {
                warnings.push(Warning::AmbiguousCustomer);
            }
            Some(customer)
        }
        None if identifiers.is_empty() => None,
        None => {
            let (id, event) = customers::provisional(state, rules, identifiers, ctx);
            events.push(event);
            Some(id)
        }
    }
}

/// What the lines of one receipt do to stock and reservations; several lines may hand over the same reservation.
struct Booking<'a> {
    state: &'a State,
    store: Option<StoreId>,
    /// `None`: it happened in the order it came, after every count taken before it, be that of this very millisecond.
    own_time: Option<Time>,
    kind: SaleKind,
    /// Reservations as the lines so far leave them.
    settled: SmallVec<[Reservation; 0]>,
    now: Time,
}

impl Booking<'_> {
    fn line(
        &mut self,
        index: usize,
        draft: &SaleLineDraft,
        warnings: &mut SmallVec<[Warning; 1]>,
    ) -> SaleLine {
        let (found, item) = self.find(&draft.item);
        if found.is_none() && self.kind != SaleKind::Neutral {
            warnings.push(Warning::UnknownSku { line: index });
        }
        // Returns and voids come with their sign already turned; a quantity or a price read off a code has to follow it,
        // and the price that of goods taken back within a sale.
        let sign = match draft.quantity {
            Some(quantity) if quantity != 0 => quantity.signum(),
            _ if matches!(self.kind, SaleKind::Return | SaleKind::PostVoid) => -1,
            _ => 1,
        };
        let embedded = found.as_ref().and_then(|f| f.read.0);
        let quantity = draft.quantity.unwrap_or(sign * embedded.unwrap_or(ONE).0);
        let net = draft
            .net
            .unwrap_or_else(|| self.list_value(found.as_ref(), quantity, sign));
        let mut line = SaleLine {
            item,
            quantity,
            net,
            stock_delta: 0,
            settles: None,
            offer_ids: draft.offer_ids.clone(),
        };
        if self.kind == SaleKind::Neutral {
            return line;
        }
        let mut settled = Settled::default();
        if let (Some(store), Some(found)) = (self.store, &found) {
            if let Some(id) = draft.reservation {
                settled = self.settle(id, store, found.id, quantity);
                line.settles = (settled.now > 0).then_some((id, settled.now));
            }
            // The handover has moved the stock of what it came before.
            let quantity = quantity - settled.before;
            if quantity != 0 {
                let cell = CellKey::new(found.id, store);
                let moved = self.state.stock.read(cell, |l| {
                    if let Some(recent) = &l.recent {
                        // Applying will add to it.
                        prefetch::value(&**recent);
                    }
                    let effective = |time| l.effective(-quantity, time);
                    let delta = self.own_time.map_or(-quantity, effective);
                    let after =
                        (l.on_hand + delta).clamp(-LEVEL_THOUSANDTHS_MAX, LEVEL_THOUSANDTHS_MAX);
                    // What is outside already stays; what would go outside stops at the end.
                    if l.on_hand.abs() > LEVEL_THOUSANDTHS_MAX {
                        0
                    } else {
                        after - l.on_hand
                    }
                });
                line.stock_delta = moved.unwrap_or(-quantity);
            }
        }
        if draft.reservation.is_some() && settled == Settled::default() {
            warnings.push(Warning::ReservationNotSettled { line: index });
        }
        line
    }

    fn find(&self, item: &ItemDraft) -> (Option<Found>, ItemRef) {
        let plain = |id| Found {
            id,
            read: (None, None),
        };
        let (found, unknown) = match item {
            ItemDraft::Known(id) => return (Some(plain(*id)), ItemRef::Known(*id)),
            ItemDraft::Sku(sku) => (
                self.state.products.number(sku).map(plain),
                ItemRef::UnknownSku(Arc::clone(sku)),
            ),
            ItemDraft::Scanned {
                code,
                gtin,
                embedded,
            } => {
                let found = self.state.find_scanned(*gtin, embedded);
                let found = found.map(|item| Found {
                    id: item.id,
                    read: (item.quantity, item.amount),
                });
                (found, ItemRef::UnknownCode(Arc::clone(code)))
            }
        };
        let item = found.as_ref().map_or(unknown, |f| ItemRef::Known(f.id));
        (found, item)
    }

    /// What a line costs where the till did not say.
    fn list_value(&self, found: Option<&Found>, quantity: i64, sign: i64) -> Money {
        let nothing = Money {
            currency: Currency::EUR,
            minor: 0,
        };
        let Some(found) = found else { return nothing };
        if let Some(amount) = found.read.1 {
            return Money {
                minor: sign * amount.minor,
                ..amount
            };
        }
        let price = self.state.price_in(found.id, self.store);
        price.map_or(nothing, |price| Money {
            minor: price_of(price.minor, Thousandths(quantity)),
            ..price
        })
    }

    /// How much of a reservation the line settles: never more than it holds or has handed over, less what earlier lines took.
    fn settle(&mut self, id: ReservationId, store: StoreId, sku: SkuId, quantity: i64) -> Settled {
        let state = self.state;
        let at = self.settled.iter().position(|r| r.id == id);
        let mut after = match at {
            Some(at) => self.settled[at].clone(),
            None => match state.reservation(id).filter(|r| r.store == store) {
                Some(reservation) => Reservation::clone(&reservation),
                None => return Settled::default(),
            },
        };
        let settled = settlement::receipt(&mut after.lines, sku, quantity);
        if settled == Settled::default() {
            return settled;
        }
        let nothing_held = after.lines.iter().all(|l| l.held == 0);
        if after.holds_stock() {
            if nothing_held {
                orders::end(&mut after, ReservationState::Fulfilled, self.now);
            } else if after.state == ReservationState::Ready {
                after.state = ReservationState::PartiallyPickedUp;
            }
        }
        // What a receipt names was paid.
        let paid = |l: &ReservationLine| l.receipted + l.rejected >= l.requested;
        if after.lines.iter().all(paid) {
            after.handling.payment = PaymentState::Paid;
        }
        match at {
            Some(at) => self.settled[at] = after,
            None => self.settled.push(after),
        }
        settled
    }
}

/// The product of a line. The product itself is looked at only where a line leaves out its price: most give it.
struct Found {
    id: SkuId,
    /// Quantity and price read off the code.
    read: (Option<Thousandths>, Option<Money>),
}
