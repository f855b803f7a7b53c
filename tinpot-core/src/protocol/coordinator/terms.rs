//! The terms on which a worker gets attempts: its lease, and its credit if it has to ask.

use std::time::Duration;

use super::worker::WorkerEntry;
use crate::protocol::config::ProtocolConfig;

/// The bounds of a lease that a worker asks for, and the least time for which the coordinator waits
/// longer than that.
const LEASE_MIN: Duration = Duration::from_secs(1);
const LEASE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// The terms of a worker's lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// The lease that the worker is told.
    pub(super) lease: Duration,
    /// The time after a beat at which a silent worker is given up.
    pub(super) patience: Duration,
    /// The time after a beat at which a worker may be dead, and is granted nothing.
    pub(super) silence: Duration,
}

impl Terms {
    /// Returns the terms for a worker that asks for a lease of its own, or for none.
    pub(super) fn of(config: &ProtocolConfig, asked: Option<Duration>) -> Self {
        let silence = config.beat_interval * 2;
        let Some(asked) = asked else {
            let (lease, patience) = (config.worker_lease, config.coordinator_lease);
            return Self { lease, patience, silence };
        };
        let lease = asked.clamp(LEASE_MIN, LEASE_MAX);
        let patience = (lease * 3 / 2).max(lease + LEASE_MARGIN);
        // Such a worker may beat more rarely.
        Self { lease, patience, silence: silence.max(lease / 2) }
    }
}

impl WorkerEntry {
    /// Returns true if it is granted attempts without asking.
    pub(super) fn is_pushed(&self) -> bool {
        self.credit.is_none()
    }

    /// Returns true if it need not ask for attempts, or has asked for another one.
    pub(super) fn has_credit(&self) -> bool {
        self.credit.is_none_or(|credit| credit > 0)
    }

    /// Spends the credit for one attempt.
    pub(super) fn spend_credit(&mut self) {
        self.credit = self.credit.map(|credit| credit.saturating_sub(1));
    }

    /// Takes the credit of a beat in place of that of the one before.
    pub(super) fn renew_credit(&mut self, free: u32) {
        self.credit = self.credit.map(|_| free);
    }

    /// Takes the terms of a hello. A lease is never shortened: a message on its way may extend that
    /// of the worker by its former terms.
    pub(super) fn agree(&mut self, asked: Terms) {
        if self.terms.is_none_or(|terms| terms.lease < asked.lease) {
            self.terms = Some(asked);
        }
    }
}
