//! Volumes: storage that is an object of its own and outlives the node it is attached to.
//!
//! As root a volume is a sparse file with an ext4 of exactly its size, mounted through a loop device on the node's data
//! directory. `mount` frees that device with the mount (autoclear), so a kill leaves none behind. Elsewhere, and where
//! loop devices or mounts are forbidden, it is a directory, whose size is watched.
//!
//! ```text
//! volumes/<volume>/image     the file system; ours alone to read
//! volumes/<volume>/data      where it is mounted, or the directory itself when there is no image
//! ```
//!
//! A volume stays what it was made as. A mount or loop device is ours when the file under it is the volume's image;
//! any other is never touched.

mod mounts;
mod system;

use super::{
    dirs::Dirs,
    files,
    owned::{Owned, leaf},
    proc,
    users::{User, is_root},
};
use crate::server::platform::{NodeSpec, Space};
use anyhow::{Context, bail, ensure};
use mounts::{Loop, Mount};
use std::{
    fs::{self, OpenOptions},
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use system::call;

/// Free space on the machine's disk below which no volume is made: its file system would break when the disk is full.
const LEAST_FREE: u64 = 256 << 20;

/// How long a busy mount is tried to be taken off: whoever looks at the data is done by then.
const UNMOUNT: Duration = Duration::from_secs(5);

/// Of less than a group of blocks at its end a file system can make nothing.
const GROUP: u64 = 128 << 20;

/// Every user may do what it says, none may gain rights by it; what is deleted is given back to the machine's disk.
const OPTIONS: &str = "loop,nosuid,nodev,noatime,discard,errors=remount-ro";

/// The volumes of a home.
#[derive(Debug, Clone)]
pub struct Volumes {
    dirs: Dirs,
    real: bool,
}

impl Volumes {
    /// Finds out, by making one, whether volumes can have a real size here. Takes some 60 ms as root.
    pub fn open(dirs: &Dirs) -> Self {
        let mut volumes = Self { dirs: dirs.clone(), real: false };
        if is_root() {
            match volumes.probe() {
                Ok(()) => volumes.real = true,
                Err(why) => tracing::warn!("volumes cannot be file systems of their own here, so their size is watched: {why:#}"),
            }
        }
        volumes
    }

    /// Without file systems of their own.
    pub fn watched(dirs: &Dirs) -> Self {
        Self { dirs: dirs.clone(), real: false }
    }

    /// Whether a volume that is made now has a real size.
    pub fn are_real(&self) -> bool {
        self.real
    }

    fn probe(&self) -> anyhow::Result<()> {
        const BYTES: u64 = 8 << 20;
        let missing: Vec<&str> = system::PROGRAMS.into_iter().filter(|name| system::find(name).is_none()).collect();
        ensure!(missing.is_empty(), "{} missing: install the packages e2fsprogs, mount and util-linux", missing.join(", "));
        let name = |pid: u32| format!(".probe-{pid}");
        let at = |name: &str| Volume::at(Owned::new(self.dirs.home().join(name), "probe"), BYTES);
        // What a Granary left that was killed here.
        for entry in fs::read_dir(self.dirs.home())?.flatten().filter_map(|e| e.file_name().into_string().ok()) {
            if entry.strip_prefix(".probe-").and_then(|pid| pid.parse().ok()).is_some_and(|pid| !proc::lives(pid)) {
                at(&entry).destroy()?;
            }
        }
        let probe = at(&name(std::process::id()));
        let tried = probe.own.ensure().and_then(|_| probe.make_image()).and_then(|()| probe.attach(&|| true));
        tried.and(probe.destroy())
    }

    /// Makes the node's data directory: on its volume when it has one, else in its own directory. A volume that is
    /// smaller than wanted grows: while it is used where the kernel lets us, else when `at_rest` says nothing of the
    /// node runs. It never shrinks.
    ///
    /// # Errors
    /// When something that is not ours is in the way, or the disk has no room.
    pub fn ensure(&self, node: &NodeSpec, user: User, at_rest: &dyn Fn() -> bool) -> anyhow::Result<()> {
        if let Some(volume) = self.of(node) {
            volume.own.ensure().context("the volume cannot be made")?;
            if self.real && !volume.is_made()? {
                volume.make_image().context("the volume's file system cannot be made")?;
            }
            if volume.has_image()? {
                volume.attach(at_rest)?;
            }
        }
        leaf(&self.dirs.paths(node).data, user, 0o700)
    }

    /// Attaches the node's volume again when it is there but not attached, as after a reboot.
    ///
    /// # Errors
    /// When it is gone or cannot be attached.
    pub fn attach(&self, node: &NodeSpec) -> anyhow::Result<()> {
        match self.of(node) {
            // What is not attached nobody uses.
            Some(volume) if self.check(node).is_err() && volume.own.is_there()? && volume.has_image()? => volume.attach(&|| true),
            _ => self.check(node),
        }
    }

    /// Whether the node's data directory is where it should be, and ours.
    ///
    /// # Errors
    /// When it is not: whatever is in its place is not the node's data.
    pub fn check(&self, node: &NodeSpec) -> anyhow::Result<()> {
        let Some(volume) = self.of(node) else { return Ok(()) };
        ensure!(volume.own.is_there()?, "{} is gone", volume.name());
        ensure!(!volume.has_image()? || volume.mount()?.is_some(), "{} is not attached", volume.name());
        Ok(())
    }

    /// Takes the node's volume off, if it is attached. Nothing of the node runs.
    ///
    /// # Errors
    /// When somebody uses it, or something that is not ours is in its place.
    pub fn detach(&self, node: &NodeSpec) -> anyhow::Result<()> {
        match self.of(node) {
            Some(volume) if volume.own.is_there()? => volume.detach(),
            _ => Ok(()),
        }
    }

    /// Removes the node's volume.
    ///
    /// # Errors
    /// As [`Volumes::detach`].
    pub fn destroy(&self, node: &NodeSpec) -> anyhow::Result<()> {
        self.of(node).map_or(Ok(()), |volume| volume.destroy())
    }

    /// What of the node's storage is used, and what can still be written.
    ///
    /// # Errors
    /// When the data cannot be read.
    pub fn space(&self, node: &NodeSpec) -> anyhow::Result<Space> {
        let data = self.dirs.paths(node).data;
        let mounted = self.of(node).map(|volume| volume.mount()).transpose()?.flatten().is_some();
        let (used, left) = if mounted {
            let fs = rustix::fs::statvfs(&data)?;
            ((fs.f_blocks - fs.f_bfree) * fs.f_frsize, fs.f_bavail * fs.f_frsize)
        } else {
            self.check(node)?;
            let used = files::used(&data)?;
            (used, bytes(node).saturating_sub(used))
        };
        // What was promised may be more than the machine's disk has.
        Ok(Space { used, free: left.min(free(self.dirs.home())?) })
    }

    fn of(&self, node: &NodeSpec) -> Option<Volume> {
        node.volume.map(|id| Volume::at(self.dirs.volume(id, node.datastore), bytes(node)))
    }
}

fn bytes(node: &NodeSpec) -> u64 {
    u64::from(node.storage.gb()) << 30
}

/// What is free on the disk where a directory lies.
fn free(directory: &Path) -> anyhow::Result<u64> {
    let disk = rustix::fs::statvfs(directory)?;
    Ok(disk.f_bavail * disk.f_frsize)
}

/// One volume, of so many bytes.
struct Volume {
    own: Owned,
    image: PathBuf,
    data: PathBuf,
    bytes: u64,
}

impl Volume {
    fn at(own: Owned, bytes: u64) -> Self {
        let (image, data) = (own.path().join("image"), own.path().join("data"));
        Self { own, image, data, bytes }
    }

    fn name(&self) -> String {
        format!("the volume {}", self.own.path().display())
    }

    fn has_image(&self) -> anyhow::Result<bool> {
        Ok(self.image.try_exists()?)
    }

    /// The image comes first, so a directory without one is the volume itself.
    fn is_made(&self) -> anyhow::Result<bool> {
        Ok(self.has_image()? || self.data.try_exists()?)
    }

    /// Makes the file system, whole or not at all, also after a power cut.
    fn make_image(&self) -> anyhow::Result<()> {
        let free = free(self.own.path())?;
        ensure!(free >= LEAST_FREE, "No space left on device: {} MB are free under {}", free >> 20, self.own.path().display());
        let new = self.image.with_extension("new");
        match fs::remove_file(&new) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.set_len(self.bytes)?;
        // No part is kept for root. What need not be written now the kernel writes later.
        let options = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"].map(Path::new);
        call("mkfs.ext4", options.into_iter().chain([new.as_path()]), &[0])?;
        file.sync_all()?;
        Ok(fs::rename(&new, &self.image)?)
    }

    /// Mounts it unless it is, and grows it to the wanted size.
    fn attach(&self, at_rest: &dyn Fn() -> bool) -> anyhow::Result<()> {
        if fs::metadata(&self.image)?.len() < self.bytes {
            OpenOptions::new().write(true).open(&self.image)?.set_len(self.bytes)?;
        }
        if self.mount()?.is_none() {
            leaf(&self.data, User::me(), 0o700)?;
            let covered = fs::read_dir(&self.data)?.next().is_some();
            ensure!(!covered, "{} holds files that do not lie on its volume: it is left alone. Move them away, then retry.", self.data.display());
            self.mount_it()?;
        }
        self.go_direct()?;
        self.grow(at_rest).with_context(|| format!("{} cannot grow", self.name()))
    }

    fn mount_it(&self) -> anyhow::Result<()> {
        let words = ["-t", "ext4", "-o", OPTIONS].map(Path::new);
        call("mount", words.into_iter().chain([self.image.as_path(), &self.data]), &[0])
            .with_context(|| format!("{} cannot be attached", self.name()))?;
        // The engine finds an empty directory; a check of the file system makes it anew when it needs it.
        let _ = fs::remove_dir(self.data.join("lost+found"));
        Ok(())
    }

    /// Has the loop device write past the page cache of the file under it: what the volume's own file system keeps is not kept twice,
    /// and a commit takes a fourth of the time. Where the file's file system cannot do that, all else stays as it is.
    fn go_direct(&self) -> anyhow::Result<()> {
        if let Some(device) = self.mount()?.filter(|device| !device.is_direct())
            && let Err(why) = call("losetup", [Path::new("--direct-io=on"), &device.path()], &[0])
        {
            tracing::debug!("{} is written through the page cache: {why:#}", self.name());
        }
        Ok(())
    }

    /// Where it is mounted, if it is.
    ///
    /// # Errors
    /// When something else is mounted there.
    fn mount(&self) -> anyhow::Result<Option<Loop>> {
        let Some(mount) = mounts::at(&self.data)? else { return Ok(None) };
        let device = Mount::device(&mount).filter(|device| device.file == self.image);
        let ours = device.with_context(|| format!("something is mounted on {} that is not its volume: it is left alone", self.data.display()))?;
        Ok(Some(ours))
    }

    fn grow(&self, at_rest: &dyn Fn() -> bool) -> anyhow::Result<()> {
        let device = self.mount()?.context("it is not attached")?;
        let length = fs::metadata(&self.image)?.len();
        if device.size()? < length {
            call("losetup", [Path::new("--set-capacity"), &device.path()], &[0])?;
        }
        let lacks = device.size()?.saturating_sub(device.file_system_size()?);
        if lacks < GROUP.min(length / 4) {
            return Ok(());
        }
        match call("resize2fs", [device.path()], &[0]) {
            Err(why) if at_rest() => self.grow_unmounted().context(why),
            done => done,
        }
    }

    /// Growing a mounted file system is a right that some containers take away from root.
    fn grow_unmounted(&self) -> anyhow::Result<()> {
        self.detach()?;
        // 1: it was put in order.
        call("e2fsck", [Path::new("-fp"), &self.image], &[0, 1])?;
        call("resize2fs", [&self.image], &[0])?;
        self.mount_it()
    }

    /// Takes off every mount of it and frees every loop device over it.
    fn detach(&self) -> anyhow::Result<()> {
        let end = Instant::now() + UNMOUNT;
        while self.mount()?.is_some() {
            match call("umount", [&self.data], &[0]) {
                Err(why) if Instant::now() > end => return Err(why).with_context(|| format!("{} cannot be taken off", self.name())),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
                Ok(()) => {}
            }
        }
        while let Some(device) = Loop::over(&self.image).first() {
            // It may go by itself between the look and the call.
            let freed = call("losetup", [Path::new("--detach"), &device.path()], &[0]);
            if Instant::now() > end {
                bail!("the loop device {} is still in use: {freed:?}", device.path().display());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn destroy(&self) -> anyhow::Result<()> {
        if self.own.is_there()? {
            self.detach()?;
        }
        self.own.remove()
    }
}
