//! Code that the tests share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tinpot_access::{Clock, Directory, NewUser, User};
use tinpot_core::access::{AuditWho, MemoryRecords, Records};
use tinpot_core::{ErrorKind, Result, Timestamp};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// A clock that tests move.
#[derive(Clone, Debug)]
pub(crate) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_800_000_000_000_000)))
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_micros() as u64, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// A directory in memory.
pub(crate) struct World {
    pub(crate) records: Arc<dyn Records>,
    pub(crate) clock: Hand,
    pub(crate) directory: Directory,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(false).await
    }

    /// A directory with several teams.
    pub(crate) async fn with_teams() -> Self {
        Self::of(true).await
    }

    async fn of(has_teams: bool) -> Self {
        let records: Arc<dyn Records> = Arc::new(MemoryRecords::new());
        let clock = Hand::new();
        let directory = Directory::builder(records.clone()).clock(clock.clone()).teams(has_teams);
        let directory = directory.open().await.expect("a directory");
        Self { records, clock, directory }
    }

    /// Opens the directory as another process does.
    pub(crate) async fn other(&self) -> Directory {
        let directory = Directory::builder(self.records.clone()).clock(self.clock.clone());
        let directory = directory.teams(self.directory.has_teams());
        directory.open().await.expect("a directory")
    }

    pub(crate) async fn user(&self, name: &str) -> User {
        self.directory.add_user(&by(), NewUser::new(name)).await.expect("a user")
    }

    pub(crate) async fn admin(&self, name: &str) -> User {
        let new = NewUser::new(name).server_admin();
        self.directory.add_user(&by(), new).await.expect("a user")
    }
}

/// The principal of changes.
pub(crate) fn by() -> AuditWho {
    AuditWho::new("operator", "", "root")
}

#[track_caller]
pub(crate) fn refused<T: fmt::Debug>(result: Result<T>, kind: ErrorKind, says: &str) {
    let error = result.expect_err("it must be refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(says), "{says:?} is not in {error}");
}
