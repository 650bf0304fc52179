//! What each step does. Every one is an "ensure": done again, or after a death in its middle, it ends in the same state.

pub mod addresses;
mod certificates;
mod drill;
mod membership;
mod node;
mod promotion;
mod release;
mod replicas;
mod routes;
mod sync;

use super::kind::{JobKind, Step};
use crate::server::{
    crypto::keyring::Keyring,
    db::{
        self,
        jobs::Leased,
        plan::{Membership, Plan},
    },
    engine::{ClientTls, Engine, Replication, Settings, Site, Tls, quorum::SyncSet},
    monitor::decide::FROZEN,
    platform::{Activity, Lease, NodeSpec, Platform},
    state::App,
};
use anyhow::Context as _;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{PgConnection, Postgres, Transaction};
use std::time::Duration;
use tokio::time::sleep;

/// How often the primary is looked at by what comes to nothing without it.
const LOOK: Duration = Duration::from_millis(300);

/// What a job should do is not to be done, or not now: it ends there. The monitor sees to what comes first.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Moot(pub(super) String);

/// What a step works with.
pub(super) struct Context<'a> {
    app: &'a App,
    job: &'a Leased,
    plan: Plan,
    lease: Lease,
}

/// Does a step.
///
/// # Errors
/// Why it was not done; [`Stale`](crate::server::platform::Stale) when the lease was lost.
pub(crate) async fn run(app: &App, job: &Leased, step: Step) -> anyhow::Result<()> {
    let plan = Plan::load(&app.db, job.datastore).await.context("the datastore's plan could not be read")?;
    if plan.lifecycle == "deleted" {
        return Ok(());
    }
    let cx = Context { app, job, plan, lease: Lease { datastore: job.datastore, token: job.token } };
    let result = if kind_of(job).is_some_and(JobKind::waits_for_a_primary) && !job.undoing {
        // A copy may take hours; nobody else looks at the datastore meanwhile.
        tokio::select! {
            result = act(&cx, step) => result,
            why = cx.until_primary_is_lost() => Err(Moot(why.to_owned()).into()),
        }
    } else {
        act(&cx, step).await
    };
    match result {
        // The monitor sees to the primary first; while this work goes on it does not look.
        Err(why) if kind_of(job).is_some_and(JobKind::waits_for_a_primary) && cx.primary_is_gone().await => {
            Err(why.context(Moot("the primary stopped meanwhile".to_owned())))
        }
        // Clients wait, and no further attempt would help: the monitor starts the primary again, or has another replica take over.
        Err(why) if kind_of(job) == Some(JobKind::Promote) && promotion::is_past_help(&cx, step).await => {
            Err(why.context(Moot("a server stopped meanwhile that the change needs".to_owned())))
        }
        result => result,
    }
}

fn kind_of(job: &Leased) -> Option<JobKind> {
    job.kind.parse().ok()
}

