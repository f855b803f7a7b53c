//! [`StoredCredentials`]: all credentials in the records, to name and to end them together.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use tinpot_core::access::records::{Change, Record};
use tinpot_core::access::{AuditEvent, AuditSink, AuditTarget, AuditWho, Records, Restoration};
use tinpot_core::{ErrorKind, Result, Timestamp};

use crate::directory::state::{DEVICE_KEY, GRANT, LOGIN_REQUEST, SIGN_IN, TICKET, TOKEN, USER};
use crate::documents::{Token, User};
use crate::planned::record;
use crate::stored::{read, write};
use crate::worker_keys::WorkerKey;
use crate::worker_keys::documents::{KEY as WORKER_KEY, TOKEN as JOIN_TOKEN};

/// Documents of one page.
const PAGE: usize = 100;
/// Names in a text; more are counted.
const NAMED: usize = 10;
/// The kinds of documents that are credentials, and are removed when they end. Without the key of
/// devices, no proof of an earlier sign-in counts.
const REMOVED: [&str; 6] = [TOKEN, SIGN_IN, TICKET, LOGIN_REQUEST, DEVICE_KEY, JOIN_TOKEN];

/// The credentials in the records of a store, and the grants that give them their rights.
///
/// After a backup was restored, all of them are as they were when it was made.
///
/// ```
/// use std::sync::Arc;
/// use tinpot_access::{Directory, NewToken, NewUser, StoredCredentials};
/// use tinpot_core::access::{AuditWho, MemoryRecords};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let records = Arc::new(MemoryRecords::new());
/// let directory = Directory::builder(records.clone()).open().await?;
/// let by = AuditWho::new("operator", "", "root");
/// let ada = directory.add_user(&by, NewUser::new("ada")).await?;
/// let (secret, _) = directory.create_token(&by, NewToken::new("laptop", ada.id)).await?;
///
/// let ended = StoredCredentials::revoke_all(&*records, &[], None, &by).await?;
/// assert_eq!(ended.to_string(), "1 token (laptop)");
/// directory.refresh().await?;
/// assert!(directory.authenticate_token(secret.expose()).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredCredentials {
    /// The names of the users who have a password, and are not disabled.
    pub passwords: Vec<Arc<str>>,
    /// The names of the API tokens.
    pub tokens: Vec<Arc<str>>,
    /// The number of sign-ins of browsers.
    pub sign_ins: usize,
    /// The names of the workers whose keys are not revoked.
    pub worker_keys: Vec<Arc<str>>,
    /// The number of join tokens.
    pub join_tokens: usize,
    /// The number of credentials of other kinds.
    pub others: usize,
    /// The number of grants.
    pub grants: usize,
}

impl StoredCredentials {
    /// Reads the credentials. `others` are the kinds of documents of which each is a credential of
    /// another crate.
    ///
    /// # Errors
    /// Those of [`Records::list`].
    pub async fn of(records: &dyn Records, others: &[&str]) -> Result<Self> {
        let mut found = Self::default();
        each(records, USER, |document| {
            let user: Option<User> = parse(document);
            found.passwords.extend(user.filter(has_password).map(|user| user.name));
        })
        .await?;
        each(records, TOKEN, |document| {
            let token: Option<Token> = parse(document);
            found.tokens.push(token.map_or_else(|| document.id.clone(), |token| token.name));
        })
        .await?;
        each(records, SIGN_IN, |_| found.sign_ins += 1).await?;
        each(records, WORKER_KEY, |document| {
            let key: Option<WorkerKey> = parse(document);
            let key = key.filter(|key| key.revoked.is_none());
            found.worker_keys.extend(key.map(|key| key.limits.names.as_str().into()));
        })
        .await?;
        each(records, JOIN_TOKEN, |_| found.join_tokens += 1).await?;
        each(records, GRANT, |_| found.grants += 1).await?;
        for kind in [TICKET, LOGIN_REQUEST].iter().chain(others) {
            each(records, kind, |_| found.others += 1).await?;
        }
        Ok(found)
    }

    /// Returns true if there are none that could be used. Grants alone are of no use.
    pub fn is_empty(&self) -> bool {
        Self { grants: 0, ..self.clone() } == Self::default()
    }

