//! Publishes the action set of a pool: the discovered actions, or none while the disk is full.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tinpot_core::LoadError;
use tinpot_core::executor::ActionSet;
use tokio::sync::watch;

/// The interval of the test that temporary files can be written.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The size of the test file. The needs of attempts are unknown, but a disk without this room is
/// full for all.
const PROBE_BYTES: usize = 64 * 1024;

fn shared_actions(found: &ActionSet) -> HashSet<String> {
    let many = found.actions.iter().filter(|action| action.concurrency.is_some());
    many.map(|action| action.name.clone()).collect()
}

/// The publisher, from which the worker gets the action set.
#[derive(Debug)]
pub(super) struct ActionSetPublisher {
    action_set: watch::Sender<Arc<ActionSet>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    found: Arc<ActionSet>,
    /// The actions that run in the shared interpreter.
    shared: HashSet<String>,
    full: Option<LoadError>,
}

impl State {
    fn action_set(&self) -> Arc<ActionSet> {
        match &self.full {
            None => self.found.clone(),
            Some(load_error) => {
                let mut action_set = ActionSet::default().load_error(load_error.clone());
                action_set.load_errors.extend_from_slice(&self.found.load_errors);
                Arc::new(action_set)
            }
        }
    }
}

impl ActionSetPublisher {
    pub(super) fn new(found: ActionSet) -> Arc<Self> {
        let found = Arc::new(found);
        let shared = shared_actions(&found);
        let state = Mutex::new(State { found: found.clone(), shared, full: None });
        Arc::new(Self { action_set: watch::Sender::new(found), state })
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<ActionSet>> {
        self.action_set.subscribe()
    }

    /// Replaces the discovered actions, all at once.
    pub(super) fn replace(&self, found: ActionSet) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.shared = shared_actions(&found);
        state.found = Arc::new(found);
        self.action_set.send_replace(state.action_set());
    }

    /// Returns true if attempts of the action run in the shared interpreter.
    pub(super) fn runs_in_shared_interpreter(&self, action: &str) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.shared.contains(action)
    }

    fn set_full(&self, full: Option<LoadError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (&state.full, &full) {
            (None, Some(load_error)) => {
                tracing::warn!(place = load_error.place, "{}", load_error.message);
            }
            (Some(_), None) => tracing::info!("temporary files can be written again"),
            _ => return,
        }
        state.full = full;
        self.action_set.send_replace(state.action_set());
    }

    /// Publishes no actions while no file can be written in `directory`. Runs until the pool is
    /// dropped.
    pub(super) async fn watch_disk_space(publisher: Weak<Self>, directory: PathBuf) {
        loop {
            let probed = directory.clone();
            let result = tokio::task::spawn_blocking(move || probe(&probed)).await;
            let Some(publisher) = publisher.upgrade() else { return };
            if let Ok(result) = result {
                let place = directory.display().to_string();
                publisher.set_full(result.err().map(|error| {
                    let message = format!(
                        "cannot write temporary files: {error}; \
                         free disk space, until then no attempt is accepted"
                    );
                    LoadError::new(place, message)
                }));
            }
            drop(publisher);
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }
}

/// Writes a file and removes it.
///
/// The numbers of the file system do not include quotas and read-only mounts.
fn probe(directory: &Path) -> std::io::Result<()> {
    let mut file = tempfile::tempfile_in(directory)?;
    file.write_all(&[0; PROBE_BYTES])
}
