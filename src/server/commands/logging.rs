//! The log, on standard error.

use crate::server::config::{Config, Problems};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Sessions that have ended by themselves are no news, nor are tables that are there already.
const ALWAYS: &str = "tower_sessions_core=error,sqlx::postgres::notice=warn";

/// Begins to log.
///
/// # Errors
/// When `GRANARY_LOG` cannot be understood.
pub(super) fn start(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{ALWAYS},{}", config.log)).map_err(|e| {
        Problems(vec![format!(
            "GRANARY_LOG says what is logged, such as “info” or “warn,granary=debug”; “{}” cannot be understood: {e}.",
            config.log
        )])
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let started = if config.log_json { log.json().flatten_event(true).try_init() } else { log.try_init() };
    started.map_err(|e| anyhow::anyhow!("the log cannot be started: {e}"))
}
