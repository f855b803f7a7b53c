//! [`Accounts`]: the users of a directory behind the routes of sign-in.

use tinpot_access::{ChainAudit, Directory, Login, SecretStore, WorkerKeys};
use tinpot_core::seal::PublicKey;

use crate::authenticator::{CertificatePrincipal, ProxyUsers};

/// The users of a directory: they sign in, and manage tokens, users and grants, through the API.
///
/// [`HttpConfig::accounts`](crate::HttpConfig::accounts) takes them. The host must call
/// [`Directory::maintain`] and [`Login::sweep`] about once a minute, and pass [`Directory::rules`]
/// to the coordinator as its policy.
///
/// ```
/// # use std::sync::Arc;
/// # use tinpot_core::access::{AuditWho, MemoryRecords};
/// # use axum::{body::Body, http::Request};
/// # use tinpot_core::{Coordinator, MemoryNetwork};
/// # use tower::ServiceExt;
/// use tinpot_access::{Directory, Login, PasswordCost, Passwords};
/// use tinpot_http::{Accounts, HttpConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = Directory::builder(Arc::new(MemoryRecords::new())).open().await?;
/// # let by = AuditWho::new("operator", "", "root");
/// # let network = MemoryNetwork::new();
/// # let cost = PasswordCost::default().memory_kib(64).passes(1);
/// let coordinator = Coordinator::builder(network.transport()).policy(directory.rules());
/// let accounts = Accounts::new(Login::new(directory, Passwords::new(cost)?));
/// let config = HttpConfig::default().accounts(accounts);
/// let router = tinpot_http::router(coordinator.start().await?, config);
///
/// // The page asks how to sign in.
/// let request = Request::get("/api/auth/options").body(Body::empty())?;
/// assert_eq!(router.oneshot(request).await?.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Accounts {
    login: Login,
    audit: Option<ChainAudit>,
    secrets: Option<SecretStore>,
    enrolment: Option<WorkerEnrolment>,
    is_local: bool,
    has_passwords: bool,
    proxy: Option<ProxyUsers>,
    certificates: Vec<CertificatePrincipal>,
    #[cfg(feature = "oidc")]
    oidc: Option<tinpot_access::Oidc>,
}

/// The keys of workers, and the public key by which they recognize their coordinator.
#[derive(Clone, Debug)]
pub(crate) struct WorkerEnrolment {
    pub(crate) keys: WorkerKeys,
    pub(crate) coordinator: PublicKey,
}

impl Accounts {
    /// Creates the accounts of the users who sign in with this login.
    pub fn new(login: Login) -> Self {
        Self {
            login,
            audit: None,
            secrets: None,
            enrolment: None,
            is_local: false,
            has_passwords: true,
            proxy: None,
            certificates: Vec::new(),
            #[cfg(feature = "oidc")]
            oidc: None,
        }
    }

    /// Sets the audit that `/api/audit` shows. Without one, it has no entries.
    #[must_use]
    pub fn audit(mut self, audit: ChainAudit) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Sets the store of the secrets that `/api/secrets` manages. Without it, these routes answer
    /// 404.
    #[must_use]
    pub fn secrets(mut self, secrets: SecretStore) -> Self {
        self.secrets = Some(secrets);
        self
    }

    /// Sets the keys of workers that `/api/worker-keys` lists, and the public key of the coordinator
    /// that workers join. Without them, no worker can join.
    #[must_use]
    pub fn worker_keys(mut self, keys: WorkerKeys, coordinator: PublicKey) -> Self {
        self.enrolment = Some(WorkerEnrolment { keys, coordinator });
        self
    }

    /// Declares that the only user is the person at this machine, who signs in with tickets and
    /// needs no account.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.is_local = true;
        self
    }

    /// Sets whether users sign in with passwords. The default is true.
    #[must_use]
    pub fn passwords(mut self, yes: bool) -> Self {
        self.has_passwords = yes;
        self
    }

    /// Sets the reverse proxies that sign people in. The first request of a person creates a user.
    #[must_use]
    pub fn proxy(mut self, users: ProxyUsers) -> Self {
        self.proxy = Some(users);
        self
    }

    /// Sets the programs and users that are known by the [certificates](crate::ClientCertificate) of
    /// their connections. A token of a request takes precedence.
    #[must_use]
    pub fn certificates(mut self, principals: Vec<CertificatePrincipal>) -> Self {
        self.certificates = principals;
        self
    }

    /// Sets the identity provider that signs people in. The first sign-in of a person creates a
    /// user.
    #[cfg(feature = "oidc")]
    #[must_use]
    pub fn oidc(mut self, oidc: tinpot_access::Oidc) -> Self {
        self.oidc = Some(oidc);
        self
    }

    /// Returns the directory.
    pub fn directory(&self) -> &Directory {
        self.login.directory()
    }

    pub(crate) fn login(&self) -> &Login {
        &self.login
    }

    pub(crate) fn audit_log(&self) -> Option<&ChainAudit> {
        self.audit.as_ref()
    }

    pub(crate) fn secret_store(&self) -> Option<&SecretStore> {
        self.secrets.as_ref()
    }

    pub(crate) fn enrolment(&self) -> Option<&WorkerEnrolment> {
        self.enrolment.as_ref()
    }

    pub(crate) fn is_local(&self) -> bool {
        self.is_local
    }

    pub(crate) fn has_passwords(&self) -> bool {
        self.has_passwords && !self.is_local
    }

    #[cfg(feature = "oidc")]
    pub(crate) fn identity_provider(&self) -> Option<&tinpot_access::Oidc> {
        self.oidc.as_ref()
    }

    /// Returns true if people sign in with an identity provider.
    pub(crate) fn has_oidc(&self) -> bool {
        #[cfg(feature = "oidc")]
        return self.oidc.is_some();
        #[cfg(not(feature = "oidc"))]
        false
    }

    pub(crate) fn certificate_principals(&self) -> &[CertificatePrincipal] {
        &self.certificates
    }

    pub(crate) fn proxy_users(&self) -> Option<&ProxyUsers> {
        self.proxy.as_ref()
    }
}
