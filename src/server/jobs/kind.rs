//! Kinds of jobs: which steps each has, in which order, and how it is undone.

pub use super::step::Step;
use std::{fmt, str::FromStr, time::Duration};

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
    /// Changes what the primary's commits wait for.
    Resync,
    /// Adds a replica.
    AddNode,
    /// Puts a new replica in the place of one.
    ReplaceNode,
    /// Removes a replica.
    RemoveNode,
    /// Restarts the nodes of a datastore with replicas, one after another.
    RestartInTurn,
    /// Makes a replica the primary that somebody chose, whatever it lacks.
    Overrule,
    /// Leads the endpoints where they should lead.
    Lead,
    /// Renews its certificates.
    Renew,
    /// Makes a spare ready.
    Prepare,
    /// Keeps it from filling its storage.
    Guard,
    /// Prepares a failover drill.
    DrillBegin,
    /// Kills the primary, as a failover drill asks.
    DrillStrike,
    /// Tidies up after failover drills.
    DrillEnd,
}

impl JobKind {
    /// All of them.
    pub const ALL: [Self; 23] = [
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
        Self::Resync,
        Self::AddNode,
        Self::ReplaceNode,
        Self::RemoveNode,
        Self::RestartInTurn,
        Self::Overrule,
        Self::Lead,
        Self::Renew,
        Self::Prepare,
        Self::Guard,
        Self::DrillBegin,
        Self::DrillStrike,
        Self::DrillEnd,
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
            Self::Resync => "resync",
            Self::AddNode => "add-node",
            Self::ReplaceNode => "replace-node",
            Self::RemoveNode => "remove-node",
            Self::RestartInTurn => "restart-in-turn",
            Self::Overrule => "overrule",
            Self::Lead => "lead",
            Self::Delete => "delete",
            Self::Restart => "restart",
            Self::Trust => "trust",
            Self::Heal => "heal",
            Self::Renew => "renew",
            Self::Prepare => "prepare",
            Self::Guard => "guard",
            Self::DrillBegin => "drill-begin",
            Self::DrillStrike => "drill-strike",
            Self::DrillEnd => "drill-end",
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
            Self::Resync => "Change what commits wait for",
            Self::AddNode => "Add a replica",
            Self::ReplaceNode => "Replace a replica",
            Self::RemoveNode => "Remove a replica",
            Self::Overrule => "Promote a replica, as decided",
            Self::Lead => "Lead the endpoints",
            Self::Delete => "Delete datastore",
            Self::Restart | Self::RestartInTurn => "Restart",
            Self::Trust => "Apply trusted sources",
            Self::Heal => "Start again what stopped",
            Self::Renew => "Renew certificates",
            Self::Prepare => "Prepare a spare",
            Self::Guard => "Fit writes to the storage",
            Self::DrillBegin => "Prepare a failover drill",
            Self::DrillStrike => "Kill the primary for a drill",
            Self::DrillEnd => "Tidy up after a failover drill",
        }
    }

    /// Its steps, in order.
    #[must_use]
    pub fn steps(self) -> &'static [Step] {
        use Step::{
            AdmitNodes, AllocateAddresses, ApplySources, ApplySyncSet, CloseEdge, Configure, CopyToReplicas, CreateDatabase, DestroyNode, Elect,
            EndHung, FencePrimary, ForgetSyncSets, GuardStorage, Harden, Initialise, IssueCertificates, MakeNode, MakeProbe, Park, PrepareDatabase,
            PromoteReplica, RecordSyncSet, Rejoin, Release, ReloadServer, RemoveNodes, RemoveProbe, RenewCertificate, RestartPrimary,
            RestartReplicas, StartPrimary, StartServer, StepDown, StopServer, StrikePrimary, Verify,
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
            Self::Revive => &[EndHung, MakeNode, Configure, StartPrimary, ApplySources, Verify],
            Self::Rejoin => &[EndHung, MakeNode, Configure, Rejoin, Verify],
            // The endpoints first: whoever does not follow the new primary yet is brought back later, while clients write.
            Self::Promote => &[StepDown, PromoteReplica, Verify, Configure],
            Self::Failover => &[FencePrimary, Elect, PromoteReplica, Verify, Configure],
            Self::Overrule => &[FencePrimary, PromoteReplica, Verify, Configure],
            Self::Resync => &[RecordSyncSet, ApplySyncSet, ForgetSyncSets],
            Self::AddNode | Self::ReplaceNode | Self::RemoveNode => &[
                AllocateAddresses,
                RenewCertificate,
                MakeNode,
                Configure,
                ReloadServer,
                CopyToReplicas,
                AdmitNodes,
                RecordSyncSet,
                ApplySyncSet,
                ForgetSyncSets,
                Verify,
                RemoveNodes,
            ],
            Self::RestartInTurn => &[MakeNode, Configure, RestartReplicas, RestartPrimary, ApplySources, Verify],
            Self::Lead => &[Verify],
            Self::Heal => &[EndHung, MakeNode, Configure, StartServer, ApplySources, Verify],
            Self::Renew => &[RenewCertificate, Configure, ReloadServer],
            Self::Prepare => {
                &[AllocateAddresses, IssueCertificates, MakeNode, Initialise, Configure, StartServer, Harden, PrepareDatabase, StopServer, Park]
            }
            Self::Guard => &[GuardStorage],
            Self::DrillBegin => &[MakeProbe, ApplySources],
            Self::DrillStrike => &[StrikePrimary],
            // The door first.
            Self::DrillEnd => &[ApplySources, RemoveProbe],
        }
    }

    /// Whether it comes to nothing without a primary, and is not what brings one back: it gives way to that.
    #[must_use]
    pub fn waits_for_a_primary(self) -> bool {
        matches!(self, Self::Rejoin | Self::Lead | Self::Guard) || self.goes_on()
    }

    /// Whether Granary itself goes on with it after it gave way or failed, once the datastore is well.
    #[must_use]
    pub fn goes_on(self) -> bool {
        matches!(self, Self::Resync | Self::AddNode | Self::ReplaceNode | Self::RemoveNode)
    }

    /// The steps that undo it when it is abandoned; `None` when there is nothing to undo.
    #[must_use]
    pub fn undo(self) -> Option<&'static [Step]> {
        match self {
            Self::Create | Self::CreateReplicated | Self::Prepare => Some(Self::Delete.steps()),
            Self::AddNode | Self::ReplaceNode => {
                Some(&[Step::WithdrawNodes, Step::RecordSyncSet, Step::ApplySyncSet, Step::ForgetSyncSets, Step::RemoveNodes])
            }
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
            Self::Trust | Self::Lead | Self::Renew | Self::Guard | Self::DrillBegin | Self::DrillStrike | Self::DrillEnd => Duration::from_mins(2),
            Self::Resync | Self::Overrule | Self::RestartInTurn | Self::Restart | Self::Heal | Self::Revive | Self::Promote | Self::Failover => {
                Duration::from_mins(30)
            }
            // A copy of everything may be part of it.
            Self::Rejoin | Self::AddNode | Self::ReplaceNode | Self::RemoveNode => Duration::from_hours(5),
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
