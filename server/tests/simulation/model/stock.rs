//! Stock as the sum of movements. Every movement is kept for ever with the time it happened at; a count says what was
//! there at its time, and what happened after it counts on.

use std::sync::Arc;

use tillside_engine::command::{Adjustment, Count};
use tillside_engine::reservation::ReservationState;
use tillside_engine::stock::MoveReason;
use tillside_engine::units::{Time, Unit};

use super::{At, CellKey, Entity, Figures, HOUR_MS, Model, Outcome, Refusal, Told, refused};

/// One product in one store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    /// The latest count: (when, how much).
    counted: Option<(Time, i64)>,
    /// Every movement: (when it happened, how much), in order of arrival.
    moved: Vec<(Time, i64)>,
    safety: i64,
    damaged: i64,
}

impl Cell {
    fn on_hand(&self) -> i64 {
        let since = self.counted.map_or(Time(i64::MIN), |(when, _)| when);
        let counted = self.counted.map_or(0, |(_, quantity)| quantity);
        counted
            + self
                .moved
                .iter()
                .filter(|(when, _)| *when > since)
                .map(|(_, quantity)| quantity)
                .sum::<i64>()
    }

    pub(super) fn damage(&mut self, quantity: i64) {
        self.damaged += quantity;
    }

    /// The time of something that says no time of its own: now, and after a count that was taken before it.
    fn in_order_of_arrival(&self, now: Time) -> Time {
        self.counted
            .map_or(now, |(when, _)| now.max(Time(when.0 + 1)))
    }

    /// Whether a movement after `as_of` may be out of the server's hands: it keeps 16 of them, for 48 hours.
    fn may_have_forgotten(&self, as_of: Time, now: Time) -> bool {
        let moved = self
            .moved
            .iter()
            .enumerate()
            .filter(|(_, (_, quantity))| *quantity != 0);
        moved
            .filter(|(_, (when, _))| *when > as_of)
            .any(|(nth, (when, _))| when.0 < now.0 - 48 * HOUR_MS || self.moved.len() - nth > 16)
    }
}

impl Model {
    pub(crate) fn figures(&self, key: CellKey) -> Figures {
        let cell = self.cells.get(&key).cloned().unwrap_or_default();
        let held = |states: &[ReservationState]| -> i64 {
            let here = self
                .reservations
                .values()
                .filter(|r| states.contains(&r.state) && r.store.0 == key.1);
            here.flat_map(|r| &r.lines)
                .filter(|l| l.sku.0 == key.0)
                .map(|l| l.held)
                .sum()
        };
        Figures {
            on_hand: cell.on_hand(),
            reserved: held(&[ReservationState::Held]),
            committed: held(&[
                ReservationState::Confirmed,
                ReservationState::Picking,
                ReservationState::Ready,
                ReservationState::PartiallyPickedUp,
                ReservationState::NeedsPutBack,
            ]),
            safety: match cell.safety {
                // No count gave any: the rules decide.
                0 => self.buffer(key) + self.extra(key.1),
                own => own + self.extra(key.1),
            },
            damaged: cell.damaged,
            counted_at: cell.counted.map(|(when, _)| when),
        }
    }

    /// What may be promised.
    pub(crate) fn available(&self, key: CellKey) -> i64 {
        let figures = self.figures(key);
        figures.on_hand - figures.reserved - figures.committed - figures.damaged - figures.safety
    }

    pub(super) fn cell(&mut self, key: CellKey) -> &mut Cell {
        self.touched.push(Entity::Cell(key));
        Arc::make_mut(self.cells.entry(key).or_default())
    }

    pub(super) fn move_stock(
        &mut self,
        key: CellKey,
        quantity: i64,
        own_time: Option<Time>,
        now: Time,
    ) {
        let cell = self.cell(key);
        let when = own_time.unwrap_or_else(|| cell.in_order_of_arrival(now));
        cell.moved.push((when, quantity));
    }

    /// What was not found is gone, and what nobody asked for with it.
    pub(super) fn lose(&mut self, key: CellKey, missing: i64, free: i64, now: Time) {
        self.move_stock(key, -(missing + free), None, now);
    }

    fn known(
        &self,
        sku: &str,
        store: &str,
        unit: Option<Unit>,
        field: &'static str,
    ) -> Result<CellKey, Refusal> {
        let Some(product) = self.product_number(sku) else {
            return refused("UnknownSku", "sku");
        };
        let Some(store) = self.store_number(store) else {
            return refused("UnknownStore", "store_id");
        };
        if unit.is_some_and(|unit| unit != self.products[product as usize].unit) {
            return refused("Invalid", field);
        }
        Ok((product, store))
    }

    pub(super) fn adjust(
        &mut self,
        adjustment: &Adjustment,
        own_time: Option<Time>,
        at: At,
    ) -> Outcome {
        let key = self.known(
            &adjustment.sku,
            &adjustment.store_id,
            adjustment.unit,
            "delta.unit",
        )?;
        if adjustment.reason == MoveReason::Damage {
            if self.figures(key).damaged + adjustment.delta < 0 {
                return refused("Invalid", "delta");
            }
            self.cell(key).damaged += adjustment.delta;
        } else {
            self.move_stock(
                key,
                adjustment.delta,
                own_time.map(|time| time.min(at.now)),
                at.now,
            );
        }
        Ok((Told::Stock(key, self.figures(key)), true))
    }

    pub(super) fn count(&mut self, count: &Count, as_of: Option<Time>, at: At) -> Outcome {
        let key = self.known(&count.sku, &count.store_id, count.unit, "on_hand.unit")?;
        if as_of.is_some_and(|time| time.0 > at.now.0 + 60_000) {
            return refused("CountInFuture", "");
        }
        let as_of = as_of.map_or(at.now, |time| time.min(at.now));
        let cell = self.cells.get(&key).cloned().unwrap_or_default();
        if cell.counted.is_some_and(|(when, _)| as_of <= when) {
            return refused("CountTooOld", "");
        }
        if !at.changed && cell.may_have_forgotten(as_of, at.now) {
            return refused("CountTooOld", "");
        }
        let cell = self.cell(key);
        cell.counted = Some((as_of, count.on_hand));
        cell.safety = count.safety.unwrap_or(cell.safety);
        Ok((Told::Stock(key, self.figures(key)), true))
    }
}
