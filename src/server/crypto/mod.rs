//! Keys, certificates, passwords.

pub mod authority;
pub mod keyring;
pub mod random;
pub mod scram;
