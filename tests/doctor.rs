//! `granary doctor` of the real program: a healthy installation, and each way of breaking one.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use common::{Home, Visitor, until_status};
use granary::{
    model::datastore::EndpointKind,
    server::{domain, state::App},
};
use serde_json::Value;
use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};
use uuid::Uuid;

/// What it says, as a person reads it, and as a program does: both say the same.
fn doctor(home: &Home, settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let ask = |words: &[&str]| -> Output { home.command("doctor").args(words).envs(settings.iter().copied()).output().unwrap() };
    let json: Value = serde_json::from_slice(&ask(&["--json"]).stdout).unwrap();
    let output = ask(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(json["ok"], output.status.success(), "{text}\n{json:#}");
    for finding in json["findings"].as_array().unwrap() {
        assert_eq!(finding["advice"].is_null(), finding["state"] == "ok", "{finding}");
    }
    assert_eq!(json["findings"].as_array().unwrap().len(), text.lines().count(), "{text}");
    assert!(String::from_utf8(output.stderr).unwrap().is_empty(), "it wrote to the log");
    (output.status.code(), text)
}

/// It finds this, says what to do, and ends as that wants.
fn finds(home: &Home, settings: &[(&str, &str)], state: &str, words: &[&str]) {
    let (code, text) = doctor(home, settings);
    let line = text.lines().find(|line| line.starts_with(state) && words.iter().all(|word| line.contains(word)));
    assert!(line.is_some_and(|line| line.contains(" → ")), "no {state} with {words:?} in\n{text}");
    assert_eq!(code, Some(i32::from(text.contains("\nPROBLEM") || text.starts_with("PROBLEM"))), "{text}");
}

fn is_well(home: &Home) -> String {
    let (code, text) = doctor(home, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("PROBLEM"), "{text}");
    text
}

/// Does it to the metadata.
async fn sql(app: &App, statement: &'static str) {
    sqlx::query(statement).execute(&app.db).await.unwrap();
}

/// All files and what the kernel says of them: what changes when something is written.
fn everything(path: &Path, found: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    for entry in entries {
        let Ok(about) = fs::symlink_metadata(&entry) else { continue };
        // The servers write these by themselves, and logs.
        let own = entry.to_string_lossy().contains("/data/") || entry.extension().is_some_and(|end| end == "log");
        // A volume's image is written by the server that runs on it.
        let when = if own || about.is_dir() || entry.ends_with("image") { None } else { about.modified().ok() };
        if !own {
            found.push(format!("{} {:o} {when:?}", entry.display(), about.permissions().mode()));
        }
        if about.is_dir() && !entry.ends_with("data") {
            everything(&entry, found);
        }
    }
}

/// Answers every request with what `answer` makes of its path, until the test ends.
fn issuer(answer: impl Fn(&str, &str) -> (String, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let own = url.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut begin) = (stream.unwrap(), [0; 2048]);
            let length = stream.read(&mut begin).unwrap_or(0);
            let path = String::from_utf8_lossy(&begin[..length]).split(' ').nth(1).unwrap_or_default().to_owned();
            let (date, body) = answer(&own, &path);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        }
    });
    url
}

fn now() -> String {
    String::from_utf8(Command::new("date").args(["-u", "+%a, %d %b %Y %H:%M:%S GMT"]).env("LC_ALL", "C").output().unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

fn document(url: &str, path: &str, name: &str, signatures: &str) -> String {
    if path == "/jwks" {
        return r#"{"keys": [{"kty": "RSA"}]}"#.to_owned();
    }
    format!(
        r#"{{"issuer": "{name}", "authorization_endpoint": "{url}/a", "token_endpoint": "{url}/t", "jwks_uri": "{url}/jwks",
            "response_types_supported": ["code"], "id_token_signing_alg_values_supported": ["{signatures}"]}}"#
    )
}

fn with_issuer(issuer: &str) -> Vec<(&str, &str)> {
    let secret = ("GRANARY_OIDC_CLIENT_SECRET", "the-secret-of-the-client");
    vec![("GRANARY_OIDC_ISSUER", issuer), ("GRANARY_OIDC_CLIENT_ID", "granary"), ("GRANARY_OIDC_ALLOW", "sub:1"), secret]
}

