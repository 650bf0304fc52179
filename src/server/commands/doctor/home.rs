//! The home: whose it is, who may change it, how much room it has.

use super::finding::Report;
use crate::server::config::Config;
use rustix::fs::{Access, access, statvfs};
use std::{fs, io::ErrorKind, os::unix::fs::MetadataExt, path::Path};
use uuid::Uuid;

const AREA: &str = "home";
/// Below this nothing can be made any more; below the other it is time to do something.
const LEAST_MB: u64 = 512;
const FEW_MB: u64 = 4096;
/// Files a database of some size has.
const FEW_INODES: u64 = 20_000;

/// Returns the id of the home, which its datastores have too; `None` when there is none yet.
pub(super) fn look(report: &mut Report, config: &Config) -> Option<Uuid> {
    let home = &config.home;
    let before = report.len();
    path(report, home);
    match fs::metadata(home) {
        Ok(about) if about.is_dir() => {
            rights(report, home, &about);
            room(report, home);
        }
        Ok(_) => report.problem(AREA, format!("{} is not a directory.", home.display()), "Set GRANARY_HOME to a directory of its own."),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            report.ok(AREA, format!("{} is not made yet; “granary serve” makes it.", home.display()));
            return None;
        }
        Err(error) => report.problem(AREA, format!("{} cannot be looked at: {error}.", home.display()), "Run this as the user who runs Granary."),
    }
    let host = host(report, home);
    if report.len() == before {
        report.ok(AREA, format!("{} is ours alone to change.", home.display()));
    }
    host
}

fn path(report: &mut Report, home: &Path) {
    if home.to_str().is_none_or(|text| text.contains(['\n', ',', '"'])) {
        let what = format!("The path {} holds a line break, a comma, a quotation mark or no text, which PostgreSQL cannot be told.", home.display());
        report.problem(AREA, what, "Choose another GRANARY_HOME.");
    }
}

fn rights(report: &mut Report, home: &Path, about: &fs::Metadata) {
    let (me, mode, shown) = (rustix::process::geteuid(), about.mode() & 0o7777, home.display());
    if about.uid() != me.as_raw() {
        let what = format!("{shown} belongs to user {}, but this runs as user {}.", about.uid(), me.as_raw());
        report.problem(AREA, what, "Run “granary” as the user to whom the home belongs, or choose another GRANARY_HOME.");
    }
    if mode & 0o022 != 0 {
        report.problem(AREA, format!("Others can change {shown} (mode {mode:o})."), format!("chmod 711 {shown}, and see what they put there."));
    }
    if access(home, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        report.problem(
            AREA,
            format!("{shown} cannot be written."),
            "Mount its file system for writing, or give it back to the user who runs Granary.",
        );
    }
    if !me.is_root() {
        return;
    }
    let closed = home.ancestors().find(|path| fs::metadata(path).is_ok_and(|about| about.mode() & 0o001 == 0));
    if let Some(closed) = closed.map(Path::display) {
        let what = format!("The nodes' users cannot pass through {closed}.");
        report.problem(AREA, what, format!("chmod o+x {closed}, or choose another GRANARY_HOME, such as /var/lib/granary."));
    }
}

fn room(report: &mut Report, home: &Path) {
    let Ok(disk) = statvfs(home) else { return };
    let (free_mb, all_mb) = ((disk.f_bavail * disk.f_frsize) >> 20, (disk.f_blocks * disk.f_frsize) >> 20);
    let what = format!("{free_mb} MB of {all_mb} MB are free where {} lies.", home.display());
    let advice = "Make room, or move the home to a larger disk: a database whose disk is full stops.";
    if free_mb < LEAST_MB {
        report.problem("disk", what, advice);
    } else if free_mb < FEW_MB {
        report.warning("disk", what, advice);
    } else {
        report.ok("disk", what);
    }
    if disk.f_files > 0 && disk.f_favail < FEW_INODES {
        report.warning("disk", format!("Only {} more files can be made where {} lies.", disk.f_favail, home.display()), advice);
    }
}

fn host(report: &mut Report, home: &Path) -> Option<Uuid> {
    let file = home.join("host-id");
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => {
            report.problem(AREA, format!("{} cannot be read: {error}.", file.display()), "Run this as the user who runs Granary.");
            return None;
        }
    };
    let id = text.trim().parse().ok();
    if id.is_none() {
        let what = format!("{} does not hold an id, so no datastore is known to be of this machine.", file.display());
        report.problem(AREA, what, "Put the file back from a backup; the column host_id of the table datastores has the id.");
    }
    id
}
