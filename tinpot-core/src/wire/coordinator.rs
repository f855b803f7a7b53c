//! The sealed end of a coordinator.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::{Incoming, Sender, no_session, open, refuse};
use crate::clock::Clock;
use crate::inbox::read_frame;
use crate::joining::Enroller;
use crate::model::address::{Address, Channel, Lane};
use crate::model::error::Result;
use crate::model::id::WorkerId;
use crate::protocol::seal::{
    Admission, CoordinatorFrame, CoordinatorSessions, Enrolled, HEADER_BYTES, Header, Peer,
    Refused, RotationRefusal, SessionId, Suite,
};
use crate::protocol::{Message, ReplaceKey, Rotate, Rotated, Tick, encode};
use crate::refusals::{Refusal, Refusals};
use crate::transport::{Received, Transport};

/// The maximum number of handshakes that wait to be answered: little more than what may be answered
/// in a second.
const HANDSHAKES: usize = 256;

/// The maximum number of requests to replace a key that wait. Workers repeat those that are dropped.
const ROTATIONS: usize = 64;

/// The maximum number of local workers that are remembered. Beyond, all are forgotten until they are
/// heard again.
const LOCALS: usize = 16_384;

/// The longest wait for changes of the keys, and the pause after a failure.
const REFRESH: Duration = Duration::from_millis(250);
const REFRESH_PAUSE: Duration = Duration::from_millis(250);

/// Something that is answered by another task than the control loop.
#[derive(Debug)]
enum Request {
    Init(Received),
    Unknown(Option<WorkerId>, Option<SessionId>),
    /// A worker is to replace its key.
    Replace(WorkerId, ReplaceKey),
}

/// The sessions of a coordinator, shared by its tasks. The lock is never held while a frame is
/// sealed or opened, or while a signature of another is verified.
#[derive(Debug)]
pub(crate) struct CoordinatorEnd {
    suite: Arc<dyn Suite>,
    enrolled: Arc<dyn Enrolled>,
    sessions: Mutex<CoordinatorSessions>,
    requests: mpsc::Sender<Request>,
    rotations: mpsc::Sender<(Arc<Peer>, Box<Rotate>)>,
    /// The workers that this process runs.
    locals: Mutex<HashSet<WorkerId>>,
    /// The time until which changes of the keys are not asked for, after a failure.
    paused_until: Mutex<Option<Instant>>,
}

/// The task that answers handshakes and replaces keys, so that the control loop does not.
#[derive(Debug)]
pub(crate) struct Handshakes {
    end: Arc<CoordinatorEnd>,
    requests: mpsc::Receiver<Request>,
    rotations: mpsc::Receiver<(Arc<Peer>, Box<Rotate>)>,
    enroller: Option<Arc<dyn Enroller>>,
}

impl CoordinatorEnd {
    pub(crate) fn new(
        sessions: CoordinatorSessions,
        enroller: Option<Arc<dyn Enroller>>,
    ) -> (Arc<Self>, Handshakes) {
        let (sender, requests) = mpsc::channel(HANDSHAKES);
        let (rotation_sender, rotations) = mpsc::channel(ROTATIONS);
        let (suite, enrolled) = (sessions.suite().clone(), sessions.enrolled().clone());
        let end = Arc::new(Self {
            suite,
            enrolled,
            sessions: Mutex::new(sessions),
            requests: sender,
            rotations: rotation_sender,
            locals: Mutex::default(),
            paused_until: Mutex::default(),
        });
        (end.clone(), Handshakes { end, requests, rotations, enroller })
    }

    fn lock(&self) -> MutexGuard<'_, CoordinatorSessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what other processes have changed of the keys. Without them, the keys stay as they
    /// were.
    pub(super) async fn keep_current(&self) {
        if self.enrolled.is_current() {
            return;
        }
        let paused_until = *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        if paused_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        // Others are served although the records are not.
        if !matches!(timeout(REFRESH, self.enrolled.refresh()).await, Ok(Ok(()))) {
            let until = Instant::now() + REFRESH_PAUSE;
            *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
            tracing::debug!("changes of the keys of workers are not seen");
        }
    }

    /// Notes a worker that this process runs: it is sent plain frames.
    pub(super) fn heard_local(&self, id: &WorkerId) {
        let mut locals = self.locals.lock().unwrap_or_else(PoisonError::into_inner);
        if !locals.contains(id) {
            if locals.len() >= LOCALS {
                locals.clear();
            }
            locals.insert(id.clone());
        }
    }

