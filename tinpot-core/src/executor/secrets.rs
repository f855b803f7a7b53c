//! Requests of attempts for secrets.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::model::error::{Error, ErrorKind, Result};
use crate::model::fence::{Epoch, Fence};
use crate::protocol::GivenSecret;

/// Requests that wait for the worker.
const REQUESTS: usize = 64;

/// A request for a secret, for the worker.
#[derive(Debug)]
#[non_exhaustive]
pub struct SecretAsk {
    /// The fence of the attempt.
    pub fence: Fence,
    /// The name of the secret.
    pub name: Arc<str>,
    /// The sender of the answer. Dropped once the attempt does not wait any more.
    pub answer: oneshot::Sender<Result<GivenSecret>>,
}

/// The sender of an attempt's requests for secrets; cheap to clone.
#[derive(Clone, Debug)]
pub struct SecretSender {
    requests: mpsc::Sender<SecretAsk>,
    fence: Fence,
}

/// The receiver of requests for secrets, for the worker.
pub type SecretReceiver = mpsc::Receiver<SecretAsk>;

impl SecretSender {
    /// Returns the two ends, for an attempt with the smallest fence.
    pub fn channel() -> (SecretSender, SecretReceiver) {
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let fence = Fence { epoch: Epoch { instance: 0, number: 0 }, number: 0 };
        (Self { requests, fence }, receiver)
    }

    /// Returns a sender for another attempt.
    #[must_use]
    pub fn for_attempt(&self, fence: Fence) -> Self {
        Self { requests: self.requests.clone(), fence }
    }

    pub(crate) async fn ask(&self, name: &str) -> Result<GivenSecret> {
        let over = || Error::new(ErrorKind::Closed, "the attempt has ended");
        let (answer, answered) = oneshot::channel();
        let request = SecretAsk { fence: self.fence, name: name.into(), answer };
        self.requests.send(request).await.map_err(|_| over())?;
        answered.await.map_err(|_| over())?
    }
}
