//! Datastores: list, look, change.

use crate::{
    error::AppError,
    model::{
        datastore::{EndpointKind, ListQuery},
        person::Role,
        status::Status,
    },
    server::domain::{self, Actor},
    tests::world::{World, person},
};
use uuid::Uuid;

#[tokio::test]
async fn r078_an_empty_list_is_an_empty_list() {
    let world = World::new().await;
    let page = domain::datastore::list(&world.app, &world.actor, ListQuery::default()).await.unwrap();
    assert_eq!((page.rows.len(), page.total, page.all, page.before), (0, 0, 0, 0));
}

#[tokio::test]
async fn the_list_searches_filters_sorts_and_pages() {
    let world = World::new().await;
    world.ask("alpha", |d| (d.tags, d.volume_gb) = ("prod, eu".into(), "1".into())).await;
    world.ask("beta_1", |d| (d.tags, d.volume_gb) = ("test".into(), "1".into())).await;
    world.ask("betax1", |d| d.volume_gb = "1".into()).await;
    let ask = |query: ListQuery| async { domain::datastore::list(&world.app, &world.actor, query).await.unwrap() };
    let names = |page: crate::model::datastore::ListPage| page.rows.into_iter().map(|r| r.name).collect::<Vec<_>>();
    assert_eq!(names(ask(ListQuery::default()).await), ["betax1", "beta_1", "alpha"], "newest first");
    assert_eq!(names(ask(ListQuery { sort: "name".into(), ..ListQuery::default() }).await), ["alpha", "beta_1", "betax1"]);
    assert_eq!(names(ask(ListQuery { q: "A_1".into(), ..ListQuery::default() }).await), ["beta_1"], "_ is a letter like others");
    assert_eq!(names(ask(ListQuery { tag: "eu".into(), ..ListQuery::default() }).await), ["alpha"]);
    assert_eq!(names(ask(ListQuery { status: Status::Running.word().into(), ..ListQuery::default() }).await), Vec::<String>::new());
    assert_eq!(ask(ListQuery { status: Status::Queued.word().into(), ..ListQuery::default() }).await.total, 3);
    let page = ask(ListQuery { after: Uuid::nil().to_string(), ..ListQuery::default() }).await;
    assert_eq!((page.before, page.tags), (0, vec!["eu".to_owned(), "prod".to_owned(), "test".to_owned()]));
}

/// Writes datastores as creation does, a minute apart, the first one the oldest.
async fn fill(world: &World, names: std::ops::Range<i32>) {
    let insert = "INSERT INTO datastores (id, project_id, name, engine, version, topology, region, flavor, flavor_ram_mb, flavor_vcpus, storage,
            storage_gb, host_id, lifecycle, created_at)
        SELECT gen_random_uuid(), $1, 'n' || lpad(n::text, 4, '0'), 'postgresql', '15', 'single', 'local', '1', 512, 1, 'ephemeral', 5, $2, 'active',
            now() + n * interval '1 minute' FROM generate_series($3, $4) n";
    let query = sqlx::query(insert).bind(world.actor.me.project).bind(Uuid::new_v4()).bind(names.start).bind(names.end - 1);
    query.execute(&world.app.db).await.unwrap();
}

#[tokio::test]
async fn pages_stay_what_they_are_while_others_make_and_delete() {
    for sort in ["created", "-created", "name", "-name"] {
        let world = World::new().await;
        fill(&world, 1000..1230).await;
        let ask = async |query: ListQuery| domain::datastore::list(&world.app, &world.actor, query).await.unwrap();
        let mut query = ListQuery { sort: sort.into(), ..ListQuery::default() };
        let mut pages = Vec::new();
        loop {
            let page = ask(query.clone()).await;
            assert_eq!(page.before, u64::try_from(pages.iter().map(Vec::len).sum::<usize>()).unwrap(), "{sort}");
            let names: Vec<String> = page.rows.iter().map(|r| r.name.clone()).collect();
            let end = page.before + u64::try_from(names.len()).unwrap() >= page.total;
            query.after = page.rows.last().unwrap().id.to_string();
            pages.push(names);
            if end {
                break;
            }
        }
        let all: Vec<String> = pages.concat();
        let mut ordered: Vec<String> = (1000..1230).map(|n| format!("n{n}")).collect();
        if sort.starts_with('-') {
            ordered.reverse();
        }
        assert_eq!(all, ordered, "{sort}");

        // From the third page back: what is made or deleted elsewhere moves nothing, nor does the deletion of the row gone on from.
        let third = ask(ListQuery { after: id(&world, &pages[1][49]).await, sort: sort.into(), ..ListQuery::default() }).await;
        let first_of_third = third.rows[0].id;
        let delete = "UPDATE datastores SET deleted_at = now() WHERE project_id = $1 AND name = ANY($2)";
        sqlx::query(delete).bind(world.actor.me.project).bind([&pages[0][7], &pages[2][0], &pages[3][3]]).execute(&world.app.db).await.unwrap();
        fill(&world, 1300..1310).await;
        fill(&world, 900..903).await;
        let second = ask(ListQuery { before: first_of_third.to_string(), sort: sort.into(), ..ListQuery::default() }).await;
        assert_eq!(second.rows.iter().map(|r| &r.name).collect::<Vec<_>>(), pages[1].iter().collect::<Vec<_>>(), "{sort}");
        let again = ask(ListQuery { after: second.rows[49].id.to_string(), sort: sort.into(), ..ListQuery::default() }).await;
        assert_eq!(again.rows[..49].iter().map(|r| &r.name).collect::<Vec<_>>(), pages[2][1..].iter().collect::<Vec<_>>(), "{sort}");
    }
}

