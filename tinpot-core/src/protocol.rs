//! How coordinator and workers agree: the messages, and both sides as state machines without clock, randomness or I/O.

mod fence;
mod frame;
mod message;
mod tick;

pub use self::fence::{Epoch, Fence};
pub use self::frame::{FRAME_VERSION, Frame, FrameError};
pub use self::message::{
    Accept, Beat, BeatAck, Cancel, Dispatch, Goodbye, Hello, Log, LogAck, Message, ProgressReport,
    Recorded, Reject, RejectReason, Released, ReleasedHow, ResultAck, ResultReport, WhoIsThere,
};
pub use self::tick::Tick;
