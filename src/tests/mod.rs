//! Mirrors URLs and job names.

mod domain;
mod jobs;
pub(crate) mod pretend;
mod real;
pub(crate) mod support;
pub(crate) mod world;
