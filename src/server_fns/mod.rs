//! What pages ask of the server: one file for each verb. Each finds the actor, calls one use case, answers.

#![expect(missing_docs, reason = "the fields of the structs that #[server] makes are the documented functions' arguments")]

pub mod datastore;
pub mod firewall;
pub mod jobs;
pub mod page;
pub mod wizard;