    /// Returns true if some workers may be heard by plain frames.
    pub(super) fn allows_plain(&self) -> bool {
        self.lock().allows_plain()
    }

    fn is_local(&self, id: &WorkerId) -> bool {
        self.locals.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Seals a frame for a worker. What is for all workers is an announcement, and signed.
    pub(super) fn seal(
        &self,
        now: Tick,
        to: &Address,
        lane: Lane,
        mut frame: Vec<u8>,
    ) -> Result<Vec<Bytes>> {
        let plain = |frame: Vec<u8>| Bytes::from(frame).slice(HEADER_BYTES..);
        let mut sessions = self.lock();
        let Address::Worker(worker) = to else {
            let notice = sessions.notice().into();
            return Ok(match sessions.allows_plain() {
                true => vec![notice, plain(frame)],
                false => vec![notice],
            });
        };
        if self.is_local(worker) {
            return Ok(vec![plain(frame)]);
        }
        let sealing = sessions.sealing(now, worker, lane);
        let takes_plain = sealing.is_none() && sessions.takes_plain(worker);
        drop(sessions);
        match sealing {
            Some(sealing) => {
                sealing.seal(&*self.suite, &mut frame);
                Ok(vec![frame.into()])
            }
            None if takes_plain => Ok(vec![plain(frame)]),
            None => Err(no_session(to)),
        }
    }

    pub(super) fn read(
        &self,
        refusals: &Refusals,
        now: Tick,
        lane: Lane,
        received: Received,
    ) -> Result<Option<Incoming>, Refused> {
        let looked = self.lock().look(now, &received.channel, lane, &received.bytes);
        match looked {
            Ok(CoordinatorFrame::Sealed(opening)) => {
                let bytes = received.bytes;
                let document = open(&*self.suite, &opening, bytes).ok_or(Refused::Forged)?;
                let peer = self.lock().opened(now, &opening)?;
                if lane == Lane::Control
                    && let Some(asked) = self.lock().replace_key(now, &peer)
                {
                    // What is dropped here is asked for again.
                    let _ = self.ask(Request::Replace(peer.worker.clone(), asked));
                }
                let worker = Address::Worker(peer.worker.clone());
                let opened = Received::new(Channel::of(&worker), document);
                let Some(mut frame) = read_frame(refusals, &opened) else { return Ok(None) };
                let before = frame.messages.len();
                let is_introduced = peer.limit(lane, &mut frame)?;
                if frame.messages.iter().any(|message| matches!(message, Message::Hello(_))) {
                    self.lock().keep_own_claims(&peer, &mut frame);
                }
                if frame.messages.len() < before {
                    let detail = "its key is not granted this name, or any of these queues";
                    refusals.note(Refusal::Hello, peer.worker.as_str(), &detail);
                }
                for message in frame.messages.extract_if(.., |message| is_rotate(lane, message)) {
                    if let Message::Rotate(rotate) = message {
                        let _ = self.rotations.try_send((peer.clone(), rotate));
                    }
                }
                let sender = Sender { grant: peer.grant.clone(), is_introduced };
                Ok(Some(Incoming::Sealed(frame, sender)))
            }
            Ok(CoordinatorFrame::Init) => self.ask(Request::Init(received)),
            Ok(CoordinatorFrame::Plain) => {
                let frame = read_frame(refusals, &received);
                let is_taken = |from: &WorkerId| self.lock().takes_plain(from);
                match frame.as_ref().and_then(|frame| frame.from.as_ref()) {
                    Some(from) if !is_taken(from) => Err(Refused::Plain),
                    _ => Ok(frame.map(Incoming::Frame)),
                }
            }
            Err(Refused::UnknownSession) => {
                let session = Header::decode(&received.bytes).map(|header| header.session);
                self.ask(Request::Unknown(worker_of(received.channel), session))?;
                Err(Refused::UnknownSession)
            }
            Err(Refused::Plain) => {
                // So that the worker can say why it gets no work.
                if let Some(worker) = worker_of(received.channel) {
                    let _ = self.ask(Request::Unknown(Some(worker), None));
                }
                Err(Refused::Plain)
            }
            Err(why) => Err(why),
        }
    }

    fn ask(&self, request: Request) -> Result<Option<Incoming>, Refused> {
        self.requests.try_send(request).map_err(|_| Refused::Budget).map(|()| None)
    }
}

fn is_rotate(lane: Lane, message: &Message) -> bool {
    lane == Lane::Control && matches!(message, Message::Rotate(_))
}

/// Returns the worker that a channel tells.
fn worker_of(channel: Channel) -> Option<WorkerId> {
    match channel {
        Channel::Worker { id, .. } | Channel::Local { id } => Some(id),
        Channel::Unknown | Channel::Coordinator => None,
    }
}

impl Handshakes {
    pub(crate) async fn run(self, transport: &dyn Transport, clock: Clock, refusals: &Refusals) {
        let Self { end, mut requests, mut rotations, enroller } = self;
        let answers = async {
            while let Some(request) = requests.recv().await {
                end.answer_request(transport, clock.now(), refusals, request).await;
            }
        };
        // Concurrently, because a replacement waits until the new key is stored.
        let replacements = async {
            while let Some((peer, rotate)) = rotations.recv().await {
                let answer =
                    end.replace(clock, refusals, enroller.as_deref(), &peer, &rotate).await;
                let to = Address::Worker(peer.worker.clone());
                for frame in answer.unwrap_or_default() {
                    if let Err(error) = transport.send(&to, Lane::Control, frame).await {
                        tracing::debug!(%to, %error, "a worker was not told that it has another key");
                    }
                }
            }
        };
        futures::future::join(answers, replacements).await;
    }
}

impl CoordinatorEnd {
    async fn answer_request(
        &self,
        transport: &dyn Transport,
        now: Tick,
        refusals: &Refusals,
        request: Request,
    ) {
        let answer: Option<(Address, Bytes)> = match request {
            Request::Init(received) => match self.accept(now, &received) {
                Ok((worker, accept)) => Some((Address::Worker(worker), accept.into())),
                Err(why) => {
                    refuse(refusals, &received.channel, why);
                    None
                }
            },
            Request::Unknown(worker, session) => {
                let notice = self.lock().answer_unknown(now, worker.as_ref(), session);
                let to = worker.map_or(Address::AllWorkers, Address::Worker);
                notice.map(|notice| (to, notice.into()))
            }
            Request::Replace(worker, asked) => {
                let message = Message::ReplaceKey(asked);
                let frame = encode(HEADER_BYTES, None, Some(&worker), &[message]);
                let to = Address::Worker(worker);
                let sealed = self.seal(now, &to, Lane::Control, frame).ok();
                sealed.and_then(|mut frames| frames.pop()).map(|frame| (to, frame))
            }
        };
        if let Some((to, frame)) = answer
            && let Err(error) = transport.send(&to, Lane::Control, frame).await
        {
            tracing::debug!(%to, %error, "a handshake was not answered: it will be repeated");
        }
    }

