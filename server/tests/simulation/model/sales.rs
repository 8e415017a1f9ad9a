//! Receipts. A sale already happened: nothing refuses it, and what is not known waits in quarantine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tillside_engine::barcode::Embedded;
use tillside_engine::command::{ItemDraft, SaleDraft, SaleLineDraft};
use tillside_engine::ids::StoreId;
use tillside_engine::offer::OutcomeType;
use tillside_engine::order::PaymentState;
use tillside_engine::reply::Warning;
use tillside_engine::reservation::{Reservation, ReservationState};
use tillside_engine::sale::{QuarantinedLine, SaleKind};
use tillside_engine::units::{Currency, Money, Time};

use super::people::Person;
use super::{At, Entity, Model};

/// A line of a receipt, read.
struct Line<'d> {
    draft: &'d SaleLineDraft,
    product: Option<u32>,
    quantity: i64,
    net: Money,
}

impl Model {
    pub(super) fn sale(
        &mut self,
        draft: &SaleDraft,
        own_time: Option<Time>,
        warnings: &mut Vec<Warning>,
        at: At,
    ) {
        let store = self.store_number(&draft.store_id);
        if store.is_none() {
            warnings.push(Warning::UnknownStore);
        }
        self.receipts += 1;
        if draft.kind == SaleKind::Neutral {
            return;
        }
        let time = own_time.unwrap_or(at.now);
        let customer = self.buyer(draft, warnings, at);
        let lines: Vec<Line<'_>> = draft
            .lines
            .iter()
            .map(|line| self.read(line, draft.kind, store))
            .collect();
        for (number, line) in lines.iter().enumerate() {
            if line.product.is_none() {
                warnings.push(Warning::UnknownSku { line: number });
            }
            let settled = match (store, line.product) {
                (Some(store), Some(product)) => {
                    let (before, now) = self.hand_over(line, product, store, at);
                    if line.quantity != before {
                        self.move_stock((product, store), before - line.quantity, own_time, at.now);
                    }
                    before + now > 0
                }
                _ => {
                    self.put_aside(draft, number, line, time, store.is_none(), at);
                    false
                }
            };
            if line.draft.reservation.is_some() && !settled {
                warnings.push(Warning::ReservationNotSettled { line: number });
            }
        }
        if draft.kind == SaleKind::Sale {
            let offers: BTreeSet<&Arc<str>> =
                draft.lines.iter().flat_map(|l| &l.offer_ids).collect();
            offers
                .into_iter()
                .for_each(|id| self.count_outcome(id, OutcomeType::Redeem));
        }
        if let Some(customer) = customer {
            self.remember(customer, draft.kind, &lines, time, store);
        }
    }

    /// Who bought: of those the deciding identifiers name, the one named by the most trusted kind.
    fn buyer(&mut self, draft: &SaleDraft, warnings: &mut Vec<Warning>, at: At) -> Option<u64> {
        if draft.identifiers.is_empty() {
            return None;
        }
        let named = Self::deciding(&draft.identifiers).into_iter();
        let mut named: Vec<_> = named
            .filter_map(|(place, seen)| {
                Some((seen.known.identifier.kind, place, self.owner(seen)?))
            })
            .collect();
        named.sort();
        let Some(&(_, _, customer)) = named.first() else {
            return Some(self.stranger(&draft.identifiers, at));
        };
        if draft
            .identifiers
            .iter()
            .filter_map(|seen| self.owner(seen))
            .any(|owner| owner != customer)
        {
            warnings.push(Warning::AmbiguousCustomer);
        }
        Some(customer)
    }

