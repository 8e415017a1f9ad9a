//! The requests that were answered lately, so that a repeat gets the first answer. There may be tens of millions of them
//! and each is looked for once and forgotten by its age: they lie in segments in the order they were answered, each with a
//! small index by key, and a segment that has outlived the window is dropped whole. It keeps no answer, only where it is.

use std::collections::VecDeque;
use std::fmt;

use hashbrown::HashTable;

use crate::ids::{RequestKey, Sequence};
use crate::units::Time;

/// Requests of one segment: as many as an index of 2^20 places takes before it would grow. 40 bytes each and 5.7 of the
/// index; a window of 20 million looks into 22 segments, each look one cache line where the key is not there.
const SEGMENT_REQUESTS: usize = (1 << 20) / 8 * 7;

/// An answered request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnsweredRequest {
    /// (principal, request id).
    pub key: RequestKey,
    /// Hash of its payload.
    pub payload_hash: u64,
    /// Where the answer is.
    pub sequence: Sequence,
    /// When it was answered.
    pub time: Time,
}

/// The same in 40 bytes: a field of 128 bits would have it aligned to 48.
#[derive(Clone, Copy)]
struct Entry {
    key: [u64; 2],
    payload_hash: u64,
    sequence: Sequence,
    time: Time,
}

impl Entry {
    fn of(answered: &AnsweredRequest) -> Self {
        Entry {
            key: halves(answered.key),
            payload_hash: answered.payload_hash,
            sequence: answered.sequence,
            time: answered.time,
        }
    }

    fn answered(&self) -> AnsweredRequest {
        let [high, low] = self.key;
        AnsweredRequest {
            key: RequestKey(u128::from(high) << 64 | u128::from(low)),
            payload_hash: self.payload_hash,
            sequence: self.sequence,
            time: self.time,
        }
    }
}

fn halves(key: RequestKey) -> [u64; 2] {
    let number = key.0;
    [(number >> 64) as u64, number as u64]
}

/// Requests that follow each other. All but the last are full.
struct Segment {
    entries: Vec<Entry>,
    /// Places in `entries`; the key is a hash itself, so half of it is one too.
    index: HashTable<u32>,
}

impl Segment {
    /// Only the first segment of a process starts small: later ones would stop the writer while they grow.
    fn new(whole: bool) -> Self {
        let requests = if whole { SEGMENT_REQUESTS } else { 0 };
        Segment {
            entries: Vec::with_capacity(requests),
            index: HashTable::with_capacity(requests),
        }
    }

    fn push(&mut self, entry: Entry) {
        let Segment { entries, index } = self;
        let place = entries.len() as u32;
        entries.push(entry);
        index.insert_unique(entry.key[1], place, |place| entries[*place as usize].key[1]);
    }

    /// The request of a key at a place from `from` on.
    fn find(&self, key: [u64; 2], from: usize) -> Option<&Entry> {
        let found =
            |place: &u32| *place as usize >= from && self.entries[*place as usize].key == key;
        let place = self.index.find(key[1], found)?;
        self.entries.get(*place as usize)
    }
}

/// The window of remembered requests.
#[derive(Default)]
pub struct AnsweredRequests {
    segments: VecDeque<Segment>,
    /// Requests from the start of the first segment on that are forgotten already.
    forgotten: usize,
    /// Every request before it is forgotten, whatever a disk may still have.
    start: Sequence,
}

impl AnsweredRequests {
    /// Remembers a request that was answered after all others; the caller has looked that its key is not remembered.
    pub fn insert(&mut self, answered: AnsweredRequest) {
        let full = |segment: &Segment| segment.entries.len() >= SEGMENT_REQUESTS;
        if self.segments.back().is_none_or(full) {
            let whole = !self.segments.is_empty();
            self.segments.push_back(Segment::new(whole));
        }
        if let Some(last) = self.segments.back_mut() {
            last.push(Entry::of(&answered));
        }
        self.drop_a_segment();
    }

    /// The remembered request of a key.
    pub fn get(&self, key: RequestKey) -> Option<AnsweredRequest> {
        let key = halves(key);
        let remembered = |number: usize| self.forgotten.saturating_sub(number * SEGMENT_REQUESTS);
        // Retries come soon, so the latest segment has them.
        let segments = self.segments.iter().enumerate().rev();
        segments
            .filter_map(|(number, segment)| segment.find(key, remembered(number)))
            .map(Entry::answered)
            .next()
    }

    /// The remembered request that was answered at a sequence.
    pub fn answered_at(&self, sequence: Sequence) -> Option<AnsweredRequest> {
        let place = self.places_while(|entry| entry.sequence < sequence);
        self.entry(place)
            .filter(|entry| place >= self.forgotten && entry.sequence == sequence)
            .map(Entry::answered)
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        let entries: usize = self.segments.iter().map(|s| s.entries.len()).sum();
        entries - self.forgotten
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The oldest remembered request.
    pub fn oldest(&self) -> Option<AnsweredRequest> {
        self.entry(self.forgotten).map(Entry::answered)
    }

    /// All remembered requests, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = AnsweredRequest> {
        self.segments
            .iter()
            .flat_map(|segment| &segment.entries)
            .skip(self.forgotten)
            .map(Entry::answered)
    }

    /// Every request before it is forgotten. What a disk has before it counts for nothing.
    pub fn start(&self) -> Sequence {
        self.start
    }

