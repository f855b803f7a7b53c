//! A submission that is being put together: action, parameters and options.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;

use super::{Coordinator, ExecutionHandle};
use crate::model::action::Action;
use crate::model::error::Result;
use crate::model::execution::{Owner, SubmitOptions};
use crate::model::json::Json;
use crate::model::retry::Backoff;
use crate::model::time::Timestamp;

/// A submission that [`Coordinator::submit`] prepares. Await it to submit the execution.
///
/// Every option of [`SubmitOptions`] has a setter here. An option that is not set is that of the
/// action.
///
/// ```
/// # use std::time::Duration;
/// # use tinpot_core::{Failure, FunctionExecutor, local};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// # let tinpot = local(executor).await?;
/// let execution = tinpot.submit("tick", ()).priority(5).timeout(Duration::from_secs(60)).await?;
/// assert_eq!(execution.result::<String>().await?, "tock");
/// # tinpot.shutdown(Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a submission does nothing until it is awaited"]
pub struct Submission<'a> {
    coordinator: &'a Coordinator,
    action: &'a str,
    parameters: Result<Json>,
    options: SubmitOptions,
}

/// Defines setters that pass their argument on to the options.
macro_rules! option_setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {
        $(
            $(#[$doc])*
            pub fn $name(mut self, $name: $type) -> Self {
                self.options = self.options.$name($name);
                self
            }
        )*
    };
}

impl<'a> Submission<'a> {
    pub(super) fn new(
        coordinator: &'a Coordinator,
        action: &'a str,
        parameters: impl Serialize,
    ) -> Self {
        let parameters = parameters_of(parameters);
        Self { coordinator, action, parameters, options: SubmitOptions::new() }
    }

    /// Replaces all options.
    pub fn options(mut self, options: SubmitOptions) -> Self {
        self.options = options;
        self
    }

    option_setters! {
        /// Sets the idempotency key: submitting again with the same key, action and parameters
        /// returns the same execution.
        idempotency_key: impl Into<String>;
        /// Sets the priority. Within a queue, higher runs first.
        priority: i32;
        /// Sets the time for which the execution waits at least.
        delay: Duration;
        /// Sets the earliest time at which the execution may start.
        not_before: Timestamp;
        /// Sets the time after which the execution fails if it is still queued.
        expires_in: Duration;
        /// Limits the duration of an attempt.
        timeout: Duration;
        /// Sets the number of retries after an attempt that failed, timed out or was lost.
        retries: u32;
        /// Sets the wait before a retry.
        backoff: Backoff;
        /// Sets the number of lost attempts after which the execution fails as poisoned.
        max_lost_attempts: u32;
        /// Sets the queue, in place of the action's.
        queue: impl Into<String>;
        /// Sets the name of the requester, for people.
        requested_by: impl Into<String>;
        /// Sets the trace context of the submitter, in the form of the header `traceparent`.
        traceparent: impl Into<String>;
        /// Sets the version of a deployed action to run, in place of the active one.
        definition: impl Into<Arc<Action>>;
    }
}

impl<'a> IntoFuture for Submission<'a> {
    type Output = Result<ExecutionHandle>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Submission { coordinator, action, parameters, options } = self;
        async move {
            let execution = coordinator.prepare(
                &coordinator.catalogue(),
                action,
                parameters?,
                options,
                Owner::unknown(),
            )?;
            coordinator.submit_prepared(execution, None).await
        }
        .boxed()
    }
}

/// Serialises parameters. `()` stands for no parameters.
pub(super) fn parameters_of<T: Serialize>(parameters: T) -> Result<Json> {
    let parameters = Json::serialize(&parameters)?;
    // A type without content is `()` or a unit struct. Any other `null` is a value, and refused.
    let none = size_of::<T>() == 0 && parameters.as_str() == "null";
    Ok(if none { Json::empty_object() } else { parameters })
}
