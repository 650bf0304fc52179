//! Watches what runs. The monitor only looks, decides in a pure function, and records what it saw and what it wants:
//! only jobs act.

pub mod decide;
mod known;
pub mod pulse;
pub mod run;
pub mod spares;
mod watch;
