//! The files that configure the metadata server.

use super::{
    account,
    server::{GRANARY, PORT, Server, Sizing},
};
use anyhow::{Context, ensure};
use std::{fmt::Write as _, fs, os::unix::fs::PermissionsExt, path::Path};

/// Writes them, before each start.
pub(super) async fn write(server: &Server, sockets: &Path) -> anyhow::Result<()> {
    let Sizing { max_connections, durable } = server.sizing;
    let settings = [
        ("data_directory", quoted(&server.data)?),
        ("hba_file", quoted(&server.directory.join("pg_hba.conf"))?),
        ("ident_file", quoted(&server.directory.join("pg_ident.conf"))?),
        ("listen_addresses", "''".to_owned()),
        ("port", PORT.to_string()),
        ("unix_socket_directories", quoted(sockets)?),
        ("unix_socket_permissions", "0700".to_owned()),
        ("max_connections", max_connections.to_string()),
        ("shared_buffers", "16MB".to_owned()),
        ("maintenance_work_mem", "16MB".to_owned()),
        ("max_wal_size", "128MB".to_owned()),
        ("min_wal_size", "32MB".to_owned()),
        ("max_parallel_workers", "0".to_owned()),
        ("autovacuum_max_workers", "1".to_owned()),
        ("jit", "off".to_owned()),
        ("fsync", durable.to_string()),
        ("timezone", "'UTC'".to_owned()),
        ("log_timezone", "'UTC'".to_owned()),
        // Granary logs the errors of its own statements itserver.
        ("log_min_messages", "log".to_owned()),
    ];
    let mut text = String::from("# Written by Granary at each start of its metadata server.\n");
    for (name, value) in settings {
        writeln!(text, "{name} = {value}")?;
    }
    file(server, "postgresql.conf", &text)?;
    file(server, "pg_hba.conf", &format!("local all {GRANARY} peer map=granary\n"))?;
    file(server, "pg_ident.conf", &format!("granary \"{}\" {GRANARY}\n", account::own_name().await?))
}

fn file(server: &Server, name: &str, text: &str) -> anyhow::Result<()> {
    let path = server.directory.join(name);
    fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    Ok(())
}

/// A value of postgresql.conf.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not valid UTF-8", path.display()))?;
    ensure!(!text.contains(['\n', ',', '"']), "the path {text} holds a line break, a comma or a quotation mark; choose another GRANARY_HOME");
    Ok(format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''")))
}
