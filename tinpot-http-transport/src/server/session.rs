//! One link of one client on one lane.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tinpot_core::WorkerId;
use tinpot_core::transport::{Address, Lane};
use tokio::time::Instant;

use super::admission::{Login, Peer};
use super::outbox::Outbox;
use crate::record::Decoder;

/// Addresses at which one client listens on one lane. A worker listens at two.
pub(super) const ADDRESSES: usize = 256;

/// One link of one client on one lane.
pub(super) struct Session {
    pub(super) id: String,
    pub(super) lane: Lane,
    pub(super) worker: WorkerId,
    pub(super) login: Option<Login>,
    pub(super) peer: Peer,
    pub(super) outbox: Outbox,
    /// Taken by the request that sends; a second one is refused.
    pub(super) upstream: tokio::sync::Mutex<Upstream>,
    /// True while a request reads.
    pub(super) is_read: AtomicBool,
    pub(super) addresses: Mutex<HashSet<Address>>,
    last_heard: Mutex<Instant>,
}

/// The records that arrive from the client.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) decoder: Decoder,
    /// The number of the next request.
    pub(super) next: u64,
}

impl Session {
    pub(super) fn new(
        id: &str,
        lane: Lane,
        worker: WorkerId,
        login: Option<Login>,
        peer: Peer,
        outbox: Outbox,
        max_frame_bytes: usize,
    ) -> Self {
        let decoder = Decoder::new(max_frame_bytes);
        Self {
            id: id.to_owned(),
            lane,
            worker,
            login,
            peer,
            outbox,
            upstream: tokio::sync::Mutex::new(Upstream { decoder, next: 0 }),
            is_read: AtomicBool::new(false),
            addresses: Mutex::default(),
            last_heard: Mutex::new(Instant::now()),
        }
    }

    /// Records that the client sent something.
    pub(super) fn heard(&self) {
        *self.last_heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns the time since the client sent something.
    pub(super) fn silence(&self) -> Duration {
        self.last_heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Lets one request read. `None` if another one does.
    pub(super) fn reader(self: &Arc<Self>) -> Option<Reader> {
        let was_read = self.is_read.swap(true, Ordering::AcqRel);
        (!was_read).then(|| Reader(self.clone()))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the id, which is a secret of the client.
        f.debug_struct("Session")
            .field("lane", &self.lane)
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

/// The right of one request to read.
#[derive(Debug)]
pub(super) struct Reader(pub(super) Arc<Session>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.is_read.store(false, Ordering::Release);
    }
}
