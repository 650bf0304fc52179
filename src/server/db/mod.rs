//! All SQL of ours.

pub mod changes;
pub mod error;
pub mod metadata;
