//! Heartbeat, leases and the grace period.

use std::time::Duration;

use tinpot_core::ProtocolConfig;

/// Heartbeat, leases and the grace period of a coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct ProtocolSettings {
    /// The time between two heartbeats of a worker.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_HEARTBEAT_INTERVAL",
            value_name = "SECONDS",
            default_value = "5",
            value_parser = super::seconds
        )
    )]
    pub heartbeat_interval: Duration,
    /// The time for which a worker that cannot reach the coordinator continues attempts that could
    /// be retried elsewhere; at least three heartbeats.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_WORKER_LEASE",
            value_name = "SECONDS",
            default_value = "60",
            value_parser = super::seconds
        )
    )]
    pub worker_lease: Duration,
    /// The time after which the coordinator gives up a silent worker and its attempts are lost; at
    /// least 1.25 times --worker-lease.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_COORDINATOR_LEASE",
            value_name = "SECONDS",
            default_value = "90",
            value_parser = super::seconds
        )
    )]
    pub coordinator_lease: Duration,
    /// The time between asking an action to end and killing it.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_KILL_AFTER",
            value_name = "SECONDS",
            default_value = "10",
            value_parser = super::seconds
        )
    )]
    pub kill_after: Duration,
}

impl Default for ProtocolSettings {
    fn default() -> Self {
        let config = ProtocolConfig::default();
        Self {
            heartbeat_interval: config.beat_interval,
            worker_lease: config.worker_lease,
            coordinator_lease: config.coordinator_lease,
            kill_after: config.grace,
        }
    }
}

impl ProtocolSettings {
    /// Returns the configuration of a coordinator or a worker.
    pub fn config(&self) -> ProtocolConfig {
        let mut config = ProtocolConfig::default();
        config.beat_interval = self.heartbeat_interval;
        config.worker_lease = self.worker_lease;
        config.coordinator_lease = self.coordinator_lease;
        config.grace = self.kill_after;
        config
    }
}

/// The leases that a worker uses with a coordinator of an earlier version.
///
/// A coordinator of this version tells its workers the heartbeat and the leases, and every
/// coordinator the grace period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct WorkerProtocolSettings {
    /// The time between two heartbeats, for coordinators of earlier versions.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_HEARTBEAT_INTERVAL",
            value_name = "SECONDS",
            value_parser = super::seconds,
            hide = true
        )
    )]
    pub heartbeat_interval: Option<Duration>,
    /// The lease of the worker, for coordinators of earlier versions.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_WORKER_LEASE",
            value_name = "SECONDS",
            value_parser = super::seconds,
            hide = true
        )
    )]
    pub worker_lease: Option<Duration>,
    /// The lease of the coordinator, for coordinators of earlier versions.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_COORDINATOR_LEASE",
            value_name = "SECONDS",
            value_parser = super::seconds,
            hide = true
        )
    )]
    pub coordinator_lease: Option<Duration>,
    /// Without effect: the setting of the coordinator counts.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_KILL_AFTER",
            value_name = "SECONDS",
            value_parser = super::seconds,
            hide = true
        )
    )]
    pub kill_after: Option<Duration>,
}

impl WorkerProtocolSettings {
    /// Returns the configuration of a worker.
    pub fn config(&self) -> ProtocolConfig {
        let mut settings = ProtocolSettings::default();
        let set = |setting: &mut Duration, value: Option<Duration>| {
            if let Some(value) = value {
                *setting = value;
            }
        };
        set(&mut settings.heartbeat_interval, self.heartbeat_interval);
        set(&mut settings.worker_lease, self.worker_lease);
        set(&mut settings.coordinator_lease, self.coordinator_lease);
        settings.config()
    }
}
