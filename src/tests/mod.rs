//! Mirrors URLs and job names.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod auth;
pub(crate) mod browser;
mod domain;
mod drill;
mod exposition;
mod failover;
mod isolation;
pub(crate) mod issuer;
mod jobs;
mod luck;
mod mariadb;
mod mariadb_replicas;
mod measures;
pub(crate) mod pretend;
mod real;
mod redis;
mod redis_replicas;
mod replicas;
pub(crate) mod site;
pub(crate) mod support;
mod trouble;
mod valkey;
mod walk;
mod web;
pub(crate) mod world;
mod writer;
