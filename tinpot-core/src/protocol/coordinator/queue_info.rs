//! The state of the queues, for people: waiting executions, their age, and the reason for the wait.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::queue::LaneKey;
use super::queue_head::Window;
use super::worker::WorkerEntry;
use super::{ActiveState, Catalogue, CoordinatorMachine};
use crate::model::id::ExecutionId;
use crate::model::time::Timestamp;
use crate::model::violation::clipped;

/// The number of actions that a reason names. The others are counted.
const NAMED: usize = 3;

/// The reason why executions with secret parameters wait.
const PLAIN: &str = "the frames of all matching workers are plain, so that others could read them \
                     (let a worker join, or start the coordinator with --insecure-plain-secrets)";

/// The part of a worker's own words that a reason repeats, in bytes.
const REASON: usize = 300;

/// The state of a queue: its executions, its workers, and why executions wait.
///
/// ```
/// # use tinpot_core::{Failure, FunctionExecutor, local};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// # let tinpot = local(executor).await?;
/// tinpot.pause_queue("default").await?;
/// tinpot.submit("tick", ()).await?;
///
/// let queues = tinpot.queues().await?;
/// let queue = queues.iter().find(|queue| &*queue.name == "default").unwrap();
/// assert_eq!((queue.waiting, queue.workers), (1, 1));
/// assert!(queue.paused_at.is_some() && queue.reason.is_some());
/// # tinpot.resume_queue("default").await?;
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueInfo {
    /// The name of the queue.
    pub name: Arc<str>,
    /// The number of executions that wait for a worker.
    pub waiting: usize,
    /// The number of executions whose attempt is granted to a worker.
    pub granted: usize,
    /// The number of executions that wait for a delay or for their next attempt.
    pub delayed: usize,
    /// The number of live workers that serve the queue.
    pub workers: usize,
    /// The time at which the queue was paused, if it is.
    pub paused_at: Option<Timestamp>,
    /// The teams that have paused their part of the queue, and when.
    pub paused_of_teams: BTreeMap<Arc<str>, Timestamp>,
    /// The time of acceptance of the oldest waiting execution in memory. The first ones of each
    /// action are in memory.
    pub oldest_accepted_at: Option<Timestamp>,
    /// The time from which on the execution in memory that has waited the longest could have run.
    /// Delayed executions do not count.
    pub waiting_since: Option<Timestamp>,
    /// The reason why executions wait; `None` if none wait.
    pub reason: Option<String>,
}

impl CoordinatorMachine {
    /// Returns the catalogue.
    pub fn catalogue(&self) -> &Catalogue {
        self.actions.entries()
    }

    /// Returns the known queues. A queue is known if an execution, a worker or an action names it,
    /// or if it is paused.
    pub fn queues(&self) -> Vec<QueueInfo> {
        let waiting = self.waiting_in();
        let mut granted = BTreeMap::<&Arc<str>, usize>::new();
        for id in self.granted.values() {
            if let Some(active) = self.active.get(id) {
                *granted.entry(&active.execution.queue).or_default() += 1;
            }
        }
        let oldest = self.oldest_in();
        let view = |name: Arc<str>| {
            let (waiting, delayed) = waiting.get(&name).copied().unwrap_or_default();
            let granted = granted.get(&name).copied().unwrap_or_default();
            let serves = |worker: &&WorkerEntry| worker.introduced && worker.serves(&name);
            let workers = self.workers.values().filter(serves).count();
            let paused_at = self.paused.get(&name).copied();
            let paused_of_teams = self.paused_of_teams.get(&name).cloned().unwrap_or_default();
            let oldest = oldest.get(&name).and_then(|id| self.active.get(id));
            let oldest_accepted_at = oldest.map(|active| active.execution.accepted_at);
            let waiting_since = self.waiting_since(&name);
            let reason = self.why_waits(&name, waiting, delayed);
            QueueInfo {
                name,
                waiting,
                granted,
                delayed,
                workers,
                paused_at,
                paused_of_teams,
                oldest_accepted_at,
                waiting_since,
                reason,
            }
        };
        self.queue_names().into_iter().map(view).collect()
    }

