//! Who leaves memory first: SIEVE. Customers stand in the order they came; a hand goes from the oldest to the newest, spares
//! whom somebody looked at since it last came by, and takes the next. Nobody is moved when looked at, so a reader writes one
//! bit at most, and whoever was looked at once and never again goes soon, which a clock or an LRU keeps for a full round.
//! (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024.)
//!
//! It knows numbers and bytes; whether somebody was looked at, and whether somebody may go at all, its caller says.

use rustc_hash::FxHashMap;
use tillside_engine::ids::CustomerId;

/// No node.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Node {
    id: CustomerId,
    bytes: u32,
    older: u32,
    newer: u32,
}

/// Residents in the order they came, with what each takes.
#[derive(Debug)]
pub(super) struct Sieve {
    nodes: Vec<Node>,
    places: FxHashMap<CustomerId, u32>,
    oldest: u32,
    newest: u32,
    hand: u32,
    /// First of the unused nodes, linked by `newer`.
    unused: u32,
    bytes: u64,
}

impl Sieve {
    pub(super) fn new() -> Self {
        Sieve {
            nodes: Vec::new(),
            places: FxHashMap::default(),
            oldest: NONE,
            newest: NONE,
            hand: NONE,
            unused: NONE,
            bytes: 0,
        }
    }

    /// Bytes of all.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Notes that a customer takes `bytes`: a new one as the newest, one who is here at the same place.
    pub(super) fn put(&mut self, id: CustomerId, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if let Some(at) = self.places.get(&id) {
            let node = &mut self.nodes[*at as usize];
            self.bytes = self.bytes - u64::from(node.bytes) + u64::from(bytes);
            node.bytes = bytes;
            return;
        }
        let node = Node {
            id,
            bytes,
            older: self.newest,
            newer: NONE,
        };
        let at = if self.unused == NONE {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        } else {
            let at = self.unused;
            self.unused = self.nodes[at as usize].newer;
            self.nodes[at as usize] = node;
            at
        };
        match self.newest {
            NONE => self.oldest = at,
            newest => self.nodes[newest as usize].newer = at,
        }
        self.newest = at;
        self.places.insert(id, at);
        self.bytes += u64::from(bytes);
    }

    /// Takes out the next whom `spare` does not spare, looking at no more than `looks`, which it counts down.
    pub(super) fn evict(
        &mut self,
        looks: &mut usize,
        mut spare: impl FnMut(CustomerId) -> bool,
    ) -> Option<CustomerId> {
        while *looks > 0 {
            *looks -= 1;
            let at = if self.hand == NONE {
                self.oldest
            } else {
                self.hand
            };
            let node = self.nodes.get(at as usize)?;
            let id = node.id;
            self.hand = node.newer;
            if !spare(id) {
                self.remove(at);
                return Some(id);
            }
        }
        None
    }

    fn remove(&mut self, at: u32) {
        let Node {
            id,
            bytes,
            older,
            newer,
        } = self.nodes[at as usize];
        match older {
            NONE => self.oldest = newer,
            older => self.nodes[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.nodes[newer as usize].older = older,
        }
        self.nodes[at as usize].newer = self.unused;
        self.unused = at;
        self.places.remove(&id);
        self.bytes -= u64::from(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn ids(sieve: &Sieve) -> Vec<u64> {
        let (mut ids, mut at, mut older) = (Vec::new(), sieve.oldest, NONE);
        while at != NONE {
            let node = &sieve.nodes[at as usize];
            assert_eq!(node.older, older, "linked both ways");
            assert_eq!(sieve.places[&node.id], at);
            ids.push(node.id.0);
            (older, at) = (at, node.newer);
        }
        assert_eq!(older, sieve.newest);
        assert_eq!(ids.len(), sieve.len());
        ids
    }

    #[test]
    fn the_oldest_who_was_not_looked_at_goes_first() {
        let mut sieve = Sieve::new();
        (1..=5).for_each(|id| sieve.put(CustomerId(id), 10));
        let mut looked = BTreeSet::from([1, 3]);
        let mut evict = |sieve: &mut Sieve| {
            let mut looks = 100;
            sieve
                .evict(&mut looks, |id| looked.remove(&id.0))
                .map(|id| id.0)
        };
        assert_eq!(evict(&mut sieve), Some(2));
        assert_eq!(evict(&mut sieve), Some(4));
        assert_eq!(ids(&sieve), [1, 3, 5]);
        sieve.put(CustomerId(6), 10);
        sieve.put(CustomerId(1), 30);
        assert_eq!(sieve.bytes(), 60);
        assert_eq!(ids(&sieve), [1, 3, 5, 6], "nobody is moved");
        assert_eq!(evict(&mut sieve), Some(5), "the hand goes on");
        assert_eq!(evict(&mut sieve), Some(6));
        assert_eq!(evict(&mut sieve), Some(1), "and begins again");
        assert_eq!(evict(&mut sieve), Some(3));
        assert_eq!(evict(&mut sieve), None);
        assert_eq!((sieve.bytes(), ids(&sieve)), (0, vec![]));
        sieve.put(CustomerId(7), 5);
        assert_eq!((sieve.bytes(), ids(&sieve)), (5, vec![7]));
    }

    #[test]
    fn looking_is_bounded() {
        let mut sieve = Sieve::new();
        (1..=5).for_each(|id| sieve.put(CustomerId(id), 10));
        let mut looks = 12;
        assert_eq!(sieve.evict(&mut looks, |_| true), None);
        assert_eq!((looks, ids(&sieve)), (0, vec![1, 2, 3, 4, 5]));
    }
}
