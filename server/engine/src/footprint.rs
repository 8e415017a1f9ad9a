//! What a customer takes of the memory: an estimate from sizes and capacities, rounded as the allocator rounds, so that a
//! budget in bytes is kept by the process and not only by a sum. It is only used to count; no answer depends on it.

use std::mem::size_of;

use crate::customer::{Consent, Contacts, Customer, KnownIdentifier, Personal, Relation};
use crate::ids::CustomerId;
use crate::profile::{History, Spend};

/// Counts of an `Arc`.
const ARC_BYTES: usize = 2 * size_of::<usize>();
/// A slot of a hash table with its control byte, at the mean load of a table that doubles.
const SLOT_BYTES: usize = (size_of::<(CustomerId, usize)>() + 1) * 3 / 2;
/// A customer's place in the table of customers, in the order of eviction, and in the index of that order.
const PLACES_BYTES: usize = 2 * SLOT_BYTES + 36;

impl Customer {
    /// Bytes that this customer takes while it is in memory, its places in tables included.
    pub fn resident_bytes(&self) -> usize {
        PLACES_BYTES
            + allocated(ARC_BYTES + size_of::<Customer>())
            + personal(&self.personal)
            + relation(&self.relation)
            + history(&self.history)
    }
}

fn personal(personal: &Personal) -> usize {
    let Contacts {
        given_name,
        family_name,
        address,
        postal_code,
        town,
        birth_date,
        language,
    } = &personal.contacts;
    let texts = [
        &personal.customer_id,
        given_name,
        family_name,
        address,
        postal_code,
        town,
        birth_date,
        language,
    ];
    let identifiers = personal.identifiers.iter();
    allocated(ARC_BYTES + size_of::<Personal>())
        + texts.iter().map(|t| allocated(t.capacity())).sum::<usize>()
        + allocated(personal.identifiers.capacity() * size_of::<KnownIdentifier>())
        + identifiers
            .map(|k| allocated(k.identifier.value.capacity()) + allocated(k.source.capacity()))
            .sum::<usize>()
}

fn relation(relation: &Relation) -> usize {
    let consents = if relation.consents.spilled() {
        allocated(relation.consents.capacity() * size_of::<Consent>())
    } else {
        0
    };
    let shared = |text: &str| allocated(ARC_BYTES + text.len());
    let notices = relation.consents.iter().map(|c| shared(&c.notice_version));
    allocated(ARC_BYTES + size_of::<Relation>())
        + allocated(relation.segments.capacity() * size_of::<std::sync::Arc<str>>())
        + relation.segments.iter().map(|s| shared(s)).sum::<usize>()
        + consents
        + notices.sum::<usize>()
}

fn history(history: &History) -> usize {
    let spend = if history.spend.spilled() {
        allocated(history.spend.capacity() * size_of::<Spend>())
    } else {
        0
    };
    let bytes = |capacity: usize| allocated(capacity * size_of::<crate::profile::Weighted<u32>>());
    spend + bytes(history.products.capacity()) + bytes(history.categories.capacity())
}

/// What an allocation really takes: whole words up to eight, in pairs, then four sizes to a doubling (mimalloc's classes).
fn allocated(bytes: usize) -> usize {
    const WORD: usize = size_of::<usize>();
    let words = bytes.div_ceil(WORD);
    if words <= 8 {
        return words.next_multiple_of(2) * WORD;
    }
    // The classes between 2^b and 2^(b+1) are 2^(b-2) words apart.
    let step = 1 << ((words - 1).ilog2() - 2);
    words.next_multiple_of(step) * WORD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_are_rounded_to_their_class() {
        let check = |bytes, expect| assert_eq!(allocated(bytes), expect, "{bytes}");
        check(0, 0);
        check(1, 16);
        check(17, 32);
        check(64, 64);
        check(65, 80);
        check(128, 128);
        check(129, 160);
        check(200, 224);
        check(512, 512);
        check(513, 640);
    }

    #[test]
    fn what_grows_weighs_more() {
        let mut customer = Customer::default();
        let empty = customer.resident_bytes();
        let mut personal = Personal::default();
        personal.contacts.address = "Via Garibaldi 1, interno 7".into();
        customer.personal = std::sync::Arc::new(personal);
        let with_address = customer.resident_bytes();
        assert_eq!(with_address, empty + 32);
        customer.history.products = Vec::with_capacity(64);
        assert_eq!(customer.resident_bytes(), with_address + 512);
    }
}
