//! The slots of a worker: which attempts run, wait, are parked, or take no slot.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::attempt::Phase;
use super::{WorkerEffect, WorkerMachine};
use crate::model::action::ActionSet;
use crate::model::digest::Digest;
use crate::model::fence::Fence;
use crate::protocol::message::Dispatch;
use crate::protocol::tick::Tick;

/// An action, and its bundle if it is deployed.
pub(super) type UnslottedKey = (Arc<str>, Option<Digest>);

/// Returns the actions of an offer, each with its limit if its attempts take no slots.
pub(super) fn concurrency_of(offer: &ActionSet) -> BTreeMap<String, Option<u32>> {
    offer.actions.iter().map(|action| (action.name.clone(), action.concurrency)).collect()
}

/// Returns what attempts without slots are counted by: teams may have actions of one name, each in a
/// bundle of its own.
pub(super) fn unslotted_key(dispatch: &Dispatch) -> UnslottedKey {
    (dispatch.action.clone(), dispatch.bundle.as_ref().map(|bundle| bundle.bundle))
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
                    let key = unslotted_key(&held.dispatch);
                    let running = self.unslotted.entry(key).or_default();
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

    /// Ends the count of an attempt without a slot.
    pub(super) fn leave_unslotted(&mut self, key: &UnslottedKey) {
        if let Some(running) = self.unslotted.get_mut(key) {
            *running -= 1;
            if *running == 0 {
                self.unslotted.remove(key);
            }
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
