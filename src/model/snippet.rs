//! The connection assistant: for a user, a database and an endpoint, text that runs exactly as pasted (rule 28).

use super::{datastore::EndpointKind, engine::EngineKind};
use serde::{Deserialize, Serialize};

/// What a snippet is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Name of the datastore: the CA's file is named after it.
    pub datastore: String,
    /// Host of the endpoint.
    pub host: String,
    /// Port of the endpoint.
    pub port: u16,
    /// Which endpoint it is.
    pub endpoint: EndpointKind,
    /// Whether there is a replica endpoint, too.
    pub replicas: bool,
    /// `host:port` of each node's own public address, where there are several: for clients that choose among hosts themselves.
    pub nodes: Vec<String>,
    /// Database.
    pub database: String,
    /// User.
    pub user: String,
    /// Password, once revealed; a placeholder stands for it otherwise.
    pub password: Option<String>,
    /// Whether whoever looks may reveal it.
    pub may_reveal: bool,
    /// Absolute URL of the CA.
    pub ca_url: String,
}

/// One way to connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snippet {
    /// Id of its tab.
    pub id: String,
    /// Name of its tab.
    pub label: String,
    /// What to know before pasting.
    pub note: String,
    /// The text.
    pub text: String,
}

/// Stands where a password is not shown.
pub const PASSWORD_PLACEHOLDER: &str = "YOUR-PASSWORD";

impl Connection {
    /// File name of the CA.
    #[must_use]
    pub fn ca_file(&self) -> String {
        format!("{}-ca.pem", self.datastore)
    }

    fn fetch(&self) -> String {
        format!("curl -fsS {} -o {}", self.ca_url, self.ca_file())
    }

    fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }

    fn postgresql_url(&self, password: Option<&str>) -> String {
        let secret = password.map(|p| format!(":{p}")).unwrap_or_default();
        format!("postgresql://{}{secret}@{}/{}?sslmode=verify-full&sslrootcert={}", self.user, self.authority(), self.database, self.ca_file())
    }

    /// All nodes, of which libpq takes the one that fits; from `PostgreSQL` 14's libpq on it knows standbys.
    fn libpq_hosts(&self) -> String {
        let wanted = match self.endpoint {
            EndpointKind::Primary => "read-write",
            EndpointKind::Replica => "prefer-standby",
        };
        let (user, hosts, database, ca) = (&self.user, self.nodes.join(","), &self.database, self.ca_file());
        format!("postgresql://{user}@{hosts}/{database}?sslmode=verify-full&sslrootcert={ca}&connect_timeout=3&target_session_attrs={wanted}")
    }

    fn jdbc(&self, hosts: &str, more: &str) -> String {
        format!("jdbc:postgresql://{hosts}/{}?user={}&sslmode=verify-full&sslrootcert={}{more}", self.database, self.user, self.ca_file())
    }

    /// All nodes, of which Connector/J takes the one that fits.
    fn jdbc_hosts(&self) -> String {
        let wanted = match self.endpoint {
            EndpointKind::Primary => "primary",
            EndpointKind::Replica => "preferSecondary&loadBalanceHosts=true",
        };
        self.jdbc(&self.nodes.join(","), &format!("&connectTimeout=3&targetServerType={wanted}"))
    }
}

/// The snippets of an endpoint. Those of every engine have the ids `cli`, `url` and `env` among them.
#[must_use]
pub fn snippets(engine: EngineKind, c: &Connection) -> Vec<Snippet> {
    match engine {
        EngineKind::PostgreSql => postgresql(c),
        EngineKind::MariaDb => mariadb(c),
        EngineKind::MySql => Vec::new(),
        EngineKind::Redis => redis(c),
        // Its clients are those of Redis, but for the one that it brings itself.
        EngineKind::Valkey => {
            let own = |text: String| text.replace("redis-cli", "valkey-cli");
            redis(c).into_iter().map(|it| Snippet { label: own(it.label), note: own(it.note), text: own(it.text), ..it }).collect()
        }
    }
}

fn snippet(id: &str, label: &str, note: &str, text: String) -> Snippet {
    Snippet { id: id.into(), label: label.into(), note: note.into(), text }
}

