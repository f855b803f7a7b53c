//! Actions and runtimes that an executor could not start: their attempts are given back, and they
//! are not offered for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{WorkerEffect, WorkerMachine};
use crate::model::action::{ActionSet, LoadError};
use crate::model::fence::Fence;
use crate::protocol::message::{Dispatch, ReleasedHow};
use crate::protocol::tick::Tick;

/// The time for which an action is not offered after its first failure to start. It doubles with
/// each further one.
const FIRST: Duration = Duration::from_secs(1);
/// The longest time. Each offer can cost an execution a grant, which its record keeps.
const LONGEST: Duration = Duration::from_secs(60);

/// Something that a worker offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered<'a> {
    Action(&'a str),
    Runtime(&'a str),
}

impl<'a> Offered<'a> {
    /// Returns what a worker must offer to run an attempt.
    pub(super) fn of(dispatch: &'a Dispatch) -> Self {
        match &dispatch.bundle {
            Some(bundle) => Self::Runtime(&bundle.runtime),
            None => Self::Action(&dispatch.action),
        }
    }

    fn name(self) -> &'a str {
        match self {
            Self::Action(name) | Self::Runtime(name) => name,
        }
    }
}

/// The actions and runtimes that did not start lately. There are at most as many as the worker
/// offers.
#[derive(Debug, Default)]
pub(super) struct Holds {
    actions: BTreeMap<String, Hold>,
    runtimes: BTreeMap<String, Hold>,
}

#[derive(Debug)]
struct Hold {
    /// The time until which it is not offered. `None` once it is offered again, until an
    /// attempt at it has started.
    until: Option<Tick>,
    lasts: Duration,
    reason: String,
}

impl Holds {
    fn of(&self, offered: Offered<'_>) -> Option<&Hold> {
        match offered {
            Offered::Action(action) => self.actions.get(action),
            Offered::Runtime(runtime) => self.runtimes.get(runtime),
        }
    }

    fn map(&mut self, offered: Offered<'_>) -> &mut BTreeMap<String, Hold> {
        match offered {
            Offered::Action(_) => &mut self.actions,
            Offered::Runtime(_) => &mut self.runtimes,
        }
    }

    fn all(&self) -> impl Iterator<Item = (&String, &Hold)> {
        self.actions.iter().chain(&self.runtimes)
    }

    /// Returns true if the action or runtime is not offered now.
    pub(super) fn has(&self, offered: Offered<'_>) -> bool {
        self.of(offered).is_some_and(|hold| hold.until.is_some())
    }

    /// Returns the time at which the next one is offered again.
    pub(super) fn wake_at(&self) -> Option<Tick> {
        self.all().filter_map(|(_, hold)| hold.until).min()
    }

    /// Returns the offer without what is held back.
    pub(super) fn limit(&self, offer: &ActionSet) -> ActionSet {
        let mut limited = offer.clone();
        limited.actions.retain(|action| !self.has(Offered::Action(&action.name)));
        limited.runtimes.retain(|runtime| !self.has(Offered::Runtime(runtime)));
        for (name, hold) in self.all().filter(|(_, hold)| hold.until.is_some()) {
            let error = LoadError::new(name, format!("it cannot be started: {}", hold.reason));
            limited.load_errors.push(error.blocking());
        }
        limited
    }

    /// Holds an action or runtime back. Returns false if it is held back already.
    fn add(&mut self, now: Tick, offered: Offered<'_>, reason: String) -> bool {
        let known = self.of(offered);
        if known.is_some_and(|hold| hold.until.is_some()) {
            return false;
        }
        let lasts = known.map_or(FIRST, |hold| (hold.lasts * 2).min(LONGEST));
        let hold = Hold { until: Some(now + lasts), lasts, reason };
        self.map(offered).insert(offered.name().to_owned(), hold);
        true
    }

    /// Notes that an attempt has started.
    pub(super) fn started(&mut self, offered: Offered<'_>) {
        if !self.has(offered) {
            self.map(offered).remove(offered.name());
        }
    }

    /// Forgets what the executors have stopped to offer: once they offer it again, they can start
    /// it.
    pub(super) fn retain(&mut self, offered: impl Fn(Offered<'_>) -> bool) {
        self.actions.retain(|action, _| offered(Offered::Action(action)));
        self.runtimes.retain(|runtime, _| offered(Offered::Runtime(runtime)));
    }

    /// Ends the holds that are over. Returns true if there were any.
    fn end(&mut self, now: Tick) -> bool {
        let mut ended = false;
        for hold in self.actions.values_mut().chain(self.runtimes.values_mut()) {
            if hold.until.is_some_and(|until| until <= now) {
                hold.until = None;
                ended = true;
            }
        }
        ended
    }
}

impl WorkerMachine {
    /// Returns true if the worker offers an action or a runtime now.
    pub(super) fn offers(&self, offered: Offered<'_>) -> bool {
        self.has(offered) && !self.holds.has(offered)
    }

    /// Returns true if an executor offers the action or the runtime.
    fn has(&self, offered: Offered<'_>) -> bool {
        match offered {
            Offered::Action(action) => self.actions.contains_key(action),
            Offered::Runtime(runtime) => self.offer.runtimes.iter().any(|name| **name == *runtime),
        }
    }

    /// Gives back an attempt whose code never ran, and with it those that wait for a slot. The
    /// coordinator learns first that the worker does not offer the action or runtime for now.
    pub(super) fn give_back(
        &mut self,
        now: Tick,
        fence: Fence,
        offered: Offered<'_>,
        reason: String,
        out: &mut Vec<WorkerEffect>,
    ) {
        // The executor may have withdrawn it already.
        if self.has(offered) && self.holds.add(now, offered, reason) && self.said_hello {
            self.hello(now, out);
        }
        self.release(now, fence, ReleasedHow::NeverRan, out);
        let is_same = |fence: &Fence| {
            self.held.get(fence).is_some_and(|held| Offered::of(&held.dispatch) == offered)
        };
        let waiting: Vec<Fence> = self.waiting.iter().copied().filter(is_same).collect();
        self.waiting.retain(|fence| !waiting.contains(fence));
        for fence in waiting {
            self.release(now, fence, ReleasedHow::NeverRan, out);
        }
    }

    /// Offers the actions and runtimes again whose time has come.
    pub(super) fn offer_again(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        if self.holds.end(now) && self.said_hello {
            self.hello(now, out);
        }
    }
}
