//! Users, tokens, grants and audit, and the traits of the core about them.
//!
//! ```
//! use std::sync::Arc;
//!
//! use tinpot::access::{AuditWho, Directory, MemoryRecords, NewUser};
//!
//! # #[tokio::main]
//! # async fn main() -> tinpot::Result<()> {
//! let directory = Directory::builder(Arc::new(MemoryRecords::new())).open().await?;
//! let by = AuditWho::new("operator", "", "root");
//! let ada = directory.add_user(&by, NewUser::new("ada")).await?;
//! assert_eq!(directory.users(), [ada]);
//! # Ok(())
//! # }
//! ```

pub use tinpot_access::{
    AUDIT_LOG, AuditEntry, AuditFault, AuditReport, ChainAudit, Clock, Directory, DirectoryBuilder,
    Grant, Grantee, Group, Known, Login, LoginRefused, NewTeam, NewToken, NewUser, PasswordCost,
    PasswordMatch, Passwords, Program, RUNS_LOG, Rejection, Role, Rules, Secret, SignIn,
    SystemClock, Team, TeamUpdate, Throttle, Ticket, Token, User, verify_audit,
};
pub use tinpot_core::access::{
    AllowAll, AuditDecision, AuditEvent, AuditSink, AuditTarget, AuditWho, Caller, Decision,
    MemoryRecords, Policy, Records, Right, records,
};
