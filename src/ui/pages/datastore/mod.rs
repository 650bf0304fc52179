//! `/datastores/:id`

mod connection;
mod delete;
mod header;
mod show;
pub mod tabs;

pub use delete::Delete;
