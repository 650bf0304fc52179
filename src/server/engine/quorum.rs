//! What commits wait for, and what must be heard before a replica may take over: the rule of promotion.

use uuid::Uuid;

/// Replicas that a primary's commits wait for: any [`SyncSet::acks`] of the members.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncSet {
    /// The primary whose commits wait.
    pub primary: Uuid,
    /// Nodes.
    pub members: Vec<Uuid>,
    /// How many of them must have a commit in their log before it is acknowledged; 0 for none, then nothing is promised.
    pub acks: usize,
}

impl SyncSet {
    /// Commits wait for half of these, rounded up: as many may be away for a commit as for a failover, or one more.
    #[must_use]
    pub fn any_half(primary: Uuid, mut members: Vec<Uuid>) -> Self {
        members.sort_unstable();
        let acks = members.len().div_ceil(2);
        Self { primary, members, acks }
    }

    /// Commits wait for nobody.
    #[must_use]
    pub fn nobody(primary: Uuid) -> Self {
        Self { primary, members: Vec::new(), acks: 0 }
    }

    /// How many members must be heard so that one of them has every commit that was acknowledged: N − k + 1, since k of the N have
    /// it. None where nothing was promised.
    #[must_use]
    pub fn needed(&self) -> usize {
        if self.acks == 0 { 0 } else { self.members.len() - self.acks + 1 }
    }

    /// How many members were heard.
    #[must_use]
    pub fn heard(&self, heard: &[Uuid]) -> usize {
        self.members.iter().filter(|member| heard.contains(member)).count()
    }

    /// Whether enough were heard.
    #[must_use]
    pub fn is_satisfied_by(&self, heard: &[Uuid]) -> bool {
        self.heard(heard) >= self.needed()
    }
}

/// Whether the best of those heard has every commit that was acknowledged under any of the recorded sets.
#[must_use]
pub fn may_promote(recorded: &[SyncSet], heard: &[Uuid]) -> bool {
    !heard.is_empty() && recorded.iter().all(|set| set.is_satisfied_by(heard))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(n: u128) -> Vec<Uuid> {
        (1..=n).map(Uuid::from_u128).collect()
    }

    /// Every subset.
    fn subsets(of: &[Uuid]) -> Vec<Vec<Uuid>> {
        (0..1_u32 << of.len()).map(|bits| of.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, id)| *id).collect()).collect()
    }

    #[test]
    fn whoever_is_heard_one_of_them_has_every_acknowledged_commit() {
        for n in 1..=5 {
            let set = SyncSet::any_half(Uuid::nil(), nodes(n));
            for have in subsets(&set.members).into_iter().filter(|have| have.len() >= set.acks) {
                for heard in subsets(&set.members).into_iter().filter(|heard| may_promote(std::slice::from_ref(&set), heard)) {
                    assert!(heard.iter().any(|id| have.contains(id)), "{set:?}: acknowledged by {have:?}, heard {heard:?}");
                }
            }
            // Not one less would do.
            let few = set.members[..set.needed() - 1].to_vec();
            assert!(!set.is_satisfied_by(&few) && set.is_satisfied_by(&set.members[..set.needed()]));
        }
        let [one, two, three] = [1, 2, 3].map(|n| SyncSet::any_half(Uuid::nil(), nodes(n)));
        assert_eq!([one.acks, two.acks, three.acks], [1, 1, 2]);
        assert_eq!([one.needed(), two.needed(), three.needed()], [1, 2, 2]);
    }

    #[test]
    fn a_failover_amid_a_change_satisfies_both_sets() {
        let (all, primary) = (nodes(3), Uuid::nil());
        let (old, new) = (SyncSet::any_half(primary, all[..2].to_vec()), SyncSet::any_half(primary, all.clone()));
        let both = [old.clone(), new.clone()];
        for heard in subsets(&all) {
            assert_eq!(may_promote(&both, &heard), may_promote(&both[..1], &heard) && may_promote(&both[1..], &heard));
        }
        assert!(!may_promote(&both, &[all[0], all[2]]), "enough of the new, not of the old");
        assert!(may_promote(&both, &all[..2]));
    }

    #[test]
    fn where_nothing_was_promised_anybody_will_do() {
        let set = SyncSet::nobody(Uuid::nil());
        assert!(may_promote(std::slice::from_ref(&set), &nodes(1)) && may_promote(&[], &nodes(1)));
        assert!(!may_promote(&[set], &[]));
    }
}
