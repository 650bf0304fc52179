//! Who gets in, and what tenants may do.

use super::{ENGINE, Node, Tenant, now};
use crate::server::{
    crypto::authority::Authority,
    engine::Engine,
    platform::{Platform, Presence},
};
use secrecy::{ExposeSecret, SecretString};
use std::{fs, path::Path};

#[tokio::test]
async fn r026_r036_only_tls_and_the_password_get_in() {
    let tenant = Tenant::new().await;
    let (node, secret) = (&tenant.node, tenant.password.expose_secret());
    let one = async |user: &str, password: &str, more: &[&str]| node.says(user, password, more, &["SELECT 1"]).await;
    assert_eq!(one("app", secret, &[]).await, (true, "1".to_owned()));
    let plain = one("app", secret, &["--skip-ssl"]).await.1;
    assert!(plain.contains("Access denied"), "{plain}");
    let hash = ENGINE.verifier(&tenant.password);
    let strangers = [
        ("app", "wrong"),
        ("app", ""),
        ("app", hash.expose_secret()),
        ("nobody", secret),
        ("", ""),
        ("root", ""),
        ("mysql", ""),
        ("mariadb.sys", ""),
    ];
    for (user, password) in strangers.into_iter().chain([("granary_replication", ""), ("granary_replication", secret)]) {
        let (_, says) = one(user, password, &[]).await;
        assert!(says.contains("Access denied") || says.contains("account is locked"), "{user}: {says}");
    }
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::write(&elsewhere, Authority::create("shop", now()).unwrap().certificate_pem).unwrap();
    let says = one("app", secret, &[&format!("--ssl-ca={}", elsewhere.path().display())]).await.1;
    assert!(says.contains("self-signed certificate") || says.contains("certificate verify failed"), "{says}");
}

/// What the server says to what it refuses.
const REFUSALS: [&str; 6] = ["access denied", "command denied", "unknown database", "is not allowed", "invalid role", "can't find any matching row"];

#[tokio::test]
async fn the_servers_files_programs_settings_and_other_peoples_data_are_out_of_reach() {
    let tenant = Tenant::new().await;
    tenant.node.tenant("other", "theirs").await;
    tenant.may(&["CREATE TABLE t (x TEXT)", "INSERT INTO t VALUES ('x')", "CREATE VIEW v AS SELECT * FROM t"]).await;
    let routines = ["CREATE FUNCTION twice(n INT) RETURNS INT RETURN 2 * n", "CREATE TRIGGER b BEFORE INSERT ON t FOR EACH ROW SET NEW.x = 'y'"];
    tenant.may(&routines).await;
    let forbidden = [
        // Files.
        "LOAD DATA INFILE '/etc/passwd' INTO TABLE t",
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t",
        "LOAD XML INFILE '/etc/passwd' INTO TABLE t",
        "SELECT 'x' INTO OUTFILE '/tmp/granary-attack'",
        "SELECT 'x' INTO DUMPFILE '/tmp/granary-attack'",
        "SELECT x FROM t INTO OUTFILE 'granary-attack'",
        // Code of others in the server.
        "INSTALL PLUGIN x SONAME 'auth_pam.so'",
        "INSTALL SONAME 'ha_connect'",
        "UNINSTALL PLUGIN unix_socket",
        "CREATE FUNCTION sys_exec RETURNS INT SONAME 'lib_mysqludf_sys.so'",
        "INSERT INTO mysql.func VALUES ('sys_exec', 2, 'x.so', 'function')",
        "INSERT INTO mysql.plugin VALUES ('x', 'x.so')",
        // Other servers.
        "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1')",
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1'",
        "START SLAVE",
        "STOP SLAVE",
        "SHOW SLAVE STATUS",
        "SHOW SLAVE HOSTS",
        "SHOW MASTER STATUS",
        "SHOW BINARY LOGS",
        "SHOW BINLOG EVENTS",
        "RESET MASTER",
        "PURGE BINARY LOGS BEFORE now()",
        // Settings.
        "SET GLOBAL read_only = OFF",
        "SET GLOBAL tx_read_only = OFF",
        "SET GLOBAL general_log_file = '/tmp/granary-attack'",
        "SET GLOBAL general_log = ON",
        "SET GLOBAL local_infile = ON",
        "SET GLOBAL init_connect = 'SELECT 1'",
        "SET GLOBAL event_scheduler = ON",
        "SET GLOBAL max_connections = 1",
        "SET GLOBAL rpl_semi_sync_master_enabled = OFF",
        "SET GLOBAL gtid_slave_pos = ''",
        "SET SESSION sql_log_bin = OFF",
        "SET SESSION binlog_format = STATEMENT",
        "SET SESSION gtid_seq_no = 999999",
        "SET SESSION server_id = 7",
        "SET SESSION enforce_storage_engine = NULL",
        "SHUTDOWN",
        "FLUSH LOGS",
        "FLUSH TABLES WITH READ LOCK",
        "FLUSH SSL",
        "BACKUP STAGE START",
        // Accounts.
        "CREATE USER x",
        "ALTER USER root@localhost IDENTIFIED BY ''",
        "DROP USER other",
        "RENAME USER other TO mine",
        "SET PASSWORD FOR other = PASSWORD('x')",
        "CREATE ROLE x",
        "GRANT ALL ON *.* TO app",
        "GRANT SUPER ON *.* TO app",
        "GRANT ALL ON orders.* TO PUBLIC",
        "GRANT PROXY ON root@localhost TO app",
        "SET ROLE root",
        "UPDATE mysql.global_priv SET priv = '{}'",
        "SELECT * FROM mysql.global_priv",
        "SELECT * FROM mysql.user",
        "SHOW GRANTS FOR root@localhost",
        "SHOW GRANTS FOR other",
        // Databases of others.
        "SELECT * FROM theirs.t",
        "CREATE TABLE theirs.t (n INT)",
        "CREATE DATABASE mine",
        "DROP DATABASE theirs",
        "DROP DATABASE mysql",
        "USE mysql",
        "CREATE TABLE sys.t (n INT)",
        "CALL sys.ps_setup_reset_to_default(FALSE)",
        "ALTER TABLE t RENAME theirs.t",
        // In somebody else's name.
        "CREATE DEFINER = root@localhost PROCEDURE p() SELECT 1",
        "CREATE DEFINER = root@localhost VIEW w AS SELECT * FROM mysql.global_priv",
        "CREATE DEFINER = `mariadb.sys`@localhost FUNCTION f() RETURNS INT RETURN 1",
        "CREATE DEFINER = root@localhost TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.x = 'y'",
        "CREATE DEFINER = other EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
        "ALTER DEFINER = root@localhost VIEW v AS SELECT * FROM mysql.global_priv",
    ];
    let (_, says) = tenant.says(&forbidden).await;
    for (at, sql) in forbidden.iter().enumerate() {
        let mark = format!(" at line {}:", at + 1);
        let error = says.lines().find(|line| line.starts_with("ERROR") && line.contains(&mark)).unwrap_or("it was not refused");
        assert!(REFUSALS.iter().any(|refusal| error.to_lowercase().contains(refusal)), "{sql}: {error}");
    }
    assert_eq!(tenant.may(&["SELECT load_file('/etc/passwd')", "SELECT load_file('ibdata1')"]).await, "NULL\nNULL");
    assert!(!Path::new("/tmp/granary-attack").exists());
    assert!(matches!(tenant.node.platform.presence(&tenant.node.spec).await, Presence::Running { .. }));
}

