//! The sockets of a worker.

use std::time::Duration;

use bytes::Bytes;
use omq_tokio::{Endpoint, Message, Options, Socket, SocketType};
use tinpot_core::Result;

use super::{HANDSHAKE, QUEUED, failed};
use crate::server::MESSAGE_BYTES;

/// The time that a daemon has to reply.
const REPLY: Duration = Duration::from_secs(5);

/// A subscription to the requests of a daemon. It connects again by itself.
#[derive(Debug)]
pub(crate) struct Subscription(Socket);

impl Subscription {
    /// Subscribes. A daemon that is not there yet may come later.
    ///
    /// # Errors
    /// `Closed` if the address cannot be used.
    pub(crate) async fn open(address: &str) -> Result<Self> {
        let socket = connect(SocketType::Sub, address).await?;
        socket.subscribe("workers").await.map_err(|error| failed(&error))?;
        Ok(Self(socket))
    }

    /// Returns the frames of the next publication. Cancel safe.
    ///
    /// # Errors
    /// `Closed` if the socket is.
    pub(crate) async fn next(&self) -> Result<Vec<Bytes>> {
        self.0.recv().await.map(|message| frames(&message)).map_err(|error| failed(&error))
    }
}

/// Sends a message by a socket of its own. Returns the frames of the reply; `None` if there was
/// none in time.
pub(crate) async fn exchange(address: String, message: Vec<Bytes>) -> Option<Vec<Bytes>> {
    let exchanged = async {
        let socket = connect(SocketType::Req, &address).await?;
        socket.send(Message::multipart(message)).await.map_err(|error| failed(&error))?;
        let reply = socket.recv().await.map_err(|error| failed(&error))?;
        let _ = socket.close().await;
        Ok::<_, tinpot_core::Error>(frames(&reply))
    };
    match tokio::time::timeout(REPLY, exchanged).await {
        Ok(Ok(frames)) => Some(frames),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a message to a daemon of mooR is not replied to");
            // Faults that come at once must not make a loop without a pause.
            tokio::time::sleep(REPLY / 5).await;
            None
        }
        Err(_) => None,
    }
}

fn frames(message: &Message) -> Vec<Bytes> {
    (0..message.len()).filter_map(|at| message.part_bytes(at)).collect()
}

async fn connect(kind: SocketType, address: &str) -> Result<Socket> {
    let options = Options::default()
        .send_hwm(QUEUED)
        .recv_hwm(QUEUED)
        .max_message_size(MESSAGE_BYTES + 64 * 1024)
        .handshake_timeout(HANDSHAKE)
        // What was not sent when the worker ends is of no use to the daemon.
        .linger(Duration::ZERO);
    let socket = Socket::try_new(kind, options).map_err(|error| failed(&error))?;
    let endpoint: Endpoint = address.parse().map_err(|error: omq_tokio::Error| failed(&error))?;
    socket.connect(endpoint).await.map_err(|error| failed(&error))?;
    Ok(socket)
}
