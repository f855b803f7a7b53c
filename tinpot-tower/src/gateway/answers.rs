//! The answers to runners.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use tinpot_core::{AttemptRecord, Execution, Timestamp};

use crate::api::run::RunStatus;
use crate::wire::times::Time;

/// The attempts of a run that have ids of their own.
const ATTEMPTS: u64 = 1 << 12;

/// Returns the id of an attempt.
pub(super) fn attempt_id(run: u64, attempt: u32) -> u64 {
    run.saturating_mul(ATTEMPTS).saturating_add(u64::from(attempt))
}

/// Returns the end of a lease in whole seconds, not later than it is.
pub(super) fn lease_end(until: Timestamp) -> Time {
    Time(until)
}

#[derive(Serialize)]
pub(super) struct OkJson {
    status: &'static str,
}

impl OkJson {
    pub(super) const OK: Self = Self { status: "ok" };
}

#[derive(Serialize)]
pub(super) struct RegisteredJson<'a> {
    pub(super) runner_id: u64,
    pub(super) name: &'a str,
    pub(super) token: &'a str,
}

#[derive(Serialize)]
pub(super) struct LeaseJson {
    pub(super) run_id: u64,
    pub(super) run_no: u64,
    pub(super) app_id: u64,
    pub(super) app_slug: Arc<str>,
    pub(super) version_no: u32,
    pub(super) entrypoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<Box<RawValue>>,
    pub(super) attempt_id: u64,
    pub(super) attempt_no: u32,
    pub(super) lease_token: String,
    pub(super) lease_expires_at: Time,
}

#[derive(Serialize)]
pub(super) struct AttemptJson {
    attempt_id: u64,
    attempt_no: u32,
    status: RunStatus,
    lease_expires_at: Time,
    cancel_requested: bool,
    run_status: RunStatus,
}

impl AttemptJson {
    /// Describes a live attempt, whose lease ends at `until`.
    pub(super) fn of(
        execution: &Execution,
        attempt: &AttemptRecord,
        cancel: bool,
        until: Timestamp,
    ) -> Self {
        let status = if cancel { RunStatus::Cancelling } else { RunStatus::of(execution) };
        Self {
            attempt_id: attempt_id(execution.number, attempt.number),
            attempt_no: attempt.number,
            status,
            lease_expires_at: Time(until),
            cancel_requested: cancel,
            run_status: status,
        }
    }
}
