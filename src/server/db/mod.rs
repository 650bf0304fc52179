//! All SQL of ours.

pub mod changes;
pub mod error;
pub mod metadata;
pub mod people;
pub mod sessions;
