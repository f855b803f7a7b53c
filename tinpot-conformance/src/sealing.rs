//! The keys and sessions of the coordinator, for scenes with sealed frames.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tinpot_access::{IdentityKey, JoinToken, RingSuite};
use tinpot_core::protocol::seal::{
    Accept, Admission, CoordinatorFrame, CoordinatorOptions, CoordinatorSessions, Desk,
    EnrolledKeys, FrameKind, HEADER_BYTES, Header, JoinTerms, Notice, Refused, Signed, Suite,
    WorkerLimits,
};
use tinpot_core::protocol::{Epoch, Tick};
use tinpot_core::transport::{Channel, Lane, Received};
use tinpot_core::{Timestamp, WorkerId};

use crate::miss::{Miss, Play};

/// The namespace of all scenes: the default one.
pub(crate) const NAMESPACE: &str = "tinpot";

/// The content of a frame of the worker, or the answer to it.
#[derive(Debug)]
pub(crate) enum Opened {
    /// The document in it.
    Document(Vec<u8>),
    /// The answer to an init.
    Accept(WorkerId, Vec<u8>),
    /// The answer to a frame of a session that is over.
    Notice(WorkerId, Vec<u8>),
    /// It counts for nothing. The text says why.
    Nothing(String),
}

/// The coordinator's half of sealed frames.
#[derive(Debug)]
pub(crate) struct Keys {
    suite: Arc<RingSuite>,
    enrolled: Arc<EnrolledKeys>,
    desk: Desk,
    sessions: CoordinatorSessions,
    /// The text of the join token.
    pub(crate) token: String,
    /// The inits that came, each as it was sent.
    pub(crate) inits: Vec<Vec<u8>>,
    /// The joins that came.
    pub(crate) joins: Vec<Vec<u8>>,
    /// Inits that are left unanswered from now on.
    pub(crate) ignored_inits: usize,
    /// Joins that are left unanswered from now on.
    pub(crate) ignored_joins: usize,
    /// If true, a stranger answers the next join.
    pub(crate) forges_join: bool,
    /// If true, a stranger signs the next accept.
    pub(crate) forges_accept: bool,
}

impl Keys {
    pub(crate) fn new(epoch: Epoch, name: &str) -> Play<Self> {
        let failed = |error| Miss::broken("the random numbers of this machine", error);
        let suite = Arc::new(RingSuite::new(&IdentityKey::generate().map_err(failed)?));
        let token = JoinToken::generate(suite.public()).map_err(failed)?;
        let enrolled = Arc::new(EnrolledKeys::default());
        let expires = Timestamp(u64::MAX);
        let mut terms = JoinTerms::new(WorkerLimits::new(name), expires);
        // A worker may start several times, and need not keep its key.
        terms.uses = 100;
        enrolled.allow_joins(&*suite, token.public(), terms);
        let options = CoordinatorOptions::new(NAMESPACE, enrolled.clone());
        Ok(Self {
            sessions: CoordinatorSessions::new(suite.clone(), epoch, options),
            desk: Desk::new(suite.clone(), NAMESPACE),
            token: token.to_secret().expose().to_owned(),
            suite,
            enrolled,
            inits: Vec::new(),
            joins: Vec::new(),
            ignored_inits: 0,
            ignored_joins: 0,
            forges_join: false,
            forges_accept: false,
        })
    }

    /// Forgets all sessions, as a coordinator does that starts again. Returns its announcement.
    pub(crate) fn restart(&mut self, epoch: Epoch) -> Vec<u8> {
        let options = CoordinatorOptions::new(NAMESPACE, self.enrolled.clone());
        self.sessions = CoordinatorSessions::new(self.suite.clone(), epoch, options);
        self.notice()
    }

    /// Returns the announcement of another epoch.
    pub(crate) fn notice_of(&self, epoch: Epoch) -> Vec<u8> {
        let options = CoordinatorOptions::new(NAMESPACE, self.enrolled.clone());
        CoordinatorSessions::new(self.suite.clone(), epoch, options).notice()
    }

    /// Returns the announcement of another epoch, with the signature of a stranger.
    pub(crate) fn forged_notice(&self, epoch: Epoch) -> Option<Vec<u8>> {
        sign_again::<Notice>(&stranger()?, FrameKind::Notice, &self.notice_of(epoch))
    }

    fn notice(&self) -> Vec<u8> {
        self.sessions.notice()
    }

