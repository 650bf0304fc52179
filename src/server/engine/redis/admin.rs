//! Users. Databases are numbers and are there from the start.

use super::{
    client::{Client, Refusal},
    config::{self, Own},
};
use crate::{model::engine::EngineKind, server::crypto::derived::hex};
use anyhow::{Context, ensure};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// What Granary's own user may do: no key is among it but the probe's, to remove it.
pub(super) const OWN_RIGHTS: &str =
    "resetkeys resetchannels -@all +ping +info +acl +config|get +config|set +replicaof +client|pause +select +del ~granary_probe";
/// What replicas may do.
pub(super) const REPLICATION_RIGHTS: &str = "resetkeys resetchannels -@all +psync +replconf +ping";
/// What a tenant's user may do, whatever it could before: everything with keys and channels; nothing that changes the server,
/// reads or writes its files, sees other sessions, or has it open connections. Four commands that Redis counts among the
/// dangerous ones because they take long are its owner's to run. So is the one that writes the log of changes anew: it is how
/// space on the storage is freed.
const TENANT_RIGHTS: [&str; 10] = ["~*", "&*", "+@all", "-@admin", "-@dangerous", "+info", "+keys", "+flushdb", "+flushall", "+bgrewriteaof"];

/// The form in which the server keeps a password. It has no salt, so it is for passwords that nobody can guess.
pub(super) fn verifier(password: &SecretString) -> SecretString {
    format!("#{}", hex(&Sha256::digest(password.expose_secret().as_bytes()))).into()
}

/// See [`crate::server::engine::Engine::harden`]. What is hardened stands in the configuration that the server started with;
/// here somebody who has not signed in asks whether it holds.
pub(super) async fn harden(mut stranger: Client) -> anyhow::Result<()> {
    let refused = stranger.ask(&["PING"]).await.err();
    let refused = refused.as_ref().and_then(anyhow::Error::downcast_ref::<Refusal>).is_some_and(|it| it.0.starts_with("NOAUTH"));
    ensure!(refused, "the server answers who has not signed in");
    Ok(())
}

/// See [`crate::server::engine::Engine::ensure_user`].
pub(super) async fn ensure_user(client: &mut Client, user: &str, verifier: &SecretString) -> anyhow::Result<()> {
    let user = identifier(user)?;
    ensure!(is_verifier(verifier.expose_secret()), "a password was given where its verifier must stand: nothing was sent");
    // One command, so it is done whole or not at all: there is no moment in which the user has no password, or any.
    let rights = ["ACL", "SETUSER", user, "reset", "on", "sanitize-payload", verifier.expose_secret()].into_iter().chain(TENANT_RIGHTS);
    client.act(&rights.collect::<Vec<_>>()).await.with_context(|| format!("the user “{user}” cannot be given its password and rights"))?;
    client.act(&["ACL", "SAVE"]).await.with_context(|| format!("the user “{user}” was made, but cannot be written down"))
}

/// See [`crate::server::engine::Engine::ensure_database`].
pub(super) fn ensure_database(database: &str) -> anyhow::Result<()> {
    let first = EngineKind::Redis.first_database().map(|it| it.name);
    ensure!(first == Some(database), "Redis has no database “{database}”: it has numbers");
    Ok(())
}

fn is_verifier(text: &str) -> bool {
    text.strip_prefix('#').is_some_and(|digits| digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A tenant's name: any that the server takes, but neither of those it has, nor Granary's: "make sure it exists with this
/// password" would hand those over.
fn identifier(name: &str) -> anyhow::Result<&str> {
    let fits = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '\0');
    ensure!(fits, "a name must have characters, none of them a space or NUL");
    ensure!(name != "default" && !name.starts_with("granary_"), "“{name}” is kept for the server itself");
    Ok(name)
}

/// Makes Granary's own users what they must be: an older Granary may have started the server.
pub(super) async fn ensure_own(client: &mut Client, own: &Own) -> anyhow::Result<()> {
    for (user, rules) in config::own_rules(own) {
        let words: Vec<&str> = ["ACL", "SETUSER", user, "reset"].into_iter().chain(rules.split(' ')).collect();
        client.act(&words).await.with_context(|| format!("the user “{user}” cannot be made"))?;
    }
    client.act(&["ACL", "SAVE"]).await.context("Granary's own users cannot be written down")
}

/// All users but those that each node has of its own, a line each, as in the list of users.
pub(super) async fn users(client: &mut Client) -> anyhow::Result<Vec<String>> {
    let lines = client.list(&["ACL", "LIST"]).await.context("the server does not tell its users")?;
    Ok(lines.into_iter().filter(|line| name(line).is_some_and(|name| !config::is_own(name))).collect())
}

/// Makes these the users, with these rules, and removes all others but the node's own.
pub(super) async fn take_users(client: &mut Client, lines: &[String]) -> anyhow::Result<()> {
    let has = users(client).await?;
    for line in has.iter().filter(|line| lines.iter().all(|other| name(other) != name(line))) {
        client.ask(&["ACL", "DELUSER", name(line).unwrap_or_default()]).await.context("a user that is gone cannot be removed")?;
    }
    for line in lines.iter().filter(|line| !has.contains(line)) {
        let mut words = line.split(' ').skip(1);
        let user = words.next().context("a user has no name")?;
        let rules: Vec<&str> = ["ACL", "SETUSER", user, "reset"].into_iter().chain(words).collect();
        client.act(&rules).await.with_context(|| format!("the user “{user}” cannot be given its password and rights"))?;
    }
    client.act(&["ACL", "SAVE"]).await.context("the users cannot be written down")
}

/// The name in a line `user <name> <rules>`.
fn name(line: &str) -> Option<&str> {
    line.strip_prefix("user ")?.split(' ').next()
}

/// Whether the server refused because it is not ready yet: it reads its data.
pub(super) fn is_starting(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.0.starts_with("LOADING"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_server_and_names_it_would_not_take_are_refused() {
        for name in ["", "a b", "a\tb", "a\0b", "default", "granary_admin", "granary_replication"] {
            assert!(identifier(name).is_err(), "{name:?}");
        }
        for name in ["john.doe", "O'Brien\"x\"", "~*", "+@all", "Ünïcode", "Default"] {
            assert_eq!(identifier(name).unwrap(), name);
        }
    }

    #[test]
    fn r042_a_verifier_is_the_hash_in_the_servers_form() {
        let verifier = verifier(&"secret".into());
        assert_eq!(verifier.expose_secret(), "#2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
        assert!(
            is_verifier(verifier.expose_secret()) && !is_verifier("secret") && !is_verifier("#") && !is_verifier(&format!("#{}", "z".repeat(64)))
        );
    }

    #[test]
    fn the_first_database_is_the_one_that_the_wizard_says() {
        ensure_database("0").unwrap();
        ensure_database("app").unwrap_err();
    }
}
