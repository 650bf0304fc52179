//! Use cases.

mod datastores;
mod firewall;
mod wizard;
