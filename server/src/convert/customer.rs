//! Requests that create or change customers.

use std::sync::Arc;

use tillside_engine::command::{ContactsChange, CustomerChange, CustomerDraft, SeenIdentifier};
use tillside_engine::customer::{Consent, Contacts, Purpose};
use tillside_engine::identity::IdentifierKind;
use tillside_engine::limits::SEGMENTS_MAX;
use tillside_engine::units::Time;
use tillside_proto::v1;

use super::checks::{Checks, Path};
use super::profile::View;
use super::values::{etag, without_repeats};
use crate::app::Reading;

/// The view asked for.
pub fn view(checks: &mut Checks, value: i32, unset: View) -> View {
    let root = Path::ROOT;
    checks
        .known(root.field("view"), value)
        .map_or(unset, |v| View::of(v, unset))
}

/// A person to enrol.
pub fn draft(
    reading: &Reading,
    checks: &mut Checks,
    request: &v1::CreateCustomerRequest,
    now: Time,
) -> CustomerDraft {
    let parts = Parts {
        customer_id: &request.customer_id,
        identifiers: &request.identifiers,
        contacts: request.contacts.as_ref(),
        consents: &request.consents,
        preferred_store_id: &request.preferred_store_id,
        segments: &request.segments,
    };
    parts.draft(reading, checks, Path::ROOT, now)
}

/// A customer of another system.
pub fn upserted(
    reading: &Reading,
    checks: &mut Checks,
    path: Path<'_>,
    event: &v1::ProfileUpserted,
    now: Time,
) -> CustomerDraft {
    let parts = Parts {
        customer_id: &event.customer_id,
        identifiers: &event.identifiers,
        contacts: event.contacts.as_ref(),
        consents: &event.consents,
        preferred_store_id: &event.preferred_store_id,
        segments: &event.segments,
    };
    parts.draft(reading, checks, path, now)
}

struct Parts<'a> {
    customer_id: &'a str,
    identifiers: &'a [v1::Identifier],
    contacts: Option<&'a v1::Contacts>,
    consents: &'a [v1::Consent],
    preferred_store_id: &'a str,
    segments: &'a [String],
}

impl Parts<'_> {
    fn draft(
        &self,
        reading: &Reading,
        checks: &mut Checks,
        path: Path<'_>,
        now: Time,
    ) -> CustomerDraft {
        let mut identifiers = reading.keep(checks, path, self.identifiers);
        let mut customer_id = own_id(checks, path, &identifiers);
        if !self.customer_id.is_empty() {
            let given = reading.customer_id(checks, path.field("customer_id"), self.customer_id);
            if let Some(given) = given {
                let value = given.known.identifier.value.clone();
                let same = customer_id.is_empty() || customer_id == value;
                checks.require(
                    same,
                    path.field("customer_id"),
                    "differs from the CUSTOMER_ID among the identifiers",
                );
                customer_id = value;
                identifiers.insert(0, given);
            }
        } else if self.identifiers.is_empty() {
            checks.refuse(
                path.field("identifiers"),
                "is required: at least one, or a customer_id",
            );
        }
        without_repeats(&mut identifiers);
        CustomerDraft {
            customer_id,
            identifiers,
            contacts: self
                .contacts
                .map(|c| contacts(checks, path.field("contacts"), c))
                .unwrap_or_default(),
            consents: consents(checks, path, self.consents, now),
            preferred_store_id: preferred(checks, path, self.preferred_store_id),
            segments: segments(checks, path, self.segments),
        }
    }
}

fn own_id(checks: &mut Checks, path: Path<'_>, identifiers: &[SeenIdentifier]) -> String {
    let mut ids = identifiers
        .iter()
        .map(|i| &i.known.identifier)
        .filter(|i| i.kind == IdentifierKind::CustomerId)
        .map(|i| &i.value);
    let first = ids.next().cloned().unwrap_or_default();
    let one = ids.all(|other| *other == first);
    checks.require(
        one,
        path.field("identifiers"),
        "has more than one CUSTOMER_ID; a person has one",
    );
    first
}

fn preferred(checks: &mut Checks, path: Path<'_>, store_id: &str) -> Option<Arc<str>> {
    let id = checks.optional_id(path.field("preferred_store_id"), store_id);
    (!id.is_empty()).then_some(id)
}

fn segments(checks: &mut Checks, path: Path<'_>, segments: &[String]) -> Vec<Arc<str>> {
    checks.count(path.field("segments"), segments.len(), 0, SEGMENTS_MAX);
    let mut list: Vec<Arc<str>> = Vec::new();
    for (i, segment) in segments.iter().take(SEGMENTS_MAX).enumerate() {
        let segment = checks.id(path.item("segments", i), segment);
        if !list.contains(&segment) {
            list.push(segment);
        }
    }
    list
}

