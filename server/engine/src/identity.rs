//! Identifiers and their one normal form. Two spellings of the same card, address or number must meet here; what is
//! junk (the same "null" on a thousand records) must not become a person.

use std::collections::BTreeSet;

use crate::barcode::has_gs1_check_digit;
use crate::ids::IdentifierHash;
use crate::limits::ID_BYTES_MAX;

/// Kinds of identifiers; the order is the order of trust where a sale names several people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentifierKind {
    /// The retailer's own id.
    CustomerId,
    /// Loyalty card.
    LoyaltyCard,
    /// Codice fiscale.
    TaxCode,
    /// Token of the app.
    AppToken,
    /// Token shown as QR code.
    QrToken,
    /// E-mail address.
    Email,
    /// Token of a payment card.
    PaymentToken,
    /// Phone number: shared and recycled, never enough to merge two people.
    Phone,
    /// Browser or device.
    DeviceId,
}

impl IdentifierKind {
    /// Whether a match on this kind alone is certain.
    pub fn is_strong(self) -> bool {
        !matches!(self, IdentifierKind::Phone | IdentifierKind::DeviceId)
    }
}

/// A normalised identifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier {
    /// Its kind.
    pub kind: IdentifierKind,
    /// Its normal form.
    pub value: String,
}

/// Secret key of the identifier index. It lives outside the data directory, so that the index alone tells nothing.
#[derive(Clone)]
pub struct IndexKey(pub [u8; 32]);

impl std::fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IndexKey(secret)")
    }
}

impl IndexKey {
    /// The index entry of an identifier: 128 bits of keyed BLAKE3 over kind and value.
    pub fn hash(&self, identifier: &Identifier) -> IdentifierHash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[identifier.kind as u8]);
        hasher.update(identifier.value.as_bytes());
        IdentifierHash(first_128_bits(&hasher.finalize()))
    }
}

