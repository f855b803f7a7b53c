//! A worker as they are out there, with its bad manners as switches, and a daemon that a test plays.
//! For tests, outside of semver.

mod daemon;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use omq_tokio::{Endpoint, Message, Options, Socket, SocketType};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::address::MoorAddress;
use crate::keys::SigningKey;
use crate::var::Var;
use crate::wire::Dialect;
use crate::wire::message::{
    FromWorker, FromWorkerBody, Reply, Sender, ToWorker, WorkerError, WorkerRequest,
};

pub use self::daemon::{FakeDaemon, Heard};

/// Events that a test may leave unread.
const EVENTS: usize = 100_000;

/// The way a worker treats a request.
#[derive(Clone, Debug)]
pub enum Deed {
    /// It returns this value.
    Return(Var),
    /// It reports this error.
    Fail(WorkerError),
    /// It fails without a word, as the example worker does.
    Nothing,
    /// It waits until this is true, deaf meanwhile, and returns the value.
    Wait(watch::Receiver<bool>, Var),
}

/// An event at a worker.
#[derive(Clone, Debug)]
pub enum Seen {
    /// The reply to its attach.
    Attached(Reply),
    /// A ping, and the reply to its pong.
    Ping(Reply),
    /// A request that it obeys.
    Request(WorkerRequest),
    /// The reply to its answer.
    Answered(Reply),
}

type Deeds = Arc<dyn Fn(&WorkerRequest) -> Deed + Send + Sync>;

/// A worker: one strict REQ socket for its life, one thing after the other, no limit of time.
#[derive(Debug)]
pub struct FakeWorker {
    /// Its id.
    pub id: Uuid,
    seen: mpsc::Receiver<Seen>,
    task: JoinHandle<()>,
}

/// The options of a [`FakeWorker`].
#[derive(Clone)]
#[must_use = "a builder does nothing before `start`"]
pub struct FakeWorkerBuilder {
    address: MoorAddress,
    worker_type: String,
    id: Uuid,
    dialect: Dialect,
    key: Option<SigningKey>,
    is_promiscuous: bool,
    subscribes: Option<watch::Receiver<bool>>,
    deeds: Deeds,
}

impl fmt::Debug for FakeWorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeWorkerBuilder").field("id", &self.id).finish_non_exhaustive()
    }
}

impl FakeWorker {
    /// Returns a builder for a worker of this type, which returns its arguments.
    pub fn builder(address: &MoorAddress, worker_type: &str) -> FakeWorkerBuilder {
        FakeWorkerBuilder {
            address: address.clone(),
            worker_type: worker_type.to_owned(),
            id: Uuid::new_v4(),
            dialect: Dialect::Token,
            key: None,
            is_promiscuous: false,
            subscribes: None,
            deeds: Arc::new(|request| Deed::Return(Var::List(request.arguments.clone()))),
        }
    }

    /// Returns what the worker has seen next; `None` if it has ended.
    pub async fn seen(&mut self) -> Option<Seen> {
        self.seen.recv().await
    }
}

impl Drop for FakeWorker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeWorkerBuilder {
    /// Sets the key that signs its token.
    pub fn key(mut self, key: &SigningKey) -> Self {
        self.key = Some(key.clone());
        self
    }

    /// Sets the dialect.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Sets the id.
    pub fn id(mut self, id: Uuid) -> Self {
        self.id = id;
        self
    }

    /// Lets it run the requests of others as well, as the example worker does.
    pub fn promiscuous(mut self) -> Self {
        self.is_promiscuous = true;
        self
    }

    /// Lets it subscribe only when this is true, long after it has attached.
    pub fn subscribes(mut self, when: watch::Receiver<bool>) -> Self {
        self.subscribes = Some(when);
        self
    }

    /// Sets what it does with requests.
    pub fn does(mut self, deeds: impl Fn(&WorkerRequest) -> Deed + Send + Sync + 'static) -> Self {
        self.deeds = Arc::new(deeds);
        self
    }

