//! Callers and rights.

use std::fmt;
use std::sync::Arc;

use crate::model::execution::ANONYMOUS;
use crate::model::visible::DEFAULT_TEAM;

/// A principal, as the coordinator sees it: plain data about the sender of a request.
///
/// The server that creates a caller has authenticated it; nothing here is checked again.
///
/// ```
/// use tinpot_core::Caller;
///
/// let caller = Caller::new("user:7").name("Ada").team("billing");
/// assert_eq!(&*caller.id, "user:7");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Caller {
    /// The id, by which executions name their owner. It is not used again for another principal.
    pub id: Arc<str>,
    /// The team in which the caller acts.
    pub team: Arc<str>,
    /// The name, for people.
    pub name: Arc<str>,
    /// The id of the token or sign-in by which it is known, for the audit; may be empty.
    pub via: Arc<str>,
}

impl Caller {
    /// Creates a caller of the default team, with its id as its name.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        let id = id.into();
        Self { team: DEFAULT_TEAM.into(), name: id.clone(), via: "".into(), id }
    }

    /// Creates the caller of a server without authentication. Its executions keep the name of the
    /// requester that each submission gives. Its idempotency keys include those of earlier
    /// versions, which had no callers.
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS).name("")
    }

    /// Creates the principal as which the executions of an action call other actions. What a policy
    /// grants to it counts for these calls, besides the rights of the caller of the root.
    ///
    /// An authenticator never returns it.
    pub fn of_action(action: &str) -> Self {
        Self::new(format!("action:{action}")).name(action)
    }

    /// Sets the team in which the caller acts.
    #[must_use]
    pub fn team(mut self, team: impl Into<Arc<str>>) -> Self {
        self.team = team.into();
        self
    }

    /// Sets the name, for people.
    #[must_use]
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the id of the token or sign-in by which the caller is known.
    #[must_use]
    pub fn via(mut self, via: impl Into<Arc<str>>) -> Self {
        self.via = via.into();
        self
    }
}

/// Defines the rights, their names, and the list of all of them.
macro_rules! rights {
    ($($(#[$doc:meta])* $right:ident $name:literal;)*) => {
        /// A right: one verb. [`Policy`](super::Policy) has an example.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Right {
            $($(#[$doc])* $right,)*
        }

        impl Right {
            /// All rights.
            pub const ALL: &[Right] = &[$(Right::$right,)*];

            /// Returns the name, such as `see_action`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Right::$right => $name,)*
                }
            }
        }
    };
}

rights! {
    /// See that an action exists, and its description and schema.
    SeeAction "see_action";
    /// Submit executions of an action.
    Run "run";
    /// Read an execution: its parameters, outcome, log and artifacts.
    Read "read";
    /// Cancel an execution.
    Cancel "cancel";
    /// Submit a recorded execution again.
    Rerun "rerun";
    /// Choose a queue other than that of the action.
    UseQueue "use_queue";
    /// See that a queue exists, and how much waits in it.
    SeeQueue "see_queue";
    /// Pause and resume a queue.
    PauseQueue "pause_queue";
    /// See a worker.
    SeeWorker "see_worker";
    /// Drain a worker.
    DrainWorker "drain_worker";
    /// Enrol workers.
    Enrol "enrol";
    /// Change members, grants and tokens of a team.
    ManageTeam "manage_team";
    /// Set secrets of a team, without reading them.
    UseSecretStore "use_secret_store";
    /// Create an app, upload and activate its versions, and disable it.
    Deploy "deploy";
    /// Read the audit log of a team.
    ReadAudit "read_audit";
    /// Manage teams, all workers and the keys of the server.
    ManageServer "manage_server";
    /// Read the metrics of the server, which name actions and queues of all teams.
    ReadMetrics "read_metrics";
}

impl Right {
    /// Returns the right to see what this right is about. A caller who has it learns that this one
    /// is denied; from all others the object is hidden. `None` if seeing is all that this right is
    /// about, or if there is no such right.
    pub fn sight(self) -> Option<Right> {
        match self {
            Right::Run | Right::Deploy => Some(Right::SeeAction),
            Right::Cancel | Right::Rerun => Some(Right::Read),
            Right::UseQueue | Right::PauseQueue => Some(Right::SeeQueue),
            Right::DrainWorker => Some(Right::SeeWorker),
            Right::SeeAction
            | Right::Read
            | Right::SeeQueue
            | Right::SeeWorker
            | Right::Enrol
            | Right::ManageTeam
            | Right::UseSecretStore
            | Right::ReadAudit
            | Right::ManageServer
            | Right::ReadMetrics => None,
        }
    }

    /// Returns true if the right is about the server, and so about no team.
    pub fn is_about_server(self) -> bool {
        matches!(self, Right::ManageServer | Right::ReadMetrics)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