#[test]
fn before_the_first_start_nothing_is_wrong_and_nothing_is_made() {
    let home = Home::new("granary-doctor-");
    let text = is_well(&home);
    assert!(text.contains("“granary serve” makes"), "{text}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "it made something");
}

#[test]
fn all_wrong_settings_are_found_and_no_secret_is_said() {
    let home = Home::new("granary-doctor-");
    let wrong = [("GRANARY_OIDC_ISUER", "x"), ("GRANARY_LOG_FORMAT", "xml"), ("DATABASE_URL", "mysql://u:hunter2@h/d")];
    finds(&home, &wrong, "PROBLEM", &["settings", "GRANARY_OIDC_ISUER", "README"]);
    finds(&home, &wrong, "PROBLEM", &["settings", "“xml”"]);
    finds(&home, &wrong, "PROBLEM", &["settings", "DATABASE_URL"]);
    assert!(!doctor(&home, &wrong).1.contains("hunter2"));
    finds(&home, &[("GRANARY_LOG", "granary=loud")], "PROBLEM", &["settings", "GRANARY_LOG"]);
    finds(&home, &[("GRANARY_CATALOGUE", "/nowhere.toml")], "PROBLEM", &["settings", "/nowhere.toml"]);
}

#[test]
fn a_metadata_database_that_does_not_answer_is_found_and_its_password_is_not_said() {
    let home = Home::new("granary-doctor-");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://granary:hunter2@127.0.0.1:{port}/granary");
    finds(&home, &[("DATABASE_URL", &url)], "PROBLEM", &["metadata", "does not answer", "DATABASE_URL says where"]);
    assert!(!doctor(&home, &[("DATABASE_URL", &url)]).1.contains("hunter2"));
}

#[test]
fn an_issuer_that_is_away_or_says_something_else_is_found() {
    let home = Home::new("granary-doctor-");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    finds(&home, &with_issuer(&format!("http://127.0.0.1:{port}")), "PROBLEM", &["issuer", "nobody can sign in"]);
    let good = issuer(|url, path| (now(), document(url, path, url, "RS256")));
    let (code, text) = doctor(&home, &with_issuer(&good));
    assert!(code == Some(0) && text.contains("offers what Granary needs") && !text.contains("the-secret-of"), "{text}");
    let other = issuer(|url, path| (now(), document(url, path, "https://id.example.org", "HS256")));
    finds(&home, &with_issuer(&other), "PROBLEM", &["issuer", "calls itself", "letter for letter"]);
    finds(&home, &with_issuer(&other), "PROBLEM", &["issuer", "signs by none"]);
    let late = issuer(|url, path| ("Sat, 21 Nov 2020 15:31:08 GMT".to_owned(), document(url, path, url, "RS256")));
    finds(&home, &with_issuer(&late), "PROBLEM", &["issuer", "clocks", "time server"]);
}

#[test]
fn a_full_disk_is_found() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can mount a small disk");
        return;
    }
    let home = Home::new("granary-doctor-");
    let inside = home.path().join("small");
    fs::create_dir(&inside).unwrap();
    assert!(Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m,mode=0711", "tmpfs"]).arg(&inside).status().unwrap().success());
    let output = home.command("doctor").env("GRANARY_HOME", &inside).output().unwrap();
    assert!(Command::new("umount").arg("--lazy").arg(&inside).status().unwrap().success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with("PROBLEM  disk") && line.contains("Make room")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_installation_is_well_and_each_way_of_breaking_it_is_found() {
    let home = Home::new("granary-doctor-");
    let serving = home.serve(&[]);
    let mut visitor = Visitor::new(&home).await;
    visitor.sign_in().await;
    let page = visitor.post("/api/wizard/start", &[]).await.location.unwrap();
    let made = visitor.post("/api/wizard/finish", &[("id", page.split('/').nth_back(1).unwrap())]).await;
    let id: Uuid = made.location.unwrap().rsplit('/').next().unwrap().parse().unwrap();
    let app = home.app().await;
    until_status(&app, id, "Running").await;

    let (mut before, mut after) = (Vec::new(), Vec::new());
    everything(home.path(), &mut before);
    let text = is_well(&home);
    everything(home.path(), &mut after);
    assert_eq!(before, after, "it changed something");
    for words in ["Granary listens on", "The key file opens all", "All 1 are as they should be", "Nothing is left", "migrations are there"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let password = domain::access::connection(&app, &of(&app).await, id, EndpointKind::Primary, true).await.unwrap().password.unwrap();
    assert!(!text.contains(&password));

    home_and_key(&home);
    serving.end();
    finds(&home, &[], "warning", &["port", "does not run", "“granary serve” starts it"]);
    port(&home);
    metadata(&home, &app).await;
    datastores(&home, &app).await;
    addresses(&home, &app).await;
    leftovers(&home);
    is_well(&home);
    app.db.close().await;
    assert!(home.run("down").status.success());
    stopped(&home);
}

async fn of(app: &App) -> domain::Actor {
    use granary::model::person::{Me, Role};
    let (person, project): (Uuid, Uuid) = sqlx::query_as("SELECT id, personal_project FROM people").fetch_one(&app.db).await.unwrap();
    let me = Me { person, name: "Ada".into(), project, project_name: "test".into(), role: Role::Owner, single_tenant: false, development: true };
    domain::Actor { me, address: None, request_id: "test".into() }
}

fn home_and_key(home: &Home) {
    fs::set_permissions(home.path(), Permissions::from_mode(0o777)).unwrap();
    finds(home, &[], "PROBLEM", &["home", "Others can change", "chmod 711"]);
    fs::set_permissions(home.path(), Permissions::from_mode(0o711)).unwrap();

    let (key, aside) = (home.path().join("keys/master.key"), home.path().join("keys/aside"));
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    finds(home, &[], "PROBLEM", &["key", "others can read it", "mode 600"]);
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    fs::rename(&key, &aside).unwrap();
    finds(home, &[], "PROBLEM", &["key", "no key file", "Put the key file back from your backup"]);
    fs::write(&key, [7; 32]).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    finds(home, &[], "PROBLEM", &["key", "secrets do not open", "from your backup"]);
    fs::rename(&aside, &key).unwrap();

    let (host, aside) = (home.path().join("host-id"), home.path().join("aside"));
    fs::rename(&host, &aside).unwrap();
    fs::write(&host, "no id").unwrap();
    finds(home, &[], "PROBLEM", &["home", "does not hold an id", "from a backup"]);
    fs::rename(&aside, &host).unwrap();
}

fn port(home: &Home) {
    let _other = TcpListener::bind(&home.listen).unwrap();
    finds(home, &[], "PROBLEM", &["port", "Another program listens", "GRANARY_LISTEN"]);
}

async fn metadata(home: &Home, app: &App) {
    sql(app, "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', true, '', 0)").await;
    finds(home, &[], "PROBLEM", &["metadata", "newer Granary", "[9999]"]);
    sql(app, "DELETE FROM _sqlx_migrations WHERE version = 9999").await;
    sql(app, "UPDATE _sqlx_migrations SET success = false WHERE version = 8").await;
    finds(home, &[], "PROBLEM", &["metadata", "[8] are missing", "granary migrate"]);
    sql(app, "UPDATE _sqlx_migrations SET success = true WHERE version = 8").await;
    sql(app, "UPDATE _sqlx_migrations SET checksum = '\\x00' || checksum WHERE version = 8").await;
    finds(home, &[], "PROBLEM", &["metadata", "[8] are others", "another build"]);
    sql(app, "UPDATE _sqlx_migrations SET checksum = substr(checksum, 2) WHERE version = 8").await;
}

async fn datastores(home: &Home, app: &App) {
    sql(app, "UPDATE datastores SET version = '9', observed_at = now() + interval '1 hour'").await;
    finds(home, &[], "PROBLEM", &["programs", "needs postgresql 9", "postgresql-9"]);
    let (version,): (String,) = sqlx::query_as("SELECT split_part(observed_version, '.', 1) FROM nodes").fetch_one(&app.db).await.unwrap();
    sqlx::query("UPDATE datastores SET version = $1").bind(version).execute(&app.db).await.unwrap();
    sql(app, "UPDATE datastores SET observed = 'down', observed_detail = 'its processes are gone', observed_at = now()").await;
    finds(home, &[], "PROBLEM", &["datastores", "is down", "Activity"]);
    sql(app, "UPDATE datastores SET observed = 'healthy', observed_at = now() - interval '2 hours'").await;
    finds(home, &[], "warning", &["datastores", "Nobody looks at", "“granary serve”"]);
    sql(app, "UPDATE datastores SET observed_at = now() + interval '1 hour', certificate_expires_at = now() + interval '5 days'").await;
    finds(home, &[], "warning", &["certificates", "ends on", "Retry"]);
    sql(app, "UPDATE datastores SET certificate_expires_at = now() + interval '80 days'").await;
    sql(app, "UPDATE jobs SET state = 'failed', step = 'harden', error = 'no such role'").await;
    finds(home, &[], "PROBLEM", &["jobs", "failed at the step harden: no such role", "Retry"]);
    sql(app, "UPDATE jobs SET state = 'queued', not_before = now() - interval '1 hour'").await;
    finds(home, &[], "warning", &["jobs", "has waited for", "“granary serve” does it"]);
    sql(app, "UPDATE jobs SET state = 'done'").await;
}

/// All blocks of the home's network are taken but some.
async fn addresses(home: &Home, app: &App) {
    let take = "INSERT INTO addresses (host_id, address, port, project_id, datastore_id, purpose)
         SELECT host_id, set_masklen(network(set_masklen(address, 16)), 32) + n * 16 + 15, 1, project_id, datastore_id, 'test:' || n
         FROM (SELECT * FROM addresses WHERE address <<= '127.0.0.0/8' LIMIT 1) a, generate_series($1::bigint, $2::bigint) n ON CONFLICT DO NOTHING";
    for (from, to, state, words) in [(0, 4000, "warning", "Soon make datastores in another home"), (4001, 4095, "PROBLEM", "Delete datastores")] {
        sqlx::query(take).bind(from).bind(to).execute(&app.db).await.unwrap();
        finds(home, &[], state, &["addresses", words]);
    }
    sql(app, "DELETE FROM addresses WHERE purpose LIKE 'test:%'").await;
    let catalogue = fs::read_to_string("src/catalogue.toml").unwrap();
    let narrow = home.path().join("narrow.toml");
    let with = |line: &str| fs::write(&narrow, catalogue.replacen("[[regions]]", &format!("[[regions]]\n{line}"), 1)).unwrap();
    let path = narrow.display().to_string();
    with("endpoint_address = \"192.0.2.1\"\nports = [20000, 20004]");
    finds(home, &[("GRANARY_CATALOGUE", &path)], "PROBLEM", &["addresses", "192.0.2.1", "no address of this machine"]);
    finds(home, &[("GRANARY_CATALOGUE", &path)], "PROBLEM", &["addresses", "ports for 0 more", "Widen"]);
    fs::remove_file(&narrow).unwrap();
}

fn leftovers(home: &Home) {
    let [datastore, volume] = [Uuid::new_v4(), Uuid::new_v4()];
    let (left, also) = (home.path().join(format!("datastores/{datastore}")), home.path().join(format!("volumes/{volume}")));
    fs::create_dir(&left).unwrap();
    fs::create_dir(&also).unwrap();
    let mut process = Command::new("sleep").arg("60").current_dir(&left).spawn().unwrap();
    finds(home, &[], "warning", &["leftovers", "datastores/", &datastore.to_string(), "move it away"]);
    finds(home, &[], "warning", &["leftovers", "volumes/", &volume.to_string()]);
    finds(home, &[], "warning", &["leftovers", &format!("The process {} (sleep)", process.id()), "process id"]);
    process.kill().unwrap();
    process.wait().unwrap();
    fs::remove_dir(&left).unwrap();
    fs::remove_dir(&also).unwrap();
    user(home, datastore);
}

/// A system user whose datastore is gone.
fn user(home: &Home, datastore: Uuid) {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root makes users");
        return;
    }
    let (name, lock) = (format!("granary-t{}", &datastore.simple().to_string()[..12]), home.path().join(format!("locks/{datastore}")));
    fs::write(&lock, "").unwrap();
    let comment = format!("Granary datastore {datastore}");
    assert!(Command::new("useradd").args(["--system", "--no-create-home", "--comment", &comment, &name]).status().unwrap().success());
    let (_, text) = doctor(home, &[]);
    assert!(Command::new("userdel").arg(&name).status().unwrap().success());
    fs::remove_file(&lock).unwrap();
    assert!(text.contains(&format!("The system user {name} is of nothing that Granary knows")), "{text}");
}

/// Does something to the machine that only doctor sees, in a mount namespace of its own.
fn on_a_machine_where(home: &Home, done: &str) -> String {
    let doctor = home.command("doctor");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", &format!("{done}\nexec \"$0\" doctor")]).arg(doctor.get_program()).env_clear();
    let settings = doctor.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let output = command.envs(settings).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn what_the_machine_lacks_is_found() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can take something from a machine");
        return;
    }
    let home = Home::new("granary-doctor-");
    let says = |done: &str, state: &str, words: &[&str]| {
        let text = on_a_machine_where(&home, done);
        let line = text.lines().find(|line| line.starts_with(state) && words.iter().all(|word| line.contains(word)));
        assert!(line.is_some_and(|line| line.contains(" → ")), "no {state} with {words:?} in\n{text}");
    };
    // A device is no program.
    let gone = |name: &str| format!("for place in /usr/sbin /usr/bin; do [ ! -e $place/{name} ] || mount --bind /dev/null $place/{name}; done");
    says(&gone("haproxy"), "PROBLEM", &["programs", "haproxy is not installed", "apt install haproxy"]);
    says(&gone("useradd"), "PROBLEM", &["programs", "useradd is not installed", "apt install passwd"]);
    says(&gone("mkfs.ext4"), "warning", &["volumes", "mkfs.ext4 not installed", "watched instead of enforced"]);
    says(&gone("redis-server"), "warning", &["programs", "No version of Redis", "apt install redis-server"]);
    let no_engine = format!("mount -t tmpfs tmpfs /usr/lib/postgresql; {}; {}", gone("redis-server"), gone("mariadbd"));
    for (engine, package) in [("PostgreSQL", "postgresql"), ("MariaDB", "mariadb-server-core"), ("Redis", "redis-server")] {
        says(&no_engine, "PROBLEM", &["programs", &format!("No version of {engine}"), &format!("apt install {package}")]);
    }
    let sealed = |path: &str| format!("mount --bind {path} {path}; mount -o remount,bind,ro {path}");
    says(&sealed("/etc/passwd"), "PROBLEM", &["users", "/etc/passwd cannot be written", "/etc writable"]);
    if Path::new("/dev/loop-control").exists() {
        let file = "touch $GRANARY_HOME/x; mount --bind $GRANARY_HOME/x /dev/loop-control; mount -o remount,bind,ro /dev/loop-control";
        says(file, "warning", &["volumes", "no loop devices", "Sizes of volumes are watched"]);
    }
    let groups = "findmnt -rno TARGET -t cgroup,cgroup2 | while read -r at; do mount -o remount,bind,ro \"$at\"; done";
    says(groups, "warning", &["cgroups", "No control group can be written", "Delegate=yes"]);
}

fn stopped(home: &Home) {
    finds(home, &[], "warning", &["metadata", "stopped", "“granary serve” starts it"]);
    let version = home.path().join("metadata/data/PG_VERSION");
    let was = fs::read_to_string(&version).unwrap();
    fs::write(&version, "9\n").unwrap();
    finds(home, &[], "PROBLEM", &["metadata", "made by PostgreSQL 9", "Install"]);
    fs::write(&version, was).unwrap();
}
