//! Jobs.

pub mod abandon;
pub mod cancel;
pub mod retry;
