//! The runners that have registered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tinpot_core::access::Records;
use tinpot_core::access::records::Change;
use tinpot_core::action::check_label;
use tinpot_core::{Digest, Error, ErrorKind, MemoryNetwork, Result, Timestamp, WorkerId};
use tokio::sync::OnceCell;

use super::link::{RunnerLink, Times};
use super::{runner_key, token};

/// The kind of the records of runners: each is the credential of one, and without it the runner has to
/// register again. The digest of its name is that of the document.
pub const RUNNER_RECORDS: &str = "tower.runner";
/// The most runners. Each that polls takes some kilobytes.
const RUNNERS: usize = 10_000;
/// The longest name, in bytes.
const NAME_BYTES: usize = 200;
/// The time by which a runner must have been seen later for that to be written.
const NOTED: Duration = Duration::from_secs(30);
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
    /// The time of a request, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Timestamp>,
    /// If true, it has had a run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    has_run: bool,
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
    /// The time of its last request in microseconds; 0 if it is not known.
    seen: AtomicU64,
    /// That time as the document has it.
    noted: AtomicU64,
    has_run: AtomicBool,
}

impl Runner {
    /// Notes a request.
    pub(super) fn saw(&self) {
        self.state.seen.store(Timestamp::now().0, Ordering::Relaxed);
    }

    /// Notes that it gets a run.
    pub(super) fn runs(&self) {
        self.state.has_run.store(true, Ordering::Relaxed);
    }

