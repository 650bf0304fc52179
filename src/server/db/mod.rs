//! All SQL of ours.

pub mod authorities;
pub mod changes;
pub mod checkup;
pub mod counts;
pub mod creation;
pub mod datastores;
pub mod drafts;
pub mod drills;
pub mod error;
pub mod events;
pub mod firewall;
pub mod job_acts;
pub mod job_views;
pub mod jobs;
pub mod lifecycle;
pub mod list;
pub mod metadata;
pub mod observed;
pub mod people;
pub mod places;
pub mod plan;
pub mod secrets;
pub mod sessions;
pub mod spares;
pub mod usage;
pub mod workers;