    /// Starts it.
    pub fn start(self) -> FakeWorker {
        let (seen, received) = mpsc::channel(EVENTS);
        let id = self.id;
        let task = tokio::spawn(async move {
            if let Err(error) = self.run(&seen).await {
                tracing::debug!(%error, "a fake worker has ended");
            }
        });
        FakeWorker { id, seen: received, task }
    }

    /// Returns the frames of a message of this worker.
    ///
    /// # Panics
    /// If the message cannot be written, or its token cannot be signed.
    pub fn frames(&self, body: FromWorkerBody) -> Vec<Bytes> {
        let token = self.key.as_ref().map(|key| key.token(self.id).expect("a token"));
        let sender = match &token {
            Some(token) => Sender::Token(token.clone()),
            None => Sender::Id(self.id),
        };
        let message = FromWorker { sender, body }.encode(self.dialect).expect("a message");
        let id = Bytes::copy_from_slice(self.id.as_bytes());
        token.map(Bytes::from).into_iter().chain([id, message.into()]).collect()
    }

    async fn run(self, seen: &mpsc::Sender<Seen>) -> Result<(), omq_tokio::Error> {
        let responses = connect(SocketType::Req, &self.address.responses()).await?;
        let attach = FromWorkerBody::Attach(self.worker_type.clone());
        let reply = self.exchange(&responses, attach).await?;
        let _ = seen.try_send(Seen::Attached(reply));
        if let Some(mut when) = self.subscribes.clone() {
            let _ = when.wait_for(|when| *when).await;
        }
        let requests = connect(SocketType::Sub, &self.address.requests()).await?;
        requests.subscribe("workers").await?;
        loop {
            let message = requests.recv().await?;
            let Some(body) = message.part_bytes(1) else { continue };
            match ToWorker::decode(&body, self.dialect) {
                Ok(ToWorker::Ping) => {
                    let pong = FromWorkerBody::Pong(self.worker_type.clone());
                    let reply = self.exchange(&responses, pong).await?;
                    let _ = seen.try_send(Seen::Ping(reply));
                }
                Ok(ToWorker::Request(request))
                    if self.is_promiscuous || request.worker == self.id =>
                {
                    let (id, deed) = (request.id, (self.deeds)(&request));
                    let _ = seen.try_send(Seen::Request(request));
                    let answer = match deed {
                        Deed::Return(value) => FromWorkerBody::Result(id, Ok(value)),
                        Deed::Fail(error) => FromWorkerBody::Error(id, error),
                        Deed::Nothing => continue,
                        Deed::Wait(mut until, value) => {
                            let _ = until.wait_for(|until| *until).await;
                            FromWorkerBody::Result(id, Ok(value))
                        }
                    };
                    let reply = self.exchange(&responses, answer).await?;
                    let _ = seen.try_send(Seen::Answered(reply));
                }
                Ok(ToWorker::PleaseDie(_)) => return Ok(()),
                Ok(ToWorker::Request(_)) | Err(_) => {}
            }
        }
    }

    async fn exchange(
        &self,
        responses: &Socket,
        body: FromWorkerBody,
    ) -> Result<Reply, omq_tokio::Error> {
        responses.send(Message::multipart(self.frames(body))).await?;
        let reply = responses.recv().await?;
        let reply = reply.part_bytes(0).unwrap_or_default();
        Reply::decode(&reply, self.dialect)
            .map_err(|fault| omq_tokio::Error::Protocol(fault.to_string()))
    }
}

/// Sends frames by a new REQ socket, and returns the frames of the reply.
///
/// # Errors
/// Those of the library.
pub async fn exchange(
    address: &MoorAddress,
    frames: Vec<Bytes>,
) -> Result<Vec<Bytes>, omq_tokio::Error> {
    let socket = connect(SocketType::Req, &address.responses()).await?;
    socket.send(Message::multipart(frames)).await?;
    let reply = socket.recv().await?;
    Ok((0..reply.len()).filter_map(|at| reply.part_bytes(at)).collect())
}

async fn connect(kind: SocketType, address: &str) -> Result<Socket, omq_tokio::Error> {
    let socket = Socket::try_new(kind, Options::default())?;
    let endpoint: Endpoint = address.parse()?;
    socket.connect(endpoint).await?;
    Ok(socket)
}
