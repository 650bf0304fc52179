//! From variables to [`Config`]. Every problem is found in one go, so that nobody mends them one start at a time.

use super::{Allow, Config, Oidc, Problems};
use ipnet::IpNet;
use secrecy::SecretString;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use url::{Host, Url};

/// Every setting there is. Another `GRANARY_*` variable is refused: a misspelt `GRANARY_OIDC_ISSUER` would otherwise open
/// the development provider.
const SETTINGS: [&str; 18] = [
    "GRANARY_HOME",
    "GRANARY_LISTEN",
    "GRANARY_PUBLIC_URL",
    "DATABASE_URL",
    "GRANARY_OIDC_ISSUER",
    "GRANARY_OIDC_CLIENT_ID",
    "GRANARY_OIDC_CLIENT_SECRET",
    "GRANARY_OIDC_ALLOW",
    "GRANARY_TRUSTED_PROXIES",
    "GRANARY_CATALOGUE",
    "GRANARY_KEY_FILE",
    "GRANARY_LOG",
    "GRANARY_LOG_FORMAT",
    "GRANARY_METRICS_TOKEN",
    "GRANARY_SESSION_IDLE_MINUTES",
    "GRANARY_SESSION_HOURS",
    "GRANARY_SPARES",
    "GRANARY_SITE",
];

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3000);
const DEFAULT_IDLE_MINUTES: u64 = 8 * 60;
const DEFAULT_HOURS: u64 = 7 * 24;
/// A year: longer is a typing error.
const MOST_HOURS: u64 = 366 * 24;
/// Enough for one who makes a datastore, and another right after it.
const DEFAULT_SPARES: usize = 2;
/// Each takes some 40 MB of disk.
const MOST_SPARES: usize = 50;
const SHORTEST_TOKEN: usize = 16;

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn from_env() -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut values = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|n| n.starts_with("GRANARY_") || *n == "DATABASE_URL") else { continue };
            match value.into_string() {
                Ok(value) => drop(values.insert(name.to_owned(), value)),
                Err(_) => problems.add(format!("{name} is not valid UTF-8.")),
            }
        }
        Self::read(&values, rustix::process::geteuid().is_root(), problems)
    }

    /// Reads settings from elsewhere than the environment.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn from_values(values: &BTreeMap<String, String>) -> Result<Self, Problems> {
        Self::read(values, rustix::process::geteuid().is_root(), Problems::default())
    }

    /// Reads settings by name. `problems` are those found before.
    fn read(values: &BTreeMap<String, String>, root: bool, mut problems: Problems) -> Result<Self, Problems> {
        for name in values.keys().filter(|name| !SETTINGS.contains(&name.as_str())) {
            problems.add(format!("{name} is not a setting of Granary. Remove it, or correct its spelling."));
        }
        let mut read = Reader { values, problems };
        let home = read.path("GRANARY_HOME").unwrap_or_else(|| if root { "/var/lib/granary".into() } else { "var".into() });
        let has_issuer = read.text("GRANARY_OIDC_ISSUER").is_some();
        let listen = read.listen(has_issuer);
        let public_url = read.public_url(listen, has_issuer);
        let (session_idle, session_absolute) = read.sessions();
        let config = Self {
            // Absolute, because children start elsewhere and PostgreSQL compares paths.
            home: std::path::absolute(&home).unwrap_or(home),
            listen,
            public_url,
            database_url: read.database_url(),
            oidc: read.oidc(),
            trusted_proxies: read.proxies(),
            catalogue: read.path("GRANARY_CATALOGUE"),
            key_file: read.path("GRANARY_KEY_FILE"),
            log: read.text("GRANARY_LOG").unwrap_or("info").to_owned(),
            log_json: read.log_json(),
            metrics_token: read.metrics_token(),
            session_idle,
            session_absolute,
            spares: read.spares(),
            site: read.path("GRANARY_SITE"),
        };
        if read.problems.0.is_empty() { Ok(config) } else { Err(read.problems) }
    }
}

struct Reader<'a> {
    values: &'a BTreeMap<String, String>,
    problems: Problems,
}

