//! The checks of submissions and calls, and their errors.

use crate::access::{Caller, Decision, Policy, Right};
use crate::coordinator::submit::unknown_action;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Owner;
use crate::model::visible::{DEFAULT_TEAM, Target};
use crate::protocol::{Catalogue, CatalogueEntry, PendingCall};

/// Checks a call of an action, whose root is `owner`: today's rights of the caller count. Without a
/// known caller, the program itself has submitted the root.
pub(in crate::coordinator) fn may_call(
    policy: &dyn Policy,
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
    may_run(policy, &root, catalogue, &call.action, call.options.queue.as_deref())
}

/// Checks that a caller may run an action, in a queue if it is not that of the action.
pub(super) fn may_run(
    policy: &dyn Policy,
    caller: &Caller,
    catalogue: &Catalogue,
    action: &str,
    queue: Option<&str>,
) -> Result<()> {
    let Some(entry) = catalogue.get(action) else { return Err(unknown_action(action)) };
    let own_queue = &*entry.action.queue;
    match policy.decide(caller, Right::Run, &target_of(entry)) {
        Decision::Allow => {}
        Decision::Deny => return Err(forbidden(caller, &format!("run action {action:?}"))),
        Decision::Hide => return Err(unknown_action(action)),
    }
    let Some(queue) = queue.filter(|queue| *queue != own_queue) else { return Ok(()) };
    let target = Target::team(&caller.team).queue(queue);
    match policy.decide(caller, Right::UseQueue, &target) {
        Decision::Allow => Ok(()),
        // The same for a queue that there is and one that there is not.
        Decision::Deny | Decision::Hide => {
            Err(forbidden(caller, &format!("use queue {queue:?}, which is not that of the action")))
        }
    }
}

/// Returns the target that an action is. Actions belong to the default team.
pub(super) fn target_of(entry: &CatalogueEntry) -> Target<'_> {
    let action = &entry.action;
    let group = Some(&*action.group);
    Target::team(DEFAULT_TEAM).action(&action.name).group(group).queue(&action.queue)
}

pub(super) fn group_of<'a>(catalogue: &'a Catalogue, action: &str) -> Option<&'a str> {
    catalogue.get(action).map(|entry| &*entry.action.group)
}

pub(super) fn forbidden(caller: &Caller, what: &str) -> Error {
    let who = if caller.name.is_empty() { &caller.id } else { &caller.name };
    Error::new(ErrorKind::Forbidden, format!("caller {who:?} may not {what}"))
}
