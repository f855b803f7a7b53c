//! [`SecretStore`]: named secrets of teams, which attempts get while they run.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tinpot_core::access::records::{Change, Record, Records};
use tinpot_core::access::{
    AuditDecision, AuditEvent, AuditSink, AuditTarget, AuditWho, GivenSecret, SealedPlace,
    SecretRequest, SecretSealer, SecretSource,
};
use tinpot_core::{Error, ErrorKind, Execution, ExecutionId, Names, Result, Timestamp};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The kind of the documents.
const KIND: &str = "secret";
/// The kind of their [`SealedPlace`]s.
const PLACE: &str = "secret";
/// The largest value, in bytes: sealed, it fits into a document.
const VALUE_BYTES: usize = 40 * 1024;
/// The longest name.
const NAME_BYTES: usize = 64;
/// Documents of one page.
const PAGE: usize = 1_000;
/// Tries of one change while others change the same secret.
const TRIES: usize = 16;
/// The uses that are remembered, so that an attempt that asks again makes no second entry in the
/// audit: 64 KiB.
const USES: usize = 4_096;

/// The actions that may have a secret, by names or by patterns with `*`. All three lists must
/// match, and a list that is `None` matches everything.
///
/// [`SecretStore`] has an example.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SecretAllow {
    /// The names of actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actions: Option<Vec<String>>,
    /// The groups of actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// The queues in which they run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queues: Option<Vec<String>>,
}

impl SecretAllow {
    /// Allows all actions of the team.
    pub fn all() -> Self {
        Self::default()
    }

    /// Limits it to these actions.
    #[must_use]
    pub fn actions<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.actions = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Limits it to the actions in these groups.
    #[must_use]
    pub fn groups<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.groups = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Limits it to executions in these queues.
    #[must_use]
    pub fn queues<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.queues = Some(names.into_iter().map(Into::into).collect());
        self
    }

    fn allows(&self, execution: &Execution, group: Option<&str>) -> bool {
        let has = |names: &Option<Vec<String>>, name: Option<&str>| match (names, name) {
            (None, _) => true,
            (Some(names), Some(name)) => Names::of(names).has(name),
            (Some(_), None) => false,
        };
        has(&self.actions, Some(&execution.action))
            && has(&self.groups, group)
            && has(&self.queues, Some(&execution.queue))
    }
}

/// A secret as it is stored, without its value.
///
/// [`SecretStore`] has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredSecret {
    /// The team whose actions may have it.
    pub team: Arc<str>,
    /// The name.
    pub name: Arc<str>,
    /// The version: the number of times that it was set.
    pub version: u64,
    /// The actions that may have it.
    pub allow: SecretAllow,
    /// The time at which it was set last.
    pub set_at: Timestamp,
    /// The name of the principal who set it last.
    pub set_by: Arc<str>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Document {
    team: Arc<str>,
    name: Arc<str>,
    version: u64,
    allow: SecretAllow,
    set_at: Timestamp,
    set_by: Arc<str>,
    sealed: String,
}

impl Document {
    fn read(record: &Record) -> Result<Self> {
        serde_json::from_slice(&record.document).map_err(|error| {
            let message = format!("the secret {:?} cannot be read: {error}", record.id);
            Error::new(ErrorKind::Malformed, message)
        })
    }

    fn write(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
    }

    fn shown(self) -> StoredSecret {
        let Self { team, name, version, allow, set_at, set_by, .. } = self;
        StoredSecret { team, name, version, allow, set_at, set_by }
    }

    fn open(&self, sealer: &dyn SecretSealer) -> Result<Zeroizing<Vec<u8>>> {
        let version = self.version.to_string();
        sealer.open(&place(&self.team, &self.name, &version), &self.sealed).map(Zeroizing::new)
    }
}

/// The execution, the name of the secret, and its version.
type Use = (ExecutionId, Arc<str>, u64);

fn place<'a>(team: &'a str, name: &'a str, version: &'a str) -> SealedPlace<'a> {
    SealedPlace::new(PLACE, team, name, version)
}

fn id_of(team: &str, name: &str) -> String {
    format!("{team}/{name}")
}

