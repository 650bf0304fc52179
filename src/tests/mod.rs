//! Mirrors URLs and job names.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod auth;
mod domain;
mod isolation;
pub(crate) mod issuer;
mod jobs;
pub(crate) mod pretend;
mod real;
pub(crate) mod site;
pub(crate) mod support;
mod web;
pub(crate) mod world;
