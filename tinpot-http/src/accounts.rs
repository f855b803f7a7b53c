//! [`Accounts`]: the users of a directory behind the routes of sign-in.

use tinpot_access::{ChainAudit, Directory, Login};

/// The users of a directory: they sign in, and manage tokens, users and grants, through the API.
///
/// [`HttpConfig::accounts`](crate::HttpConfig::accounts) takes them. The host must call
/// [`Directory::maintain`] and [`Login::sweep`] about once a minute, and pass [`Directory::rules`]
/// to the coordinator as its policy.
#[derive(Clone, Debug)]
pub struct Accounts {
    login: Login,
    audit: Option<ChainAudit>,
    is_local: bool,
}

impl Accounts {
    /// Creates the accounts of the users who sign in with this login.
    pub fn new(login: Login) -> Self {
        Self { login, audit: None, is_local: false }
    }

    /// Sets the audit that `/api/audit` shows. Without one, it has no entries.
    #[must_use]
    pub fn audit(mut self, audit: ChainAudit) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Declares that the only user is the person at this machine, who signs in with tickets and
    /// needs no account.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.is_local = true;
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

    pub(crate) fn is_local(&self) -> bool {
        self.is_local
    }
}
