//! Files: placed whole or not at all, found, measured, read from the end.
//!
//! A node's user can put links into its own directories. Whatever Granary does there it does step by step from a
//! directory it holds, following none.

use super::users::User;
use anyhow::{Context, ensure};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Component, Path, PathBuf},
};

/// Writes a file of ours into a directory that only we can write: mode 0600, whole or not at all, also after a power cut.
///
/// # Errors
/// When the file system refuses.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    match fs::remove_file(&new) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// A directory of a node to place files in.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The directory.
    pub root: PathBuf,
    /// Whom directories below it belong to.
    pub directories: User,
    /// Whom files belong to.
    pub files: User,
}

impl Tree {
    /// Places a file, and the directories on its way; whole or not at all, also after a power cut.
    ///
    /// # Errors
    /// When the name leads out of the tree or over a link, or the file system refuses.
    pub fn place(&self, name: &str, content: &[u8], mode: u32) -> anyhow::Result<()> {
        let name = relative(name)?;
        self.place_at(name, content, mode).with_context(|| format!("{} cannot be written", self.root.join(name).display()))
    }

    fn place_at(&self, name: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        let mut directory = open_directory(&File::open("/")?, &self.root)?;
        for step in name.parent().into_iter().flat_map(Path::components) {
            match rustix::fs::mkdirat(&directory, step.as_os_str(), Mode::from_raw_mode(0o750)) {
                Ok(()) => {
                    let (uid, gid) = ids(self.directories);
                    rustix::fs::chownat(&directory, step.as_os_str(), uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
                }
                Err(rustix::io::Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
            directory = open_directory(&directory, Path::new(step.as_os_str()))?;
        }
        let name = name.file_name().unwrap_or_default();
        if self.has(&directory, name, content, mode)? {
            return Ok(());
        }
        let new = format!(".{}.new", name.to_string_lossy());
        match rustix::fs::unlinkat(&directory, &new, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(e) => return Err(e.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&directory, &new, flags, Mode::from_raw_mode(0o600))?);
        file.write_all(content)?;
        let (uid, gid) = ids(self.files);
        rustix::fs::fchown(&file, uid, gid)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        file.sync_all()?;
        rustix::fs::renameat(&directory, &new, &directory, name)?;
        Ok(rustix::fs::fsync(&directory)?)
    }

    /// Whether this very file is there: each one that need not be written saves two waits for the disk.
    fn has(&self, directory: &OwnedFd, name: &std::ffi::OsStr, content: &[u8], mode: u32) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(directory, name, flags, Mode::empty()) else { return Ok(false) };
        let mut file = File::from(file);
        let about = file.metadata()?;
        let is_ours = about.is_file() && about.uid() == self.files.uid && about.gid() == self.files.gid && about.mode() & 0o7777 == mode;
        if !is_ours || about.len() != content.len() as u64 {
            return Ok(false);
        }
        let mut there = Vec::with_capacity(content.len());
        file.read_to_end(&mut there)?;
        Ok(there == content)
    }
}

fn open_directory(from: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(from, path, flags, Mode::empty())?)
}

fn ids(user: User) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))
}

/// A path that stays below where it is put.
///
/// # Errors
/// When it is absolute, empty or climbs.
pub fn relative(name: &str) -> anyhow::Result<&Path> {
    let path = Path::new(name);
    let stays = !name.is_empty() && path.components().all(|c| matches!(c, Component::Normal(_)));
    ensure!(stays, "“{name}” is not a path below a node's directory");
    Ok(path)
}

