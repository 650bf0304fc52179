//! Kinds of jobs and their steps: what is done, in which order, and how it is undone.

use std::{fmt, str::FromStr, time::Duration};

/// A unit of work: one step is one commit, and safe to do again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Takes private and public addresses.
    AllocateAddresses,
    /// Makes the CA and the node's certificate.
    IssueCertificates,
    /// Issues the node's certificate again.
    RenewCertificate,
    /// Makes user, directories, volume and process group.
    MakeNode,
    /// Makes the data directory.
    Initialise,
    /// Writes configuration and certificates.
    Configure,
    /// Starts the server and waits until it answers.
    StartServer,
    /// Starts the primary alone: there is nothing yet for replicas to start with.
    StartPrimary,
    /// Closes the primary endpoint and stops the primary, once the replica that takes over is known to have all of it.
    StepDown,
    /// Kills what is left of the primary, and closes its endpoint.
    FencePrimary,
    /// Chooses the replica that has most.
    Elect,
    /// Makes a replica the primary.
    PromoteReplica,
    /// Has all other nodes follow the primary.
    Rejoin,
    /// Makes each replica of a copy of the primary's data, and has it follow.
    CopyToReplicas,
    /// Stops the server cleanly.
    StopServer,
    /// Has the server read its files again.
    ReloadServer,
    /// Stops or admits writes, as the storage has room.
    GuardStorage,
    /// Takes from everyone what tenants must not have.
    Harden,
    /// Makes the first user and its database.
    CreateDatabase,
    /// Makes a user and a database that only need a name.
    PrepareDatabase,
    /// Forgets what a spare was lent.
    Park,
    /// Starts the edge and applies the trusted sources.
    ApplySources,
    /// Checks the server and opens the endpoints to it.
    Verify,
    /// Ends the edge.
    CloseEdge,
    /// Fences the node and removes it with its data.
    DestroyNode,
    /// Gives addresses, secrets and names back.
    Release,
}

impl Step {
    const ALL: [Self; 26] = [
        Self::AllocateAddresses,
        Self::IssueCertificates,
        Self::RenewCertificate,
        Self::MakeNode,
        Self::Initialise,
        Self::Configure,
        Self::StartServer,
        Self::StartPrimary,
        Self::CopyToReplicas,
        Self::StepDown,
        Self::FencePrimary,
        Self::Elect,
        Self::PromoteReplica,
        Self::Rejoin,
        Self::StopServer,
        Self::ReloadServer,
        Self::GuardStorage,
        Self::Harden,
        Self::CreateDatabase,
        Self::PrepareDatabase,
        Self::Park,
        Self::ApplySources,
        Self::Verify,
        Self::CloseEdge,
        Self::DestroyNode,
        Self::Release,
    ];

