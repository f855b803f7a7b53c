//! What the API answers, as far as the command looks into it. Fields that it does not know are left alone.

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
    /// Why it is not available.
    #[serde(default)]
    pub(crate) unavailable: Option<String>,
    #[serde(default)]
    pub(crate) priority: Option<i32>,
    /// Seconds.
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
}

/// Some lines of a log, each as its text too, for programs.
#[derive(Debug, Deserialize)]
pub(crate) struct LogPage {
    pub(crate) lines: Vec<Box<RawValue>>,
    pub(crate) next: Option<u64>,
}

/// What a search has found.
#[derive(Debug, Deserialize)]
pub(crate) struct Matches {
    pub(crate) matches: Vec<Match>,
    pub(crate) next: Option<u64>,
    #[serde(default)]
    pub(crate) total: Option<u64>,
}

/// One hit, and what stands around it.
#[derive(Debug, Deserialize)]
pub(crate) struct Match {
    pub(crate) line: Box<RawValue>,
    #[serde(default)]
    pub(crate) before: Vec<Box<RawValue>>,
    #[serde(default)]
    pub(crate) after: Vec<Box<RawValue>>,
}

/// How an execution has ended.
#[derive(Debug, Deserialize)]
pub(crate) struct Completion {
    pub(crate) status: String,
    pub(crate) successful: bool,
    /// The text of its result.
    #[serde(default)]
    pub(crate) result: Option<Box<RawValue>>,
    #[serde(default)]
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) traceback: Option<String>,
}
