//! Messages between a supervisor and its worker.

use serde::{Deserialize, Serialize};

/// The request to ask the process group of the program to end.
pub(crate) const TERMINATE: u8 = b't';
/// The request to kill all processes.
pub(crate) const KILL: u8 = b'k';

/// The notice that the worker goes on and does not wait: all processes are killed.
pub(crate) const DROP: u8 = b'd';

/// A line of JSON from the supervisor.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// The program runs.
    Started(i32),
    /// The program could not be started.
    Failed(String),
    /// The program and all its descendants are dead.
    Ended {
        /// The exit code.
        code: Option<i32>,
        /// The signal that killed it.
        signal: Option<i32>,
        /// The processor time of all its processes.
        cpu_ms: u64,
    },
}
