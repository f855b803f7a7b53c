//! Re-running a recorded execution.

use super::{Coordinator, ExecutionHandle, unknown_execution};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::{Execution, Owner, SubmitOptions};
use crate::model::id::ExecutionId;
use crate::protocol::Catalogue;

impl Coordinator {
    /// Submits a recorded execution again, as a new execution without a parent.
    ///
    /// Action and parameters, secrets included, are the recorded ones; so are queue, priority,
    /// timeout and retries, unless `options` set them. Everything else, such as delay and
    /// idempotency key, is taken from `options`.
    ///
    /// # Errors
    /// `NotFound` if the execution or its action is unknown, and the errors of
    /// [`submit`](Self::submit): the action's schema may have changed.
    pub async fn rerun(&self, id: ExecutionId, options: SubmitOptions) -> Result<ExecutionHandle> {
        let Some(recorded) = self.execution(id).await? else { return Err(unknown_execution(id)) };
        let catalogue = self.catalogue();
        let execution = self.prepare_rerun(&catalogue, &recorded, options, Owner::unknown())?;
        self.submit_prepared(execution, Some(id)).await
    }

    /// Checks the submission of a recorded execution again, as one of this owner.
    pub(super) fn prepare_rerun(
        &self,
        catalogue: &Catalogue,
        recorded: &Execution,
        options: SubmitOptions,
        owner: Owner,
    ) -> Result<Execution> {
        if recorded.has_lost_secrets {
            let message = format!(
                "the secrets of execution {} cannot be read, since the key of the store is lost or \
                 was replaced: submit it again with the secrets",
                recorded.id
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        if recorded.has_forgotten_secrets() {
            let message = format!(
                "the secrets of execution {} were erased when it ended: submit it again with the \
                 secrets",
                recorded.id
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let given = options.clone();
        let mut merged = options;
        merged.queue.get_or_insert_with(|| recorded.queue.to_string());
        merged.priority.get_or_insert(recorded.priority);
        let retry = recorded.retry;
        merged.retries.get_or_insert(retry.retries);
        merged.backoff.get_or_insert(retry.backoff);
        merged.max_lost_attempts.get_or_insert(retry.max_lost_attempts);
        let parameters = recorded.parameters.clone();
        let mut execution = self.prepare(catalogue, &recorded.action, parameters, merged, owner)?;
        if given.timeout.is_none() {
            // Even if it is none: the action's default may have changed since.
            execution.timeout = recorded.timeout;
        }
        if given.retries.is_none() {
            execution.retry.on = retry.on;
        }
        // A secret stays a secret, even if the schema has changed since.
        for place in &recorded.secrets {
            if !execution.secrets.contains(place) {
                execution.secrets.push(place.clone());
            }
        }
        Ok(execution)
    }
}
