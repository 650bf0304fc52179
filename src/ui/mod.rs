//! Pages and their parts. All is drawn on the server; an island (`#[island]`) wakes up in the browser and only makes
//! nicer what works without it.

mod components;
mod layout;
mod live;
pub(crate) mod pages;
pub mod request;
