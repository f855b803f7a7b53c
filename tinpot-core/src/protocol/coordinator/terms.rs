//! The terms of a worker's lease.

use std::time::Duration;

use crate::protocol::config::ProtocolConfig;

/// The bounds of a lease that a worker asks for, and the least time for which the coordinator waits
/// longer than that.
const LEASE_MIN: Duration = Duration::from_secs(1);
const LEASE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// The terms of a worker's lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// The lease that the worker learns.
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
