//! The wizard's draft: raw text of every field, and what is wrong with it.
//!
//! The browser, the form post and the API call the same [`validate_step`], so they say the same words.

use super::{
    catalogue::Flavor,
    cidr,
    durability::Durability,
    engine::{EngineKind, EngineOffer},
    names,
    offer::Offer,
    step::Step,
    storage::Storage,
    topology::Topology,
};
use crate::error::FieldErrors;
use serde::{Deserialize, Serialize};

/// Raw fields, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Draft {
    /// Engine's id.
    pub engine: String,
    /// Major version.
    pub version: String,
    /// Name of the datastore.
    pub name: String,
    /// Tags, comma-separated.
    pub tags: String,
    /// Topology's id.
    pub topology: String,
    /// Durability's id; empty for what is proposed.
    pub durability: String,
    /// Region's id.
    pub region: String,
    /// Flavor's id.
    pub flavor: String,
    /// `ephemeral` or `volume`.
    pub storage: String,
    /// Volume type's id.
    pub volume_type: String,
    /// Size in GB, as typed.
    pub volume_gb: String,
    /// Name of the first database.
    pub database: String,
    /// Name of the first admin user.
    pub user: String,
    /// CIDR of the first trusted source when the box is ticked, else empty.
    pub allow: String,
    /// Steps that were posted at least once: their errors are shown.
    pub seen: Vec<Step>,
}

impl Draft {
    /// What was typed, by the names of the fields: all but the steps that were posted.
    #[must_use]
    pub fn typed(&self) -> Vec<(String, String)> {
        let Self {
            engine,
            version,
            name,
            tags,
            topology,
            durability,
            region,
            flavor,
            storage,
            volume_type,
            volume_gb,
            database,
            user,
            allow,
            seen: _,
        } = self;
        [
            ("engine", engine),
            ("version", version),
            ("name", name),
            ("tags", tags),
            ("topology", topology),
            ("durability", durability),
            ("region", region),
            ("flavor", flavor),
            ("storage", storage),
            ("volume_type", volume_type),
            ("volume_gb", volume_gb),
            ("database", database),
            ("user", user),
            ("allow", allow),
        ]
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .into()
    }

    /// Puts values back that were typed but could not be stored, such as when the session had ended. Other names are none of ours.
    pub fn restore(&mut self, values: &[(String, String)]) {
        for (name, value) in values {
            let field = match name.as_str() {
                "engine" => &mut self.engine,
                "version" => &mut self.version,
                "name" => &mut self.name,
                "tags" => &mut self.tags,
                "topology" => &mut self.topology,
                "durability" => &mut self.durability,
                "region" => &mut self.region,
                "flavor" => &mut self.flavor,
                "storage" => &mut self.storage,
                "volume_type" => &mut self.volume_type,
                "volume_gb" => &mut self.volume_gb,
                "database" => &mut self.database,
                "user" => &mut self.user,
                "allow" => &mut self.allow,
                _ => continue,
            };
            field.clone_from(value);
        }
    }
}

/// A draft in which nothing is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDatastore {
    /// Engine.
    pub engine: EngineKind,
    /// Major version.
    pub version: String,
    /// Name.
    pub name: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Topology.
    pub topology: Topology,
    /// When a write counts as done.
    pub durability: Durability,
    /// Region's id.
    pub region: String,
    /// Flavor.
    pub flavor: Flavor,
    /// Storage of each node.
    pub storage: Storage,
    /// First database.
    pub database: String,
    /// First admin user.
    pub user: String,
    /// First trusted source.
    pub allow: Option<ipnet::IpNet>,
}

/// Size of a volume: a whole number of GB from 1 to the catalogue's limit (rule 80).
///
/// # Errors
/// What is wrong, for a person.
pub fn volume_gb(value: &str, max: u32) -> Result<u32, String> {
    let value = value.trim();
    if value.is_empty() {
        return Err(format!("Give a size from 1 to {max} GB."));
    }
    if is_fraction(value) {
        return Err(format!("A whole number of GB, please; {value} is not one."));
    }
    match value.parse::<i64>() {
        Err(_) => Err(format!("A number from 1 to {max}, please; “{value}” is not one.")),
        Ok(n) if n < 1 => Err(format!("At least 1 GB; {n} is too small.")),
        Ok(n) => u32::try_from(n).ok().filter(|n| *n <= max).ok_or_else(|| format!("At most {max} GB; {n} is too large.")),
    }
}

