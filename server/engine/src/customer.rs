//! A customer in two separable parts: the personal record (names, contacts, identifiers), kept in its own table under a
//! key of its own, and everything else, which carries only the surrogate id.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::identity::Identifier;
use crate::ids::{Sequence, StoreId};
use crate::profile::History;
use crate::units::Time;

/// What a person may consent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Use of the purchase history for personal offers.
    Profiling,
    /// Advertising messages.
    Marketing,
    /// Statistics.
    Analytics,
    /// Passing data on.
    ThirdParties,
}

/// The latest decision for one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// For what.
    pub purpose: Purpose,
    /// Granted, or denied and withdrawn.
    pub granted: bool,
    /// When decided.
    pub decided: Time,
    /// Version of the notice seen.
    pub notice_version: Arc<str>,
}

/// Names and addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contacts {
    /// Given name.
    pub given_name: String,
    /// Family name.
    pub family_name: String,
    /// Street and number.
    pub address: String,
    /// Postal code.
    pub postal_code: String,
    /// Town.
    pub town: String,
    /// "YYYY-MM-DD".
    pub birth_date: String,
    /// BCP 47.
    pub language: String,
}

/// One identifier on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownIdentifier {
    /// Normalised.
    pub identifier: Identifier,
    /// When verified, if it was.
    pub verified: Option<Time>,
    /// Which system supplied it.
    pub source: String,
}

/// The personal record: everything that must become unreadable when the person is erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Personal {
    /// The retailer's id of the person, or ours.
    pub customer_id: String,
    /// Names and addresses.
    pub contacts: Contacts,
    /// Identifiers, in the order they came.
    pub identifiers: Vec<KnownIdentifier>,
}

/// What the retailer told us about the customer, without naming the person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Relation {
    /// Made by a sale with an unknown card; nobody enrolled yet.
    pub provisional: bool,
    /// Where the person prefers to shop, as told.
    pub preferred_store: Option<StoreId>,
    /// The retailer's segments.
    pub segments: Vec<Arc<str>>,
    /// Consents, one a purpose, in the order of [`Purpose`].
    pub consents: SmallVec<[Consent; 1]>,
    /// Sequence of the last change of personal record or relation: the etag.
    pub version: Sequence,
}

impl Relation {
    /// Whether the person granted `purpose`; never asked counts as no.
    pub fn consents_to(&self, purpose: Purpose) -> bool {
        self.consents
            .iter()
            .any(|c| c.purpose == purpose && c.granted)
    }

    /// Takes a decision where it is newer than the one on record.
    pub fn decide_consent(&mut self, consent: &Consent) {
        match self
            .consents
            .binary_search_by_key(&consent.purpose, |c| c.purpose)
        {
            Ok(at) if self.consents[at].decided <= consent.decided => {
                self.consents[at] = consent.clone()
            }
            Ok(_) => {}
            Err(at) => self.consents.insert(at, consent.clone()),
        }
    }
}

/// A customer, all parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Customer {
    /// The personal record.
    pub personal: Arc<Personal>,
    /// What the retailer told us.
    pub relation: Arc<Relation>,
    /// What the sales say.
    pub history: History,
}