fn postgresql(c: &Connection) -> Vec<Snippet> {
    let password = c.password.as_deref().unwrap_or(PASSWORD_PLACEHOLDER);
    let mut all = vec![
        snippet(
            "cli",
            "psql",
            "Two lines: fetch the CA, connect. psql asks for the password, or takes it from PGPASSWORD.",
            format!("{}\npsql \"{}\"", c.fetch(), c.postgresql_url(None)),
        ),
        snippet("url", "URL", "For anything that takes a PostgreSQL URL; the CA's file lies beside the program.", c.postgresql_url(Some(password))),
        snippet(
            "env",
            ".env",
            "Read by libpq and most frameworks.",
            format!(
                "DATABASE_URL=\"{}\"\nPGHOST={}\nPGPORT={}\nPGDATABASE={}\nPGUSER={}\nPGPASSWORD={}\nPGSSLMODE=verify-full\nPGSSLROOTCERT={}",
                c.postgresql_url(Some(password)),
                c.host,
                c.port,
                c.database,
                c.user,
                password,
                c.ca_file()
            ),
        ),
        snippet(
            "python",
            "Python",
            "Needs psycopg: pip install \"psycopg[binary]\". The password comes from PGPASSWORD.",
            format!(
                "import urllib.request\n\nimport psycopg\n\nurllib.request.urlretrieve(\"{}\", \"{}\")\nwith psycopg.connect(\"{}\") as connection:\n    print(connection.execute(\"select version()\").fetchone()[0])",
                c.ca_url,
                c.ca_file(),
                c.postgresql_url(None)
            ),
        ),
        snippet(
            "jdbc",
            "JDBC",
            "For PostgreSQL's JDBC driver; the CA's file lies beside the program, the password goes into the property of that name.",
            c.jdbc(&c.authority(), ""),
        ),
    ];
    if !c.nodes.is_empty() {
        all.push(snippet(
            "hosts",
            "All hosts, libpq",
            "Not needed: the endpoint follows a failover by itself. For a client that should choose among the nodes; libpq tries them in order.",
            format!("{}\npsql \"{}\"", c.fetch(), c.libpq_hosts()),
        ));
        all.push(snippet(
            "jdbc-hosts",
            "All hosts, JDBC",
            "Not needed: the endpoint follows a failover by itself. The driver asks each node what it is, and remembers it for 10 s (hostRecheckSeconds).",
            c.jdbc_hosts(),
        ));
    }
    all
}

/// Each client has a way of its own to be told of a CA in a URL; this is the one of MySQL's own tools, and of sqlx.
fn mariadb(c: &Connection) -> Vec<Snippet> {
    let password = c.password.as_deref().unwrap_or(PASSWORD_PLACEHOLDER);
    let (host, port, user, database, ca) = (&c.host, c.port, &c.user, &c.database, c.ca_file());
    let url = format!("mysql://{user}:{password}@{}/{database}?ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}", c.authority());
    vec![
        snippet(
            "cli",
            "mariadb",
            "Two lines: fetch the CA, connect. mariadb asks for the password.",
            format!("{}\nmariadb --ssl-ca={ca} --ssl-verify-server-cert -h {host} -P {port} -u {user} -p {database}", c.fetch()),
        ),
        snippet(
            "url",
            "URL",
            "As MySQL's own tools and sqlx read it; the CA's file lies beside the program. A client that reads no CA from a URL gets the URL \
             up to the question mark, and the file by an option of its own.",
            url.clone(),
        ),
        snippet(
            "env",
            ".env",
            "What most frameworks read; mariadb itself reads MYSQL_HOST, MYSQL_TCP_PORT and MYSQL_PWD.",
            format!(
                "DATABASE_URL=\"{url}\"\nMYSQL_HOST={host}\nMYSQL_TCP_PORT={port}\nMYSQL_DATABASE={database}\nMYSQL_USER={user}\nMYSQL_PWD={password}\n\
                 MYSQL_CA_FILE={ca}"
            ),
        ),
        snippet(
            "python",
            "Python",
            "Needs PyMySQL: pip install pymysql. The password comes from MYSQL_PWD.",
            format!(
                "import os\nimport urllib.request\n\nimport pymysql\n\nurllib.request.urlretrieve(\"{}\", \"{ca}\")\nwith pymysql.connect(\n    host=\"{host}\",\n    \
                 port={port},\n    user=\"{user}\",\n    password=os.environ[\"MYSQL_PWD\"],\n    database=\"{database}\",\n    ssl_ca=\"{ca}\",\n    ssl_verify_cert=True,\n    \
                 ssl_verify_identity=True,\n) as connection:\n    cursor = connection.cursor()\n    cursor.execute(\"select version()\")\n    print(cursor.fetchone()[0])",
                c.ca_url
            ),
        ),
        snippet(
            "jdbc",
            "JDBC",
            "For MariaDB's Connector/J; the CA's file lies beside the program, the password goes into the property of that name.",
            format!("jdbc:mariadb://{}/{database}?user={user}&sslMode=verify-full&serverSslCert={ca}", c.authority()),
        ),
    ]
}

