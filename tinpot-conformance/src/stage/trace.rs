//! The messages of a scene, for people.

use std::collections::VecDeque;

use tinpot_core::protocol::Message;
use tinpot_core::transport::Lane;
use tokio::time::Instant;

use crate::rules::cut;

/// The number of entries that are kept.
const ENTRIES: usize = 40;
/// The shown beginning of an entry.
const ENTRY_BYTES: usize = 240;

/// The last messages in both directions.
#[derive(Debug)]
pub(crate) struct Trace {
    began: Instant,
    entries: VecDeque<String>,
}

impl Trace {
    pub(crate) fn new(began: Instant) -> Self {
        Self { began, entries: VecDeque::new() }
    }

    pub(crate) fn note(&mut self, text: &str) {
        if self.entries.len() >= ENTRIES {
            self.entries.pop_front();
        }
        let at = self.began.elapsed().as_secs_f64();
        self.entries.push_back(format!("{at:7.3} {}", cut(text, ENTRY_BYTES)));
    }

    pub(crate) fn heard(&mut self, lane: Lane, message: &Message) {
        self.message("←", lane, &serde_json::to_string(message).unwrap_or_default());
    }

    pub(crate) fn sent(&mut self, lane: Lane, document: &[u8]) {
        self.message("→", lane, &String::from_utf8_lossy(document));
    }

    fn message(&mut self, arrow: &str, lane: Lane, text: &str) {
        match lane {
            Lane::Control => self.note(&format!("{arrow} {text}")),
            Lane::Logs => self.note(&format!("{arrow} (logs) {text}")),
        }
    }

    /// Returns the entries, oldest first.
    pub(crate) fn into_entries(self) -> Vec<String> {
        self.entries.into()
    }
}
