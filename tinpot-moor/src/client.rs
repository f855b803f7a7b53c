//! The worker's side of the protocol, as a machine: publications, replies and ticks in; messages,
//! attempts and the end out. No clock and no sockets.
//!
//! Each message has a socket of its own: a daemon that does not reply blocks nothing else. A second
//! attach makes a daemon forget the requests that it waits for, so a worker attaches once, and
//! registers again by a pong.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::server::MESSAGE_BYTES;
use crate::var::Var;
use crate::wire::Dialect;
use crate::wire::message::{
    FromWorker, FromWorkerBody, Reply, Sender, ToWorker, WorkerError, WorkerRequest,
};

/// The topic of all messages to workers.
pub(crate) const TOPIC: &[u8] = b"workers";
/// The silence after which the subscription is renewed: three pings of a daemon.
const SILENCE: Duration = Duration::from_secs(15);
/// The pause before a message without a reply is sent again, unless a ping comes first.
const AGAIN: Duration = Duration::from_secs(5);
/// Answers under way at once: each has a socket.
const OPEN: usize = 32;
/// Answers that are kept for a daemon that is away.
const KEPT: usize = 1000;
/// The bytes of all of them.
const KEPT_BYTES: usize = 64 * 1024 * 1024;
/// Requests that are known after their answers: a daemon may publish one again.
const ANSWERED: usize = 1000;
/// The longest text of an error, in bytes.
const TEXT_BYTES: usize = 4096;

/// The settings of the machine.
#[derive(Clone, Debug)]
pub(crate) struct ClientConfig {
    pub(crate) dialect: Dialect,
    pub(crate) worker: Uuid,
    pub(crate) worker_type: String,
    /// The token, in the dialect that has one.
    pub(crate) token: Option<String>,
    /// Requests at once. More are refused.
    pub(crate) max_requests: usize,
}

/// A task for the shell.
#[derive(Debug, PartialEq)]
pub(crate) enum Act {
    /// Send these frames by a socket of their own, and pass on the reply to this number.
    Exchange { number: u64, frames: Vec<Bytes> },
    /// Open a new subscription in place of the present one.
    Subscribe,
    /// Run a request.
    Start(WorkerRequest),
    /// The daemon asks this worker to end.
    AskedToEnd,
    /// The worker has ended: in order, or since the daemon refuses it.
    Ended(Result<(), String>),
}

/// A message under way.
#[derive(Clone, Copy, Debug)]
enum Letter {
    Attach,
    Pong,
    Answer(u64),
    Detach,
}

/// An answer that the daemon has not acknowledged.
#[derive(Debug)]
struct Kept {
    request: Uuid,
    frames: Vec<Bytes>,
    is_result: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Due,
    Open,
    /// It waits for a ping, or for this time.
    Waiting(Duration),
}

/// The worker's side of the protocol.
#[derive(Debug)]
pub(crate) struct Client {
    config: ClientConfig,
    is_attached: bool,
    attach_at: Option<Duration>,
    heard: Duration,
    last_number: u64,
    letters: HashMap<u64, Letter>,
    running: HashSet<Uuid>,
    /// In the order in which they were given.
    answers: BTreeMap<u64, Kept>,
    last_answer: u64,
    /// The last requests that were answered.
    answered: VecDeque<Uuid>,
    pong_is_open: bool,
    pong_is_due: bool,
    is_leaving: bool,
    is_detaching: bool,
    is_over: bool,
    acts: Vec<Act>,
}

impl Client {
    pub(crate) fn new(now: Duration, config: ClientConfig) -> Self {
        let mut client = Self {
            config,
            is_attached: false,
            attach_at: None,
            heard: now,
            last_number: 0,
            letters: HashMap::new(),
            running: HashSet::new(),
            answers: BTreeMap::new(),
            last_answer: 0,
            answered: VecDeque::new(),
            pong_is_open: false,
            pong_is_due: false,
            is_leaving: false,
            is_detaching: false,
            is_over: false,
            acts: vec![Act::Subscribe],
        };
        client.attach();
        client
    }

    /// Takes the acts so far, in order.
    pub(crate) fn take_acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    /// Returns the time of the next tick.
    pub(crate) fn wake_at(&self) -> Duration {
        let silence = self.is_attached.then_some(self.heard + SILENCE);
        let answers = self.answers.values().filter_map(|kept| match kept.state {
            State::Waiting(until) => Some(until),
            _ => None,
        });
        let times = silence.into_iter().chain(self.attach_at).chain(answers);
        times.min().unwrap_or(Duration::MAX)
    }

