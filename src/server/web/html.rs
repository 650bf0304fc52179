//! The few pages that are written by hand, because they must work where the application cannot: errors, and the built-in
//! provider. No script; the application's style sheet.
//!
//! Looks like the sign-in page: a `.card.sign-in` with `.field`, `.button.primary.wide`, `.box.tone-bad`, `.box.tone-warning`.

use super::assets::Assets;
use std::fmt;

/// Text to be shown as it is.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => write!(f, "{c}"),
        })
    }
}

/// A page. `body` is HTML.
#[must_use]
pub fn page(assets: &Assets, title: &str, body: &str) -> String {
    let title = Escaped(title);
    let link = |rel: &str, name: &str| assets.path(name).map(|path| format!("<link rel=\"{rel}\" href=\"{path}\">")).unwrap_or_default();
    let (style, icon) = (link("stylesheet", "granary.css"), link("icon", "favicon.svg"));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>{title} · Granary</title>{style}{icon}</head><body><main class=\"narrow\"><div class=\"card sign-in\"><h1>{title}</h1>\n{body}\n</div></main></body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_typed_is_text() {
        assert_eq!(Escaped("<a href='x\">&").to_string(), "&lt;a href=&#39;x&quot;&gt;&amp;");
    }
}
