//! Nodes as processes of this machine.

mod cgroup;
mod dirs;
mod files;
mod launch;
mod owned;
mod proc;
mod processes;
mod record;
mod users;
