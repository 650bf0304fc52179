//! Where everything of a home lies.
//!
//! ```text
//! <home>/datastores/<datastore>/nodes/<node>/{data,config,log}   and `service`, `run`: records of processes
//!        datastores/<datastore>/edge/
//!        volumes/<volume>/data        a volume is an object of its own, beside the node's directory
//!        locks/<datastore>            the greatest lease token seen
//!        s/<hash>/r/                  sockets of a node or an edge
//! ```

use super::{
    owned::{Owned, leaf, passable},
    users::{User, is_root},
};
use crate::server::platform::{NodePaths, NodeSpec};
use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// Longest directory of sockets: a socket's path ends at 107 bytes, and 16 are left for its name.
const LONGEST: usize = 90;

/// The places of one home.
#[derive(Debug, Clone)]
pub struct Dirs {
    home: PathBuf,
    hash: String,
    sockets: PathBuf,
}

impl Dirs {
    /// Opens a home, making it when it is missing.
    ///
    /// # Errors
    /// When it belongs to somebody else, or nodes' users could not reach it.
    pub fn open(home: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("the home {} cannot be used", home.display());
        DirBuilder::new().recursive(true).mode(passable()).create(home).with_context(cannot)?;
        let home = home.canonicalize().with_context(cannot)?;
        check(&home)?;
        let hash = hash(home.as_os_str().as_encoded_bytes(), 12);
        for name in ["datastores", "volumes", "locks"] {
            leaf(&home.join(name), User::me(), passable())?;
        }
        let sockets = sockets(&home, &hash)?;
        Ok(Self { home, hash, sockets })
    }

    /// Those of a home as it is: touches nothing.
    ///
    /// # Errors
    /// When there is none.
    pub fn at(home: &Path) -> anyhow::Result<Self> {
        let home = home.canonicalize().with_context(|| format!("the home {} cannot be used", home.display()))?;
        let hash = hash(home.as_os_str().as_encoded_bytes(), 12);
        let sockets = socket_directory(&home, &hash);
        Ok(Self { home, hash, sockets })
    }

    /// Names this home among those of the machine.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The home.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A datastore.
    #[must_use]
    pub fn datastore(&self, id: Uuid) -> Owned {
        Owned::new(self.home.join("datastores").join(id.to_string()), format!("datastore {id}"))
    }

    /// A node.
    #[must_use]
    pub fn node(&self, node: &NodeSpec) -> Owned {
        let path = self.nodes(node.datastore).join(node.id.to_string());
        Owned::new(path, format!("node {} of datastore {}", node.id, node.datastore))
    }

    /// The nodes of a datastore.
    #[must_use]
    pub fn nodes(&self, datastore: Uuid) -> PathBuf {
        self.datastore(datastore).path().join("nodes")
    }

    /// The edge of a datastore.
    #[must_use]
    pub fn edge(&self, datastore: Uuid) -> Owned {
        Owned::new(self.datastore(datastore).path().join("edge"), format!("edge of datastore {datastore}"))
    }

    /// A volume of a datastore.
    #[must_use]
    pub fn volume(&self, volume: Uuid, datastore: Uuid) -> Owned {
        Owned::new(self.home.join("volumes").join(volume.to_string()), format!("volume {volume} of datastore {datastore}"))
    }

    /// The lock of a datastore.
    #[must_use]
    pub fn lock(&self, datastore: Uuid) -> PathBuf {
        self.locks().join(datastore.to_string())
    }

    /// All locks.
    #[must_use]
    pub fn locks(&self) -> PathBuf {
        self.home.join("locks")
    }

    /// The sockets of `whose` (`node` or `edge`): its leaf `r` is the directory for them.
    #[must_use]
    pub fn sockets(&self, whose: &str, id: Uuid) -> Owned {
        let name = hash(format!("{whose} {id}").as_bytes(), 8);
        Owned::new(self.sockets.join(name), format!("sockets of {whose} {id}"))
    }

    /// What a node's programs see.
    #[must_use]
    pub fn paths(&self, node: &NodeSpec) -> NodePaths {
        let own = self.node(node);
        let volume = node.volume.map(|id| self.volume(id, node.datastore));
        NodePaths {
            data: volume.as_ref().unwrap_or(&own).path().join("data"),
            config: own.path().join("config"),
            run: self.sockets("node", node.id).path().join("r"),
            log: own.path().join("log"),
        }
    }
}

/// The first `length` hex digits of a SHA-256.
pub fn hash(of: &[u8], length: usize) -> String {
    use std::fmt::Write;
    let mut hex = String::new();
    for byte in Sha256::digest(of) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex.truncate(length);
    hex
}

/// A home must be ours alone to change, and as root every node's user must be able to pass through to its own part.
fn check(home: &Path) -> anyhow::Result<()> {
    let about = fs::metadata(home)?;
    let me = User::me().uid;
    ensure!(
        about.uid() == me && about.mode() & 0o002 == 0,
        "the home {} belongs to user {} with mode {:o}, but Granary runs as user {me}: choose a home that only this user can change",
        home.display(),
        about.uid(),
        about.mode() & 0o7777
    );
    // A user's umask often leaves what it makes open to its group.
    let mode = about.mode() & 0o7757 | if is_root() { 0o011 } else { 0 };
    if about.mode() & 0o7777 != mode {
        fs::set_permissions(home, Permissions::from_mode(mode))?;
    }
    if !is_root() {
        return Ok(());
    }
    for above in home.ancestors().skip(1) {
        ensure!(
            fs::metadata(above)?.mode() & 0o001 != 0,
            "the home {} cannot be reached by its nodes' users, because {} is closed to others: choose a home such as /var/lib/granary",
            home.display(),
            above.display()
        );
    }
    Ok(())
}

/// Sockets lie in the home where that is short enough. Never in `$XDG_RUNTIME_DIR`: a logout removes it, and nodes go on.
fn sockets(home: &Path, hash: &str) -> anyhow::Result<PathBuf> {
    let directory = socket_directory(home, hash);
    if directory.starts_with(home) {
        leaf(&directory, User::me(), passable())?;
    } else {
        let short = Owned::new(directory.clone(), format!("sockets of {}", home.display()));
        short.ensure().context("no short directory for sockets can be made")?;
    }
    Ok(directory)
}

fn socket_directory(home: &Path, hash: &str) -> PathBuf {
    let own = home.join("s");
    if own.join("01234567/r").as_os_str().len() <= LONGEST {
        return own;
    }
    let me = User::me().uid;
    let short = if me == 0 { format!("/run/granary-{hash}") } else { format!("/tmp/granary-{me}-{hash}") };
    short.into()
}
