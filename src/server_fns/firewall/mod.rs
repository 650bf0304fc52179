//! Trusted sources.

pub mod add;
pub mod remove;
pub mod show;
