//! Joining through a transport or in other ways: the answers of a coordinator, and the request of a
//! worker.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::{Instant, timeout_at};

use crate::clock::Clock;
use crate::model::address::{Address, Lane};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::WorkerId;
use crate::model::time::Timestamp;
use crate::protocol::seal::{
    BrokerLogin, Desk, EnrolledKeys, JoinAdmission, JoinClaim, JoinRefusal, JoinRequest, Joined,
    KeyId, PublicKey, Refused, RotationClaim, RotationRefusal, Suite, WorkerLimits,
};
use crate::refusals::{Refusal, Refusals};
use crate::transport::{Received, Transport};

/// The time after which a request that was not answered is sent again.
const RESEND: Duration = Duration::from_secs(1);

/// The error if no coordinator answers.
const UNANSWERED: &str = "no coordinator answered: is the one that made the token running, and does \
                          the worker use its broker and namespace?";

/// Enrols the keys of workers that join.
///
/// # Contract
/// - A token enrols at most as many keys as it has uses, whatever happens at the same time and in
///   other processes.
/// - A repeated claim of a key that is enrolled gives the same answer, and is no use: the answer
///   may have been lost.
/// - The key is enrolled durably when `enrol` resolves.
#[async_trait]
pub trait Enroller: fmt::Debug + Send + Sync + 'static {
    /// Returns true if there may be a join token with this id, by what is in memory. Of the joins
    /// with other tokens, few in a second are looked at, so that strangers cause little work.
    fn knows(&self, token: &KeyId) -> bool {
        let _ = token;
        true
    }

    /// Returns the public half of a join token; `None` if there is none with this id.
    ///
    /// # Errors
    /// `Unavailable`: the join is not answered, and the worker asks again.
    async fn token(&self, token: &KeyId) -> Result<Option<PublicKey>>;

    /// Enrols the key of a claim, which was verified. The worker receives the inner error.
    ///
    /// # Errors
    /// `Unavailable`: the join is not answered, and the worker asks again.
    async fn enrol(&self, claim: &JoinClaim) -> Result<Result<Enrolment, JoinRefusal>>;

    /// Enrols the key of a verified claim in place of another one, with the same limits. Both are
    /// valid for a while; then the former one ends. The worker receives the inner error.
    ///
    /// # Errors
    /// `Unavailable`: the request is not answered, and the worker asks again.
    async fn rotate(&self, claim: &RotationClaim) -> Result<Result<(), RotationRefusal>> {
        let _ = claim;
        Ok(Err(RotationRefusal::Unsupported))
    }
}

/// The enrolment of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enrolment {
    /// The limits of its worker.
    pub limits: WorkerLimits,
    /// The worker's login at the broker, which is sealed for it.
    pub broker: Option<BrokerLogin>,
}

impl Enrolment {
    /// Enrols a worker within these limits.
    pub fn new(limits: WorkerLimits) -> Self {
        Self { limits, broker: None }
    }

    /// Sets the login at the broker.
    #[must_use]
    pub fn broker(mut self, login: BrokerLogin) -> Self {
        self.broker = Some(login);
        self
    }
}

#[async_trait]
impl Enroller for Arc<EnrolledKeys> {
    fn knows(&self, token: &KeyId) -> bool {
        EnrolledKeys::token(self, token).is_some()
    }

    async fn token(&self, token: &KeyId) -> Result<Option<PublicKey>> {
        Ok(EnrolledKeys::token(self, token))
    }

    async fn enrol(&self, claim: &JoinClaim) -> Result<Result<Enrolment, JoinRefusal>> {
        Ok(self.join(Timestamp::now(), claim).map(Enrolment::new))
    }

    async fn rotate(&self, claim: &RotationClaim) -> Result<Result<(), RotationRefusal>> {
        Ok(EnrolledKeys::rotate(self, claim))
    }
}

/// The part of a coordinator that answers requests to join, however they arrive.
#[derive(Debug)]
pub(crate) struct Joins {
    /// Not held while anything is waited for.
    desk: Mutex<Desk>,
    suite: Arc<dyn Suite>,
    enroller: Arc<dyn Enroller>,
    clock: Clock,
}

