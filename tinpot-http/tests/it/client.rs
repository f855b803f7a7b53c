//! A server on a socket, and the least of HTTP/1.1 that a client needs to read a stream as it comes.

use std::net::SocketAddr;

use axum::Router;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::within;

/// A server that ends gracefully when `stop` becomes true.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) ended: JoinHandle<()>,
}

pub(crate) async fn serve(router: Router, stop: watch::Receiver<bool>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ended = tokio::spawn(async move {
        axum::serve(listener, router).with_graceful_shutdown(begun(stop)).await.unwrap();
    });
    Server { address, ended }
}

/// Resolves when `stop` becomes true, or its sender is gone.
pub(crate) async fn begun(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// One request and its response, read as far as asked.
pub(crate) struct Client {
    connection: BufReader<TcpStream>,
    pub(crate) status: u16,
    pub(crate) head: String,
    text: Vec<u8>,
}

/// One server-sent event, or a comment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SseEvent {
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl Client {
    pub(crate) async fn open(address: SocketAddr, request: &str) -> Self {
        within(async {
            let mut connection = TcpStream::connect(address).await.unwrap();
            let request =
                format!("{}\r\nhost: localhost\r\n\r\n", request.trim_end().replace('\n', "\r\n"));
            connection.write_all(request.as_bytes()).await.unwrap();
            let mut connection = BufReader::new(connection);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(connection.read_line(&mut head).await.unwrap(), 0, "{head}");
            }
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            Self { connection, status, head, text: Vec::new() }
        })
        .await
    }

    /// The next chunk of a chunked body; `None` at its proper end.
    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut size = String::new();
        within(self.connection.read_line(&mut size)).await.unwrap();
        let size = usize::from_str_radix(size.trim(), 16).expect("the size of a chunk");
        let mut chunk = vec![0; size + 2];
        within(self.connection.read_exact(&mut chunk)).await.unwrap();
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }

    /// The next block of a stream: an event or a comment; `None` at the end.
    pub(crate) async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.text.drain(..end + 2).collect();
                return Some(String::from_utf8(block).unwrap());
            }
            match self.chunk().await {
                Some(chunk) => self.text.extend(chunk),
                None => {
                    assert!(self.text.is_empty(), "a block that is cut off");
                    return None;
                }
            }
        }
    }

    /// Reads up to the first event of this type.
    pub(crate) async fn until(&mut self, kind: &str) -> SseEvent {
        loop {
            let block = self.block().await.expect("more events");
            let Some(event) = events(&block).pop() else { continue };
            if event.data["type"] == kind {
                return event;
            }
        }
    }

    /// The rest of the body.
    pub(crate) async fn rest(&mut self) -> String {
        let mut text = std::mem::take(&mut self.text);
        while let Some(chunk) = self.chunk().await {
            text.extend(chunk);
        }
        String::from_utf8(text).unwrap()
    }
}

/// The events of a stream. Each is an id and one line of data, and nothing else.
pub(crate) fn events(text: &str) -> Vec<SseEvent> {
    assert!(text.is_empty() || text.ends_with("\n\n"), "a stream ends after an event");
    let blocks = text.split_terminator("\n\n").filter(|block| !block.starts_with(':'));
    blocks
        .map(|block| {
            let (id, data) = block.split_once('\n').unwrap();
            let data = data.strip_prefix("data: ").unwrap_or_else(|| panic!("{block:?}"));
            SseEvent {
                id: id.strip_prefix("id: ").unwrap().to_owned(),
                data: serde_json::from_str(data).unwrap_or_else(|e| panic!("{e} in {data:?}")),
            }
        })
        .collect()
}

/// The messages of the log events.
pub(crate) fn messages(events: &[SseEvent]) -> Vec<&str> {
    let logs = events.iter().filter(|event| event.data["type"] == "log");
    logs.map(|event| event.data["data"]["message"].as_str().unwrap()).collect()
}
