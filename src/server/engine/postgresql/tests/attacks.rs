//! A datastore's first admin user, connected as a tenant is, tries to come to the server's OS user, to its files, to roles
//! and databases that are not its own.

use super::{ENGINE, Node};
use crate::server::{
    engine::Engine,
    platform::{Platform, Presence},
};
use secrecy::{ExposeSecret, SecretString};
use std::path::Path;

/// What the server says to what it refuses.
const REFUSALS: [&str; 18] = [
    "permission denied",
    "must be superuser",
    "must be a superuser",
    "must be owner",
    "must be member",
    "must have",
    "must be able to",
    "not allowed",
    "only superuser",
    "only roles with",
    "cannot be changed",
    "is not available",
    "no pg_hba.conf entry",
    "does not have connect privilege",
    "not currently accepting connections",
    "cannot set parameter",
    "is reserved",
    "cannot be renamed",
];

/// A tenant's way to its server.
pub(super) struct Tenant {
    pub(super) node: Node,
    pub(super) password: SecretString,
}

impl Tenant {
    pub(super) async fn new() -> Self {
        let node = Node::running().await;
        let password = node.tenant("app", "orders").await;
        node.tenant("other", "theirs").await;
        Self { node, password }
    }

    pub(super) async fn says(&self, sql: &[&str]) -> (bool, String) {
        self.node.psql("app", self.password.expose_secret(), "orders", &[("PGOPTIONS", "-c client_min_messages=error")], sql).await
    }

    /// What it may do.
    pub(super) async fn may(&self, sql: &[&str]) -> String {
        let (good, says) = self.says(sql).await;
        assert!(good, "{sql:?}: {says}");
        says
    }

    /// Each of these is refused, one session for all of them.
    pub(super) async fn may_not(&self, sql: &[&str]) {
        let (_, says) = self.says(sql).await;
        let errors: Vec<&str> = says.lines().filter_map(|line| line.strip_prefix("ERROR:")).collect();
        for (sql, error) in sql.iter().zip(&errors) {
            assert!(REFUSALS.iter().any(|refusal| error.to_lowercase().contains(refusal)), "{sql}: {error}");
        }
        assert_eq!(errors.len(), sql.len(), "one of them was not refused: {sql:#?}: {says}");
    }
}

