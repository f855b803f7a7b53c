//! The Python environments of a worker, as it describes them.

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// A Python environment that files of actions ask for.
///
/// ```
/// use tinpot_core::{EnvironmentState, PythonEnvironment, Timestamp};
///
/// let state = EnvironmentState::Building;
/// let environment = PythonEnvironment::new("reports/requirements.txt", state, Timestamp::now());
/// assert_eq!(environment.reason, "");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PythonEnvironment {
    /// The file that asks for it, relative to the directory of actions.
    pub place: String,
    /// The state of the environment.
    pub state: EnvironmentState,
    /// The time at which the state began, by the clock of the worker.
    pub since: Timestamp,
    /// All files that say what is in it, relative to the directory of actions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<String>,
    /// The first digits of its name in the cache of the worker's host; empty if unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// The version of Python; empty if unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub python: String,
    /// The program that installs the packages; empty if unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub installer: String,
    /// The number of installed packages.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub packages: u64,
    /// The size in bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// The reason why the last build failed; empty if it did not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The end of the log of a failed build.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log: String,
}

/// The state of a [`PythonEnvironment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EnvironmentState {
    /// It is being built.
    Building,
    /// It is what its files ask for.
    Ready,
    /// It cannot be built, and its actions cannot run.
    Failed,
    /// It cannot be built as its files ask now, and the last good environment stays in use.
    Kept,
}

impl PythonEnvironment {
    /// Creates the description of an environment, without what a build finds out.
    pub fn new(place: impl Into<String>, state: EnvironmentState, since: Timestamp) -> Self {
        Self {
            place: place.into(),
            state,
            since,
            asked: Vec::new(),
            key: String::new(),
            python: String::new(),
            installer: String::new(),
            packages: 0,
            bytes: 0,
            reason: String::new(),
            log: String::new(),
        }
    }
}

impl EnvironmentState {
    /// Returns the name of the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Kept => "kept",
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