async fn act(cx: &Context<'_>, step: Step) -> anyhow::Result<()> {
    match step {
        Step::AllocateAddresses => addresses::allocate(cx).await,
        Step::IssueCertificates => certificates::issue(cx).await,
        Step::RenewCertificate => certificates::renew(cx).await,
        Step::MakeNode => node::make(cx).await,
        Step::Initialise => node::initialise(cx).await,
        Step::Configure => node::configure(cx).await,
        Step::StartServer => node::start(cx).await,
        Step::StartPrimary => node::start_primary(cx).await,
        Step::CopyToReplicas => replicas::copy(cx).await,
        Step::StepDown => promotion::step_down(cx).await,
        Step::EndHung => node::end_hung(cx).await,
        Step::FencePrimary => promotion::fence_primary(cx).await,
        Step::Elect => promotion::elect(cx).await,
        Step::PromoteReplica => promotion::promote(cx).await,
        Step::AdmitNodes => membership::admit(cx).await,
        Step::WithdrawNodes => membership::withdraw(cx).await,
        Step::RemoveNodes => membership::remove(cx).await,
        Step::RestartReplicas => node::restart_replicas(cx).await,
        Step::RestartPrimary => node::restart_primary(cx).await,
        Step::RecordSyncSet => sync::record(cx).await,
        Step::ApplySyncSet => sync::apply(cx).await,
        Step::ForgetSyncSets => sync::forget_older(cx).await,
        Step::Rejoin => replicas::rejoin(cx).await,
        Step::StopServer => node::stop(cx).await,
        Step::ReloadServer => node::reload(cx).await,
        Step::GuardStorage => node::guard_storage(cx).await,
        Step::Harden => node::harden(cx).await,
        Step::CreateDatabase => node::create_database(cx).await,
        Step::PrepareDatabase => node::prepare_database(cx).await,
        Step::Park => release::park(cx).await,
        Step::ApplySources => routes::apply_sources(cx).await,
        Step::Verify => routes::verify(cx).await,
        Step::MakeProbe => drill::make_probe(cx).await,
        Step::StrikePrimary => drill::strike_primary(cx).await,
        Step::RemoveProbe => drill::remove_probe(cx).await,
        Step::CloseEdge => routes::close(cx).await,
        Step::DestroyNode => node::destroy(cx).await,
        Step::Release => release::release(cx).await,
    }
}

/// What a job that is out of attempts means for its datastore.
pub(super) async fn note_failure(tx: &mut PgConnection, job: &Leased, kind: JobKind) -> sqlx::Result<()> {
    if kind.creates() {
        db::lifecycle::failed(tx, job.datastore).await?;
    }
    Ok(())
}