    /// The window's start where everything answered until `time` and at least the `excess` oldest are forgotten.
    pub fn start_after(&self, time: Time, excess: usize) -> Sequence {
        let outlived = self.places_while(|entry| entry.time <= time);
        let place = outlived.max(self.forgotten + excess.min(self.len()));
        match (
            self.entry(place),
            place.checked_sub(1).and_then(|p| self.entry(p)),
        ) {
            (Some(first), _) => first.sequence,
            (None, Some(last)) => Sequence(last.sequence.0 + 1),
            (None, None) => self.start,
        }
    }

    /// Forgets every request before `sequence`, for good.
    pub fn forget_before(&mut self, sequence: Sequence) {
        self.start = self.start.max(sequence);
        self.forgotten = self
            .places_while(|entry| entry.sequence < sequence)
            .max(self.forgotten);
        self.drop_a_segment();
    }

    /// Forgets the `count` oldest, one by one, as logs of format 1 tell it; answers their sequences.
    pub fn forget_oldest(&mut self, count: usize) -> Vec<Sequence> {
        let oldest = self.iter().take(count).map(|answered| answered.sequence);
        let oldest: Vec<Sequence> = oldest.collect();
        self.forgotten += oldest.len();
        self.drop_a_segment();
        oldest
    }

    /// Gives back a segment that is forgotten whole. One at a time: each is 40 MB, and the writer does it.
    fn drop_a_segment(&mut self) {
        if self.forgotten >= SEGMENT_REQUESTS
            && let Some(first) = self.segments.pop_front()
        {
            self.forgotten -= first.entries.len();
        }
    }

    fn entry(&self, place: usize) -> Option<&Entry> {
        self.segments
            .get(place / SEGMENT_REQUESTS)?
            .entries
            .get(place % SEGMENT_REQUESTS)
    }

    /// The first place, counted from the first segment's start, where `before` no longer holds. Sequence and time only
    /// grow from place to place.
    fn places_while(&self, before: impl Fn(&Entry) -> bool) -> usize {
        let holds = |place: usize| self.entry(place).is_some_and(&before);
        let (mut low, mut high) = (0, self.forgotten + self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

impl fmt::Debug for AnsweredRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnsweredRequests")
            .field("start", &self.start)
            .field("remembered", &self.iter().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(n: u64) -> AnsweredRequest {
        // Spread as the hashes are that real keys come from.
        let hash = u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        AnsweredRequest {
            key: RequestKey(hash << 64 | hash),
            payload_hash: n ^ 7,
            sequence: Sequence(3 * n),
            time: Time(1_000 * n as i64),
        }
    }

    fn window(requests: std::ops::RangeInclusive<u64>) -> AnsweredRequests {
        let mut window = AnsweredRequests::default();
        requests.for_each(|n| window.insert(request(n)));
        window
    }

    #[test]
    fn a_remembered_request_is_found_by_key_and_by_sequence_and_a_forgotten_one_is_not() {
        let mut window = window(1..=100);
        window.forget_before(Sequence(3 * 40));
        for n in 1..=100 {
            let expected = (n >= 40).then(|| request(n));
            assert_eq!(window.get(request(n).key), expected, "{n}");
            assert_eq!(window.answered_at(Sequence(3 * n)), expected, "{n}");
            assert_eq!(window.answered_at(Sequence(3 * n + 1)), None, "{n}");
        }
        assert_eq!((window.len(), window.oldest()), (61, Some(request(40))));
        assert_eq!(window.start(), Sequence(120));
        assert_eq!(window.iter().count(), 61);
    }

    #[test]
    fn a_key_that_was_forgotten_can_be_answered_again() {
        let mut window = window(1..=9);
        window.forget_before(Sequence(3 * 5));
        let again = AnsweredRequest {
            key: request(2).key,
            ..request(10)
        };
        window.insert(again);
        assert_eq!(window.get(request(2).key), Some(again));
    }

    #[test]
    fn the_start_moves_past_what_is_too_old_or_too_much() {
        let window = window(1..=10);
        let check = |time: i64, excess: usize, first_kept: u64| {
            let start = window.start_after(Time(time), excess);
            assert_eq!(start, Sequence(3 * first_kept), "{time} {excess}");
        };
        check(0, 0, 1);
        check(3_999, 0, 4);
        check(4_000, 0, 5);
        check(4_000, 7, 8);
        let all_gone = window.start_after(Time(10_000), 0);
        assert_eq!(all_gone, Sequence(31), "one after the last");
        let empty = AnsweredRequests::default();
        assert_eq!(empty.start_after(Time(10_000), 3), Sequence(0));
    }

    #[test]
    fn old_logs_forget_the_oldest_one_by_one() {
        let mut window = window(1..=5);
        assert_eq!(window.forget_oldest(2), [Sequence(3), Sequence(6)]);
        assert_eq!(window.start(), Sequence(0), "the window itself stays");
        assert_eq!(window.get(request(2).key), None);
        assert_eq!(window.forget_oldest(9).len(), 3);
        assert!(window.is_empty());
    }

    #[test]
    fn segments_that_are_forgotten_whole_are_dropped_and_the_rest_is_found() {
        let all = 2 * SEGMENT_REQUESTS as u64 + 1_000;
        let mut window = window(1..=all);
        assert_eq!(window.segments.len(), 3);
        let kept = SEGMENT_REQUESTS as u64 + 50;
        window.forget_before(request(kept).sequence);
        assert_eq!(window.segments.len(), 2);
        assert_eq!(window.len() as u64, all - kept + 1);
        for n in [kept, kept + 1, all - 1_001, all - 1_000, all] {
            assert_eq!(window.get(request(n).key), Some(request(n)), "{n}");
            assert_eq!(window.answered_at(Sequence(3 * n)), Some(request(n)), "{n}");
        }
        assert_eq!(window.get(request(kept - 1).key), None);
    }
}
