//! Who gets in, and what tenants may do.

use super::{ENGINE, Node, config, now};
use crate::server::{
    crypto::{authority::Authority, derived::Passwords},
    engine::{Engine, redis::Redis},
    platform::Platform,
};
use secrecy::{ExposeSecret, SecretString};
use std::fs;

#[tokio::test]
async fn r026_r036_only_tls_and_the_password_get_in() {
    let node = Node::running().await;
    let password = node.tenant("app").await;
    let secret = password.expose_secret();
    assert_eq!(node.cli("app", secret, &[], &["PING"]).await, "PONG");
    assert!(node.cli("", "", &[], &["PING"]).await.contains("NOAUTH"));
    let says = node.cli("app", secret, &["--plain"], &["PING"]).await;
    assert!(says.to_lowercase().contains("error") && !says.contains("PONG"), "nothing is said without TLS: {says}");
    for (user, password) in
        [("app", "wrong"), ("nobody", secret), ("default", ""), ("default", secret), ("granary_admin", secret), ("granary_admin", "")]
    {
        let says = node.cli(user, password, &[], &["PING"]).await;
        assert!(says.contains("NOAUTH") || says.contains("WRONGPASS"), "{user}: {says}");
    }
    // The hash is no password.
    let hash = ENGINE.verifier(&password);
    assert!(node.cli("app", hash.expose_secret(), &[], &["PING"]).await.contains("WRONGPASS"));
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::write(&elsewhere, Authority::create("cache", now()).unwrap().certificate_pem).unwrap();
    let says = node.cli("app", secret, &["--cacert", elsewhere.path().to_str().unwrap()], &["PING"]).await;
    assert!(says.contains("certificate verify failed"), "{says}");
}

#[tokio::test]
async fn tenants_have_every_command_on_data_and_none_on_the_server() {
    let node = Node::running().await;
    let password = node.tenant("app").await;
    let cli = async |words: &[&str]| node.cli("app", password.expose_secret(), &[], words).await;
    for words in [
        &["SET", "a", "1"][..],
        &["LPUSH", "l", "1"],
        &["XADD", "s", "*", "f", "v"],
        &["PUBLISH", "c", "m"],
        &["EVAL", "return redis.call('GET', KEYS[1])", "1", "a"],
        &["KEYS", "*"],
        &["INFO"],
        &["DBSIZE"],
        &["MEMORY", "USAGE", "a"],
        &["ACL", "WHOAMI"],
        &["CLIENT", "SETNAME", "mine"],
        &["FLUSHDB"],
        &["FLUSHALL"],
        &["BGREWRITEAOF"],
    ] {
        let says = cli(words).await;
        assert!(!says.contains("NOPERM") && !says.contains("ERR"), "{words:?}: {says}");
    }
    for words in [
        &["CONFIG", "GET", "*"][..],
        &["CONFIG", "SET", "dir", "/tmp"],
        &["CONFIG", "SET", "maxmemory", "0"],
        &["CONFIG", "REWRITE"],
        &["ACL", "LIST"],
        &["ACL", "GETUSER", "granary_admin"],
        &["ACL", "SETUSER", "app", "+@all"],
        &["ACL", "SETUSER", "other", "on", "nopass", "+@all", "~*"],
        &["ACL", "SAVE"],
        &["ACL", "LOAD"],
        &["ACL", "LOG"],
        &["DEBUG", "SLEEP", "1"],
        &["MODULE", "LIST"],
        &["MODULE", "LOAD", "/tmp/x.so"],
        &["SAVE"],
        &["BGSAVE"],
        &["SHUTDOWN", "NOSAVE"],
        &["REPLICAOF", "127.0.0.1", "1"],
        &["SLAVEOF", "127.0.0.1", "1"],
        &["FAILOVER"],
        &["PSYNC", "?", "-1"],
        &["SYNC"],
        &["REPLCONF", "listening-port", "1"],
        &["MIGRATE", "127.0.0.1", "1", "a", "0", "1"],
        &["MONITOR"],
        &["CLIENT", "LIST"],
        &["CLIENT", "KILL", "TYPE", "normal"],
        &["CLIENT", "PAUSE", "1000"],
        &["LATENCY", "LATEST"],
        &["SLOWLOG", "GET"],
        &["SWAPDB", "0", "1"],
        &["EVAL", "return redis.call('CONFIG', 'GET', '*')", "0"],
        &["EVAL", "return redis.call('ACL', 'LIST')", "0"],
    ] {
        let says = cli(words).await;
        let refused = ["NOPERM", "can't run this command", "command not allowed", "not allowed from script"];
        assert!(refused.iter().any(|words| says.contains(words)), "{words:?}: {says}");
    }
    assert!(ENGINE.check(&node.platform, &node.spec).await.unwrap().writable);
}

