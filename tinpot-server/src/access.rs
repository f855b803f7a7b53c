//! Users, tokens and grants in the file of a store, while a server runs.

use std::sync::Arc;
use std::time::Duration;

use tinpot_access::{ChainAudit, Directory, Rules};
use tinpot_core::{Error, ErrorKind, Result};
use tinpot_http::DirectoryAuthenticator;
use tinpot_sqlite::SqliteRecords;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::error::error_chain;
use crate::settings::StoreSettings;

/// The interval at which changes of other processes are taken in. What they revoke ends open streams
/// within a second: half of it is for the streams, which gather changes before they look.
const REFRESH: Duration = Duration::from_millis(500);
/// The interval of the work that can wait.
const MAINTAIN: Duration = Duration::from_secs(60);

/// The directory of a server. Its task ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Access {
    directory: Directory,
    upkeep: JoinHandle<()>,
}

impl Access {
    /// Checks that the store that the settings name, or that at `default`, can have users.
    ///
    /// # Errors
    /// `InvalidInput` for a store in memory.
    pub(crate) fn check(store: &StoreSettings, default: &str) -> Result<()> {
        records(store, default).map(drop)
    }

    /// Opens the directory in the file of that store.
    ///
    /// # Errors
    /// `InvalidInput` for a store in memory; those of the records.
    pub(crate) async fn open(store: &StoreSettings, default: &str) -> Result<Self> {
        let records = Arc::new(records(store, default)?);
        let audit = Arc::new(ChainAudit::start(records.clone(), "coordinator"));
        let directory = Directory::builder(records).audit(audit).open().await?;
        if directory.users().is_empty() {
            let path = store.path(default);
            tracing::warn!(
                "there are no users, and all requests are refused: add one with \
                 \"tinpot users add NAME --admin --store {}\"",
                path.display()
            );
        }
        let upkeep = tokio::spawn(keep_up(directory.clone()));
        Ok(Self { directory, upkeep })
    }

    pub(crate) fn rules(&self) -> Rules {
        self.directory.rules()
    }

    pub(crate) fn authenticator(&self) -> DirectoryAuthenticator {
        DirectoryAuthenticator::new(self.directory.clone())
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        self.upkeep.abort();
    }
}

fn records(store: &StoreSettings, default: &str) -> Result<SqliteRecords> {
    store.records(default).ok_or_else(|| {
        let message = "--auth users (TINPOT_AUTH) needs a store in a file, which has the users and \
                       tokens: name one with --store (TINPOT_STORE)";
        Error::new(ErrorKind::InvalidInput, message)
    })
}

/// Takes in changes and writes last uses. Without the records, the directory stays as it was.
async fn keep_up(directory: Directory) {
    let mut turns = interval(REFRESH);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut maintained = Instant::now();
    let mut is_failing = false;
    loop {
        turns.tick().await;
        let done = if maintained.elapsed() < MAINTAIN {
            directory.refresh().await
        } else {
            maintained = Instant::now();
            directory.maintain().await
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
