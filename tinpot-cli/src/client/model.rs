//! The parts of the API's answers that the command reads. Other fields are ignored.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use tinpot_core::Json;

/// An action.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ActionView {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) description: String,
    pub(crate) queue: String,
    pub(crate) schema: Json,
    #[serde(default)]
    pub(crate) result_schema: Option<Json>,
    pub(crate) available: bool,
    /// The reason, if it is not available.
    #[serde(default)]
    pub(crate) unavailable: Option<String>,
    #[serde(default)]
    pub(crate) priority: Option<i32>,
    /// The time limit of each attempt, in seconds.
    #[serde(default)]
    pub(crate) timeout: Option<f64>,
    #[serde(default)]
    pub(crate) retries: Option<u32>,
    #[serde(default)]
    pub(crate) concurrency: Option<u32>,
}

/// The answer to a submission.
#[derive(Debug, Deserialize)]
pub(crate) struct Submitted {
    pub(crate) execution_id: String,
}

/// A line of a log.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Line {
    pub(crate) timestamp: String,
    pub(crate) level: String,
    pub(crate) message: String,
    pub(crate) stream: String,
    pub(crate) seq: u64,
    /// The fields that the action added to the message, as JSON text.
    #[serde(default)]
    pub(crate) fields: Option<BTreeMap<String, Box<RawValue>>>,
}

/// A page of a log; its lines are kept as text, for programs.
#[derive(Debug, Deserialize)]
pub(crate) struct LogPage {
    pub(crate) lines: Vec<Box<RawValue>>,
    pub(crate) next: Option<u64>,
}

/// A page of matches.
#[derive(Debug, Deserialize)]
pub(crate) struct Matches {
    pub(crate) matches: Vec<Match>,
    pub(crate) next: Option<u64>,
    #[serde(default)]
    pub(crate) total: Option<u64>,
}

/// A match with the lines around it.
#[derive(Debug, Deserialize)]
pub(crate) struct Match {
    pub(crate) line: Box<RawValue>,
    #[serde(default)]
    pub(crate) before: Vec<Box<RawValue>>,
    #[serde(default)]
    pub(crate) after: Vec<Box<RawValue>>,
}

/// The end of an execution.
#[derive(Debug, Deserialize)]
pub(crate) struct Completion {
    pub(crate) status: String,
    pub(crate) successful: bool,
    /// The result as JSON text.
    #[serde(default)]
    pub(crate) result: Option<Box<RawValue>>,
    #[serde(default)]
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) traceback: Option<String>,
}
