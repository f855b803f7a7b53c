//! Users, tokens and grants, while a server runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tinpot_access::{
    AUDIT_LOG, AuditCopy, AuditCopyTarget, ChainAudit, Directory, Grant, Grantee, Login, NewToken,
    NewUser, PasswordCost, Passwords, RUNS_LOG, Role, Rules, Secret, SecretStore,
};
use tinpot_core::access::{AuditEvent, AuditSink, AuditTarget, AuditWho, MemoryRecords, Records};
use tinpot_core::seal::Suite;
use tinpot_core::{Error, ErrorKind, Result, Timestamp};
use tinpot_http::Accounts;
use tinpot_sqlite::SqliteRecords;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::coordinator::CoordinatorSettings;
use crate::error::error_chain;
use crate::settings::{Auth, HttpSettings, StoreSettings};

/// The interval at which changes of other processes are taken in. What they revoke ends open streams
/// within a second: half of it is for the streams, which gather changes before they look.
const REFRESH: Duration = Duration::from_millis(500);
/// The interval of the work that can wait.
const MAINTAIN: Duration = Duration::from_secs(60);
/// The interval at which old entries of the audit are removed.
const TRIM: Duration = Duration::from_secs(3_600);
/// The age and the size of the oldest runs in the audit.
const RUNS_DAYS: u64 = 90;
const RUNS_BYTES: u64 = 1 << 30;
/// The name of this process in the audit.
const NODE: &str = "coordinator";
/// The only user of a server for this machine. The id is the same after a restart: history names it.
const LOCAL: &str = "user:local";
/// The life of a ticket for that user.
const TICKET: Duration = Duration::from_secs(600);
/// The age of the oldest entries about a server for this machine, in days.
const AUDIT_DAYS: u64 = 1;

/// The users of a server. The task of it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Access {
    accounts: Accounts,
    login: Login,
    audit: ChainAudit,
    /// If true, people can sign in with passwords.
    has_passwords: bool,
    /// If true, members of a group of another system are admins.
    has_admin_group: bool,
    records: Arc<dyn Records>,
    upkeep: JoinHandle<()>,
    copy: Option<JoinHandle<()>>,
}

impl Access {
    /// Checks that the store that the settings name, or that at `default`, can have users.
    ///
    /// # Errors
    /// `InvalidInput` for a store in memory.
    pub(crate) fn check(store: &StoreSettings, default: &str) -> Result<()> {
        records(store, default).map(drop)
    }