/// Named secrets of teams, sealed in [`Records`]. Values are set by operators and given to
/// attempts; nothing else reads them.
///
/// ```
/// # use std::sync::Arc;
/// # use tinpot_core::access::{AuditWho, MemoryRecords};
/// use tinpot_access::{Secret, SecretAllow, SecretStore, StoreKeys};
/// use tinpot_core::access::{SecretRequest, SecretSource};
/// use tinpot_core::{Execution, ExecutionId, Json, WorkerId};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let by = AuditWho::new("operator", "", "root");
/// let store = SecretStore::new(Arc::new(MemoryRecords::new()), StoreKeys::generate()?.sealer());
/// let (value, allow) = (Secret::new("hunter2"), SecretAllow::all().actions(["deploy-*"]));
/// store.set(&by, "default", "deploy-key", &value, allow).await?;
///
/// // A coordinator asks it when an attempt calls `Context::secret`.
/// # let request = |action: &str| {
/// #     let execution = Execution::new(ExecutionId::generate(), action, Json::empty_object());
/// #     SecretRequest::new("deploy-key", Arc::new(execution), WorkerId::generate("web"))
/// # };
/// assert_eq!(&*store.secret(&request("deploy-web")).await?.value, "hunter2");
/// assert!(store.secret(&request("backup")).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SecretStore {
    records: Arc<dyn Records>,
    sealer: Arc<dyn SecretSealer>,
    audit: Option<Arc<dyn AuditSink>>,
    /// The executions that have used a secret, which the audit knows.
    uses: Arc<Mutex<HashSet<Use>>>,
}

impl fmt::Debug for SecretStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretStore").field("sealer", &self.sealer).finish_non_exhaustive()
    }
}

impl SecretStore {
    /// Creates a store in these records.
    pub fn new(records: Arc<dyn Records>, sealer: impl SecretSealer) -> Self {
        Self { records, sealer: Arc::new(sealer), audit: None, uses: Arc::default() }
    }

    /// Returns the ids of the keys under which secrets in these records are sealed.
    ///
    /// # Errors
    /// Those of the records.
    pub async fn keys_in(records: &dyn Records) -> Result<BTreeSet<String>> {
        let (mut keys, mut after) = (BTreeSet::new(), String::new());
        loop {
            let page = records.list(KIND, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(keys) };
            after = last.id.to_string();
            let documents = page.iter().filter_map(|record| Document::read(record).ok());
            keys.extend(documents.filter_map(|document| {
                document.sealed.split_once('.').map(|(id, _)| id.to_owned())
            }));
        }
    }

