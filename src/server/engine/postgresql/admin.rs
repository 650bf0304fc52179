//! Roles and databases.

use super::{
    REPLICATION, SPARE,
    session::{MAINTENANCE, Session},
};
use crate::{model::names::IDENTIFIER_MAX, server::engine::Site};
use anyhow::{Context, ensure};
use secrecy::{ExposeSecret, SecretString};

/// What a tenant's user is, whatever it was before.
const TENANT: &str = "ALTER ROLE %I WITH LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD %L";

/// CONNECT and TEMP on the server's own databases are PUBLIC's by default. The functions are those that `pg_rewind` calls
/// (its documentation lists them); they read the server's files, so no tenant has them.
const HARDEN: &str = "
    REVOKE ALL ON DATABASE postgres FROM PUBLIC;
    REVOKE ALL ON DATABASE template1 FROM PUBLIC;
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    ALTER ROLE granary_replication WITH LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD NULL;
    GRANT CONNECT ON DATABASE postgres TO granary_replication;
    GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text),
        pg_read_binary_file(text, bigint, bigint, boolean) TO granary_replication;";

const ROLE: &str = "SELECT 1 FROM pg_roles WHERE rolname = $1";
const SPARE_OF: &str = "SELECT 1 FROM pg_database WHERE datname = $1 AND datdba = (SELECT oid FROM pg_roles WHERE rolname = $2)";
const DATABASE: &str = "SELECT datconnlimit = -2 FROM pg_database WHERE datname = $1";

/// See [`crate::server::engine::Engine::harden`].
pub(super) async fn harden(site: Site<'_>) -> anyhow::Result<()> {
    let session = open(site, MAINTENANCE).await?;
    if !session.has(ROLE, &[&REPLICATION]).await? {
        session.act_on("CREATE ROLE %I", &[REPLICATION]).await?;
    }
    session.act(HARDEN).await.context("rights of the server's own databases cannot be set")
}

/// See [`crate::server::engine::Engine::prepare_database`].
pub(super) async fn prepare_database(site: Site<'_>) -> anyhow::Result<()> {
    let session = open(site, MAINTENANCE).await?;
    if !session.has(ROLE, &[&SPARE]).await? {
        session.act_on("CREATE ROLE %I NOLOGIN", &[SPARE]).await?;
    }
    set_up_database(site, &session, SPARE, SPARE).await
}

/// See [`crate::server::engine::Engine::ensure_user`].
pub(super) async fn ensure_user(site: Site<'_>, user: &str, verifier: &SecretString) -> anyhow::Result<()> {
    let user = identifier(user)?;
    ensure!(verifier.expose_secret().starts_with("SCRAM-SHA-256$"), "a password was given where its verifier must stand: nothing was sent");
    let session = open(site, MAINTENANCE).await?;
    if !session.has(ROLE, &[&user]).await? {
        let has_spare = session.has(ROLE, &[&SPARE]).await?;
        let (statement, names): (_, &[&str]) = if has_spare { ("ALTER ROLE %I RENAME TO %I", &[SPARE, user]) } else { ("CREATE ROLE %I", &[user]) };
        session.act_on(statement, names).await.with_context(|| format!("the user “{user}” cannot be made"))?;
    }
    session.act_on(TENANT, &[user, verifier.expose_secret()]).await.with_context(|| format!("the user “{user}” cannot be given its password"))
}

/// See [`crate::server::engine::Engine::ensure_database`].
pub(super) async fn ensure_database(site: Site<'_>, database: &str, owner: &str) -> anyhow::Result<()> {
    let (database, owner) = (identifier(database)?, identifier(owner)?);
    let session = open(site, MAINTENANCE).await?;
    set_up_database(site, &session, database, owner).await
}

async fn set_up_database(site: Site<'_>, session: &Session, database: &str, owner: &str) -> anyhow::Result<()> {
    make_database(session, database, owner).await.with_context(|| format!("the database “{database}” cannot be made"))?;
    // Another user of the datastore has no access until it is given some.
    session.act_on("REVOKE ALL ON DATABASE %I FROM PUBLIC", &[database]).await?;
    session.act_on("GRANT ALL ON DATABASE %I TO %I", &[database, owner]).await?;
    if session.major().await? < 15 {
        own_public_schema(site, database, owner).await?;
    }
    Ok(())
}

async fn make_database(session: &Session, database: &str, owner: &str) -> anyhow::Result<()> {
    let mut exists = session.row(DATABASE, &[&database]).await?;
    // A DROP that was interrupted leaves a database that nobody can enter and that can only be dropped again.
    if let Some(row) = &exists
        && row.try_get(0)?
    {
        session.act_on("DROP DATABASE %I", &[database]).await?;
        exists = None;
    }
    if exists.is_some() {
        return session.act_on("ALTER DATABASE %I OWNER TO %I", &[database, owner]).await;
    }
    // Nobody can be in it: its user could not sign in until now. It is that user's, whatever name it has by now.
    if session.has(SPARE_OF, &[&SPARE, &owner]).await? {
        return session.act_on("ALTER DATABASE %I RENAME TO %I", &[SPARE, database]).await;
    }
    // template0 is never entered, so it is as the server made it and never busy.
    session.act_on("CREATE DATABASE %I OWNER %I TEMPLATE template0", &[database, owner]).await
}

/// From 15 on the schema `public` belongs to the database's owner; before, to the superuser, and everybody may write.
async fn own_public_schema(site: Site<'_>, database: &str, owner: &str) -> anyhow::Result<()> {
    let session = open(site, database).await?;
    // 10 is the superuser that initdb made: a schema that the tenant has made or given away is left alone.
    if session.has("SELECT 1 FROM pg_namespace WHERE nspname = 'public' AND nspowner = 10", &[]).await? {
        session.act_on("REVOKE CREATE ON SCHEMA public FROM PUBLIC; ALTER SCHEMA public OWNER TO %I", &[owner]).await?;
    }
    Ok(())
}

async fn open(site: Site<'_>, database: &str) -> anyhow::Result<Session> {
    let session =
        Session::open(site.platform, site.node, database).await.with_context(|| format!("Granary cannot open the database “{database}”"))?;
    // Catalogues may be written when data may not.
    session.act("SET default_transaction_read_only = off").await?;
    Ok(session)
}

/// A tenant's name: any text that the server would keep whole, but none of its own roles and databases, nor Granary's:
/// "make sure it exists with this password" would hand those over.
fn identifier(name: &str) -> anyhow::Result<&str> {
    ensure!(!name.is_empty() && !name.contains('\0'), "a name must have characters, none of them NUL");
    ensure!(name.len() <= IDENTIFIER_MAX, "“{name}” has {} bytes; the server would cut it to {IDENTIFIER_MAX}", name.len());
    let own = name.starts_with("pg_") || name.starts_with("granary_") || [MAINTENANCE, "template0", "template1"].contains(&name);
    ensure!(!own, "“{name}” is kept for the server itself");
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_server_and_names_it_would_change_are_refused() {
        for name in ["", "a\0b", "pg_monitor", "granary_admin", "granary_replication", "postgres", "template1"] {
            assert!(identifier(name).is_err(), "{name:?}");
        }
        assert!(identifier(&"ä".repeat(31)).is_ok());
        assert!(identifier(&"ä".repeat(32)).unwrap_err().to_string().contains("64 bytes"));
        for name in ["john.doe", "O'Brien \"x\"", "a;--", "Ünïcode", "public", "%I"] {
            assert_eq!(identifier(name).unwrap(), name);
        }
    }
}