#[tokio::test]
async fn what_is_made_in_the_owners_name_runs_with_the_owners_rights_and_nobody_elses() {
    let tenant = Tenant::new().await;
    tenant.may(&["CREATE PROCEDURE p() SQL SECURITY DEFINER SELECT count(*) FROM mysql.global_priv"]).await;
    assert!(tenant.says(&["CALL p()"]).await.1.contains("denied"));
    assert_eq!(tenant.may(&["SHOW DATABASES"]).await, "information_schema\norders");
    // Nobody else's sessions and accounts are seen.
    let seen = tenant
        .may(&["SELECT count(*) FROM information_schema.processlist", "SELECT count(DISTINCT grantee) FROM information_schema.user_privileges"]);
    assert_eq!(seen.await, "1\n1");
}

#[tokio::test]
async fn tables_are_innodb_in_the_data_directory_whatever_was_asked_for() {
    let tenant = Tenant::new().await;
    let outside = tempfile::tempdir().unwrap();
    let at = format!("CREATE TABLE b (n INT) DATA DIRECTORY = '{}'", outside.path().display());
    tenant
        .may(&[
            "CREATE TABLE a (n INT) ENGINE = MyISAM",
            &at,
            "CREATE TABLE c (n INT) ENGINE = MEMORY",
            "CREATE TABLE d (n INT NOT NULL) ENGINE = CSV",
        ])
        .await;
    let engines = tenant.may(&["SELECT DISTINCT engine FROM information_schema.tables WHERE table_schema = 'orders'"]).await;
    assert_eq!(engines, "InnoDB");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    assert!(tenant.node.platform.paths(&tenant.node.spec).data.join("mariadb/orders/b.ibd").exists());
}

#[tokio::test]
async fn r042_names_are_taken_as_they_are_and_mean_nobody_else() {
    let node = Node::running().await;
    for (user, database) in [("john.doe", "john.doe"), ("O'Brien\"x\"", "a`b"), ("Ünïcode", "Ünïcode"), ("a;--", "a;--"), ("%", "my_app")] {
        let password = node.tenant(user, database).await;
        let (_, says) = node.says(user, password.expose_secret(), &[database], &["CREATE TABLE t (n INT)", "SELECT database()"]).await;
        assert_eq!(says, database, "{user}");
    }
    // john.doe is not john, and my_app is not myXapp.
    assert!(node.says("john", "x", &[], &["SELECT 1"]).await.1.contains("Access denied"));
    ENGINE.ensure_database(node.site(), "myXapp", "john.doe").await.unwrap();
    let first = node.tenant("app", "my_app").await;
    let password = node.tenant("app", "my_app").await;
    assert!(node.says("app", first.expose_secret(), &[], &["SELECT 1"]).await.1.contains("Access denied"), "the password was changed");
    let (_, says) = node.says("app", password.expose_secret(), &["my_app"], &["SELECT * FROM myXapp.t", "CREATE TABLE myXapp.u (n INT)"]).await;
    assert_eq!(says.matches("denied").count(), 2, "{says}");
}

#[tokio::test]
async fn r042_neither_password_nor_verifier_reaches_the_servers_log() {
    let node = Node::running().await;
    let password = SecretString::from("correct-horse-battery");
    let verifier = ENGINE.verifier(&password);
    ENGINE.ensure_user(node.site(), "app", &verifier).await.unwrap();
    let refused = ENGINE.ensure_user(node.site(), "app", &password).await.unwrap_err().to_string();
    assert!(refused.contains("verifier must stand") && !refused.contains("correct-horse"), "{refused}");
    assert_eq!(node.says("app", "correct-horse-battery", &[], &["SELECT 1"]).await.1, "1");
    let log = node.log().await;
    assert!(!log.contains("correct-horse") && !log.contains(&verifier.expose_secret()[1..]), "{log}");
}
