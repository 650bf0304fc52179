//! The connection assistant: for a user, a database and an endpoint, text that runs exactly as pasted (rule 28).

use super::datastore::EndpointKind;
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

    fn url(&self, password: Option<&str>) -> String {
        let secret = password.map(|p| format!(":{p}")).unwrap_or_default();
        format!("postgresql://{}{secret}@{}/{}?sslmode=verify-full&sslrootcert={}", self.user, self.authority(), self.database, self.ca_file())
    }
}

/// The snippets of a `PostgreSQL` endpoint.
#[must_use]
pub fn postgresql(c: &Connection) -> Vec<Snippet> {
    let password = c.password.as_deref().unwrap_or(PASSWORD_PLACEHOLDER);
    let snippet = |id: &str, label: &str, note: &str, text: String| Snippet { id: id.into(), label: label.into(), note: note.into(), text };
    vec![
        snippet(
            "psql",
            "psql",
            "Two lines: fetch the CA, connect. psql asks for the password, or takes it from PGPASSWORD.",
            format!("{}\npsql \"{}\"", c.fetch(), c.url(None)),
        ),
        snippet("url", "URL", "For anything that takes a PostgreSQL URL; the CA's file lies beside the program.", c.url(Some(password))),
        snippet(
            "env",
            ".env",
            "Read by libpq and most frameworks.",
            format!(
                "DATABASE_URL=\"{}\"\nPGHOST={}\nPGPORT={}\nPGDATABASE={}\nPGUSER={}\nPGPASSWORD={}\nPGSSLMODE=verify-full\nPGSSLROOTCERT={}",
                c.url(Some(password)),
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
                c.url(None)
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r028_and_r036_snippets_verify_the_server_and_hide_what_is_not_revealed() {
        let mut c = Connection {
            datastore: "orders".into(),
            host: "127.9.8.7".into(),
            port: 5432,
            endpoint: EndpointKind::Primary,
            replicas: false,
            database: "app".into(),
            user: "app_admin".into(),
            password: None,
            may_reveal: true,
            ca_url: "http://127.0.0.1:3000/ca/abc.pem".into(),
        };
        let all = postgresql(&c);
        assert_eq!(all.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["psql", "url", "env", "python"]);
        assert!(all.iter().all(|s| s.text.contains("verify-full") && s.text.contains("orders-ca.pem")));
        assert_eq!(all[0].text.lines().count(), 2);
        assert!(all[1].text.contains(PASSWORD_PLACEHOLDER));
        c.password = Some("s3cret".into());
        let all = postgresql(&c);
        assert!(!all[0].text.contains("s3cret"), "psql asks, so that no shell history keeps it");
        assert!(all[1].text.contains("app_admin:s3cret@127.9.8.7:5432/app"));
    }
}
