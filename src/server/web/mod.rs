//! HTTP: routes, the browser's side of safety, assets, health, event streams.

pub mod context;
pub mod forms;
pub mod request_id;