#[tokio::test]
async fn the_servers_files_and_programs_are_out_of_reach() {
    let tenant = Tenant::new().await;
    tenant.may(&["CREATE TABLE t (x text)", "INSERT INTO t VALUES ('x')", "SELECT lo_from_bytea(7, 'x')"]).await;
    let forbidden = [
        "COPY t FROM PROGRAM 'id'",
        "COPY t TO PROGRAM 'cat'",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        "COPY t FROM '/etc/passwd'",
        "COPY t FROM 'PG_VERSION'",
        "COPY (SELECT 1) TO '/tmp/granary-attack'",
        "DO $$ BEGIN EXECUTE 'COPY t FROM PROGRAM ''id'''; END $$",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_read_file('postgresql.auto.conf', 0, 100)",
        "SELECT pg_read_file('PG_VERSION', 0, 1, true)",
        "SELECT pg_read_binary_file('global/pg_authid')",
        "SELECT pg_read_binary_file('PG_VERSION', 0, 1, true)",
        "SELECT pg_ls_dir('/')",
        "SELECT pg_ls_dir('.', true, true)",
        "SELECT pg_ls_waldir()",
        "SELECT pg_ls_logdir()",
        "SELECT pg_ls_tmpdir()",
        "SELECT pg_ls_archive_statusdir()",
        "SELECT pg_stat_file('/etc/passwd')",
        "SELECT pg_stat_file('PG_VERSION', true)",
        "SELECT pg_current_logfile()",
        "SELECT pg_rotate_logfile()",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_import('/etc/passwd', 8)",
        "SELECT lo_export(7, '/tmp/granary-attack')",
        "SELECT * FROM pg_config()",
        "SELECT * FROM pg_show_all_file_settings()",
        "SELECT * FROM pg_hba_file_rules()",
        "SELECT * FROM pg_file_settings",
        "SELECT * FROM pg_shmem_allocations",
        "SELECT * FROM pg_backend_memory_contexts",
        "SELECT pg_log_backend_memory_contexts(pg_backend_pid())",
        "CREATE TABLESPACE x LOCATION '/tmp'",
        "CREATE FUNCTION x(text) RETURNS text LANGUAGE internal AS 'pg_read_file_all'",
        "CREATE FUNCTION x(cstring) RETURNS int LANGUAGE c STRICT AS '/lib/x86_64-linux-gnu/libc.so.6', 'system'",
        "CREATE LANGUAGE x HANDLER plpgsql_call_handler",
        "CREATE TRUSTED LANGUAGE x HANDLER plpgsql_call_handler",
        "CREATE FOREIGN DATA WRAPPER x",
        "CREATE ACCESS METHOD x TYPE TABLE HANDLER heap_tableam_handler",
        "CREATE TYPE x (INPUT = textin, OUTPUT = textout)",
        "CREATE TEXT SEARCH TEMPLATE x (LEXIZE = dsimple_lexize)",
        "CREATE TEXT SEARCH PARSER x (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype)",
        "CREATE OPERATOR CLASS x FOR TYPE int USING btree AS OPERATOR 1 <",
        "CREATE EVENT TRIGGER x ON ddl_command_start EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE SUBSCRIPTION x CONNECTION 'host=127.0.0.1' PUBLICATION x",
        "CREATE PUBLICATION x FOR ALL TABLES",
        "LOAD '/lib/x86_64-linux-gnu/libc.so.6'",
        "LOAD 'auto_explain'",
        "ALTER SYSTEM SET shared_preload_libraries = 'x'",
        "ALTER SYSTEM SET archive_command = 'id'",
        "ALTER SYSTEM RESET ALL",
        "SELECT pg_reload_conf()",
        "SELECT pg_promote()",
        "SELECT pg_switch_wal()",
        "SELECT pg_create_restore_point('x')",
        "SELECT pg_create_physical_replication_slot('x')",
        "SELECT pg_create_logical_replication_slot('x', 'test_decoding')",
        "SELECT pg_replication_origin_create('x')",
        "CHECKPOINT",
    ];
    tenant.may_not(&forbidden).await;
    assert!(!Path::new("/tmp/granary-attack").exists());
}

