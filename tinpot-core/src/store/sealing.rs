//! [`SealingStore`]: a store in which the secrets among parameters are sealed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    ListOptions, LogBatch, LogChunk, Opened, QueuePage, Session, Store, StoreProblem, Transition,
};
use crate::access::{SealedPlace, SecretSealer};
use crate::model::error::Result;
use crate::model::execution::Execution;
use crate::model::fence::Epoch;
use crate::model::id::ExecutionId;
use crate::model::json::{Json, mask};
use crate::model::time::Timestamp;

/// A sealed value: it stands where the value stood.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedValue {
    #[serde(rename = "$sealed")]
    text: String,
}

impl SealedValue {
    fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

/// The kind of [`SealedPlace`]s of secrets among parameters.
const EXECUTION: &str = "execution";

/// A store that keeps the secrets among the parameters of executions sealed in another store.
///
/// The places of the secrets are those that [`Execution::secrets`] names. Each is replaced by
/// `{"$sealed": …}` before it reaches the store, and opened again when the store is read. A secret
/// whose key is lost stays as it is: [`Execution::has_lost_secrets`] tells.
///
/// Only parameters are sealed: results, logs and artifacts are not.
#[derive(Debug)]
pub struct SealingStore<S> {
    store: S,
    seals: Arc<Seals>,
}

impl<S: Store> SealingStore<S> {
    /// Wraps a store.
    pub fn new(store: S, sealer: impl SecretSealer) -> Self {
        let seals = Seals { sealer: Arc::new(sealer), is_lost: AtomicBool::new(false) };
        Self { store, seals: Arc::new(seals) }
    }
}

/// Seals and opens the secrets of executions.
#[derive(Debug)]
struct Seals {
    sealer: Arc<dyn SecretSealer>,
    /// If true, a secret could not be opened.
    is_lost: AtomicBool,
}

/// Returns the execution with its secrets sealed; `None` if it has none to seal.
///
/// # Errors
/// Those of the sealer.
pub fn seal_secrets(sealer: &dyn SecretSealer, execution: &Execution) -> Result<Option<Json>> {
    if execution.has_forgotten_secrets() {
        return Ok(None);
    }
    let id = execution.id.to_string();
    let mut failed = None;
    let sealed = replace(execution, |path, value| {
        let place = SealedPlace::new(EXECUTION, execution.team_name(), &id, path);
        match sealer.seal(&place, value.as_bytes()) {
            Ok(text) => serde_json::to_string(&SealedValue { text }).ok(),
            Err(error) => {
                failed = Some(error);
                None
            }
        }
    });
    failed.map_or(Ok(sealed), Err)
}

/// Returns the parameters with the secrets opened and sealed under the present key; `None` if they
/// are already, or cannot be opened.
///
/// # Errors
/// Those of the sealer.
pub fn reseal_secrets(sealer: &dyn SecretSealer, execution: &Execution) -> Result<Option<Json>> {
    let mut is_current = true;
    mask::each_place(&execution.parameters, &execution.secrets, |_, value| {
        let sealed = SealedValue::parse(value);
        is_current &= sealed.is_some_and(|sealed| sealer.is_current(&sealed.text));
        None
    });
    if is_current || execution.has_forgotten_secrets() {
        return Ok(None);
    }
    let (parameters, is_lost) = open_secrets(sealer, execution);
    if is_lost {
        return Ok(None);
    }
    let mut opened = execution.clone();
    opened.parameters = parameters.unwrap_or(opened.parameters);
    seal_secrets(sealer, &opened)
}

/// Returns the parameters with the sealed secrets opened, `None` if none is sealed; and true if one
/// of them cannot be opened.
fn open_secrets(sealer: &dyn SecretSealer, execution: &Execution) -> (Option<Json>, bool) {
    if !execution.parameters.as_str().contains("\"$sealed\"") {
        return (None, false);
    }
    let id = execution.id.to_string();
    let mut is_lost = false;
    let opened = replace(execution, |path, value| {
        let sealed = SealedValue::parse(value)?;
        let place = SealedPlace::new(EXECUTION, execution.team_name(), &id, path);
        let opened = sealer.open(&place, &sealed.text).ok();
        let opened = opened.and_then(|value| String::from_utf8(value).ok());
        is_lost |= opened.is_none();
        opened
    });
    (opened, is_lost)
}

/// Returns the parameters with other values at the places of secrets; `None` if no value was
/// replaced.
fn replace(
    execution: &Execution,
    mut with: impl FnMut(&str, &str) -> Option<String>,
) -> Option<Json> {
    if execution.secrets.is_empty() {
        return None;
    }
    let mut is_changed = false;
    let text = mask::each_place(&execution.parameters, &execution.secrets, |path, value| {
        let other = with(path, value);
        is_changed |= other.is_some();
        other
    });
    is_changed.then(|| Json::parse(text).unwrap_or_else(|_| Json::null()))
}

impl Seals {
    fn open(&self, execution: Arc<Execution>) -> Arc<Execution> {
        if execution.secrets.is_empty() {
            return execution;
        }
        let (opened, is_lost) = open_secrets(&*self.sealer, &execution);
        if is_lost && !self.is_lost.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "secrets in the store cannot be opened: its key is lost, or was replaced"
            );
        }
        if opened.is_none() && !is_lost {
            return execution;
        }
        let mut execution = Arc::unwrap_or_clone(execution);
        execution.has_lost_secrets = is_lost;
        execution.parameters = opened.unwrap_or(execution.parameters);
        Arc::new(execution)
    }

    fn open_all(&self, executions: Vec<Arc<Execution>>) -> Vec<Arc<Execution>> {
        executions.into_iter().map(|execution| self.open(execution)).collect()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Store> Store for SealingStore<S> {
    async fn open(&self) -> Result<(Opened, Arc<dyn Session>)> {
        let (mut opened, session) = self.store.open().await?;
        opened.granted = self.seals.open_all(opened.granted);
        opened.open_logs = self.seals.open_all(opened.open_logs);
        Ok((opened, Arc::new(SealingSession { session, seals: self.seals.clone() })))
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>> {
        Ok(self.store.execution(id).await?.map(|execution| self.seals.open(execution)))
    }

    async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
        Ok(self.seals.open_all(self.store.executions(options).await?))
    }

    async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>> {
        self.store.logs(id, after, max_bytes).await
    }

    fn problems(&self) -> Vec<StoreProblem> {
        let mut problems = self.store.problems();
        if self.seals.is_lost.load(Ordering::Relaxed) {
            let message = "secrets of executions cannot be opened: the key of the store is lost";
            problems.push(StoreProblem::new(message));
        }
        problems
    }
}

#[derive(Debug)]
struct SealingSession {
    session: Arc<dyn Session>,
    seals: Arc<Seals>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Session for SealingSession {
    async fn commit(&self, batch: &[Transition], at: Timestamp) -> Result<()> {
        let has_secrets = |transition: &Transition| match transition {
            Transition::Accept(execution) => !execution.secrets.is_empty(),
            _ => false,
        };
        if !batch.iter().any(has_secrets) {
            return self.session.commit(batch, at).await;
        }
        let mut sealed = batch.to_vec();
        for transition in &mut sealed {
            if let Transition::Accept(execution) = transition
                && let Some(parameters) = seal_secrets(&*self.seals.sealer, execution)?
            {
                Arc::make_mut(execution).parameters = parameters;
            }
        }
        self.session.commit(&sealed, at).await
    }

    async fn append_logs(&self, batches: &[LogBatch]) -> Result<()> {
        self.session.append_logs(batches).await
    }

    async fn queued(&self, page: &QueuePage) -> Result<Vec<Arc<Execution>>> {
        Ok(self.seals.open_all(self.session.queued(page).await?))
    }

    async fn current(&self) -> Result<Epoch> {
        self.session.current().await
    }

    async fn close(&self) -> Result<()> {
        self.session.close().await
    }
}
