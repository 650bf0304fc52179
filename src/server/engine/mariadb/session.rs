//! Granary's own session: over the node's socket, known by its OS user. It may do everything, so nothing that a tenant made is
//! ever run in it.

use super::client::{Client, Refusal, Rows};
use crate::server::platform::{Dial, NodeSpec, Platform};
use anyhow::Context;
use std::time::Duration;

/// Granary's socket in the node's directory for sockets.
pub(super) const SOCKET: &str = "mariadb.sock";
/// For one statement.
const LIMIT: Duration = Duration::from_secs(30);
/// Whatever the server's settings are for others: texts end at a quote alone, nothing is waited for long, and what is set up can be
/// while writes are refused.
const SETTINGS: &str = "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', tx_read_only = OFF, lock_wait_timeout = 5, innodb_lock_wait_timeout = 5";

/// A session; its end closes the connection.
pub(super) struct Session {
    client: Client,
}

impl Session {
    /// Opens one. At most 15 s.
    pub(super) async fn open(platform: &dyn Platform, node: &NodeSpec) -> anyhow::Result<Self> {
        let stream = platform.dial(node, Dial::Socket(SOCKET)).await.context("the server's socket cannot be reached")?;
        let mut client = Client::by_peer(stream, &platform.administrator()?).await.context("Granary cannot sign in")?;
        client.ask(SETTINGS, Duration::from_secs(5)).await?;
        Ok(Self { client })
    }

    /// Runs a query.
    pub(super) async fn ask(&mut self, sql: &str) -> anyhow::Result<Rows> {
        self.client.ask(sql, LIMIT).await
    }

    /// Runs a query that may take its time.
    pub(super) async fn ask_within(&mut self, sql: &str, limit: Duration) -> anyhow::Result<Rows> {
        self.client.ask(sql, limit).await
    }

    /// Runs a statement.
    pub(super) async fn act(&mut self, sql: &str) -> anyhow::Result<()> {
        self.ask(sql).await.map(drop)
    }
}

/// Whether the server itself gave this error.
pub(super) fn is_said(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refusal>().is_some()
}

/// A name as an identifier, which a user's may be, too.
pub(super) fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text, under [`SETTINGS`].
pub(super) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The name of a database where one is granted: there `_` and `%` would stand for others.
pub(super) fn only(database: &str) -> String {
    name(&database.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_or_a_text_ends_it_and_a_grant_means_one_database() {
        assert_eq!(name("a`b\\'"), "`a``b\\'`");
        assert_eq!(text("O'Brien\\"), "'O''Brien\\'");
        assert_eq!(only("my_d%b`"), "`my\\_d\\%b```");
    }
}
