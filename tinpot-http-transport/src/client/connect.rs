//! Links: a stream down, or requests that wait for frames, and the way up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Response};
use rustls::ClientConfig;
use tinpot_core::transport::{Command, Connect, Connection, Lane};
use tinpot_core::{Error, Result, WorkerId};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::connection::{Requests, Server, reason, unavailable};
use super::upload::Upload;
use super::{NAMESPACE, ServerUrl};
use crate::record::{Decoder, Malformed, Record};

/// The time in which a stream has to return the first frame that is sent to itself. If it does not,
/// a proxy holds it back. Less than half of the time that an attempt to connect has.
const STREAM_PATIENCE: Duration = Duration::from_millis(2300);
/// The time after which a stream is tried again where one was held back.
const STREAM_AGAIN: Duration = Duration::from_secs(600);
/// The time for the answer to a poll. The server answers after 15 s.
const POLL_PATIENCE: Duration = Duration::from_secs(30);
/// The time in which a way up that broke can say why, once the way down has.
const REASON_PATIENCE: Duration = Duration::from_millis(100);
/// The topic of the frame by which a stream is tried.
const TRIAL: &str = "echo/trial";

/// Opens the links of a worker.
#[derive(Debug)]
pub(super) struct LinkConnect {
    server: Arc<Server>,
    max_frame_bytes: usize,
    /// The time at which a stream was held back.
    held_back: Mutex<Option<Instant>>,
}

impl LinkConnect {
    pub(super) fn new(
        url: ServerUrl,
        tls: Option<Arc<ClientConfig>>,
        worker: &WorkerId,
        login: Option<(String, String)>,
        max_frame_bytes: usize,
    ) -> Self {
        let server = Arc::new(Server::new(url, tls, Some(worker), login));
        Self { server, max_frame_bytes, held_back: Mutex::new(None) }
    }

    fn held_back(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.held_back.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Connect for LinkConnect {
    async fn connect(&self, lane: Lane) -> Result<Connection> {
        let is_held_back = self.held_back().is_some_and(|at| at.elapsed() < STREAM_AGAIN);
        if !is_held_back {
            let link = Opening::new(self, lane);
            match timeout(STREAM_PATIENCE, link.stream()).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => return Err(error),
                Err(_) => {}
            }
        }
        let connection = Opening::new(self, lane).poll().await?;
        if !is_held_back {
            tracing::warn!(
                ?lane,
                "a proxy holds back the answers of the server: the worker polls, which is slower; \
                 turn off the buffering of answers for /api/link/ in the proxy"
            );
            *self.held_back() = Some(Instant::now());
        }
        Ok(connection)
    }
}

/// A link that is opened.
struct Opening {
    server: Arc<Server>,
    path: String,
    prefix: String,
    decoder: Decoder,
}

impl Opening {
    fn new(connect: &LinkConnect, lane: Lane) -> Self {
        let name = match lane {
            Lane::Control => "control",
            Lane::Logs => "logs",
        };
        Self {
            server: connect.server.clone(),
            path: format!("/api/link/{name}?session={}", Uuid::new_v4().simple()),
            prefix: format!("{NAMESPACE}/{name}/"),
            decoder: Decoder::new(connect.max_frame_bytes),
        }
    }

    /// Opens the link, and its way down as a stream that works.
    async fn stream(self) -> Result<Connection> {
        let Self { server, path, prefix, decoder } = self;
        let (mut reading, mut writing) = (Requests::new(server.clone()), Requests::new(server));
        // Both at once: each takes several round trips with TLS.
        let (opened, answer) =
            tokio::join!(writing.open(), reading.send(Method::GET, &path, Bytes::new()));
        let answer = answer?;
        opened?;
        let mut down = Down {
            source: Source::Stream { body: answer.into_body(), _requests: reading },
            decoder,
        };
        let (broken, breaks) = watch::channel(None);
        let mut up = Upload::start(writing, path, prefix.clone(), broken);
        let trial = Command::Publish { topic: format!("{prefix}{TRIAL}"), frame: Bytes::new() };
        futures::SinkExt::send(&mut up, trial).await?;
        let mut breaks_now = breaks.clone();
        let returned = async {
            while down.next().await?.topic != TRIAL {}
            Ok::<_, Error>(())
        };
        tokio::select! {
            returned = returned => returned?,
            why = broken_off(&mut breaks_now) => return Err(why),
        }
        Ok(Connection::new(up, frames(down, breaks, prefix)))
    }

