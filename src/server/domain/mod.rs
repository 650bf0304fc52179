//! Use cases: check the actor, validate, one transaction. Pages and the API call the same ones.

pub mod access;
pub mod activity;
pub mod datastore;
pub mod firewall;
pub mod wizard;
pub mod work;

use crate::{
    error::AppError,
    model::person::{Me, Role},
};
use std::net::IpAddr;

/// Who asks, from where.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The person and the project they act in.
    pub me: Me,
    /// The client's address, where it is known for sure.
    pub address: Option<IpAddr>,
    /// The request.
    pub request_id: String,
}

impl Actor {
    /// Refuses those whose role is not enough.
    ///
    /// # Errors
    /// [`AppError::Forbidden`].
    pub fn needs(&self, role: Role) -> Result<(), AppError> {
        if self.me.role >= role { Ok(()) } else { Err(AppError::Forbidden) }
    }
}
