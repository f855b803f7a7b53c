//! [`Directory`]: users, programs, groups, grants, tokens and sign-ins.

mod devices;
mod external;
mod foreign_tokens;
mod grants;
mod login_requests;
mod names;
mod powers;
mod principals;
mod set_up;
mod sign_ins;
mod sign_up;
pub(crate) mod state;
mod teams;
mod tickets;
mod tokens;
mod users;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tinpot_core::access::records::Change;
use tinpot_core::access::{AuditEvent, AuditSink, AuditTarget, AuditWho, Records};
use tinpot_core::{Caller, DEFAULT_TEAM, Error, ErrorKind, Result, Timestamp};

pub use self::external::ExternalIdentity;
pub use self::foreign_tokens::ForeignToken;
pub use self::login_requests::{LoginAnswer, LoginRequest, NewLogin};
use self::names::check_name;
use self::state::{Effect, KINDS};
pub(crate) use self::state::{State, group_id};
pub use self::teams::{NewTeam, TeamUpdate};
pub use self::tokens::NewToken;
pub use self::users::{NewUser, UserUpdate};
use crate::clock::{Clock, SystemClock};
use crate::last_read::LastRead;
use crate::planned::{Boxed, Plan, TRIES, make, record};
use crate::rules::{Environments, Rules};

/// Changes of one write, of those that may fail one by one.
const TOGETHER: usize = 100;
/// Documents of one page while the directory is read.
const PAGE: usize = 1_000;
/// The interval at which the last use of a token or sign-in is written.
const NOTED: Duration = Duration::from_secs(5 * 60);

/// A caller who was authenticated.
///
/// [`Directory`] has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Known {
    /// The caller.
    pub caller: Caller,
    /// The time until which this holds, if nothing changes; `None` for no end.
    pub valid_until: Option<Timestamp>,
}

/// The reason for which a credential is not accepted, in words that its sender may read.
///
/// [`Directory`] has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The text is no credential: it was cut or mistyped.
    Malformed(String),
    /// The credential does not exist, or no longer exists.
    Unknown,
    /// The credential has ended.
    Expired {
        /// The id of the token; `None` for sign-ins.
        token: Option<Arc<str>>,
        /// The time at which it ended.
        at: Timestamp,
    },
    /// Its principal is disabled or was removed.
    Disabled,
    /// The team in which it acts is disabled, or its principal is no longer in that team.
    NoTeam,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejection::Malformed(why) => f.write_str(why),
            Rejection::Unknown => f.write_str("the credential is not known, or was revoked"),
            Rejection::Expired { token: Some(id), at } => {
                write!(f, "token {id} expired at {at}: run \"tinpot tokens rotate {id}\"")
            }
            Rejection::Expired { token: None, at } => {
                write!(f, "the sign-in ended at {at}: sign in again")
            }
            Rejection::Disabled => f.write_str("the account is disabled"),
            Rejection::NoTeam => f.write_str(
                "the team of the credential is disabled, or the account is no longer in it",
            ),
        }
    }
}

/// Users, programs, groups, grants, tokens and sign-ins, kept in [`Records`].
///
/// All of it is in memory, too, so that requests are authenticated without I/O. Changes compare
/// versions, so that several processes can share the records; [`refresh`](Self::refresh) takes in
/// the changes of the others. Clones share the directory.
///
/// ```
/// use std::sync::Arc;
/// use tinpot_access::{Directory, NewToken, NewUser};
/// use tinpot_core::access::{AuditWho, MemoryRecords};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let directory = Directory::builder(Arc::new(MemoryRecords::new())).open().await?;
/// let by = AuditWho::new("operator", "", "root");
/// let ada = directory.add_user(&by, NewUser::new("ada")).await?;
/// let new = NewToken::new("laptop", ada.id.clone());
/// let (secret, token) = directory.create_token(&by, new).await?;
///
/// let known = directory.authenticate_token(secret.expose()).expect("the token is valid");
/// assert_eq!(known.caller.id, ada.id);
/// directory.revoke_token(&by, &token.id).await?;
/// assert!(directory.authenticate_token(secret.expose()).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Directory {
    inner: Arc<Inner>,
    /// The address from which changes by this handle are asked for, for the audit.
    asked_from: Option<Arc<str>>,
    request_id: Arc<str>,
    /// The team in which this handle makes changes.
    team: Arc<str>,
    /// True if changes by this handle are asked for by a caller without power over admins of the
    /// server, and over users of other teams.
    is_for_team: bool,
}

#[derive(Debug)]
struct Inner {
    records: Arc<dyn Records>,
    clock: Arc<dyn Clock>,
    audit: Option<Arc<dyn AuditSink>>,
    environments: Environments,
    has_teams: bool,
    state: RwLock<State>,
    /// Held while changes are taken in, so that an older answer never follows a newer one.
    refreshing: tokio::sync::Mutex<()>,
    last_read: LastRead,
    rules: Rules,
}