impl<'a> Reader<'a> {
    /// The value, trimmed; an empty one counts as unset, as service managers and compose files leave it.
    fn text(&self, name: &str) -> Option<&'a str> {
        self.values.get(name).map(|v| v.trim()).filter(|v| !v.is_empty())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    fn secret(&self, name: &str) -> Option<SecretString> {
        self.text(name).map(SecretString::from)
    }

    fn number(&mut self, name: &str, most: u64) -> Option<u64> {
        let value = self.text(name)?;
        let number = value.parse().ok().filter(|n| (1..=most).contains(n));
        self.problems.check(number.ok_or_else(|| format!("{name} is a whole number from 1 to {most}; “{value}” is not.")))
    }

    fn oidc(&mut self) -> Option<Oidc> {
        let Some(issuer) = self.text("GRANARY_OIDC_ISSUER") else {
            let left = SETTINGS.iter().filter(|s| s.starts_with("GRANARY_OIDC_")).find(|s| self.text(s).is_some())?;
            self.problems.add(format!("{left} is set, but GRANARY_OIDC_ISSUER is not. Set the issuer's URL too."));
            return None;
        };
        let issuer = self.problems.check(check_issuer(issuer));
        let client_id = self.text("GRANARY_OIDC_CLIENT_ID").map(str::to_owned);
        if client_id.is_none() {
            self.problems.add("GRANARY_OIDC_CLIENT_ID is missing: the id under which the issuer knows Granary.");
        }
        let allow = self.allow();
        Some(Oidc { issuer: issuer?, client_id: client_id?, client_secret: self.secret("GRANARY_OIDC_CLIENT_SECRET"), allow })
    }

    fn allow(&mut self) -> Vec<Allow> {
        let Some(rules) = self.text("GRANARY_OIDC_ALLOW") else {
            self.problems.add(
                "GRANARY_OIDC_ALLOW is missing. Not every account of an issuer is a customer: say who is, \
                 such as “domain:example.org, group:databases, sub:248289761001”.",
            );
            return Vec::new();
        };
        rules.split(',').map(str::trim).filter(|r| !r.is_empty()).filter_map(|rule| self.problems.check(allow_rule(rule))).collect()
    }

    fn listen(&mut self, has_issuer: bool) -> SocketAddr {
        let Some(value) = self.text("GRANARY_LISTEN") else { return DEFAULT_LISTEN };
        let address = value
            .parse::<SocketAddr>()
            .map_err(|_| format!("GRANARY_LISTEN is an address and a port, such as 127.0.0.1:3000 or [::1]:3000; “{value}” is not."));
        let listen = self.problems.check(address).unwrap_or(DEFAULT_LISTEN);
        if !listen.ip().is_loopback() && !has_issuer {
            self.problems.add(format!(
                "GRANARY_LISTEN is {listen}, which others can reach, but no GRANARY_OIDC_ISSUER is set. The built-in development \
                 provider lets anybody in under any name, so Granary then listens on loopback only. Set an issuer, or listen on 127.0.0.1."
            ));
        }
        listen
    }

    fn public_url(&mut self, listen: SocketAddr, has_issuer: bool) -> Url {
        let fallback = || Url::parse(&format!("http://{DEFAULT_LISTEN}/")).expect("a constant URL");
        let url = match self.text("GRANARY_PUBLIC_URL") {
            Some(value) => check_public_url(value, has_issuer),
            None if listen.ip().is_loopback() => Url::parse(&format!("http://{listen}/")).map_err(|e| e.to_string()),
            None => Err(format!(
                "GRANARY_PUBLIC_URL is missing. Granary listens on {listen}; say under which URL people reach it, such as https://granary.example.org."
            )),
        };
        self.problems.check(url).unwrap_or_else(fallback)
    }

    fn database_url(&mut self) -> Option<SecretString> {
        let value = self.text("DATABASE_URL")?;
        // The value holds a password, so it is not repeated.
        if !value.starts_with("postgres://") && !value.starts_with("postgresql://") {
            self.problems.add("DATABASE_URL is not a PostgreSQL URL: it begins with postgres:// or postgresql://.");
        }
        self.secret("DATABASE_URL")
    }

