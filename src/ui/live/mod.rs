//! What changes while a page is open: one event stream for each page, shared by its islands.
//!
//! An island shows what the stream says at once. What only the server draws (new addresses, new rows) comes with a reload
//! of the page, which waits while somebody types, so that nothing typed is lost.

mod feed;
mod job;
mod list;
mod reload;
mod status;
mod times;

pub(crate) use job::LiveJob;
pub(crate) use list::{LiveList, LivePill};
pub(crate) use status::LiveStatus;
pub(crate) use times::LiveTimes;