/// Builds a [`Directory`].
///
/// [`Directory`] has an example.
#[derive(Debug)]
#[must_use]
pub struct DirectoryBuilder {
    records: Arc<dyn Records>,
    clock: Arc<dyn Clock>,
    audit: Option<Arc<dyn AuditSink>>,
    environments: Environments,
    has_teams: bool,
}

impl DirectoryBuilder {
    /// Sets the clock; that of the system by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the sink for changes of rights and credentials. A change fails if it cannot be recorded.
    pub fn audit(mut self, audit: Arc<dyn AuditSink>) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Sets the patterns of the queues of an environment.
    pub fn environment(mut self, name: impl Into<String>, queues: &[&str]) -> Self {
        let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
        self.environments.insert(name.into(), queues);
        self
    }

    /// Sets whether there are several teams. With one team, all users are in the default team.
    pub fn teams(mut self, has_teams: bool) -> Self {
        self.has_teams = has_teams;
        self
    }

    /// Reads the records.
    ///
    /// # Errors
    /// Those of [`Records::changed`] and [`Records::list`].
    pub async fn open(self) -> Result<Directory> {
        let Self { records, clock, audit, environments, has_teams } = self;
        let inner = Inner {
            records,
            clock,
            audit,
            environments,
            has_teams,
            state: RwLock::new(State { has_teams, ..State::default() }),
            refreshing: tokio::sync::Mutex::default(),
            last_read: LastRead::default(),
            rules: Rules::new(),
        };
        let (inner, team) = (Arc::new(inner), DEFAULT_TEAM.into());
        let directory =
            Directory { inner, asked_from: None, request_id: "".into(), team, is_for_team: false };
        directory.refresh().await?;
        Ok(directory)
    }
}

impl Directory {
    /// Describes a directory in these records.
    pub fn builder(records: Arc<dyn Records>) -> DirectoryBuilder {
        let (clock, environments) = (Arc::new(SystemClock), Environments::new());
        DirectoryBuilder { records, clock, audit: None, environments, has_teams: false }
    }

    /// Returns the same directory, for changes that a client at this address requests: their
    /// entries in the audit name the address.
    #[must_use]
    pub fn asked_from(&self, address: impl Into<Arc<str>>) -> Self {
        Self { asked_from: Some(address.into()), ..self.clone() }
    }

    /// Returns the same directory for changes that are asked for by the request with this id.
    #[must_use]
    pub fn request_id(&self, id: impl Into<Arc<str>>) -> Self {
        Self { request_id: id.into(), ..self.clone() }
    }

    /// Returns the same directory for changes that a caller requests who does not manage the
    /// server. Changes to admins of the server, their tokens, grants and groups are `Forbidden`. So
    /// are changes to the passwords and tokens of users who are also in other teams than [this
    /// one](Self::of_team).
    #[must_use]
    pub fn for_team(&self) -> Self {
        Self { is_for_team: true, ..self.clone() }
    }

    /// Returns the same directory for changes in this team. New users, groups and tokens belong to
    /// it.
    #[must_use]
    pub fn of_team(&self, team: impl Into<Arc<str>>) -> Self {
        Self { team: team.into(), ..self.clone() }
    }

    /// Returns the id of the [team](Self::of_team) in which it makes changes.
    pub fn team_id(&self) -> &Arc<str> {
        &self.team
    }

    /// Returns true if there are several teams.
    pub fn has_teams(&self) -> bool {
        self.inner.has_teams
    }

    /// Returns the policy that the grants make.
    pub fn rules(&self) -> Rules {
        self.inner.rules.clone()
    }

    /// Takes in the changes of other processes. Once a second is enough; without changes, it costs
    /// one look at an index.
    ///
    /// # Errors
    /// Those of [`Records::changed`] and [`Records::list`].
    pub async fn refresh(&self) -> Result<()> {
        self.take_turn().await
    }

