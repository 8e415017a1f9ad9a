//! When can it be picked up? Opening intervals of one store in its own time zone, and the windows that are left of them after
//! the work, the last pickup and the cut-off. Exact to the millisecond; nothing here knows stock, and there is no clock.
//!
//! The time to prepare an order is counted in opening hours, because nobody picks while the store is closed: an order of
//! the evening is not ready when the doors open, but that much later.

use std::collections::VecDeque;

use jiff::{Timestamp, ToSpan as _, civil::Date};

use crate::catalog::Store;
use crate::limits::PICKUP_HORIZON_DAYS;
use crate::units::Time;

/// Milliseconds in a minute.
pub const MINUTE_MS: i64 = 60_000;

/// An opening interval: start included, end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The doors open.
    pub open: Time,
    /// They close.
    pub close: Time,
    /// The day it belongs to: the one it starts on.
    pub day: Date,
}

/// When an order can be picked up within one opening interval: start included, end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PickupWindow {
    /// Ready from here.
    pub start: Time,
    /// The last pickup begins before it.
    pub end: Time,
    /// The opening interval that it is in.
    pub interval: Interval,
}

impl PickupWindow {
    /// Whether it is within the opening hours of this very moment.
    pub fn is_current(&self, now: Time) -> bool {
        self.interval.open <= now
    }

    /// As a plain span.
    pub fn span(&self) -> (Time, Time) {
        (self.start, self.end)
    }
}

/// When a store can hand over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// At any time: it never closes and needs no time.
    AnyTime,
    /// Within this window at first.
    Window(PickupWindow),
    /// Not within the horizon.
    Never,
}

impl Store {
    /// Whether it never closes, on no day.
    pub fn never_closes(&self) -> bool {
        self.opening.is_empty() && self.location_terms.special_days.is_empty()
    }

    /// Opening intervals that end after `now`, in order, each beginning where an earlier one ends if they overlap. A store that
    /// never closes has one from midnight to midnight each day. Local times that a change to summer time skips are read after
    /// the gap, repeated ones the first time.
    pub fn intervals(&self, now: Time) -> Intervals<'_> {
        let today = Timestamp::from_millisecond(now.0)
            .ok()
            .map(|at| self.time_zone.to_datetime(at).date());
        let overnight = self.opening.iter().any(|i| i.close_minute > 1440)
            || (self.location_terms.special_days.iter())
                .any(|day| day.opening.iter().any(|(_, close)| *close > 1440));
        // What began two days ago ends at the last midnight at the latest, but says where yesterday's begins.
        let before = if overnight { 2 } else { 0 };
        Intervals {
            store: self,
            now,
            next_day: today.and_then(|day| day.checked_sub(before.days()).ok()),
            days_left: PICKUP_HORIZON_DAYS + before,
            occupied_until: Time(i64::MIN),
            of_day: VecDeque::new(),
        }
    }

    /// The opening interval `now` lies in, or the next one. `Some(None)`: always open; `None`: not within the horizon.
    pub fn next_opening(&self, now: Time) -> Option<Option<(Time, Time)>> {
        if self.never_closes() {
            return Some(None);
        }
        let interval = self.intervals(now).next()?;
        Some(Some((interval.open, interval.close)))
    }

    /// The windows in which an order that comes at `now` can be picked up, in order: the first begins when it is ready.
    pub fn pickup_windows(&self, now: Time) -> impl Iterator<Item = PickupWindow> {
        let terms = &*self.location_terms;
        let mut left_ms = i64::from(terms.preparation_minutes) * MINUTE_MS;
        let last_pickup_ms = i64::from(terms.last_pickup_minutes) * MINUTE_MS;
        let taken_up_after = self.waits_for_day_after(now);
        self.intervals(now)
            .filter(move |i| taken_up_after.is_none_or(|day| i.day > day))
            .filter_map(move |interval| {
                let from = interval.open.max(now);
                let open_ms = interval.close.0 - from.0;
                if left_ms > open_ms {
                    left_ms -= open_ms;
                    return None;
                }
                let start = from.plus_ms(left_ms);
                left_ms = 0;
                let end = interval.close.plus_ms(-last_pickup_ms);
                (start < end).then_some(PickupWindow {
                    start,
                    end,
                    interval,
                })
            })
    }

    /// The first of them.
    pub fn ready(&self, now: Time) -> Ready {
        let terms = &self.location_terms;
        if self.never_closes()
            && terms.preparation_minutes == 0
            && terms.last_pickup_minutes == 0
            && terms.order_cutoff_minute.is_none()
            && terms.slots.is_none()
        {
            return Ready::AnyTime;
        }
        self.pickup_windows(now)
            .next()
            .map_or(Ready::Never, Ready::Window)
    }

    /// The day whose opening hours are over for an order of `now`, where it comes after the cut-off.
    fn waits_for_day_after(&self, now: Time) -> Option<Date> {
        let cutoff = self.location_terms.order_cutoff_minute?;
        let at = Timestamp::from_millisecond(now.0).ok()?;
        let local = self.time_zone.to_datetime(at);
        let minute = u16::try_from(local.hour()).ok()? * 60 + u16::try_from(local.minute()).ok()?;
        (minute >= cutoff).then(|| local.date())
    }
}

/// See [`Store::intervals`].
#[derive(Clone, Debug)]
pub struct Intervals<'a> {
    store: &'a Store,
    now: Time,
    next_day: Option<Date>,
    days_left: i64,
    occupied_until: Time,
    /// Minutes of the day before `next_day`, by opening.
    of_day: VecDeque<(u16, u16)>,
}

impl Intervals<'_> {
    fn fill(&mut self) -> Option<Date> {
        let day = self.next_day?;
        if self.days_left == 0 {
            return None;
        }
        self.days_left -= 1;
        self.next_day = day.tomorrow().ok();
        match self.store.location_terms.special_day(day) {
            Some(special) => self.of_day.extend(special.opening.iter().copied()),
            None if self.store.opening.is_empty() => self.of_day.push_back((0, 1440)),
            None => {
                let iso = day.weekday().to_monday_one_offset() as u8;
                let of_day = self.store.opening.iter().filter(|i| i.iso_day == iso);
                self.of_day
                    .extend(of_day.map(|i| (i.open_minute, i.close_minute)));
            }
        }
        self.of_day.make_contiguous().sort_unstable();
        Some(day)
    }
}

impl Iterator for Intervals<'_> {
    type Item = Interval;

    fn next(&mut self) -> Option<Interval> {
        loop {
            let Some((open, close)) = self.of_day.pop_front() else {
                self.fill()?;
                continue;
            };
            // The day that `of_day` belongs to is the one before the next.
            let day = match self.next_day {
                Some(next) => next.yesterday().ok()?,
                None => return None,
            };
            let instant = |minute| self.store.instant(day, minute);
            let close = instant(close)?;
            let open = instant(open)?.max(self.occupied_until);
            self.occupied_until = self.occupied_until.max(close);
            if open < close && close > self.now {
                return Some(Interval { open, close, day });
            }
        }
    }
}
