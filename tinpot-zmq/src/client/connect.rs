//! Connections of a worker.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use futures::{Stream, StreamExt};
use omq_tokio::{
    Endpoint, Message, MonitorEvent, MonitorRecvError, MonitorStream, Options, ReconnectPolicy,
    Socket, SocketType,
};
use tinpot_core::transport::{Connect, Connection, Lane};
use tinpot_core::{Error, ErrorKind, Result};
use tokio::net::{TcpStream, UnixStream};

use super::NAMESPACE;
use super::upload::Upload;
use crate::address::{Place, ZmqAddress};
use crate::error::{reason, unavailable};
use crate::record::{self, hello, lane_name, max_message_bytes};

/// Messages that wait on each side of a connection. A message is a batch of about 64 KiB, or one
/// frame: the queues that count frames and bytes are those of the transport.
const QUEUED: u32 = 4;
/// The time for TCP and the handshake.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Opens the connections of a worker.
#[derive(Debug)]
pub(super) struct ZmqConnect {
    address: ZmqAddress,
    endpoint: Endpoint,
    max_frame_bytes: usize,
}

impl ZmqConnect {
    pub(super) fn new(address: ZmqAddress, max_frame_bytes: usize) -> Result<Self> {
        let endpoint = address.endpoint()?;
        Ok(Self { address, endpoint, max_frame_bytes })
    }

    fn options(&self) -> Options {
        Options::default()
            .send_hwm(QUEUED)
            .recv_hwm(QUEUED)
            .max_message_size(max_message_bytes(self.max_frame_bytes))
            .handshake_timeout(CONNECT_PATIENCE)
            .linger(Duration::ZERO)
            // The socket is dropped as soon as it fails: the transport has its own pauses. With a
            // policy that never tries again, a failure would not be announced.
            .reconnect(ReconnectPolicy::Fixed(CONNECT_PATIENCE))
    }

    /// Waits until the connection is there, or says why it cannot be. Returns the generation of the
    /// socket's connections in which it is there.
    async fn ready(&self, socket: &Socket) -> Result<u64> {
        let events = socket.monitor();
        socket.connect(self.endpoint.clone()).await.map_err(|e| unavailable(reason(&e)))?;
        tokio::select! {
            ready = connected(socket) => ready.map_err(|e| unavailable(reason(&e))),
            why = self.failed(events) => Err(why),
        }
    }

    /// Resolves when an attempt to connect has failed.
    async fn failed(&self, mut events: MonitorStream) -> Error {
        loop {
            match events.recv().await {
                Ok(MonitorEvent::HandshakeFailed { reason, .. }) => {
                    let message = format!("{} is no ZeroMQ peer: {reason}", self.address);
                    return unavailable(message);
                }
                Ok(MonitorEvent::ConnectDelayed { .. }) => return self.why_not().await,
                Ok(MonitorEvent::Disconnected { .. }) => {
                    return unavailable(format!("{} closed the connection", self.address));
                }
                Ok(_) | Err(MonitorRecvError::Lagged(_)) => {}
                Err(_) => return unavailable("the socket is closed"),
            }
        }
    }

    /// Finds out why nothing answers: the library does not tell.
    async fn why_not(&self) -> Error {
        let tried = match self.address.place() {
            Place::Tcp(host, port) => TcpStream::connect((&**host, *port)).await.map(drop),
            Place::File(path) => UnixStream::connect(path).await.map(drop),
        };
        let why = match tried {
            Ok(()) => "it answers now".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                "there is no such socket: is the coordinator running?".to_owned()
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                "this user may not connect: start the worker as the user of the coordinator, or as \
                 one of its group"
                    .to_owned()
            }
            Err(error) => error.to_string(),
        };
        unavailable(format!("{}: {why}", self.address))
    }
}

/// Waits until the socket has its connection. A later change of the generation is its end.
async fn connected(socket: &Socket) -> omq_tokio::Result<u64> {
    loop {
        // First: a change between the two must not be missed.
        let seen = socket.connections_generation();
        if socket.connections().await?.iter().any(|one| one.peer_info.is_some()) {
            return Ok(seen);
        }
        socket.connections_changed(seen).await?;
    }
}

#[async_trait]
impl Connect for ZmqConnect {
    async fn connect(&self, lane: Lane) -> Result<Connection> {
        let socket = Socket::try_new(SocketType::Dealer, self.options());
        let socket =
            socket.map_err(|e| Error::new(ErrorKind::InvalidInput, format!("a socket: {e}")))?;
        let seen = self.ready(&socket).await?;
        socket.send(hello(lane)).await.map_err(|e| unavailable(reason(&e)))?;
        let prefix = format!("{NAMESPACE}/{}/", lane_name(lane));
        let up = Upload::new(socket.clone(), prefix.clone());
        Ok(Connection::new(up, frames(Down { socket, seen, prefix })))
    }
}

/// The way down.
struct Down {
    socket: Socket,
    /// The state of the connections in which this one is there.
    seen: u64,
    prefix: String,
}

impl Down {
    /// Returns the next message. Cancel safe.
    async fn next(&self) -> Result<Message> {
        tokio::select! {
            biased;
            received = self.socket.recv() => received.map_err(|e| unavailable(reason(&e))),
            // What arrived before the end is received first.
            _ = self.socket.connections_changed(self.seen) => match self.socket.try_recv() {
                Ok(message) => Ok(message),
                Err(_) => Err(unavailable("the coordinator closed the connection")),
            },
        }
    }
}

type Frames = Vec<Result<(String, Bytes)>>;

/// Returns the frames of a link; they end with an error when the connection does.
fn frames(down: Down) -> impl Stream<Item = Result<(String, Bytes)>> + Send {
    stream::unfold(Some(down), async |down| {
        let down = down?;
        match down.next().await.and_then(|message| down.read(&message)) {
            Ok(frames) => Some((stream::iter(frames), Some(down))),
            Err(error) => Some((stream::iter(vec![Err(error)]), None)),
        }
    })
    .flatten()
}

impl Down {
    fn read(&self, message: &Message) -> Result<Frames> {
        if let Some(why) = record::refusal(message) {
            return Err(unavailable(format!("the coordinator refuses: {why}")));
        }
        let mut frames = Vec::with_capacity(message.len() / 2);
        for record in record::records(message) {
            let record = record.map_err(|why| {
                Error::new(ErrorKind::Malformed, format!("it is no coordinator: {why}"))
            })?;
            frames.push(Ok((format!("{}{}", self.prefix, record.topic), record.frame)));
        }
        Ok(frames)
    }
}
