//! The protocol between coordinator and workers: the messages, and both sides as state machines
//! without clock, randomness or I/O.

mod budget;
mod call;
mod config;
mod coordinator;
mod frame;
mod holder;
mod log;
mod message;
mod rotation;
pub mod seal;
mod secret;
mod tick;
mod worker;

pub(crate) use self::budget::Budget;
pub use self::call::{Call, CallId, CallState, Called};
pub use self::config::ProtocolConfig;
pub use self::coordinator::{
    CancelOutcome, Cascade, Catalogue, CatalogueEntry, CoordinatorEffect, CoordinatorMachine,
    PendingCall, PendingSecret, QueueInfo, Read, RunningAttempt, Tally, WorkerInfo, WorkerLoad,
};
pub(crate) use self::coordinator::{Subject, unknown_queue, unknown_worker};
pub(crate) use self::frame::encode;
pub use self::frame::{FRAME_VERSION, Frame, FrameError};
pub(crate) use self::holder::{Heard, heard};
pub use self::log::{LogReceiver, LogSender};
pub use self::message::{
    Accept, Beat, BeatAck, Cancel, Dispatch, Drain, Goodbye, Granted, Hello, Log, LogAck, Message,
    Probe, ProgressReport, Recorded, Reject, RejectReason, Released, ReleasedHow, ResultAck,
    ResultReport, WhoIsThere,
};
pub use self::rotation::{ReplaceKey, Rotate, Rotated};
pub use self::secret::{SecretAnswer, SecretGet, SecretState};
pub use self::tick::Tick;
pub use self::worker::{WorkerEffect, WorkerMachine, WorkerProfile};
pub use crate::model::fence::{Epoch, Fence};
pub use crate::model::secret::{GivenSecret, SECRET_BYTES, SECRET_NAME_BYTES};
