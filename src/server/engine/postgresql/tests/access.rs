//! Who gets in, and what tenants may do.

use super::{ENGINE, HERE, Node, now};
use crate::server::{
    crypto::{
        authority::{self, Authority, CertificateRequest},
        scram,
    },
    engine::{
        Engine, Settings, Tls,
        postgresql::{
            REPLICATION, config,
            session::{MAINTENANCE, Session},
        },
        quorum::SyncSet,
    },
    platform::Platform,
};
use secrecy::{ExposeSecret, SecretString};
use std::fs;

#[tokio::test]
async fn r026_r036_only_the_edges_address_with_tls_and_the_password_gets_in() {
    let node = Node::new().await;
    ENGINE.initialise(node.site()).await.unwrap();
    ENGINE.configure(node.site(), &node.settings("127.9.9.9".parse().unwrap())).await.unwrap();
    ENGINE.start(node.site()).await.unwrap();
    ENGINE.harden(node.site()).await.unwrap();
    let password = node.tenant("app", "orders").await;
    let select = ["SELECT 1"];
    let (good, says) = node.psql("app", password.expose_secret(), "orders", &[], &select).await;
    assert!(!good && says.contains("no pg_hba.conf entry for host \"127.0.0.1\""), "{says}");

    ENGINE.configure(node.site(), &node.settings(HERE)).await.unwrap();
    ENGINE.reload(node.site()).await.unwrap();
    assert_eq!(node.psql("app", password.expose_secret(), "orders", &[], &select).await, (true, "1".to_owned()));
    for (user, password, mode, says) in [
        ("app", password.expose_secret(), "disable", "no encryption"),
        ("app", "wrong", "require", "password authentication failed"),
        ("nobody", "wrong", "require", "password authentication failed"),
        ("granary_admin", "", "require", "pg_hba.conf rejects connection"),
        ("granary_replication", "", "require", "requires a valid client certificate"),
    ] {
        let database = if user == REPLICATION { "postgres" } else { "orders" };
        let (good, said) = node.psql(user, password, database, &[("PGSSLMODE", mode), ("PGSSLROOTCERT", "/nowhere")], &select).await;
        assert!(!good && said.contains(says), "{user}: {said}");
    }
    let elsewhere = Authority::create("orders", now()).unwrap();
    let other = tempfile::NamedTempFile::new().unwrap();
    fs::write(&other, elsewhere.certificate_pem).unwrap();
    let (good, says) = node.psql("app", password.expose_secret(), "orders", &[("PGSSLROOTCERT", other.path().to_str().unwrap())], &select).await;
    assert!(!good && says.contains("certificate verify failed"), "{says}");
}

#[tokio::test]
async fn replication_takes_a_certificate_made_out_to_its_role_and_no_other() {
    let node = Node::running().await;
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    for (name, good) in [(REPLICATION, true), ("orders", false)] {
        let issued = node.certificate(name);
        fs::write(at("c.crt"), issued.certificate_pem).unwrap();
        let key = tempfile::Builder::new().prefix("key").tempfile_in(&home).unwrap();
        fs::write(&key, issued.key_pem.expose_secret()).unwrap();
        let with = [("PGSSLCERT", &*at("c.crt")), ("PGSSLKEY", key.path().to_str().unwrap())];
        let rewind = ["SELECT count(*) > 0 FROM pg_ls_dir('.', true, false)", "SELECT length(pg_read_binary_file('PG_VERSION')) > 0"];
        let (done, says) = node.psql(REPLICATION, "", "postgres", &with, &rewind).await;
        assert_eq!((done, done && says == "t\nt"), (good, good), "{says}");
        // `replication=true` has no environment variable.
        let (done, says) = node.psql(REPLICATION, "", "dbname=postgres replication=true", &with, &["IDENTIFY_SYSTEM"]).await;
        assert_eq!(done, good, "{says}");
    }
}

#[tokio::test]
async fn r036_a_reload_takes_up_a_new_certificate_while_sessions_live() {
    let node = Node::running().await;
    let admin = Session::open(&node.platform, &node.spec, MAINTENANCE).await.unwrap();
    let password = node.tenant("app", "orders").await;
    let other = Node { authority: Authority::create("other", now()).unwrap(), ..Node::new().await };
    let settings = Settings {
        tls: Tls { ca_pem: other.authority.certificate_pem.clone(), ..node.settings(HERE).tls },
        edge_source: HERE,
        replication: None,
        follows: None,
        sync_set: SyncSet::default(),
        confirms: false,
    };
    // The old certificate under another CA: whoever verifies in full with the new one must refuse it.
    ENGINE.configure(node.site(), &settings).await.unwrap();
    ENGINE.reload(node.site()).await.unwrap();
    let (good, says) = node.psql("app", password.expose_secret(), "orders", &[], &["SELECT 1"]).await;
    assert!(!good && says.contains("certificate verify failed"), "{says}");
    let request = CertificateRequest { common_name: "orders".into(), names: Vec::new(), addresses: vec![node.spec.address.ip()] };
    let issued = authority::issue(&other.authority.certificate_pem, &other.authority.key_pem, &request, now()).unwrap();
    let tls = Tls { certificate_pem: issued.certificate_pem, key_pem: issued.key_pem, ..settings.tls };
    ENGINE
        .configure(node.site(), &Settings { tls, edge_source: HERE, replication: None, follows: None, sync_set: SyncSet::default(), confirms: false })
        .await
        .unwrap();
    ENGINE.reload(node.site()).await.unwrap();
    let (good, says) = node.psql("app", password.expose_secret(), "orders", &[], &["SELECT 1"]).await;
    assert!(good, "{says}");
    assert!(admin.has("SELECT 1", &[]).await.unwrap(), "the session of before goes on");
}

