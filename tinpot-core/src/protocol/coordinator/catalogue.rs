//! The known actions and their availability.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::introduction::{TEAM_SHARE, Taken, size_bytes};
use crate::model::action::{Action, LoadError, Schema};
use crate::model::deployed::{BundleRef, Deployed};
use crate::model::digest::Digest;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::json::Json;
use crate::model::visible::team_of_key;

/// The maximum number of known actions. Actions that no worker offers make room for new ones, those
/// that were offered longest ago first.
const ACTIONS_MAX: usize = 20_000;
/// The maximum size of all known actions, in bytes.
const ACTIONS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The problem of a worker that offers an action with the name of a deployed one.
const TAKEN: &str = "it is not offered: a deployed action has this name. Rename one of them";
/// The actions that are forgotten at once, so that many new ones do not cost a search each.
const FORGOTTEN_AT_ONCE: usize = 1_000;

/// The word of the workers about an action, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    NotOffered,
    /// Live workers have the action, or may have it, and cannot start it.
    NotStartable,
    /// Live workers have its runtime, and cannot load its bundle.
    NotLoadable,
    NotServed,
    Draining,
    Silent,
    Available,
}

impl Standing {
    /// Returns the reason why the action is not available; `None` if it is.
    fn why_not(self, action: &Action) -> Option<&'static str> {
        match (self, &action.deployed) {
            (_, Some(deployed)) if !deployed.enabled => return Some("it is disabled"),
            (Self::NotOffered, Some(_)) => return Some("no live worker offers its runtime"),
            _ => {}
        }
        match self {
            Self::NotOffered => Some("no live worker offers it"),
            Self::NotStartable => {
                Some("no live worker can start it now; the problems of the workers have the reason")
            }
            Self::NotLoadable => Some(
                "no live worker can load its bundle; the problems of the workers have the reason",
            ),
            Self::NotServed => Some("no live worker that offers it serves its queue"),
            Self::Draining => Some("all workers that offer it are draining"),
            Self::Silent => Some("all workers that offer it have missed heartbeats"),
            Self::Available => None,
        }
    }
}

/// One action of a [`Catalogue`].
///
/// ```
/// # use std::collections::BTreeMap;
/// # use tinpot_core::{Failure, FunctionExecutor, Json, local};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let executor = FunctionExecutor::builder()
///     .action("sum", |_, terms: BTreeMap<String, i64>| async move {
///         Ok::<_, Failure>(terms.values().sum::<i64>())
///     })
///     .build()?;
/// let tinpot = local(executor).await?;
///
/// let catalogue = tinpot.catalogue();
/// let sum = &catalogue["sum"];
/// assert!(sum.available && sum.action.group == "General");
/// let error = sum.validate(&Json::parse(r#"{"a": "one"}"#)?).unwrap_err();
/// assert_eq!(error.violations()[0].path, "a");
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CatalogueEntry {
    /// The action, as described by the worker that said hello last.
    pub action: Arc<Action>,
    /// If true, a live worker offers the action and serves its queue.
    pub available: bool,
    /// The reason why the action is not available, for people.
    pub unavailable: Option<&'static str>,
    schema: Arc<Schema>,
    /// The bundle of the active version, if the action is deployed.
    bundle: Option<Arc<BundleRef>>,
    standing: Standing,
    /// The number of the hello that offered it last.
    offered: u64,
    bytes: usize,
}

impl CatalogueEntry {
    /// Checks parameters against the action's schema.
    ///
    /// # Errors
    /// [`InvalidParameters`](crate::ErrorKind::InvalidParameters), naming every violation.
    pub fn validate(&self, parameters: &Json) -> Result<()> {
        self.schema.check(parameters).map(|_| ())
    }

    fn new(action: Arc<Action>, schema: Schema, offered: u64) -> Self {
        let (bytes, standing) = (size_bytes(&action), Standing::NotOffered);
        Self {
            available: false,
            unavailable: standing.why_not(&action),
            schema: Arc::new(schema),
            bundle: action.bundle_ref().map(Arc::new),
            standing,
            offered,
            bytes,
            action,
        }
    }

