//! Durable work. A request writes row, job and audit event in one transaction; workers take jobs under a lease, do one
//! step after another, and survive being killed at any moment, because every step can be done again.
//!
//! To add a job: a variant in [`kind::JobKind`] with its steps; a variant in [`step::Step`] and an arm in [`steps::run`]
//! for each new step. Nothing else knows about them.

pub mod faults;
pub mod kind;
pub mod owner;
pub mod runner;
pub mod step;
pub mod steps;
pub mod stop_all;
pub mod work;
