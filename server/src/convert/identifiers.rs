//! Identifiers as seen at a touchpoint: normalised and hashed at the edge, so that nothing behind it handles two spellings.
//! What is only looked up leaves no trace of the person; what is to be kept goes to the personal record.

use smallvec::SmallVec;
use tillside_engine::command::SeenIdentifier;
use tillside_engine::customer::KnownIdentifier;
use tillside_engine::identity::{BadIdentifier, Identifier, IdentifierKind};
use tillside_engine::ids::IdentifierHash;
use tillside_engine::limits::{IDENTIFIERS_PER_CUSTOMER_MAX, IDENTIFIERS_PER_REQUEST_MAX};
use tillside_proto::v1;

use super::checks::{Checks, Path};
use crate::app::Reading;

/// Identifiers to look up.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    /// Kind and index entry of each that can be looked up.
    pub entries: SmallVec<[(IdentifierKind, IdentifierHash); 4]>,
    /// The position of each in the request.
    positions: SmallVec<[u8; 4]>,
}

impl Lookup {
    /// Positions in the request of positions among the entries.
    pub fn positions(&self, matched: &[usize]) -> Vec<i32> {
        matched
            .iter()
            .filter_map(|i| self.positions.get(*i))
            .map(|p| i32::from(*p))
            .collect()
    }
}

impl Reading {
    /// Identifiers to look somebody up by. Known dummies ("null", the cashiers' own card) are nobody's and match nobody;
    /// what cannot be read is refused, so that the till asks again instead of serving a stranger.
    pub fn lookup(&self, checks: &mut Checks, min: usize, seen: &[v1::Identifier]) -> Lookup {
        let root = Path::ROOT;
        checks.count(
            root.field("identifiers"),
            seen.len(),
            min,
            IDENTIFIERS_PER_REQUEST_MAX,
        );
        let mut lookup = Lookup::default();
        for (position, seen) in seen.iter().take(IDENTIFIERS_PER_REQUEST_MAX).enumerate() {
            let path = root.item("identifiers", position);
            let Some(kind) = kind(checks, path, seen.r#type) else {
                continue;
            };
            match self.rules.normalise(kind, &seen.value) {
                Ok(identifier) => {
                    lookup.entries.push((kind, self.key.hash(&identifier)));
                    lookup.positions.push(position as u8);
                }
                Err(BadIdentifier::Junk) => {}
                Err(bad) => checks.refuse(path.field("value"), bad),
            }
        }
        lookup
    }

    /// Identifiers to keep with a customer. Here a dummy is refused: it would make everybody who has it one person.
    pub fn keep(
        &self,
        checks: &mut Checks,
        path: Path<'_>,
        seen: &[v1::Identifier],
    ) -> Vec<SeenIdentifier> {
        checks.count(
            path.field("identifiers"),
            seen.len(),
            0,
            IDENTIFIERS_PER_CUSTOMER_MAX,
        );
        let mut kept = Vec::with_capacity(seen.len());
        for (position, seen) in seen.iter().take(IDENTIFIERS_PER_CUSTOMER_MAX).enumerate() {
            kept.extend(self.keep_one(checks, path.item("identifiers", position), seen));
        }
        kept
    }