    /// Takes the frames of a publication.
    pub(crate) fn published(&mut self, now: Duration, frames: &[Bytes]) {
        if self.is_over {
            return;
        }
        let [topic, body] = frames else {
            return tracing::debug!(frames = frames.len(), "a publication must have 2 frames");
        };
        if **topic != *TOPIC {
            return;
        }
        let (worker, dialect) = (self.config.worker, self.config.dialect);
        match ToWorker::decode(body, dialect) {
            Ok(ToWorker::Ping) => {
                self.heard = now;
                self.pong();
                for kept in self.answers.values_mut() {
                    if matches!(kept.state, State::Waiting(_)) {
                        kept.state = State::Due;
                    }
                }
                self.send_answers();
            }
            Ok(ToWorker::Request(request)) if request.worker == worker => self.requested(request),
            Ok(ToWorker::PleaseDie(other)) if other == worker => {
                self.acts.push(Act::AskedToEnd);
                self.leave();
            }
            Ok(_) => {}
            Err(fault) => match WorkerRequest::addressee(body, dialect) {
                Some((to, request)) if to == worker => {
                    let text = format!("the request cannot be read: {fault}");
                    self.give(request, Err(WorkerError::InvalidRequest(text)));
                }
                _ => tracing::debug!(%fault, "a publication cannot be read"),
            },
        }
    }

    fn requested(&mut self, request: WorkerRequest) {
        let id = request.id;
        let is_kept = self.answers.values().any(|kept| kept.request == id);
        if is_kept || self.running.contains(&id) || self.answered.contains(&id) {
            return tracing::debug!(request = %id, "a request came twice");
        }
        let running = self.running.len();
        let problem = if self.is_leaving {
            "the worker shuts down".to_owned()
        } else if running >= self.config.max_requests {
            format!("the worker is busy: it has {running} requests, which is the limit")
        } else {
            self.running.insert(id);
            return self.acts.push(Act::Start(request));
        };
        self.give(id, Err(WorkerError::Internal(problem)));
    }

    /// Takes the end of a request that was started.
    pub(crate) fn finished(&mut self, request: Uuid, result: Result<Var, WorkerError>) {
        if self.running.remove(&request) {
            self.give(request, result);
        }
        self.detach_if_done();
    }

    /// Keeps an answer until the daemon has it.
    fn give(&mut self, request: Uuid, result: Result<Var, WorkerError>) {
        let is_result = result.is_ok();
        let body = match result {
            Ok(value) => FromWorkerBody::Result(request, Ok(value)),
            Err(error) => FromWorkerBody::Error(request, error.shortened(TEXT_BYTES)),
        };
        let frames = self.frames(body).unwrap_or_else(|why| {
            let why = format!("the result cannot be sent: {why}");
            let error = WorkerError::Internal(why).shortened(TEXT_BYTES);
            self.frames(FromWorkerBody::Error(request, error)).unwrap_or_default()
        });
        let bytes = |frames: &[Bytes]| frames.iter().map(Bytes::len).sum::<usize>();
        let mut kept_bytes = self.answers.values().map(|kept| bytes(&kept.frames)).sum::<usize>();
        kept_bytes += bytes(&frames);
        while self.answers.len() >= KEPT || kept_bytes > KEPT_BYTES {
            // The daemon is away, and has forgotten the oldest.
            let waiting = self.answers.len();
            let Some((_, dropped)) = self.answers.pop_first() else { break };
            kept_bytes -= bytes(&dropped.frames);
            tracing::warn!(request = %dropped.request, "an answer is dropped: {waiting} wait");
        }
        if !self.answered.contains(&request) {
            if self.answered.len() >= ANSWERED {
                self.answered.pop_front();
            }
            self.answered.push_back(request);
        }
        self.last_answer += 1;
        let kept = Kept { request, frames, is_result, state: State::Due };
        self.answers.insert(self.last_answer, kept);
        self.send_answers();
    }

    /// Returns the frames of a message of this worker.
    fn frames(&self, body: FromWorkerBody) -> Result<Vec<Bytes>, String> {
        let sender = match &self.config.token {
            Some(token) => Sender::Token(token.clone()),
            None => Sender::Id(self.config.worker),
        };
        let message = FromWorker { sender, body }.encode(self.config.dialect);
        let message = message.map_err(|fault| fault.to_string())?;
        if message.len() > MESSAGE_BYTES {
            let bytes = message.len();
            return Err(format!("a message must be at most {MESSAGE_BYTES} bytes (got {bytes})"));
        }
        let id = Bytes::copy_from_slice(self.config.worker.as_bytes());
        let token = self.config.token.clone().map(Bytes::from);
        Ok(token.into_iter().chain([id, message.into()]).collect())
    }

    fn exchange(&mut self, letter: Letter, frames: Vec<Bytes>) {
        self.last_number += 1;
        self.letters.insert(self.last_number, letter);
        self.acts.push(Act::Exchange { number: self.last_number, frames });
    }