    /// Returns the time of its last request.
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
        let Document { name, environment, token, worker, seen, has_run } = document;
        let state = earlier.map(|earlier| earlier.state.clone()).unwrap_or_default();
        if let Some(seen) = seen {
            state.seen.fetch_max(seen.0, Ordering::Relaxed);
            state.noted.fetch_max(seen.0, Ordering::Relaxed);
        }
        state.has_run.fetch_or(has_run, Ordering::Relaxed);
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
    /// The time from which on those are missed of which it is not known when they were seen.
    since: Timestamp,
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
        Ok(Self { records, known: RwLock::new(known), since: Timestamp::now() })
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
        check(name, environment)?;
        let id = runner_key(name);
        for _ in 0..TRIES {
            let earlier = self.records.get(RUNNER_RECORDS, &id).await?;
            if earlier.is_none() && self.read().tokens.len() >= RUNNERS {
                let message = format!("{RUNNERS} runners have registered: no more are taken");
                return Err(Error::new(ErrorKind::Overloaded, message));
            }
            let token = token::runner_token()?;
            let (worker, has_run) = match &earlier {
                Some(earlier) => {
                    let Document { worker, has_run, .. } = read(&earlier.document)?;
                    (worker, has_run)
                }
                None => (WorkerId::generate(name), false),
            };
            let document = Document {
                name: name.to_owned(),
                environment: environment.to_owned(),
                token: token::digest(&token),
                worker,
                seen: Some(Timestamp::now()),
                has_run,
            };
            let text = write(&document)?;
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

    /// Writes the times at which runners were seen, where they have changed by `NOTED`.
    pub(super) async fn note(&self) -> Result<()> {
        for runner in self.all() {
            let state = &runner.state;
            let seen = state.seen.load(Ordering::Relaxed);
            let age = seen.saturating_sub(state.noted.load(Ordering::Relaxed));
            if u128::from(age) < NOTED.as_micros() {
                continue;
            }
            let id = runner_key(&runner.name);
            let Some(found) = self.records.get(RUNNER_RECORDS, &id).await? else { continue };
            let mut document = read(&found.document)?;
            document.seen = Some(Timestamp(seen));
            document.has_run |= state.has_run.load(Ordering::Relaxed);
            let change = Change::replace(RUNNER_RECORDS, &*id, found.version, write(&document)?);
            match self.records.change(&[change]).await {
                Ok(_) => drop(state.noted.fetch_max(seen, Ordering::Relaxed)),
                // It registers again at this moment, which notes the time.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Forgets the runners that never had a run, and were not seen for this time. Returns their
    /// number.
    pub(super) async fn forget(&self, silence: Duration, now: Timestamp) -> Result<usize> {
        let mut forgotten = 0;
        for runner in self.all() {
            let since = runner.seen().unwrap_or(self.since);
            let is_silent = u128::from(now.0.saturating_sub(since.0)) > silence.as_micros();
            if !is_silent || runner.state.has_run.load(Ordering::Relaxed) {
                continue;
            }
            let id = runner_key(&runner.name);
            let Some(found) = self.records.get(RUNNER_RECORDS, &id).await? else { continue };
            match self.records.change(&[Change::remove(RUNNER_RECORDS, &*id, found.version)]).await
            {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Conflict => continue,
                Err(error) => return Err(error),
            }
            let mut known = self.write();
            if let Some(token) = known.tokens.remove(&runner.name) {
                known.by_token.remove(&token);
            }
            forgotten += 1;
        }
        Ok(forgotten)
    }
}

fn check(name: &str, environment: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES {
        let message = format!("name must have 1 to {NAME_BYTES} bytes (got {})", name.len());
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    check_label("environment", environment)
}

/// Returns the document of a runner that another server has registered, and the worker that it is.
///
/// # Errors
/// `InvalidInput` for a name or an environment that nothing can have.
#[cfg(feature = "import")]
pub(crate) fn known_runner(
    name: &str,
    environment: &str,
    token: Digest,
    seen: Timestamp,
    has_run: bool,
) -> Result<(Change, WorkerId)> {
    check(name, environment)?;
    let worker = WorkerId::generate(name);
    let (name, environment) = (name.to_owned(), environment.to_owned());
    let id = runner_key(&name);
    let seen = Some(seen);
    let document = Document { name, environment, token, worker: worker.clone(), seen, has_run };
    Ok((Change::create(RUNNER_RECORDS, id, write(&document)?), worker))
}

fn write(document: &Document) -> Result<Vec<u8>> {
    serde_json::to_vec(document)
        .map_err(|error| Error::new(ErrorKind::Malformed, error.to_string()))
}

fn read(document: &[u8]) -> Result<Document> {
    serde_json::from_slice(document).map_err(|error| {
        Error::new(ErrorKind::Malformed, format!("the document of a runner: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use tinpot_core::Timestamp;
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

    #[tokio::test]
    async fn a_restart_knows_when_runners_were_seen_and_silent_ones_are_forgotten() {
        let records = Arc::new(MemoryRecords::new());
        let runners = Runners::open(records.clone()).await.expect("runners");
        let used = runners.register("used", "default").await.expect("registered");
        let idle = runners.register("idle", "default").await.expect("registered");
        let begin = used.runner.seen().or(idle.runner.seen()).expect("it was just seen");
        let hour = Duration::from_secs(3_600);
        let later = |hours: u64| Timestamp(begin.0 + hours * hour.as_micros() as u64);
        used.runner.runs();
        used.runner.state.seen.store(later(2).0, Ordering::Relaxed);
        runners.note().await.expect("noted");
        drop(runners);

        let runners = Runners::open(records.clone()).await.expect("runners");
        let found = runners.find(&used.token).expect("known");
        assert_eq!(found.seen(), Some(later(2)));
        assert!(runners.find(&idle.token).and_then(|idle| idle.seen()).is_some());
        assert_eq!(runners.forget(24 * hour, later(23)).await.expect("none"), 0);
        assert_eq!(runners.forget(24 * hour, later(48)).await.expect("one"), 1);
        assert!(runners.find(&idle.token).is_none() && runners.find(&used.token).is_some());
        let runners = Runners::open(records).await.expect("runners");
        assert!(runners.find(&idle.token).is_none() && runners.find(&used.token).is_some());
        assert!(runners.register("idle", "default").await.expect("again").is_new);
    }
}
