//! What happened in the last minutes, as clients see it.

use std::time::Duration;

use serde::Serialize;
use tinpot_core::{MinuteStats, Stats};
use utoipa::ToSchema;

use super::Time;

/// The last minutes, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Stats)]
pub(crate) struct StatsJson {
    /// When the coordinator started to count.
    since: Time,
    minute_seconds: u64,
    /// Each of them, also those in which nothing happened; the last one is not over.
    minutes: Vec<MinuteJson>,
}

/// What happened in one minute.
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
    /// Seconds; of what ended, how long its last attempt ran.
    duration_p50: Option<f64>,
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
