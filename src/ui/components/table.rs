//! A table that becomes a list of cards on a narrow screen.

use leptos::prelude::*;

/// Head of a column.
pub(crate) struct Column {
    /// What stands there.
    pub head: AnyView,
    /// `ascending` or `descending` when the rows are sorted by it.
    pub sort: Option<&'static str>,
    /// Further class.
    pub class: &'static str,
}

impl Column {
    /// A plain head.
    pub(crate) fn new(head: &'static str) -> Self {
        Self { head: head.into_any(), sort: None, class: "" }
    }
}

/// The table. Roles are named because CSS that lays rows out as cards would take them away.
#[component]
pub(crate) fn Table(
    /// Caption, for screen readers.
    #[prop(into)]
    caption: String,
    /// Heads.
    columns: Vec<Column>,
    /// Further class.
    #[prop(optional)]
    class: &'static str,
    /// Rows, with `role="row"` and cells with `role="cell"` and `data-label`.
    children: Children,
) -> impl IntoView {
    view! {
        <table class=format!("table {class}") role="table">
            <caption class="sr-only">{caption}</caption>
            <thead role="rowgroup">
                <tr role="row">
                    {columns
                        .into_iter()
                        .map(|c| view! { <th scope="col" role="columnheader" class=c.class aria-sort=c.sort>{c.head}</th> })
                        .collect_view()}
                </tr>
            </thead>
            <tbody role="rowgroup">{children()}</tbody>
        </table>
    }
}
