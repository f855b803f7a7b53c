//! The uploads to which parameters refer: claimed before their execution is accepted.

use super::Coordinator;
use crate::access::UploadClaim;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::id::ExecutionId;

impl Coordinator {
    /// Claims the uploads of an execution, so that they stay for as long as it is recorded.
    /// `rerun_of` is the recorded execution that is submitted again. `None` if there are none.
    pub(super) async fn claim_uploads(
        &self,
        execution: &Execution,
        rerun_of: Option<ExecutionId>,
    ) -> Result<Option<UploadClaim>> {
        if execution.uploads.is_empty() {
            return Ok(None);
        }
        let uploads = execution.uploads.iter().copied().collect();
        let Some(keeper) = &self.shared.uploads else {
            let message = "parameters refer to an upload, and this coordinator keeps none";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        };
        let (team, caller) = (execution.team_name(), execution.caller.clone());
        let claim = UploadClaim::new(execution.id, team, caller, uploads).rerun_of(rerun_of);
        keeper.claim(&claim).await?;
        Ok(Some(claim))
    }

    /// Notes that the execution of a claim was accepted.
    pub(super) async fn uploads_accepted(&self, claim: &UploadClaim) {
        let Some(keeper) = &self.shared.uploads else { return };
        if let Err(error) = keeper.accepted(claim).await {
            tracing::warn!("uploads of execution {} count as unused: {error}", claim.execution);
        }
    }
}

/// Refuses references to uploads in the parameters of a call: an action passes the bytes.
pub(super) fn check_call(execution: &Execution) -> Result<()> {
    if execution.uploads.is_empty() {
        return Ok(());
    }
    let message = "parameters of a call must not refer to uploads: pass the bytes";
    Err(Error::new(ErrorKind::InvalidInput, message))
}
