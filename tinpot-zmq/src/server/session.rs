//! One connection of one client.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tinpot_core::transport::{Address, Lane};
use tokio::time::Instant;

use super::outbox::Outbox;

/// Addresses at which one client listens on one lane. A worker listens at two.
pub(super) const ADDRESSES: usize = 256;

/// One connection of one client, which has said what lane it is for.
#[derive(Debug)]
pub(super) struct Session {
    /// The identity that the socket gave the connection.
    pub(super) id: Bytes,
    pub(super) lane: Lane,
    pub(super) outbox: Outbox,
    addresses: Mutex<HashSet<Address>>,
    last_heard: Mutex<Instant>,
}

impl Session {
    pub(super) fn new(id: Bytes, lane: Lane, outbox: Outbox) -> Self {
        let last_heard = Mutex::new(Instant::now());
        Self { id, lane, outbox, addresses: Mutex::default(), last_heard }
    }

    pub(super) fn addresses(&self) -> MutexGuard<'_, HashSet<Address>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the client sent something.
    pub(super) fn heard(&self) {
        *self.last_heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns the time since the client sent something.
    pub(super) fn silence(&self) -> Duration {
        self.last_heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}
