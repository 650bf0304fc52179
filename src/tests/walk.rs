//! Every address × {another project, signed out, an ended session, a lesser role, a foreign page}.
//!
//! The addresses come from the code: the route table, the registered server functions, the tables of the router. One that is
//! added and not said here fails the walk.

use super::{
    site::{Browser, Site},
    web::{actor, datastore},
};
use crate::{
    app,
    model::person::Role,
    server::{
        domain::{self, Actor},
        web::router,
    },
};
use axum::http::{HeaderMap, Method, StatusCode};
use leptos::server_fn;
use leptos_axum::generate_route_list;
use std::collections::BTreeSet;
use uuid::Uuid;

/// In everything of Ada's that nobody else may see.
const SECRET: &str = "ada-secret";
const SELF: (&str, &str) = ("sec-fetch-site", "same-origin");
const JSON: (&str, &str) = ("accept", "application/json");
const FOREIGN: [(&str, &str); 3] = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.test"), ("referer", "https://evil.test/x")];

/// Whom a server function serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Anybody, with what their own session holds.
    Session,
    /// Somebody of this role, in their project.
    Project(Role),
    /// Somebody of this role in the project of the datastore.
    Datastore(Role),
    /// The person of this role who began the draft.
    Draft(Role),
}

/// Ada's, and what is in it.
struct Things {
    datastore: Uuid,
    job: Uuid,
    node: Uuid,
    source: Uuid,
    draft: Uuid,
    drill: Uuid,
}