    /// Id in the metadata database.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::AllocateAddresses => "allocate-addresses",
            Self::IssueCertificates => "issue-certificates",
            Self::RenewCertificate => "renew-certificate",
            Self::MakeNode => "make-node",
            Self::Initialise => "initialise",
            Self::Configure => "configure",
            Self::StartServer => "start-server",
            Self::StartPrimary => "start-primary",
            Self::CopyToReplicas => "copy-to-replicas",
            Self::StepDown => "step-down",
            Self::FencePrimary => "fence-primary",
            Self::Elect => "elect",
            Self::PromoteReplica => "promote-replica",
            Self::Rejoin => "rejoin",
            Self::StopServer => "stop-server",
            Self::ReloadServer => "reload-server",
            Self::GuardStorage => "guard-storage",
            Self::Harden => "harden",
            Self::CreateDatabase => "create-database",
            Self::PrepareDatabase => "prepare-database",
            Self::Park => "park",
            Self::ApplySources => "apply-sources",
            Self::Verify => "verify",
            Self::CloseEdge => "close-edge",
            Self::DestroyNode => "destroy-node",
            Self::Release => "release",
        }
    }

    /// What it does, for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::AllocateAddresses => "Take addresses",
            Self::IssueCertificates => "Make the CA and certificates",
            Self::RenewCertificate => "Renew the certificate",
            Self::MakeNode => "Make the node",
            Self::Initialise => "Initialise the data directory",
            Self::Configure => "Write the configuration",
            Self::StartServer => "Start the server",
            Self::StartPrimary => "Start the primary",
            Self::CopyToReplicas => "Copy the data to the replicas",
            Self::StepDown => "Stop the old primary cleanly",
            Self::FencePrimary => "Fence the old primary",
            Self::Elect => "Choose the replica that has most",
            Self::PromoteReplica => "Promote the replica",
            Self::Rejoin => "Have the other nodes follow",
            Self::StopServer => "Stop the server",
            Self::ReloadServer => "Load the new certificate",
            Self::GuardStorage => "Stop or admit writes",
            Self::Harden => "Set up roles and rights",
            Self::CreateDatabase => "Create the first database and admin user",
            Self::PrepareDatabase => "Make a database that only needs a name",
            Self::Park => "Put it aside",
            Self::ApplySources => "Apply trusted sources",
            Self::Verify => "Check the server, open the endpoints",
            Self::CloseEdge => "Close the endpoints",
            Self::DestroyNode => "Remove the node and its data",
            Self::Release => "Release addresses and secrets",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Step {
    type Err = anyhow::Error;

    fn from_str(s: &str) -> anyhow::Result<Self> {
        Self::ALL.into_iter().find(|k| k.id() == s).ok_or_else(|| anyhow::anyhow!("unknown step “{s}”: it was written by another version of Granary"))
    }
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Makes a datastore of one node.
    Create,
    /// Makes a datastore with replicas.
    CreateReplicated,
    /// Removes a datastore.
    Delete,
    /// Restarts its nodes.
    Restart,
    /// Applies its trusted sources.
    Trust,
    /// Starts again what died.
    Heal,
    /// Starts the primary of a datastore with replicas again, and gives up soon: a replica can take over.
    Revive,
    /// Has replicas follow again.
    Rejoin,
    /// Makes a replica the primary while the primary is well.
    Promote,
    /// Makes a replica the primary because the primary cannot be started again.
    Failover,
    /// Leads the endpoints where they should lead.
    Lead,
    /// Renews its certificates.
    Renew,
    /// Makes a spare ready.
    Prepare,
    /// Keeps it from filling its storage.
    Guard,
}

