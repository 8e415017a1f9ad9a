//! Who is this? Identifiers seen at a touchpoint to one customer. Reads only; merging is never done on the way.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::customer::Customer;
use crate::identity::IdentifierKind;
use crate::ids::{CustomerId, IdentifierHash};
use crate::state::State;

/// Which of the request's identifiers matched, by position.
pub type Matched = SmallVec<[usize; 4]>;

/// What was found.
#[derive(Clone, Debug)]
pub enum Recognition {
    /// All known identifiers belong to one customer.
    Matched {
        /// Which.
        id: CustomerId,
        /// The customer.
        customer: Arc<Customer>,
        /// The identifiers that matched.
        matched: Matched,
        /// 1 where a strong identifier matched, else 0.6.
        confidence: f64,
    },
    /// They belong to several; in the order the request named them.
    Ambiguous(Vec<(CustomerId, Arc<Customer>, Matched)>),
    /// None is known.
    Unknown,
}

/// Confidence of a match on shared identifiers alone (phone, device).
pub const WEAK_CONFIDENCE: f64 = 0.6;

/// Whom some identifiers belong to, in the order they name them, and which of them each.
pub fn resolve(
    state: &State,
    identifiers: &[(IdentifierKind, IdentifierHash)],
) -> SmallVec<[(CustomerId, Matched); 1]> {
    let mut found: SmallVec<[(CustomerId, Matched); 1]> = SmallVec::new();
    for (position, (_, hash)) in identifiers.iter().enumerate() {
        let Some(id) = state.identifiers.get(hash).map(|id| *id) else {
            continue;
        };
        match found.iter_mut().find(|(known, _)| *known == id) {
            Some((_, matched)) => matched.push(position),
            None => found.push((id, SmallVec::from_slice(&[position]))),
        }
    }
    found
}

/// How sure a match of these identifiers is.
pub fn confidence(identifiers: &[(IdentifierKind, IdentifierHash)], matched: &Matched) -> f64 {
    let strong = matched
        .iter()
        .any(|position| identifiers[*position].0.is_strong());
    if strong { 1.0 } else { WEAK_CONFIDENCE }
}

/// Finds the customer of some identifiers.
pub fn recognise(state: &State, identifiers: &[(IdentifierKind, IdentifierHash)]) -> Recognition {
    let found = resolve(state, identifiers);
    let customers = found
        .into_iter()
        .filter_map(|(id, matched)| Some((id, state.customer(id)?, matched)));
    outcome(identifiers, customers)
}

/// What it means that `identifiers` belong to these customers.
pub fn outcome(
    identifiers: &[(IdentifierKind, IdentifierHash)],
    customers: impl IntoIterator<Item = (CustomerId, Arc<Customer>, Matched)>,
) -> Recognition {
    let mut customers = customers.into_iter();
    let Some((id, customer, matched)) = customers.next() else {
        return Recognition::Unknown;
    };
    let rest: Vec<_> = customers.collect();
    if !rest.is_empty() {
        return Recognition::Ambiguous([(id, customer, matched)].into_iter().chain(rest).collect());
    }
    Recognition::Matched {
        id,
        customer,
        confidence: confidence(identifiers, &matched),
        matched,
    }
}
