//! Workers that were given up or have said goodbye: what they said before is not taken for news.

use std::collections::{BTreeMap, VecDeque};

use crate::model::id::WorkerId;

/// Of so many is remembered what was heard last: more than will come back, or be repeated by a network, in any life of a coordinator.
const DEPARTED: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Departed {
    /// The last beat that was heard; after a goodbye all of them.
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

    /// The last beat that was heard of it; 0 when it is new.
    pub(super) fn heard(&self, worker: &WorkerId) -> u64 {
        self.heard.get(worker).copied().unwrap_or(0)
    }

    /// It will not come back.
    pub(super) fn is_gone(&self, worker: &WorkerId) -> bool {
        self.heard(worker) == u64::MAX
    }
}
