//! The hub of the `custom_transport` example: it delivers what its connections publish. Any broker
//! would do.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::unix_socket::{PUBLISH, SUBSCRIBE, decode, encode, framed};

/// Frames that wait for a connection that does not read; later ones are dropped.
const CONNECTION_FRAMES: usize = 4096;

type Topics = HashMap<String, HashMap<u64, mpsc::Sender<Bytes>>>;

/// A hub on a Unix socket. Dropping it ends every connection.
#[derive(Debug)]
pub struct UnixHub(JoinHandle<()>);

impl UnixHub {
    /// Listens at `path`, in place of an earlier hub.
    ///
    /// # Errors
    /// The socket cannot be created.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        let topics = Arc::<Mutex<Topics>>::default();
        Ok(Self(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            for id in 0.. {
                let Ok((socket, _)) = listener.accept().await else { return };
                connections.spawn(serve(id, socket, topics.clone()));
                while connections.try_join_next().is_some() {}
            }
        })))
    }
}

impl Drop for UnixHub {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(id: u64, socket: UnixStream, topics: Arc<Mutex<Topics>>) {
    let lock = || topics.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut sink, mut commands) = framed(socket).split();
    let (sender, mut frames) = mpsc::channel(CONNECTION_FRAMES);
    let read = async {
        while let Some(Ok(bytes)) = commands.next().await {
            let Ok((command, topic, frame)) = decode(bytes) else { return };
            let mut topics = lock();
            match command {
                PUBLISH => {
                    let bytes = encode(PUBLISH, &topic, &frame);
                    for subscriber in topics.get(&topic).into_iter().flat_map(HashMap::values) {
                        let _ = subscriber.try_send(bytes.clone());
                    }
                }
                SUBSCRIBE => drop(topics.entry(topic).or_default().insert(id, sender.clone())),
                _ => drop(topics.get_mut(&topic).map(|topic| topic.remove(&id))),
            }
        }
    };
    let write = async {
        while let Some(frame) = frames.recv().await {
            if sink.feed(frame).await.is_err() || frames.is_empty() && sink.flush().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
    lock().retain(|_, subscribers| {
        subscribers.remove(&id);
        !subscribers.is_empty()
    });
}
