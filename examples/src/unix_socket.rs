//! A transport of one's own: a coordinator and its workers on one host, by a hub on a Unix socket.
//!
//! [`Reconnecting`](tinpot_core::transport::Reconnecting) does most of it; this opens connections to
//! the hub, and turns commands into frames of bytes.

use std::future::ready;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use tinpot_core::transport::{Command, Connect, Connection, Lane};
use tinpot_core::{Error, ErrorKind, Result};
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// The largest frame of bytes: that of a transport, its topic and a little more.
const FRAME_BYTES: usize = 17 * 1024 * 1024;

pub(crate) const PUBLISH: u8 = 0;
pub(crate) const SUBSCRIBE: u8 = 1;
pub(crate) const UNSUBSCRIBE: u8 = 2;

/// Connects to the hub at the path of a Unix socket.
#[derive(Clone, Debug)]
pub struct UnixSocket(PathBuf);

impl UnixSocket {
    /// Creates a connector to the hub at `path`.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

#[async_trait]
impl Connect for UnixSocket {
    async fn connect(&self, _lane: Lane) -> Result<Connection> {
        let socket = UnixStream::connect(&self.0).await.map_err(unavailable)?;
        let (commands, frames) = framed(socket).split();
        let commands = commands.sink_map_err(unavailable).with(|command| {
            ready(Ok::<_, Error>(match command {
                Command::Publish { topic, frame } => encode(PUBLISH, &topic, &frame),
                Command::Subscribe { topic } => encode(SUBSCRIBE, &topic, b""),
                Command::Unsubscribe { topic } => encode(UNSUBSCRIBE, &topic, b""),
            }))
        });
        let frames = frames.map(|bytes| {
            let (_, topic, frame) = decode(bytes.map_err(unavailable)?)?;
            Ok((topic, frame))
        });
        Ok(Connection::new(commands, frames))
    }
}

fn unavailable(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, error.to_string())
}

/// Frames of bytes on a socket, each after its length.
pub(crate) fn framed(socket: UnixStream) -> Framed<UnixStream, LengthDelimitedCodec> {
    LengthDelimitedCodec::builder().max_frame_length(FRAME_BYTES).new_framed(socket)
}

/// Writes a command, the length of its topic, the topic and the frame.
pub(crate) fn encode(command: u8, topic: &str, frame: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(3 + topic.len() + frame.len());
    bytes.put_u8(command);
    bytes.put_u16(topic.len() as u16);
    bytes.put(topic.as_bytes());
    bytes.put(frame);
    bytes.freeze()
}

pub(crate) fn decode(mut bytes: BytesMut) -> Result<(u8, String, Bytes)> {
    let malformed = || Error::new(ErrorKind::Malformed, "a frame without a whole topic");
    let command = bytes.try_get_u8().map_err(|_| malformed())?;
    let length = bytes.try_get_u16().map_err(|_| malformed())?.into();
    if bytes.len() < length {
        return Err(malformed());
    }
    let topic = String::from_utf8(bytes.split_to(length).into()).map_err(|_| malformed())?;
    Ok((command, topic, bytes.freeze()))
}
