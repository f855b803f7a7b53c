//! The keeper of uploads: bytes to which parameters refer.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::model::digest::Digest;
use crate::model::error::Result;
use crate::model::id::ExecutionId;

/// An execution that refers to uploads, before it is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadClaim {
    /// The execution.
    pub execution: ExecutionId,
    /// The id of the caller who submits it.
    pub caller: Arc<str>,
    /// The team in which the caller acts.
    pub team: Arc<str>,
    /// The uploads to which its parameters refer.
    pub uploads: BTreeSet<Digest>,
    /// The recorded execution that is submitted again. The caller needs no upload to which that one
    /// refers.
    pub rerun_of: Option<ExecutionId>,
}

impl UploadClaim {
    /// Creates the claim of an execution that is new.
    pub fn new(
        execution: ExecutionId,
        team: impl Into<Arc<str>>,
        caller: impl Into<Arc<str>>,
        uploads: BTreeSet<Digest>,
    ) -> Self {
        let (team, caller) = (team.into(), caller.into());
        Self { execution, caller, team, uploads, rerun_of: None }
    }

    /// Names the recorded execution that is submitted again.
    #[must_use]
    pub fn rerun_of(mut self, execution: Option<ExecutionId>) -> Self {
        self.rerun_of = execution;
        self
    }
}

/// Keeps uploads for the executions that refer to them.
///
/// # Contract
/// - **Own**: a caller can refer only to their own uploads. The answer is the same for an upload of
///   another caller and for one that does not exist.
/// - **Kept**: what was claimed stays while the execution is recorded.
/// - **Repeatable**: a claim may be of an execution that is never accepted. It uses up nothing.
#[async_trait]
pub trait UploadKeeper: fmt::Debug + Send + Sync + 'static {
    /// Keeps the uploads of an execution from now on.
    ///
    /// # Errors
    /// `NotFound` if an upload is not there, or is not the caller's; `InvalidInput` if there are too
    /// many; `StorageFull`, `Unavailable`.
    async fn claim(&self, claim: &UploadClaim) -> Result<()>;

    /// Notes that the execution of a claim was accepted: its uploads are not unused any more.
    ///
    /// # Errors
    /// `StorageFull`, `Unavailable`. The execution goes on.
    async fn accepted(&self, claim: &UploadClaim) -> Result<()>;
}

#[async_trait]
impl<T: UploadKeeper + ?Sized> UploadKeeper for Arc<T> {
    async fn claim(&self, claim: &UploadClaim) -> Result<()> {
        (**self).claim(claim).await
    }

    async fn accepted(&self, claim: &UploadClaim) -> Result<()> {
        (**self).accepted(claim).await
    }
}