    /// Opens the link, and its way down as requests that wait for frames.
    async fn poll(self) -> Result<Connection> {
        let Self { server, path, prefix, decoder } = self;
        let (mut reading, writing) = (Requests::new(server.clone()), Requests::new(server));
        let poll = format!("{path}&once=1");
        // The server opens the link with the first request that reads, and answers that at once.
        let answer = reading.send(Method::GET, &format!("{poll}&open=1"), Bytes::new()).await?;
        drain(answer).await?;
        let down = Down { source: Source::Polls { requests: reading, path: poll }, decoder };
        let (broken, breaks) = watch::channel(None);
        let up = Upload::start(writing, path, prefix.clone(), broken);
        Ok(Connection::new(up, frames(down, breaks, prefix)))
    }
}

async fn drain(answer: Response<Incoming>) -> Result<Bytes> {
    let body = answer.into_body().collect().await;
    Ok(body.map_err(|error| unavailable(reason(&error)))?.to_bytes())
}

/// Resolves with the reason when the way up breaks.
async fn broken_off(breaks: &mut watch::Receiver<Option<String>>) -> Error {
    let reason = breaks.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
    match reason {
        Some(reason) => unavailable(reason),
        // The sink is gone, and so is the reader of this.
        None => std::future::pending().await,
    }
}

/// Returns the frames of a link; they end with an error when either way breaks.
fn frames(
    down: Down,
    breaks: watch::Receiver<Option<String>>,
    prefix: String,
) -> impl Stream<Item = Result<(String, Bytes)>> + Send {
    let state = Some((down, breaks, prefix));
    stream::unfold(state, async |state| {
        let (mut down, mut breaks, prefix) = state?;
        let next = tokio::select! {
            biased;
            why = broken_off(&mut breaks) => Err(why),
            next = down.next() => next,
        };
        Some(match next {
            Ok(Record { topic, frame, .. }) => {
                (Ok((format!("{prefix}{topic}"), frame)), Some((down, breaks, prefix)))
            }
            Err(error) => {
                // A refusal of what went up ends the stream, too, and says why.
                let why = timeout(REASON_PATIENCE, broken_off(&mut breaks)).await;
                (Err(why.unwrap_or(error)), None)
            }
        })
    })
    .boxed()
}

/// The way down.
struct Down {
    source: Source,
    decoder: Decoder,
}

enum Source {
    Stream {
        body: Incoming,
        /// Keeps the connection.
        _requests: Requests,
    },
    Polls {
        requests: Requests,
        path: String,
    },
}

impl Down {
    /// Returns the next record. Cancel safe for a stream; a poll that is dropped loses its answer.
    async fn next(&mut self) -> Result<Record> {
        loop {
            if let Some(record) = self.decoder.next().map_err(|why| malformed(&why))? {
                return Ok(record);
            }
            let bytes = self.source.read().await?;
            self.decoder.push(&bytes);
        }
    }
}

impl Source {
    async fn read(&mut self) -> Result<Bytes> {
        match self {
            Self::Stream { body, .. } => loop {
                let Some(frame) = body.frame().await else {
                    return Err(unavailable("the server ended the link"));
                };
                let frame = frame.map_err(|error| unavailable(reason(&error)))?;
                if let Ok(bytes) = frame.into_data() {
                    return Ok(bytes);
                }
            },
            Self::Polls { requests, path } => {
                let polled =
                    async { drain(requests.send(Method::GET, path, Bytes::new()).await?).await };
                match timeout(POLL_PATIENCE, polled).await {
                    Ok(polled) => polled,
                    Err(_) => Err(unavailable(format!("no answer within {POLL_PATIENCE:?}"))),
                }
            }
        }
    }
}

fn malformed(why: &Malformed) -> Error {
    Error::new(tinpot_core::ErrorKind::Malformed, format!("the server is no link: {why}"))
}
