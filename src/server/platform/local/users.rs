//! System users: as root each datastore has its own, so that one's server cannot read another's files.

/// Whom a program runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl User {
    /// Whoever runs Granary.
    #[must_use]
    pub fn me() -> Self {
        Self { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
    }
}
