//! The answer of a recognition, encoded straight from the tables: the most frequent answer of all, and building it as
//! messages costs more than finding it. What is shown is decided in [`Shown`]; here it is only written down, in the same
//! bytes as the messages of [`super::profile`] would have.

use smallvec::SmallVec;
use tillside_engine::customer::{Consent, Contacts, KnownIdentifier};
use tillside_engine::profile::Spend;
use tillside_engine::recognition::{confidence, outcome, resolve};
use tillside_engine::state::State;
use tillside_engine::units::{Currency, Time};
use tillside_proto::v1;

use super::identifiers::{Lookup, wire_kind};
use super::profile::{self, Shown, ShownHistory, View, average_ticket, category_name};
use super::values::timestamp;
use super::wire::Fields;
use crate::profile_cache::{Begun, ProfileCache};

/// Finds the customer of a recognition and appends the encoded `RecognizeCustomerResponse`. False, and nothing appended,
/// where somebody it tells of is not in memory.
pub fn encode_recognition(
    state: &State,
    profiles: &ProfileCache,
    lookup: &Lookup,
    view: View,
    answer: &mut Vec<u8>,
) -> bool {
    let sequence = state.snapshot_sequence();
    let begun = Begun::now(state);
    let owners = resolve(state, &lookup.entries);
    if let [(id, matched)] = owners.as_slice() {
        let sure = confidence(&lookup.entries, matched);
        let start = answer.len();
        let mut fields = Fields(answer);
        fields.int32(1, v1::RecognitionOutcome::Matched.into());
        let known = profiles.find(state, *id, view, |encoded| fields.encoded(2, encoded))
            || state.customer(*id).is_some_and(|customer| {
                let shown = Shown::of(state, &customer, view);
                let encoded = fields.message(2, |fields| customer_profile(&shown, fields));
                profiles.keep(begun, *id, view, &customer, &fields.0[encoded]);
                true
            });
        if known {
            fields.double(3, sure);
            fields.packed_int32(4, &lookup.positions(matched));
            fields.uint64(6, sequence.0);
            return true;
        }
        answer.truncate(start);
    }
    // Rare, and short: nobody, or several of whom next to nothing is told.
    let mut found = SmallVec::<[_; 1]>::new();
    for (id, matched) in owners {
        match state.customer(id) {
            Some(customer) => found.push((id, customer, matched)),
            None if state.has_customer(id) => return false,
            None => {}
        }
    }
    let found = outcome(&lookup.entries, found);
    let mut message = profile::recognition(state, &found, lookup, view);
    message.snapshot_sequence = sequence.0;
    answer.extend_from_slice(&prost::Message::encode_to_vec(&message));
    true
}

fn customer_profile(shown: &Shown<'_>, fields: &mut Fields<'_>) {
    fields.text(1, shown.customer_id);
    fields.joined(2, &shown.name);
    if let Some(shown) = shown.contacts {
        fields.message(3, |fields| contacts(shown, fields));
    }
    for known in shown.identifiers {
        fields.message(4, |fields| identifier(known, fields));
    }
    fields.flag(5, shown.provisional);
    fields.text(
        6,
        shown.preferred_store.as_ref().map_or("", |s| &s.store_id),
    );
    for segment in shown.segments {
        fields.element(7, segment);
    }
    fields.int64(8, shown.points);
    for decision in shown.consents {
        fields.message(9, |fields| consent(decision, fields));
    }
    if let Some(shown) = &shown.history {
        history(shown, fields);
    }
    fields.decimal(18, shown.version);
}

fn history(shown: &ShownHistory<'_>, fields: &mut Fields<'_>) {
    let history = shown.history;
    fields.int64(10, shown.purchases());
    for total in &history.spend {
        fields.message(11, |fields| spend(total, fields));
    }
    time(12, history.first_purchase, fields);
    time(13, history.last_purchase, fields);
    fields.text(14, shown.last_store.as_ref().map_or("", |s| &s.store_id));
    if let Some(days) = history.days_between_purchases() {
        fields.optional_double(15, days);
    }
    for (product, share) in &shown.products {
        favourite(16, &product.sku, &product.display_name, *share, fields);
    }
    for (path, share) in &shown.categories {
        favourite(17, path, category_name(path), *share, fields);
    }
}

fn favourite(tag: u32, id: &str, name: &str, share: f64, fields: &mut Fields<'_>) {
    fields.message(tag, |fields| {
        fields.text(1, id);
        fields.text(2, name);
        fields.double(3, share);
    });
}

fn spend(spend: &Spend, fields: &mut Fields<'_>) {
    money(1, spend.currency, spend.net_minor, fields);
    if let Some(average) = average_ticket(spend) {
        money(2, spend.currency, average, fields);
    }
}

fn money(tag: u32, currency: Currency, minor: i64, fields: &mut Fields<'_>) {
    fields.message(tag, |fields| {
        fields.text(1, currency.as_str());
        fields.int64(2, minor);
    });
}

fn time(tag: u32, time: Option<Time>, fields: &mut Fields<'_>) {
    if let Some(time) = time {
        let time = timestamp(time);
        fields.message(tag, |fields| {
            fields.int64(1, time.seconds);
            fields.int32(2, time.nanos);
        });
    }
}

fn contacts(contacts: &Contacts, fields: &mut Fields<'_>) {
    fields.text(1, &contacts.given_name);
    fields.text(2, &contacts.family_name);
    fields.text(3, &contacts.address);
    fields.text(4, &contacts.postal_code);
    fields.text(5, &contacts.town);
    fields.text(6, &contacts.birth_date);
    fields.text(7, &contacts.language);
}

fn identifier(known: &KnownIdentifier, fields: &mut Fields<'_>) {
    fields.int32(1, wire_kind(known.identifier.kind).into());
    fields.text(2, &known.identifier.value);
    time(3, known.verified, fields);
    fields.text(4, &known.source);
}

fn consent(consent: &Consent, fields: &mut Fields<'_>) {
    fields.int32(1, profile::wire_purpose(consent.purpose).into());
    fields.flag(2, consent.granted);
    time(3, Some(consent.decided), fields);
    fields.text(4, &consent.notice_version);
}

#[cfg(test)]
mod tests;
