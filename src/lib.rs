//! Granary: a self-hosted database service.

// A page is one deeply nested type.
#![recursion_limit = "256"]

pub mod app;
pub mod error;
pub mod model;
#[cfg(feature = "ssr")]
pub mod server;
pub mod server_fns;
#[cfg(all(test, feature = "ssr"))]
mod tests;
pub mod ui;

/// Wakes the islands of a page in the browser.
#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    // As users load it, it is smaller without; a panic is still said, only not where.
    #[cfg(debug_assertions)]
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_islands();
}