    fn take_turn(&self) -> Boxed<'_, Result<()>> {
        Box::pin(async {
            let _turn = self.inner.refreshing.lock().await;
            self.take_in().await
        })
    }

    /// Takes in the changes of other processes if the [stamp](Records::stamp) of the records shows
    /// that there are some. If the host calls it before it authenticates each request, no request
    /// is accepted with a credential that was revoked before.
    ///
    /// # Errors
    /// Those of [`refresh`](Self::refresh).
    pub async fn keep_current(&self) -> Result<()> {
        if self.is_current() {
            return Ok(());
        }
        let _turn = self.inner.refreshing.lock().await;
        // Others may have waited for the same.
        if self.is_current() { Ok(()) } else { self.take_in().await }
    }

    fn is_current(&self) -> bool {
        self.inner.last_read.is_current(&*self.inner.records)
    }

    /// Takes in changes, in the turn of the caller.
    async fn take_in(&self) -> Result<()> {
        let Inner { records, rules, environments, .. } = &*self.inner;
        let stamp = records.stamp();
        self.take_in_from(&**records, rules, environments).await?;
        self.inner.last_read.note(stamp);
        Ok(())
    }

    async fn take_in_from(
        &self,
        records: &dyn Records,
        rules: &Rules,
        environments: &Environments,
    ) -> Result<()> {
        loop {
            let from = self.state().revision;
            let changed = records.changed(from).await?;
            let mut effect = Effect::None;
            let mut listed = None;
            if changed.is_reset {
                listed = Some(self.list(changed.revision).await?);
                effect = Effect::Rights;
            }
            let is_first = from == 0;
            let is_end = changed.revision == from;
            if is_end && !is_first {
                return Ok(());
            }
            {
                let mut state = self.inner.state.write().unwrap_or_else(PoisonError::into_inner);
                if let Some(listed) = listed {
                    *state = listed;
                }
                for (kind, id) in &changed.removed {
                    effect = effect.max(state.remove(kind, id));
                }
                for record in &changed.records {
                    effect = effect.max(state.put(record));
                }
                state.revision = changed.revision;
                // Before the lock is released: a caller that the new state
                // authenticates is also judged by it.
                match effect {
                    Effect::Rights => rules.compile(&state, environments),
                    Effect::Identity => rules.wake(),
                    Effect::None => {}
                }
            }
            if is_end {
                return Ok(());
            }
        }
    }

    /// Reads everything, as of this revision or later.
    async fn list(&self, revision: u64) -> Result<State> {
        let mut state = State { has_teams: self.inner.has_teams, ..State::default() };
        for kind in KINDS {
            let mut after = String::new();
            loop {
                let page = self.inner.records.list(kind, &after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after = last.id.to_string();
                page.iter().for_each(|record| {
                    state.put(record);
                });
            }
        }
        state.revision = revision;
        Ok(state)
    }

    /// Returns the time of the directory's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.inner.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change. The plan is made again if another process changes the same documents
    /// meanwhile.
    async fn change<T>(
        &self,
        by: &AuditWho,
        what: &'static str,
        plan: impl Fn(&State, Timestamp) -> Result<Plan<T>>,
    ) -> Result<T> {
        let mut is_recorded = false;
        for _ in 0..TRIES {
            self.take_turn().await?;
            let now = self.now();
            let Plan { changes, target, detail, also, answer } = plan(&self.state(), now)?;
            let all = std::iter::once((what, target, detail)).chain(also).collect();
            if self.make(by, now, all, &changes, &mut is_recorded).await? {
                return Ok(answer);
            }
        }
        let message = "the users and grants are being changed by others: try again";
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// Makes the changes of a plan and takes them in. Returns false if others were faster.
    fn make<'a>(
        &'a self,
        by: &AuditWho,
        now: Timestamp,
        acts: Vec<(&'static str, AuditTarget, String)>,
        changes: &'a [Change],
        is_recorded: &'a mut bool,
    ) -> Boxed<'a, Result<bool>> {
        let event = |(what, target, detail)| {
            let event = AuditEvent::new(now, by.clone(), what).target(target).detail(detail);
            match &self.asked_from {
                Some(address) => event.request(&**address, &*self.request_id),
                None => event,
            }
        };
        let events = acts.into_iter().map(event).collect();
        Box::pin(async move {
            let Inner { records, audit, .. } = &*self.inner;
            let made = make(&**records, audit.as_deref(), changes, events, is_recorded).await?;
            if made {
                self.refresh().await?;
            }
            Ok(made)
        })
    }

    #[cfg(feature = "passwords")]
    pub(crate) async fn record(&self, event: AuditEvent) -> Result<()> {
        self.record_all(&[event]).await
    }

    async fn record_all(&self, events: &[AuditEvent]) -> Result<()> {
        record(self.inner.audit.as_deref(), events).await
    }

    /// Does the work that waits: takes in changes, writes last uses, and removes what has ended. The
    /// host calls it about once a minute.
    ///
    /// # Errors
    /// Those of [`Records`].
    pub async fn maintain(&self) -> Result<()> {
        self.refresh().await?;
        self.write_uses().await?;
        self.remove_ended().await?;
        self.refresh().await
    }

    /// Makes changes of which each may fail: then another process is doing the same.
    async fn change_each(&self, changes: Vec<Change>) -> Result<()> {
        let make = async |changes: &[Change]| match self.inner.records.change(changes).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error),
        };
        for together in changes.chunks(TOGETHER) {
            if !make(together).await? {
                for one in together.chunks(1) {
                    make(one).await?;
                }
            }
        }
        Ok(())
    }
}

fn not_found(what: &str, name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("no {what} {name:?}"))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}
