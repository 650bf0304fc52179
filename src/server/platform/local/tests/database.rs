//! The case all of this is for: a busy backend of a real database, which a kill of its server's process group would
//! leave committing for seconds.

use super::*;
use crate::server::platform::Dial;
use std::collections::BTreeMap;
use tokio_postgres::NoTls;

const BUSY: &str = "DO $$ BEGIN LOOP INSERT INTO t VALUES (1); COMMIT; END LOOP; END $$";

#[tokio::test]
async fn a_fenced_database_writes_no_more() {
    for world in [World::new(), World::without_groups()] {
        // Debian's packages; nothing to show where PostgreSQL is not installed.
        let Some(postgres) = world.find(&["/usr/lib/postgresql/*/bin/postgres".to_owned()]).await.pop() else { return };
        let node = world.made().await;
        let paths = world.paths(&node);
        let (data, run) = (paths.data.display().to_string(), paths.run.display().to_string());
        let program = |name: &str, args: &[&str]| Program {
            path: postgres.with_file_name(name),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            env: Vec::new(),
        };
        let initdb = program("initdb", &["--no-sync", "--auth=trust", "--username=granary", "-D", &data]);
        world.run(world.lease(), &node, &initdb, Duration::from_mins(1)).await.unwrap();
        let server = program("postgres", &["-D", &data, "-k", &run, "-c", "listen_addresses="]);
        world.start(world.lease(), &node, "postgresql", &server).await.unwrap();

        let admin = connect(&world, &node).await;
        admin.batch_execute("CREATE TABLE t (i int)").await.unwrap();
        let busy = connect(&world, &node).await;
        let commits = tokio::spawn(async move { busy.batch_execute(BUSY).await });
        let wal = paths.data.join("pg_wal");
        let before = content(&wal);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_ne!(content(&wal), before, "it is busy");

        world.fence(world.lease(), &node).await.unwrap();
        let fenced = content(&wal);
        assert_eq!(world.presence(&node).await, Presence::Dead);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(content(&wal), fenced, "not one byte more");
        assert!(commits.await.unwrap().is_err());
    }
}

async fn connect(world: &World, node: &NodeSpec) -> tokio_postgres::Client {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let tried = match world.dial(node, Dial::Socket(".s.PGSQL.5432")).await {
            Ok(stream) => {
                let config = "user=granary dbname=postgres".parse::<tokio_postgres::Config>().unwrap();
                config.connect_raw(stream, NoTls).await.map_err(anyhow::Error::from)
            }
            Err(e) => Err(e),
        };
        match tried {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return client;
            }
            Err(e) if Instant::now() > end => panic!("{e:#}: {}", world.tail(node, "postgresql", 2000).await),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// What the write-ahead log holds.
fn content(wal: &Path) -> BTreeMap<PathBuf, String> {
    let files = fs::read_dir(wal).unwrap().flatten().filter(|e| e.path().is_file());
    files.map(|e| (e.path(), super::super::dirs::hash(&fs::read(e.path()).unwrap_or_default(), 64))).collect()
}
