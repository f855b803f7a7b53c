//! The JSON of the statistics.

use std::time::Duration;

use serde::Serialize;
use tinpot_core::{MinuteStats, Stats};
use utoipa::ToSchema;

use super::Time;

/// The last minutes, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Stats)]
pub(crate) struct StatsJson {
    /// The time at which the coordinator started to count.
    since: Time,
    minute_seconds: u64,
    /// Every minute, including those without executions. The last one is incomplete.
    minutes: Vec<MinuteJson>,
}

/// The counts of one minute.
#[derive(Serialize, ToSchema)]
#[schema(as = Minute)]
pub(crate) struct MinuteJson {
    at: Time,
    accepted: u64,
    succeeded: u64,
    failed: u64,
    cancelled: u64,
    timed_out: u64,
    lost: u64,
    /// The median run time of the last attempts, in seconds.
    duration_p50: Option<f64>,
    /// The 95th percentile of the same.
    duration_p95: Option<f64>,
}

impl StatsJson {
    pub(crate) fn of(stats: &Stats) -> Self {
        let minutes = stats.minutes.iter().map(MinuteJson::of).collect();
        Self { since: Time(stats.since), minute_seconds: 60, minutes }
    }
}

impl MinuteJson {
    fn of(minute: &MinuteStats) -> Self {
        Self {
            at: Time(minute.at),
            accepted: minute.accepted,
            succeeded: minute.succeeded,
            failed: minute.failed,
            cancelled: minute.cancelled,
            timed_out: minute.timed_out,
            lost: minute.lost,
            duration_p50: minute.duration_p50.as_ref().map(Duration::as_secs_f64),
            duration_p95: minute.duration_p95.as_ref().map(Duration::as_secs_f64),
        }
    }
}
