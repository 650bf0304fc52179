//! All SQL of ours.

pub mod changes;
