//! Where the data of nodes lies, and which of their limits hold.

use serde::{Deserialize, Serialize};

/// Where a node's data lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Storage {
    /// In the node's own directory, with the flavor's size; dies with the node.
    Ephemeral {
        /// The flavor's disk.
        gb: u32,
    },
    /// On a volume.
    Volume {
        /// Id of the volume type.
        volume_type: String,
        /// Its size.
        gb: u32,
    },
}

impl Storage {
    /// Size in GB.
    #[must_use]
    pub fn gb(&self) -> u32 {
        match self {
            Self::Ephemeral { gb } | Self::Volume { gb, .. } => *gb,
        }
    }

    /// Id in forms and the metadata database.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ephemeral { .. } => "ephemeral",
            Self::Volume { .. } => "volume",
        }
    }

    /// The volume type's id, when it is a volume.
    #[must_use]
    pub fn volume_type(&self) -> Option<&str> {
        match self {
            Self::Ephemeral { .. } => None,
            Self::Volume { volume_type, .. } => Some(volume_type),
        }
    }
}

/// Which limits of a node's size are enforced where it runs, by something that the node cannot talk to.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Enforcement {
    /// Memory.
    pub ram: bool,
    /// Processor time.
    pub cpus: bool,
    /// Number of processes.
    pub processes: bool,
    /// A volume's size; ephemeral storage is watched in any case.
    pub volumes: bool,
}

impl Enforcement {
    /// What the card of a node says of RAM and processors.
    #[must_use]
    pub fn of_node(self) -> String {
        let limits = [("RAM", self.ram), ("vCPUs", self.cpus), ("processes", self.processes)];
        let named = |enforced: bool| limits.iter().filter(|(_, e)| *e == enforced).map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        match (named(true), named(false)) {
            (all, none) if none.is_empty() => format!("{all} enforced"),
            (none, all) if none.is_empty() => format!("{all} not enforced here"),
            (some, others) => format!("{some} enforced; {others} not enforced here"),
        }
    }

    /// What the Storage card says of the size.
    #[must_use]
    pub fn of_storage(self, storage: &Storage) -> &'static str {
        match storage {
            Storage::Volume { .. } if self.volumes => "Enforced: a file system of its own. Read-only shortly before it is full",
            _ => "Watched, not enforced here: read-only shortly before it is full",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_are_not_enforced_are_said() {
        let none = Enforcement::default();
        assert_eq!(none.of_node(), "RAM, vCPUs, processes not enforced here");
        assert_eq!(Enforcement { ram: true, ..none }.of_node(), "RAM enforced; vCPUs, processes not enforced here");
        let all = Enforcement { ram: true, cpus: true, processes: true, volumes: true };
        assert_eq!(all.of_node(), "RAM, vCPUs, processes enforced");
        let volume = Storage::Volume { volume_type: "dynamic".to_owned(), gb: 1 };
        assert!(all.of_storage(&volume).starts_with("Enforced") && none.of_storage(&volume).starts_with("Watched"));
        assert!(all.of_storage(&Storage::Ephemeral { gb: 5 }).starts_with("Watched"));
    }
}
