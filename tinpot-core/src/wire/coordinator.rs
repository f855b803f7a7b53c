//! The sealed end of a coordinator.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Incoming, Sender, no_session, open, refuse};
use crate::clock::Clock;
use crate::inbox::read_frame;
use crate::model::address::{Address, Channel, Lane};
use crate::model::error::Result;
use crate::model::id::WorkerId;
use crate::protocol::seal::{
    Admission, CoordinatorFrame, CoordinatorSessions, HEADER_BYTES, Header, Refused, SessionId,
    Suite,
};
use crate::protocol::{Message, Tick};
use crate::refusals::{Refusal, Refusals};
use crate::transport::{Received, Transport};

/// The maximum number of handshakes that wait to be answered: little more than what may be answered
/// in a second.
const HANDSHAKES: usize = 256;

/// The maximum number of local workers that are remembered. Beyond, all are forgotten until they are
/// heard again.
const LOCALS: usize = 16_384;

/// Something that is answered with a signature.
#[derive(Debug)]
enum Request {
    Init(Received),
    Unknown(Option<WorkerId>, Option<SessionId>),
}

/// The sessions of a coordinator, shared by its tasks. The lock is never held while a frame is
/// sealed or opened, or while a signature of another is verified.
#[derive(Debug)]
pub(crate) struct CoordinatorEnd {
    suite: Arc<dyn Suite>,
    sessions: Mutex<CoordinatorSessions>,
    requests: mpsc::Sender<Request>,
    /// The workers that this process runs.
    locals: Mutex<HashSet<WorkerId>>,
}

/// The task that answers handshakes, so that the control loop does not.
#[derive(Debug)]
pub(crate) struct Handshakes {
    end: Arc<CoordinatorEnd>,
    requests: mpsc::Receiver<Request>,
}

impl CoordinatorEnd {
    pub(crate) fn new(sessions: CoordinatorSessions) -> (Arc<Self>, Handshakes) {
        let (sender, requests) = mpsc::channel(HANDSHAKES);
        let suite = sessions.suite().clone();
        let end = Arc::new(Self {
            suite,
            sessions: Mutex::new(sessions),
            requests: sender,
            locals: Mutex::default(),
        });
        (end.clone(), Handshakes { end, requests })
    }

    fn lock(&self) -> MutexGuard<'_, CoordinatorSessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Returns the worker that a channel tells.
fn worker_of(channel: Channel) -> Option<WorkerId> {
    match channel {
        Channel::Worker { id, .. } | Channel::Local { id } => Some(id),
        Channel::Unknown | Channel::Coordinator => None,
    }
}

impl Handshakes {
    pub(crate) async fn run(
        mut self,
        transport: &dyn Transport,
        clock: Clock,
        refusals: &Refusals,
    ) {
        while let Some(request) = self.requests.recv().await {
            let now = clock.now();
            let answer = match request {
                Request::Init(received) => match self.answer(now, &received) {
                    Ok((worker, accept)) => Some((Address::Worker(worker), accept)),
                    Err(why) => {
                        refuse(refusals, &received.channel, why);
                        None
                    }
                },
                Request::Unknown(worker, session) => {
                    let notice = self.end.lock().answer_unknown(now, worker.as_ref(), session);
                    let to = worker.map_or(Address::AllWorkers, Address::Worker);
                    notice.map(|notice| (to, notice))
                }
            };
            if let Some((to, frame)) = answer
                && let Err(error) = transport.send(&to, Lane::Control, frame.into()).await
            {
                tracing::debug!(%to, %error, "a handshake was not answered: it will be repeated");
            }
        }
    }

    fn answer(&self, now: Tick, received: &Received) -> Result<(WorkerId, Vec<u8>), Refused> {
        let admitted = self.end.lock().admit(now, &received.channel, &received.bytes)?;
        match admitted {
            Admission::Again { worker, accept } => Ok((worker, accept)),
            Admission::New(handshake) => {
                let answered = handshake.answer(now, &*self.end.suite)?;
                let worker = answered.worker().clone();
                self.end.lock().pend(now, answered).map(|accept| (worker, accept))
            }
        }
    }
}
