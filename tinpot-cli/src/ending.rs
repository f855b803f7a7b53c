//! The ends of executions that were stopped: by whom, after what limit, and by what means.

use serde::Deserialize;

use crate::client::Client;
use crate::{ids, output};

/// The part of a record that says how an execution was stopped.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Ending {
    cancelled_by: Option<String>,
    killed: Option<bool>,
    timeout_ms: Option<u32>,
}

impl Ending {
    /// Reads the record of an execution. Returns an empty part if the server does not answer: the
    /// end is known already.
    pub(crate) fn of(client: &Client, id: &str) -> Self {
        client.read(&ids::path(id, "")).unwrap_or_default()
    }

    /// Returns the end in words, if the status is that of an execution that was stopped.
    pub(crate) fn words(&self, status: &str) -> Option<String> {
        let mut words = match (status, &self.cancelled_by, self.timeout_ms) {
            ("cancelled", Some(by), _) => format!("cancelled by {}", output::clean(by, false)),
            ("cancelled", None, _) => "cancelled".to_owned(),
            ("timed_out", _, Some(limit)) => {
                format!("timed out after {}", output::seconds(f64::from(limit) / 1e3))
            }
            ("timed_out", ..) => "timed out".to_owned(),
            _ => return None,
        };
        if self.killed == Some(true) {
            words.push_str(", and killed");
        }
        Some(words)
    }
}