impl Joins {
    pub(crate) fn new(desk: Desk, enroller: Arc<dyn Enroller>, clock: Clock) -> Self {
        let suite = desk.suite().clone();
        Self { desk: Mutex::new(desk), suite, enroller, clock }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the join in a frame.
    ///
    /// # Errors
    /// `InvalidInput` for a frame that is not a request to join this coordinator; `Overloaded` if
    /// there are too many requests; those of the enroller.
    pub(crate) async fn answer_one(&self, refusals: &Refusals, frame: &[u8]) -> Result<Vec<u8>> {
        match self.answer(refusals, frame).await {
            Ok((_, answer)) => Ok(answer),
            Err(NotAnswered::Refused(why)) => {
                refusals.note(Refusal::Join, "a worker that joins", &why);
                let kind = match why {
                    Refused::Budget => ErrorKind::Overloaded,
                    _ => ErrorKind::InvalidInput,
                };
                Err(Error::new(kind, format!("the join is not answered: {why}")))
            }
            Err(NotAnswered::Failed(error)) => Err(error),
        }
    }

    /// Answers the joins that arrive by a transport.
    pub(crate) async fn run(
        &self,
        transport: Arc<dyn Transport>,
        refusals: &Refusals,
        mut frames: BoxStream<'static, Received>,
    ) {
        while let Some(received) = frames.next().await {
            let (joiner, answer) = match self.answer(refusals, &received.bytes).await {
                Ok(answered) => answered,
                Err(NotAnswered::Refused(why)) => {
                    refusals.note(Refusal::Join, "a worker that joins", &why);
                    continue;
                }
                Err(NotAnswered::Failed(error)) => {
                    refusals.note(Refusal::Join, "the keys of workers", &error);
                    continue;
                }
            };
            let to = Address::Joiner(joiner);
            if let Err(error) = transport.send(&to, Lane::Control, answer.into()).await {
                tracing::debug!(%to, %error, "a join was not answered: it will be repeated");
            }
        }
    }

    async fn answer(
        &self,
        refusals: &Refusals,
        frame: &[u8],
    ) -> Result<(WorkerId, Vec<u8>), NotAnswered> {
        let is_known = |token: &KeyId| self.enroller.knows(token);
        let admission = self.desk().admit(self.clock.now(), frame, is_known)?;
        let answer = match self.decide(&admission).await? {
            Ok(Enrolment { limits, broker }) => {
                self.desk().enrolled(&admission, limits, broker.as_ref())?
            }
            Err(why) => {
                let detail = format!("token {}: {why}", admission.token());
                // A stranger makes up tokens: they are one peer.
                let peer = match why {
                    JoinRefusal::Unknown => "a worker with an unknown token".to_owned(),
                    _ => format!("a worker with token {}", admission.token()),
                };
                refusals.note(Refusal::Join, &peer, &detail);
                self.desk().refused(&admission, why)
            }
        };
        Ok((admission.joiner(), answer))
    }

    async fn decide(
        &self,
        admission: &JoinAdmission,
    ) -> Result<Result<Enrolment, JoinRefusal>, NotAnswered> {
        let Some(token) = self.enroller.token(&admission.token()).await? else {
            return Ok(Err(JoinRefusal::Unknown));
        };
        let claim = admission.verify(&*self.suite, &token)?;
        Ok(self.enroller.enrol(&claim).await?)
    }
}

enum NotAnswered {
    Refused(Refused),
    Failed(Error),
}

impl From<Refused> for NotAnswered {
    fn from(why: Refused) -> Self {
        Self::Refused(why)
    }
}

impl From<Error> for NotAnswered {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Sends a request to join until it is answered, for at most this long.
///
/// The transport must be one of the [joiner](JoinRequest::joiner): its requests go to an address of
/// its own.
///
/// # Errors
/// `Forbidden` if the coordinator refuses, with its reason; `TimedOut` if none answers; those of the
/// transport.
pub async fn join(
    transport: &dyn Transport,
    mut request: JoinRequest,
    patience: Duration,
) -> Result<Joined> {
    let at = Address::Joiner(request.joiner());
    let mut frames = transport.listen(&at, Lane::Control).await?;
    let deadline = Instant::now() + patience;
    loop {
        let frame = request.frame().to_vec().into();
        let sent = transport.send(&Address::Joins, Lane::Control, frame).await;
        let sent = match sent {
            Err(error) if !error.is_retryable() => return Err(error),
            sent => sent.err(),
        };
        let until = (Instant::now() + RESEND).min(deadline);
        while let Ok(received) = timeout_at(until, frames.next()).await {
            let Some(received) = received else {
                return Err(Error::new(ErrorKind::Closed, "the transport was closed"));
            };
            match request.answer(&received.bytes) {
                Ok(Ok(joined)) => return Ok(joined),
                Ok(Err(why)) => return Err(Error::new(ErrorKind::Forbidden, why.to_string())),
                Err(why) => tracing::debug!(%why, "a frame is no answer to the join"),
            }
        }
        if until >= deadline {
            return Err(match sent {
                None => Error::new(ErrorKind::TimedOut, UNANSWERED),
                Some(why) => {
                    Error::new(ErrorKind::TimedOut, "the request was not sent").with_source(why)
                }
            });
        }
    }
}
