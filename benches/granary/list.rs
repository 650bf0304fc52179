//! The list with 10 000 datastores.

use crate::{
    report::{Report, Samples},
    served::Served,
};
use futures::{StreamExt, stream};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

const DATASTORES: i32 = 10_000;
const TIMES: usize = 200;
const REQUESTS: u32 = 1000;
const TOGETHER: usize = 8;

/// Rows as creation writes them, of another host, so that nobody looks for their servers.
const FILL: &str = "
    WITH made AS (
        INSERT INTO datastores (id, project_id, name, engine, version, topology, region, flavor, flavor_ram_mb, flavor_vcpus, storage, volume_type,
            storage_gb, tags, host_id, lifecycle, created_at, observed, observed_at)
        SELECT gen_random_uuid(), $1, 'db-' || n, 'postgresql', '15', 'single', 'local', '1', 512, 1, 'volume', 'dynamic', 10,
            ARRAY['team-' || n % 20], gen_random_uuid(), 'active', now() - n * interval '1 minute', 'healthy', now() + interval '1 hour'
        FROM generate_series(1, $2) n RETURNING id, project_id, storage_gb)
    , first AS (INSERT INTO first_databases (datastore_id, project_id, database_name, user_name) SELECT id, project_id, 'app', 'app_admin' FROM made)
    INSERT INTO nodes (id, project_id, datastore_id, slot, role, observed_storage_bytes) SELECT gen_random_uuid(), project_id, id, 0, 'primary', 50000000 FROM made";

pub(crate) async fn measure(report: &mut Report) {
    let served = Served::start(0).await;
    sqlx::query(FILL).bind(served.actor.me.project).bind(DATASTORES).execute(&served.app.db).await.unwrap();
    sqlx::query("ANALYZE").execute(&served.app.db).await.unwrap();
    for (what, path) in [
        ("first page", "/datastores"),
        ("oldest first", "/datastores?sort=created"),
        ("by name", "/datastores?sort=-name"),
        ("search", "/datastores?q=db-99"),
        ("status and tag", "/datastores?status=Running&tag=team-7"),
    ] {
        let mut samples: Vec<Duration> = Vec::new();
        // A status that nobody checked for a minute is none.
        sqlx::query("UPDATE datastores SET observed_at = now()").execute(&served.app.db).await.unwrap();
        sqlx::query("VACUUM datastores").execute(&served.app.db).await.unwrap();
        for _ in 0..TIMES {
            let begun = Instant::now();
            let answer = served.browser.get(path).await;
            samples.push(begun.elapsed());
            assert!(answer.status == 200 && answer.text.contains(">db-"), "{path}");
        }
        report.times(&format!("list of {DATASTORES}, {what}"), &Samples::new(samples), "");
    }
    let begun = Instant::now();
    let served = &served;
    stream::iter(0..REQUESTS).for_each_concurrent(TOGETHER, async |_| assert_eq!(served.browser.get("/datastores").await.status, 200)).await;
    report.value(
        &format!("list of {DATASTORES}, {TOGETHER} readers"),
        &format!("{:.0} requests/s", f64::from(REQUESTS) / begun.elapsed().as_secs_f64()),
        "",
    );
    stable(report, served).await;
}

/// Pages all of it while others make and delete datastores: each that was there all the time is seen exactly once.
async fn stable(report: &mut Report, served: &Served) {
    let (mut seen, mut twice, mut path) = (BTreeSet::new(), 0, Some("/datastores?sort=created".to_owned()));
    let mut pages = 0;
    while let Some(at) = path {
        let text = served.browser.get(&at).await.text;
        for name in text.split("cell-name-words").skip(1).filter_map(|row| row.split("<a").nth(1)?.split('>').nth(1)?.split('<').next()) {
            twice += u32::from(!seen.insert(name.to_owned()));
        }
        if pages % 20 == 10 {
            let project = served.actor.me.project;
            sqlx::query(FILL.replace("'db-'", &format!("'new-{pages}-'")).leak() as &'static str)
                .bind(project)
                .bind(pages)
                .execute(&served.app.db)
                .await
                .unwrap();
        }
        path = text
            .split("rel=\"next\"")
            .nth(1)
            .and_then(|rest| rest.split("href=\"").nth(1))
            .map(|l| l.split('"').next().unwrap().replace("&amp;", "&"));
        pages += 1;
    }
    let missed = (1..=DATASTORES).filter(|n| !seen.contains(&format!("db-{n}"))).count();
    report.value("paging all of it while others are made", &format!("{twice} seen twice, {missed} missed"), "aim: none");
}
