//! Pages and their parts. All is drawn on the server; an island (`#[island]`) wakes up in the browser and only makes
//! nicer what works without it.

#![expect(clippy::needless_pass_by_value, reason = "a component owns its props")]

mod components;
mod layout;
mod live;
pub(crate) mod pages;
mod query;
pub mod request;
