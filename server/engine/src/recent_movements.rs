//! The last movements of a level, for a count that arrives late. There are millions of such lists and a sale adds to ten of
//! them, so a list is packed: it fits a line of the cache up to three to five movements, by the time between them, and is
//! written to disk as it is.

use smallvec::SmallVec;

use crate::limits::RECENT_MOVEMENTS_MAX;
use crate::packed;
use crate::units::Time;

/// Bytes in place: with them the whole is 64 bytes.
const IN_PLACE: usize = 24;

/// The last movements of a level by their own time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentMovements {
    /// `Time(i64::MIN)`: none was forgotten.
    forgotten_until: Time,
    /// No movement on the list is older; [`NEVER`] where it is empty.
    earliest: Time,
    /// Of the last one on the list, from which the next one's difference is taken.
    last: Time,
    /// (difference to the time before, change of on_hand), in order of arrival.
    packed: SmallVec<[u8; IN_PLACE]>,
    count: u32,
}

/// Later than everything.
const NEVER: Time = Time(i64::MAX);

impl Default for RecentMovements {
    fn default() -> Self {
        RecentMovements {
            forgotten_until: Time(i64::MIN),
            earliest: NEVER,
            last: Time(0),
            packed: SmallVec::new(),
            count: 0,
        }
    }
}

impl RecentMovements {
    /// A list of (when it happened, change of on_hand), in order of arrival.
    pub fn new(
        forgotten_until: Option<Time>,
        movements: impl IntoIterator<Item = (Time, i64)>,
    ) -> Self {
        let mut recent = RecentMovements {
            forgotten_until: forgotten_until.unwrap_or(Time(i64::MIN)),
            ..RecentMovements::default()
        };
        for (time, change) in movements {
            recent.push(time, change);
        }
        recent
    }

    /// The list of [`Self::packed`]; `None` where the bytes are none.
    pub fn from_packed(forgotten_until: Option<Time>, mut bytes: &[u8]) -> Option<Self> {
        let mut movements: SmallVec<[(Time, i64); 4]> = SmallVec::new();
        let mut time = 0;
        while !bytes.is_empty() {
            movements.push(next(&mut bytes, &mut time)?);
        }
        Some(RecentMovements::new(forgotten_until, movements))
    }

    /// The list as bytes: for each movement the difference of its time to the one before (to zero for the first) and the
    /// change of on_hand, both zigzag LEB128.
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// The latest time of a movement that is no longer at hand: a count from before it cannot be placed any more.
    pub fn forgotten_until(&self) -> Option<Time> {
        (self.forgotten_until != Time(i64::MIN)).then_some(self.forgotten_until)
    }