    fn send(&mut self, letter: Letter, body: FromWorkerBody) {
        match self.frames(body) {
            Ok(frames) => self.exchange(letter, frames),
            Err(why) => self.end(Err(why)),
        }
    }

    fn attach(&mut self) {
        self.attach_at = None;
        self.send(Letter::Attach, FromWorkerBody::Attach(self.config.worker_type.clone()));
    }

    fn pong(&mut self) {
        if !self.is_attached || self.is_over {
            return;
        }
        if self.pong_is_open {
            self.pong_is_due = true;
            return;
        }
        self.pong_is_open = true;
        self.send(Letter::Pong, FromWorkerBody::Pong(self.config.worker_type.clone()));
    }

    fn send_answers(&mut self) {
        if !self.is_attached || self.is_over {
            return;
        }
        let open = self.answers.values().filter(|kept| kept.state == State::Open).count();
        let due = self.answers.iter_mut().filter(|(_, kept)| kept.state == State::Due);
        let sent: Vec<_> = due
            .take(OPEN.saturating_sub(open))
            .map(|(at, kept)| {
                kept.state = State::Open;
                (*at, kept.frames.clone())
            })
            .collect();
        for (at, frames) in sent {
            self.exchange(Letter::Answer(at), frames);
        }
    }

    /// Takes the reply to a message; `None` if there was none.
    pub(crate) fn replied(&mut self, now: Duration, number: u64, reply: Option<Reply>) {
        let Some(letter) = self.letters.remove(&number) else { return };
        if self.is_over {
            return;
        }
        if let Some(Reply::AuthFailed(why)) = &reply {
            return self.end(Err(format!("the daemon refuses the worker: {why}")));
        }
        match letter {
            Letter::Attach => match reply {
                Some(Reply::Attached(_) | Reply::Ack) => {
                    (self.is_attached, self.heard) = (true, now);
                    self.send_answers();
                }
                None if self.is_leaving => self.end(Ok(())),
                None => self.attach_at = Some(now),
                Some(Reply::Rejected(why) | Reply::InvalidPayload(why)) => {
                    let hint = "; does it speak the other dialect?";
                    return self.end(Err(format!("the daemon refuses the worker: {why}{hint}")));
                }
                Some(other) => {
                    return self.end(Err(format!("an odd reply to the attach: {other:?}")));
                }
            },
            Letter::Pong => {
                self.pong_is_open = false;
                if std::mem::take(&mut self.pong_is_due) {
                    self.pong();
                }
            }
            Letter::Answer(at) => self.acknowledged(now, at, reply),
            Letter::Detach => return self.end(Ok(())),
        }
        self.detach_if_done();
    }

    fn acknowledged(&mut self, now: Duration, at: u64, reply: Option<Reply>) {
        let Some(kept) = self.answers.get_mut(&at) else { return };
        match reply {
            None => kept.state = State::Waiting(now + AGAIN),
            Some(Reply::NotRegistered(_)) => {
                kept.state = State::Waiting(now + AGAIN);
                self.pong();
            }
            Some(Reply::Rejected(why) | Reply::InvalidPayload(why)) if kept.is_result => {
                // The daemon still waits for an answer.
                let request = kept.request;
                self.answers.remove(&at);
                let why = format!("the daemon refuses the result: {why}");
                self.give(request, Err(WorkerError::Internal(why)));
            }
            Some(reply) => {
                if reply != Reply::Ack {
                    tracing::warn!(request = %kept.request, ?reply, "the daemon refuses an answer");
                }
                self.answers.remove(&at);
            }
        }
        self.send_answers();
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Duration) {
        if self.is_over {
            return;
        }
        if self.attach_at.is_some_and(|at| now >= at) {
            self.attach();
        }
        if self.is_attached && now >= self.heard + SILENCE {
            tracing::warn!("no ping for {} s: connecting again", SILENCE.as_secs());
            self.heard = now;
            self.acts.push(Act::Subscribe);
            self.pong();
        }
        for kept in self.answers.values_mut() {
            if matches!(kept.state, State::Waiting(until) if now >= until) {
                kept.state = State::Due;
            }
        }
        self.send_answers();
    }

    /// Takes no new requests, and detaches after the answers to those that run.
    pub(crate) fn leave(&mut self) {
        self.is_leaving = true;
        self.detach_if_done();
    }

    fn detach_if_done(&mut self) {
        let is_done = self.running.is_empty() && self.answers.is_empty();
        if !self.is_leaving || self.is_detaching || self.is_over || !is_done {
            return;
        }
        if self.is_attached {
            self.is_detaching = true;
            self.send(Letter::Detach, FromWorkerBody::Detach);
        } else if self.letters.is_empty() {
            self.end(Ok(()));
        }
    }

    fn end(&mut self, result: Result<(), String>) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.acts.push(Act::Ended(result));
        }
    }
}