#[tokio::test]
async fn an_owner_may_do_in_its_database_what_owners_do() {
    let node = Node::running().await;
    let password = node.tenant("app", "orders").await;
    let owned = [
        "CREATE SCHEMA s",
        "CREATE TABLE public.t (x int)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE EXTENSION pgcrypto",
    ];
    let (good, says) = node.psql("app", password.expose_secret(), "orders", &[], &owned).await;
    assert!(good, "{says}");
}

#[tokio::test]
async fn r042_neither_password_nor_verifier_reaches_the_servers_log() {
    let node = Node::running().await;
    // A server told to log every statement, as a careless parameter group might.
    let file = node.platform.paths(&node.spec).config.join(config::MAIN);
    let text = fs::read_to_string(file).unwrap() + "log_statement = all\nlog_min_duration_statement = 0\nlog_duration = on\nlog_connections = on\n";
    node.put(config::MAIN, &text).await;
    ENGINE.reload(node.site()).await.unwrap();
    let password = SecretString::from("correct-horse-battery");
    let verifier = ENGINE.verifier(&password);
    ENGINE.ensure_user(node.site(), "app", &verifier).await.unwrap();
    ENGINE.ensure_database(node.site(), "orders", "app").await.unwrap();
    let (good, says) = node.psql("app", password.expose_secret(), "orders", &[], &["SELECT 'seen'"]).await;
    assert!(good, "{says}");
    let log = node.log().await;
    assert!(log.contains("SELECT 'seen'"), "statements are logged now: {log}");
    assert!(!log.contains("SCRAM-SHA-256$") && !log.contains("correct-horse") && !log.contains("ALTER ROLE"), "{log}");

    let refused = ENGINE.ensure_user(node.site(), "app", &password).await.unwrap_err().to_string();
    assert!(refused.contains("verifier must stand") && !refused.contains("correct-horse"), "{refused}");
}

#[tokio::test]
async fn names_are_quoted_by_the_server_whatever_stands_in_them() {
    let node = Node::running().await;
    for (user, database) in [
        ("john.doe", "a.b.c"),
        ("O'Brien \"x\"", "back\\slash 'q'"),
        ("a; DROP ROLE app; --", "%I %L %s"),
        ("Ünïcode user", "データ"),
        ("select", "user@host"),
    ] {
        let password = node.tenant(user, database).await;
        let (good, says) = node
            .psql(user, password.expose_secret(), database, &[], &["CREATE TABLE t ()", "SELECT current_user || '/' || current_database()"])
            .await;
        assert!(good && says.ends_with(&format!("{user}/{database}")), "{says}");
    }
    // john.doe is not john.
    assert!(!node.psql("john", "x", "a.b.c", &[], &["SELECT 1"]).await.0);
    let admin = Session::open(&node.platform, &node.spec, MAINTENANCE).await.unwrap();
    let row = admin.row("SELECT count(*) FROM pg_roles WHERE rolname !~ '^(pg_|granary_)'", &[]).await.unwrap().unwrap();
    assert_eq!(row.get::<_, i64>(0), 5);
}

#[tokio::test]
async fn r042_a_password_is_changed_and_one_outside_ascii_gets_in_as_clients_normalise_it() {
    let node = Node::running().await;
    let first = node.tenant("app", "orders").await;
    // A no-break space is a space to SASLprep, and the ligature is two letters.
    let second = SecretString::from("pässwörd\u{a0}ﬁn");
    ENGINE.ensure_user(node.site(), "app", &scram::verifier(&second)).await.unwrap();
    assert!(!node.psql("app", first.expose_secret(), "orders", &[], &["SELECT 1"]).await.0);
    for same in [second.expose_secret(), "pässwörd fin"] {
        let (good, says) = node.psql("app", same, "orders", &[], &["SELECT 1"]).await;
        assert!(good, "{same}: {says}");
    }
}

#[tokio::test]
async fn a_database_whose_removal_was_interrupted_is_made_anew() {
    let node = Node::running().await;
    let password = node.tenant("app", "orders").await;
    assert!(node.psql("app", password.expose_secret(), "orders", &[], &["CREATE TABLE t ()"]).await.0);
    let admin = Session::open(&node.platform, &node.spec, MAINTENANCE).await.unwrap();
    admin.act("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'orders'").await.unwrap();
    assert!(!node.psql("app", password.expose_secret(), "orders", &[], &["SELECT 1"]).await.0);
    ENGINE.ensure_database(node.site(), "orders", "app").await.unwrap();
    let (good, says) =
        node.psql("app", password.expose_secret(), "orders", &[], &["SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"]).await;
    assert_eq!((good, says.as_str()), (true, "0"));
}