    pub(super) fn queue_names(&self) -> BTreeSet<Arc<str>> {
        let mut names: BTreeSet<Arc<str>> = self.waiting.keys().cloned().collect();
        names.extend(self.delayed_in.keys().cloned());
        names.extend(self.paused.keys().chain(self.paused_of_teams.keys()).cloned());
        let offered = self.actions.entries().values().map(|entry| entry.action.queue.as_str());
        names.extend(offered.map(Arc::from));
        let served = self.workers.values().flat_map(|worker| &worker.queues);
        names.extend(served.map(|queue| Arc::from(queue.as_str())));
        let granted = self.granted.values().filter_map(|id| self.active.get(id));
        names.extend(granted.map(|active| active.execution.queue.clone()));
        names
    }

    fn waiting_since(&self, queue: &str) -> Option<Timestamp> {
        let keys = self.waiting.get(queue)?.values().flat_map(Window::keys);
        keys.filter_map(|key| self.active.get(&key.1)).map(|active| active.queued_at).min()
    }

    /// Returns the oldest execution in memory that waits in each queue. Ids are in the order of
    /// acceptance.
    fn oldest_in(&self) -> BTreeMap<&Arc<str>, ExecutionId> {
        let mut oldest = BTreeMap::<&Arc<str>, ExecutionId>::new();
        let mut note = |queue, id: ExecutionId| {
            let first = oldest.entry(queue).or_insert(id);
            *first = (*first).min(id);
        };
        for (queue, lanes) in &self.waiting {
            lanes.values().flat_map(|lane| lane.keys()).for_each(|key| note(queue, key.1));
        }
        for (_, id) in self.delayed.keys() {
            if let Some(active) = self.active.get(id) {
                note(&active.execution.queue, *id);
            }
        }
        oldest
    }

    /// Returns what a waiting execution waits for, without the names of workers. `None` if it does
    /// not wait, is delayed, or is not at the head of its queue.
    pub fn waits_for(&self, id: ExecutionId) -> Option<String> {
        let active = self.active.get(&id)?;
        if !matches!(active.state, ActiveState::Waiting) {
            return None;
        }
        let (queue, lane) = (&active.execution.queue, LaneKey::of(&active.execution));
        let team = active.execution.team_name();
        if self.is_paused(queue, team) {
            return Some(Obstacle::Paused.to_string());
        }
        // What workers of other teams do is hidden from those who may read the execution.
        Some(match self.obstacle(queue, Some(team), &[(&lane, active.is_secret())]) {
            Obstacle::Withheld(..) => "the workers of its queue cannot start the action".to_owned(),
            Obstacle::Missing(_) => "no live worker of its queue offers the action".to_owned(),
            Obstacle::MissingRuntime(_, runtime) => {
                format!("no live worker of its queue with runtime {runtime:?} may run the action")
            }
            Obstacle::Plain(_) => format!("it has secret parameters: {PLAIN}"),
            other => other.to_string(),
        })
    }

    fn why_waits(&self, queue: &str, waiting: usize, delayed: usize) -> Option<String> {
        if waiting + delayed == 0 {
            return None;
        }
        if waiting == 0 && !self.paused.contains_key(queue) {
            return Some("all waiting executions are delayed or wait for a retry".to_owned());
        }
        let lanes = self.waiting.get(queue);
        let head = |lane: &Window<_>| lane.first() != lane.first_without_secrets();
        let heads = lanes.into_iter().flatten().map(|(key, lane)| (key, head(lane)));
        Some(self.obstacle(queue, None, &heads.collect::<Vec<_>>()).to_string())
    }

