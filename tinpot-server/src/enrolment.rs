//! The keys of workers in the file of a store, while a coordinator runs.

use std::sync::Arc;
use std::time::Duration;

use tinpot_access::{ChainAudit, RingSuite, WorkerKeys};
use tinpot_core::access::{MemoryRecords, Records};
use tinpot_core::seal::{CoordinatorOptions, PlainFrames, PublicKey, Suite};
use tinpot_core::{CoordinatorBuilder, Result};
use tinpot_http::Accounts;
use tinpot_mqtt::broker::WorkerLogins;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::error::error_chain;
use crate::settings::{EnrolmentSettings, Frames, StoreSettings};

/// The interval at which changes of other processes are taken in while no frame comes or goes, or if
/// the stamp of the records missed them.
const REFRESH: Duration = Duration::from_millis(500);
/// The interval of the work that can wait, and of the warning about plain frames.
const MAINTAIN: Duration = Duration::from_secs(60);

/// The worker keys of a coordinator. Its task ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Enrolment {
    suite: RingSuite,
    /// The keys of the namespace that workers learn.
    namespace_keys: Vec<PublicKey>,
    keys: WorkerKeys,
    plain: PlainFrames,
    upkeep: JoinHandle<()>,
}

impl Enrolment {
    /// Opens the keys; `None` if frames are plain.
    ///
    /// # Errors
    /// Those of the key of the namespace and of the records.
    pub(crate) async fn open(
        settings: &EnrolmentSettings,
        store: &StoreSettings,
        default: &str,
    ) -> Result<Option<Self>> {
        if settings.frames == Frames::Plain {
            tracing::warn!(
                "frames of workers are plain: the broker, and all who reach it, can read them and \
                 run actions (--frames plain)"
            );
            return Ok(None);
        }
        let missing = settings.missing_key(store, default);
        let suite = RingSuite::new(&settings.namespace_key(store, default)?);
        let mut namespace_keys = vec![suite.public()];
        if let Some(next) = settings.next_key(store, default)? {
            tracing::info!(
                "workers learn the next key of the namespace: once all have connected, replace the \
                 present one with \"tinpot workers rotate-namespace-key --finish\""
            );
            namespace_keys.push(RingSuite::new(&next).public());
        }
        let (records, is_file): (Arc<dyn Records>, bool) = match store.records(default) {
            Some(records) => (Arc::new(records), true),
            None => (Arc::new(MemoryRecords::new()), false),
        };
        let mut builder = WorkerKeys::builder(records.clone()).broker_logins(suite.clone());
        if let Some(former) = settings.former_key(store, default)? {
            builder = builder.former_broker_logins(RingSuite::new(&former));
        }
        if is_file {
            builder = builder.audit(Arc::new(ChainAudit::start(records, "coordinator")));
        }
        let keys = builder.open().await?;
        if let Some(file) = missing.filter(|_| keys.has_enrolled()) {
            tracing::error!(
                file = %file.display(),
                "the key of the namespace was missing, and is another one now: workers that have joined \
                 do not believe it. Put the former file back and start again, or let them join again"
            );
        }
        let plain = plain_frames(settings.frames, &keys);
        let upkeep = tokio::spawn(keep_up(keys.clone()));
        Ok(Some(Self { suite, namespace_keys, keys, plain, upkeep }))
    }

    /// Seals the frames of a coordinator, and lets workers join.
    pub(crate) fn seal(&self, builder: CoordinatorBuilder, namespace: &str) -> CoordinatorBuilder {
        let options = CoordinatorOptions::new(namespace, Arc::new(self.keys.clone()));
        let options = options.plain(self.plain).keys(self.namespace_keys.clone());
        let builder = builder.sealed(self.suite.clone(), options);
        builder.enroller(self.keys.clone())
    }

    /// Lets admins enrol workers through the API.
    pub(crate) fn manage(&self, accounts: Accounts) -> Accounts {
        accounts.worker_keys(self.keys.clone(), self.suite.public())
    }

    /// Returns the suite with the key of the namespace.
    pub(crate) fn suite(&self) -> Arc<dyn Suite> {
        Arc::new(self.suite.clone())
    }

    /// Returns true if workers with plain frames are heard.
    pub(crate) fn takes_plain(&self) -> bool {
        self.plain == PlainFrames::Allow
    }

    /// Returns the logins of workers at an embedded broker.
    pub(crate) fn logins(&self) -> Arc<dyn WorkerLogins> {
        Arc::new(Logins(self.keys.clone()))
    }
}

/// Decides whether plain frames are taken. With `auto`, they never are again after a worker has
/// joined: not even after its key has ended, as temporary ones do.
fn plain_frames(frames: Frames, keys: &WorkerKeys) -> PlainFrames {
    match frames {
        Frames::Allow => PlainFrames::Allow,
        Frames::Auto if !keys.has_enrolled() => PlainFrames::Allow,
        Frames::Auto => {
            let joined = keys.keys().len();
            tracing::info!(
                "frames of workers must be sealed, since a worker has joined before ({joined} with \
                 a key now): --frames allow takes plain ones, too"
            );
            PlainFrames::Refuse
        }
        Frames::Require | Frames::Plain => PlainFrames::Refuse,
    }
}

#[derive(Debug)]
struct Logins(WorkerKeys);

impl WorkerLogins for Logins {
    fn worker(&self, user: &str, password: &str) -> Option<String> {
        self.0.broker_user(user, password)
    }

    fn is_valid(&self, user: &str) -> bool {
        user.parse().is_ok_and(|key| self.0.name_of(&key).is_some())
    }
}

impl Drop for Enrolment {
    fn drop(&mut self) {
        self.upkeep.abort();
    }
}

/// Takes in changes, and writes when keys were last heard. Without the records, the keys stay as
/// they were.
async fn keep_up(keys: WorkerKeys) {
    let mut turns = interval(REFRESH);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut maintained = Instant::now();
    let mut is_failing = false;
    loop {
        turns.tick().await;
        let done = if maintained.elapsed() < MAINTAIN {
            keys.refresh().await
        } else {
            maintained = Instant::now();
            keys.maintain().await
        };
        match done {
            Ok(()) => is_failing = false,
            // Once for an outage: the interval is short.
            Err(_) if is_failing => {}
            Err(error) => {
                is_failing = true;
                let why = error_chain(&error);
                tracing::error!("changes of the keys of workers are not seen: {why}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tinpot_access::WorkerKeys;
    use tinpot_core::access::records::Change;
    use tinpot_core::access::{MemoryRecords, Records};
    use tinpot_core::seal::PlainFrames;

    use super::plain_frames;
    use crate::settings::Frames;

    #[tokio::test]
    async fn frames_stay_sealed_after_the_last_temporary_key_has_ended() {
        let records: Arc<dyn Records> = Arc::new(MemoryRecords::new());
        let decided = async |frames| {
            let keys = WorkerKeys::builder(records.clone()).open().await.expect("keys");
            assert!(keys.keys().is_empty());
            plain_frames(frames, &keys)
        };
        assert_eq!(decided(Frames::Auto).await, PlainFrames::Allow);
        assert_eq!(decided(Frames::Require).await, PlainFrames::Refuse);
        // All that is left of a temporary key a day after its worker was heard.
        let names = Change::replace("worker_names", "auto-*", 0, b"null".to_vec());
        records.change(&[names]).await.expect("a change");
        assert_eq!(decided(Frames::Auto).await, PlainFrames::Refuse);
        assert_eq!(decided(Frames::Allow).await, PlainFrames::Allow);
    }
}
