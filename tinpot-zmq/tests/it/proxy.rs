//! A proxy in front of a server, which can be cut.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A proxy; it ends with this.
#[derive(Debug)]
pub(crate) struct Proxy {
    is_open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts one on a free port of loopback, and returns that.
    pub(crate) async fn tcp(server: String) -> (Self, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self::start(move |mut open| async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                client.set_nodelay(true).unwrap();
                let server = server.clone();
                carry(&mut open, client, async move {
                    let server = TcpStream::connect(server).await?;
                    server.set_nodelay(true)?;
                    Ok(server)
                });
            }
        });
        (proxy, port)
    }

    /// Starts one at a path.
    pub(crate) fn file(at: &Path, server: PathBuf) -> Self {
        let listener = UnixListener::bind(at).unwrap();
        Self::start(move |mut open| async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = server.clone();
                carry(&mut open, client, async move { UnixStream::connect(server).await });
            }
        })
    }

    fn start<F>(accept: impl FnOnce(watch::Receiver<bool>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (is_open, opens) = watch::channel(true);
        Self { is_open, task: tokio::spawn(accept(opens)) }
    }

    /// Ends every connection, and each new one at once.
    pub(crate) fn cut(&self) {
        self.is_open.send_replace(false);
    }

    pub(crate) fn restore(&self) {
        self.is_open.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn carry<C, S>(
    open: &mut watch::Receiver<bool>,
    mut client: C,
    connect: impl Future<Output = io::Result<S>> + Send + 'static,
) where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if !*open.borrow() {
        return;
    }
    let mut open = open.clone();
    tokio::spawn(async move {
        let carried = async { copy_bidirectional(&mut client, &mut connect.await?).await };
        tokio::select! {
            _ = carried => {}
            _ = open.wait_for(|open| !open) => {}
        }
    });
}
