//! What is around every page.

mod account;
mod error_page;
mod frame;
mod page;
mod scripts;
mod shortcuts;
mod theme_switch;

pub(crate) use error_page::ErrorPage;
pub(crate) use frame::Frame;
pub(crate) use page::page;
pub(crate) use scripts::Scripts;
