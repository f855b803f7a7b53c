//! A proxy in front of a server, which can be cut, and which can hold answers back.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The treatment of answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answers {
    /// Bytes pass as they come.
    Pass,
    /// The head passes. The body of an answer without a length is held back until it ends, as by a
    /// proxy that buffers.
    HoldStreams,
}

/// A proxy on a free port of loopback; it ends with this.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    is_open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr, answers: Answers) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_open, opens) = watch::channel(true);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let mut open = opens.clone();
                if !*open.borrow() {
                    continue;
                }
                tokio::spawn(async move {
                    tokio::select! {
                        _ = carry(client, server, answers) => {}
                        _ = open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { address, is_open, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
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

async fn carry(client: TcpStream, server: SocketAddr, answers: Answers) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let up = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(drop) };
    tokio::select! {
        ended = up => ended,
        ended = down(from_server, to_client, answers) => ended,
    }
}

async fn down(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, answers: Answers) -> io::Result<()> {
    if answers == Answers::Pass {
        return tokio::io::copy(&mut from, &mut to).await.map(drop);
    }
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        // Answers that are streams have no length, and this server writes their heads at once.
        let text = String::from_utf8_lossy(&buffer[..read]).to_ascii_lowercase();
        if text.starts_with("http/1.1 200") && text.contains("transfer-encoding: chunked") {
            let head = text.find("\r\n\r\n").map_or(read, |at| at + 4);
            to.write_all(&buffer[..head]).await?;
            let mut held = buffer[head..read].to_vec();
            from.read_to_end(&mut held).await?;
            return to.write_all(&held).await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}