    /// Returns the reason why the first executions of these lanes wait. The value next to a lane is
    /// true if its execution has secret parameters. With a team, only the workers of that team
    /// count.
    fn obstacle<'a>(
        &'a self,
        queue: &str,
        team: Option<&str>,
        lanes: &[(&'a LaneKey, bool)],
    ) -> Obstacle<'a> {
        let is_of_team = |worker: &WorkerEntry| {
            team.is_none_or(|team| worker.team_names().any(|name| name == team))
        };
        if self.paused.contains_key(queue) {
            return Obstacle::Paused;
        }
        let serving: Vec<&WorkerEntry> = self
            .workers
            .values()
            .filter(|worker| worker.introduced && worker.serves(queue) && is_of_team(worker))
            .collect();
        if serving.is_empty() {
            return Obstacle::NotServed;
        }
        let is_offered = |lane: &LaneKey| serving.iter().any(|worker| self.offers(worker, lane));
        let keys = lanes.iter().map(|(lane, _)| *lane);
        let missing: Vec<&LaneKey> = keys.filter(|lane| !is_offered(lane)).collect();
        let withholds = |lane: &LaneKey| {
            let mut able = serving.iter().filter(|worker| worker.may_withhold(lane, queue));
            able.find_map(|worker| Some((worker, worker.why_withheld()?)))
        };
        if let Some(first) = missing.first()
            && let Some((worker, why)) = withholds(first)
        {
            return Obstacle::Withheld(&worker.name, &first.action, why);
        }
        if let Some(LaneKey { action, runtime: Some(runtime) }) = missing.first() {
            return Obstacle::MissingRuntime(action, runtime);
        }
        if !missing.is_empty() {
            return Obstacle::Missing(missing.into_iter().map(|lane| &lane.action).collect());
        }
        let is_plain = |lane: &LaneKey| {
            let mut offering = serving.iter().filter(|worker| self.offers(worker, lane));
            offering.all(|worker| worker.plain)
        };
        if let Some((lane, _)) = lanes.iter().find(|(lane, secret)| *secret && is_plain(lane)) {
            return Obstacle::Plain(&lane.action);
        }
        let able = || {
            let offers =
                |worker: &&&WorkerEntry| lanes.iter().any(|(lane, _)| self.offers(worker, lane));
            serving.iter().filter(offers)
        };
        let ends = |worker: &WorkerEntry| worker.draining || worker.slots == 0;
        if able().all(|worker| ends(worker)) {
            Obstacle::Draining
        } else if able().all(|worker| ends(worker) || worker.silent) {
            Obstacle::Silent
        } else if able().all(|worker| ends(worker) || worker.silent || worker.beat == 0) {
            Obstacle::Connecting
        } else {
            Obstacle::Busy
        }
    }
}

/// The reason why executions wait.
#[derive(Debug)]
enum Obstacle<'a> {
    Paused,
    NotServed,
    /// A worker, an action that it cannot start, and its reason.
    Withheld(&'a str, &'a str, &'a str),
    Missing(Vec<&'a Arc<str>>),
    /// A deployed action, and its runtime.
    MissingRuntime(&'a str, &'a str),
    /// An action whose workers have plain frames, and that has secret parameters.
    Plain(&'a str),
    Draining,
    Silent,
    Connecting,
    Busy,
}

impl fmt::Display for Obstacle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Paused => "the queue is paused",
            Self::NotServed => "no live worker serves this queue",
            Self::Withheld(worker, action, why) => {
                let (worker, why) = (clipped(worker, REASON), clipped(why, REASON));
                return write!(f, "worker {worker:?} cannot start {action:?}: {why}");
            }
            Self::Missing(actions) => {
                return write!(f, "no live worker of this queue offers {}", named(actions));
            }
            Self::MissingRuntime(action, runtime) => {
                return write!(
                    f,
                    "no live worker of this queue with runtime {runtime:?} may run {action:?}"
                );
            }
            Self::Plain(action) => {
                return write!(f, "an execution of {action:?} has secret parameters: {PLAIN}");
            }
            Self::Draining => "all matching workers are draining",
            Self::Silent => "all matching workers have missed heartbeats",
            Self::Connecting => "all matching workers are still connecting",
            Self::Busy => "all matching worker slots are busy",
        })
    }
}

fn named(actions: &[&Arc<str>]) -> String {
    let first: Vec<String> = actions.iter().take(NAMED).map(|name| format!("{name:?}")).collect();
    match actions.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
