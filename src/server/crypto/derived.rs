//! Passwords that are stored nowhere: each follows from the master key and from what it is for, so whoever has the key can say
//! it again, and nobody else can. For servers that know their administrator by nothing but a password.

use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretBox, SecretString, zeroize::Zeroizing};
use sha2::Sha256;
use std::sync::Arc;

/// Keeps what is derived apart from every other use of the master key.
const LABEL: &[u8] = b"granary derived passwords 1";

/// See the module's documentation.
#[derive(Clone)]
pub struct Passwords(Arc<SecretBox<[u8; 32]>>);

impl Passwords {
    /// Those of a key.
    #[must_use]
    pub fn from_key(key: &[u8; 32]) -> Self {
        Self(Arc::new(SecretBox::new(Box::new(code(key, LABEL)))))
    }

    /// The password for one purpose, such as `redis/<node>/granary_admin`: 64 hexadecimal digits.
    #[must_use]
    pub fn of(&self, purpose: &str) -> SecretString {
        hex(&code(self.0.expose_secret(), purpose.as_bytes())).into()
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords")
    }
}

/// HMAC-SHA-256.
fn code(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    // Shorter keys are filled up with zeros to a block: done here, so that no length is left that could be wrong.
    let mut block = Zeroizing::new([0; 64]);
    block[..32].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as Mac>::new((&*block).into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_same_each_time_and_another_for_each_purpose_and_key() {
        let (one, other) = (Passwords::from_key(&[1; 32]), Passwords::from_key(&[2; 32]));
        let said = |passwords: &Passwords, purpose: &str| passwords.of(purpose).expose_secret().to_owned();
        assert_eq!(said(&one, "a"), said(&one.clone(), "a"));
        assert_ne!(said(&one, "a"), said(&one, "b"));
        assert_ne!(said(&one, "a"), said(&other, "a"));
        assert_eq!(said(&one, "a").len(), 64);
        assert_eq!(format!("{one:?}"), "Passwords");
    }

    #[test]
    fn the_code_is_the_published_one() {
        // RFC 4231, test case 2, with its key filled up with zeros to a block as the algorithm does.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        assert_eq!(hex(&code(&key, b"what do ya want for nothing?")), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
