//! Datastores.

pub mod activity;
pub mod add_node;
pub mod connection;
pub mod delete;
pub mod drill;
pub mod drills;
pub mod durability;
pub mod get;
pub mod list;
pub mod logs;
pub mod overrule;
pub mod promote;
pub mod protect;
pub mod readers;
pub mod remove_node;
pub mod rename;
pub mod replace_node;
pub mod restart;
pub mod reveal;
pub mod tags;
