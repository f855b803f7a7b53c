//! The clients of a link: who they are, and what they may do.

use std::fmt;
use std::sync::Arc;

use tinpot_core::transport::{Address, Channel};
use tinpot_core::{Result, WorkerId};

/// The user and the password of a request. Its `Debug` form leaves out the password.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Login {
    /// Creates a login.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: password.into() }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Decides which clients a link admits.
///
/// # Contract
/// - `admit` is called for every request, in the task that serves it: it must not block. A client
///   that it refuses is gone with its next request, and after at most 10 s.
/// - The answer depends on the login and the id only.
pub trait Admission: fmt::Debug + Send + Sync + 'static {
    /// Returns the rights of a client that presents this login, and says that it is this worker.
    ///
    /// # Errors
    /// `Unauthenticated` for a login that is missing or wrong, and `Forbidden` for an id that it
    /// may not speak for. The client gets the message.
    fn admit(&self, login: Option<&Login>, worker: &WorkerId) -> Result<Peer>;
}

/// A client of a link, and its rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    account: Arc<str>,
    channel: Channel,
    is_trusted: bool,
}

impl Peer {
    /// Returns a worker of this name, which speaks for `id` only: it sends to the coordinator, and
    /// receives what the coordinator sends to it and to all workers.
    ///
    /// The number of links is bounded per `account`, such as the user of its login.
    pub fn worker(account: &str, name: &str, id: &WorkerId) -> Self {
        let channel = Channel::Worker { name: name.into(), id: id.clone() };
        Self { account: account.into(), channel, is_trusted: false }
    }

    /// Returns a client that may send to every address and listen at each of them, for tests and
    /// for networks whose participants trust each other.
    pub fn trusted(account: &str, id: &WorkerId) -> Self {
        let channel = Channel::of(&Address::Worker(id.clone()));
        Self { account: account.into(), channel, is_trusted: true }
    }

    pub(super) fn account(&self) -> &str {
        &self.account
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(super) fn may_send_to(&self, to: &Address) -> bool {
        self.is_trusted || matches!(to, Address::Coordinator)
    }

    pub(super) fn may_listen_at(&self, at: &Address) -> bool {
        let is_own = match (at, &self.channel) {
            (Address::Worker(at), Channel::Worker { id, .. }) => at == id,
            _ => false,
        };
        self.is_trusted || matches!(at, Address::AllWorkers) || is_own
    }
}
