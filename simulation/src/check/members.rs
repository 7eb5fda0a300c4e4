//! What operators are told, and who the members are at the end.

use lovebird_core::operator::OperatorError;
use lovebird_core::transport::{Change, MembershipVersion, Standing, Status};

use super::{Checker, Invariant};

/// A change that was said to be done.
#[derive(Clone, Debug)]
pub(super) struct Done {
    change: Change,
    version: MembershipVersion,
}

impl Done {
    /// Whether it is so.
    fn holds(&self, status: &Status) -> bool {
        let is_member = |node: &u64| status.members.iter().any(|member| member.id == *node);
        let votes = |node: &u64| status.voters().contains(node);
        match &self.change {
            Change::Add { node, standing: Standing::Learner, .. } => is_member(node),
            Change::Add { node, .. } | Change::Promote { node } => votes(node),
            Change::Remove { node } => !is_member(node),
            Change::Replace { old, node, .. } => is_member(node) && (old == node || !is_member(old)),
            Change::Move { .. } | Change::Voters { .. } => true,
        }
    }
}

impl Checker {
    /// What became of what an operator has asked for.
    pub(crate) fn operated_on(
        &self,
        kind: &'static str,
        change: Option<Change>,
        told: Result<Option<MembershipVersion>, OperatorError>,
    ) {
        let mut seen = self.seen();
        let outcome = match &told {
            Ok(_) => "done",
            Err(OperatorError::Refused(_)) => "refused",
            Err(OperatorError::Unavailable(_)) => "unavailable",
        };
        *seen.tally.changes.entry(format!("{kind}: {outcome}")).or_default() += 1;
        let detail = format!("{change:?}: {told:?}");
        seen.note(
            crate::story::What::Fault { kind: format!("{kind}: {outcome}").into(), nodes: Vec::new() },
            |_| detail,
        );
        if let (Some(change), Ok(Some(version))) = (change, told) {
            seen.done.push(Done { change, version });
        }
    }

    /// Who the members are when everything has come to rest, as the leader says.
    pub(crate) fn members_at_rest(&self, status: &Status) {
        let mut seen = self.seen();
        for done in seen.done.clone() {
            let version = status.version;
            let lost = version < Some(done.version) || (version == Some(done.version) && !done.holds(status));
            seen.demand(!lost, Invariant::Members, || {
                format!("{done:?} was said to be done, and at the end these are the members: {status:?}")
            });
        }
    }
}
