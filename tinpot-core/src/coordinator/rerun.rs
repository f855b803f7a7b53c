//! The same once more.

use super::{Coordinator, ExecutionHandle};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::SubmitOptions;
use crate::model::id::ExecutionId;

impl Coordinator {
    /// Submits what an execution ran once more, as a new execution: the same action with the recorded parameters, secrets included, in its
    /// queue, with its priority, timeout and retries, unless `options` say otherwise. Everything else, delay and idempotency key among it, is as
    /// `options` say. It has no parent, whoever asked for the first.
    ///
    /// # Errors
    /// `NotFound` when the execution is not known (any more), or its action is not; those of [`submit`](Self::submit): the recorded parameters may
    /// not fit what the action has become.
    pub async fn rerun(&self, id: ExecutionId, options: SubmitOptions) -> Result<ExecutionHandle> {
        let Some(recorded) = self.execution(id).await? else {
            return Err(Error::new(ErrorKind::NotFound, format!("execution {id} not found")));
        };
        let given = options.clone();
        let mut merged = options;
        merged.queue.get_or_insert_with(|| recorded.queue.to_string());
        merged.priority.get_or_insert(recorded.priority);
        let retry = recorded.retry;
        merged.retries.get_or_insert(retry.retries);
        merged.backoff.get_or_insert(retry.backoff);
        merged.max_lost_attempts.get_or_insert(retry.max_lost_attempts);
        let mut execution = self.prepare(&recorded.action, recorded.parameters.clone(), merged)?;
        if given.timeout.is_none() {
            // Without one, too, whatever the action says by now.
            execution.timeout = recorded.timeout;
        }
        // What was a secret stays one, whatever the schema says by now.
        for place in &recorded.secrets {
            if !execution.secrets.contains(place) {
                execution.secrets.push(place.clone());
            }
        }
        self.submit_prepared(execution).await
    }
}
