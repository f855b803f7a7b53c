//! The reasons why a frame is not taken.

/// The reason why a frame that is not plain was not taken, or a plain one where frames must be
/// sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A plain frame where frames must be sealed.
    #[error("it is not sealed: a worker of this version joins with \"tinpot worker join\"")]
    Plain,
    /// The frame or its payload cannot be read.
    #[error("it cannot be read")]
    Malformed,
    /// The frame is of another lane, or of a kind that this side does not take.
    #[error("it does not belong here")]
    Misplaced,
    /// The frame is of no session that is open here.
    #[error("its session is not open")]
    UnknownSession,
    /// The counter was seen, or is below the window.
    #[error("it was repeated, or is too late")]
    Repeated,
    /// The tag or the signature is wrong.
    #[error("its tag or signature is wrong")]
    Forged,
    /// The handshake is meant for another namespace, coordinator, shard or worker.
    #[error("it is meant for another")]
    Foreign,
    /// The key of a worker is not enrolled, or revoked.
    #[error("its key is not enrolled")]
    NotEnrolled,
    /// The key of a worker is not enrolled for this name.
    #[error("its key is enrolled for another name")]
    Name,
    /// The worker has a session of another key.
    #[error("another key uses its worker id")]
    Taken,
    /// The grant of the key was changed during the handshake. The worker asks again.
    #[error("the grant of its key was changed meanwhile")]
    Grant,
    /// There were too many handshakes, or there are too many sessions.
    #[error("there are too many of its kind")]
    Budget,
    /// The accept answers no init that was just sent.
    #[error("it answers no handshake of this worker")]
    Unasked,
    /// The accept is of an earlier epoch than a session that is open.
    #[error("it is of an earlier epoch")]
    Epoch,
    /// The system has no randomness.
    #[error("the system has no randomness")]
    NoRandomness,
}
