//! The probe of a failover drill: what it may, what it may not, and that nothing of it stays.

use super::{super::session::Session, ENGINE, HERE, Node, majors};
use crate::server::{
    crypto::{authority::Authority, random},
    engine::{
        Engine,
        probing::{Access, Probe, Probing},
    },
    platform::Stream,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;

impl Node {
    async fn probe(&self, password: &SecretString, authority: &Authority) -> anyhow::Result<Box<dyn Probe>> {
        let stream: Box<dyn Stream> = Box::new(TcpStream::connect(self.spec.address).await.unwrap());
        let access = Access { server: self.spec.address.ip(), ca_pem: authority.certificate_pem.clone(), password: password.clone() };
        ENGINE.open_probe(stream, &access).await
    }

    async fn has_probe(&self) -> bool {
        let sql = "SELECT 1 WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = 'granary_probe') OR EXISTS (SELECT FROM pg_namespace WHERE nspname = 'granary_probe')
            OR EXISTS (SELECT FROM pg_database WHERE datacl::text LIKE '%granary_probe%')";
        let session = Session::open(&self.platform, &self.spec, "postgres").await.unwrap();
        session.has(sql, &[]).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_is_made_writes_and_is_removed_each_twice_in_every_major() {
    for programs in majors().await {
        let node = Node::of(programs).await;
        node.run().await;
        let password = random::password();
        ENGINE.make_probe(node.site(), &random::password()).await.unwrap();
        ENGINE.make_probe(node.site(), &password).await.unwrap();
        let probe = node.probe(&password, &node.authority).await.unwrap();
        assert!(probe.write(7).await.unwrap() && probe.write(8).await.unwrap());
        let mut there = probe.read().await.unwrap();
        there.sort_unstable();
        assert_eq!(there, [7, 8]);
        // A restart of the server ends the session; the rows stay.
        ENGINE.stop(node.site()).await.unwrap();
        ENGINE.start(node.site()).await.unwrap();
        assert!(probe.write(9).await.is_err());
        let probe = node.probe(&password, &node.authority).await.unwrap();
        assert_eq!(probe.read().await.unwrap().len(), 2);
        assert!(node.has_probe().await);
        // Also under a session that is there.
        ENGINE.remove_probe(node.site()).await.unwrap();
        assert!(probe.write(9).await.is_err());
        ENGINE.remove_probe(node.site()).await.unwrap();
        assert!(!node.has_probe().await);
        assert!(!node.log().await.contains(password.expose_secret()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_acknowledged_with_a_warning_does_not_count() {
    let node = Node::running().await;
    let password = random::password();
    ENGINE.make_probe(node.site(), &password).await.unwrap();
    let warn = "CREATE FUNCTION granary_probe.warn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.number = 2 THEN RAISE WARNING 'it might not have been replicated'; ELSE RAISE NOTICE 'all is well'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER warn BEFORE INSERT ON granary_probe.written FOR EACH ROW EXECUTE PROCEDURE granary_probe.warn()";
    Session::open(&node.platform, &node.spec, "postgres").await.unwrap().act(warn).await.unwrap();
    let probe = node.probe(&password, &node.authority).await.unwrap();
    for (number, counts) in [(1, true), (2, false), (3, true)] {
        assert_eq!(probe.write(number).await.unwrap(), counts, "{number}");
    }
    assert_eq!(probe.read().await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_reaches_nothing_but_its_table_and_trusts_nobody_but_the_server() {
    let node = Node::running().await;
    node.tenant("shop", "shop").await;
    let password = random::password();
    ENGINE.make_probe(node.site(), &password).await.unwrap();
    let psql = async |database: &str, sql: &str| node.psql("granary_probe", password.expose_secret(), database, &[], &[sql]).await;
    assert!(psql("postgres", "INSERT INTO granary_probe.written VALUES (1)").await.0);
    for (database, sql) in [
        ("shop", "SELECT 1"),
        ("template1", "SELECT 1"),
        ("postgres", "CREATE TABLE public.t ()"),
        ("postgres", "CREATE TABLE granary_probe.t ()"),
        ("postgres", "CREATE TEMP TABLE t ()"),
        ("postgres", "CREATE SCHEMA mine"),
        ("postgres", "DELETE FROM granary_probe.written"),
        ("postgres", "DROP TABLE granary_probe.written"),
        ("postgres", "CREATE ROLE r"),
        ("postgres", "SELECT * FROM pg_authid"),
        ("postgres", "COPY granary_probe.written TO PROGRAM 'id'"),
        ("postgres", "SET ROLE granary_admin"),
    ] {
        let (done, says) = psql(database, sql).await;
        assert!(!done && (says.contains("permission denied") || says.contains("must be ")), "{sql} in {database}: {says}");
    }
    // A tenant does not come to its table, and cannot take its name.
    assert!(ENGINE.ensure_user(node.site(), "granary_probe", &ENGINE.verifier(&random::password())).await.is_err());

    let other = Authority::create("orders", super::now()).unwrap();
    let error = node.probe(&password, &other).await.err().expect("another CA is refused");
    assert!(format!("{error:#} {error:?}").to_lowercase().contains("certificate"), "{error:?}");
    assert!(node.probe(&random::password(), &node.authority).await.is_err(), "another password");
    // A server that is not the one that was dialled.
    let stream: Box<dyn Stream> = Box::new(TcpStream::connect(node.spec.address).await.unwrap());
    let access = Access { server: HERE, ca_pem: node.authority.certificate_pem.clone(), password };
    assert!(ENGINE.open_probe(stream, &access).await.is_err(), "a certificate for another address");
}