    /// (when it happened, change of on_hand), in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (Time, i64)> {
        let (mut left, mut time) = (&self.packed[..], 0);
        std::iter::from_fn(move || next(&mut left, &mut time))
    }

    /// Whether it says nothing: no movement is at hand, and none was forgotten after `counted`.
    pub(crate) fn is_past(&self, counted: Time) -> bool {
        self.count == 0 && self.forgotten_until <= counted
    }

    /// Adds a movement; one of before `keep_from` is forgotten at once, as are those on the list.
    pub(crate) fn add(&mut self, occurred: Time, change: i64, keep_from: Time) {
        if self.earliest < keep_from {
            let forgotten = self.iter().map(|(time, _)| time);
            let newest = forgotten.filter(|time| *time < keep_from).max();
            self.forget(newest);
            self.retain(|time| time >= keep_from);
        }
        if occurred < keep_from {
            return self.forget(Some(occurred));
        }
        if self.count as usize >= RECENT_MOVEMENTS_MAX {
            self.forget_first();
        }
        self.push(occurred, change);
    }

    /// Keeps those of whose times `kept` says so.
    pub(crate) fn retain(&mut self, kept: impl Fn(Time) -> bool) {
        let kept: SmallVec<[(Time, i64); RECENT_MOVEMENTS_MAX]> =
            self.iter().filter(|(time, _)| kept(*time)).collect();
        *self = RecentMovements::new(self.forgotten_until(), kept);
    }

    /// Forgets the one that came first. What follows stays as it is, but that the next one's time is no difference any more.
    fn forget_first(&mut self) {
        let (mut left, mut time) = (&self.packed[..], 0);
        let Some((first, _)) = next(&mut left, &mut time) else {
            return;
        };
        let second = packed::take(&mut left).map(packed::unzigzag);
        let gone = self.packed.len() - left.len();
        let head = second.map(|difference| packed::zigzag(time.wrapping_add(difference)));
        self.packed.drain(..gone);
        if let Some(head) = head {
            let (bytes, length) = packed::bytes_of(head);
            self.packed.insert_from_slice(0, &bytes[..length]);
        }
        self.count -= 1;
        if first == self.earliest {
            self.earliest = self.iter().map(|(time, _)| time).min().unwrap_or(NEVER);
        }
        if self.count == 0 {
            self.last = Time(0);
        }
        self.forget(Some(first));
    }

    fn forget(&mut self, time: Option<Time>) {
        if let Some(time) = time {
            self.forgotten_until = self.forgotten_until.max(time);
        }
    }

    fn push(&mut self, time: Time, change: i64) {
        for value in [time.0.wrapping_sub(self.last.0), change] {
            let (bytes, length) = packed::bytes_of(packed::zigzag(value));
            self.packed.extend_from_slice(&bytes[..length]);
        }
        self.last = time;
        self.earliest = self.earliest.min(time);
        self.count += 1;
    }
}

/// The next movement of `left`, after one at `time`.
fn next(left: &mut &[u8], time: &mut i64) -> Option<(Time, i64)> {
    let difference = packed::unzigzag(packed::take(left)?);
    *time = time.wrapping_add(difference);
    let change = packed::unzigzag(packed::take(left)?);
    Some((Time(*time), change))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_list_takes_a_line_of_the_cache_while_it_is_short() {
        assert_eq!(size_of::<RecentMovements>(), 64);
        let sale = |n: i64| (Time(1_790_000_000_000 + n * 7_000), -1_000);
        let recent = RecentMovements::new(None, (0..4).map(sale));
        assert!(!recent.packed.spilled(), "{} bytes", recent.packed.len());
    }

    proptest! {
        // The naive list keeps (time, change) as they come.
        #[test]
        fn a_list_equals_a_naive_one(steps in prop::collection::vec((0i64..400, any::<i64>(), 0i64..300), 0..60)) {
            let mut recent = RecentMovements::default();
            let mut naive: Vec<(Time, i64)> = Vec::new();
            let mut forgotten: Option<Time> = None;
            for (time, change, keep_from) in steps {
                let (time, keep_from) = (Time(time), Time(keep_from));
                recent.add(time, change, keep_from);
                naive.push((time, change));
                let mut gone: Vec<(Time, i64)> = naive.extract_if(.., |(t, _)| *t < keep_from).collect();
                if naive.len() > RECENT_MOVEMENTS_MAX {
                    gone.push(naive.remove(0));
                }
                forgotten = forgotten.max(gone.iter().map(|(t, _)| *t).max());
                prop_assert_eq!(recent.iter().collect::<Vec<_>>(), naive.clone());
                prop_assert_eq!(recent.forgotten_until(), forgotten);
                let read = RecentMovements::from_packed(forgotten, recent.packed());
                prop_assert_eq!(read.as_ref(), Some(&recent));
            }
        }

        #[test]
        fn arbitrary_bytes_are_a_list_or_refused(bytes in any::<Vec<u8>>()) {
            if let Some(recent) = RecentMovements::from_packed(None, &bytes) {
                prop_assert!(recent.packed().len() <= bytes.len());
            }
        }
    }
}
