//! Frames as they come from a transport, and what is said of those that cannot be read.

use crate::model::address::Lane;
use crate::protocol::Frame;

/// Reads a frame; what cannot be read of it is logged and left out. `None` when nothing can be.
pub(crate) fn read_frame(lane: Lane, bytes: &[u8]) -> Option<Frame> {
    match Frame::decode(bytes) {
        Ok((frame, errors)) => {
            for error in errors {
                tracing::warn!(?lane, from = ?frame.from, %error, "left out");
            }
            Some(frame)
        }
        Err(error) => {
            tracing::warn!(?lane, %error, "a frame is dropped");
            None
        }
    }
}
