//! Deploys: versions of actions are activated, rolled back and disabled while their executions wait
//! and run.
//!
//! They take no part in the other random choices of a history.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::client::Request;
use super::events::Event;
use super::network::index_of;
use super::plan::Profile;
use super::world::{Checked, World, broken};
use crate::model::action::{Action, ActionSet};
use crate::model::deployed::{BundleRef, Deployed};
use crate::model::digest::Digest;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::id::WorkerId;
use crate::model::retry::RetryOn;
use crate::model::transition::Transition;
use crate::testing::Random;

/// The names of the deployed actions. Those of the second one may be kept from some workers.
const NAMES: [&str; 2] = ["app", "tool"];
/// The runtimes that versions need.
const RUNTIMES: [&str; 2] = ["process", "script"];

/// Returns the runtimes of a worker. The first one has all, so that everything can end.
fn runtimes_of(index: usize) -> &'static [&'static str] {
    match index % 3 {
        0 => &RUNTIMES,
        1 => &RUNTIMES[..1],
        _ => &RUNTIMES[1..],
    }
}

/// Returns the actions that the key of a worker is granted; `None` for all.
pub(super) fn granted_to(index: usize) -> Option<Vec<String>> {
    let granted = ["parent", "quick", "rare", "slow", NAMES[0]];
    (index % 2 == 1).then(|| granted.map(str::to_owned).to_vec())
}

/// Returns true if this is the name of a deployed action.
pub(super) fn is_one(action: &str) -> bool {
    NAMES.contains(&action)
}

/// The deploys of a history.
#[derive(Debug)]
pub(super) struct Deploys {
    random: Random,
    /// The mean time between two deploys; zero if nothing is deployed.
    interval: Duration,
    /// The versions of each action, oldest first.
    versions: [Vec<Deployed>; NAMES.len()],
    /// The actions of each deploy.
    requested: Vec<Vec<Arc<Action>>>,
    /// The actions that were committed, each by the number of its deploy and its name.
    committed: BTreeSet<(String, String)>,
    /// True if the keys of some workers are granted some actions only.
    is_limited: bool,
}

impl Deploys {
    pub(super) fn new(seed: u64, is_limited: bool) -> Self {
        let mut random = Random::new(seed ^ 0x0dec_10ed_ac71_0115);
        let interval = match random.chance(0.6) {
            true => Duration::from_secs(2) + random.duration(Duration::from_secs(60)),
            false => Duration::ZERO,
        };
        let (versions, requested, committed) = Default::default();
        Self { random, interval, versions, requested, committed, is_limited }
    }

    /// Turns a submission into one of a deployed action, or not.
    pub(super) fn change(&mut self, wanted: &mut Execution) {
        if self.random.chance(0.3) {
            wanted.retry.on = RetryOn::Lost;
        }
        if !self.interval.is_zero() && &*wanted.action != "parent" && self.random.chance(0.4) {
            wanted.action = NAMES[self.random.below(NAMES.len())].into();
        }
    }

    /// Returns the action to call in place of another one.
    ///
    /// Everything is deployed in the default team. In others, the names are those of actions that
    /// workers offer, and may stop to offer for ever.
    pub(super) fn called(&mut self, action: &'static str, is_possible: bool) -> &'static str {
        if self.interval.is_zero() || !self.random.chance(0.2) {
            return action;
        }
        let deployed = NAMES[self.random.below(NAMES.len())];
        if is_possible { deployed } else { action }
    }

    /// Draws a deploy of one or of all actions, and returns its number.
    fn draw(&mut self, all_enabled: bool) -> usize {
        let number = self.requested.len();
        let first = self.random.below(NAMES.len());
        let all = all_enabled || self.random.chance(0.5);
        let mut actions = Vec::new();
        for (place, name) in NAMES.iter().enumerate().filter(|(place, _)| all || *place == first) {
            let versions = &mut self.versions[place];
            let deployed = match versions.len() {
                known if known > 0 && self.random.chance(0.4) => {
                    versions[self.random.below(known)].clone()
                }
                known => {
                    let runtime = RUNTIMES[self.random.below(RUNTIMES.len())];
                    let (mut bundle, version) = ([place as u8; 32], known as u32 + 1);
                    bundle[..4].copy_from_slice(&version.to_be_bytes());
                    versions.push(Deployed::new(runtime, version, Digest::from(bundle)));
                    versions[known].clone()
                }
            };
            let enabled = all_enabled || self.random.chance(0.85);
            let Ok(action) = Action::new(*name) else { unreachable!("it is a good name") };
            let action = action.description(number.to_string()).deployed(deployed.enabled(enabled));
            actions.push(Arc::new(action));
        }
        self.requested.push(actions);
        number
    }

    /// Checks that a worker may be granted an execution: it has the runtime, and its key the action.
    pub(super) fn granted(&self, worker: &WorkerId, execution: &Execution) -> Checked {
        let Some(runtime) = execution.runtime() else { return Ok(()) };
        let (id, index) = (execution.id, index_of(worker));
        if !runtimes_of(index).contains(&&**runtime) {
            return broken("runtime", format!("{id} needs {runtime}, which {worker} never has"));
        }
        let granted = granted_to(index).filter(|_| self.is_limited);
        if granted.is_some_and(|granted| !granted.iter().any(|name| **name == *execution.action)) {
            let action = &execution.action;
            return broken(
                "grant",
                format!("{id} of {action} goes to {worker}, which may not run it"),
            );
        }
        Ok(())
    }
}

impl World {
    /// Returns an offer of a worker: everything, or less.
    pub(super) fn offer_of(&self, index: usize, offer: usize) -> Arc<ActionSet> {
        let mut offered = (*self.offers[offer]).clone();
        match offer {
            0 => {
                offered.runtimes = runtimes_of(index).iter().map(|name| Arc::from(*name)).collect();
            }
            // It has an action with the name of a deployed one. A store that is restored may not
            // know yet that it is deployed.
            _ if self.store.is_deployed(NAMES[0]) && self.plan.profile != Profile::Restored => {
                offered.actions.extend(Action::new(NAMES[0]).map(Arc::new));
            }
            _ => {}
        }
        Arc::new(offered)
    }

