//! Mutants of an executor that runs closures.

use std::future::{Ready, ready};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tinpot_core::executor::{ActionSet, Attempt, ContextParts, stop_channel};
use tinpot_core::testing::executor::{Subject, functions};
use tinpot_core::{
    Context, Executor, Failure, FunctionExecutor, Json, LogWriter, Outcome, Result, Stop, Watcher,
};
use tokio::sync::{Mutex, Notify, watch};

use super::caught;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    ReportsCancelledAndKillsNothing,
    LeavesChildren,
    IgnoresDrop,
    CloseKillsNothing,
    CloseIsIgnored,
    DropsClosedMessage,
    NamesNoUnknownAction,
    KillsBeforeTheGrace,
    IgnoresShorterStop,
    IgnoresStopBeforeTheStart,
    ReportsAKillAsFailure,
    ReportsSurvivorsAsCancelled,
    WritesLinesLate,
    BuffersLogsWithoutBound,
    RunsOneAtATime,
    PanicsInExecute,
    HidesFailureMessages,
    LosesProgress,
    RoundsNumbers,
    OffersNothing,
    ReturnsNoValues,
}

#[derive(Debug)]
struct Mutant {
    inner: Arc<FunctionExecutor>,
    fault: Fault,
    nothing: watch::Sender<Arc<ActionSet>>,
    lock: Mutex<()>,
}

fn subject(fault: Fault) -> Ready<Subject> {
    let inner = Arc::new(functions().build().expect("the actions of the suite"));
    let nothing = watch::Sender::new(Arc::new(ActionSet::new([])));
    let mutant = Mutant { inner, fault, nothing, lock: Mutex::new(()) };
    ready(Subject::new(mutant).progress(true).settle(Duration::from_millis(200)))
}

/// Returns a context with the same log that never asks the attempt to stop.
fn never_stopped(context: &Context) -> Context {
    let (stop, stops) = stop_channel();
    // Leaked on purpose: a receiver whose sender is gone is another case.
    std::mem::forget(stop);
    context_with(context.logs().clone(), stops)
}

fn context_with(logs: LogWriter, stops: impl Into<Watcher<Option<Stop>>>) -> Context {
    let (progress, _) = watch::channel(None);
    Context::new(ContextParts::new(logs, stops, progress))
}

async fn appears(dir: &Path, file: &str) {
    while !dir.join(file).exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn make(dir: &Path, file: &str) {
    let _ = std::fs::write(dir.join(file), "");
}

/// Starts the child of `leave_child` as a task that nothing owns.
fn leave_child(attempt: &Attempt) {
    let parameters: Value = serde_json::from_str(attempt.parameters.as_str()).expect("JSON");
    let dir = PathBuf::from(parameters["dir"].as_str().expect("a directory"));
    make(&dir, "child_started");
    make(&dir, "started");
    tokio::spawn(async move {
        appears(&dir, "release").await;
        make(&dir, "child_ended");
    });
}

impl Mutant {
    async fn run(&self, attempt: Attempt, context: Context) -> Outcome {
        self.inner.execute(attempt, context).await
    }

    /// Runs the attempt in a task that outlives this future.
    fn detached(
        &self,
        attempt: Attempt,
        context: Context,
    ) -> impl Future<Output = Outcome> + use<> {
        let inner = self.inner.clone();
        let task = tokio::spawn(async move { inner.execute(attempt, context).await });
        async move { task.await.expect("the task ends") }
    }

    async fn broken(&self, mut attempt: Attempt, context: Context) -> Outcome {
        match self.fault {
            Fault::ReportsCancelledAndKillsNothing => tokio::select! {
                outcome = self.detached(attempt, never_stopped(&context)) => outcome,
                () = context.grace_expired() => Outcome::Cancelled,
            },
            Fault::LeavesChildren if &*attempt.action == "leave_child" => {
                leave_child(&attempt);
                if attempt.parameters.as_str().contains("true") {
                    attempt.action = Arc::from("wait");
                    self.run(attempt, context).await
                } else {
                    Outcome::Succeeded(Json::null())
                }
            }
            Fault::IgnoresDrop => self.detached(attempt, context).await,
            Fault::NamesNoUnknownAction if &*attempt.action == "no_such_action" => {
                Outcome::failed("there is no such action")
            }
            Fault::KillsBeforeTheGrace => tokio::select! {
                outcome = self.run(attempt, context.clone()) => outcome,
                _ = context.stopped() => Outcome::Cancelled,
            },
            Fault::IgnoresShorterStop => {
                let (stop, stops) = stop_channel();
                let first = async {
                    stop.send_replace(Some(context.stopped().await));
                    std::future::pending::<()>().await
                };
                tokio::select! {
                    outcome = self.run(attempt, context_with(context.logs().clone(), stops)) => outcome,
                    () = first => unreachable!(),
                }
            }
            Fault::IgnoresStopBeforeTheStart => {
                let (stop, stops) = stop_channel();
                let mut requests = context.stop_requests();
                requests.try_next();
                let forward = async {
                    while let Some(request) = requests.next().await {
                        stop.send_replace(request);
                    }
                    std::future::pending::<()>().await
                };
                tokio::select! {
                    outcome = self.run(attempt, context_with(context.logs().clone(), stops)) => outcome,
                    () = forward => unreachable!(),
                }
            }
            Fault::ReportsAKillAsFailure => match self.run(attempt, context).await {
                Outcome::Cancelled => Outcome::failed("killed"),
                outcome => outcome,
            },
            Fault::ReportsSurvivorsAsCancelled => {
                let outcome = self.run(attempt, context.clone()).await;
                if context.stop_requested().is_some() { Outcome::Cancelled } else { outcome }
            }
            Fault::WritesLinesLate | Fault::BuffersLogsWithoutBound => {
                let (logs, buffer) = LogWriter::channel(Arc::new(Notify::new()), u64::MAX);
                let running = self.run(attempt, context_with(logs, context.stop_requests()));
                let mut running = std::pin::pin!(running);
                let mut chunks = Vec::new();
                let outcome = loop {
                    tokio::select! {
                        outcome = &mut running => break outcome,
                        () = tokio::time::sleep(Duration::from_millis(1)) => {}
                    }
                    chunks.extend(buffer.take(usize::MAX));
                };
                chunks.extend(buffer.take(usize::MAX));
                let write = async move {
                    for chunk in chunks {
                        context.logs().write(chunk.stream, chunk.level, chunk.lines).await;
                    }
                };
                if self.fault == Fault::WritesLinesLate {
                    tokio::spawn(write);
                } else {
                    write.await;
                }
                outcome
            }
            Fault::RunsOneAtATime => {
                let _lock = self.lock.lock().await;
                self.run(attempt, context).await
            }
            Fault::PanicsInExecute if &*attempt.action == "crash" => panic!("the action crashed"),
            Fault::HidesFailureMessages => match self.run(attempt, context).await {
                Outcome::Failed(_) => Outcome::Failed(Failure::new("it failed")),
                outcome => outcome,
            },
            Fault::DropsClosedMessage => match self.run(attempt, context).await {
                Outcome::Failed(failure) if failure.message.contains("closed") => {
                    Outcome::failed("not now")
                }
                outcome => outcome,
            },
            Fault::LosesProgress => {
                let context = context_with(context.logs().clone(), context.stop_requests());
                self.run(attempt, context).await
            }
            Fault::RoundsNumbers => match self.run(attempt, context).await {
                Outcome::Succeeded(value) => {
                    let number = value.as_str().parse::<f64>();
                    Outcome::Succeeded(match number {
                        Ok(number) => Json::parse(format!("{number}")).expect("a number"),
                        Err(_) => value,
                    })
                }
                outcome => outcome,
            },
            Fault::ReturnsNoValues => match self.run(attempt, context).await {
                Outcome::Succeeded(_) => Outcome::Succeeded(Json::null()),
                outcome => outcome,
            },
            _ => self.run(attempt, context).await,
        }
    }
}

#[async_trait]
impl Executor for Mutant {
    fn actions(&self) -> Watcher<Arc<ActionSet>> {
        match self.fault {
            Fault::OffersNothing => self.nothing.subscribe().into(),
            _ => self.inner.actions(),
        }
    }

    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
        self.broken(attempt, context).await
    }

    async fn close(&self) -> Result<()> {
        match self.fault {
            Fault::CloseIsIgnored | Fault::CloseKillsNothing => Ok(()),
            _ => self.inner.close().await,
        }
    }
}

