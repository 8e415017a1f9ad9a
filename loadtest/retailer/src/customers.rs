//! The customers as people: names, cards, addresses, consents. Everything here is invented.
//!
//! Loyalty cards are EAN-13 of the in-store range 0410: a fixed prefix, eight digits and the check digit. Range 040 to 049 is
//! free for a retailer's own use, so no article carries such a number. Numbers are scattered, not counted up, so that a
//! mistyped digit does not name the neighbour.

use crate::{
    SOURCE, World,
    barcodes::with_check_digit,
    draw::{Draw, Part},
    names::{FAMILY, GIVEN},
};
use prost_types::Timestamp;
use tillside_proto::v1::{self, event::Payload};

/// What the world knows of a person, made anew from the seed each time.
struct Person {
    given: &'static str,
    family: &'static str,
    email: Option<String>,
    phone: Option<String>,
    profiling: bool,
    marketing: bool,
    analytics: bool,
    third_parties: bool,
    birth_year: u32,
    birth_month: u32,
    birth_day: u32,
    civic_number: u32,
}

fn person(seed: u64, index: u32) -> Person {
    let mut draw = Draw::new(seed, Part::Person, u64::from(index));
    let given = *draw.pick(GIVEN);
    let family = *draw.pick(FAMILY);
    let domain = *draw.pick(&["example.com", "example.it", "example.org"]);
    let local: String = format!("{given}.{family}")
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || *c == '.')
        .collect();
    let mobile = *draw.pick(&[
        320, 328, 329, 333, 334, 335, 338, 339, 340, 345, 347, 348, 349, 366, 388, 389,
    ]);
    // Unique by its last seven digits alone, up to ten million customers.
    let number = (u64::from(index) * 6_180_339 + seed % 10_000_000) % 10_000_000;
    Person {
        given,
        family,
        email: draw
            .chance(0.85)
            .then(|| format!("{local}.{}@{domain}", index + 1)),
        phone: draw.chance(0.75).then(|| format!("+39{mobile}{number:07}")),
        profiling: draw.chance(0.80),
        marketing: draw.chance(0.55),
        analytics: draw.chance(0.70),
        third_parties: draw.chance(0.10),
        birth_year: draw.between(1942, 2005),
        birth_month: draw.between(1, 12),
        birth_day: draw.between(1, 28),
        civic_number: draw.between(1, 180),
    }
}

fn card(seed: u64, index: u32) -> String {
    let number = (u64::from(index) * 61_803_399 + seed % 100_000_000) % 100_000_000;
    with_check_digit(&format!("0410{number:08}"))
}

fn identifier(kind: v1::IdentifierType, value: String) -> v1::Identifier {
    v1::Identifier {
        r#type: kind as i32,
        value,
        verified_time: None,
        source: "crm".to_owned(),
    }
}

impl World {
    /// The retailer's id of a customer by position (from 0).
    #[must_use]
    pub fn customer_id(&self, customer: u32) -> String {
        format!("C{:07}", customer + 1)
    }

    /// Loyalty card of a customer. Everybody has one.
    #[must_use]
    pub fn card(&self, customer: u32) -> String {
        card(self.seed, customer)
    }

    /// E-mail of a customer; about 85 % have one.
    #[must_use]
    pub fn email(&self, customer: u32) -> Option<String> {
        person(self.seed, customer).email
    }

    /// Mobile number of a customer; about 75 % have one.
    #[must_use]
    pub fn phone(&self, customer: u32) -> Option<String> {
        person(self.seed, customer).phone
    }

    /// A well-formed card that no customer of this world has.
    #[must_use]
    pub fn unknown_card(&self) -> String {
        card(self.seed, self.size.customers)
    }

    /// Whether a customer has consented to profiling.
    #[must_use]
    pub fn consents_to_profiling(&self, customer: u32) -> bool {
        person(self.seed, customer).profiling
    }

    /// A customer who shops often, consented to profiling, has an e-mail and whose home is a busy store: somebody to show
    /// things with. One of the first thousand.
    #[must_use]
    pub fn showcase_customer(&self) -> u32 {
        let score = |customer: u32| {
            let person = person(self.seed, customer);
            let weight = self.shops[self.home_store(customer)].place.weight;
            let fit = person.profiling && person.marketing && person.email.is_some() && weight >= 5;
            let visits = self.habits.expected_visits(customer, self.size.days);
            (fit, (visits * 1000.0) as u64)
        };
        (0..self.size.customers.min(1000))
            .max_by_key(|&customer| (score(customer), u32::MAX - customer))
            .unwrap_or(0)
    }

    pub(crate) fn customer(&self, index: u32) -> v1::Event {
        let person = person(self.seed, index);
        let shop = &self.shops[self.home_store(index)];
        let joined = self.end_unix_seconds - (i64::from(self.size.days) + 30) * 86_400;
        let time = Timestamp {
            seconds: joined + i64::from(index % 86_400),
            nanos: 0,
        };
        let mut identifiers = vec![identifier(
            v1::IdentifierType::LoyaltyCard,
            card(self.seed, index),
        )];
        identifiers.extend(
            person
                .email
                .map(|email| identifier(v1::IdentifierType::Email, email)),
        );
        identifiers.extend(
            person
                .phone
                .map(|phone| identifier(v1::IdentifierType::Phone, phone)),
        );
        let consents = [
            (v1::ConsentPurpose::Profiling, person.profiling),
            (v1::ConsentPurpose::Marketing, person.marketing),
            (v1::ConsentPurpose::Analytics, person.analytics),
            (v1::ConsentPurpose::ThirdParties, person.third_parties),
        ];
        let upserted = v1::ProfileUpserted {
            customer_id: self.customer_id(index),
            identifiers,
            contacts: Some(v1::Contacts {
                given_name: person.given.to_owned(),
                family_name: person.family.to_owned(),
                address: format!("Via dell'Esempio {}", person.civic_number),
                postal_code: String::new(),
                town: shop.place.town.to_owned(),
                birth_date: format!(
                    "{}-{:02}-{:02}",
                    person.birth_year, person.birth_month, person.birth_day
                ),
                language: "it".to_owned(),
            }),
            consents: consents
                .into_iter()
                .map(|(purpose, granted)| v1::Consent {
                    purpose: purpose as i32,
                    granted,
                    decided_time: Some(time),
                    notice_version: "2024-05".to_owned(),
                })
                .collect(),
            preferred_store_id: shop.id.clone(),
            segments: self
                .habits
                .segments(index)
                .iter()
                .map(|segment| (*segment).to_owned())
                .collect(),
        };
        v1::Event {
            event_id: format!("customer-{:x}-{index}", self.seed),
            source: SOURCE.to_owned(),
            occurred_time: Some(time),
            offline: false,
            payload: Some(Payload::ProfileUpserted(upserted)),
            ..Default::default()
        }
    }
}