/// Bytes the file system has given to everything in a directory. What goes away meanwhile does not count.
///
/// # Errors
/// When the directory cannot be read.
pub fn used(directory: &Path) -> io::Result<u64> {
    /// Of `st_blocks`, whatever the file system's own is.
    const BLOCK: u64 = 512;
    let mut bytes = fs::symlink_metadata(directory)?.blocks() * BLOCK;
    // A list rather than recursion: how deep it goes is not for us to decide.
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let Some(entries) = unless_gone(fs::read_dir(directory))? else { continue };
        for entry in entries {
            let entry = entry?;
            let Some(about) = unless_gone(entry.metadata())? else { continue };
            bytes += about.blocks() * BLOCK;
            if about.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    Ok(bytes)
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Existing files that match a pattern: absolute, `*` stands for a segment or a part of one. In order.
#[must_use]
pub fn find(pattern: &str) -> Vec<PathBuf> {
    let Some(pattern) = pattern.strip_prefix('/') else { return Vec::new() };
    let mut found = vec![PathBuf::from("/")];
    for segment in pattern.split('/') {
        found = found.into_iter().flat_map(|at| step(&at, segment)).collect();
    }
    found.retain(|path| path.is_file());
    found
}

fn step(at: &Path, segment: &str) -> Vec<PathBuf> {
    if !segment.contains('*') {
        return vec![at.join(segment)];
    }
    let names = fs::read_dir(at).into_iter().flatten().flatten().map(|e| e.file_name());
    let mut names: Vec<_> = names.filter(|n| n.to_str().is_some_and(|n| matches(segment, n))).collect();
    names.sort();
    names.into_iter().map(|name| at.join(name)).collect()
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(before) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(after, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_star_stands_for_any_part_of_a_segment() {
        for (pattern, name) in [("*", "a"), ("*", ""), ("a*", "abc"), ("*c", "abc"), ("a*c*", "abcd"), ("1*", "15"), ("ä*ö", "äüö")] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "b"), ("a*", "ba"), ("*a", "ab"), ("a*b*c", "acb")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn programs_are_found_in_order() {
        let home = tempfile::tempdir().unwrap();
        for major in ["16", "9", "15"] {
            fs::create_dir_all(home.path().join(major).join("bin")).unwrap();
            fs::write(home.path().join(major).join("bin/server"), "").unwrap();
        }
        fs::create_dir_all(home.path().join("17/bin/server")).unwrap();
        let at = home.path().display();
        assert_eq!(find(&format!("{at}/1*/bin/server")), ["15", "16"].map(|m| home.path().join(m).join("bin/server")));
        assert!(find(&format!("{at}/*/nothing")).is_empty() && find("relative/*").is_empty());
    }

    #[test]
    fn a_file_is_placed_whole_and_never_over_a_link() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let tree = Tree { root: home.path().to_owned(), directories: User::me(), files: User::me() };
        tree.place("a/b/c.conf", b"one", 0o640).unwrap();
        tree.place("a/b/c.conf", b"two", 0o600).unwrap();
        let path = home.path().join("a/b/c.conf");
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(home.path().join("a/b")).unwrap().count(), 1, "nothing unfinished stays");

        symlink(elsewhere.path(), home.path().join("link")).unwrap();
        assert!(tree.place("link/x", b"", 0o600).is_err());
        fs::write(elsewhere.path().join("kept"), "kept").unwrap();
        symlink(elsewhere.path().join("kept"), home.path().join("file")).unwrap();
        tree.place("file", b"new", 0o600).unwrap();
        assert_eq!(fs::read(elsewhere.path().join("kept")).unwrap(), b"kept", "the link is replaced, not followed");
        for name in ["", "/etc/x", "../x", "a/../../x", "."] {
            assert!(tree.place(name, b"", 0o600).is_err(), "{name}");
        }
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_used_is_what_the_disk_gave() {
        let home = tempfile::tempdir().unwrap();
        let before = used(home.path()).unwrap();
        fs::create_dir(home.path().join("below")).unwrap();
        fs::write(home.path().join("below/file"), vec![1; 1 << 20]).unwrap();
        File::create(home.path().join("hollow")).unwrap().set_len(1 << 30).unwrap();
        File::open(home.path().join("below/file")).unwrap().sync_all().unwrap();
        let grown = used(home.path()).unwrap() - before;
        assert!((1 << 20..(1 << 20) + 100_000).contains(&grown), "{grown}");
        assert!(used(&home.path().join("nothing")).is_err());
    }
}
