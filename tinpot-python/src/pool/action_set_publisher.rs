//! Publishes the action set of a pool: the discovered actions, or none while the disk is full or no
//! interpreter starts.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tinpot_core::executor::ActionSet;
use tinpot_core::{FailureCode, LoadError, Outcome, Watcher};
use tokio::sync::watch;

use super::spawn_context::SpawnContext;
use crate::child_text::{load_error, shown};

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
    /// The reasons why nothing is offered at the moment.
    blocked: [Option<LoadError>; 2],
}

/// The reason why a pool runs no attempts.
#[derive(Clone, Copy, Debug)]
enum Block {
    /// No temporary files can be written.
    Full,
    /// No interpreter starts.
    Unable,
}

impl State {
    fn action_set(&self) -> Arc<ActionSet> {
        let blocked: Vec<_> = self.blocked.iter().flatten().cloned().collect();
        if blocked.is_empty() {
            return self.found.clone();
        }
        let mut action_set = ActionSet::default();
        action_set.load_errors = blocked;
        action_set.load_errors.extend_from_slice(&self.found.load_errors);
        Arc::new(action_set)
    }
}

impl ActionSetPublisher {
    pub(super) fn new(found: ActionSet) -> Arc<Self> {
        let found = Arc::new(found);
        let shared = shared_actions(&found);
        let state = Mutex::new(State { found: found.clone(), shared, blocked: [None, None] });
        Arc::new(Self { action_set: watch::Sender::new(found), state })
    }

    pub(super) fn subscribe(&self) -> Watcher<Arc<ActionSet>> {
        self.action_set.subscribe().into()
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

    /// Returns the outcome of an attempt whose interpreter lacks an action that is offered: its file
    /// could be imported before, and none of its code ran.
    pub(super) fn if_missing(&self, action: &str, outcome: &Outcome) -> Option<Outcome> {
        let failure = outcome.failure()?;
        if failure.code != FailureCode::ActionUnavailable {
            return None;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_offered = state.found.actions.iter().any(|offered| offered.name == action);
        is_offered.then(|| Outcome::not_started(&failure.message))
    }

    fn set_blocked(&self, block: Block, reason: Option<LoadError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let known = &mut state.blocked[block as usize];
        if *known == reason {
            return;
        }
        match (&*known, &reason) {
            (_, Some(error)) => tracing::warn!(place = error.place, "{}", error.message),
            (_, None) => match block {
                Block::Full => tracing::info!("temporary files can be written again"),
                Block::Unable => tracing::info!("Python interpreters start again"),
            },
        }
        *known = reason;
        self.action_set.send_replace(state.action_set());
    }

    /// Publishes no actions while no interpreter starts. Runs until the pool is dropped.
    pub(super) async fn watch_interpreters(
        publisher: Weak<Self>,
        spawn: Arc<SpawnContext>,
        mut unable: watch::Receiver<Option<String>>,
    ) {
        unable.mark_changed();
        while unable.changed().await.is_ok() {
            let reason = unable.borrow_and_update().clone();
            let Some(publisher) = publisher.upgrade() else { return };
            let error = reason.map(|reason| {
                let message = format!("{reason}\nUntil one starts, no attempt is accepted.");
                load_error(&shown(&spawn.python()), &message).blocking()
            });
            publisher.set_blocked(Block::Unable, error);
        }
    }

    /// Publishes no actions while no temporary file can be written. Runs until the pool is dropped.
    pub(super) async fn watch_disk_space(publisher: Weak<Self>, spawn: Arc<SpawnContext>) {
        loop {
            let probed = spawn.clone();
            let probe = move || {
                // It may have been cleaned away, and idle interpreters need it too.
                probed.package.restore().and_then(|()| probe(probed.package.path()))
            };
            let result = tokio::task::spawn_blocking(probe).await;
            let Some(publisher) = publisher.upgrade() else { return };
            if let Ok(result) = result {
                let place = shown(spawn.package.path());
                let full = result.err().map(|error| {
                    let message = format!(
                        "cannot write temporary files: {error}; \
                         free disk space, until then no attempt is accepted"
                    );
                    LoadError::new(place, message).blocking()
                });
                publisher.set_blocked(Block::Full, full);
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
