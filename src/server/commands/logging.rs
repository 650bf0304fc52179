//! The log, on standard error.

use crate::server::config::{Config, Problems};
use std::io::IsTerminal;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, fmt, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt};

/// Sessions that have ended by themselves are no news, nor are tables that are there already.
const ALWAYS: &str = "tower_sessions_core=error,sqlx::postgres::notice=warn";

/// Libraries that write what passes through them when they are asked for details. What Granary sends a tenant's server by
/// this one has verifiers in it.
const TALKATIVE: [&str; 1] = ["tokio_postgres"];

/// Begins to log.
///
/// # Errors
/// When `GRANARY_LOG` cannot be understood.
pub(super) fn start(config: &Config) -> anyhow::Result<()> {
    let filter = filter(config).map_err(|problem| Problems(vec![problem]))?;
    let log = tracing_subscriber::registry().with(filter).with(filter_fn(is_discreet)).with(lines(config));
    log.try_init().map_err(|e| anyhow::anyhow!("the log cannot be started: {e}"))
}

/// What is logged.
///
/// # Errors
/// When `GRANARY_LOG` cannot be understood.
pub(super) fn filter(config: &Config) -> Result<EnvFilter, String> {
    EnvFilter::try_new(format!("{ALWAYS},{}", config.log))
        .map_err(|e| format!("GRANARY_LOG says what is logged, such as “info” or “warn,granary=debug”; “{}” cannot be understood: {e}.", config.log))
}

fn lines<S: Subscriber + for<'a> LookupSpan<'a>>(config: &Config) -> Box<dyn Layer<S> + Send + Sync> {
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    if config.log_json { lines.json().flatten_event(true).boxed() } else { lines.boxed() }
}

/// Whatever `GRANARY_LOG` asks for, nothing that carries secrets is written.
fn is_discreet(about: &Metadata<'_>) -> bool {
    let module = about.target().split("::").next().unwrap_or_default();
    *about.level() <= Level::INFO || !TALKATIVE.contains(&module)
}
