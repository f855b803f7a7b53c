//! The parts of events.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::access::{AuditTarget, AuditWho, Caller};
use crate::model::execution::Execution;
use crate::model::id::ExecutionId;

/// The request that asks for an act.
#[derive(Clone, Debug)]
pub(in crate::coordinator) struct Origin {
    pub(in crate::coordinator) address: Option<IpAddr>,
    pub(in crate::coordinator) request_id: Arc<str>,
}

/// The object of a note.
#[derive(Clone, Debug)]
pub(in crate::coordinator) enum Object {
    None,
    Execution(ExecutionId),
    Queue(Arc<str>),
    Worker(Arc<str>),
}

impl Object {
    pub(super) fn into_target(self, caller: &Caller) -> AuditTarget {
        let (kind, id) = match self {
            Object::None => return AuditTarget::default(),
            Object::Execution(id) => ("execution", id.to_string().into()),
            Object::Queue(name) => ("queue", name),
            Object::Worker(id) => ("worker", id),
        };
        AuditTarget::new(kind, id).team(caller.team.clone())
    }
}

/// More about a note.
#[derive(Clone, Debug)]
pub(in crate::coordinator) enum Particulars {
    None,
    Text(&'static str),
    Run {
        action: Arc<str>,
        queue: Arc<str>,
        /// The execution that was submitted again, or that called this one.
        from: Option<(&'static str, ExecutionId)>,
        /// The digest of the parameters.
        digest: Option<[u8; 32]>,
    },
}

impl Particulars {
    /// Describes an execution that is submitted, perhaps as another one again.
    pub(super) fn of(
        execution: &Execution,
        again: Option<ExecutionId>,
        digest: Option<[u8; 32]>,
    ) -> Self {
        let called = execution.parent.map(|parent| ("called by", parent.execution));
        let from = called.or(again.map(|id| ("rerun of", id)));
        let Execution { action, queue, .. } = execution;
        Particulars::Run { action: action.clone(), queue: queue.clone(), from, digest }
    }
}

impl fmt::Display for Particulars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Particulars::None => Ok(()),
            Particulars::Text(text) => f.write_str(text),
            Particulars::Run { action, queue, from, digest } => {
                write!(f, "action {action:?} in queue {queue:?}")?;
                if let Some((how, id)) = from {
                    write!(f, ", {how} {id}")?;
                }
                // Half of it is enough to tell two apart.
                if let Some(half) = digest.as_ref().and_then(|digest| digest.first_chunk()) {
                    write!(f, ", parameters {:032x}", u128::from_be_bytes(*half))?;
                }
                Ok(())
            }
        }
    }
}

/// Returns a caller as the principal of an event. Its kind is the first part of ids such as `user:7`.
pub(super) fn who(caller: &Caller) -> AuditWho {
    let kind = caller.id.split_once(':').map_or("", |(kind, _)| kind);
    AuditWho::new(kind, caller.id.clone(), caller.name.clone())
        .team(caller.team.clone())
        .via(caller.via.clone())
}
