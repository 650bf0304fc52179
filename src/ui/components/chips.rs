//! Tags.

use leptos::prelude::*;

/// A list of short words; `most` are shown, the rest is counted.
#[component]
pub(crate) fn Chips(
    /// The words.
    words: Vec<String>,
    /// How many to show.
    #[prop(default = usize::MAX)]
    most: usize,
) -> impl IntoView {
    let hidden = words.len().saturating_sub(most);
    let rest = words.iter().skip(most).cloned().collect::<Vec<_>>().join(", ");
    (!words.is_empty()).then(|| {
        view! {
            <ul class="chips" aria-label="Tags">
                {words.into_iter().take(most).map(|word| view! { <li class="chip">{word}</li> }).collect_view()}
                {(hidden > 0).then(|| view! { <li class="chip more" title=rest>{format!("+{hidden}")}</li> })}
            </ul>
        }
    })
}
