//! The answer to an init.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::SHARD;
use super::peers::{Answered, Peer};
use crate::model::fence::Epoch;
use crate::protocol::seal::grant::WorkerGrant;
use crate::protocol::seal::handshake::{Accept, Hex, Init, KeyId, SUITE, Signed, VERSION, salt};
use crate::protocol::seal::header::FrameKind;
use crate::protocol::seal::refused::Refused;
use crate::protocol::seal::session::{Session, Side};
use crate::protocol::seal::suite::{Digest, PublicKey, Suite};
use crate::protocol::tick::Tick;

/// An init that is to be verified and answered.
#[derive(Debug)]
pub struct Handshake {
    pub(super) init: Init,
    pub(super) frame: Vec<u8>,
    pub(super) digest: Digest,
    pub(super) grant: Arc<WorkerGrant>,
    /// The key and the epoch of the coordinator.
    pub(super) key: KeyId,
    pub(super) epoch: Epoch,
    /// The keys of the namespace that the accept states.
    pub(super) keys: Vec<PublicKey>,
    /// If true, the accept asks the worker to replace its key.
    pub(super) rotate: bool,
}

impl Handshake {
    /// Verifies the init and makes the session, which takes about 0.1 ms.
    ///
    /// # Errors
    /// The reason why it is not answered.
    pub fn answer(self, now: Tick, suite: &dyn Suite) -> Result<Answered, Refused> {
        let signed = Signed::parts(FrameKind::Init, &self.frame).ok_or(Refused::Malformed)?;
        if !signed.is_by(suite, &self.grant.key) {
            return Err(Refused::Forged);
        }
        let ephemeral = suite.ephemeral().map_err(|_| Refused::NoRandomness)?;
        let e = ephemeral.public();
        // Both halves are new in every handshake, so the id is.
        let id: [u8; 8] =
            suite.digest(&[e, self.init.e.0].concat()).first_chunk().copied().unwrap_or_default();
        let accept = Accept {
            v: VERSION,
            namespace: self.init.namespace,
            worker: self.init.worker.clone(),
            worker_key: self.init.key,
            key: self.key,
            chain: Vec::new(),
            epoch: self.epoch,
            shard: SHARD,
            session: Hex(id),
            e: Hex(e),
            suite: SUITE.to_owned(),
            init: Hex(self.digest),
            keys: self.keys.iter().map(|key| Hex(key.0)).collect(),
            rotate: self.rotate,
        };
        let accept = Signed::frame(suite, FrameKind::Accept, &accept);
        let shared = ephemeral.agree(&self.init.e.0).ok_or(Refused::Forged)?;
        let payload =
            Signed::parts(FrameKind::Accept, &accept).ok_or(Refused::Malformed)?.payload();
        let keys = suite.derive(&shared, &salt(suite, &self.digest, payload));
        let session = Session::new(now, u64::from_be_bytes(id), Side::Coordinator, keys);
        let (worker, key, introduced) = (self.init.worker, self.init.key, AtomicBool::new(false));
        // The accept has told it.
        let looked = AtomicU64::new(now.0);
        let peer = Peer { worker, key, grant: self.grant, introduced, looked };
        Ok(Answered { session, peer: Arc::new(peer), init: self.digest, accept })
    }
}