    pub(super) fn plan_deploys(&mut self) {
        let (interval, length) = (self.deploys.interval, self.plan.length);
        if interval.is_zero() {
            return;
        }
        let mut at = self.deploys.random.duration(Duration::from_secs(2));
        while at < length {
            let number = self.deploys.draw(false);
            self.after(at, Event::Deploy { number });
            at += self.deploys.random.interval(interval);
        }
    }

    /// Deploys everything for the last time, so that everything can end.
    pub(super) fn deploy_for_good(&mut self) {
        if !self.deploys.interval.is_zero() {
            let number = self.deploys.draw(true);
            // This is later than any earlier request.
            self.after(Duration::from_secs(1), Event::Deploy { number });
        }
    }

    pub(super) fn deploy(&mut self, number: usize) {
        if self.calm && number + 1 < self.deploys.requested.len() {
            return;
        }
        let actions = self.deploys.requested[number].clone();
        self.request_deploy(number, |ticket| Request::Deploy { actions, ticket });
    }

    pub(super) fn deploy_again(&mut self, number: usize) {
        let after = self.deploys.random.duration(Duration::from_secs(3));
        self.after(after, Event::Deploy { number });
    }

    /// Handles the answer to a deploy: it is committed.
    pub(super) fn deployed(&mut self, number: usize, done: Result<()>) -> Checked {
        self.tell(|| format!("deploy {number} is answered: {done:?}"));
        match done {
            Ok(()) => {
                self.count("deploy");
                let mut actions = self.deploys.requested[number].iter();
                let name = |action: &Arc<Action>| (number.to_string(), action.name.clone());
                match actions.find(|action| !self.deploys.committed.contains(&name(action))) {
                    None => Ok(()),
                    Some(lost) => broken("deploy", format!("{number} is done without {lost:?}")),
                }
            }
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                self.deploy_again(number);
                Ok(())
            }
            Err(error) => broken("deploy", format!("{number} is refused: {error}")),
        }
    }

    /// Checks an offer that is about to be committed: no worker takes a deployed action.
    pub(super) fn offers(&mut self, transition: &Transition) -> Checked {
        let Transition::Offer(action) = transition else { return Ok(()) };
        if action.deployed.is_some() {
            self.deploys.committed.insert((action.description.clone(), action.name.clone()));
        } else if self.store.is_deployed(&action.key()) {
            return broken(
                "deploy",
                format!("a worker takes the deployed action {:?}", action.name),
            );
        }
        Ok(())
    }

    /// Checks that a coordinator that has started knows what is deployed.
    pub(super) fn knows_what_is_deployed(&self, index: usize) -> Checked {
        let catalogue = self.coordinators[index].machine().catalogue();
        for action in self.store.deployed() {
            if catalogue.get(&action.key()).is_none_or(|known| known.action != *action) {
                return broken("deploy", format!("a coordinator starts without {action:?}"));
            }
        }
        Ok(())
    }

    /// Returns the bundle to which a submission is pinned.
    ///
    /// # Errors
    /// `Conflict` if the action is to be deployed, and is not or is disabled.
    pub(super) fn bundle_for(&self, index: usize, action: &str) -> Result<Option<Arc<BundleRef>>> {
        if !NAMES.contains(&action) {
            return Ok(None);
        }
        let known = self.coordinators[index].machine().catalogue().get(action);
        let is_enabled = |known: &&crate::CatalogueEntry| {
            known.action.deployed.as_ref().is_some_and(|deployed| deployed.enabled)
        };
        let bundle = known.filter(is_enabled).and_then(|known| known.bundle().cloned());
        let refused = || Error::new(ErrorKind::Conflict, "it is not deployed, or disabled");
        bundle.map(Some).ok_or_else(refused)
    }
}
