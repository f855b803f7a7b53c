//! Runs one program to its end, within its limits.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tinpot_bundle::RunLimits;
use tinpot_contain::{
    Ended, Launch, ProcessTree, StopRequest, StopRequests, Supervised, Supervision,
};
use tinpot_core::{Context, Failure, FailureCode};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::output::{Outputs, ProgramLog};

/// The interval of the checks of processor time and processes.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// The signal of a process that has used the processor time that the kernel allows.
const SIGXCPU: i32 = 24;
const SIGKILL: i32 = 9;

/// The reason why a program was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The grace period has passed.
    Stopped,
    /// The executor was closed.
    Closed,
    /// The set-up took too long.
    TooSlow,
    /// It exceeded this limit.
    Exceeded(&'static str),
}

/// The end of a program: all its processes are dead.
#[derive(Debug)]
pub(crate) struct RunEnd {
    pub(crate) ended: Ended,
    pub(crate) killed: Option<Cause>,
    /// The limit that it exceeded.
    pub(crate) exceeded: Option<Failure>,
    /// The last line of its output that is not blank, of standard error if there is one.
    pub(crate) last_line: String,
}

/// Runs the programs of one attempt, one after the other.
#[derive(Debug)]
pub(crate) struct Runner<'a> {
    pub(crate) supervision: &'a Supervision,
    pub(crate) context: &'a Context,
    pub(crate) stops: StopRequests,
    pub(crate) closed: watch::Receiver<bool>,
    /// True once the attempt was asked to end.
    pub(crate) stopped: bool,
}

impl Runner<'_> {
    /// Runs a program until it and all its descendants are dead, and its output is in the log.
    ///
    /// Kills them when the grace period of a stop has passed, when the executor closes, at `until`,
    /// and beyond a limit.
    ///
    /// # Errors
    /// Fails if the supervisor cannot be started.
    pub(crate) async fn run(
        &mut self,
        launch: Launch,
        outputs: Outputs,
        limits: RunLimits,
        until: Option<Instant>,
    ) -> io::Result<RunEnd> {
        let Outputs { mut pipes, kinds } = outputs;
        let meter = pipes.meter().clone();
        meter.begin(limits.output_bytes.unwrap_or(u64::MAX));
        let mut program = self.supervision.spawn(launch)?;
        let tree = program.tree().clone();
        let mut log = ProgramLog::new(self.context, kinds);
        let finishing = AtomicBool::new(false);
        let mut killed = None;
        let ended = {
            let mut pump = pin!(pipes.pump(&mut log, &finishing));
            let mut excess = pin!(async {
                tokio::select! {
                    () = meter.exceeded() => "max_output",
                    name = watch_usage(&tree, limits) => name,
                }
            });
            let mut too_slow = pin!(sleep_until(until));
            let ended = loop {
                let cause = tokio::select! {
                    biased;
                    ended = program.ended() => break ended,
                    () = &mut pump => unreachable!("pump returns only after `finishing` was set"),
                    request = self.stops.next() => match request {
                        StopRequest::Terminate(grace) => {
                            if !std::mem::replace(&mut self.stopped, true) && !grace.is_zero() {
                                program.terminate();
                            }
                            continue;
                        }
                        StopRequest::Kill => Cause::Stopped,
                    },
                    name = &mut excess, if killed.is_none() => Cause::Exceeded(name),
                    () = &mut too_slow, if killed.is_none() => Cause::TooSlow,
                    _ = closed(&mut self.closed), if killed.is_none() => Cause::Closed,
                };
                killed = killed.or(Some(cause));
                program.kill();
            };
            // No process is alive any more, and all output is in the pipes. This future has to go
            // on, because it may hold lines already.
            finishing.store(true, Ordering::Relaxed);
            pump.await;
            ended
        };
        let exceeded = verdict(limits, &ended, killed, meter.is_exceeded(), &program);
        Ok(RunEnd { ended, killed, exceeded, last_line: log.finish() })
    }
}

async fn closed(closed: &mut watch::Receiver<bool>) {
    // Fails if the executor is gone, which drops this future.
    if closed.wait_for(|closed| *closed).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Resolves when the processes exceed a limit that the kernel does not enforce on all of them
/// together; returns its name.
async fn watch_usage(tree: &std::sync::Arc<ProcessTree>, limits: RunLimits) -> &'static str {
    if limits.cpu_seconds.is_none() && limits.processes.is_none() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        let tree = tree.clone();
        // It reads one file for each process of the machine.
        let usage = tokio::task::spawn_blocking(move || tree.usage()).await;
        let Ok(Some(usage)) = usage else { continue };
        if limits.cpu_seconds.is_some_and(|limit| usage.cpu > Duration::from_secs(limit.into())) {
            return "cpu_seconds";
        }
        if limits.processes.is_some_and(|limit| usage.processes > limit as usize) {
            return "processes";
        }
    }
}

/// Returns the failure of a program that exceeded a limit.
fn verdict(
    limits: RunLimits,
    ended: &Ended,
    killed: Option<Cause>,
    has_much_output: bool,
    program: &Supervised,
) -> Option<Failure> {
    if let Some(limit) = limits.output_bytes.filter(|_| has_much_output) {
        return Some(exceeded("max_output", format_args!("{limit} bytes")));
    }
    if let Some(limit) = limits.memory_bytes
        && program.tree().cgroup().is_some_and(|cgroup| cgroup.memory_kills() > 0)
    {
        return Some(exceeded("memory", format_args!("{limit} bytes")));
    }
    let by_kernel = match ended {
        Ended::Killed { signal: SIGXCPU, .. } => true,
        // It ignored the first signal.
        Ended::Killed { signal: SIGKILL, cpu } => {
            let limit = limits.cpu_seconds.unwrap_or(u32::MAX);
            killed.is_none() && *cpu >= Duration::from_secs(limit.into())
        }
        _ => false,
    };
    if let Some(limit) = limits.cpu_seconds
        && (by_kernel || killed == Some(Cause::Exceeded("cpu_seconds")))
    {
        return Some(exceeded("cpu_seconds", limit));
    }
    let limit = limits.processes.filter(|_| killed == Some(Cause::Exceeded("processes")))?;
    Some(exceeded("processes", limit))
}

/// Returns the failure of an attempt that exceeded a limit.
fn exceeded(name: &str, value: impl std::fmt::Display) -> Failure {
    Failure::new(format!("the limit {name} of {value} was exceeded"))
        .code(FailureCode::LimitExceeded)
        .kind("LimitExceeded")
}
