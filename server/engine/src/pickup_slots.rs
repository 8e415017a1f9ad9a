//! Slots: how many orders may be picked up at a time. A slot belongs to an opening interval and is counted from its
//! beginning, whole lengths only. What is held follows from the reservations alone, so it is no table on disk: it is counted
//! when reservations come and go, and again after loading.

use std::collections::BTreeMap;

use crate::catalog::Store;
use crate::ids::StoreId;
use crate::limits::SLOTS_LOOKED_AT_MAX;
use crate::location_terms::SlotRules;
use crate::own_holds::Own;
use crate::pickup_hours::{Interval, MINUTE_MS, PickupWindow, Ready};
use crate::reservation::Reservation;
use crate::state::Table;
use crate::units::Time;

/// A slot of a store: start included, end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Pickups begin.
    pub start: Time,
    /// They end.
    pub end: Time,
    /// Orders it takes.
    pub capacity: u32,
}

impl Slot {
    /// As a plain span.
    pub fn span(&self) -> (Time, Time) {
        (self.start, self.end)
    }
}

/// Pickups that are held, by store and the time they begin.
#[derive(Debug, Default)]
pub struct HeldSlots(Table<StoreId, BTreeMap<Time, u32>>);

impl HeldSlots {
    /// How many begin in a span of a store.
    pub fn held(&self, store: StoreId, (start, end): (Time, Time)) -> u32 {
        self.0.get(&store).map_or(0, |of_store| {
            of_store.range(start..end).map(|(_, n)| n).sum()
        })
    }

    /// Counts a reservation that came (`true`) or went.
    pub(crate) fn count(&self, reservation: &Reservation, came: bool) {
        let Some(slot) = reservation.held_slot() else {
            return;
        };
        let mut of_store = self.0.entry(reservation.store).or_default();
        let held = of_store.entry(slot.start).or_insert(0);
        if came {
            *held += 1;
        } else {
            *held = held
                .checked_sub(1)
                .expect("what goes was counted when it came");
            if *held == 0 {
                of_store.remove(&slot.start);
            }
        }
        let empty = of_store.is_empty();
        drop(of_store);
        if empty {
            self.0.remove_if(&reservation.store, |_, of| of.is_empty());
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.0.clear();
    }

    /// Everything that is held, in order.
    pub fn all(&self) -> Vec<(StoreId, Time, u32)> {
        let mut all: Vec<_> = (self.0.iter())
            .flat_map(|of| {
                let store = *of.key();
                of.iter()
                    .map(|(start, held)| (store, *start, *held))
                    .collect::<Vec<_>>()
            })
            .collect();
        all.sort_unstable();
        all
    }
}

/// Slots of one opening interval, those after its last pickup left out. An interval shorter than a slot is one.
pub fn slots_of(
    rules: SlotRules,
    interval: Interval,
    last_pickup: Time,
) -> impl Iterator<Item = Slot> {
    let length_ms = i64::from(rules.length_minutes.max(1)) * MINUTE_MS;
    let whole = (last_pickup.0 - interval.open.0).max(0) / length_ms;
    let shorter = whole == 0 && last_pickup > interval.open;
    let (count, end) = if shorter {
        (1, last_pickup)
    } else {
        (whole, interval.open.plus_ms(whole * length_ms))
    };
    (0..count).map(move |n| {
        let start = interval.open.plus_ms(n * length_ms);
        Slot {
            start,
            end: start.plus_ms(length_ms).min(end),
            capacity: rules.capacity,
        }
    })
}

impl Store {
    /// The slots in which an order that comes at `now` can be picked up, in order: none begins before it is ready. Empty
    /// where the store has none.
    pub fn pickup_slots(&self, now: Time) -> impl Iterator<Item = Slot> {
        self.location_terms
            .slots
            .into_iter()
            .flat_map(move |rules| {
                self.pickup_windows(now).flat_map(move |window| {
                    slots_of(rules, window.interval, window.end)
                        .skip_while(move |slot| slot.start < window.start)
                })
            })
    }

    /// As [`Self::first_pickup`] of an order that is not complete before `from`: that is a time, whatever the hours.
    pub fn first_pickup_from(
        &self,
        id: StoreId,
        held: &HeldSlots,
        from: Time,
        own: Own<'_>,
    ) -> Option<Pickup> {
        let pickup = self.first_pickup(id, held, from, own)?;
        if pickup.window.is_some() {
            return Some(pickup);
        }
        let window = self.pickup_windows(from).next();
        Some(Pickup { window, ..pickup })
    }

    /// The first pickup of an order that comes at `now`: in a slot with room, where the store has slots. What the order holds
    /// already, `own`, is no hindrance to it.
    pub fn first_pickup(
        &self,
        id: StoreId,
        held: &HeldSlots,
        now: Time,
        own: Own<'_>,
    ) -> Option<Pickup> {
        let rules = match (self.ready(now), self.location_terms.slots) {
            (Ready::Never, _) => return None,
            (Ready::AnyTime, _) => return Some(Pickup::ANY_TIME),
            (Ready::Window(window), None) => {
                return Some(Pickup {
                    window: Some(window),
                    slot: None,
                });
            }
            (Ready::Window(_), Some(rules)) => rules,
        };
        let mut left = SLOTS_LOOKED_AT_MAX;
        for window in self.pickup_windows(now) {
            for slot in slots_of(rules, window.interval, window.end) {
                if slot.start >= window.start && has_room(&slot, id, held, own) {
                    let (window, slot) = (Some(window), Some(slot));
                    return Some(Pickup { window, slot });
                }
                left = left.checked_sub(1)?;
            }
        }
        None
    }

    /// Pickups held in the opening that a window is in, and how many it takes; zeros without slots.
    pub fn load(&self, id: StoreId, held: &HeldSlots, window: &PickupWindow) -> (u32, u32) {
        let Some(rules) = self.location_terms.slots else {
            return (0, 0);
        };
        let (open, close) = (window.interval.open, window.interval.close);
        let slots = slots_of(rules, window.interval, window.end).count();
        let capacity = u32::try_from(slots)
            .unwrap_or(u32::MAX)
            .saturating_mul(rules.capacity);
        (held.held(id, (open, close)), capacity)
    }
}

/// When an order can be picked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pickup {
    /// The window; `None`: at any time.
    pub window: Option<PickupWindow>,
    /// The slot in it; `None`: the store has none.
    pub slot: Option<Slot>,
}

impl Pickup {
    /// Whenever somebody comes.
    pub const ANY_TIME: Pickup = Pickup {
        window: None,
        slot: None,
    };

    /// What is promised: the slot, or else the window.
    pub fn promised(&self) -> Option<(Time, Time)> {
        let window = self.window.as_ref().map(PickupWindow::span);
        self.slot.as_ref().map(Slot::span).or(window)
    }

    /// Whether it is within the opening hours of this very moment.
    pub fn is_current(&self, now: Time) -> bool {
        self.window.is_none_or(|window| window.is_current(now))
    }
}

/// Whether a slot takes one more.
pub fn has_room(slot: &Slot, store: StoreId, held: &HeldSlots, own: Own<'_>) -> bool {
    i64::from(held.held(store, slot.span())) + own.pickups(store, slot) < i64::from(slot.capacity)
}
