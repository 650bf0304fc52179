//! What jobs are made of.

use std::{fmt, str::FromStr};

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
    /// Kills servers that will never answer.
    EndHung,
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
    /// Records what the primary's commits should wait for, beside what they wait for now.
    RecordSyncSet,
    /// Tells the servers, and returns when commits wait for it and find it.
    ApplySyncSet,
    /// Forgets what commits waited for earlier.
    ForgetSyncSets,
    /// Makes nodes that follow now members of the datastore.
    AdmitNodes,
    /// Has nodes that were being added leave, and those that they replace stay.
    WithdrawNodes,
    /// Removes nodes that leave, with their data.
    RemoveNodes,
    /// Restarts the replicas, one after another.
    RestartReplicas,
    /// Restarts the primary.
    RestartPrimary,
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
    /// Makes what the probe of a drill writes to.
    MakeProbe,
    /// Kills everything of the primary's node, and tells nobody.
    StrikePrimary,
    /// Removes what the probe of a drill wrote to.
    RemoveProbe,
    /// Ends the edge.
    CloseEdge,
    /// Fences the node and removes it with its data.
    DestroyNode,
    /// Gives addresses, secrets and names back.
    Release,
}

impl Step {
    const ALL: [Self; 38] = [
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
        Self::EndHung,
        Self::FencePrimary,
        Self::Elect,
        Self::PromoteReplica,
        Self::Rejoin,
        Self::RecordSyncSet,
        Self::ApplySyncSet,
        Self::ForgetSyncSets,
        Self::AdmitNodes,
        Self::WithdrawNodes,
        Self::RemoveNodes,
        Self::RestartReplicas,
        Self::RestartPrimary,
        Self::StopServer,
        Self::ReloadServer,
        Self::GuardStorage,
        Self::Harden,
        Self::CreateDatabase,
        Self::PrepareDatabase,
        Self::Park,
        Self::ApplySources,
        Self::Verify,
        Self::MakeProbe,
        Self::StrikePrimary,
        Self::RemoveProbe,
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
            Self::EndHung => "end-hung",
            Self::FencePrimary => "fence-primary",
            Self::Elect => "elect",
            Self::PromoteReplica => "promote-replica",
            Self::Rejoin => "rejoin",
            Self::RecordSyncSet => "record-sync-set",
            Self::ApplySyncSet => "apply-sync-set",
            Self::ForgetSyncSets => "forget-sync-sets",
            Self::AdmitNodes => "admit-nodes",
            Self::WithdrawNodes => "withdraw-nodes",
            Self::RemoveNodes => "remove-nodes",
            Self::RestartReplicas => "restart-replicas",
            Self::RestartPrimary => "restart-primary",
            Self::StopServer => "stop-server",
            Self::ReloadServer => "reload-server",
            Self::GuardStorage => "guard-storage",
            Self::Harden => "harden",
            Self::CreateDatabase => "create-database",
            Self::PrepareDatabase => "prepare-database",
            Self::Park => "park",
            Self::ApplySources => "apply-sources",
            Self::Verify => "verify",
            Self::MakeProbe => "make-probe",
            Self::StrikePrimary => "strike-primary",
            Self::RemoveProbe => "remove-probe",
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
            Self::EndHung => "End what hangs",
            Self::FencePrimary => "Fence the old primary",
            Self::Elect => "Choose the replica that has most",
            Self::PromoteReplica => "Promote the replica",
            Self::Rejoin => "Have the other nodes follow",
            Self::RecordSyncSet => "Record what commits wait for",
            Self::ApplySyncSet => "Have commits wait for it",
            Self::ForgetSyncSets => "Forget what they waited for",
            Self::AdmitNodes => "Admit the new node",
            Self::WithdrawNodes => "Withdraw the new node",
            Self::RestartReplicas => "Restart the replicas, one after another",
            Self::RestartPrimary => "Restart the primary",
            Self::StopServer => "Stop the server",
            Self::ReloadServer => "Load the new certificate",
            Self::GuardStorage => "Stop or admit writes",
            Self::Harden => "Set up roles and rights",
            Self::CreateDatabase => "Create the first database and admin user",
            Self::PrepareDatabase => "Make a database that only needs a name",
            Self::Park => "Put it aside",
            Self::ApplySources => "Apply trusted sources",
            Self::Verify => "Check the server, open the endpoints",
            Self::MakeProbe => "Make the probe's role and table",
            Self::StrikePrimary => "Kill the primary",
            Self::RemoveProbe => "Remove the probe's role and table",
            Self::CloseEdge => "Close the endpoints",
            Self::DestroyNode | Self::RemoveNodes => "Remove the node and its data",
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