    /// Opens the directory in the file of that store. The key of the suite signs the audit.
    ///
    /// # Errors
    /// `InvalidInput` for a store in memory, and for one with several teams that is opened without
    /// `--teams`; those of the records.
    pub(crate) async fn open(
        store: &StoreSettings,
        default: &str,
        has_teams: bool,
        signer: Option<Arc<dyn Suite>>,
    ) -> Result<Self> {
        let records = Arc::new(records(store, default)?);
        let access = Self::of(records, store.audit_days, has_teams, signer, None).await?;
        let teams = access.directory().teams().len();
        if !has_teams && teams > 1 {
            let message = format!(
                "the store has {teams} teams, which see nothing of each other: start with --teams \
                 (TINPOT_TEAMS), or remove all teams but the default one"
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(access)
    }

    /// Creates a directory in memory with one user: the person at this machine, who may do
    /// everything, also with this token.
    ///
    /// # Errors
    /// Those of the directory.
    pub(crate) async fn local(token: Secret) -> Result<Self> {
        let mut access =
            Self::of(Arc::new(MemoryRecords::new()), AUDIT_DAYS, false, None, None).await?;
        let by = AuditWho::new("operator", "", "dev");
        let directory = access.directory().clone();
        let user = NewUser::new("local").id(LOCAL).server_admin();
        let user = directory.add_user(&by, user).await?;
        directory.add_grant(&by, Grant::new(Grantee::Principal(user.id), Role::Admin)).await?;
        // The second scope is for `tinpot open`, which signs a browser in.
        let new = NewToken::new("commands on this machine", LOCAL).scopes(&["all", "tokens"]);
        let new = new.never_expires().secret(token);
        directory.create_token(&by, new).await?;
        access.accounts = access.accounts.clone().local();
        Ok(access)
    }

    /// Opens a directory with teams in the file of that store, for clients of MiniTower: passwords
    /// may have any length.
    ///
    /// # Errors
    /// `InvalidInput` for a store in memory; those of the records.
    pub(crate) async fn of_tower(store: &StoreSettings, default: &str) -> Result<Self> {
        let records = Arc::new(records(store, default)?);
        Self::of(records, store.audit_days, true, None, Some(1)).await
    }

    async fn of(
        records: Arc<dyn Records>,
        audit_days: u64,
        has_teams: bool,
        signer: Option<Arc<dyn Suite>>,
        min_password_bytes: Option<usize>,
    ) -> Result<Self> {
        let audit = ChainAudit::start_signed(records.clone(), NODE, signer);
        let directory = Directory::builder(records.clone()).audit(Arc::new(audit.clone()));
        let directory = directory.teams(has_teams).open().await?;
        // It hashes one password, which takes some 26 ms.
        let passwords = tokio::task::spawn_blocking(|| Passwords::new(PasswordCost::default()));
        let failed = |_| Error::new(ErrorKind::Other, "the hasher of passwords did not start");
        let mut passwords = passwords.await.map_err(failed)??;
        if let Some(bytes) = min_password_bytes {
            passwords = passwords.min_bytes(bytes);
        }
        let login = Login::new(directory, passwords);
        let accounts = Accounts::new(login.clone()).audit(audit.clone());
        let upkeep = tokio::spawn(keep_up(login.clone(), audit.clone(), audit_days));
        Ok(Self {
            accounts,
            login,
            audit,
            has_passwords: true,
            has_admin_group: false,
            records,
            upkeep,
            copy: None,
        })
    }

    /// Sets the ways to sign in.
    ///
    /// # Errors
    /// `InvalidInput` if settings are missing or wrong; those of the records.
    pub(crate) async fn signed_in_by(mut self, all: &CoordinatorSettings) -> Result<Self> {
        let (auth, settings) = (all.http.auth, &all.sign_in);
        self.has_passwords = auth.has(Auth::USERS);
        self.has_admin_group = settings.admin_group().is_some();
        let mut accounts = self.accounts.clone().passwords(self.has_passwords);
        if let Some(users) = settings.proxy_users(auth)? {
            accounts = accounts.proxy(users);
        }
        accounts = accounts.certificates(settings.certificate_principals()?);
        if let Some(oidc) = settings.oidc(auth, all.pages.public_url().as_ref())? {
            accounts = accounts.oidc(oidc);
        }
        self.accounts = accounts;
        let by = AuditWho::new("operator", "", "start");
        self.directory().keep_external_admins(&by, settings.admin_group()).await?;
        Ok(self)
    }

    /// Copies the entries of the audit to this place, too.
    ///
    /// # Errors
    /// `InvalidInput` if it cannot be written.
    pub(crate) fn copied_to(mut self, target: Option<AuditCopyTarget>) -> Result<Self> {
        if let Some(target) = target {
            let copy = AuditCopy::new(self.records.clone(), target);
            copy.check().map_err(|e| e.with_context("--audit-to (TINPOT_AUDIT_TO)"))?;
            self.copy = Some(tokio::spawn(copy.run()));
        }
        Ok(self)
    }

    /// Returns the directory.
    pub(crate) fn directory(&self) -> &Directory {
        self.accounts.directory()
    }

    /// Returns the sign-in of the users.
    pub(crate) fn login(&self) -> Login {
        self.login.clone()
    }

    /// Returns the records of the directory.
    pub(crate) fn records(&self) -> Arc<dyn Records> {
        self.records.clone()
    }

    pub(crate) fn rules(&self) -> Rules {
        self.directory().rules()
    }

    pub(crate) fn audit(&self) -> ChainAudit {
        self.audit.clone()
    }

    pub(crate) fn accounts(&self) -> Accounts {
        self.accounts.clone()
    }

    /// Prints how to make the first user, if there is none.
    ///
    /// # Errors
    /// Those of the records.
    pub(crate) async fn invite(&self, url: &str) -> Result<()> {
        if self.directory().has_users() {
            return Ok(());
        }
        if !self.has_passwords {
            if !self.has_admin_group {
                tracing::warn!(
                    "no user may do anything yet: name the group of the admins with --admin-group, \
                     or add users to --auth for a first admin with a password"
                );
            }
            return Ok(());
        }
        let ticket = self.directory().create_set_up_ticket().await?;
        // Not by the log, which may be kept and sent elsewhere.
        eprintln!(
            "No users yet. Within an hour, this page makes the first admin, once:\n  \
             {url}/?ticket={}\nor add one on this machine: tinpot users add NAME --admin",
            ticket.expose()
        );
        Ok(())
    }

    /// Returns a ticket with which the local user signs in once.
    ///
    /// # Errors
    /// Those of the records.
    pub(crate) async fn local_ticket(&self) -> Result<Secret> {
        self.directory().create_sign_in_ticket(LOCAL, TICKET).await
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        self.upkeep.abort();
        if let Some(copy) = &self.copy {
            copy.abort();
        }
    }
}

fn records(store: &StoreSettings, default: &str) -> Result<SqliteRecords> {
    store.records(default).ok_or_else(|| {
        let message = "--auth (TINPOT_AUTH) needs a store in a file, which has the users and \
                       tokens: name one with --store (TINPOT_STORE)";
        Error::new(ErrorKind::InvalidInput, message)
    })
}

/// Seals the secrets again that an earlier key has sealed.
pub(crate) async fn reseal(secrets: SecretStore) {
    match secrets.reseal().await {
        Ok(0) => {}
        Ok(lost) => tracing::error!(
            "{lost} secrets cannot be opened, since the key of the store is another: set them \
             again with \"tinpot secrets set NAME\""
        ),
        Err(error) => {
            let why = error_chain(&error);
            tracing::warn!("secrets are not sealed under the present key: {why}");
        }
    }
}

/// Records the start of a coordinator, and the settings on which the safety of all others rests. One
/// without authentication is recorded if it accepts strangers.
///
/// # Errors
/// Those of the records.
pub(crate) async fn note_start(
    settings: &CoordinatorSettings,
    access: Option<&Access>,
    default: &str,
) -> Result<()> {
    let audit = match access {
        Some(access) => access.audit(),
        None if settings.http.insecure_no_auth => match settings.store.records(default) {
            Some(records) => ChainAudit::start(Arc::new(records), NODE),
            None => return Ok(()),
        },
        None => return Ok(()),
    };
    let HttpSettings { host, port, auth, insecure_no_auth, .. } = &settings.http;
    let mut detail = format!(
        "version {}, address {}, auth {auth}, namespace {}",
        env!("CARGO_PKG_VERSION"),
        SocketAddr::new(*host, *port),
        settings.broker.namespace
    );
    if settings.http.teams {
        detail.push_str(", --teams");
    }
    if *insecure_no_auth {
        detail.push_str(", --insecure-no-auth");
    }
    if settings.insecure_plain_secrets {
        detail.push_str(", --insecure-plain-secrets");
    }
    let who = AuditWho::new("coordinator", "", "");
    let target = AuditTarget::new("store", settings.store.path(default).display().to_string());
    let event = AuditEvent::new(Timestamp::now(), who, "server.start").target(target);
    audit.record(&[event.detail(detail)]).await
}

/// Removes old entries of the audit. A log that cannot be trimmed does not keep the other from it.
async fn trim(audit: &ChainAudit, days: u64) {
    let by = AuditWho::new("coordinator", "", "");
    let before = |days: u64| {
        let age = Duration::from_secs(days * 86_400).as_micros() as u64;
        Timestamp(Timestamp::now().0.saturating_sub(age))
    };
    for (log, trimmed) in [
        (AUDIT_LOG, audit.trim(&by, AUDIT_LOG, before(days)).await),
        (RUNS_LOG, audit.trim(&by, RUNS_LOG, before(days.min(RUNS_DAYS))).await),
        (RUNS_LOG, audit.trim_bytes(&by, RUNS_LOG, RUNS_BYTES).await),
    ] {
        if let Err(error) = trimmed {
            let why = error_chain(&error);
            tracing::warn!(log, "old entries of the audit are not removed: {why}");
        }
    }
}

/// Takes in changes, writes last uses, and removes old entries of the audit. Without the records, the
/// directory stays as it was.
async fn keep_up(login: Login, audit: ChainAudit, audit_days: u64) {
    let directory = login.directory();
    let mut turns = interval(REFRESH);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut maintained = Instant::now();
    let mut trimmed: Option<Instant> = None;
    let mut is_failing = false;
    loop {
        turns.tick().await;
        let done = if maintained.elapsed() < MAINTAIN {
            directory.refresh().await
        } else {
            maintained = Instant::now();
            if trimmed.is_none_or(|at| at.elapsed() >= TRIM) {
                trimmed = Some(Instant::now());
                trim(&audit, audit_days).await;
            }
            match login.sweep().await {
                Ok(()) => directory.maintain().await,
                Err(error) => Err(error),
            }
        };
        match done {
            Ok(()) => is_failing = false,
            // Once for an outage: the interval is short.
            Err(_) if is_failing => {}
            Err(error) => {
                is_failing = true;
                let why = error_chain(&error);
                tracing::error!("changes of users and tokens are not seen: {why}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