/// Of a datastore's own CA there are no certificates but its own, so whoever verifies with it has the right server, also where
/// a client, such as redis-cli, compares no names.
fn redis(c: &Connection) -> Vec<Snippet> {
    let password = c.password.as_deref().unwrap_or(PASSWORD_PLACEHOLDER);
    let url = format!("rediss://{}:{password}@{}/{}?ssl_ca_certs={}", c.user, c.authority(), c.database, c.ca_file());
    vec![
        snippet(
            "cli",
            "redis-cli",
            "Two lines: fetch the CA, connect. redis-cli asks for the password.",
            format!("{}\nredis-cli --tls --cacert {} -h {} -p {} --user {} --askpass", c.fetch(), c.ca_file(), c.host, c.port, c.user),
        ),
        snippet(
            "url",
            "URL",
            "As redis-py and all that stands on it read it; the CA's file lies beside the program. A client that reads no CA from a URL gets \
             the URL up to the question mark, and the file by an option of its own.",
            url.clone(),
        ),
        snippet(
            "env",
            ".env",
            "What most frameworks read; redis-cli reads REDISCLI_AUTH.",
            format!(
                "REDIS_URL=\"{url}\"\nREDIS_HOST={}\nREDIS_PORT={}\nREDIS_DB={}\nREDIS_USERNAME={}\nREDIS_PASSWORD={password}\nREDISCLI_AUTH={password}\nREDIS_CA_FILE={}",
                c.host,
                c.port,
                c.database,
                c.user,
                c.ca_file()
            ),
        ),
        snippet(
            "python",
            "Python",
            "Needs redis: pip install redis. The password comes from REDIS_PASSWORD.",
            format!(
                "import os\nimport urllib.request\n\nimport redis\n\nurllib.request.urlretrieve(\"{}\", \"{ca}\")\nwith redis.Redis(\n    host=\"{}\",\n    port={},\n    \
                 db={},\n    username=\"{}\",\n    password=os.environ[\"REDIS_PASSWORD\"],\n    ssl=True,\n    ssl_ca_certs=\"{ca}\",\n    ssl_check_hostname=True,\n) as client:\n    \
                 print(client.info(\"server\")[\"redis_version\"])",
                c.ca_url,
                c.host,
                c.port,
                c.database,
                c.user,
                ca = c.ca_file()
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r028_and_r036_snippets_of_redis_name_the_ca_and_hide_what_is_not_revealed() {
        let mut c = Connection {
            endpoint: EndpointKind::Primary,
            replicas: false,
            nodes: Vec::new(),
            datastore: "cache".into(),
            host: "127.9.8.7".into(),
            port: 6379,
            database: "0".into(),
            user: "app_admin".into(),
            password: None,
            may_reveal: true,
            ca_url: "http://127.0.0.1:3000/ca/abc.pem".into(),
        };
        assert!(snippets(EngineKind::Valkey, &c).iter().any(|s| s.id == "cli" && s.text.contains("\nvalkey-cli --tls --cacert ")));
        let all = snippets(EngineKind::Redis, &c);
        assert_eq!(all.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["cli", "url", "env", "python"]);
        assert!(all.iter().all(|s| s.text.contains("cache-ca.pem")));
        assert_eq!(all[0].text.lines().count(), 2);
        assert!(all[1].text.contains(PASSWORD_PLACEHOLDER));
        c.password = Some("s3cret".into());
        let all = snippets(EngineKind::Redis, &c);
        assert!(!all[0].text.contains("s3cret"), "redis-cli asks, so that no shell history keeps it");
        assert_eq!(all[1].text, "rediss://app_admin:s3cret@127.9.8.7:6379/0?ssl_ca_certs=cache-ca.pem");
        assert!(!all[3].text.contains("s3cret") && all[3].text.contains("ssl_check_hostname=True"));
    }

    #[test]
    fn r028_and_r036_snippets_of_mariadb_verify_the_server_and_hide_what_is_not_revealed() {
        let mut c = Connection {
            endpoint: EndpointKind::Primary,
            replicas: false,
            nodes: Vec::new(),
            datastore: "shop".into(),
            host: "127.9.8.7".into(),
            port: 3306,
            database: "app".into(),
            user: "app_admin".into(),
            password: None,
            may_reveal: true,
            ca_url: "http://127.0.0.1:3000/ca/abc.pem".into(),
        };
        let all = snippets(EngineKind::MariaDb, &c);
        assert_eq!(all.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["cli", "url", "env", "python", "jdbc"]);
        assert!(all.iter().all(|s| s.text.contains("shop-ca.pem")));
        assert!(all[0].text.lines().count() == 2 && all[0].text.contains("--ssl-verify-server-cert"));
        assert!(all[1].text.contains(PASSWORD_PLACEHOLDER));
        c.password = Some("s3cret".into());
        let all = snippets(EngineKind::MariaDb, &c);
        assert!(!all[0].text.contains("s3cret"), "mariadb asks, so that no shell history keeps it");
        assert_eq!(all[1].text, "mysql://app_admin:s3cret@127.9.8.7:3306/app?ssl-mode=VERIFY_IDENTITY&ssl-ca=shop-ca.pem");
        assert!(!all[3].text.contains("s3cret") && all[3].text.contains("ssl_verify_identity=True"));
    }

    #[test]
    fn r028_and_r036_snippets_verify_the_server_and_hide_what_is_not_revealed() {
        let mut c = Connection {
            datastore: "orders".into(),
            host: "127.9.8.7".into(),
            port: 5432,
            endpoint: EndpointKind::Primary,
            replicas: false,
            nodes: Vec::new(),
            database: "app".into(),
            user: "app_admin".into(),
            password: None,
            may_reveal: true,
            ca_url: "http://127.0.0.1:3000/ca/abc.pem".into(),
        };
        let all = snippets(EngineKind::PostgreSql, &c);
        assert_eq!(all.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["cli", "url", "env", "python", "jdbc"]);
        assert!(all.iter().all(|s| s.text.contains("verify-full") && s.text.contains("orders-ca.pem")));
        assert_eq!(all[0].text.lines().count(), 2);
        assert!(all[1].text.contains(PASSWORD_PLACEHOLDER));
        c.password = Some("s3cret".into());
        let all = snippets(EngineKind::PostgreSql, &c);
        assert!(!all[0].text.contains("s3cret"), "psql asks, so that no shell history keeps it");
        assert!(all[1].text.contains("app_admin:s3cret@127.9.8.7:5432/app"));
        assert_eq!(all[4].text, "jdbc:postgresql://127.9.8.7:5432/app?user=app_admin&sslmode=verify-full&sslrootcert=orders-ca.pem");
    }

    #[test]
    fn r029_and_r031_to_r033_with_replicas_there_are_strings_of_all_hosts() {
        let mut c = Connection {
            datastore: "orders".into(),
            host: "127.9.8.7".into(),
            port: 5432,
            endpoint: EndpointKind::Primary,
            replicas: true,
            nodes: vec!["127.9.8.9:5432".into(), "127.9.8.10:5432".into()],
            database: "app".into(),
            user: "app_admin".into(),
            password: Some("s3cret".into()),
            may_reveal: true,
            ca_url: "http://127.0.0.1:3000/ca/abc.pem".into(),
        };
        let of = |c: &Connection, id: &str| snippets(EngineKind::PostgreSql, c).into_iter().find(|s| s.id == id).unwrap().text;
        assert!(of(&c, "hosts").ends_with(
            "psql \"postgresql://app_admin@127.9.8.9:5432,127.9.8.10:5432/app?sslmode=verify-full&sslrootcert=orders-ca.pem&connect_timeout=3&target_session_attrs=read-write\""
        ));
        assert!(
            of(&c, "jdbc-hosts").starts_with("jdbc:postgresql://127.9.8.9:5432,127.9.8.10:5432/app?")
                && of(&c, "jdbc-hosts").ends_with("&targetServerType=primary")
        );
        c.endpoint = EndpointKind::Replica;
        assert!(of(&c, "hosts").contains("target_session_attrs=prefer-standby") && of(&c, "jdbc-hosts").contains("preferSecondary"));
        assert!(snippets(EngineKind::PostgreSql, &c).iter().filter(|s| s.id.contains("hosts")).all(|s| !s.text.contains("s3cret")));
    }
}
