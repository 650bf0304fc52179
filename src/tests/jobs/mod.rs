//! Jobs: their order, their failures, their leases.

mod clock;
mod create;
mod delete;
mod failure;
mod leases;
mod order;
mod repeat;
mod spares;
