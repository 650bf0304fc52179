//! Who is signed in, as pages show it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a member may do. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See.
    Viewer,
    /// See and change.
    Member,
    /// Everything, secrets and deletion included.
    Owner,
}

/// The person behind this request and the project they act in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Me {
    /// Id of the person.
    pub person: Uuid,
    /// Name or mail address.
    pub name: String,
    /// Id of the project.
    pub project: Uuid,
    /// Its name.
    pub project_name: String,
    /// Role in it.
    pub role: Role,
    /// True when Granary runs as a plain user: one tenant, no uid for each datastore.
    pub single_tenant: bool,
    /// True when the built-in development provider signs people in.
    pub development: bool,
}
