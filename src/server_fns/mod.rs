//! What pages ask of the server: one file for each verb. Each finds the actor, calls one use case, answers.

pub mod datastore;
pub mod firewall;
pub mod jobs;
pub mod page;
pub mod wizard;
