//! A node of this machine: what is made for it, what of it runs, and its end.

use super::{
    Inner, files,
    files::Tree,
    limits::Size,
    owned::{self, leaf, passable},
    processes::{FENCE, ProcessSet},
    users::{Account, User, is_root},
};
use crate::server::platform::{Dial, File, NodePaths, NodeSpec, Stream};
use anyhow::{Context, ensure};
use std::{fs, io, os::unix::fs::MetadataExt};
use tokio::net::{TcpStream, UnixStream};
use uuid::Uuid;

impl Inner {
    /// The datastore's user, made when it is missing.
    pub async fn user(&self, datastore: Uuid) -> anyhow::Result<User> {
        if is_root() { Account::of(datastore).ensure(&self.dirs.locks()).await } else { Ok(User::me()) }
    }

    /// Makes the node's directories and control groups for this user.
    pub fn make(&self, node: &NodeSpec, user: User) -> anyhow::Result<NodePaths> {
        let paths = self.dirs.paths(node);
        self.dirs.datastore(node.datastore).ensure()?;
        leaf(&self.dirs.nodes(node.datastore), User::me(), passable())?;
        self.dirs.node(node).ensure()?;
        // The node's user reads these but makes nothing in them: Granary writes there, and must not be led elsewhere.
        let readable = User { gid: user.gid, ..User::me() };
        for directory in [&paths.config, &paths.log] {
            leaf(directory, readable, 0o750)?;
        }
        let set = self.set(node)?;
        self.volumes.ensure(node, user, &|| set.pids().is_ok_and(|pids| pids.is_empty()))?;
        self.make_sockets(node, user)?;
        set.groups("service")?;
        Ok(paths)
    }

    /// Sockets may lie where a reboot clears, so this is repeated before each start.
    pub fn make_sockets(&self, node: &NodeSpec, user: User) -> anyhow::Result<()> {
        self.dirs.sockets("node", node.id).ensure()?;
        leaf(&self.dirs.paths(node).run, user, 0o700)
    }

    /// What of the node runs.
    ///
    /// # Errors
    /// When something that is not ours is in its place: then nothing can be said.
    pub fn set(&self, node: &NodeSpec) -> anyhow::Result<ProcessSet> {
        let own = self.dirs.node(node);
        own.is_there()?;
        let data = self.dirs.paths(node).data;
        // Whoever owns the data is whom the processes run as, also when the list of users was changed meanwhile.
        let owner = fs::symlink_metadata(&data).ok().map(|m| User { uid: m.uid(), gid: m.gid() }).filter(|u| u.uid != 0);
        let user = match owner {
            Some(user) => Some(user),
            None if is_root() => Account::of(node.datastore).find()?,
            None => Some(User::me()),
        };
        let name = node.id.to_string();
        let cgroup = self.cgroups.as_ref().map(|groups| groups.group(&name));
        let limits = Some(self.limits.group(&name, Size::of(node)));
        Ok(ProcessSet { cgroup, limits, records: own.path().to_owned(), directories: vec![data], user, in_background: node.in_background })
    }

    /// The node's processes and user, when the node is there, with its volume attached. Only under its datastore's lock.
    pub fn attached(&self, node: &NodeSpec) -> anyhow::Result<(ProcessSet, User)> {
        if self.dirs.node(node).is_there()? {
            self.volumes.attach(node)?;
        }
        self.existing(node)
    }

    /// The node's processes and user, when the node and its data are there.
    pub fn existing(&self, node: &NodeSpec) -> anyhow::Result<(ProcessSet, User)> {
        ensure!(self.dirs.node(node).is_there()?, "node {} is not there: it was never made, or is gone", node.id);
        self.volumes.check(node)?;
        let set = self.set(node)?;
        let user = set.user.context("the node's system user is gone")?;
        Ok((set, user))
    }

    /// Places files into the node's configuration or data.
    pub fn place(&self, node: &NodeSpec, all: &[File]) -> anyhow::Result<()> {
        let (_, user) = self.attached(node)?;
        let paths = self.dirs.paths(node);
        let config = Tree { root: paths.config, directories: User { gid: user.gid, ..User::me() }, files: user };
        let data = Tree { root: paths.data, directories: user, files: user };
        for file in all {
            let (tree, name) = file.name.strip_prefix("data/").map_or((&config, file.name.as_str()), |name| (&data, name));
            tree.place(name, &file.content, if file.secret { 0o600 } else { 0o640 })?;
        }
        Ok(())
    }

    /// Whether a file is there under the node's data.
    pub fn has_file(&self, node: &NodeSpec, name: &str) -> anyhow::Result<bool> {
        let path = self.dirs.paths(node).data.join(files::relative(name)?);
        if self.dirs.node(node).is_there()? {
            self.volumes.check(node)?;
        }
        match fs::symlink_metadata(path) {
            Ok(_) => Ok(true),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Empties the node's data.
    pub fn wipe(&self, node: &NodeSpec) -> anyhow::Result<()> {
        let (set, _) = self.attached(node)?;
        let left = set.pids()?;
        ensure!(left.is_empty(), "the data is kept: processes of the node run ({left:?}). Fence it first");
        set.free_shared_memory();
        Ok(owned::empty(&self.dirs.paths(node).data, None)?)
    }

    /// Kills everything of the node, then removes everything of it.
    pub async fn destroy(self: std::sync::Arc<Self>, node: NodeSpec) -> anyhow::Result<()> {
        let set = self.set(&node)?;
        set.kill_all(FENCE).await?;
        let remove = move || {
            set.free_shared_memory();
            set.remove_group().context("the node's control group cannot be removed")?;
            self.volumes.destroy(&node)?;
            self.dirs.sockets("node", node.id).remove()?;
            self.dirs.node(&node).remove()?;
            self.tidy();
            Ok(())
        };
        tokio::task::spawn_blocking(remove).await?
    }

    /// Opens a stream to the node's server.
    pub async fn dial(&self, node: &NodeSpec, to: Dial<'_>) -> anyhow::Result<Box<dyn Stream>> {
        match to {
            Dial::Port(port) => {
                let stream = TcpStream::connect((node.address.ip(), port)).await?;
                // What is small and sent in pieces would wait for an acknowledgement that comes late.
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Dial::Socket(name) => {
                let (_, user) = self.existing(node)?;
                let stream = UnixStream::connect(self.dirs.paths(node).run.join(files::relative(name)?)).await?;
                // A link in the node's own directory could lead an administrator's session to another datastore.
                let peer = stream.peer_cred()?.uid();
                ensure!(peer == user.uid, "user {peer} answers on the socket, not the node's user {}", user.uid);
                Ok(Box::new(stream))
            }
        }
    }
}