/// The first 16 bytes of a BLAKE3 hash as a number.
pub fn first_128_bits(hash: &blake3::Hash) -> u128 {
    let mut first = [0; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_le_bytes(first)
}

/// Why an identifier cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIdentifier {
    /// Nothing left after trimming.
    #[error("is empty")]
    Empty,
    /// Longer than an identifier can be.
    #[error("is longer than {ID_BYTES_MAX} bytes")]
    TooLong,
    /// Known junk that many records share.
    #[error("is a known dummy value, not an identifier of one person")]
    Junk,
    /// A check digit or character is wrong.
    #[error("has a wrong check digit; read it again")]
    CheckDigit,
    /// Not of the form its kind has.
    #[error("is not {0}")]
    Malformed(&'static str),
}

/// How identifiers are read; from the server's configuration.
#[derive(Clone, Debug)]
pub struct IdentityRules {
    /// ISO country whose national phone numbers are understood.
    pub phone_region: String,
    /// Prefixes of 13-digit numbers that are the retailer's cards and must have an EAN-13 check digit.
    pub card_prefixes: Vec<String>,
    /// Further values that are no identifiers, for example the cashiers' own card; compared after normalisation.
    pub blocked: BTreeSet<String>,
}

impl Default for IdentityRules {
    fn default() -> Self {
        IdentityRules {
            phone_region: "IT".into(),
            card_prefixes: (20..=29)
                .map(|p| format!("0{p}"))
                .chain((40..=49).map(|p| format!("0{p}")))
                .collect(),
            blocked: BTreeSet::new(),
        }
    }
}

const JUNK_WORDS: [&str; 12] = [
    "null",
    "undefined",
    "none",
    "nan",
    "n/a",
    "na",
    "unknown",
    "test",
    "anonymous",
    "xxx",
    "guest",
    "(null)",
];

impl IdentityRules {
    /// The normal form of an identifier as it was seen.
    pub fn normalise(&self, kind: IdentifierKind, seen: &str) -> Result<Identifier, BadIdentifier> {
        let seen = seen.trim();
        if seen.is_empty() {
            return Err(BadIdentifier::Empty);
        }
        if seen.len() > ID_BYTES_MAX {
            return Err(BadIdentifier::TooLong);
        }
        if JUNK_WORDS.contains(&seen.to_ascii_lowercase().as_str()) {
            return Err(BadIdentifier::Junk);
        }
        let value = match kind {
            IdentifierKind::LoyaltyCard => self.card(seen)?,
            IdentifierKind::Email => email(seen)?,
            IdentifierKind::Phone => self.phone(seen)?,
            IdentifierKind::TaxCode => tax_code(seen)?,
            _ => seen.to_owned(),
        };
        let one_digit_repeated = value.len() >= 6 && {
            let digits = value.trim_start_matches('+').as_bytes();
            let first = digits.first().filter(|d| d.is_ascii_digit());
            first.is_some_and(|first| digits.iter().all(|d| d == first))
        };
        if one_digit_repeated || self.blocked.contains(&value) {
            return Err(BadIdentifier::Junk);
        }
        Ok(Identifier { kind, value })
    }

    fn card(&self, seen: &str) -> Result<String, BadIdentifier> {
        let mut card: String = seen.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        if card.is_empty() || !card.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(BadIdentifier::Malformed(
                "a card number: letters and digits only",
            ));
        }
        card.make_ascii_uppercase();
        let digits = card.bytes().all(|b| b.is_ascii_digit());
        if digits && card.len() == 12 {
            card.insert(0, '0');
        }
        let ours = digits
            && card.len() == 13
            && self
                .card_prefixes
                .iter()
                .any(|p| card.starts_with(p.as_str()));
        if ours && !has_gs1_check_digit(card.as_bytes()) {
            return Err(BadIdentifier::CheckDigit);
        }
        Ok(card)
    }

    fn phone(&self, seen: &str) -> Result<String, BadIdentifier> {
        use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat};
        const WHAT: &str = "a phone number that exists, national or with + and country code";
        let region = self.phone_region.parse().ok();
        let number = PHONE_NUMBER_UTIL
            .parse(seen, region)
            .map_err(|_| BadIdentifier::Malformed(WHAT))?;
        if !PHONE_NUMBER_UTIL.is_possible_number(&number) {
            return Err(BadIdentifier::Malformed(WHAT));
        }
        Ok(PHONE_NUMBER_UTIL
            .format(&number, PhoneNumberFormat::E164)
            .into_owned())
    }
}

fn email(seen: &str) -> Result<String, BadIdentifier> {
    const WHAT: &str = "an e-mail address";
    let (local, domain) = seen
        .rsplit_once('@')
        .ok_or(BadIdentifier::Malformed(WHAT))?;
    let plain = |s: &str| !s.is_empty() && !s.chars().any(|c| c.is_whitespace() || c.is_control());
    if !plain(local) || !plain(domain) {
        return Err(BadIdentifier::Malformed(WHAT));
    }
    let domain =
        idna::domain_to_ascii_strict(domain).map_err(|_| BadIdentifier::Malformed(WHAT))?;
    if !domain.contains('.') || domain.starts_with('.') || domain.ends_with('.') {
        return Err(BadIdentifier::Malformed(WHAT));
    }
    Ok(format!("{}@{domain}", local.to_lowercase()))
}