    fn proxies(&mut self) -> Vec<IpNet> {
        let list = self.text("GRANARY_TRUSTED_PROXIES").unwrap_or_default();
        let entry = |text: &str| {
            let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            net.map_err(|_| format!("GRANARY_TRUSTED_PROXIES: “{text}” is neither an address nor a network such as 10.0.0.0/8."))
        };
        list.split(',').map(str::trim).filter(|t| !t.is_empty()).filter_map(|text| self.problems.check(entry(text))).collect()
    }

    fn log_json(&mut self) -> bool {
        match self.text("GRANARY_LOG_FORMAT") {
            None | Some("text") => false,
            Some("json") => true,
            Some(other) => {
                self.problems.add(format!("GRANARY_LOG_FORMAT is “text” or “json”; “{other}” is neither."));
                false
            }
        }
    }

    fn metrics_token(&mut self) -> Option<SecretString> {
        if self.text("GRANARY_METRICS_TOKEN")?.len() < SHORTEST_TOKEN {
            self.problems.add(format!("GRANARY_METRICS_TOKEN is shorter than {SHORTEST_TOKEN} characters. Use a long random one."));
        }
        self.secret("GRANARY_METRICS_TOKEN")
    }

    fn spares(&mut self) -> usize {
        let Some(value) = self.text("GRANARY_SPARES") else { return DEFAULT_SPARES };
        let number = value.parse().ok().filter(|n| *n <= MOST_SPARES);
        let number = number.ok_or_else(|| format!("GRANARY_SPARES is a whole number from 0 to {MOST_SPARES}; “{value}” is not."));
        self.problems.check(number).unwrap_or(DEFAULT_SPARES)
    }

    fn sessions(&mut self) -> (Duration, Duration) {
        let idle = self.number("GRANARY_SESSION_IDLE_MINUTES", MOST_HOURS * 60).unwrap_or(DEFAULT_IDLE_MINUTES);
        let hours = self.number("GRANARY_SESSION_HOURS", MOST_HOURS).unwrap_or(DEFAULT_HOURS);
        if idle > hours * 60 {
            self.problems.add(format!(
                "GRANARY_SESSION_IDLE_MINUTES ({idle}) is longer than GRANARY_SESSION_HOURS ({hours}): a session ends at the earlier one."
            ));
        }
        (Duration::from_secs(idle * 60), Duration::from_secs(hours * 3600))
    }
}

/// True for loopback addresses and `localhost`.
#[must_use]
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The issuer is kept as it was written: its identifier is compared letter for letter.
fn check_issuer(value: &str) -> Result<String, String> {
    let url = Url::parse(value).map_err(|e| format!("GRANARY_OIDC_ISSUER “{value}” is not a URL: {e}."))?;
    if url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)) {
        Ok(value.to_owned())
    } else {
        Err(format!("GRANARY_OIDC_ISSUER “{value}” is not https. Plain http is accepted for a loopback address only."))
    }
}

fn check_public_url(value: &str, has_issuer: bool) -> Result<Url, String> {
    let url = Url::parse(value).map_err(|e| format!("GRANARY_PUBLIC_URL “{value}” is not a URL: {e}."))?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    if !bare {
        return Err(format!("GRANARY_PUBLIC_URL “{value}” has more than a scheme, a host and a port. Granary lives at the root of its own host."));
    }
    match url.scheme() {
        "http" | "https" if is_loopback(&url) => Ok(url),
        "https" if has_issuer => Ok(url),
        "https" => Err(format!(
            "GRANARY_PUBLIC_URL is “{value}”, but no GRANARY_OIDC_ISSUER is set. The built-in development provider works under a loopback URL only."
        )),
        _ => Err(format!("GRANARY_PUBLIC_URL “{value}” is not https. Plain http is accepted for a loopback address only.")),
    }
}

