//! The commands about users, tokens, secrets and the audit. They work through a server or on the
//! file of a store. A server that has the file open sees the changes within a second.

mod audit;
mod broker;
mod grants;
mod place;
mod programs;
mod secrets;
mod store;
mod teams;
mod tokens;
mod users;
mod workers;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use tinpot_access::{ChainAudit, Directory, Team, User};
use tinpot_core::ErrorKind;
use tinpot_core::access::{AuditWho, Records, Restoration};
use tinpot_sqlite::SqliteRecords;

pub(crate) use self::audit::audit;
pub(crate) use self::broker::broker;
pub(crate) use self::grants::{grants, groups};
pub(crate) use self::programs::programs;
pub(crate) use self::secrets::secrets;
pub(crate) use self::store::store;
pub(crate) use self::teams::teams;
pub(crate) use self::tokens::tokens;
pub(crate) use self::users::users;
pub(crate) use self::workers::worker_keys;
use crate::args::{Global, StoreFile};
use crate::client::user_name;
use crate::exit::{CliError, Code};
use crate::suggest;

/// The directory in the file of a store.
struct Store {
    directory: Directory,
    /// The person who changes it: an operator of this machine.
    by: AuditWho,
}

/// Runs a future that works on a store.
fn run<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let failed = |error| CliError::new(Code::Failed, format!("cannot start a runtime: {error}"));
    // Boxed, because `block_on` is compiled for each kind of future, with all of the runtime.
    let work: Pin<Box<dyn Future<Output = Result<T, CliError>>>> = Box::pin(work);
    runtime.map_err(failed)?.block_on(work)
}

/// Opens the records of a store. A file is created only by the first user.
fn records(file: &StoreFile, may_create: bool) -> Result<Arc<dyn Records>, CliError> {
    let path = &file.store;
    check_path(path)?;
    if !may_create && !path.exists() {
        let message = format!(
            "no store {}: name its file with --store, or sign in to a server with \"tinpot login\"",
            path.display()
        );
        return Err(CliError::new(Code::NotFound, message));
    }
    Ok(Arc::new(SqliteRecords::open(path)))
}

fn check_path(path: &Path) -> Result<(), CliError> {
    if path == Path::new("memory") || path == PathBuf::new() {
        let message = "--store (TINPOT_STORE) must name a file: a store in memory has no users";
        return Err(CliError::usage(message));
    }
    Ok(())
}

impl Store {
    async fn open(file: &StoreFile, may_create: bool) -> Result<Self, CliError> {
        let records = records(file, may_create)?;
        if let Some(note) = Restoration::of(&*records).await? {
            store::warn(&file.store, &note);
        }
        let audit = Arc::new(ChainAudit::start(records.clone(), "command"));
        // A store of a server without teams has the default team, with all of its users.
        let directory = Directory::builder(records).audit(audit).teams(true).open().await?;
        let by = AuditWho::new("operator", "", user_name().unwrap_or_default());
        Ok(Self { directory, by })
    }

    /// Opens the directory for changes in the team that the options name, or in the default team.
    async fn open_in_team(
        file: &StoreFile,
        may_create: bool,
        global: &Global,
    ) -> Result<Self, CliError> {
        let mut store = Self::open(file, may_create).await?;
        if let Some(name) = global.team() {
            let team = store.team(name)?.id;
            store.directory = store.directory.of_team(team);
        }
        Ok(store)
    }

    /// Returns the team with this name.
    fn team(&self, name: &str) -> Result<Team, CliError> {
        self.directory.team(name).ok_or_else(|| {
            let teams = self.directory.teams();
            let known = teams.iter().map(|team| &*team.name);
            let message = format!("no team {name:?}{}", suggest::or_list(name, known));
            CliError::new(Code::NotFound, message)
        })
    }

    /// Returns the user with this name.
    fn user(&self, name: &str) -> Result<User, CliError> {
        self.directory.user(name).ok_or_else(|| {
            let users = self.directory.users();
            let known = users.iter().map(|user| &*user.name);
            let message = format!("no user {name:?}{}", suggest::or_list(name, known));
            CliError::new(Code::NotFound, message)
        })
    }
}

/// Returns an error of the directory with its exit code.
pub(crate) fn refused(error: tinpot_core::Error) -> CliError {
    let code = match error.kind() {
        ErrorKind::InvalidInput => Code::Usage,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Conflict => Code::Conflict,
        _ => Code::Failed,
    };
    CliError { code, ..CliError::from(error) }
}