    /// Creates the entry of an action that is in no catalogue.
    pub(crate) fn outside(action: Action) -> Result<Self> {
        let schema = Schema::compile(&action.schema)?;
        Ok(Self::new(Arc::new(action), schema, 0))
    }

    /// Returns the bundle to which submissions of the action are pinned, if it is deployed.
    pub fn bundle(&self) -> Option<&Arc<BundleRef>> {
        self.bundle.as_ref()
    }

    /// Returns true if the action is that of an app that was removed.
    pub(crate) fn is_removed(&self) -> bool {
        self.action.deployed.as_ref().is_some_and(Deployed::is_removed)
    }

    /// Returns true if parameters of the action can be secret.
    pub(crate) fn has_secrets(&self) -> bool {
        self.schema.has_secrets()
    }

    /// Checks parameters as [`validate`](Self::validate) does, and returns the JSON pointers of the
    /// secrets among them.
    pub(crate) fn check(&self, parameters: &Json) -> Result<Vec<String>> {
        self.schema.check(parameters)
    }

    /// Returns the uploads to which parameters refer.
    pub(crate) fn uploads(&self, parameters: &Json) -> Vec<Digest> {
        self.schema.uploads(parameters)
    }
}

/// All actions that were ever offered, by their [keys](Action::key): names, with `team/` in front of
/// those of other teams than the default team.
pub type Catalogue = BTreeMap<Arc<str>, CatalogueEntry>;

#[derive(Debug, Default)]
pub(super) struct KnownActions {
    entries: Catalogue,
    /// The size of all entries.
    bytes: usize,
    /// The room that each team takes.
    teams: BTreeMap<Arc<str>, Taken>,
    /// The number of deployed actions.
    deployed: usize,
    /// The number of hellos so far.
    hellos: u64,
    /// The usual duration of an attempt, in microseconds: an exponentially weighted mean.
    usual_us: BTreeMap<Arc<str>, u64>,
}

impl KnownActions {
    pub(super) fn entries(&self) -> &Catalogue {
        &self.entries
    }

    /// Records the offer of a worker, and returns the names under which the machine knows the
    /// actions. Adds new and changed actions to `news`. An action with an invalid schema is left
    /// out and becomes a load error. If `has_share` is true, each team has a share of the room.
    pub(super) fn offer(
        &mut self,
        actions: &[Arc<Action>],
        has_share: bool,
        news: &mut Vec<Arc<Action>>,
        load_errors: &mut Vec<LoadError>,
    ) -> Vec<Arc<str>> {
        let mut names = Vec::with_capacity(actions.len());
        let (mut left_out, mut beyond_share) = (0_usize, 0_usize);
        self.hellos += 1;
        for action in actions {
            let (hello, key) = (self.hellos, action.key());
            if self.is_deployed(&key) {
                load_errors.push(LoadError::new(&*action.name, TAKEN));
                continue;
            }
            let same = self.entries.get_mut(&key).is_some_and(|entry| {
                entry.offered = hello;
                entry.action == *action
            });
            let name = match self.entries.get_key_value(&key) {
                Some((name, _)) if same => {
                    names.push(name.clone());
                    continue;
                }
                Some((name, _)) => name.clone(),
                None => key,
            };
            let bytes = size_bytes(action);
            let before = self.entries.get(&name).map_or(0, |entry| entry.bytes);
            let more =
                Taken { number: usize::from(before == 0), bytes: bytes.saturating_sub(before) };
            // Once there is no room, the rest of the offer needs no search for it.
            if has_share && (beyond_share > 0 || !self.make_room_in(action.team_name(), more)) {
                beyond_share += 1;
                continue;
            }
            if left_out > 0 || !self.make_room(more) {
                left_out += 1;
                continue;
            }
            let schema = match Schema::compile(&action.schema) {
                Ok(schema) => schema,
                Err(error) => {
                    load_errors.push(LoadError::new(&*action.name, error.to_string()));
                    continue;
                }
            };
            news.push(action.clone());
            self.put(name.clone(), CatalogueEntry::new(action.clone(), schema, self.hellos));
            names.push(name);
        }
        if beyond_share > 0 {
            let (most, bytes) = (ACTIONS_MAX / TEAM_SHARE, ACTIONS_BYTES_MAX / TEAM_SHARE);
            let message = format!(
                "{beyond_share} actions are not offered: the coordinator knows at most {most} \
                 actions with {bytes} bytes of each team"
            );
            load_errors.push(LoadError::new("actions", message));
        }
        if left_out > 0 {
            let message = format!(
                "{left_out} actions are not offered: the coordinator knows at most {ACTIONS_MAX} \
                 actions with {ACTIONS_BYTES_MAX} bytes"
            );
            load_errors.push(LoadError::new("actions", message));
        }
        names
    }

