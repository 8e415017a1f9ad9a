//! Pickup codes. A code is a keyed hash of the reservation's number, so a repeated request tells the same one and it
//! need not be kept; what is kept is a keyed hash of the code. Neither can be made or checked without the key.

use crate::identity::{IndexKey, first_128_bits};
use crate::ids::ReservationId;
use crate::order::PickupCodeHash;

/// Characters of a code: 40 bits, which nobody guesses over a counter.
const CODE_CHARS: usize = 8;
/// No letter or digit that is easily taken for another one.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// The code of a reservation.
pub fn code(key: &IndexKey, id: ReservationId) -> String {
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher
        .update(b"pickup code of ")
        .update(&id.0.to_le_bytes());
    let hash = hasher.finalize();
    // 32 characters divide a byte's 256 values evenly.
    let chars = hash.as_bytes().iter().take(CODE_CHARS);
    chars
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect()
}

/// What is kept of a code. Case, blanks and hyphens do not matter: people read it out.
pub fn hash(key: &IndexKey, code: &str) -> PickupCodeHash {
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(b"pickup code ");
    for byte in code.bytes().filter(|b| b.is_ascii_alphanumeric()) {
        hasher.update(&[byte.to_ascii_uppercase()]);
    }
    PickupCodeHash(first_128_bits(&hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_told_again_and_known_however_it_is_written() {
        let key = IndexKey([3; 32]);
        let first = code(&key, ReservationId(1));
        assert_eq!(first, code(&key, ReservationId(1)));
        assert_eq!(first.len(), CODE_CHARS);
        assert_ne!(first, code(&key, ReservationId(2)));
        assert_ne!(first, code(&IndexKey([4; 32]), ReservationId(1)));
        let spoken = format!("{}-{} ", first[..4].to_lowercase(), &first[4..]);
        assert_eq!(hash(&key, &spoken), hash(&key, &first));
        assert_ne!(hash(&key, &first), hash(&IndexKey([4; 32]), &first));
        assert_ne!(hash(&key, &first), hash(&key, &first[1..]));
    }
}