impl Context<'_> {
    fn platform(&self) -> anyhow::Result<&dyn Platform> {
        self.app.platform(&self.plan.region)
    }

    fn engine(&self) -> anyhow::Result<&dyn Engine> {
        self.app.engine(self.plan.engine)
    }

    fn replicating(&self) -> anyhow::Result<&dyn Replication> {
        self.engine()?.replication().with_context(|| format!("Granary runs {} on one node alone", self.plan.engine))
    }

    fn site<'a>(&'a self, node: &'a NodeSpec) -> anyhow::Result<Site<'a>> {
        let programs = self.app.programs(&self.plan.region, self.plan.engine, &self.plan.version)?;
        Ok(Site { platform: self.platform()?, lease: self.lease, node, programs })
    }

    /// All nodes but those that leave, the primary first.
    fn nodes(&self) -> Vec<NodeSpec> {
        let mut nodes: Vec<_> = self.plan.nodes.iter().filter(|n| n.membership != Membership::Leaving).collect();
        nodes.sort_by_key(|node| !node.primary);
        nodes.into_iter().map(|n| self.plan.node_spec(n)).collect()
    }

    /// The primary's node.
    fn primary(&self) -> anyhow::Result<NodeSpec> {
        self.plan.nodes.iter().find(|n| n.primary).map(|n| self.plan.node_spec(n)).context("the datastore has no primary")
    }

    /// The replicas' nodes but those that leave.
    fn replicas(&self) -> Vec<NodeSpec> {
        self.plan.nodes.iter().filter(|n| !n.primary && n.membership != Membership::Leaving).map(|n| self.plan.node_spec(n)).collect()
    }

    /// Nodes by how they belong to the datastore.
    fn nodes_that_are(&self, membership: Membership) -> Vec<NodeSpec> {
        self.plan.nodes.iter().filter(|n| n.membership == membership).map(|n| self.plan.node_spec(n)).collect()
    }

    /// Whether nothing leads the primary's processes any more.
    async fn primary_is_gone(&self) -> bool {
        let (Ok(primary), Ok(platform)) = (self.primary(), self.platform()) else { return false };
        platform.presence(&primary).await.is_gone()
    }

    /// Returns when the primary has stopped, or is frozen: what was being done comes to nothing without it.
    async fn until_primary_is_lost(&self) -> &'static str {
        let (Ok(primary), Ok(platform)) = (self.primary(), self.platform()) else { return std::future::pending().await };
        let frozen = async {
            let mut stopped = Duration::ZERO;
            // Each look counts for no more than the pause before it, however late it comes.
            while stopped < FROZEN {
                sleep(LOOK).await;
                let is_stopped = platform.vitals(&primary).await.is_ok_and(|vitals| vitals.activity == Activity::Stopped);
                stopped = if is_stopped { stopped + LOOK } else { Duration::ZERO };
            }
        };
        tokio::select! {
            () = frozen => "the primary is frozen",
            () = platform.until_gone(&primary) => "the primary stopped meanwhile",
        }
    }

    fn keyring(&self) -> &Keyring {
        &self.app.keyring
    }

    /// Opens a secret of this datastore.
    async fn secret(&self, purpose: &str) -> anyhow::Result<Option<SecretString>> {
        match db::secrets::get(&self.app.db, self.plan.id, purpose).await? {
            Some(sealed) => Ok(Some(self.keyring().open_sealed(&db::secrets::context(self.plan.id, purpose), &sealed)?)),
            None => Ok(None),
        }
    }

    /// Seals a secret into a transaction.
    async fn keep(&self, tx: &mut PgConnection, purpose: &str, secret: &SecretString) -> anyhow::Result<()> {
        let sealed = self.keyring().seal(&db::secrets::context(self.plan.id, purpose), secret)?;
        db::secrets::put(tx, self.plan.project, self.plan.id, purpose, &sealed).await?;
        Ok(())
    }

    /// What a step writes, it writes through this.
    async fn transaction(&self) -> anyhow::Result<Transaction<'static, Postgres>> {
        super::work::held(self.app, self.job).await
    }

    /// What the configuration of a node depends on.
    async fn settings(&self, node: &NodeSpec) -> anyhow::Result<Settings> {
        self.settings_under(node, &self.primary()?).await
    }

    /// The same under a primary that is none yet.
    async fn settings_under(&self, node: &NodeSpec, primary: &NodeSpec) -> anyhow::Result<Settings> {
        let ca_pem = self.plan.ca_pem.clone().context("the datastore has no CA")?;
        let certificate_pem = self.secret(&certificates::certificate(node.slot)).await?.context("the node has no certificate")?;
        let key_pem = self.secret(&certificates::key(node.slot)).await?.context("the node has no key")?;
        let tls = Tls { ca_pem, certificate_pem: certificate_pem.expose_secret().to_owned(), key_pem };
        let follows = Some(primary).filter(|primary| primary.id != node.id).map(|primary| primary.address);
        // A replica has ready what its commits would wait for: should it become the primary, no moment is lost over it.
        let recorded = node.id == self.primary()?.id;
        let sync_set = if recorded { self.plan.sync_set(node.id) } else { self.plan.wanted_sync_set(node.id) };
        let may_wait = |set: &SyncSet| set.members.contains(&node.id);
        let confirms = follows.is_some() && (self.plan.sync_sets.iter().any(may_wait) || may_wait(&self.plan.wanted_sync_set(primary.id)));
        Ok(Settings { tls, replication: self.replication().await?, edge_source: self.plan.edge_spec()?.source, follows, sync_set, confirms })
    }

    /// With what nodes are known to each other. A datastore that an older Granary made has it from its next renewal on.
    async fn replication(&self) -> anyhow::Result<Option<ClientTls>> {
        let certificate = self.secret(certificates::REPLICATION_CERTIFICATE).await?;
        let key = self.secret(certificates::REPLICATION_KEY).await?;
        Ok(certificate.zip(key).map(|(certificate, key_pem)| ClientTls { certificate_pem: certificate.expose_secret().to_owned(), key_pem }))
    }
}