    /// Sets the sink for changes and uses. Both fail if they cannot be recorded.
    #[must_use]
    pub fn audit(mut self, audit: Arc<dyn AuditSink>) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Sets the value of a secret, and the actions that may have it.
    ///
    /// # Errors
    /// `InvalidInput` for the name or the size of the value; those of the records and the audit.
    pub async fn set(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        value: &Secret,
        allow: SecretAllow,
    ) -> Result<StoredSecret> {
        check_name(name)?;
        let bytes = value.expose().len();
        if bytes == 0 || bytes > VALUE_BYTES {
            let message = format!("a secret must have 1 to {VALUE_BYTES} bytes (got {bytes})");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let id = id_of(team, name);
        let mut is_recorded = false;
        for _ in 0..TRIES {
            let found = self.records.get(KIND, &id).await?;
            let former = found.as_ref().and_then(|record| Document::read(record).ok());
            let version = former.map_or(0, |former| former.version) + 1;
            let text = version.to_string();
            let sealed = self.sealer.seal(&place(team, name, &text), value.expose().as_bytes())?;
            let document = Document {
                team: team.into(),
                name: name.into(),
                version,
                allow: allow.clone(),
                set_at: Timestamp::now(),
                set_by: by.name.clone(),
                sealed,
            };
            if !is_recorded {
                self.record(by, "secret.set", team, name, format!("version {version}")).await?;
                is_recorded = true;
            }
            let replaced = found.map_or(0, |record| record.version);
            let change = Change::replace(KIND, &*id, replaced, document.write()?);
            match self.records.change(&[change]).await {
                Ok(_) => return Ok(document.shown()),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        let message = format!("the secret {name:?} is being changed by others: try again");
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// `NotFound` if it does not exist; those of the records and the audit.
    pub async fn remove(&self, by: &AuditWho, team: &str, name: &str) -> Result<()> {
        let id = id_of(team, name);
        let Some(found) = self.records.get(KIND, &id).await? else {
            return Err(Error::new(ErrorKind::NotFound, format!("no secret {name:?}")));
        };
        self.record(by, "secret.remove", team, name, String::new()).await?;
        self.records.change(&[Change::remove(KIND, &*id, found.version)]).await.map(drop)
    }

    /// Returns the secrets of a team by name, without their values.
    ///
    /// # Errors
    /// `Malformed` if one cannot be read; those of the records.
    pub async fn list(&self, team: &str) -> Result<Vec<StoredSecret>> {
        let mut all = self.documents().await?;
        all.retain(|(_, document)| *document.team == *team);
        Ok(all.into_iter().map(|(_, document)| document.shown()).collect())
    }

    async fn documents(&self) -> Result<Vec<(Record, Document)>> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.records.list(KIND, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(all) };
            after = last.id.to_string();
            for record in page {
                let document = Document::read(&record)?;
                all.push((record, document));
            }
        }
    }

    /// Seals under the present key all secrets that are sealed under the former one. Returns the
    /// number of secrets that cannot be opened.
    ///
    /// # Errors
    /// `Malformed` if one cannot be read; those of the records.
    pub async fn reseal(&self) -> Result<usize> {
        let mut lost = 0;
        for (record, mut document) in self.documents().await? {
            if self.sealer.is_current(&document.sealed) {
                continue;
            }
            let Ok(value) = document.open(&*self.sealer) else {
                lost += 1;
                continue;
            };
            let version = document.version.to_string();
            let place = place(&document.team, &document.name, &version);
            document.sealed = self.sealer.seal(&place, &value)?;
            let change = Change::replace(KIND, record.id, record.version, document.write()?);
            match self.records.change(&[change]).await {
                // Set again meanwhile, under the present key.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                changed => drop(changed?),
            }
        }
        Ok(lost)
    }

    /// Records in the audit that the key of the store was replaced.
    ///
    /// # Errors
    /// Those of the audit.
    pub async fn record_rotation(&self, by: &AuditWho) -> Result<()> {
        self.record(by, "store.rotate_key", "", "", String::new()).await
    }

    async fn record(
        &self,
        by: &AuditWho,
        what: &'static str,
        team: &str,
        name: &str,
        detail: String,
    ) -> Result<()> {
        let Some(audit) = &self.audit else { return Ok(()) };
        let event = AuditEvent::new(Timestamp::now(), by.clone(), what)
            .target(AuditTarget::new(KIND, name).team(team))
            .detail(detail);
        let recorded = audit.record(&[event]).await;
        recorded.map_err(|error| error.with_context("nothing was changed, since the audit failed"))
    }

    /// Records the first use of a secret by an execution.
    async fn record_use(&self, request: &SecretRequest, found: Option<&Document>) -> Result<()> {
        let Some(audit) = &self.audit else { return Ok(()) };
        let SecretRequest { name, execution, worker, .. } = request;
        let version = found.map_or(0, |document| document.version);
        let used = (execution.id, name.clone(), version);
        if self.uses.lock().unwrap_or_else(PoisonError::into_inner).contains(&used) {
            return Ok(());
        }
        let kind = execution.caller.split_once(':').map_or("", |(kind, _)| kind);
        let caller = execution.requested_by.clone().unwrap_or_else(|| "".into());
        let who = AuditWho::new(kind, execution.caller.clone(), caller);
        let Execution { id, action, .. } = &**execution;
        let mut event =
            AuditEvent::new(Timestamp::now(), who.team(execution.team_name()), "secret.use")
                .target(AuditTarget::new(KIND, name.clone()).team(execution.team_name()));
        event = match found {
            Some(_) => event
                .detail(format!("version {version}, action {action:?}, execution {id}, {worker}")),
            None => event
                .detail(format!("action {action:?}, execution {id}, {worker}"))
                .decided(AuditDecision::Refused, "the action may not have it"),
        };
        audit.record(&[event]).await?;
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if uses.len() >= USES {
            uses.clear();
        }
        uses.insert(used);
        Ok(())
    }
}

#[async_trait]
impl SecretSource for SecretStore {
    async fn secret(&self, request: &SecretRequest) -> Result<GivenSecret> {
        let SecretRequest { name, execution, group, .. } = request;
        // The same words for one that there is not: an action must not find out which there are.
        let unknown = || {
            let message = format!(
                "no secret {name:?} (or action {:?} may not have it): set it with \"tinpot secrets \
                 set {name}\"",
                execution.action
            );
            Error::new(ErrorKind::NotFound, message)
        };
        let found = self.records.get(KIND, &id_of(execution.team_name(), name)).await?;
        let Some(found) = found else { return Err(unknown()) };
        let document = Document::read(&found)?;
        if !document.allow.allows(execution, group.as_deref()) {
            self.record_use(request, None).await?;
            return Err(unknown());
        }
        let value = document.open(&*self.sealer)?;
        let value = std::str::from_utf8(&value).map_err(|_| {
            Error::new(ErrorKind::Malformed, format!("the secret {name:?} is not text"))
        })?;
        self.record_use(request, Some(&document)).await?;
        Ok(GivenSecret::new(document.version, value))
    }
}

fn check_name(name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > NAME_BYTES || !name.chars().all(is_plain) {
        let message = format!(
            "the name of a secret must have 1 to {NAME_BYTES} letters, digits, \"_\", \"-\" and \
             \".\" (got {name:?})"
        );
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(())
}
