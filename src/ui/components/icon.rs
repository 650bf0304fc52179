//! Icons: a typed name for each symbol of the sprite `public/icons.svg`.

use crate::{
    model::{engine::EngineKind, status::Tone},
    ui::request::Sprite,
};
use leptos::prelude::*;

/// A symbol of the sprite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glyph {
    Bad,
    Brand,
    Busy,
    Check,
    Clock,
    Copy,
    Dots,
    Download,
    Eye,
    Good,
    MariaDb,
    Moon,
    MySql,
    Node,
    Pencil,
    Plug,
    PostgreSql,
    Quiet,
    Redis,
    Restart,
    Search,
    Shield,
    SignOut,
    Sun,
    Trash,
    User,
    Waiting,
    Warning,
}

impl Glyph {
    /// Id of the symbol.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Brand => "brand",
            Self::Busy => "busy",
            Self::Check => "check",
            Self::Clock => "clock",
            Self::Copy => "copy",
            Self::Dots => "dots",
            Self::Download => "download",
            Self::Eye => "eye",
            Self::Good => "good",
            Self::MariaDb => "mariadb",
            Self::Moon => "moon",
            Self::MySql => "mysql",
            Self::Node => "node",
            Self::Pencil => "pencil",
            Self::Plug => "plug",
            Self::PostgreSql => "postgresql",
            Self::Quiet => "quiet",
            Self::Redis => "redis",
            Self::Restart => "restart",
            Self::Search => "search",
            Self::Shield => "shield",
            Self::SignOut => "sign-out",
            Self::Sun => "sun",
            Self::Trash => "trash",
            Self::User => "user",
            Self::Waiting => "waiting",
            Self::Warning => "warning",
        }
    }
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
            EngineKind::Redis => Self::Redis,
        }
    }
}

/// A drawing beside words; it says nothing of its own to a screen reader.
#[component]
pub(crate) fn Icon(
    /// Which.
    #[prop(into)]
    glyph: Glyph,
) -> impl IntoView {
    view! {
        <svg class=format!("icon icon-{}", glyph.name()) viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" focusable="false">
            <use_ href=format!("{}#{}", Sprite::url(), glyph.name()) />
        </svg>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_icon_of_a_status_or_an_engine_is_in_the_sprite() {
        let sprite = include_str!("../../../public/icons.svg");
        let tones = [Tone::Good, Tone::Busy, Tone::Waiting, Tone::Warning, Tone::Bad, Tone::Quiet].map(Glyph::from);
        let engines = EngineKind::ALL.map(Glyph::from);
        let others = [
            Glyph::Brand,
            Glyph::Check,
            Glyph::Clock,
            Glyph::Copy,
            Glyph::Dots,
            Glyph::Download,
            Glyph::Eye,
            Glyph::Moon,
            Glyph::Node,
            Glyph::Pencil,
            Glyph::Plug,
            Glyph::Restart,
            Glyph::Search,
            Glyph::Shield,
            Glyph::SignOut,
            Glyph::Sun,
            Glyph::Trash,
            Glyph::User,
        ];
        for glyph in tones.into_iter().chain(engines).chain(others) {
            assert!(sprite.contains(&format!("id=\"{}\"", glyph.name())), "{glyph:?}");
        }
    }
}
