//! The teams that a change concerns: callers of a team learn nothing of when others work.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tinpot_core::{Coordinator, DEFAULT_TEAM, Execution};

use super::change_feed::Topic;

/// The teams that the changes of some topics concern.
#[derive(Debug, Default)]
pub(super) struct ChangedTeams {
    /// If true, they may concern any team.
    is_any: bool,
    /// The teams whose executions changed, and with them the attempts of workers and the lengths of
    /// queues.
    touched: HashSet<Arc<str>>,
    workers: HashSet<Arc<str>>,
    queues: HashSet<Arc<str>>,
    catalogue: HashSet<Arc<str>>,
}

impl ChangedTeams {
    /// Returns a change that may concern any team.
    pub(super) fn any() -> Self {
        Self { is_any: true, ..Self::default() }
    }

    /// Returns true if a change of the topic concerns the team.
    pub(super) fn concerns(&self, topic: Topic, team: &str) -> bool {
        let of_topic = match topic {
            Topic::Executions => false,
            Topic::Workers => self.touched.contains(team) || self.workers.contains(team),
            Topic::Queues => {
                let Self { touched, workers, queues, .. } = self;
                [touched, workers, queues].into_iter().any(|teams| teams.contains(team))
            }
            Topic::Catalogue => self.catalogue.contains(team),
        };
        self.is_any || of_topic
    }
}

/// The key of queues that are paused as a whole, which all teams see. No team has this id.
const EVERY_TEAM: &str = "";

/// The digests of what each team may see of a topic.
type Digests = HashMap<Arc<str>, u64>;

/// Finds the teams that changes concern.
#[derive(Debug, Default)]
pub(super) struct TeamWatch {
    is_any: bool,
    touched: HashSet<Arc<str>>,
    workers: Digests,
    queues: Digests,
    catalogue: Digests,
}

impl TeamWatch {
    /// Notes executions that changed. If `more` is true, there are others.
    pub(super) fn touch(&mut self, executions: &[Arc<Execution>], more: bool) {
        self.is_any |= more;
        let teams = executions.iter().map(|execution| Arc::from(execution.team_name()));
        self.touched.extend(teams);
    }

    /// Returns the teams that something has changed for since the last look.
    pub(super) async fn look(&mut self, coordinator: &Coordinator) -> ChangedTeams {
        let mut workers = HashMap::<Arc<str>, DefaultHasher>::new();
        let mut queues = HashMap::<Arc<str>, DefaultHasher>::new();
        let mut catalogue = HashMap::<Arc<str>, DefaultHasher>::new();
        // Once the coordinator has shut down, the feed ends.
        for worker in coordinator.workers().await.unwrap_or_default() {
            for team in &worker.teams {
                let hasher = workers.entry(team.clone()).or_default();
                (worker.id.as_str(), &worker.queues, &worker.groups).hash(hasher);
                (worker.slots, worker.draining, &worker.version).hash(hasher);
                worker.load_errors.iter().for_each(|error| error.message.hash(hasher));
                for environment in worker.environments.iter() {
                    let tinpot_core::PythonEnvironment { place, state, since, .. } = environment;
                    (place, state, since.0, &environment.reason).hash(hasher);
                }
                // Those of other teams are hidden.
                let own = |key: &&Arc<str>| *team_of(key) == **team;
                worker.actions.iter().filter(own).for_each(|key| key.hash(hasher));
            }
        }
        for queue in coordinator.queues().await.unwrap_or_default() {
            if let Some(at) = queue.paused_at {
                (&queue.name, at.0).hash(queues.entry(EVERY_TEAM.into()).or_default());
            }
            for (team, at) in &queue.paused_of_teams {
                let hasher = queues.entry(team.clone()).or_default();
                (&queue.name, at.0).hash(hasher);
            }
        }
        for (key, entry) in coordinator.catalogue().iter() {
            let hasher = catalogue.entry(team_of(key).into()).or_default();
            (key, entry.available, Arc::as_ptr(&entry.action)).hash(hasher);
        }
        let queues = replaced(&mut self.queues, queues);
        ChangedTeams {
            is_any: std::mem::take(&mut self.is_any) || queues.contains(EVERY_TEAM),
            touched: std::mem::take(&mut self.touched),
            workers: replaced(&mut self.workers, workers),
            queues,
            catalogue: replaced(&mut self.catalogue, catalogue),
        }
    }
}

/// Returns the team of the key of an action.
fn team_of(key: &str) -> &str {
    key.split_once('/').map_or(DEFAULT_TEAM, |(team, _)| team)
}

/// Replaces the digests, and returns the teams whose digest has changed.
fn replaced(known: &mut Digests, now: HashMap<Arc<str>, DefaultHasher>) -> HashSet<Arc<str>> {
    let now: Digests = now.into_iter().map(|(team, hasher)| (team, hasher.finish())).collect();
    let before = std::mem::take(known);
    let gone = before.keys().filter(|team| !now.contains_key(*team)).cloned();
    let new = now.iter().filter(|(team, digest)| before.get(*team) != Some(*digest));
    let changed = gone.chain(new.map(|(team, _)| team.clone())).collect();
    *known = now;
    changed
}
