//! Helpers of the cases.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::Subject;
use crate::executor::{Attempt, Context, ContextParts, LogBuffer, LogWriter};
use crate::model::fence::{Epoch, Fence};
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::log::Progress;
use crate::model::outcome::Outcome;
use crate::model::stop::{Stop, StopReason};
use crate::testing::case::eventually;
pub(super) use crate::testing::case::within;

/// A grace period that no case ever waits for.
pub(super) const AMPLE: Duration = Duration::from_secs(3600);
/// A grace period that cases wait for.
pub(super) const SHORT: Duration = Duration::from_millis(100);
/// An attempt that was started.
pub(super) struct Running {
    pub(super) stop: watch::Sender<Option<Stop>>,
    pub(super) progress: watch::Receiver<Option<Progress>>,
    pub(super) buffer: Arc<LogBuffer>,
    ready: Arc<Notify>,
    task: JoinHandle<(Outcome, u64)>,
}

/// An attempt that has ended.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    /// The number of the last line when the future resolved.
    pub(super) last_seq: u64,
    pub(super) lines: Vec<String>,
}

/// Starts an attempt.
pub(super) fn start(subject: &Subject, action: &str, parameters: Value) -> Running {
    let (stop, receiver) = crate::executor::stop_channel();
    start_with(subject, action, &parameters.to_string(), stop, receiver)
}

pub(super) fn start_with(
    subject: &Subject,
    action: &str,
    parameters: &str,
    stop: watch::Sender<Option<Stop>>,
    stops: watch::Receiver<Option<Stop>>,
) -> Running {
    let ready = Arc::new(Notify::new());
    let (logs, buffer) = LogWriter::channel(ready.clone(), u64::MAX);
    let (report, progress) = watch::channel(None);
    let buffer = Arc::new(buffer);
    let context = Context::new(ContextParts::new(logs, stops, report));
    let parameters = Json::parse(parameters).expect("a JSON document");
    let attempt = Attempt::new(ExecutionId::generate(), fence(), action, parameters);
    let (executor, seen) = (subject.executor.clone(), buffer.clone());
    let task = tokio::spawn(async move {
        let outcome = executor.execute(attempt, context).await;
        (outcome, seen.last_seq())
    });
    Running { stop, progress, buffer, ready, task }
}

fn fence() -> Fence {
    Fence { epoch: Epoch { instance: 1, number: 1 }, number: 1 }
}

/// Runs an attempt to its end.
pub(super) async fn run(subject: &Subject, action: &str, parameters: Value) -> Ended {
    start(subject, action, parameters).end().await
}

/// Runs an attempt that must succeed, and returns its value.
pub(super) async fn value(subject: &Subject, action: &str, parameters: Value) -> Value {
    value_of(subject, &run(subject, action, parameters).await)
}

/// Returns the value of an attempt that must have succeeded: the one that it returned, or its last
/// line if the executor has no return values.
pub(super) fn value_of(subject: &Subject, ended: &Ended) -> Value {
    let Outcome::Succeeded(value) = &ended.outcome else {
        panic!("the attempt ended with {:?}", ended.outcome);
    };
    if subject.values {
        return value.deserialize().expect("a JSON document");
    }
    assert_eq!(value.as_str(), "null", "an executor without return values returned one");
    let line = ended.lines.last().expect("the action logs its value");
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?} is not JSON: {e}"))
}

/// Asserts that neither the action nor its child reaches its own end.
pub(super) async fn assert_dead(subject: &Subject, scratch: &Scratch) {
    scratch.release();
    tokio::time::sleep(subject.settle).await;
    assert!(!scratch.has("ended"), "the action is still alive: it reached its own end");
    assert!(!scratch.has("child_ended"), "the child of the action is still alive");
}

impl Running {
    /// Asks it to end.
    pub(super) fn ask(&self, grace: Duration) {
        self.stop.send_replace(Some(Stop { reason: StopReason::Cancelled, grace }));
    }

    /// Takes its lines until it has ended.
    pub(super) async fn end(self) -> Ended {
        let Self { buffer, ready, mut task, stop: _stop, .. } = self;
        let mut lines = Vec::new();
        let (outcome, last_seq) = within("the end of the attempt", async {
            loop {
                tokio::select! {
                    ended = &mut task => break ended.expect("execute must not panic"),
                    () = ready.notified() => take(&buffer, &mut lines),
                }
            }
        })
        .await;
        take(&buffer, &mut lines);
        Ended { outcome, last_seq, lines }
    }

    /// Drops the future that runs it.
    pub(super) async fn drop_future(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

fn take(buffer: &LogBuffer, lines: &mut Vec<String>) {
    for chunk in buffer.take(usize::MAX) {
        assert_eq!(chunk.first_seq, lines.len() as u64 + 1, "lines are numbered without gaps");
        lines.extend(chunk.lines);
    }
}

/// Waits until `condition` holds.
pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    eventually(what, async || condition()).await;
}

/// A directory for the files by which a case and an action communicate; removed with this value.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tinpot-conformance-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    pub(super) fn parameters(&self) -> Value {
        serde_json::json!({ "dir": self.0 })
    }

    pub(super) fn parameters_with(&self, name: &str, value: bool) -> Value {
        serde_json::json!({ "dir": self.0, name: value })
    }

    pub(super) fn has(&self, file: &str) -> bool {
        self.0.join(file).exists()
    }

    pub(super) fn release(&self) {
        std::fs::write(self.0.join("release"), "").expect("a file in the directory of the test");
    }

    pub(super) async fn started(&self) {
        until("the action has started", || self.has("started")).await;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