#[tokio::test]
async fn no_role_but_its_own_can_be_taken_made_or_changed() {
    let tenant = Tenant::new().await;
    // Every owner of a database is a member of this one there: it owns nothing else.
    let roles = tenant.may(&["SELECT rolname FROM pg_roles WHERE rolname NOT IN ('app', 'pg_database_owner')"]).await;
    let roles: Vec<&str> = roles.lines().collect();
    assert!(["granary_admin", "granary_replication", "other", "pg_execute_server_program"].iter().all(|role| roles.contains(role)), "{roles:?}");
    for role in roles {
        let forbidden = [
            format!("GRANT {role} TO app"),
            format!("GRANT {role} TO app WITH ADMIN OPTION"),
            format!("GRANT app TO {role} GRANTED BY {role}"),
            format!("SET ROLE {role}"),
            format!("SET LOCAL ROLE {role}"),
            format!("SET SESSION AUTHORIZATION {role}"),
            format!("SELECT set_config('role', '{role}', false)"),
            format!("SELECT set_config('session_authorization', '{role}', false)"),
            format!("ALTER ROLE app SET role = '{role}'; SET role = '{role}'"),
            format!("ALTER DATABASE orders OWNER TO {role}"),
            format!("REASSIGN OWNED BY {role} TO app"),
            format!("DROP OWNED BY {role}"),
            format!("ALTER DEFAULT PRIVILEGES FOR ROLE {role} GRANT ALL ON TABLES TO app"),
            format!("ALTER ROLE {role} SET search_path = public"),
            format!("CREATE SCHEMA x AUTHORIZATION {role}"),
        ];
        tenant.may_not(&forbidden.each_ref().map(String::as_str)).await;
    }
    let forbidden = [
        "CREATE ROLE x",
        "CREATE ROLE x SUPERUSER",
        "CREATE USER x IN ROLE pg_execute_server_program",
        "CREATE GROUP x",
        "CREATE DATABASE x",
        "ALTER ROLE app SUPERUSER",
        "ALTER ROLE app CREATEROLE",
        "ALTER ROLE app CREATEDB",
        "ALTER ROLE app REPLICATION",
        "ALTER ROLE app BYPASSRLS",
        "ALTER ROLE app CONNECTION LIMIT -1",
        "ALTER ROLE app VALID UNTIL 'infinity'",
        "ALTER ROLE app RENAME TO granary_other",
        "ALTER ROLE other PASSWORD 'x'",
        "ALTER ROLE granary_admin PASSWORD 'x'",
        "ALTER ROLE granary_replication PASSWORD 'x'",
        "DROP ROLE other",
        "ALTER ROLE ALL SET search_path = public",
        "SELECT rolpassword FROM pg_authid",
        "SELECT passwd FROM pg_shadow",
        "SELECT * FROM pg_user_mapping",
        "SELECT * FROM pg_subscription",
        "UPDATE pg_authid SET rolsuper = true",
        "UPDATE pg_database SET datdba = 10",
        "UPDATE pg_proc SET prosecdef = true WHERE proname = 'version'",
        "INSERT INTO pg_auth_members (roleid, member, grantor, admin_option) VALUES (10, 10, 10, true)",
        "SET allow_system_table_mods = on",
        "CREATE TABLE pg_catalog.x (y int)",
        "CREATE FUNCTION pg_catalog.x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION pg_catalog.version() OWNER TO app",
        "ALTER EXTENSION plpgsql SET SCHEMA public",
        "DROP EXTENSION plpgsql",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
        "DROP DATABASE theirs",
        "ALTER DATABASE theirs SET search_path = public",
        "ALTER DATABASE postgres SET search_path = public",
        "ALTER DATABASE template1 OWNER TO app",
        "ALTER DATABASE orders RENAME TO theirs2",
    ];
    tenant.may_not(&forbidden).await;
    // Its own verifier it cannot read either, and what others do it sees without their words.
    assert_eq!(tenant.may(&["SELECT DISTINCT passwd FROM pg_user"]).await, "********");
    let words = "SELECT count(*) FROM pg_stat_activity WHERE usename <> current_user AND query NOT IN ('', '<insufficient privilege>')";
    assert_eq!(tenant.may(&[words]).await, "0");
    for database in ["postgres", "template1", "theirs", "template0"] {
        let (good, says) = tenant.node.psql("app", tenant.password.expose_secret(), database, &[], &["SELECT 1"]).await;
        assert!(!good && REFUSALS.iter().any(|refusal| says.to_lowercase().contains(refusal)), "{database}: {says}");
    }
}

