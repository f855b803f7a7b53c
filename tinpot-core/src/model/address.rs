//! The ends of a transport, and the two lanes between them.

use std::fmt;

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
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Coordinator => f.write_str("coordinator"),
            Address::Worker(id) => write!(f, "worker {id}"),
            Address::AllWorkers => f.write_str("all workers"),
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