/// Codice fiscale: 15 characters and a check character (DM 23/12/1976). Variants made for people with equal codes
/// (omocodia) are different people and stay as they are.
fn tax_code(seen: &str) -> Result<String, BadIdentifier> {
    const ODD: [u32; 36] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, // digits
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23, // letters
    ];
    let code: String = seen
        .chars()
        .filter(|c| *c != ' ')
        .collect::<String>()
        .to_ascii_uppercase();
    let bytes = code.as_bytes();
    if bytes.len() != 16
        || !bytes.iter().all(u8::is_ascii_alphanumeric)
        || !bytes[15].is_ascii_uppercase()
    {
        return Err(BadIdentifier::Malformed(
            "a codice fiscale: 16 letters and digits",
        ));
    }
    let sum: u32 = bytes[..15]
        .iter()
        .enumerate()
        .map(|(i, b)| {
            let value = if b.is_ascii_digit() {
                u32::from(b - b'0')
            } else {
                u32::from(b - b'A')
            };
            let index = if b.is_ascii_digit() {
                value
            } else {
                value + 10
            };
            if i % 2 == 0 {
                ODD[index as usize]
            } else {
                value
            }
        })
        .sum();
    if bytes[15] != b'A' + (sum % 26) as u8 {
        return Err(BadIdentifier::CheckDigit);
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: IdentifierKind, seen: &str, expect: Result<&str, BadIdentifier>) {
        let got = IdentityRules::default()
            .normalise(kind, seen)
            .map(|i| i.value);
        assert_eq!(got, expect.map(str::to_owned), "{kind:?} {seen:?}");
    }

    #[test]
    fn cards_keep_zeros_and_need_their_check_digit() {
        let card = IdentifierKind::LoyaltyCard;
        check(card, " 0400-0000-00016 ", Err(BadIdentifier::CheckDigit));
        check(card, "0400000000015", Ok("0400000000015"));
        check(card, "400000000015", Ok("0400000000015"));
        check(card, "ab 12-3", Ok("AB123"));
        check(card, "00012345", Ok("00012345"));
        check(card, "9780000000000", Ok("9780000000000"));
        check(
            card,
            "card!",
            Err(BadIdentifier::Malformed(
                "a card number: letters and digits only",
            )),
        );
        check(card, "0000000000000", Err(BadIdentifier::Junk));
        check(card, "NULL", Err(BadIdentifier::Junk));
    }

    #[test]
    fn addresses_meet_in_lower_case_and_ascii_domains() {
        let email = IdentifierKind::Email;
        check(
            email,
            "  Maria.Rossi@Example.IT ",
            Ok("maria.rossi@example.it"),
        );
        check(email, "a@città.it", Ok("a@xn--citt-3na.it"));
        for bad in [
            "maria",
            "@example.it",
            "maria@",
            "ma ria@example.it",
            "maria@localhost",
            "maria@.it",
        ] {
            check(
                email,
                bad,
                Err(BadIdentifier::Malformed("an e-mail address")),
            );
        }
    }

    #[test]
    fn phones_become_e164_and_italian_landlines_keep_their_zero() {
        let phone = IdentifierKind::Phone;
        check(phone, "333 123 4567", Ok("+393331234567"));
        check(phone, "+39 333-1234567", Ok("+393331234567"));
        check(phone, "0039 333 1234567", Ok("+393331234567"));
        check(phone, "055 212345", Ok("+39055212345"));
        check(phone, "+44 20 7946 0018", Ok("+442079460018"));
        assert!(IdentityRules::default().normalise(phone, "12").is_err());
        assert!(
            IdentityRules::default()
                .normalise(phone, "call me")
                .is_err()
        );
    }

    #[test]
    fn one_sign_repeated_is_no_identifier_and_no_accident() {
        check(IdentifierKind::CustomerId, "++++++", Ok("++++++"));
        check(
            IdentifierKind::AppToken,
            "7777777",
            Err(BadIdentifier::Junk),
        );
    }

    #[test]
    fn a_tax_code_needs_its_check_character() {
        let tax = IdentifierKind::TaxCode;
        check(tax, "rssmra85t10a562s", Ok("RSSMRA85T10A562S"));
        check(tax, "RSSMRA85T10A562A", Err(BadIdentifier::CheckDigit));
        check(
            tax,
            "RSSMRA85T10",
            Err(BadIdentifier::Malformed(
                "a codice fiscale: 16 letters and digits",
            )),
        );
    }

    #[test]
    fn the_same_value_of_another_kind_is_another_entry() {
        let key = IndexKey([7; 32]);
        let of = |kind| {
            key.hash(&Identifier {
                kind,
                value: "42".into(),
            })
        };
        assert_ne!(
            of(IdentifierKind::LoyaltyCard),
            of(IdentifierKind::CustomerId)
        );
        assert_ne!(
            of(IdentifierKind::LoyaltyCard),
            IndexKey([8; 32]).hash(&Identifier {
                kind: IdentifierKind::LoyaltyCard,
                value: "42".into()
            })
        );
    }
}