    /// Answers a join, with where the answer goes.
    pub(crate) fn joined(
        &mut self,
        now: Tick,
        frame: &[u8],
    ) -> Result<(WorkerId, Vec<u8>), String> {
        self.joins.push(frame.to_vec());
        if self.ignored_joins > 0 {
            self.ignored_joins -= 1;
            return Err("left unanswered on purpose".to_owned());
        }
        let enrolled = self.enrolled.clone();
        let admission = self.desk.admit(now, frame, |token| enrolled.token(token).is_some());
        let admission = admission.map_err(|why| why.to_string())?;
        let token = self.enrolled.token(&admission.token()).ok_or("an unknown join token")?;
        let claim = admission.verify(&*self.suite, &token).map_err(|why| why.to_string())?;
        let answer = match self.enrolled.join(Timestamp::now(), &claim) {
            Ok(limits) if std::mem::take(&mut self.forges_join) => {
                let stranger = stranger().ok_or("no random numbers")?;
                Desk::new(Arc::new(stranger), NAMESPACE).enrolled(&admission, limits, None)
            }
            Ok(limits) => self.desk.enrolled(&admission, limits, None),
            Err(why) => return Err(why.to_string()),
        };
        Ok((admission.joiner(), answer.map_err(|why| why.to_string())?))
    }

    /// Opens what came from the worker.
    pub(crate) fn open(&mut self, now: Tick, lane: Lane, received: &Received) -> Opened {
        match self.sessions.look(now, &received.channel, lane, &received.bytes) {
            Ok(CoordinatorFrame::Sealed(opening)) => {
                let mut frame = received.bytes.to_vec();
                let Some(range) = opening.open(&*self.suite, &mut frame) else {
                    return Opened::Nothing("a sealed frame whose tag is wrong".to_owned());
                };
                match self.sessions.opened(now, &opening) {
                    Ok(_) => Opened::Document(frame[range].to_vec()),
                    Err(why) => Opened::Nothing(format!("a sealed frame that is refused: {why}")),
                }
            }
            Ok(CoordinatorFrame::Init) => self.init(now, received),
            Ok(CoordinatorFrame::Plain) => Opened::Nothing("a plain frame".to_owned()),
            Err(Refused::UnknownSession) => {
                let id = self.worker_of(received);
                let session = Header::decode(&received.bytes).map(|header| header.session);
                let notice = self.sessions.answer_unknown(now, id.as_ref(), session);
                match (id, notice) {
                    (Some(id), Some(notice)) => Opened::Notice(id, notice),
                    _ => Opened::Nothing("a frame of a session that is over".to_owned()),
                }
            }
            Err(why) => Opened::Nothing(format!("a frame that is refused: {why}")),
        }
    }

    fn worker_of(&self, received: &Received) -> Option<WorkerId> {
        match &received.channel {
            Channel::Worker { id, .. } => Some(id.clone()),
            _ => None,
        }
    }

    fn init(&mut self, now: Tick, received: &Received) -> Opened {
        self.inits.push(received.bytes.to_vec());
        if self.ignored_inits > 0 {
            self.ignored_inits -= 1;
            return Opened::Nothing("an init, which is left unanswered on purpose".to_owned());
        }
        let accept = match self.sessions.admit(now, &received.channel, &received.bytes) {
            Ok(Admission::Again { worker, accept }) => Ok((worker, accept)),
            Ok(Admission::New(handshake)) => handshake.answer(now, &*self.suite).and_then(|made| {
                let worker = made.worker().clone();
                self.sessions.pend(now, made).map(|accept| (worker, accept))
            }),
            Err(why) => Err(why),
        };
        match accept {
            Ok((worker, accept)) if std::mem::take(&mut self.forges_accept) => {
                let forged = stranger().and_then(|stranger| {
                    sign_again::<Accept>(&stranger, FrameKind::Accept, &accept)
                });
                match forged {
                    Some(forged) => Opened::Accept(worker, forged),
                    None => Opened::Nothing("an init, whose answer cannot be forged".to_owned()),
                }
            }
            Ok((worker, accept)) => Opened::Accept(worker, accept),
            Err(why) => Opened::Nothing(format!("an init that is refused: {why}")),
        }
    }

    /// Seals a document for the worker. `None` if it has no session.
    pub(crate) fn seal(
        &mut self,
        now: Tick,
        worker: &WorkerId,
        lane: Lane,
        document: &[u8],
    ) -> Option<Vec<u8>> {
        let sealing = self.sessions.sealing(now, worker, lane)?;
        let mut frame = vec![0; HEADER_BYTES];
        frame.extend_from_slice(document);
        sealing.seal(&*self.suite, &mut frame);
        Some(frame)
    }
}

/// Returns the suite of a key that no worker has pinned.
fn stranger() -> Option<RingSuite> {
    IdentityKey::generate().ok().map(|key| RingSuite::new(&key))
}

/// Returns a signed frame with the signature of another key.
fn sign_again<T>(suite: &RingSuite, kind: FrameKind, frame: &[u8]) -> Option<Vec<u8>>
where
    T: Serialize + DeserializeOwned,
{
    let signed: T = Signed::parts(kind, frame)?.read()?;
    Some(Signed::frame(suite, kind, &signed))
}