/// "1.5", "-0.5", ".5": read as text, because the browser has no other need for reading such numbers.
fn is_fraction(value: &str) -> bool {
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    value.trim_start_matches(['-', '+']).split_once('.').is_some_and(|(whole, part)| digits(whole) && digits(part) && part.bytes().any(|b| b != b'0'))
}

/// What is wrong with one step. Preview is wrong when any other step is.
#[must_use]
pub fn validate_step(draft: &Draft, offer: &Offer, step: Step) -> FieldErrors {
    let mut errors = FieldErrors::default();
    match step {
        Step::Databases => {
            if let Some(engine) = errors.check("engine", engine(draft, offer)) {
                errors.check("version", version(draft, engine));
            }
        }
        Step::Configuration => {
            errors.check("name", name(draft, offer));
            errors.check("tags", names::tags(&draft.tags, offer.catalogue.limits.max_tags));
            if let Some(topology) = errors.check("topology", topology(draft)) {
                errors.check("durability", Durability::chosen(&draft.durability, topology));
            }
        }
        Step::CloudService => {
            errors.check("region", region(draft, offer));
        }
        Step::Resources => {
            let nodes = draft.topology.parse::<Topology>().map_or(1, Topology::nodes);
            if let Some(flavor) = errors.check("flavor", flavor(draft, offer, nodes)) {
                storage(draft, offer, flavor, nodes, &mut errors);
            }
            errors.check("database", database(draft));
            errors.check("user", names::identifier(&draft.user, "user"));
            if !draft.allow.is_empty() {
                errors.check("allow", cidr::parse(&draft.allow));
            }
        }
        Step::Preview => {
            for step in [Step::Databases, Step::Configuration, Step::CloudService, Step::Resources] {
                errors.0.extend(validate_step(draft, offer, step).0);
            }
        }
    }
    errors
}

/// The first step with an error, or Preview.
#[must_use]
pub fn first_incomplete(draft: &Draft, offer: &Offer) -> Step {
    Step::ALL.into_iter().find(|s| !validate_step(draft, offer, *s).is_empty()).unwrap_or(Step::Preview)
}

/// The datastore that is asked for.
///
/// # Errors
/// What is wrong, field by field.
pub fn validate(draft: &Draft, offer: &Offer) -> Result<NewDatastore, FieldErrors> {
    let errors = validate_step(draft, offer, Step::Preview);
    if !errors.is_empty() {
        return Err(errors);
    }
    let whole = || -> Result<NewDatastore, String> {
        let topology = topology(draft)?;
        let engine = engine(draft, offer)?;
        let flavor = flavor(draft, offer, topology.nodes())?.clone();
        Ok(NewDatastore {
            engine: engine.kind,
            version: version(draft, engine)?,
            name: name(draft, offer)?,
            tags: names::tags(&draft.tags, offer.catalogue.limits.max_tags)?,
            topology,
            durability: Durability::chosen(&draft.durability, topology)?,
            region: region(draft, offer)?,
            storage: if draft.storage == "volume" {
                Storage::Volume { volume_type: draft.volume_type.clone(), gb: volume_gb(&draft.volume_gb, offer.catalogue.limits.max_volume_gb)? }
            } else {
                Storage::Ephemeral { gb: flavor.disk_gb }
            },
            flavor,
            database: database(draft)?,
            user: names::identifier(&draft.user, "user")?,
            allow: if draft.allow.is_empty() { None } else { Some(cidr::parse(&draft.allow)?) },
        })
    };
    whole().map_err(|message| FieldErrors::one("form", message))
}

fn engine<'a>(draft: &Draft, offer: &'a Offer) -> Result<&'a EngineOffer, String> {
    if draft.engine.is_empty() {
        return Err("Choose a database.".to_owned());
    }
    let kind = draft.engine.parse::<EngineKind>()?;
    let engine = offer.engines.iter().find(|e| e.kind == kind).ok_or_else(|| "Choose one of the databases.".to_owned())?;
    engine.unavailable.clone().map_or(Ok(engine), Err)
}

