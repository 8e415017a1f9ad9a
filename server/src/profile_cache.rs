//! Encoded profiles of the customers who were recognised last: those who are in the stores now and are recognised again at
//! the next touchpoint. What a profile is made of lies scattered over the memory, its encoding lies in one place.
//!
//! It never answers what is no longer so. An entry holds a [`Weak`] of the very customer it was made of: the writer changes
//! a customer through `Arc::make_mut`, which with a `Weak` or another `Arc` about puts the changed customer elsewhere, and
//! as the `Weak` keeps the old place from being given out again, an equal address is the same, unchanged customer. Names of
//! products come from the catalog, whose version is compared.
//!
//! A customer who left memory (`residency`) has no entry that counts, also after coming back, at another address; of the one
//! who left, the `Weak` keeps the place, some 200 bytes, until the entry is replaced.
//!
//! Without waiting: an entry that another thread is at counts as none.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use tillside_engine::customer::Customer;
use tillside_engine::ids::CustomerId;
use tillside_engine::state::State;

use crate::convert::profile::View;

/// Entries, one a place: the number of a customer tells the place, and the later takes it from the earlier. As many as
/// people are in a few hundred stores at once; a filled entry has about 0.9 KiB, so all of them are below 32 MiB.
const PLACES: usize = 1 << 15;
/// Longer encodings, mostly full views of people with many identifiers, are not kept, so that the memory is bounded.
const BYTES_MAX: usize = 4 << 10;

/// The cache.
pub struct ProfileCache {
    places: Box<[Mutex<Option<Entry>>]>,
}

struct Entry {
    id: CustomerId,
    view: View,
    customer: Weak<Customer>,
    catalog_version: u64,
    encoded: Box<[u8]>,
}

/// When an encoding was begun; what changes later makes it out of date.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    catalog_version: u64,
}

impl Begun {
    /// Now, before anything is read that goes into the encoding.
    pub fn now(state: &State) -> Self {
        Begun {
            catalog_version: state.catalog_version.load(Ordering::Acquire),
        }
    }
}

impl Default for ProfileCache {
    fn default() -> Self {
        ProfileCache {
            places: (0..PLACES).map(|_| Mutex::new(None)).collect(),
        }
    }
}

impl std::fmt::Debug for ProfileCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProfileCache").finish_non_exhaustive()
    }
}

impl ProfileCache {
    fn place(&self, id: CustomerId) -> &Mutex<Option<Entry>> {
        &self.places[id.0 as usize % PLACES]
    }

    /// Gives the encoded profile of a customer as it is now to `take`; false where it is not here.
    pub fn find(
        &self,
        state: &State,
        id: CustomerId,
        view: View,
        take: impl FnOnce(&[u8]),
    ) -> bool {
        let Ok(place) = self.place(id).try_lock() else {
            return false;
        };
        let Some(entry) = place.as_ref().filter(|e| e.id == id && e.view == view) else {
            return false;
        };
        let unchanged = Begun::now(state).catalog_version == entry.catalog_version
            && state
                .customers
                .get(&id)
                .is_some_and(|now| std::ptr::eq(Arc::as_ptr(&now), entry.customer.as_ptr()));
        if unchanged {
            state.residency.touch(id);
            take(&entry.encoded);
        }
        unchanged
    }

    /// Keeps what was encoded of `customer` since `begun`.
    pub fn keep(
        &self,
        begun: Begun,
        id: CustomerId,
        view: View,
        customer: &Arc<Customer>,
        encoded: &[u8],
    ) {
        if encoded.len() > BYTES_MAX {
            return;
        }
        let entry = Entry {
            id,
            view,
            customer: Arc::downgrade(customer),
            catalog_version: begun.catalog_version,
            encoded: encoded.into(),
        };
        if let Ok(mut place) = self.place(id).try_lock() {
            *place = Some(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(cache: &ProfileCache, state: &State, id: u64, view: View) -> Option<Vec<u8>> {
        let mut found = None;
        let answered = cache.find(state, CustomerId(id), view, |b| found = Some(b.to_vec()));
        assert_eq!(answered, found.is_some());
        found
    }

    fn keep(cache: &ProfileCache, state: &State, id: u64, encoded: &[u8]) {
        let begun = Begun::now(state);
        let customer = state.customer(CustomerId(id)).expect("a customer");
        cache.keep(begun, CustomerId(id), View::Checkout, &customer, encoded);
    }

    fn earn(state: &State, id: u64) {
        let mut entry = state
            .customers
            .get_mut(&CustomerId(id))
            .expect("a customer");
        Arc::make_mut(&mut entry).history.points += 1;
    }

    #[test]
    fn an_entry_is_found_until_its_customer_changes_and_never_after() {
        let (cache, state) = (ProfileCache::default(), State::default());
        state.customers.insert(CustomerId(1), Arc::default());
        assert_eq!(found(&cache, &state, 1, View::Checkout), None);
        for turn in 0..100u8 {
            keep(&cache, &state, 1, &[turn]);
            assert_eq!(found(&cache, &state, 1, View::Checkout), Some(vec![turn]));
            assert_eq!(found(&cache, &state, 1, View::Full), None);
            // Alternately alone and with a reader about: moved, or cloned.
            let reader = state.customer(CustomerId(1)).filter(|_| turn % 2 == 0);
            earn(&state, 1);
            assert_eq!(found(&cache, &state, 1, View::Checkout), None);
            drop(reader);
            for _ in 0..3 {
                earn(&state, 1);
                assert_eq!(found(&cache, &state, 1, View::Checkout), None);
            }
        }
    }

    #[test]
    fn what_was_encoded_before_a_change_is_not_found_after_it() {
        let (cache, state) = (ProfileCache::default(), State::default());
        state.customers.insert(CustomerId(1), Arc::default());
        let begun = Begun::now(&state);
        let before = state.customer(CustomerId(1)).expect("a customer");
        earn(&state, 1);
        cache.keep(begun, CustomerId(1), View::Checkout, &before, b"old");
        drop(before);
        assert_eq!(found(&cache, &state, 1, View::Checkout), None);
        let begun = Begun::now(&state);
        state.catalog_version.fetch_add(1, Ordering::AcqRel);
        let now = state.customer(CustomerId(1)).expect("a customer");
        cache.keep(begun, CustomerId(1), View::Checkout, &now, b"old names");
        assert_eq!(found(&cache, &state, 1, View::Checkout), None);
    }

    #[test]
    fn customers_of_one_place_take_it_from_each_other() {
        let (cache, state) = (ProfileCache::default(), State::default());
        let (one, other) = (1, 1 + PLACES as u64);
        for id in [one, other] {
            state.customers.insert(CustomerId(id), Arc::default());
            keep(&cache, &state, id, &id.to_le_bytes());
            let expect = Some(id.to_le_bytes().to_vec());
            assert_eq!(found(&cache, &state, id, View::Checkout), expect);
        }
        assert_eq!(found(&cache, &state, one, View::Checkout), None);
        keep(&cache, &state, one, &[0; BYTES_MAX + 1]);
        assert_eq!(found(&cache, &state, one, View::Checkout), None);
    }
}