    /// Ends all credentials: tokens, sign-ins, tickets and join tokens are removed, the keys of
    /// workers are revoked, and users have no passwords. Users, programs and grants stay. The
    /// [`Restoration`] is settled. Returns what has ended.
    ///
    /// # Errors
    /// Those of [`Records`] and of the audit: then some may have ended, and it can be called again.
    pub async fn revoke_all(
        records: &dyn Records,
        others: &[&str],
        audit: Option<&dyn AuditSink>,
        by: &AuditWho,
    ) -> Result<Self> {
        let found = Self { grants: 0, ..Self::of(records, others).await? };
        audited(audit, by, "store.revoke_all", found.to_string()).await?;
        let now = Timestamp::now();
        for kind in REMOVED.iter().chain(others) {
            change_each(records, kind, |document| {
                Ok(Some(Change::remove(*kind, document.id.clone(), document.version)))
            })
            .await?;
        }
        change_each(records, WORKER_KEY, |document| match parse::<WorkerKey>(document) {
            Some(key) if key.revoked.is_none() => {
                let key = WorkerKey { revoked: Some(now), ..key };
                write(WORKER_KEY, &document.id, document.version, &key).map(Some)
            }
            // One that cannot be read is not heard.
            _ => Ok(None),
        })
        .await?;
        change_each(records, USER, |document| match parse::<User>(document) {
            Some(user) => {
                let generation = user.generation + 1;
                let user = User { password: None, generation, ..user };
                write(USER, &document.id, document.version, &user).map(Some)
            }
            None => Ok(None),
        })
        .await?;
        Restoration::settle(records).await?;
        Ok(found)
    }

    /// Keeps all credentials of records that were put back, and settles their [`Restoration`].
    ///
    /// # Errors
    /// Those of [`Records`] and of the audit.
    pub async fn accept_restored(
        records: &dyn Records,
        others: &[&str],
        audit: Option<&dyn AuditSink>,
        by: &AuditWho,
    ) -> Result<Self> {
        let found = Self::of(records, others).await?;
        audited(audit, by, "store.accept_restored", found.to_string()).await?;
        Restoration::settle(records).await?;
        Ok(found)
    }
}

/// Prints what there is, with the first names.
impl fmt::Display for StoredCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = [
            named("password", &self.passwords),
            named("token", &self.tokens),
            counted("sign-in", self.sign_ins),
            named("worker key", &self.worker_keys),
            counted("join token", self.join_tokens),
            counted("ticket or other credential", self.others),
            counted("grant", self.grants),
        ]
        .into_iter()
        .flatten()
        .collect();
        match parts.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&parts.join(", ")),
        }
    }
}

fn counted(what: &str, number: usize) -> Option<String> {
    match number {
        0 => None,
        1 => Some(format!("1 {what}")),
        _ => Some(format!("{number} {what}s")),
    }
}

fn named(what: &str, names: &[Arc<str>]) -> Option<String> {
    let text = counted(what, names.len())?;
    let first: Vec<&str> = names.iter().take(NAMED).map(|name| &**name).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    Some(format!("{text} ({}{more})", first.join(", ")))
}

fn has_password(user: &User) -> bool {
    user.password.is_some() && !user.is_disabled
}

/// Reads a document; `None` if it cannot be read, and so is of no use to anyone.
fn parse<T: DeserializeOwned>(document: &Record) -> Option<T> {
    read(document).ok().map(|stored| stored.value)
}

async fn each(
    records: &dyn Records,
    kind: &str,
    mut look: impl FnMut(&Record) + Send,
) -> Result<()> {
    let mut after = String::new();
    loop {
        let page = records.list(kind, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id.to_string();
        page.iter().for_each(&mut look);
    }
}

/// Changes all documents of a kind, page by page. A page that another process changes meanwhile is read
/// again.
async fn change_each(
    records: &dyn Records,
    kind: &str,
    plan: impl Fn(&Record) -> Result<Option<Change>> + Send,
) -> Result<()> {
    let mut after = String::new();
    loop {
        let page = records.list(kind, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        let planned: Result<Vec<_>> = page.iter().filter_map(|one| plan(one).transpose()).collect();
        match records.change(&planned?).await {
            Ok(_) => after = last.id.to_string(),
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(error),
        }
    }
}

async fn audited(
    audit: Option<&dyn AuditSink>,
    by: &AuditWho,
    what: &'static str,
    detail: String,
) -> Result<()> {
    let event = AuditEvent::new(Timestamp::now(), by.clone(), what);
    let event = event.target(AuditTarget::new("store", "")).detail(detail);
    record(audit, &[event]).await
}