fn version(draft: &Draft, engine: &EngineOffer) -> Result<String, String> {
    if draft.version.is_empty() {
        return Err("Choose a version.".to_owned());
    }
    engine
        .versions
        .iter()
        .find(|v| v.major == draft.version)
        .map(|v| v.major.clone())
        .ok_or_else(|| format!("{} {} is not installed here.", engine.kind, draft.version))
}

fn name(draft: &Draft, offer: &Offer) -> Result<String, String> {
    let name = names::datastore(&draft.name)?;
    if offer.name_taken { Err(format!("There is already a datastore named “{name}” in this project.")) } else { Ok(name) }
}

fn region(draft: &Draft, offer: &Offer) -> Result<String, String> {
    if draft.region.is_empty() {
        return Err("Choose a region.".to_owned());
    }
    offer.catalogue.region(&draft.region).map(|r| r.id.clone()).ok_or_else(|| "Choose one of the regions.".to_owned())
}

fn flavor<'a>(draft: &Draft, offer: &'a Offer, nodes: u32) -> Result<&'a Flavor, String> {
    if draft.flavor.is_empty() {
        return Err("Choose an instance type.".to_owned());
    }
    let flavor = offer.catalogue.flavor(&draft.flavor).ok_or_else(|| "Choose one of the instance types.".to_owned())?;
    offer.flavor_refused(flavor, nodes).map_or(Ok(flavor), Err)
}

/// One that the engine has.
fn topology(draft: &Draft) -> Result<Topology, String> {
    draft.engine.parse().map_or_else(|_: String| draft.topology.parse(), |engine: EngineKind| engine.topology(&draft.topology))
}

/// The first database's name, where the engine gives it one.
fn database(draft: &Draft) -> Result<String, String> {
    let numbered = draft.engine.parse::<EngineKind>().ok().and_then(EngineKind::first_database);
    numbered.map_or_else(|| names::identifier(&draft.database, "database"), |it| Ok(it.name.to_owned()))
}

fn storage(draft: &Draft, offer: &Offer, flavor: &Flavor, nodes: u32, errors: &mut FieldErrors) {
    match draft.storage.as_str() {
        "ephemeral" => {
            if let Some(why) = offer.storage_refused(flavor.disk_gb, nodes) {
                errors.add("storage", why);
            }
        }
        "volume" => {
            if offer.catalogue.volume_type(&draft.volume_type).is_none() {
                errors.add("volume_type", "Choose a volume type.");
            }
            if let Some(gb) = errors.check("volume_gb", volume_gb(&draft.volume_gb, offer.catalogue.limits.max_volume_gb))
                && let Some(why) = offer.storage_refused(gb, nodes)
            {
                errors.add("volume_gb", why);
            }
        }
        _ => errors.add("storage", "Choose Ephemeral or Volumes."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r016_what_was_typed_comes_back_field_for_field() {
        let names = Draft::default().typed();
        let typed: Vec<_> = names.into_iter().map(|(name, _)| (name.clone(), format!("the {name}"))).collect();
        let mut draft = Draft::default();
        draft.restore(&typed);
        assert_eq!(draft.typed(), typed);
    }

    #[test]
    fn r042_where_databases_are_numbered_the_first_needs_no_name() {
        let of = |engine: &str, name: &str| database(&Draft { engine: engine.into(), database: name.into(), ..Draft::default() }).ok();
        assert_eq!(
            [of("redis", ""), of("redis", "app"), of("postgresql", "")],
            ["0", "0", ""].map(|it| Some(it.to_owned()).filter(|it| !it.is_empty()))
        );
    }

    #[test]
    fn r080_a_volume_is_a_whole_number_within_the_limit() {
        assert_eq!(volume_gb(" 50 ", 50), Ok(50));
        assert_eq!(volume_gb("1", 50), Ok(1));
        for (bad, says) in [
            ("0", "too small"),
            ("-3", "too small"),
            ("51", "too large"),
            ("1.5", "whole number"),
            ("x", "not one"),
            ("", "Give a size"),
            ("99999999999999999999", "not one"),
        ] {
            assert!(volume_gb(bad, 50).unwrap_err().contains(says), "{bad}: {:?}", volume_gb(bad, 50));
        }
    }
}
