//! Incoming frames, and the log messages about those that cannot be read.

use crate::model::address::Lane;
use crate::protocol::Frame;

/// Reads a frame. Unreadable messages are logged and left out. `None` if the whole frame is
/// unreadable.
pub(crate) fn read_frame(lane: Lane, bytes: &[u8]) -> Option<Frame> {
    match Frame::decode(bytes) {
        Ok((frame, errors)) => {
            for error in errors {
                tracing::warn!(?lane, from = ?frame.from, %error, "an unreadable message is dropped");
            }
            Some(frame)
        }
        Err(error) => {
            tracing::warn!(?lane, %error, "a frame is dropped");
            None
        }
    }
}