fn contacts(checks: &mut Checks, path: Path<'_>, contacts: &v1::Contacts) -> Contacts {
    let mut text = |name, value: &str| checks.text(path.field(name), value).to_string();
    let checked = Contacts {
        given_name: text("given_name", &contacts.given_name),
        family_name: text("family_name", &contacts.family_name),
        address: text("address", &contacts.address),
        postal_code: text("postal_code", &contacts.postal_code),
        town: text("town", &contacts.town),
        birth_date: text("birth_date", &contacts.birth_date),
        language: text("language", &contacts.language),
    };
    birth_date(checks, path, &checked.birth_date);
    checked
}

fn birth_date(checks: &mut Checks, path: Path<'_>, date: &str) {
    let good = date.is_empty() || (date.len() == 10 && date.parse::<jiff::civil::Date>().is_ok());
    checks.require(
        good,
        path.field("birth_date"),
        "is not a date of the form YYYY-MM-DD",
    );
}

/// Purposes on the wire, unset refused.
pub fn purpose(checks: &mut Checks, path: Path<'_>, value: i32) -> Option<Purpose> {
    Some(match checks.known::<v1::ConsentPurpose>(path, value)? {
        v1::ConsentPurpose::Unspecified => {
            checks.refuse(path, "is required");
            return None;
        }
        v1::ConsentPurpose::Profiling => Purpose::Profiling,
        v1::ConsentPurpose::Marketing => Purpose::Marketing,
        v1::ConsentPurpose::Analytics => Purpose::Analytics,
        v1::ConsentPurpose::ThirdParties => Purpose::ThirdParties,
    })
}

fn consents(
    checks: &mut Checks,
    path: Path<'_>,
    consents: &[v1::Consent],
    now: Time,
) -> Vec<Consent> {
    /// Four purposes, and as many corrections in one message.
    const CONSENTS_MAX: usize = 8;
    checks.count(path.field("consents"), consents.len(), 0, CONSENTS_MAX);
    let mut list = Vec::with_capacity(consents.len());
    for (i, consent) in consents.iter().take(CONSENTS_MAX).enumerate() {
        let at = path.item("consents", i);
        let decided = checks.optional_time(at.field("decided_time"), consent.decided_time.as_ref());
        let notice_version =
            checks.optional_id(at.field("notice_version"), &consent.notice_version);
        if let Some(purpose) = purpose(checks, at.field("purpose"), consent.purpose) {
            // A decision cannot have been made after it was received; a fast clock would shield it from a withdrawal.
            let decided = decided.unwrap_or(now).min(now);
            list.push(Consent {
                purpose,
                granted: consent.granted,
                decided,
                notice_version,
            });
        }
    }
    list
}

/// A change of a customer.
pub fn change(
    reading: &Reading,
    checks: &mut Checks,
    request: &v1::UpdateCustomerRequest,
    now: Time,
) -> Option<CustomerChange> {
    let root = Path::ROOT;
    let path = root.field("update");
    let customer = reading.customer_id(checks, root.field("customer_id"), &request.customer_id);
    let update = request.update.clone().unwrap_or_default();
    let mask = Mask::of(checks, request.update_mask.as_ref(), &update);
    let given = contacts(
        checks,
        path.field("contacts"),
        &update.contacts.unwrap_or_default(),
    );
    let store = preferred(checks, path, &update.preferred_store_id);
    let segments = segments(checks, path, &update.segments);
    let consents = consents(checks, path, &update.consents, now);
    let mut identifiers = reading.keep(checks, path, &update.identifiers);
    without_repeats(&mut identifiers);
    let renamed = identifiers.iter().any(|i| {
        i.known.identifier.kind == IdentifierKind::CustomerId
            && Some(i.hash) != customer.as_ref().map(|c| c.hash)
    });
    checks.require(
        !renamed,
        path.field("identifiers"),
        "cannot change the customer_id",
    );
    let etag = etag(checks, root.field("etag"), &request.etag);
    let take = |wanted: bool, value: String| wanted.then_some(value);
    Some(CustomerChange {
        customer: customer?.hash,
        contacts: ContactsChange {
            given_name: take(mask.contact[0], given.given_name),
            family_name: take(mask.contact[1], given.family_name),
            address: take(mask.contact[2], given.address),
            postal_code: take(mask.contact[3], given.postal_code),
            town: take(mask.contact[4], given.town),
            birth_date: take(mask.contact[5], given.birth_date),
            language: take(mask.contact[6], given.language),
        },
        consents: if mask.consents { consents } else { Vec::new() },
        preferred_store_id: mask.preferred_store_id.then_some(store),
        segments: mask.segments.then_some(segments),
        identifiers: if mask.identifiers {
            identifiers
        } else {
            Vec::new()
        },
        etag,
    })
}

/// Which fields of an update are taken.
#[derive(Default)]
struct Mask {
    contact: [bool; 7],
    preferred_store_id: bool,
    segments: bool,
    consents: bool,
    identifiers: bool,
}

const CONTACT_FIELDS: [&str; 7] = [
    "given_name",
    "family_name",
    "address",
    "postal_code",
    "town",
    "birth_date",
    "language",
];