fn allow_rule(rule: &str) -> Result<Allow, String> {
    let wrong = || format!("GRANARY_OIDC_ALLOW: “{rule}” is not a rule. A rule is sub:<subject>, domain:<mail domain> or group:<group>.");
    let (kind, value) = rule.split_once(':').ok_or_else(wrong)?;
    match (kind.trim(), value.trim()) {
        (_, "") => Err(wrong()),
        ("sub", subject) => Ok(Allow::Subject(subject.to_owned())),
        ("domain", domain) if !domain.contains('@') => Ok(Allow::Domain(domain.to_ascii_lowercase())),
        ("group", group) => Ok(Allow::Group(group.to_owned())),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Config, Problems> {
        let values = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::read(&values, false, Problems::default())
    }

    fn refused(settings: &[(&str, &str)]) -> String {
        read(settings).unwrap_err().to_string()
    }

    #[test]
    fn nothing_set_is_a_laptop() {
        let config = read(&[]).unwrap();
        assert!(config.home.is_absolute() && config.home.ends_with("var"));
        assert_eq!(config.public_url.as_str(), "http://127.0.0.1:3000/");
        assert!(config.oidc.is_none() && !config.log_json && !config.is_https());
        assert_eq!(config.session_idle, Duration::from_hours(8));
        let root = Config::read(&BTreeMap::new(), true, Problems::default()).unwrap();
        assert_eq!(root.home, PathBuf::from("/var/lib/granary"));
    }

    #[test]
    fn the_public_url_follows_a_loopback_listener() {
        assert_eq!(read(&[("GRANARY_LISTEN", "127.0.0.1:4000")]).unwrap().origin(), "http://127.0.0.1:4000");
    }

    #[test]
    fn r001_an_external_issuer_needs_to_be_told_who_is_a_customer() {
        let issuer = [("GRANARY_OIDC_ISSUER", "https://id.example.org"), ("GRANARY_OIDC_CLIENT_ID", "granary")];
        assert!(refused(&issuer).contains("GRANARY_OIDC_ALLOW is missing"));
        let allow = [&issuer[..], &[("GRANARY_OIDC_ALLOW", "domain:Example.org, group:db:a,sub:42")]].concat();
        let oidc = read(&allow).unwrap().oidc.unwrap();
        assert_eq!(oidc.allow, [Allow::Domain("example.org".into()), Allow::Group("db:a".into()), Allow::Subject("42".into())]);
    }

    #[test]
    fn r001_nobody_else_reaches_the_development_provider() {
        assert!(refused(&[("GRANARY_LISTEN", "0.0.0.0:3000")]).contains("no GRANARY_OIDC_ISSUER is set"));
        assert!(refused(&[("GRANARY_PUBLIC_URL", "https://granary.example.org")]).contains("loopback URL only"));
    }

    #[test]
    fn all_problems_are_said_at_once() {
        let said = refused(&[
            ("GRANARY_OIDC_ISUER", "https://id.example.org"),
            ("GRANARY_OIDC_CLIENT_ID", "granary"),
            ("GRANARY_LISTEN", "here"),
            ("DATABASE_URL", "mysql://root:geheim@db"),
            ("GRANARY_TRUSTED_PROXIES", "10.0.0.0/8, proxy"),
            ("GRANARY_LOG_FORMAT", "xml"),
            ("GRANARY_METRICS_TOKEN", "short"),
            ("GRANARY_SESSION_IDLE_MINUTES", "0"),
        ]);
        for says in ["ISUER is not a setting", "ISSUER is not. Set", "“here”", "DATABASE_URL", "“proxy”", "“xml”", "METRICS_TOKEN", "“0”"]
        {
            assert!(said.contains(says), "{says} is missing in: {said}");
        }
        assert!(!said.contains("geheim"), "a secret is repeated: {said}");
    }

    #[test]
    fn urls_that_would_give_cookies_away_are_refused() {
        let base = [("GRANARY_OIDC_CLIENT_ID", "g"), ("GRANARY_OIDC_ALLOW", "sub:1")];
        let with = |more: &[(&str, &str)]| refused(&[&base[..], more].concat());
        assert!(with(&[("GRANARY_OIDC_ISSUER", "http://id.example.org")]).contains("is not https"));
        let issuer = ("GRANARY_OIDC_ISSUER", "https://id.example.org");
        assert!(with(&[issuer, ("GRANARY_PUBLIC_URL", "http://granary.example.org")]).contains("is not https"));
        assert!(with(&[issuer, ("GRANARY_PUBLIC_URL", "https://example.org/granary")]).contains("more than a scheme"));
    }

    #[test]
    fn a_session_cannot_idle_longer_than_it_lives() {
        let said = refused(&[("GRANARY_SESSION_IDLE_MINUTES", "120"), ("GRANARY_SESSION_HOURS", "1")]);
        assert!(said.contains("ends at the earlier one"), "{said}");
    }
}
