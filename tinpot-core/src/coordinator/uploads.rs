//! The uploads to which parameters refer: claimed before their execution is accepted.

use super::Coordinator;
use crate::access::UploadClaim;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::upload::upload_references;

impl Coordinator {
    /// Claims the uploads of an execution, so that they stay for as long as it is recorded.
    /// `rerun_of` is the recorded execution that is submitted again.
    pub(super) async fn claim_uploads(
        &self,
        execution: &Execution,
        rerun_of: Option<ExecutionId>,
    ) -> Result<()> {
        let uploads = upload_references(&execution.parameters);
        if uploads.is_empty() {
            return Ok(());
        }
        let Some(keeper) = &self.shared.uploads else {
            let message = "parameters refer to an upload, and this coordinator keeps none";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        };
        let (team, caller) = (execution.team_name(), execution.caller.clone());
        let claim = UploadClaim::new(execution.id, team, caller, uploads).rerun_of(rerun_of);
        keeper.claim(&claim).await
    }
}

/// Refuses references to uploads in the parameters of a call: an action passes the bytes.
pub(super) fn check_call(parameters: &Json) -> Result<()> {
    if upload_references(parameters).is_empty() {
        return Ok(());
    }
    let message = "parameters of a call must not refer to uploads: pass the bytes";
    Err(Error::new(ErrorKind::InvalidInput, message))
}
