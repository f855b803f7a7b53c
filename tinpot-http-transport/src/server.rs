//! The end of the coordinator.

mod admission;
mod hub;
mod link_end;
mod outbox;
mod routes;
mod session;
mod topic;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;

pub use self::admission::{Admission, Login, Peer};
use self::hub::Hub;
pub use self::link_end::LinkEnd;

/// The size of the largest frame.
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// The time after which a client that sends nothing is gone. Each sends every 10 s.
const SILENCE: Duration = Duration::from_secs(30);
/// The links of all clients on one lane.
const MAX_CLIENTS: usize = 4096;

/// The settings of a link.
#[derive(Clone, Debug)]
struct Settings {
    max_frame_bytes: usize,
    silence: Duration,
    max_clients: usize,
}

/// The server of a link: workers connect to its [`router`](Self::router) by HTTP, and the
/// coordinator takes its [`transport`](Self::transport).
///
/// - At most 4,096 frames and 16 MiB wait for one client on one lane, and 256 MiB for all of them.
///   A client that does not read loses frames; it delays no other.
/// - A client that sends nothing for 30 s is gone.
/// - Once every end that it gave out is closed or dropped, the link is closed: its clients are sent
///   away, and new ones get 503.
///
/// ```
/// use std::sync::Arc;
/// use tinpot_core::{Coordinator, Result, WorkerId};
/// use tinpot_http_transport::{Admission, LinkServer, Login, Peer};
///
/// #[derive(Debug)]
/// struct OneWorker;
///
/// impl Admission for OneWorker {
///     fn admit(&self, login: Option<&Login>, worker: &WorkerId) -> Result<Peer> {
///         match login {
///             Some(login) if *login == Login::new("web", "secret") => {
///                 Ok(Peer::worker("web", "web", worker))
///             }
///             _ => Err(tinpot_core::Error::new(
///                 tinpot_core::ErrorKind::Forbidden,
///                 "user or password is wrong",
///             )),
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let link = LinkServer::builder(Arc::new(OneWorker)).start();
/// let coordinator = Coordinator::builder(link.transport()).start().await?;
/// let application = axum::Router::<()>::new().merge(link.router());
/// # coordinator.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LinkServer {
    hub: Arc<Hub>,
}

/// Sets up a [`LinkServer`]; made by [`LinkServer::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `start`"]
pub struct LinkServerBuilder {
    admission: Arc<dyn Admission>,
    settings: Settings,
}

impl LinkServer {
    /// Returns a builder for a link that admits these clients.
    pub fn builder(admission: Arc<dyn Admission>) -> LinkServerBuilder {
        let settings = Settings {
            max_frame_bytes: MAX_FRAME_BYTES,
            silence: SILENCE,
            max_clients: MAX_CLIENTS,
        };
        LinkServerBuilder { admission, settings }
    }

    /// Returns the routes `/api/link/control` and `/api/link/logs`. Serve them over HTTPS: the
    /// clients send passwords.
    pub fn router(&self) -> Router {
        routes::router(self.hub.clone())
    }

    /// Returns an end of the coordinator. Its link is up until it is closed.
    pub fn transport(&self) -> LinkEnd {
        LinkEnd::new(self.hub.clone())
    }
}

impl LinkServerBuilder {
    /// Sets the size of the largest frame, in bytes; 16 MiB by default, at least 4 MiB.
    pub fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_frame_bytes = bytes.max(4 * 1024 * 1024);
        self
    }

    /// Sets the time after which a client that sends nothing is gone; 30 s by default.
    pub fn silence(mut self, silence: Duration) -> Self {
        self.settings.silence = silence;
        self
    }

    /// Sets the largest number of clients on one lane; 4,096 by default.
    pub fn max_clients(mut self, clients: usize) -> Self {
        self.settings.max_clients = clients;
        self
    }

    /// Starts the link. Must be called within a Tokio runtime with time enabled.
    pub fn start(self) -> LinkServer {
        let hub = Arc::new(Hub::new(self.admission, self.settings));
        // It ends with the hub.
        tokio::spawn(hub::sweep(Arc::downgrade(&hub)));
        LinkServer { hub }
    }
}
