//! The coordinator's side of the protocol, as a machine: frames, ticks and requests in; replies,
//! publications and events out. No clock and no sockets.

mod answers;
mod pings;
pub(crate) mod signature;
#[cfg(test)]
mod tests;
mod tokens;
mod types;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

pub(crate) use self::answers::Answer;
use self::tokens::Tokens;
pub use self::types::MoorType;
pub(crate) use self::types::Types;
use crate::fault::Fault;
use crate::keys::VerifyingKey;
use crate::wire::Dialect;
use crate::wire::message::{FromWorker, FromWorkerBody, Reply, Sender, ToWorker, WorkerRequest};

/// The largest message, in bytes.
pub(crate) const MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Requests under way on one pair of sockets: the queue of a subscriber holds 1,000 messages, and
/// what is beyond is dropped without a word.
const IN_FLIGHT: usize = 500;
/// Requests that are remembered after their end, to find workers that answer for others.
const REMEMBERED: usize = 1024;

/// The settings of the machine.
#[derive(Clone, Debug)]
pub(crate) struct ServerConfig {
    pub(crate) dialect: Dialect,
    /// The keys of which one must have signed a token.
    pub(crate) keys: Vec<VerifyingKey>,
    pub(crate) types: Types,
    pub(crate) max_workers: usize,
}

/// A task for the shell.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Publish this message.
    Publish(Vec<u8>),
    /// A worker hears what is published: it can be offered.
    Ready { worker: Uuid, incarnation: u64, kind: Arc<MoorType> },
    /// A worker that was ready is gone.
    Ended { incarnation: u64, reason: &'static str },
    /// A request has its end.
    Answered { request: Uuid, answer: Answer },
    /// All slots of a worker are taken by requests that were given up, or not any more.
    Stuck { incarnation: u64, is_stuck: bool },
    /// A worker has answered a request to another one.
    Promiscuous { incarnation: u64 },
}

/// The reason why a request was not published.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NotSent {
    /// The worker is gone.
    Gone,
    /// The worker, or the pair of sockets, has as many requests as it may have.
    Busy,
    /// The arguments cannot be sent.
    Invalid(Fault),
}

/// A worker that has attached.
#[derive(Debug)]
struct Attached {
    incarnation: u64,
    kind: Arc<MoorType>,
    is_ready: bool,
    is_promiscuous: bool,
    is_stuck: bool,
    /// When it was heard, or when its last request was given up.
    idle_since: Duration,
    /// The next ping that is sent for this worker's sake, and how many there were.
    probe: Option<(Duration, usize)>,
    /// Pings that it has not answered, at most.
    unanswered: u32,
    requests: BTreeMap<Uuid, InFlight>,
}

#[derive(Debug)]
struct InFlight {
    /// Pongs that may still come before the answer.
    pongs_before: u32,
    /// No attempt waits for the answer, and the worker is still at it.
    is_given_up: bool,
}

impl Attached {
    /// Returns true if no attempt waits for an answer of this worker.
    fn is_idle(&self) -> bool {
        self.requests.values().all(|request| request.is_given_up)
    }
}

/// The coordinator's side of the protocol.
#[derive(Debug)]
pub(crate) struct Server {
    config: ServerConfig,
    tokens: Tokens,
    workers: BTreeMap<Uuid, Attached>,
    /// The worker of each request that is under way.
    requests: HashMap<Uuid, Uuid>,
    /// The same of the last ones that have ended, and their order.
    ended: HashMap<Uuid, Uuid>,
    ended_order: VecDeque<Uuid>,
    last_incarnation: u64,
    next_ping: Duration,
    last_ping: Option<Duration>,
    wake_at: Duration,
    effects: Vec<Effect>,
}

impl Server {
    pub(crate) fn new(config: ServerConfig) -> Self {
        Self {
            tokens: Tokens::new(config.keys.clone(), 2 * config.max_workers),
            config,
            workers: BTreeMap::new(),
            requests: HashMap::new(),
            ended: HashMap::new(),
            ended_order: VecDeque::new(),
            last_incarnation: 0,
            next_ping: Duration::ZERO,
            last_ping: None,
            wake_at: Duration::ZERO,
            effects: Vec::new(),
        }
    }

    /// Takes the effects so far, in order.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Returns the time of the next tick.
    pub(crate) fn wake_at(&self) -> Duration {
        self.wake_at
    }

