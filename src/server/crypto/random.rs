//! Randomness, always the operating system's own.
//!
//! Without it nothing secret can be made, so its absence ends the calling task instead of being an error to handle
//! (Linux gives it in every state after early boot).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::{
    TryRngCore,
    distr::{Alphanumeric, SampleString},
    rngs::OsRng,
};
use secrecy::SecretString;

/// Characters of a password: 24 of 62 are 142 bits, more than the 128 that guessing cannot reach.
const PASSWORD_CHARACTERS: usize = 24;

/// `N` random bytes.
///
/// # Panics
/// When the operating system has no randomness.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::RngCore::fill_bytes(&mut OsRng.unwrap_err(), &mut bytes);
    bytes
}

/// A password of A-Z, a-z, 0-9: it needs no quoting in URLs, shells, configuration files and SQL.
///
/// # Panics
/// When the operating system has no randomness.
#[must_use]
pub fn password() -> SecretString {
    Alphanumeric.sample_string(&mut OsRng.unwrap_err(), PASSWORD_CHARACTERS).into()
}

/// A bearer token: 256 bits in URL-safe base64, 43 characters.
///
/// # Panics
/// When the operating system has no randomness.
#[must_use]
pub fn token() -> SecretString {
    BASE64_URL_SAFE_NO_PAD.encode(bytes::<32>()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::collections::HashSet;

    #[test]
    fn r042_passwords_are_long_plain_and_never_twice_the_same() {
        let passwords: Vec<SecretString> = (0..1000).map(|_| password()).collect();
        assert!(passwords.iter().all(|p| p.expose_secret().len() == 24 && p.expose_secret().chars().all(|c| c.is_ascii_alphanumeric())));
        assert_eq!(passwords.iter().map(ExposeSecret::expose_secret).collect::<HashSet<_>>().len(), 1000);
        let seen: HashSet<char> = passwords.iter().flat_map(|p| p.expose_secret().chars()).collect();
        assert_eq!(seen.len(), 62, "all 62 characters occur in 24000");
    }

    #[test]
    fn tokens_carry_256_bits() {
        let token = token();
        assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(token.expose_secret()).unwrap().len(), 32);
    }
}
