//! A datastore with two replicas, made through Granary as its users do.

use crate::{
    client::Endpoint,
    cluster::{Cluster, Primary},
    served::{PATIENCE, Served},
};
use granary::{
    model::{
        datastore::{DatastoreView, EndpointKind},
        draft::Draft,
        job::JobState,
        status::Status,
    },
    server::{
        db::plan::{Plan, PlannedNode},
        domain,
    },
};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Asks for two replicas and leaves all else as it is proposed.
pub(crate) fn two_replicas(draft: &mut Draft) {
    "two-replicas".clone_into(&mut draft.topology);
}

/// One, and the Granary that looks after it.
pub(crate) struct Datastore {
    pub(crate) served: Served,
    id: Uuid,
}

impl Datastore {
    /// With two replicas.
    pub(crate) async fn new() -> Self {
        let served = Served::start(0).await;
        let draft = served.draft_with("orders", two_replicas).await;
        let id = served.finish(draft).await;
        Self { served, id }
    }

    async fn view(&self) -> DatastoreView {
        domain::datastore::get(&self.served.app, &self.served.actor, self.id).await.unwrap()
    }

    /// Waits until all is well and no work is left.
    async fn settled(&self) -> Plan {
        let begun = Instant::now();
        loop {
            let left: i64 = sqlx::query_scalar("SELECT count(*) FROM jobs WHERE datastore_id = $1 AND state IN ('queued', 'running')")
                .bind(self.id)
                .fetch_one(&self.served.app.db)
                .await
                .unwrap();
            let view = self.view().await;
            let well = view.row.status == Status::Running && view.nodes.iter().all(|node| node.status == Status::Running);
            let plan = Plan::load(&self.served.app.db, self.id).await.unwrap();
            if left == 0 && well && view.job.as_ref().is_some_and(|job| job.state == JobState::Done) && self.in_step(&plan).await {
                return plan;
            }
            assert!(begun.elapsed() < PATIENCE, "{view:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether every replica receives from the primary now.
    async fn in_step(&self, plan: &Plan) -> bool {
        let (platform, engine) = (self.served.app.platform(&plan.region).unwrap(), self.served.app.engine(plan.engine).unwrap());
        let health = engine.check(platform, &plan.node_spec(primary(plan))).await;
        health.is_ok_and(|health| health.writable && health.followers.len() + 1 == plan.nodes.len())
    }
}

impl Cluster for Datastore {
    fn name(&self) -> String {
        "Granary".to_owned()
    }

    async fn endpoint(&self) -> Vec<Endpoint> {
        vec![self.served.connection(self.id).await]
    }

    async fn whole(&self) -> Primary {
        let plan = self.settled().await;
        let data = data(&self.served, &plan, primary(&plan));
        Primary { server: data.clone(), node: data }
    }

    async fn switch_over(&self) -> Instant {
        let plan = self.settled().await;
        let next = plan.nodes.iter().find(|node| !node.primary).unwrap().id;
        let begun = Instant::now();
        domain::datastore::promote(&self.served.app, &self.served.actor, self.id, next).await.unwrap();
        while primary(&self.settled().await).id != next {}
        begun
    }
}

fn primary(plan: &Plan) -> &PlannedNode {
    plan.nodes.iter().find(|node| node.primary).unwrap()
}

/// Where a node's server runs.
pub(crate) fn data(served: &Served, plan: &Plan, node: &PlannedNode) -> PathBuf {
    served.app.platform(&plan.region).unwrap().paths(&plan.node_spec(node)).data
}

/// From Finish until a row written through the endpoint is on every replica, as a client reads it at the nodes' own addresses.
pub(crate) async fn create(served: &Served, name: &str) -> Duration {
    let draft = served.draft_with(name, two_replicas).await;
    let begun = Instant::now();
    let id = served.finish(draft).await;
    let endpoint = served.connection(id).await;
    let replicas = replicas(served, id, &endpoint).await;
    let time = crate::writer::until_everywhere(&endpoint, &replicas).await - begun;
    served.delete(id).await;
    time
}

async fn replicas(served: &Served, id: Uuid, endpoint: &Endpoint) -> Vec<Endpoint> {
    let view = domain::datastore::get(&served.app, &served.actor, id).await.unwrap();
    assert!(view.endpoints.iter().any(|endpoint| endpoint.kind == EndpointKind::Replica), "{view:#?}");
    let public = view.nodes.iter().filter(|node| node.role == "replica").map(|node| node.public.as_deref().unwrap().rsplit_once(':').unwrap());
    public.map(|(host, port)| Endpoint { host: host.to_owned(), port: port.parse().unwrap(), ..endpoint.clone() }).collect()
}
