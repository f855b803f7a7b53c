//! The runners that have registered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::{Deserialize, Serialize};
use tinpot_core::access::Records;
use tinpot_core::access::records::Change;
use tinpot_core::action::check_label;
use tinpot_core::{Digest, Error, ErrorKind, MemoryNetwork, Result, Timestamp, WorkerId};
use tokio::sync::OnceCell;

use super::link::{RunnerLink, Times};
use super::token;

/// The kind of the records of runners: each is the credential of one, and without it the runner has to
/// register again. The digest of its name is that of the document.
pub const RUNNER_RECORDS: &str = "tower.runner";
/// The most runners. Each that polls takes some kilobytes.
const RUNNERS: usize = 10_000;
/// The longest name, in bytes.
const NAME_BYTES: usize = 200;
/// The tries of a registration while others register the same name.
const TRIES: usize = 8;

/// The document of a runner.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    name: String,
    environment: String,
    /// The digest of its token.
    token: Digest,
    worker: WorkerId,
}

/// A runner, with the token that it has now.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) name: String,
    pub(super) environment: String,
    pub(super) worker: WorkerId,
    state: Arc<State>,
}

/// The state that stays when a runner registers again.
#[derive(Debug, Default)]
struct State {
    link: OnceCell<RunnerLink>,
    /// The time of its last request in microseconds; 0 before the first to this process.
    seen: AtomicU64,
}

impl Runner {
    /// Notes a request.
    pub(super) fn saw(&self) {
        self.state.seen.store(Timestamp::now().0, Ordering::Relaxed);
    }

    /// Returns the time of its last request to this process.
    pub(super) fn seen(&self) -> Option<Timestamp> {
        Some(self.state.seen.load(Ordering::Relaxed)).filter(|at| *at > 0).map(Timestamp)
    }

    /// Returns the way to the runner's task, which begins with the first call.
    pub(super) async fn link(&self, network: &MemoryNetwork, times: Times) -> Result<&RunnerLink> {
        let start =
            || RunnerLink::start(network, self.worker.clone(), self.environment.clone(), times);
        self.state.link.get_or_try_init(start).await
    }
}

/// A runner that has registered, and its token.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) runner: Arc<Runner>,
    pub(super) token: String,
    pub(super) is_new: bool,
}

#[derive(Debug, Default)]
struct Known {
    by_token: HashMap<Digest, Arc<Runner>>,
    /// The digests of the tokens, by name.
    tokens: HashMap<String, Digest>,
}

impl Known {
    fn insert(&mut self, document: Document) -> Arc<Runner> {
        let earlier = self.tokens.insert(document.name.clone(), document.token);
        let earlier = earlier.and_then(|token| self.by_token.remove(&token));
        let Document { name, environment, token, worker } = document;
        let state = earlier.map(|earlier| earlier.state.clone()).unwrap_or_default();
        let runner = Arc::new(Runner { name, environment, worker, state });
        self.by_token.insert(token, runner.clone());
        runner
    }
}

/// All runners.
#[derive(Debug)]
pub(super) struct Runners {
    records: Arc<dyn Records>,
    known: RwLock<Known>,
}

impl Runners {
    /// Reads the runners that have registered before.
    pub(super) async fn open(records: Arc<dyn Records>) -> Result<Self> {
        let mut known = Known::default();
        let mut after = String::new();
        loop {
            let page = records.list(RUNNER_RECORDS, &after, 1_000).await?;
            let Some(last) = page.last() else { break };
            after = last.id.to_string();
            for record in &page {
                known.insert(read(&record.document)?);
            }
        }
        Ok(Self { records, known: RwLock::new(known) })
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the runner with this token.
    pub(super) fn find(&self, token: &str) -> Option<Arc<Runner>> {
        self.read().by_token.get(&token::digest(token)).cloned()
    }

    /// Returns all runners, by name.
    pub(super) fn all(&self) -> Vec<Arc<Runner>> {
        let mut all: Vec<_> = self.read().by_token.values().cloned().collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Registers a runner, or gives a known one a new token: the one before is good no more.
    ///
    /// # Errors
    /// `InvalidInput` for a name or an environment that nothing can have, `Overloaded` if there are
    /// too many, and those of the records.
    pub(super) async fn register(&self, name: &str, environment: &str) -> Result<Registered> {
        if name.is_empty() || name.len() > NAME_BYTES {
            let message = format!("name must have 1 to {NAME_BYTES} bytes (got {})", name.len());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        check_label("environment", environment)?;
        let id = token::digest(name).to_string();
        for _ in 0..TRIES {
            let earlier = self.records.get(RUNNER_RECORDS, &id).await?;
            if earlier.is_none() && self.read().tokens.len() >= RUNNERS {
                let message = format!("{RUNNERS} runners have registered: no more are taken");
                return Err(Error::new(ErrorKind::Overloaded, message));
            }
            let token = token::runner_token()?;
            let worker = match &earlier {
                Some(earlier) => read(&earlier.document)?.worker,
                None => WorkerId::generate(name),
            };
            let document = Document {
                name: name.to_owned(),
                environment: environment.to_owned(),
                token: token::digest(&token),
                worker,
            };
            let text = serde_json::to_vec(&document)
                .map_err(|error| Error::new(ErrorKind::Malformed, error.to_string()))?;
            let version = earlier.as_ref().map_or(0, |earlier| earlier.version);
            match self.records.change(&[Change::replace(RUNNER_RECORDS, &*id, version, text)]).await
            {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Conflict => continue,
                Err(error) => return Err(error),
            }
            let runner = self.write().insert(document);
            if let Some(link) = runner.state.link.get() {
                link.serve(runner.environment.clone()).await;
            }
            return Ok(Registered { runner, token, is_new: earlier.is_none() });
        }
        Err(Error::new(ErrorKind::Unavailable, "others register this name now: try again"))
    }
}

fn read(document: &[u8]) -> Result<Document> {
    serde_json::from_slice(document).map_err(|error| {
        Error::new(ErrorKind::Malformed, format!("the document of a runner: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tinpot_core::access::MemoryRecords;

    use super::Runners;

    #[tokio::test]
    async fn a_runner_that_registers_again_has_another_token_and_stays_the_same_worker() {
        let records = Arc::new(MemoryRecords::new());
        let runners = Runners::open(records.clone()).await.expect("runners");
        let first = runners.register("one é", "default").await.expect("registered");
        assert!(first.is_new && runners.find(&first.token).is_some());
        let second = runners.register("one é", "gpu").await.expect("registered");
        assert!(!second.is_new && runners.find(&first.token).is_none());
        let found = runners.find(&second.token).expect("known");
        assert_eq!(found.worker, first.runner.worker);
        assert_eq!(found.environment, "gpu");
        runners.register("other", "default").await.expect("registered");
        let again = Runners::open(records).await.expect("runners");
        assert!(again.find(&second.token).is_some());
        let names: Vec<_> = again.all().iter().map(|runner| runner.name.clone()).collect();
        assert_eq!(names, ["one é", "other"]);
        assert!(again.register("", "default").await.is_err());
        assert!(again.register("x", "no\nqueue").await.is_err());
    }
}
