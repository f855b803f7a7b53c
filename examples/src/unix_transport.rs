//! A transport of one's own: workers and coordinator on one host, by Unix sockets in a directory. Part of the `custom_transport` example.
//!
//! Each listener is a socket file; each frame is one connection to it. Slow, and simple enough to see what a transport has to do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tinpot_core::{Address, Error, ErrorKind, Lane, Link, Result, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// The longest that a listener which does not read may hold up a sender.
const PATIENCE: Duration = Duration::from_millis(500);
/// Frames that wait for a listener.
const FRAMES: usize = 4096;
/// The largest frame.
const FRAME_BYTES: u64 = 64 * 1024 * 1024;

/// Moves frames by socket files in a directory that all participants share.
#[derive(Clone, Debug)]
pub struct UnixTransport {
    directory: Arc<PathBuf>,
    link: Arc<watch::Sender<Link>>,
}

/// Distinguishes the listeners of one process.
static LISTENERS: AtomicU64 = AtomicU64::new(0);

impl UnixTransport {
    /// A transport by sockets in `directory`, which is made if it is not there.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn new(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        Ok(Self {
            directory: Arc::new(directory.to_owned()),
            link: Arc::new(watch::Sender::new(Link::Up)),
        })
    }

    fn check_open(&self) -> Result<()> {
        if *self.link.borrow() == Link::Closed {
            return Err(Error::new(ErrorKind::Closed, "the transport is closed"));
        }
        Ok(())
    }

    /// The sockets of all listeners at an address.
    fn sockets(&self, to: &Address, lane: Lane) -> Vec<PathBuf> {
        let prefix = prefix(to, lane);
        let entries = std::fs::read_dir(&*self.directory).into_iter().flatten().flatten();
        let named = entries.map(|entry| entry.path());
        named
            .filter(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
            })
            .collect()
    }
}

/// The prefix of the file names of an address. The `!` cannot stand in a worker's id, so no id is a
/// prefix of another.
fn prefix(address: &Address, lane: Lane) -> String {
    match address {
        Address::Coordinator => format!("c!{lane:?}!"),
        Address::Worker(id) => format!("w!{id}!{lane:?}!"),
        Address::AllWorkers => format!("a!{lane:?}!"),
    }
}

async fn deliver(socket: &Path, frame: &[u8]) -> io::Result<()> {
    let mut connection = UnixStream::connect(socket).await?;
    // The length first: a frame that was cut off, because its sender was, is none.
    connection.write_u64(frame.len() as u64).await?;
    connection.write_all(frame).await?;
    connection.shutdown().await?;
    // The listener's end is closed once it has read everything: that keeps the frames of one sender in order.
    connection.read(&mut [0]).await.map(drop)
}

/// A socket that is read even if the stream is not polled: a loop that is sending must not keep
/// others from sending to it.
struct Listening {
    path: PathBuf,
    reader: JoinHandle<()>,
    frames: mpsc::Receiver<Bytes>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.reader.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn read_frames(listener: UnixListener, frames: mpsc::Sender<Bytes>) {
    loop {
        let Ok((mut connection, _)) = listener.accept().await else { continue };
        let Ok(length) = connection.read_u64().await else { continue };
        let mut frame = Vec::new();
        let read = connection.take(FRAME_BYTES).read_to_end(&mut frame).await;
        if read.ok().is_none_or(|read| read as u64 != length) {
            continue;
        }
        // With a full buffer the frame is lost, and the protocol sends it again.
        if let Err(mpsc::error::TrySendError::Closed(_)) = frames.try_send(Bytes::from(frame)) {
            return;
        }
    }
}

#[async_trait]
impl Transport for UnixTransport {
    async fn send(&self, to: &Address, lane: Lane, frame: Bytes) -> Result<()> {
        self.check_open()?;
        let mut result = Ok(());
        for socket in self.sockets(to, lane) {
            match tokio::time::timeout(PATIENCE, deliver(&socket, &frame)).await {
                Ok(Ok(())) => {}
                // The listener is gone: its process was killed.
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    drop(std::fs::remove_file(&socket))
                }
                Ok(Err(error)) => tracing::debug!(%to, %error, "a frame was lost"),
                Err(_) => {
                    result = Err(Error::new(
                        ErrorKind::Overloaded,
                        format!("{to} does not read its frames"),
                    ))
                }
            }
        }
        result
    }

    async fn listen(&self, at: &Address, lane: Lane) -> Result<BoxStream<'static, Bytes>> {
        self.check_open()?;
        let number = LISTENERS.fetch_add(1, Ordering::Relaxed);
        let path =
            self.directory.join(format!("{}{}-{number}", prefix(at, lane), std::process::id()));
        let cannot = |e| {
            Error::new(ErrorKind::Other, format!("cannot listen on {}", path.display()))
                .with_source(e)
        };
        let listener = UnixListener::bind(&path).map_err(cannot)?;
        let (sender, frames) = mpsc::channel(FRAMES);
        let listening =
            Listening { path, reader: tokio::spawn(read_frames(listener, sender)), frames };
        let frames = stream::unfold(listening, |mut listening| async move {
            listening.frames.recv().await.map(|frame| (frame, listening))
        });
        let mut link = self.link.subscribe();
        let closed = async move {
            let _ = link.wait_for(|link| *link == Link::Closed).await;
        };
        Ok(frames.take_until(Box::pin(closed)).boxed())
    }

    fn status(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    async fn close(&self) {
        self.link.send_replace(Link::Closed);
    }
}
