//! Datastores.

pub mod activity;
pub mod connection;
pub mod delete;
pub mod drill;
pub mod drills;
pub mod get;
pub mod list;
pub mod logs;
pub mod promote;
pub mod protect;
pub mod rename;
pub mod restart;
pub mod reveal;
pub mod tags;