#[tokio::test]
async fn only_extensions_that_reach_nothing_outside_can_be_made() {
    let tenant = Tenant::new().await;
    let of = |trusted: &str| format!("SELECT DISTINCT name FROM pg_available_extension_versions WHERE superuser AND ({trusted}) AND NOT installed");
    let untrusted = tenant.may(&[&of("NOT trusted")]).await;
    for name in untrusted.lines().chain(["plpython3u", "plperlu", "pltclu"]) {
        tenant.may_not(&[&format!("CREATE EXTENSION \"{name}\" CASCADE")]).await;
    }
    // Debian's postgresql package brings these; without them nothing was shown.
    for name in ["file_fdw", "adminpack", "dblink", "postgres_fdw", "pageinspect", "pg_surgery"] {
        assert!(untrusted.lines().any(|n| n == name) || !installs(&tenant, name).await, "{name} could be made");
    }
    for name in tenant.may(&[&of("trusted")]).await.lines() {
        // What this machine lacks another part of is no way in.
        let _ = tenant.says(&[&format!("CREATE EXTENSION \"{name}\" CASCADE")]).await;
    }
    // Whatever they brought along, the catalogue knows of no way out.
    for sql in [
        // `c` and `internal` are the server's own, and refused above whatever the catalogue says.
        "SELECT lanname FROM pg_language WHERE NOT lanpltrusted AND lanname NOT IN ('c', 'internal') AND has_language_privilege('app', oid, 'USAGE')",
        "SELECT fdwname FROM pg_foreign_data_wrapper WHERE has_foreign_data_wrapper_privilege('app', oid, 'USAGE')",
        "SELECT evtname FROM pg_event_trigger",
        // Of functions that act as the superuser there is none.
        "SELECT oid::regprocedure FROM pg_proc WHERE prosecdef AND proowner <> 'app'::regrole AND has_function_privilege('app', oid, 'EXECUTE')",
        "SELECT oid::regprocedure FROM pg_proc WHERE has_function_privilege('app', oid, 'EXECUTE')
            AND proname ~ '^(pg_read_|pg_ls_|pg_stat_file|pg_file_|pg_logdir|lo_import|lo_export|dblink|pg_reload|pg_rotate|pg_promote|pg_switch)'
            AND proname !~ '_old$'",
    ] {
        assert_eq!(tenant.may(&[sql]).await, "", "{sql}");
    }
    // Majors before 17 have two that ask themselves who calls them.
    if tenant.may(&["SELECT count(*) FROM pg_proc WHERE proname IN ('pg_read_file_old', 'pg_rotate_logfile_old')"]).await == "2" {
        tenant.may_not(&["SELECT pg_read_file_old('PG_VERSION', 0, 1)", "SELECT pg_rotate_logfile_old()"]).await;
    }
}

async fn installs(tenant: &Tenant, name: &str) -> bool {
    tenant.says(&[&format!("CREATE EXTENSION {name}")]).await.0
}

#[tokio::test]
async fn settings_that_load_log_or_reach_out_cannot_be_set_for_a_role_or_a_database() {
    let tenant = Tenant::new().await;
    for (name, value) in [
        ("session_preload_libraries", "x"),
        ("shared_preload_libraries", "x"),
        ("dynamic_library_path", "/tmp"),
        ("archive_command", "id"),
        ("restore_command", "id"),
        ("primary_conninfo", "host=127.0.0.1"),
        ("ssl_passphrase_command", "id"),
        ("log_statement", "none"),
        ("log_min_messages", "panic"),
        ("log_destination", "csvlog"),
        ("session_replication_role", "replica"),
        ("temp_file_limit", "-1"),
        ("max_connections", "1000"),
        ("data_directory", "/tmp"),
        ("hba_file", "/tmp/x"),
        ("unix_socket_directories", "/tmp"),
        ("listen_addresses", "*"),
        ("allow_in_place_tablespaces", "on"),
        ("zero_damaged_pages", "on"),
        ("ignore_checksum_failure", "on"),
        ("lo_compat_privileges", "on"),
        ("track_activities", "off"),
    ] {
        let forbidden = [
            format!("SET {name} = '{value}'"),
            format!("ALTER ROLE app SET {name} = '{value}'"),
            format!("ALTER DATABASE orders SET {name} = '{value}'"),
            format!("ALTER ROLE app IN DATABASE orders SET {name} = '{value}'"),
            format!("SELECT set_config('{name}', '{value}', false)"),
        ];
        tenant.may_not(&forbidden.each_ref().map(String::as_str)).await;
    }
    // A library of its own: only from a directory of the server's that it cannot write.
    let (good, says) = tenant.says(&["ALTER ROLE app SET local_preload_libraries = '../../../../tmp/x'", "SELECT 1"]).await;
    assert!(good, "{says}");
    let (good, says) = tenant.says(&["SELECT 1"]).await;
    assert!(!good && (says.contains("could not access file") || says.contains("access to library")), "{says}");
    let Presence::Running { .. } = tenant.node.platform.presence(&tenant.node.spec).await else { panic!("the server went") };
    assert!(ENGINE.check(&tenant.node.platform, &tenant.node.spec).await.unwrap().writable);
}
