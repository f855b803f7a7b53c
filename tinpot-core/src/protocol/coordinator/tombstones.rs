//! Departed workers: given up, or gone after a goodbye. Their late messages do not count as new.

use std::collections::{BTreeMap, VecDeque};

use crate::model::id::WorkerId;

/// The number of departed workers in memory. More than will return, or be repeated by a network, in
/// one epoch.
const DEPARTED: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Departed {
    /// The last beat of each departed worker. After a goodbye, the maximum.
    heard: BTreeMap<WorkerId, u64>,
    order: VecDeque<WorkerId>,
}

impl Departed {
    pub(super) fn add(&mut self, worker: &WorkerId, heard: u64) {
        if let Some(before) = self.heard.get_mut(worker) {
            *before = heard.max(*before);
            return;
        }
        if self.order.len() >= DEPARTED
            && let Some(oldest) = self.order.pop_front()
        {
            self.heard.remove(&oldest);
        }
        self.heard.insert(worker.clone(), heard);
        self.order.push_back(worker.clone());
    }

    /// Returns the last beat received from the worker; 0 if it is new.
    pub(super) fn heard(&self, worker: &WorkerId) -> u64 {
        self.heard.get(worker).copied().unwrap_or(0)
    }

    /// Returns true if the worker will not return.
    pub(super) fn is_gone(&self, worker: &WorkerId) -> bool {
        self.heard(worker) == u64::MAX
    }
}
