//! `PostgreSQL`.

/// The engine.
pub struct PostgreSql;
