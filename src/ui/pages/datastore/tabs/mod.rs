//! The tabs of a datastore, one URL and one file each.

mod activity;
mod decision;
mod drills;
mod firewall;
mod logs;
mod nodes;
mod overview;
mod replication;
mod settings;
mod users;

pub use activity::Activity;
pub use drills::OneDrill;
pub use firewall::Firewall;
pub use logs::Logs;
pub use nodes::Nodes;
pub use overview::Overview;
pub use settings::Settings;
pub use users::Users;

/// A tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Nodes,
    Users,
    Firewall,
    Logs,
    Activity,
    Settings,
}

impl Tab {
    /// In order.
    pub(super) const ALL: [Self; 7] = [Self::Overview, Self::Nodes, Self::Users, Self::Firewall, Self::Logs, Self::Activity, Self::Settings];

    /// Its name.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Nodes => "Nodes",
            Self::Users => "Users",
            Self::Firewall => "Firewall (Connect)",
            Self::Logs => "Logs",
            Self::Activity => "Activity",
            Self::Settings => "Settings",
        }
    }

    /// Its URL under that of the datastore.
    pub(super) fn path(self, base: &str) -> String {
        match self {
            Self::Overview => base.to_owned(),
            Self::Firewall => format!("{base}/firewall"),
            other => format!("{base}/{}", other.label().to_lowercase()),
        }
    }

    /// Whether something can be typed in it.
    pub(super) fn has_fields(self) -> bool {
        matches!(self, Self::Firewall | Self::Logs | Self::Settings)
    }
}
