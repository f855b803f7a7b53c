//! Submitting: a submission is checked against the catalogue and turned into an execution, which
//! is then accepted, or found to have been accepted before.

use std::sync::Arc;
use std::time::Duration;

use super::app_runs::continue_numbers;
use super::command::Command;
use super::core::Accepted;
use super::idempotency::{check_name, forget_secrets, same, with_key};
use super::uploads::check_call;
use super::{Coordinator, ExecutionHandle};
use crate::model::action::{Action, Schema, check_label};
use crate::model::deployed::BundleRef;
use crate::model::digest::Digest;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::{Execution, Owner, SubmitOptions};
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::retry::{DURATION_MAX, RetryPolicy};
use crate::model::time::Timestamp;
use crate::model::trace::check_traceparent;
use crate::model::visible::{DEFAULT_TEAM, action_key};
use crate::protocol::{Catalogue, CatalogueEntry, PendingCall};

impl Coordinator {
    /// Checks a submission against catalogue and bounds, on the caller's own thread.
    pub(super) fn prepare(
        &self,
        catalogue: &Catalogue,
        action: &str,
        parameters: Json,
        options: SubmitOptions,
        owner: Owner,
    ) -> Result<Execution> {
        let most = self.shared.max_parameters_bytes;
        let identity = Identity { id: ExecutionId::generate(), now: Timestamp::now(), owner };
        prepare(catalogue, most, action, parameters, options, identity)
    }

    pub(super) async fn submit_prepared(
        &self,
        mut execution: Execution,
        rerun_of: Option<ExecutionId>,
    ) -> Result<ExecutionHandle> {
        let claim = self.claim_uploads(&execution, rerun_of).await?;
        continue_numbers(&self.shared, &mut execution).await?;
        forget_secrets(&self.shared, &mut execution);
        let execution = Arc::new(execution);
        // Watched from before it is accepted, so that nothing of it is missed.
        let live = self.shared.registry.submitted(execution.id);
        let id = self.accept(execution).await?;
        if id == live.id {
            if let Some(claim) = &claim {
                self.uploads_accepted(claim).await;
            }
            Ok(ExecutionHandle::new(self.clone(), id, live))
        } else {
            self.handle(id).await
        }
    }

    /// Accepts an execution, or finds the one that was accepted before with its idempotency key.
    /// Returns the id of that execution.
    async fn accept(&self, execution: Arc<Execution>) -> Result<ExecutionId> {
        let store = &*self.shared.store;
        let mut removed = None;
        loop {
            let commits = self.shared.commits.count();
            if let Some(key) = &execution.idempotency_key
                && let Some(earlier) = with_key(store, key).await?
            {
                return same(&execution, &earlier);
            }
            let new = execution.clone();
            let answer =
                self.ask(|reply| Command::Submit { execution: new, commits, removed, reply });
            match answer.await?? {
                Accepted::New => {
                    self.shared.app_runs.accepted(&execution);
                    return Ok(execution.id);
                }
                Accepted::Before(id) => match store.execution(id).await? {
                    Some(earlier) => return same(&execution, &earlier),
                    None => removed = Some(id),
                },
                Accepted::LookAgain => {}
            }
        }
    }
}

/// The identity of an execution that is prepared.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) id: ExecutionId,
    /// The time of acceptance.
    pub(crate) now: Timestamp,
    pub(crate) owner: Owner,
}

/// Checks a call against the catalogue, and returns the execution that it asks for.
pub(crate) fn prepare_call(
    catalogue: &Catalogue,
    max_parameters_bytes: usize,
    call: &PendingCall,
    id: ExecutionId,
    now: Timestamp,
) -> Result<Execution> {
    let (parameters, mut options) = (call.parameters.clone(), call.options.clone());
    // The code of an action does not say who it is.
    options.requested_by = None;
    let identity = Identity { id, now, owner: call.owner.clone() };
    let most = max_parameters_bytes;
    let mut execution = prepare(catalogue, most, &call.action, parameters, options, identity)?;
    check_call(&execution)?;
    execution.parent = Some(call.parent);
    execution.on_behalf_of.clone_from(&call.owner.on_behalf_of);
    // However often the call is sent, it has one key, and so it makes one execution.
    execution.idempotency_key.get_or_insert_with(|| call.id.to_string().into());
    Ok(execution)
}

