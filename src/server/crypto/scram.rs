//! SCRAM-SHA-256 verifiers (RFC 5803) as `PostgreSQL` stores them in `pg_authid`: the server can check a password with
//! one, but cannot sign in elsewhere with it, and the password itself never stands in a statement or a log.

use secrecy::{ExposeSecret, SecretString};

/// The verifier of a password: 4096 iterations (`PostgreSQL`'s own number), 16 random bytes of salt, the password
/// normalised as client and server do it (RFC 4013).
#[must_use]
pub fn verifier(password: &SecretString) -> SecretString {
    postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, prelude::BASE64_STANDARD};

    // That it lets its owner in, and nobody else, is shown by logging in to the real server: `engine::postgresql::tests`.
    #[test]
    fn r042_a_verifier_has_postgresqls_form_and_a_salt_of_its_own() {
        let password = SecretString::from("pencil");
        let verifier = verifier(&password);
        let (head, keys) = verifier.expose_secret().strip_prefix("SCRAM-SHA-256$4096:").unwrap().split_once('$').unwrap();
        let (stored, server) = keys.split_once(':').unwrap();
        assert_eq!([head, stored, server].map(|part| BASE64_STANDARD.decode(part).unwrap().len()), [16, 32, 32]);
        assert!(!verifier.expose_secret().contains("pencil"));
        assert_ne!(verifier.expose_secret(), super::verifier(&password).expose_secret());
    }
}