async fn id(world: &World, name: &str) -> String {
    let find = "SELECT id::text FROM datastores WHERE project_id = $1 AND name = $2";
    sqlx::query_scalar(find).bind(world.actor.me.project).bind(name).fetch_one(&world.app.db).await.unwrap()
}

#[tokio::test]
async fn others_datastores_do_not_exist() {
    let world = World::new().await;
    let id = world.ask("orders", |_| ()).await;
    let stranger = person(&world.app).await;
    let unknown = Uuid::now_v7();
    for id in [id, unknown] {
        assert_eq!(domain::datastore::get(&world.app, &stranger, id).await, Err(AppError::NotFound));
        assert_eq!(domain::datastore::snapshot(&world.app, &stranger, id).await, Err(AppError::NotFound));
        assert_eq!(domain::datastore::rename(&world.app, &stranger, id, "mine").await, Err(AppError::NotFound));
        assert_eq!(domain::datastore::set_tags(&world.app, &stranger, id, "").await, Err(AppError::NotFound));
        assert_eq!(domain::datastore::protect(&world.app, &stranger, id, true).await, Err(AppError::NotFound));
        assert_eq!(domain::datastore::restart(&world.app, &stranger, id).await, Err(AppError::NotFound));
        assert_eq!(domain::datastore::delete(&world.app, &stranger, id, "orders").await, Err(AppError::NotFound));
        assert_eq!(domain::access::reveal(&world.app, &stranger, id).await, Err(AppError::NotFound));
        assert_eq!(domain::access::connection(&world.app, &stranger, id, EndpointKind::Primary, true).await, Err(AppError::NotFound));
        assert_eq!(domain::activity::of_datastore(&world.app, &stranger, id).await, Err(AppError::NotFound));
        assert_eq!(domain::firewall::show(&world.app, &stranger, id).await, Err(AppError::NotFound));
        assert_eq!(domain::firewall::add(&world.app, &stranger, id, "10.0.0.0/8", "", "").await, Err(AppError::NotFound));
        assert_eq!(domain::firewall::remove(&world.app, &stranger, id, unknown).await, Err(AppError::NotFound));
    }
    assert_eq!(domain::datastore::list(&world.app, &stranger, ListQuery::default()).await.unwrap().total, 0);
}

#[tokio::test]
async fn roles_allow_what_they_say() {
    let world = World::new().await;
    let id = world.ask("orders", |_| ()).await;
    let with = |role| Actor { me: crate::model::person::Me { role, ..world.actor.me.clone() }, ..world.actor.clone() };
    let viewer = with(Role::Viewer);
    assert!(domain::datastore::get(&world.app, &viewer, id).await.is_ok());
    assert_eq!(domain::datastore::rename(&world.app, &viewer, id, "mine").await, Err(AppError::Forbidden));
    assert_eq!(domain::firewall::add(&world.app, &viewer, id, "10.0.0.0/8", "", "").await, Err(AppError::Forbidden));
    assert_eq!(domain::wizard::start(&world.app, &viewer).await, Err(AppError::Forbidden));
    let member = with(Role::Member);
    assert!(domain::datastore::rename(&world.app, &member, id, "ours").await.is_ok());
    assert_eq!(domain::datastore::delete(&world.app, &member, id, "ours").await, Err(AppError::Forbidden));
    assert_eq!(domain::access::reveal(&world.app, &member, id).await, Err(AppError::Forbidden), "r042: the owner alone");
}

#[tokio::test]
async fn names_and_tags_change_and_are_audited() {
    let world = World::new().await;
    let id = world.ask("orders", |_| ()).await;
    world.ask("taken", |_| ()).await;
    domain::datastore::rename(&world.app, &world.actor, id, "sales").await.unwrap();
    domain::datastore::rename(&world.app, &world.actor, id, "SALES").await.unwrap();
    assert!(matches!(domain::datastore::rename(&world.app, &world.actor, id, "Taken").await, Err(AppError::Invalid(e)) if e.of("name").is_some()));
    assert!(matches!(domain::datastore::rename(&world.app, &world.actor, id, "a b").await, Err(AppError::Invalid(_))));
    domain::datastore::set_tags(&world.app, &world.actor, id, "prod, eu").await.unwrap();
    let view = world.get(id).await;
    assert_eq!((view.row.name.as_str(), view.row.tags), ("SALES", vec!["prod".to_owned(), "eu".to_owned()]));
    let events = domain::activity::of_datastore(&world.app, &world.actor, id).await.unwrap().events;
    assert_eq!(events.iter().map(|e| e.action.as_str()).collect::<Vec<_>>(), ["Set tags", "Rename", "Rename", "Create datastore"]);
    assert_eq!((events[0].actor.as_str(), events[0].address.as_str()), ("Ada", "127.0.0.1"));
}
