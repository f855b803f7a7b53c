//! The joint offer of all executors of a worker.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::select_all;

use crate::executor::Executor;
use crate::model::action::{ActionSet, LoadError, SecretParts, secret_texts};
use crate::protocol::Dispatch;
use crate::watcher::Watcher;

#[derive(Debug)]
pub(super) struct Offers {
    executors: Vec<Arc<dyn Executor>>,
    watches: Vec<Watcher<Arc<ActionSet>>>,
    groups: Vec<String>,
    /// The index of each action's executor.
    places: HashMap<String, usize>,
    /// The index of each runtime's executor.
    runtimes: HashMap<Arc<str>, usize>,
    /// The secret parameters of each action that has any.
    secrets: HashMap<String, SecretParts>,
    merged: Arc<ActionSet>,
}

impl Offers {
    pub(super) fn new(executors: Vec<Arc<dyn Executor>>, groups: Vec<String>) -> Self {
        let watches = executors.iter().map(|executor| executor.actions()).collect();
        let (places, runtimes, secrets, merged) = Default::default();
        let mut offers = Self { executors, watches, groups, places, runtimes, secrets, merged };
        // Takes what the watches begin with.
        offers.refresh();
        offers.merge();
        offers
    }

    pub(super) fn current(&self) -> Arc<ActionSet> {
        self.merged.clone()
    }

    /// Returns the executor that runs an attempt.
    pub(super) fn executor(&self, dispatch: &Dispatch) -> Option<Arc<dyn Executor>> {
        let place = match &dispatch.bundle {
            Some(bundle) => self.runtimes.get(&bundle.runtime),
            None => self.places.get(&*dispatch.action),
        };
        place.map(|place| self.executors[*place].clone())
    }

    pub(super) fn executors(&self) -> &[Arc<dyn Executor>] {
        &self.executors
    }

    /// Returns the secrets among the parameters of an attempt.
    pub(super) fn secrets(&self, dispatch: &Dispatch) -> Vec<String> {
        let Dispatch { action, parameters, bundle, secrets, .. } = dispatch;
        match bundle {
            Some(_) => secret_texts(parameters, secrets),
            None => {
                self.secrets.get(&**action).map(|parts| parts.texts(parameters)).unwrap_or_default()
            }
        }
    }

    /// Waits until an executor changes its offer. Cancel safe.
    pub(super) async fn changed(&mut self) {
        loop {
            let changes = self.watches.iter_mut().map(|watch| Box::pin(watch.next()));
            let (change, place, _) = select_all(changes).await;
            match change {
                Some(_) => return self.merge(),
                // That executor is gone, and will never change its offer again.
                None if self.watches.len() > 1 => drop(self.watches.remove(place)),
                None => std::future::pending::<()>().await,
            }
        }
    }

    /// Takes changes that have not been noticed yet. Returns true if there were any.
    pub(super) fn refresh(&mut self) -> bool {
        let mut changed = false;
        for watch in &mut self.watches {
            changed |= watch.try_next().is_some();
        }
        if changed {
            self.merge();
        }
        changed
    }

    fn merge(&mut self) {
        let mut merged = ActionSet::default();
        self.places.clear();
        self.runtimes.clear();
        self.secrets.clear();
        for (place, executor) in self.executors.iter().enumerate() {
            let offer = executor.actions().current();
            merged.load_errors.extend(offer.load_errors.iter().cloned());
            merged.environments.extend(offer.environments.iter().cloned());
            for runtime in &offer.runtimes {
                if let Some(other) = self.runtimes.get(runtime) {
                    let message = format!(
                        "two executors offer runtime {runtime:?}: {:?} and {executor:?}; the first one's is used",
                        self.executors[*other]
                    );
                    merged.load_errors.push(LoadError::new(&**runtime, message));
                    continue;
                }
                self.runtimes.insert(runtime.clone(), place);
                merged.runtimes.push(runtime.clone());
            }
            for action in &offer.actions {
                if !self.groups.is_empty() && !self.groups.contains(&action.group) {
                    continue;
                }
                if let Some(other) = self.places.get(&action.name) {
                    let message = format!(
                        "two executors offer an action {:?}: {:?} and {executor:?}; the first one's is used",
                        action.name, self.executors[*other]
                    );
                    merged.load_errors.push(LoadError::new(&*action.name, message));
                    continue;
                }
                self.places.insert(action.name.clone(), place);
                if let Some(parts) = SecretParts::of(&action.schema) {
                    self.secrets.insert(action.name.clone(), parts);
                }
                merged.actions.push(action.clone());
            }
        }
        self.merged = Arc::new(merged);
    }
}
