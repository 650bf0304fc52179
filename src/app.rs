//! The shell and the route table.

use leptos::prelude::*;

/// The HTML document around every page.
#[must_use]
pub fn shell(options: LeptosOptions) -> impl IntoView {
    let _ = options;
    view! { <!DOCTYPE html> <html lang="en"></html> }
}
