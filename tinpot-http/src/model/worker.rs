//! The JSON of workers and queues.

use std::sync::Arc;

use serde::Serialize;
use tinpot_core::QueueInfo;
use tinpot_core::{
    ExecutionId, LoadError, PythonEnvironment, RunningAttempt, WorkerId, WorkerInfo,
};
use utoipa::ToSchema;

use super::Time;
use crate::openapi::scalars;

/// The live workers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Workers<'a> {
    workers: Vec<WorkerJson<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Worker)]
pub(crate) struct WorkerJson<'a> {
    #[schema(value_type = String)]
    id: &'a WorkerId,
    name: &'a str,
    /// The queues that it serves. Empty means all.
    #[schema(value_type = Vec<String>)]
    queues: &'a [String],
    /// The groups that it serves. Empty means all.
    #[schema(value_type = Vec<String>)]
    groups: &'a [String],
    slots: u32,
    #[schema(value_type = Vec<String>)]
    actions: &'a [Arc<str>],
    #[schema(value_type = Vec<scalars::Problem>)]
    problems: &'a [LoadError],
    /// The Python environments that its actions ask for, as it describes them.
    python_environments: Vec<EnvironmentJson<'a>>,
    #[schema(value_type = Vec<scalars::ExecutionId>)]
    executions: &'a [ExecutionId],
    /// The attempts of those executions, oldest first.
    running: Vec<RunningJson<'a>>,
    /// The seconds since its last heartbeat.
    silent_for: f64,
    /// The same value as `silent_for`.
    last_beat_seconds: f64,
    /// If true, it receives no new attempts and exits when idle.
    draining: bool,
    /// The version of its program; null if unknown.
    version: Option<&'a str>,
    /// The start of its process, by its own clock; null if unknown.
    started_at: Option<Time>,
}

/// A Python environment of a worker.
#[derive(Serialize, ToSchema)]
#[schema(as = PythonEnvironment)]
pub(crate) struct EnvironmentJson<'a> {
    /// The file that asks for it, relative to the directory of actions.
    place: &'a str,
    /// `building`, `ready`, `failed`, or `kept`: the files ask for something that cannot be built,
    /// and the last good environment stays in use.
    #[schema(value_type = scalars::EnvironmentState)]
    state: &'static str,
    /// The begin of the state, by the clock of the worker.
    since: Time,
    /// All files that say what is in it, relative to the directory of actions.
    #[schema(value_type = Vec<String>)]
    asked: &'a [String],
    /// The first digits of its name in the cache of the worker's host; null if unknown.
    key: Option<&'a str>,
    /// The version of Python; null if unknown.
    python: Option<&'a str>,
    /// The program that installs the packages; null if unknown.
    installer: Option<&'a str>,
    /// The number of installed packages.
    packages: u64,
    /// The size in bytes; 0 if it is not built.
    bytes: u64,
    /// The reason why the last build failed; null if it did not.
    reason: Option<&'a str>,
    /// The end of the log of a failed build. The list of workers leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    log: Option<&'a str>,
}

/// The answer to `drain`.
#[derive(Serialize, ToSchema)]
pub(crate) struct DrainAnswer {
    #[schema(value_type = String)]
    pub(crate) worker_id: WorkerId,
    /// Always `draining`.
    pub(crate) status: &'static str,
}

/// An attempt on a worker.
#[derive(Serialize, ToSchema)]
#[schema(as = Running)]
pub(crate) struct RunningJson<'a> {
    #[schema(value_type = scalars::ExecutionId)]
    execution_id: ExecutionId,
    action_name: &'a str,
    attempt: u32,
    since: Time,
    /// The seconds since it was granted.
    held_for: f64,
    started: bool,
    /// If true, it waits for an execution that it called.
    waits: bool,
}

/// The queues.
#[derive(Serialize, ToSchema)]
pub(crate) struct Queues<'a> {
    queues: Vec<QueueJson<'a>>,
}

/// A queue and its waiting executions.
#[derive(Serialize, ToSchema)]
#[schema(as = Queue)]
pub(crate) struct QueueJson<'a> {
    name: &'a str,
    waiting: usize,
    granted: usize,
    delayed: usize,
    workers: usize,
    /// If true, it accepts executions and grants none.
    paused: bool,
    paused_at: Option<Time>,
    /// The acceptance of the oldest waiting execution.
    oldest_accepted_at: Option<Time>,
    /// The reason why executions wait; null if none waits.
    reason: Option<&'a str>,
}

impl<'a> Workers<'a> {
    pub(crate) fn of(workers: &'a [WorkerInfo]) -> Self {
        let json = |worker: &'a WorkerInfo| WorkerJson::of(worker, EnvironmentJson::without_log);
        Self { workers: workers.iter().map(json).collect() }
    }
}

impl<'a> WorkerJson<'a> {
    /// Returns a worker with everything that it says.
    pub(crate) fn whole(worker: &'a WorkerInfo) -> Self {
        Self::of(worker, EnvironmentJson::of)
    }

    fn of(
        worker: &'a WorkerInfo,
        environment: impl FnMut(&'a PythonEnvironment) -> EnvironmentJson<'a>,
    ) -> Self {
        Self {
            id: &worker.id,
            name: &worker.name,
            queues: &worker.queues,
            groups: &worker.groups,
            slots: worker.slots,
            actions: &worker.actions,
            problems: &worker.load_errors,
            python_environments: worker.environments.iter().map(environment).collect(),
            executions: &worker.executions,
            running: worker.running.iter().map(RunningJson::of).collect(),
            silent_for: worker.silent_for.as_secs_f64(),
            last_beat_seconds: worker.silent_for.as_secs_f64(),
            draining: worker.draining,
            version: Some(worker.version.as_str()).filter(|version| !version.is_empty()),
            started_at: worker.started_at.map(Time),
        }
    }
}

impl<'a> EnvironmentJson<'a> {
    fn of(environment: &'a PythonEnvironment) -> Self {
        let some = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        Self {
            place: &environment.place,
            state: environment.state.as_str(),
            since: Time(environment.since),
            asked: &environment.asked,
            key: some(&environment.key),
            python: some(&environment.python),
            installer: some(&environment.installer),
            packages: environment.packages,
            bytes: environment.bytes,
            reason: some(&environment.reason),
            log: some(&environment.log),
        }
    }

    fn without_log(environment: &'a PythonEnvironment) -> Self {
        Self { log: None, ..Self::of(environment) }
    }
}

impl<'a> RunningJson<'a> {
    fn of(attempt: &'a RunningAttempt) -> Self {
        Self {
            execution_id: attempt.execution,
            action_name: &attempt.action,
            attempt: attempt.attempt,
            since: Time(attempt.since),
            held_for: attempt.held_for.as_secs_f64(),
            started: attempt.started,
            waits: attempt.waits,
        }
    }
}

impl<'a> Queues<'a> {
    pub(crate) fn of(queues: &'a [QueueInfo]) -> Self {
        Self { queues: queues.iter().map(QueueJson::of).collect() }
    }
}

impl<'a> QueueJson<'a> {
    pub(crate) fn of(queue: &'a QueueInfo) -> Self {
        Self {
            name: &queue.name,
            waiting: queue.waiting,
            granted: queue.granted,
            delayed: queue.delayed,
            workers: queue.workers,
            paused: queue.paused_at.is_some(),
            paused_at: queue.paused_at.map(Time),
            oldest_accepted_at: queue.oldest_accepted_at.map(Time),
            reason: queue.reason.as_deref(),
        }
    }
}
