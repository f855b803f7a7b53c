#![doc = include_str!("../README.md")]

mod audit;
mod clock;
mod directory;
mod documents;
mod identity_key;
mod join_token;
mod last_read;
#[cfg(feature = "passwords")]
mod login;
#[cfg(feature = "oidc")]
mod oidc;
#[cfg(feature = "passwords")]
mod passwords;
mod planned;
mod private_file;
mod ring_suite;
mod rules;
mod scopes;
mod secret;
mod secret_store;
mod store_key;
mod stored;
mod stored_credentials;
mod throttle;
mod tokens;
mod worker_keys;

pub use self::audit::{
    AUDIT_LOG, AuditCopy, AuditCopyTarget, AuditEntry, AuditFault, AuditPage, AuditQuery,
    AuditReport, ChainAudit, RUNS_LOG, read_audit, verify_audit,
};
pub use self::clock::{Clock, SystemClock};
pub use self::directory::{
    Directory, DirectoryBuilder, ExternalIdentity, ForeignToken, Known, LoginAnswer, LoginRequest,
    NewLogin, NewTeam, NewToken, NewUser, Rejection, TeamUpdate, UserUpdate,
};
pub use self::documents::{
    Grant, Grantee, Group, Program, Role, SignIn, Team, Ticket, Token, User,
};
pub use self::identity_key::IdentityKey;
pub use self::join_token::JoinToken;
#[cfg(feature = "passwords")]
pub use self::login::{Login, LoginRefused};
#[cfg(feature = "oidc")]
pub use self::oidc::{Oidc, OidcBegun, OidcConfig, OidcFinished, OidcReturn};
#[cfg(feature = "passwords")]
pub use self::passwords::{PasswordCost, PasswordMatch, Passwords};
pub use self::ring_suite::RingSuite;
pub use self::rules::Rules;
pub use self::secret::Secret;
pub use self::secret_store::{SecretAllow, SecretStore, StoredSecret};
pub use self::store_key::{RingSealer, StoreKeys};
pub use self::stored_credentials::StoredCredentials;
pub use self::throttle::Throttle;
pub use self::worker_keys::{
    JoinTokenInfo, NewJoinToken, WorkerKey, WorkerKeys, WorkerKeysBuilder,
};
