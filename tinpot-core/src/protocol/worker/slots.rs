//! The slots of a worker: which attempts run, wait, are parked, or take no slot.

use std::collections::BTreeMap;

use super::attempt::Phase;
use super::{WorkerEffect, WorkerMachine};
use crate::model::action::ActionSet;
use crate::model::fence::Fence;
use crate::protocol::tick::Tick;

/// Returns the actions of an offer, each with its limit if its attempts take no slots.
pub(super) fn concurrency_of(offer: &ActionSet) -> BTreeMap<String, Option<u32>> {
    offer.actions.iter().map(|action| (action.name.clone(), action.concurrency)).collect()
}

impl WorkerMachine {
    pub(super) fn start_waiting(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        let mut place = 0;
        while let Some(fence) = self.waiting.get(place).copied() {
            let Some(held) = self.held.get_mut(&fence) else {
                self.waiting.remove(place);
                continue;
            };
            let action = &held.dispatch.action;
            let limit = match &held.dispatch.bundle {
                Some(bundle) => bundle.concurrency,
                None => self.actions.get(&**action).copied().flatten(),
            };
            let room = match limit {
                Some(limit) => {
                    let running = self.unslotted.entry(action.clone()).or_default();
                    let room = *running < limit;
                    *running += u32::from(room);
                    held.unslotted = room;
                    room
                }
                _ if self.running < self.profile.slots as usize => {
                    self.running += 1;
                    true
                }
                _ => false,
            };
            if !room {
                place += 1;
                continue;
            }
            self.waiting.remove(place);
            held.phase = Phase::Running { since: now };
            if held.said == Some(false) {
                self.accept_due.push_back((now + self.config.accept_delay, fence));
            }
            if let Some(timeout) = held.dispatch.timeout {
                self.timeouts.insert((now + timeout, fence));
            }
            out.push(WorkerEffect::Start(Box::new(held.dispatch.clone())));
        }
    }

    pub(super) fn runs_anything(&self) -> bool {
        self.running > 0
            || !self.parked.is_empty()
            || self.unslotted.values().any(|count| *count > 0)
    }

    /// Parks an attempt that waits for a child, and frees its slot.
    pub(super) fn park(&mut self, now: Tick, fence: Fence, out: &mut Vec<WorkerEffect>) {
        let Some(held) = self.held.get(&fence).filter(|held| held.runs()) else { return };
        if !held.unslotted && self.parked.insert(fence) {
            self.running -= 1;
            self.start_waiting(now, out);
        }
    }

    /// Ends the wait of a parked attempt. It continues even if no slot is free: the attempt in the
    /// slot might wait for this one.
    pub(super) fn unpark(&mut self, fence: Fence) {
        if self.parked.remove(&fence) {
            self.running += 1;
        }
    }
}