#[tokio::test]
async fn scripts_have_no_way_out_of_the_server() {
    let node = Node::running().await;
    let password = node.tenant("app").await;
    // A build that lacks Debian's own repair has `package`, through which a script loads libraries.
    for name in ["package", "io", "require", "dofile", "loadfile", "debug", "getfenv(0).package"] {
        let script = format!("local ok, it = pcall(function() return {name} end); if not ok then return 'nil' end; return type(it)");
        let says = node.cli("app", password.expose_secret(), &[], &["--raw", "EVAL", &script, "0"]).await;
        assert!(says == "nil" || says.contains("nonexistent global variable"), "{name}: {says}");
    }
    for script in [
        "return os.execute",
        "return os.getenv",
        "return os.remove",
        "return io.open('/etc/passwd')",
        "return loadstring(string.dump(function() end))",
    ] {
        let says = node.cli("app", password.expose_secret(), &[], &["EVAL", script, "0"]).await;
        assert!(says.is_empty() || says.contains("(nil)") || says.contains("ERR"), "{script}: {says}");
    }
}

#[tokio::test]
async fn granarys_own_user_reads_no_keys_and_is_known_to_its_own_master_key_alone() {
    let node = Node::running().await;
    let password = ENGINE.password(&node.spec).unwrap();
    let tenant = node.tenant("app").await;
    assert_eq!(node.cli("app", tenant.expose_secret(), &[], &["SET", "x", "1"]).await, "OK");
    for words in [&["GET", "x"][..], &["KEYS", "*"], &["EVAL", "return 1", "0"], &["SHUTDOWN"], &["FLUSHALL"]] {
        let says = node.cli("granary_admin", password.expose_secret(), &[], words).await;
        assert!(says.contains("NOPERM"), "{words:?}: {says}");
    }
    let other = Redis::new(Vec::new(), Some(Passwords::from_key(&[8; 32])));
    let says = format!("{:#}", other.check(&node.platform, &node.spec).await.unwrap_err());
    assert!(says.contains("Granary cannot sign in") && says.contains("WRONGPASS"), "{says}");
    // With another key file a restart puts it right, and everybody else is still there.
    other.stop(node.site()).await.unwrap();
    other.configure(node.site(), &node.settings()).await.unwrap();
    other.start(node.site()).await.unwrap();
    other.check(&node.platform, &node.spec).await.unwrap();
    assert!(ENGINE.check(&node.platform, &node.spec).await.is_err());
    assert_eq!(node.cli("app", tenant.expose_secret(), &[], &["GET", "x"]).await, "1");
    let looks = Redis::new(Vec::new(), None).check(&node.platform, &node.spec).await.unwrap_err().to_string();
    assert!(looks.contains("master key"), "{looks}");
}

#[tokio::test]
async fn r042_neither_password_nor_verifier_reaches_the_servers_log() {
    let node = Node::running().await;
    let password = SecretString::from("correct-horse-battery");
    let verifier = ENGINE.verifier(&password);
    ENGINE.ensure_user(node.site(), "app", &verifier).await.unwrap();
    let refused = ENGINE.ensure_user(node.site(), "app", &password).await.unwrap_err().to_string();
    assert!(refused.contains("verifier must stand") && !refused.contains("correct-horse"), "{refused}");
    assert_eq!(node.cli("app", "correct-horse-battery", &[], &["PING"]).await, "PONG");
    let own = ENGINE.password(&node.spec).unwrap();
    let (log, hash) = (node.log().await, &verifier.expose_secret()[1..]);
    assert!(!log.contains("correct-horse") && !log.contains(hash) && !log.contains(own.expose_secret()), "{log}");
    let stored = fs::read_to_string(node.platform.paths(&node.spec).data.join(config::USERS)).unwrap();
    assert!(stored.contains(hash) && !stored.contains("correct-horse") && !stored.contains(own.expose_secret()));
}

#[tokio::test]
async fn r042_names_are_taken_as_they_are_and_a_password_is_changed() {
    let node = Node::running().await;
    for user in ["john.doe", "O'Brien\"x\"", "Ünïcode", "+@all", "~*", "a;--"] {
        let password = node.tenant(user).await;
        let says = node.cli(user, password.expose_secret(), &["--raw"], &["ACL", "WHOAMI"]).await;
        assert_eq!(says, user);
    }
    // john.doe is not john.
    assert!(node.cli("john", "x", &[], &["PING"]).await.contains("WRONGPASS"));
    let (first, second) = (node.tenant("app").await, node.tenant("app").await);
    assert!(node.cli("app", first.expose_secret(), &[], &["PING"]).await.contains("WRONGPASS"));
    assert_eq!(node.cli("app", second.expose_secret(), &[], &["PING"]).await, "PONG");
    // They outlive a server that was killed.
    node.platform.fence(node.site().lease, &node.spec).await.unwrap();
    ENGINE.start(node.site()).await.unwrap();
    assert_eq!(node.cli("app", second.expose_secret(), &[], &["PING"]).await, "PONG");
    let stored = fs::read_to_string(node.platform.paths(&node.spec).data.join(config::USERS)).unwrap();
    assert_eq!(stored.lines().filter(|l| l.starts_with("user granary_") || l.starts_with("user default")).count(), 3, "{stored}");
    assert_eq!(stored.lines().count(), 10, "{stored}");
}
