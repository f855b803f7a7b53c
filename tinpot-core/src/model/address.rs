//! The ends of a transport, and the two lanes between them.

use std::fmt;
use std::sync::Arc;

use super::id::WorkerId;

/// The recipient of a frame. Each transport maps it to its own kind of address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// The coordinator of the namespace.
    Coordinator,
    /// One worker.
    Worker(WorkerId),
    /// Every worker that listens.
    AllWorkers,
    /// The coordinator, for those that ask to join: their keys are not enrolled yet. Frames travel
    /// on the control lane only. A transport that has no such address says `InvalidInput`.
    Joins,
    /// One that asks to join, by the id of its key.
    Joiner(WorkerId),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Coordinator => f.write_str("coordinator"),
            Address::Worker(id) => write!(f, "worker {id}"),
            Address::AllWorkers => f.write_str("all workers"),
            Address::Joins => f.write_str("the desk of those that join"),
            Address::Joiner(id) => write!(f, "key {id}, which joins"),
        }
    }
}

/// The participant that could write a frame at the place where it was received, as far as the
/// transport knows: by the topic of a broker with an access list, or by the end of a connection.
///
/// It is never taken from the frame, and never guessed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Channel {
    /// The transport cannot tell participants apart.
    Unknown,
    /// The coordinator.
    Coordinator,
    /// One worker.
    Worker {
        /// The name under which the worker may write.
        name: Arc<str>,
        /// The id that the worker wrote under.
        id: WorkerId,
    },
    /// A worker that the coordinator's own process runs. Its frames are never sealed. It is trusted
    /// as the host is: it may run the deployed actions of every team, and gets secrets.
    Local {
        /// The id of the worker.
        id: WorkerId,
    },
}

impl Channel {
    /// Returns the channel of a participant.
    pub fn of(participant: &Address) -> Self {
        match participant {
            Address::Coordinator => Self::Coordinator,
            Address::Worker(id) => Self::Worker { name: id.name().into(), id: id.clone() },
            Address::AllWorkers | Address::Joins | Address::Joiner(_) => Self::Unknown,
        }
    }

    /// Returns true if a frame that names this sender may come by this channel. `None` is the
    /// coordinator.
    pub fn admits(&self, from: Option<&WorkerId>) -> bool {
        match self {
            Self::Unknown => true,
            Self::Coordinator => from.is_none(),
            Self::Worker { name, id } => from == Some(id) && id.name() == &**name,
            Self::Local { id } => from == Some(id),
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Channel::Unknown => f.write_str("unknown"),
            Channel::Coordinator => f.write_str("coordinator"),
            Channel::Worker { name, id } if id.name() == &**name => write!(f, "worker {id}"),
            Channel::Worker { name, id } => write!(f, "worker {id} as {name}"),
            Channel::Local { id } => write!(f, "local worker {id}"),
        }
    }
}

/// Two independent channels for frames, so that a flood of logs never delays or drops control
/// messages.
///
/// There are two for good, so matches may be exhaustive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Dispatches, results, heartbeats, acknowledgements.
    Control,
    /// Log lines, progress and their acknowledgements.
    Logs,
}

impl Lane {
    /// Both lanes.
    pub const ALL: [Lane; 2] = [Lane::Control, Lane::Logs];
}
