//! Envelope encryption: each secret has a data key of its own, wrapped by the key file that is outside the database.

/// Seals and opens secrets.
pub struct Keyring;
