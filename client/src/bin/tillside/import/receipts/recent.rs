//! The receipts seen last, to tell a receipt that comes twice from one that was torn apart. Bounded: a repeat farther back
//! than [`RECEIPTS_MAX`] receipts is not noticed here, and the server answers DUPLICATE.

use std::collections::{HashMap, VecDeque};

/// About 3 MB at the most.
const RECEIPTS_MAX: usize = 65_536;

/// What is known about a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Not seen lately.
    New,
    /// Seen with the same rows.
    Same,
    /// Seen with other rows.
    Different,
}

/// Hashes of the ids and rows of the last receipts.
#[derive(Debug, Default)]
pub(super) struct Recent {
    contents: HashMap<u64, u64>,
    order: VecDeque<u64>,
}

impl Recent {
    /// Notes a receipt and answers whether it was there before. The first one seen counts.
    pub(super) fn note(&mut self, id: u64, content: u64) -> Seen {
        match self.contents.get(&id) {
            Some(before) if *before == content => return Seen::Same,
            Some(_) => return Seen::Different,
            None => {}
        }
        if self.order.len() == RECEIPTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.contents.remove(&oldest);
        }
        self.contents.insert(id, content);
        self.order.push_back(id);
        Seen::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_told_from_a_torn_receipt_within_the_window() {
        let mut recent = Recent::default();
        assert_eq!(recent.note(1, 10), Seen::New);
        assert_eq!(recent.note(1, 10), Seen::Same);
        assert_eq!(recent.note(1, 11), Seen::Different);
        for id in 2..=RECEIPTS_MAX as u64 + 1 {
            assert_eq!(recent.note(id, id), Seen::New);
        }
        assert_eq!(recent.note(1, 11), Seen::New, "the window has moved on");
        assert_eq!(recent.contents.len(), RECEIPTS_MAX);
    }
}