    /// Takes the frames of a worker. Returns the reply: there is always one, since a worker that
    /// gets none waits for ever.
    pub(crate) fn receive(&mut self, now: Duration, frames: &[Bytes]) -> Vec<u8> {
        let reply = match self.read(now, frames) {
            Ok((worker, body)) => self.take(now, worker, body),
            Err(reply) => {
                tracing::debug!(?reply, "a message of a worker of mooR is refused");
                reply
            }
        };
        reply.encode(self.config.dialect)
    }

    /// Reads a message, and proves whose it is.
    fn read(&mut self, now: Duration, frames: &[Bytes]) -> Result<(Uuid, FromWorkerBody), Reply> {
        let dialect = self.config.dialect;
        let (token, worker, message) = match (dialect, frames) {
            (Dialect::Token, [token, worker, message]) => (Some(token), worker, message),
            (Dialect::Plain, [worker, message]) => (None, worker, message),
            _ => return Err(Reply::Rejected(wrong_frames(dialect, frames.len()))),
        };
        let bytes = worker.len();
        let worker = Uuid::from_slice(worker).map_err(|_| {
            Reply::InvalidPayload(format!("the id of the worker must have 16 bytes (got {bytes})"))
        })?;
        let token = match token {
            Some(token) => {
                let token = std::str::from_utf8(token)
                    .map_err(|_| Reply::InvalidPayload("the token must be UTF-8".to_owned()))?;
                self.tokens.check(now, worker, token)?;
                Some(token)
            }
            None => None,
        };
        if message.len() > MESSAGE_BYTES {
            let bytes = message.len();
            let reason = format!("a message must be at most {MESSAGE_BYTES} bytes (got {bytes})");
            return Err(Reply::InvalidPayload(reason));
        }
        let message = FromWorker::decode(message, dialect)
            .map_err(|fault| Reply::InvalidPayload(fault.to_string()))?;
        let is_same = match &message.sender {
            Sender::Token(inside) => token == Some(&**inside),
            Sender::Id(inside) => *inside == worker,
        };
        if !is_same {
            let reason = "the message inside is of another worker than the frames";
            return Err(Reply::AuthFailed(reason.to_owned()));
        }
        Ok((worker, message.body))
    }

    fn take(&mut self, now: Duration, worker: Uuid, body: FromWorkerBody) -> Reply {
        match body {
            FromWorkerBody::Attach(worker_type) => self.attach(now, worker, &worker_type),
            FromWorkerBody::Pong(worker_type) => self.pong(now, worker, &worker_type),
            FromWorkerBody::Detach => {
                self.end(worker, "the worker detached");
                Reply::Ack
            }
            FromWorkerBody::Result(id, Ok(value)) => {
                self.answered(now, worker, id, Answer::Value(value), Reply::Ack)
            }
            FromWorkerBody::Result(id, Err(fault)) => {
                let reply = Reply::InvalidPayload(fault.to_string());
                self.answered(now, worker, id, Answer::Unreadable(fault), reply)
            }
            FromWorkerBody::Error(id, error) => {
                self.answered(now, worker, id, Answer::Failed(error), Reply::Ack)
            }
        }
    }

    fn attach(&mut self, now: Duration, worker: Uuid, worker_type: &str) -> Reply {
        let Some(kind) = self.config.types.find(worker_type) else {
            let allowed = self.config.types.names();
            let reason = format!("no worker of the type {worker_type:?} is allowed: {allowed}");
            return Reply::AuthFailed(reason);
        };
        // Its requests are lost: it is a new process, or it has forgotten them.
        self.end(worker, "the worker attached again");
        if self.workers.len() >= self.config.max_workers {
            let max = self.config.max_workers;
            return Reply::Rejected(format!("there are {max} workers already, which is the limit"));
        }
        self.last_incarnation += 1;
        let attached = Attached {
            incarnation: self.last_incarnation,
            kind,
            is_ready: false,
            is_promiscuous: false,
            is_stuck: false,
            idle_since: now,
            probe: None,
            unanswered: 0,
            requests: BTreeMap::new(),
        };
        self.workers.insert(worker, attached);
        self.probe(now, worker);
        Reply::Attached(worker)
    }