    fn accept(&self, now: Tick, received: &Received) -> Result<(WorkerId, Vec<u8>), Refused> {
        let admitted = self.lock().admit(now, &received.channel, &received.bytes)?;
        match admitted {
            Admission::Again { worker, accept } => Ok((worker, accept)),
            Admission::New(handshake) => {
                let answered = handshake.answer(now, &*self.suite)?;
                let worker = answered.worker().clone();
                self.lock().pend(now, answered).map(|accept| (worker, accept))
            }
        }
    }

    /// Enrols a key in place of that of a worker, and returns the answer to it. `None` if the worker
    /// has to ask again.
    async fn replace(
        &self,
        clock: Clock,
        refusals: &Refusals,
        enroller: Option<&dyn Enroller>,
        peer: &Peer,
        rotate: &Rotate,
    ) -> Option<Vec<Bytes>> {
        let rotation = self.lock().rotation(clock.now(), peer, rotate);
        let claim = match rotation.and_then(|rotation| rotation.verify(&*self.suite)) {
            Ok(claim) => claim,
            Err(why) => {
                refusals.note(Refusal::Handshake, peer.worker.as_str(), &why);
                return None;
            }
        };
        let decided = match enroller {
            Some(enroller) => enroller.rotate(&claim).await,
            None => Ok(Err(RotationRefusal::Unsupported)),
        };
        let refused = match decided {
            Ok(Ok(())) => None,
            Ok(Err(why)) => {
                refusals.note(Refusal::Handshake, peer.worker.as_str(), &why);
                Some(why.to_string())
            }
            Err(error) => {
                refusals.note(Refusal::Handshake, "the keys of workers", &error);
                return None;
            }
        };
        let answer = Message::Rotated(Box::new(Rotated { key: rotate.key.clone(), refused }));
        let frame = encode(HEADER_BYTES, None, Some(&peer.worker), &[answer]);
        let to = Address::Worker(peer.worker.clone());
        self.seal(clock.now(), &to, Lane::Control, frame).ok()
    }
}
