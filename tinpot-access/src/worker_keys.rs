//! [`WorkerKeys`]: the enrolled keys of workers, and the join tokens by which they are enrolled.

pub(crate) mod documents;
mod enroller;
mod state;
mod tokens;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tinpot_core::access::records::Change;
use tinpot_core::access::{AuditEvent, AuditSink, AuditTarget, AuditWho, Records};
use tinpot_core::seal::KeyId;
use tinpot_core::{Error, ErrorKind, Result, Timestamp};

pub use self::documents::{JoinTokenInfo, WorkerKey};
use self::documents::{KEY, KINDS, TOKEN};
use self::state::State;
pub use self::tokens::NewJoinToken;
use crate::clock::{Clock, SystemClock, between};
use crate::last_read::LastRead;
use crate::planned::{Boxed, Plan, TRIES, make};
use crate::ring_suite::RingSuite;
use crate::secret::{Digest, Secret, base62};
use crate::stored::{Stored, write};

/// Documents of one page while they are read.
const PAGE: usize = 1_000;
/// Changes of one write.
const TOGETHER: usize = 100;
/// The interval at which the time of the last frame of a key is written.
const NOTED: Duration = Duration::from_secs(5 * 60);
/// The time for which a temporary key is kept after its last frame.
const TEMPORARY: Duration = Duration::from_secs(24 * 3_600);
/// The time for which a key is valid after another one has replaced it.
/// Longer than a session: a worker that has received nothing learns of the other key with its next one.
const OVERLAP: Duration = Duration::from_secs(48 * 3_600);
/// The time after which a key that has replaced another one may be replaced, unless an operator asks.
const REST: Duration = Duration::from_secs(3_600);
/// The time for which a token, or a key that was replaced, is kept after its end, so that its holder
/// learns that it has ended.
const ENDED: Duration = Duration::from_secs(30 * 86_400);

/// The keys of workers and the join tokens in [`Records`].
///
/// All of it is in memory, too, so that handshakes need no I/O. [`refresh`](Self::refresh) takes in
/// the changes of other processes. Clones share the keys.
///
/// [`NewJoinToken`] has an example.
#[derive(Clone, Debug)]
pub struct WorkerKeys {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    records: Arc<dyn Records>,
    clock: Arc<dyn Clock>,
    audit: Option<Arc<dyn AuditSink>>,
    logins: Option<RingSuite>,
    former: Option<RingSuite>,
    state: RwLock<State>,
    refreshing: tokio::sync::Mutex<()>,
    last_read: LastRead,
}

/// Builds [`WorkerKeys`].
///
/// [`NewJoinToken`] has an example.
#[derive(Debug)]
#[must_use]
pub struct WorkerKeysBuilder {
    records: Arc<dyn Records>,
    clock: Arc<dyn Clock>,
    audit: Option<Arc<dyn AuditSink>>,
    logins: Option<RingSuite>,
    former: Option<RingSuite>,
}

impl WorkerKeysBuilder {
    /// Sets the clock; that of the system by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the sink for changes. A change fails if it cannot be recorded.
    pub fn audit(mut self, audit: Arc<dyn AuditSink>) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Gives each worker that joins a login at the broker. It is derived from the key of this
    /// suite, which must be that of the namespace.
    pub fn broker_logins(mut self, namespace: RingSuite) -> Self {
        self.logins = Some(namespace);
        self
    }

    /// Sets the key that the namespace had before. The logins of workers that joined under it stay
    /// valid at the broker: they give availability, and prove nothing to the coordinator.
    pub fn former_broker_logins(mut self, namespace: RingSuite) -> Self {
        self.former = Some(namespace);
        self
    }

    /// Reads the records.
    ///
    /// # Errors
    /// Those of [`Records::changed`] and [`Records::list`].
    pub async fn open(self) -> Result<WorkerKeys> {
        let Self { records, clock, audit, logins, former } = self;
        let (state, refreshing, last_read) = Default::default();
        let inner = Inner { records, clock, audit, logins, former, state, refreshing, last_read };
        let keys = WorkerKeys { inner: Arc::new(inner) };
        keys.refresh().await?;
        Ok(keys)
    }
}

impl WorkerKeys {
    /// Describes the keys in these records.
    pub fn builder(records: Arc<dyn Records>) -> WorkerKeysBuilder {
        let clock = Arc::new(SystemClock);
        WorkerKeysBuilder { records, clock, audit: None, logins: None, former: None }
    }

    /// Returns all keys, by id.
    pub fn keys(&self) -> Vec<WorkerKey> {
        self.state().keys.values().map(|key| key.stored.value.clone()).collect()
    }

