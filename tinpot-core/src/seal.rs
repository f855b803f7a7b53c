//! Sealed frames: the keys and the cryptography that the builders of coordinators and workers
//! take.
//!
//! With them, frames are encrypted and authenticated: a broker can drop and delay them, and can
//! neither read nor forge nor repeat them. A worker hears only the coordinators whose keys it has
//! pinned; a coordinator hears only workers whose keys are enrolled, within their grants. The crate
//! `tinpot-access` has the cryptography.

pub use crate::joining::{Enroller, Enrolment, join};
pub use crate::protocol::seal::{
    Before, BrokerLogin, CoordinatorOptions, Digest, Enrolled, EnrolledKeys, Ephemeral, Hex,
    JoinClaim, JoinRefusal, JoinRequest, JoinTerms, Joined, KeyId, KeyState, Pins, PlainFrames,
    PublicKey, RotationClaim, RotationRefusal, SecretKey, SessionKeys, Signature, Suite,
    WorkerGrant, WorkerLimits,
};
