//! Where `PostgreSQL`'s programs for the metadata database are.

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// Oldest major that Granary makes a new metadata database with: the oldest that was supported when Granary was written.
const OLDEST: u32 = 14;

/// Directories with a folder for each major, and what stands around the major in it.
const PLACES: [(&str, &str, &str); 2] = [
    ("/usr/lib/postgresql", "", "bin"), // Debian and its descendants
    ("/usr", "pgsql-", "bin"),          // the PostgreSQL project's RPMs
];

/// What the metadata server needs.
const PROGRAMS: [&str; 2] = ["initdb", "postgres"];

/// The programs of one major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The major.
    pub major: u32,
    /// Their directory.
    directory: PathBuf,
}

impl Programs {
    /// Path of one.
    #[must_use]
    pub fn path(&self, program: &str) -> PathBuf {
        self.directory.join(program)
    }

    /// Those of exactly this major: a data directory works with no other.
    ///
    /// # Errors
    /// Names what is missing and where it was looked for.
    pub fn of(major: u32) -> anyhow::Result<Self> {
        let places = PLACES.map(|(root, before, bin)| Path::new(root).join(format!("{before}{major}")).join(bin));
        let missing = |directory: &Path| PROGRAMS.iter().find(|p| !directory.join(p).is_file());
        if let Some(directory) = places.iter().find(|d| missing(d).is_none()) {
            return Ok(Self { major, directory: directory.clone() });
        }
        let half = places.iter().find_map(|d| d.is_dir().then(|| missing(d).map(|p| d.join(p))).flatten());
        let wanted = half.unwrap_or_else(|| places[0].join(PROGRAMS[1]));
        bail!(
            "the metadata database of this home was made by PostgreSQL {major}, but {} is missing. \
             Install PostgreSQL {major} again (on Debian: apt install postgresql-{major}); no other version can open it",
            wanted.display()
        )
    }

    /// Those of the newest major that is wholly installed.
    ///
    /// # Errors
    /// When there is none; says how to go on.
    pub fn newest() -> anyhow::Result<Self> {
        let majors = PLACES.iter().flat_map(|(root, before, _)| majors(Path::new(root), before));
        let newest = majors.filter(|m| *m >= OLDEST).filter_map(|m| Self::of(m).ok()).max_by_key(|p| p.major);
        newest.with_context(|| {
            format!(
                "Granary keeps its own records in PostgreSQL, and found no PostgreSQL {OLDEST} or newer with its programs {}. \
                 Install one (on Debian: apt install postgresql), or set DATABASE_URL to a database that runs elsewhere",
                PROGRAMS.join(" and ")
            )
        })
    }
}

fn majors(root: &Path, before: &str) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix(before)?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_major_is_named_with_the_program_and_the_way_out() {
        let said = Programs::of(9).unwrap_err().to_string();
        assert!(said.contains("PostgreSQL 9,") && said.contains("/9/bin/postgres is missing") && said.contains("postgresql-9)"), "{said}");
    }

    #[test]
    fn the_newest_is_found_again_by_its_major() {
        let newest = Programs::newest().unwrap();
        assert_eq!(Programs::of(newest.major).unwrap(), newest);
        assert!(newest.path("initdb").is_file());
    }
}