    /// Puts actions that are deployed into the catalogue: all of them, or none.
    ///
    /// # Errors
    /// `Overloaded` if there is no room for them.
    pub(super) fn deploy(&mut self, actions: &[Arc<Action>], schemas: Vec<Schema>) -> Result<()> {
        let keys: Vec<Arc<str>> = actions.iter().map(|action| action.key()).collect();
        let is_new = |key: &&Arc<str>| !self.entries.contains_key(*key);
        let new = keys.iter().filter(is_new).count();
        let bytes = actions.iter().map(|action| size_bytes(action)).sum();
        if !self.make_room(Taken { number: new, bytes }) {
            let message = format!(
                "the coordinator knows at most {ACTIONS_MAX} actions with {ACTIONS_BYTES_MAX} bytes"
            );
            return Err(Error::new(ErrorKind::Overloaded, message));
        }
        for ((action, schema), key) in actions.iter().zip(schemas).zip(keys) {
            self.put(key, CatalogueEntry::new(action.clone(), schema, self.hellos));
        }
        Ok(())
    }

    fn put(&mut self, key: Arc<str>, entry: CatalogueEntry) {
        self.forget(&key);
        self.bytes += entry.bytes;
        self.deployed += usize::from(entry.bundle.is_some());
        let taken = self.teams.entry(entry.action.team_name().into()).or_default();
        (taken.number, taken.bytes) = (taken.number + 1, taken.bytes + entry.bytes);
        self.entries.insert(key, entry);
    }

    /// Returns true if there are deployed actions.
    pub(super) fn has_deployed(&self) -> bool {
        self.deployed > 0
    }

