//! The JSON of the statistics.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tinpot_core::{Execution, ExecutionId, MinuteStats, Stats, Status};
use utoipa::ToSchema;

use super::Time;
use crate::openapi::scalars;

/// The last minutes, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Stats)]
pub(crate) struct StatsJson {
    /// The time from which on everything is counted.
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

/// The statistics of all actions.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActionsStats<'a> {
    pub(crate) actions: Vec<ActionStats<'a>>,
}

/// The latest executions of an action.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActionStats<'a> {
    name: &'a str,
    /// The latest executions, newest first: at most 20.
    recent: Vec<RecentRun>,
    /// The median duration of those that succeeded, in milliseconds.
    median_ms: Option<u64>,
}

/// One of the latest executions of an action.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecentRun {
    #[schema(value_type = scalars::ExecutionId)]
    execution_id: ExecutionId,
    #[schema(value_type = scalars::Status)]
    status: Status,
    created_at: Time,
    /// The time from its first start to its end; null before.
    duration_ms: Option<u64>,
}

impl<'a> ActionStats<'a> {
    pub(crate) fn of(name: &'a str, latest: &[Arc<Execution>]) -> Self {
        let recent: Vec<_> = latest.iter().map(|execution| RecentRun::of(execution)).collect();
        let good = recent.iter().filter(|run| run.status == Status::Succeeded);
        let mut durations: Vec<u64> = good.filter_map(|run| run.duration_ms).collect();
        durations.sort_unstable();
        Self { name, median_ms: durations.get(durations.len() / 2).copied(), recent }
    }
}

impl RecentRun {
    fn of(execution: &Execution) -> Self {
        let took = execution.started_at.zip(execution.finished_at);
        let micros = took.map(|(start, end)| end.as_micros().saturating_sub(start.as_micros()));
        Self {
            execution_id: execution.id,
            status: execution.status,
            created_at: Time(execution.accepted_at),
            duration_ms: micros.map(|micros| micros.div_ceil(1_000)),
        }
    }
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
