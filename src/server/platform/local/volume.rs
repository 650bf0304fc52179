//! Volumes: storage that is an object of its own and outlives the node it is attached to. Today a directory, whose size
//! is watched; what makes, grows or mounts a real file system of the wanted size belongs here too.

use super::{dirs::Dirs, owned::leaf, users::User};
use crate::server::platform::NodeSpec;
use anyhow::{Context, ensure};

/// Makes the node's data directory: on its volume when it has one, else in its own directory.
///
/// # Errors
/// When something that is not ours is in the way.
pub fn ensure(dirs: &Dirs, node: &NodeSpec, user: User) -> anyhow::Result<()> {
    if let Some(volume) = node.volume {
        dirs.volume(volume, node.datastore).ensure().context("the volume cannot be made")?;
    }
    leaf(&dirs.paths(node).data, user, 0o700)
}

/// Whether the node's data directory is where it should be, and ours.
///
/// # Errors
/// When it is not.
pub fn check(dirs: &Dirs, node: &NodeSpec) -> anyhow::Result<()> {
    if let Some(volume) = node.volume {
        ensure!(dirs.volume(volume, node.datastore).is_there()?, "volume {volume} is gone");
    }
    Ok(())
}

/// Removes the node's volume.
///
/// # Errors
/// When something that is not ours is in its place.
pub fn destroy(dirs: &Dirs, node: &NodeSpec) -> anyhow::Result<()> {
    node.volume.map_or(Ok(()), |volume| dirs.volume(volume, node.datastore).remove())
}