caught! {
    executor, subject:
    cancelled_reports_without_a_kill(Fault::ReportsCancelledAndKillsNothing)
        by stop_without_grace_kills ignored_stop_is_killed shorter_stop_replaces_a_longer
        the_child_of_a_killed_attempt_is_killed next_attempt_is_unharmed;
    children_that_live_on(Fault::LeavesChildren)
        by the_child_of_a_killed_attempt_is_killed ended_attempt_leaves_no_child
        dropped_future_ends_its_attempt;
    ignored_drop(Fault::IgnoresDrop) by dropped_future_ends_its_attempt;
    close_that_kills_nothing(Fault::CloseKillsNothing) by close_ends_what_runs;
    ignored_close(Fault::CloseIsIgnored) by closed_executor_refuses;
    closed_executor_that_hides_it(Fault::DropsClosedMessage) by closed_executor_refuses;
    unnamed_unknown_action(Fault::NamesNoUnknownAction) by unknown_action_fails;
    kill_before_the_grace(Fault::KillsBeforeTheGrace)
        by ignored_stop_is_killed;
    ignored_shorter_stop(Fault::IgnoresShorterStop) by shorter_stop_replaces_a_longer;
    missed_stop_before_the_start(Fault::IgnoresStopBeforeTheStart)
        by stop_before_the_start_counts;
    kill_reported_as_failure(Fault::ReportsAKillAsFailure) by stop_without_grace_kills;
    survivors_reported_as_cancelled(Fault::ReportsSurvivorsAsCancelled) by stop_may_be_survived;
    late_lines(Fault::WritesLinesLate) by lines_are_in_order_and_complete;
    log_buffer_without_bound(Fault::BuffersLogsWithoutBound)
        by undrained_log_holds_the_action_back;
    one_attempt_at_a_time(Fault::RunsOneAtATime) by many_run_at_once;
    panic_in_execute(Fault::PanicsInExecute) by crash_is_isolated;
    hidden_failure_messages(Fault::HidesFailureMessages) by failure_says_why;
    lost_progress(Fault::LosesProgress) by progress_is_seen;
    rounded_numbers(Fault::RoundsNumbers) by value_comes_back;
    empty_action_set(Fault::OffersNothing) by set_of_actions_is_offered;
    missing_values(Fault::ReturnsNoValues) by value_comes_back default_applies;
}
