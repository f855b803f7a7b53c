//! The right of a worker to be heard on an attempt.

use crate::model::id::WorkerId;

/// The right of a worker to speak about an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard<T> {
    /// The attempt was granted to this worker.
    Holder(T),
    /// The attempt was granted to another worker: this one is not heard.
    NotHolder,
    /// The attempt is not known, or not known any more.
    Unknown,
}

/// Decides if `peer` is heard on an attempt: only the worker that it was granted to is. `granted` is
/// that worker, with what it may speak about. Both lanes ask here.
pub(crate) fn heard<T>(granted: Option<(&WorkerId, T)>, peer: &WorkerId) -> Heard<T> {
    match granted {
        Some((holder, subject)) if holder == peer => Heard::Holder(subject),
        Some(_) => Heard::NotHolder,
        None => Heard::Unknown,
    }
}
