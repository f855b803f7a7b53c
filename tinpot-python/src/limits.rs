//! The limits of one attempt.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tinpot_core::{Failure, FailureCode};

/// The limits of one attempt; none by default.
///
/// An attempt that exceeds a limit fails with the kind `LimitExceeded` and a message that names the
/// limit and its value. Other attempts are not affected. The options of an action's decorator
/// override the limits of the pool.
///
/// These limits stop accidents, not attacks: the code of an action can lift most of them.
///
/// ```
/// use std::time::Duration;
/// use tinpot_python::{Limits, PythonPool};
///
/// let limits = Limits::default().memory_bytes(512 << 20).cpu(Duration::from_secs(600));
/// assert_eq!(limits.open_files, None);
/// let pool = PythonPool::builder("actions").limits(limits);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Limits {
    /// The memory in bytes, including the interpreter and its imports. With the memory controller
    /// of cgroups it is the memory of all processes of the attempt. Otherwise it is the address
    /// space of each process, including the stacks of threads.
    #[serde(rename = "memory", skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// The processor time of the interpreter, and of each process that it starts. Checked once per
    /// second.
    #[serde(
        rename = "cpu_seconds",
        default,
        serialize_with = "to_seconds",
        deserialize_with = "from_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub cpu: Option<Duration>,
    /// The number of files and connections that may be open at once, not counting those of the
    /// interpreter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// The size of the log in bytes.
    #[serde(rename = "max_output", skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// The size of the result in bytes of JSON. It overrides the pool's `result_limit_bytes`.
    #[serde(rename = "max_result", skip_serializing_if = "Option::is_none")]
    pub result_bytes: Option<u64>,
}

/// The limits of actions that have limits of their own, by name.
pub(crate) type LimitsByAction = HashMap<String, Limits>;

impl Limits {
    /// Limits the memory, in bytes.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.memory_bytes = Some(bytes);
        self
    }

    /// Limits the processor time.
    #[must_use]
    pub fn cpu(mut self, time: Duration) -> Self {
        self.cpu = Some(time);
        self
    }

    /// Limits the number of open files.
    #[must_use]
    pub fn open_files(mut self, count: u64) -> Self {
        self.open_files = Some(count);
        self
    }

    /// Limits the log, in bytes.
    #[must_use]
    pub fn output_bytes(mut self, bytes: u64) -> Self {
        self.output_bytes = Some(bytes);
        self
    }

    /// Limits the result, in bytes of JSON.
    #[must_use]
    pub fn result_bytes(mut self, bytes: u64) -> Self {
        self.result_bytes = Some(bytes);
        self
    }

    /// Returns these limits, with those of `other` for the limits that are not set.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.or(other.memory_bytes),
            cpu: self.cpu.or(other.cpu),
            open_files: self.open_files.or(other.open_files),
            output_bytes: self.output_bytes.or(other.output_bytes),
            result_bytes: self.result_bytes.or(other.result_bytes),
        }
    }
}

/// Returns the failure of an attempt that exceeded a limit. `_limits.py` has the same words.
pub(crate) fn exceeded(name: &str, value: impl std::fmt::Display) -> Failure {
    Failure::new(format!("the limit {name} of {value} was exceeded"))
        .code(FailureCode::LimitExceeded)
        .kind("LimitExceeded")
}

fn to_seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}

fn from_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let seconds = Option::<f64>::deserialize(deserializer)?;
    seconds.map(Duration::try_from_secs_f64).transpose().map_err(serde::de::Error::custom)
}
