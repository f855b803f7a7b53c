//! The source of secrets that attempts ask for while they run.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::model::error::Result;
use crate::model::execution::Execution;
use crate::model::id::WorkerId;
use crate::model::secret::GivenSecret;

/// The attempt that asks for a secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SecretRequest {
    /// The name of the secret.
    pub name: Arc<str>,
    /// The execution, with its team, its action and its queue.
    pub execution: Arc<Execution>,
    /// The group of its action; `None` if the action is not known any more.
    pub group: Option<Arc<str>>,
    /// The worker that runs the attempt, and holds its fence.
    pub worker: WorkerId,
}

impl SecretRequest {
    /// Creates a request. For tests of sources.
    pub fn new(name: impl Into<Arc<str>>, execution: Arc<Execution>, worker: WorkerId) -> Self {
        Self { name: name.into(), execution, group: None, worker }
    }
}

/// Gives secrets to the attempts that may have them.
///
/// # Contract
/// - **Closed**: a secret that the action may not have and one that does not exist have the same
///   answer.
/// - **Quiet**: no error and no `Debug` has a part of a value.
/// - **Bounds**: a value has at most [`SECRET_BYTES`](super::SECRET_BYTES).
#[async_trait]
pub trait SecretSource: fmt::Debug + Send + Sync + 'static {
    /// Returns a secret.
    ///
    /// # Errors
    /// `NotFound` if there is none, or the action may not have it; `Unavailable` if it cannot be
    /// read now.
    async fn secret(&self, request: &SecretRequest) -> Result<GivenSecret>;
}

#[async_trait]
impl<T: SecretSource + ?Sized> SecretSource for Arc<T> {
    async fn secret(&self, request: &SecretRequest) -> Result<GivenSecret> {
        (**self).secret(request).await
    }
}
