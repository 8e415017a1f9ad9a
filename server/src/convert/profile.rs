//! What is shown of a customer. The rules of privacy live here and nowhere else: without consent to profiling nothing that
//! comes from the purchase history leaves the server, and a till sees the least.

use std::sync::Arc;

use smallvec::SmallVec;
use tillside_engine::catalog::{CATEGORY_SEPARATOR, Product, Store};
use tillside_engine::customer::{Consent, Contacts, Customer, KnownIdentifier, Purpose};
use tillside_engine::profile::{History, Spend};
use tillside_engine::recognition::Recognition;
use tillside_engine::state::State;
use tillside_engine::units::{Money, mul_div_round};
use tillside_proto::v1;

use super::identifiers::{Lookup, wire_kind};
use super::values::{money, timestamp};

/// Favourites shown at the till.
const FAVOURITES_CHECKOUT: usize = 3;
/// Favourites shown in full.
const FAVOURITES_FULL: usize = 10;

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Who it is and the points.
    Basic,
    /// What a till shows.
    Checkout,
    /// Everything.
    Full,
}

impl View {
    /// The view asked for; `unset` where none was.
    pub fn of(value: v1::ProfileView, unset: View) -> View {
        match value {
            v1::ProfileView::Unspecified => unset,
            v1::ProfileView::Basic => View::Basic,
            v1::ProfileView::Checkout => View::Checkout,
            v1::ProfileView::Full => View::Full,
        }
    }
}

/// What a view shows of a customer: the rules applied, and nothing copied that can be borrowed, so that it can be encoded
/// without ever being a message.
#[derive(Debug)]
pub struct Shown<'a> {
    /// The retailer's id of the customer, or ours.
    pub customer_id: &'a str,
    /// The name, in pieces.
    pub name: [&'a str; 4],
    /// Contacts.
    pub contacts: Option<&'a Contacts>,
    /// Identifiers.
    pub identifiers: &'a [KnownIdentifier],
    /// Nobody enrolled yet.
    pub provisional: bool,
    /// Where the person prefers to shop.
    pub preferred_store: Option<Arc<Store>>,
    /// Segments.
    pub segments: &'a [Arc<str>],
    /// Points.
    pub points: i64,
    /// Consents.
    pub consents: &'a [Consent],
    /// What comes from the purchase history.
    pub history: Option<ShownHistory<'a>>,
    /// The etag.
    pub version: u64,
}

/// What a view shows of a purchase history.
#[derive(Debug)]
pub struct ShownHistory<'a> {
    /// All of it.
    pub history: &'a History,
    /// Where the last purchase was.
    pub last_store: Option<Arc<Store>>,
    /// Favourite products with their shares.
    pub products: SmallVec<[(Arc<Product>, f64); FAVOURITES_CHECKOUT]>,
    /// Paths of favourite categories with their shares.
    pub categories: SmallVec<[(Arc<str>, f64); FAVOURITES_CHECKOUT]>,
}

impl<'a> Shown<'a> {
    /// What `view` shows of `customer`.
    pub fn of(state: &State, customer: &'a Customer, view: View) -> Self {
        let (personal, relation, history) =
            (&customer.personal, &customer.relation, &customer.history);
        let mut shown = Shown {
            customer_id: &personal.customer_id,
            name: if view == View::Full {
                whole_name(&personal.contacts)
            } else {
                short_name(&personal.contacts)
            },
            contacts: None,
            identifiers: &[],
            provisional: relation.provisional,
            preferred_store: None,
            segments: &[],
            points: history.points,
            consents: &[],
            history: None,
            version: relation.version.0,
        };
        if view == View::Basic {
            return shown;
        }
        if view == View::Full {
            shown.contacts = Some(&personal.contacts);
            shown.identifiers = &personal.identifiers;
        }
        shown.segments = &relation.segments;
        shown.consents = &relation.consents;
        let profiled = relation.consents_to(Purpose::Profiling);
        let last_store = history.last_store.filter(|_| profiled);
        let last = last_store.and_then(|id| state.stores.get(id));
        shown.preferred_store = match relation.preferred_store.or(last_store) {
            preferred if preferred == last_store => last.clone(),
            preferred => preferred.and_then(|id| state.stores.get(id)),
        };
        if profiled {
            let favourites = if view == View::Full {
                FAVOURITES_FULL
            } else {
                FAVOURITES_CHECKOUT
            };
            shown.history = Some(ShownHistory::of(state, history, last, favourites));
        }
        shown
    }
}