    /// Forgets a worker. Its requests are lost.
    fn end(&mut self, worker: Uuid, reason: &'static str) {
        let Some(attached) = self.workers.remove(&worker) else { return };
        for (request, in_flight) in attached.requests {
            self.requests.remove(&request);
            self.remember(request, worker);
            if !in_flight.is_given_up {
                self.effects.push(Effect::Answered { request, answer: Answer::Gone(reason) });
            }
        }
        if attached.is_ready {
            self.effects.push(Effect::Ended { incarnation: attached.incarnation, reason });
        }
    }

    /// Publishes a request to a worker, once.
    ///
    /// # Errors
    /// The reason why it was not published: it has not started, and never will.
    pub(crate) fn submit(
        &mut self,
        incarnation: u64,
        request: WorkerRequest,
    ) -> Result<(), NotSent> {
        let is_full = self.requests.len() >= IN_FLIGHT;
        let attached = self.workers.get_mut(&request.worker);
        let Some(attached) = attached.filter(|attached| attached.incarnation == incarnation) else {
            return Err(NotSent::Gone);
        };
        if is_full || attached.requests.len() >= attached.kind.slots as usize {
            return Err(NotSent::Busy);
        }
        let (id, worker) = (request.id, request.worker);
        let bytes = ToWorker::Request(request).encode(self.config.dialect);
        let bytes = bytes.map_err(NotSent::Invalid)?;
        if bytes.len() > MESSAGE_BYTES {
            let got = bytes.len();
            let problem = format!("a message must be at most {MESSAGE_BYTES} bytes (got {got})");
            return Err(NotSent::Invalid(Fault::new(problem)));
        }
        let in_flight = InFlight { pongs_before: attached.unanswered, is_given_up: false };
        attached.requests.insert(id, in_flight);
        self.requests.insert(id, worker);
        self.effects.push(Effect::Publish(bytes));
        Ok(())
    }

    /// No attempt waits for the answer to a request any more. Nothing can stop its worker, so the slot
    /// stays taken.
    pub(crate) fn give_up(&mut self, now: Duration, request: Uuid) {
        let worker = self.requests.get(&request).copied();
        let Some(attached) = worker.and_then(|worker| self.workers.get_mut(&worker)) else {
            return;
        };
        if let Some(in_flight) = attached.requests.get_mut(&request) {
            in_flight.is_given_up = true;
            attached.idle_since = now;
        }
        self.update_stuck(worker);
    }

    /// Asks a worker to end. Others may obey as well.
    pub(crate) fn ask_to_end(&mut self, incarnation: u64, worker: Uuid) {
        let attached = self.workers.get(&worker);
        if attached.is_none_or(|attached| attached.incarnation != incarnation) {
            return;
        }
        if let Ok(message) = ToWorker::PleaseDie(worker).encode(self.config.dialect) {
            self.effects.push(Effect::Publish(message));
        }
    }

    fn update_stuck(&mut self, worker: Option<Uuid>) {
        let attached = worker.and_then(|worker| self.workers.get_mut(&worker));
        let Some(attached) = attached else { return };
        let given_up = attached.requests.values().filter(|request| request.is_given_up).count();
        let is_stuck = given_up >= attached.kind.slots as usize;
        if attached.is_stuck != is_stuck {
            attached.is_stuck = is_stuck;
            let incarnation = attached.incarnation;
            self.effects.push(Effect::Stuck { incarnation, is_stuck });
        }
    }

    fn remember(&mut self, request: Uuid, worker: Uuid) {
        if self.ended_order.len() >= REMEMBERED
            && let Some(oldest) = self.ended_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
        self.ended.insert(request, worker);
        self.ended_order.push_back(request);
    }
}

fn wrong_frames(dialect: Dialect, got: usize) -> String {
    let (expected, form) = match dialect {
        Dialect::Token => (3, "token, id of the worker, message"),
        Dialect::Plain => (2, "id of the worker, message"),
    };
    let hint = match (dialect, got) {
        (Dialect::Token, 2) => {
            "; the worker speaks the dialect without tokens: give it a pair of sockets of its own"
        }
        (Dialect::Plain, 3) => {
            "; the worker speaks the dialect with tokens: give it a pair of sockets of its own"
        }
        _ => "",
    };
    format!("there must be {expected} frames ({form}), not {got}{hint}")
}
