//! The sockets of a gateway and of a guest: the only place that knows the library of ZeroMQ.

pub(crate) mod client;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use omq_tokio::{
    CurveServerOptions, Endpoint, IdentitySocket, Message, Options, Socket, SocketType,
};
use tinpot_core::{Error, ErrorKind, Result};

use crate::address::MoorAddress;
use crate::curve::Curve;
use crate::server::MESSAGE_BYTES;

/// Messages for one subscriber: more than may be under way on a pair, with the pings.
const QUEUED: u32 = 1000;
/// The time in which a stranger has to complete the handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The time that closing gives the last replies.
const LINGER: Duration = Duration::from_millis(500);
/// The topic of all messages to workers.
const TOPIC: Bytes = Bytes::from_static(b"workers");

/// The sockets of a gateway: PUB for requests, and those for responses.
#[derive(Debug)]
pub(crate) struct Sockets {
    requests: Socket,
    responses: Responses,
}

/// A socket that answers: ROUTER in place of REP.
#[derive(Debug)]
pub(crate) struct Responses(IdentitySocket);

/// A message of a worker, and the way back.
#[derive(Debug)]
pub(crate) struct Incoming {
    peer: Bytes,
    /// REQ sends an empty frame first, and expects one.
    has_delimiter: bool,
    pub(crate) frames: Vec<Bytes>,
}

/// Returns the options of a socket that listens.
fn options(curve: Option<&Curve>) -> Options {
    let options = Options::default()
        .send_hwm(QUEUED)
        .recv_hwm(QUEUED)
        // With the token, the id and the slots that count as bytes.
        .max_message_size(MESSAGE_BYTES + 64 * 1024)
        .handshake_timeout(HANDSHAKE)
        .linger(LINGER);
    match curve {
        None => options,
        Some(Curve { key, clients }) => {
            let clients = clients.clone();
            let server = CurveServerOptions::new().authenticator(move |peer| {
                let is_admitted = clients.has(&peer.public_key);
                if !is_admitted {
                    tracing::debug!("a worker of mooR with an unknown CURVE key is refused");
                }
                is_admitted
            });
            options.curve_server_with_options(key.pair(), server)
        }
    }
}

impl Sockets {
    /// Binds both sockets. Returns them with their addresses.
    ///
    /// # Errors
    /// `Conflict` if another program listens there; `InvalidInput` if an address cannot be bound.
    pub(crate) async fn bind(
        address: MoorAddress,
        curve: Option<&Curve>,
    ) -> Result<(Self, MoorAddress)> {
        for path in address.paths().into_iter().flatten() {
            make_free(&path)?;
        }
        let (requests, requests_port) =
            bind(SocketType::Pub, options(curve), &address.requests()).await?;
        let (responses, responses_port) = Responses::bind(&address.responses(), curve).await?;
        for path in address.paths().into_iter().flatten() {
            fs::set_permissions(&path, Permissions::from_mode(0o660)).map_err(|error| {
                invalid(format!("cannot set the rights of {}: {error}", path.display()))
            })?;
        }
        Ok((Self { requests, responses }, address.bound(requests_port, responses_port)))
    }

    /// Returns the next message of a worker. Cancel safe.
    ///
    /// # Errors
    /// `Closed` if the socket is closed.
    pub(crate) async fn next(&self) -> Result<Incoming> {
        self.responses.next().await
    }

    /// Returns the next message of a worker, if there is one.
    pub(crate) fn try_next(&self) -> Option<Incoming> {
        let (peer, message) = self.responses.0.try_recv_from().ok()?;
        Some(incoming(peer.as_ref(), &message))
    }

    /// Sends the reply to a message. A peer that does not read loses it.
    pub(crate) fn reply(&self, to: &Incoming, reply: Vec<u8>) {
        self.responses.reply(to, reply);
    }

    /// Sends a message to all workers.
    pub(crate) async fn publish(&self, message: Vec<u8>) {
        let message = Message::multipart([TOPIC, Bytes::from(message)]);
        if let Err(error) = self.requests.send(message).await {
            tracing::warn!(%error, "a message to workers of mooR cannot be sent");
        }
    }

    /// Closes both sockets, after the last replies.
    pub(crate) async fn close(self) {
        self.responses.close().await;
        let _ = self.requests.close().await;
    }
}

impl Responses {
    /// Binds the socket. Returns it with its port.
    ///
    /// # Errors
    /// Those of [`Sockets::bind`].
    pub(crate) async fn bind(address: &str, curve: Option<&Curve>) -> Result<(Self, u16)> {
        let (socket, port) = bind(SocketType::Router, options(curve), address).await?;
        let socket = IdentitySocket::try_from(socket).map_err(|error| failed(&error))?;
        Ok((Self(socket), port))
    }

    /// Returns the next message. Cancel safe.
    ///
    /// # Errors
    /// `Closed` if the socket is closed.
    pub(crate) async fn next(&self) -> Result<Incoming> {
        let (peer, message) = self.0.recv_from().await.map_err(|error| failed(&error))?;
        Ok(incoming(peer.as_ref(), &message))
    }

    /// Sends the reply to a message. A peer that does not read loses it.
    pub(crate) fn reply(&self, to: &Incoming, reply: Vec<u8>) {
        let delimiter = to.has_delimiter.then(Bytes::new);
        let message = Message::multipart(delimiter.into_iter().chain([Bytes::from(reply)]));
        if let Err(error) = self.0.try_send_to(&to.peer, message) {
            tracing::debug!(%error, "a worker of mooR does not take its reply");
        }
    }

    /// Closes the socket, after the last replies.
    pub(crate) async fn close(self) {
        let _ = self.0.into_inner().close().await;
    }
}

fn incoming(peer: &[u8], message: &Message) -> Incoming {
    let mut frames: Vec<Bytes> =
        (0..message.len()).filter_map(|at| message.part_bytes(at)).collect();
    let has_delimiter = frames.first().is_some_and(Bytes::is_empty);
    if has_delimiter {
        frames.remove(0);
    }
    Incoming { peer: Bytes::copy_from_slice(peer), has_delimiter, frames }
}

async fn bind(kind: SocketType, options: Options, address: &str) -> Result<(Socket, u16)> {
    let socket = Socket::try_new(kind, options).map_err(|error| failed(&error))?;
    let endpoint: Endpoint = address.parse().map_err(|error: omq_tokio::Error| failed(&error))?;
    let bound = socket.bind(endpoint).await.map_err(|error| {
        let kind = match &error {
            omq_tokio::Error::Io(why) if why.kind() == io::ErrorKind::AddrInUse => {
                ErrorKind::Conflict
            }
            _ => ErrorKind::InvalidInput,
        };
        Error::new(kind, format!("cannot listen at {address}: {error}"))
    })?;
    let port = match bound {
        Endpoint::Tcp { port, .. } => port,
        _ => 0,
    };
    Ok((socket, port))
}

/// Removes a socket that a process which has ended left behind.
fn make_free(path: &Path) -> Result<()> {
    let shown = path.display();
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(invalid(format!("cannot read {shown}: {error}"))),
    };
    if !metadata.file_type().is_socket() {
        return Err(invalid(format!("{shown} exists and is no socket: choose another path")));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) => return Err(invalid(format!("cannot connect to {shown}: {error}"))),
        Ok(_) => {
            let message =
                format!("another program listens at {shown}: end it, or choose another path");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
    }
    fs::remove_file(path).map_err(|error| invalid(format!("cannot remove {shown}: {error}")))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

fn failed(error: &omq_tokio::Error) -> Error {
    Error::new(ErrorKind::Closed, format!("a socket of ZeroMQ: {error}"))
}