    /// What a line names, how much of it, and what it cost.
    fn read<'d>(&self, draft: &'d SaleLineDraft, kind: SaleKind, store: Option<u32>) -> Line<'d> {
        let back = matches!(kind, SaleKind::Return | SaleKind::PostVoid);
        let sign = match draft.quantity {
            Some(quantity) if quantity < 0 => -1,
            Some(quantity) if quantity > 0 => 1,
            _ if back => -1,
            _ => 1,
        };
        let (product, read_quantity, read_price) = self.identify(&draft.item);
        let quantity = draft
            .quantity
            .unwrap_or(sign * read_quantity.unwrap_or(1000));
        let list = product.and_then(|number| self.price_in(number, store));
        let nothing = Money {
            currency: Currency::EUR,
            minor: 0,
        };
        let net = match (draft.net, read_price, list) {
            (Some(net), _, _) => net,
            (None, Some(price), _) => Money {
                minor: sign * price.minor,
                ..price
            },
            (None, None, Some(price)) => Money {
                minor: rounded(price.minor * quantity, 1000),
                ..price
            },
            (None, None, None) => nothing,
        };
        Line {
            draft,
            product,
            quantity,
            net,
        }
    }

    /// The product, and what its code says about quantity and price.
    fn identify(&self, item: &ItemDraft) -> (Option<u32>, Option<i64>, Option<Money>) {
        let number = |found: Option<usize>| found.map(|n| n as u32);
        let (gtin, embedded) = match item {
            ItemDraft::Sku(sku) => return (self.product_number(sku), None, None),
            ItemDraft::Known(sku) => return (Some(sku.0), None, None),
            ItemDraft::Scanned { gtin, embedded, .. } => (gtin, embedded),
        };
        if let Some(gtin) = gtin
            && let Some(found) = self.products.iter().position(|p| p.gtins.contains(gtin))
        {
            return (number(Some(found)), None, None);
        }
        for (plu, value) in embedded {
            let Some(found) = self
                .products
                .iter()
                .position(|p| p.plu == *plu && !plu.is_empty())
            else {
                continue;
            };
            let list = self.products[found].list_price;
            let (quantity, price) = match *value {
                Embedded::Weight(grams) => (Some(grams.0), None),
                Embedded::PriceMinor(minor) => {
                    let currency = list.map_or(Currency::EUR, |price| price.currency);
                    let quantity = list
                        .filter(|p| p.minor > 0)
                        .map(|p| rounded(minor * 1000, p.minor));
                    (quantity, Some(Money { currency, minor }))
                }
            };
            return (number(Some(found)), quantity, price);
        }
        (None, None, None)
    }

    /// Settles what the line names of its reservation: (how much went out before, how much goes out now).
    fn hand_over(&mut self, line: &Line<'_>, product: u32, store: u32, at: At) -> (i64, i64) {
        let reservation = line.draft.reservation.and_then(|id| self.reservation(id));
        let Some(reservation) = reservation.filter(|r| r.store.0 == store) else {
            return (0, 0);
        };
        let mut after = Reservation {
            version: at.sequence,
            ..Reservation::clone(&reservation)
        };
        let (mut before, mut now) = (0, 0);
        let mut left = line.quantity.max(0);
        for out in after.lines.iter_mut().filter(|l| l.sku.0 == product) {
            let taken = (out.handed_over - out.receipted).clamp(0, left);
            out.receipted += taken;
            before += taken;
            left -= taken;
        }
        for held in after.lines.iter_mut().filter(|l| l.sku.0 == product) {
            let taken = held.held.min(left);
            held.held -= taken;
            held.receipted += taken;
            now += taken;
            left -= taken;
        }
        if before + now == 0 {
            return (0, 0);
        }
        let all_out = after.lines.iter().all(|l| l.held == 0);
        match after.state {
            ReservationState::Fulfilled
            | ReservationState::Released
            | ReservationState::Expired
            | ReservationState::Shipped
            | ReservationState::PutBack => {}
            _ if all_out => {
                after.state = ReservationState::Fulfilled;
                after.handling.deadline = None;
                after.handling.ended = Some(at.now);
            }
            ReservationState::Ready => after.state = ReservationState::PartiallyPickedUp,
            _ => {}
        }
        if after
            .lines
            .iter()
            .all(|l| l.requested <= l.rejected + l.receipted)
        {
            after.handling.payment = PaymentState::Paid;
        }
        self.set(after);
        (before, now)
    }

    fn put_aside(
        &mut self,
        draft: &SaleDraft,
        number: usize,
        line: &Line<'_>,
        time: Time,
        unknown_store: bool,
        at: At,
    ) {
        // A line whose item is known is named by its SKU.
        let (item, scanned) = match (line.product, &line.draft.item) {
            (Some(known), _) => (Arc::clone(&self.products[known as usize].sku), false),
            (None, ItemDraft::Known(sku)) => unreachable!("{sku:?} is known"),
            (None, ItemDraft::Sku(sku)) => (Arc::clone(sku), false),
            (None, ItemDraft::Scanned { code, .. }) => (Arc::clone(code), true),
        };
        let (quantity, net) = (line.quantity, line.net);
        let store = Arc::clone(&draft.store_id);
        let line = QuarantinedLine {
            store,
            item,
            scanned,
            quantity,
            net,
            time,
            unknown_store,
        };
        self.quarantine
            .insert((at.sequence, number as u32), Arc::new(line));
    }

    fn remember(
        &mut self,
        customer: u64,
        kind: SaleKind,
        lines: &[Line<'_>],
        time: Time,
        store: Option<u32>,
    ) {
        let mut person = Person::clone(self.person(customer));
        let mut net: BTreeMap<String, i64> = BTreeMap::new();
        for line in lines {
            *net.entry(line.net.currency.as_str().to_owned())
                .or_default() += line.net.minor;
        }
        // One point for each whole unit of currency, also back.
        person.points += net.values().map(|minor| minor / 100).sum::<i64>();
        let purchases = match kind {
            SaleKind::Sale => 1,
            SaleKind::PostVoid => -1,
            SaleKind::Return | SaleKind::Neutral => 0,
        };
        person.purchases += purchases;
        for (currency, minor) in net {
            let spend = person.spend.entry(currency).or_default();
            spend.0 += minor;
            spend.1 += purchases;
        }
        if kind == SaleKind::Sale {
            person.first = Some(person.first.map_or(time, |first| first.min(time)));
            if person.last.is_none_or(|last| last <= time) {
                person.last = Some(time);
                person.last_store = store.map(StoreId).or(person.last_store);
            }
            let bought = lines
                .iter()
                .filter(|l| l.quantity > 0)
                .filter_map(|l| l.product);
            person.bought.extend(bought);
        }
        self.touch(Entity::Person(customer));
        self.people[customer as usize - 1] = Arc::new(person);
    }
}

/// A quotient, halves away from zero.
fn rounded(dividend: i64, divisor: i64) -> i64 {
    let half = divisor / 2;
    (dividend + dividend.signum() * half) / divisor
}
