//! What a tenant leaves in its database for Granary's own sessions to step on, and where clients may come from.

use super::{ENGINE, HERE, attacks::Tenant};
use crate::server::{
    crypto::random,
    engine::{
        Engine,
        postgresql::session::{MAINTENANCE, Session},
    },
};
use secrecy::ExposeSecret;
use std::net::{IpAddr, SocketAddr};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket},
};

/// Functions, operators and casts that say who called them, under the names that Granary's statements use.
const TROJANS: &str = "
    CREATE TABLE caught (who name DEFAULT current_user, superuser boolean DEFAULT current_setting('is_superuser')::boolean);
    CREATE FUNCTION caught() RETURNS integer LANGUAGE sql AS 'INSERT INTO public.caught DEFAULT VALUES; SELECT 1';
    CREATE FUNCTION format(text, text[]) RETURNS text LANGUAGE sql AS 'SELECT public.caught(); SELECT ''ALTER ROLE app SUPERUSER''';
    CREATE FUNCTION format(text, VARIADIC name[]) RETURNS text LANGUAGE sql AS 'SELECT public.caught(); SELECT ''ALTER ROLE app SUPERUSER''';
    CREATE FUNCTION current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT public.caught(); SELECT ''off''';
    CREATE FUNCTION pg_is_in_recovery(int DEFAULT 0) RETURNS boolean LANGUAGE sql AS 'SELECT public.caught(); SELECT true';
    CREATE FUNCTION split_part(text, text, bigint) RETURNS text LANGUAGE sql AS 'SELECT public.caught(); SELECT ''0''';
    CREATE FUNCTION concat_ws(text, text, text) RETURNS text LANGUAGE sql AS 'SELECT public.caught(); SELECT ''''';
    CREATE FUNCTION same(name, text) RETURNS boolean LANGUAGE sql AS 'SELECT public.caught(); SELECT true';
    CREATE OPERATOR = (LEFTARG = name, RIGHTARG = text, FUNCTION = same);
    CREATE TABLE pg_roles (rolname name); CREATE VIEW pg_database AS SELECT 1 AS datname, public.caught() AS datconnlimit;
    CREATE VIEW pg_namespace AS SELECT 'public'::name AS nspname, 10 AS nspowner, public.caught();
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC; ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO PUBLIC;
    GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC";

/// What an owner may set for every session in its database.
const DATABASE_SETTINGS: [&str; 12] = [
    "search_path = public, pg_catalog",
    "role = app",
    "local_preload_libraries = 'nothing_there'",
    "statement_timeout = 1",
    "lock_timeout = 1",
    "default_transaction_read_only = on",
    "default_transaction_isolation = serializable",
    "standard_conforming_strings = off",
    "quote_all_identifiers = on",
    "datestyle = 'SQL, DMY'",
    "client_encoding = 'LATIN1'",
    "check_function_bodies = off",
];

#[tokio::test]
async fn granarys_sessions_step_on_nothing_that_a_tenant_laid_out() {
    let tenant = Tenant::new().await;
    let node = &tenant.node;
    for statement in TROJANS.split(";\n") {
        tenant.may(&[statement]).await;
    }
    // In one session: the next one would not get in any more.
    let settings = DATABASE_SETTINGS.map(|setting| format!("ALTER DATABASE orders SET {setting}"));
    tenant.may(&settings.each_ref().map(String::as_str)).await;
    // All of Granary's work, and a session in the very database.
    let session = Session::open(&node.platform, &node.spec, "orders").await.unwrap();
    let row = session
        .row("SELECT current_user::text, current_setting('search_path'), current_setting('local_preload_libraries'), current_setting('statement_timeout')", &[])
        .await
        .unwrap()
        .unwrap();
    let [user, path, libraries, limit] = [0, 1, 2, 3].map(|column| row.get::<_, String>(column));
    assert_eq!((user.as_str(), path.as_str(), libraries.as_str(), limit.as_str()), ("granary_admin", "pg_catalog,pg_temp", "", "30s"));
    session.act("SET default_transaction_read_only = off").await.unwrap();
    session.act_on("COMMENT ON DATABASE %I IS %L", &["orders", "it's \\ a text"]).await.unwrap();
    for _ in 0..2 {
        ENGINE.harden(node.site()).await.unwrap();
        ENGINE.ensure_user(node.site(), "app", &ENGINE.verifier(&tenant.password)).await.unwrap();
        ENGINE.ensure_database(node.site(), "orders", "app").await.unwrap();
        ENGINE.ensure_user(node.site(), "third", &ENGINE.verifier(&random::password())).await.unwrap();
        ENGINE.ensure_database(node.site(), "thirds", "third").await.unwrap();
        ENGINE.reload(node.site()).await.unwrap();
        for on in [true, false] {
            ENGINE.set_read_only(node.site(), on).await.unwrap();
        }
        assert!(ENGINE.check(&node.platform, &node.spec).await.unwrap().writable);
    }
    let admin = Session::open(&node.platform, &node.spec, MAINTENANCE).await.unwrap();
    let row = admin.row("SELECT count(*) FROM pg_roles WHERE rolsuper AND rolname <> 'granary_admin'", &[]).await.unwrap().unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
    let row = session.row("SELECT count(*) FROM public.caught", &[]).await.unwrap().unwrap();
    assert_eq!(row.get::<_, i64>(0), 0, "nothing of the tenant's ran in a session of Granary's");
}

#[tokio::test]
async fn full_storage_refuses_writes_until_there_is_room_and_lets_who_asks_make_some() {
    let tenant = Tenant::new().await;
    let node = &tenant.node;
    tenant.may(&["CREATE TABLE t (x int)"]).await;
    for _ in 0..2 {
        ENGINE.set_read_only(node.site(), true).await.unwrap();
        assert!(ENGINE.check(&node.platform, &node.spec).await.unwrap().read_only);
    }
    let (good, says) = tenant.says(&["INSERT INTO t VALUES (1)"]).await;
    assert!(!good && says.contains("read-only transaction"), "{says}");
    tenant.may(&["SELECT count(*) FROM t", "SET default_transaction_read_only = off", "DELETE FROM t"]).await;
    // Neither a new configuration nor a restart forgets it, and Granary's own acts go on.
    ENGINE.configure(node.site(), &node.settings(HERE)).await.unwrap();
    ENGINE.stop(node.site()).await.unwrap();
    ENGINE.start(node.site()).await.unwrap();
    assert!(ENGINE.check(&node.platform, &node.spec).await.unwrap().read_only);
    node.tenant("another", "anothers").await;
    ENGINE.set_read_only(node.site(), false).await.unwrap();
    tenant.may(&["INSERT INTO t VALUES (1)"]).await;
}

#[tokio::test]
async fn refusing_writes_cuts_who_is_writing() {
    let tenant = Tenant::new().await;
    let busy = tenant.says(&["CREATE TABLE t (x int)", "DO $$ BEGIN LOOP INSERT INTO t VALUES (1); COMMIT; END LOOP; END $$"]);
    let stop = async {
        let session = Session::open(&tenant.node.platform, &tenant.node.spec, MAINTENANCE).await.unwrap();
        while !session.has("SELECT 1 FROM pg_stat_activity WHERE usename = 'app' AND query LIKE 'DO%'", &[]).await.unwrap() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        ENGINE.set_read_only(tenant.node.site(), true).await.unwrap();
    };
    let ((good, says), ()) = tokio::join!(busy, stop);
    assert!(!good && says.contains("terminating connection"), "{says}");
}

#[tokio::test]
async fn r026_other_sources_than_the_edges_are_refused_by_the_server_itself() {
    let tenant = Tenant::new().await;
    let node = &tenant.node;
    let own = node.spec.address.ip();
    for (source, admitted) in [(HERE, true), ("127.0.0.2".parse().unwrap(), false), ("127.77.1.9".parse().unwrap(), false), (own, false)] {
        let through = from(source, node.spec.address).await;
        let (host, port) = (through.ip().to_string(), through.port().to_string());
        for user in ["app", "granary_admin", "granary_replication"] {
            let with =
                [("PGHOST", host.as_str()), ("PGPORT", &port), ("PGSSLMODE", "require"), ("PGSSLROOTCERT", "/nowhere"), ("PGCONNECT_TIMEOUT", "10")];
            let (good, says) = node.psql(user, tenant.password.expose_secret(), "orders", &with, &["SELECT 1"]).await;
            assert_eq!(good, admitted && user == "app", "{user} from {source}: {says}");
            let refused = if user == "app" { format!("no pg_hba.conf entry for host \"{source}\"") } else { "rejects connection".to_owned() };
            assert!(good || says.contains(&refused), "{user} from {source}: {says}");
        }
    }
}

/// An address through which a server sees clients from `source`.
async fn from(source: IpAddr, server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((source, 0).into()).unwrap();
            let mut stream = socket.connect(server).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut stream).await });
        }
    });
    at
}
