//! The wizard.

pub mod finish;
pub mod save;
pub mod show;
pub mod start;
