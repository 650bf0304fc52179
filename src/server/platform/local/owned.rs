//! Directories that Granary made. Each holds a mark that says what it is, so that none which somebody else made is ever
//! used, emptied or removed. They belong to whoever runs Granary; what a node's user may write lies in leaves below.

use super::{
    files,
    users::{User, is_root},
};
use anyhow::{Context, bail, ensure};
use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown},
    path::{Path, PathBuf},
};

/// Name of the mark.
const MARK: &str = ".granary";

/// A directory of ours and what its mark says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    path: PathBuf,
    what: String,
}

impl Owned {
    /// Names one; touches nothing.
    pub fn new(path: PathBuf, what: impl Into<String>) -> Self {
        Self { path, what: what.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it, with its mark or not at all. Its parent exists. Nodes' users can pass through it, not read it.
    pub fn ensure(&self) -> anyhow::Result<&Path> {
        if !self.is_there()? {
            self.make().with_context(|| format!("{} cannot be made", self.path.display()))?;
        }
        Ok(&self.path)
    }

    fn make(&self) -> anyhow::Result<()> {
        let new = self.half_made();
        clear(&new)?;
        DirBuilder::new().mode(0o700).create(&new)?;
        files::replace(&new.join(MARK), self.what.as_bytes())?;
        fs::set_permissions(&new, Permissions::from_mode(passable()))?;
        Ok(fs::rename(&new, &self.path)?)
    }

    /// Whether it is there and ours. An empty one without a mark counts as not there: a removal that was broken off
    /// leaves one, and it holds nothing of anybody.
    ///
    /// # Errors
    /// When something else is in its place.
    pub fn is_there(&self) -> anyhow::Result<bool> {
        let about = match fs::symlink_metadata(&self.path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
            about => about?,
        };
        let ours = about.is_dir() && about.uid() == User::me().uid && about.mode() & 0o022 == 0;
        if ours && self.is_marked() {
            return Ok(true);
        }
        let empty = ours && fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_none());
        ensure!(
            empty,
            "{} is in the way: Granary did not make it as {}, and leaves it alone. Move it away, then retry.",
            self.path.display(),
            self.what
        );
        Ok(false)
    }

    /// Removes it with all that is in it; its mark goes last, so that this can be repeated.
    ///
    /// # Errors
    /// When something else is in its place, which is left alone.
    pub fn remove(&self) -> anyhow::Result<()> {
        clear(&self.half_made())?;
        if self.is_there()? {
            empty(&self.path, Some(MARK))?;
            fs::remove_file(self.path.join(MARK))?;
        }
        match fs::remove_dir(&self.path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e).with_context(|| format!("{} cannot be removed", self.path.display())),
            _ => Ok(()),
        }
    }

    fn is_marked(&self) -> bool {
        let mark = self.path.join(MARK);
        let ours = fs::symlink_metadata(&mark).is_ok_and(|m| m.is_file() && m.uid() == User::me().uid);
        ours && fs::read_to_string(&mark).is_ok_and(|text| text == self.what)
    }

    fn half_made(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!(".{name}.new"))
    }
}

/// Mode of a directory that is ours: others pass through it only where nodes have users of their own.
pub fn passable() -> u32 {
    if is_root() { 0o711 } else { 0o700 }
}

/// Makes a directory of this user and mode inside one of ours, where nobody else can make anything.
///
/// # Errors
/// When it belongs to somebody else.
pub fn leaf(path: &Path, user: User, mode: u32) -> anyhow::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        done => done.with_context(|| format!("{} cannot be made", path.display()))?,
    }
    let about = fs::symlink_metadata(path)?;
    let me = User::me().uid;
    if !about.is_dir() || ![user.uid, me].contains(&about.uid()) {
        bail!("{} belongs to user {}, not to its node's user {}: it is left alone", path.display(), about.uid(), user.uid);
    }
    if about.uid() != user.uid || about.gid() != user.gid {
        lchown(path, Some(user.uid), Some(user.gid))?;
    }
    if about.mode() & 0o7777 != mode {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Removes everything in a directory but `keep`. Links are removed, never followed.
pub fn empty(path: &Path, keep: Option<&str>) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if keep.is_some_and(|keep| entry.file_name() == keep) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes what a making that was broken off left: at most a mark.
fn clear(half_made: &Path) -> anyhow::Result<()> {
    if fs::symlink_metadata(half_made).is_ok() {
        empty_of_mark(half_made).with_context(|| format!("{} is in the way", half_made.display()))?;
    }
    Ok(())
}

fn empty_of_mark(half_made: &Path) -> io::Result<()> {
    for entry in fs::read_dir(half_made)? {
        let entry = entry?;
        // The mark and its unfinished self.
        if entry.file_name().to_string_lossy().starts_with(MARK) {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir(half_made)
}
