//! Records of a customer's personal part, sealed in an envelope of its own, and of the rest, which names nobody.

use prost::Message;
use tillside_engine::customer::{Consent, Contacts, KnownIdentifier, Personal, Purpose, Relation};
use tillside_engine::identity::{Identifier, IdentifierKind};
use tillside_engine::ids::{CustomerId, Sequence, StoreId};
use tillside_engine::units::Time;

use super::codes::Coded;
use super::values::{list, millis, strings, texts, time};
use super::{Row, Stored};
use crate::error::RecordProblem;
use crate::table::Table;

/// The payload is as it is, sealed with no key.
const PLAIN: u32 = 0;

/// Whatever is personal lies in `payload`. With an algorithm and a key id, encryption and erasure (destroying the key)
/// come without another format.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EnvelopeRecord {
    #[prost(uint64, tag = "1")]
    key_id: u64,
    #[prost(uint32, tag = "2")]
    algorithm: u32,
    #[prost(bytes = "vec", tag = "3")]
    payload: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PersonalRecord {
    #[prost(string, tag = "1")]
    customer_id: String,
    #[prost(string, tag = "2")]
    given_name: String,
    #[prost(string, tag = "3")]
    family_name: String,
    #[prost(string, tag = "4")]
    address: String,
    #[prost(string, tag = "5")]
    postal_code: String,
    #[prost(string, tag = "6")]
    town: String,
    #[prost(string, tag = "7")]
    birth_date: String,
    #[prost(string, tag = "8")]
    language: String,
    #[prost(message, repeated, tag = "9")]
    identifiers: Vec<IdentifierRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct IdentifierRecord {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(sint64, optional, tag = "3")]
    verified_ms: Option<i64>,
    #[prost(string, tag = "4")]
    source: String,
}

impl Row for Personal {
    const TABLE: Table = Table::Personal;
    type Key = CustomerId;
}

impl Stored for Personal {
    type Record = EnvelopeRecord;

    fn to_record(&self) -> EnvelopeRecord {
        let contacts = self.contacts.clone();
        let record = PersonalRecord {
            customer_id: self.customer_id.clone(),
            given_name: contacts.given_name,
            family_name: contacts.family_name,
            address: contacts.address,
            postal_code: contacts.postal_code,
            town: contacts.town,
            birth_date: contacts.birth_date,
            language: contacts.language,
            identifiers: self.identifiers.iter().map(Stored::to_record).collect(),
        };
        EnvelopeRecord {
            key_id: 0,
            algorithm: PLAIN,
            payload: record.encode_to_vec(),
        }
    }

    fn from_record(envelope: EnvelopeRecord) -> Result<Self, RecordProblem> {
        if envelope.algorithm != PLAIN || envelope.key_id != 0 {
            return Err(RecordProblem::UnknownSeal {
                algorithm: envelope.algorithm,
                key_id: envelope.key_id,
            });
        }
        let record = PersonalRecord::decode(&*envelope.payload)
            .map_err(|e| RecordProblem::Malformed(e.to_string()))?;
        Ok(Personal {
            customer_id: record.customer_id,
            contacts: Contacts {
                given_name: record.given_name,
                family_name: record.family_name,
                address: record.address,
                postal_code: record.postal_code,
                town: record.town,
                birth_date: record.birth_date,
                language: record.language,
            },
            identifiers: list(record.identifiers)?,
        })
    }
}

impl Stored for KnownIdentifier {
    type Record = IdentifierRecord;

    fn to_record(&self) -> IdentifierRecord {
        IdentifierRecord {
            kind: self.identifier.kind.code(),
            value: self.identifier.value.clone(),
            verified_ms: millis(self.verified),
            source: self.source.clone(),
        }
    }

    fn from_record(record: IdentifierRecord) -> Result<Self, RecordProblem> {
        Ok(KnownIdentifier {
            identifier: Identifier {
                kind: IdentifierKind::decoded(record.kind)?,
                value: record.value,
            },
            verified: time(record.verified_ms),
            source: record.source,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RelationRecord {
    #[prost(bool, tag = "1")]
    provisional: bool,
    #[prost(uint32, optional, tag = "2")]
    preferred_store: Option<u32>,
    #[prost(string, repeated, tag = "3")]
    segments: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    consents: Vec<ConsentRecord>,
    #[prost(uint64, tag = "5")]
    version: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ConsentRecord {
    #[prost(uint32, tag = "1")]
    purpose: u32,
    #[prost(bool, tag = "2")]
    granted: bool,
    #[prost(sint64, tag = "3")]
    decided_ms: i64,
    #[prost(string, tag = "4")]
    notice_version: String,
}

impl Row for Relation {
    const TABLE: Table = Table::Relations;
    type Key = CustomerId;
}

impl Stored for Relation {
    type Record = RelationRecord;

    fn to_record(&self) -> RelationRecord {
        RelationRecord {
            provisional: self.provisional,
            preferred_store: self.preferred_store.map(|s| s.0),
            segments: strings(&self.segments),
            consents: self.consents.iter().map(Stored::to_record).collect(),
            version: self.version.0,
        }
    }

    fn from_record(record: RelationRecord) -> Result<Self, RecordProblem> {
        Ok(Relation {
            provisional: record.provisional,
            preferred_store: record.preferred_store.map(StoreId),
            segments: texts(record.segments),
            consents: list(record.consents)?,
            version: Sequence(record.version),
        })
    }
}

impl Stored for Consent {
    type Record = ConsentRecord;

    fn to_record(&self) -> ConsentRecord {
        ConsentRecord {
            purpose: self.purpose.code(),
            granted: self.granted,
            decided_ms: self.decided.0,
            notice_version: self.notice_version.to_string(),
        }
    }

    fn from_record(record: ConsentRecord) -> Result<Self, RecordProblem> {
        Ok(Consent {
            purpose: Purpose::decoded(record.purpose)?,
            granted: record.granted,
            decided: Time(record.decided_ms),
            notice_version: record.notice_version.into(),
        })
    }
}