impl<'a> ShownHistory<'a> {
    fn of(
        state: &State,
        history: &'a History,
        last_store: Option<Arc<Store>>,
        favourites: usize,
    ) -> Self {
        ShownHistory {
            history,
            last_store,
            products: history
                .top_products(favourites)
                .into_iter()
                .filter_map(|(id, share)| Some((state.products.get(id)?, share)))
                .collect(),
            categories: history
                .top_categories(favourites)
                .into_iter()
                .filter_map(|(id, share)| Some((state.category_path(id)?, share)))
                .collect(),
        }
    }

    /// Number of purchases.
    pub fn purchases(&self) -> i64 {
        self.history.purchases.max(0)
    }
}

/// The last part of a category's path, which is its name.
pub fn category_name(path: &str) -> &str {
    path.rsplit(CATEGORY_SEPARATOR).next().unwrap_or(path)
}

/// Mean amount of a purchase, in minor units.
pub fn average_ticket(spend: &Spend) -> Option<i64> {
    (spend.purchases > 0).then(|| mul_div_round(spend.net_minor, 1, spend.purchases))
}

/// The profile of a customer.
pub fn profile(state: &State, customer: &Customer, view: View) -> v1::CustomerProfile {
    let shown = Shown::of(state, customer, view);
    let mut profile = v1::CustomerProfile {
        customer_id: shown.customer_id.to_owned(),
        display_name: shown.name.concat(),
        contacts: shown.contacts.map(contacts),
        identifiers: shown.identifiers.iter().map(identifier).collect(),
        provisional: shown.provisional,
        preferred_store_id: store_id(shown.preferred_store.as_deref()),
        segments: shown.segments.iter().map(|s| s.to_string()).collect(),
        points_available: shown.points,
        consents: shown.consents.iter().map(consent).collect(),
        etag: shown.version.to_string(),
        ..v1::CustomerProfile::default()
    };
    if let Some(shown) = &shown.history {
        show_history(shown, &mut profile);
    }
    profile
}

fn show_history(shown: &ShownHistory<'_>, profile: &mut v1::CustomerProfile) {
    let history = shown.history;
    profile.purchase_count = shown.purchases();
    profile.spend = history.spend.iter().map(spend).collect();
    profile.first_purchase_time = history.first_purchase.map(timestamp);
    profile.last_purchase_time = history.last_purchase.map(timestamp);
    profile.last_purchase_store_id = store_id(shown.last_store.as_deref());
    profile.days_between_purchases = history.days_between_purchases();
    profile.favourite_products = shown
        .products
        .iter()
        .map(|(product, share)| v1::Favourite {
            id: product.sku.to_string(),
            display_name: product.display_name.to_string(),
            share: *share,
        })
        .collect();
    profile.favourite_categories = shown
        .categories
        .iter()
        .map(|(path, share)| v1::Favourite {
            id: path.to_string(),
            display_name: category_name(path).to_owned(),
            share: *share,
        })
        .collect();
}

fn spend(spend: &Spend) -> v1::SpendTotal {
    let of = |minor| {
        money(Money {
            currency: spend.currency,
            minor,
        })
    };
    v1::SpendTotal {
        net_amount: Some(of(spend.net_minor)),
        average_ticket: average_ticket(spend).map(of),
    }
}

