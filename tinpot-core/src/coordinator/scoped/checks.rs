//! The checks of submissions and calls, and their errors.

use std::sync::Arc;

use crate::access::{Caller, Decision, Right};
use crate::coordinator::Shared;
use crate::coordinator::submit::{find_action, unknown_action};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Owner;
use crate::model::visible::Target;
use crate::protocol::{Catalogue, CatalogueEntry, PendingCall};

/// Checks a call of an action, whose root is `owner`: today's rights of the caller count, and those
/// that were granted to the action of the calling execution. Without a known caller, the program
/// itself has submitted the root.
pub(in crate::coordinator) fn may_call(
    shared: &Shared,
    catalogue: &Catalogue,
    call: &PendingCall,
) -> Result<()> {
    let Owner { team, caller, name, .. } = &call.owner;
    if caller.is_empty() {
        return Ok(());
    }
    let mut root = Caller::new(caller.clone()).name(name.clone().unwrap_or_else(|| "".into()));
    if !team.is_empty() {
        root = root.team(team.clone());
    }
    let by = Caller::of_action(&call.by).team(root.team.clone());
    let callers = [Arc::new(root), Arc::new(by)];
    may_run(shared, &callers, catalogue, &call.action, call.options.queue.as_deref())
}

/// Checks that a caller may run an action, in a queue if it is not that of the action. The first one
/// is named in refusals; what one of the others may do counts as well.
pub(super) fn may_run(
    shared: &Shared,
    callers: &[Arc<Caller>],
    catalogue: &Catalogue,
    action: &str,
    queue: Option<&str>,
) -> Result<()> {
    let Some((caller, others)) = callers.split_first() else { return Err(unknown_action(action)) };
    let others_may = |right: Right, target: &Target<'_>| {
        others.iter().any(|other| shared.policy.decide(other, right, target) == Decision::Allow)
    };
    let Some((_, entry)) = find_action(catalogue, &caller.team, action) else {
        return Err(unknown_action(action));
    };
    let own_queue = &*entry.action.queue;
    let run = || format!("run action {action:?}");
    if !others_may(Right::Run, &target_of(entry)) {
        match shared.decide(caller, Right::Run, &target_of(entry), run) {
            Decision::Allow => {}
            Decision::Deny => return Err(forbidden(caller, &run())),
            Decision::Hide => return Err(unknown_action(action)),
        }
    }
    let Some(queue) = queue.filter(|queue| *queue != own_queue) else { return Ok(()) };
    let target = Target::team(&caller.team).queue(queue);
    let use_it = || format!("use queue {queue:?}, which is not that of the action");
    if others_may(Right::UseQueue, &target) {
        return Ok(());
    }
    match shared.decide(caller, Right::UseQueue, &target, use_it) {
        Decision::Allow => Ok(()),
        // The same for a queue that there is and one that there is not.
        Decision::Deny | Decision::Hide => Err(forbidden(caller, &use_it())),
    }
}

impl Shared {
    /// Asks the policy if a caller may do this to a target that there is. A refusal is counted in the
    /// audit.
    pub(super) fn decide(
        &self,
        caller: &Arc<Caller>,
        right: Right,
        target: &Target<'_>,
        act: impl FnOnce() -> String,
    ) -> Decision {
        let decision = self.policy.decide(caller, right, target);
        if decision != Decision::Allow {
            self.refused(caller, decision, act);
        }
        decision
    }

    /// Counts a refusal in the audit.
    pub(super) fn refused(
        &self,
        caller: &Arc<Caller>,
        decision: Decision,
        act: impl FnOnce() -> String,
    ) {
        if let Some(audit) = &self.audit {
            audit.refused(caller, act(), decision == Decision::Hide);
        }
    }
}

/// Returns the target that an action is.
pub(super) fn target_of(entry: &CatalogueEntry) -> Target<'_> {
    let action = &entry.action;
    let group = Some(&*action.group);
    Target::team(action.team_name()).action(&action.name).group(group).queue(&action.queue)
}

/// Returns the group of an action of a team, if it is known.
pub(super) fn group_of<'a>(catalogue: &'a Catalogue, team: &str, action: &str) -> Option<&'a str> {
    find_action(catalogue, team, action).map(|(_, entry)| &*entry.action.group)
}

pub(super) fn forbidden(caller: &Caller, what: &str) -> Error {
    let who = if caller.name.is_empty() { &caller.id } else { &caller.name };
    Error::new(ErrorKind::Forbidden, format!("caller {who:?} may not {what}"))
}
