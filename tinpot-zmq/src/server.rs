//! The end of the coordinator.

mod end;
mod hub;
mod outbox;
mod serve;
mod session;
mod socket_file;
mod topic;

use std::sync::Arc;
use std::time::Duration;

use omq_tokio::{IdentitySocket, Options, Socket, SocketType};
use tinpot_core::{Error, ErrorKind, Result};

pub use self::end::ServerEnd;
use self::hub::Hub;
use self::serve::Serving;
use self::socket_file::SocketFile;
use crate::address::ZmqAddress;
use crate::error::{invalid, reason};
use crate::record::max_message_bytes;

/// The size of the largest frame.
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// The time after which a client that sends nothing is gone. Each sends every 10 s.
const SILENCE: Duration = Duration::from_secs(30);
/// The connections of all clients; each has two.
const MAX_CONNECTIONS: usize = 8192;
/// Messages that the library holds for one client that does not read. A message is a batch of about
/// 64 KiB, or one frame: the queue that counts frames and bytes is the outbox.
const QUEUED_OUT: u32 = 2;
/// Messages that the library holds for this process. It takes them at once.
const QUEUED_IN: u32 = 64;
/// The time in which a stranger has to complete the handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// The settings of a server.
#[derive(Clone, Debug)]
struct Settings {
    max_frame_bytes: usize,
    silence: Duration,
    max_connections: usize,
    is_trusting: bool,
}

/// The server of a coordinator: a ROUTER socket, to which workers connect.
///
/// - Every client that can connect may send to the coordinator and listen at the addresses of workers, as at
///   a broker without an access list. On a socket in the file system, the rights of its folder
///   decide who can; on TCP, seal the frames.
/// - At most 4,096 frames and 16 MiB wait for one client on one lane, and 256 MiB for all of them.
///   A client that does not read loses frames; it delays no other.
/// - A client that sends nothing for 30 s is gone.
/// - Once every end that it gave out is closed or dropped, the server is closed, too.
///
/// ```
/// use tinpot_core::Coordinator;
/// use tinpot_zmq::{ZmqServer, ZmqTransport};
///
/// # #[tokio::main]
/// # async fn main() -> tinpot_core::Result<()> {
/// let server = ZmqServer::builder("zmq+tcp://127.0.0.1:0".parse()?).bind().await?;
/// let coordinator = Coordinator::builder(server.transport()).start().await?;
/// let worker = ZmqTransport::builder(server.address().clone()).connect().await?;
/// # drop(worker);
/// # coordinator.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ZmqServer {
    hub: Arc<Hub>,
    address: ZmqAddress,
}

/// Sets up a [`ZmqServer`]; made by [`ZmqServer::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `bind`"]
pub struct ZmqServerBuilder {
    address: ZmqAddress,
    settings: Settings,
}

impl ZmqServer {
    /// Returns a builder for a server at this address. With port 0, the system chooses one.
    pub fn builder(address: ZmqAddress) -> ZmqServerBuilder {
        let settings = Settings {
            max_frame_bytes: MAX_FRAME_BYTES,
            silence: SILENCE,
            max_connections: MAX_CONNECTIONS,
            is_trusting: false,
        };
        ZmqServerBuilder { address, settings }
    }

    /// Returns the address, with the port that the system chose.
    pub fn address(&self) -> &ZmqAddress {
        &self.address
    }

    /// Returns an end of the coordinator. Its link is up until it is closed.
    pub fn transport(&self) -> ServerEnd {
        ServerEnd::new(self.hub.clone())
    }
}

impl Drop for ZmqServer {
    fn drop(&mut self) {
        self.hub.close_without_ends();
    }
}

impl ZmqServerBuilder {
    /// Sets the size of the largest frame, in bytes; 16 MiB by default, from 4 MiB to 64 MiB.
    pub fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_frame_bytes = bytes.clamp(4 * 1024 * 1024, 64 * 1024 * 1024);
        self
    }

    /// Sets the time after which a client that sends nothing is gone; 30 s by default.
    pub fn silence(mut self, silence: Duration) -> Self {
        self.settings.silence = silence;
        self
    }

    /// Sets the largest number of connections, of which each worker has two; 8,192 by default.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.settings.max_connections = connections;
        self
    }

    /// Lets workers send to every address and listen at each of them, for tests and for networks whose
    /// participants trust each other. By default, they send to the coordinator only.
    pub fn trusting(mut self, is_trusting: bool) -> Self {
        self.settings.is_trusting = is_trusting;
        self
    }

    /// Binds the socket. Must be called within a Tokio runtime with time and I/O enabled.
    ///
    /// A socket in the file system needs a folder that others cannot enter; it is created if it
    /// does not exist. A socket that an earlier server left behind is replaced.
    ///
    /// # Errors
    /// `Conflict` if another server listens there; `InvalidInput` for a folder that others can
    /// enter, and for an address that cannot be bound.
    pub async fn bind(self) -> Result<ZmqServer> {
        let options = Options::default()
            .router_mandatory(true)
            .send_hwm(QUEUED_OUT)
            .recv_hwm(QUEUED_IN)
            .max_message_size(max_message_bytes(self.settings.max_frame_bytes))
            .handshake_timeout(HANDSHAKE);
        let endpoint = self.address.endpoint()?;
        let file = match self.address.path() {
            Some(path) => Some(SocketFile::prepare(path).await?),
            None => None,
        };
        let socket = Socket::try_new(SocketType::Router, options);
        let socket = socket.map_err(|error| invalid(format!("a socket: {error}")))?;
        let bound = socket.bind(endpoint).await.map_err(|error| {
            let kind = match &error {
                omq_tokio::Error::Io(why) if why.kind() == std::io::ErrorKind::AddrInUse => {
                    ErrorKind::Conflict
                }
                _ => ErrorKind::InvalidInput,
            };
            Error::new(kind, format!("cannot listen at {}: {}", self.address, reason(&error)))
        })?;
        if let Some(file) = &file {
            file.admit_group()?;
        }
        let address = self.address.bound(&bound);
        let router =
            IdentitySocket::try_from(socket).map_err(|error| invalid(error.to_string()))?;
        let hub = Arc::new(Hub::new(self.settings));
        let serving = Serving::new(router, hub.clone());
        // It ends with the hub, and leaves the address before the next server may take it.
        tokio::spawn(async move {
            serving.run().await;
            drop(file);
        });
        Ok(ZmqServer { hub, address })
    }
}
