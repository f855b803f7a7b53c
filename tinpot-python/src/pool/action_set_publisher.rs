//! What a pool offers: what was found, unless attempts would find no room for their files.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tinpot_core::{ActionSet, LoadError};
use tokio::sync::watch;

/// How often a little is written where attempts have their temporary files.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// So much has to fit. What an attempt needs is not known; a disk on which this does not fit is full for all.
const PROBE_BYTES: usize = 64 * 1024;

fn shared(found: &ActionSet) -> HashSet<String> {
    let many = found.actions.iter().filter(|action| action.concurrency.is_some());
    many.map(|action| action.name.clone()).collect()
}

/// Where the worker reads what the pool offers.
#[derive(Debug)]
pub(super) struct ActionSetPublisher {
    offer: watch::Sender<Arc<ActionSet>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    found: Arc<ActionSet>,
    /// Those of its actions of which many attempts run at once.
    shared: HashSet<String>,
    full: Option<LoadError>,
}

impl State {
    fn offer(&self) -> Arc<ActionSet> {
        match &self.full {
            None => self.found.clone(),
            Some(problem) => {
                let mut offer = ActionSet::default().load_error(problem.clone());
                offer.load_errors.extend_from_slice(&self.found.load_errors);
                Arc::new(offer)
            }
        }
    }
}

impl ActionSetPublisher {
    pub(super) fn new(found: ActionSet) -> Arc<Self> {
        let found = Arc::new(found);
        let shared = shared(&found);
        let state = Mutex::new(State { found: found.clone(), shared, full: None });
        Arc::new(Self { offer: watch::Sender::new(found), state })
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<ActionSet>> {
        self.offer.subscribe()
    }

    /// Replaces what was found, all at once.
    pub(super) fn replace(&self, found: ActionSet) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.shared = shared(&found);
        state.found = Arc::new(found);
        self.offer.send_replace(state.offer());
    }

    /// Whether many attempts at that action run at once in one interpreter.
    pub(super) fn runs_in_shared_interpreter(&self, action: &str) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.shared.contains(action)
    }

    fn set_full(&self, full: Option<LoadError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (&state.full, &full) {
            (None, Some(problem)) => {
                tracing::warn!(place = problem.place, "{}", problem.message);
            }
            (Some(_), None) => tracing::info!("there is room for files again"),
            _ => return,
        }
        state.full = full;
        self.offer.send_replace(state.offer());
    }

    /// Closes the counter while nothing can be written in `directory`, until the pool is dropped.
    pub(super) async fn watch_disk_space(publisher: Weak<Self>, directory: PathBuf) {
        loop {
            let probed = directory.clone();
            let result = tokio::task::spawn_blocking(move || probe(&probed)).await;
            let Some(publisher) = publisher.upgrade() else { return };
            if let Ok(result) = result {
                let place = directory.display().to_string();
                publisher.set_full(result.err().map(|error| {
                    let message = format!(
                        "nothing can be written to temporary files: {error}; no new work is taken until that is possible"
                    );
                    LoadError::new(place, message)
                }));
            }
            drop(publisher);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Writes a little, and takes it away again. What the file system says of itself leaves out quotas, and that it may be read-only.
fn probe(directory: &Path) -> std::io::Result<()> {
    let mut file = tempfile::tempfile_in(directory)?;
    file.write_all(&[0; PROBE_BYTES])
}
