//! Access control: callers, rights and policies, and what is kept about them: records and audit.

mod audit;
mod caller;
mod policy;
pub mod records;
mod restoration;
mod sealer;
mod secret_source;
mod upload_keeper;

pub use self::audit::{AuditDecision, AuditEvent, AuditSink, AuditTarget, AuditWho};
pub use self::caller::{Caller, Right};
pub use self::policy::{AllowAll, Decision, Policy};
pub use self::records::{MemoryRecords, Records};
pub use self::restoration::Restoration;
pub use self::sealer::{SealedPlace, SecretSealer};
pub use self::secret_source::{SecretRequest, SecretSource};
pub use self::upload_keeper::{UploadClaim, UploadKeeper};
pub use crate::model::secret::{GivenSecret, SECRET_BYTES, SECRET_NAME_BYTES};
