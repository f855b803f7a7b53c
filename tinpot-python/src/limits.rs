//! What one attempt may use.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tinpot_core::{Failure, FailureCode};

/// What one attempt may use; nothing is limited by default, except by the machine.
///
/// An attempt that exceeds one fails with the kind `LimitExceeded` and a message that names the limit and its value; others are not harmed. What
/// the decorator of an action says takes the place of what the pool says. These are bounds for accidents: who writes actions can lift most of
/// them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Limits {
    /// Memory in bytes, the interpreter and what it has imported included. With cgroups that have the memory controller it is that of everything
    /// the attempt starts; else each process has an address space that grows no further than that, the
    /// stacks of threads included.
    #[serde(rename = "memory", skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processor time of the interpreter, and of each process it starts by itself; noticed at full seconds.
    #[serde(
        rename = "cpu_seconds",
        default,
        serialize_with = "to_seconds",
        deserialize_with = "from_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub cpu: Option<Duration>,
    /// How many files and connections may be open at once, without the few that the interpreter has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// How many bytes of log may be written.
    #[serde(rename = "max_output", skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// How large the result may be, as JSON; in place of the pool's `result_limit_bytes`.
    #[serde(rename = "max_result", skip_serializing_if = "Option::is_none")]
    pub result_bytes: Option<u64>,
}

/// The limits of actions that have some of their own, by name.
pub(crate) type LimitsByAction = HashMap<String, Limits>;

impl Limits {
    /// Bounds memory, in bytes.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.memory_bytes = Some(bytes);
        self
    }

    /// Bounds processor time.
    #[must_use]
    pub fn cpu(mut self, time: Duration) -> Self {
        self.cpu = Some(time);
        self
    }

    /// Bounds the number of open files.
    #[must_use]
    pub fn open_files(mut self, count: u64) -> Self {
        self.open_files = Some(count);
        self
    }

    /// Bounds the log, in bytes.
    #[must_use]
    pub fn output_bytes(mut self, bytes: u64) -> Self {
        self.output_bytes = Some(bytes);
        self
    }

    /// Bounds the result, in bytes of JSON.
    #[must_use]
    pub fn result_bytes(mut self, bytes: u64) -> Self {
        self.result_bytes = Some(bytes);
        self
    }

    /// These, and those of `other` where there is none.
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

/// An attempt has exceeded a limit; in the same words as in Python.
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
