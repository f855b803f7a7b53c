//! The reads that the machine asks for, done concurrently with the control loop.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Shared;
use super::app_runs::continue_numbers;
use super::core::{Answer, CallAnswer, CallFound};
use super::idempotency::{forget_secrets, with_key};
use super::scoped::may_call;
use super::submit::prepare_call;
use crate::access::SecretRequest;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::ExecutionId;
use crate::model::time::Timestamp;
use crate::protocol::{PendingCall, PendingSecret, Read, SECRET_BYTES, SecretState};

/// The most reads at once. The others wait; there are as many as attempts have open calls.
const CONCURRENT: usize = 64;
/// The time before a failed read is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The reads under way. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Reads {
    shared: Arc<Shared>,
    tasks: JoinSet<Answer>,
    waiting: VecDeque<Read>,
}

impl Reads {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, tasks: JoinSet::new(), waiting: VecDeque::new() }
    }

    /// Starts a read. Everything that the machine decided before it is committed.
    pub(super) fn start(&mut self, read: Read) {
        if self.tasks.len() >= CONCURRENT {
            return self.waiting.push_back(read);
        }
        let shared = self.shared.clone();
        // Counted before the read begins: what is committed later may be missed by it.
        let commits = shared.commits.count();
        self.tasks.spawn(async move { answer(&shared, read, commits).await });
    }

    /// Returns the next answer. Cancel safe.
    pub(super) async fn next(&mut self) -> Answer {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(answer)) => return self.answered(answer),
                Some(Err(error)) => tracing::error!(%error, "a read of the coordinator failed"),
                None => std::future::pending().await,
            }
        }
    }

    /// Returns an answer that is there already.
    pub(super) fn try_next(&mut self) -> Option<Answer> {
        let answer = self.tasks.try_join_next()?.ok()?;
        Some(self.answered(answer))
    }

    fn answered(&mut self, answer: Answer) -> Answer {
        if let Some(read) = self.waiting.pop_front() {
            self.start(read);
        }
        answer
    }
}

async fn answer(shared: &Shared, read: Read, commits: u64) -> Answer {
    let store = &*shared.store;
    match read {
        Read::Call(call) => {
            let found = find(shared, &call).await;
            Answer::Call(Box::new(CallAnswer { call: *call, commits, found }))
        }
        Read::Secret(pending) => {
            let state = secret(shared, &pending).await;
            Answer::Secret(pending, state)
        }
        // If it cannot be read, the next claim asks again.
        Read::Epoch => Answer::Epoch(shared.session.current().await.ok()),
        Read::Outcome(id) => loop {
            match store.execution(id).await {
                Ok(execution) => return Answer::Outcome(id, execution),
                Err(error) => again(&error).await,
            }
        },
        Read::Children(cascade) => {
            let options = cascade.options();
            loop {
                match store.executions(&options).await {
                    Ok(children) => return Answer::Children(cascade, children),
                    Err(error) => again(&error).await,
                }
            }
        }
    }
}

async fn secret(shared: &Shared, pending: &PendingSecret) -> SecretState {
    let PendingSecret { worker, name, execution, .. } = pending;
    let Some(source) = &shared.secrets else {
        let message = "this coordinator has no secrets: set them in the file of its store";
        return SecretState::refused(&Error::new(ErrorKind::NotFound, message));
    };
    let catalogue = shared.catalogue.borrow().clone();
    let mut request = SecretRequest::new(name.clone(), execution.clone(), worker.clone());
    let entry = catalogue.get(&execution.action_key());
    request.group = entry.map(|entry| entry.action.group.as_str().into());
    match source.secret(&request).await {
        Ok(given) if given.value.len() > SECRET_BYTES => {
            let message = format!(
                "a secret must have at most {SECRET_BYTES} bytes ({name:?} has {})",
                given.value.len()
            );
            SecretState::refused(&Error::new(ErrorKind::InvalidInput, message))
        }
        Ok(given) => SecretState::Given(given),
        Err(error) => SecretState::refused(&error),
    }
}

async fn find(shared: &Shared, call: &PendingCall) -> Result<CallFound> {
    let catalogue = shared.catalogue.borrow().clone();
    let (most, id, now) = (shared.max_parameters_bytes, ExecutionId::generate(), Timestamp::now());
    may_call(shared, &catalogue, call)?;
    if let Some(audit) = &shared.audit {
        audit.room().await?;
    }
    let mut execution = prepare_call(&catalogue, most, call, id, now)?;
    continue_numbers(shared, &mut execution).await?;
    forget_secrets(shared, &mut execution);
    let earlier = match (call.known, &execution.idempotency_key) {
        (Some(known), _) => shared.store.execution(known).await?,
        (None, Some(key)) => with_key(&*shared.store, key).await?,
        (None, None) => None,
    };
    Ok(CallFound { execution, earlier })
}

/// Waits until a read that failed is tried again.
async fn again(error: &Error) {
    tracing::warn!(%error, "the store cannot be read: trying again");
    tokio::time::sleep(RETRY).await;
}
