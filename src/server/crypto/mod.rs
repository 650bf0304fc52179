//! Keys, certificates, passwords.

pub mod authority;
pub mod derived;
pub mod keyring;
pub mod random;
pub mod scram;