impl Things {
    async fn new(site: &Site, ada: &Actor) -> Self {
        let id = datastore(site, ada, &format!("{SECRET}-{}", Uuid::new_v4().simple())).await;
        domain::firewall::add(&site.app, ada, id, "192.0.2.1/32", SECRET, "").await.unwrap();
        let one = |sql: &'static str| sqlx::query_scalar::<_, Uuid>(sql).bind(id).fetch_one(&site.app.db);
        Self {
            datastore: id,
            job: one("SELECT id FROM jobs WHERE datastore_id = $1 LIMIT 1").await.unwrap(),
            node: one("SELECT id FROM nodes WHERE datastore_id = $1 LIMIT 1").await.unwrap(),
            source: one("SELECT id FROM trusted_sources WHERE datastore_id = $1 AND cidr = '192.0.2.1/32'").await.unwrap(),
            drill: one("INSERT INTO drills (id, project_id, datastore_id, kind, state, finished_at, cleaned_at)
                SELECT gen_random_uuid(), project_id, id, 'kill', 'interrupted', now(), now() FROM datastores WHERE id = $1 RETURNING id")
            .await
            .unwrap(),
            draft: domain::wizard::start(&site.app, ada).await.unwrap(),
        }
    }

    /// Whom a server function serves, and arguments with which it would do something.
    fn of(&self, path: &str) -> (Reach, Vec<(&'static str, String)>) {
        let (id, job, draft) = (("id", self.datastore.to_string()), ("job", self.job.to_string()), ("id", self.draft.to_string()));
        let text = |name: &'static str, value: &str| (name, value.to_owned());
        match path {
            "/api/page/me" | "/api/page/notice" => (Reach::Session, vec![]),
            "/api/page/attempt" => (Reach::Session, vec![text("form", "rename")]),
            "/api/datastore/list" => (Reach::Project(Role::Viewer), vec![text("query[q]", "")]),
            "/api/datastore/logs" => (Reach::Datastore(Role::Viewer), vec![id, text("query[q]", "")]),
            "/api/datastore/connection" => (Reach::Datastore(Role::Viewer), vec![id, text("endpoint", "Primary")]),
            "/api/datastore/get" | "/api/datastore/activity" | "/api/datastore/drills" | "/api/firewall/show" => {
                (Reach::Datastore(Role::Viewer), vec![id])
            }
            "/api/datastore/rename" => (Reach::Datastore(Role::Member), vec![id, text("name", "renamed")]),
            "/api/datastore/tags" => (Reach::Datastore(Role::Member), vec![id, text("tags", "tag")]),
            "/api/datastore/restart" | "/api/datastore/add_node" => (Reach::Datastore(Role::Member), vec![id]),
            "/api/datastore/promote" => (Reach::Datastore(Role::Member), vec![id, ("node", self.node.to_string())]),
            "/api/datastore/replace_node" | "/api/datastore/remove_node" => {
                (Reach::Datastore(Role::Member), vec![id, ("node", self.node.to_string())])
            }
            "/api/datastore/durability" => (Reach::Datastore(Role::Member), vec![id, text("durability", "quorum")]),
            "/api/datastore/readers" => (Reach::Datastore(Role::Member), vec![id, text("lag_mb", "1"), text("fallback", "none")]),
            "/api/datastore/overrule" => (Reach::Datastore(Role::Owner), vec![id, ("node", self.node.to_string()), text("confirm", "x")]),
            "/api/datastore/drill" => (Reach::Datastore(Role::Member), vec![id, text("kind", "kill")]),
            "/api/datastore/drills/one" => (Reach::Datastore(Role::Viewer), vec![id, ("drill", self.drill.to_string())]),
            "/api/datastore/protect" => (Reach::Datastore(Role::Owner), vec![id, text("on", "true")]),
            "/api/datastore/reveal" => (Reach::Datastore(Role::Owner), vec![id]),
            "/api/datastore/delete" => (Reach::Datastore(Role::Owner), vec![id, text("confirm", "x")]),
            "/api/jobs/retry" | "/api/jobs/cancel" => (Reach::Datastore(Role::Member), vec![id, job]),
            "/api/jobs/abandon" => (Reach::Datastore(Role::Owner), vec![id, job]),
            "/api/firewall/add" => {
                (Reach::Datastore(Role::Member), vec![id, text("cidr", "192.0.2.9/32"), text("description", ""), text("consent", "")])
            }
            "/api/firewall/remove" => (Reach::Datastore(Role::Member), vec![id, ("source", self.source.to_string())]),
            "/api/wizard/start" => (Reach::Project(Role::Member), vec![]),
            "/api/wizard/show" => (Reach::Draft(Role::Viewer), vec![draft]),
            "/api/wizard/save" => (Reach::Draft(Role::Member), vec![draft, text("step", "Configuration"), text("fields[name]", "saved")]),
            "/api/wizard/finish" => (Reach::Draft(Role::Member), vec![draft]),
            new => panic!("the walk does not know the server function {new}: say whom it serves, and with which arguments"),
        }
    }

    /// An address of the route table, with Ada's things in it; `true` when it names any.
    fn fill(&self, path: &str) -> (String, bool) {
        let parts = path.split('/').map(|part| match part.trim_start_matches(['{', ':']).trim_end_matches('}') {
            plain if plain == part => part.to_owned(),
            "id" => self.datastore.to_string(),
            "drill" => self.drill.to_string(),
            "draft" => self.draft.to_string(),
            "step" => "databases".to_owned(),
            new => panic!("the walk does not know the parameter {new} of {path}"),
        });
        let filled = parts.collect::<Vec<_>>().join("/");
        (filled.clone(), filled != path)
    }
}

/// Who walks.
struct Walkers {
    site: Site,
    ada: Actor,
    owner: Browser,
    member: Browser,
    viewer: Browser,
    stranger: Browser,
    ended: Browser,
    nobody: Browser,
}

impl Walkers {
    async fn new() -> Self {
        let site = Site::new().await;
        let owner = site.signed_in("Ada", "ada@example.org").await;
        let ada = actor(&owner).await;
        let db = &site.app.db;
        sqlx::query("UPDATE projects SET quota_instances = 1000, quota_ram_mb = 100000000, quota_storage_gb = 1000000").execute(db).await.unwrap();
        let mut guests = Vec::new();
        for (name, role) in [("Mel", "member"), ("Vic", "viewer")] {
            let guest = site.signed_in(name, &format!("{name}@example.org")).await;
            let person = actor(&guest).await.me.person;
            let member = sqlx::query("INSERT INTO members (project_id, person_id, role) VALUES ($1, $2, $3)");
            member.bind(ada.me.project).bind(person).bind(role).execute(db).await.unwrap();
            let acts = sqlx::query("UPDATE sessions SET project_id = $1 WHERE person_id = $2");
            acts.bind(ada.me.project).bind(person).execute(db).await.unwrap();
            assert_eq!(actor(&guest).await.me.project, ada.me.project);
            guests.push(guest);
        }
        let (viewer, member) = (guests.pop().unwrap(), guests.pop().unwrap());
        let stranger = site.signed_in("Bob", "bob@example.org").await;
        let ended = site.signed_in("Ada", "ada@example.org").await;
        let newest = "UPDATE sessions SET idle_expires_at = now() - interval '1 s' WHERE created_at = (SELECT max(created_at) FROM sessions)";
        assert_eq!(sqlx::query(newest).execute(db).await.unwrap().rows_affected(), 1);
        let nobody = site.browser();
        Self { site, ada, owner, member, viewer, stranger, ended, nobody }
    }

    /// Everything that is kept, as one word.
    async fn state(&self) -> String {
        let tables = [
            "datastores",
            "nodes",
            "jobs",
            "trusted_sources",
            "secrets",
            "first_databases",
            "drafts",
            "drills",
            "events",
            "members",
            "projects",
            "people",
        ];
        let all: Vec<_> = tables.iter().map(|table| format!("SELECT '{table} ' || t::text AS row FROM {table} t")).collect();
        let sql = format!("SELECT md5(string_agg(row, '|' ORDER BY row)) FROM ({}) AS rows", all.join(" UNION ALL "));
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&self.site.app.db).await.unwrap()
    }

    async fn sessions(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM sessions WHERE person_id IS NOT NULL").fetch_one(&self.site.app.db).await.unwrap()
    }
}

/// What came of a request.
struct Said {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

async fn call(browser: &Browser, method: &Method, path: &str, headers: &[(&str, &str)], arguments: &[(&str, String)]) -> Said {
    let form: Vec<(&str, &str)> = arguments.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = if *method == Method::GET {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
        browser.request(method.clone(), &format!("{path}?{query}"), headers, None).await
    } else {
        browser.request(method.clone(), path, headers, Some(&form)).await
    };
    Said { status: answer.status, headers: answer.headers, text: answer.text }
}

/// All server functions of the program.
fn server_functions() -> BTreeSet<(&'static str, String)> {
    server_fn::axum::server_fn_paths().map(|(path, method)| (path, method.to_string())).collect()
}

#[tokio::test]
async fn every_server_function_refuses_whoever_it_does_not_serve() {
    let walk = Walkers::new().await;
    let things = Things::new(&walk.site, &walk.ada).await;
    let functions = server_functions();
    assert!(functions.len() >= 22, "the registration of server functions is not seen: {functions:?}");
    for (path, method) in functions {
        let method: Method = method.parse().unwrap();
        let (reach, arguments) = things.of(path);
        let before = walk.state().await;
        for (who, browser) in [("signed out", &walk.nobody), ("with an ended session", &walk.ended)] {
            let said = call(browser, &method, path, &[JSON, SELF], &arguments).await;
            let expected = if reach == Reach::Session { (StatusCode::OK, "null") } else { (StatusCode::UNAUTHORIZED, "\"SignedOut\"") };
            assert_eq!((said.status, said.text.as_str()), expected, "{path} {who}");
        }
        let said = call(&walk.stranger, &method, path, &[JSON, SELF], &arguments).await;
        match reach {
            Reach::Datastore(_) | Reach::Draft(_) => {
                assert_eq!((said.status, said.text.as_str()), (StatusCode::NOT_FOUND, "\"NotFound\""), "{path} by another project");
                assert_eq!(walk.state().await, before, "{path} by another project did something");
            }
            Reach::Session | Reach::Project(_) => assert!(said.status.is_success() && !said.text.contains(SECRET), "{path}: {}", said.text),
        }
        let before = walk.state().await;
        foreign(&walk, &method, path, &arguments).await;
        assert_eq!(walk.state().await, before, "{path} of a foreign page did something");
    }
}

/// A foreign page has Ada's browser send it: a write is refused, and what a read says is not for that page.
async fn foreign(walk: &Walkers, method: &Method, path: &str, arguments: &[(&str, String)]) {
    for accept in [JSON, ("accept", "text/html")] {
        let headers: Vec<_> = FOREIGN.into_iter().chain([accept]).collect();
        let said = call(&walk.owner, method, path, &headers, arguments).await;
        assert!(*method == Method::GET || said.status == StatusCode::FORBIDDEN, "{method} {path} of a foreign page: {}", said.status);
        assert!(!said.headers.contains_key("access-control-allow-origin"), "{path} is shared with a foreign page");
        assert_eq!(said.headers["cross-origin-resource-policy"], "same-origin", "{path}");
        assert!(said.headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"), "{path} can be framed");
    }
}

#[tokio::test]
async fn every_server_function_asks_for_its_role() {
    let walk = Walkers::new().await;
    for (path, method) in server_functions() {
        let method: Method = method.parse().unwrap();
        for (role, browser) in [(Role::Viewer, &walk.viewer), (Role::Member, &walk.member), (Role::Owner, &walk.owner)] {
            // What one does to it is not to stand in the next one's way.
            let things = Things::new(&walk.site, &walk.ada).await;
            let (reach, arguments) = things.of(path);
            let before = walk.state().await;
            let said = call(browser, &method, path, &[JSON, SELF], &arguments).await;
            let refused = match reach {
                Reach::Project(needed) | Reach::Datastore(needed) | Reach::Draft(needed) if role < needed => Some(StatusCode::FORBIDDEN),
                // Drafts are their author's alone.
                Reach::Draft(_) if role != Role::Owner => Some(StatusCode::NOT_FOUND),
                Reach::Session | Reach::Project(_) | Reach::Datastore(_) | Reach::Draft(_) => None,
            };
            if let Some(status) = refused {
                assert_eq!(said.status, status, "{path} by a {role:?}: {}", said.text);
                assert_eq!(walk.state().await, before, "{path} by a {role:?} did something");
            } else {
                let served = ![401, 403, 404, 500].contains(&said.status.as_u16());
                assert!(served, "{path} by a {role:?}: {} {}", said.status, said.text);
            }
        }
    }
}

#[tokio::test]
async fn every_page_is_for_its_people_alone() {
    let walk = Walkers::new().await;
    let things = Things::new(&walk.site, &walk.ada).await;
    let routes = generate_route_list(app::App);
    assert!(routes.len() >= 12, "the route table is not seen");
    let before = walk.state().await;
    for route in routes {
        let (path, is_theirs) = things.fill(route.path());
        for (who, browser) in [("signed out", &walk.nobody), ("with an ended session", &walk.ended)] {
            let answer = browser.get(&path).await;
            let to_sign_in = answer.location().is_some_and(|to| to.starts_with("/sign-in?return="));
            assert!(if path == "/sign-in" { answer.status == StatusCode::OK } else { to_sign_in }, "{path} {who}: {answer:?}");
        }
        let answer = walk.stranger.get(&path).await;
        assert!(!answer.text.contains(SECRET), "{path} by another project: {}", answer.text);
        assert_eq!(answer.status == StatusCode::NOT_FOUND, is_theirs, "{path} by another project: {}", answer.status);
        let answer = walk.viewer.get(&path).await;
        let drafts = path.contains(&things.draft.to_string());
        assert_eq!(answer.status == StatusCode::NOT_FOUND, drafts, "{path} by a viewer: {}", answer.status);
        let answer = walk.owner.get(&path).await;
        assert!(answer.status.is_success() || answer.status.is_redirection(), "{path} by its owner: {}", answer.status);
        foreign(&walk, &Method::GET, &path, &[]).await;
        foreign(&walk, &Method::POST, &path, &[]).await;
        assert_eq!(walk.state().await, before, "{path}: looking did something");
    }
}

#[tokio::test]
async fn every_other_address_is_for_its_people_alone() {
    let walk = Walkers::new().await;
    let things = Things::new(&walk.site, &walk.ada).await;
    // A stream goes on; its beginning says enough.
    let status = async |browser: &Browser, method: &Method, path: &str| browser.send(method.clone(), path, &[SELF], None).await.status().as_u16();
    for (path, _) in router::personal() {
        // Signed out, another project, a viewer.
        let (method, expected) = match path {
            "/events" => (Method::GET, [401, 200, 200]),
            "/datastores/{id}/events" => (Method::GET, [401, 404, 200]),
            "/auth/callback" => (Method::GET, [303, 303, 303]),
            "/auth/start" => (Method::POST, [415, 415, 415]),
            // Each ends sessions of who asks, and of nobody else; they have tests of their own.
            "/auth/sign-out" | "/auth/sign-out-everywhere" => (Method::POST, [303, 0, 0]),
            new => panic!("the walk does not know {new}: say whom it serves"),
        };
        let (filled, _) = things.fill(path);
        let (before, sessions) = (walk.state().await, walk.sessions().await);
        for (browser, expected) in [&walk.nobody, &walk.ended, &walk.stranger, &walk.viewer].into_iter().zip([0, 0, 1, 2].map(|at| expected[at])) {
            if expected != 0 {
                assert_eq!(status(browser, &method, &filled).await, expected, "{path}");
            }
        }
        if method == Method::POST {
            foreign(&walk, &method, &filled, &[]).await;
        }
        assert_eq!((walk.state().await, walk.sessions().await), (before, sessions), "{path} did something");
    }
    for (path, _) in router::public() {
        let (method, filled) = match path {
            "/healthz" | "/readyz" | "/metrics" => (Method::GET, path.to_owned()),
            "/pkg/{*path}" => (Method::GET, "/pkg/icons.svg".to_owned()),
            "/ca/{file}" => (Method::GET, format!("/ca/{}.pem", things.datastore)),
            "/auth/back-channel-logout" => (Method::POST, path.to_owned()),
            new => panic!("the walk does not know {new}: say that it is for everybody"),
        };
        let answers = [&walk.nobody, &walk.ended, &walk.stranger, &walk.owner].map(|browser| call(browser, &method, &filled, &[JSON, SELF], &[]));
        for said in futures::future::join_all(answers).await {
            assert!(!said.text.contains(SECRET) && !said.headers.contains_key("set-cookie"), "{path}: {}", said.text);
        }
    }
}

#[tokio::test]
async fn r042_only_who_may_reveal_the_password_is_offered_it() {
    let walk = Walkers::new().await;
    let id = Things::new(&walk.site, &walk.ada).await.datastore;
    let db = &walk.site.app.db;
    let made = "UPDATE datastores SET lifecycle = 'active', ca_certificate = 'PEM', ca_fingerprint = repeat('ab', 32) WHERE id = $1";
    sqlx::query(made).bind(id).execute(db).await.unwrap();
    let address =
        "INSERT INTO addresses (host_id, address, port, project_id, datastore_id, purpose) VALUES ($1, '127.9.9.9', 5432, $2, $3, 'primary')";
    sqlx::query(address).bind(Uuid::nil()).bind(walk.ada.me.project).bind(id).execute(db).await.unwrap();
    for (who, browser, offered) in [("owner", &walk.owner, true), ("member", &walk.member, false), ("viewer", &walk.viewer, false)] {
        for tab in ["", "/users"] {
            let page = browser.get(&format!("/datastores/{id}{tab}")).await;
            assert!(page.text.contains("127.9.9.9") && page.text.contains("hidden"), "{who}{tab}: {}", page.text);
            assert_eq!(page.text.contains("/api/datastore/reveal"), offered, "{who}{tab}");
            assert_eq!(page.text.contains("owner can reveal it"), !offered, "{who}{tab}");
        }
    }
}

/// What stands beside the tables is not walked over.
#[test]
fn every_route_stands_in_a_table() {
    let count = |text: &str| text.matches(".route(").count();
    assert_eq!(count(include_str!("../server/web/router.rs")), 1, "a route of the router stands beside its tables");
    assert_eq!(count(include_str!("../server/auth/dev_provider/mod.rs")), 0, "a route of the provider stands beside its table");
}