    /// Returns true if the action with this key is deployed.
    pub(super) fn is_deployed(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.bundle.is_some())
    }

    /// Takes the standing of each deployed action.
    pub(super) fn deployed_stand(&mut self, standing: impl Fn(&Action) -> Standing) -> usize {
        for entry in self.entries.values_mut().filter(|entry| entry.bundle.is_some()) {
            entry.standing = standing(&entry.action);
        }
        self.deployed
    }

    /// Makes room for more actions, if need be by forgetting actions that no worker offers. Returns
    /// false if there is none.
    fn make_room(&mut self, more: Taken) -> bool {
        let fits = |known: &Self| {
            known.entries.len() + more.number <= ACTIONS_MAX
                && known.bytes + more.bytes <= ACTIONS_BYTES_MAX
        };
        if fits(self) {
            return true;
        }
        self.forget_idle(|_| true);
        fits(self)
    }

    /// Makes room for an action in the share of its team, as [`make_room`](Self::make_room) does.
    fn make_room_in(&mut self, team: &str, more: Taken) -> bool {
        let fits = |known: &Self| {
            let taken = known.teams.get(team).copied().unwrap_or_default();
            taken.number + more.number <= ACTIONS_MAX / TEAM_SHARE
                && taken.bytes + more.bytes <= ACTIONS_BYTES_MAX / TEAM_SHARE
        };
        if fits(self) {
            return true;
        }
        self.forget_idle(|key| team_of_key(key) == team);
        fits(self)
    }

    /// Forgets the actions among these that no worker offers: the oldest, and only some at once.
    fn forget_idle(&mut self, is_meant: impl Fn(&str) -> bool) {
        let idle = |entry: &CatalogueEntry| {
            let is_idle = entry.standing == Standing::NotOffered && entry.offered < self.hellos;
            is_idle && entry.bundle.is_none()
        };
        let idle = self.entries.iter().filter(|(name, entry)| idle(entry) && is_meant(name));
        let mut oldest: Vec<_> = idle.map(|(name, entry)| (entry.offered, name.clone())).collect();
        oldest.sort_unstable();
        for (_, name) in oldest.into_iter().take(FORGOTTEN_AT_ONCE) {
            self.usual_us.remove(&name);
            self.forget(&name);
        }
    }

    fn forget(&mut self, name: &str) {
        let Some(entry) = self.entries.remove(name) else { return };
        self.bytes -= entry.bytes;
        self.deployed -= usize::from(entry.bundle.is_some());
        let team = team_of_key(name);
        if let Some(taken) = self.teams.get_mut(team) {
            (taken.number, taken.bytes) = (taken.number - 1, taken.bytes - entry.bytes);
            if taken.number == 0 {
                self.teams.remove(team);
            }
        }
    }

    /// Restores the actions that earlier epochs knew.
    pub(super) fn remember(&mut self, actions: &[Arc<Action>]) {
        let mut problems = Vec::new();
        // First those that no worker would offer again.
        let (deployed, offered): (Vec<_>, Vec<_>) =
            actions.iter().cloned().partition(|action| action.deployed.is_some());
        for action in &deployed {
            let entered = Schema::compile(&action.schema)
                .and_then(|schema| self.deploy(std::slice::from_ref(action), vec![schema]));
            if let Err(error) = entered {
                problems.push(LoadError::new(&*action.name, error.to_string()));
            }
        }
        self.offer(&offered, false, &mut Vec::new(), &mut problems);
        for problem in problems {
            tracing::warn!(
                action = problem.place,
                "a known action is left out: {}",
                problem.message
            );
        }
    }

    /// Begins to collect what the workers say of the actions.
    pub(super) fn begin_standings(&mut self) {
        for entry in self.entries.values_mut() {
            entry.standing = Standing::NotOffered;
        }
    }

    /// Takes what one worker says of an action.
    pub(super) fn stands(&mut self, name: &str, standing: impl FnOnce(&Action) -> Standing) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.standing = entry.standing.max(standing(&entry.action));
        }
    }

    /// Updates the availability of all actions. `may_have` returns true if a worker that cannot
    /// start anything may have the actions of this team and queue.
    pub(super) fn end_standings(&mut self, may_have: impl Fn(&str, &str) -> bool) {
        for entry in self.entries.values_mut() {
            let Action { queue, .. } = &*entry.action;
            if entry.standing == Standing::NotOffered && may_have(entry.action.team_name(), queue) {
                entry.standing = Standing::NotStartable;
            }
            entry.unavailable = entry.standing.why_not(&entry.action);
            entry.available = entry.unavailable.is_none();
        }
    }

    /// Records the duration of an attempt.
    pub(super) fn took(&mut self, action: &Arc<str>, us: u64) {
        if let Some(usual) = self.usual_us.get_mut(action) {
            *usual = usual.saturating_mul(7).saturating_add(us) / 8;
        } else if self.usual_us.len() < ACTIONS_MAX {
            self.usual_us.insert(action.clone(), us);
        }
    }

    /// Returns the usual duration of an attempt, in microseconds. `None` if no attempt has ended
    /// yet.
    pub(super) fn usual_us(&self, action: &str) -> Option<u64> {
        self.usual_us.get(action).copied()
    }
}