/// Checks a submission against the catalogue, and returns the execution that it asks for.
pub(crate) fn prepare(
    catalogue: &Catalogue,
    max_parameters_bytes: usize,
    action: &str,
    parameters: Json,
    options: SubmitOptions,
    identity: Identity,
) -> Result<Execution> {
    let Identity { id, now, owner } = identity;
    // First of all, so that the answer tells nothing else of an action that there may be.
    let Some((name, entry)) = find_action(catalogue, &owner.team, action) else {
        return Err(unknown_action(action));
    };
    let bytes = parameters.as_str().len();
    if bytes > max_parameters_bytes {
        let message =
            format!("parameters must have at most {max_parameters_bytes} bytes (got {bytes})");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let Version { action, bundle, secrets, uploads } =
        version(entry, options.definition, &parameters)?;
    let mut execution = Execution::new(id, name, parameters);
    (execution.secrets, execution.uploads, execution.bundle) = (secrets, uploads, bundle);
    execution.queue = match options.queue {
        Some(queue) => {
            check_label("queue", &queue)?;
            Arc::from(queue)
        }
        None => Arc::from(action.queue.as_str()),
    };
    execution.priority = options.priority.unwrap_or(action.priority);
    execution.timeout = options.timeout.or(action.timeout);
    check_duration("timeout", execution.timeout)?;
    if execution.timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err(Error::new(ErrorKind::InvalidInput, "timeout must be greater than zero"));
    }
    execution.retry = RetryPolicy {
        retries: options.retries.unwrap_or(action.retry.retries),
        backoff: options.backoff.unwrap_or(action.retry.backoff),
        max_lost_attempts: options.max_lost_attempts.unwrap_or(action.retry.max_lost_attempts),
        on: action.retry.on,
    };
    execution.retry.check()?;
    let delay = match options.not_before {
        Some(_) if options.delay.is_some() => {
            let message = "delay and not_before exclude each other; give one";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Some(_) => None,
        None => options.delay.or(action.delay).filter(|delay| !delay.is_zero()),
    };
    check_duration("delay", delay)?;
    let expires_in = options.expires_in.or(action.expires_in);
    check_duration("expires_in", expires_in)?;
    let after = |wait: Duration| Timestamp(now.0 + wait.as_micros() as u64);
    let latest = after(DURATION_MAX);
    if let Some(at) = options.not_before.filter(|at| *at > latest) {
        let message = format!("not_before must be at most 100 years from now (got {at})");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    execution.not_before = options.not_before.filter(|at| *at > now).or_else(|| delay.map(after));
    execution.expires_at = expires_in.map(after);
    if let Some(key) = options.idempotency_key {
        check_name("idempotency_key", &key)?;
        execution.idempotency_key = Some(owner.idempotency_key(&key));
    }
    if let Some(who) = &options.requested_by {
        check_name("requested_by", who)?;
    }
    if let Some(trace) = &options.traceparent {
        check_traceparent(trace)?;
    }
    execution.traceparent = options.traceparent.map(Arc::from);
    let given = options.requested_by.map(Arc::from);
    match owner.name {
        Some(name) => (execution.requested_by, execution.on_behalf_of) = (Some(name), given),
        None => execution.requested_by = given,
    }
    (execution.team, execution.caller) = (owner.team, owner.caller);
    execution.accepted_at = now;
    Ok(execution)
}

/// The definition that a submission runs.
struct Version {
    action: Arc<Action>,
    bundle: Option<Arc<BundleRef>>,
    /// JSON pointers to the secrets among the parameters.
    secrets: Vec<String>,
    /// The uploads to which the parameters refer.
    uploads: Vec<Digest>,
}

/// Checks the parameters, and returns the version of an action that a submission runs: the active
/// one, unless it names another.
fn version(
    entry: &CatalogueEntry,
    definition: Option<Arc<Action>>,
    parameters: &Json,
) -> Result<Version> {
    let name = &entry.action.name;
    if entry.action.deployed.as_ref().is_some_and(|deployed| !deployed.enabled) {
        let message = format!("action {name:?} is disabled: enable it to run it");
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    let Some(action) = definition else {
        let (action, bundle) = (entry.action.clone(), entry.bundle().cloned());
        let (secrets, uploads) = (entry.check(parameters)?, entry.uploads(parameters));
        return Ok(Version { action, bundle, secrets, uploads });
    };
    let is_version = entry.bundle().is_some() && action.key() == entry.action.key();
    let Some(bundle) = action.bundle_ref().filter(|_| is_version) else {
        let message = format!("definition: it must be a version of the deployed action {name:?}");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    };
    let bundle = Some(Arc::new(bundle));
    let schema = Schema::compile(&action.schema)?;
    let (secrets, uploads) = (schema.check(parameters)?, schema.uploads(parameters));
    Ok(Version { action, bundle, secrets, uploads })
}

/// Returns an action of a team, and its name.
pub(super) fn find_action<'a>(
    catalogue: &'a Catalogue,
    team: &str,
    action: &str,
) -> Option<(Arc<str>, &'a CatalogueEntry)> {
    // A key is not a name: what follows its slash belongs to another team.
    if action.contains('/') {
        return None;
    }
    let (name, entry) = match team.is_empty() || *team == *DEFAULT_TEAM {
        true => catalogue.get_key_value(action).map(|(name, entry)| (name.clone(), entry))?,
        false => (action.into(), catalogue.get(&action_key(team, action))?),
    };
    (!entry.is_removed()).then_some((name, entry))
}

/// Returns the error for an action that is not in the catalogue, or that is hidden from the caller.
pub(super) fn unknown_action(action: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("action {action:?} not found"))
}

/// Checks that a clock can count a duration.
fn check_duration(name: &str, duration: Option<Duration>) -> Result<()> {
    match duration {
        Some(duration) if duration > DURATION_MAX => {
            let message =
                format!("{name} must be at most 100 years (got {} s)", duration.as_secs());
            Err(Error::new(ErrorKind::InvalidInput, message))
        }
        _ => Ok(()),
    }
}
