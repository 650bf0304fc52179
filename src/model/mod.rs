//! Plain data and the rules about it, the same on both sides: no I/O, no clock, no cfg.

pub mod activity;
pub mod catalogue;
pub mod cidr;
pub mod datastore;
pub mod draft;
pub mod drill;
pub mod durability;
pub mod engine;
pub mod firewall;
pub mod form;
pub mod format;
pub mod job;
pub mod locale;
pub mod log;
pub mod names;
pub mod offer;
pub mod person;
pub mod snippet;
pub mod status;
pub mod step;
pub mod storage;
pub mod topology;
