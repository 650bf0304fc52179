//! The catalogue: read from TOML and checked before anybody chooses from it.

use super::Problems;
use crate::model::catalogue::{Catalogue, Flavor, Limits, Region, VolumeType};
use std::{collections::BTreeSet, fmt::Display, hash::Hash, path::Path};
use time::{Date, macros::format_description};

/// The built-in catalogue.
const DEFAULT: &str = include_str!("../../catalogue.toml");

/// Platforms a region may name.
const PLATFORMS: [&str; 1] = ["local"];

/// Most GB that [`Limits::max_volume_gb`] may allow: 64 TB.
const MOST_VOLUME_GB: u32 = 65_536;

/// Most tags of a datastore (rule 6).
const MOST_TAGS: usize = 12;

/// Factors beyond these are typing errors. Below 1, a part of the machine is kept back.
const OVERCOMMIT: std::ops::RangeInclusive<f64> = 0.1..=100.0;

/// Reads the catalogue from `path`, or the built-in one.
///
/// # Errors
/// All that is wrong with it, each naming the entry.
pub fn load(path: Option<&Path>) -> Result<Catalogue, Problems> {
    match path {
        None => parse(DEFAULT, "the built-in catalogue"),
        Some(path) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|e| Problems(vec![format!("The catalogue {name} cannot be read: {e}.")]))?;
            parse(&text, &name)
        }
    }
}

fn parse(text: &str, name: &str) -> Result<Catalogue, Problems> {
    let catalogue: Catalogue = toml::from_str(text).map_err(|e| Problems(vec![format!("The catalogue {name} is not right: {e}")]))?;
    let mut problems = Problems::default();
    check(&catalogue, &mut problems);
    if problems.0.is_empty() {
        return Ok(catalogue);
    }
    Err(Problems(problems.0.into_iter().map(|p| format!("In {name}: {p}")).collect()))
}

fn check(catalogue: &Catalogue, problems: &mut Problems) {
    limits(catalogue.limits, problems);
    ids("regions", catalogue.regions.iter().map(|r| r.id.as_str()), problems);
    ids("flavors", catalogue.flavors.iter().map(|f| f.id.as_str()), problems);
    ids("volume_types", catalogue.volume_types.iter().map(|v| v.id.as_str()), problems);
    catalogue.regions.iter().for_each(|r| region(r, problems));
    catalogue.flavors.iter().for_each(|f| flavor(f, problems));
    catalogue.volume_types.iter().for_each(|v| volume_type(v, problems));
    unique("engines", catalogue.engines.iter().map(|e| e.kind), problems);
    for engine in &catalogue.engines {
        unique(&format!("support of {}", engine.kind), engine.support.iter().map(|s| &s.major), problems);
        for support in &engine.support {
            if Date::parse(&support.ends, format_description!("[year]-[month]-[day]")).is_err() {
                problems.add(format!("{} {}: “{}” is not a day written as 2027-11-11.", engine.kind, support.major, support.ends));
            }
        }
    }
    for (what, empty) in
        [("regions", catalogue.regions.is_empty()), ("flavors", catalogue.flavors.is_empty()), ("engines", catalogue.engines.is_empty())]
    {
        if empty {
            problems.add(format!("there are no {what}, so nothing could be made."));
        }
    }
}

fn limits(limits: Limits, problems: &mut Problems) {
    if !(1..=MOST_VOLUME_GB).contains(&limits.max_volume_gb) {
        problems.add(format!("limits.max_volume_gb is a number from 1 to {MOST_VOLUME_GB}, not {}.", limits.max_volume_gb));
    }
    if limits.max_tags > MOST_TAGS {
        problems.add(format!("limits.max_tags is at most {MOST_TAGS}, not {}.", limits.max_tags));
    }
    if limits.max_trusted_sources == 0 {
        problems.add("limits.max_trusted_sources is 0: without a trusted source nobody could connect.");
    }
}