impl JobKind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Create,
        Self::CreateReplicated,
        Self::Delete,
        Self::Restart,
        Self::Trust,
        Self::Heal,
        Self::Revive,
        Self::Rejoin,
        Self::Promote,
        Self::Failover,
        Self::Lead,
        Self::Renew,
        Self::Prepare,
        Self::Guard,
    ];

    /// Id in the metadata database.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::CreateReplicated => "create-replicated",
            Self::Revive => "revive",
            Self::Rejoin => "rejoin",
            Self::Promote => "promote",
            Self::Failover => "failover",
            Self::Lead => "lead",
            Self::Delete => "delete",
            Self::Restart => "restart",
            Self::Trust => "trust",
            Self::Heal => "heal",
            Self::Renew => "renew",
            Self::Prepare => "prepare",
            Self::Guard => "guard",
        }
    }

    /// The kind that makes a datastore of so many nodes.
    #[must_use]
    pub fn to_create(nodes: u32) -> Self {
        if nodes == 1 { Self::Create } else { Self::CreateReplicated }
    }

    /// Whether it makes a datastore for somebody.
    #[must_use]
    pub fn creates(self) -> bool {
        matches!(self, Self::Create | Self::CreateReplicated)
    }

    /// What it does, for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Create | Self::CreateReplicated => "Create datastore",
            Self::Revive => "Start the primary again",
            Self::Rejoin => "Bring replicas back",
            Self::Promote => "Promote a replica",
            Self::Failover => "Fail over to a replica",
            Self::Lead => "Lead the endpoints",
            Self::Delete => "Delete datastore",
            Self::Restart => "Restart",
            Self::Trust => "Apply trusted sources",
            Self::Heal => "Start again what stopped",
            Self::Renew => "Renew certificates",
            Self::Prepare => "Prepare a spare",
            Self::Guard => "Fit writes to the storage",
        }
    }

    /// Its steps, in order.
    #[must_use]
    pub fn steps(self) -> &'static [Step] {
        use Step::{
            AllocateAddresses, ApplySources, CloseEdge, Configure, CopyToReplicas, CreateDatabase, DestroyNode, Elect, FencePrimary, GuardStorage,
            Harden, Initialise, IssueCertificates, MakeNode, Park, PrepareDatabase, PromoteReplica, Rejoin, Release, ReloadServer, RenewCertificate,
            StartPrimary, StartServer, StepDown, StopServer, Verify,
        };
        match self {
            Self::Create => {
                &[AllocateAddresses, IssueCertificates, MakeNode, Initialise, Configure, StartServer, Harden, CreateDatabase, ApplySources, Verify]
            }
            Self::CreateReplicated => &[
                AllocateAddresses,
                IssueCertificates,
                MakeNode,
                Initialise,
                Configure,
                StartPrimary,
                Harden,
                CreateDatabase,
                CopyToReplicas,
                ApplySources,
                Verify,
            ],
            Self::Delete => &[CloseEdge, DestroyNode, Release],
            Self::Restart => &[StopServer, MakeNode, Configure, StartServer, ApplySources, Verify],
            Self::Trust => &[ApplySources],
            Self::Revive => &[MakeNode, Configure, StartPrimary, ApplySources, Verify],
            Self::Rejoin => &[MakeNode, Configure, Rejoin, Verify],
            Self::Promote => &[StepDown, PromoteReplica, Configure, ApplySources, Verify, Rejoin],
            Self::Failover => &[FencePrimary, Elect, PromoteReplica, Configure, ApplySources, Verify, Rejoin],
            Self::Lead => &[Verify],
            Self::Heal => &[MakeNode, Configure, StartServer, ApplySources, Verify],
            Self::Renew => &[RenewCertificate, Configure, ReloadServer],
            Self::Prepare => {
                &[AllocateAddresses, IssueCertificates, MakeNode, Initialise, Configure, StartServer, Harden, PrepareDatabase, StopServer, Park]
            }
            Self::Guard => &[GuardStorage],
        }
    }

    /// The steps that undo it when it is abandoned; `None` when there is nothing to undo.
    #[must_use]
    pub fn undo(self) -> Option<&'static [Step]> {
        match self {
            Self::Create | Self::CreateReplicated | Self::Prepare => Some(Self::Delete.steps()),
            _ => None,
        }
    }

    /// How long it may work in all. Creation and deletion take seconds; crash recovery of a large database may take
    /// minutes, and is not cut short by us.
    #[must_use]
    pub fn time_limit(self) -> Duration {
        match self {
            Self::Create | Self::Delete | Self::Prepare => Duration::from_mins(10),
            // Each copy is of a few empty databases.
            Self::CreateReplicated => Duration::from_mins(15),
            Self::Trust | Self::Lead | Self::Renew | Self::Guard => Duration::from_mins(2),
            Self::Restart | Self::Heal | Self::Revive | Self::Promote | Self::Failover => Duration::from_mins(30),
            // A copy of everything may be part of it.
            Self::Rejoin => Duration::from_hours(5),
        }
    }

    /// How often a step is tried before the job waits for a person. What died is worth more patience.
    #[must_use]
    pub fn attempts(self) -> i32 {
        match self {
            Self::Heal | Self::Rejoin => 8,
            Self::Revive => 2,
            _ => 3,
        }
    }
}

/// The longest pause between two attempts.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// The pause before the next attempt: 0.5 s, 1 s, 2 s … at most [`LONGEST_BACKOFF`].
#[must_use]
pub fn backoff(attempt: i32) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(6);
    Duration::from_millis(500 * 2_u64.pow(doublings)).min(LONGEST_BACKOFF)
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for JobKind {
    type Err = anyhow::Error;

    fn from_str(s: &str) -> anyhow::Result<Self> {
        Self::ALL.into_iter().find(|k| k.id() == s).ok_or_else(|| anyhow::anyhow!("unknown job “{s}”: it was written by another version of Granary"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_back_to_their_kind_and_step() {
        for kind in JobKind::ALL {
            assert_eq!(kind.id().parse::<JobKind>().unwrap(), kind);
            for step in kind.steps() {
                assert_eq!(step.id().parse::<Step>().unwrap(), *step);
            }
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        assert_eq!(backoff(1), Duration::from_millis(500));
        assert_eq!(backoff(2), Duration::from_secs(1));
        assert_eq!(backoff(99), Duration::from_secs(30));
    }
}
