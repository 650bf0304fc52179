//! What was chosen, in words, and what it adds up to.

use super::choices::{Choices, find};
use crate::model::{
    catalogue::Quota,
    draft::{self, Draft},
    durability::Durability,
    engine::{EngineKind, NumberedDatabase},
    names,
    step::Step,
    topology::Topology,
};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// What.
    pub label: &'static str,
    /// The choice; `None` while there is none.
    pub value: Option<String>,
    /// Id of its field.
    pub field: &'static str,
}

/// The first database where the chosen engine needs no name for it.
pub(super) fn first_database(draft: &Draft) -> Option<NumberedDatabase> {
    draft.engine.parse::<EngineKind>().ok().and_then(EngineKind::first_database)
}

/// The lines of a step.
pub(super) fn lines(draft: &Draft, choices: &Choices, step: Step) -> Vec<Line> {
    let line = |label, field, value: Option<String>| Line { label, value, field };
    let typed = |value: &str| Some(value.trim().to_owned()).filter(|v| !v.is_empty());
    match step {
        Step::Databases => vec![
            line("Database", "engine", draft.engine.parse::<EngineKind>().ok().map(|e| e.label().to_owned())),
            line("Version", "version", typed(&draft.version)),
        ],
        Step::Configuration => {
            let tags = names::tags(&draft.tags, choices.max_tags).ok().map(|t| if t.is_empty() { "none".to_owned() } else { t.join(", ") });
            let topology = draft.topology.parse::<Topology>().ok();
            let mut lines = vec![
                line("Name", "name", typed(&draft.name)),
                line("Tags", "tags", tags),
                line("Topology", "topology", topology.map(|t| t.label().to_owned())),
            ];
            // Where there is no replica there is no choice.
            if let Some(topology) = topology.filter(|topology| *topology != Topology::Single) {
                let engine = draft.engine.parse().unwrap_or(EngineKind::PostgreSql);
                lines.push(line("Writes", "durability", Durability::of(&draft.durability, topology).map(|it| engine.writes(it).to_owned())));
            }
            lines
        }
        Step::CloudService => vec![line("Region", "region", find(&choices.regions, &draft.region).map(|r| r.name.clone()))],
        Step::Resources => vec![
            line("Instance type", "flavor", find(&choices.flavors, &draft.flavor).map(|f| format!("{}: {}", f.name, f.detail))),
            line("Storage", "storage", storage(draft, choices)),
            line("First database", "database", first_database(draft).map_or_else(|| typed(&draft.database), |it| Some(it.name.to_owned()))),
            line("Admin user", "user", typed(&draft.user)),
            line("Trusted source", "allow", Some(typed(&draft.allow).unwrap_or_else(|| "none: nobody can connect yet".to_owned()))),
        ],
        Step::Preview => Vec::new(),
    }
}

fn storage(draft: &Draft, choices: &Choices) -> Option<String> {
    match draft.storage.as_str() {
        "ephemeral" => Some(find(&choices.flavors, &draft.flavor).map_or_else(|| "Ephemeral".to_owned(), |f| format!("Ephemeral, {} GB", f.disk_gb))),
        "volume" => {
            let kind = find(&choices.volume_types, &draft.volume_type)?;
            Some(format!("Volume {}, {} GB", kind.name, draft.volume_gb.trim()))
        }
        _ => None,
    }
}

/// What the draft adds up to, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Totals {
    /// Nodes.
    pub nodes: u32,
    /// RAM of one node, in MB.
    pub ram_mb: u64,
    /// Storage of one node in GB, once it is known.
    pub storage_gb: Option<u32>,
    /// What the quota has left afterwards; `None` when it is not enough.
    pub left: Option<Quota>,
}

/// Adds it up; `None` until there is an instance type.
pub(super) fn totals(draft: &Draft, choices: &Choices) -> Option<Totals> {
    let flavor = find(&choices.flavors, &draft.flavor)?;
    let nodes = draft.topology.parse::<Topology>().map_or(1, Topology::nodes);
    let storage_gb = match draft.storage.as_str() {
        "ephemeral" => Some(flavor.disk_gb),
        "volume" => draft::volume_gb(&draft.volume_gb, choices.max_volume_gb).ok(),
        _ => None,
    };
    let left = || {
        Some(Quota {
            instances: choices.quota_left.instances.checked_sub(nodes)?,
            ram_mb: choices.quota_left.ram_mb.checked_sub(flavor.ram_mb * u64::from(nodes))?,
            storage_gb: choices.quota_left.storage_gb.checked_sub(u64::from(storage_gb.unwrap_or(0)) * u64::from(nodes))?,
        })
    };
    Some(Totals { nodes, ram_mb: flavor.ram_mb, storage_gb, left: left() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{catalogue::Catalogue, offer::Offer};

    fn choices() -> Choices {
        let catalogue: Catalogue = toml::from_str(include_str!("../../../../catalogue.toml")).unwrap();
        Choices::of(&Offer {
            engines: Vec::new(),
            quota_left: Quota { instances: 2, ram_mb: 5000, storage_gb: 60 },
            region_left: (9000, 900),
            name_taken: false,
            catalogue,
        })
    }

    #[test]
    fn r012_ephemeral_storage_counts_with_the_flavors_disk() {
        let draft = Draft { flavor: "4".into(), storage: "ephemeral".into(), volume_gb: "7".into(), topology: "single".into(), ..Draft::default() };
        let totals = totals(&draft, &choices()).unwrap();
        assert_eq!((totals.nodes, totals.ram_mb, totals.storage_gb), (1, 4096, Some(40)));
        assert_eq!(totals.left, Some(Quota { instances: 1, ram_mb: 904, storage_gb: 20 }));
    }

    #[test]
    fn totals_wait_for_what_is_missing_and_never_go_below_nothing() {
        let draft = Draft { flavor: "db.large".into(), storage: "volume".into(), volume_gb: "x".into(), ..Draft::default() };
        let big = totals(&draft, &choices()).unwrap();
        assert_eq!((big.storage_gb, big.left), (None, None));
        assert_eq!(totals(&Draft::default(), &choices()), None);
    }

    #[test]
    fn r016_every_step_before_preview_has_lines() {
        for step in Step::ALL.into_iter().filter(|s| *s != Step::Preview) {
            assert!(!lines(&Draft::default(), &choices(), step).is_empty(), "{step:?}");
        }
    }
}
