//! A clock that jumps, for Granary's own processes alone: a library of Debian's (`libfaketime`) tells them the time, and takes from a file by how
//! much it is off. Intervals stay true, as they do when a machine's clock is set.

use super::setting;
use std::path::{Path, PathBuf};

/// The library; none where it was not asked for.
fn library() -> Option<String> {
    setting("CHAOS_CLOCK")
}

fn file(home: &Path) -> PathBuf {
    home.join("clock")
}

/// What a process needs to take its time from there.
pub(crate) fn environment(home: &Path) -> Vec<(&'static str, String)> {
    let Some(library) = library() else { return Vec::new() };
    if !file(home).exists() {
        set(home, 0);
    }
    let words = [("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("DONT_FAKE_MONOTONIC", "1")];
    let words = words.map(|(name, value)| (name, value.to_owned()));
    [("LD_PRELOAD", library), ("FAKETIME_TIMESTAMP_FILE", file(home).display().to_string())].into_iter().chain(words).collect()
}

/// Whether there is one that can jump.
pub(super) fn can_jump() -> bool {
    library().is_some()
}

/// Puts it by so many seconds off what the machine's shows.
pub(super) fn set(home: &Path, seconds: i64) {
    use std::os::unix::fs::PermissionsExt as _;
    let new = file(home).with_extension("new");
    std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
    // Servers that Granary starts run as other users.
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::rename(new, file(home)).unwrap();
}
