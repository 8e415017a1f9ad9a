//! `customers`: a row is a customer of another system, created or changed. A row that changes is a new event, a row that
//! stays is a duplicate.

use super::{
    cells::{Cells, Column, Columns, optional},
    events::{self, Outbox},
    rejects::Fault,
    source::Rows,
};
use prost::Message as _;
use tillside_client::v1::{
    Consent, ConsentPurpose, Contacts, Event, IdentifierType, ProfileUpserted, event::Payload,
};

pub(super) const COLUMNS: &[Column] = &[
    optional("customer_id"),
    optional("card"),
    optional("email"),
    optional("phone"),
    optional("given_name"),
    optional("family_name"),
    optional("address"),
    optional("postal_code"),
    optional("town"),
    optional("birth_date"),
    optional("language"),
    optional("preferred_store_id"),
    optional("segments"),
    optional("consent_profiling"),
    optional("consent_marketing"),
    optional("consent_analytics"),
    optional("consent_third_parties"),
];
const CUSTOMER_ID: usize = 0;
const CARD: usize = 1;
const EMAIL: usize = 2;
const PHONE: usize = 3;
const GIVEN_NAME: usize = 4;
const FAMILY_NAME: usize = 5;
const ADDRESS: usize = 6;
const POSTAL_CODE: usize = 7;
const TOWN: usize = 8;
const BIRTH_DATE: usize = 9;
const LANGUAGE: usize = 10;
const PREFERRED_STORE_ID: usize = 11;
const SEGMENTS: usize = 12;
const CONSENT_PROFILING: usize = 13;
const CONSENT_MARKETING: usize = 14;
const CONSENT_ANALYTICS: usize = 15;
const CONSENT_THIRD_PARTIES: usize = 16;

/// Reads the file.
pub(super) fn read(columns: &Columns, mut rows: Rows, outbox: &mut Outbox) -> anyhow::Result<()> {
    let desk = outbox.desk.clone();
    desk.each_row(columns, &mut rows, |record, cells| {
        let profile = match profile(&cells) {
            Ok(profile) => profile,
            Err(fault) => return Ok(Err(fault)),
        };
        outbox.add_row(record);
        let event = Event {
            event_id: id(&profile),
            source: outbox.source.to_string(),
            payload: Some(Payload::ProfileUpserted(profile)),
            ..Event::default()
        };
        outbox.push(&event)?;
        Ok(Ok(()))
    })
}

/// The id holds a digest of all the row says, so that a changed row is a new event. It never holds an e-mail or a number.
fn id(profile: &ProfileUpserted) -> String {
    let digest = events::digest(&profile.encode_to_vec());
    let who = match profile.identifiers.first().map(|first| first.r#type()) {
        _ if !profile.customer_id.is_empty() => profile.customer_id.as_str(),
        Some(IdentifierType::Email) => "email",
        Some(IdentifierType::Phone) => "phone",
        _ => "card",
    };
    events::event_id("customer", &[who, &digest])
}

fn profile(cells: &Cells<'_>) -> Result<ProfileUpserted, Fault> {
    let customer_id = cells.optional_id(CUSTOMER_ID)?.to_owned();
    let identifiers = cells.identifiers(&[
        (CARD, IdentifierType::LoyaltyCard),
        (EMAIL, IdentifierType::Email),
        (PHONE, IdentifierType::Phone),
    ])?;
    if customer_id.is_empty() && identifiers.is_empty() {
        return Err(Fault::new(
            "customer_id",
            "REQUIRED",
            "one of customer_id, card, email and phone is needed",
        ));
    }
    let contacts = Contacts {
        given_name: cells.label(GIVEN_NAME)?,
        family_name: cells.label(FAMILY_NAME)?,
        address: cells.label(ADDRESS)?,
        postal_code: cells.label(POSTAL_CODE)?,
        town: cells.label(TOWN)?,
        birth_date: cells.date(BIRTH_DATE)?.to_owned(),
        language: cells.label(LANGUAGE)?,
    };
    let mut consents = Vec::new();
    for (column, purpose) in [
        (CONSENT_PROFILING, ConsentPurpose::Profiling),
        (CONSENT_MARKETING, ConsentPurpose::Marketing),
        (CONSENT_ANALYTICS, ConsentPurpose::Analytics),
        (CONSENT_THIRD_PARTIES, ConsentPurpose::ThirdParties),
    ] {
        // Nothing in the cell: the person was never asked.
        if let Some(granted) = cells.flag(column)? {
            consents.push(Consent {
                purpose: purpose.into(),
                granted,
                ..Consent::default()
            });
        }
    }
    Ok(ProfileUpserted {
        customer_id,
        identifiers,
        contacts: (contacts != Contacts::default()).then_some(contacts),
        consents,
        preferred_store_id: cells.optional_id(PREFERRED_STORE_ID)?.to_owned(),
        segments: cells.list(SEGMENTS, ';')?,
    })
}
