//! The server side; never compiled for the browser.

pub mod assemble;
pub mod auth;
pub mod commands;
pub mod config;
pub mod crypto;
pub mod db;
pub mod domain;
pub mod drill;
pub mod engine;
pub mod jobs;
pub mod measures;
pub mod monitor;
pub mod platform;
pub mod state;
pub mod web;