/// The answer of a recognition.
pub fn recognition(
    state: &State,
    recognition: &Recognition,
    lookup: &Lookup,
    view: View,
) -> v1::RecognizeCustomerResponse {
    let mut answer = v1::RecognizeCustomerResponse::default();
    match recognition {
        Recognition::Matched {
            customer,
            matched,
            confidence,
            ..
        } => {
            answer.set_outcome(v1::RecognitionOutcome::Matched);
            answer.customer = Some(profile(state, customer, view));
            answer.match_confidence = *confidence;
            answer.matched_identifiers = lookup.positions(matched);
        }
        Recognition::Ambiguous(candidates) => {
            answer.set_outcome(v1::RecognitionOutcome::Ambiguous);
            answer.candidates = candidates
                .iter()
                .map(|(_, customer, matched)| candidate(customer, lookup.positions(matched)))
                .collect();
        }
        Recognition::Unknown => answer.set_outcome(v1::RecognitionOutcome::Unknown),
    }
    answer
}

fn candidate(customer: &Customer, matched_identifiers: Vec<i32>) -> v1::RecognitionCandidate {
    let contacts = &customer.personal.contacts;
    let masked: Vec<String> = [&contacts.given_name, &contacts.family_name]
        .into_iter()
        .filter_map(|name| masked_name(name))
        .collect();
    v1::RecognitionCandidate {
        customer_id: customer.personal.customer_id.clone(),
        masked_name: masked.join(" "),
        matched_identifiers,
    }
}

/// A provisional customer in a list.
pub fn provisional(customer: &Customer) -> v1::ProvisionalCustomer {
    let seen = customer
        .personal
        .identifiers
        .first()
        .map(|known| &known.identifier);
    v1::ProvisionalCustomer {
        customer_id: customer.personal.customer_id.clone(),
        masked_identifier: seen.map_or_else(String::new, |i| masked_identifier(&i.value)),
        identifier_type: seen
            .map_or(v1::IdentifierType::Unspecified, |i| wire_kind(i.kind))
            .into(),
        purchase_count: customer.history.purchases.max(0),
        last_purchase_time: customer.history.last_purchase.map(timestamp),
    }
}

fn store_id(store: Option<&Store>) -> String {
    store.map_or_else(String::new, |s| s.store_id.to_string())
}

fn whole_name(contacts: &Contacts) -> [&str; 4] {
    let (given, family) = (contacts.given_name.as_str(), contacts.family_name.as_str());
    [given, between(given, family), family, ""]
}

/// "Maria R.": enough to greet somebody, too little to find them.
fn short_name(contacts: &Contacts) -> [&str; 4] {
    let (given, family) = (contacts.given_name.as_str(), contacts.family_name.as_str());
    let initial = family
        .chars()
        .next()
        .map_or("", |first| &family[..first.len_utf8()]);
    let dot = if initial.is_empty() { "" } else { "." };
    [given, between(given, family), initial, dot]
}

fn between(given: &str, family: &str) -> &'static str {
    if given.is_empty() || family.is_empty() {
        ""
    } else {
        " "
    }
}

/// The first letter and always four stars: the length would tell, too.
fn masked_name(name: &str) -> Option<String> {
    name.chars().next().map(|first| format!("{first}****"))
}

/// All but the last four characters hidden, and never more than half of it shown.
fn masked_identifier(value: &str) -> String {
    let length = value.chars().count();
    let hidden = length - (length / 2).min(4);
    value
        .chars()
        .enumerate()
        .map(|(i, c)| if i < hidden { '*' } else { c })
        .collect()
}

fn contacts(contacts: &Contacts) -> v1::Contacts {
    v1::Contacts {
        given_name: contacts.given_name.clone(),
        family_name: contacts.family_name.clone(),
        address: contacts.address.clone(),
        postal_code: contacts.postal_code.clone(),
        town: contacts.town.clone(),
        birth_date: contacts.birth_date.clone(),
        language: contacts.language.clone(),
    }
}