    /// One identifier to keep.
    pub fn keep_one(
        &self,
        checks: &mut Checks,
        path: Path<'_>,
        seen: &v1::Identifier,
    ) -> Option<SeenIdentifier> {
        let kind = kind(checks, path, seen.r#type)?;
        let verified =
            checks.optional_time(path.field("verified_time"), seen.verified_time.as_ref());
        checks.optional_id(path.field("source"), &seen.source);
        match self.rules.normalise(kind, &seen.value) {
            Ok(identifier) => Some(self.seen(identifier, verified, seen.source.clone())),
            Err(bad) => {
                checks.refuse(path.field("value"), bad);
                None
            }
        }
    }

    /// The index entry of a customer id.
    pub fn customer_id(
        &self,
        checks: &mut Checks,
        path: Path<'_>,
        value: &str,
    ) -> Option<SeenIdentifier> {
        match self.rules.normalise(IdentifierKind::CustomerId, value) {
            Ok(identifier) => Some(self.seen(identifier, None, String::new())),
            Err(BadIdentifier::Empty) => {
                checks.refuse(path, "is required");
                None
            }
            Err(bad) => {
                checks.refuse(path, bad);
                None
            }
        }
    }

    fn seen(
        &self,
        identifier: Identifier,
        verified: Option<tillside_engine::units::Time>,
        source: String,
    ) -> SeenIdentifier {
        SeenIdentifier {
            hash: self.key.hash(&identifier),
            known: KnownIdentifier {
                identifier,
                verified,
                source,
            },
        }
    }
}

fn kind(checks: &mut Checks, path: Path<'_>, value: i32) -> Option<IdentifierKind> {
    use v1::IdentifierType as Wire;
    Some(match checks.known::<Wire>(path.field("type"), value)? {
        Wire::Unspecified => {
            checks.refuse(path.field("type"), "is required");
            return None;
        }
        Wire::LoyaltyCard => IdentifierKind::LoyaltyCard,
        Wire::Email => IdentifierKind::Email,
        Wire::Phone => IdentifierKind::Phone,
        Wire::CustomerId => IdentifierKind::CustomerId,
        Wire::QrToken => IdentifierKind::QrToken,
        Wire::AppToken => IdentifierKind::AppToken,
        Wire::PaymentToken => IdentifierKind::PaymentToken,
        Wire::TaxCode => IdentifierKind::TaxCode,
        Wire::DeviceId => IdentifierKind::DeviceId,
    })
}

/// A kind on the wire.
pub fn wire_kind(kind: IdentifierKind) -> v1::IdentifierType {
    use v1::IdentifierType as Wire;
    match kind {
        IdentifierKind::LoyaltyCard => Wire::LoyaltyCard,
        IdentifierKind::Email => Wire::Email,
        IdentifierKind::Phone => Wire::Phone,
        IdentifierKind::CustomerId => Wire::CustomerId,
        IdentifierKind::QrToken => Wire::QrToken,
        IdentifierKind::AppToken => Wire::AppToken,
        IdentifierKind::PaymentToken => Wire::PaymentToken,
        IdentifierKind::TaxCode => Wire::TaxCode,
        IdentifierKind::DeviceId => Wire::DeviceId,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tillside_engine::barcode::BarcodeMask;
    use tillside_engine::identity::{IdentityRules, IndexKey};

    pub(crate) fn reading() -> Reading {
        let masks = vec![BarcodeMask::parse("2IIIIIIPPPPPC").expect("a good mask")];
        Reading {
            rules: IdentityRules::default(),
            key: IndexKey([1; 32]),
            masks,
        }
    }

    pub(crate) fn identifier(kind: v1::IdentifierType, value: &str) -> v1::Identifier {
        v1::Identifier {
            r#type: kind.into(),
            value: value.into(),
            verified_time: None,
            source: String::new(),
        }
    }

    #[test]
    fn dummies_match_nobody_and_positions_stay_the_requests() {
        let mut checks = Checks::default();
        let seen = [
            identifier(v1::IdentifierType::Email, "null"),
            identifier(v1::IdentifierType::LoyaltyCard, "0400000000015"),
        ];
        let lookup = reading().lookup(&mut checks, 1, &seen);
        assert!(checks.finish().is_ok());
        assert_eq!(lookup.entries.len(), 1);
        assert_eq!(lookup.positions(&[0]), [1]);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_place() {
        let check = |seen: &[v1::Identifier], expect: &[&str]| {
            let mut checks = Checks::default();
            reading().lookup(&mut checks, 1, seen);
            let got = checks
                .finish()
                .err()
                .map_or_else(Vec::new, |invalid| invalid.0);
            assert_eq!(
                got.iter().map(|v| v.field.as_str()).collect::<Vec<_>>(),
                expect
            );
        };
        check(&[], &["identifiers"]);
        check(
            &[identifier(v1::IdentifierType::LoyaltyCard, "0400000000012")],
            &["identifiers[0].value"],
        );
        check(
            &[identifier(v1::IdentifierType::Unspecified, "1")],
            &["identifiers[0].type"],
        );
        check(
            &[
                identifier(v1::IdentifierType::Email, "a@b.it"),
                identifier(v1::IdentifierType::Email, ""),
            ],
            &["identifiers[1].value"],
        );
    }
}
