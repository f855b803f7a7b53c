//! Actions that an executor could not start: they are given back, and not offered for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{WorkerEffect, WorkerMachine};
use crate::model::action::{ActionSet, LoadError};
use crate::model::fence::Fence;
use crate::protocol::message::ReleasedHow;
use crate::protocol::tick::Tick;

/// The time for which an action is not offered after its first failure to start. It doubles with
/// each further one.
const FIRST: Duration = Duration::from_secs(1);
/// The longest time. Each offer can cost an execution a grant, which its record keeps.
const LONGEST: Duration = Duration::from_secs(60);

/// The actions that did not start lately. There are at most as many as the worker offers.
#[derive(Debug, Default)]
pub(super) struct Holds(BTreeMap<String, Hold>);

#[derive(Debug)]
struct Hold {
    /// The time until which the action is not offered. `None` once it is offered again, until an
    /// attempt at it has started.
    until: Option<Tick>,
    lasts: Duration,
    reason: String,
}

impl Holds {
    /// Returns true if the action is not offered now.
    pub(super) fn has(&self, action: &str) -> bool {
        self.0.get(action).is_some_and(|hold| hold.until.is_some())
    }

    /// Returns the time at which the next action is offered again.
    pub(super) fn wake_at(&self) -> Option<Tick> {
        self.0.values().filter_map(|hold| hold.until).min()
    }

    /// Returns the offer without the actions that are held back.
    pub(super) fn limit(&self, offer: &ActionSet) -> ActionSet {
        let mut limited = offer.clone();
        limited.actions.retain(|action| !self.has(&action.name));
        for (action, hold) in self.0.iter().filter(|(_, hold)| hold.until.is_some()) {
            let error = LoadError::new(action, format!("it cannot be started: {}", hold.reason));
            limited.load_errors.push(error.blocking());
        }
        limited
    }

    /// Holds an action back. Returns false if it is held back already.
    fn add(&mut self, now: Tick, action: &str, reason: String) -> bool {
        let known = self.0.get(action);
        if known.is_some_and(|hold| hold.until.is_some()) {
            return false;
        }
        let lasts = known.map_or(FIRST, |hold| (hold.lasts * 2).min(LONGEST));
        let hold = Hold { until: Some(now + lasts), lasts, reason };
        self.0.insert(action.to_owned(), hold);
        true
    }

    /// Notes that an attempt at the action has started.
    pub(super) fn started(&mut self, action: &str) {
        if !self.has(action) {
            self.0.remove(action);
        }
    }

    /// Forgets the actions that the executors have stopped to offer: once they offer them again,
    /// they can start them.
    pub(super) fn retain(&mut self, offered: impl Fn(&str) -> bool) {
        self.0.retain(|action, _| offered(action));
    }

    /// Ends the holds that are over. Returns true if there were any.
    fn end(&mut self, now: Tick) -> bool {
        let mut ended = false;
        for hold in self.0.values_mut() {
            if hold.until.is_some_and(|until| until <= now) {
                hold.until = None;
                ended = true;
            }
        }
        ended
    }
}

impl WorkerMachine {
    /// Gives back an attempt whose code never ran, and with it those that wait for a slot. The
    /// coordinator learns first that the worker does not offer the action for now.
    pub(super) fn give_back(
        &mut self,
        now: Tick,
        fence: Fence,
        action: &Arc<str>,
        reason: String,
        out: &mut Vec<WorkerEffect>,
    ) {
        // The executor may have withdrawn it already.
        let is_offered = self.actions.contains_key(&**action);
        if is_offered && self.holds.add(now, action, reason) && self.said_hello {
            self.hello(now, out);
        }
        self.release(now, fence, ReleasedHow::NeverRan, out);
        let is_same = |fence: &Fence| {
            self.held.get(fence).is_some_and(|held| held.dispatch.action == *action)
        };
        let waiting: Vec<Fence> = self.waiting.iter().copied().filter(is_same).collect();
        self.waiting.retain(|fence| !waiting.contains(fence));
        for fence in waiting {
            self.release(now, fence, ReleasedHow::NeverRan, out);
        }
    }

    /// Offers the actions again whose time has come.
    pub(super) fn offer_again(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        if self.holds.end(now) && self.said_hello {
            self.hello(now, out);
        }
    }
}