fn identifier(known: &KnownIdentifier) -> v1::Identifier {
    v1::Identifier {
        r#type: wire_kind(known.identifier.kind).into(),
        value: known.identifier.value.clone(),
        verified_time: known.verified.map(timestamp),
        source: known.source.clone(),
    }
}

/// A purpose on the wire.
pub fn wire_purpose(purpose: Purpose) -> v1::ConsentPurpose {
    match purpose {
        Purpose::Profiling => v1::ConsentPurpose::Profiling,
        Purpose::Marketing => v1::ConsentPurpose::Marketing,
        Purpose::Analytics => v1::ConsentPurpose::Analytics,
        Purpose::ThirdParties => v1::ConsentPurpose::ThirdParties,
    }
}

fn consent(consent: &Consent) -> v1::Consent {
    v1::Consent {
        purpose: wire_purpose(consent.purpose).into(),
        granted: consent.granted,
        decided_time: Some(timestamp(consent.decided)),
        notice_version: consent.notice_version.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tillside_engine::customer::{Personal, Relation};
    use tillside_engine::units::{Currency, Time};

    fn maria(profiling: bool) -> Customer {
        let contacts = Contacts {
            given_name: "Maria".into(),
            family_name: "Rossi".into(),
            ..Contacts::default()
        };
        let mut relation = Relation {
            segments: vec!["gold".into()],
            ..Relation::default()
        };
        relation.decide_consent(&Consent {
            purpose: Purpose::Profiling,
            granted: profiling,
            decided: Time(5),
            notice_version: "1".into(),
        });
        let history = History {
            points: 7,
            purchases: 2,
            spend: [Spend {
                currency: Currency::EUR,
                net_minor: 301,
                purchases: 2,
            }]
            .into_iter()
            .collect(),
            last_purchase: Some(Time(9)),
            ..History::default()
        };
        let personal = Personal {
            customer_id: "c-1".into(),
            contacts,
            identifiers: Vec::new(),
        };
        Customer {
            personal: Arc::new(personal),
            relation: Arc::new(relation),
            history,
        }
    }

    #[test]
    fn without_consent_nothing_of_the_history_is_shown() {
        let state = State::default();
        let shown = profile(&state, &maria(false), View::Full);
        assert_eq!(
            (
                shown.purchase_count,
                shown.spend.len(),
                shown.last_purchase_time
            ),
            (0, 0, None)
        );
        assert_eq!(
            (
                shown.points_available,
                shown.segments.len(),
                shown.consents.len()
            ),
            (7, 1, 1)
        );
        let shown = profile(&state, &maria(true), View::Full);
        assert_eq!(shown.purchase_count, 2);
        assert_eq!(
            shown.spend[0]
                .average_ticket
                .as_ref()
                .map(|m| m.minor_units),
            Some(151)
        );
    }

    #[test]
    fn the_till_sees_the_first_name_and_an_initial() {
        let state = State::default();
        let check = |view, name: &str, contacts: bool, segments: usize| {
            let shown = profile(&state, &maria(true), view);
            assert_eq!(
                (
                    shown.display_name.as_str(),
                    shown.contacts.is_some(),
                    shown.segments.len()
                ),
                (name, contacts, segments)
            );
        };
        check(View::Basic, "Maria R.", false, 0);
        check(View::Checkout, "Maria R.", false, 1);
        check(View::Full, "Maria Rossi", true, 1);
    }

    #[test]
    fn candidates_and_cards_are_masked() {
        assert_eq!(candidate(&maria(true), vec![0]).masked_name, "M**** R****");
        assert_eq!(masked_identifier("0400000000015"), "*********0015");
        assert_eq!(masked_identifier("abc"), "**c");
        assert_eq!(masked_identifier("è"), "*");
    }
}
