//! Users and databases.

use super::{
    SYSTEM,
    session::{Session, name, only, text},
};
use crate::{
    model::names::IDENTIFIER_MAX,
    server::{crypto::derived::hex, engine::Site},
};
use anyhow::{Context, ensure};
use secrecy::{ExposeSecret, SecretString};
use sha1::{Digest, Sha1};

/// Names of databases that come with the server.
const OWN_DATABASES: [&str; 4] = ["mysql", "information_schema", "performance_schema", "sys"];

/// The form in which the server keeps a password: `SHA1(SHA1(password))`. It is the one that every client and driver knows; it has no
/// salt, so it is for passwords that nobody can guess, and it is proved over TLS alone.
pub(super) fn verifier(password: &SecretString) -> SecretString {
    let hash = Sha1::digest(Sha1::digest(password.expose_secret().as_bytes()));
    format!("*{}", hex(&hash).to_ascii_uppercase()).into()
}

/// See [`crate::server::engine::Engine::harden`]. What comes with a new server beside Granary's own accounts, see
/// [`super::config`], is nobody's: whoever signs in without a name, and a database in which everybody may write.
pub(super) async fn harden(site: Site<'_>) -> anyhow::Result<()> {
    let mut session = open(site).await?;
    session.act("DROP DATABASE IF EXISTS test").await?;
    session.act("DELETE FROM mysql.db WHERE User = '' OR User = 'PUBLIC'").await?;
    session.act("DELETE FROM mysql.global_priv WHERE User = ''").await?;
    session.act("FLUSH PRIVILEGES").await?;
    let strangers = session.ask(STRANGERS).await?;
    ensure!(strangers.is_empty(), "the server has accounts without a password: {}", strangers.column("account")?.join(", "));
    Ok(())
}

/// Who could sign in by a name alone: neither by a password, nor by the peer's name, nor by a certificate.
const STRANGERS: &str = "SELECT concat(user, '@', host) AS account FROM mysql.global_priv
    WHERE coalesce(json_value(priv, '$.account_locked'), 0) = 0 AND coalesce(json_value(priv, '$.ssl_type'), 0) < 3
    AND coalesce(json_value(priv, '$.is_role'), 0) = 0 AND json_value(priv, '$.plugin') <> 'unix_socket'
    AND coalesce(json_value(priv, '$.authentication_string'), '') = ''";

/// See [`crate::server::engine::Engine::ensure_user`].
pub(super) async fn ensure_user(site: Site<'_>, user: &str, verifier: &SecretString) -> anyhow::Result<()> {
    let account = format!("{}@'%'", name(identifier(user, &SYSTEM)?));
    ensure!(is_verifier(verifier.expose_secret()), "a password was given where its verifier must stand: nothing was sent");
    let by = format!("IDENTIFIED VIA mysql_native_password USING {} REQUIRE SSL", text(verifier.expose_secret()));
    let mut session = open(site).await?;
    // Made with its password, or given this one: there is no moment in which it has none.
    for act in [format!("CREATE USER IF NOT EXISTS {account} {by}"), format!("ALTER USER {account} {by} ACCOUNT UNLOCK")] {
        session.act(&act).await.with_context(|| format!("the user “{user}” cannot be given its password"))?;
    }
    Ok(())
}

/// See [`crate::server::engine::Engine::ensure_database`].
pub(super) async fn ensure_database(site: Site<'_>, database: &str, owner: &str) -> anyhow::Result<()> {
    let (database, owner) = (identifier(database, &OWN_DATABASES)?, identifier(owner, &SYSTEM)?);
    let mut session = open(site).await?;
    let make = format!("CREATE DATABASE IF NOT EXISTS {} CHARACTER SET utf8mb4", name(database));
    session.act(&make).await.with_context(|| format!("the database “{database}” cannot be made"))?;
    let grant = format!("GRANT ALL PRIVILEGES ON {}.* TO {}@'%'", only(database), name(owner));
    session.act(&grant).await.with_context(|| format!("the user “{owner}” cannot be given the database “{database}”"))
}

/// A session that sets up. As long as nobody has a copy of the server's data, nothing of it need be told to anybody.
async fn open(site: Site<'_>) -> anyhow::Result<Session> {
    let mut session = Session::open(site.platform, site.node).await?;
    if !site.platform.has_file(site.node, super::COPIED).await? {
        session.act("SET SESSION sql_log_bin = 0").await?;
    }
    Ok(session)
}

fn is_verifier(text: &str) -> bool {
    text.strip_prefix('*').is_some_and(|digits| digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A tenant's name: any that the server keeps whole, but none of its own, nor Granary's: "make sure it exists with this password"
/// would hand those over.
fn identifier<'a>(name: &'a str, kept: &[&str]) -> anyhow::Result<&'a str> {
    ensure!(
        !name.is_empty() && !name.contains('\0') && !name.ends_with(' '),
        "a name must have characters, none of them NUL, and no space at its end"
    );
    ensure!(name.len() <= IDENTIFIER_MAX, "“{name}” has {} bytes; at most {IDENTIFIER_MAX} are kept", name.len());
    // Beyond the first 65536 characters of Unicode it would be stored as something else.
    ensure!(name.chars().all(|c| u32::from(c) < 0x1_0000), "“{name}” has characters that the server does not keep");
    let own = kept.iter().any(|own| own.eq_ignore_ascii_case(name)) || name.to_ascii_lowercase().starts_with("granary_");
    ensure!(!own, "“{name}” is kept for the server itself");
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_server_and_names_it_would_change_are_refused() {
        for name in ["", "a\0b", "a ", "granary_admin", "granary_replication", "root", "mariadb.sys", "PUBLIC", "😀"] {
            assert!(identifier(name, &SYSTEM).is_err(), "{name:?}");
        }
        assert!(OWN_DATABASES.iter().all(|name| identifier(name, &OWN_DATABASES).is_err()));
        assert!(identifier(&"ä".repeat(32), &SYSTEM).unwrap_err().to_string().contains("64 bytes"));
        for name in ["john.doe", "O'Brien \"x\"", "a;--", "Ünïcode", "a`b", "%", "a_b"] {
            assert_eq!(identifier(name, &SYSTEM).unwrap(), name);
        }
    }

    #[test]
    fn r042_a_verifier_is_the_hash_in_the_servers_form() {
        // MariaDB: SELECT PASSWORD('secret').
        assert_eq!(verifier(&"secret".into()).expose_secret(), "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7");
        assert!(!is_verifier("secret") && !is_verifier("*") && !is_verifier(&format!("*{}", "z".repeat(40))));
    }
}
