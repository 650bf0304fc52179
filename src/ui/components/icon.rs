//! Icons: a typed name for each symbol of the sprite `public/icons.svg`.

use crate::{
    model::{engine::EngineKind, status::Tone},
    ui::request::Sprite,
};
use leptos::prelude::*;

macro_rules! glyphs {
    ($($glyph:ident => $id:literal,)*) => {
        /// A symbol of the sprite.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Glyph {
            $($glyph,)*
        }

        impl Glyph {
            /// All of them.
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$glyph,)*];

            /// Id of the symbol.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$glyph => $id,)*
                }
            }
        }
    };
}

glyphs! {
    Bad => "bad",
    Brand => "brand",
    Busy => "busy",
    Check => "check",
    Clock => "clock",
    Copy => "copy",
    Dots => "dots",
    Download => "download",
    Eye => "eye",
    Good => "good",
    MariaDb => "mariadb",
    Moon => "moon",
    MySql => "mysql",
    Node => "node",
    Pencil => "pencil",
    Plug => "plug",
    PostgreSql => "postgresql",
    Quiet => "quiet",
    Redis => "redis",
    Restart => "restart",
    Search => "search",
    Shield => "shield",
    SignOut => "sign-out",
    Sun => "sun",
    Trash => "trash",
    User => "user",
    Waiting => "waiting",
    Warning => "warning",
}

impl From<Tone> for Glyph {
    fn from(tone: Tone) -> Self {
        match tone {
            Tone::Good => Self::Good,
            Tone::Busy => Self::Busy,
            Tone::Waiting => Self::Waiting,
            Tone::Warning => Self::Warning,
            Tone::Bad => Self::Bad,
            Tone::Quiet => Self::Quiet,
        }
    }
}

impl From<EngineKind> for Glyph {
    fn from(kind: EngineKind) -> Self {
        match kind {
            EngineKind::PostgreSql => Self::PostgreSql,
            EngineKind::MariaDb => Self::MariaDb,
            EngineKind::MySql => Self::MySql,
            EngineKind::Redis | EngineKind::Valkey => Self::Redis,
        }
    }
}

/// A drawing beside words; it says nothing of its own to a screen reader.
#[component]
pub(crate) fn Icon(
    /// Which.
    #[prop(into)]
    glyph: Glyph,
    /// URL of the drawings, where it is drawn after the page's own is gone.
    #[prop(optional, into)]
    sprite: Option<String>,
) -> impl IntoView {
    let sprite = sprite.unwrap_or_else(Sprite::url);
    view! {
        <svg class=format!("icon icon-{}", glyph.name()) viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" focusable="false">
            <use_ href=format!("{sprite}#{}", glyph.name()) />
        </svg>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_icon_is_in_the_sprite() {
        let sprite = include_str!("../../../public/icons.svg");
        for glyph in Glyph::ALL {
            assert!(sprite.contains(&format!("<symbol id=\"{}\"", glyph.name())), "{glyph:?}");
        }
    }
}