fn region(region: &Region, problems: &mut Problems) {
    let name = format!("region “{}”", region.id);
    label(&name, &region.label, problems);
    if !PLATFORMS.contains(&region.platform.as_str()) {
        problems.add(format!("{name}: there is no platform “{}”, only {}.", region.platform, PLATFORMS.join(", ")));
    }
    for (what, factor) in [("ram_overcommit", region.ram_overcommit), ("storage_overcommit", region.storage_overcommit)] {
        if !OVERCOMMIT.contains(&factor) {
            problems.add(format!("{name}: {what} is a factor from {} to {}, not {factor}.", OVERCOMMIT.start(), OVERCOMMIT.end()));
        }
    }
    let [first, last] = region.ports;
    if first < 1024 || first > last {
        problems.add(format!("{name}: ports are the first and the last of a range from 1024 on; {first} to {last} is none."));
    }
}

fn flavor(flavor: &Flavor, problems: &mut Problems) {
    let name = format!("flavor “{}”", flavor.id);
    label(&name, &flavor.name, problems);
    for (what, value) in [("ram_mb", flavor.ram_mb), ("vcpus", flavor.vcpus.into()), ("disk_gb", flavor.disk_gb.into())] {
        if value == 0 {
            problems.add(format!("{name}: {what} is 0."));
        }
    }
}

fn volume_type(volume_type: &VolumeType, problems: &mut Problems) {
    let name = format!("volume type “{}”", volume_type.id);
    label(&name, &volume_type.name, problems);
    if volume_type.iops == Some(0) {
        problems.add(format!("{name}: iops is 0. Leave it out when nothing is promised."));
    }
}

fn label(name: &str, label: &str, problems: &mut Problems) {
    if label.trim().is_empty() {
        problems.add(format!("{name} has no name for people."));
    }
}

/// Ids stand in URLs, in forms and in the metadata database.
fn ids<'a>(what: &str, ids: impl Iterator<Item = &'a str> + Clone, problems: &mut Problems) {
    let plain =
        |id: &&str| !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    for id in ids.clone().filter(|id| !plain(id)) {
        problems.add(format!("{what}: the id “{id}” has something else than a-z, 0-9, dot, dash and underscore, or is not 1 to 64 characters long."));
    }
    unique(what, ids, problems);
}

fn unique<T: Display + Hash + Ord>(what: &str, values: impl Iterator<Item = T>, problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for value in values {
        if seen.contains(&value) {
            problems.add(format!("{what}: “{value}” stands there twice."));
        }
        seen.insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r081_the_built_in_catalogue_has_the_flavors_people_know() {
        let catalogue = load(None).unwrap();
        let flavors: Vec<_> = catalogue.flavors.iter().map(|f| (f.name.as_str(), f.ram_mb)).collect();
        assert_eq!(&flavors[..2], [("512MB Instance", 512), ("1GB Instance", 1024)]);
        assert_eq!(&flavors[4..], [("db.small", 4096), ("db.medium", 8192), ("db.large", 16384)]);
        assert_eq!(catalogue.limits.max_volume_gb, 50);
    }

    #[test]
    fn r014_the_built_in_catalogue_has_the_three_volume_types() {
        let names: Vec<_> = load(None).unwrap().volume_types.into_iter().map(|v| v.name).collect();
        assert_eq!(names, ["Dynamic", "16k IOPS", "8k IOPS"]);
    }

    #[test]
    fn everything_wrong_is_said_at_once_with_its_place() {
        let text = DEFAULT
            .replace("id = \"2\"", "id = \"1\"")
            .replace("id = \"db.large\"", "id = \"DB large\"")
            .replace("ram_overcommit = 2.0", "ram_overcommit = 0.0")
            .replace("platform = \"local\"", "platform = \"moon\"")
            .replace("2027-11-11", "soon")
            .replace("max_tags = 12", "max_tags = 13");
        let said = parse(&text, "test.toml").unwrap_err().to_string();
        for says in ["flavors: “1” stands there twice", "“DB large”", "ram_overcommit", "“moon”", "PostgreSQL 15: “soon”", "max_tags", "In test.toml"]
        {
            assert!(said.contains(says), "{says} is missing in: {said}");
        }
    }

    #[test]
    fn a_word_that_is_not_known_names_its_line() {
        let said = parse(&DEFAULT.replace("max_tags", "max_tag"), "test.toml").unwrap_err().to_string();
        assert!(said.contains("line 5") && said.contains("max_tag"), "{said}");
    }
}
