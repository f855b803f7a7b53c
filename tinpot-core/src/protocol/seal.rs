//! Sealed frames: sessions between one worker and one coordinator, whose frames are encrypted and
//! authenticated.
//!
//! No clock, no I/O, and no cipher: time is passed, frames are returned, and a [`Suite`] has the
//! cryptography. [`WorkerSessions`] is the half of a worker, [`CoordinatorSessions`] that of a
//! coordinator. The bytes are specified in `docs/protocol.md`.

mod coordinator;
mod enrolled_keys;
mod grant;
mod handshake;
mod header;
mod join;
mod refused;
mod rotation;
mod session;
mod suite;
mod window;
mod worker;

pub use self::coordinator::{
    Admission, Answered, CoordinatorFrame, CoordinatorOptions, CoordinatorSessions, Handshake,
    Peer, PlainFrames,
};
pub use self::enrolled_keys::EnrolledKeys;
pub(crate) use self::grant::keep_secrets;
pub use self::grant::{Enrolled, WorkerGrant, WorkerLimits};
pub use self::handshake::{Accept, Hex, Init, KeyId, Notice, Signed};
pub use self::header::{FrameKind, HEADER_BYTES, Header, TAG_BYTES, is_plain};
pub use self::join::{
    Before, BrokerLogin, Desk, JoinAdmission, JoinClaim, JoinRefusal, JoinRequest, JoinTerms,
    Joined,
};
pub use self::refused::Refused;
pub use self::rotation::{KeyState, Rotation, RotationClaim, RotationRefusal};
pub use self::session::{Opening, Sealing, Session, SessionId, Side};
pub use self::suite::{Digest, Ephemeral, PublicKey, SecretKey, SessionKeys, Signature, Suite};
pub use self::window::{WINDOW, Window};
pub use self::worker::{Pins, WorkerFrame, WorkerSessions};