    /// Returns true if a worker has ever joined, also if its key was temporary and is removed, or
    /// cannot be read.
    pub fn has_enrolled(&self) -> bool {
        self.state().has_enrolled
    }

    /// Returns all join tokens, by id.
    pub fn tokens(&self) -> Vec<JoinTokenInfo> {
        self.state().tokens.values().map(|token| token.value.clone()).collect()
    }

    /// Takes in the changes of other processes. Without changes, it costs one look at an index.
    ///
    /// # Errors
    /// Those of [`Records::changed`] and [`Records::list`].
    pub async fn refresh(&self) -> Result<()> {
        self.take_in().await
    }

    fn take_in(&self) -> Boxed<'_, Result<()>> {
        Box::pin(async {
            let _turn = self.inner.refreshing.lock().await;
            let stamp = self.inner.records.stamp();
            loop {
                let from = self.state().records_revision;
                let changed = self.inner.records.changed(from).await?;
                if !changed.is_reset && changed.revision == from {
                    let now = self.now();
                    let mut state =
                        self.inner.state.write().unwrap_or_else(PoisonError::into_inner);
                    state.expire(now);
                    self.inner.last_read.note(stamp);
                    return Ok(());
                }
                let listed = match changed.is_reset {
                    true => Some(self.list().await?),
                    false => None,
                };
                let mut state = self.inner.state.write().unwrap_or_else(PoisonError::into_inner);
                if let Some(listed) = listed {
                    state.replace(listed);
                }
                changed.removed.iter().for_each(|(kind, id)| state.remove(kind, id));
                changed.records.iter().for_each(|record| state.put(record));
                state.records_revision = changed.revision;
            }
        })
    }

    async fn list(&self) -> Result<State> {
        let mut state = State::default();
        for kind in KINDS {
            let mut after = String::new();
            loop {
                let page = self.inner.records.list(kind, &after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after = last.id.to_string();
                page.iter().for_each(|record| state.put(record));
            }
        }
        Ok(state)
    }

    /// Revokes a key, and those that it has replaced and that are still valid. Once this returns,
    /// this process opens no frame of their sessions. A key that has replaced it stays valid: this
    /// returns the last one.
    ///
    /// # Errors
    /// `NotFound`; those of [`Records`] and of the audit.
    pub async fn revoke_key(&self, by: &AuditWho, id: &KeyId) -> Result<Option<KeyId>> {
        let mut is_first = true;
        loop {
            let revoked = self.change(by, "worker.revoke", |state, now| {
                let stored = state.keys.get(id).map(|key| &key.stored);
                let stored = stored.ok_or_else(|| not_found("key of a worker", id))?;
                let mut changes = Vec::new();
                if is_first {
                    let revoked = stored.value.revoked.or(Some(now));
                    let key = WorkerKey { revoked, ..stored.value.clone() };
                    changes.push(write(KEY, &id.to_string(), stored.version, &key)?);
                }
                let former = state.former_keys(&stored.value, now);
                for Stored { value, version } in former.take(TOGETHER - changes.len()) {
                    let former = WorkerKey { revoked: Some(now), ..value.clone() };
                    changes.push(write(KEY, &former.id.to_string(), *version, &former)?);
                }
                let answer = (changes.len() == TOGETHER, state.last_successor(&stored.value, now));
                let target = AuditTarget::new("worker_key", id.to_string());
                Ok(Plan::new(changes, target, answer).detail(stored.value.limits.names.clone()))
            });
            let (is_more, successor) = revoked.await?;
            if !is_more {
                return Ok(successor);
            }
            is_first = false;
        }
    }

    /// Asks the workers with a key to replace it: they do so in their session, and go on meanwhile.
    /// The key is valid for 48 hours more once they have.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if the key is not valid, or was replaced; those of [`Records`] and of the
    /// audit.
    pub async fn ask_to_rotate(&self, by: &AuditWho, id: &KeyId) -> Result<WorkerKey> {
        self.change(by, "worker.ask_to_rotate", |state, now| {
            let stored = state.keys.get(id).map(|key| &key.stored);
            let stored = stored.ok_or_else(|| not_found("key of a worker", id))?;
            let refused = |why: String| Err(Error::new(ErrorKind::Conflict, why));
            if let Some(other) = stored.value.replaced_by {
                return refused(format!("key {id} was replaced by {other} already"));
            }
            if !stored.value.is_valid(now) {
                return refused(format!("key {id} was revoked: its worker has to join again"));
            }
            let key = WorkerKey { rotate: true, ..stored.value.clone() };
            let changes = match stored.value.rotate {
                true => Vec::new(),
                false => vec![write(KEY, &id.to_string(), stored.version, &key)?],
            };
            let target = AuditTarget::new("worker_key", id.to_string());
            let detail = key.limits.names.clone();
            Ok(Plan::new(changes, target, key).detail(detail))
        })
        .await
    }

    /// Returns the password of a worker at the broker. It is derived from the key of the namespace:
    /// it is not stored, and a repeated join gets the same one.
    pub fn broker_password(namespace: &RingSuite, key: &KeyId) -> Secret {
        Self::fixed_password(namespace, &key.to_string())
    }

    /// Returns the password of a user at the broker that is not a worker, such as the coordinator.
    pub fn fixed_password(namespace: &RingSuite, user: &str) -> Secret {
        use tinpot_core::seal::Suite;
        // Ed25519 signatures are deterministic, and without the key they are not known.
        let signature = namespace.sign(&[b"tinpot/1 broker\0", user.as_bytes()].concat());
        let digest = namespace.digest(&signature);
        Secret::new(base62(&digest, 43).to_string())
    }

    /// Returns the name of the worker with this login at the broker: the id of its first key, and its
    /// password. `None` if the login is wrong, or the key that has replaced it last was revoked.
    pub fn broker_user(&self, user: &str, password: &str) -> Option<String> {
        let namespace = self.inner.logins.as_ref()?;
        let key = user.parse().ok()?;
        let name = self.name_of(&key)?;
        let digest = |text: &str| Digest::of(text.as_bytes());
        let is_of = |namespace: &RingSuite| {
            digest(password) == digest(Self::broker_password(namespace, &key).expose())
        };
        let is_right = is_of(namespace) || self.inner.former.as_ref().is_some_and(is_of);
        is_right.then_some(name)
    }

    /// Returns the name of the worker with this user at the broker, unless its key was revoked.
    pub fn name_of(&self, user: &KeyId) -> Option<String> {
        let state = self.state();
        let key = state.key_of_user(user)?;
        key.is_valid(self.now()).then(|| key.limits.names.clone())
    }

    /// Writes when keys were last heard, and removes keys and tokens that have ended. The host
    /// calls it about once a minute.
    ///
    /// # Errors
    /// Those of [`Records`].
    pub async fn maintain(&self) -> Result<()> {
        self.refresh().await?;
        let now = self.now();
        let mut changes = Vec::new();
        {
            let state = self.state();
            for key in state.keys.values() {
                let (stored, last) = (&key.stored, key.last_heard());
                let id = stored.value.id.to_string();
                let heard = last.unwrap_or(stored.value.created);
                let is_over = stored.value.ends.is_some_and(|ends| between(ends, now) >= ENDED);
                if is_over || stored.value.is_temporary && between(heard, now) >= TEMPORARY {
                    changes.push(Change::remove(KEY, id, stored.version));
                } else if let Some(last) = last
                    && stored.value.last_heard.is_none_or(|noted| between(noted, last) >= NOTED)
                {
                    let value = WorkerKey { last_heard: Some(last), ..stored.value.clone() };
                    changes.push(write(KEY, &id, stored.version, &value)?);
                }
            }
            for token in state.tokens.values() {
                if between(token.value.terms.expires, now) >= ENDED {
                    changes.push(Change::remove(TOKEN, token.value.id.to_string(), token.version));
                }
            }
        }
        for together in changes.chunks(TOGETHER) {
            match self.inner.records.change(together).await {
                Ok(_) => {}
                // Another process does the same. What is left is for the next time.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        self.refresh().await
    }

    fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.inner.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change. The plan is made again if another process changes the same documents
    /// meanwhile.
    async fn change<T>(
        &self,
        by: &AuditWho,
        what: &'static str,
        plan: impl Fn(&State, Timestamp) -> Result<Plan<T>>,
    ) -> Result<T> {
        let mut is_recorded = false;
        for _ in 0..TRIES {
            self.refresh().await?;
            let now = self.now();
            let Plan { changes, target, detail, answer, .. } = plan(&self.state(), now)?;
            if changes.is_empty() {
                return Ok(answer);
            }
            let event = AuditEvent::new(now, by.clone(), what).target(target).detail(detail);
            let Inner { records, audit, .. } = &*self.inner;
            let (records, audit) = (&**records, audit.as_deref());
            if make(records, audit, &changes, vec![event], &mut is_recorded).await? {
                self.refresh().await?;
                return Ok(answer);
            }
        }
        let message = "the keys of workers are being changed by others: try again";
        Err(Error::new(ErrorKind::Unavailable, message))
    }
}

fn not_found(what: &str, id: &KeyId) -> Error {
    Error::new(ErrorKind::NotFound, format!("no {what} {id}"))
}