impl Mask {
    fn of(
        checks: &mut Checks,
        mask: Option<&prost_types::FieldMask>,
        update: &v1::CustomerUpdate,
    ) -> Mask {
        let Some(mask) = mask.filter(|m| !m.paths.is_empty()) else {
            return Mask::of_what_is_set(update);
        };
        let root = Path::ROOT;
        let mut taken = Mask::default();
        for (i, name) in mask.paths.iter().take(64).enumerate() {
            let contact = name
                .strip_prefix("contacts.")
                .and_then(|n| CONTACT_FIELDS.iter().position(|f| *f == n));
            match (name.as_str(), contact) {
                (_, Some(field)) => taken.contact[field] = true,
                ("contacts", _) => taken.contact = [true; 7],
                ("preferred_store_id", _) => taken.preferred_store_id = true,
                ("segments", _) => taken.segments = true,
                ("consents", _) => taken.consents = true,
                ("identifiers", _) => taken.identifiers = true,
                _ => checks.refuse(
                    root.field("update_mask").item("paths", i),
                    format_args!("{name:?} is not a field that can be updated"),
                ),
            }
        }
        taken
    }

    fn of_what_is_set(update: &v1::CustomerUpdate) -> Mask {
        let contacts = update.contacts.clone().unwrap_or_default();
        let set = [
            contacts.given_name,
            contacts.family_name,
            contacts.address,
            contacts.postal_code,
            contacts.town,
            contacts.birth_date,
            contacts.language,
        ];
        Mask {
            contact: set.map(|field| !field.is_empty()),
            preferred_store_id: !update.preferred_store_id.is_empty(),
            segments: !update.segments.is_empty(),
            consents: !update.consents.is_empty(),
            identifiers: !update.identifiers.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::identifiers::tests::{identifier, reading};
    use super::*;

    const NOW: Time = Time(1_000_000);

    fn check_create(request: &v1::CreateCustomerRequest, expect: &[&str]) -> CustomerDraft {
        let mut checks = Checks::default();
        let draft = draft(&reading(), &mut checks, request, NOW);
        let got = checks
            .finish()
            .err()
            .map_or_else(Vec::new, |invalid| invalid.0);
        assert_eq!(
            got.iter().map(|v| v.field.as_str()).collect::<Vec<_>>(),
            expect
        );
        draft
    }

    #[test]
    fn a_person_needs_something_to_be_known_by() {
        check_create(&v1::CreateCustomerRequest::default(), &["identifiers"]);
        let by_id = v1::CreateCustomerRequest {
            customer_id: " c-1 ".into(),
            ..Default::default()
        };
        let draft = check_create(&by_id, &[]);
        assert_eq!(
            (draft.customer_id.as_str(), draft.identifiers.len()),
            ("c-1", 1)
        );
        let dummy = v1::CreateCustomerRequest {
            identifiers: vec![identifier(v1::IdentifierType::Phone, "null")],
            ..Default::default()
        };
        check_create(&dummy, &["identifiers[0].value"]);
    }

    #[test]
    fn a_consent_is_never_from_the_future() {
        let consent = v1::Consent {
            purpose: 1,
            granted: true,
            decided_time: Some(prost_types::Timestamp {
                seconds: 9_999_999,
                nanos: 0,
            }),
            notice_version: String::new(),
        };
        let request = v1::CreateCustomerRequest {
            customer_id: "c".into(),
            consents: vec![consent],
            ..Default::default()
        };
        assert_eq!(check_create(&request, &[]).consents[0].decided, NOW);
    }

    #[test]
    fn the_mask_says_what_is_taken() {
        let update = v1::CustomerUpdate {
            contacts: Some(v1::Contacts {
                given_name: "Maria".into(),
                ..Default::default()
            }),
            segments: vec!["gold".into()],
            ..Default::default()
        };
        let of = |paths: &[&str]| {
            let mask = prost_types::FieldMask {
                paths: paths.iter().map(|p| (*p).to_owned()).collect(),
            };
            let request = v1::UpdateCustomerRequest {
                customer_id: "c".into(),
                update: Some(update.clone()),
                update_mask: (!paths.is_empty()).then_some(mask),
                ..Default::default()
            };
            let mut checks = Checks::default();
            let change = change(&reading(), &mut checks, &request, NOW);
            checks.finish().map(|()| change.expect("a change"))
        };
        let set = of(&[]).expect("good");
        assert_eq!(
            (
                set.contacts.given_name.as_deref(),
                set.contacts.town.as_deref(),
                set.segments.is_some()
            ),
            (Some("Maria"), None, true)
        );
        let named = of(&["contacts.town", "preferred_store_id"]).expect("good");
        assert_eq!(
            (named.contacts.given_name, named.contacts.town.as_deref()),
            (None, Some(""))
        );
        assert_eq!(
            (named.preferred_store_id, named.segments),
            (Some(None), None)
        );
        assert!(of(&["nonsense"]).is_err());
    }
}
